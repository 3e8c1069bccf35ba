/* A worker that behaves as it is told, for tests of the harness: the test program runs itself with --fake KIND. Speaks the protocol of
 * docs/worker-protocol.md without any engine. */
#ifndef HM_TESTS_FAKE_WORKER_H
#define HM_TESTS_FAKE_WORKER_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/protocol.h"

static inline void fake_say(json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(message);
}

static inline void fake_sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

/* $FAKE_BUILD: the id of its build. One timed generation after the other takes 1 ms more. Kind "hot" says that the CPU was throttled, "once" does when it can take away
 * the file $FAKE_ONCE; "broken" is fast and makes bad audio; "leaks" holds more after each, "keeps" the same; "astray" runs on two
 * devices, "elsewhere" on one that nobody asked for. Streams when asked to: two pieces, one late. Kind "late" claims a first piece after
 * the end. A free run draws frame * 8 + codebook; a fed one the stored codes, kind "drift" with one other code in frame 3. */
static inline void fake_run(const char *kind, const json_t *message)
{
    hm_run_order order;
    hm_stored_codes fed, made = {0};
    hm_error err;
    if (hm_proto_read_run(message, &order, &fed, &err)) {
        fake_say(hm_proto_error(&err));
        return;
    }
    hm_sample *s = calloc(1, sizeof *s);
    size_t n = (size_t)order.c.frames * 8;
    hm_sample_init(s);
    made.frames = order.c.frames;
    made.codebooks = 8;
    made.codes = calloc(n, 4);
    made.logits = calloc(n, 4);
    for (size_t i = 0; i < n; i++) {
        made.codes[i] = fed.codes ? fed.codes[i] : (int32_t)i;
        made.logits[i] = (float)i;
    }
    if (!strcmp(kind, "drift")) {
        made.codes[3 * 8 + 1] += 1;
        made.logits[3 * 8 + 1] += 0.25f;
    }
    fake_sleep_ms((!strcmp(kind, "slow") ? 400 : 20) * (order.iterations > 1 ? order.iterations : 1));
    s->wall_ns = !strcmp(kind, "boast") ? INT64_C(3600000000000) : 10000000;
    s->generate_ns = 6000000;
    s->decode_ns = 3000000;
    s->prefill_ns = !strcmp(kind, "sums") ? 9000000 : 500000;
    s->frames = order.c.frames - !strcmp(kind, "short");
    s->codebooks = 8;
    s->fed_codes = fed.codes != NULL;
    s->audio_s = order.c.frames * 0.08;
    if (order.stream) {
        s->ttfa_raw_ns = !strcmp(kind, "late") ? 20000000 : 1000000;
        s->ttfa_ns = s->ttfa_raw_ns;
        s->stalls = 1;
        s->stall_max_ns = s->stall_total_ns = s->buffer_ns = 60000000;
        s->pieces = 2;
    }
    hm_hash_text(s->codes_hash, made.codes, n * 4);
    strcpy(s->health, "ok");
    if (!strcmp(kind, "broken")) {
        strcpy(s->health, "bad");
        strcpy(s->health_reasons, "every sample is the same value");
        s->sample_rate_hz = 48000;
        s->channels = 2;
        s->wall_ns = 2000000;
        s->generate_ns = s->decode_ns = s->prefill_ns = 500000;
    }
    if (!strcmp(kind, "astray"))
        strcpy(s->places, "backbone=cuda:0,vocoder=cpu:avx2");
    if (!strcmp(kind, "elsewhere"))
        strcpy(s->places, "backbone=cuda:0,vocoder=cuda:0");
    if (!strcmp(kind, "short"))
        made.frames--;
    s->throttled = !strcmp(kind, "hot") && fed.codes;
    if (!strcmp(kind, "once") && fed.codes && getenv("FAKE_ONCE"))
        s->throttled = !unlink(getenv("FAKE_ONCE"));
    bool grows = !strcmp(kind, "leaks"); /* by 100 KiB, and now and then by nothing */
    s->rss_after_bytes = grows || !strcmp(kind, "keeps") ? 50 << 20 : HM_UNKNOWN;
    for (int i = 1; i < order.iterations; i++, s->wall_ns += 1000000) {
        fake_say(hm_proto_sample(s, NULL));
        s->rss_after_bytes += grows && i % 5 ? 100 << 10 : 0;
    }
    fake_say(hm_proto_sample(s, order.want_codes ? &made : NULL));
    if (!strcmp(kind, "twice"))
        fake_say(hm_proto_sample(s, NULL));
    fake_say(json_pack("{s:s}", "type", "done"));
    hm_stored_codes_free(&fed);
    hm_stored_codes_free(&made);
    free(s);
}

