/* Whatever the device refuses, one call at a time: the driver says so in one line, gives everything back and does not hang, and so does the
 * program. gpu_failure_full_test does the program's part for every entry that it calls. */
#define _GNU_SOURCE
#include "tests/gpu/failure_case.h"

#include "engine/gpu/driver.h"

#define VALUES 1000
#define BYTES ((size_t)VALUES * sizeof(float))
#define BIG ((size_t)9 << 20) /* more than goes through the staging memory at once */

static const struct {
    const char *name, *settings;
} modes[] = {{"at once", ""}, {"late and guarded", "HM_SOFT_DEFER=1 HM_SOFT_GUARD=1 "}};

static soft_library soft;
static char kernels[] = "/tmp/hm-gpu-failure-XXXXXX"; /* folder of compiled modules */

/* --- the driver: everything it does, once --- */

typedef struct session {
    hm_gpu *gpu;
    float *there, *also, *shared;
    hm_gpu_recording *recording;
    float *host;
    hm_error err;
} session;

static hm_status fill(session *s, float *to, float value)
{
    const hm_gpu_value values[] = {hm_gpu_pointer(to), hm_gpu_f32(value), hm_gpu_i64(VALUES)};
    const hm_gpu_command c = {.kernel = HM_K_fill, .groups = {(VALUES + 63) / 64, 1, 1}, .values = values, .count = 3};
    return SOFT_DRIVER->launch(s->gpu, &c, 0, &s->err);
}

static hm_status begin(session *s)
{
    hm_status st = SOFT_DRIVER->open(&s->gpu, &(hm_gpu_options){.timestamps = true, .cache = kernels}, &s->err);
    if (!st)
        st = SOFT_DRIVER->alloc(s->gpu, (void **)&s->there, BIG, HM_GPU_DEVICE, &s->err);
    if (!st)
        st = SOFT_DRIVER->alloc(s->gpu, (void **)&s->also, BYTES, HM_GPU_HOST, &s->err);
    return st ? st : SOFT_DRIVER->alloc(s->gpu, (void **)&s->shared, BYTES, HM_GPU_SHARED, &s->err);
}

static hm_status copies(session *s)
{
    hm_status st = SOFT_DRIVER->copy(s->gpu, s->there, s->host, BIG, 0, &s->err);
    if (!st)
        st = SOFT_DRIVER->fill(s->gpu, s->shared, 0, BYTES, 0, &s->err);
    if (!st)
        st = SOFT_DRIVER->copy(s->gpu, s->also, s->there, BYTES, 0, &s->err);
    return st ? st : SOFT_DRIVER->wait(s->gpu, &s->err);
}

static hm_status record(session *s)
{
    hm_status st = SOFT_DRIVER->record(s->gpu, &s->err);
    if (!st)
        st = fill(s, s->there, 2);
    if (!st)
        st = SOFT_DRIVER->copy(s->gpu, s->shared, s->there, BYTES, 0, &s->err);
    if (!st)
        st = SOFT_DRIVER->keep(s->gpu, &s->recording, &s->err);
    for (int i = 0; i < 3 && !st; i++) {
        st = fill(s, s->there, 1);
        if (!st)
            st = SOFT_DRIVER->replay(s->gpu, s->recording, &s->err);
    }
    return st;
}

/* The status of the first thing that failed; what was asked of the device is right if nothing did. */
static hm_status run_session(session *s)
{
    hm_gpu_time time;
    *s = (session){.host = calloc(1, BIG)};
    assert_non_null(s->host);
    for (int i = 0; i < VALUES; i++)
        s->host[i] = (float)i;
    hm_status st = begin(s);
    if (!st)
        st = copies(s);
    if (!st && (s->also[7] != 7 || s->shared[7] != 0))
        fail_msg("copied %g and %g", (double)s->also[7], (double)s->shared[7]);
    if (!st)
        st = record(s);
    if (!st)
        st = SOFT_DRIVER->copy(s->gpu, s->host, s->shared, BYTES, 0, &s->err);
    if (!st)
        st = SOFT_DRIVER->wait(s->gpu, &s->err);
    if (!st && (s->host[VALUES - 1] != 2 || !SOFT_DRIVER->take_times(s->gpu, 0, &time, 1)))
        fail_msg("replayed %g", (double)s->host[VALUES - 1]);
    if (s->gpu) {
        SOFT_DRIVER->drop(s->gpu, &s->recording);
        SOFT_DRIVER->free(s->gpu, s->there);
        SOFT_DRIVER->free(s->gpu, s->also);
        SOFT_DRIVER->free(s->gpu, s->shared);
        SOFT_DRIVER->close(&s->gpu);
    }
    free(s->host);
    return st;
}

