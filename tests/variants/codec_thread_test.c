/* Pieces decoded beside drawing: each once, in order, with all that was ready before its push; failures and stops; threads given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/backend.h"
#include "engine/base/time.h"
#include "engine/session/codec_thread.h"
#include "harness/probe.h"

#define PIECES 50

/* What pieces do: add up what was written for them before they were pushed. */
struct pieces {
    int64_t input[PIECES], sum, done;
    int64_t fail_at;  /* piece; -1: none */
    int64_t sleep_ns; /* in each */
    int64_t until;    /* progress told by each, 0: none */
    const hm_device *drawing;
    bool on_another; /* device than the one that draws */
};

static void work(void *self, hm_ctx *c, int64_t piece)
{
    struct pieces *p = self;
    assert_int_equal(piece, p->done);
    p->sum += p->input[piece];
    p->on_another |= c->dev != p->drawing;
    float *scratch = c->ops.alloc(&c->ops, 64); /* operations count where they run */
    c->ops.fill(&c->ops, scratch, 1, 16);
    c->ops.free(&c->ops, scratch);
    for (int64_t i = 0; i < p->until && !hm_ops_status(&c->ops); i++) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        hm_progress(c, "decode", i, p->until);
    }
    if (p->sleep_ns)
        nanosleep(&(struct timespec){.tv_nsec = p->sleep_ns}, NULL);
    if (piece == p->fail_at)
        hm_fail(&c->error, HM_EINVALID, "piece %d is broken", (int)piece);
    p->done++;
}

static hm_ctx *open_ctx(int threads, const hm_probe *probe)
{
    hm_error err = {0};
    hm_ctx *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->probe = probe;
    assert_int_equal(hm_backend_open(c, NULL, &(hm_device_options){.threads = threads, .isa = HM_ISA_SCALAR}, &err), HM_OK);
    return c;
}

static void close_ctx(hm_ctx *c)
{
    hm_backend_close(c);
    free(c);
}

static void pieces_are_done_once_and_in_order(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++)
        for (int threads = 1; threads <= 3; threads++) {
            struct pieces p = {.fail_at = -1};
            hm_ctx *c = open_ctx(threads, NULL);
            const hm_device *whole = c->dev;
            hm_codec_thread *t = NULL;
            hm_error err = {0};
            int64_t next = 0, overlapped = 0, sum = 0;
            assert_int_equal(hm_codec_thread_start(&t, c, own, work, &p, &err), HM_OK);
            p.drawing = c->dev;
            assert_int_equal(c->dev != whole, own && threads > 1); /* it draws with what the decoder leaves */
            assert_ptr_equal(c->ops.dev, c->dev);
            for (int64_t i = 0; i < PIECES; i++) {
                p.input[i] = i * i;
                sum += i * i;
                if (i % 3 == 0)
                    hm_codec_thread_push(t, i + 1);
            }
            hm_codec_thread_finish(&t, &next, &overlapped);
            assert_null(t);
            assert_ptr_equal(c->dev, whole);
            assert_ptr_equal(c->ops.dev, whole);
            assert_int_equal(next, p.done);
            assert_true(next <= PIECES && (own || next == PIECES - 1)); /* the last piece was never pushed */
            assert_true(overlapped >= 0);
            assert_int_equal(p.on_another, own && p.done > 0);
            for (int64_t i = next; i < PIECES; i++)
                work(&p, c, i);
            assert_int_equal(p.sum, sum);
            assert_int_equal(c->counters.launches, PIECES);
            assert_int_equal(hm_ops_status(&c->ops), HM_OK);
            close_ctx(c);
        }
}

static int64_t count_of(const hm_recorder *r, const char *path)
{
    int count, node = hm_recorder_find(r, path);
    return node < 0 ? 0 : hm_recorder_nodes(r, &count)[node].count;
}

/* Both threads tell spans at the same time, each to its own recorder. */
static void spans_of_the_decoder_go_to_the_probe_beside(void **state)
{
    (void)state;
    hm_recorder *beside = NULL, *r = NULL;
    hm_error err = {0};
    hm_recorder_options o = {.kinds = HM_SPAN_ANY, .span_kinds = HM_SPAN_ANY, .capacity = 4096};
    assert_int_equal(hm_recorder_open(&beside, &o, &err), HM_OK);
    o.beside = beside;
    assert_int_equal(hm_recorder_open(&r, &o, &err), HM_OK);
    struct pieces p = {.fail_at = -1, .sleep_ns = 100000};
    hm_ctx *c = open_ctx(4, hm_recorder_probe(r));
    hm_codec_thread *t = NULL;
    int64_t next = 0, overlapped = 0;
    float *scratch = c->ops.alloc(&c->ops, 1 << 20);
    assert_int_equal(hm_codec_thread_start(&t, c, true, work, &p, &err), HM_OK);
    p.drawing = c->dev;
    for (int64_t i = 0; i < PIECES; i++) {
        c->ops.fill(&c->ops, scratch, 1, 1 << 18);
        hm_codec_thread_push(t, i + 1);
    }
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* the thread may not have run yet */
    hm_codec_thread_finish(&t, &next, &overlapped);
    c->ops.free(&c->ops, scratch);
    assert_true(p.done > 0);
    assert_int_equal(count_of(beside, "fill"), p.done);
    assert_true(count_of(beside, "wait for frames") > 0);
    assert_int_equal(count_of(beside, "wait for decoder"), 0);
    assert_int_equal(count_of(r, "fill"), PIECES);
    assert_true(count_of(r, "fill/wait for team") <= PIECES); /* of those that others were not done with */
    assert_int_equal(count_of(r, "wait for decoder"), 1);
    assert_int_equal(count_of(r, "wait for frames"), 0);
    assert_int_not_equal(hm_recorder_thread(r), hm_recorder_thread(beside));
    assert_int_equal(hm_recorder_unmatched(r) + hm_recorder_unmatched(beside), 0);
    close_ctx(c);
    hm_recorder_close(&r);
    hm_recorder_close(&beside);
}

