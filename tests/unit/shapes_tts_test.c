/* Configs of Qwen3-TTS, and the lists of tensors that follow: against the golden manifests, wrong configs, mutated ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/mutate.h"

#include "engine/base/json.h"
#include "engine/shapes_tts.h"

static hm_error err;

static json_t *golden(const char *preset, const char *name)
{
    char path[512];
    json_t *json = NULL;
    snprintf(path, sizeof path, "%s/goldens/qwen3-tts/%s.%s.json", HM_TEST_DATA, preset, name);
    if (hm_json_load(&json, path, &err))
        fail_msg("%s", err.text);
    return json;
}

static void read_shapes(hm_talker_shape *talker, hm_speech_codec_shape *codec, const char *preset, const char *config)
{
    json_t *json = golden(preset, config), *codec_json = golden(preset, "speech_tokenizer.config");
    if (hm_talker_shape_read(talker, json, config, &err) || hm_speech_codec_shape_read(codec, codec_json, config, &err))
        fail_msg("%s", err.text);
    json_decref(json);
    json_decref(codec_json);
}

static void check_row(const hm_tensor_row *r, const json_t *want, bool values)
{
    const json_t *shape = json_object_get(want, "shape");
    assert_string_equal(r->name, json_string_value(json_object_get(want, "name")));
    assert_string_equal(hm_dtype_name(r->type), json_string_value(json_object_get(want, "dtype")));
    assert_int_equal(r->rank, json_array_size(shape));
    for (int i = 0; i < r->rank; i++)
        assert_int_equal(r->shape[i], json_integer_value(json_array_get(shape, (size_t)i)));
    if (values && (r->offset != (float)json_number_value(json_object_get(want, "offset")) ||
                   r->scale != (float)json_number_value(json_object_get(want, "scale"))))
        fail_msg("%s: offset %.9g scale %.9g", r->name, r->offset, r->scale);
}

/* Talker first, then codec, as the manifest lists them. Counts rows whose values differ from it. */
static void check_preset(const char *preset, bool values)
{
    json_t *manifest = golden(preset, "manifest");
    const json_t *rows = json_object_get(manifest, "tensors");
    hm_talker_shape talker;
    hm_speech_codec_shape codec;
    hm_tensor_table a, b;
    read_shapes(&talker, &codec, preset, "base.config");
    assert_int_equal(hm_talker_table(&a, &talker, &err), HM_OK);
    assert_int_equal(hm_speech_codec_table(&b, &codec, &err), HM_OK);
    assert_int_equal(a.count + b.count, json_array_size(rows));
    for (int i = 0; i < a.count + b.count; i++)
        check_row(i < a.count ? &a.rows[i] : &b.rows[i - a.count], json_array_get(rows, (size_t)i), values);
    hm_tensor_table_close(&a);
    hm_tensor_table_close(&b);
    json_decref(manifest);
}

static void tables_equal_the_golden_manifests(void **state)
{
    (void)state;
    check_preset("tiny_a", true);
    check_preset("tiny_b", true);
    check_preset("tiny_b_eps", false); /* it rescales 49 of them */
}

static void only_a_base_model_has_a_speaker_encoder(void **state)
{
    static const char *const configs[] = {"custom_voice.config", "voice_design.config"};
    hm_talker_shape s;
    hm_speech_codec_shape codec;
    hm_tensor_table table;
    (void)state;
    for (int k = 0; k < 2; k++) {
        read_shapes(&s, &codec, "tiny_a", configs[k]);
        assert_int_equal(s.kind, k ? HM_TTS_VOICE_DESIGN : HM_TTS_CUSTOM_VOICE);
        assert_int_equal(s.speaker.mel, 0);
        assert_int_equal(hm_talker_table(&table, &s, &err), HM_OK);
        for (int i = 0; i < table.count; i++)
            assert_int_not_equal(strncmp(table.rows[i].name, "speaker_encoder", 15), 0);
        hm_tensor_table_close(&table);
    }
}

