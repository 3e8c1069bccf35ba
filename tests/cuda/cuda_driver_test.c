/* What is CUDA's own in its driver, on the software device: which calls commands, recordings and times become, and what is said of drivers
 * and devices that do not suit. */
#define _GNU_SOURCE
#define HM_TEST_CUDA
#include "tests/soft_case.h"

#include <sys/wait.h>

#include "engine/base/time.h"

#define SETTINGS "HM_SOFT_DEFER=1 HM_SOFT_GUARD=1 HM_SOFT_MEMORY_MB=64"

static soft_library soft;
static const hm_gpu_driver *const cuda = &hm_cuda_driver;

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
        if (!strstr(err.text, words) || strchr(err.text, '\n'))     \
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
    OK(cuda->open(&gpu, o, &err));
    return gpu;
}

static float *floats(hm_gpu *gpu, size_t count)
{
    void *p = NULL;
    OK(cuda->alloc(gpu, &p, count * sizeof(float), HM_GPU_DEVICE, &err));
    assert_int_equal((uintptr_t)p % 64, 0);
    return p;
}

static hm_status launch_fill(hm_gpu *gpu, float *to, float value, int64_t n, hm_error *err)
{
    const hm_gpu_value values[] = {hm_gpu_pointer(to), hm_gpu_f32(value), hm_gpu_i64(n)};
    return cuda->launch(
        gpu, &(hm_gpu_command){.kernel = HM_K_fill, .groups = {(uint32_t)((n + 63) / 64), 1, 1}, .values = values, .count = 3}, 1, err);
}

static void a_uuid_is_taken_as_nvidia_writes_it(void **state)
{
    (void)state;
    hm_gpu_device device;
    int count;
    char wanted[64];
    OK(cuda->list(&device, 1, &count, &err));
    snprintf(wanted, sizeof wanted, "GPU-%s", device.facts.uuid);
    hm_gpu *gpu = open_with(&(hm_gpu_options){.device = wanted});
    assert_string_equal(cuda->facts(gpu)->uuid, device.facts.uuid);
    assert_true(cuda->facts(gpu)->software && cuda->facts(gpu)->sub_group == 32);
    const hm_cuda_limits *l = hm_cuda_limits_of(gpu);
    assert_true(l->major >= 8 && l->sms > 0 && l->shared_bytes >= 48 << 10 && l->l2_bytes);
    cuda->close(&gpu);
}

/* Commands of a frame that is replayed are one graph, made once; each replay is one call. */
static void a_recording_is_one_graph_and_a_replay_one_launch_of_it(void **state)
{
    (void)state;
    hm_gpu *gpu = open_with(&(hm_gpu_options){0});
    float *a = floats(gpu, 1000), *b = floats(gpu, 1000), back[1000];
    hm_gpu_recording *r = NULL;
    OK(cuda->record(gpu, &err));
    OK(launch_fill(gpu, a, 1, 1000, &err));
    OK(launch_fill(gpu, a, 2, 200, &err));
    OK(cuda->copy(gpu, b, a, 4000, 1, &err));
    OK(cuda->fill(gpu, a, 0, 4000, 1, &err));
    OK(cuda->keep(gpu, &r, &err));
    assert_int_equal(soft.calls("cuGraphInstantiateWithFlags"), 1);
    uint64_t launches = soft.calls("cuLaunchKernelEx");
    for (int i = 0; i < 20; i++)
        OK(cuda->replay(gpu, r, &err));
    OK(cuda->copy(gpu, back, b, sizeof back, 1, &err));
    OK(cuda->wait(gpu, &err));
    for (int i = 0; i < 1000; i++)
        assert_true(back[i] == (i < 200 ? 2 : 1));
    assert_int_equal(soft.calls("cuGraphLaunch"), 20);
    assert_int_equal(soft.calls("cuGraphInstantiateWithFlags"), 1);
    assert_int_equal(soft.calls("cuLaunchKernelEx"), launches);
    assert_int_equal(soft.calls("cuStreamSynchronize"), 1);
    cuda->drop(gpu, &r);
    assert_int_equal(soft.calls("cuGraphExecDestroy"), 1);
    cuda->close(&gpu);
}

/* What is allocated, freed and waited for while a recording is made does not disturb it. */
static void memory_comes_and_goes_in_the_middle_of_a_recording(void **state)
{
    (void)state;
    hm_gpu *gpu = open_with(&(hm_gpu_options){0});
    float *a = floats(gpu, 100), *gone = floats(gpu, 100), back[100];
    hm_gpu_recording *r = NULL;
    OK(launch_fill(gpu, a, 1, 100, &err));
    OK(cuda->record(gpu, &err));
    OK(launch_fill(gpu, a, 2, 100, &err));
    cuda->free(gpu, gone); /* waits for what was asked for before the recording */
    float *b = floats(gpu, 100);
    OK(cuda->copy(gpu, b, a, 400, 1, &err));
    OK(cuda->keep(gpu, &r, &err));
    OK(cuda->replay(gpu, r, &err));
    OK(cuda->copy(gpu, back, b, 400, 1, &err));
    OK(cuda->wait(gpu, &err));
    assert_true(back[0] == 2 && back[99] == 2);
    cuda->close(&gpu);
}

