/* What the software device looks for: handles of nothing, memory of nobody, missing waits, what is touched out of turn, what is left. */
#define _GNU_SOURCE
#include "tests/ze/soft_client.h"

#include <jansson.h>
#include <unistd.h>

#include "tests/run_program.h"

static const ze_group_count_t one_group = {1, 1, 1};

static int open_all(void **state)
{
    (void)state;
    soft_set(NULL);
    client_open();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    client_close();
    assert_int_equal(soft.alive(), 0);
    soft_set(NULL);
    return 0;
}

/* One misuse was noted, and this is said of it. */
static void expect_misuse(const char *text)
{
    const char *first = NULL;
    uint64_t count = soft.misuses(&first);
    if (count != 1 || !strstr(first, text))
        fail_msg("expected one misuse, \"%s\", found %d: %s", text, (int)count, first ? first : "none");
    soft.reload();
}

#define MISUSE(result, call, text)      \
    do {                                \
        assert_int_equal(call, result); \
        expect_misuse(text);            \
    } while (0)

/* --- wrong calls --- */

static void handles_and_structures_are_looked_at(void **state)
{
    (void)state;
    const ze_command_list_desc_t wrong = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC}, right = {.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC};
    ze_command_list_handle_t list = NULL;
    int not_a_handle[4] = {0};
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListCreate(ze.context, ze.device, &wrong, &list), "stype of desc");
    MISUSE(ZE_RESULT_ERROR_INVALID_NULL_HANDLE, zeEventHostReset(NULL), "event: the handle is NULL");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeEventHostReset((ze_event_handle_t)not_a_handle), "is no handle");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeEventHostReset((ze_event_handle_t)ze.module),
           "event: the handle is of another thing, module");
    OK(zeCommandListCreate(ze.context, ze.device, &right, &list));
    OK(zeCommandListDestroy(list));
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListClose(list), "list: it was destroyed");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeModuleDestroy((ze_module_handle_t)ze.pool), "of another thing, event pool");
}

static void lists_and_queues_are_used_in_turn(void **state)
{
    (void)state;
    const ze_command_list_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC};
    const ze_command_queue_desc_t queue_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC};
    ze_command_list_handle_t list = NULL;
    ze_command_queue_handle_t queue = NULL;
    OK(zeCommandListCreate(ze.context, ze.device, &desc, &list));
    OK(zeCommandQueueCreate(ze.context, ze.device, &queue_desc, &queue));
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL), "is not closed");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandQueueExecuteCommandLists(queue, 1, &ze.list, NULL), "is immediate");
    OK(zeCommandListClose(list));
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendBarrier(list, NULL, 0, NULL), "for a closed list");
    OK(zeCommandQueueDestroy(queue));
    OK(zeCommandListDestroy(list));
}

static void launches_are_complete(void **state)
{
    (void)state;
    const int two = 2;
    const short small = 2;
    const ze_group_count_t none = {1, 0, 1};
    int on_stack = 0, *host = &on_stack, *y = client_memory(sizeof *y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    client_argument(step, 0, y);
    client_argument(step, 1, two);
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendLaunchKernel(ze.list, step, &one_group, NULL, 0, NULL),
           "argument 2 of soft_step is not set");
    MISUSE(ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_SIZE, zeKernelSetArgumentValue(step, 2, sizeof small, &small), "takes 4 bytes, not 2");
    MISUSE(ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_INDEX, zeKernelSetArgumentValue(step, 3, sizeof two, &two), "none is 3");
    client_argument(step, 2, two);
    MISUSE(ZE_RESULT_ERROR_INVALID_GROUP_SIZE_DIMENSION, zeKernelSetGroupSize(step, 2, 1, 1), "compiled for 1x1x1");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendLaunchKernel(ze.list, step, &none, NULL, 0, NULL), "1x0x1 groups");
    client_argument(step, 0, host);
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendLaunchKernel(ze.list, step, &one_group, NULL, 0, NULL),
           "lies in no allocation");
    client_argument(step, 0, y);
    OK(zeCommandListAppendLaunchKernel(ze.list, step, &one_group, NULL, 0, NULL));
    client_wait();
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeModuleDestroy(ze.module), "1 kernels of the module live");
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, y));
}

static void copies_stay_inside_and_memory_is_given_back_whole(void **state)
{
    (void)state;
    char host[128] = {0}, *p = client_memory(100);
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendMemoryCopy(ze.list, p + 50, host, 51, NULL, 0, NULL),
           "of which 50 are in its allocation");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendMemoryCopy(ze.list, host, p, 101, NULL, 0, NULL), "at the source");
    MISUSE(ZE_RESULT_ERROR_UNSUPPORTED_SIZE, zeCommandListAppendMemoryFill(ze.list, p, host, 3, 99, NULL, 0, NULL), "a pattern of 3 bytes");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeMemFree(ze.context, p + 1), "1 bytes inside an allocation");
    OK(zeMemFree(ze.context, p));
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeMemFree(ze.context, p), "lies in no allocation");
    p = client_memory(100);
    p[100] = 1; /* the host reaches it while it is not guarded */
    OK(zeMemFree(ze.context, p));
    expect_misuse("was written 1 bytes behind its end");
}