/* What goes wrong once the model is open. True: it did. */
static inline bool fake_misbehave(const char *kind)
{
    if (!strcmp(kind, "crash"))
        abort();
    if (!strcmp(kind, "exit")) {
        fprintf(stderr, "something else\nno such device: gpu7\n");
        exit(3);
    }
    if (!strcmp(kind, "hang"))
        for (;;)
            fake_sleep_ms(1000);
    if (!strcmp(kind, "chatter")) /* alive, but never done */
        for (;; fake_sleep_ms(20))
            fake_say(json_pack("{s:s, s:s, s:i, s:i}", "type", "progress", "phase", "generate", "done", 1, "total", 2));
    if (!strcmp(kind, "flood")) {
        static char block[1 << 16];
        memset(block, 'x', sizeof block);
        while (fwrite(block, 1, sizeof block, stdout))
            ;
        exit(0);
    }
    if (!strcmp(kind, "garbage")) {
        puts("Loading model... {\"type\":");
        fflush(stdout);
        return true;
    }
    if (!strcmp(kind, "deep")) {
        for (int i = 0; i < 100000; i++)
            putchar('[');
        putchar('\n');
        fflush(stdout);
        return true;
    }
    if (!strcmp(kind, "error")) {
        hm_error err = {0};
        hm_fail(&err, HM_EABSENT, "the device is busy");
        fake_say(hm_proto_error(&err));
        return true;
    }
    if (!strcmp(kind, "empty")) {
        fake_say(json_pack("{s:s}", "type", "done"));
        return true;
    }
    if (!strcmp(kind, "negative")) {
        fake_say(json_pack("{s:s, s:i, s:i}", "type", "sample", "wall_ns", -5, "frames", 3));
        return true;
    }
    return false;
}

static inline int fake_worker(const char *kind)
{
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        hm_error err;
        json_t *m = NULL;
        if (hm_proto_parse(&m, line, (size_t)n, &err))
            return 9;
        const char *type = hm_proto_type(m);
        if (!strcmp(type, "hello") && getenv("FAKE_BUILD"))
            fake_say(json_pack("{s:s, s:i, s:{s:s}}", "type", "hello", "protocol", 2, "build", "id", getenv("FAKE_BUILD")));
        else if (!strcmp(type, "hello"))
            fake_say(json_pack("{s:s, s:i, s:s}", "type", "hello", "protocol",
                               !strcmp(kind, "future") ? 3
                               : !strcmp(kind, "past") ? 1
                                                       : 2,
                               "name", "fake"));
        else if (!strcmp(type, "open"))
            fake_say(json_pack("{s:s, s:s, s:b, s:i, s:s, s:i}", "type", "opened", "fingerprint", "00112233445566778899aabbccddeeff",
                               "stored_codes", 1, "threads", 1, "isa", "scalar", "codebooks", 8));
        else if (!strcmp(type, "estimate")) /* it does not know */
            fake_say(json_pack("{s:s}", "type", "estimate"));
        else if (!strcmp(type, "estimate"))
            fake_say(json_pack("{s:s}", "type", "estimate")); /* it does not know */
        else if (!strcmp(type, "run") && !fake_misbehave(kind))
            fake_run(kind, m);
        bool end = !strcmp(type, "close");
        json_decref(m);
        if (end)
            break;
    }
    free(line);
    return 0;
}

/* Path of this very program. */
static inline const char *fake_program(void)
{
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return path;
}

/* --arm NAME=this program as a fake worker of that kind; the last four answers stay. */
static inline char *fake_arm(const char *name, const char *kind)
{
    static char text[4][PATH_MAX + 64];
    static int next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "%s=exec '%s' --fake %s", name, fake_program(), kind);
    return out;
}

#endif