static void an_empty_recording_is_no_graph(void **state)
{
    (void)state;
    hm_gpu *gpu = open_with(&(hm_gpu_options){0});
    hm_gpu_recording *r = NULL;
    OK(cuda->record(gpu, &err));
    OK(cuda->keep(gpu, &r, &err));
    OK(cuda->replay(gpu, r, &err));
    OK(cuda->wait(gpu, &err));
    assert_int_equal(soft.calls("cuGraphInstantiateWithFlags") + soft.calls("cuGraphLaunch"), 0);
    cuda->drop(gpu, &r);
    cuda->close(&gpu);
}

static void a_recording_that_cannot_be_made_leaves_nothing_behind(void **state)
{
    (void)state;
    static const char *const entries[] = {"cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphGetNodes",
                                          "cuGraphInstantiateWithFlags"};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        char settings[200];
        snprintf(settings, sizeof settings, SETTINGS " HM_SOFT_FAIL=%s:1:801", entries[i]);
        soft_settings(&soft, settings);
        hm_gpu *gpu = open_with(&(hm_gpu_options){.timestamps = i % 2});
        float *a = floats(gpu, 100);
        hm_gpu_recording *r = NULL;
        hm_error why = {0};
        hm_status st = cuda->record(gpu, &why);
        if (!st) {
            OK(launch_fill(gpu, a, 1, 100, &err));
            st = cuda->keep(gpu, &r, &why);
        }
        assert_int_equal(st, HM_EABSENT);
        assert_null(r);
        if (!strstr(why.text, entries[i]) || !strstr(why.text, "CUDA_ERROR_NOT_SUPPORTED"))
            fail_msg("%s", why.text);
        cuda->close(&gpu);
        see_clean(NULL);
    }
    hm_gpu *gpu = open_with(&(hm_gpu_options){0});
    OK(cuda->record(gpu, &err));
    OK(launch_fill(gpu, floats(gpu, 100), 1, 100, &err));
    cuda->close(&gpu); /* in the middle of it */
}

static void arguments_are_held_against_what_the_kernel_takes(void **state)
{
    (void)state;
    hm_gpu *gpu = open_with(&(hm_gpu_options){0});
    float *a = floats(gpu, 100);
    const hm_gpu_value wide[] = {hm_gpu_pointer(a), hm_gpu_i64(1), hm_gpu_i64(1)};
    const hm_gpu_value good[] = {hm_gpu_pointer(a), hm_gpu_f32(1), hm_gpu_i64(1), hm_gpu_i64(1)};
    const hm_gpu_command command = {.kernel = HM_K_fill, .groups = {1, 1, 1}, .values = wide, .count = 3};
    hm_gpu_command c = command;
    FAILS(HM_EBUG, "argument 1 has 8 bytes, the kernel takes 4", cuda->launch(gpu, &c, 0, &err));
    c.values = good;
    c.count = 4;
    FAILS(HM_EBUG, "hm_fill takes 3 arguments, found 4", cuda->launch(gpu, &c, 0, &err));
    c.count = 3;
    c.shared = 16;
    FAILS(HM_EBUG, "16 bytes of shared memory, the table of kernels says at most 0", cuda->launch(gpu, &c, 0, &err));
    c.shared = 0;
    c.groups[1] = 65536;
    FAILS(HM_EBUG, "65536 groups in dimension 1", cuda->launch(gpu, &c, 0, &err));
    assert_int_equal(soft.calls("cuLaunchKernelEx"), 0);
    FAILS(HM_EBUG, "multiple of 4", cuda->fill(gpu, (char *)a + 2, 0, 8, 0, &err));
    cuda->close(&gpu);
}

