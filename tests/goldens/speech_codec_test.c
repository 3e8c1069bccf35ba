/* The decoding half of the speech tokenizer: its goldens, and streams in pieces against one pass over all frames. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/cpu_ops_init.h"
#include "engine/models/speech_codec.h"
#include "engine/safetensors.h"
#include "variants/best.h"

#define FOLDER HM_TEST_DATA "/goldens/qwen3-tts/"
#define STAGE_TOLERANCE 1e-4    /* of the greatest golden value: float32 sums in another order */
#define WAVEFORM_TOLERANCE 1e-4 /* absolute, of samples in -1 .. 1 */
#define WEIGHTS_FILE "speech_tokenizer/model.safetensors"

static const hm_toggles naive = {0}, best = {HM_BEST};

/* --- a bound decoder --- */

typedef struct decoder {
    hm_ctx *c;
    hm_weights *w;
    hm_speech_codec *m;
    int groups, codebook, rate;
} decoder;

static json_t *read_json(const char *preset, const char *what)
{
    char path[512];
    json_error_t at;
    snprintf(path, sizeof path, FOLDER "%s%s.json", preset, what);
    json_t *root = json_load_file(path, 0, &at);
    if (!root)
        fail_msg("%s: %s", path, at.text);
    return root;
}

/* The speech tokenizer's part of a preset's manifest, with its config. */
static json_t *read_manifest(const char *preset, uint64_t *seed)
{
    json_t *all = read_json(preset, ".manifest"), *tensors = json_array(), *one;
    size_t i;
    *seed = (uint64_t)json_integer_value(json_object_get(all, "seed"));
    json_array_foreach(json_object_get(all, "tensors"), i, one) if (!strcmp(json_string_value(json_object_get(one, "file")), WEIGHTS_FILE))
        json_array_append(tensors, one);
    assert_true(json_array_size(tensors) > 0);
    json_decref(all);
    return json_pack("{so so}", "config", read_json(preset, ".speech_tokenizer.config"), "tensors", tensors);
}

static decoder decoder_open(const char *preset, const hm_toggles *toggles, const hm_probe *probe)
{
    decoder d = {.c = calloc(1, sizeof *d.c)};
    hm_error err = {0};
    hm_speech_codec_shape shape;
    uint64_t seed;
    json_t *manifest = read_manifest(preset, &seed);
    assert_non_null(d.c);
    d.c->toggles = *toggles;
    d.c->probe = probe;
    if (hm_cpu_open(&d.c->dev, 2, hm_isa_detect(), &err))
        fail_msg("%s", err.text);
    hm_cpu_ops_init(d.c);
    if (hm_weights_synth(&d.w, manifest, seed, NULL, preset, &err) ||
        hm_speech_codec_shape_read(&shape, hm_weights_config(d.w), preset, &err) || hm_speech_codec_bind(d.c, &d.m, &shape, d.w, &err))
        fail_msg("%s: %s", preset, err.text);
    json_decref(manifest);
    d.groups = (int)shape.groups;
    d.codebook = (int)shape.decoder.codebook;
    d.rate = (int)shape.decode_rate;
    d.c->counters = (hm_counters){0};
    return d;
}

static void decoder_close(decoder *d)
{
    hm_speech_codec_release(&d->m);
    hm_bind_release(d->c);
    hm_weights_close(&d->w);
    hm_cpu_close(&d->c->dev);
    free(d->c);
}

static float *decode(decoder *d, const int32_t *codes, int frames)
{
    hm_error err = {0};
    uint64_t scratch = 0;
    float *audio = malloc((size_t)frames * (size_t)d->rate * sizeof *audio);
    assert_non_null(audio);
    if (hm_speech_decode(d->c, d->m, codes, frames, 300, 25, audio, &scratch, &err))
        fail_msg("%s", err.text);
    assert_true(scratch > 0);
    return audio;
}

