#include "harness/fidelity.h"

#include <math.h>

#include "harness/sound.h"

enum {
    HOP = HM_SOUND_POINTS / 2
};

static const double LEAST_POWER = 1e-10;

/* Sums of a comparison. */
typedef struct sums {
    double signal, noise, spectral_signal, spectral_noise, distance;
    int64_t windows;
} sums;

static double level(double power)
{
    return 10 * log10(power > LEAST_POWER ? power : LEAST_POWER);
}

/* One window of both. */
static void add_window(sums *s, hm_spectrum *spectrum, const float *r, const float *x, int64_t left)
{
    double pr[HM_SOUND_BINS], px[HM_SOUND_BINS], squares = 0;
    hm_spectrum_of(spectrum, r, left, pr);
    hm_spectrum_of(spectrum, x, left, px);
    for (int k = 0; k < HM_SOUND_BINS; k++) {
        double off = sqrt(px[k]) - sqrt(pr[k]), db = level(pr[k]) - level(px[k]);
        s->spectral_signal += pr[k];
        s->spectral_noise += off * off;
        squares += db * db;
    }
    s->distance += sqrt(squares / HM_SOUND_BINS);
    s->windows++;
}

static double decibels(double signal, double noise)
{
    if (!(signal > 0) || isnan(noise))
        return NAN;
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

hm_fidelity hm_fidelity_compare(const float *reference, int64_t reference_samples, const float *x, int64_t samples, int channels)
{
    int64_t n = samples < reference_samples ? samples : reference_samples;
    sums s = {0};
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < n; i++) {
            double r = reference[c * reference_samples + i], off = (double)x[c * samples + i] - r;
            s.signal += r * r;
            s.noise += off * off;
        }
    double snr = decibels(s.signal, s.noise);
    if (!(s.noise > 0))
        return (hm_fidelity){snr, snr, n > 0 && s.noise == 0 ? 0 : NAN};
    hm_spectrum *spectrum = hm_spectrum_open();
    if (!spectrum)
        return (hm_fidelity){snr, NAN, NAN};
    for (int c = 0; c < channels; c++)
        for (int64_t i = 0; i < n; i += HOP)
            add_window(&s, spectrum, reference + c * reference_samples + i, x + c * samples + i, n - i);
    hm_spectrum_close(&spectrum);
    return (hm_fidelity){snr, decibels(s.spectral_signal, s.spectral_noise), s.distance / (double)s.windows};
}