static void events_are_used_one_thing_at_a_time(void **state)
{
    (void)state;
    const ze_event_desc_t taken = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC, .index = 3};
    ze_event_handle_t event = NULL;
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeEventCreate(ze.pool, &taken, &event), "event 3 of the pool is in use");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeEventPoolDestroy(ze.pool), "8 events of the pool live");
    OK(zeCommandListAppendBarrier(ze.list, ze.events[1], 1, &ze.events[0]));
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeEventHostReset(ze.events[1]), "is reset while 1 commands");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeEventDestroy(ze.events[0]), "is destroyed while 1 commands");
    OK(zeEventHostSignal(ze.events[0]));
    OK(zeEventHostSynchronize(ze.events[1], UINT64_MAX));
}

static void a_wait_for_what_nobody_signals_ends(void **state)
{
    (void)state;
    soft_set("TIMEOUT_S=1");
    assert_int_equal(zeEventHostSynchronize(ze.events[2], UINT64_MAX), ZE_RESULT_ERROR_DEVICE_LOST);
    expect_misuse("nobody signals it");
    OK(zeCommandListAppendBarrier(ze.list, ze.events[1], 1, &ze.events[0]));
    assert_int_equal(zeEventHostSynchronize(ze.events[1], UINT64_MAX), ZE_RESULT_ERROR_DEVICE_LOST);
    expect_misuse("nobody signals it");
    OK(zeEventHostSignal(ze.events[0]));
}

/* --- late, and in another order --- */

static void what_is_not_waited_for_is_not_done(void **state)
{
    (void)state;
    int y = 1, zero = 0;
    soft_set("DEFER=1");
    int *on_y = client_upload(&y, sizeof y);
    OK(zeCommandListAppendMemoryCopy(ze.list, &zero, on_y, sizeof zero, NULL, 0, NULL));
    assert_int_equal(zero, 0);
    client_wait();
    assert_int_equal(zero, 1);
    OK(zeCommandListAppendMemoryCopy(ze.list, &y, on_y, sizeof y, ze.events[0], 0, NULL));
    while (zeEventQueryStatus(ze.events[0]) == ZE_RESULT_NOT_READY) /* late, but not never */
        usleep(1000);
    OK(zeEventHostReset(ze.events[0]));
    OK(zeMemFree(ze.context, on_y));
    assert_int_equal(soft.misuses(NULL), 0);
}

/* y = (1 * 2 + 1) * 3, or in the other order 1 * 3 * 2 + 1. */
static int two_steps(int *on_y, ze_kernel_handle_t step, bool barrier, ze_event_handle_t event)
{
    int y = 1;
    OK(zeCommandListAppendMemoryCopy(ze.list, on_y, &y, sizeof y, NULL, 0, NULL));
    client_wait();
    client_step(ze.list, step, on_y, 2, 1, event, 0, NULL);
    if (barrier)
        OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_step(ze.list, step, on_y, 3, 0, NULL, event ? 1 : 0, event ? &event : NULL);
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(&y, on_y, sizeof y);
    if (event)
        OK(zeEventHostReset(event));
    return y;
}

static void a_missing_barrier_shows_and_barriers_and_events_keep_the_order(void **state)
{
    (void)state;
    soft_set("DEFER=1");
    int *on_y = client_memory(sizeof *on_y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    assert_int_equal(two_steps(on_y, step, false, NULL), 7);
    assert_int_equal(two_steps(on_y, step, true, NULL), 9);
    assert_int_equal(two_steps(on_y, step, false, ze.events[0]), 9);
    soft_set(NULL);
    assert_int_equal(two_steps(on_y, step, false, NULL), 9);
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, on_y));
    assert_int_equal(soft.misuses(NULL), 0);
}