/* All frames through a stream, pieces[i % count] at a time. */
static float *stream_all(decoder *d, const int32_t *codes, int frames, const int *pieces, int count)
{
    hm_error err = {0};
    hm_speech_stream *s = NULL;
    int longest = 0;
    float *audio = malloc((size_t)frames * (size_t)d->rate * sizeof *audio);
    assert_non_null(audio);
    for (int i = 0; i < count; i++)
        longest = pieces[i] > longest ? pieces[i] : longest;
    if (hm_speech_stream_open(d->c, &s, d->m, longest, &err))
        fail_msg("%s", err.text);
    for (int at = 0, i = 0; at < frames; i++) {
        int n = frames - at < pieces[i % count] ? frames - at : pieces[i % count];
        hm_speech_stream_push(d->c, s, codes + (size_t)at * (size_t)d->groups, n, audio + (size_t)at * (size_t)d->rate);
        at += n;
    }
    if (hm_ops_status(&d->c->ops))
        fail_msg("%s", d->c->error.text);
    hm_speech_stream_close(d->c, &s);
    return audio;
}

/* Codes of any model, the same in every run. */
static int32_t *some_codes(const decoder *d, int frames)
{
    uint64_t state = 99;
    int32_t *codes = malloc((size_t)frames * (size_t)d->groups * sizeof *codes);
    assert_non_null(codes);
    for (int i = 0; i < frames * d->groups; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        codes[i] = (int32_t)((state >> 33) % (uint64_t)d->codebook);
    }
    return codes;
}

static void expect_bytes(const float *found, const float *expected, const decoder *d, int frames, const char *what)
{
    for (size_t i = 0; i < (size_t)frames * (size_t)d->rate; i++)
        if (memcmp(&found[i], &expected[i], sizeof *found))
            fail_msg("%s: sample %zu (frame %zu) is %.9g, in one pass %.9g", what, i, i / (size_t)d->rate, (double)found[i],
                     (double)expected[i]);
}

/* --- goldens --- */

typedef struct golden {
    const char *where;
    hm_safetensors file;
    hm_map map;
    int met; /* tensors that a tap was compared with */
} golden;

static golden golden_open(const char *name)
{
    char path[512];
    golden g = {.where = name};
    hm_error err = {0};
    snprintf(path, sizeof path, FOLDER "%s.safetensors", name);
    if (hm_safetensors_open(&g.file, path, &err) || hm_map_open(&g.map, path, &err))
        fail_msg("%s", err.text);
    return g;
}

static void golden_close(golden *g)
{
    hm_map_close(&g->map);
    hm_safetensors_close(&g->file);
}

static const hm_safetensors_entry *golden_find(const golden *g, const char *name)
{
    for (int i = 0; i < g->file.count; i++)
        if (!strcmp(g->file.entries[i].name, name))
            return &g->file.entries[i];
    return NULL;
}

static const void *golden_values(const golden *g, const hm_safetensors_entry *e)
{
    return (const char *)g->map.data + e->offset;
}

/* The golden holds the first rows and columns of the value. */
static void compare_tap(void *self, const hm_tap_value *v)
{
    golden *g = self;
    const hm_safetensors_entry *e = golden_find(g, v->name);
    if (!e)
        return;
    int64_t rows = e->rank > 1 ? e->shape[0] : 1, columns = e->shape[e->rank - 1], all = v->shape[2];
    const float *expected = golden_values(g, e), *found = v->data;
    double greatest = 0, worst = 0;
    bool wave = !strcmp(v->name, "waveform");
    assert_true(rows <= v->shape[0] * v->shape[1] && columns <= all);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            double difference = fabs((double)found[i * all + j] - (double)expected[i * columns + j]);
            worst = difference <= worst ? worst : difference; /* NaN stays */
            greatest = fmax(greatest, fabs((double)expected[i * columns + j]));
        }
    if (!(worst <= (wave ? WAVEFORM_TOLERANCE : STAGE_TOLERANCE * greatest)))
        fail_msg("%s: %s differs by %.3g, its greatest value is %.3g", g->where, v->name, worst, greatest);
    g->met++;
}

