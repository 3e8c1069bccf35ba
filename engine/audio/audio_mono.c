/* Recordings of a voice: mixed to mono piece by piece, then resampled. */
#include <math.h>
#include <soxr.h>
#include <stdlib.h>

#include "engine/audio/audio.h"
#include "engine/audio/audio_impl.h"
#include "engine/audio/mel.h"

#define RATE_MIN_HZ 4000
#define RATE_MAX_HZ 768000
#define SILENCE_PEAK 1e-3 /* -60 dBFS */
#define PEAK_MAX 64.0     /* far above any recording that only clips */

typedef struct signal {
    float *samples;
    int64_t count, room;
} signal;

static hm_status too_long(const char *path, double seconds, const char *sign, hm_error *err)
{
    return hm_fail(err, HM_EUSAGE, "recording %s: it is %s%.9g s long, expected at most %d s; cut it to the part that is to be heard", path,
                   sign, seconds, HM_AUDIO_MONO_MAX_S);
}

/* Room for n more. The length in a header is not trusted: memory grows with what is really there. */
static hm_status reserve(signal *s, int64_t n, const char *path, hm_error *err)
{
    if (s->room - s->count >= n)
        return HM_OK;
    int64_t room = s->room ? s->room * 2 : 4 * HM_AUDIO_CHUNK;
    float *grown = realloc(s->samples, (size_t)room * sizeof *grown);
    if (!grown)
        return hm_fail(err, HM_EABSENT, "recording %s: no memory for more than %lld samples", path, (long long)s->count);
    s->samples = grown;
    s->room = room;
    return HM_OK;
}

/* The mean of all channels. */
static hm_status read_mixed(signal *s, SNDFILE *file, const SF_INFO *info, const char *path, hm_error *err)
{
    int C = info->channels;
    int64_t limit = (int64_t)HM_AUDIO_MONO_MAX_S * info->samplerate;
    float *piece = hm_calloc((size_t)C * HM_AUDIO_CHUNK, sizeof *piece, "recording", err);
    hm_status st = piece ? HM_OK : HM_EABSENT;
    while (!st && !(st = reserve(s, HM_AUDIO_CHUNK, path, err))) {
        sf_count_t n = sf_readf_float(file, piece, HM_AUDIO_CHUNK);
        if (n <= 0)
            break;
        for (sf_count_t i = 0; i < n && !st; i++) {
            double sum = 0;
            for (int c = 0; c < C; c++)
                sum += piece[i * C + c];
            if (!isfinite(sum))
                st = hm_fail(err, HM_EFORMAT, "recording %s: sample %lld is NaN or infinite; write the file anew", path,
                             (long long)s->count);
            s->samples[s->count++] = (float)(sum / C);
        }
        if (!st && s->count > limit)
            st = too_long(path, (double)s->count / info->samplerate, "more than ", err);
    }
    free(piece);
    if (!st && sf_error(file))
        st = hm_fail(err, HM_EFORMAT, "recording %s: after %lld samples: %s", path, (long long)s->count, sf_strerror(file));
    return st;
}

/* Piece by piece, since soxr moves all that waits inside it. Returns why not, or NULL. */
static soxr_error_t resample_pieces(soxr_t resampler, const signal *s, float *out, size_t count)
{
    size_t at = 0, made = 0;
    for (;;) {
        size_t left = (size_t)s->count - at, give = left < HM_AUDIO_CHUNK ? left : HM_AUDIO_CHUNK, used = 0, done = 0;
        size_t room = count - made < HM_AUDIO_CHUNK ? count - made : HM_AUDIO_CHUNK;
        soxr_error_t why = soxr_process(resampler, give ? s->samples + at : NULL, give, &used, out + made, room, &done);
        at += used;
        made += done;
        if (why || made == count || (!used && !done))
            return why;
    }
}

/* At another rate: ceil(count * to / from) samples, what the filter lacks at the end is zero. */
static hm_status resample(signal *s, int from_hz, int to_hz, const char *path, hm_error *err)
{
    int64_t count = (s->count * to_hz + from_hz - 1) / from_hz;
    soxr_error_t why = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    float *out = hm_calloc((size_t)count, sizeof *out, "resampled recording", err);
    if (!out)
        return HM_EABSENT;
    soxr_t resampler = soxr_create(from_hz, to_hz, 1, &why, &io, &quality, &runtime);
    if (!why)
        why = resample_pieces(resampler, s, out, (size_t)count);
    soxr_delete(resampler);
    if (why) {
        free(out);
        return hm_fail(err, HM_EABSENT, "recording %s: resampling from %d to %d Hz: %s", path, from_hz, to_hz, why);
    }
    free(s->samples);
    *s = (signal){.samples = out, .count = count, .room = count};
    return HM_OK;
}

hm_status hm_audio_read_mono(float **out, int64_t *count, const char *path, int rate_hz, hm_error *err)
{
    SNDFILE *file;
    SF_INFO info;
    signal s = {0};
    hm_status st = hm_audio_open_file(&file, &info, path, err);
    if (st)
        return st;
    if (info.samplerate < RATE_MIN_HZ || info.samplerate > RATE_MAX_HZ)
        st =
            hm_fail(err, HM_EFORMAT, "recording %s: its rate is %d Hz, expected %d to %d", path, info.samplerate, RATE_MIN_HZ, RATE_MAX_HZ);
    else if (info.frames > (int64_t)HM_AUDIO_MONO_MAX_S * info.samplerate)
        st = too_long(path, (double)info.frames / info.samplerate, "", err);
    else
        st = read_mixed(&s, file, &info, path, err);
    sf_close(file);
    if (!st && s.count && info.samplerate != rate_hz)
        st = resample(&s, info.samplerate, rate_hz, path, err);
    if (st) {
        free(s.samples);
        return st;
    }
    *out = s.samples;
    *count = s.count;
    return HM_OK;
}

hm_status hm_audio_check_reference(const float *samples, int64_t count, int rate_hz, const char *path, hm_error *err)
{
    double peak = 0;
    if (count < HM_SPEAKER_MIN_SAMPLES)
        return hm_fail(err, HM_EUSAGE,
                       "recording %s: it is %.1f ms long, expected at least %.1f ms (%d samples at %d Hz); some seconds are better", path,
                       1e3 * (double)count / rate_hz, 1e3 * HM_SPEAKER_MIN_SAMPLES / rate_hz, HM_SPEAKER_MIN_SAMPLES, rate_hz);
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(samples[i]))
            return hm_fail(err, HM_EFORMAT, "recording %s: sample %lld is NaN or infinite; write the file anew", path, (long long)i);
        peak = fmax(peak, fabs((double)samples[i]));
    }
    if (peak < SILENCE_PEAK)
        return hm_fail(err, HM_EUSAGE, "recording %s is silent: its loudest sample is %.2g of full scale, expected %g (-60 dBFS) or more",
                       path, peak, SILENCE_PEAK);
    if (peak > PEAK_MAX)
        return hm_fail(err, HM_EFORMAT,
                       "recording %s: its loudest sample is %.3g where full scale is 1; write the file with samples in -1 .. 1", path,
                       peak);
    return HM_OK;
}

hm_status hm_audio_read_reference(float **out, int64_t *count, const char *path, int rate_hz, hm_error *err)
{
    float *samples = NULL;
    int64_t n = 0;
    hm_status st = hm_audio_read_mono(&samples, &n, path, rate_hz, err);
    if (!st)
        st = hm_audio_check_reference(samples, n, rate_hz, path, err);
    if (st) {
        free(samples);
        return st;
    }
    *out = samples;
    *count = n;
    return HM_OK;
}
