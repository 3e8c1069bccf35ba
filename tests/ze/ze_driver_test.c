/* The Level Zero driver on the software device, whose commands run late and in any order that they are allowed to: devices, memory, order,
 * copies, recordings, kept kernels, times, errors. Runs a second time with the validation layer of the library switched on. */
#define _GNU_SOURCE
#include "tests/soft_case.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "engine/base/time.h"

#define SETTINGS "HM_SOFT_DEFER=1 HM_SOFT_GUARD=1 HM_SOFT_DEVICES=2 HM_SOFT_MEMORY_MB=64"

static soft_library soft;
static const hm_gpu_driver *const ze = &hm_ze_driver;

typedef struct warnings {
    int count;
    char last[1024];
} warnings;

static void take_warning(void *self, hm_log_level level, const char *line)
{
    warnings *w = self;
    if (level == HM_LOG_WARNING) {
        w->count++;
        snprintf(w->last, sizeof w->last, "%s", line);
    }
}

#define OK(call)                      \
    do {                              \
        hm_error err = {0};           \
        if (call)                     \
            fail_msg("%s", err.text); \
    } while (0)

#define FAILS(status_, words, call)                                 \
    do {                                                            \
        hm_error err = {0};                                         \
        assert_int_equal(call, status_);                            \
        if (!strstr(err.text, words))                               \
            fail_msg("expected \"%s\" in \"%s\"", words, err.text); \
    } while (0)

static int use_settings(void **state)
{
    (void)state;
    soft_settings(&soft, SETTINGS);
    return 0;
}

static int see_clean(void **state)
{
    (void)state;
    soft_clean(&soft);
    return 0;
}

static hm_gpu *open_with(const hm_gpu_options *o)
{
    hm_gpu *gpu = NULL;
    OK(ze->open(&gpu, o, &err));
    return gpu;
}

static hm_gpu *open_default(void)
{
    return open_with(&(hm_gpu_options){0});
}

static void *memory(hm_gpu *gpu, size_t bytes)
{
    void *p = NULL;
    OK(ze->alloc(gpu, &p, bytes, HM_GPU_DEVICE, &err));
    assert_int_equal((uintptr_t)p % 64, 0);
    return p;
}

static hm_status launch_fill(hm_gpu *gpu, float *to, float value, int64_t n, uint32_t tag, hm_error *err)
{
    const hm_gpu_value values[] = {hm_gpu_pointer(to), hm_gpu_f32(value), hm_gpu_i64(n)};
    const hm_gpu_command c = {.kernel = HM_K_fill, .groups = {(uint32_t)((n + 63) / 64), 1, 1}, .values = values, .count = 3};
    return ze->launch(gpu, &c, tag, err);
}

static hm_status launch(hm_gpu *gpu, hm_gpu_kernel kernel, uint32_t groups, const hm_gpu_value *values, int count, hm_error *err)
{
    return ze->launch(gpu, &(hm_gpu_command){.kernel = kernel, .groups = {1, groups, 1}, .values = values, .count = count}, 0, err);
}

static void assert_values(hm_gpu *gpu, const float *from, int n, float (*expected)(int i))
{
    float *back = calloc((size_t)n, sizeof *back);
    OK(ze->copy(gpu, back, from, (size_t)n * sizeof *back, 0, &err));
    OK(ze->wait(gpu, &err));
    for (int i = 0; i < n; i++)
        if (back[i] != expected(i))
            fail_msg("value %d is %g, expected %g", i, back[i], expected(i));
    free(back);
}

static void devices_are_listed_with_what_they_are(void **state)
{
    (void)state;
    static hm_ze_device list[4];
    int count;
    OK(hm_ze_list(list, 4, &count, &err));
    assert_int_equal(count, 2);
    for (int i = 0; i < 2; i++) {
        const hm_gpu_facts *f = &list[i].facts;
        assert_int_equal(list[i].index, i);
        assert_true(list[i].gpu && f->software);
        assert_string_equal(f->backend, "ze");
        assert_non_null(strstr(f->name, "software device"));
        assert_int_equal(strlen(f->uuid), 36);
        assert_string_equal(f->api, "1.4");
        assert_int_equal(f->memory_bytes, 64 << 20);
        assert_true(f->max_alloc_bytes && f->compute_units);
        assert_in_range(f->timer_hz, 19230768, 19230770); /* 52 ns */
    }
    assert_string_not_equal(list[0].facts.uuid, list[1].facts.uuid);
    OK(hm_ze_list(list, 1, &count, &err));
    assert_int_equal(count, 2);
}