static void check_stages(const char *preset, const hm_toggles *toggles)
{
    char name[64];
    snprintf(name, sizeof name, "%s.decoder", preset);
    golden g = golden_open(name);
    hm_probe probe = {.self = &g, .tap = compare_tap};
    decoder d = decoder_open(preset, toggles, &probe);
    const hm_safetensors_entry *codes = golden_find(&g, "codes");
    assert_true(codes && codes->shape[1] == d.groups);
    free(decode(&d, golden_values(&g, codes), (int)codes->shape[0]));
    assert_int_equal(g.met, g.file.count - 1); /* all but the codes */
    decoder_close(&d);
    golden_close(&g);
}

static void every_stage_meets_the_goldens(void **state)
{
    static const char *const presets[] = {"tiny_a", "tiny_b", "tiny_b_eps"};
    (void)state;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        check_stages(presets[i], &naive);
        check_stages(presets[i], &best);
    }
}

static double worst_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        worst = difference <= worst ? worst : difference;
    }
    return worst;
}

static void chunks_of_the_original_meet_their_golden(void **state)
{
    golden g = golden_open("tiny_b.decoder_chunked");
    const hm_toggles *bases[] = {&naive, &best};
    const int32_t *codes = golden_values(&g, golden_find(&g, "codes")), *params = golden_values(&g, golden_find(&g, "params"));
    const float *expected = golden_values(&g, golden_find(&g, "waveform"));
    int frames = (int)golden_find(&g, "codes")->shape[0];
    (void)state;
    assert_true(params[0] == 300 && params[1] == 25);
    for (int i = 0; i < 2; i++) {
        hm_toggles t = *bases[i];
        decoder whole = decoder_open("tiny_b", &t, NULL);
        t.chunks = HM_CHUNKS_ORIGINAL;
        decoder chunked = decoder_open("tiny_b", &t, NULL);
        size_t n = (size_t)frames * (size_t)chunked.rate, first = 300 * (size_t)chunked.rate;
        float *a = decode(&chunked, codes, frames), *b = decode(&whole, codes, frames);
        assert_true(worst_difference(a, expected, n) <= WAVEFORM_TOLERANCE);
        assert_true(worst_difference(b, expected, first) <= WAVEFORM_TOLERANCE); /* the first chunk sees all there is */
        assert_true(worst_difference(b + first, expected + first, n - first) > 0.01);
        assert_int_equal(chunked.c->counters.decoded_frames, frames + 25);
        assert_int_equal(chunked.c->counters.decode_chunks, 2);
        assert_int_equal(whole.c->counters.decoded_frames, frames);
        free(a);
        free(b);
        decoder_close(&whole);
        decoder_close(&chunked);
    }
    golden_close(&g);
}

/* --- streams --- */

static void pieces_give_the_bytes_of_one_pass_with(const char *preset, const hm_toggles *toggles, int frames)
{
    static const int single[] = {1, 2, 3, 7, 263, 300}, mixed[] = {5, 64, 1, 131, 2};
    hm_toggles in_one = *toggles;
    in_one.decode = HM_DECODE_WHOLE;
    decoder d = decoder_open(preset, &in_one, NULL);
    int32_t *codes = some_codes(&d, frames);
    float *expected = decode(&d, codes, frames);
    d.c->toggles.decode = HM_DECODE_STREAM;
    for (size_t i = 0; i < sizeof single / sizeof *single + 1; i++) {
        char what[64];
        bool last = i == sizeof single / sizeof *single;
        float *found = stream_all(&d, codes, frames, last ? mixed : &single[i], last ? 5 : 1);
        snprintf(what, sizeof what, "%s, pieces of %d frames", preset, last ? mixed[0] : single[i]);
        expect_bytes(found, expected, &d, frames, what);
        free(found);
    }
    free(expected);
    free(codes);
    decoder_close(&d);
}

