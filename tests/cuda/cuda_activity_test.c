/* Records of CUPTI: decoded from buffers made by hand, walked by the real library, which does that without a driver; how they find the
 * calls that asked for them; what is said where nothing can be traced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cuda.h>
#include <cupti.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/cuda/activity_impl.h"

static void *library;
static CUptiResult (*get_next)(uint8_t *, size_t, CUpti_Activity **);
static CUptiResult (*get_timestamp)(uint64_t *);

static bool open_library(void)
{
    static const char *const places[] = {"", "/usr/local/cuda/lib64/"};
    char path[64];
    for (int i = 0; i < 2 && !library; i++) {
        snprintf(path, sizeof path, "%slibcupti.so.%d", places[i], CUDA_VERSION / 1000);
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (!library)
        return false;
    *(void **)(&get_next) = dlsym(library, "cuptiActivityGetNextRecord");
    *(void **)(&get_timestamp) = dlsym(library, "cuptiGetTimestamp");
    return get_next && get_timestamp;
}

/* --- decoding --- */

static _Alignas(8) uint8_t buffer[4096];
static size_t used;
static hm_activity found[16];
static int count;

static void put(const void *record, size_t bytes)
{
    memcpy(buffer + used, record, bytes);
    used += bytes;
}

static int next(void *self, uint8_t *records, size_t valid_bytes, void **record)
{
    (void)self;
    CUpti_Activity *at = *record;
    CUptiResult result = get_next(records, valid_bytes, &at);
    *record = at;
    return (int)result;
}

static hm_status keep(void *self, const hm_activity *activity, hm_error *err)
{
    (void)self;
    if (count == 16)
        return hm_fail(err, HM_EBUG, "more than 16 records");
    found[count++] = *activity;
    return HM_OK;
}

static hm_status decode(size_t valid_bytes, hm_error *err)
{
    const hm_activity_reader reader = {NULL, next, keep};
    count = 0;
    return hm_activity_decode(buffer, valid_bytes, &reader, err);
}

static int clear(void **state)
{
    (void)state;
    memset(buffer, 0, sizeof buffer);
    used = 0;
    return 0;
}

static void put_link(uint32_t correlation, uint64_t call, CUpti_ExternalCorrelationKind kind)
{
    const CUpti_ActivityExternalCorrelation r = {
        .kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION, .externalKind = kind, .externalId = call, .correlationId = correlation};
    put(&r, sizeof r);
}

static void put_kernel(const char *name, uint64_t start, uint32_t correlation, uint32_t stream, uint64_t node)
{
    const CUpti_ActivityKernel10 r = {.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                      .start = start,
                                      .end = start + 100,
                                      .name = name,
                                      .correlationId = correlation,
                                      .streamId = stream,
                                      .graphNodeId = node};
    put(&r, sizeof r);
}

