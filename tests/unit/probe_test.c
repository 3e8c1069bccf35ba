/* The span recorder: totals and self time, windows, drops, broken nesting, all on a clock that stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness/probe.h"

static hm_fake_clock fake;

static hm_recorder *open_recorder(hm_recorder_options options)
{
    hm_recorder *r = NULL;
    hm_error err;
    hm_fake_clock_init(&fake, 1000);
    options.clock = &fake.clock;
    assert_int_equal(hm_recorder_open(&r, &options, &err), HM_OK);
    return r;
}

static void begin(hm_recorder *r, hm_span_kind kind, const char *name, int64_t index)
{
    hm_span_begin(hm_recorder_probe(r), kind, name, index);
}

static void end(hm_recorder *r, hm_span_kind kind, const char *name)
{
    hm_span_end(hm_recorder_probe(r), kind, name);
}

/* generate of `frames` frames: 10 ns on its own, then per frame 5 ns, backbone 20 ns with an op of 7 ns in it, sampling 3 ns. */
static void run_generate(hm_recorder *r, int frames)
{
    begin(r, HM_SPAN_PHASE, "generate", -1);
    fake.now += 10;
    for (int f = 0; f < frames; f++) {
        begin(r, HM_SPAN_STEP, "frame", f);
        fake.now += 5;
        begin(r, HM_SPAN_PART, "backbone", -1);
        fake.now += 13;
        begin(r, HM_SPAN_OP, "linear", -1);
        fake.now += 7;
        end(r, HM_SPAN_OP, "linear");
        end(r, HM_SPAN_PART, "backbone");
        begin(r, HM_SPAN_PART, "sampling", -1);
        fake.now += 3;
        end(r, HM_SPAN_PART, "sampling");
        end(r, HM_SPAN_STEP, "frame");
    }
    end(r, HM_SPAN_PHASE, "generate");
}

static const hm_recorder_node *node_at(const hm_recorder *r, const char *path)
{
    int count, node = hm_recorder_find(r, path);
    assert_true(node >= 0);
    return &hm_recorder_nodes(r, &count)[node];
}

static void totals_and_self_times_follow_the_call_tree(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){0});
    run_generate(r, 4);
    assert_int_equal(node_at(r, "generate")->total_ns, 10 + 4 * 28);
    assert_int_equal(node_at(r, "generate")->self_ns, 10);
    assert_int_equal(node_at(r, "generate/frame")->count, 4);
    assert_int_equal(node_at(r, "generate/frame")->total_ns, 4 * 28);
    assert_int_equal(node_at(r, "generate/frame")->self_ns, 4 * 5);
    assert_int_equal(node_at(r, "generate/frame/backbone")->self_ns, 4 * 20); /* ops are not asked for: their time is its own */
    assert_int_equal(node_at(r, "generate/frame/sampling")->max_ns, 3);
    assert_int_equal(hm_recorder_find(r, "generate/frame/backbone/linear"), -1);
    size_t spans;
    hm_recorder_spans(r, &spans);
    assert_int_equal(spans, 0);
    hm_recorder_close(&r);
    assert_null(r);
}

static void the_same_name_under_two_parents_is_two_rows(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){0});
    begin(r, HM_SPAN_PHASE, "prefill", -1);
    begin(r, HM_SPAN_PART, "backbone", -1);
    fake.now += 100;
    end(r, HM_SPAN_PART, "backbone");
    end(r, HM_SPAN_PHASE, "prefill");
    run_generate(r, 1);
    assert_int_equal(node_at(r, "prefill/backbone")->total_ns, 100);
    assert_int_equal(node_at(r, "generate/frame/backbone")->total_ns, 20);
    hm_recorder_close(&r);
}

static void ops_are_recorded_inside_their_window_only(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){.span_kinds = HM_SPAN_PHASE | HM_SPAN_STEP,
                                                         .window_kinds = HM_SPAN_PART | HM_SPAN_OP,
                                                         .windows = {{"frame", 2, 4}},
                                                         .capacity = 100});
    run_generate(r, 6);
    size_t n, kept[9] = {0};
    int nodes;
    const hm_span *spans = hm_recorder_spans(r, &n);
    const hm_recorder_node *node = hm_recorder_nodes(r, &nodes);
    for (size_t i = 0; i < n; i++)
        kept[node[spans[i].node].kind]++;
    assert_int_equal(kept[HM_SPAN_PHASE], 1);
    assert_int_equal(kept[HM_SPAN_STEP], 6);
    assert_int_equal(kept[HM_SPAN_PART], 4);
    assert_int_equal(kept[HM_SPAN_OP], 2);
    assert_int_equal(node_at(r, "generate/frame/backbone")->count, 6);
    assert_int_equal(node_at(r, "generate/frame/backbone/linear")->count, 2);
    hm_recorder_close(&r);
}