static void the_golden_configs_say_what_they_hold(void **state)
{
    hm_talker_shape s;
    hm_speech_codec_shape c;
    (void)state;
    read_shapes(&s, &c, "tiny_b", "custom_voice.config");
    assert_string_equal(s.size, "tiny");
    assert_int_equal(s.talker.width, 80);
    assert_int_equal(s.talker.head_dim, 24);
    assert_int_equal(s.predictor.kv_heads, 1);
    assert_int_equal(s.code_vocab, 1088);
    assert_int_equal(s.groups, 8);
    assert_int_equal(s.codebook, 64);
    assert_int_equal(s.codec_eos, 166);
    assert_int_equal(s.language_count, 7);
    assert_int_equal(s.speaker_count, 4);
    assert_string_equal(s.speakers[0].name, "ryan");
    assert_string_equal(s.speakers[0].dialect, "");
    assert_string_equal(s.speakers[2].dialect, "sichuan_dialect");
    assert_int_equal(c.decode_rate, 192);
    assert_int_equal(c.decoder.window, 16);
    assert_int_equal(c.encoder.quantizers, 10);
    assert_true(c.encoder.frame_rate == 125);
    read_shapes(&s, &c, "tiny_a", "base.config");
    assert_int_equal(s.speaker_count, 0);
    assert_int_equal(s.speaker.blocks, 5);
    assert_int_equal(s.speaker.channels[4], 96);
}

static void a_written_config_reads_back(void **state)
{
    static const char *const configs[] = {"custom_voice.config", "voice_design.config", "base.config"};
    static hm_talker_shape s, t;
    hm_speech_codec_shape c, d = {0};
    (void)state;
    for (int k = 0; k < 3; k++) {
        memset(&s, 0, sizeof s);
        memset(&t, 0, sizeof t);
        read_shapes(&s, &c, "tiny_b", configs[k]);
        json_t *config = hm_talker_shape_config(&s), *codec = hm_speech_codec_shape_config(&c);
        if (hm_talker_shape_read(&t, config, "written", &err) || hm_speech_codec_shape_read(&d, codec, "written", &err))
            fail_msg("%s", err.text);
        assert_memory_equal(&s, &t, sizeof s);
        assert_memory_equal(&c, &d, sizeof c);
        const char *key;
        json_t *value;
        json_object_foreach(config, key, value) assert_true(hm_talker_shape_knows(key));
        json_object_foreach(codec, key, value) assert_true(hm_speech_codec_shape_knows(key));
        assert_false(hm_talker_shape_knows("muq_dim"));
        json_decref(config);
        json_decref(codec);
    }
}

static void talker_and_speech_tokenizer_must_belong_together(void **state)
{
    static hm_talker_shape a, b;
    hm_speech_codec_shape c, d;
    (void)state;
    read_shapes(&a, &c, "tiny_a", "base.config");
    read_shapes(&b, &d, "tiny_b", "base.config");
    assert_int_equal(hm_tts_shapes_check(&a, &c, "here", &err), HM_OK);
    assert_int_equal(hm_tts_shapes_check(&a, &d, "here", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "here: the talker has 16 code groups of 128 entries, its speech tokenizer 8 of 64"));
    d.groups = 16;
    assert_int_equal(hm_tts_shapes_check(&a, &d, "here", &err), HM_EFORMAT);
}

static void a_base_model_without_speaker_config_has_the_default_one(void **state)
{
    static hm_talker_shape s;
    json_t *config = golden("tiny_a", "base.config");
    (void)state;
    json_object_del(config, "speaker_encoder_config");
    assert_int_equal(hm_talker_shape_read(&s, config, "c", &err), HM_OK);
    assert_int_equal(s.speaker.mel, 128);
    assert_int_equal(s.speaker.width, 64);
    assert_int_equal(s.speaker.channels[4], 1536);
    json_decref(config);
}

/* Sets PATH (keys with dots) of a config to a JSON text; an empty one takes it away. */
static void change(json_t *config, const char *path, const char *text)
{
    const char *dot = strchr(path, '.');
    char key[64];
    snprintf(key, sizeof key, "%.*s", dot ? (int)(dot - path) : (int)strlen(path), path);
    if (dot)
        change(json_object_get(config, key), dot + 1, text);
    else if (*text)
        assert_int_equal(json_object_set_new(config, key, json_loads(text, JSON_DECODE_ANY, NULL)), 0);
    else
        assert_int_equal(json_object_del(config, key), 0);
}

typedef struct wrong {
    const char *path, *text, *says;
} wrong;

