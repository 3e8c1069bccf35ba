#define _GNU_SOURCE
#include "harness/turn.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/env_profile.h"
#include "harness/machine.h"

static const int64_t SECOND = 1000000000, GRACE_NS = 2000000000;

/* A conversation with a worker. */
typedef struct talk {
    hm_process *process;
    int64_t deadline_ns, timeout_ns;
    const hm_turn_hooks *hooks;
    hm_run_status status;
    char reason[512];
    hm_status said; /* code of the worker's "error" */
} talk;

__attribute__((format(printf, 3, 4))) static void give_up(talk *l, hm_run_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->reason, sizeof l->reason, format, args);
    va_end(args);
    l->status = status;
}

static void crashed(talk *l)
{
    int code = 0;
    char words[400];
    snprintf(words, sizeof words, "%s", hm_process_last_words(l->process));
    hm_process_end(&l->process, SECOND, &code);
    if (code > 128)
        give_up(l, HM_RUN_CRASH, "worker was ended by signal %d (%s)%s%s", code - 128, strsignal(code - 128), *words ? ": " : "", words);
    else
        give_up(l, HM_RUN_CRASH, "worker ended with exit code %d before its answer%s%s", code, *words ? ": " : "", words);
}

/* The next message but progress; NULL: status and reason say why. New reference. */
static json_t *next_message(talk *l)
{
    const char *line;
    size_t size;
    for (;;) {
        hm_error err = {0};
        json_t *message = NULL;
        switch (hm_process_read(l->process, l->deadline_ns, l->hooks->stop, &line, &size)) {
        case HM_READ_LINE:
            break;
        case HM_READ_END:
            crashed(l);
            return NULL;
        case HM_READ_TIMEOUT:
            give_up(l, HM_RUN_TIMEOUT, "worker gave no answer within %.0f s and was ended", (double)l->timeout_ns * 1e-9);
            return NULL;
        case HM_READ_FLOOD:
            give_up(l, HM_RUN_GARBAGE, "worker sent more than %zu MB without an end and was ended", HM_LINE_MAX >> 20);
            return NULL;
        default:
            give_up(l, HM_RUN_INTERRUPTED, "interrupted");
            return NULL;
        }
        if (hm_proto_parse(&message, line, size, &err)) {
            give_up(l, HM_RUN_GARBAGE, "worker sent garbage: %.400s", err.text);
            return NULL;
        }
        if (strcmp(hm_proto_type(message), "progress"))
            return message;
        const char *phase = json_string_value(json_object_get(message, "phase"));
        if (l->hooks->progress && phase)
            l->hooks->progress(l->hooks->self, phase, json_integer_value(json_object_get(message, "done")),
                               json_integer_value(json_object_get(message, "total")));
        json_decref(message);
    }
}

/* The next message, which has to be of this type. */
static json_t *expect(talk *l, const char *type)
{
    json_t *message = next_message(l);
    if (!message)
        return NULL;
    const char *found = hm_proto_type(message);
    if (!strcmp(found, type))
        return message;
    if (!strcmp(found, "error")) {
        const char *text = json_string_value(json_object_get(message, "text"));
        l->said = (hm_status)json_integer_value(json_object_get(message, "code"));
        give_up(l, HM_RUN_FAILED, "%.500s", text ? text : "the worker reported an error without a text");
    } else {
        give_up(l, HM_RUN_GARBAGE, "worker sent \"%.40s\" where \"%s\" was expected", found, type);
    }
    json_decref(message);
    return NULL;
}

/* Takes the reference. False: status and reason say why. */
static bool tell(talk *l, json_t *message)
{
    hm_error err = {0};
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (!text) {
        give_up(l, HM_RUN_FAILED, "a message to the worker could not be put into JSON: a text is not UTF-8");
        return false;
    }
    hm_status st = hm_process_send(l->process, text, strlen(text), &err);
    free(text);
    if (!st)
        return true;
    crashed(l); /* it takes nothing because it is gone, or is made to go */
    return false;
}

/* What is started: the arm's program, within its environment. */
static void arguments(char *argv[HM_ENV_MOST + 8], const hm_plan_arm *arm, char *program, char room[HM_ENV_TEXT])
{
    char *const own[] = {program, "worker", NULL}, *const other[] = {"/bin/sh", "-c", (char *)arm->command, NULL};
    /* another build has modules of its own: ours would be what is measured */
    char *const build_of[] = {"/bin/sh", "-c", "unset HMBENCH_MODULES; exec \"$0\" worker", (char *)arm->program, NULL};
    char *const *command = arm->command ? other : arm->program && strcmp(arm->program, program) ? build_of : own;
    const char *words[HM_ENV_MOST + 1];
    int n = 0;
    if (hm_env_profile_words(arm->env_profile, words, room))
        argv[n++] = "/usr/bin/env";
    for (int i = 0; words[i]; i++)
        argv[n++] = (char *)words[i];
    for (int i = 0; command[i]; i++)
        argv[n++] = command[i];
    argv[n] = NULL;
}

