/* Presets of Whisper: their tensors, ids and files against the golden files and the released models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/base/json.h"
#include "engine/preset.h"

#define GOLDENS HM_TEST_DATA "/goldens/whisper/"

static hm_error err;

static json_t *load(const char *path)
{
    json_t *json = NULL;
    if (hm_json_load(&json, path, &err))
        fail_msg("%s", err.text);
    return json;
}

static hm_whisper_shape shape_of(const char *name, hm_dtype *type)
{
    hm_whisper_shape shape;
    if (!hm_preset_whisper_shape(hm_preset_find(name), &shape, type))
        fail_msg("no preset %s", name);
    return shape;
}

static hm_whisper_generation generation_of(const char *preset, const hm_whisper_shape *shape)
{
    hm_preset_text texts[HM_PRESET_TEXTS + 1];
    hm_whisper_generation g = {0};
    json_t *config = NULL;
    assert_int_equal(hm_preset_texts(texts, hm_preset_find(preset), &err), HM_OK);
    for (int i = 0; i < HM_PRESET_TEXTS; i++) {
        if (texts[i].name && strstr(texts[i].name, "/generation_config.json"))
            assert_int_equal(hm_json_parse(&config, texts[i].text, strlen(texts[i].text), preset, &err), HM_OK);
        free(texts[i].text);
    }
    if (hm_whisper_generation_read(&g, config, NULL, shape, preset, &err))
        fail_msg("%s", err.text);
    json_decref(config);
    return g;
}

static void full_sizes_have_the_known_parameters(void **state)
{
    static const struct {
        const char *name;
        uint64_t parameters;
        int tensors;
    } known[] = {{"whisper-medium", 763857920, 7 + 15 * 24 + 4 + 24 * 24},
                 {"whisper-large-v3", 1543490560, 7 + 15 * 32 + 4 + 24 * 32},
                 {"whisper-large-v3-turbo", 808878080, 7 + 15 * 32 + 4 + 24 * 4},
                 {"whisper-test", 0, 89}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        hm_tensor_table table;
        hm_dtype type;
        uint64_t n = 0;
        const hm_whisper_shape shape = shape_of(known[i].name, &type);
        assert_int_equal(hm_whisper_table(&table, &shape, type, &err), HM_OK);
        for (int k = 0; k < table.count; k++)
            n += hm_tensor_row_bytes(&table.rows[k]) / hm_dtype_bytes(type);
        assert_int_equal(table.count, known[i].tensors);
        assert_true(!known[i].parameters || n == known[i].parameters);
        hm_tensor_table_close(&table);
    }
}

static void ids_of_full_sizes_are_the_released_ones(void **state)
{
    static const struct {
        const char *name;
        int languages;
        int32_t translate, no_timestamps;
    } known[] = {
        {"whisper-medium", 99, 50358, 50363}, {"whisper-large-v3", 100, 50359, 50364}, {"whisper-large-v3-turbo", 100, 50359, 50364}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        hm_dtype type;
        const hm_whisper_shape shape = shape_of(known[i].name, &type);
        hm_whisper_generation g = generation_of(known[i].name, &shape);
        assert_int_equal(g.start, 50258);
        assert_int_equal(g.end, 50257);
        assert_int_equal(g.language_count, known[i].languages);
        assert_string_equal(g.languages[0].code, "en");
        assert_string_equal(g.languages[98].code, "su");
        assert_int_equal(g.languages[98].id, 50357);
        assert_int_equal(g.translate, known[i].translate);
        assert_int_equal(g.transcribe, known[i].translate + 1);
        assert_int_equal(g.previous, known[i].translate + 3);
        assert_int_equal(g.no_timestamps, known[i].no_timestamps);
        assert_int_equal(g.timestamp0 + 1500, shape.vocab - 1);
        assert_int_equal(g.suppress_count, 82 + 6);
        assert_int_equal(g.suppress[g.suppress_count - 1], known[i].no_timestamps - 1); /* <|nospeech|> */
        assert_int_equal(g.begin_suppress[0], 220);
        assert_int_equal(hm_whisper_language_id(&g, "cantonese"), known[i].languages == 100 ? 50358 : -1);
        hm_whisper_generation_close(&g);
    }
}

