/* hmbench inspect --memory: figures of shapes alone, their sums, what fits, presets that are not made, refusals; and what a run then takes. */
#define _GNU_SOURCE
#include <math.h>

#include "tests/cli_case.h"

#define TRUST 0.15                      /* stated in docs/memory.md: how far a run's peak may lie from the prediction ... */
#define PROGRAM_BYTES INT64_C(24000000) /* ... and what the program, its libraries and the result take besides */

static int setup(void **state)
{
    (void)state;
    return make_case_folder_and_cache();
}

static json_t *tables_of(hm_run run)
{
    if (run.code)
        fail_msg("exit code %d: %s", run.code, run.err);
    json_t *document = json_loads(run.out, 0, NULL), *tables = json_incref(json_object_get(document, "tables"));
    assert_string_equal(json_string_value(json_object_get(document, "kind")), "memory");
    json_decref(document);
    run_free(&run);
    return tables;
}

static double at(const json_t *tables, const char *table, size_t row, const char *key)
{
    return json_number_value(json_object_get(json_array_get(json_object_get(tables, table), row), key));
}

static void stages_are_the_sums_of_what_the_ledger_says(void **state)
{
    (void)state;
    json_t *t = tables_of(run_program("inspect", "heartmula-tiny", "--memory", "--seconds", "2,4", "--variant", "naive", "-o", "json"));
    assert_int_equal(json_array_size(json_object_get(t, "ledger")), 2);
    for (size_t i = 0; i < 2; i++) {
        double weights = at(t, "ledger", i, "weights_mb"), drawing = at(t, "ledger", i, "kv_mb") + at(t, "ledger", i, "scratch_mb");
        double codec = at(t, "ledger", i, "latents_mb") + at(t, "ledger", i, "vocoder_mb") + at(t, "ledger", i, "audio_mb");
        assert_true(fabs(at(t, "stages", i, "generate_mb") - weights - drawing) < 1e-6);
        assert_true(fabs(at(t, "stages", i, "decode_mb") - weights - codec) < 1e-6);
        assert_true(fabs(at(t, "stages", i, "total_mb") - weights - fmax(drawing, codec)) < 1e-6);
    }
    assert_true(at(t, "ledger", 1, "kv_mb") > at(t, "ledger", 0, "kv_mb"));
    assert_true(fabs(at(t, "ledger", 1, "audio_mb") - 2 * at(t, "ledger", 0, "audio_mb")) < 1e-6);
    json_decref(t);
}

/* Rows of the embedding are gathered as they are stored, and it is the head as well, in a format of its own. */
static void the_head_of_a_whisper_is_its_embedding_again(void **state)
{
    static const struct {
        const char *variant;
        double mapped_mb, weights_mb; /* more than with the first one: of 2014 x 64 values */
    } heads[] = {{"best", 0, 0}, {"best:precision_heads=int8", 2014 * 64 * (1 + 2.0 / 32 - 4) * 1e-6, 0}};
    double mapped = 0, weights = 0;
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        json_t *t = tables_of(
            run_program("inspect", "whisper-test", "--memory", "--seconds", "30,60", "--variant", (char *)heads[i].variant, "-o", "json"));
        mapped = i ? mapped : at(t, "ledger", 0, "mapped_mb");
        weights = i ? weights : at(t, "ledger", 0, "weights_mb");
        if (fabs(at(t, "ledger", 0, "mapped_mb") - mapped - heads[i].mapped_mb) > 2e-3)
            fail_msg("%s: %g MB mapped, %g for the first, expected %g more", heads[i].variant, at(t, "ledger", 0, "mapped_mb"), mapped,
                     heads[i].mapped_mb);
        assert_true(fabs(at(t, "ledger", 0, "weights_mb") - weights - heads[i].weights_mb) < 2e-3);
        assert_true(at(t, "ledger", 1, "kv_mb") > 1.5 * at(t, "ledger", 0, "kv_mb")); /* three windows side by side */
        json_decref(t);
    }
}

