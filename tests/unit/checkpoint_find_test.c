/* Finding the parts of a checkpoint in the layouts that people have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/make_safetensors.h"

#include "engine/checkpoint.h"

#define LM_CONFIG "{\"model_type\":\"heartmula\"}"
#define TALKER_CONFIG "{\"model_type\":\"qwen3_tts\"}"
#define SPEECH_CONFIG "{\"model_type\":\"qwen3_tts_tokenizer_12hz\"}"
#define CODEC_CONFIG "{\"architectures\":[\"HeartCodec\"]}"

static const make_tensor some[] = {{"x", "F32", "[1]", 4, NULL}, {NULL, NULL, NULL, 0, NULL}};

static char folder[PATH_MAX];
static hm_error err;
static hm_checkpoint c;

static int open_folder(void **state)
{
    (void)state;
    make_folder(folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    hm_checkpoint_close(&c);
    make_clean(folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[PATH_MAX * 2];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_part(const char *name, const char *config)
{
    char path[PATH_MAX];
    make_subfolder(path, folder, name);
    make_tensors(path, "model.safetensors", some, NULL);
    if (config)
        make_text(path, "config.json", config);
}

static void find(const char *path)
{
    hm_checkpoint_close(&c);
    if (hm_checkpoint_find(&c, path, &err))
        fail_msg("%s", err.text);
}

static void ends(const char *path, const char *tail)
{
    assert_non_null(path);
    size_t n = strlen(path), m = strlen(tail);
    if (n < m || strcmp(path + n - m, tail))
        fail_msg("%s does not end in %s", path, tail);
}

static void the_standard_layout_is_found_whatever_its_folders_are_called(void **state)
{
    hm_gen_config g;
    (void)state;
    make_part("one", LM_CONFIG);
    make_part("two", CODEC_CONFIG);
    make_part("other", "{\"model_type\":\"whisper\"}");
    make_text(folder, "tokenizer.json", "{}");
    make_text(folder, "gen_config.json", "{\"text_bos_id\":7,\"audio_eos_id\":65,\"something\":\"else\"}");
    find(folder);
    ends(c.lm, "/one");
    ends(c.codec, "/two");
    ends(c.tokenizer, "/tokenizer.json");
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_OK);
    assert_int_equal(hm_checkpoint_gen_config(&g, &c, NULL, &err), HM_OK);
    assert_int_equal(g.text_bos_id, 7);
    assert_int_equal(g.text_eos_id, 128001);
    assert_int_equal(g.audio_eos_id, 65);
    make_text(folder, "gen_config.json", "{\"text_bos_id\":\"7\"}");
    assert_int_equal(hm_checkpoint_gen_config(&g, &c, NULL, &err), HM_EFORMAT);
}

static void the_folder_of_the_language_model_leads_to_the_rest(void **state)
{
    (void)state;
    make_part("lm", LM_CONFIG);
    make_part("codec", CODEC_CONFIG);
    make_text(folder, "tokenizer.json", "{}");
    find(in_folder("lm/"));
    ends(c.lm, "lm/");
    ends(c.codec, "/codec");
    ends(c.tokenizer, "/tokenizer.json");
    find(in_folder("codec"));
    ends(c.codec, "/codec");
    assert_null(c.lm);
    assert_int_equal(hm_checkpoint_need(&c, false, true, &err), HM_OK);
    assert_int_equal(hm_checkpoint_need(&c, true, false, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "no language model: looked there"));
}

static void a_language_model_at_the_root_with_the_codec_below_is_found(void **state)
{
    (void)state;
    make_tensors(folder, "model.safetensors", some, NULL);
    make_text(folder, "config.json", "{\"audio_num_codebooks\":8,\"audio_vocab_size\":69,\"muq_dim\":32,\"text_vocab_size\":1024}");
    make_part("codec", CODEC_CONFIG);
    find(folder);
    assert_string_equal(c.lm, folder);
    ends(c.codec, "/codec");
}

static void merged_files_are_told_apart_by_metadata_and_tensors(void **state)
{
    const make_tensor codec[] = {{"flow_matching.cond_feature_emb.weight", "F16", "[1, 1]", 2, NULL}, {NULL, NULL, NULL, 0, NULL}};
    hm_weights *lm;
    char *text;
    size_t size;
    const char *where;
    hm_gen_config g;
    (void)state;
    make_tensors(folder, "lm_bf16.safetensors", some,
                 "\"config\":\"{\\\"model_type\\\":\\\"heartmula\\\"}\",\"tokenizer\":\"{\\\"a\\\":1}\",\"gen_config.json\":\"{\\\"empty_"
                 "id\\\":3}\"");
    make_tensors(folder, "codec_fp16.safetensors", codec, NULL);
    for (int i = 0; i < 2; i++) {
        find(i ? in_folder("lm_bf16.safetensors") : folder);
        ends(c.lm, "/lm_bf16.safetensors");
        ends(c.codec, "/codec_fp16.safetensors");
        assert_null(c.tokenizer);
    }
    assert_int_equal(hm_weights_open(&lm, c.lm, HM_LOAD_MAP, &err), HM_OK);
    assert_int_equal(hm_checkpoint_tokenizer(&text, &size, &where, &c, lm, &err), HM_OK);
    assert_string_equal(text, "{\"a\":1}");
    assert_int_equal(size, 7);
    free(text);
    assert_int_equal(hm_checkpoint_gen_config(&g, &c, lm, &err), HM_OK);
    assert_int_equal(g.empty_id, 3);
    assert_int_equal(hm_checkpoint_tokenizer(&text, &size, &where, &c, NULL, &err), HM_EMISSING);
    hm_weights_close(&lm);
    find(in_folder("codec_fp16.safetensors"));
    ends(c.codec, "/codec_fp16.safetensors");
    assert_null(c.lm);
}

static void two_language_models_must_be_told_apart(void **state)
{
    (void)state;
    make_part("HeartMuLa-a", LM_CONFIG);
    make_part("HeartMuLa-b", LM_CONFIG);
    make_part("HeartCodec", CODEC_CONFIG);
    find(folder);
    assert_int_equal(hm_checkpoint_need(&c, false, true, &err), HM_OK);
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "HeartMuLa-a"));
    assert_non_null(strstr(err.text, "HeartMuLa-b"));
    find(in_folder("HeartMuLa-b"));
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_OK);
}

static void a_folder_with_foreign_files_names_them(void **state)
{
    (void)state;
    make_text(folder, "heart-q8_0.gguf", "GGUF....");
    find(folder);
    assert_int_equal(hm_checkpoint_need(&c, true, false, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "heart-q8_0.gguf (GGUF"));
    hm_checkpoint_close(&c);
    assert_int_equal(hm_checkpoint_find(&c, in_folder("absent"), &err), HM_EMISSING);
}

/* folder/NAME with a talker, its speech tokenizer inside unless left out, and the texts beside it. */
static void make_speech_model(const char *name, bool with_codec)
{
    char inside[PATH_MAX];
    make_part(name, TALKER_CONFIG);
    make_text(in_folder(name), "vocab.json", "{}");
    make_text(in_folder(name), "generation_config.json", "{\"top_k\":7}");
    if (snprintf(inside, sizeof inside, "%s/speech_tokenizer", name) < PATH_MAX && with_codec)
        make_part(inside, SPEECH_CONFIG);
}