/* In a process of its own: the library is opened once. */
static void without_a_driver_it_is_said_what_to_install(void **state)
{
    (void)state;
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    pid_t child = fork();
    if (!child) {
        execl(self, self, "without a driver", (char *)NULL);
        _exit(2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int look_without_a_driver(void)
{
    hm_error err = {0};
    hm_gpu *gpu = NULL;
    setenv("ZE_ENABLE_ALT_DRIVERS", "/nowhere/libze_none.so.1", 1);
    for (int i = 0; i < 2; i++) /* the second time as the first */
        if (ze->open(&gpu, &(hm_gpu_options){0}, &err) != HM_EABSENT || gpu || !strstr(err.text, "no driver with a GPU") ||
            !strstr(err.text, "install it")) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
    return 0;
}

static void a_device_is_chosen_by_number_or_by_the_beginning_of_its_uuid(void **state)
{
    (void)state;
    static hm_ze_device list[2];
    int count;
    char wanted[64];
    OK(hm_ze_list(list, 2, &count, &err));
    for (int i = 0; i < 2; i++) {
        const char *const names[] = {i ? "1" : "0", list[i].facts.uuid, wanted};
        int p = 0; /* without dashes, in capitals */
        for (const char *c = list[i].facts.uuid; *c; c++)
            if (*c != '-')
                wanted[p++] = *c >= 'a' ? *c - 32 : *c;
        wanted[p] = 0;
        for (int n = 0; n < 3; n++) {
            hm_gpu *gpu = open_with(&(hm_gpu_options){.device = names[n]});
            assert_string_equal(ze->facts(gpu)->uuid, list[i].facts.uuid);
            ze->close(&gpu);
            assert_null(gpu);
        }
    }
    hm_gpu *gpu = NULL;
    snprintf(wanted, sizeof wanted, "%.8s", list[0].facts.uuid); /* both begin with the same letters */
    FAILS(HM_EUSAGE, "both begin with", ze->open(&gpu, &(hm_gpu_options){.device = wanted}, &err));
    FAILS(HM_EABSENT, "no device 7", ze->open(&gpu, &(hm_gpu_options){.device = "7"}, &err));
    FAILS(HM_EABSENT, "0: hmbench software device", ze->open(&gpu, &(hm_gpu_options){.device = "abcdef"}, &err));
    assert_null(gpu);
}

static float seven_then_eight(int i)
{
    return i < 500 ? 7 + (float)(i < 100) : 9;
}

static void commands_are_done_in_the_order_in_which_they_are_asked_for(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 4000), *b = memory(gpu, 4000), ninth = 9;
    uint32_t nine;
    memcpy(&nine, &ninth, 4);
    for (int round = 0; round < 20; round++) {
        OK(ze->fill(gpu, a, 0, 4000, 0, &err));
        OK(ze->fill(gpu, a, nine, 4000, 0, &err));
        OK(launch_fill(gpu, a, 7, 500, 0, &err));
        OK(launch_fill(gpu, a, 8, 100, 0, &err));
        OK(ze->copy(gpu, b, a, 4000, 0, &err));
        OK(ze->fill(gpu, a, 0, 4000, 0, &err));
    }
    assert_values(gpu, b, 1000, seven_then_eight);
    ze->close(&gpu);
}

static void nothing_is_launched_copied_or_filled_where_there_is_nothing(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 0);
    float host = 7;
    OK(launch_fill(gpu, a, 1, 0, 0, &err));
    OK(ze->copy(gpu, a, &host, 0, 0, &err));
    OK(ze->fill(gpu, a, 0, 0, 0, &err));
    OK(ze->wait(gpu, &err));
    assert_int_equal(soft.calls("zeCommandListAppendLaunchKernel"), 0);
    assert_int_equal(soft.calls("zeEventHostSynchronize"), 0); /* nor waited for */
    ze->free(gpu, NULL);
    ze->close(&gpu);
    ze->close(&gpu);
}

/* Odd sizes, and more than all staging memory at once. */
static void copies_from_and_to_the_host_take_any_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 63, 4097, ((size_t)4 << 20) - 1, ((size_t)4 << 20) + 1, ((size_t)9 << 20) + 13};
    hm_gpu *gpu = open_default();
    char *to = memory(gpu, (size_t)10 << 20);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        char *up = malloc(n), *down = malloc(n);
        for (size_t i = 0; i < n; i++)
            up[i] = (char)(i * 31 + (i >> 11) + s);
        char first = up[0], last = up[n - 1];
        OK(ze->copy(gpu, to + 3, up, n, 0, &err));
        memset(up, 0, n); /* read at once: the host may use it again */
        OK(ze->copy(gpu, down, to + 3, n, 0, &err));
        OK(ze->wait(gpu, &err));
        assert_int_equal(down[0], first);
        assert_int_equal(down[n - 1], last);
        for (size_t i = 0; i < n; i++)
            if (down[i] != (char)(i * 31 + (i >> 11) + s))
                fail_msg("byte %zu of %zu differs", i, n);
        free(up);
        free(down);
    }
    ze->close(&gpu);
}