static void lists_wait_for_one_another_by_events_alone(void **state)
{
    (void)state;
    int y = 1;
    ze_command_list_handle_t other = NULL;
    soft_set("DEFER=1");
    OK(client_list(&other));
    int *on_y = client_upload(&y, sizeof y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    client_step(ze.list, step, on_y, 2, 1, NULL, 0, NULL);
    client_step(other, step, on_y, 3, 0, ze.events[0], 0, NULL);
    OK(zeEventHostSynchronize(ze.events[0], UINT64_MAX));
    client_wait();
    client_download(&y, on_y, sizeof y);
    assert_int_equal(y, 7);
    OK(zeEventHostReset(ze.events[0]));
    client_step(ze.list, step, on_y, 2, 1, ze.events[1], 0, NULL);
    client_step(other, step, on_y, 3, 0, ze.events[0], 1, &ze.events[1]);
    OK(zeEventHostSynchronize(ze.events[0], UINT64_MAX));
    client_download(&y, on_y, sizeof y);
    assert_int_equal(y, 45);
    OK(zeCommandListDestroy(other));
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, on_y));
    assert_int_equal(soft.misuses(NULL), 0);
}

static void what_still_waits_is_not_taken_away(void **state)
{
    (void)state;
    const ze_command_list_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC};
    const ze_command_queue_desc_t queue_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC};
    ze_command_list_handle_t list = NULL;
    ze_command_queue_handle_t queue = NULL;
    int y = 1;
    soft_set("DEFER=1");
    int *on_y = client_upload(&y, sizeof y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    OK(zeCommandListCreate(ze.context, ze.device, &desc, &list));
    OK(zeCommandQueueCreate(ze.context, ze.device, &queue_desc, &queue));
    client_step(list, step, on_y, 2, 1, NULL, 1, &ze.events[0]);
    OK(zeCommandListClose(list));
    OK(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL));
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL), "still runs");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListReset(list), "reset while 1 of its commands wait");
    MISUSE(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeKernelDestroy(step), "1 launches of soft_step wait");
    OK(zeEventHostSignal(ze.events[0]));
    OK(zeCommandQueueSynchronize(queue, UINT64_MAX));
    OK(zeEventHostReset(ze.events[0]));
    OK(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL));
    OK(zeMemFree(ze.context, on_y));
    expect_misuse("is freed while it is argument 0 of soft_step, which waits");
    OK(zeEventHostSignal(ze.events[0]));
    assert_int_equal(zeCommandQueueSynchronize(queue, UINT64_MAX), ZE_RESULT_ERROR_DEVICE_LOST);
    expect_misuse("lies in no allocation any more");
    OK(zeCommandQueueDestroy(queue));
    OK(zeCommandListDestroy(list));
    OK(zeKernelDestroy(step));
}

/* --- in processes of their own --- */

static void host_reads_device_memory(void)
{
    volatile int *p = client_memory(64);
    fprintf(stderr, "read %d\n", *p);
}

