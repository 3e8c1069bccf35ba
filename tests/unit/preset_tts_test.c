/* Presets of Qwen3-TTS: their shapes against the golden files and the released models, and the folders they write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/base/hash.h"
#include "engine/base/json.h"
#include "engine/checkpoint.h"
#include "engine/preset.h"

#define GOLDENS HM_TEST_DATA "/goldens/qwen3-tts/"

static hm_error err;

static json_t *load(const char *path)
{
    json_t *json = NULL;
    if (hm_json_load(&json, path, &err))
        fail_msg("%s", err.text);
    return json;
}

static void path_of(char out[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        fail();
}

static bool is_speech(const hm_preset *p)
{
    return !strcmp(p->model, "qwen3-tts");
}

static uint64_t elements(const hm_tensor_table *t, const char *prefix)
{
    uint64_t n = 0;
    for (int i = 0; i < t->count; i++)
        if (!strncmp(t->rows[i].name, prefix, strlen(prefix)))
            n += hm_tensor_row_bytes(&t->rows[i]) / hm_dtype_bytes(t->rows[i].type);
    return n;
}

static void full_size_presets_have_the_known_tensors_and_parameters(void **state)
{
    static const struct {
        const char *name;
        int tensors;
        uint64_t parameters;
    } known[] = {{"qwen3-tts-0.6b", 402, 905788672u}, {"qwen3-tts-1.7b", 404, 1916676352u}};
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    hm_tensor_table table;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(hm_preset_tts_shapes(hm_preset_find(known[i].name), &talker, &codec));
        assert_int_equal(hm_talker_table(&table, &talker, &err), HM_OK);
        assert_int_equal(table.count, known[i].tensors);
        assert_true(elements(&table, "") == known[i].parameters);
        hm_tensor_table_close(&table);
        assert_int_equal(hm_speech_codec_table(&table, &codec, &err), HM_OK);
        assert_int_equal(table.count, 496);
        assert_true(elements(&table, "decoder.") / 100000 == 1143); /* 114.3 and 56.2 million */
        assert_true((elements(&table, "encoder.") + 50000) / 100000 == 562);
        hm_tensor_table_close(&table);
    }
}

static void full_size_names_and_ids_are_the_released_ones(void **state)
{
    static const struct {
        const char *name, *dialect;
        int64_t id;
    } known[] = {{"serena", "", 3066},
                 {"vivian", "", 3065},
                 {"uncle_fu", "", 3010},
                 {"ryan", "", 3061},
                 {"aiden", "", 2861},
                 {"ono_anna", "", 2873},
                 {"sohee", "", 2864},
                 {"eric", "sichuan_dialect", 2875},
                 {"dylan", "beijing_dialect", 2878}};
    static const int64_t languages[] = {2050, 2053, 2054, 2055, 2058, 2061, 2062, 2064, 2069, 2070, 2071, 2074};
    hm_talker_shape s;
    hm_speech_codec_shape codec;
    (void)state;
    assert_true(hm_preset_tts_shapes(hm_preset_find("qwen3-tts-0.6b"), &s, &codec));
    assert_int_equal(s.speaker_count, 9);
    assert_int_equal(s.language_count, 12);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(s.speakers[i].name, known[i].name);
        assert_string_equal(s.speakers[i].dialect, known[i].dialect);
        assert_int_equal(s.speakers[i].id, known[i].id);
    }
    for (int i = 0; i < 12; i++)
        assert_int_equal(s.languages[i].id, languages[i]);
    const int64_t found[] = {s.im_start,  s.im_end,      s.tts_pad,       s.tts_bos,         s.tts_eos,         s.codec_pad, s.codec_bos,
                             s.codec_eos, s.codec_think, s.codec_nothink, s.codec_think_bos, s.codec_think_eos, s.code_vocab};
    const int64_t want[] = {151644, 151645, 151671, 151672, 151673, 2148, 2149, 2150, 2154, 2155, 2156, 2157, 3072};
    assert_memory_equal(found, want, sizeof want);
}