static void each_kind_of_record_is_decoded(void **state)
{
    (void)state;
    hm_error err;
    const CUpti_ActivityMemcpy6 copy = {
        .kind = CUPTI_ACTIVITY_KIND_MEMCPY, .bytes = 4096, .start = 300, .end = 350, .correlationId = 12, .streamId = 13};
    const CUpti_ActivityMemset4 fill = {
        .kind = CUPTI_ACTIVITY_KIND_MEMSET, .bytes = 64, .start = 400, .end = 410, .correlationId = 13, .graphNodeId = 6};
    const CUpti_ActivitySynchronization2 wait = {.kind = CUPTI_ACTIVITY_KIND_SYNCHRONIZATION,
                                                 .type = CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE,
                                                 .start = 420,
                                                 .end = 500};
    const CUpti_ActivityOverhead3 overhead = {
        .kind = CUPTI_ACTIVITY_KIND_OVERHEAD, .overheadKind = CUPTI_ACTIVITY_OVERHEAD_CUPTI_BUFFER_FLUSH, .start = 500, .end = 600};
    put_link(11, 77, CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0);
    put_kernel("hm_rows", 100, 11, 7, 0x100000005);
    put(&copy, sizeof copy);
    put(&fill, sizeof fill);
    put(&wait, sizeof wait);
    put(&overhead, sizeof overhead);
    assert_int_equal(decode(used, &err), HM_OK);
    assert_int_equal(count, 6);
    assert_int_equal(found[0].what, HM_ACTIVITY_LINK);
    assert_int_equal(found[0].correlation, 11);
    assert_int_equal(found[0].call, 77);
    assert_int_equal(found[1].what, HM_ACTIVITY_WORK);
    assert_int_equal(found[1].kind, HM_DEVICE_KERNEL);
    assert_string_equal(found[1].name, "hm_rows");
    assert_int_equal(found[1].begin, 100);
    assert_int_equal(found[1].end, 200);
    assert_int_equal(found[1].stream, 7);
    assert_int_equal(found[1].graph_node, 0x100000005);
    assert_int_equal(found[2].kind, HM_DEVICE_COPY);
    assert_int_equal(found[2].bytes, 4096);
    assert_int_equal(found[2].stream, 13);
    assert_int_equal(found[2].begin, 300);
    assert_int_equal(found[3].kind, HM_DEVICE_FILL);
    assert_int_equal(found[3].graph_node, 6);
    assert_int_equal(found[3].correlation, 13);
    assert_int_equal(found[4].what, HM_ACTIVITY_ASIDE);
    assert_string_equal(found[4].name, "wait for stream");
    assert_int_equal(found[4].end, 500);
    assert_int_equal(found[5].kind, HM_DEVICE_OVERHEAD);
    assert_string_equal(found[5].name, "CUPTI: flush of buffers");
}

static void records_that_are_not_used_are_passed_over(void **state)
{
    (void)state;
    hm_error err;
    const CUpti_ActivityAPI api = {.kind = CUPTI_ACTIVITY_KIND_DRIVER, .start = 1, .end = 2, .correlationId = 3};
    put_link(1, 2, CUPTI_EXTERNAL_CORRELATION_KIND_OPENACC); /* another's */
    put(&api, sizeof api);
    put_kernel(NULL, 5, 3, 7, 0);
    assert_int_equal(decode(used, &err), HM_OK);
    assert_int_equal(count, 1);
    assert_string_equal(found[0].name, "kernel");
    assert_int_equal(decode(0, &err), HM_OK);
    assert_int_equal(count, 0);
}

static void a_buffer_that_is_no_buffer_is_an_error(void **state)
{
    (void)state;
    hm_error err;
    put_kernel("hm_rows", 100, 11, 7, 0);
    memset(buffer + used, 0xee, 64);
    assert_int_equal(decode(used + 64, &err), HM_EABSENT);
    assert_non_null(strstr(err.text, "cannot read a buffer"));
    assert_int_equal(count, 1);
}

/* --- calls --- */

static hm_gpu_clock zero_clock(void)
{
    hm_gpu_clock clock;
    hm_gpu_clock_init(&clock, 1000000000, 64);
    hm_gpu_clock_read(&clock, 0, 1000); /* CUPTI's 1000 is our 0 */
    return clock;
}

static hm_activity_calls *open_calls(void)
{
    hm_activity_calls *calls;
    hm_error err;
    assert_int_equal(hm_activity_calls_open(&calls, &err), HM_OK);
    return calls;
}

static void record(hm_activity_calls *calls, const hm_activity *activity)
{
    hm_error err;
    const hm_gpu_clock clock = zero_clock();
    assert_int_equal(hm_activity_calls_record(calls, activity, &clock, &err), HM_OK);
}

static void record_link(hm_activity_calls *calls, uint32_t correlation, uint64_t call)
{
    record(calls, &(hm_activity){.what = HM_ACTIVITY_LINK, .correlation = correlation, .call = call});
}

static void record_kernel(hm_activity_calls *calls, const char *name, uint32_t correlation, uint32_t stream, uint64_t begin)
{
    record(calls, &(hm_activity){.name = name, .correlation = correlation, .stream = stream, .begin = begin, .end = begin + 10});
}

static int64_t matched(hm_activity_calls *calls)
{
    int64_t missing = -1;
    hm_error err;
    assert_int_equal(hm_activity_calls_match(calls, &missing, &err), HM_OK);
    return missing;
}

