/* The schedule, on a clock that tests turn; and single turns with workers that misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/case.h"
#include "harness/rounds.h"
#include "harness/steady.h"
#include "harness/turn.h"
#include "tests/fake_worker.h"

static void every_round_runs_every_arm_and_the_next_one_runs_backwards(void **state)
{
    (void)state;
    for (int arms = 1; arms <= 7; arms++)
        for (int round = 0; round < 40; round += 2) {
            int forth[8], back[8];
            unsigned seen = 0;
            hm_rounds_order(HM_ORDER_ABBA, 42, 1, round, arms, forth);
            hm_rounds_order(HM_ORDER_ABBA, 42, 1, round + 1, arms, back);
            for (int i = 0; i < arms; i++) {
                seen |= 1u << forth[i];
                assert_int_equal(forth[i], back[arms - 1 - i]);
            }
            assert_int_equal(seen, (1u << arms) - 1);
        }
}

static void two_arms_take_turns_at_being_first(void **state)
{
    (void)state;
    int first = 0, changes = 0, last = -1;
    for (int round = 0; round < 400; round++) {
        int order[2];
        hm_rounds_order(HM_ORDER_ABBA, 7, 0, round, 2, order);
        first += order[0] == 0;
        if (round % 2 == 0) {
            changes += last >= 0 && order[0] != last;
            last = order[0];
        }
    }
    assert_int_equal(first, 200); /* AB,BA or BA,AB in each pair */
    assert_in_range(changes, 60, 140);
}

static void the_order_depends_on_seed_and_case_alone(void **state)
{
    (void)state;
    int a[6], b[6], differing = 0;
    for (int round = 0; round < 20; round += 2) {
        hm_rounds_order(HM_ORDER_ABBA, 1, 0, round, 6, a);
        hm_rounds_order(HM_ORDER_ABBA, 1, 0, round, 6, b);
        assert_memory_equal(a, b, sizeof a);
        hm_rounds_order(HM_ORDER_ABBA, 2, 0, round, 6, b);
        differing += memcmp(a, b, sizeof a) != 0;
        hm_rounds_order(HM_ORDER_ABBA, 1, 1, round, 6, b);
        differing += memcmp(a, b, sizeof a) != 0;
    }
    assert_in_range(differing, 15, 20);
}

static void orders_have_names_and_mean_what_they_say(void **state)
{
    (void)state;
    int one[5], two[5], fixed[5], reversed = 0, same = 0;
    assert_int_equal(hm_order_parse("abba"), HM_ORDER_ABBA);
    assert_int_equal(hm_order_parse("serial"), HM_ORDER_SERIAL);
    assert_int_equal(hm_order_parse("abab"), -1);
    for (int round = 0; round < 60; round += 2) {
        hm_rounds_order(HM_ORDER_RANDOM, 3, 0, round, 5, one);
        hm_rounds_order(HM_ORDER_RANDOM, 3, 0, round + 1, 5, two);
        bool back = true;
        for (int i = 0; i < 5; i++)
            back = back && one[i] == two[4 - i];
        reversed += back;
        same += !memcmp(one, two, sizeof one);
        hm_rounds_order(HM_ORDER_RANDOM, 3, 0, round, 5, two);
        assert_memory_equal(one, two, sizeof one);
        hm_rounds_order(HM_ORDER_SERIAL, (uint64_t)round, 1, round, 5, fixed);
        for (int i = 0; i < 5; i++)
            assert_int_equal(fixed[i], i);
    }
    assert_true(reversed < 3 && same < 3); /* of 30, 1 in 120 each by chance */
}

typedef struct recording {
    hm_fake_clock clock;
    int64_t each_ns;
    int runs, stop_after;
    int cases[64], arms[64], rounds[64], slots[64];
    int judged, drop_first, decide_case, decide_after; /* rounds judged, of which so many are dropped; a case that ends early */
} recording;