static void memory_of_the_host_and_shared_memory_are_read_and_written_by_both(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    for (int kind = HM_GPU_HOST; kind <= HM_GPU_SHARED; kind++) {
        float *p;
        OK(ze->alloc(gpu, (void **)&p, 400, (hm_gpu_memory)kind, &err));
        for (int i = 0; i < 100; i++)
            p[i] = (float)i;
        OK(launch_fill(gpu, p, 5, 50, 0, &err));
        OK(ze->wait(gpu, &err));
        assert_true(p[0] == 5 && p[49] == 5 && p[50] == 50 && p[99] == 99);
        ze->free(gpu, p);
    }
    ze->close(&gpu);
}

static float recorded(int i)
{
    return i < 200 ? 2 : 1;
}

static float thirds(int i)
{
    return i % 3 ? 0 : 3;
}

static void what_is_recorded_is_done_by_each_replay_and_not_before(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 4000), *b = memory(gpu, 4000);
    hm_gpu_recording *r = NULL;
    OK(ze->fill(gpu, b, 0, 4000, 0, &err));
    OK(ze->record(gpu, &err));
    OK(launch_fill(gpu, a, 1, 1000, 0, &err));
    OK(launch_fill(gpu, a, 2, 200, 0, &err));
    OK(ze->copy(gpu, b, a, 4000, 0, &err));
    OK(ze->fill(gpu, a, 0, 4000, 0, &err));
    OK(ze->keep(gpu, &r, &err));
    float zero[10] = {1};
    OK(ze->copy(gpu, zero, b, sizeof zero, 0, &err));
    OK(ze->wait(gpu, &err));
    assert_true(zero[0] == 0);
    for (int round = 0; round < 3; round++) {
        OK(ze->fill(gpu, b, 0, 4000, 0, &err)); /* before and after it, commands keep their order */
        OK(ze->replay(gpu, r, &err));
        assert_values(gpu, b, 1000, recorded);
    }
    ze->drop(gpu, &r);
    assert_null(r);
    ze->close(&gpu);
}

static void replays_follow_one_another_without_a_wait(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 300 * sizeof(float)), three = 3;
    uint32_t pattern;
    hm_gpu_recording *r[3] = {NULL};
    memcpy(&pattern, &three, 4);
    for (int i = 0; i < 3; i++) { /* each overwrites what the one before it did, so that the last one counts */
        OK(ze->record(gpu, &err));
        OK(ze->fill(gpu, a, i == 2 ? 0 : pattern, 1200, 0, &err));
        for (int at = 0; at < 300 && i == 2; at += 3)
            OK(ze->fill(gpu, a + at, pattern, 4, 0, &err));
        OK(ze->keep(gpu, &r[i], &err));
    }
    for (int round = 0; round < 12; round++)
        for (int i = 0; i < 3; i++)
            OK(ze->replay(gpu, r[i], &err));
    assert_values(gpu, a, 300, thirds);
    assert_true(soft.calls("zeCommandListCreate") <= 12);
    ze->drop(gpu, &r[1]);
    ze->close(&gpu); /* gives back the others */
}

