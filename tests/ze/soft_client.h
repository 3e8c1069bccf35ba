/* A client of Level Zero on the software device: what the tests of that device share. Settings are the environment of ze_soft/soft.h. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: setenv"
#endif
#ifndef HM_TESTS_ZE_SOFT_CLIENT_H
#define HM_TESTS_ZE_SOFT_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <level_zero/ze_api.h>
#include <level_zero/zes_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the device's own account of itself --- */

static struct {
    void (*reload)(void);
    uint64_t (*calls)(const char *entry);
    uint64_t (*misuses)(const char **first);
    uint64_t (*alive)(void);
} soft;

/* Before the first call of Level Zero in a process. */
static inline void soft_use(void)
{
    setenv("ZE_ENABLE_ALT_DRIVERS", HM_ZE_SOFT, 1);
    setenv("ZES_ENABLE_SYSMAN", "1", 1);
    void *file = dlopen(HM_ZE_SOFT, RTLD_NOW);
    if (!file) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    *(void **)&soft.reload = dlsym(file, "hm_soft_reload");
    *(void **)&soft.calls = dlsym(file, "hm_soft_calls");
    *(void **)&soft.misuses = dlsym(file, "hm_soft_misuses");
    *(void **)&soft.alive = dlsym(file, "hm_soft_alive");
    if (!soft.reload || !soft.calls || !soft.misuses || !soft.alive) {
        fprintf(stderr, "%s lacks what tests ask it\n", HM_ZE_SOFT);
        exit(1);
    }
}

/* Whether there is OpenCL for it; it says so when there is none. */
static inline int soft_present(void)
{
    ze_result_t result = zeInit(ZE_INIT_FLAG_GPU_ONLY);
    if (result)
        fprintf(stderr, "skipped: zeInit: 0x%x: no OpenCL on the CPU: install pocl-opencl-icd\n", (unsigned)result);
    return !result;
}

/* Each setting as "NAME=value"; what is not named is as it usually is. */
static inline void soft_settings(const char *const *settings)
{
    static const char *const all[] = {"DEFER",      "GUARD",    "FAIL",   "LOST",      "MEMORY_MB", "DEVICES",
                                      "TIMER_BITS", "TIMER_NS", "SYSMAN", "TIMEOUT_S", "TRACE"};
    char name[128];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        snprintf(name, sizeof name, "HM_SOFT_%s", all[i]);
        unsetenv(name);
    }
    for (; settings && *settings; settings++) {
        const char *value = strchr(*settings, '=');
        snprintf(name, sizeof name, "HM_SOFT_%.*s", (int)(value - *settings), *settings);
        setenv(name, value + 1, 1);
    }
    soft.reload();
}
#define soft_set(...) soft_settings((const char *const[]){__VA_ARGS__, NULL})

/* --- a client --- */

static struct {
    ze_driver_handle_t driver;
    ze_device_handle_t device;
    ze_context_handle_t context;
    ze_module_handle_t module;
    ze_command_list_handle_t list; /* immediate */
    ze_event_pool_handle_t pool;
    ze_event_handle_t events[8];
} ze;

#define OK(call)                                                                       \
    do {                                                                               \
        ze_result_t ok_ = (call);                                                      \
        const char *why_ = NULL;                                                       \
        if (ok_) {                                                                     \
            soft.misuses(&why_);                                                       \
            fail_msg("%s: 0x%x: %s", #call, (unsigned)ok_, why_ ? why_ : "no misuse"); \
        }                                                                              \
    } while (0)
#define REFUSED(wanted, call) assert_int_equal(call, wanted)

static inline void *client_read(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    void *data = NULL;
    if (f && !fseek(f, 0, SEEK_END)) {
        *bytes = (size_t)ftell(f);
        rewind(f);
        data = malloc(*bytes);
        if (data && fread(data, 1, *bytes, f) != *bytes) {
            free(data);
            data = NULL;
        }
    }
    if (f)
        fclose(f);
    if (!data)
        fail_msg("%s cannot be read", path);
    return data;
}

static inline ze_result_t client_module(ze_module_format_t format, const void *data, size_t bytes, ze_module_handle_t *out,
                                        ze_module_build_log_handle_t *log)
{
    const ze_module_desc_t desc = {
        .stype = ZE_STRUCTURE_TYPE_MODULE_DESC, .format = format, .inputSize = bytes, .pInputModule = data, .pBuildFlags = ""};
    return zeModuleCreate(ze.context, ze.device, &desc, out, log);
}

static inline ze_result_t client_list(ze_command_list_handle_t *out)
{
    const ze_command_queue_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, .mode = ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS};
    return zeCommandListCreateImmediate(ze.context, ze.device, &desc, out);
}

