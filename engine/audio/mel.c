#include "engine/audio/mel.h"
#include "engine/audio/mel_impl.h"

#include <kiss_fftr.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

enum {
    WINDOW = 1024,
    BINS = WINDOW / 2 + 1,
    PAD = (WINDOW - HM_MEL_HOP) / 2
};

/* A triangle over bins first .. first+count-1. */
struct filter {
    int first, count;
    float weight[BINS];
};

struct mel {
    kiss_fftr_cfg fft;
    struct filter *filters;
    int mels;
    float window[WINDOW], frame[WINDOW], magnitude[BINS];
    kiss_fft_cpx spectrum[BINS];
};

static double mel_of_hz(double hz)
{
    return hz < 1000 ? hz * 3 / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

static double hz_of_mel(double mel)
{
    return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

double hm_mel_corner(int i, int mels, int rate_hz)
{
    return hz_of_mel(mel_of_hz(rate_hz / 2.0) * i / (mels + 1));
}

/* In double, rounded to float32 before and after the area norm, as librosa does. */
static void make_filter(struct filter *f, int m, int mels, int rate_hz)
{
    double low = hm_mel_corner(m, mels, rate_hz), mid = hm_mel_corner(m + 1, mels, rate_hz), high = hm_mel_corner(m + 2, mels, rate_hz);
    f->first = f->count = 0;
    for (int i = 0; i < BINS; i++) {
        double hz = (double)i * rate_hz / WINDOW;
        double up = (hz - low) / (mid - low), down = (high - hz) / (high - mid), w = up < down ? up : down;
        if (!(w > 0))
            continue;
        f->first = f->count ? f->first : i;
        f->weight[i - f->first] = (float)((double)(float)w * 2 / (high - low));
        f->count = i - f->first + 1;
    }
}

static void close_mel(struct mel **mel)
{
    if (*mel) {
        kiss_fftr_free((*mel)->fft);
        free((*mel)->filters);
        free(*mel);
    }
    *mel = NULL;
}

static hm_status open_mel(struct mel **out, int mels, int rate_hz, hm_error *err)
{
    struct mel *m = hm_calloc(1, sizeof *m, "mel", err);
    if (!m)
        return HM_EABSENT;
    m->mels = mels;
    m->filters = hm_calloc((size_t)mels, sizeof *m->filters, "mel filters", err);
    m->fft = kiss_fftr_alloc(WINDOW, 0, NULL, NULL);
    if (!m->filters || !m->fft) {
        close_mel(&m);
        return hm_fail(err, HM_EABSENT, "mel: no memory for its filters");
    }
    for (int i = 0; i < WINDOW; i++)
        m->window[i] = (float)(0.5 - 0.5 * cos(2 * M_PI * i / WINDOW));
    for (int i = 0; i < mels; i++)
        make_filter(&m->filters[i], i, mels, rate_hz);
    *out = m;
    return HM_OK;
}

/* Sample i of the signal with mirrored edges. */
static float mirrored(const float *samples, int64_t count, int64_t i)
{
    i = i < 0 ? -i : i;
    return samples[i < count ? i : 2 * count - 2 - i];
}

static void one_frame(struct mel *m, float *out, const float *samples, int64_t count, int64_t first)
{
    for (int i = 0; i < WINDOW; i++)
        m->frame[i] = mirrored(samples, count, first + i) * m->window[i];
    kiss_fftr(m->fft, m->frame, m->spectrum);
    for (int i = 0; i < BINS; i++)
        m->magnitude[i] = sqrtf(m->spectrum[i].r * m->spectrum[i].r + m->spectrum[i].i * m->spectrum[i].i + 1e-9f);
    for (int i = 0; i < m->mels; i++) {
        const struct filter *f = &m->filters[i];
        double sum = 0;
        for (int j = 0; j < f->count; j++)
            sum += (double)f->weight[j] * m->magnitude[f->first + j];
        out[i] = logf(fmaxf((float)sum, 1e-5f));
    }
}

hm_status hm_speech_mel(float **out, int *frames, const float *samples, int64_t count, int mels, int sample_rate_hz, hm_error *err)
{
    struct mel *m = NULL;
    int64_t n = count / HM_MEL_HOP;
    if (mels < 1 || sample_rate_hz < 1)
        return hm_fail(err, HM_EBUG, "mel: %d filters at %d Hz", mels, sample_rate_hz);
    if (count < HM_SPEAKER_MIN_SAMPLES || n > INT_MAX)
        return hm_fail(err, HM_EUSAGE, "mel: %lld samples; expected %d or more", (long long)count, HM_SPEAKER_MIN_SAMPLES);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(samples[i]))
            return hm_fail(err, HM_EINVALID, "mel: sample %lld is not finite", (long long)i);
    hm_status st = open_mel(&m, mels, sample_rate_hz, err);
    if (st)
        return st;
    float *result = hm_calloc((size_t)n, sizeof *result * (size_t)mels, "mel", err);
    for (int64_t t = 0; result && t < n; t++)
        one_frame(m, result + t * mels, samples, count, t * HM_MEL_HOP - PAD);
    close_mel(&m);
    if (!result)
        return HM_EABSENT;
    *out = result;
    *frames = (int)n;
    return HM_OK;
}
