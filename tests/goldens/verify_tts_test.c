/* `hmbench verify` on the goldens of Qwen3-TTS: all of them met, a changed value or code missed and named, broken folders told. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "engine/base/map.h"
#include "tests/run_program.h"

#define GOLDENS HM_TEST_DATA "/goldens/qwen3-tts"
#define DECODER "tiny_b_eps.decoder.safetensors"

static char folder[] = "/tmp/hmbench-verify-tts-XXXXXX";

static hm_map read_golden(const char *name)
{
    char path[512];
    hm_map map = {0};
    hm_error err = {0};
    snprintf(path, sizeof path, "%s/%s", GOLDENS, name);
    if (hm_map_read(&map, path, 1 << 24, &err))
        fail_msg("%s", err.text);
    return map;
}

static void put(const char *name, const void *data, size_t size)
{
    char path[512];
    hm_error err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (hm_file_write(path, data, size, &err))
        fail_msg("%s", err.text);
}

/* The smallest model's files, its decoder's goldens `size` bytes long at most. */
static void put_model(const hm_map *decoder, size_t size)
{
    static const char *const files[] = {"tiny_b_eps.manifest.json", "tiny_b_eps.base.config.json",
                                        "tiny_b_eps.speech_tokenizer.config.json", "tiny_b_eps.stats.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        hm_map map = read_golden(files[i]);
        put(files[i], map.data, map.size);
        hm_map_close(&map);
    }
    put(DECODER, decoder->data, size);
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

static hm_run verify(const char *dir, const char *variant)
{
    return run_command((char *const[]){(char *)HM_PROGRAM, "verify", (char *)dir, "--variant", (char *)variant, NULL}, NULL, 300, 0);
}

static void expect_run(hm_run run, int code, const char *in_out, const char *in_err)
{
    if (run.code != code || !strstr(run.out, in_out) || !strstr(run.err, in_err))
        fail_msg("expected %d, \"%s\" and \"%s\"; found %d and:\n%s%s", code, in_out, in_err, run.code, run.out, run.err);
    run_free(&run);
}

static void naive_and_best_meet_every_golden(void **state)
{
    (void)state;
    expect_run(verify(GOLDENS, "naive"), 0, "naive: 300 compared, 0 missed", "");
    expect_run(verify(GOLDENS, "best"), 0, "best: 300 compared, 0 missed", "");
}

/* The two toggles that change what is computed, off, on top of every other value but the default. */
static void other_ways_meet_every_golden(void **state)
{
    (void)state;
    expect_run(verify(GOLDENS, "best:attn=scores,fuse=none,rows=all,decode=whole,kv=concat"), 0, "300 compared, 0 missed", "");
    expect_run(verify(GOLDENS, "opt4:penalty=bitmap,step_reset=rebuilt,gqa=expanded"), 0, "300 compared, 0 missed", "");
}

static void changed(const char *tensor, size_t element, bool code)
{
    hm_map golden = read_golden(DECODER);
    uint8_t *at = (uint8_t *)golden.data + tensor_at(&golden, tensor) + 4 * element;
    if (code)
        *at ^= 1;
    else {
        float value;
        memcpy(&value, at, sizeof value);
        value += 0.01f;
        memcpy(at, &value, sizeof value);
    }
    put_model(&golden, golden.size);
    hm_map_close(&golden);
}

static void a_changed_value_is_missed_and_named(void **state)
{
    (void)state;
    changed("waveform", 1000, false);
    hm_run run = verify(folder, "best");
    const char *line = strstr(run.out, "waveform"), *miss = line ? strstr(line, "MISS") : NULL;
    assert_true(miss && miss < strchr(line, '\n'));
    expect_run(run, 5, "1 missed", "1 results differ");
}

static void another_input_changes_everything(void **state)
{
    (void)state;
    changed("codes", 0, true);
    expect_run(verify(folder, "best"), 5, "missed", "results differ");
}

static void a_truncated_file_is_malformed_not_missed(void **state)
{
    hm_map golden = read_golden(DECODER);
    const size_t sizes[] = {golden.size - 1, golden.size / 2, 7, 0};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put_model(&golden, sizes[i]);
        expect_run(verify(folder, "best"), 65, "", DECODER);
    }
    hm_map_close(&golden);
}

/* Any number of files of a kind: what they are is told by how their names begin. */
static void another_file_of_a_kind_is_compared_too(void **state)
{
    static const char cuts[] = "[{\"ref_frames\": 1, \"total_frames\": 49, \"samples\": 94080, \"cut\": %d}]";
    char text[sizeof cuts + 16], path[512];
    hm_map golden = read_golden(DECODER);
    (void)state;
    put_model(&golden, golden.size);
    for (int cut = 1919; cut <= 1920; cut++) {
        snprintf(text, sizeof text, cuts, cut);
        put("icl_cut_more.json", text, strlen(text));
        expect_run(verify(folder, "best"), cut == 1919 ? 0 : 5, "icl_cut_more.json", cut == 1919 ? "" : "1 results differ");
    }
    snprintf(path, sizeof path, "%s/icl_cut_more.json", folder);
    unlink(path);
    put("tokenizer_cases_more.json", "{}", 2);
    expect_run(verify(folder, "best"), 65, "", "tokenizer_cases_more.json: expected an array");
    snprintf(path, sizeof path, "%s/tokenizer_cases_more.json", folder);
    unlink(path);
    hm_map_close(&golden);
}

static void a_case_without_its_statistics_says_so(void **state)
{
    hm_map golden = read_golden(DECODER);
    (void)state;
    put_model(&golden, golden.size);
    put("tiny_b_eps.custom_voice.safetensors", golden.data, golden.size);
    expect_run(verify(folder, "best"), 66, "", "tiny_b_eps.stats.json does not tell");
    hm_map_close(&golden);
}

static int setup(void **state)
{
    (void)state;
    return !mkdtemp(folder);
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(naive_and_best_meet_every_golden),         cmocka_unit_test(other_ways_meet_every_golden),
        cmocka_unit_test(a_changed_value_is_missed_and_named),      cmocka_unit_test(another_input_changes_everything),
        cmocka_unit_test(a_truncated_file_is_malformed_not_missed), cmocka_unit_test(another_file_of_a_kind_is_compared_too),
        cmocka_unit_test(a_case_without_its_statistics_says_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