static void empty_kernels(void)
{
    DIR *d = opendir(kernels);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static void expect_session(const char *settings, const char *entry, uint64_t before)
{
    session s;
    double begun = run_now();
    hm_status st = run_session(&s);
    const char *misuse = NULL;
    soft.misuses(&misuse);
    if (run_now() - begun > 30)
        fail_msg("%s: %.0f s", settings, run_now() - begun);
    if (st && (st != s.err.status || (st != HM_EABSENT && st != HM_EIO && st != HM_EBUG)))
        fail_msg("%s: status %d, the error's is %d: %s", settings, (int)st, (int)s.err.status, s.err.text);
    if (st && (!strstr(s.err.text, SOFT_BACKEND) || strchr(s.err.text, '\n') || strlen(s.err.text) < 30))
        fail_msg("%s: no sentence: %s", settings, s.err.text);
    if (!failure_gives_back(entry) && (misuse || soft.alive() != before))
        fail_msg("%s: %d left, misuse: %s, after %s", settings, (int)(soft.alive() - before), misuse ? misuse : "none", s.err.text);
}

static void every_entry_that_the_driver_calls_may_fail(void **state)
{
    (void)state;
    char settings[256];
    session s;
    int called = 0;
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        uint64_t calls[FAILURE_ENTRIES], left = soft.alive();
        empty_kernels();
        soft_settings(&soft, modes[m].settings);
        if (run_session(&s))
            fail_msg("%s: %s", modes[m].name, s.err.text);
        assert_true(soft.alive() == left && !soft.misuses(NULL));
        for (size_t e = 0; e < FAILURE_ENTRIES; e++)
            calls[e] = soft.calls(failure_entries[e]);
        for (size_t e = 0; e < FAILURE_ENTRIES; e++) {
            const uint64_t which[] = {1, 2, (calls[e] + 1) / 2, calls[e]};
            called += calls[e] != 0;
            for (int n = 0; n < 4; n++) {
                if (which[n] > calls[e] || !which[n] || (n && which[n] <= which[n - 1]))
                    continue;
                uint64_t before = soft.alive();
                snprintf(settings, sizeof settings, "%sHM_SOFT_TIMEOUT_S=5 HM_SOFT_FAIL=%s:%d", modes[m].settings, failure_entries[e],
                         (int)which[n]);
                empty_kernels();
                soft_settings(&soft, settings);
                expect_session(settings, failure_entries[e], before);
            }
        }
    }
    assert_true(called > 2 * 30);
}

static void a_device_may_be_lost_at_any_command(void **state)
{
    (void)state;
    char settings[128];
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++)
        for (int at = 1; at <= 12; at++) {
            uint64_t before = soft.alive();
            session s;
            snprintf(settings, sizeof settings, "%sHM_SOFT_TIMEOUT_S=5 HM_SOFT_LOST=%d", modes[m].settings, at);
            soft_settings(&soft, settings);
            hm_status st = run_session(&s);
            if (st != HM_EABSENT || !strstr(s.err.text, FAILURE_LOST))
                fail_msg("%s: status %d: %s", settings, (int)st, s.err.text);
            if (soft.alive() != before || soft.misuses(NULL))
                fail_msg("%s: %d left, %d misuses", settings, (int)(soft.alive() - before), (int)soft.misuses(NULL));
        }
}

static void memory_may_end_at_any_allocation(void **state)
{
    (void)state;
    char settings[128];
    session s;
    int limit = 1;
    hm_status st = HM_EABSENT;
    for (; st && limit < 64; limit++) {
        uint64_t before = soft.alive();
        snprintf(settings, sizeof settings, "HM_SOFT_MEMORY_MB=%d", limit);
        soft_settings(&soft, settings);
        st = run_session(&s);
        if (st && (st != HM_EABSENT || (!strstr(s.err.text, FAILURE_MEMORY) && !strstr(s.err.text, FAILURE_AT_ONCE))))
            fail_msg("%s: status %d: %s", settings, (int)st, s.err.text);
        if (soft.alive() != before || soft.misuses(NULL))
            fail_msg("%s: %d left", settings, (int)(soft.alive() - before));
    }
    assert_in_range(limit, 9, 30);
}

/* --- the program --- */

static json_t *whole; /* the report of a run in which nothing fails */

