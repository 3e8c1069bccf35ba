#include "harness/sound.h"

#include <kiss_fftr.h>
#include <math.h>
#include <stdlib.h>

#include "reports/stats.h"

enum {
    POINTS = HM_SOUND_POINTS,
    BINS = HM_SOUND_BINS,
    HOP = POINTS / 2,
    SEAM_SAMPLES = 8,
    MOST_WINDOWS = 512
};

static const double WINDOW_S = 10, QUIET_RMS = 1e-3, DRIFT_LEAST_S = 3, AROUND_SEAM_S = 0.05;

/* --- spectra --- */

struct hm_spectrum {
    kiss_fftr_cfg fft;
    float window[POINTS], frame[POINTS];
    kiss_fft_cpx bins[BINS];
    double scale;
};

hm_spectrum *hm_spectrum_open(void)
{
    hm_spectrum *s = calloc(1, sizeof *s);
    double sum = 0;
    if (!s)
        return NULL;
    s->fft = kiss_fftr_alloc(POINTS, 0, NULL, NULL);
    if (!s->fft) {
        free(s);
        return NULL;
    }
    for (int i = 0; i < POINTS; i++) {
        s->window[i] = (float)(0.5 - 0.5 * cos(2 * M_PI * i / POINTS));
        sum += s->window[i];
    }
    s->scale = 4 / (sum * sum);
    return s;
}

void hm_spectrum_close(hm_spectrum **s)
{
    if (*s) {
        kiss_fftr_free((*s)->fft);
        free(*s);
    }
    *s = NULL;
}

static float finite_or_0(float x)
{
    return isfinite(x) ? x : 0;
}

void hm_spectrum_of(hm_spectrum *s, const float *x, int64_t left, double *power)
{
    for (int i = 0; i < POINTS; i++)
        s->frame[i] = i < left ? s->window[i] * finite_or_0(x[i]) : 0;
    kiss_fftr(s->fft, s->frame, s->bins);
    for (int k = 0; k < BINS; k++)
        power[k] = s->scale * ((double)s->bins[k].r * s->bins[k].r + (double)s->bins[k].i * s->bins[k].i);
}

/* --- windows --- */

typedef struct signal {
    const float *planar;
    int channels, rate_hz;
    int64_t samples;
    hm_spectrum *spectrum;
} signal;

static double rms_of(const signal *x, int64_t first, int64_t end)
{
    double sum = 0;
    for (int c = 0; c < x->channels; c++)
        for (int64_t i = first; i < end; i++) {
            double v = finite_or_0(x->planar[c * x->samples + i]);
            sum += v * v;
        }
    return end > first ? sqrt(sum / (double)((end - first) * x->channels)) : 0;
}

/* Zero counts as positive. */
static double crossings_of(const signal *x, int64_t first, int64_t end)
{
    int64_t count = 0;
    for (int c = 0; c < x->channels; c++) {
        const float *p = x->planar + c * x->samples;
        for (int64_t i = first + 1; i < end; i++)
            count += (finite_or_0(p[i]) < 0) != (finite_or_0(p[i - 1]) < 0);
    }
    return end - first > 1 ? (double)count / (double)((end - first - 1) * x->channels) : NAN;
}

/* Mean power spectrum of a stretch. */
static void mean_spectrum(const signal *x, int64_t first, int64_t end, double *mean)
{
    double power[BINS];
    for (int k = 0; k < BINS; k++)
        mean[k] = 0;
    for (int c = 0; c < x->channels; c++)
        for (int64_t at = first; at == first || at + POINTS <= end; at += HOP) {
            hm_spectrum_of(x->spectrum, x->planar + c * x->samples + at, end - at, power);
            for (int k = 0; k < BINS; k++)
                mean[k] += power[k];
        }
}

/* The mean component is left out: it is no sound. Bins 120 dB below the mean are counted as that. */
static double flatness_of(const double *power)
{
    double logs = 0, sum = 0;
    for (int k = 1; k < BINS; k++)
        sum += power[k];
    double mean = sum / (BINS - 1);
    for (int k = 1; k < BINS; k++)
        logs += log(power[k] > mean * 1e-12 ? power[k] : mean * 1e-12);
    return mean > 0 ? exp(logs / (BINS - 1)) / mean : NAN;
}

