/* Only a model's files leave the page cache, and what stays in memory is said. */
#define _GNU_SOURCE
#include "tests/system_tree.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness/page_cache.h"

#define BYTES ((size_t)1 << 20)

static void put_bytes(const char *path, size_t bytes)
{
    char *data = malloc(bytes);
    memset(data, 'x', bytes);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), (ssize_t)bytes);
    close(fd);
    free(data);
}

static const char *below(const char *name)
{
    static char paths[8][200];
    static int next;
    char *out = paths[next++ % 8];
    snprintf(out, sizeof paths[0], "%s/%s", tree, name);
    return out;
}

static int64_t resident(const char *path)
{
    unsigned char in[BYTES / 4096];
    int fd = open(path, O_RDONLY);
    void *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    int64_t n = 0;
    assert_true(map != MAP_FAILED && !mincore(map, BYTES, in));
    for (size_t i = 0; i < sizeof in; i++)
        n += in[i] & 1;
    munmap(map, BYTES);
    close(fd);
    return n;
}

/* A file system that cannot give files up says so itself (a container's /tmp may be one). */
static bool tmp_is_memory(const hm_page_cache *c)
{
    return strstr(c->note, "tmpfs");
}

static void the_files_of_a_model_leave_and_others_stay(void **state)
{
    (void)state;
    hm_page_cache c;
    mkdir(below("model"), 0755);
    mkdir(below("model/part"), 0755);
    put_bytes(below("model/a.safetensors"), BYTES); /* not written back yet */
    put_bytes(below("model/part/b.safetensors"), BYTES);
    put_bytes(below("blob"), BYTES);
    put_bytes(below("other"), BYTES);
    put_bytes(below("model/empty"), 0);
    assert_int_equal(symlink("../blob", below("model/linked.safetensors")), 0);
    hm_page_cache_empty(&c, below("model"), NULL);
    if (tmp_is_memory(&c)) {
        print_message("/tmp is a tmpfs\n");
        skip();
    }
    assert_string_equal(c.note, "");
    assert_true(c.emptied && c.files == 3 && c.bytes == 3 * (int64_t)BYTES && c.resident_pages == 0);
    assert_true(c.resident_before_pages == c.pages && c.pages == 3 * (int64_t)BYTES / sysconf(_SC_PAGESIZE));
    assert_int_equal(resident(below("model/part/b.safetensors")), 0);
    assert_int_equal(resident(below("blob")), 0);
    assert_true(resident(below("other")) > 0);
}

static void pages_that_a_process_has_mapped_stay_and_are_told(void **state)
{
    (void)state;
    hm_page_cache c;
    int fd = open(below("model/a.safetensors"), O_RDONLY);
    volatile const char *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    char sum = 0;
    for (size_t i = 0; i < BYTES; i += 4096)
        sum = (char)(sum + map[i]);
    assert_int_equal(mlock((const void *)map, BYTES / 4), 0);
    hm_page_cache_empty(&c, below("model"), NULL);
    if (!tmp_is_memory(&c)) {
        assert_false(c.emptied);
        assert_non_null(strstr(c.note, "stay in memory"));
    }
    munmap((void *)map, BYTES);
    close(fd);
}

static void files_on_a_tmpfs_cannot_leave(void **state)
{
    (void)state;
    char folder[] = "/dev/shm/hmbench-XXXXXX", path[64], command[64];
    hm_page_cache c;
    if (!mkdtemp(folder)) {
        print_message("/dev/shm cannot be written\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    put_bytes(path, BYTES);
    hm_page_cache_empty(&c, folder, NULL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    assert_false(c.emptied);
    assert_non_null(strstr(c.note, "tmpfs"));
    assert_non_null(strstr(c.note, "model.safetensors"));
}

static void what_is_not_there_is_told(void **state)
{
    (void)state;
    hm_page_cache c;
    hm_page_cache_empty(&c, below("nowhere"), NULL);
    assert_false(c.emptied);
    assert_non_null(strstr(c.note, "No such file"));
    mkdir(below("bare"), 0755);
    hm_page_cache_empty(&c, below("bare"), NULL);
    assert_false(c.emptied);
    assert_non_null(strstr(c.note, "no files"));
    assert_int_equal(symlink("gone", below("bare/weights")), 0);
    hm_page_cache_empty(&c, below("bare"), NULL);
    assert_non_null(strstr(c.note, "weights: No such file"));
    char path[200];
    snprintf(path, sizeof path, "%s", below("deep"));
    for (int i = 0; i < 6; i++, strcat(path, "/more"))
        assert_int_equal(mkdir(path, 0755), 0);
    hm_page_cache_empty(&c, below("deep"), NULL);
    assert_false(c.emptied); /* there may be weights that were not looked at */
    assert_non_null(strstr(c.note, "deeper"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_of_a_model_leave_and_others_stay),
        cmocka_unit_test(pages_that_a_process_has_mapped_stay_and_are_told),
        cmocka_unit_test(files_on_a_tmpfs_cannot_leave),
        cmocka_unit_test(what_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