static void the_program_fails_with_one_line_and_leaves_no_file(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        double where; /* of its calls */
    } list[] = {
#ifdef HM_TEST_CUDA
        {"cuInit", 0},
        {"cuDeviceGetAttribute", 0},
        {"cuDevicePrimaryCtxRetain", 0},
        {"cuMemAlloc_v2", 0.5},
        {"cuModuleLoadDataEx", 0.5},
        {"cuModuleGetFunction", 0.5},
        {"cuStreamCreate", 0.5},
        {"cuLaunchKernelEx", 0.5},
        {"cuStreamSynchronize", 0.9},
        {"cuStreamEndCapture", 0},
        {"cuGraphInstantiateWithFlags", 0},
        {"cuGraphLaunch", 0.5},
        {"cuMemFree_v2", 0.5},
#else
        {"zeInit", 0},
        {"zeDeviceGetProperties", 0},
        {"zeContextCreate", 0},
        {"zeMemAllocDevice", 0.5},
        {"zeModuleCreate", 0.5},
        {"zeCommandListCreateImmediate", 0},
        {"zeCommandListAppendMemoryCopy", 0.9},
        {"zeCommandListAppendLaunchKernel", 0.5},
        {"zeEventHostSynchronize", 0.9},
        {"zeCommandQueueExecuteCommandLists", 0.5},
        {"zeMemFree", 0.5},
#endif
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        int calls = failure_calls(whole, list[i].entry);
        if (!calls)
            fail_msg("the program does not call %s", list[i].entry);
        failure_of(list[i].entry, 1 + (int)(list[i].where * (calls - 1)), NULL);
    }
}

static void memory_that_ends_and_a_device_that_is_lost_are_told(void **state)
{
    (void)state;
    char settings[64];
    int commands = (int)json_integer_value(json_object_get(whole, "commands"));
    failure_expect("HM_SOFT_MEMORY_MB=1", "", 69, FAILURE_AT_ONCE);
    failure_expect("HM_SOFT_MEMORY_MB=6", "", 69, FAILURE_MEMORY);
    snprintf(settings, sizeof settings, "HM_SOFT_LOST=%d", commands * 9 / 10);
    failure_expect(settings, "", 69, FAILURE_LOST);
    snprintf(settings, sizeof settings, "HM_SOFT_DEFER=1 HM_SOFT_GUARD=1 HM_SOFT_LOST=%d", commands * 9 / 10);
    failure_expect(settings, "", 69, FAILURE_LOST);
}

static void what_runs_late_guarded_or_validated_gives_the_same_codes(void **state)
{
    (void)state;
#ifdef HM_TEST_CUDA
    static const char *const settings[] = {"HM_SOFT_DEFER=1 HM_SOFT_GUARD=1", "HM_SOFT_GUARD=1", "HM_SOFT_DEFER=1 HM_SOFT_REVERSE=1",
                                           "HM_SOFT_CAPABILITY=80", "HM_SOFT_SMS=132"};
#else
    static const char *const settings[] = {"HM_SOFT_DEFER=1 HM_SOFT_GUARD=1", "HM_SOFT_GUARD=1", "HM_SOFT_DEFER=1 HM_SOFT_API_MINOR=9",
                                           "HM_SOFT_TIMER_BITS=8", "HM_SOFT_SYSMAN=none"};
#endif
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        hm_run run = failure_generate("again.codes", settings[i]);
        expect_code(&run, 0, NULL);
        assert_same_file(in_folder("whole.codes"), in_folder("again.codes"));
        failure_clean_report(settings[i]);
    }
    setenv("ZE_ENABLE_VALIDATION_LAYER", "1", 1);
    setenv("ZE_ENABLE_PARAMETER_VALIDATION", "1", 1);
    hm_run run = failure_generate("again.codes", "HM_SOFT_DEFER=1");
    unsetenv("ZE_ENABLE_VALIDATION_LAYER");
    unsetenv("ZE_ENABLE_PARAMETER_VALIDATION");
    expect_code(&run, 0, NULL);
    assert_same_file(in_folder("whole.codes"), in_folder("again.codes"));
    failure_clean_report("validated");
}

static int prepare(void **state)
{
    (void)state;
    if (!mkdtemp(kernels))
        return -1;
    whole = failure_begin();
    soft_load(&soft, "");
    return 0;
}

static int clean_up(void **state)
{
    json_decref(whole);
    empty_kernels();
    return rmdir(kernels) || remove_folder(state);
}

int main(void)
{
    if (!soft_there())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_that_the_driver_calls_may_fail),
        cmocka_unit_test(a_device_may_be_lost_at_any_command),
        cmocka_unit_test(memory_may_end_at_any_allocation),
        cmocka_unit_test(the_program_fails_with_one_line_and_leaves_no_file),
        cmocka_unit_test(memory_that_ends_and_a_device_that_is_lost_are_told),
        cmocka_unit_test(what_runs_late_guarded_or_validated_gives_the_same_codes),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