static bool all_wanted(void *self, int c, int arm, int round)
{
    (void)self, (void)c, (void)arm, (void)round;
    return true;
}

static bool but_arm_1_of_round_0(void *self, int c, int arm, int round)
{
    (void)self, (void)c;
    return !(arm == 1 && round == 0);
}

static hm_status record(void *self, int c, int arm, int round, int slot, hm_error *err)
{
    recording *r = self;
    if (r->stop_after && r->runs == r->stop_after)
        return hm_fail(err, HM_EINTERRUPTED, "stop");
    r->cases[r->runs] = c;
    r->arms[r->runs] = arm;
    r->slots[r->runs] = slot;
    r->rounds[r->runs++] = round;
    hm_clock_sleep(&r->clock.clock, r->each_ns);
    return HM_OK;
}

static hm_rounds schedule(recording *r, int rounds)
{
    hm_fake_clock_init(&r->clock, 1000);
    r->each_ns = 10;
    return (hm_rounds){
        .cases = 2, .arms = 3, .rounds = rounds, .seed = 5, .clock = &r->clock.clock, .self = r, .wanted = all_wanted, .run = record};
}

static void rounds_are_whole_and_in_order(void **state)
{
    (void)state;
    recording r = {0};
    hm_error err = {0};
    hm_rounds_outcome done;
    hm_rounds rounds = schedule(&r, 3);
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_int_equal(done.rounds, 3);
    assert_int_equal(r.runs, 18);
    for (int i = 0; i < 18; i++) {
        assert_int_equal(r.rounds[i], i / 6);
        assert_int_equal(r.cases[i], i % 6 / 3);
    }
}

static hm_status drop_some(void *self, int c, int round, bool *drop, hm_error *err)
{
    recording *r = self;
    (void)c, (void)round, (void)err;
    *drop = r->judged++ < r->drop_first;
    return HM_OK;
}

static bool ends_early(void *self, int c, int rounds_done)
{
    const recording *r = self;
    return c == r->decide_case && rounds_done >= r->decide_after;
}

static void a_round_that_is_set_aside_is_run_again_in_the_same_order(void **state)
{
    (void)state;
    recording r = {.drop_first = 2};
    hm_error err = {0};
    hm_rounds_outcome done;
    hm_rounds rounds = schedule(&r, 5);
    rounds.judge = drop_some;
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_int_equal(r.runs, 36);
    for (int i = 0; i < 9; i++) { /* three times case 0 of round 0 */
        assert_true(r.cases[i] == 0 && r.rounds[i] == 0 && r.slots[i] == i % 3);
        assert_int_equal(r.arms[i], r.arms[i % 3]);
    }
    assert_int_equal(r.cases[9], 1);
    assert_true(done.rounds == 5 && done.kept == 10 && done.dropped == 2 && !done.invalid); /* 2 of 12 */
}

static void too_many_rounds_set_aside_end_the_schedule(void **state)
{
    (void)state;
    recording r = {.drop_first = 1000};
    hm_error err = {0};
    hm_rounds_outcome done;
    hm_rounds rounds = schedule(&r, 4);
    rounds.judge = drop_some;
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_true(done.invalid && done.dropped == 3 && done.rounds == 0); /* 3 of 3 + 8 */
    assert_int_equal(r.runs, 9);
    assert_false(hm_rounds_too_many_dropped(1, 1)); /* one alone may be chance */
    assert_false(hm_rounds_too_many_dropped(2, 8));
    assert_true(hm_rounds_too_many_dropped(2, 7));
    r = (recording){.drop_first = 1};
    rounds = schedule(&r, 1);
    rounds.judge = drop_some;
    rounds.dropped = 1; /* before it went on */
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_true(done.invalid && done.dropped == 2);
}