static void a_gpu_has_memory_of_its_own(void **state)
{
    (void)state;
    json_t *t = tables_of(
        run_program("inspect", "heartmula-tiny", "--memory", "--seconds", "2,4", "--variant", "best", "--backend", "ze", "-o", "json"));
    for (size_t i = 0; i < 2; i++) {
        double drawing = at(t, "ledger", i, "kv_mb") + at(t, "ledger", i, "scratch_mb");
        double codec = at(t, "ledger", i, "latents_mb") + at(t, "ledger", i, "vocoder_mb"), weights = at(t, "ledger", i, "weights_mb");
        double device = at(t, "stages", i, "device_mb"), host = at(t, "stages", i, "host_mb");
        assert_true(at(t, "ledger", i, "mapped_mb") == 0);
        assert_true(device > weights + fmax(drawing, codec) && device < weights + fmax(drawing, codec) + 10);
        assert_true(host > at(t, "ledger", i, "audio_mb"));
    }
    json_decref(t);
    hm_run run = run_program("inspect", "heartmula-tiny", "--backend", "ze");
    expect_code(&run, 64, "belongs to --memory");
}

static void batches_take_caches_for_each(void **state)
{
    (void)state;
    json_t *one =
        tables_of(run_program("inspect", "qwen3-tts-tiny", "--memory", "--seconds", "4", "--prompt", "20", "-V", "best", "-o", "json"));
    json_t *four = tables_of(run_program("inspect", "qwen3-tts-tiny", "--memory", "--seconds", "4", "--prompt", "20", "-V", "best",
                                         "--batch", "4", "-o", "json"));
    assert_true(fabs(at(four, "ledger", 0, "kv_mb") - 4 * at(one, "ledger", 0, "kv_mb")) < 1e-6);
    assert_true(at(four, "ledger", 0, "weights_mb") == at(one, "ledger", 0, "weights_mb"));
    json_decref(one);
    json_decref(four);
}

/* 3b is 15 GB: nothing of it is made but names and shapes. */
static void a_full_size_is_told_without_being_made(void **state)
{
    (void)state;
    json_t *t = tables_of(run_program("inspect", "heartmula-3b", "--memory", "--seconds", "60,2000", "--variant", "best", "-o", "json"));
    assert_true(at(t, "ledger", 0, "mapped_mb") > 5000 && at(t, "ledger", 0, "mapped_mb") < 30000);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(t, "stages"), 0), "fits_24_gb")), "yes");
    assert_true(json_is_null(json_object_get(json_array_get(json_object_get(t, "stages"), 1), "fits_24_gb"))); /* beyond its positions */
    double fits = at(t, "longest", 0, "seconds_24_gb"), model = at(t, "longest", 0, "seconds_model");
    assert_true(fits > 60 && fits <= model && model < 2000);
    json_decref(t);
    hm_run run = run_program("list", "models");
    assert_int_equal(run.code, 0);
    const char *row = strstr(run.out, "heartmula-3b");
    assert_non_null(row);
    assert_null(memmem(row, strcspn(row, "\n"), "made", 4));
    run_free(&run);
}

