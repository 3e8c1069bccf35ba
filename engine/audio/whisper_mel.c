/* Whisper's log-mel: 400-point frames, 160 samples apart, centred on their sample. Frames go to the threads of a team. */
#include <kiss_fftr.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/audio/mel.h"
#include "engine/audio/mel_impl.h"

enum {
    POINTS = 400,
    SIDE = POINTS / 2,
    PART_FRAMES = 64
};

/* A triangle over bins first .. first+count-1. */
struct filter {
    int first, count;
    float weight[HM_WHISPER_BINS];
};

/* What a thread works in. */
struct desk {
    kiss_fftr_cfg fft;
    float frame[POINTS], power[HM_WHISPER_BINS];
    kiss_fft_cpx spectrum[HM_WHISPER_BINS];
    float greatest;
};

struct job {
    const float *samples;
    int64_t count, length; /* samples that there are; with the zeros behind them */
    int frames, mels;
    float window[POINTS];
    struct filter *filters; /* [mels] */
    struct desk *desks;     /* [threads] */
    float *out;             /* [frames][mels] */
    float floor;            /* second pass */
};

static void make_filter(struct filter *f, int m, int mels)
{
    double low = hm_mel_corner(m, mels, HM_WHISPER_RATE), mid = hm_mel_corner(m + 1, mels, HM_WHISPER_RATE),
           high = hm_mel_corner(m + 2, mels, HM_WHISPER_RATE);
    f->first = f->count = 0;
    for (int i = 0; i < HM_WHISPER_BINS; i++) {
        double hz = (double)i * HM_WHISPER_RATE / POINTS;
        double up = (hz - low) / (mid - low), down = (high - hz) / (high - mid), w = up < down ? up : down;
        if (!(w > 0))
            continue;
        f->first = f->count ? f->first : i;
        f->weight[i - f->first] = (float)(w * 2 / (high - low));
        f->count = i - f->first + 1;
    }
}

hm_status hm_whisper_mel_filters(float *out, int mels, hm_error *err)
{
    struct filter *f = hm_calloc(1, sizeof *f, "mel filter", err);
    if (!f)
        return HM_EABSENT;
    for (int m = 0; m < mels; m++) {
        make_filter(f, m, mels);
        for (int i = 0; i < HM_WHISPER_BINS; i++)
            out[(size_t)i * (size_t)mels + (size_t)m] = i >= f->first && i < f->first + f->count ? f->weight[i - f->first] : 0;
    }
    free(f);
    return HM_OK;
}

/* log10 of the mel power of frame t. */
static void one_frame(const struct job *j, struct desk *d, int t)
{
    float *out = j->out + (size_t)t * (size_t)j->mels;
    int64_t first = (int64_t)t * HM_WHISPER_HOP - SIDE;
    bool silent = first >= j->count && first + POINTS + SIDE < j->length; /* zeros alone, none of them mirrored */
    for (int i = 0; i < POINTS && !silent; i++) {
        int64_t at = first + i < 0 ? -(first + i) : first + i < j->length ? first + i : 2 * j->length - 2 - (first + i);
        d->frame[i] = at < j->count ? j->samples[at] * j->window[i] : 0;
    }
    if (!silent)
        kiss_fftr(d->fft, d->frame, d->spectrum);
    for (int i = 0; i < HM_WHISPER_BINS; i++)
        d->power[i] = silent ? 0 : d->spectrum[i].r * d->spectrum[i].r + d->spectrum[i].i * d->spectrum[i].i;
    for (int m = 0; m < j->mels; m++) {
        const struct filter *f = &j->filters[m];
        double sum = 0;
        for (int i = 0; i < f->count; i++)
            sum += (double)f->weight[i] * (double)d->power[f->first + i];
        out[m] = log10f(fmaxf((float)sum, 1e-10f));
        d->greatest = out[m] > d->greatest ? out[m] : d->greatest;
    }
}

