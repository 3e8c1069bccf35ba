/* From the database to the journal: what is stored is what is read, in a fixed order; and how near audio comes to other audio. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/audio/audio.h"
#include "harness/fidelity_run.h"
#include "harness/store_limits.h"
#include "harness/store_query.h"
#include "harness/verdict_store.h"
#include "tests/store_case.h"

static const char session_id[] = "5e551000-0000-4000-8000-000000000001";
static const char *const arm_ids[] = {"a0000000-0000-4000-8000-000000000000", "a0000000-0000-4000-8000-000000000001",
                                      "a0000000-0000-4000-8000-000000000002"};
static const char *const toggles[] = {"kv=concat,attn=scores,flow_steps=10", "kv=prealloc,attn=flash,flow_steps=10",
                                      "kv=prealloc,attn=flash,flow_steps=5"};
static const char *const arm_names[] = {"naive", "best", "steps5"};

static void put_facts(hm_store *store)
{
    hm_error err = {0};
    hm_session_record session = {.machine_id = "m1", .build_id = "b1", .command_line = "hmbench suite short", .options = "{}", .rounds = 2};
    hm_arm_record arms[3];
    snprintf(session.id, sizeof session.id, "%s", session_id);
    for (int i = 0; i < 3; i++) {
        arms[i] = (hm_arm_record){
            .position = i, .name = arm_names[i], .variant = arm_names[i], .toggles = toggles[i], .backend = "cpu", .model = "/m"};
        snprintf(arms[i].id, sizeof arms[i].id, "%s", arm_ids[i]);
    }
    put_store_facts(store, "[Verse one]\nPaper boats, along\n  the gutter[x] rain\n", 1);
    GOOD(hm_store_put_session(store, &session, arms, 3, &err));
}

static void put_run(hm_store *store, int arm, int round, hm_run_status status, int64_t wall_ms, const char *codes, const char *audio)
{
    static hm_sample sample;
    char path[64];
    hm_error err = {0};
    hm_sample_init(&sample);
    sample.wall_ns = wall_ms * 1000000;
    sample.prefill_ns = wall_ms * 100000;
    sample.generate_ns = wall_ms * 600000;
    sample.decode_ns = wall_ms * 200000;
    sample.frames = 125;
    sample.codebooks = 8;
    sample.audio_s = 10;
    sample.peak_unmapped_bytes = 100000000 + round * 1000000;
    snprintf(sample.codes_hash, sizeof sample.codes_hash, "%s", codes);
    snprintf(sample.audio_hash, sizeof sample.audio_hash, "%s", audio);
    sample.spans[0] = (hm_span_total){"generate/frame", 125, 500000000, 1000};
    sample.spans[1] = (hm_span_total){"generate/frame/backbone", 125, 250000000, 900};
    sample.span_count = 2;
    sample.output = (hm_output_comparison){.compared = true,
                                           .codes_equal = !strcmp(codes, "c0de"),
                                           .first_frame = strcmp(codes, "c0de") ? 7 : HM_UNKNOWN,
                                           .differing_codes = 9,
                                           .max_logit_difference = 0.5};
    snprintf(path, sizeof path, "journal_store_%d.wav", arm);
    hm_artifact_record artifact = {.kind = "audio", .path = path, .bytes = 12};
    bool good = status == HM_RUN_OK;
    hm_run_record run = {.session_id = session_id,
                         .arm_id = arm_ids[arm],
                         .case_id = "c1",
                         .model_id = good ? "w1" : NULL,
                         .round = round,
                         .slot = arm,
                         .status = status,
                         .reason = good ? NULL : "it did not answer",
                         .started_utc = "2000-01-01T00:00:00Z",
                         .duration_ns = 5,
                         .warmup = "first",
                         .isa = "avx2",
                         .threads = 2,
                         .memory_available_bytes = 99,
                         .samples = &sample,
                         .sample_count = good,
                         .artifacts = &artifact,
                         .artifact_count = good && !round};
    hm_uuid_text(run.id);
    GOOD(hm_store_put_run(store, &run, &err));
}

static void put_audio(int arm, float noise)
{
    enum {
        N = 4800
    };
    static float planar[2 * N];
    char path[64];
    hm_error err = {0};
    for (int i = 0; i < 2 * N; i++)
        planar[i] = 0.5f * sinf((float)(i % N) * 0.05f) + (i % 2 ? noise : -noise);
    snprintf(path, sizeof path, "journal_store_%d.wav", arm);
    GOOD(hm_audio_write(path, planar, 2, N, 48000, &err));
}

static hm_store *filled_store(const char *path, const char *audio_of_best)
{
    hm_store *store = NULL;
    hm_error err = {0};
    unlink(path);
    GOOD(hm_store_open(&store, path, HM_STORE_CREATE, &err));
    put_facts(store);
    for (int round = 0; round < 2; round++) {
        put_run(store, 0, round, HM_RUN_OK, 4000 + 100 * round, "c0de", "wave");
        put_run(store, 1, round, HM_RUN_OK, 1000 + 50 * round, "c0de", round ? audio_of_best : "wave");
        put_run(store, 2, round, round ? HM_RUN_TIMEOUT : HM_RUN_OK, 800, "0the", "r");
    }
    put_audio(0, 0);
    put_audio(1, 0);
    put_audio(2, 0.005f);
    return store;
}

static const hm_journal_session *read_journal(hm_store *store, hm_journal_data **data)
{
    hm_error err = {0};
    hm_journal_filter filter = {"5e55", NULL};
    GOOD(hm_store_get_journal(store, &filter, data, &err));
    assert_int_equal(hm_journal_data_journal(*data)->session_count, 1);
    return hm_journal_data_journal(*data)->sessions;
}

static void what_is_stored_is_what_the_journal_says(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_journal_data *data;
    hm_store *store = filled_store("journal_store.db", "wave");
    GOOD(hm_session_fidelity(store, session_id, &err));
    const hm_journal_session *s = read_journal(store, &data);
    assert_int_equal(s->arm_count, 3);
    assert_int_equal(s->case_count, 1);
    assert_true(s->synthetic);
    assert_string_equal(s->cases[0].label, "short/plain");
    assert_int_equal(s->cases[0].words, 6);
    assert_string_equal(s->arms[1].changes, "kv=prealloc,attn=flash");
    assert_string_equal(s->arms[2].changes, "flow_steps=5");
    assert_int_equal(s->arms[2].flow_steps, 5);
    const hm_journal_result *naive = hm_journal_at(s, 0, 0), *best = hm_journal_at(s, 1, 0), *steps = hm_journal_at(s, 2, 0);
    assert_int_equal(naive->n, 2);
    assert_true(fabs(naive->wall_ms.mean - 4050) < 1e-9 && fabs(naive->wall_ms.sd - 100 / sqrt(2)) < 1e-9);
    assert_true(fabs(naive->other_ms.mean - 405) < 1e-9);
    assert_true(fabs(naive->mem_mb - 101) < 1e-9);
    assert_int_equal(naive->output, HM_OUTPUT_REFERENCE);
    assert_int_equal(best->output, HM_OUTPUT_EQUAL);
    assert_true(isinf(best->snr_db));
    assert_int_equal(steps->output, HM_OUTPUT_DIFFERENT);
    assert_int_equal(steps->first_frame, 7);
    assert_int_equal(steps->failed, 1);
    assert_true(fabs(steps->snr_db - 20 * log10(0.5 / sqrt(2) / 0.005)) < 0.2);
    assert_int_equal(s->failure_count, 1);
    assert_string_equal(s->failures[0].status, "timeout");
    assert_int_equal(naive->span_count, 2);
    assert_true(fabs(naive->spans[1].total_ms - 250) < 1e-9);
    hm_speed_up up = hm_journal_speed_up(s, 0, 1, 0);
    assert_int_equal(up.n, 2);
    assert_true(fabs(up.ratio - 8100.0 / 2050) < 1e-9);
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

static void rounds_that_disagree_are_called_unstable(void **state)
{
    (void)state;
    hm_journal_data *data;
    hm_store *store = filled_store("journal_store.db", "another");
    assert_int_equal(hm_journal_at(read_journal(store, &data), 1, 0)->output, HM_OUTPUT_UNSTABLE);
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

static char *text_of(hm_store *store)
{
    char *text = NULL;
    size_t size;
    hm_error err = {0};
    hm_journal_data *data;
    read_journal(store, &data);
    FILE *f = open_memstream(&text, &size);
    GOOD(hm_journal_write(hm_journal_data_journal(data), NULL, f, &err));
    fclose(f);
    hm_journal_data_free(&data);
    return text;
}

static void the_same_database_gives_the_same_bytes(void **state)
{
    (void)state;
    hm_store *store = filled_store("journal_store.db", "wave");
    char *a = text_of(store), *b = text_of(store);
    assert_string_equal(a, b);
    assert_non_null(strstr(a, "codes differ from frame 7"));
    assert_non_null(strstr(a, "it did not answer"));
    free(a);
    free(b);
    hm_store_close(&store);
}

static void sessions_that_are_not_there_are_told(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_journal_data *data = NULL;
    hm_store *store = filled_store("journal_store.db", "wave");
    assert_int_equal(hm_store_get_journal(store, &(hm_journal_filter){"beef", NULL}, &data, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "beef"));
    assert_int_equal(hm_store_get_journal(store, &(hm_journal_filter){NULL, "2999-01-01"}, &data, &err), HM_EMISSING);
    assert_null(data);
    GOOD(hm_store_get_journal(store, &(hm_journal_filter){"last", "5e55"}, &data, &err));
    assert_int_equal(hm_journal_data_journal(data)->session_count, 1);
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

static void fidelity_follows_its_formulas(void **state)
{
    (void)state;
    enum {
        N = 5000
    };
    static float r[N], x[N], silence[N];
    for (int i = 0; i < N; i++) {
        r[i] = 0.5f * sinf((float)i * 0.1f);
        x[i] = 0.9f * r[i];
    }
    hm_fidelity f = hm_fidelity_compare(r, N, x, N, 1);
    assert_true(fabs(f.snr_db - 20) < 0.01); /* a tenth off, in time as in magnitude */
    assert_true(fabs(f.spectral_snr_db - 20) < 0.01);
    for (int i = 0; i < N; i++)
        x[i] = 0.5f * cosf((float)i * 0.1f);
    f = hm_fidelity_compare(r, N, x, N, 1);
    assert_true(fabs(f.snr_db + 3) < 0.1); /* a quarter turn: as loud an error as sqrt 2 */
    assert_true(f.spectral_snr_db > 20);   /* which magnitudes do not see */
    f = hm_fidelity_compare(r, N, r, N - 7, 1);
    assert_true(isinf(f.snr_db) && isinf(f.spectral_snr_db));
    assert_true(isnan(hm_fidelity_compare(silence, N, x, N, 1).snr_db));
    assert_true(isnan(hm_fidelity_compare(silence, N, silence, N, 1).snr_db));
}

