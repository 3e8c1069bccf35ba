#include "harness/formula_audio.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/synth.h"

#define NOTE_S 0.4
#define LONGEST_S 86400

/* Uniform numbers in -1 .. 1 that follow from a name. */
static float *uniform(const char *tag, int channel, const char *what, int64_t count, uint64_t seed, hm_error *err)
{
    char name[96];
    float *out = hm_calloc((size_t)count, sizeof *out, "made audio", err);
    snprintf(name, sizeof name, "audio.%.60s.%d.%s", tag, channel, what);
    if (out)
        hm_synth_fill(out, HM_F32, name, seed, 0, (uint64_t)count, 0, 1, NULL);
    return out;
}

static void play(float *out, int64_t samples, int rate_hz, const float *notes, const float *amps, const float *noise)
{
    int64_t note = (int64_t)rate_hz * 2 / 5;
    for (int64_t n = 0; n < samples; n++) {
        int64_t j = n / note;
        double tau = (double)(n - j * note) / rate_hz, semi = floor(((double)notes[j] + 1) * 12);
        double amp = 0.15 + 0.15 * ((double)amps[j] + 1), f = 196 * pow(2, semi / 12);
        double e = fmin(1, tau / 0.02) * exp(-3 * tau), w = 2 * M_PI * f * tau;
        out[n] = (float)(amp * e * (sin(w) + 0.5 * sin(2 * w) + 0.25 * sin(3 * w)) + 0.02 * (double)noise[n]);
    }
}

hm_status hm_formula_audio(float **planar, int64_t *samples, const char *name, int channels, int rate_hz, double seconds, uint64_t seed,
                           hm_error *err)
{
    if (!(seconds > 0 && seconds <= LONGEST_S) || channels < 1 || rate_hz < 5)
        return hm_fail(err, HM_EUSAGE, "made audio: expected up to %d s of at least one channel, found %g s of %d at %d Hz", LONGEST_S,
                       seconds, channels, rate_hz);
    int64_t count = llround(seconds * rate_hz), notes_count = (int64_t)ceil(seconds / NOTE_S) + 1;
    float *out = hm_calloc((size_t)(count * channels), sizeof *out, "made audio", err);
    hm_status st = out ? HM_OK : HM_EABSENT;
    for (int c = 0; c < channels && !st; c++) {
        float *notes = uniform(name, c, "notes", notes_count, seed, err), *amps = uniform(name, c, "amps", notes_count, seed, err);
        float *noise = uniform(name, c, "noise", count, seed, err);
        if (notes && amps && noise)
            play(out + c * count, count, rate_hz, notes, amps, noise);
        else
            st = HM_EABSENT;
        free(notes);
        free(amps);
        free(noise);
    }
    if (st) {
        free(out);
        return st;
    }
    *planar = out;
    *samples = count;
    return HM_OK;
}