static void every_preset_reads_its_own_config_back(void **state)
{
    static hm_talker_shape a, b;
    hm_speech_codec_shape c, d = {0};
    int count = 0;
    (void)state;
    for (const hm_preset *p = hm_preset_list(); p->name; p++) {
        if (!is_speech(p))
            continue;
        assert_true(hm_preset_tts_shapes(p, &a, &c));
        json_t *talker = hm_talker_shape_config(&a), *codec = hm_speech_codec_shape_config(&c);
        if (hm_talker_shape_read(&b, talker, p->name, &err) || hm_speech_codec_shape_read(&d, codec, p->name, &err) ||
            hm_tts_shapes_check(&b, &d, p->name, &err))
            fail_msg("%s", err.text);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_equal(&c, &d, sizeof c);
        assert_int_equal(b.kind, strstr(p->name, "-base")           ? HM_TTS_BASE
                                 : strstr(p->name, "-voice-design") ? HM_TTS_VOICE_DESIGN
                                                                    : HM_TTS_CUSTOM_VOICE);
        assert_true((b.kind == HM_TTS_BASE) == (b.speaker.mel > 0));
        assert_true((b.kind == HM_TTS_CUSTOM_VOICE) == (b.speaker_count > 0));
        json_decref(talker);
        json_decref(codec);
        count++;
    }
    assert_int_equal(count, 12);
    assert_false(hm_preset_tts_shapes(hm_preset_find("heartmula-tiny"), &a, &c));
    assert_null(hm_preset_find("qwen3-tts"));
}

static void every_preset_has_a_hash_of_its_own(void **state)
{
    char hashes[32][HM_PRESET_HASH];
    int n = 0;
    (void)state;
    for (const hm_preset *p = hm_preset_list(); p->name; p++, n++) {
        assert_int_equal(hm_preset_hash(p, hashes[n], &err), HM_OK);
        for (int i = 0; i < n; i++)
            assert_string_not_equal(hashes[i], hashes[n]);
    }
}

/* Tokenizer and generation config are in no tensor: a folder that was made with others is not the preset's. */
static void the_hash_covers_more_than_tensors(void **state)
{
    (void)state;
    for (const hm_preset *p = hm_preset_list(); p->name; p++) {
        char hash[HM_PRESET_HASH], parts[3 * HM_HASH_TEXT] = "", alone[HM_HASH_TEXT];
        for (int i = 0; i < hm_preset_parts(p); i++) {
            json_t *manifest = NULL;
            assert_int_equal(hm_preset_manifest(&manifest, p, i ? HM_PRESET_CODEC : HM_PRESET_LM, &err), HM_OK);
            char *text = json_dumps(manifest, JSON_COMPACT);
            hm_hash_text(alone, text, strlen(text));
            strcat(parts, alone);
            free(text);
            json_decref(manifest);
        }
        hm_hash_text(alone, parts, strlen(parts));
        assert_int_equal(hm_preset_hash(p, hash, &err), HM_OK);
        assert_memory_not_equal(hash, alone, HM_PRESET_HASH - 1);
    }
}

/* Only what a golden config says, whatever else the written one has. */
static void assert_covers(const json_t *found, const json_t *golden, const char *where)
{
    static const char *const apart[] = {"transformers_version",
                                        "assistant_token_id",
                                        "position_id_per_seconds",
                                        "initializer_range",
                                        "use_cache",
                                        "max_window_layers",
                                        "layer_types",
                                        "sliding_window",
                                        "attention_dropout",
                                        "semantic_codebook_size",
                                        "vector_quantization_hidden_dimension",
                                        "max_position_embeddings",
                                        "layer_scale_initial_scale",
                                        "dtype",
                                        "normalize",
                                        "sampling_rate",
                                        "trim_right_ratio",
                                        "upsample_groups",
                                        "use_streaming"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)golden, key, value)
    {
        bool skip = false;
        const json_t *own = json_object_get(found, key);
        for (size_t i = 0; i < sizeof apart / sizeof *apart; i++)
            skip |= !strcmp(apart[i], key);
        if (skip)
            continue;
        if (json_is_object(value))
            assert_covers(own, value, key);
        else if (json_is_number(value) ? json_number_value(own) != json_number_value(value) : !json_equal(own, value))
            fail_msg("%s: %s", where, key);
    }
}