static void a_speech_model_is_found_from_its_folder_its_files_and_the_one_above(void **state)
{
    static const char *const paths[] = {"speech", "", "speech/model.safetensors"};
    hm_tts_generation g;
    (void)state;
    make_speech_model("speech", true);
    for (int i = 0; i < 3; i++) {
        find(in_folder(paths[i]));
        assert_int_equal(c.model, HM_MODEL_QWEN3_TTS);
        ends(c.lm, i == 2 ? "/model.safetensors" : "speech");
        ends(c.codec, "speech/speech_tokenizer");
        ends(c.tokenizer, "speech");
        assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_OK);
        assert_int_equal(hm_checkpoint_generation(&g, &c, &err), HM_OK);
        assert_int_equal(g.topk, 7);
    }
    find(in_folder("speech/speech_tokenizer"));
    assert_int_equal(c.model, HM_MODEL_QWEN3_TTS);
    ends(c.codec, "/speech_tokenizer");
    assert_int_equal(hm_checkpoint_need(&c, false, true, &err), HM_OK);
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "no talker: looked there"));
}

static void a_speech_model_without_a_part_says_which(void **state)
{
    hm_tokenizer *t = NULL;
    hm_tts_generation g;
    (void)state;
    make_speech_model("speech", false);
    find(in_folder("speech"));
    assert_int_equal(hm_checkpoint_need(&c, true, false, &err), HM_OK);
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_EMISSING);
    assert_non_null(
        strstr(err.text, "no speech tokenizer: looked there and in its subfolders for a config.json with model_type qwen3_tts_tok"));
    unlink(in_folder("speech/vocab.json"));
    unlink(in_folder("speech/generation_config.json"));
    find(in_folder("speech"));
    assert_int_equal(hm_checkpoint_qwen2_tokenizer(&t, &c, HM_QWEN2_SPLIT_PLAIN, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "looked for vocab.json and merges.txt"));
    assert_int_equal(hm_checkpoint_generation(&g, &c, &err), HM_OK);
    assert_int_equal(g.topk, 50);
    make_text(in_folder("speech"), "generation_config.json", "[1]");
    find(in_folder("speech"));
    assert_int_equal(hm_checkpoint_generation(&g, &c, &err), HM_EFORMAT);
    make_part("tokenizer", SPEECH_CONFIG); /* beside it, as it is published by itself */
    find(in_folder("speech"));
    ends(c.codec, "/tokenizer");
    find(folder);
    ends(c.codec, "/tokenizer");
}