static void times_lie_in_order_where_the_host_saw_them(void **state)
{
    (void)state;
    hm_gpu *gpu = open_with(&(hm_gpu_options){.timestamps = true});
    float *a = floats(gpu, 1000);
    hm_gpu_recording *r = NULL;
    hm_gpu_time times[64];
    OK(cuda->record(gpu, &err));
    OK(launch_fill(gpu, a, 1, 1000, &err));
    OK(launch_fill(gpu, a, 2, 10, &err));
    OK(cuda->keep(gpu, &r, &err));
    for (int round = 0; round < 2; round++) {
        int64_t begin = hm_now_ns();
        for (int i = 0; i < 9; i++)
            OK(cuda->replay(gpu, r, &err)); /* each waits for the times of the one before */
        OK(cuda->fill(gpu, a, 0, 4, 1, &err));
        OK(cuda->replay(gpu, r, &err));
        OK(cuda->wait(gpu, &err));
        int64_t end = hm_now_ns(), slack = 50000000; /* both clocks of the software device are one, but a busy machine reads them late */
        assert_int_equal(cuda->take_times(gpu, 1, times, 64), 21);
        for (int i = 0; i < 21; i++) {
            assert_int_equal(times[i].replayed, i != 18);
            assert_int_equal(times[i].bytes, i == 18 ? 4 : 0);
            assert_int_equal(times[i].kind, i == 18 ? HM_DEVICE_FILL : HM_DEVICE_KERNEL);
            assert_true(times[i].begin_ns >= begin - slack && times[i].end_ns >= times[i].begin_ns && times[i].end_ns <= end + slack);
            assert_true(!i || times[i].begin_ns >= times[i - 1].end_ns);
        }
        if (!round)
            usleep(1100000); /* the clocks meet anew */
    }
    cuda->drop(gpu, &r);
    OK(cuda->wait(gpu, &err));
    cuda->close(&gpu);
}

static void a_kernel_that_went_wrong_ends_everything_with_its_sentence(void **state)
{
    (void)state;
    soft_settings(&soft, SETTINGS " HM_SOFT_LOST=3");
    hm_gpu *gpu = open_with(&(hm_gpu_options){0});
    float *a = floats(gpu, 1000);
    hm_error why = {0};
    for (int i = 0; i < 3; i++) /* the last of them loses the device */
        OK(launch_fill(gpu, a, 1, 1000, &err));
    assert_int_equal(cuda->wait(gpu, &why), HM_EABSENT);
    assert_non_null(strstr(why.text, "CUDA_ERROR_ECC_UNCORRECTABLE: the device failed"));
    FAILS(HM_EABSENT, "CUDA_ERROR_ECC_UNCORRECTABLE", launch_fill(gpu, a, 1, 1000, &err));
    FAILS(HM_EABSENT, "CUDA_ERROR_ECC_UNCORRECTABLE", cuda->record(gpu, &err));
    cuda->close(&gpu);
}

/* In processes of their own: the library is opened once. */
static void run_alone(const char *what)
{
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    pid_t child = fork();
    if (!child) {
        execl(self, self, what, (char *)NULL);
        _exit(2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status)
        fail_msg("%s: status %d", what, status);
}

static const char *const unsuited[][3] = {
    {"HM_SOFT_VERSION=11080", "the driver is for CUDA 11.8, this build was made with", "install a newer driver"},
    {"HM_SOFT_FAIL=cuInit:1:100", "cuInit: CUDA_ERROR_NO_DEVICE", "CUDA_VISIBLE_DEVICES"},
    {"HM_SOFT_FAIL=cuInit:1:34", "CUDA_ERROR_STUB_LIBRARY", "install NVIDIA's driver"},
    {"HM_SOFT_FAIL=cuInit:1:803", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "install both from the same release"},
    {"HM_SOFT_CAPABILITY=75", "is a GPU", "software device"},
};

static int look_at(const char *settings)
{
    for (size_t i = 0; i < sizeof unsuited / sizeof *unsuited; i++) {
        hm_gpu *gpu = NULL;
        if (strcmp(unsuited[i][0], settings))
            continue;
        soft_settings(NULL, settings);
        for (int again = 0; again < 2; again++) { /* the second time as the first */
            hm_error err = {0};
            if (cuda->open(&gpu, &(hm_gpu_options){0}, &err) != HM_EABSENT || gpu || !strstr(err.text, unsuited[i][1]) ||
                !strstr(err.text, unsuited[i][2])) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
            }
        }
        return 0;
    }
    return 2;
}

static void a_driver_or_device_that_does_not_suit_is_said_with_what_to_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof unsuited / sizeof *unsuited; i++)
        run_alone(unsuited[i][0]);
}

int main(int argc, char **argv)
{
    if (!soft_there())
        return 77;
    if (argc == 2)
        return look_at(argv[1]);
    soft_load(&soft, SETTINGS);
#define CASE(name) cmocka_unit_test_setup_teardown(name, use_settings, see_clean)
    const struct CMUnitTest tests[] = {
        CASE(a_uuid_is_taken_as_nvidia_writes_it),
        CASE(a_recording_is_one_graph_and_a_replay_one_launch_of_it),
        CASE(memory_comes_and_goes_in_the_middle_of_a_recording),
        CASE(an_empty_recording_is_no_graph),
        CASE(a_recording_that_cannot_be_made_leaves_nothing_behind),
        CASE(arguments_are_held_against_what_the_kernel_takes),
        CASE(times_lie_in_order_where_the_host_saw_them),
        CASE(a_kernel_that_went_wrong_ends_everything_with_its_sentence),
        CASE(a_driver_or_device_that_does_not_suit_is_said_with_what_to_do),
    };
    return cmocka_run_group_tests_name("cuda_driver", tests, NULL, NULL);
}
