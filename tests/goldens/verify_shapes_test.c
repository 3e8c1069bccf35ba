/* `hmbench verify` on models of other shapes than the small ones of the original programs, and on files that lack or misname things. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/map.h"
#include "tests/run_program.h"

#define SHAPES HM_TEST_DATA "/goldens/heart-shapes"
#define SPEECH HM_TEST_DATA "/goldens/qwen3-tts-shapes"

static char folder[] = "/tmp/hmbench-shapes-XXXXXX";

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
    if (hm_map_read(&map, path_in(SHAPES, name), 1 << 24, &err))
        fail_msg("%s", err.text);
    return map;
}

static void put(const char *name, const hm_map *map)
{
    hm_error err = {0};
    if (hm_file_write(path_in(folder, name), map->data, map->size, &err))
        fail_msg("%s", err.text);
}

/* A tensor's name in the header becomes another of the same length. */
static void rename_tensor(hm_map *map, const char *from, const char *to)
{
    char *at = memmem(map->data, map->size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static void expect_run(hm_run run, int code, const char *in_out, const char *in_err)
{
    if (run.code != code || !strstr(run.out, in_out) || !strstr(run.err, in_err))
        fail_msg("expected %d, \"%s\" and \"%s\"; found %d and:\n%s%s", code, in_out, in_err, run.code, run.out, run.err);
    run_free(&run);
}

static void expect_verify(const char *dir, const char *variant, const char *isa, int code, const char *in_out, const char *in_err)
{
    expect_run(run_command((char *const[]){(char *)HM_PROGRAM, "verify", (char *)dir, "--variant", (char *)variant, "--isa", (char *)isa,
                                           "--threads", "2", NULL},
                           NULL, 300, 0),
               code, in_out, in_err);
}

static void naive_and_best_meet_every_shape(void **state)
{
    (void)state;
    expect_verify(SHAPES, "naive", "scalar", 0, "225 compared, 0 missed", "");
    expect_verify(SHAPES, "best", "scalar", 0, "225 compared, 0 missed", "");
    expect_run(run_command((char *const[]){(char *)HM_PROGRAM, "verify", SHAPES, "--variant", "naive,best", NULL}, NULL, 300, 0), 0,
               "best: 225 compared, 0 missed", "");
}

static void single_toggles_meet_every_shape(void **state)
{
    (void)state;
    static const char *const variants[] = {"custom:gqa=direct", "custom:rows=needed",   "custom:cfg=batched",
                                           "custom:fuse=fused", "custom:decode=stream", "best:attn=scores"};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        expect_run(run_command((char *const[]){(char *)HM_PROGRAM, "verify", SHAPES, "--variant", (char *)variants[i], NULL}, NULL, 300, 0),
                   0, "225 compared, 0 missed", "");
}

static void naive_and_best_meet_every_shape_of_speech(void **state)
{
    (void)state;
    expect_verify(SPEECH, "naive", "scalar", 0, "220 compared, 0 missed", "");
    expect_verify(SPEECH, "best", "scalar", 0, "220 compared, 0 missed", "");
    expect_run(run_command((char *const[]){(char *)HM_PROGRAM, "verify", SPEECH, "--variant", "naive,best", NULL}, NULL, 300, 0), 0,
               "best: 220 compared, 0 missed", "");
}

static void single_toggles_meet_every_shape_of_speech(void **state)
{
    (void)state;
    static const char *const variants[] = {"custom:gqa=direct", "custom:rows=needed",   "custom:kv=prealloc,attn=all_slots",
                                           "custom:fuse=fused", "custom:decode=stream", "custom:precompute=once",
                                           "custom:mask=none",  "best:attn=scores"};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        expect_run(run_command((char *const[]){(char *)HM_PROGRAM, "verify", SPEECH, "--variant", (char *)variants[i], NULL}, NULL, 300, 0),
                   0, "220 compared, 0 missed", "");
}

static void a_tensor_the_engine_never_tells_is_a_miss(void **state)
{
    hm_map manifest = read_golden("lm_odd.manifest.json"), golden = read_golden("lm_odd.s15.safetensors");
    (void)state;
    rename_tensor(&golden, "cfg1.0/margins", "cfg1.0/unknown");
    rename_tensor(&golden, "muq/margins", "mu2/margins");
    put("lm_odd.manifest.json", &manifest);
    put("lm_odd.s15.safetensors", &golden);
    expect_verify(folder, "best", "scalar", 5, "not produced", "2 results differ");
    unlink(path_in(folder, "lm_odd.manifest.json"));
    unlink(path_in(folder, "lm_odd.s15.safetensors"));
    hm_map_close(&manifest);
    hm_map_close(&golden);
}

static void a_group_without_its_tokens_is_compared_in_the_rest(void **state)
{
    hm_map manifest = read_golden("lm_odd.manifest.json"), golden = read_golden("lm_odd.s15.safetensors");
    (void)state;
    rename_tensor(&golden, "cfg1.0/tokens", "cfg1.0/unread");
    put("lm_odd.manifest.json", &manifest);
    put("lm_odd.s15.safetensors", &golden);
    expect_verify(folder, "best", "scalar", 5, ", 1 missed", "1 results differ");
    unlink(path_in(folder, "lm_odd.manifest.json"));
    unlink(path_in(folder, "lm_odd.s15.safetensors"));
    hm_map_close(&manifest);
    hm_map_close(&golden);
}

static void an_input_of_another_size_than_the_config_says_is_refused(void **state)
{
    hm_map manifest = read_golden("codec_plain.manifest.json"), golden = read_golden("codec_plain.s4.safetensors");
    (void)state;
    rename_tensor(&golden, "solve/noise", "solve/n0ise");
    rename_tensor(&golden, "decode/wave", "solve/noise");
    put("codec_plain.manifest.json", &manifest);
    put("codec_plain.s4.safetensors", &golden);
    expect_verify(folder, "best", "scalar", 65, "", "solve/noise: expected 22 rows of out_channels 6");
    unlink(path_in(folder, "codec_plain.manifest.json"));
    unlink(path_in(folder, "codec_plain.s4.safetensors"));
    hm_map_close(&manifest);
    hm_map_close(&golden);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(naive_and_best_meet_every_shape),
        cmocka_unit_test(single_toggles_meet_every_shape),
        cmocka_unit_test(naive_and_best_meet_every_shape_of_speech),
        cmocka_unit_test(single_toggles_meet_every_shape_of_speech),
        cmocka_unit_test(a_tensor_the_engine_never_tells_is_a_miss),
        cmocka_unit_test(a_group_without_its_tokens_is_compared_in_the_rest),
        cmocka_unit_test(an_input_of_another_size_than_the_config_says_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