static void a_case_ends_when_it_is_decided_and_the_others_go_on(void **state)
{
    (void)state;
    recording r = {.decide_case = 0, .decide_after = 2};
    hm_error err = {0};
    hm_rounds_outcome done;
    hm_rounds rounds = schedule(&r, 5);
    int of_case[2] = {0};
    rounds.decided = ends_early;
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    for (int i = 0; i < r.runs; i++)
        of_case[r.cases[i]]++;
    assert_true(of_case[0] == 6 && of_case[1] == 15);
    assert_true(done.rounds == 5 && !done.decided);
    r = (recording){.decide_case = 0, .decide_after = 3};
    rounds = schedule(&r, 5);
    rounds.cases = 1;
    rounds.decided = ends_early;
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_true(r.runs == 9 && done.rounds == 3 && done.decided);
}

static void no_round_starts_that_would_end_after_the_time_limit(void **state)
{
    (void)state;
    static const struct {
        int64_t limit;
        int rounds;
    } cases[] = {{1, 1}, {119, 1}, {120, 2}, {179, 2}, {180, 3}, {0, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recording r = {0};
        hm_error err = {0};
        hm_rounds_outcome done;
        hm_rounds rounds = schedule(&r, 5); /* a round takes 6 x 10 ns */
        rounds.max_time_ns = cases[i].limit;
        assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
        assert_int_equal(done.rounds, cases[i].rounds);
        assert_int_equal(r.runs, 6 * cases[i].rounds);
    }
}

static void what_is_done_is_not_run_again_and_a_stop_ends_the_schedule(void **state)
{
    (void)state;
    recording r = {0};
    hm_error err = {0};
    hm_rounds_outcome done;
    hm_rounds rounds = schedule(&r, 2);
    rounds.wanted = but_arm_1_of_round_0;
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_int_equal(r.runs, 10);
    recording stopped = {.stop_after = 8};
    rounds = schedule(&stopped, 2);
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_EINTERRUPTED);
    assert_int_equal(done.rounds, 1);
    assert_int_equal(stopped.runs, 8);
}

/* Arm 1 has nothing to do with case 0, arms 0 and 2 nothing with case 1. */
static bool each_its_own(void *self, int c, int arm)
{
    (void)self;
    return c ? arm == 1 : arm != 1;
}

static void arms_have_slots_in_the_cases_they_run_only(void **state)
{
    (void)state;
    recording r = {0};
    hm_error err = {0};
    int first = 0;
    hm_rounds_outcome done;
    hm_rounds rounds = schedule(&r, 20);
    rounds.applies = each_its_own;
    assert_int_equal(hm_rounds_run(&rounds, &done, &err), HM_OK);
    assert_int_equal(r.runs, 60);
    for (int i = 0; i < 60; i += 3) {
        assert_true(r.cases[i] == 0 && r.cases[i + 1] == 0 && r.cases[i + 2] == 1);
        assert_true(r.arms[i] + r.arms[i + 1] == 2 && r.arms[i] != 1 && r.arms[i + 2] == 1);
        assert_true(r.slots[i] == 0 && r.slots[i + 1] == 1 && r.slots[i + 2] == 0);
        first += r.arms[i] == 0;
    }
    assert_int_equal(first, 10); /* each pair of rounds runs forth and back */
}

static hm_steady_turn turn_at(double ghz, double steal, double throttled)
{
    return (hm_steady_turn){ghz * 1e6, steal, throttled};
}