static inline void client_open(void)
{
    const ze_context_desc_t context = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
    const ze_event_pool_desc_t pool = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC,
                                       .flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE | ZE_EVENT_POOL_FLAG_KERNEL_TIMESTAMP,
                                       .count = 8};
    uint32_t one = 1;
    OK(zeInit(ZE_INIT_FLAG_GPU_ONLY));
    OK(zeDriverGet(&one, &ze.driver));
    OK(zeDeviceGet(ze.driver, &one, &ze.device));
    OK(zeContextCreate(ze.driver, &context, &ze.context));
    size_t bytes = 0;
    void *spirv = client_read(HM_SOFT_SPIRV, &bytes);
    OK(client_module(ZE_MODULE_FORMAT_IL_SPIRV, spirv, bytes, &ze.module, NULL));
    free(spirv);
    OK(client_list(&ze.list));
    OK(zeEventPoolCreate(ze.context, &pool, 1, &ze.device, &ze.pool));
    for (uint32_t i = 0; i < 8; i++) {
        const ze_event_desc_t event = {
            .stype = ZE_STRUCTURE_TYPE_EVENT_DESC, .index = i, .signal = ZE_EVENT_SCOPE_FLAG_HOST, .wait = ZE_EVENT_SCOPE_FLAG_HOST};
        OK(zeEventCreate(ze.pool, &event, &ze.events[i]));
    }
}

static inline void client_close(void)
{
    OK(zeCommandListDestroy(ze.list));
    for (int i = 0; i < 8; i++)
        OK(zeEventDestroy(ze.events[i]));
    OK(zeEventPoolDestroy(ze.pool));
    OK(zeModuleDestroy(ze.module));
    OK(zeContextDestroy(ze.context));
}

static inline void *client_memory(size_t bytes)
{
    const ze_device_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
    void *p = NULL;
    OK(zeMemAllocDevice(ze.context, &desc, bytes, 64, ze.device, &p));
    return p;
}

/* All that the immediate list was asked for, through the last event. */
static inline void client_wait(void)
{
    OK(zeCommandListAppendBarrier(ze.list, ze.events[7], 0, NULL));
    OK(zeEventHostSynchronize(ze.events[7], UINT64_MAX));
    OK(zeEventHostReset(ze.events[7]));
}

static inline void *client_upload(const void *data, size_t bytes)
{
    void *p = client_memory(bytes);
    OK(zeCommandListAppendMemoryCopy(ze.list, p, data, bytes, NULL, 0, NULL));
    client_wait();
    return p;
}

static inline void client_download(void *data, const void *p, size_t bytes)
{
    OK(zeCommandListAppendMemoryCopy(ze.list, data, p, bytes, NULL, 0, NULL));
    client_wait();
}

static inline ze_kernel_handle_t client_kernel(const char *name, uint32_t group)
{
    const ze_kernel_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_KERNEL_DESC, .pKernelName = name};
    ze_kernel_handle_t kernel = NULL;
    OK(zeKernelCreate(ze.module, &desc, &kernel));
    OK(zeKernelSetGroupSize(kernel, group, 1, 1));
    return kernel;
}

#define client_argument(kernel, index, value) OK(zeKernelSetArgumentValue(kernel, index, sizeof(value), &(value)))

/* y = y * times + plus, into a list: needs what was before it. */
static inline void client_step(ze_command_list_handle_t list, ze_kernel_handle_t step, int *y, int times, int plus,
                               ze_event_handle_t signal, uint32_t waits, ze_event_handle_t *wait)
{
    const ze_group_count_t one = {1, 1, 1};
    client_argument(step, 0, y);
    client_argument(step, 1, times);
    client_argument(step, 2, plus);
    OK(zeCommandListAppendLaunchKernel(list, step, &one, signal, waits, wait));
}

#endif
