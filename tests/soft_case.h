/* For tests on a software device: that of Level Zero (tests/ze_soft), or with HM_TEST_CUDA that of CUDA (tests/cuda_soft). Chosen before
 * the library is loaded, its counts by name. */
#ifndef HM_TESTS_SOFT_CASE_H
#define HM_TESTS_SOFT_CASE_H

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/cuda/cuda.h"
#include "engine/gpu/driver.h"
#include "engine/ze/ze.h"

#ifdef HM_TEST_CUDA
#define SOFT_BACKEND "cuda"
#define SOFT_NAME "cuda_soft"
#define SOFT_DRIVER (&hm_cuda_driver)
#ifdef HM_CUDA_SOFT
#define SOFT_FILE HM_CUDA_SOFT
#endif
#else
#define SOFT_BACKEND "ze"
#define SOFT_NAME "ze_soft"
#define SOFT_DRIVER (&hm_ze_driver)
#ifdef HM_ZE_SOFT
#define SOFT_FILE HM_ZE_SOFT
#endif
#endif

/* What the software device tells (tests/soft/soft_common.h). */
typedef struct soft_library {
    void (*reload)(void);
    uint64_t (*calls)(const char *entry);
    uint64_t (*misuses)(const char **first);
    uint64_t (*alive)(void);
} soft_library;

/* Whether there is one to test on, which then is the only device of this process and of those it starts; else says what is missing. Must be
 * the first thing that a test program does. */
static inline bool soft_there(void)
{
#if !defined(SOFT_FILE)
    fprintf(stderr, "skipped: no software device was built (tests/" SOFT_NAME "/CMakeLists.txt tells what it needs)\n");
    return false;
#elif defined(HM_TEST_CUDA)
    char path[4096];
    const char *before = getenv("LD_LIBRARY_PATH");
    snprintf(path, sizeof path, "%.*s%s%s", (int)(strrchr(SOFT_FILE, '/') - SOFT_FILE), SOFT_FILE, before ? ":" : "", before ? before : "");
    setenv("LD_LIBRARY_PATH", path, 1);
    void *library = dlopen(SOFT_FILE, RTLD_NOW); /* found by its name from here on */
#ifdef HM_CUBLAS_SOFT
    if (library && !dlopen(HM_CUBLAS_SOFT, RTLD_NOW)) /* so is this, and not one of the machine */
        fprintf(stderr, "%s\n", dlerror());
#endif
    if (!library)
        fprintf(stderr, "%s\n", dlerror());
    assert_non_null(library);
    return true;
#else
    void *loader = dlopen("libze_loader.so.1", RTLD_NOW);
    if (!hm_ze_built || !loader) {
        fprintf(stderr, "skipped: no loader of Level Zero (packages libze-dev, libze1)\n");
        return false;
    }
    setenv("ZE_ENABLE_ALT_DRIVERS", SOFT_FILE, 1);
    return true;
#endif
}

/* Settings of the software device, "HM_SOFT_DEFER=1 HM_SOFT_DEVICES=2", in the place of all others; counts begin anew. */
static inline void soft_settings(const soft_library *soft, const char *settings)
{
    static const char *const names[] = {"HM_SOFT_DEFER",     "HM_SOFT_GUARD",      "HM_SOFT_FAIL",       "HM_SOFT_LOST",
                                        "HM_SOFT_MEMORY_MB", "HM_SOFT_DEVICES",    "HM_SOFT_TIMER_BITS", "HM_SOFT_TIMER_NS",
                                        "HM_SOFT_SYSMAN",    "HM_SOFT_TIMEOUT_S",  "HM_SOFT_API_MINOR",  "HM_SOFT_REVERSE",
                                        "HM_SOFT_SMS",       "HM_SOFT_CAPABILITY", "HM_SOFT_VERSION"};
    char *copy = strdup(settings), *rest = copy;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        char *value = strchr(word, '=');
        assert_non_null(value);
        *value = 0;
        setenv(word, value + 1, 1);
    }
    free(copy);
    if (soft)
        soft->reload();
}

/* Loads the device through the library, with the settings. */
static inline void soft_load(soft_library *soft, const char *settings)
{
#ifdef SOFT_FILE
    static hm_gpu_device devices[HM_GPU_DEVICES];
    hm_error err = {0};
    int count;
    soft_settings(NULL, settings);
    if (SOFT_DRIVER->list(devices, HM_GPU_DEVICES, &count, &err))
        fail_msg("%s", err.text);
    void *library = dlopen(SOFT_FILE, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    *(void **)&soft->reload = dlsym(library, "hm_soft_reload");
    *(void **)&soft->calls = dlsym(library, "hm_soft_calls");
    *(void **)&soft->misuses = dlsym(library, "hm_soft_misuses");
    *(void **)&soft->alive = dlsym(library, "hm_soft_alive");
    assert_true(soft->reload && soft->calls && soft->misuses && soft->alive);
#else
    (void)soft;
    (void)settings;
#endif
}

/* Everything was given back, and nothing was done that a device would not forgive. */
static inline void soft_clean(const soft_library *soft)
{
    const char *first = NULL;
    if (soft->misuses(&first))
        fail_msg("%s", first);
    assert_int_equal(soft->alive(), 0);
}

#endif
