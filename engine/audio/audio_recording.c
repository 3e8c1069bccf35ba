/* Recordings to be written down: any rate and channels to mono at 16 kHz, resampled as torchaudio does by default (whisper.md step 1). */
#include <math.h>
#include <stdlib.h>

#include "engine/audio/audio.h"
#include "engine/audio/mel.h"

#define RATE_MIN_HZ 4000
#define RATE_MAX_HZ 768000
#define SIDE 6       /* zero crossings of the kernel on either side */
#define ROLLOFF 0.99 /* of the lower rate's half */

/* A windowed sinc for each of the output's phases: taps first .. first+count-1 of the input that are not 0. */
struct phase {
    int64_t first;
    int count;
    float *taps;
};

struct kernel {
    int from, to;         /* the rates over their greatest common divisor: `from` samples become `to` */
    struct phase *phases; /* [to] */
    float *memory;
};

static int gcd(int a, int b)
{
    return b ? gcd(b, a % b) : a;
}

static void make_phase(const struct kernel *k, struct phase *p, int index, float *taps, int width)
{
    double lower = (k->from < k->to ? k->from : k->to) * ROLLOFF;
    p->taps = taps;
    p->first = p->count = 0;
    for (int i = 0; i < 2 * width + k->from; i++) {
        double t = lower * (-(double)index / k->to + (double)(i - width) / k->from);
        if (!(fabs(t) < SIDE))
            continue; /* the window ends there */
        double window = cos(M_PI * t / SIDE / 2), sinc = t == 0 ? 1 : sin(M_PI * t) / (M_PI * t);
        if (!p->count)
            p->first = i - width;
        p->taps[p->count++] = (float)(lower / k->from * window * window * sinc);
    }
}

static hm_status make_kernel(struct kernel *k, int from_hz, int to_hz, hm_error *err)
{
    int common = gcd(from_hz, to_hz);
    *k = (struct kernel){.from = from_hz / common, .to = to_hz / common};
    double lower = (k->from < k->to ? k->from : k->to) * ROLLOFF;
    int width = (int)ceil(SIDE * (double)k->from / lower);
    k->phases = hm_calloc((size_t)k->to, sizeof *k->phases, "resampling", err);
    k->memory = k->phases ? hm_calloc((size_t)k->to, (2 * (size_t)width + 2) * sizeof *k->memory, "resampling", err) : NULL;
    for (int i = 0; k->memory && i < k->to; i++)
        make_phase(k, &k->phases[i], i, k->memory + (size_t)i * (2 * (size_t)width + 2), width);
    return k->memory ? HM_OK : HM_EABSENT;
}

static void apply(const struct kernel *k, float *out, int64_t made, const float *x, int64_t count)
{
    for (int64_t m = 0; m < made; m++) {
        const struct phase *p = &k->phases[m % k->to];
        int64_t first = m / k->to * k->from + p->first;
        int begin = first < 0 ? (int)-first : 0, end = first + p->count > count ? (int)(count - first) : p->count;
        double sum = 0;
        for (int i = begin; i < end; i++)
            sum += (double)p->taps[i] * (double)x[first + i];
        out[m] = (float)sum;
    }
}

hm_status hm_audio_resample(float **out, int64_t *made, const float *x, int64_t count, int from_hz, int to_hz, hm_error *err)
{
    struct kernel k = {0};
    if (from_hz < RATE_MIN_HZ || from_hz > RATE_MAX_HZ || count < 1 || count > INT64_MAX / RATE_MAX_HZ)
        return hm_fail(err, HM_EFORMAT, "resampling: %lld samples at %d Hz; expected some at %d to %d Hz", (long long)count, from_hz,
                       RATE_MIN_HZ, RATE_MAX_HZ);
    hm_status st = make_kernel(&k, from_hz, to_hz, err);
    int64_t n = st ? 0 : (count * k.to + k.from - 1) / k.from;
    float *y = st ? NULL : hm_calloc((size_t)n, sizeof *y, "resampled recording", err);
    if (y) {
        apply(&k, y, n, x, count);
        *out = y;
        *made = n;
    }
    free(k.phases);
    free(k.memory);
    return y ? HM_OK : HM_EABSENT;
}

/* sum += channel, both at 16 kHz; the first one takes its place. */
static void add_channel(float **sum, float *channel, int64_t count)
{
    if (!*sum) {
        *sum = channel;
        return;
    }
    for (int64_t i = 0; i < count; i++)
        (*sum)[i] += channel[i];
    free(channel);
}

hm_status hm_audio_mix_recording(float **out, int64_t *count, const float *planar, int channels, int64_t samples, int rate_hz,
                                 hm_error *err)
{
    float *sum = NULL;
    int64_t n = samples;
    hm_status st = HM_OK;
    for (int c = 0; c < channels && samples && !st; c++) {
        const float *x = planar + (size_t)c * (size_t)samples;
        float *at_rate = NULL;
        if (rate_hz != HM_WHISPER_RATE)
            st = hm_audio_resample(&at_rate, &n, x, samples, rate_hz, HM_WHISPER_RATE, err);
        else if ((at_rate = hm_calloc((size_t)n, sizeof *at_rate, "recording", err)))
            for (int64_t i = 0; i < n; i++)
                at_rate[i] = x[i];
        else
            st = HM_EABSENT;
        if (!st)
            add_channel(&sum, at_rate, n);
    }
    if (st) {
        free(sum);
        return st;
    }
    for (int64_t i = 0; sum && channels > 1 && i < n; i++)
        sum[i] = sum[i] / (float)channels;
    *out = sum;
    *count = n;
    return HM_OK;
}

hm_status hm_audio_read_recording(float **out, int64_t *count, const char *path, hm_error *err)
{
    float *planar = NULL;
    int channels, rate_hz;
    int64_t samples;
    hm_status st = hm_audio_read(path, &planar, &channels, &samples, &rate_hz, err);
    if (st)
        return st;
    for (int64_t i = 0; !st && i < samples * channels; i++)
        if (!isfinite(planar[i]))
            st = hm_fail(err, HM_EFORMAT, "sample %lld is NaN or infinite; write the file anew", (long long)(i % samples));
    if (!st)
        st = hm_audio_mix_recording(out, count, planar, channels, samples, rate_hz, err);
    free(planar);
    return st ? hm_fail_within(err, "recording %s", path) : HM_OK;
}
