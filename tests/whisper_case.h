/* Whisper on the golden folder: recordings by formula, golden arrays, models of both seeds. What the tests of transcription share. */
#ifndef HM_TESTS_WHISPER_CASE_H
#define HM_TESTS_WHISPER_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/audio/audio.h"
#include "engine/audio/mel.h"
#include "engine/backend.h"
#include "engine/base/json.h"
#include "engine/models/whisper.h"
#include "engine/synth.h"
#include "variants/best.h"

#define WHISPER_GOLDENS HM_TEST_DATA "/goldens/whisper/"

static const hm_toggles whisper_best = {HM_BEST}, whisper_naive = {0};

/* --- files --- */

static inline json_t *whisper_json(const char *name)
{
    char path[512];
    json_t *json = NULL;
    hm_error err = {0};
    snprintf(path, sizeof path, WHISPER_GOLDENS "%s", name);
    if (hm_json_load(&json, path, &err))
        fail_msg("%s", err.text);
    return json;
}

/* X.json and X.bin. */
typedef struct whisper_arrays {
    json_t *index;
    char *bytes;
    long size;
} whisper_arrays;

static inline whisper_arrays whisper_arrays_open(const char *name)
{
    char file[64], path[512];
    whisper_arrays a = {0};
    snprintf(file, sizeof file, "%s.json", name);
    a.index = whisper_json(file);
    snprintf(path, sizeof path, WHISPER_GOLDENS "%s.bin", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    a.size = ftell(f);
    rewind(f);
    a.bytes = malloc((size_t)a.size);
    assert_non_null(a.bytes);
    assert_int_equal(fread(a.bytes, 1, (size_t)a.size, f), a.size);
    fclose(f);
    return a;
}

static inline void whisper_arrays_close(whisper_arrays *a)
{
    json_decref(a->index);
    free(a->bytes);
}

/* Float32 values of an array, and how many. */
static inline const float *whisper_values(const whisper_arrays *a, const char *name, int64_t *count)
{
    const json_t *entry = json_object_get(a->index, name);
    size_t i;
    json_t *size;
    if (!entry)
        fail_msg("no golden array %s", name);
    *count = 1;
    json_array_foreach(json_object_get(entry, "shape"), i, size) *count *= json_integer_value(size);
    json_int_t at = json_integer_value(json_object_get(entry, "byte_offset"));
    assert_true(at % 4 == 0 && at + *count * 4 <= a->size);
    return (const float *)(const void *)(a->bytes + at);
}

/* found[i*step] against golden value i. */
static inline void whisper_expect(const whisper_arrays *a, const char *name, const float *found, int64_t step, double tolerance)
{
    int64_t n;
    const float *expected = whisper_values(a, name, &n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)found[i * step] - (double)expected[i]) <= tolerance))
            fail_msg("%s: value %lld is %.9g, expected %.9g, at most %g away", name, (long long)i, (double)found[i * step],
                     (double)expected[i], tolerance);
}

/* --- recordings (goldens/whisper/README.md) --- */

static inline float *whisper_uniform(const char *audio, int channel, const char *what, uint64_t seed, int64_t count)
{
    char tag[64];
    float *u = malloc((size_t)count * sizeof *u);
    assert_non_null(u);
    snprintf(tag, sizeof tag, "audio.%s.%d.%s", audio, channel, what);
    hm_synth_fill(u, HM_F32, tag, seed, 0, (uint64_t)count, 0, 1, NULL);
    return u;
}

static inline void whisper_channel(float *x, const char *audio, int channel, uint64_t seed, int rate, int64_t count)
{
    int64_t L = (int64_t)rate * 2 / 5, J = (int64_t)ceil((double)count / rate / 0.4) + 1;
    float *notes = whisper_uniform(audio, channel, "notes", seed, J), *amps = whisper_uniform(audio, channel, "amps", seed, J),
          *noise = whisper_uniform(audio, channel, "noise", seed, count);
    for (int64_t n = 0; n < count; n++) {
        int64_t j = n / L;
        double tau = (double)(n - j * L) / rate, f = 196 * pow(2, floor(((double)notes[j] + 1) * 12) / 12);
        double e = fmin(1, tau / 0.02) * exp(-3 * tau), w = 2 * M_PI * f * tau, amp = 0.15 + 0.15 * ((double)amps[j] + 1);
        x[n] = (float)(amp * e * (sin(w) + 0.5 * sin(2 * w) + 0.25 * sin(3 * w)) + 0.02 * (double)noise[n]);
    }
    free(notes);
    free(amps);
    free(noise);
}