static void lists_that_keep_their_order_need_no_barriers(void **state)
{
    uint64_t barriers[2];
    for (int newer = 0; newer < 2; newer++) {
        soft_settings(&soft, newer ? SETTINGS " HM_SOFT_API_MINOR=9" : SETTINGS);
        commands_are_done_in_the_order_in_which_they_are_asked_for(state);
        barriers[newer] = soft.calls("zeCommandListAppendBarrier");
        soft_clean(&soft);
        what_is_recorded_is_done_by_each_replay_and_not_before(state);
        soft.reload();
        replays_follow_one_another_without_a_wait(state);
        soft_clean(&soft);
    }
    assert_true(barriers[0] >= 120);          /* one per command */
    if (getenv("ZE_ENABLE_VALIDATION_LAYER")) /* of a library that does not know such lists */
        assert_true(barriers[1] == 1 || barriers[1] == barriers[0]);
    else
        assert_int_equal(barriers[1], 1); /* the one that is waited for */
}

static void an_empty_recording_does_nothing(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    hm_gpu_recording *r = NULL;
    OK(ze->record(gpu, &err));
    OK(ze->keep(gpu, &r, &err));
    OK(ze->replay(gpu, r, &err));
    OK(ze->wait(gpu, &err));
    assert_int_equal(soft.calls("zeCommandQueueExecuteCommandLists"), 0);
    ze->drop(gpu, &r);
    ze->close(&gpu);
}

static void what_cannot_be_recorded_is_refused(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 400), host[100] = {0};
    hm_gpu_recording *r = NULL;
    FAILS(HM_EBUG, "nothing is being recorded", ze->keep(gpu, &r, &err));
    OK(ze->record(gpu, &err));
    FAILS(HM_EBUG, "within a recording", ze->record(gpu, &err));
    FAILS(HM_EBUG, "cannot be recorded", ze->copy(gpu, a, host, sizeof host, 0, &err));
    FAILS(HM_EBUG, "cannot be recorded", ze->copy(gpu, host, a, sizeof host, 0, &err));
    FAILS(HM_EBUG, "among commands that are recorded", ze->wait(gpu, &err));
    ze->close(&gpu); /* in the middle of it */
}

static void what_does_not_fit_is_refused_before_the_device_sees_it(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 400), host[100] = {0};
    const hm_gpu_value values[] = {hm_gpu_pointer(a), hm_gpu_f32(1), hm_gpu_i64(1), hm_gpu_i64(1)};
    const hm_gpu_value step[] = {hm_gpu_pointer(a), hm_gpu_f32(1), hm_gpu_step(1)};
    FAILS(HM_EBUG, "hm_fill takes 3 arguments, found 4", launch(gpu, HM_K_fill, 1, values, 4, &err));
    FAILS(HM_EBUG, "hm_fill takes 3 arguments, found 2", launch(gpu, HM_K_fill, 1, values, 2, &err));
    FAILS(HM_EBUG, "argument 2 is a step", launch(gpu, HM_K_fill, 1, step, 3, &err));
    FAILS(HM_EBUG, "no address of this device", launch_fill(gpu, host, 1, 1, 0, &err));
    FAILS(HM_EBUG, "groups in dimension 1", launch(gpu, HM_K_fill, UINT32_MAX, values, 3, &err));
    FAILS(HM_EBUG, "there is no kernel", launch(gpu, HM_GPU_KERNELS, 1, values, 3, &err));
    FAILS(HM_EBUG, "404 bytes from byte 0 of an allocation of 400", ze->copy(gpu, a, host, 404, 0, &err));
    FAILS(HM_EBUG, "not of this device", ze->copy(gpu, host, host + 50, 4, 0, &err));
    FAILS(HM_EBUG, "multiple of 4", ze->fill(gpu, a, 0, 3, 0, &err));
    FAILS(HM_EBUG, "multiple of 4", ze->fill(gpu, host, 0, 4, 0, &err));
    FAILS(HM_EBUG, "from byte 396", ze->fill(gpu, a + 99, 0, 8, 0, &err));
    OK(ze->fill(gpu, a, 0, 400, 0, &err)); /* and all goes on */
    OK(ze->wait(gpu, &err));
    ze->close(&gpu);
}

