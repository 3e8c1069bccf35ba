/* The software device through the real loader: it computes, orders, times and counts as a device of Level Zero does. */
#define _GNU_SOURCE
#include "tests/ze/soft_client.h"

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
    assert_int_equal(soft.misuses(NULL), 0);
    soft_set(NULL);
    return 0;
}

/* --- what it says of itself --- */

static void the_loader_finds_one_device_that_says_what_it_is(void **state)
{
    (void)state;
    ze_device_properties_t p = {.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES};
    ze_device_compute_properties_t c = {.stype = ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES};
    ze_api_version_t api;
    uint32_t devices = 0;
    OK(zeDeviceGet(ze.driver, &devices, NULL));
    assert_int_equal(devices, 1);
    OK(zeDriverGetApiVersion(ze.driver, &api));
    assert_int_equal(api, ZE_API_VERSION_CURRENT);
    OK(zeDeviceGetProperties(ze.device, &p));
    assert_non_null(strstr(p.name, "software device"));
    assert_int_equal(p.type, ZE_DEVICE_TYPE_GPU);
    assert_memory_equal(p.uuid.id, "hmsoft", 6);
    assert_int_equal(p.timerResolution, 52);
    p = (ze_device_properties_t){.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES_1_2};
    OK(zeDeviceGetProperties(ze.device, &p));
    assert_int_equal(p.timerResolution, 1000000000 / 52);
    OK(zeDeviceGetComputeProperties(ze.device, &c));
    assert_int_equal(c.numSubGroupSizes, 0);
}

static void a_second_device_has_memory_of_its_own(void **state)
{
    (void)state;
    soft_set("DEVICES=2");
    ze_device_handle_t both[2];
    ze_device_properties_t p = {.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES};
    const ze_device_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
    const ze_group_count_t one = {1, 1, 1};
    uint32_t count = 2;
    void *there = NULL;
    int two = 2;
    OK(zeDeviceGet(ze.driver, &count, both));
    assert_int_equal(count, 2);
    OK(zeDeviceGetProperties(both[1], &p));
    assert_int_equal(p.uuid.id[15], '1');
    OK(zeMemAllocDevice(ze.context, &desc, 64, 64, both[1], &there));
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    client_argument(step, 0, there);
    client_argument(step, 1, two);
    client_argument(step, 2, two);
    REFUSED(ZE_RESULT_ERROR_INVALID_ARGUMENT, zeCommandListAppendLaunchKernel(ze.list, step, &one, NULL, 0, NULL));
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, there));
    assert_int_equal(soft.misuses(NULL), 1);
    soft_set(NULL);
}

static void kernels_tell_their_arguments_and_groups(void **state)
{
    (void)state;
    ze_kernel_properties_t p = {.stype = ZE_STRUCTURE_TYPE_KERNEL_PROPERTIES};
    const char *names[16];
    uint32_t count = 0;
    size_t bytes = 0;
    char name[32];
    OK(zeModuleGetKernelNames(ze.module, &count, NULL));
    assert_int_equal(count, 6);
    OK(zeModuleGetKernelNames(ze.module, &count, names));
    ze_kernel_handle_t sum = client_kernel("soft_sum", 64);
    OK(zeKernelGetProperties(sum, &p));
    assert_int_equal(p.numKernelArgs, 3);
    assert_int_equal(p.requiredGroupSizeX, 64);
    OK(zeKernelGetName(sum, &bytes, NULL));
    assert_int_equal(bytes, sizeof "soft_sum");
    OK(zeKernelGetName(sum, &bytes, name));
    assert_string_equal(name, "soft_sum");
    OK(zeKernelDestroy(sum));
}

/* --- what it computes --- */