static void kept_spans_have_parents_before_children_and_exact_times(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){.span_kinds = ~0u, .capacity = 100});
    run_generate(r, 2);
    size_t n;
    int nodes;
    const hm_span *spans = hm_recorder_spans(r, &n);
    const hm_recorder_node *node = hm_recorder_nodes(r, &nodes);
    assert_int_equal(n, 1 + 2 * 3);
    assert_string_equal(node[spans[0].node].name, "generate");
    assert_int_equal(spans[0].start_ns, 1000);
    assert_int_equal(spans[0].end_ns, 1000 + 10 + 2 * 28);
    assert_int_equal(spans[4].index, 1);
    assert_int_equal(spans[4].start_ns, 1000 + 10 + 28);
    for (size_t i = 1; i < n; i++)
        assert_true(spans[i].start_ns >= spans[i - 1].start_ns && spans[i].depth <= spans[i - 1].depth + 1);
    hm_recorder_close(&r);
}

static void spans_that_do_not_fit_are_counted_and_stay_in_the_totals(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){.span_kinds = ~0u, .capacity = 5});
    run_generate(r, 3);
    size_t n;
    hm_recorder_spans(r, &n);
    assert_int_equal(n, 5);
    assert_int_equal(hm_recorder_dropped(r), 1 + 3 * 3 - 5);
    assert_int_equal(node_at(r, "generate/frame")->count, 3);
    hm_recorder_clear(r);
    assert_int_equal(hm_recorder_dropped(r), 0);
    run_generate(r, 1);
    assert_int_equal(node_at(r, "generate/frame")->count, 1);
    hm_recorder_close(&r);
}

static void a_phase_can_be_a_window_and_a_pause_records_nothing(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){.window_kinds = HM_SPAN_OP, .windows = {{"generate", -1, 0}}, .capacity = 100});
    hm_recorder_pause(r, true);
    assert_int_equal(hm_recorder_probe(r)->wanted, 0);
    run_generate(r, 2);
    int nodes;
    hm_recorder_nodes(r, &nodes);
    assert_int_equal(nodes, 0);
    hm_recorder_pause(r, false);
    run_generate(r, 3);
    assert_int_equal(node_at(r, "generate/frame/backbone/linear")->count, 3);
    assert_int_equal(hm_recorder_unmatched(r), 0);
    hm_recorder_close(&r);
}

static void nesting_beyond_the_limit_is_lost_and_counted(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){.span_kinds = ~0u, .capacity = 200});
    for (int i = 0; i < HM_RECORDER_DEPTH + 3; i++) {
        begin(r, HM_SPAN_PART, "deep", i);
        fake.now++;
    }
    for (int i = 0; i < HM_RECORDER_DEPTH + 3; i++)
        end(r, HM_SPAN_PART, "deep");
    assert_int_equal(hm_recorder_lost(r), 3);
    assert_int_equal(hm_recorder_unmatched(r), 0);
    assert_int_equal(node_at(r, "deep")->total_ns, HM_RECORDER_DEPTH + 3);
    hm_recorder_close(&r);
}

static void names_beyond_the_limit_are_lost_and_counted(void **state)
{
    (void)state;
    static char names[HM_RECORDER_NODES + 10][24];
    hm_recorder *r = open_recorder((hm_recorder_options){.span_kinds = ~0u, .capacity = 10});
    begin(r, HM_SPAN_PHASE, "generate", -1);
    for (int i = 0; i < HM_RECORDER_NODES + 10; i++) {
        snprintf(names[i], sizeof names[i], "name %d", i);
        begin(r, HM_SPAN_PART, names[i], -1);
        fake.now++;
        end(r, HM_SPAN_PART, names[i]);
    }
    end(r, HM_SPAN_PHASE, "generate");
    assert_int_equal(hm_recorder_lost(r), 11);
    assert_int_equal(node_at(r, "generate")->self_ns, 11); /* what was lost is the parent's own time */
    hm_recorder_close(&r);
}