static void memory_that_is_not_there_is_an_error_and_all_goes_on(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    void *p[8] = {NULL}, *small;
    int got = 0;
    FAILS(HM_EABSENT, "the device gives at most", ze->alloc(gpu, &small, (size_t)1 << 40, HM_GPU_DEVICE, &err));
    hm_error why = {0};
    while (got < 8 && !ze->alloc(gpu, &p[got], (size_t)25 << 20, HM_GPU_DEVICE, &why))
        got++;
    assert_int_equal(got, 2);
    assert_int_equal(why.status, HM_EABSENT);
    assert_non_null(strstr(why.text, "ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"));
    assert_non_null(strstr(why.text, "26214400 bytes of the device"));
    ze->free(gpu, p[0]);
    OK(ze->alloc(gpu, &p[0], (size_t)25 << 20, HM_GPU_DEVICE, &err));
    ze->close(&gpu);
}

static void memory_is_taken_away_only_when_what_uses_it_is_done(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 4000), *b = memory(gpu, 4000);
    hm_gpu_recording *r = NULL;
    OK(ze->record(gpu, &err));
    OK(launch_fill(gpu, a, 2, 1000, 0, &err));
    OK(ze->keep(gpu, &r, &err));
    OK(ze->replay(gpu, r, &err));
    OK(ze->copy(gpu, b, a, 4000, 0, &err));
    ze->free(gpu, a);
    ze->drop(gpu, &r);
    OK(ze->fill(gpu, b, 0, 4000, 0, &err));
    ze->close(&gpu);
}

static void two_devices_and_two_states_of_one_device_work_side_by_side(void **state)
{
    (void)state;
    hm_gpu *gpus[] = {open_with(&(hm_gpu_options){.device = "0"}), open_with(&(hm_gpu_options){.device = "1"}),
                      open_with(&(hm_gpu_options){.device = "1", .timestamps = true})};
    float *a[3], back[3][100], ours[100] = {0};
    for (int i = 0; i < 3; i++) {
        a[i] = memory(gpus[i], 400);
        OK(launch_fill(gpus[i], a[i], (float)i + 1, 100, 0, &err));
        OK(ze->copy(gpus[i], back[i], a[i], 400, 0, &err));
    }
    for (int i = 2; i >= 0; i--) {
        OK(ze->wait(gpus[i], &err));
        for (int j = 0; j < 100; j++)
            assert_true(back[i][j] == (float)i + 1);
    }
    FAILS(HM_EBUG, "not of this device", ze->copy(gpus[0], ours, a[1], 400, 0, &err)); /* memory is of the device it was allocated on */
    for (int i = 0; i < 3; i++)
        ze->close(&gpus[i]);
}

static void times_of_commands_lie_where_the_host_saw_them(void **state)
{
    static const char *const widths[] = {"64", "32", "20"}; /* 20 bits of 52 ns: wraps around every 54.5 ms */
    (void)state;
    for (int w = 0; w < 3; w++) {
        char settings[256];
        snprintf(settings, sizeof settings, SETTINGS " HM_SOFT_TIMER_BITS=%s", widths[w]);
        soft_settings(&soft, settings);
        hm_gpu *gpu = open_with(&(hm_gpu_options){.timestamps = true});
        float *a = memory(gpu, 4000);
        for (int round = 0; round < 3; round++) {
            hm_gpu_time times[8];
            int64_t begin = hm_now_ns();
            OK(launch_fill(gpu, a, 1, 1000, 5, &err));
            OK(ze->fill(gpu, a, 0, 400, 6, &err));
            OK(ze->copy(gpu, a, a + 500, 1000, 5, &err));
            OK(ze->wait(gpu, &err));
            int64_t end = hm_now_ns(), last = begin - 20000;
            assert_int_equal(ze->take_times(gpu, 5, times, 1), 1); /* as many as there is room for */
            assert_int_equal(ze->take_times(gpu, 6, times + 1, 7), 1);
            assert_int_equal(ze->take_times(gpu, 5, times + 2, 6), 1);
            assert_int_equal(ze->take_times(gpu, 5, times + 3, 5), 0);
            assert_string_equal(times[0].name, "hm_fill");
            assert_string_equal(times[1].name, "fill");
            assert_string_equal(times[2].name, "copy");
            assert_true(times[1].bytes == 400 && times[2].bytes == 1000);
            for (int i = 0; i < 3; i++) {
                assert_int_equal(times[i].tag, i == 1 ? 6 : 5);
                assert_true(times[i].asked_ns >= begin && times[i].asked_ns <= end && !times[i].replayed);
                if (times[i].begin_ns < last || times[i].end_ns < times[i].begin_ns || times[i].end_ns > end + 20000)
                    fail_msg("%s of %s bits: %lld to %lld after %lld, host %lld", times[i].name, widths[w],
                             (long long)(times[i].begin_ns - begin), (long long)(times[i].end_ns - begin), (long long)(last - begin),
                             (long long)(end - begin));
                last = times[i].end_ns - 20000; /* clocks agree within 20 us */
            }
            usleep(70000);
        }
        ze->close(&gpu);
    }
}

