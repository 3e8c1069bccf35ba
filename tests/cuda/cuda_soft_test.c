/* The software device of CUDA itself: what it computes, and what it tells of callers and kernels that do what no device forgives. */
#define _GNU_SOURCE
#define HM_TEST_CUDA
#include "engine/cuda/cuda_loader.h"
#include "tests/soft_case.h"

#define BYTES ((size_t)4096)

static soft_library soft;
static const hm_cuda_api *cu;

typedef struct session {
    CUcontext context;
    CUstream stream;
    CUmodule module;
    CUdeviceptr there;
} session;

static void begin(session *s, const char *settings)
{
    static const char image[] = "// PTX\n";
    hm_error err = {0};
    soft_settings(&soft, settings);
    assert_int_equal(hm_cuda_load(&cu, &err), HM_OK);
    assert_int_equal(cu->cuDevicePrimaryCtxRetain(&s->context, 0), CUDA_SUCCESS);
    assert_int_equal(cu->cuCtxSetCurrent(s->context), CUDA_SUCCESS);
    assert_int_equal(cu->cuStreamCreate(&s->stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    assert_int_equal(cu->cuModuleLoadDataEx(&s->module, image, 0, NULL, NULL), CUDA_SUCCESS);
    assert_int_equal(cu->cuMemAlloc_v2(&s->there, BYTES), CUDA_SUCCESS);
    assert_int_equal(cu->cuMemsetD32Async(s->there, 0, BYTES / 4, s->stream), CUDA_SUCCESS);
}

static void end(session *s)
{
    cu->cuMemFree_v2(s->there);
    cu->cuModuleUnload(s->module);
    cu->cuStreamDestroy_v2(s->stream);
    cu->cuCtxSetCurrent(NULL);
    cu->cuDevicePrimaryCtxRelease_v2(0);
    assert_int_equal(soft.alive(), 0);
}

static CUresult launch(session *s, const char *name, unsigned threads, unsigned shared)
{
    CUfunction f;
    void *values[] = {&s->there};
    const CUlaunchConfig config = {.gridDimX = 1,
                                   .gridDimY = 1,
                                   .gridDimZ = 1,
                                   .blockDimX = threads,
                                   .blockDimY = 1,
                                   .blockDimZ = 1,
                                   .sharedMemBytes = shared,
                                   .hStream = s->stream};
    assert_int_equal(cu->cuModuleGetFunction(&f, s->module, name), CUDA_SUCCESS);
    return cu->cuLaunchKernelEx(&config, f, values, NULL);
}

static void result(session *s, void *out, size_t bytes)
{
    assert_int_equal(cu->cuMemcpyDtoHAsync_v2(out, s->there, bytes, s->stream), CUDA_SUCCESS);
    assert_int_equal(cu->cuStreamSynchronize(s->stream), CUDA_SUCCESS);
}

static void expect_misuse(const char *words)
{
    const char *first = "nothing";
    if (!soft.misuses(&first) || !strstr(first, words))
        fail_msg("expected \"%s\", found \"%s\"", words, first);
}

static void a_barrier_that_half_a_block_reaches_is_told(void **state)
{
    (void)state;
    session s;
    begin(&s, "");
    assert_int_equal(launch(&s, "hm_cuda_soft_divergent", 64, 0), CUDA_ERROR_LAUNCH_FAILED);
    expect_misuse("hm_cuda_soft_divergent: block (0, 0, 0): threads disagree about a barrier: of 64 threads 32 wait");
    assert_int_equal(cu->cuStreamSynchronize(s.stream), CUDA_ERROR_LAUNCH_FAILED); /* and so does all that follows */
    end(&s);
}

static void a_barrier_that_is_missing_shows_in_one_order(void **state)
{
    (void)state;
    float y[2][64];
    for (int reverse = 0; reverse < 2; reverse++) {
        session s;
        begin(&s, reverse ? "HM_SOFT_REVERSE=1" : "");
        assert_int_equal(launch(&s, "hm_cuda_soft_no_barrier", 64, 0), CUDA_SUCCESS);
        result(&s, y[reverse], sizeof y[reverse]);
        end(&s);
        soft_clean(&soft);
    }
    assert_true(y[0][9] == 8.0f && y[1][9] != 8.0f);
}

static void shared_memory_begins_as_no_number(void **state)
{
    (void)state;
    float y[128];
    session s;
    begin(&s, "");
    assert_int_equal(launch(&s, "hm_cuda_soft_unset", 64, 256), CUDA_SUCCESS);
    result(&s, y, sizeof y);
    for (int i = 0; i < 128; i++)
        assert_true(y[i] != y[i]);
    end(&s);
    soft_clean(&soft);
}

static void words_of_warps_and_blocks_mean_what_cuda_says(void **state)
{
    (void)state;
    static const char *const settings[] = {"", "HM_SOFT_REVERSE=1", "HM_SOFT_DEFER=1 HM_SOFT_GUARD=1"};
    for (size_t n = 0; n < sizeof settings / sizeof *settings; n++) {
        int y[385];
        session s;
        begin(&s, settings[n]);
        assert_int_equal(launch(&s, "hm_cuda_soft_words", 64, 0), CUDA_SUCCESS);
        result(&s, y, sizeof y);
        for (int i = 0; i < 64; i++) {
            int lane = i % 32;
            assert_int_equal(y[i], i ^ 5);
            assert_int_equal(y[64 + i], lane < 2 ? i + 30 : i);
            assert_int_equal(y[128 + i], 0x49249249);
            assert_int_equal(y[192 + i], lane < 16 ? 120 : 376);
            assert_int_equal(y[256 + i], 40);
            assert_int_equal(y[320 + i], i / 8 * 8 + 3);
        }
        assert_int_equal(y[384], 2);
        end(&s);
        soft_clean(&soft);
    }
}

static void what_nobody_waits_for_comes_late(void **state)
{
    (void)state;
    uint32_t y = 7;
    session s;
    begin(&s, "HM_SOFT_DEFER=1");
    assert_int_equal(cu->cuMemsetD32Async(s.there, 5, 1, s.stream), CUDA_SUCCESS);
    assert_int_equal(cu->cuMemcpyDtoHAsync_v2(&y, s.there, sizeof y, s.stream), CUDA_SUCCESS);
    assert_int_equal(cu->cuStreamSynchronize(s.stream), CUDA_SUCCESS);
    assert_int_equal(y, 5);
    assert_int_equal(cu->cuMemsetD32Async(s.there, 6, 1, s.stream), CUDA_SUCCESS);
    assert_int_equal(cu->cuMemFree_v2(s.there), CUDA_SUCCESS);
    expect_misuse("is freed while a fill waits that uses it");
    assert_int_equal(cu->cuStreamSynchronize(s.stream), CUDA_SUCCESS);
    s.there = 0;
    end(&s);
}

static void misuse_of_the_interface_is_told(void **state)
{
    (void)state;
    session s;
    begin(&s, "");
    assert_int_equal(launch(&s, "hm_cuda_soft_words", 128, 0), CUDA_ERROR_INVALID_VALUE);
    expect_misuse("blocks of 128 threads; 64 at most");
    soft_settings(&soft, "");
    assert_int_equal(cu->cuMemsetD32Async(s.there, 0, BYTES / 4 + 1, s.stream), CUDA_ERROR_INVALID_VALUE);
    expect_misuse("4100 bytes at the destination, of which 4096 are in its allocation");
    soft_settings(&soft, "");
    assert_int_equal(cu->cuMemFree_v2(s.there + 64), CUDA_ERROR_INVALID_VALUE);
    expect_misuse("lies 64 bytes inside an allocation");
    soft_settings(&soft, "");
    assert_int_equal(cu->cuCtxSetCurrent(NULL), CUDA_SUCCESS);
    assert_int_equal(cu->cuStreamSynchronize(s.stream), CUDA_ERROR_INVALID_CONTEXT);
    expect_misuse("this thread has no context");
    cu->cuCtxSetCurrent(s.context);
    end(&s);
}

static int start(void **state)
{
    (void)state;
    soft_load(&soft, "");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_that_half_a_block_reaches_is_told),
        cmocka_unit_test(a_barrier_that_is_missing_shows_in_one_order),
        cmocka_unit_test(shared_memory_begins_as_no_number),
        cmocka_unit_test(words_of_warps_and_blocks_mean_what_cuda_says),
        cmocka_unit_test(what_nobody_waits_for_comes_late),
        cmocka_unit_test(misuse_of_the_interface_is_told),
    };
    return soft_there() ? cmocka_run_group_tests(tests, start, NULL) : 77;
}