static void ends_without_a_begin_are_counted_and_change_nothing(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){0});
    end(r, HM_SPAN_PHASE, "load");
    begin(r, HM_SPAN_PHASE, "generate", -1);
    end(r, HM_SPAN_PART, "backbone");
    end(r, HM_SPAN_PHASE, "generate");
    assert_int_equal(hm_recorder_unmatched(r), 2);
    assert_int_equal(node_at(r, "generate")->count, 1);
    hm_recorder_close(&r);
}

static void a_span_that_never_ended_keeps_an_open_end(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){.span_kinds = ~0u, .capacity = 4});
    begin(r, HM_SPAN_PHASE, "generate", -1);
    size_t n;
    assert_int_equal(hm_recorder_spans(r, &n)->end_ns, -1);
    assert_int_equal(n, 1);
    hm_recorder_close(&r);
}

static int asked, tapped;

static int inner_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    (void)self, (void)phase, (void)done, (void)total;
    return ++asked;
}

static void inner_tap(void *self, const hm_tap_value *value)
{
    (void)self, (void)value;
    tapped++;
}

static void progress_and_taps_reach_the_inner_probe(void **state)
{
    (void)state;
    hm_probe inner = {.progress = inner_progress, .tap = inner_tap};
    hm_recorder *r = open_recorder((hm_recorder_options){.inner = &inner});
    const hm_probe *p = hm_recorder_probe(r);
    assert_int_equal(p->progress(p->self, "generate", 1, 2), 1);
    p->tap(p->self, &(hm_tap_value){.name = "x"});
    assert_int_equal(tapped, 1);
    hm_recorder_close(&r);
    r = open_recorder((hm_recorder_options){0});
    assert_null(hm_recorder_probe(r)->progress);
    hm_recorder_close(&r);
}

static char inner_spans[200];

static void inner_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    (void)self, (void)index;
    assert_int_equal(kind, HM_SPAN_PHASE);
    strcat(strcat(inner_spans, "+"), name);
}

static void inner_end(void *self, hm_span_kind kind, const char *name)
{
    (void)self;
    assert_int_equal(kind, HM_SPAN_PHASE);
    strcat(strcat(inner_spans, "-"), name);
}

static void the_inner_probe_gets_the_kinds_of_spans_it_wants(void **state)
{
    (void)state;
    hm_probe inner = {.wanted = HM_SPAN_PHASE, .begin = inner_begin, .end = inner_end};
    hm_recorder *r = open_recorder((hm_recorder_options){.inner = &inner});
    const hm_probe *p = hm_recorder_probe(r);
    inner_spans[0] = 0;
    hm_span_begin(p, HM_SPAN_PHASE, "prefill", -1);
    hm_span_end(p, HM_SPAN_PHASE, "prefill");
    hm_span_begin(p, HM_SPAN_PHASE, "generate", -1);
    hm_span_begin(p, HM_SPAN_STEP, "frame", 0);
    hm_span_end(p, HM_SPAN_STEP, "frame");
    hm_span_end(p, HM_SPAN_PHASE, "generate");
    assert_string_equal(inner_spans, "+prefill-prefill+generate-generate");
    hm_recorder_pause(r, true);
    hm_span_begin(p, HM_SPAN_PHASE, "decode", -1);
    hm_span_end(p, HM_SPAN_PHASE, "decode");
    assert_null(strstr(inner_spans, "decode"));
    hm_recorder_close(&r);
}

static void totals_carry_paths_and_tell_how_many_there_are(void **state)
{
    (void)state;
    hm_recorder *r = open_recorder((hm_recorder_options){0});
    hm_span_total totals[2] = {{{0}, 0, 0, 0}};
    run_generate(r, 2);
    assert_int_equal(hm_recorder_totals(r, totals, 2), 4);
    assert_string_equal(totals[1].name, "generate/frame");
    assert_int_equal(totals[1].self_ns, 10);
    hm_recorder_close(&r);
}

/* Frame f takes 100 + f ns. */
static void run_frames(hm_recorder *r, int frames)
{
    for (int f = 0; f < frames; f++) {
        begin(r, HM_SPAN_STEP, "frame", f);
        fake.now += 100 + f;
        end(r, HM_SPAN_STEP, "frame");
    }
}