static void pieces_of_any_size_give_the_bytes_of_one_pass(void **state)
{
    hm_toggles once = naive;
    once.precompute = HM_PRECOMPUTE_ONCE; /* naive but for what it makes anew in every call */
    (void)state;
    pieces_give_the_bytes_of_one_pass_with("tiny_b", &best, 800); /* caches move several times */
    pieces_give_the_bytes_of_one_pass_with("tiny_b", &once, 560);
    pieces_give_the_bytes_of_one_pass_with("tiny_a", &best, 40);
}

static void pieces_give_the_same_bytes_in_every_way_of_attention(void **state)
{
    hm_toggles t = best;
    (void)state;
    t.attn = HM_ATTN_SCORES;
    pieces_give_the_bytes_of_one_pass_with("tiny_b", &t, 400);
    t.mask = HM_MASK_BUILT;
    t.attn = HM_ATTN_ALL_SLOTS;
    pieces_give_the_bytes_of_one_pass_with("tiny_b", &t, 400);
    pieces_give_the_bytes_of_one_pass_with("tiny_b", &naive, 40);
}

/* Bytes of `a` and `b` on the same codes are equal. */
static void expect_same(const char *preset, const hm_toggles *a, const hm_toggles *b, int frames)
{
    decoder first = decoder_open(preset, a, NULL), second = decoder_open(preset, b, NULL);
    int32_t *codes = some_codes(&first, frames);
    float *expected = decode(&first, codes, frames), *found = decode(&second, codes, frames);
    expect_bytes(found, expected, &first, frames, preset);
    free(found);
    free(expected);
    free(codes);
    decoder_close(&first);
    decoder_close(&second);
}

static void tables_made_once_and_in_every_call_give_the_same_bytes(void **state)
{
    hm_toggles per_call = best, once = naive;
    (void)state;
    per_call.precompute = HM_PRECOMPUTE_PER_CALL;
    once.precompute = HM_PRECOMPUTE_ONCE;
    expect_same("tiny_a", &best, &per_call, 40);
    expect_same("tiny_b_eps", &best, &per_call, 40);
    expect_same("tiny_b", &naive, &once, 40);
}

static void a_stream_begins_again_after_reset(void **state)
{
    decoder d = decoder_open("tiny_b", &best, NULL);
    int32_t *codes = some_codes(&d, 300);
    float *audio = malloc((size_t)d.rate * sizeof *audio), *first = malloc((size_t)d.rate * sizeof *first);
    hm_speech_stream *s = NULL;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_speech_stream_open(d.c, &s, d.m, 1, &err), HM_OK);
    assert_int_equal(hm_speech_stream_bytes(s), hm_speech_stream_estimate(d.c, hm_speech_codec_shape_of(d.m), 1));
    hm_speech_stream_push(d.c, s, codes, 1, first);
    for (int i = 1; i < 300; i++)
        hm_speech_stream_push(d.c, s, codes + (size_t)i * (size_t)d.groups, 1, audio);
    hm_speech_stream_reset(d.c, s);
    hm_speech_stream_push(d.c, s, codes, 1, audio);
    assert_memory_equal(audio, first, (size_t)d.rate * sizeof *audio);
    hm_speech_stream_close(d.c, &s);
    free(audio);
    free(first);
    free(codes);
    decoder_close(&d);
}

/* --- what is not in range --- */

