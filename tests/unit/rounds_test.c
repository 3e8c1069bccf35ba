/* The schedule, on a clock that tests turn; and single turns with workers that misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/rounds.h"
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

typedef struct recording {
    hm_fake_clock clock;
    int64_t each_ns;
    int runs, stop_after;
    int cases[64], arms[64], rounds[64], slots[64];
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
    hm_open_order open = {.variant = "best", .model = "/m", .backend = "cpu", .encoders = true}, open_back;
    m = hm_proto_open(&open, "open", &plain);
    assert_int_equal(hm_proto_read_case(m, &read, &err), HM_OK); /* the published settings stand for what is left out */
    assert_true(read.temperature == 0.9 && read.top_p == 1 && read.repetition_penalty == 1.05 && read.sub_temperature == 0.9 &&
                read.sub_top_p == 1);
    assert_string_equal(read.kind, "custom_voice");
    assert_int_equal(hm_proto_read_open(m, &open_back, &err), HM_OK);
    assert_true(open_back.encoders);
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
                                       cmocka_unit_test(rounds_are_whole_and_in_order),
                                       cmocka_unit_test(no_round_starts_that_would_end_after_the_time_limit),
                                       cmocka_unit_test(what_is_done_is_not_run_again_and_a_stop_ends_the_schedule),
                                       cmocka_unit_test(arms_have_slots_in_the_cases_they_run_only),
                                       cmocka_unit_test(speech_goes_through_the_protocol_whole),
                                       cmocka_unit_test(streams_are_told_and_believed),
                                       cmocka_unit_test(a_good_worker_is_believed),
                                       cmocka_unit_test(fed_codes_are_compared_with_the_drawn_ones),
                                       cmocka_unit_test(misbehaving_workers_are_recorded_and_never_believed),
                                       cmocka_unit_test(a_stop_ends_the_worker_at_once),
                                       cmocka_unit_test(base64_goes_there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