typedef struct whisper_audio {
    int rate, channels;
    int64_t samples; /* per channel */
    float *planar;
    float *mono; /* at 16 kHz */
    int64_t count;
} whisper_audio;

/* "A", "B" or "C". */
static inline whisper_audio whisper_audio_open(const char *name)
{
    static const struct {
        int rate, channels, seconds;
    } kinds[] = {{16000, 1, 41}, {48000, 2, 7}, {44100, 1, 3}};
    int i = *name - 'A';
    whisper_audio a = {.rate = kinds[i].rate, .channels = kinds[i].channels, .samples = (int64_t)kinds[i].rate * kinds[i].seconds};
    hm_error err = {0};
    a.planar = malloc((size_t)(a.samples * a.channels) * sizeof *a.planar);
    assert_non_null(a.planar);
    for (int c = 0; c < a.channels; c++)
        whisper_channel(a.planar + c * a.samples, name, c, 1, a.rate, a.samples);
    if (hm_audio_mix_recording(&a.mono, &a.count, a.planar, a.channels, a.samples, a.rate, &err))
        fail_msg("%s", err.text);
    return a;
}

static inline void whisper_audio_close(whisper_audio *a)
{
    free(a->planar);
    free(a->mono);
}

/* --- models --- */

typedef struct whisper_model {
    hm_ctx ctx;
    hm_weights *weights;
    hm_whisper *whisper;
} whisper_model;

/* The golden model of seed 1 or 2; generation_config.json, or the one for timestamps. */
static inline whisper_model *whisper_open(int seed, bool timestamps, const hm_toggles *toggles, int threads)
{
    char name[64];
    whisper_model *m = calloc(1, sizeof *m);
    hm_whisper_shape shape;
    hm_whisper_generation generation = {0};
    hm_error err = {0};
    assert_non_null(m);
    snprintf(name, sizeof name, "manifest_seed%d.json", seed);
    json_t *manifest = whisper_json(name), *config = whisper_json("model/config.json");
    json_t *given = whisper_json(timestamps ? "model/generation_config_ts.json" : "model/generation_config.json");
    if (json_is_array(manifest))
        manifest = json_pack("{s:o}", "tensors", manifest);
    m->ctx.toggles = *toggles;
    if (hm_backend_open(&m->ctx, NULL, &(hm_device_options){.threads = threads, .isa = hm_isa_detect()}, &err) ||
        hm_weights_synth(&m->weights, manifest, (uint64_t)seed, m->ctx.team, name, &err) ||
        hm_whisper_shape_read(&shape, config, name, &err) || hm_whisper_generation_read(&generation, given, config, &shape, name, &err))
        fail_msg("%s", err.text);
    hm_pack *pack = NULL;
    if (toggles->panels == HM_PANELS_PACKED && hm_pack_open(&pack, NULL, "", name, m->ctx.team, NULL, &err))
        fail_msg("%s", err.text);
    m->ctx.pack = pack;
    if (hm_whisper_bind(&m->ctx, &m->whisper, &shape, &generation, m->weights, &err))
        fail_msg("%s", err.text);
    json_decref(manifest);
    json_decref(config);
    json_decref(given);
    return m;
}

static inline void whisper_close(whisper_model *m)
{
    hm_whisper_release(&m->whisper);
    hm_bind_release(&m->ctx);
    hm_pack_close(&m->ctx.pack);
    hm_weights_close(&m->weights);
    hm_backend_close(&m->ctx);
    free(m);
}

#endif