static void codecs_of_another_family_and_those_beside_the_inner_one_are_left_alone(void **state)
{
    (void)state;
    make_part("a-codec", CODEC_CONFIG);
    make_part("b-speech-codec", SPEECH_CONFIG);
    make_speech_model("speech", true);
    find(folder);
    assert_int_equal(c.model, HM_MODEL_QWEN3_TTS);
    ends(c.codec, "speech/speech_tokenizer");
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_OK);
    make_part("heart", LM_CONFIG);
    find(in_folder("heart"));
    assert_int_equal(c.model, HM_MODEL_HEARTMULA);
    ends(c.codec, "/a-codec");
    find(folder);
    assert_int_equal(hm_checkpoint_need(&c, true, true, &err), HM_EUSAGE);
    find(in_folder("a-codec"));
    assert_int_equal(c.model, HM_MODEL_HEARTMULA);
}

static void speech_parts_are_told_by_their_tensors_too(void **state)
{
    const make_tensor talker[] = {{"talker.codec_head.weight", "BF16", "[1, 1]", 2, NULL}, {NULL, NULL, NULL, 0, NULL}};
    const make_tensor codec[] = {{"decoder.quantizer.rvq_first.output_proj.weight", "F32", "[1, 1, 1]", 4, NULL},
                                 {NULL, NULL, NULL, 0, NULL}};
    (void)state;
    make_tensors(folder, "a.safetensors", talker, NULL);
    make_tensors(folder, "b.safetensors", codec, NULL);
    find(folder);
    assert_int_equal(c.model, HM_MODEL_QWEN3_TTS);
    ends(c.lm, "/a.safetensors");
    ends(c.codec, "/b.safetensors");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_standard_layout_is_found_whatever_its_folders_are_called),
        CASE(the_folder_of_the_language_model_leads_to_the_rest),
        CASE(a_language_model_at_the_root_with_the_codec_below_is_found),
        CASE(merged_files_are_told_apart_by_metadata_and_tensors),
        CASE(two_language_models_must_be_told_apart),
        CASE(a_folder_with_foreign_files_names_them),
        CASE(a_speech_model_is_found_from_its_folder_its_files_and_the_one_above),
        CASE(a_speech_model_without_a_part_says_which),
        CASE(codecs_of_another_family_and_those_beside_the_inner_one_are_left_alone),
        CASE(speech_parts_are_told_by_their_tensors_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
