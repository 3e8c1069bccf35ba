/* What inspect says of checkpoints: made ones, odd ones, and those that are not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/base/json.h"
#include "engine/inspect.h"
#include "engine/preset.h"

static char folder[PATH_MAX];
static hm_error err;

static int open_folder(void **state)
{
    (void)state;
    make_folder(folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    make_clean(folder);
    return 0;
}

static json_t *inspect(const char *path, json_t *memory)
{
    json_t *report = NULL;
    if (hm_inspect(&report, path, memory, &err))
        fail_msg("%s", err.text);
    return report;
}

/* The report as people see it. */
static char *printed(const json_t *report)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    assert_int_equal(hm_inspect_print(report, f, &err), HM_OK);
    fclose(f);
    return text;
}

static void says(const json_t *report, const char *what)
{
    char *text = printed(report);
    if (!strstr(text, what))
        fail_msg("\"%s\" is not in:\n%s", what, text);
    free(text);
}

static const json_t *part(const json_t *report, size_t i)
{
    return json_array_get(json_object_get(report, "parts"), i);
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static void a_preset_is_read_without_oddities(void **state)
{
    char root[PATH_MAX * 2];
    (void)state;
    snprintf(root, sizeof root, "%s/tiny", folder);
    if (hm_preset_write(hm_preset_find("heartmula-tiny"), root, 1, NULL, NULL, &err))
        fail_msg("%s", err.text);
    json_t *memory = json_pack("{ss}", "best", "12 MB"), *report = inspect(root, memory);
    assert_int_equal(json_array_size(json_object_get(report, "parts")), 2);
    assert_true(json_is_true(json_object_get(report, "readable")));
    assert_true(json_is_true(json_object_get(report, "synthetic")));
    for (size_t i = 0; i < 2; i++)
        if (json_array_size(json_object_get(part(report, i), "oddities")))
            fail_msg("%s", json_string_value(json_array_get(json_object_get(part(report, i), "oddities"), 0)));
    assert_string_equal(string_of(part(report, 0), "kind"), "language model");
    assert_string_equal(string_of(part(report, 1), "kind"), "codec");
    assert_int_equal(json_integer_value(json_object_get(part(report, 0), "tensors")), 64);
    assert_non_null(json_object_get(json_object_get(part(report, 0), "type_bytes"), "BF16"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(report, "gen_config"), "audio_eos_id")), 65);
    says(report, "synthetic weights");
    says(report, "12 MB");
    says(report, "64, ");
    json_decref(report);
    json_decref(memory);
}

/* As it is written, and with a generation config that says nonsense. */
static void a_whisper_is_read_without_oddities(void **state)
{
    char root[PATH_MAX * 2], path[PATH_MAX * 3];
    (void)state;
    snprintf(root, sizeof root, "%s/heard", folder);
    if (hm_preset_write(hm_preset_find("whisper-test"), root, 1, NULL, NULL, &err))
        fail_msg("%s", err.text);
    json_t *report = inspect(root, NULL);
    assert_string_equal(string_of(report, "model"), "whisper");
    assert_int_equal(json_array_size(json_object_get(report, "parts")), 1);
    assert_string_equal(string_of(part(report, 0), "kind"), "transcriber");
    if (json_array_size(json_object_get(part(report, 0), "oddities")))
        fail_msg("%s", json_string_value(json_array_get(json_object_get(part(report, 0), "oddities"), 0)));
    assert_int_equal(json_array_size(json_object_get(report, "missing")), 0);
    says(report, "audio       16000 Hz mono, 80 mel bands, windows of 3000 frames");
    says(report, "encoder     2 layers of width 64, 4 heads of 16, hidden 128, 1500 positions");
    says(report, "text        2014 tokens, the head is the embedding");
    says(report, "generation_config: start 501, end 500, transcribe 508");
    says(report, "max_length 448");
    json_decref(report);
    snprintf(path, sizeof path, "%s/HeartTranscriptor-oss", root);
    make_text(path, "generation_config.json", "{\"max_length\": \"long\"}");
    report = inspect(root, NULL);
    says(report, "problem");
    says(report, "max_length");
    json_decref(report);
}