/* Starts the arm's program and greets it. It has to know the task, if it tells which ones it knows. build: what it was built from, or NULL. */
static bool greet(talk *l, const hm_plan_arm *arm, const char *task, hm_build_record *build)
{
    hm_hello hello;
    char program[PATH_MAX];
    hm_error err = {0};
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    char *argv[HM_ENV_MOST + 8];
    char room[HM_ENV_TEXT];
    arguments(argv, arm, program, room);
    l->deadline_ns = hm_clock_now(hm_clock_real()) + l->timeout_ns;
    if (hm_process_start(&l->process, argv, &err)) {
        give_up(l, HM_RUN_FAILED, "%s", err.text);
        return false;
    }
    json_t *answer = tell(l, hm_proto_hello()) ? expect(l, "hello") : NULL;
    if (answer && hm_proto_read_hello(answer, &hello, &err))
        give_up(l, HM_RUN_GARBAGE, "%s", err.text);
    else if (answer && !hm_hello_knows(&hello, task))
        give_up(l, HM_RUN_FAILED, "%s does %s alone, the case asks for %s", *hello.name ? hello.name : "this program", hello.tasks, task);
    else if (answer && build)
        *build = hello.build;
    json_decref(answer);
    return l->status == HM_RUN_OK;
}

static hm_open_order open_order(const hm_plan_arm *arm, bool skip_codec)
{
    return (hm_open_order){.variant = arm->variant[0] ? arm->variant : NULL,
                           .model = arm->model,
                           .backend = arm->backend,
                           .isa = arm->isa[0] ? arm->isa : NULL,
                           .device = arm->device[0] ? arm->device : NULL,
                           .threads = arm->threads,
                           .encoders = !strcmp(arm->look.kind ? arm->look.kind : "", "base"),
                           .skip_codec = skip_codec};
}

/* All of it, even for codes alone: the fingerprint is that of the parts that are open. */
static bool open_model(talk *l, const hm_plan_arm *arm, bool timestamps, hm_turn *out)
{
    hm_error err = {0};
    hm_open_order open = open_order(arm, false);
    open.timestamps = timestamps;
    json_t *answer = tell(l, hm_proto_open(&open, "open", NULL)) ? expect(l, "opened") : NULL;
    if (!answer)
        return false;
    if (hm_proto_read_opened(answer, &out->opened, &err))
        give_up(l, HM_RUN_GARBAGE, "%s", err.text);
    else
        out->was_opened = true;
    json_decref(answer);
    return out->was_opened;
}

/* Room for samples of a turn. */
static int most_samples(const hm_run_order *order)
{
    return HM_TURN_WARMUPS + (order->iterations > 1 ? order->iterations : 1);
}

/* One more sample: warm-ups first, then at most as many timed ones as were asked for. False: status and reason say why not. */
static bool take_sample(talk *l, const json_t *message, const hm_run_order *order, hm_turn *out, int64_t told_ns, int *timed)
{
    hm_error err = {0};
    hm_stored_codes made = {0};
    hm_sample *s = &out->samples[out->sample_count];
    if (out->sample_count == most_samples(order) || *timed == most_samples(order) - HM_TURN_WARMUPS) {
        give_up(l, HM_RUN_GARBAGE, "worker sent more samples than it was asked for");
    } else if (hm_proto_read_sample(message, order, hm_clock_now(hm_clock_real()) - told_ns, s, &made, &err)) {
        give_up(l, HM_RUN_GARBAGE, "%s", err.text);
    } else if (s->warmup && *timed) {
        give_up(l, HM_RUN_GARBAGE, "worker sent a warm-up after a timed sample");
    } else {
        if (made.codes && !s->codes_hash[0]) /* another program need not know our hash */
            hm_hash_text(s->codes_hash, made.codes, (size_t)made.frames * (size_t)made.codebooks * 4);
        out->sample_count++;
        *timed += !s->warmup;
        hm_stored_codes_free(&out->made);
        out->made = made;
        return true;
    }
    hm_stored_codes_free(&made);
    return false;
}