static void a_turn_is_spoilt_by_what_the_machine_did(void **state)
{
    (void)state;
    const double clocks[] = {3e6, 3e6, 2.9e6, 3.1e6, NAN}, steals[] = {0.05, 0.06, 0.05, NAN, 0.04}, unknown[] = {NAN, NAN, NAN};
    const struct {
        hm_steady_turn turn;
        const char *reason; /* NULL: fine */
    } cases[] = {{turn_at(3, 0.05, 0), NULL},   {turn_at(2.26, 0.05, 0), NULL},   {turn_at(2.2, 0.05, 0), "2.20 GHz, below 75 %"},
                 {turn_at(3, 0.14, 0), NULL},   {turn_at(3, 0.16, 0), "16 % of"}, {turn_at(3, 0.05, 2), "throttled 2 times"},
                 {turn_at(NAN, NAN, NAN), NULL}};
    char reason[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        *reason = 0;
        bool spoilt = hm_steady_spoilt(&cases[i].turn, clocks, steals, 5, reason, sizeof reason);
        if (spoilt != (cases[i].reason != NULL) || (spoilt && !strstr(reason, cases[i].reason)))
            fail_msg("%zu: \"%s\"", i, reason);
    }
    hm_steady_turn slow = turn_at(1, 0.9, NAN);
    assert_false(hm_steady_spoilt(&slow, clocks, steals, 2, reason, sizeof reason)); /* too few for a median */
    assert_false(hm_steady_spoilt(&slow, unknown, unknown, 3, reason, sizeof reason));
}

static void what_the_machine_did_comes_from_the_timed_samples(void **state)
{
    (void)state;
    hm_sample *s = calloc(3, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < 3; i++) {
        hm_sample_init(&s[i]);
        s[i].wall_ns = 1000000000;
    }
    hm_steady_turn t = hm_steady_of(s, 3, 2);
    assert_true(isnan(t.clock_khz) && isnan(t.steal_share) && isnan(t.throttled));
    s[0].warmup = true;
    s[0].clock_khz = 1;
    s[0].throttled = 9;
    s[1].clock_khz = 3000000;
    s[2].clock_khz = 2000000;
    s[2].throttled = 1;
    s[1].steal_ns = 200000000;
    s[2].steal_ns = 0;
    t = hm_steady_of(s, 3, 2);
    assert_true(t.clock_khz == 2000000 && t.throttled == 1);
    assert_float_equal(t.steal_share, 0.05, 1e-9); /* 0.2 s of 2 x 2 s */
    s[1].steal_ns = 40000000;
    t = hm_steady_of(s, 3, 2);
    assert_true(t.steal_share == 0); /* a few ticks are none */
    free(s);
}

/* A CPU that cools down by a degree a second. */
typedef struct cooling {
    hm_fake_clock clock;
    double start_c;
} cooling;

static double cooling_c(void *self)
{
    const cooling *c = self;
    return c->start_c - (double)c->clock.now * 1e-9;
}

static void heat_is_waited_for_as_long_as_it_is_worth(void **state)
{
    (void)state;
    cooling c = {.start_c = 50};
    hm_fake_clock_init(&c.clock, 0);
    hm_settle s = {.clock = &c.clock.clock, .longest_ns = INT64_C(30000000000), .temperature = cooling_c, .self = &c, .hottest = NAN};
    assert_int_equal(hm_settle_wait(&s, true, NULL), 0); /* the first round shows what is usual: 50 degrees */
    assert_int_equal(c.clock.now, 0);
    c.start_c = 53;
    assert_int_equal(hm_settle_wait(&s, false, NULL), 0);
    c.start_c = 60; /* 53 are reached after 7 s */
    int64_t waited = hm_settle_wait(&s, false, NULL);
    assert_in_range(waited, INT64_C(7000000000), INT64_C(7500000000));
    c.start_c = 200;
    waited = hm_settle_wait(&s, false, NULL);
    assert_in_range(waited, INT64_C(30000000000), INT64_C(30500000000));
    s.longest_ns = 0;
    assert_int_equal(hm_settle_wait(&s, false, NULL), 0);
    s = (hm_settle){.clock = &c.clock.clock, .longest_ns = 1000, .hottest = NAN}; /* a machine that shows no temperature */
    assert_int_equal(hm_settle_wait(&s, false, NULL), 0);
}

static bool never(void)
{
    return false;
}

static bool at_once(void)
{
    return true;
}