static void host_reads_what_is_done(void)
{
    int y = 7, *p = client_upload(&y, sizeof y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    client_step(ze.list, step, p, 2, 0, NULL, 0, NULL);
    client_wait();
    fprintf(stderr, "read %d\n", *(volatile int *)p);
}

static void kernel_reads_behind_the_end(void)
{
    const long at = 64 / sizeof(int);
    int *y = client_memory(sizeof *y), *x = client_memory(64);
    ze_kernel_handle_t reads = client_kernel("soft_read", 1);
    client_argument(reads, 0, y);
    client_argument(reads, 1, x);
    client_argument(reads, 2, at);
    OK(zeCommandListAppendLaunchKernel(ze.list, reads, &one_group, NULL, 0, NULL));
    client_wait();
}

static void kernel_reads_what_nobody_wrote(void)
{
    const long at = 3;
    int found = 0, *y = client_memory(sizeof *y), *x = client_memory(64);
    ze_kernel_handle_t reads = client_kernel("soft_read", 1);
    client_argument(reads, 0, y);
    client_argument(reads, 1, x);
    client_argument(reads, 2, at);
    OK(zeCommandListAppendLaunchKernel(ze.list, reads, &one_group, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(&found, y, sizeof found);
    fprintf(stderr, "found 0x%x\n", (unsigned)found);
}

static void leave_things(void)
{
    (void)client_memory(64);
    zeEventHostReset(NULL);
}

static void tidy(void)
{
    client_close();
}

static const struct child {
    const char *name;
    void (*run)(void);
} children[] = {
    {"host_reads_device_memory", host_reads_device_memory},
    {"host_reads_what_is_done", host_reads_what_is_done},
    {"kernel_reads_behind_the_end", kernel_reads_behind_the_end},
    {"kernel_reads_what_nobody_wrote", kernel_reads_what_nobody_wrote},
    {"leave_things", leave_things},
    {"tidy", tidy},
};

static int run_child(const char *name)
{
    client_open();
    for (size_t i = 0; i < sizeof children / sizeof *children; i++)
        if (!strcmp(children[i].name, name))
            children[i].run();
    return 0;
}

/* One of the above, with these settings of the environment ("HM_SOFT_GUARD=1"). */
static hm_run in_child(const char *name, const char *first, const char *second, const char *third)
{
    char self[4096],
        *argv[] = {"/usr/bin/env", "ASAN_OPTIONS=detect_leaks=0", /* they leave things on purpose */
                   (char *)first,  (char *)(second ? second : first), (char *)(third ? third : first), self, "--child", (char *)name, NULL};
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    return run_command(argv, NULL, 60, 0);
}

static void expect_fault(const char *name, const char *mode, const char *text)
{
    hm_run run = in_child(name, "HM_SOFT_GUARD=1", mode, NULL);
    if (run.code != 139 && run.code != 128 + SIGSEGV)
        fail_msg("%s: expected a fault, found exit code %d: %s", name, run.code, run.err);
    if (!strstr(run.err, text))
        fail_msg("%s: expected \"%s\", found %s", name, text, run.err);
    run_free(&run);
}

static void guarded_memory_is_out_of_the_hosts_reach_and_ends_where_it_ends(void **state)
{
    (void)state;
    static const char *const modes[] = {"HM_SOFT_DEFER=0", "HM_SOFT_DEFER=1"};
    for (int i = 0; i < 2; i++) {
        expect_fault("host_reads_device_memory", modes[i], "by the host");
        expect_fault("host_reads_what_is_done", modes[i], "by the host");
        expect_fault("kernel_reads_behind_the_end", modes[i], "fault at byte 64 of allocation");
        hm_run run = in_child("kernel_reads_what_nobody_wrote", "HM_SOFT_GUARD=1", modes[i], NULL);
        expect_code(&run, 0, "found 0xa5a5a5a5");
    }
}

static int64_t report_number(const json_t *report, const char *object, const char *name)
{
    return json_integer_value(json_object_get(object ? json_object_get(report, object) : report, name));
}

static void what_is_left_is_reported_when_the_driver_is_unloaded(void **state)
{
    (void)state;
    char report[64], setting[96], trace[96];
    snprintf(report, sizeof report, "soft-report-%d.json", (int)getpid());
    snprintf(setting, sizeof setting, "HM_SOFT_REPORT=%s", report);
    snprintf(trace, sizeof trace, "HM_SOFT_TRACE=%s.calls", report);
    hm_run run = in_child("leave_things", setting, trace, NULL);
    expect_code(&run, 0, "13 not given back: 1 of memory 1 of context 1 of module 1 of event pool 8 of event 1 of list");
    json_t *read = json_load_file(report, 0, NULL);
    assert_non_null(read);
    assert_int_equal(report_number(read, NULL, "leaked"), 13);
    assert_int_equal(report_number(read, "leaks", "event"), 8);
    assert_int_equal(report_number(read, "calls", "zeEventCreate"), 8);
    assert_int_equal(report_number(read, NULL, "misuse_count"), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(read, "misuse"), 0)),
                        "zeEventHostReset: event: the handle is NULL");
    json_decref(read);
    char *calls = report + strlen(report);
    strcpy(calls, ".calls");
    size_t bytes = 0;
    char *text = client_read(report, &bytes);
    text[bytes - 1] = 0;
    assert_non_null(strstr(text, " zeContextCreate\n"));
    assert_non_null(strstr(text, " zeMemAllocDevice\n"));
    free(text);
    remove(report);
    *calls = 0;
    remove(report);
}

static void the_validation_layer_finds_nothing_and_nothing_is_left(void **state)
{
    (void)state;
    hm_run run = in_child("tidy", "ZE_ENABLE_VALIDATION_LAYER=1", "ZE_ENABLE_PARAMETER_VALIDATION=1", "HM_SOFT_GUARD=1");
    if (strstr(run.err, "not given back") || strstr(run.err, "misuse"))
        fail_msg("%s", run.err);
    expect_code(&run, 0, NULL);
}

int main(int argc, char **argv)
{
    soft_use();
    if (!soft_present())
        return 77;
    if (argc == 3 && !strcmp(argv[1], "--child"))
        return run_child(argv[2]);
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
        CASE(handles_and_structures_are_looked_at),
        CASE(lists_and_queues_are_used_in_turn),
        CASE(launches_are_complete),
        CASE(copies_stay_inside_and_memory_is_given_back_whole),
        CASE(events_are_used_one_thing_at_a_time),
        CASE(a_wait_for_what_nobody_signals_ends),
        CASE(what_is_not_waited_for_is_not_done),
        CASE(a_missing_barrier_shows_and_barriers_and_events_keep_the_order),
        CASE(lists_wait_for_one_another_by_events_alone),
        CASE(what_still_waits_is_not_taken_away),
        cmocka_unit_test(guarded_memory_is_out_of_the_hosts_reach_and_ends_where_it_ends),
        cmocka_unit_test(what_is_left_is_reported_when_the_driver_is_unloaded),
        cmocka_unit_test(the_validation_layer_finds_nothing_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