static void every_replay_is_timed_also_when_several_follow_without_a_wait(void **state)
{
    (void)state;
    hm_gpu *gpu = open_with(&(hm_gpu_options){.timestamps = true});
    float *a = memory(gpu, 4000);
    hm_gpu_recording *r = NULL;
    hm_gpu_time times[64];
    OK(ze->record(gpu, &err));
    OK(launch_fill(gpu, a, 1, 1000, 1, &err));
    OK(launch_fill(gpu, a, 2, 10, 1, &err));
    OK(ze->keep(gpu, &r, &err));
    int64_t begin = hm_now_ns();
    for (int i = 0; i < 9; i++)
        OK(ze->replay(gpu, r, &err));
    OK(ze->fill(gpu, a, 0, 4, 1, &err));
    OK(ze->replay(gpu, r, &err));
    OK(ze->wait(gpu, &err));
    int64_t end = hm_now_ns();
    int count = ze->take_times(gpu, 1, times, 64);
    assert_int_equal(count, 21);
    for (int i = 0; i < count; i++) {
        assert_int_equal(times[i].replayed, i != 18);
        assert_int_equal(times[i].bytes, i == 18 ? 4 : 0);
        assert_true(times[i].begin_ns >= begin - 20000 && times[i].end_ns <= end + 20000);
        assert_true(!i || times[i].begin_ns >= times[i - 1].end_ns - 20000);
    }
    ze->drop(gpu, &r);
    ze->close(&gpu);
}

static void without_timestamps_nothing_is_timed(void **state)
{
    (void)state;
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 400);
    hm_gpu_time time;
    OK(launch_fill(gpu, a, 1, 100, 0, &err));
    OK(ze->wait(gpu, &err));
    assert_int_equal(ze->take_times(gpu, 0, &time, 1), 0);
    assert_int_equal(soft.calls("zeEventQueryKernelTimestamp"), 0);
    ze->close(&gpu);
}

/* The only file of a folder, as a path; NULL when there is none. */
static const char *only_file(const char *folder, char path[512])
{
    const char *found = NULL;
    struct dirent *e;
    DIR *d = opendir(folder);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.') {
            assert_null(found);
            snprintf(path, 512, "%s/%s", folder, e->d_name);
            found = path;
        }
    if (d)
        closedir(d);
    return found;
}

/* Opens with a folder for compiled kernels, runs one, tells how many warnings there were. */
static int warned_with_cache(const char *folder, char last[1024])
{
    warnings w = {0};
    const hm_log log = {&w, HM_LOG_WARNING, take_warning};
    hm_gpu *gpu = open_with(&(hm_gpu_options){.cache = folder, .log = &log});
    float *a = memory(gpu, 400), back = 0;
    OK(launch_fill(gpu, a, 4, 100, 0, &err));
    OK(ze->copy(gpu, &back, a, 4, 0, &err));
    OK(ze->wait(gpu, &err));
    assert_true(back == 4);
    ze->close(&gpu);
    snprintf(last, 1024, "%s", w.last);
    return w.count;
}

