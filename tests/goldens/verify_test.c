/* `hmbench verify` on the goldens: all of them met, and a changed value, a changed code, a damaged file, an empty folder told apart. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <sys/stat.h>

#include "engine/base/map.h"
#include "tests/run_program.h"

#define HEART HM_TEST_DATA "/goldens/heart"
#define MANIFEST "lm_tiny.manifest.json"
#define GOLDEN "lm_tiny.s1.safetensors"

static char folder[] = "/tmp/hmbench-verify-XXXXXX";

static const char *path_in(const char *dir, const char *name)
{
    static char paths[4][512];
    static int next;
    char *out = paths[next++ % 4];
    snprintf(out, sizeof paths[0], "%s/%s", dir, name);
    return out;
}

static hm_map read_golden(const char *name)
{
    hm_map map = {0};
    hm_error err = {0};
    if (hm_map_read(&map, path_in(HEART, name), 1 << 24, &err))
        fail_msg("%s", err.text);
    return map;
}

static void put(const char *name, const void *data, size_t size)
{
    hm_error err = {0};
    if (hm_file_write(path_in(folder, name), data, size, &err))
        fail_msg("%s", err.text);
}

/* First byte of a tensor in a safetensors file. */
static size_t tensor_at(const hm_map *map, const char *name)
{
    uint64_t header;
    memcpy(&header, map->data, sizeof header);
    json_t *root = json_loadb((const char *)map->data + 8, (size_t)header, 0, NULL);
    json_t *offsets = json_object_get(json_object_get(root, name), "data_offsets");
    assert_non_null(offsets);
    size_t at = 8 + (size_t)header + (size_t)json_integer_value(json_array_get(offsets, 0));
    json_decref(root);
    return at;
}

/* The folder holds the tiny language model's manifest and its goldens, `size` bytes of them at most. */
static void put_goldens(const hm_map *golden, size_t size)
{
    hm_map manifest = read_golden(MANIFEST);
    put(MANIFEST, manifest.data, manifest.size);
    put(GOLDEN, golden->data, size);
    hm_map_close(&manifest);
}

static void expect_run(hm_run run, int code, const char *in_out, const char *in_err)
{
    if (run.code != code || !strstr(run.out, in_out) || !strstr(run.err, in_err))
        fail_msg("expected %d, \"%s\" and \"%s\"; found %d and:\n%s%s", code, in_out, in_err, run.code, run.out, run.err);
    assert_int_equal(run_lines(run.err), code ? 1 : 0);
    run_free(&run);
}

#define VERIFY(dir, variant) \
    run_command((char *const[]){(char *)HM_PROGRAM, "verify", (char *)dir, "--variant", variant, NULL}, NULL, 300, 0)

static void naive_and_best_meet_every_golden(void **state)
{
    (void)state;
    expect_run(VERIFY(HEART, "naive"), 0, "compared, 0 missed", "");
    expect_run(VERIFY(HEART, "best"), 0, "compared, 0 missed", "");
}

static void goldens_as_they_are_are_met(void **state)
{
    hm_map golden = read_golden(GOLDEN);
    (void)state;
    put_goldens(&golden, golden.size);
    expect_run(VERIFY(folder, "best"), 0, "compared, 0 missed", "");
    hm_map_close(&golden);
}

static void a_changed_value_is_missed_and_named(void **state)
{
    hm_map golden = read_golden(GOLDEN);
    uint8_t *at = (uint8_t *)golden.data + tensor_at(&golden, "cfg1.5/frame0.c0_logits");
    float value;
    (void)state;
    memcpy(&value, at, sizeof value);
    value += 0.01f;
    memcpy(at, &value, sizeof value);
    put_goldens(&golden, golden.size);
    hm_run run = VERIFY(folder, "best");
    const char *line = strstr(run.out, "cfg1.5/frame0.c0_logits");
    assert_non_null(line);
    const char *miss = strstr(line, "MISS"), *end = strchr(line, '\n');
    assert_true(miss && miss < end);
    expect_run(run, 5, ", 1 missed", "1 results differ");
    hm_map_close(&golden);
}

static void a_changed_code_is_missed_and_named(void **state)
{
    hm_map golden = read_golden(GOLDEN);
    (void)state;
    ((uint8_t *)golden.data)[tensor_at(&golden, "cfg1.0/tokens") + 4 * (39 * 8 + 7)] ^= 1; /* the very last */
    put_goldens(&golden, golden.size);
    hm_run run = VERIFY(folder, "naive");
    const char *line = strstr(run.out, "cfg1.0/tokens");
    assert_non_null(line);
    const char *miss = strstr(line, "differs"), *end = strchr(line, '\n');
    assert_true(miss && miss < end);
    expect_run(run, 5, ", 1 missed", "1 results differ");
    hm_map_close(&golden);
}

static void a_truncated_file_is_malformed_not_missed(void **state)
{
    hm_map golden = read_golden(GOLDEN);
    const size_t sizes[] = {golden.size - 1, golden.size / 2, 100, 7, 0};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put_goldens(&golden, sizes[i]);
        expect_run(VERIFY(folder, "best"), 65, "", GOLDEN);
    }
    hm_map_close(&golden);
}

static void a_folder_without_goldens_is_missing_input(void **state)
{
    const char *empty = path_in(folder, "empty");
    (void)state;
    assert_int_equal(mkdir(empty, 0700), 0);
    expect_run(VERIFY(empty, "best"), 66, "", "empty");
    rmdir(empty);
    expect_run(VERIFY("/nonexistent", "best"), 66, "", "/nonexistent");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path_in(folder, MANIFEST));
    unlink(path_in(folder, GOLDEN));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(naive_and_best_meet_every_golden),         cmocka_unit_test(goldens_as_they_are_are_met),
        cmocka_unit_test(a_changed_value_is_missed_and_named),      cmocka_unit_test(a_changed_code_is_missed_and_named),
        cmocka_unit_test(a_truncated_file_is_malformed_not_missed), cmocka_unit_test(a_folder_without_goldens_is_missing_input),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
