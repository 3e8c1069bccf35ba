/* verify over the golden folder of Whisper: everything is there, and a wrong value is found. */
#define _GNU_SOURCE
#include "tests/cli_case.h"

#define GOLDENS HM_TEST_DATA "/goldens/whisper"

static void all_goldens_are_met(void **state)
{
    (void)state;
    hm_run run = run_program("verify", (char *)GOLDENS, "--variant", "naive");
    if (run.code)
        print_error("%s", run.out);
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "compared, 0 missed"));
    assert_non_null(strstr(run.out, "resampled.C.every37"));
    assert_non_null(strstr(run.out, "mel.A.c30.1.edge"));
    assert_non_null(strstr(run.out, "enc.B.c30.0.out_last2"));
    assert_non_null(strstr(run.out, "A.c30.0.beam2.tokens"));
    assert_non_null(strstr(run.out, "A.timestamps30.beams1"));
    assert_non_null(strstr(run.out, "B.seek0.beams1"));
    static const char *const units[] = {"mel_filters", "merge.25",  "decode_asr_timestamps.4",
                                        "ts_rules.9",  "decode.13", "compression_ratio.7"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strstr(run.out, units[i]))
            fail_msg("verify says nothing of %s", units[i]);
    run_free(&run);
}

/* One token of one window, one ratio and one chunk are other ones. */
static void wrong_goldens_are_told(void **state)
{
    char command[512];
    (void)state;
    snprintf(command, sizeof command,
             "cp -r '%s' '%s/wrong' && chmod -R u+w '%s/wrong' && cd '%s/wrong' && "
             "sed -i 's/\"ratio\":6.153846153846154/\"ratio\":6.2/' units.json && "
             "sed -i 's/\\[67,5,350/[68,5,350/' expected.json",
             GOLDENS, folder, folder, folder);
    assert_int_equal(system(command), 0);
    hm_run run = run_program("verify", in_folder("wrong"), "--variant", "naive");
    assert_int_equal(run.code, 5);
    assert_non_null(strstr(run.out, "differs"));
    assert_null(strstr(run.out, ", 0 missed"));
    run_free(&run);
}

static void formats_keep_to_their_bounds(void **state)
{
    static const char *const formats[] = {"f16", "bf16", "fp8", "int8", "int4", "fp4"};
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        hm_run run = run_program("verify", (char *)GOLDENS, "--variant", "best", "--precision", (char *)formats[i]);
        if (run.code)
            fail_msg("%s: %s", formats[i], run.out);
        assert_non_null(strstr(run.out, ", 0 missed"));
        assert_non_null(strstr(run.out, "dec.A.c30.0.first_logits"));
        assert_null(strstr(run.out, "beams"));
        run_free(&run);
    }
}

/* Logits of another window, and a first token that is surely another one. */
static void wrong_values_are_no_loss_of_a_format(void **state)
{
    char command[600];
    (void)state;
    snprintf(
        command, sizeof command,
        "cp -r '%s' '%s/swapped' && chmod -R u+w '%s/swapped' && cd '%s/swapped' && sed -i 's/\\[67,5,350/[68,5,350/' expected.json && "
        "sed -i 's/A.c30.0.first_logits/swapped/g; s/A.c30.1.first_logits/A.c30.0.first_logits/g; s/swapped/A.c30.1.first_logits/g' "
        "model_seed1.json",
        GOLDENS, folder, folder, folder);
    assert_int_equal(system(command), 0);
    hm_run run = run_program("verify", in_folder("swapped"), "--variant", "best", "--precision", "int8", "--misses");
    assert_int_equal(run.code, 5);
    assert_non_null(strstr(run.out, "dec.A.c30.0.first_logits"));
    run_free(&run);
    run = run_program("verify", in_folder("swapped"), "--variant", "best", "--precision", "f16", "--misses");
    assert_int_equal(run.code, 5);
    assert_non_null(strstr(run.out, "greedy.tokens"));
    run_free(&run);
}

static int open_case(void **state)
{
    (void)state;
    return make_case_folder_and_cache();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_goldens_are_met),
        cmocka_unit_test(wrong_goldens_are_told),
        cmocka_unit_test(formats_keep_to_their_bounds),
        cmocka_unit_test(wrong_values_are_no_loss_of_a_format),
    };
    return cmocka_run_group_tests(tests, open_case, remove_folder);
}
