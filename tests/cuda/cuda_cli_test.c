/* The command line where the driver of NVIDIA cannot be opened, and where it can: on the software device. */
#define _GNU_SOURCE
#include "tests/cli_case.h"

static int without_a_driver(void **state)
{
    (void)state;
    if (make_case_folder_and_cache())
        return -1;
    put("lyrics.txt", "[Verse]\nla\n", 11);
    put("libcuda.so.1", "no library", 10); /* found before any other */
    return setenv("LD_LIBRARY_PATH", folder, 1);
}

#define GENERATE \
    "generate", "--model", "heartmula-tiny", "--tags", "piano", "--lyrics", in_folder("lyrics.txt"), "--seconds", "1", "--backend", "cuda"

static void what_needs_the_device_ends_with_69_and_one_line(void **state)
{
    (void)state;
    hm_run first = run_program(GENERATE, "-o", in_folder("x.wav")); /* makes the model */
    assert_int_equal(first.code, 69);
    run_free(&first);
    assert_fails(run_program(GENERATE, "-o", in_folder("x.wav")), 69, "cuda: ");
    assert_int_equal(files("x.wav"), 0);
}

static void nothing_is_stored_for_a_device_that_is_not_there(void **state)
{
    (void)state;
    hm_run run = run_program("suite", "short", "--backend", "cpu,cuda", "--model", "heartmula-tiny", "--db", in_folder("x.db"), "-q");
    assert_fails(run, 69, "cuda: ");
    assert_int_equal(files("x.db"), 0);
}

static void a_list_of_devices_says_why_there_is_none(void **state)
{
    (void)state;
    hm_run run = run_program("list", "devices");
    assert_int_equal(run.code, 0);
    if (!strstr(run.out, "cuda") || !strstr(run.out, "absent") || !strstr(run.out, "install NVIDIA's driver"))
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

#ifdef HM_CUDA_SOFT
static int with_the_software_device(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%.*s", (int)(strrchr(HM_CUDA_SOFT, '/') - HM_CUDA_SOFT), HM_CUDA_SOFT);
    return setenv("LD_LIBRARY_PATH", path, 1);
}

static void a_device_is_listed_with_what_it_is(void **state)
{
    (void)state;
    hm_run run = run_program("list", "devices");
    assert_int_equal(run.code, 0);
    if (!strstr(run.out, "software device") || strstr(run.out, "libcuda"))
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

static void the_doctor_runs_a_kernel_on_it(void **state)
{
    (void)state;
    hm_run run = run_program("doctor");
    const char *line = strstr(run.out, "cuda 0");
    if (!line || !strstr(line, "computes"))
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

static void a_device_of_another_number_is_not_there(void **state)
{
    (void)state;
    assert_fails(run_program(GENERATE, "--device", "7", "-o", in_folder("z.wav")), 69, "cuda: no device 7");
}
#endif

int main(void)
{
    const struct CMUnitTest absent[] = {
        cmocka_unit_test(what_needs_the_device_ends_with_69_and_one_line),
        cmocka_unit_test(nothing_is_stored_for_a_device_that_is_not_there),
        cmocka_unit_test(a_list_of_devices_says_why_there_is_none),
    };
    int failed = cmocka_run_group_tests_name("cuda_cli", absent, without_a_driver, NULL);
#ifdef HM_CUDA_SOFT
    const struct CMUnitTest there[] = {
        cmocka_unit_test(a_device_is_listed_with_what_it_is),
        cmocka_unit_test(the_doctor_runs_a_kernel_on_it),
        cmocka_unit_test(a_device_of_another_number_is_not_there),
    };
    failed += cmocka_run_group_tests_name("cuda_cli", there, with_the_software_device, remove_folder);
#else
    failed += remove_folder(NULL);
#endif
    return failed;
}