static void frame_times_are_stretches_of_equal_length_that_sum_up(void **state)
{
    (void)state;
    const struct {
        int frames, stretches, each;
    } cases[] = {{1, 1, 1}, {32, 32, 1}, {33, 17, 2}, {64, 32, 2}, {65, 17, 4}, {750, 24, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_frame_time t[HM_FRAME_TIMES];
        int64_t frames = 0, ns = 0;
        hm_recorder *r = open_recorder((hm_recorder_options){0});
        run_frames(r, cases[i].frames);
        int n = hm_recorder_frame_times(r, t);
        assert_int_equal(n, cases[i].stretches);
        for (int k = 0; k < n; k++) {
            assert_int_equal(t[k].first_frame, (int64_t)k * cases[i].each);
            assert_true(t[k].frames == cases[i].each || (k == n - 1 && t[k].frames < cases[i].each));
            int64_t first = 100 + t[k].first_frame, last = first + t[k].frames - 1;
            assert_int_equal(t[k].total_ns, (first + last) * t[k].frames / 2);
            frames += t[k].frames;
            ns += t[k].total_ns;
        }
        assert_int_equal(frames, cases[i].frames);
        assert_int_equal(ns, node_at(r, "frame")->total_ns);
        hm_recorder_clear(r);
        assert_int_equal(hm_recorder_frame_times(r, t), 0);
        hm_recorder_close(&r);
    }
}

static void the_recorder_beside_is_another_probe_and_knows_its_thread(void **state)
{
    (void)state;
    hm_recorder *decoder = open_recorder((hm_recorder_options){0}), *r = open_recorder((hm_recorder_options){.beside = decoder});
    assert_null(hm_recorder_probe(decoder)->beside);
    assert_int_equal(hm_recorder_thread(r), 0);
    hm_span_begin(hm_recorder_probe(r)->beside, HM_SPAN_STEP, "segment", 0);
    fake.now += 7;
    hm_span_end(hm_recorder_probe(r)->beside, HM_SPAN_STEP, "segment");
    assert_int_equal(node_at(decoder, "segment")->total_ns, 7);
    assert_int_equal(hm_recorder_find(r, "segment"), -1);
    assert_int_not_equal(hm_recorder_thread(decoder), 0);
    assert_int_equal(hm_recorder_thread(r), 0);
    hm_recorder_close(&r);
    hm_recorder_close(&decoder);
}

/* Every look at this clock takes 10 ns: a span is two looks. */
static int64_t ticking(void *self)
{
    return *(int64_t *)self += 10;
}

static void the_cost_of_a_span_is_what_the_clock_says(void **state)
{
    (void)state;
    int64_t now = 0;
    hm_clock clock = {.self = &now, .now_ns = ticking};
    hm_error err;
    for (int kept = 0; kept < 2; kept++) {
        double ns = 0;
        assert_int_equal(hm_recorder_cost(&clock, kept, &ns, &err), HM_OK);
        assert_true(ns > 19.9 && ns < 20.1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_and_self_times_follow_the_call_tree),
        cmocka_unit_test(the_same_name_under_two_parents_is_two_rows),
        cmocka_unit_test(ops_are_recorded_inside_their_window_only),
        cmocka_unit_test(kept_spans_have_parents_before_children_and_exact_times),
        cmocka_unit_test(spans_that_do_not_fit_are_counted_and_stay_in_the_totals),
        cmocka_unit_test(a_phase_can_be_a_window_and_a_pause_records_nothing),
        cmocka_unit_test(nesting_beyond_the_limit_is_lost_and_counted),
        cmocka_unit_test(names_beyond_the_limit_are_lost_and_counted),
        cmocka_unit_test(ends_without_a_begin_are_counted_and_change_nothing),
        cmocka_unit_test(a_span_that_never_ended_keeps_an_open_end),
        cmocka_unit_test(progress_and_taps_reach_the_inner_probe),
        cmocka_unit_test(the_inner_probe_gets_the_kinds_of_spans_it_wants),
        cmocka_unit_test(totals_carry_paths_and_tell_how_many_there_are),
        cmocka_unit_test(frame_times_are_stretches_of_equal_length_that_sum_up),
        cmocka_unit_test(the_recorder_beside_is_another_probe_and_knows_its_thread),
        cmocka_unit_test(the_cost_of_a_span_is_what_the_clock_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