static void compiled_kernels_are_kept_and_made_again_when_the_file_is_broken(void **state)
{
    (void)state;
    char parent[] = "/tmp/hm-ze-cache-XXXXXX", folder[64], path[512], last[1024];
    assert_non_null(mkdtemp(parent));
    snprintf(folder, sizeof folder, "%s/kernels", parent);
    assert_int_equal(warned_with_cache(folder, last), 0);
    assert_non_null(only_file(folder, path));
    struct stat whole, now;
    assert_int_equal(stat(path, &whole), 0);
    uint64_t built = soft.calls("zeModuleGetNativeBinary");
    assert_true(built > 0);
    assert_int_equal(warned_with_cache(folder, last), 0);
    assert_int_equal(soft.calls("zeModuleGetNativeBinary"), built); /* taken from the file */
    for (int way = 0; way < 3; way++) {
        FILE *f = fopen(path, "r+");
        assert_non_null(f);
        if (way == 0)
            assert_int_equal(ftruncate(fileno(f), whole.st_size / 2), 0);
        else if (way == 1)
            assert_int_equal(ftruncate(fileno(f), 0), 0);
        else {
            fseek(f, -1, SEEK_END);
            int byte = fgetc(f);
            fseek(f, -1, SEEK_END);
            fputc(byte ^ 1, f);
        }
        fclose(f);
        assert_int_equal(warned_with_cache(folder, last), 1);
        assert_non_null(strstr(last, "compiled again"));
        assert_int_equal(stat(path, &now), 0);
        assert_int_equal(now.st_size, whole.st_size);
        assert_int_equal(warned_with_cache(folder, last), 0);
    }
    unlink(path);
    rmdir(folder);
    FILE *f = fopen(folder, "w"); /* in the place of the folder */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(warned_with_cache(folder, last), 1);
    unlink(folder);
    rmdir(parent);
}

static void a_kept_kernel_that_the_driver_refuses_is_compiled_again(void **state)
{
    (void)state;
    char folder[] = "/tmp/hm-ze-cache-XXXXXX", path[512], last[1024];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(warned_with_cache(folder, last), 0);
    soft_settings(&soft, SETTINGS " HM_SOFT_FAIL=zeModuleCreate:1:0x7800000f");
    assert_int_equal(warned_with_cache(folder, last), 1);
    assert_non_null(strstr(last, "ZE_RESULT_ERROR_INVALID_NATIVE_BINARY"));
    assert_int_equal(soft.calls("zeModuleCreate"), 2);
    assert_non_null(only_file(folder, path));
    unlink(path);
    rmdir(folder);
}

static void a_kernel_that_cannot_be_compiled_is_named_with_its_file(void **state)
{
    (void)state;
    soft_settings(&soft, SETTINGS " HM_SOFT_FAIL=zeModuleCreate:1:0x70000004");
    hm_gpu *gpu = open_default();
    float *a = memory(gpu, 400);
    FAILS(HM_EBUG, "ZE_RESULT_ERROR_MODULE_BUILD_FAILURE", launch_fill(gpu, a, 1, 100, 0, &err));
    FAILS(HM_EBUG, "nothing is being recorded", ze->keep(gpu, &(hm_gpu_recording *){NULL}, &err));
    OK(launch_fill(gpu, a, 1, 100, 0, &err)); /* tried again */
    ze->close(&gpu);
}

static void a_device_that_is_lost_fails_all_that_follows_and_is_closed_at_once(void **state)
{
    (void)state;
    soft_settings(&soft, SETTINGS " HM_SOFT_LOST=3");
    hm_gpu *gpu = open_with(&(hm_gpu_options){.timestamps = true});
    float *a = memory(gpu, 400), host[100];
    void *p;
    hm_error why = {0};
    hm_gpu_recording *r = NULL;
    int64_t begin = hm_now_ns();
    OK(ze->record(gpu, &err));
    OK(launch_fill(gpu, a, 1, 100, 0, &err));
    OK(ze->keep(gpu, &r, &err));
    hm_status st = HM_OK;
    for (int i = 0; i < 50 && !st; i++) {
        st = i % 5 == 4 ? ze->replay(gpu, r, &why) : launch_fill(gpu, a, 1, 100, 0, &why);
        if (!st && i % 10 == 9)
            st = ze->wait(gpu, &why);
    }
    assert_int_equal(st, HM_EABSENT);
    assert_non_null(strstr(why.text, "the device was lost"));
    FAILS(HM_EABSENT, "the device was lost", ze->wait(gpu, &err));
    FAILS(HM_EABSENT, "the device was lost", ze->alloc(gpu, &p, 64, HM_GPU_DEVICE, &err));
    FAILS(HM_EABSENT, "the device was lost", launch_fill(gpu, a, 1, 100, 0, &err));
    FAILS(HM_EABSENT, "the device was lost", ze->copy(gpu, host, a, 400, 0, &err));
    FAILS(HM_EABSENT, "the device was lost", ze->fill(gpu, a, 0, 400, 0, &err));
    FAILS(HM_EABSENT, "the device was lost", ze->record(gpu, &err));
    FAILS(HM_EABSENT, "the device was lost", ze->replay(gpu, r, &err));
    ze->free(gpu, a);
    ze->drop(gpu, &r);
    ze->close(&gpu);
    assert_true(hm_now_ns() - begin < 10000000000);
}