/* A process with its warm-up and timed generations of these walls, ms; a quarter of each in every phase. */
static void put_generations(hm_store *store, const char *session, const char *arm, int round, const int *walls, int count)
{
    static hm_sample samples[4];
    hm_error err = {0};
    for (int i = 0; i <= count; i++) {
        int64_t wall = 1000000 * (int64_t)(i ? walls[i - 1] : 9000);
        hm_sample_init(&samples[i]);
        samples[i].warmup = i == 0;
        samples[i].wall_ns = wall;
        samples[i].prefill_ns = wall / 4;
        samples[i].generate_ns = wall / 4;
        samples[i].decode_ns = wall / 4;
        samples[i].frames = 125;
        samples[i].audio_s = 10;
    }
    hm_run_record run = {.session_id = session,
                         .arm_id = arm,
                         .case_id = "c1",
                         .model_id = "w1",
                         .round = round,
                         .started_utc = "2000-01-01T00:00:00Z",
                         .warmup = "full",
                         .isa = "avx2",
                         .samples = samples,
                         .sample_count = count + 1};
    hm_uuid_text(run.id);
    GOOD(hm_store_put_run(store, &run, &err));
}

static void a_process_is_one_value_however_many_generations_it_timed(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_journal_data *data;
    hm_journal_filter filter = {"8e55", NULL};
    hm_store *store = filled_store("journal_generations.db", "wave");
    hm_session_record session = {.id = "8e551000-0000-4000-8000-000000000001",
                                 .machine_id = "m1",
                                 .build_id = "b1",
                                 .command_line = "hmbench suite --iters 3",
                                 .options = "{}",
                                 .rounds = 2};
    hm_arm_record arm = {
        .id = "c0000000-0000-4000-8000-000000000000", .name = "naive", .variant = "naive", .toggles = "", .backend = "cpu", .model = "/m"};
    GOOD(hm_store_put_session(store, &session, &arm, 1, &err));
    put_generations(store, session.id, arm.id, 0, (const int[]){100, 500, 120}, 3);
    put_generations(store, session.id, arm.id, 1, (const int[]){130, 170}, 2);
    put_generations(store, session.id, arm.id, -1, (const int[]){7000}, 1); /* a cold start */
    GOOD(hm_store_get_journal(store, &filter, &data, &err));
    const hm_journal_session *s = hm_journal_data_journal(data)->sessions;
    const hm_journal_result *x = hm_journal_at(s, 0, 0);
    assert_int_equal(x->n, 2);
    assert_int_equal(x->wall_ms.n, 2);
    assert_true(fabs(x->wall_by_round_ms[0] - 120) < 1e-9 && fabs(x->wall_by_round_ms[1] - 150) < 1e-9);
    assert_true(fabs(x->wall_ms.mean - 135) < 1e-9 && fabs(x->wall_ms.sd - 30 / sqrt(2)) < 1e-9);
    assert_true(fabs(x->prefill_ms.mean - 135 / 4.0) < 1e-9);
    assert_true(fabs(x->prefill_ms.mean + x->generate_ms.mean + x->decode_ms.mean + x->other_ms.mean - x->wall_ms.mean) < 1e-9);
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

/* One round of six the other way round is no reason to call a step nothing when its interval is on one side of 1. */
static void a_step_is_called_noise_by_its_interval(void **state)
{
    (void)state;
    static const int naive[] = {200, 202, 198, 201, 199, 200, 203, 197}, best[] = {100, 102, 98, 101, 99, 210, 103, 97};
    hm_error err = {0};
    hm_journal_data *data;
    hm_journal_filter filter = {"ae55", NULL};
    hm_store *store = filled_store("journal_steps.db", "wave");
    hm_session_record session = {.id = "ae551000-0000-4000-8000-000000000001",
                                 .machine_id = "m1",
                                 .build_id = "b1",
                                 .command_line = "hmbench suite",
                                 .options = "{}",
                                 .rounds = 8};
    hm_arm_record arms[2];
    for (int i = 0; i < 2; i++) {
        arms[i] = (hm_arm_record){
            .position = i, .name = arm_names[i], .variant = arm_names[i], .toggles = toggles[i], .backend = "cpu", .model = "/m"};
        snprintf(arms[i].id, sizeof arms[i].id, "e0000000-0000-4000-8000-00000000000%c", '0' + i);
    }
    GOOD(hm_store_put_session(store, &session, arms, 2, &err));
    for (int round = 0; round < 8; round++) {
        put_generations(store, session.id, arms[0].id, round, &naive[round], 1);
        put_generations(store, session.id, arms[1].id, round, &best[round], 1);
    }
    GOOD(hm_store_get_journal(store, &filter, &data, &err));
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    GOOD(hm_journal_write(hm_journal_data_journal(data), NULL, f, &err));
    fclose(f);
    assert_non_null(strstr(text, "x the speed of naive (95 % interval "));
    assert_null(strstr(text, "within the noise"));
    free(text);
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

static void a_verdict_against_stored_sessions_is_shown(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_journal_data *data;
    hm_journal_filter filter = {"9e55", NULL};
    hm_store *store = filled_store("journal_verdicts.db", "wave");
    hm_session_record session = {.id = "9e551000-0000-4000-8000-000000000001",
                                 .machine_id = "m1",
                                 .build_id = "b1",
                                 .command_line = "hmbench gate",
                                 .options = "{}",
                                 .rounds = 1};
    hm_arm_record arm = {
        .id = "d0000000-0000-4000-8000-000000000000", .name = "best", .variant = "best", .toggles = "", .backend = "cpu", .model = "/m"};
    hm_verdict_record verdict = {.session_id = session.id,
                                 .case_id = "c1",
                                 .base_arm_id = arm_ids[0],
                                 .arm_id = arm.id,
                                 .metric = "wall",
                                 .rounds = 10,
                                 .ratio = 1.5,
                                 .low = 1.25,
                                 .high = 1.75,
                                 .margin = 0.05,
                                 .mde = NAN,
                                 .verdict = "fail"};
    GOOD(hm_store_put_session(store, &session, &arm, 1, &err));
    put_generations(store, session.id, arm.id, 0, (const int[]){100}, 1);
    GOOD(hm_store_put_verdict(store, &verdict, &err));
    GOOD(hm_store_get_journal(store, &filter, &data, &err));
    const hm_journal_session *s = hm_journal_data_journal(data)->sessions;
    assert_int_equal(s->verdict_count, 1);
    assert_string_equal(s->verdicts[0].base, "naive (session 5e551000)");
    assert_string_equal(s->verdicts[0].arm, "best");
    assert_true(isnan(s->verdicts[0].mde) && s->verdicts[0].ratio == 1.5);
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

/* Two models, two variants each, as a suite of songs and speech has them; nothing was measured. */
static void models_of_a_session_stand_apart(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_journal_data *data;
    hm_journal_filter filter = {"7e55", NULL};
    hm_store *store = filled_store("journal_models.db", "wave");
    hm_session_record session = {.id = "7e551000-0000-4000-8000-000000000001",
                                 .machine_id = "m1",
                                 .build_id = "b1",
                                 .command_line = "hmbench suite",
                                 .options = "{}",
                                 .rounds = 1};
    static const char *const names[] = {"naive model=m", "best model=m isa=avx2", "naive model=q", "best model=q"};
    hm_arm_record arms[4];
    for (int i = 0; i < 4; i++) {
        arms[i] = (hm_arm_record){.position = i,
                                  .name = names[i],
                                  .variant = i % 2 ? "best" : "naive",
                                  .toggles = toggles[i % 2],
                                  .backend = "cpu",
                                  .model = i < 2 ? "/m" : "/q"};
        snprintf(arms[i].id, sizeof arms[i].id, "b0000000-0000-4000-8000-00000000000%c", '0' + i);
    }
    GOOD(hm_store_put_session(store, &session, arms, 4, &err));
    hm_limits limits = {.items = {{"cache", "bytes", "avx2", 2, 150, 16 << 20, ""},
                                  {"memory", "bytes", "avx2", 2, 30, 512 << 20, ""},
                                  {"flops", "f32", "avx2", 2, 200, HM_UNKNOWN, "multiply-adds"},
                                  {"flops", "int8", "avx2", 2, 500, HM_UNKNOWN, ""}},
                        .count = 4};
    GOOD(hm_store_put_limits(store, "m1", session.id, &limits, &err));
    GOOD(hm_store_get_journal(store, &filter, &data, &err));
    const hm_journal *j = hm_journal_data_journal(data);
    assert_int_equal(j->session_count, 2);
    for (int m = 0; m < 2; m++) {
        assert_string_equal(j->sessions[m].id, session.id);
        assert_int_equal(j->sessions[m].arm_count, 2);
        assert_string_equal(j->sessions[m].arms[0].name, "naive");
        assert_string_equal(j->sessions[m].arms[1].name, m ? "best" : "best isa=avx2");
        assert_int_equal(j->sessions[m].arms[0].base, -1);
        assert_int_equal(j->sessions[m].arms[1].base, 0);
        assert_true(j->sessions[m].cache_gb_s == 150 && j->sessions[m].memory_gb_s == 30 && j->sessions[m].peak_gflop_s == 200 &&
                    j->sessions[m].peak_int8_gop_s == 500);
        assert_true(fabs(j->sessions[m].cache_mb - 16.777216) < 1e-9);
    }
    hm_journal_data_free(&data);
    const hm_journal_session *other = read_journal(store, &data);
    assert_true(isnan(other->cache_gb_s) && isnan(other->peak_gflop_s) && isnan(other->peak_int8_gop_s));
    hm_journal_data_free(&data);
    hm_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_is_what_the_journal_says),
        cmocka_unit_test(rounds_that_disagree_are_called_unstable),
        cmocka_unit_test(the_same_database_gives_the_same_bytes),
        cmocka_unit_test(sessions_that_are_not_there_are_told),
        cmocka_unit_test(models_of_a_session_stand_apart),
        cmocka_unit_test(fidelity_follows_its_formulas),
        cmocka_unit_test(a_process_is_one_value_however_many_generations_it_timed),
        cmocka_unit_test(a_verdict_against_stored_sessions_is_shown),
        cmocka_unit_test(a_step_is_called_noise_by_its_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
