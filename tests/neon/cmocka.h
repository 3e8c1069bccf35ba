/* As much of CMocka as kernel tests use, for machines that are emulated and have no libraries. */
#ifndef HM_TESTS_NEON_CMOCKA_H
#define HM_TESTS_NEON_CMOCKA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

static jmp_buf cmocka_back; /* longjmp's value: 1 failed, 2 skipped */

#define fail_msg(...)                              \
    do {                                           \
        printf("    %s:%d: ", __FILE__, __LINE__); \
        printf(__VA_ARGS__);                       \
        printf("\n");                              \
        longjmp(cmocka_back, 1);                   \
    } while (0)
#define skip() longjmp(cmocka_back, 2)
#define assert_true(c)          \
    do {                        \
        if (!(c))               \
            fail_msg("%s", #c); \
    } while (0)
#define assert_false(c) assert_true(!(c))
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_int_equal(a, b) assert_true((unsigned long long)(a) == (unsigned long long)(b))
#define assert_int_not_equal(a, b) assert_true((unsigned long long)(a) != (unsigned long long)(b))
#define assert_string_equal(a, b) assert_true(!strcmp(a, b))
#define assert_memory_equal(a, b, n) assert_true(!memcmp(a, b, n))
#define assert_in_range(a, low, high) assert_true((a) >= (low) && (a) <= (high))
#define cmocka_unit_test(f) \
    {                       \
#f, f               \
    }
#define cmocka_run_group_tests(tests, setup, teardown) cmocka_run(tests, sizeof(tests) / sizeof *(tests))

static inline int cmocka_run(const struct CMUnitTest *tests, size_t count)
{
    volatile int failed = 0; /* kept over a jump back */
    for (volatile size_t i = 0; i < count; i = i + 1) {
        void *state = NULL;
        printf("[ RUN      ] %s\n", tests[i].name);
        fflush(stdout);
        int how = setjmp(cmocka_back);
        if (!how)
            tests[i].run(&state);
        failed = failed + (how == 1);
        printf("[  %s ] %s\n", how == 1 ? "FAILED " : how == 2 ? "SKIPPED" : "     OK", tests[i].name);
    }
    return failed;
}

#endif