static void a_half_done_replay_leaves_nothing_that_hangs(void **state)
{
    (void)state;
    static const char *const failing[] = {"zeCommandListAppendSignalEvent:2", "zeCommandQueueExecuteCommandLists:1",
                                          "zeCommandListAppendWaitOnEvents:2", "zeCommandListAppendEventReset:2"};
    for (int f = 0; f < 4; f++) {
        char settings[256];
        snprintf(settings, sizeof settings, SETTINGS " HM_SOFT_FAIL=%s", failing[f]);
        soft_settings(&soft, settings);
        hm_gpu *gpu = open_default();
        float *a = memory(gpu, 400);
        hm_gpu_recording *r = NULL;
        OK(ze->record(gpu, &err));
        OK(launch_fill(gpu, a, 1, 100, 0, &err));
        OK(ze->keep(gpu, &r, &err));
        OK(launch_fill(gpu, a, 1, 100, 0, &err));
        FAILS(HM_EIO, "ZE_RESULT_ERROR_UNKNOWN", ze->replay(gpu, r, &err));
        FAILS(HM_EIO, "ZE_RESULT_ERROR_UNKNOWN", ze->wait(gpu, &err)); /* nothing more is tried */
        ze->drop(gpu, &r);
        ze->close(&gpu);
        soft_clean(&soft);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, use_settings, see_clean)

int main(int argc, char **argv)
{
    if (!soft_there())
        return 77;
    if (argc > 1)
        return look_without_a_driver();
    soft_load(&soft, SETTINGS);
    const struct CMUnitTest tests[] = {
        CASE(devices_are_listed_with_what_they_are),
        CASE(without_a_driver_it_is_said_what_to_install),
        CASE(a_device_is_chosen_by_number_or_by_the_beginning_of_its_uuid),
        CASE(commands_are_done_in_the_order_in_which_they_are_asked_for),
        CASE(nothing_is_launched_copied_or_filled_where_there_is_nothing),
        CASE(copies_from_and_to_the_host_take_any_size),
        CASE(memory_of_the_host_and_shared_memory_are_read_and_written_by_both),
        CASE(what_is_recorded_is_done_by_each_replay_and_not_before),
        CASE(replays_follow_one_another_without_a_wait),
        CASE(lists_that_keep_their_order_need_no_barriers),
        CASE(an_empty_recording_does_nothing),
        CASE(what_cannot_be_recorded_is_refused),
        CASE(what_does_not_fit_is_refused_before_the_device_sees_it),
        CASE(memory_that_is_not_there_is_an_error_and_all_goes_on),
        CASE(memory_is_taken_away_only_when_what_uses_it_is_done),
        CASE(two_devices_and_two_states_of_one_device_work_side_by_side),
        CASE(times_of_commands_lie_where_the_host_saw_them),
        CASE(every_replay_is_timed_also_when_several_follow_without_a_wait),
        CASE(without_timestamps_nothing_is_timed),
        CASE(compiled_kernels_are_kept_and_made_again_when_the_file_is_broken),
        CASE(a_kept_kernel_that_the_driver_refuses_is_compiled_again),
        CASE(a_kernel_that_cannot_be_compiled_is_named_with_its_file),
        CASE(a_device_that_is_lost_fails_all_that_follows_and_is_closed_at_once),
        CASE(a_half_done_replay_leaves_nothing_that_hangs),
    };
    int failed =
        cmocka_run_group_tests_name(getenv("ZE_ENABLE_VALIDATION_LAYER") ? "ze_driver, validated" : "ze_driver", tests, NULL, NULL);
    if (failed || getenv("ZE_ENABLE_VALIDATION_LAYER"))
        return failed;
    setenv("ZE_ENABLE_VALIDATION_LAYER", "1", 1);
    setenv("ZE_ENABLE_PARAMETER_VALIDATION", "1", 1);
    fflush(NULL);
    execv("/proc/self/exe", argv);
    perror("execv");
    return 1;
}