static double centroid_of(const double *power)
{
    double sum = 0, moment = 0;
    for (int k = 1; k < BINS; k++) {
        sum += power[k];
        moment += k * power[k];
    }
    return sum > 0 ? moment / sum : NAN;
}

static double larger(double known, double x)
{
    return known >= x ? known : x;
}

static void measure_windows(hm_sound *out, const signal *x)
{
    double crossings[MOST_WINDOWS], flatness[MOST_WINDOWS], power[BINS];
    int64_t length = (int64_t)(out->window_s * x->rate_hz + 0.5);
    for (int64_t first = 0; first + length <= x->samples && out->windows < MOST_WINDOWS; first += length) {
        out->windows++;
        if (rms_of(x, first, first + length) < QUIET_RMS)
            continue;
        int n = out->loud_windows++;
        mean_spectrum(x, first, first + length, power);
        crossings[n] = crossings_of(x, first, first + length);
        flatness[n] = flatness_of(power);
        if (!n) {
            out->first_zero_crossings = crossings[n];
            out->first_flatness = flatness[n];
        } else {
            out->most_zero_crossings = larger(out->most_zero_crossings, crossings[n]);
            out->most_flatness = larger(out->most_flatness, flatness[n]);
        }
    }
    if (out->loud_windows) {
        out->zero_crossings = hm_median(crossings, out->loud_windows);
        out->flatness = hm_median(flatness, out->loud_windows);
    }
}

static void measure_drift(hm_sound *out, const signal *x)
{
    double before[BINS], after[BINS];
    int64_t third = x->samples / 3;
    double first = rms_of(x, 0, third), last = rms_of(x, x->samples - third, x->samples);
    if ((double)x->samples < DRIFT_LEAST_S * x->rate_hz || first < QUIET_RMS || !(last > 0))
        return;
    out->level_drift_db = 20 * log10(last / first);
    mean_spectrum(x, 0, third, before);
    mean_spectrum(x, x->samples - third, x->samples, after);
    out->centroid_drift = log2(centroid_of(after) / centroid_of(before));
}

void hm_sound_measure(hm_sound *out, const float *planar, int channels, int64_t samples, int rate_hz)
{
    signal x = {planar, channels, rate_hz, samples, NULL};
    *out = (hm_sound){.zero_crossings = NAN,
                      .flatness = NAN,
                      .first_zero_crossings = NAN,
                      .first_flatness = NAN,
                      .most_zero_crossings = NAN,
                      .most_flatness = NAN,
                      .level_drift_db = NAN,
                      .centroid_drift = NAN};
    if (!planar || channels < 1 || samples < 1 || rate_hz < 1)
        return;
    x.spectrum = hm_spectrum_open();
    if (!x.spectrum)
        return;
    double all_s = (double)samples / rate_hz;
    out->window_s = all_s < WINDOW_S ? all_s : WINDOW_S;
    measure_windows(out, &x);
    measure_drift(out, &x);
    hm_spectrum_close(&x.spectrum);
}

/* --- seams --- */

/* Sum of squared second differences at samples first .. end-1; *count grows by their number. */
static double jumps(const float *x, int64_t samples, int64_t first, int64_t end, int64_t *count)
{
    double sum = 0;
    first = first < 1 ? 1 : first;
    end = end > samples - 1 ? samples - 1 : end;
    for (int64_t i = first; i < end; i++) {
        double d = (double)x[i - 1] - 2 * (double)x[i] + (double)x[i + 1];
        sum += d * d;
    }
    *count += end > first ? end - first : 0;
    return sum;
}

double hm_sound_seam_db(const float *planar, int channels, int64_t samples, int rate_hz, const int64_t *seams, int count)
{
    double worst = NAN;
    int64_t around = (int64_t)(AROUND_SEAM_S * rate_hz);
    for (int i = 0; i < count; i++)
        for (int c = 0; c < channels; c++) {
            const float *x = planar + c * samples;
            int64_t first = seams[i] - SEAM_SAMPLES / 2, end = first + SEAM_SAMPLES, at = 0, off = 0;
            double here = jumps(x, samples, first, end, &at);
            double there = jumps(x, samples, first - around, first, &off) + jumps(x, samples, end, end + around, &off);
            if (!at || !off || !(there > 0) || !isfinite(here) || !isfinite(there))
                continue;
            double db = here > 0 ? 10 * log10(here / (double)at / (there / (double)off)) : -INFINITY;
            worst = worst >= db ? worst : db;
        }
    return worst;
}