/* One turn with a worker of this kind; free afterwards. */
static void turn_with(const char *kind, int64_t timeout_ms, bool (*stop)(void), const hm_stored_codes *codes, hm_turn *turn)
{
    char command[PATH_MAX + 64];
    hm_error err = {0};
    snprintf(command, sizeof command, "exec '%s' --fake %s", fake_program(), kind);
    hm_plan_arm *arm = calloc(1, sizeof *arm);
    assert_non_null(arm);
    strcpy(arm->name, kind);
    arm->command = command;
    arm->backend = "command";
    hm_run_order order = {
        .c = {.task = "music", .tags = "t", .lyrics = "l", .frames = 10, .topk = 1, .cfg_scale = 1, .temperature = 1, .seed = 3},
        .warmup = "none",
        .want_codes = true,
        .stream = !strcmp(kind, "late") || !strcmp(kind, "stream"),
        .codes = codes};
    hm_turn_hooks hooks = {.stop = stop};
    if (hm_turn_run(turn, arm, &order, timeout_ms * 1000000, &hooks, &err))
        fail_msg("%s: %s", kind, err.text);
    free(arm);
}

static void a_good_worker_is_believed(void **state)
{
    (void)state;
    hm_turn turn;
    turn_with("good", 20000, never, NULL, &turn);
    if (turn.status != HM_RUN_OK)
        fail_msg("%s", turn.reason);
    assert_int_equal(turn.sample_count, 1);
    assert_int_equal(turn.samples[0].wall_ns, 10000000);
    assert_int_equal(turn.samples[0].frames, 10);
    assert_int_equal(turn.samples[0].peak_rss_bytes, HM_UNKNOWN);
    assert_true(isnan(turn.samples[0].rms));
    assert_int_equal(turn.made.codes[79], 79);
    assert_true(turn.was_opened && turn.opened.stored_codes);
    assert_false(turn.samples[0].output.compared);
    hm_turn_free(&turn);
}

static void fed_codes_are_compared_with_the_drawn_ones(void **state)
{
    (void)state;
    int32_t codes[80];
    float logits[80];
    hm_turn turn;
    for (int i = 0; i < 80; i++) {
        codes[i] = 1000 + i;
        logits[i] = (float)i;
    }
    hm_stored_codes fed = {.frames = 10, .codebooks = 8, .codes = codes, .logits = logits};
    turn_with("good", 20000, never, &fed, &turn);
    assert_int_equal(turn.status, HM_RUN_OK);
    assert_true(turn.samples[0].output.compared && turn.samples[0].output.codes_equal);
    assert_int_equal(turn.samples[0].output.first_frame, HM_UNKNOWN);
    assert_true(turn.samples[0].output.max_logit_difference == 0);
    hm_turn_free(&turn);
    turn_with("drift", 20000, never, &fed, &turn);
    assert_int_equal(turn.status, HM_RUN_OK);
    assert_true(turn.samples[0].output.compared && !turn.samples[0].output.codes_equal);
    assert_int_equal(turn.samples[0].output.first_frame, 3);
    assert_int_equal(turn.samples[0].output.differing_codes, 1);
    assert_true(turn.samples[0].output.max_logit_difference == 0.25);
    hm_turn_free(&turn);
}

