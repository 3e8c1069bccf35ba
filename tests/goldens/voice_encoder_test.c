/* The encoders for cloning against the reference implementation: mel, x-vector and codes of a recording, for the plain and the best
 * toggles. Tolerances are those of goldens/qwen3-tts/README.md; "rel" is the largest difference over the largest golden value. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/cpu.h"
#include "engine/cpu/cpu_ops_init.h"
#include "engine/models/voice_encoder.h"
#include "harness/golden.h"
#include "tests/make_voice.h"
#include "variants/best.h"

#define GOLDENS HM_TEST_DATA "/goldens/qwen3-tts/"
#define RATE 24000

static const char *const presets[] = {"tiny_a", "tiny_b", "tiny_b_eps"};
static const hm_toggles toggles[] = {
    {0},
    {.kv = HM_KV_PREALLOC, .attn = HM_ATTN_ALL_SLOTS, .precompute = HM_PRECOMPUTE_ONCE},
    {HM_BEST},
};
enum {
    PRESETS = sizeof presets / sizeof *presets,
    TOGGLES = sizeof toggles / sizeof *toggles
};

/* --- models --- */

typedef struct model {
    hm_ctx ctx;
    hm_probe probe;
    hm_weights *weights;
    hm_speaker_encoder *speaker;
    hm_speech_encoder *speech;
    hm_speech_codec_shape codec;
    hm_talker_shape talker;
    hm_golden *golden; /* what taps are compared with; NULL: nothing */
    double tolerance;
    int compared;
} model;

static json_t *load(const char *preset, const char *name)
{
    char path[512];
    json_error_t why;
    snprintf(path, sizeof path, GOLDENS "%s.%s.json", preset, name);
    json_t *json = json_load_file(path, 0, &why);
    if (!json)
        fail_msg("%s: %s", path, why.text);
    return json;
}

/* The weights of one file of a preset. */
static void open_weights(model *m, const char *preset, const char *file, json_t *config)
{
    json_t *manifest = load(preset, "manifest"), *rows = json_array(), *row;
    hm_error err = {0};
    size_t i;
    json_array_foreach(json_object_get(manifest, "tensors"), i, row) if (!strcmp(json_string_value(json_object_get(row, "file")), file))
        json_array_append(rows, row);
    json_t *own = json_pack("{s:O, s:o}", "config", config, "tensors", rows);
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(manifest, "seed"));
    if (hm_weights_synth(&m->weights, own, seed, hm_cpu_team(m->ctx.dev), preset, &err))
        fail_msg("%s", err.text);
    json_decref(own);
    json_decref(manifest);
}

static double peak_of(const float *x, int64_t n)
{
    double peak = 0;
    for (int64_t i = 0; i < n; i++)
        peak = fmax(peak, fabs((double)x[i]));
    return peak;
}

static void check(const char *name, const float *found, const float *expected, int64_t n, double limit)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= limit))
            fail_msg("%s: value %lld is %.9g, expected %.9g, at most %.3g away", name, (long long)i, (double)found[i], (double)expected[i],
                     limit);
}

/* A tap whose name the golden file has. */
static void compare_tap(void *self, const hm_tap_value *value)
{
    model *m = self;
    hm_error err = {0};
    const float *expected;
    int64_t n;
    if (!m->golden || !hm_golden_find(m->golden, "", value->name) || !strcmp(value->name, "mel"))
        return;
    if (hm_golden_need_f32(m->golden, "", value->name, &expected, &n, &err))
        fail_msg("%s", err.text);
    assert_int_equal(value->shape[0] * value->shape[1] * value->shape[2], n);
    check(value->name, value->data, expected, n, m->tolerance * peak_of(expected, n));
    m->compared++;
}

static model *open_model(const hm_toggles *t, int threads)
{
    model *m = calloc(1, sizeof *m);
    hm_error err = {0};
    assert_non_null(m);
    m->ctx.toggles = *t;
    if (hm_cpu_open(&m->ctx.dev, threads, hm_isa_detect(), &err))
        fail_msg("%s", err.text);
    m->probe = (hm_probe){.self = m, .tap = compare_tap};
    m->ctx.probe = &m->probe;
    hm_cpu_ops_init(&m->ctx);
    return m;
}

static model *open_speaker(const char *preset, const hm_toggles *t, int threads)
{
    model *m = open_model(t, threads);
    json_t *config = load(preset, "base.config");
    hm_error err = {0};
    open_weights(m, preset, "model.safetensors", config);
    if (hm_talker_shape_read(&m->talker, config, preset, &err) ||
        hm_speaker_encoder_bind(&m->ctx, &m->speaker, &m->talker, m->weights, &err))
        fail_msg("%s", err.text);
    json_decref(config);
    return m;
}

static model *open_speech(const char *preset, const hm_toggles *t)
{
    model *m = open_model(t, 2);
    json_t *config = load(preset, "speech_tokenizer.config");
    hm_error err = {0};
    open_weights(m, preset, "speech_tokenizer/model.safetensors", config);
    if (hm_speech_codec_shape_read(&m->codec, config, preset, &err) ||
        hm_speech_encoder_bind(&m->ctx, &m->speech, &m->codec, m->weights, &err))
        fail_msg("%s", err.text);
    json_decref(config);
    return m;
}

