#define _GNU_SOURCE /* pipe2 */
#include "tests/kill_case.h"

static void two_hundred_kills_lose_at_most_the_run_in_progress(void **state)
{
    (void)state;
    kill_often(200, 1200);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_hundred_kills_lose_at_most_the_run_in_progress, kill_setup, kill_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