static void wrong_talker_configs_are_refused_by_name(void **state)
{
    static const wrong rows[] = {
        {"model_type", "\"qwen3\"", "only \"qwen3_tts\" is known"},
        {"tts_model_type", "\"voice_clone\"", "tts_model_type \"voice_clone\" is not known"},
        {"tts_model_type", "", "\"tts_model_type\" is missing"},
        {"tokenizer_type", "\"qwen3_tts_tokenizer_25hz\"", "(the 25 Hz family) is not read here"},
        {"tts_model_size", "\"0123456789abcdef\"", "at most 15 bytes"},
        {"im_start_token_id", "512", "id 512 is not in the vocabulary of 512"},
        {"tts_eos_token_id", "", "\"tts_eos_token_id\" is missing"},
        {"talker_config", "", "\"talker_config\" is missing"},
        {"talker_config.head_dim", "", "talker_config: key \"head_dim\" is missing"},
        {"talker_config.head_dim", "15", "expected an even head_dim"},
        {"talker_config.num_key_value_heads", "3", "as many heads per KV head"},
        {"talker_config.num_hidden_layers", "0", "\"num_hidden_layers\""},
        {"talker_config.hidden_act", "\"gelu\"", "only \"silu\" is known"},
        {"talker_config.attention_bias", "true", "only false is known"},
        {"talker_config.use_sliding_window", "true", "only false is known"},
        {"talker_config.rope_scaling", "{\"rope_type\":\"yarn\"}", "found \"yarn\""},
        {"talker_config.rope_theta", "0", "a number above 0"},
        {"talker_config.rms_norm_eps", "-1", "a number above 0"},
        {"talker_config.vocab_size", "1000", "\"vocab_size\": expected 1025 to"},
        {"talker_config.vocab_size", "1151", "expected at least 1024 rows after the codes"},
        {"talker_config.codec_eos_token_id", "1152", "id 1152 is not in the vocabulary"},
        {"talker_config.num_code_groups", "15", "15 code groups, its code predictor 16"},
        {"talker_config.codec_language_id.english", "1152", "\"english\""},
        {"talker_config.codec_language_id.ENGLISH", "5", "differ in case only"},
        {"talker_config.spk_id.eric", "\"x\"", "\"eric\": expected an integer"},
        {"talker_config.spk_id.a_name_that_is_far_too_long_to_be_the_name_of_anyone", "7", "names of 1 to 47 bytes"},
        {"talker_config.spk_is_dialect.eric", "\"klingon\"", "eric speaks \"klingon\""},
        {"talker_config.spk_is_dialect.eric", "3", "expected false or a language"},
        {"talker_config.code_predictor_config", "", "\"code_predictor_config\" is missing"},
        {"talker_config.code_predictor_config.max_position_embeddings", "15", "15 positions, expected at least its 16 groups"},
        {"talker_config.code_predictor_config.hidden_size", "true", "code_predictor_config: \"hidden_size\": expected an integer"},
    };
    hm_talker_shape s;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *config = golden("tiny_a", "custom_voice.config");
        change(config, rows[i].path, rows[i].text);
        if (hm_talker_shape_read(&s, config, "c", &err) != HM_EFORMAT || !strstr(err.text, rows[i].says))
            fail_msg("%s = %s: \"%s\"", rows[i].path, rows[i].text, err.text);
        json_decref(config);
    }
}

static void wrong_speaker_encoders_are_refused_by_name(void **state)
{
    static const wrong rows[] = {
        {"enc_dim", "65", "expected the talker's width 64"},
        {"sample_rate", "16000", "sample_rate 16000"},
        {"enc_channels", "[32,32,32,32]", "4 enc_channels, 5 enc_kernel_sizes"},
        {"enc_channels", "[32,32,16,32,80]", "enc_channels[2] is 16"},
        {"enc_channels", "[32,32,32,32,95]", "the last block has 95 channels"},
        {"enc_channels", "[]", "expected 1 to 8 sizes, found 0"},
        {"enc_res2net_scale", "7", "a multiple of enc_res2net_scale 7"},
        {"enc_kernel_sizes", "[4,3,3,3,1]", "expected an odd one"},
        {"enc_dilations", "[1,2,3,4,2]", "dilation 2"},
        {"mel_dim", "0", "\"mel_dim\""},
    };
    hm_talker_shape s;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *config = golden("tiny_a", "base.config");
        change(json_object_get(config, "speaker_encoder_config"), rows[i].path, rows[i].text);
        if (hm_talker_shape_read(&s, config, "c", &err) != HM_EFORMAT || !strstr(err.text, rows[i].says) ||
            !strstr(err.text, "speaker_encoder_config"))
            fail_msg("%s = %s: \"%s\"", rows[i].path, rows[i].text, err.text);
        json_decref(config);
    }
}