static void the_tiny_presets_have_the_golden_configs(void **state)
{
    static const char *const names[] = {"qwen3-tts-tiny", "qwen3-tts-tiny-voice-design", "qwen3-tts-tiny-base"};
    static const char *const goldens[] = {GOLDENS "tiny_a.custom_voice.config.json", GOLDENS "tiny_a.voice_design.config.json",
                                          GOLDENS "tiny_a.base.config.json"};
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    (void)state;
    for (int i = 0; i < 3; i++) {
        json_t *golden = load(goldens[i]), *golden_codec = load(GOLDENS "tiny_a.speech_tokenizer.config.json");
        assert_true(hm_preset_tts_shapes(hm_preset_find(names[i]), &talker, &codec));
        json_t *config = hm_talker_shape_config(&talker), *codec_config = hm_speech_codec_shape_config(&codec);
        assert_covers(config, golden, names[i]);
        assert_covers(codec_config, golden_codec, names[i]);
        json_decref(golden);
        json_decref(golden_codec);
        json_decref(config);
        json_decref(codec_config);
    }
}

/* Every tensor of a written part equals the same one made in memory from the golden manifest. */
static void check_part(const char *folder, hm_weights *memory, const char *prefix)
{
    hm_weights *file;
    int in_memory = 0;
    if (hm_weights_open(&file, folder, HM_LOAD_MAP, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < hm_weights_count(file); i++) {
        const hm_tensor *t = hm_weights_at(file, i), *x, *y;
        if (hm_weights_find(file, t->name, t->rank, t->shape, NULL, &x, &err) ||
            hm_weights_find(memory, t->name, t->rank, t->shape, NULL, &y, &err))
            fail_msg("%s", err.text);
        assert_int_equal(x->type, y->type);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
    for (int i = 0; i < hm_weights_count(memory); i++) {
        const char *name = hm_weights_at(memory, i)->name;
        bool talker = !strncmp(name, "talker.", 7) || !strncmp(name, "speaker_encoder.", 16);
        in_memory += talker == !strcmp(prefix, "talker");
    }
    assert_int_equal(hm_weights_count(file), in_memory);
    hm_weights_close(&file);
}

static uint64_t folder_bytes(const char *folder)
{
    uint64_t total = 0;
    struct dirent *e;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[PATH_MAX];
        struct stat st;
        path_of(path, folder, e->d_name);
        if (e->d_name[0] != '.' && !stat(path, &st))
            total += S_ISDIR(st.st_mode) ? folder_bytes(path) : (uint64_t)st.st_size;
    }
    closedir(d);
    return total;
}

static void the_tiny_base_preset_is_the_golden_folder(void **state)
{
    static const char *const files[] = {"tokenizer_config.json", "vocab.json"};
    char folder[PATH_MAX], root[PATH_MAX], path[PATH_MAX];
    const hm_preset *tiny = hm_preset_find("qwen3-tts-tiny-base");
    json_t *manifest = load(GOLDENS "tiny_a.manifest.json");
    hm_weights *memory;
    hm_map a = {0}, b = {0};
    (void)state;
    make_folder(folder);
    path_of(root, folder, "tiny");
    if (hm_preset_write(tiny, root, 1, NULL, NULL, &err) || hm_weights_synth(&memory, manifest, 1, NULL, "tiny_a", &err))
        fail_msg("%s", err.text);
    assert_true(folder_bytes(root) == hm_preset_bytes(tiny));
    check_part(root, memory, "talker");
    path_of(path, root, "speech_tokenizer");
    check_part(path, memory, "codec");
    for (int i = 0; i < 2; i++) {
        char golden[PATH_MAX];
        path_of(path, root, files[i]);
        path_of(golden, GOLDENS "tokenizer", files[i]);
        json_t *found = load(path), *want = load(golden);
        assert_true(json_equal(found, want));
        json_decref(found);
        json_decref(want);
    }
    path_of(path, root, "merges.txt");
    assert_int_equal(hm_map_read(&a, path, 1 << 20, &err), HM_OK);
    assert_int_equal(hm_map_read(&b, GOLDENS "tokenizer/merges.txt", 1 << 20, &err), HM_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    hm_map_close(&a);
    hm_map_close(&b);
    hm_weights_close(&memory);
    json_decref(manifest);
    make_clean(folder);
}

static void a_written_folder_is_found_with_all_its_parts(void **state)
{
    char folder[PATH_MAX], root[PATH_MAX];
    hm_checkpoint c;
    hm_tts_generation g;
    hm_tokenizer *t;
    (void)state;
    make_folder(folder);
    path_of(root, folder, "design");
    if (hm_preset_write(hm_preset_find("qwen3-tts-tiny-voice-design"), root, 5, NULL, NULL, &err) || hm_checkpoint_find(&c, root, &err) ||
        hm_checkpoint_need(&c, true, true, &err) || hm_checkpoint_generation(&g, &c, &err) ||
        hm_checkpoint_qwen2_tokenizer(&t, &c, HM_QWEN2_SPLIT_PLAIN, &err))
        fail_msg("%s", err.text);
    assert_int_equal(c.model, HM_MODEL_QWEN3_TTS);
    assert_int_equal(g.max_frames, 8191);
    assert_int_equal(hm_tokenizer_id(t, "<tts_text_eod>"), 475);
    hm_tokenizer_close(&t);
    hm_checkpoint_close(&c);
    make_clean(folder);
}

static void full_size_tokenizers_have_their_special_tokens_at_the_real_ids(void **state)
{
    static const char text[] = "<|im_start|>assistant\nHi<|im_end|>\n";
    hm_preset_text texts[HM_PRESET_TEXTS + 1];
    char folder[PATH_MAX];
    hm_tokenizer *t;
    int32_t *ids;
    size_t count;
    (void)state;
    make_folder(folder);
    assert_int_equal(hm_preset_texts(texts, hm_preset_find("qwen3-tts-1.7b"), &err), HM_OK);
    for (int i = 0; texts[i].name; i++) {
        make_text(folder, texts[i].name, texts[i].text);
        free(texts[i].text);
    }
    if (hm_tokenizer_open_qwen2(&t, folder, HM_QWEN2_SPLIT_PLAIN, &err))
        fail_msg("%s", err.text);
    assert_int_equal(hm_tokenizer_id(t, "<|endoftext|>"), 151643);
    assert_int_equal(hm_tokenizer_id(t, "<tts_pad>"), 151671);
    assert_int_equal(hm_tokenizer_size(t), 151674);
    assert_int_equal(hm_tokenizer_encode(t, text, sizeof text - 1, false, &ids, &count, &err), HM_OK);
    assert_true(count >= 6 && ids[0] == 151644 && ids[count - 2] == 151645);
    assert_int_equal(ids[1], hm_tokenizer_id(t, "assistant")); /* one token: the prompt is cut by position */
    free(ids);
    hm_tokenizer_close(&t);
    make_clean(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_size_presets_have_the_known_tensors_and_parameters),
        cmocka_unit_test(full_size_names_and_ids_are_the_released_ones),
        cmocka_unit_test(every_preset_reads_its_own_config_back),
        cmocka_unit_test(every_preset_has_a_hash_of_its_own),
        cmocka_unit_test(the_hash_covers_more_than_tensors),
        cmocka_unit_test(the_tiny_presets_have_the_golden_configs),
        cmocka_unit_test(the_tiny_base_preset_is_the_golden_folder),
        cmocka_unit_test(a_written_folder_is_found_with_all_its_parts),
        cmocka_unit_test(full_size_tokenizers_have_their_special_tokens_at_the_real_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
