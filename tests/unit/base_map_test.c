/* Files as bytes: mapped, read, bounded, and written whole or not at all. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/map.h"

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[2][384];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/hm-base-map-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int entries(const char *path)
{
    int n = 0;
    struct dirent *e;
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)))
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

static int remove_folder(void **state)
{
    (void)state;
    struct dirent *e;
    DIR *d = opendir(folder);
    if (!d)
        return -1;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            remove(in_folder(e->d_name));
    closedir(d);
    return rmdir(folder);
}

static void write_file(const char *path, const char *text)
{
    hm_error err = {0};
    assert_int_equal(hm_file_write(path, text, strlen(text), &err), HM_OK);
}

static void assert_holds(const char *path, const char *text)
{
    hm_map map = {0};
    hm_error err = {0};
    assert_int_equal(hm_map_read(&map, path, 1000, &err), HM_OK);
    assert_int_equal(map.size, strlen(text));
    assert_memory_equal(map.data, text, map.size + 1); /* the NUL too */
    hm_map_close(&map);
}

static void a_file_is_mapped_and_read_alike(void **state)
{
    (void)state;
    hm_map map = {0}, heap = {0};
    hm_error err = {0};
    write_file(in_folder("a"), "some bytes");
    assert_int_equal(hm_map_open(&map, in_folder("a"), &err), HM_OK);
    assert_int_equal(hm_map_read(&heap, in_folder("a"), 10, &err), HM_OK);
    assert_int_equal(map.size, 10);
    assert_int_equal(heap.size, 10);
    assert_memory_equal(map.data, heap.data, 10);
    assert_int_equal(heap.data[10], 0);
    assert_false(map.heap);
    assert_true(heap.heap);
    hm_map_close(&map);
    hm_map_close(&heap);
    assert_null(map.data);
    assert_null(heap.data);
    assert_int_equal(heap.size, 0);
    hm_map_close(&map); /* a zeroed one */
}

static void bounds_hold_at_the_ends_and_against_overflow(void **state)
{
    (void)state;
    hm_map map = {0};
    hm_error err = {0};
    write_file(in_folder("a"), "0123456789");
    assert_int_equal(hm_map_open(&map, in_folder("a"), &err), HM_OK);
    assert_ptr_equal(hm_map_at(&map, 0, 10), map.data);
    assert_ptr_equal(hm_map_at(&map, 3, 7), map.data + 3);
    assert_ptr_equal(hm_map_at(&map, 10, 0), map.data + 10);
    assert_null(hm_map_at(&map, 0, 11));
    assert_null(hm_map_at(&map, 4, 7));
    assert_null(hm_map_at(&map, 11, 0));
    assert_null(hm_map_at(&map, 5, UINT64_MAX - 4)); /* offset + bytes wraps to 0 */
    assert_null(hm_map_at(&map, UINT64_MAX, 1));
    assert_null(hm_map_at(&map, UINT64_MAX, 2));
    assert_null(hm_map_at(&map, 1, UINT64_MAX));
    hm_map_close(&map);
}

static void an_empty_file_has_no_bytes(void **state)
{
    (void)state;
    hm_map map = {.size = 9}, heap = {.size = 9};
    hm_error err = {0};
    write_file(in_folder("empty"), "");
    assert_int_equal(hm_map_open(&map, in_folder("empty"), &err), HM_OK);
    assert_int_equal(map.size, 0);
    assert_null(map.data);
    assert_null(hm_map_at(&map, 0, 1));
    hm_map_close(&map);
    assert_int_equal(hm_map_read(&heap, in_folder("empty"), 0, &err), HM_OK);
    assert_int_equal(heap.size, 0);
    assert_int_equal(heap.data[0], 0);
    hm_map_close(&heap);
}

static void check_refused(const char *path, hm_status status)
{
    hm_map map = {.size = 7};
    hm_error err = {0};
    assert_int_equal(hm_map_open(&map, path, &err), status);
    assert_non_null(strstr(err.text, path));
    err = (hm_error){0};
    assert_int_equal(hm_map_read(&map, path, 1000, &err), status);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(map.size, 7); /* written on success only */
}

static void what_is_no_regular_file_is_refused_by_name(void **state)
{
    (void)state;
    write_file(in_folder("a"), "x");
    check_refused(in_folder("missing"), HM_EMISSING);
    check_refused(in_folder("a/below"), HM_EMISSING);
    check_refused(folder, HM_EMISSING);
    check_refused("/dev/null", HM_EMISSING);
}