static void commands_find_their_calls_whatever_comes_first(void **state)
{
    (void)state;
    hm_error err;
    hm_gpu_time times[4];
    hm_activity_calls *calls = open_calls();
    char name[] = "hm_first";
    uint64_t first = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 1, .commands = 1}, 40, &err);
    uint64_t second = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 2, .commands = 1}, 50, &err);
    record_kernel(calls, "hm_second", 901, 21, 1200);
    record_kernel(calls, name, 900, 7, 1100);
    memset(name, 'x', sizeof name - 1); /* CUPTI's own memory */
    assert_int_equal(matched(calls), 2);
    record_link(calls, 901, second);
    record_link(calls, 900, first);
    assert_int_equal(matched(calls), 0);
    assert_int_equal(hm_activity_calls_forget(calls), 0);
    assert_int_equal(hm_activity_calls_take(calls, 1, times, 4), 1);
    assert_string_equal(times[0].name, "hm_first");
    assert_int_equal(times[0].begin_ns, 100);
    assert_int_equal(times[0].end_ns, 110);
    assert_int_equal(times[0].asked_ns, 40);
    assert_false(times[0].replayed);
    assert_int_equal(hm_activity_calls_take(calls, 1, times, 4), 0);
    assert_int_equal(hm_activity_calls_take(calls, 2, times, 4), 1);
    assert_int_equal(times[0].asked_ns, 50);
    assert_int_not_equal(times[0].stream, -1);
    hm_activity_calls_close(&calls);
}

static void nodes_of_a_graph_are_one_call_on_one_stream(void **state)
{
    (void)state;
    hm_error err;
    hm_gpu_time times[4];
    hm_activity_calls *calls = open_calls();
    uint64_t graph = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 3, .replayed = true, .commands = 3}, 5, &err);
    record_link(calls, 8, graph);
    record_kernel(calls, "hm_a", 8, 7, 1010);
    record_kernel(calls, "hm_b", 8, 30, 1020);
    assert_int_equal(matched(calls), 1);
    record_kernel(calls, "hm_c", 8, 31, 1030);
    assert_int_equal(matched(calls), 0);
    assert_int_equal(hm_activity_calls_take(calls, 3, times, 2), 2); /* room for two */
    assert_int_equal(hm_activity_calls_take(calls, 3, times + 2, 2), 1);
    for (int i = 0; i < 3; i++) {
        assert_true(times[i].replayed);
        assert_int_equal(times[i].asked_ns, 5);
        assert_int_equal(times[i].stream, 0);
    }
    assert_string_equal(times[2].name, "hm_c");
    hm_activity_calls_close(&calls);
}

static void a_librarys_call_may_ask_for_several_commands(void **state)
{
    (void)state;
    hm_error err;
    hm_gpu_time times[4];
    hm_activity_calls *calls = open_calls();
    uint64_t call = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 1, .commands = 0}, 5, &err);
    assert_int_equal(matched(calls), 1);
    record_link(calls, 60, call);
    record_link(calls, 61, call);
    record_kernel(calls, "gemm", 60, 7, 1010);
    record_kernel(calls, "reduce", 61, 7, 1020);
    assert_int_equal(matched(calls), 0);
    assert_int_equal(hm_activity_calls_take(calls, 1, times, 4), 2);
    hm_activity_calls_close(&calls);
}

static void what_belongs_to_no_call_is_counted_and_what_is_no_command_told(void **state)
{
    (void)state;
    hm_error err;
    hm_gpu_time times[4];
    hm_activity_calls *calls = open_calls();
    uint64_t call = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 1, .commands = 1}, 5, &err);
    record_kernel(calls, "someone else's", 4, 7, 1500);
    record(calls, &(hm_activity){.what = HM_ACTIVITY_ASIDE, .kind = HM_DEVICE_WAIT, .name = "wait for stream", .begin = 1005, .end = 1300});
    assert_int_equal(matched(calls), 1);
    assert_int_equal(hm_activity_calls_forget(calls), 1);
    assert_int_equal(hm_activity_calls_take(calls, 9, times, 4), 1); /* nobody's: whoever asks */
    assert_int_equal(times[0].kind, HM_DEVICE_WAIT);
    assert_int_equal(times[0].begin_ns, 5);
    record_link(calls, 4, call); /* too late: forgotten */
    record_kernel(calls, "late", 4, 7, 1600);
    assert_int_equal(matched(calls), 0);
    assert_int_equal(hm_activity_calls_forget(calls), 1);
    assert_int_equal(hm_activity_calls_take(calls, 1, times, 4), 0);
    hm_activity_calls_close(&calls);
}