static void wrong_speech_tokenizer_configs_are_refused_by_name(void **state)
{
    static const wrong rows[] = {
        {"model_type", "\"qwen3_tts_tokenizer_25hz\"", "(the 25 Hz family) is not read here"},
        {"decode_upsample_rate", "1919", "expected the product of upsampling_ratios and upsample_rates, 1920"},
        {"encode_downsample_rate", "1921", "encode_downsample_rate 1921"},
        {"encode_downsample_rate", "960", "twice or more"},
        {"input_sample_rate", "16000", "only 24000 is known"},
        {"encoder_valid_num_quantizers", "15", "encoder_valid_num_quantizers 15"},
        {"decoder_config", "", "\"decoder_config\" is missing"},
        {"encoder_config", "[]", "\"encoder_config\": expected an object"},
        {"decoder_config.upsample_rates", "[8,5,4,3,1,1,1,1,1]", "expected 1 to 8 sizes, found 9"},
        {"decoder_config.upsample_rates", "[8,5,4,0]", "decoder_config: \"upsample_rates\": size 3"},
        {"decoder_config.codebook_dim", "31", "expected an even one"},
        {"decoder_config.decoder_dim", "40", "halves 4 times"},
        {"decoder_config.head_dim", "7", "even head_dim"},
        {"decoder_config.hidden_act", "\"relu\"", "found \"relu\""},
        {"decoder_config.sliding_window", "0", "\"sliding_window\""},
        {"encoder_config.num_semantic_quantizers", "2", "\"num_semantic_quantizers\""},
        {"encoder_config.num_quantizers", "12", "12 quantizers"},
        {"encoder_config.codebook_size", "64", "the decoder's 128"},
        {"encoder_config.vector_quantization_hidden_dimension", "8", "the two widths equal"},
        {"encoder_config.compress", "3", "a multiple of compress 3"},
        {"encoder_config._frame_rate", "25", "_frame_rate 25"},
        {"encoder_config.use_causal_conv", "false", "only true is known"},
        {"encoder_config.pad_mode", "\"reflect\"", "found \"reflect\""},
    };
    hm_speech_codec_shape s;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *config = golden("tiny_a", "speech_tokenizer.config");
        change(config, rows[i].path, rows[i].text);
        if (hm_speech_codec_shape_read(&s, config, "c", &err) != HM_EFORMAT || !strstr(err.text, rows[i].says))
            fail_msg("%s = %s: \"%s\"", rows[i].path, rows[i].text, err.text);
        json_decref(config);
    }
}

/* 24000 / 182 has no end, and its double times 182 is not 24000. */
static void frame_rates_without_an_end_are_read(void **state)
{
    static const char *const changes[][2] = {{"decode_upsample_rate", "182"},
                                             {"encode_downsample_rate", "182"},
                                             {"decoder_config.upsample_rates", "[13]"},
                                             {"decoder_config.upsampling_ratios", "[7,2]"},
                                             {"encoder_config.upsampling_ratios", "[7]"}};
    hm_speech_codec_shape s;
    char rate[32];
    (void)state;
    json_t *config = golden("tiny_a", "speech_tokenizer.config");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        change(config, changes[i][0], changes[i][1]);
    snprintf(rate, sizeof rate, "%.17g", 24000.0 / 182);
    assert_true(24000.0 / 182 * 182 != 24000.0);
    change(config, "encoder_config._frame_rate", rate);
    if (hm_speech_codec_shape_read(&s, config, "c", &err))
        fail_msg("%s", err.text);
    change(config, "encoder_config._frame_rate", "131.8681");
    assert_int_equal(hm_speech_codec_shape_read(&s, config, "c", &err), HM_OK);
    change(config, "encoder_config._frame_rate", "131.87");
    assert_int_equal(hm_speech_codec_shape_read(&s, config, "c", &err), HM_EFORMAT);
    json_decref(config);
}