/* A run's peak, less mapped pages, against the prediction that its sample carries; caches to the byte. */
static void what_is_predicted_is_what_a_run_takes(void **state)
{
    (void)state;
    static const char text[] = "suite: small\ncases:\n  - {name: a, tags: t, lyrics: l, seconds: 10, flow_steps: 1}\n"
                               "  - {name: b, task: speech, text: hello there all of you, speaker: ryan, language: english, seconds: 5}\n"
                               "  - {name: c, task: transcript, seconds: 40, tokens: 8}\n";
    hm_error err;
    char *yaml = in_folder("small.yaml"), *db = in_folder("small.db");
    assert_int_equal(hm_file_write(yaml, text, sizeof text - 1, &err), HM_OK);
    hm_run run = run_program("suite", yaml, "--db", db, "--rounds", "1", "--variant", "naive,best,best:decode=overlap,best:kv=concat", "-m",
                             "heartmula-mini,qwen3-tts-mini,whisper-mini");
    if (run.code)
        fail_msg("suite: exit code %d: %s%s", run.code, run.out, run.err);
    run_free(&run);
    run = run_program(
        "db", "sql", "--db", db, "-o", "json",
        "SELECT a.name AS arm, c.name AS kase, s.kv_bytes AS kv, s.predicted_kv_bytes AS told_kv, s.peak_unmapped_bytes AS peak, "
        "s.predicted_total_bytes AS told FROM sample s JOIN run r ON r.id = s.run_id JOIN arm a ON a.id = r.arm_id JOIN "
        "suite_case c ON c.id = r.case_id WHERE NOT s.warmup");
    json_t *rows = json_loads(run.out, 0, NULL), *row;
    size_t i;
    json_t *list = json_is_array(rows) ? rows : NULL;
    if (!list || json_array_size(list) < 11) /* decode=overlap is best of a Whisper */
        fail_msg("expected 11 samples: %s%s", run.out, run.err);
    json_array_foreach(list, i, row)
    {
        const char *arm = json_string_value(json_object_get(row, "arm")), *kase = json_string_value(json_object_get(row, "kase"));
        int64_t peak = json_integer_value(json_object_get(row, "peak")), told = json_integer_value(json_object_get(row, "told"));
        if (json_integer_value(json_object_get(row, "kv")) != json_integer_value(json_object_get(row, "told_kv")))
            fail_msg("%s, %s: caches of %lld bytes, predicted %lld", arm, kase, (long long)json_integer_value(json_object_get(row, "kv")),
                     (long long)json_integer_value(json_object_get(row, "told_kv")));
        if ((double)peak < (1 - TRUST) * (double)told || (double)peak > (1 + TRUST) * (double)told + (double)PROGRAM_BYTES)
            fail_msg("%s, %s: a peak of %lld bytes, predicted %lld", arm, kase, (long long)peak, (long long)told);
    }
    json_decref(rows);
    run_free(&run);
}

/* words: split at spaces. */
static void refuse(const char *words, const char *text)
{
    char copy[300], *argv[16] = {0}, *at = copy;
    int n = 0;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word; n < 15 && (word = strsep(&at, " "));)
        argv[n++] = word;
    hm_run run = run_program("inspect", "heartmula-tiny", argv[0], argv[1], argv[2], argv[3]);
    if (run.code != 64 || !strstr(run.err, text))
        fail_msg("inspect %s: expected exit code 64 and \"%s\", got %d: %s", words, text, run.code, run.err);
    run_free(&run);
}

static void what_cannot_be_meant_is_refused(void **state)
{
    (void)state;
    refuse("--memory --seconds 10,", "expected lengths");
    refuse("--memory --seconds 10,x", "expected lengths");
    refuse("--memory --seconds -1", "expected lengths");
    refuse("--memory --seconds nan", "expected lengths");
    refuse("--memory --seconds 1e9", "expected lengths");
    refuse("--memory --seconds 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "at most 32");
    refuse("--memory --batch 0", "--batch");
    refuse("--memory --batch 17", "--batch");
    refuse("--memory --json", "-o json");
    refuse("--memory -o yaml", "yaml");
    refuse("--memory --variant bset", "did you mean \"best\"");
    refuse("--seconds 10,20", "belong to --memory");
    refuse("-o json", "belong to --memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_are_the_sums_of_what_the_ledger_says),
        cmocka_unit_test(the_head_of_a_whisper_is_its_embedding_again),
        cmocka_unit_test(a_gpu_has_memory_of_its_own),
        cmocka_unit_test(batches_take_caches_for_each),
        cmocka_unit_test(a_full_size_is_told_without_being_made),
        cmocka_unit_test(what_is_predicted_is_what_a_run_takes),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
