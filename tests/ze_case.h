/* For tests on the software device of tests/ze_soft: chosen before the library is loaded, its counts by name. */
#ifndef HM_TESTS_ZE_CASE_H
#define HM_TESTS_ZE_CASE_H

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

#include "engine/ze/ze.h"

/* What the software device tells (soft.h). */
typedef struct ze_soft {
    void (*reload)(void);
    uint64_t (*calls)(const char *entry);
    uint64_t (*misuses)(const char **first);
    uint64_t (*alive)(void);
} ze_soft;

/* Whether there is one to test on; else says what is missing. Must be the first thing that a test program does. */
static inline bool ze_case_there(void)
{
#ifdef HM_ZE_SOFT
    void *loader = dlopen("libze_loader.so.1", RTLD_NOW);
    if (!hm_ze_built || !loader) {
        fprintf(stderr, "skipped: no loader of Level Zero (packages libze-dev, libze1)\n");
        return false;
    }
    setenv("ZE_ENABLE_ALT_DRIVERS", HM_ZE_SOFT, 1);
    return true;
#else
    fprintf(stderr, "skipped: no software device was built (packages ocl-icd-opencl-dev, pocl-opencl-icd, libze-dev, llvm-spirv-15)\n");
    return false;
#endif
}

/* Settings of the software device, "HM_SOFT_DEFER=1 HM_SOFT_DEVICES=2", in the place of all others; counts begin anew. */
static inline void ze_case_settings(const ze_soft *soft, const char *settings)
{
    static const char *const names[] = {"HM_SOFT_DEFER",     "HM_SOFT_GUARD",     "HM_SOFT_FAIL",       "HM_SOFT_LOST",
                                        "HM_SOFT_MEMORY_MB", "HM_SOFT_DEVICES",   "HM_SOFT_TIMER_BITS", "HM_SOFT_TIMER_NS",
                                        "HM_SOFT_SYSMAN",    "HM_SOFT_TIMEOUT_S", "HM_SOFT_API_MINOR"};
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
static inline void ze_case_load(ze_soft *soft, const char *settings)
{
#ifdef HM_ZE_SOFT
    static hm_ze_device devices[HM_ZE_DEVICES];
    hm_error err = {0};
    int count;
    ze_case_settings(NULL, settings);
    if (hm_ze_list(devices, HM_ZE_DEVICES, &count, &err))
        fail_msg("%s", err.text);
    void *library = dlopen(HM_ZE_SOFT, RTLD_NOW | RTLD_NOLOAD);
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
static inline void ze_case_clean(const ze_soft *soft)
{
    const char *first = NULL;
    if (soft->misuses(&first))
        fail_msg("%s", first);
    assert_int_equal(soft->alive(), 0);
}

#endif