static void close_model(model *m)
{
    hm_speaker_encoder_release(&m->speaker);
    hm_speech_encoder_release(&m->speech);
    hm_bind_release(&m->ctx);
    hm_weights_close(&m->weights);
    hm_cpu_close(&m->ctx.dev);
    free(m);
}

static void open_golden(hm_golden *g, const char *preset, const char *what)
{
    char path[512];
    hm_error err = {0};
    snprintf(path, sizeof path, GOLDENS "%s.%s.safetensors", preset, what);
    if (hm_golden_open(g, path, &err))
        fail_msg("%s", err.text);
}

static const float *need(hm_golden *g, const char *name, int64_t *n)
{
    const float *values;
    hm_error err = {0};
    if (hm_golden_need_f32(g, "", name, &values, n, &err))
        fail_msg("%s", err.text);
    return values;
}

static void embed(model *m, const float *mel, int frames, float *embedding)
{
    hm_error err = {0};
    if (hm_speaker_embed(&m->ctx, m->speaker, mel, frames, embedding, &err))
        fail_msg("%s", err.text);
}

/* --- cases --- */

static void mel_equals_the_reference(void **state)
{
    (void)state;
    for (int p = 0; p < PRESETS; p++) {
        hm_golden g;
        hm_error err = {0};
        int64_t count, n;
        int frames;
        float *mel;
        open_golden(&g, presets[p], "speaker_encoder");
        const float *audio = need(&g, "audio", &count), *expected = need(&g, "mel", &n);
        if (hm_speech_mel(&mel, &frames, audio, count, 128, RATE, &err))
            fail_msg("%s", err.text);
        assert_int_equal(frames, count / HM_MEL_HOP);
        assert_int_equal(n, frames * 128);
        check("mel", mel, expected, n, 5e-4);
        free(mel);
        hm_golden_close(&g);
    }
}

static void x_vector_equals_the_reference(void **state)
{
    (void)state;
    for (int p = 0; p < PRESETS; p++)
        for (int t = 0; t < TOGGLES; t++) {
            hm_golden g;
            hm_error err = {0};
            int64_t count, n, width;
            int frames;
            float *own_mel, embedding[256];
            model *m = open_speaker(presets[p], &toggles[t], 2);
            open_golden(&g, presets[p], "speaker_encoder");
            const float *audio = need(&g, "audio", &count), *mel = need(&g, "mel", &n), *expected = need(&g, "embedding", &width);
            assert_int_equal(width, m->talker.speaker.width);
            assert_true(width <= 256);
            m->golden = &g;
            m->tolerance = 1e-4;
            embed(m, mel, (int)(n / m->talker.speaker.mel), embedding);
            assert_int_equal(m->compared, 5); /* block0, block1, mfa, asp, embedding */
            check("embedding", embedding, expected, width, 1e-4 * peak_of(expected, width));
            m->golden = NULL;
            if (hm_speech_mel(&own_mel, &frames, audio, count, (int)m->talker.speaker.mel, RATE, &err))
                fail_msg("%s", err.text);
            embed(m, own_mel, frames, embedding);
            check("embedding from audio", embedding, expected, width, 1e-3 * peak_of(expected, width));
            free(own_mel);
            hm_golden_close(&g);
            close_model(m);
        }
}

static void x_vector_has_the_same_bytes_in_pieces_and_with_any_number_of_threads(void **state)
{
    const hm_toggles whole = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_WHOLE}, pieces = {HM_BEST};
    float *voice = make_voice(RATE * 15, RATE, 140, 0.5), *mel, found[3][256]; /* more than one piece of the pooling */
    hm_error err = {0};
    int frames;
    (void)state;
    assert_non_null(voice);
    if (hm_speech_mel(&mel, &frames, voice, RATE * 15, 128, RATE, &err))
        fail_msg("%s", err.text);
    assert_true(frames > 1024);
    for (int i = 0; i < 3; i++) {
        model *m = open_speaker("tiny_a", i ? &pieces : &whole, i < 2 ? 2 : 5);
        embed(m, mel, frames, found[i]);
        close_model(m);
    }
    assert_memory_equal(found[0], found[1], 64 * sizeof(float));
    assert_memory_equal(found[1], found[2], 64 * sizeof(float));
    free(mel);
    free(voice);
}

static void codes_equal_the_reference(void **state)
{
    (void)state;
    for (int p = 0; p < PRESETS; p++)
        for (int t = 0; t < TOGGLES; t++) {
            hm_golden g;
            hm_error err = {0};
            int64_t count, n;
            const int32_t *expected;
            int32_t *codes;
            int frames;
            model *m = open_speech(presets[p], &toggles[t]);
            open_golden(&g, presets[p], "speech_encoder");
            const float *audio = need(&g, "audio", &count);
            if (hm_golden_need_i32(&g, "", "codes", &expected, &n, &err))
                fail_msg("%s", err.text);
            m->golden = &g;
            m->tolerance = 1e-4;
            if (hm_speech_encode(&m->ctx, m->speech, audio, count, &codes, &frames, &err))
                fail_msg("%s", err.text);
            assert_int_equal(m->compared, 3); /* seanet, transformer, downsample */
            assert_int_equal(n, frames * m->codec.groups);
            assert_memory_equal(codes, expected, (size_t)n * sizeof *codes);
            free(codes);
            hm_golden_close(&g);
            close_model(m);
        }
}