/* Samples until "done". A program that knows of no iterations sends one. */
static bool take_samples(talk *l, const hm_run_order *order, hm_turn *out, int64_t told_ns)
{
    int timed = 0;
    for (;;) {
        json_t *message = next_message(l);
        if (!message)
            return false;
        const char *type = hm_proto_type(message), *text = json_string_value(json_object_get(message, "text"));
        bool done = !strcmp(type, "done");
        if (done && !timed)
            give_up(l, HM_RUN_GARBAGE, "worker says it is done and sent no timed sample");
        else if (!strcmp(type, "error"))
            give_up(l, HM_RUN_FAILED, "%.500s", text ? text : "the worker reported an error without a text");
        else if (!strcmp(type, "sample"))
            take_sample(l, message, order, out, told_ns, &timed);
        else if (!done)
            give_up(l, HM_RUN_GARBAGE, "worker sent \"%.40s\" where a sample was expected", type);
        json_decref(message);
        if (done || l->status != HM_RUN_OK)
            return l->status == HM_RUN_OK;
    }
}

static hm_status converse(talk *l, const hm_plan_arm *arm, hm_run_order *order, hm_turn *out, hm_error *err)
{
    if (!greet(l, arm, order->c.task, &out->build) || !open_model(l, arm, order->timestamps, out))
        return HM_OK;
    hm_status st = l->hooks->opened ? l->hooks->opened(l->hooks->self, &out->opened, order, err) : HM_OK;
    if (st)
        return st;
    int64_t told_ns = hm_clock_now(hm_clock_real());
    if (!tell(l, hm_proto_run(order)) || !take_samples(l, order, out, told_ns))
        return HM_OK;
    tell(l, json_pack("{s:s}", "type", "close"));
    l->status = HM_RUN_OK; /* what is wanted is here; how it leaves does not matter */
    return HM_OK;
}

hm_status hm_turn_run(hm_turn *out, const hm_plan_arm *arm, const hm_run_order *order, int64_t timeout_ns, const hm_turn_hooks *hooks,
                      hm_error *err)
{
    talk l = {.hooks = hooks, .timeout_ns = timeout_ns};
    hm_run_order copy = *order;
    memset(out, 0, sizeof *out);
    out->samples = hm_calloc((size_t)most_samples(order), sizeof *out->samples, "samples", err);
    if (!out->samples)
        return HM_EABSENT;
    out->memory_available_bytes = hm_memory_available();
    hm_utc_text(out->started_utc);
    int64_t start = hm_clock_now(hm_clock_real());
    hm_status st = converse(&l, arm, &copy, out, err);
    hm_process_end(&l.process, l.status == HM_RUN_OK && !st ? GRACE_NS : 0, NULL);
    out->duration_ns = hm_clock_now(hm_clock_real()) - start;
    out->status = l.status;
    memcpy(out->reason, l.reason, sizeof out->reason);
    for (char *c = out->reason; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = ' ';
    if (!st && out->status == HM_RUN_OK && copy.codes)
        hm_output_compare(&out->samples[out->sample_count - 1].output, copy.codes, &out->made);
    return st;
}

void hm_turn_free(hm_turn *turn)
{
    free(turn->samples);
    hm_stored_codes_free(&turn->made);
    memset(turn, 0, sizeof *turn);
}

hm_status hm_turn_estimate(const hm_plan_arm *arm, const hm_case_record *c, int64_t timeout_ns, int64_t *total_bytes, hm_error *err)
{
    static const hm_turn_hooks none = {0};
    talk l = {.hooks = &none, .timeout_ns = timeout_ns};
    hm_open_order open = open_order(arm, false);
    *total_bytes = HM_UNKNOWN;
    json_t *answer = greet(&l, arm, c->task, NULL) && tell(&l, hm_proto_open(&open, "estimate", c)) ? expect(&l, "estimate") : NULL;
    if (answer && json_is_integer(json_object_get(answer, "total_bytes")))
        *total_bytes = json_integer_value(json_object_get(answer, "total_bytes"));
    json_decref(answer);
    if (l.process && l.status == HM_RUN_OK)
        tell(&l, json_pack("{s:s}", "type", "close"));
    hm_process_end(&l.process, l.status == HM_RUN_OK ? GRACE_NS : 0, NULL);
    if (l.said == HM_EUSAGE || l.said == HM_EFORMAT || l.said == HM_EMISSING || l.said == HM_EABSENT)
        return hm_fail(err, l.said, "arm %s: %.400s", arm->name, l.reason);
    return HM_OK;
}