static void power_part(void *arg, int part, int parts, int thread)
{
    const struct job *j = arg;
    size_t first, last;
    hm_team_range((size_t)j->frames, 1, part, parts, &first, &last);
    for (size_t t = first; t < last; t++)
        one_frame(j, &j->desks[thread], (int)t);
}

static void scale_part(void *arg, int part, int parts, int thread)
{
    const struct job *j = arg;
    size_t first, last;
    (void)thread;
    hm_team_range((size_t)j->frames * (size_t)j->mels, (size_t)j->mels, part, parts, &first, &last);
    for (size_t i = first; i < last; i++)
        j->out[i] = (fmaxf(j->out[i], j->floor) + 4.0f) / 4.0f;
}

static void share(hm_team *team, hm_team_part_fn fn, struct job *j)
{
    int parts = (j->frames + PART_FRAMES - 1) / PART_FRAMES;
    if (team)
        hm_team_share(team, fn, j, parts, NULL);
    else
        fn(j, 0, 1, 0);
}

static hm_status open_job(struct job *j, int threads, hm_error *err)
{
    j->filters = hm_calloc((size_t)j->mels, sizeof *j->filters, "mel filters", err);
    j->desks = j->filters ? hm_calloc((size_t)threads, sizeof *j->desks, "mel", err) : NULL;
    if (!j->desks)
        return HM_EABSENT;
    for (int i = 0; i < threads; i++) {
        j->desks[i].greatest = -INFINITY;
        j->desks[i].fft = kiss_fftr_alloc(POINTS, 0, NULL, NULL);
        if (!j->desks[i].fft)
            return hm_fail(err, HM_EABSENT, "mel: no memory for a transform of %d points", POINTS);
    }
    for (int i = 0; i < POINTS; i++)
        j->window[i] = (float)(0.5 - 0.5 * cos(2 * M_PI * i / POINTS));
    for (int m = 0; m < j->mels; m++)
        make_filter(&j->filters[m], m, j->mels);
    j->out = hm_calloc((size_t)j->frames, sizeof *j->out * (size_t)j->mels, "mel", err);
    return j->out ? HM_OK : HM_EABSENT;
}

static void close_job(struct job *j, int threads)
{
    for (int i = 0; j->desks && i < threads; i++)
        kiss_fftr_free(j->desks[i].fft);
    free(j->desks);
    free(j->filters);
}

hm_status hm_whisper_mel(float **out, int *frames, const float *samples, int64_t count, int64_t padded, int mels, hm_team *team,
                         hm_error *err)
{
    int threads = team ? hm_team_size(team) : 1;
    struct job j = {.samples = samples, .mels = mels, .length = padded ? padded : count};
    if (mels < 1 || padded < 0 || (padded && padded <= SIDE))
        return hm_fail(err, HM_EBUG, "mel: %d filters over %lld samples", mels, (long long)padded);
    if (j.length <= SIDE || j.length / HM_WHISPER_HOP > INT_MAX)
        return hm_fail(err, HM_EUSAGE, "mel: %lld samples; expected more than %d", (long long)count, SIDE);
    j.count = count < j.length ? count : j.length;
    j.frames = (int)(j.length / HM_WHISPER_HOP);
    for (int64_t i = 0; i < j.count; i++)
        if (!isfinite(samples[i]))
            return hm_fail(err, HM_EINVALID, "mel: sample %lld is not finite", (long long)i);
    hm_status st = open_job(&j, threads, err);
    if (!st) {
        float greatest = -INFINITY;
        share(team, power_part, &j);
        for (int i = 0; i < threads; i++)
            greatest = j.desks[i].greatest > greatest ? j.desks[i].greatest : greatest;
        j.floor = greatest - 8.0f;
        share(team, scale_part, &j);
        *out = j.out;
        *frames = j.frames;
    } else
        free(j.out);
    close_job(&j, threads);
    return st;
}
