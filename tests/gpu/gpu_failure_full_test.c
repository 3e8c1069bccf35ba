/* Every entry of the driver's interface that the program calls fails once: at its first call, in the middle, at its last one. */
#define _GNU_SOURCE
#include "tests/gpu/failure_case.h"

static json_t *whole; /* the report of a run in which nothing fails */

static void every_entry_that_the_program_calls_may_fail(void **state)
{
    (void)state;
    const char *entry;
    json_t *calls;
    int entries = 0;
    json_object_foreach(json_object_get(whole, "calls"), entry, calls)
    {
        int count = (int)json_integer_value(calls), which[] = {1, (count + 1) / 2, count};
        for (int n = 0; n < 3; n++)
            if (!n || which[n] > which[n - 1])
                failure_of(entry, which[n], NULL);
        entries++;
    }
    assert_true(entries > 30);
}

static void every_entry_may_fail_for_good(void **state)
{
    (void)state;
    const char *entry;
    json_t *calls;
    json_object_foreach(json_object_get(whole, "calls"), entry, calls)
    {
        failure_of(entry, 0, FAILURE_UNKNOWN);
        failure_of(entry, 0, FAILURE_LOSS);
    }
}

static int prepare(void **state)
{
    (void)state;
    whole = failure_begin();
    return 0;
}

static int clean_up(void **state)
{
    json_decref(whole);
    return remove_folder(state);
}

int main(void)
{
    if (!soft_there())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_that_the_program_calls_may_fail),
        cmocka_unit_test(every_entry_may_fail_for_good),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