static void misbehaving_workers_are_recorded_and_never_believed(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        hm_run_status status;
        const char *reason;
    } cases[] = {{"crash", HM_RUN_CRASH, "signal 6"},
                 {"exit", HM_RUN_CRASH, "no such device: gpu7"},
                 {"hang", HM_RUN_TIMEOUT, "no answer"},
                 {"chatter", HM_RUN_TIMEOUT, "no answer"},
                 {"garbage", HM_RUN_GARBAGE, "garbage"},
                 {"deep", HM_RUN_GARBAGE, "garbage"},
                 {"error", HM_RUN_FAILED, "device is busy"},
                 {"empty", HM_RUN_GARBAGE, "no timed sample"},
                 {"negative", HM_RUN_GARBAGE, "wall_ns"},
                 {"boast", HM_RUN_GARBAGE, "3600"},
                 {"sums", HM_RUN_GARBAGE, "phases"},
                 {"short", HM_RUN_GARBAGE, "9 frames, expected 10"},
                 {"twice", HM_RUN_GARBAGE, "more samples"},
                 {"future", HM_RUN_GARBAGE, "protocol 3"},
                 {"past", HM_RUN_GARBAGE, "protocol 1, expected 2"},
                 {"late", HM_RUN_GARBAGE, "first audio"},
                 {"flood", HM_RUN_GARBAGE, "without an end"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_turn turn;
        bool wait = cases[i].status == HM_RUN_TIMEOUT;
        turn_with(cases[i].kind, wait ? 1500 : 60000, never, NULL, &turn);
        if (turn.status != cases[i].status || !strstr(turn.reason, cases[i].reason))
            fail_msg("%s: expected %s with \"%s\", got %s: %s", cases[i].kind, hm_run_status_name(cases[i].status), cases[i].reason,
                     hm_run_status_name(turn.status), turn.reason);
        hm_turn_free(&turn);
    }
}

static void streams_are_told_and_believed(void **state)
{
    (void)state;
    hm_turn turn;
    turn_with("stream", 20000, never, NULL, &turn);
    if (turn.status != HM_RUN_OK)
        fail_msg("%s", turn.reason);
    assert_int_equal(turn.samples[0].ttfa_ns, 1000000);
    assert_int_equal(turn.samples[0].buffer_ns, 60000000);
    hm_turn_free(&turn);
    turn_with("good", 20000, never, NULL, &turn); /* not asked for: not known */
    assert_int_equal(turn.samples[0].ttfa_ns, HM_UNKNOWN);
    assert_int_equal(turn.samples[0].pieces, HM_UNKNOWN);
    hm_turn_free(&turn);
}

