#include "harness/fidelity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "harness/store_query.h"

#define WINDOW 1024
#define HOP 512
#define TWO_PI 6.28318530717958647692

/* Sums of a comparison. */
typedef struct sums {
    double signal, noise, spectral_signal, spectral_noise;
} sums;

/* In place, WINDOW points, radix 2. */
static void transform(double *re, double *im)
{
    for (int i = 1, j = 0; i < WINDOW; i++) { /* bit-reversed order */
        int bit = WINDOW >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            double t = re[i];
            re[i] = re[j];
            re[j] = t;
            t = im[i];
            im[i] = im[j];
            im[j] = t;
        }
    }
    for (int length = 2; length <= WINDOW; length <<= 1)
        for (int k = 0; k < length / 2; k++) {
            double c = cos(TWO_PI * k / length), s = -sin(TWO_PI * k / length);
            for (int i = k; i < WINDOW; i += length) {
                int j = i + length / 2;
                double a = re[j] * c - im[j] * s, b = re[j] * s + im[j] * c;
                re[j] = re[i] - a;
                im[j] = im[i] - b;
                re[i] += a;
                im[i] += b;
            }
        }
}

/* One window of both: the reference as the real part and x as the imaginary one, taken apart by symmetry. */
static void add_window(sums *s, const float *r, const float *x, int64_t left, const double *hann)
{
    double re[WINDOW], im[WINDOW];
    for (int i = 0; i < WINDOW; i++) {
        re[i] = i < left ? hann[i] * r[i] : 0;
        im[i] = i < left ? hann[i] * x[i] : 0;
    }
    transform(re, im);
    for (int k = 0; k <= WINDOW / 2; k++) {
        int m = (WINDOW - k) % WINDOW;
        double reference = 0.5 * hypot(re[k] + re[m], im[k] - im[m]), other = 0.5 * hypot(im[k] + im[m], re[m] - re[k]);
        s->spectral_signal += reference * reference;
        s->spectral_noise += (other - reference) * (other - reference);
    }
}

static double decibels(double signal, double noise)
{
    if (!(signal > 0))
        return NAN;
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

hm_fidelity hm_fidelity_compare(const float *reference, int64_t reference_samples, const float *x, int64_t samples, int channels)
{
    double hann[WINDOW];
    int64_t n = samples < reference_samples ? samples : reference_samples;
    sums s = {0};
    for (int i = 0; i < WINDOW; i++)
        hann[i] = 0.5 - 0.5 * cos(TWO_PI * i / WINDOW);
    for (int c = 0; c < channels; c++) {
        const float *r = reference + c * reference_samples, *y = x + c * samples;
        for (int64_t i = 0; i < n; i++) {
            double off = (double)y[i] - (double)r[i];
            s.signal += (double)r[i] * r[i];
            s.noise += off * off;
        }
        for (int64_t i = 0; i < n && s.noise > 0; i += HOP)
            add_window(&s, r + i, y + i, n - i, hann);
    }
    if (!(s.noise > 0))
        return (hm_fidelity){decibels(s.signal, 0), decibels(s.signal, 0)};
    return (hm_fidelity){decibels(s.signal, s.noise), decibels(s.spectral_signal, s.spectral_noise)};
}

/* The reference that is in memory, while rows of its case and model come by. */
typedef struct comparer {
    hm_store *store;
    const char *session_id;
    char case_id[HM_HASH_TEXT];
    int position; /* of its arm */
    float *reference;
    int channels, rate_hz;
    int64_t samples;
} comparer;

static void drop_reference(comparer *c)
{
    free(c->reference);
    c->reference = NULL;
    c->case_id[0] = 0;
}

static hm_status take_audio(void *self, const hm_audio_row *row, hm_error *err)
{
    comparer *c = self;
    float *x = NULL;
    int channels, rate_hz;
    int64_t samples;
    hm_error ignored;
    bool is_reference = row->arm_position == row->first_position;
    if (strcmp(c->case_id, row->case_id) || c->position != row->first_position)
        drop_reference(c);
    if (access(row->path, R_OK) || (!is_reference && !c->reference))
        return HM_OK;
    if (hm_audio_read(row->path, &x, &channels, &samples, &rate_hz, &ignored))
        return HM_OK; /* someone wrote over it: no figure rather than a wrong one */
    if (is_reference) {
        drop_reference(c);
        *c = (comparer){c->store, c->session_id, "", row->arm_position, x, channels, rate_hz, samples};
        snprintf(c->case_id, sizeof c->case_id, "%s", row->case_id);
        return HM_OK;
    }
    hm_status st = HM_OK;
    if (channels == c->channels && rate_hz == c->rate_hz) {
        hm_fidelity f = hm_fidelity_compare(c->reference, c->samples, x, samples, channels);
        st = hm_store_put_fidelity(c->store, c->session_id, row->arm_id, row->case_id, f.snr_db, f.spectral_snr_db, err);
    }
    free(x);
    return st;
}

hm_status hm_session_fidelity(hm_store *store, const char *session_id, hm_error *err)
{
    comparer c = {.store = store, .session_id = session_id};
    hm_status st = hm_store_each_audio(store, session_id, take_audio, &c, err);
    drop_reference(&c);
    return st;
}
