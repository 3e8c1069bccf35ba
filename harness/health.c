#include "harness/health.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STUCK_FRAMES 25   /* 2 s of one frame */
#define REPEATED_FRAMES 8 /* 0.64 s */
#define SILENT_SHARE 0.95 /* of the audio */
#define QUIET_SHARE 0.5
#define CLIPPED_SHARE 1e-2 /* heard as distortion */
#define LOUD_PEAK 8.0      /* far outside full scale: no mastering does that */
#define DC_LIMIT 0.1
#define LENGTH_TOLERANCE_S 0.05
#define SPEECH_CROSSINGS_HZ (0.13 * 24000) /* zero crossings per second of speech that has become noise */
#define NOISE_FLATNESS 0.5                 /* white noise has 0.98 */
#define DRIFT_DB 20.0                      /* the end against the beginning */
#define DRIFT_OCTAVES 1.5
#define DRIFT_LEAST_S 9.0       /* thirds of 3 s */
#define FASTEST_CHARACTERS 40.0 /* per second; nobody speaks so fast */
#define SLOWEST_CHARACTERS 2.0
#define PACE_ROOM_S 3.0 /* pauses before and after */

static void note(hm_health *h, hm_verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Keeps the reasons sorted: bad ones before suspect ones before remarks, each kind in the order noticed. */
static void note(hm_health *h, hm_verdict verdict, const char *format, ...)
{
    char text[sizeof h->reasons[0]];
    va_list ap;
    int at = 0;
    if (h->count == HM_HEALTH_REASONS)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    while (at < h->count && h->weights[at] >= verdict)
        at++;
    memmove(h->reasons[at + 1], h->reasons[at], (size_t)(h->count - at) * sizeof h->reasons[0]);
    memmove(h->weights + at + 1, h->weights + at, (size_t)(h->count - at) * sizeof h->weights[0]);
    memcpy(h->reasons[at], text, sizeof text);
    h->weights[at] = verdict;
    h->count++;
    if (verdict > h->verdict)
        h->verdict = verdict;
}

static int longest_run(const hm_result *r)
{
    int longest = r->frames > 0, run = 1;
    size_t bytes = (size_t)r->codebooks * sizeof *r->codes;
    for (int i = 1; r->codes && i < r->frames; i++) {
        const int32_t *frame = r->codes + (size_t)i * (size_t)r->codebooks;
        run = memcmp(frame, frame - r->codebooks, bytes) ? 1 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Characters of a text as they are spoken: those of Chinese, Japanese and Korean writing stand for about three letters each. */
static int spoken_characters(const char *text)
{
    int count = 0;
    for (const unsigned char *p = (const unsigned char *)text; p && *p; p++) {
        if ((*p & 0xC0) == 0x80 || *p <= ' ')
            continue;
        count += *p >= 0xE3 && *p <= 0xED ? 3 : 1; /* U+3000 to U+DFFF */
    }
    return count;
}

/* Speech that ended by itself: as long as its text can take. */
static void judge_pace(hm_health *h, const hm_health_case *w)
{
    int characters = spoken_characters(w->request->speech.text);
    double s = w->result->frames * w->frame_seconds;
    if (w->request->task != HM_TASK_SPEECH || !w->result->ended || !characters || !(s > 0))
        return;
    if (characters / s > FASTEST_CHARACTERS)
        note(h, HM_HEALTH_SUSPECT, "%d characters in %.2f s: more was asked for than can have been said", characters, s);
    else if (s - PACE_ROOM_S > characters / SLOWEST_CHARACTERS)
        note(h, HM_HEALTH_SUSPECT, "%.2f s for %d characters: more was said than asked for, or nothing", s, characters);
}

static void judge_length(hm_health *h, const hm_health_case *w)
{
    const hm_result *r = w->result;
    const hm_request *q = w->request;
    const hm_audio_facts *f = w->facts;
    bool speech = q->task == HM_TASK_SPEECH;
    int wanted = q->task == HM_TASK_TRANSCRIPT ? q->max_frames * r->window_count : q->max_frames;
    if (q->force_length && r->frames != wanted)
        note(h, HM_HEALTH_BAD, "%d frames where exactly %d were asked for", r->frames, wanted);
    else if (!r->ended && !q->force_length)
        note(h, speech && !w->synthetic ? HM_HEALTH_SUSPECT : HM_HEALTH_OK, "stopped by the cap of %d frames, not by its own end",
             q->max_frames);
    else if (r->ended && r->frames * 4 < q->max_frames)
        note(h, HM_HEALTH_OK, "ended by itself after %d of at most %d frames", r->frames, q->max_frames);
    if (!f)
        return;
    if (fabs(f->duration_s - h->expected_s) > LENGTH_TOLERANCE_S)
        note(h, r->counters.lost_codes ? HM_HEALTH_SUSPECT : HM_HEALTH_BAD, "%.2f s of audio where %d frames give %.2f s%s", f->duration_s,
             r->frames, h->expected_s, r->counters.lost_codes ? " (the original's lost tail)" : "");
}

/* A stream is the whole, sample by sample. */
static void judge_stream(hm_health *h, const hm_health_case *w)
{
    int64_t lost = w->result->samples - w->piece_samples;
    if (!w->pieces)
        return;
    if (lost)
        note(h, HM_HEALTH_BAD, "streamed: %lld samples in %d pieces where the whole has %lld: %.1f %s per piece",
             (long long)w->piece_samples, w->pieces, (long long)w->result->samples, fabs((double)lost) / w->pieces,
             lost > 0 ? "lost" : "too many");
    else if (w->pieces_differ)
        note(h, HM_HEALTH_BAD, "streamed: the %d pieces are not the bytes of the whole", w->pieces);
}

/* A good beginning that turns into something else, and noise from the beginning. */
static void judge_course(hm_health *h, const hm_sound *x, const hm_audio_facts *f, hm_task task)
{
    double most = SPEECH_CROSSINGS_HZ / f->rate_hz;
    if (task == HM_TASK_SPEECH && x->most_zero_crossings > most && x->first_zero_crossings <= most)
        note(h, HM_HEALTH_SUSPECT, "turns into noise: zero crossings %.3f in the first window, %.3f later", x->first_zero_crossings,
             x->most_zero_crossings);
    else if (x->most_flatness > NOISE_FLATNESS && x->first_flatness <= NOISE_FLATNESS)
        note(h, HM_HEALTH_SUSPECT, "turns into noise: spectral flatness %.2f in the first window, %.2f later", x->first_flatness,
             x->most_flatness);
    else if (x->flatness > NOISE_FLATNESS)
        note(h, HM_HEALTH_SUSPECT, "noise: spectral flatness %.2f", x->flatness);
    if (f->duration_s < DRIFT_LEAST_S)
        return;
    if (fabs(x->level_drift_db) > DRIFT_DB)
        note(h, HM_HEALTH_SUSPECT, "the last third is %.0f dB %s than the first", fabs(x->level_drift_db),
             x->level_drift_db > 0 ? "louder" : "quieter");
    if (fabs(x->centroid_drift) > DRIFT_OCTAVES)
        note(h, HM_HEALTH_SUSPECT, "the last third sounds %.1f octaves %s than the first", fabs(x->centroid_drift),
             x->centroid_drift > 0 ? "higher" : "lower");
}

static void judge_sound(hm_health *h, const hm_audio_facts *f, hm_task task)
{
    const char *what = task == HM_TASK_SPEECH ? "speech" : "song";
    if (f->silence_share >= SILENT_SHARE)
        note(h, HM_HEALTH_BAD, "%.0f %% of the %s is silent", 100 * f->silence_share, what);
    else if (f->silence_share >= QUIET_SHARE)
        note(h, HM_HEALTH_SUSPECT, "%.0f %% of the %s is silent", 100 * f->silence_share, what);
    if (f->peak > LOUD_PEAK)
        note(h, HM_HEALTH_SUSPECT, "peak %.1f, %.0f dB over full scale", f->peak, 20 * log10(f->peak));
    if (f->clipped_share > CLIPPED_SHARE)
        note(h, HM_HEALTH_SUSPECT, "%.1f %% of the samples are at full scale or beyond", 100 * f->clipped_share);
    if (fabs(f->dc) > DC_LIMIT)
        note(h, HM_HEALTH_SUSPECT, "the mean of a channel is %.2f", f->dc);
    if (h->identical_frames >= STUCK_FRAMES)
        note(h, HM_HEALTH_BAD, "stuck: one frame %d times in a row", h->identical_frames);
    else if (h->identical_frames >= REPEATED_FRAMES)
        note(h, HM_HEALTH_SUSPECT, "one frame %d times in a row", h->identical_frames);
}

void hm_health_judge(hm_health *out, const hm_health_case *w)
{
    const hm_result *result = w->result;
    const hm_audio_facts *facts = w->facts;
    memset(out, 0, sizeof *out);
    out->ended = result->ended;
    out->sound_judged = facts && !w->synthetic;
    out->identical_frames = longest_run(result);
    out->expected_s = result->frames * w->frame_seconds;
    if (facts && (facts->non_finite || result->non_finite))
        note(out, HM_HEALTH_BAD, "%lld samples are NaN or infinite",
             (long long)(facts->non_finite > result->non_finite ? facts->non_finite : result->non_finite));
    if (facts && facts->duration_s > 0 && facts->constant)
        note(out, HM_HEALTH_BAD, "every sample is the same value");
    if (!result->frames)
        note(out, HM_HEALTH_BAD, "no frame was made");
    judge_length(out, w);
    judge_stream(out, w);
    if (result->counters.tokens_out_of_range)
        note(out, w->synthetic ? HM_HEALTH_OK : HM_HEALTH_SUSPECT, "%llu codes outside the codebooks, clamped",
             (unsigned long long)result->counters.tokens_out_of_range);
    if (out->sound_judged) {
        judge_sound(out, facts, w->request->task);
        judge_pace(out, w);
        if (w->sound)
            judge_course(out, w->sound, facts, w->request->task);
    } else if (facts)
        note(out, HM_HEALTH_OK, "synthetic weights: how it sounds is not judged");
}

bool hm_health_ranks(const char *health)
{
    return !health || strcmp(health, "bad");
}

const char *hm_verdict_name(hm_verdict verdict)
{
    return verdict == HM_HEALTH_OK ? "ok" : verdict == HM_HEALTH_SUSPECT ? "suspect" : "bad";
}

const char *hm_health_text(const hm_health *health, char *out, size_t size)
{
    size_t used = 0;
    if (size)
        *out = 0;
    for (int i = 0; i < health->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "; " : "", health->reasons[i]);
    return out;
}