static void speech_goes_through_the_protocol_whole(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_run_order order = {.c = {.task = "speech",
                                .kind = "base",
                                .text = "one \"two\"\n\xC3\xA4",
                                .speaker = "ryan",
                                .language = "german",
                                .instruct = "sadly",
                                .reference = "/a/b.wav",
                                .reference_text = "zero",
                                .frames = 7,
                                .topk = 0,
                                .sub_topk = 9,
                                .streaming_text = 1,
                                .temperature = 0.7,
                                .top_p = 0.8,
                                .repetition_penalty = 1.25,
                                .sub_temperature = 0.6,
                                .sub_top_p = 0.5,
                                .seed = UINT64_MAX},
                          .warmup = "full",
                          .stream = true},
                 back;
    hm_stored_codes codes;
    json_t *m = hm_proto_run(&order);
    if (hm_proto_read_run(m, &back, &codes, &err))
        fail_msg("%s", err.text);
    assert_true(back.stream && !back.want_codes && !back.skip_codec && !back.c.tags);
    const char *const texts[][2] = {{order.c.task, back.c.task},
                                    {order.c.kind, back.c.kind},
                                    {order.c.text, back.c.text},
                                    {order.c.speaker, back.c.speaker},
                                    {order.c.language, back.c.language},
                                    {order.c.instruct, back.c.instruct},
                                    {order.c.reference, back.c.reference},
                                    {order.c.reference_text, back.c.reference_text},
                                    {order.warmup, back.warmup}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_string_equal(texts[i][0], texts[i][1]);
    assert_true(back.c.frames == 7 && back.c.topk == 0 && back.c.sub_topk == 9 && back.c.streaming_text == 1 && back.c.seed == UINT64_MAX);
    assert_true(back.c.temperature == 0.7 && back.c.top_p == 0.8 && back.c.repetition_penalty == 1.25 && back.c.sub_temperature == 0.6 &&
                back.c.sub_top_p == 0.5);
    json_decref(m);
    hm_case_record plain = {.task = "speech",
                            .text = "t",
                            .frames = 1,
                            .temperature = NAN,
                            .top_p = NAN,
                            .repetition_penalty = NAN,
                            .sub_temperature = NAN,
                            .sub_top_p = NAN,
                            .streaming_text = -1,
                            .sub_topk = 50,
                            .topk = 50};
    hm_case_record read;
    hm_open_order open = {.variant = "best", .model = "/m", .backend = "ze", .device = "1", .timestamps = true, .encoders = true},
                  open_back;
    hm_opened said = {.device = "GPU", .device_uuid = "8680", .device_driver = "1.3", .device_memory_bytes = 17, .software = true}, heard;
    m = hm_proto_open(&open, "open", &plain);
    assert_int_equal(hm_proto_read_case(m, &read, &err), HM_OK); /* the published settings stand for what is left out */
    assert_true(read.temperature == 0.9 && read.top_p == 1 && read.repetition_penalty == 1.05 && read.sub_temperature == 0.9 &&
                read.sub_top_p == 1);
    assert_string_equal(read.kind, "custom_voice");
    assert_int_equal(hm_proto_read_open(m, &open_back, &err), HM_OK);
    assert_true(open_back.encoders && open_back.timestamps);
    assert_string_equal(open_back.backend, "ze");
    assert_string_equal(open_back.device, "1");
    json_decref(m);
    m = hm_proto_opened(&said);
    assert_int_equal(hm_proto_read_opened(m, &heard, &err), HM_OK);
    assert_string_equal(heard.device_uuid, "8680");
    assert_string_equal(heard.device_driver, "1.3");
    assert_true(heard.software && heard.device_memory_bytes == 17);
    json_object_set_new(m, "software", json_string("yes"));
    assert_int_equal(hm_proto_read_opened(m, &heard, &err), HM_EFORMAT);
    json_decref(m);
}

static void a_transcript_goes_there_and_back(void **state)
{
    (void)state;
    hm_error err = {0};
    int32_t ids[6] = {1, 2, 3, 4, 5, 6};
    hm_stored_codes codes = {.frames = 6, .codebooks = 1, .codes = ids}, got = {0};
    hm_run_order back, order = {.c = {.task = "transcript",
                                      .recording = "voice",
                                      .recording_path = "/c/voice.wav",
                                      .language = "en",
                                      .frames = 6,
                                      .audio_s = 45,
                                      .chunk_s = 29.5,
                                      .batch = 3,
                                      .window_tokens = 2,
                                      .beams = 4,
                                      .seed = 9},
                                .codes = &codes,
                                .warmup = "first"};
    json_t *m = hm_proto_run(&order);
    assert_int_equal(hm_proto_read_run(m, &back, &got, &err), HM_OK);
    assert_string_equal(back.c.recording, "voice");
    assert_string_equal(back.c.recording_path, "/c/voice.wav");
    assert_string_equal(back.c.language, "en");
    assert_true(back.c.audio_s == 45 && back.c.chunk_s == 29.5 && back.c.batch == 3 && back.c.window_tokens == 2 && back.c.beams == 4);
    assert_true(back.c.frames == 6 && back.c.seed == 9 && !back.c.tags && got.codes[5] == 6);
    hm_stored_codes_free(&got);
    order.c.chunk_s = 0; /* three windows, where two are the fewest */
    order.c.frames = 4;
    json_decref(m);
    m = hm_proto_run(&order);
    assert_int_equal(hm_proto_read_run(m, &back, &got, &err), HM_OK);
    assert_true(back.c.frames == 6 && got.codes[5] == 6 && hm_case_takes(&order.c, 4) && hm_case_takes(&order.c, 6));
    assert_false(hm_case_takes(&order.c, 2) || hm_case_takes(&order.c, 5));
    hm_stored_codes_free(&got);
    static const char *const wrong[][2] = {{"recording", "noise"}, {"audio_s", "long"}, {"beams", "many"}, {"path", NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *other = json_deep_copy(m), *c = json_object_get(other, "case");
        json_object_set_new(c, wrong[i][0], wrong[i][1] ? json_string(wrong[i][1]) : json_integer(1));
        assert_int_equal(hm_proto_read_run(other, &back, &got, &err), HM_EFORMAT);
        json_decref(other);
    }
    json_decref(m);
    order.c.recording = "music";
    order.c.music_model = "/m";
    order.c.tags = "pop";
    order.c.lyrics = "la";
    order.c.topk = 7;
    order.c.temperature = 0.5;
    m = hm_proto_run(&order);
    assert_int_equal(hm_proto_read_run(m, &back, &got, &err), HM_OK);
    assert_string_equal(back.c.recording, "music");
    assert_string_equal(back.c.music_model, "/m");
    assert_string_equal(back.c.lyrics, "la");
    assert_true(back.c.topk == 7 && back.c.temperature == 0.5 && !back.c.recording_path);
    hm_stored_codes_free(&got);
    json_decref(m);
}

static void a_stop_ends_the_worker_at_once(void **state)
{
    (void)state;
    hm_turn turn;
    turn_with("hang", 60000, at_once, NULL, &turn);
    assert_int_equal(turn.status, HM_RUN_INTERRUPTED);
    assert_true(turn.duration_ns < INT64_C(10000000000));
    hm_turn_free(&turn);
}

static void base64_goes_there_and_back(void **state)
{
    (void)state;
    static const char *const texts[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) { /* RFC 4648, section 10 */
        size_t size;
        char *text = hm_base64_encode(texts[i][0], strlen(texts[i][0]));
        assert_string_equal(text, texts[i][1]);
        char *back = hm_base64_decode(text, &size);
        assert_int_equal(size, strlen(texts[i][0]));
        assert_memory_equal(back, texts[i][0], size);
        free(text);
        free(back);
    }
    static const char *const wrong[] = {"Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9\x01", "Zm=v", "Zm9v\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t size;
        void *data = hm_base64_decode(wrong[i], &size);
        if (data)
            fail_msg("\"%s\" was taken", wrong[i]);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_round_runs_every_arm_and_the_next_one_runs_backwards),
                                       cmocka_unit_test(two_arms_take_turns_at_being_first),
                                       cmocka_unit_test(the_order_depends_on_seed_and_case_alone),
                                       cmocka_unit_test(orders_have_names_and_mean_what_they_say),
                                       cmocka_unit_test(rounds_are_whole_and_in_order),
                                       cmocka_unit_test(a_round_that_is_set_aside_is_run_again_in_the_same_order),
                                       cmocka_unit_test(too_many_rounds_set_aside_end_the_schedule),
                                       cmocka_unit_test(a_case_ends_when_it_is_decided_and_the_others_go_on),
                                       cmocka_unit_test(a_turn_is_spoilt_by_what_the_machine_did),
                                       cmocka_unit_test(what_the_machine_did_comes_from_the_timed_samples),
                                       cmocka_unit_test(heat_is_waited_for_as_long_as_it_is_worth),
                                       cmocka_unit_test(no_round_starts_that_would_end_after_the_time_limit),
                                       cmocka_unit_test(what_is_done_is_not_run_again_and_a_stop_ends_the_schedule),
                                       cmocka_unit_test(arms_have_slots_in_the_cases_they_run_only),
                                       cmocka_unit_test(speech_goes_through_the_protocol_whole),
                                       cmocka_unit_test(streams_are_told_and_believed),
                                       cmocka_unit_test(a_good_worker_is_believed),
                                       cmocka_unit_test(fed_codes_are_compared_with_the_drawn_ones),
                                       cmocka_unit_test(misbehaving_workers_are_recorded_and_never_believed),
                                       cmocka_unit_test(a_transcript_goes_there_and_back),
                                       cmocka_unit_test(a_stop_ends_the_worker_at_once),
                                       cmocka_unit_test(base64_goes_there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