static void speech_presets_are_read_without_oddities(void **state)
{
    static const char *const names[] = {"qwen3-tts-tiny", "qwen3-tts-tiny-base"};
    char root[PATH_MAX * 2];
    (void)state;
    for (int k = 0; k < 2; k++) {
        snprintf(root, sizeof root, "%s/%d", folder, k);
        if (hm_preset_write(hm_preset_find(names[k]), root, 1, NULL, NULL, &err))
            fail_msg("%s", err.text);
        json_t *report = inspect(root, NULL);
        assert_string_equal(string_of(report, "model"), "qwen3-tts");
        assert_int_equal(json_array_size(json_object_get(report, "parts")), 2);
        assert_int_equal(json_array_size(json_object_get(report, "missing")), 0);
        assert_true(json_is_true(json_object_get(report, "readable")));
        for (size_t i = 0; i < 2; i++)
            if (json_array_size(json_object_get(part(report, i), "oddities")))
                fail_msg("%s", json_string_value(json_array_get(json_object_get(part(report, i), "oddities"), 0)));
        assert_string_equal(string_of(part(report, 0), "kind"), "talker");
        assert_string_equal(string_of(part(report, 1), "kind"), "speech tokenizer");
        says(report, k ? "kind        base" : "kind        custom_voice");
        says(report, k ? "speakers    none" : "speakers    dylan (beijing_dialect), eric (sichuan_dialect), ryan, vivian");
        says(report, "16 groups of 128, 1152 rows for the first");
        says(report, "24000 Hz mono, 1920 samples a frame, 12.5 frames a second");
        says(report, "rates       8, 5, 4, 3");
        says(report, "max_frames 8191");
        if (k)
            says(report, "cloning     speaker vectors of 64 from 128 mel bands");
        json_decref(report);
    }
}

static void what_a_speech_model_lacks_or_does_not_fit_is_told(void **state)
{
    char root[PATH_MAX * 2], path[PATH_MAX * 3];
    (void)state;
    snprintf(root, sizeof root, "%s/speech", folder);
    if (hm_preset_write(hm_preset_find("qwen3-tts-tiny"), root, 1, NULL, NULL, &err))
        fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/speech_tokenizer", root);
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    assert_true(hm_preset_tts_shapes(hm_preset_find("qwen3-tts-tiny"), &talker, &codec));
    codec.groups = codec.decoder.groups = 15;
    json_t *config = hm_speech_codec_shape_config(&codec);
    char *text = json_dumps(config, 0);
    make_text(path, "config.json", text);
    free(text);
    json_t *report = inspect(root, NULL);
    says(report, "MISSING: configs: the talker has 16 code groups of 128 entries, its speech tokenizer 15 of 128");
    says(report, "2 tensors that the model does not have: decoder.quantizer.rvq_rest.vq.layers.14");
    json_decref(report);
    json_object_set_new(config, "model_type", json_string("qwen3_tts_tokenizer_25hz"));
    text = json_dumps(config, 0);
    make_text(path, "config.json", text);
    free(text);
    json_decref(config);
    report = inspect(root, NULL);
    says(report, "\"qwen3_tts_tokenizer_25hz\" (the 25 Hz family) is not read here");
    json_decref(report);
    make_clean(path);
    snprintf(path, sizeof path, "%s/vocab.json", root);
    unlink(path);
    snprintf(path, sizeof path, "%s/generation_config.json", root);
    unlink(path);
    report = inspect(root, NULL);
    says(report, "MISSING: ");
    says(report, "no speech tokenizer: looked there");
    says(report, "MISSING: no tokenizer: vocab.json");
    says(report, "generation_config: none; the built-in settings hold: do_sample true");
    says(report, "max_frames 2047");
    json_decref(report);
}