static void languages_are_known_by_code_token_and_name(void **state)
{
    hm_dtype type;
    const hm_whisper_shape shape = shape_of("whisper-test", &type);
    hm_whisper_generation g = generation_of("whisper-test", &shape);
    (void)state;
    assert_int_equal(hm_whisper_language_id(&g, "ja"), 504);
    assert_int_equal(hm_whisper_language_id(&g, "<|ja|>"), 504);
    assert_int_equal(hm_whisper_language_id(&g, "Japanese"), 504);
    assert_int_equal(hm_whisper_language_id(&g, "mandarin"), 503);
    assert_int_equal(hm_whisper_language_id(&g, "klingon"), -1);
    assert_int_equal(hm_whisper_language_id(&g, "de"), -1); /* it has five */
    hm_whisper_generation_close(&g);
}

static void assert_manifest(const char *preset, const char *file)
{
    json_t *golden = load(file), *ours = NULL, *row;
    size_t i;
    assert_int_equal(hm_preset_manifest(&ours, hm_preset_find(preset), HM_PRESET_LM, &err), HM_OK);
    json_t *rows = json_object_get(ours, "tensors"), *by_name = json_object();
    json_array_foreach(rows, i, row) json_object_set(by_name, json_string_value(json_object_get(row, "name")), row);
    assert_int_equal(json_array_size(rows), json_array_size(json_object_get(golden, "tensors")));
    json_array_foreach(json_object_get(golden, "tensors"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        const json_t *found = json_object_get(by_name, name);
        bool same = json_equal(json_object_get(row, "shape"), json_object_get(found, "shape")) &&
                    json_equal(json_object_get(row, "dtype"), json_object_get(found, "dtype"));
        for (int k = 0; k < 2; k++) { /* weights are of float32 numbers */
            const char *key = k ? "scale" : "offset";
            same &= (float)json_number_value(json_object_get(row, key)) == (float)json_number_value(json_object_get(found, key));
        }
        if (!found || !same)
            fail_msg("%s: %s of %s differs", file, name, preset);
    }
    json_decref(golden);
    json_decref(ours);
    json_decref(by_name);
}

static void tensors_are_those_of_the_goldens(void **state)
{
    (void)state;
    assert_manifest("whisper-test", GOLDENS "manifest_seed1.json");
    assert_manifest("whisper-test-f16", GOLDENS "manifest_seed2.json");
}

static void the_written_folder_is_the_golden_one(void **state)
{
    static const char *const files[] = {"config.json",   "generation_config.json", "generation_config_ts.json", "preprocessor_config.json",
                                        "vocab.json",    "added_tokens.json",      "special_tokens_map.json",   "tokenizer_config.json",
                                        "tokenizer.json"};
    char root[] = "/tmp/hmbench-test.XXXXXX", dir[64], ours[PATH_MAX], golden[PATH_MAX];
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/model", root);
    if (hm_preset_write(hm_preset_find("whisper-test"), dir, 1, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(ours, sizeof ours, "%s/HeartTranscriptor-oss/%s", dir, files[i]);
        snprintf(golden, sizeof golden, GOLDENS "model/%s", files[i]);
        json_t *a = load(ours), *b = load(golden);
        if (!json_equal(a, b))
            fail_msg("%s differs from the golden one", files[i]);
        json_decref(a);
        json_decref(b);
    }
    hm_map a, b;
    snprintf(ours, sizeof ours, "%s/HeartTranscriptor-oss/merges.txt", dir);
    assert_int_equal(hm_map_read(&a, ours, 1 << 20, &err), HM_OK);
    assert_int_equal(hm_map_read(&b, GOLDENS "model/merges.txt", 1 << 20, &err), HM_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    hm_map_close(&a);
    hm_map_close(&b);
    hm_preset_remove(root);
}

static void every_preset_reads_its_own_config_back(void **state)
{
    int count = 0;
    (void)state;
    for (const hm_preset *p = hm_preset_list(); p->name; p++) {
        hm_whisper_shape a, b = {0};
        hm_dtype type;
        if (strcmp(p->model, "whisper"))
            continue;
        a = shape_of(p->name, &type);
        json_t *config = hm_preset_whisper_config(&a);
        if (hm_whisper_shape_read(&b, config, p->name, &err))
            fail_msg("%s", err.text);
        assert_memory_equal(&a, &b, sizeof a);
        for (void *i = json_object_iter(config); i; i = json_object_iter_next(config, i))
            if (!hm_whisper_shape_knows(json_object_iter_key(i)))
                fail_msg("key %s is not known", json_object_iter_key(i));
        json_decref(config);
        count++;
    }
    assert_int_equal(count, 6);
}

/* A golden config with one value changed, or taken out: NULL. */
static void assert_config_refused(const char *key, json_t *value, const char *text)
{
    json_t *config = load(GOLDENS "model/config.json");
    hm_whisper_shape shape;
    if (value)
        json_object_set_new(config, key, value);
    else
        json_object_del(config, key);
    assert_int_equal(hm_whisper_shape_read(&shape, config, "config.json", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, key));
    assert_non_null(strstr(err.text, text));
    json_decref(config);
}

static void wrong_configs_are_refused_by_name(void **state)
{
    (void)state;
    assert_config_refused("d_model", NULL, "missing");
    assert_config_refused("encoder_attention_heads", json_integer(5), "share a width of 64");
    assert_config_refused("activation_function", json_string("relu"), "gelu");
    assert_config_refused("eos_token_id", json_integer(2014), "vocabulary");
    assert_config_refused("decoder_layers", json_integer(-1), "decoder_layers");
    assert_config_refused("max_source_positions", json_integer(1501), "1500");
}

static void assert_generation_refused(const char *key, json_t *value)
{
    json_t *config = load(GOLDENS "model/generation_config.json");
    hm_dtype type;
    const hm_whisper_shape shape = shape_of("whisper-test", &type);
    hm_whisper_generation g;
    json_object_set_new(config, key, value);
    assert_int_equal(hm_whisper_generation_read(&g, config, NULL, &shape, "generation_config.json", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, key));
    json_decref(config);
}

static void wrong_generation_configs_are_refused_by_name(void **state)
{
    (void)state;
    assert_generation_refused("suppress_tokens", json_pack("[i]", 2014));
    assert_generation_refused("suppress_tokens", json_pack("[s]", "a"));
    assert_generation_refused("lang_to_id", json_pack("{si}", "en", 502));
    assert_generation_refused("lang_to_id", json_pack("{si}", "<|en|>", -1));
    assert_generation_refused("forced_decoder_ids", json_pack("[[ii]]", 0, 502));
    assert_generation_refused("early_stopping", json_true());
    assert_generation_refused("num_beams", json_integer(0));
}

static void what_a_generation_config_lacks_has_its_meaning(void **state)
{
    hm_dtype type;
    const hm_whisper_shape shape = shape_of("whisper-test", &type);
    hm_whisper_generation g;
    json_t *model = json_pack("{s[[ii][in]]}", "forced_decoder_ids", 2, 508, 1);
    (void)state;
    assert_int_equal(hm_whisper_generation_read(&g, NULL, model, &shape, "none", &err), HM_OK);
    assert_int_equal(g.start, 501);
    assert_int_equal(g.timestamp0, 2015); /* nothing is a timestamp */
    assert_int_equal(g.language_count, 0);
    assert_int_equal(g.max_length, 448);
    assert_false(g.has_max_length);
    assert_int_equal(g.forced_count, 1);
    assert_int_equal(g.forced[0], 2);
    assert_int_equal(g.forced[1], 508);
    hm_whisper_generation_close(&g);
    json_decref(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_sizes_have_the_known_parameters),
        cmocka_unit_test(ids_of_full_sizes_are_the_released_ones),
        cmocka_unit_test(languages_are_known_by_code_token_and_name),
        cmocka_unit_test(tensors_are_those_of_the_goldens),
        cmocka_unit_test(the_written_folder_is_the_golden_one),
        cmocka_unit_test(every_preset_reads_its_own_config_back),
        cmocka_unit_test(wrong_configs_are_refused_by_name),
        cmocka_unit_test(wrong_generation_configs_are_refused_by_name),
        cmocka_unit_test(what_a_generation_config_lacks_has_its_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