/* Every mutation reads, and then its table is made, or fails with one sentence. */
static void mutated_configs_read_or_fail_with_a_sentence(void **state)
{
    static const char *const names[] = {"base.config", "custom_voice.config", "speech_tokenizer.config"};
    static hm_talker_shape talker;
    hm_speech_codec_shape codec;
    size_t good = 0, bad = 0, size;
    (void)state;
    for (int k = 0; k < 3; k++) {
        json_t *original = golden("tiny_a", names[k]), *json;
        char *text = json_dumps(original, JSON_COMPACT);
        hm_mutator m;
        hm_mutator_open(&m, text, strlen(text), 40 + (uint64_t)k);
        for (int i = 0; i < 1500; i++) {
            const uint8_t *data = hm_mutate(&m, &size);
            hm_tensor_table table = {0};
            hm_status st = hm_json_parse(&json, data, size, "mutated", &err);
            if (!st) {
                st = k < 2 ? hm_talker_shape_read(&talker, json, "mutated", &err)
                           : hm_speech_codec_shape_read(&codec, json, "mutated", &err);
                if (!st)
                    st = k < 2 ? hm_talker_table(&table, &talker, &err) : hm_speech_codec_table(&table, &codec, &err);
                json_decref(json);
            }
            if (st && !hm_mutate_sentence_ok(st, &err))
                fail_msg("%s: %s: %d \"%s\"", names[k], m.last, (int)st, err.text);
            for (int r = 0; r < table.count; r++)
                assert_true(hm_tensor_row_bytes(&table.rows[r]) > 0);
            good += !st;
            bad += !!st;
            hm_tensor_table_close(&table);
        }
        hm_mutator_close(&m);
        free(text);
        json_decref(original);
    }
    assert_true(good > 100 && bad > 1000);
}

static void generation_settings_come_from_the_file_or_are_built_in(void **state)
{
    static const wrong rows[] = {
        {"temperature", "0", "\"temperature\""},
        {"top_p", "1.5", "\"top_p\": expected a number above 0 and up to 1"},
        {"top_k", "-1", "\"top_k\""},
        {"do_sample", "1", "expected true or false"},
        {"repetition_penalty", "0", "above 0"},
        {"max_new_tokens", "1", "\"max_new_tokens\""},
    };
    hm_tts_generation g;
    (void)state;
    assert_int_equal(hm_tts_generation_read(&g, NULL, "none", &err), HM_OK);
    assert_true(!g.greedy && !g.sub_greedy && g.topk == 50 && g.sub_topk == 50 && g.max_frames == 2047);
    assert_true(g.temperature == 0.9 && g.top_p == 1 && g.repetition_penalty == 1.05 && g.sub_temperature == 0.9 && g.sub_top_p == 1);
    json_t *config = json_pack("{sb si sf sf si si sb}", "do_sample", 0, "top_k", 0, "subtalker_temperature", 0.5, "top_p", 0.25,
                               "max_new_tokens", 8192, "subtalker_top_k", 7, "subtalker_dosample", 0);
    assert_int_equal(hm_tts_generation_read(&g, config, "file", &err), HM_OK);
    assert_true(g.greedy && g.sub_greedy && g.topk == 0 && g.sub_topk == 7 && g.max_frames == 8191 && g.sub_temperature == 0.5 &&
                g.top_p == 0.25 && g.temperature == 0.9);
    json_decref(config);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        config = json_object();
        change(config, rows[i].path, rows[i].text);
        if (hm_tts_generation_read(&g, config, "file", &err) != HM_EFORMAT || !strstr(err.text, rows[i].says))
            fail_msg("%s = %s: \"%s\"", rows[i].path, rows[i].text, err.text);
        json_decref(config);
    }
    config = json_array();
    assert_int_equal(hm_tts_generation_read(&g, config, "file", &err), HM_EFORMAT);
    json_decref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_equal_the_golden_manifests),
        cmocka_unit_test(only_a_base_model_has_a_speaker_encoder),
        cmocka_unit_test(the_golden_configs_say_what_they_hold),
        cmocka_unit_test(a_written_config_reads_back),
        cmocka_unit_test(talker_and_speech_tokenizer_must_belong_together),
        cmocka_unit_test(a_base_model_without_speaker_config_has_the_default_one),
        cmocka_unit_test(wrong_talker_configs_are_refused_by_name),
        cmocka_unit_test(wrong_speaker_encoders_are_refused_by_name),
        cmocka_unit_test(wrong_speech_tokenizer_configs_are_refused_by_name),
        cmocka_unit_test(frame_rates_without_an_end_are_read),
        cmocka_unit_test(mutated_configs_read_or_fail_with_a_sentence),
        cmocka_unit_test(generation_settings_come_from_the_file_or_are_built_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