/* A tiny codec of one small shape with oddities: initted [1], old weight-norm names, an extra tensor, one of another shape, unknown key. */
static void oddities_of_a_codec_are_told(void **state)
{
    (void)state;
    hm_tensor_table table;
    make_tensor *tensors;
    hm_codec_shape shape = hm_preset_sizes_of(hm_preset_find("heartmula-tiny"))->codec;
    shape.initted_rank = 1;
    assert_int_equal(hm_codec_table(&table, &shape, &err), HM_OK);
    tensors = calloc((size_t)table.count + 2, sizeof *tensors);
    char(*texts)[2][160] = calloc((size_t)table.count, sizeof *texts);
    assert_true(tensors && texts);
    int n = 0;
    for (int i = 0; i < table.count; i++) {
        const hm_tensor_row *r = &table.rows[i];
        char *name = texts[i][0], *dims = texts[i][1];
        if (!strncmp(r->name, "scalar_model.encoder.", 21) || !strcmp(r->name, "flow_matching.cond_feature_emb.bias"))
            continue;
        snprintf(name, 160, "%s", r->name);
        char *norm = strstr(name, ".parametrizations.weight.original");
        if (norm)
            strcpy(norm, strchr(norm, '0') ? ".weight_g" : ".weight_v");
        int at = snprintf(dims, 160, "[");
        for (int k = 0; k < r->rank; k++)
            at += snprintf(dims + at, 160 - (size_t)at, "%s%lld", k ? "," : "", (long long)r->shape[k]);
        snprintf(dims + at, 160 - (size_t)at, "]");
        tensors[n++] = (make_tensor){name, hm_dtype_name(r->type), dims, hm_tensor_row_bytes(r), NULL};
        if (!strcmp(name, "flow_matching.cond_feature_emb.weight")) {
            tensors[n - 1].shape = "[16,64]";
            tensors[n - 1].type = "F32";
        }
    }
    tensors[n] = (make_tensor){"extra.thing", "F8_E4M3", "[3]", 3, NULL};
    make_tensors(folder, "codec.safetensors", tensors, NULL);
    json_t *config = hm_codec_shape_config(&shape);
    json_object_set_new(config, "surprise", json_integer(1));
    char *text = json_dumps(config, 0);
    make_text(folder, "config.json", text);
    json_t *report = inspect(folder, NULL);
    says(report, "1 tensors are missing: flow_matching.cond_feature_emb.bias");
    says(report, "1 tensors have another shape than the config says: flow_matching.cond_feature_emb.weight");
    says(report, "8 `initted` flags have shape [1]");
    says(report, "tensors are left out that nothing reads: scalar_model.encoder.");
    says(report, "weight-norm tensors have their old names");
    says(report, "1 tensors that the model does not have: extra.thing");
    says(report, "1 tensors are of a type that is not read");
    says(report, "1 config keys have no meaning here: surprise");
    json_decref(report);
    json_decref(config);
    free(text);
    free(tensors);
    free(texts);
    hm_tensor_table_close(&table);
}

static void foreign_checkpoints_are_named_with_what_to_do(void **state)
{
    const make_tensor mlx[] = {{"a.weight", "U32", "[1]", 4, NULL},
                               {"a.scales", "BF16", "[1]", 2, NULL},
                               {"a.biases", "BF16", "[1]", 2, NULL},
                               {NULL, NULL, NULL, 0, NULL}};
    (void)state;
    make_text(folder, "heart.gguf", "GGUF....");
    json_t *report = inspect(folder, NULL);
    assert_true(json_is_false(json_object_get(report, "readable")));
    says(report, "GGUF");
    says(report, "take the safetensors folder it was made from");
    json_decref(report);
    make_tensors(folder, "model.safetensors", mlx, "\"format\":\"mlx\"");
    make_text(folder, "config.json", "{\"model_type\":\"heartmula\"}");
    report = inspect(folder, NULL);
    assert_true(json_is_false(json_object_get(report, "readable")));
    says(report, "quantised MLX");
    says(report, "quantise here instead");
    json_decref(report);
}

static void a_merged_file_is_told_with_what_it_carries(void **state)
{
    const make_tensor tensors[] = {{"audio_head", "F16", "[1]", 2, NULL}, {NULL, NULL, NULL, 0, NULL}};
    (void)state;
    make_tensors(folder, "merged.safetensors", tensors,
                 "\"config.json\":\"{\\\"model_type\\\":\\\"heartmula\\\"}\",\"tokenizer.json\":\"{}\"");
    json_t *report = inspect(folder, NULL);
    assert_string_equal(string_of(part(report, 0), "layout"), "one merged file, its config inside");
    says(report, "tokenizer.json is inside the weights file");
    says(report, "tensors are missing");
    json_decref(report);
}

static void a_broken_part_is_told_and_does_not_stop_the_report(void **state)
{
    char sub[PATH_MAX];
    (void)state;
    make_subfolder(sub, folder, "lm");
    make_text(sub, "config.json", "{\"model_type\":\"heartmula\",\"backbone_flavor\":\"llama-\\u001b[31m9B\"}");
    make_text(sub, "model.safetensors", "broken");
    json_t *report = inspect(folder, NULL);
    assert_true(json_is_false(json_object_get(report, "readable")));
    says(report, "too few for a safetensors file");
    char *text = printed(report);
    assert_null(strchr(text, 0x1B));
    free(text);
    json_decref(report);
    snprintf(sub, sizeof sub, "%.200s/absent", folder);
    assert_int_equal(hm_inspect(&report, sub, NULL, &err), HM_EMISSING);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_preset_is_read_without_oddities),
        CASE(a_whisper_is_read_without_oddities),
        CASE(speech_presets_are_read_without_oddities),
        CASE(what_a_speech_model_lacks_or_does_not_fit_is_told),
        CASE(oddities_of_a_codec_are_told),
        CASE(foreign_checkpoints_are_named_with_what_to_do),
        CASE(a_merged_file_is_told_with_what_it_carries),
        CASE(a_broken_part_is_told_and_does_not_stop_the_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
