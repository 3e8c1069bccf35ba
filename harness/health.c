#include "harness/health.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STUCK_FRAMES 25       /* 2 s of one frame */
#define REPEATED_FRAMES 8     /* 0.64 s */
#define SILENT_SHARE 0.95     /* of the audio */
#define QUIET_SHARE 0.5
#define CLIPPED_SHARE 1e-2    /* heard as distortion */
#define LOUD_PEAK 8.0         /* far outside full scale: no mastering does that */
#define DC_LIMIT 0.1
#define LENGTH_TOLERANCE_S 0.05

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

static void judge_length(hm_health *h, const hm_result *r, const hm_audio_facts *f, const hm_request *q)
{
    if (q->force_length && r->frames != q->max_frames)
        note(h, HM_HEALTH_BAD, "%d frames where exactly %d were asked for", r->frames, q->max_frames);
    else if (!r->ended && !q->force_length)
        note(h, HM_HEALTH_OK, "stopped by the cap of %d frames, not by its own end", q->max_frames);
    else if (r->ended && r->frames * 4 < q->max_frames)
        note(h, HM_HEALTH_OK, "ended by itself after %d of at most %d frames", r->frames, q->max_frames);
    if (!f)
        return;
    if (fabs(f->duration_s - h->expected_s) > LENGTH_TOLERANCE_S)
        note(h, r->counters.lost_codes ? HM_HEALTH_SUSPECT : HM_HEALTH_BAD, "%.2f s of audio where %d frames give %.2f s%s", f->duration_s,
             r->frames, h->expected_s, r->counters.lost_codes ? " (the original's lost tail)" : "");
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

void hm_health_judge(hm_health *out, const hm_result *result, const hm_audio_facts *facts, const hm_request *request,
                     double frame_seconds, bool synthetic)
{
    memset(out, 0, sizeof *out);
    out->ended = result->ended;
    out->sound_judged = facts && !synthetic;
    out->identical_frames = longest_run(result);
    out->expected_s = result->frames * frame_seconds;
    if (facts && (facts->non_finite || result->non_finite))
        note(out, HM_HEALTH_BAD, "%lld samples are NaN or infinite",
             (long long)(facts->non_finite > result->non_finite ? facts->non_finite : result->non_finite));
    if (facts && facts->duration_s > 0 && facts->constant)
        note(out, HM_HEALTH_BAD, "every sample is the same value");
    if (!result->frames)
        note(out, HM_HEALTH_BAD, "no frame was made");
    judge_length(out, result, facts, request);
    if (result->counters.tokens_out_of_range)
        note(out, synthetic ? HM_HEALTH_OK : HM_HEALTH_SUSPECT, "%llu codes outside the codebooks, clamped",
             (unsigned long long)result->counters.tokens_out_of_range);
    if (out->sound_judged)
        judge_sound(out, facts, request->task);
    else if (facts)
        note(out, HM_HEALTH_OK, "synthetic weights: how it sounds is not judged");
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