static void a_kernel_adds_from_the_middle_of_an_allocation(void **state)
{
    (void)state;
    enum {
        N = 1000
    };
    float a[N], b[2 * N], y[N];
    const int n = N;
    const ze_group_count_t groups = {(N + 63) / 64, 1, 1};
    for (int i = 0; i < N; i++)
        a[i] = (float)i;
    for (int i = 0; i < 2 * N; i++)
        b[i] = 3.0f * (float)i;
    float *on_a = client_upload(a, sizeof a), *on_b = client_upload(b, sizeof b), *on_y = client_memory(sizeof y), *half = on_b + N;
    ze_kernel_handle_t add = client_kernel("soft_add", 64);
    client_argument(add, 0, on_a);
    client_argument(add, 1, half);
    client_argument(add, 2, on_y);
    client_argument(add, 3, n);
    OK(zeCommandListAppendLaunchKernel(ze.list, add, &groups, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(y, on_y, sizeof y);
    for (int i = 0; i < N; i++)
        assert_float_equal(y[i], a[i] + b[N + i], 0);
    OK(zeKernelDestroy(add));
    OK(zeMemFree(ze.context, on_a));
    OK(zeMemFree(ze.context, on_b));
    OK(zeMemFree(ze.context, on_y));
}

static void groups_lie_in_three_dimensions(void **state)
{
    (void)state;
    int y[4 * 6 * 2];
    const ze_group_count_t groups = {2, 3, 2};
    int *on_y = client_memory(sizeof y);
    ze_kernel_handle_t place = client_kernel("soft_place", 1);
    OK(zeKernelSetGroupSize(place, 2, 2, 1));
    client_argument(place, 0, on_y);
    OK(zeCommandListAppendLaunchKernel(ze.list, place, &groups, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(y, on_y, sizeof y);
    for (int at = 0; at < 4 * 6 * 2; at++)
        assert_int_equal(y[at], at % 4 / 2 + 100 * (at / 4 % 6 / 2) + 10000 * (at / 24));
    OK(zeKernelDestroy(place));
    OK(zeMemFree(ze.context, on_y));
}

static void arguments_have_every_type(void **state)
{
    (void)state;
    const char a = -3;
    const short b = -300;
    const int c = 70000;
    const long d = -5000000000;
    const float e = 0.25f;
    const double f = 1e100;
    double y[6];
    const ze_group_count_t one = {1, 1, 1};
    double *on_y = client_memory(sizeof y);
    ze_kernel_handle_t types = client_kernel("soft_types", 1);
    client_argument(types, 0, on_y);
    client_argument(types, 1, a);
    client_argument(types, 2, b);
    client_argument(types, 3, c);
    client_argument(types, 4, d);
    client_argument(types, 5, e);
    client_argument(types, 6, f);
    OK(zeCommandListAppendLaunchKernel(ze.list, types, &one, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(y, on_y, sizeof y);
    assert_true(y[0] == -3 && y[1] == -300 && y[2] == 70000 && y[3] == -5000000000.0 && y[4] == 0.25 && y[5] == 1e100);
    OK(zeKernelDestroy(types));
    OK(zeMemFree(ze.context, on_y));
}

static void local_memory_is_given_by_its_size_and_pointers_may_be_null(void **state)
{
    (void)state;
    int x[64], y = 0;
    const long at = 5;
    const ze_group_count_t one = {1, 1, 1};
    for (int i = 0; i < 64; i++)
        x[i] = i;
    int *on_x = client_upload(x, sizeof x), *on_y = client_memory(sizeof y);
    ze_kernel_handle_t sum = client_kernel("soft_sum", 64), reads = client_kernel("soft_read", 1);
    client_argument(sum, 0, on_x);
    client_argument(sum, 1, on_y);
    OK(zeKernelSetArgumentValue(sum, 2, 64 * sizeof(int), NULL));
    OK(zeCommandListAppendLaunchKernel(ze.list, sum, &one, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(&y, on_y, sizeof y);
    assert_int_equal(y, 63 * 64 / 2);
    client_argument(reads, 0, on_y);
    OK(zeKernelSetArgumentValue(reads, 1, sizeof(void *), NULL));
    client_argument(reads, 2, at);
    OK(zeCommandListAppendLaunchKernel(ze.list, reads, &one, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(&y, on_y, sizeof y);
    assert_int_equal(y, -1);
    OK(zeKernelDestroy(sum));
    OK(zeKernelDestroy(reads));
    OK(zeMemFree(ze.context, on_x));
    OK(zeMemFree(ze.context, on_y));
}

static void memory_is_filled_and_copied(void **state)
{
    (void)state;
    uint32_t y[100];
    const uint32_t pattern = 0xabcd1234;
    char *p = client_memory(sizeof y);
    OK(zeCommandListAppendMemoryFill(ze.list, p, &pattern, sizeof pattern, sizeof y, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    OK(zeCommandListAppendMemoryFill(ze.list, p + 40, "", 1, 4, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    client_download(y, p, sizeof y);
    for (int i = 0; i < 100; i++)
        assert_int_equal(y[i], i == 10 ? 0 : pattern);
    OK(zeMemFree(ze.context, p));
}

/* --- lists, queues, events --- */

static void a_recorded_list_keeps_its_arguments_and_runs_many_times(void **state)
{
    (void)state;
    const ze_command_list_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC};
    const ze_command_queue_desc_t queue_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC};
    const ze_fence_desc_t fence_desc = {.stype = ZE_STRUCTURE_TYPE_FENCE_DESC};
    ze_command_list_handle_t list = NULL;
    ze_command_queue_handle_t queue = NULL;
    ze_fence_handle_t fence = NULL;
    int y = 1;
    int *on_y = client_upload(&y, sizeof y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    OK(zeCommandListCreate(ze.context, ze.device, &desc, &list));
    OK(zeCommandQueueCreate(ze.context, ze.device, &queue_desc, &queue));
    OK(zeFenceCreate(queue, &fence_desc, &fence));
    client_step(list, step, on_y, 2, 1, NULL, 0, NULL);
    OK(zeCommandListAppendBarrier(list, NULL, 0, NULL));
    client_step(list, step, on_y, 3, 0, NULL, 0, NULL); /* the same kernel with other arguments */
    OK(zeCommandListAppendBarrier(list, NULL, 0, NULL));
    OK(zeCommandListClose(list));
    for (int i = 0; i < 5; i++) {
        OK(zeCommandQueueExecuteCommandLists(queue, 1, &list, fence));
        OK(zeFenceHostSynchronize(fence, UINT64_MAX));
        OK(zeFenceReset(fence));
        y = (y * 2 + 1) * 3;
    }
    int found = 0;
    client_download(&found, on_y, sizeof found);
    assert_int_equal(found, y);
    OK(zeCommandListReset(list));
    client_step(list, step, on_y, 0, 7, NULL, 0, NULL);
    OK(zeCommandListClose(list));
    OK(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL));
    OK(zeCommandQueueSynchronize(queue, UINT64_MAX));
    client_download(&found, on_y, sizeof found);
    assert_int_equal(found, 7);
    OK(zeFenceDestroy(fence));
    OK(zeCommandQueueDestroy(queue));
    OK(zeCommandListDestroy(list));
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, on_y));
}

static void a_list_waits_for_an_event_of_the_host(void **state)
{
    (void)state;
    int y = 1;
    int *on_y = client_upload(&y, sizeof y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    client_step(ze.list, step, on_y, 2, 0, ze.events[1], 1, &ze.events[0]);
    REFUSED(ZE_RESULT_NOT_READY, zeEventQueryStatus(ze.events[1]));
    REFUSED(ZE_RESULT_NOT_READY, zeEventHostSynchronize(ze.events[1], 1000000));
    OK(zeEventHostSignal(ze.events[0]));
    OK(zeEventHostSynchronize(ze.events[1], UINT64_MAX));
    client_download(&y, on_y, sizeof y);
    assert_int_equal(y, 2);
    OK(zeEventHostReset(ze.events[0]));
    OK(zeEventHostReset(ze.events[1]));
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, on_y));
}

static void timestamps_have_the_width_and_rate_that_are_asked_for(void **state)
{
    (void)state;
    ze_device_properties_t p = {.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES};
    ze_kernel_timestamp_result_t t;
    uint64_t host = 0, device = 0;
    int y = 1;
    soft_set("TIMER_BITS=8", "TIMER_NS=1000");
    OK(zeDeviceGetProperties(ze.device, &p));
    assert_int_equal(p.timestampValidBits, 8);
    assert_int_equal(p.timerResolution, 1000);
    OK(zeDeviceGetGlobalTimestamps(ze.device, &host, &device));
    assert_int_equal(device, host / 1000 % 256);
    int *on_y = client_upload(&y, sizeof y);
    ze_kernel_handle_t step = client_kernel("soft_step", 1);
    for (int i = 0; i < 200; i++) {
        client_step(ze.list, step, on_y, 1, 0, ze.events[0], 0, NULL);
        OK(zeEventHostSynchronize(ze.events[0], UINT64_MAX));
        OK(zeEventQueryKernelTimestamp(ze.events[0], &t));
        assert_true(t.global.kernelStart < 256 && t.global.kernelEnd < 256);
        OK(zeEventHostReset(ze.events[0]));
    }
    OK(zeKernelDestroy(step));
    OK(zeMemFree(ze.context, on_y));
}

/* --- modules --- */

static void a_module_comes_back_from_its_native_binary_unless_that_is_damaged(void **state)
{
    (void)state;
    size_t bytes = 0;
    OK(zeModuleGetNativeBinary(ze.module, &bytes, NULL));
    uint8_t *native = malloc(bytes);
    assert_non_null(native);
    OK(zeModuleGetNativeBinary(ze.module, &bytes, native));
    ze_module_handle_t again = NULL;
    OK(client_module(ZE_MODULE_FORMAT_NATIVE, native, bytes, &again, NULL));
    OK(zeModuleDestroy(again));
    REFUSED(ZE_RESULT_ERROR_INVALID_NATIVE_BINARY, client_module(ZE_MODULE_FORMAT_NATIVE, native, bytes - 1, &again, NULL));
    native[bytes / 2] ^= 1;
    REFUSED(ZE_RESULT_ERROR_INVALID_NATIVE_BINARY, client_module(ZE_MODULE_FORMAT_NATIVE, native, bytes, &again, NULL));
    REFUSED(ZE_RESULT_ERROR_INVALID_NATIVE_BINARY, client_module(ZE_MODULE_FORMAT_NATIVE, native, 4, &again, NULL));
    free(native);
}

static void a_module_that_cannot_be_built_has_a_log(void **state)
{
    (void)state;
    ze_module_handle_t module = NULL;
    ze_module_build_log_handle_t log = NULL;
    char text[512] = "";
    size_t bytes = 0;
    uint32_t broken[32] = {0x07230203, 0x00010100, 0, 8, 0, 0xffff000f};
    REFUSED(ZE_RESULT_ERROR_MODULE_BUILD_FAILURE, client_module(ZE_MODULE_FORMAT_IL_SPIRV, broken, sizeof broken, &module, &log));
    assert_non_null(log);
    OK(zeModuleBuildLogGetString(log, &bytes, NULL));
    assert_in_range(bytes, 2, sizeof text);
    OK(zeModuleBuildLogGetString(log, &bytes, text));
    assert_non_null(strstr(text, "SPIR-V"));
    OK(zeModuleBuildLogDestroy(log));
    const ze_kernel_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_KERNEL_DESC, .pKernelName = "soft_none"};
    ze_kernel_handle_t kernel = NULL;
    REFUSED(ZE_RESULT_ERROR_INVALID_KERNEL_NAME, zeKernelCreate(ze.module, &desc, &kernel));
}

/* --- Sysman --- */

static void sysman_tells_memory_energy_and_activity_or_nothing(void **state)
{
    (void)state;
    zes_device_handle_t device = (zes_device_handle_t)ze.device;
    zes_mem_handle_t memory = NULL;
    zes_pwr_handle_t power = NULL;
    zes_engine_handle_t engine = NULL;
    zes_freq_handle_t frequency = NULL;
    zes_temp_handle_t sensor = NULL;
    zes_mem_state_t before = {.stype = ZES_STRUCTURE_TYPE_MEM_STATE}, after = {.stype = ZES_STRUCTURE_TYPE_MEM_STATE};
    zes_freq_state_t clock = {.stype = ZES_STRUCTURE_TYPE_FREQ_STATE};
    zes_power_energy_counter_t energy = {0};
    zes_engine_stats_t activity = {0};
    uint32_t one = 1;
    double celsius = 0;
    OK(zesDeviceEnumMemoryModules(device, &one, &memory));
    OK(zesDeviceEnumPowerDomains(device, &one, &power));
    OK(zesDeviceEnumEngineGroups(device, &one, &engine));
    OK(zesDeviceEnumFrequencyDomains(device, &one, &frequency));
    OK(zesDeviceEnumTemperatureSensors(device, &one, &sensor));
    OK(zesMemoryGetState(memory, &before));
    void *p = client_memory(1 << 20);
    OK(zesMemoryGetState(memory, &after));
    assert_int_equal(before.free - after.free, 1 << 20);
    assert_int_equal(before.size, (uint64_t)2048 << 20);
    OK(zesPowerGetEnergyCounter(power, &energy));
    OK(zesEngineGetActivity(engine, &activity));
    assert_true(activity.timestamp > activity.activeTime);
    OK(zesFrequencyGetState(frequency, &clock));
    assert_in_range((int)clock.actual, 300, 1000);
    OK(zesTemperatureGetState(sensor, &celsius));
    assert_in_range((int)celsius, 40, 60);
    OK(zeMemFree(ze.context, p));
    soft_set("SYSMAN=none");
    REFUSED(ZE_RESULT_ERROR_UNSUPPORTED_FEATURE, zesDeviceEnumMemoryModules(device, &one, &memory));
    soft_set(NULL);
}

/* --- failures --- */

static void memory_ends_where_it_is_limited(void **state)
{
    (void)state;
    const ze_device_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
    void *p = NULL;
    soft_set("MEMORY_MB=3");
    void *first = client_memory(2 << 20);
    REFUSED(ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY, zeMemAllocDevice(ze.context, &desc, 2 << 20, 64, ze.device, &p));
    OK(zeMemFree(ze.context, first));
    OK(zeMemAllocDevice(ze.context, &desc, 2 << 20, 64, ze.device, &p));
    OK(zeMemFree(ze.context, p));
}

static void a_call_fails_when_it_is_told_to(void **state)
{
    (void)state;
    uint64_t host, device;
    soft_set("FAIL=zeDeviceGetGlobalTimestamps:2:0x78000010,zeEventQueryStatus:0");
    OK(zeDeviceGetGlobalTimestamps(ze.device, &host, &device));
    REFUSED(0x78000010, zeDeviceGetGlobalTimestamps(ze.device, &host, &device));
    OK(zeDeviceGetGlobalTimestamps(ze.device, &host, &device));
    assert_int_equal(soft.calls("zeDeviceGetGlobalTimestamps"), 3);
    for (int i = 0; i < 3; i++)
        REFUSED(ZE_RESULT_ERROR_UNKNOWN, zeEventQueryStatus(ze.events[0]));
    soft_set(NULL);
    REFUSED(ZE_RESULT_NOT_READY, zeEventQueryStatus(ze.events[0]));
}

static void a_lost_device_answers_nothing_but_takes_everything_back(void **state)
{
    (void)state;
    const uint32_t zero = 0;
    void *p = client_memory(64);
    soft_set("LOST=2");
    OK(zeCommandListAppendMemoryFill(ze.list, p, &zero, 4, 64, NULL, 0, NULL));
    OK(zeCommandListAppendBarrier(ze.list, NULL, 0, NULL));
    REFUSED(ZE_RESULT_ERROR_DEVICE_LOST, zeCommandListAppendMemoryFill(ze.list, p, &zero, 4, 64, ze.events[0], 0, NULL));
    REFUSED(ZE_RESULT_ERROR_DEVICE_LOST, zeEventHostSynchronize(ze.events[0], UINT64_MAX));
    REFUSED(ZE_RESULT_ERROR_DEVICE_LOST, zeDeviceGetStatus(ze.device));
    OK(zeMemFree(ze.context, p));
}

int main(void)
{
    soft_use();
    if (!soft_present())
        return 77;
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
        CASE(the_loader_finds_one_device_that_says_what_it_is),
        CASE(kernels_tell_their_arguments_and_groups),
        CASE(a_kernel_adds_from_the_middle_of_an_allocation),
        CASE(groups_lie_in_three_dimensions),
        CASE(arguments_have_every_type),
        CASE(local_memory_is_given_by_its_size_and_pointers_may_be_null),
        CASE(memory_is_filled_and_copied),
        CASE(a_recorded_list_keeps_its_arguments_and_runs_many_times),
        CASE(a_list_waits_for_an_event_of_the_host),
        CASE(timestamps_have_the_width_and_rate_that_are_asked_for),
        CASE(a_module_comes_back_from_its_native_binary_unless_that_is_damaged),
        CASE(a_module_that_cannot_be_built_has_a_log),
        CASE(sysman_tells_memory_energy_and_activity_or_nothing),
        CASE(memory_ends_where_it_is_limited),
        CASE(a_call_fails_when_it_is_told_to),
        CASE(a_lost_device_answers_nothing_but_takes_everything_back),
        CASE(a_second_device_has_memory_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