/* What a tap said, kept for another run. */
struct kept {
    float *seanet;
    int64_t count;
};

static void keep_seanet(void *self, const hm_tap_value *value)
{
    struct kept *k = self;
    if (strcmp(value->name, "seanet"))
        return;
    k->count = value->shape[1] * value->shape[2];
    k->seanet = malloc((size_t)k->count * sizeof *k->seanet);
    assert_non_null(k->seanet);
    memcpy(k->seanet, value->data, (size_t)k->count * sizeof *k->seanet);
}

static void pieces_give_the_bytes_of_one_whole_pass(void **state)
{
    const int64_t count = RATE * 23 + 77; /* more than one piece at the preset's widths, and no whole number of frames */
    float *voice = make_voice(count, RATE, 110, 0.5);
    struct kept kept[2] = {0};
    int32_t *codes[2];
    int frames[2];
    (void)state;
    assert_non_null(voice);
    for (int i = 0; i < 2; i++) {
        hm_toggles t = {HM_BEST_BUT_DECODE, .decode = i ? HM_DECODE_STREAM : HM_DECODE_WHOLE};
        hm_error err = {0};
        model *m = open_speech("tiny_a", &t);
        m->probe = (hm_probe){.self = &kept[i], .tap = keep_seanet};
        if (hm_speech_encode(&m->ctx, m->speech, voice, count, &codes[i], &frames[i], &err))
            fail_msg("%s", err.text);
        close_model(m);
    }
    assert_int_equal(frames[0], (count + 1919) / 1920);
    assert_int_equal(frames[0], frames[1]);
    assert_int_equal(kept[0].count, kept[1].count);
    assert_memory_equal(kept[0].seanet, kept[1].seanet, (size_t)kept[0].count * sizeof(float));
    assert_memory_equal(codes[0], codes[1], (size_t)frames[0] * 16 * sizeof(int32_t));
    for (int i = 0; i < 2; i++) {
        free(kept[i].seanet);
        free(codes[i]);
    }
    free(voice);
}

static void weights_are_folded_at_every_use_or_once(void **state)
{
    uint64_t values[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        hm_toggles t = {.precompute = i ? HM_PRECOMPUTE_ONCE : HM_PRECOMPUTE_PER_CALL};
        hm_error err = {0};
        float *voice = make_voice(RATE / 10, RATE, 110, 0.5);
        int32_t *codes;
        int frames;
        model *m = open_speech("tiny_a", &t);
        assert_non_null(voice);
        m->ctx.counters = (hm_counters){0};
        if (hm_speech_encode(&m->ctx, m->speech, voice, RATE / 10, &codes, &frames, &err))
            fail_msg("%s", err.text);
        values[i] = m->ctx.counters.table_values;
        free(codes);
        free(voice);
        close_model(m);
    }
    assert_true(values[0] > values[1] + 16 * 128 * 16); /* the codebooks alone */
}

static void what_cannot_be_encoded_is_refused(void **state)
{
    float voice[2000] = {0.5f}, *mel, embedding[256];
    int32_t *codes;
    int frames;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_speech_mel(&mel, &frames, voice, HM_SPEAKER_MIN_SAMPLES - 1, 128, RATE, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "1279 samples"));
    voice[1999] = NAN;
    assert_int_equal(hm_speech_mel(&mel, &frames, voice, 2000, 128, RATE, &err), HM_EINVALID);
    assert_non_null(strstr(err.text, "sample 1999"));

    model *m = open_speaker("tiny_a", &toggles[0], 1);
    assert_int_equal(hm_speaker_embed(&m->ctx, m->speaker, voice, 4, embedding, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "4 mel frames"));
    hm_talker_shape other = m->talker;
    hm_speaker_encoder *none = NULL;
    other.kind = HM_TTS_VOICE_DESIGN;
    other.speaker.mel = 0;
    assert_int_equal(hm_speaker_encoder_bind(&m->ctx, &none, &other, m->weights, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "base model"));
    assert_null(none);
    close_model(m);

    m = open_speech("tiny_a", &toggles[0]);
    assert_int_equal(hm_speech_encode(&m->ctx, m->speech, voice, 0, &codes, &frames, &err), HM_EUSAGE);
    close_model(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mel_equals_the_reference),
        cmocka_unit_test(x_vector_equals_the_reference),
        cmocka_unit_test(x_vector_has_the_same_bytes_in_pieces_and_with_any_number_of_threads),
        cmocka_unit_test(codes_equal_the_reference),
        cmocka_unit_test(pieces_give_the_bytes_of_one_whole_pass),
        cmocka_unit_test(weights_are_folded_at_every_use_or_once),
        cmocka_unit_test(what_cannot_be_encoded_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
