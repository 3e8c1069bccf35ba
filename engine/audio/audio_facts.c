#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/audio/audio.h"

#define WINDOWS_PER_SECOND 20 /* 50 ms */
#define SILENCE_RMS 1e-3      /* -60 dBFS */

/* RMS over all channels of samples first .. last-1, non-finite ones left out. */
static double window_rms(const float *planar, int channels, int64_t samples, int64_t first, int64_t last)
{
    double sum = 0;
    int64_t n = 0;
    for (int c = 0; c < channels; c++)
        for (int64_t i = first; i < last; i++) {
            double v = planar[(int64_t)c * samples + i];
            if (!isfinite(v))
                continue;
            sum += v * v;
            n++;
        }
    return n ? sqrt(sum / (double)n) : 0;
}

static double silence_share(const float *planar, int channels, int64_t samples, int rate_hz)
{
    int64_t window = rate_hz / WINDOWS_PER_SECOND, silent = 0, windows = 0;
    if (window < 1)
        window = 1;
    for (int64_t first = 0; first < samples; first += window, windows++) {
        int64_t last = samples - first < window ? samples : first + window;
        silent += window_rms(planar, channels, samples, first, last) < SILENCE_RMS;
    }
    return windows ? (double)silent / (double)windows : 0;
}

void hm_audio_measure(hm_audio_facts *out, const float *planar, int channels, int64_t samples, int rate_hz)
{
    double sum_squares = 0;
    int64_t finite = 0, clipped = 0;
    memset(out, 0, sizeof *out);
    out->rate_hz = rate_hz;
    out->channels = channels;
    out->bits = 32;
    out->bit_rate_kbps = (double)rate_hz * channels * 32e-3;
    out->duration_s = rate_hz > 0 ? (double)samples / rate_hz : 0;
    out->constant = samples > 0;
    snprintf(out->codec, sizeof out->codec, "float32");
    for (int c = 0; c < channels; c++) {
        const float *x = planar + (int64_t)c * samples;
        double sum = 0;
        int64_t n = 0;
        for (int64_t i = 0; i < samples; i++) {
            double v = x[i];
            if (!isfinite(v)) {
                out->non_finite++;
                continue;
            }
            double a = fabs(v);
            n++;
            sum += v;
            sum_squares += v * v;
            clipped += a >= 1;
            out->peak = a > out->peak ? a : out->peak;
            out->constant = out->constant && v == x[0];
        }
        finite += n;
        if (n && fabs(sum / (double)n) > fabs(out->dc))
            out->dc = sum / (double)n;
    }
    out->rms = finite ? sqrt(sum_squares / (double)finite) : 0;
    out->clipped_share = finite ? (double)clipped / (double)finite : 0;
    out->silence_share = silence_share(planar, channels, samples, rate_hz);
}