static void codes_out_of_range_are_clamped_and_counted(void **state)
{
    enum {
        FRAMES = 4
    };
    decoder d = decoder_open("tiny_b", &best, NULL);
    int32_t *codes = some_codes(&d, FRAMES);
    (void)state;
    codes[3] = d.codebook - 1;
    codes[5] = 0;
    float *expected = decode(&d, codes, FRAMES);
    assert_int_equal(d.c->counters.tokens_out_of_range, 0);
    codes[3] = d.codebook + 7;
    codes[5] = -1;
    float *found = decode(&d, codes, FRAMES);
    assert_int_equal(d.c->counters.tokens_out_of_range, 1);
    expect_bytes(found, expected, &d, FRAMES, "clamped codes");
    free(found);
    free(expected);
    free(codes);
    decoder_close(&d);
}

static void wrong_requests_are_one_clear_error(void **state)
{
    hm_toggles t = best;
    t.chunks = HM_CHUNKS_ORIGINAL;
    decoder d = decoder_open("tiny_b", &t, NULL);
    int32_t *codes = some_codes(&d, 3);
    float *audio = malloc(3 * (size_t)d.rate * sizeof *audio);
    hm_speech_stream *s = NULL;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_speech_decode(d.c, d.m, codes, 0, 300, 25, audio, NULL, &err), HM_EUSAGE);
    assert_string_equal(err.text, "codes: expected at least 1 frame, found 0");
    assert_int_equal(hm_speech_decode(d.c, d.m, codes, 3, 0, 25, audio, NULL, &err), HM_EUSAGE);
    assert_int_equal(hm_speech_stream_open(d.c, &s, d.m, 1 << 30, &err), HM_EUSAGE);
    assert_null(s);
    assert_int_equal(hm_speech_stream_open(d.c, &s, d.m, 2, &err), HM_OK);
    hm_speech_stream_push(d.c, s, codes, 3, audio);
    assert_int_equal(hm_ops_status(&d.c->ops), HM_EBUG);
    hm_speech_stream_close(d.c, &s);
    free(audio);
    free(codes);
    decoder_close(&d);
}

static void the_reference_is_cut_as_in_the_original(void **state)
{
    json_t *cases = read_json("", "icl_cut"), *one;
    size_t i;
    int short_ones = 0;
    (void)state;
    json_array_foreach(cases, i, one)
    {
        int64_t value[5];
        static const char *const keys[] = {"ref_frames", "total_frames", "samples_per_frame", "samples", "cut"};
        for (int k = 0; k < 5; k++)
            value[k] = json_integer_value(json_object_get(one, keys[k]));
        assert_int_equal(hm_speech_reference_cut((int)value[0], (int)value[1], value[3]), value[4]);
        short_ones += value[4] < value[0] * value[2];
    }
    assert_true(json_array_size(cases) == 30 && short_ones > 0);
    json_decref(cases);
}

static void cost_of_the_released_sizes_is_that_of_the_model(void **state)
{
    hm_speech_codec_shape g;
    hm_error err = {0};
    json_t *config = json_pack("{s{} s{}}", "decoder_config", "encoder_config");
    (void)state;
    if (hm_speech_codec_shape_read(&g, config, "released sizes", &err))
        fail_msg("%s", err.text);
    double flops = hm_speech_codec_frame_flops(&g);
    assert_true(flops > 4.91e9 && flops < 5.01e9); /* 4.96 GFLOP */
    json_decref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage_meets_the_goldens),
        cmocka_unit_test(chunks_of_the_original_meet_their_golden),
        cmocka_unit_test(pieces_of_any_size_give_the_bytes_of_one_pass),
        cmocka_unit_test(pieces_give_the_same_bytes_in_every_way_of_attention),
        cmocka_unit_test(tables_made_once_and_in_every_call_give_the_same_bytes),
        cmocka_unit_test(a_stream_begins_again_after_reset),
        cmocka_unit_test(codes_out_of_range_are_clamped_and_counted),
        cmocka_unit_test(wrong_requests_are_one_clear_error),
        cmocka_unit_test(the_reference_is_cut_as_in_the_original),
        cmocka_unit_test(cost_of_the_released_sizes_is_that_of_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
