#include "harness/recording.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "engine/base/time.h"
#include "harness/case.h"

enum {
    RATE = HM_TRANSCRIPT_RATE,
    SYLLABLE = RATE * 9 / 40, /* samples */
    CONSONANT = RATE / 25,
    HARMONICS = 40,
    SHORT_FRAMES = 4
};

/* SplitMix64: the n-th number of a seed, 0 to 1. */
static double number(uint64_t seed, uint64_t n)
{
    uint64_t x = seed + (n + 1) * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

static double resonance(double hz, double center, double width)
{
    double x = (hz - center) / width;
    return 1 / (1 + x * x);
}

/* How loud each harmonic of a syllable is. */
static int shape_of(double shape[HARMONICS], double pitch, uint64_t seed, uint64_t syllable)
{
    double first = 280 + 560 * number(seed, 8 * syllable), second = 900 + 1500 * number(seed, 8 * syllable + 1);
    int n = 0;
    for (; n < HARMONICS && (n + 1) * pitch < 5000; n++) {
        double hz = (n + 1) * pitch;
        shape[n] = (resonance(hz, first, 120) + 0.5 * resonance(hz, second, 200) + 0.2 * resonance(hz, 2900, 300)) / sqrt(n + 1);
    }
    return n;
}

static void say(float *out, int64_t count, uint64_t seed, uint64_t syllable, double speaker_hz, double *turn)
{
    double shape[HARMONICS], pitch = speaker_hz * (0.85 + 0.35 * number(seed, 8 * syllable + 2)), hiss = number(seed, 8 * syllable + 3);
    int n = shape_of(shape, pitch, seed, syllable);
    bool pause = number(seed, 8 * syllable + 4) < 0.15;
    for (int64_t i = 0; i < count; i++) {
        double at = (double)i / SYLLABLE, loud = sin(M_PI * at) * sin(M_PI * at), sum = 0;
        *turn = fmod(*turn + pitch * (1.1 - 0.2 * at) / RATE, 1);
        double x = sin(2 * M_PI * *turn), twice = 2 * cos(2 * M_PI * *turn), before = 0; /* sin((k+1)t) = 2 cos(t) sin(kt) - sin((k-1)t) */
        for (int k = 0; k < n; k++) {
            double next = twice * x - before;
            sum += shape[k] * x;
            before = x;
            x = next;
        }
        if (i < CONSONANT)
            sum = sum * i / CONSONANT + hiss * (number(seed ^ 0x5A5A, syllable * SYLLABLE + (uint64_t)i) - 0.5) * 2;
        out[i] = pause ? 0 : (float)(rint(0.15 * loud * sum * 32768) / 32768);
    }
}

float *hm_recording_voice(int64_t samples, uint64_t seed)
{
    float *out = malloc((size_t)samples * sizeof *out + 1);
    double turn = 0, speaker_hz = 95 + 130 * number(seed, UINT64_MAX / 2);
    for (int64_t at = 0, k = 0; out && at < samples; at += SYLLABLE, k++)
        say(out + at, samples - at < SYLLABLE ? samples - at : SYLLABLE, seed, (uint64_t)k, speaker_hz, &turn);
    return out;
}

hm_status hm_recording_path(char *out, size_t size, double audio_s, uint64_t seed, hm_error *err)
{
    char cache[HM_MODEL_PATH];
    hm_status st = hm_cache_path(cache, sizeof cache, err);
    if (!st && (size_t)snprintf(out, size, "%s/recordings/voice-%gs-%" PRIu64 ".wav", cache, audio_s, seed) >= size)
        st = hm_fail(err, HM_EUSAGE, "recording: the path of the cache has %zu bytes, too many", strlen(cache));
    return st;
}

hm_status hm_recording_prepare(const hm_case_record *c, hm_error *err)
{
    char folder[HM_MODEL_PATH];
    if (!c->recording_path || !access(c->recording_path, R_OK))
        return HM_OK;
    const char *slash = strrchr(c->recording_path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - c->recording_path) : 1, slash ? c->recording_path : ".");
    int64_t samples = llrint(c->audio_s * RATE);
    float *voice = hm_recording_voice(samples, c->seed);
    hm_status st = voice ? hm_make_folders(folder, err) : hm_fail(err, HM_EABSENT, "recording: no memory for %g s", c->audio_s);
    if (!st)
        st = hm_audio_write(c->recording_path, voice, 1, samples, RATE, err);
    free(voice);
    return st;
}

hm_status hm_singer_open(hm_singer *s, const hm_engine_choice *choice, const char *model, hm_error *err)
{
    hm_engine_choice own = *choice;
    if (s->is_open)
        return HM_OK;
    own.model = model;
    own.need_codec = true;
    own.need_encoders = own.need_transcriber = false;
    hm_status st = hm_engine_open_chosen(&s->opened, &own, err);
    s->is_open = !st;
    if (!st && s->opened.facts->task != HM_TASK_MUSIC)
        st = hm_fail(err, HM_EUSAGE, "music to transcribe: %s makes %s, not music", model, hm_task_name(s->opened.facts->task));
    return st;
}

void hm_singer_close(hm_singer *s)
{
    if (s->is_open)
        hm_engine_close_chosen(&s->opened);
    s->is_open = false;
}

static hm_status sing(hm_recording *out, const hm_case_record *c, hm_singer *singer, bool short_song, hm_error *err)
{
    hm_result song = {0};
    hm_request request = hm_case_song(c);
    if (short_song && request.max_frames > SHORT_FRAMES) {
        request.max_frames = SHORT_FRAMES;
        request.music.flow_steps = 1;
    }
    hm_status st = singer->opened.api->generate(singer->opened.engine, &request, &song, err);
    if (st)
        return st;
    out->music_ns = song.wall_ns;
    out->prefill_ns = song.prefill_ns;
    out->generate_ns = song.generate_ns;
    out->decode_ns = song.decode_ns;
    out->frames = song.frames;
    int64_t start = hm_now_ns();
    st = hm_audio_mix_recording(&out->samples, &out->count, song.audio, song.channels, song.samples, song.sample_rate_hz, err);
    out->audio_ns = hm_now_ns() - start;
    singer->opened.api->result_free(&song);
    return st;
}

hm_status hm_recording_open(hm_recording *out, const hm_case_record *c, hm_singer *singer, bool short_song, hm_error *err)
{
    int64_t wanted = llrint(c->audio_s * RATE), start = hm_now_ns();
    hm_status st = HM_OK;
    *out = (hm_recording){0};
    if (hm_case_is_sung(c))
        st = sing(out, c, singer, short_song, err);
    else if (!c->recording_path)
        st = hm_fail(err, HM_EUSAGE, "transcript: no \"path\" of the recording was given");
    else {
        st = hm_audio_read_recording(&out->samples, &out->count, c->recording_path, err);
        out->audio_ns = hm_now_ns() - start;
    }
    if (!st && !short_song && out->count < wanted)
        st = hm_fail(err, HM_EUSAGE, "transcript: the recording has %" PRId64 " samples at 16 kHz, expected %" PRId64, out->count, wanted);
    if (out->count > wanted)
        out->count = wanted;
    if (st)
        hm_recording_close(out);
    return st;
}

void hm_recording_close(hm_recording *r)
{
    free(r->samples);
    *r = (hm_recording){0};
}
