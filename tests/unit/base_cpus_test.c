/* How many CPUs control groups leave: both versions, nested, mounted elsewhere, and in containers that see a part of the tree. */
#define _GNU_SOURCE
#include "tests/system_tree.h"

#include <sched.h>

#include "engine/base/cpus.h"

#define SECOND "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define FIRST "33 32 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
#define SETS "34 32 0:29 / /sys/fs/cgroup/cpuset rw,relatime shared:6 - cgroup cgroup rw,cpuset\n"

static void put_self(const char *group, const char *mounts)
{
    empty_tree();
    put_file("proc/self", "cgroup", group);
    put_file("proc/self", "mountinfo", mounts);
}

static void expect_quota(double quota)
{
    double found = hm_cpu_quota(tree);
    if (found < quota - 1e-9 || found > quota + 1e-9)
        fail_msg("expected a quota of %g CPUs, found %g", quota, found);
}

static void no_control_groups_are_no_bound(void **state)
{
    (void)state;
    empty_tree();
    expect_quota(0);
    put_self("0::/\n", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    expect_quota(0);
    put_self("0::/a\n", SECOND);
    expect_quota(0);
    put_file("sys/fs/cgroup/a", "cpu.max", "max 100000\n");
    expect_quota(0);
}

static void the_least_quota_on_the_way_to_the_root_counts(void **state)
{
    (void)state;
    put_self("0::/user.slice/jobs/mine\n", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" SECOND);
    put_file("sys/fs/cgroup/user.slice/jobs/mine", "cpu.max", "max 100000\n");
    put_file("sys/fs/cgroup/user.slice/jobs", "cpu.max", "250000 100000\n");
    put_file("sys/fs/cgroup/user.slice", "cpu.max", "800000 100000\n");
    put_file("sys/fs/cgroup/other", "cpu.max", "1000 100000\n");
    expect_quota(2.5);
    put_file("sys/fs/cgroup/user.slice/jobs/mine", "cpu.max", "50000 100000\n");
    expect_quota(0.5);
}

static void version_one_has_quota_and_period_in_two_files(void **state)
{
    (void)state;
    put_self("9:cpuset:/elsewhere\n4:cpu,cpuacct:/docker/4f1\n1:name=systemd:/docker\n0::/\n", SETS FIRST);
    put_file("sys/fs/cgroup/cpu,cpuacct/docker/4f1", "cpu.cfs_quota_us", "-1\n");
    put_file("sys/fs/cgroup/cpu,cpuacct/docker/4f1", "cpu.cfs_period_us", "100000\n");
    expect_quota(0);
    put_file("sys/fs/cgroup/cpu,cpuacct/docker", "cpu.cfs_quota_us", "150000\n");
    expect_quota(0); /* without a period it says nothing */
    put_file("sys/fs/cgroup/cpu,cpuacct/docker", "cpu.cfs_period_us", "50000\n");
    expect_quota(3);
    put_file("sys/fs/cgroup/cpuset/elsewhere", "cpu.cfs_quota_us", "1\n"); /* not where the controller is */
    put_file("sys/fs/cgroup/cpuset/elsewhere", "cpu.cfs_period_us", "1000\n");
    expect_quota(3);
}

static void both_versions_at_once_bound_together(void **state)
{
    (void)state;
    put_self("4:cpu,cpuacct:/a\n0::/b\n", FIRST "35 32 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put_file("sys/fs/cgroup/cpu,cpuacct/a", "cpu.cfs_quota_us", "400000\n");
    put_file("sys/fs/cgroup/cpu,cpuacct/a", "cpu.cfs_period_us", "100000\n");
    expect_quota(4);
    put_file("sys/fs/cgroup/unified/b", "cpu.max", "300000 100000\n");
    expect_quota(3);
}

static void containers_see_their_own_group_as_the_mount(void **state)
{
    (void)state;
    put_self("0::/\n", SECOND); /* a namespace: the mount is the own group */
    put_file("sys/fs/cgroup", "cpu.max", "120000 100000\n");
    expect_quota(1.2);
    put_self("4:cpu:/docker/4f1/inner\n", "33 32 0:28 /docker/4f1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put_file("sys/fs/cgroup/cpu/inner", "cpu.cfs_quota_us", "700000\n");
    put_file("sys/fs/cgroup/cpu/inner", "cpu.cfs_period_us", "100000\n");
    expect_quota(7);
    put_file("sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "600000\n");
    put_file("sys/fs/cgroup/cpu", "cpu.cfs_period_us", "100000\n");
    expect_quota(6);
    put_self("4:cpu:/docker/4f12\n",
             "33 32 0:28 /docker/4f1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"); /* outside of what is mounted */
    put_file("sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "500000\n");
    put_file("sys/fs/cgroup/cpu", "cpu.cfs_period_us", "100000\n");
    expect_quota(5);
}

static void nonsense_is_no_bound(void **state)
{
    (void)state;
    put_self("0::/a\n:\nx\n4:cpu\n", "\n1 2 3\n30 23 0:26 /\n - \n30 23 0:26 / /sys - \n" SECOND);
    put_file("sys/fs/cgroup/a", "cpu.max", "many 100000\n");
    expect_quota(0);
    put_file("sys/fs/cgroup/a", "cpu.max", "100000 0\n");
    expect_quota(0);
    put_file("sys/fs/cgroup/a", "cpu.max", "");
    expect_quota(0);
}

/* Only a mask of one CPU is sure to be possible everywhere. */
static void the_affinity_mask_counts(void **state)
{
    (void)state;
    cpu_set_t all, one;
    int cpu = 0;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    while (!CPU_ISSET((size_t)cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    assert_in_range(hm_cpu_available(), 1, CPU_COUNT(&all));
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(hm_cpu_available(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_control_groups_are_no_bound),
        cmocka_unit_test(the_least_quota_on_the_way_to_the_root_counts),
        cmocka_unit_test(version_one_has_quota_and_period_in_two_files),
        cmocka_unit_test(both_versions_at_once_bound_together),
        cmocka_unit_test(containers_see_their_own_group_as_the_mount),
        cmocka_unit_test(nonsense_is_no_bound),
        cmocka_unit_test(the_affinity_mask_counts),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