static void a_pipe_without_a_writer_is_refused_and_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    alarm(10); /* waiting would end the test */
    check_refused(in_folder("pipe"), HM_EMISSING);
    alarm(0);
}

static void reading_refuses_more_than_the_limit(void **state)
{
    (void)state;
    hm_map map = {0};
    hm_error err = {0};
    write_file(in_folder("a"), "0123456789");
    assert_int_equal(hm_map_read(&map, in_folder("a"), 9, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "10 bytes, expected at most 9"));
    assert_null(map.data);
}

static void writing_replaces_a_file_and_leaves_no_other(void **state)
{
    (void)state;
    int before = entries(folder);
    write_file(in_folder("new"), "one");
    assert_int_equal(entries(folder), before + 1);
    assert_holds(in_folder("new"), "one");
    write_file(in_folder("new"), "another");
    assert_int_equal(entries(folder), before + 1);
    assert_holds(in_folder("new"), "another");
    unlink(in_folder("new"));
}

static void writing_where_nothing_can_be_made_leaves_nothing(void **state)
{
    (void)state;
    hm_error err = {0};
    write_file(in_folder("a"), "x");
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    int before = entries(folder);
    assert_int_equal(hm_file_write(in_folder("fifo"), "y", 1, &err), HM_ECREATE); /* nor of a device's place, as /dev/null */
    assert_non_null(strstr(err.text, "is no regular file"));
    assert_int_equal(hm_file_write(in_folder("none/file"), "y", 1, &err), HM_ECREATE);
    assert_non_null(strstr(err.text, "none/file"));
    assert_int_equal(hm_file_write(in_folder("a/file"), "y", 1, &err), HM_ECREATE);
    char *longer = malloc(5000);
    assert_non_null(longer);
    memset(longer, 'n', 4999);
    longer[4999] = 0;
    assert_int_equal(hm_file_write(longer, "y", 1, &err), HM_ECREATE);
    free(longer);
    assert_int_equal(entries(folder), before);
    assert_holds(in_folder("a"), "x");
}

static void an_unwritable_folder_is_left_as_it_is(void **state)
{
    (void)state;
    hm_error err = {0};
    if (!geteuid()) /* the superuser may write anywhere but in the kernel's own folders */
        assert_int_equal(hm_file_write("/proc/self/hm-file", "y", 1, &err), HM_ECREATE);
    else {
        assert_int_equal(mkdir(in_folder("closed"), 0500), 0);
        assert_int_equal(hm_file_write(in_folder("closed/file"), "y", 1, &err), HM_ECREATE);
        assert_int_equal(entries(in_folder("closed")), 0);
        rmdir(in_folder("closed"));
    }
    assert_non_null(strstr(err.text, "cannot create"));
}

static void a_failed_write_keeps_the_old_file_and_leaves_no_part(void **state)
{
    (void)state;
    static char big[20000];
    hm_error err = {0};
    struct rlimit old, small;
    write_file(in_folder("a"), "old");
    int before = entries(folder);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){8192, old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    hm_status st = hm_file_write(in_folder("a"), big, sizeof big, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(st, HM_EIO);
    assert_non_null(strstr(err.text, "cannot write"));
    assert_int_equal(entries(folder), before);
    assert_holds(in_folder("a"), "old");
}

static void a_folder_is_not_replaced_by_a_file(void **state)
{
    (void)state;
    hm_error err = {0};
    assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
    int before = entries(folder);
    assert_int_equal(hm_file_write(in_folder("sub"), "y", 1, &err), HM_ECREATE);
    assert_int_equal(entries(folder), before);
    assert_int_equal(rmdir(in_folder("sub")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_mapped_and_read_alike),
        cmocka_unit_test(bounds_hold_at_the_ends_and_against_overflow),
        cmocka_unit_test(an_empty_file_has_no_bytes),
        cmocka_unit_test(what_is_no_regular_file_is_refused_by_name),
        cmocka_unit_test(a_pipe_without_a_writer_is_refused_and_not_waited_for),
        cmocka_unit_test(reading_refuses_more_than_the_limit),
        cmocka_unit_test(writing_replaces_a_file_and_leaves_no_other),
        cmocka_unit_test(writing_where_nothing_can_be_made_leaves_nothing),
        cmocka_unit_test(an_unwritable_folder_is_left_as_it_is),
        cmocka_unit_test(a_failed_write_keeps_the_old_file_and_leaves_no_part),
        cmocka_unit_test(a_folder_is_not_replaced_by_a_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