static void a_command_without_times_is_seen_and_not_told(void **state)
{
    (void)state;
    hm_error err;
    hm_gpu_time times[4];
    hm_activity_calls *calls = open_calls();
    uint64_t call = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 1, .commands = 1}, 5, &err);
    record_link(calls, 3, call);
    record(calls, &(hm_activity){.name = "hm_a", .correlation = 3});
    assert_int_equal(matched(calls), 0);
    assert_int_equal(hm_activity_calls_take(calls, 1, times, 4), 0);
    hm_activity_calls_close(&calls);
}

static void thousands_of_calls_are_matched(void **state)
{
    (void)state;
    hm_error err;
    hm_gpu_time times[64];
    int told = 0;
    char name[16];
    hm_activity_calls *calls = open_calls();
    for (uint32_t i = 0; i < 5000; i++) {
        uint64_t call = hm_activity_calls_add(calls, &(hm_activity_call){.tag = 1, .commands = 1}, i, &err);
        record_link(calls, 100 + i, call);
        snprintf(name, sizeof name, "hm_%u", i % 40);
        record_kernel(calls, name, 100 + i, 7, 1000 + 20 * i);
    }
    assert_int_equal(matched(calls), 0);
    for (int n; (n = hm_activity_calls_take(calls, 1, times, 64)); told += n)
        assert_int_equal(times[0].begin_ns, 20 * told);
    assert_int_equal(told, 5000);
    hm_activity_calls_close(&calls);
}

/* --- the library itself --- */

static void its_clock_is_told_in_ours(void **state)
{
    (void)state;
    hm_gpu_clock clock;
    uint64_t theirs;
    hm_gpu_clock_init(&clock, 1000000000, 64);
    for (int i = 0; i < 3; i++) {
        int64_t before = hm_now_ns();
        assert_int_equal(get_timestamp(&theirs), CUPTI_SUCCESS);
        int64_t after = hm_now_ns();
        hm_gpu_clock_read(&clock, before + (after - before) / 2, theirs);
    }
    int64_t before = hm_now_ns();
    assert_int_equal(get_timestamp(&theirs), CUPTI_SUCCESS);
    int64_t after = hm_now_ns(), told = hm_gpu_clock_ns(&clock, theirs);
    assert_in_range(told, before - 20000000, after + 20000000); /* a loaded machine interrupts readings */
}

static void without_a_driver_one_line_says_that_nothing_is_traced(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* and it can be tried again */
        hm_activity_trace *trace = (void *)1;
        hm_error err = {0};
        hm_status st = hm_activity_open(&trace, NULL, &err);
        if (!st) {
            hm_activity_close(&trace);
            print_message("this machine has a driver\n");
            skip();
        }
        assert_int_equal(st, HM_EABSENT);
        assert_null(trace);
        assert_ptr_equal(strstr(err.text, "tracing not available: cupti"), err.text);
        assert_null(strchr(err.text, '\n'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_kind_of_record_is_decoded, clear),
        cmocka_unit_test_setup(records_that_are_not_used_are_passed_over, clear),
        cmocka_unit_test_setup(a_buffer_that_is_no_buffer_is_an_error, clear),
        cmocka_unit_test(commands_find_their_calls_whatever_comes_first),
        cmocka_unit_test(nodes_of_a_graph_are_one_call_on_one_stream),
        cmocka_unit_test(a_librarys_call_may_ask_for_several_commands),
        cmocka_unit_test(what_belongs_to_no_call_is_counted_and_what_is_no_command_told),
        cmocka_unit_test(a_command_without_times_is_seen_and_not_told),
        cmocka_unit_test(thousands_of_calls_are_matched),
        cmocka_unit_test(its_clock_is_told_in_ours),
        cmocka_unit_test(without_a_driver_one_line_says_that_nothing_is_traced),
    };
    if (!open_library()) {
        print_message("skipped: libcupti.so.%d is not found\n", CUDA_VERSION / 1000);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