static void time_spent_beside_drawing_is_told(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct pieces p = {.fail_at = -1, .sleep_ns = 3000000};
        hm_ctx *c = open_ctx(2, NULL);
        hm_codec_thread *t = NULL;
        hm_error err = {0};
        int64_t next = 0, overlapped = 0, begun = hm_now_ns();
        assert_int_equal(hm_codec_thread_start(&t, c, own, work, &p, &err), HM_OK);
        hm_codec_thread_push(t, 2);
        if (own)
            nanosleep(&(struct timespec){.tv_nsec = 40000000}, NULL);
        int64_t drawn = hm_now_ns();
        hm_codec_thread_finish(&t, &next, &overlapped);
        assert_true(overlapped <= drawn - begun + 1000000);
        if (!own)
            assert_true(overlapped >= 6000000);
        close_ctx(c);
    }
}

static void a_piece_that_fails_is_the_last(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct pieces p = {.fail_at = 4};
        hm_ctx *c = open_ctx(2, NULL);
        hm_codec_thread *t = NULL;
        hm_error err = {0};
        int64_t next = 0, overlapped = 0;
        assert_int_equal(hm_codec_thread_start(&t, c, own, work, &p, &err), HM_OK);
        hm_codec_thread_push(t, PIECES);
        int64_t patience = hm_now_ns() + 10000000000;
        while (!hm_ops_status(&c->ops) && hm_now_ns() < patience) /* drawing learns of it at a push */
            hm_codec_thread_push(t, PIECES);
        assert_int_equal(hm_ops_status(&c->ops), HM_EINVALID);
        assert_string_equal(c->error.text, "piece 4 is broken");
        hm_codec_thread_finish(&t, &next, &overlapped);
        assert_int_equal(p.done, 5);
        assert_string_equal(c->error.text, "piece 4 is broken");
        close_ctx(c);
    }
}

static int stop_after_50_ms(void *self, const char *phase, int64_t done, int64_t total)
{
    int64_t *first = self;
    assert_string_equal(phase, "decode");
    assert_true(done < total);
    if (!*first)
        *first = hm_now_ns();
    return hm_now_ns() - *first > 50000000;
}

/* The piece would take 20 s; who waits for it tells how far it is and is asked whether to go on. */
static void waiting_for_a_piece_can_be_interrupted(void **state)
{
    struct pieces p = {.fail_at = -1, .until = 10000};
    int64_t first = 0, next = 0, overlapped = 0;
    hm_probe probe = {.self = &first, .progress = stop_after_50_ms};
    hm_ctx *c = open_ctx(1, &probe);
    hm_codec_thread *t = NULL;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_codec_thread_start(&t, c, true, work, &p, &err), HM_OK);
    hm_codec_thread_push(t, 1);
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    int64_t begun = hm_now_ns();
    hm_codec_thread_finish(&t, &next, &overlapped);
    assert_true(hm_now_ns() - begun < 10000000000);
    assert_int_equal(hm_ops_status(&c->ops), p.done ? HM_EINTERRUPTED : HM_OK);
    close_ctx(c);
}

/* Drawing has failed: nobody wants the piece any more. */
static void a_failure_of_drawing_stops_the_piece(void **state)
{
    struct pieces p = {.fail_at = -1, .until = 10000};
    int64_t next = 0, overlapped = 0;
    hm_ctx *c = open_ctx(2, NULL);
    hm_codec_thread *t = NULL;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_codec_thread_start(&t, c, true, work, &p, &err), HM_OK);
    hm_codec_thread_push(t, 2);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    hm_fail(&c->error, HM_EINVALID, "drawing is broken");
    int64_t begun = hm_now_ns();
    hm_codec_thread_finish(&t, &next, &overlapped);
    assert_true(hm_now_ns() - begun < 10000000000);
    assert_string_equal(c->error.text, "drawing is broken"); /* the first failure, not what came of it */
    close_ctx(c);
}

static void nothing_open_is_nothing_to_finish(void **state)
{
    hm_codec_thread *t = NULL;
    int64_t next = 7, overlapped = 7;
    (void)state;
    hm_codec_thread_finish(&t, &next, &overlapped);
    assert_int_equal(next + overlapped, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_done_once_and_in_order),           cmocka_unit_test(time_spent_beside_drawing_is_told),
        cmocka_unit_test(spans_of_the_decoder_go_to_the_probe_beside), cmocka_unit_test(a_piece_that_fails_is_the_last),
        cmocka_unit_test(waiting_for_a_piece_can_be_interrupted),      cmocka_unit_test(a_failure_of_drawing_stops_the_piece),
        cmocka_unit_test(nothing_open_is_nothing_to_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
