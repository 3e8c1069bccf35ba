/* A recording from request to text: its windows side by side, each judged, tried again, and cut at its timestamps. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/audio/mel.h"
#include "engine/base/time.h"
#include "engine/session/whisper.h"

#define SEEK_FRAMES 3000 /* of a window */

/* A stretch of the recording on its own way: a chunk, or all of it. Its mel is heard from `seek` on, again and again with timestamps. */
typedef struct lane {
    hm_transcript_window facts;
    float *mel;
    int frames;
    int64_t seek;
    int32_t *ids;
    float *logits;
    int count, room;
    hm_transcript_segment *segments; /* of the seek loop; `first` counts from the lane's first id */
    int segment_count, segment_room;
    hm_transcript_window *heard; /* of the seek loop: its windows so far */
    int heard_count, heard_room;
    bool over;
} lane;

typedef struct transcribing {
    const hm_request *r;
    const hm_transcript_input *in;
    const hm_whisper_generation *g;
    const hm_whisper_shape *shape;
    hm_whisper_work *work;
    lane *lanes;
    int lane_count, batch, beams, temperature_count;
    double temperatures[HM_TEMPERATURES];
    hm_whisper_task task;
    int32_t language;       /* -1: to be detected, or the model knows none */
    bool detects, forced;   /* forced: the prompt is forced_decoder_ids */
    bool timestamps, seeks; /* seeks: one lane over the whole recording */
    int prompt_count;
} transcribing;

/* --- the request --- */

static hm_status check_task(transcribing *t, hm_error *err)
{
    const char *task = t->in->task, *language = t->in->language;
    const hm_whisper_generation *g = t->g;
    if (!g->multilingual && (task || language))
        return hm_fail(err, HM_EUSAGE, "%s \"%s\": this model knows one language and one task; leave it out",
                       language ? "language" : "task", language ? language : task);
    if (task && strcmp(task, "transcribe") && strcmp(task, "translate"))
        return hm_fail(err, HM_EUSAGE, "task \"%.40s\": expected transcribe or translate", task);
    t->language = -1;
    if (language && (t->language = hm_whisper_language_id(g, language)) < 0)
        return hm_fail(err, HM_EUSAGE, "language \"%.40s\": not one of the %d that the model knows; expected a code or name, as \"%s\"",
                       language, g->language_count, g->language_count ? g->languages[0].code : "none");
    t->forced = !task && !language && g->forced_count;
    t->task = task       ? (!strcmp(task, "translate") ? HM_WHISPER_TRANSLATE : HM_WHISPER_TRANSCRIBE)
              : language ? HM_WHISPER_TRANSCRIBE
                         : HM_WHISPER_NO_TASK;
    if ((t->task == HM_WHISPER_TRANSCRIBE && g->transcribe < 0) || (t->task == HM_WHISPER_TRANSLATE && g->translate < 0))
        return hm_fail(err, HM_EUSAGE, "task %s: the model's generation_config.json has no id for it",
                       t->task == HM_WHISPER_TRANSLATE ? "translate" : "transcribe");
    t->detects = t->language < 0 && g->language_count && !(t->forced && g->forced[0] == 1);
    return HM_OK;
}

static hm_status check_thresholds(transcribing *t, hm_error *err)
{
    const hm_transcript_input *in = t->in;
    t->temperature_count = in->temperature_count ? in->temperature_count : 1;
    if (in->temperature_count < 0 || in->temperature_count > HM_TEMPERATURES)
        return hm_fail(err, HM_EUSAGE, "temperatures: expected at most %d, found %d", HM_TEMPERATURES, in->temperature_count);
    for (int i = 0; i < in->temperature_count; i++) {
        t->temperatures[i] = in->temperatures[i];
        if (!(in->temperatures[i] >= 0 && in->temperatures[i] <= 100))
            return hm_fail(err, HM_EUSAGE, "temperature %g: expected 0 to 100", in->temperatures[i]);
    }
    if (!isnan(in->no_speech_threshold) && isnan(in->logprob_threshold))
        return hm_fail(err, HM_EUSAGE,
                       "no-speech threshold %g: a window is only left out when its log-probability is low too; give that threshold",
                       in->no_speech_threshold);
    return HM_OK;
}

static hm_status check_length(transcribing *t, hm_error *err)
{
    int32_t ids[HM_WHISPER_PROMPT];
    int64_t most = t->g->max_length;
    t->prompt_count = t->forced ? 1 + t->detects + t->g->forced_count + 1 /* at most */
                                : hm_whisper_prompt(t->g, t->language >= 0 || t->detects ? 0 : -1, t->task, t->timestamps, ids);
    if (t->prompt_count > HM_WHISPER_PROMPT)
        return hm_fail(err, HM_EFORMAT, "generation config: forced_decoder_ids are %d, expected at most %d", t->g->forced_count,
                       HM_WHISPER_PROMPT - 3);
    if (t->r->max_frames < 1 || t->prompt_count + t->r->max_frames > most)
        return hm_fail(err, HM_EUSAGE,
                       "%d tokens a window: expected 1 to %" PRId64 ": with its prompt of %d a text has %" PRId64 " at most",
                       t->r->max_frames, most - t->prompt_count, t->prompt_count, most);
    return HM_OK;
}

static bool is_among(const int32_t *ids, int count, int32_t id)
{
    for (int i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* Whether a text can begin with a timestamp, as it has to: some models suppress all of them. */
static bool may_stamp(const hm_whisper_generation *g, int64_t vocab)
{
    for (int32_t id = g->timestamp0; id < vocab; id++) {
        if (g->max_initial_timestamp >= 0 && id > g->timestamp0 + g->max_initial_timestamp)
            return false;
        if (!is_among(g->suppress, g->suppress_count, id) && !is_among(g->begin_suppress, g->begin_suppress_count, id))
            return true;
    }
    return false;
}

static hm_status check_request(hm_engine *e, transcribing *t, hm_error *err)
{
    const hm_transcript_input *in = t->in;
    t->g = hm_whisper_generation_of(e->whisper);
    t->shape = hm_whisper_shape_of(e->whisper);
    t->beams = in->beams ? in->beams : t->g->beams;
    t->seeks = in->chunk_s == 0 && in->samples > HM_WHISPER_WINDOW_SAMPLES;
    t->timestamps = in->timestamps || t->seeks;
    if (in->samples < 0 || (in->samples && !in->audio))
        return hm_fail(err, HM_EUSAGE, "transcript: no audio given");
    if (in->batch < 1 || in->batch > 1024)
        return hm_fail(err, HM_EUSAGE, "batch of %d windows: expected 1 to 1024", in->batch);
    if (t->beams < 1 || t->beams > HM_WHISPER_MAX_BEAMS)
        return hm_fail(err, HM_EUSAGE, "%d beams: expected 1 to %d", t->beams, HM_WHISPER_MAX_BEAMS);
    if (t->timestamps && t->g->no_timestamps < 0)
        return hm_fail(err, HM_EUSAGE, "timestamps: the model's generation_config.json has no no_timestamps_token_id, so it knows none");
    if (t->timestamps && !may_stamp(t->g, t->shape->vocab))
        return hm_fail(err, HM_EUSAGE, "timestamps: the model's generation_config.json suppresses all that a text could begin with");
    if (t->r->stored_codes && (t->timestamps != t->seeks || t->beams > 1 || t->temperature_count > 1 || in->temperatures[0] > 0))
        return hm_fail(
            err, HM_EUSAGE,
            "stored tokens: they go on in one beam at temperature 0, in chunks without timestamps or one window after the other");
    hm_status st = check_task(t, err);
    if (!st)
        st = check_thresholds(t, err);
    return st ? st : check_length(t, err);
}

/* --- lanes --- */

static hm_status open_lanes(transcribing *t, hm_error *err)
{
    const hm_transcript_input *in = t->in;
    hm_transcript_part whole = {.samples = in->samples}, *parts = NULL;
    int count = in->samples > 0;
    hm_status st = in->chunk_s == 0 ? HM_OK : hm_transcript_windows(&parts, &count, in->samples, in->chunk_s, err);
    if (!st && count && !(t->lanes = hm_calloc((size_t)count, sizeof *t->lanes, "windows of a recording", err)))
        st = HM_EABSENT;
    for (int i = 0; i < count && !st; i++) {
        const hm_transcript_part *p = parts ? &parts[i] : &whole;
        t->lanes[i].facts =
            (hm_transcript_window){.start = p->start, .samples = p->samples, .left = p->left, .right = p->right, .language = -1};
    }
    t->lane_count = st ? 0 : count;
    t->batch = in->batch < count ? in->batch : count;
    free(parts);
    return st;
}

static void close_lane(lane *l)
{
    free(l->mel);
    free(l->ids);
    free(l->logits);
    free(l->segments);
    free(l->heard);
    *l = (lane){0};
}

/* The log-mel of a lane. One that does not seek over a whole recording is a window of 30 s, padded with silence. */
static hm_status hear(hm_engine *e, transcribing *t, lane *l, hm_error *err)
{
    const float *audio = t->in->audio + l->facts.start;
    return hm_whisper_mel(&l->mel, &l->frames, audio, l->facts.samples, t->seeks ? 0 : HM_WHISPER_WINDOW_SAMPLES, (int)t->shape->mels,
                          e->ctx.team, err);
}

static hm_status keep_ids(lane *l, const hm_whisper_text *y, int first, int count, hm_error *err)
{
    if (l->count + count > l->room) {
        int room = 2 * (l->count + count);
        int32_t *ids = realloc(l->ids, (size_t)room * sizeof *ids);
        float *logits = ids ? realloc(l->logits, (size_t)room * sizeof *logits) : NULL;
        l->ids = ids ? ids : l->ids;
        l->logits = logits ? logits : l->logits;
        if (!logits)
            return hm_fail(err, HM_EABSENT, "transcript: no memory for %d tokens", room);
        l->room = room;
    }
    for (int i = 0; i < count; i++) {
        l->ids[l->count] = y->tokens[first + i];
        l->logits[l->count++] = y->logits ? y->logits[first + i] : 0;
    }
    return HM_OK;
}

/* `base`: where the window's ids are when all of them were kept; -1: those of the segment are. */
static hm_status keep_segment(lane *l, hm_transcript_segment s, const hm_whisper_text *y, int base, hm_error *err)
{
    hm_status st = hm_grow(&l->segments, &l->segment_room, l->segment_count, sizeof *l->segments, "segments of a transcript", err);
    if (st)
        return st;
    int from = s.first;
    s.first = base < 0 ? l->count : base + from;
    l->segments[l->segment_count++] = s;
    return base < 0 ? keep_ids(l, y, from, s.count, err) : HM_OK;
}

/* A window of the seek loop, whose ids begin at `first`. */
static hm_status keep_window(lane *l, int64_t seek, int frames, int first, hm_error *err)
{
    hm_status st = hm_grow(&l->heard, &l->heard_room, l->heard_count, sizeof *l->heard, "windows of a transcript", err);
    if (st)
        return st;
    hm_transcript_window *w = &l->heard[l->heard_count++];
    *w = l->facts;
    w->start = seek * HM_WHISPER_HOP;
    w->samples = (int64_t)frames * HM_WHISPER_HOP;
    w->first = first;
    w->count = l->count - first;
    return HM_OK;
}

/* --- windows of a round --- */

static int window_frames(const lane *l)
{
    int64_t left = l->frames - l->seek;
    return (int)(left < SEEK_FRAMES ? left : SEEK_FRAMES);
}

/* [SOT], a language, what the configuration forces, and NOTS or not. */
static int forced_prompt(const transcribing *t, int32_t language, int32_t ids[HM_WHISPER_PROMPT])
{
    const hm_whisper_generation *g = t->g;
    int n = 0;
    ids[n++] = g->start;
    if (t->detects)
        ids[n++] = language;
    for (int i = 0; i < g->forced_count; i++)
        ids[n++] = g->forced[2 * i + 1];
    if (t->timestamps && ids[n - 1] == g->no_timestamps)
        n--;
    else if (!t->timestamps && g->no_timestamps >= 0 && ids[n - 1] != g->no_timestamps)
        ids[n++] = g->no_timestamps;
    return n;
}

static void tell_language(const transcribing *t, lane *l, int32_t id)
{
    l->facts.language = id;
    for (int i = 0; i < t->g->language_count; i++)
        if (t->g->languages[i].id == id)
            memcpy(l->facts.language_code, t->g->languages[i].code, sizeof l->facts.language_code);
}

/* What a text is worth: true when it is to be tried again. */
static hm_status judge(const transcribing *t, lane *l, const hm_whisper_text *y, double temperature, bool *again, hm_error *err)
{
    const hm_transcript_input *in = t->in;
    hm_transcript_window *f = &l->facts;
    hm_status st = hm_transcript_ratio(&f->ratio, y->tokens, y->count, t->shape->vocab, err);
    f->avg_logprob = y->avg_logprob;
    f->no_speech_prob = y->no_speech_prob;
    f->temperature = temperature;
    f->tries++;
    bool unlikely = y->avg_logprob < in->logprob_threshold; /* NAN: never */
    f->skipped = unlikely && y->no_speech_prob > in->no_speech_threshold;
    *again = (f->ratio > in->ratio_threshold || unlikely) && !f->skipped;
    return st;
}

/* A round: `count` lanes at windows 0 .. count-1 of the work, and their texts. */
typedef struct window_round {
    lane **lanes;
    int *windows; /* those that are still to be decoded */
    hm_whisper_request *requests;
    int32_t (*prompts)[HM_WHISPER_PROMPT];
    hm_whisper_text *texts, *fresh;
    int count;
} window_round;

static hm_status round_open(window_round *p, int batch, hm_error *err)
{
    *p = (window_round){0};
    size_t n = (size_t)batch;
    bool ok = (p->lanes = hm_calloc(n, sizeof *p->lanes, "windows", err)) &&
              (p->windows = hm_calloc(n, sizeof *p->windows, "windows", err)) &&
              (p->requests = hm_calloc(n, sizeof *p->requests, "windows", err)) &&
              (p->prompts = hm_calloc(n, sizeof *p->prompts, "windows", err)) &&
              (p->texts = hm_calloc(n, sizeof *p->texts, "windows", err)) && (p->fresh = hm_calloc(n, sizeof *p->fresh, "windows", err));
    return ok ? HM_OK : HM_EABSENT;
}

static void round_clear(window_round *p)
{
    for (int i = 0; i < p->count; i++)
        hm_whisper_text_close(&p->texts[i]);
    p->count = 0;
}

static void round_close(window_round *p)
{
    if (p->texts)
        round_clear(p);
    free(p->lanes);
    free(p->windows);
    free(p->requests);
    free(p->prompts);
    free(p->texts);
    free(p->fresh);
}

static hm_status encode_round(hm_engine *e, transcribing *t, window_round *p, hm_error *err)
{
    hm_whisper_window *windows = hm_calloc((size_t)p->count, sizeof *windows, "windows", err);
    if (!windows)
        return HM_EABSENT;
    for (int i = 0; i < p->count; i++)
        windows[i] =
            (hm_whisper_window){.mel = p->lanes[i]->mel + p->lanes[i]->seek * t->shape->mels, .frames = window_frames(p->lanes[i])};
    hm_status st = hm_whisper_encode(&e->ctx, t->work, windows, p->count, err);
    free(windows);
    return st;
}

/* Once for each lane: what is heard first tells. */
static hm_status detect_round(hm_engine *e, transcribing *t, window_round *p, hm_error *err)
{
    int32_t *found = hm_calloc((size_t)p->count, sizeof *found, "languages", err);
    int n = 0;
    if (!found)
        return HM_EABSENT;
    for (int i = 0; i < p->count; i++)
        if (t->language >= 0)
            tell_language(t, p->lanes[i], t->language);
        else if (t->detects && p->lanes[i]->facts.language < 0)
            p->windows[n++] = i;
    hm_status st = n ? hm_whisper_detect(&e->ctx, t->work, p->windows, n, found, NULL, err) : HM_OK;
    for (int i = 0; i < n && !st; i++)
        tell_language(t, p->lanes[p->windows[i]], found[i]);
    free(found);
    return st;
}

/* Ids that are stored for the lane's next window: its number is that of the chunk, or counts in the seek loop. NULL: none are. */
static const int32_t *stored_of(const transcribing *t, const lane *l)
{
    int64_t number = t->seeks ? l->heard_count : l - t->lanes;
    return t->r->stored_codes ? t->r->stored_codes + number * t->r->max_frames : NULL;
}

/* Where windows follow from what is stored, it tells how many there are. */
static hm_status check_stored(const transcribing *t, const lane *l, hm_error *err)
{
    if (!t->r->stored_codes || !t->seeks || (int64_t)(l->heard_count + 1) * t->r->max_frames <= t->r->stored_frames)
        return HM_OK;
    return hm_fail(err, HM_EFORMAT, "stored tokens: %d of %d a window end at %.2f s of %.2f s: they are of another recording",
                   t->r->stored_frames, t->r->max_frames, (double)(l->seek * HM_WHISPER_HOP) / HM_WHISPER_RATE,
                   (double)l->facts.samples / HM_WHISPER_RATE);
}

static hm_whisper_request request_of(const transcribing *t, window_round *p, int window, double temperature)
{
    const lane *l = p->lanes[window];
    const hm_request *r = t->r;
    int n = t->forced ? forced_prompt(t, l->facts.language, p->prompts[window])
                      : hm_whisper_prompt(t->g, l->facts.language, t->task, t->timestamps, p->prompts[window]);
    int64_t number = l - t->lanes;
    return (hm_whisper_request){.window = window,
                                .prompt = p->prompts[window],
                                .prompt_count = n,
                                .max_tokens = r->max_frames,
                                .beams = temperature > 0 ? 1 : t->beams,
                                .temperature = temperature,
                                .topk = r->topk < 0 ? t->g->topk : r->topk,
                                .length_penalty = t->g->length_penalty,
                                .timestamps = t->timestamps,
                                .force_length = r->force_length,
                                .no_speech = !isnan(t->in->no_speech_threshold),
                                .logits = number == 0 && !t->seeks && !l->facts.tries ? r->logits : NULL,
                                .stored = stored_of(t, l),
                                .seed = r->seed,
                                .stream = (uint32_t)(number * 64 + l->facts.tries + 8 * l->seek)};
}

/* Temperatures in turn, each for the windows that the one before did not satisfy; the last one's text is kept whatever it is worth. */
static hm_status decode_round(hm_engine *e, transcribing *t, window_round *p, hm_error *err)
{
    int pending = p->count;
    hm_status st = HM_OK;
    for (int i = 0; i < pending && !st; i++) {
        p->windows[i] = i;
        p->lanes[i]->facts.tries = 0;
        st = check_stored(t, p->lanes[i], err);
    }
    for (int k = 0; k < t->temperature_count && pending && !st; k++) {
        int again_count = 0;
        for (int i = 0; i < pending; i++)
            p->requests[i] = request_of(t, p, p->windows[i], t->temperatures[k]);
        if ((st = hm_whisper_decode(&e->ctx, t->work, p->requests, pending, p->fresh, err)))
            break;
        for (int i = 0; i < pending; i++) {
            int window = p->windows[i];
            bool again = false;
            hm_whisper_text_close(&p->texts[window]);
            p->texts[window] = p->fresh[i];
            p->fresh[i] = (hm_whisper_text){0};
            hm_status judged = judge(t, p->lanes[window], &p->texts[window], t->temperatures[k], &again, err);
            st = st ? st : judged;
            if (again)
                p->windows[again_count++] = window;
        }
        pending = again_count;
    }
    return st;
}

/* What a window's text adds to its lane, and where the lane goes on: by what is stored, where it is. Of a forced length every id is kept. */
static hm_status take_text(const transcribing *t, lane *l, const hm_whisper_text *y, bool *ended, hm_error *err)
{
    const hm_transcript_ids ids = {t->g->end, t->g->timestamp0};
    const int32_t *stored = stored_of(t, l);
    int n = y->count, frames = window_frames(l), count = 0, first = l->count;
    int64_t advance = frames;
    bool all = !t->timestamps || (t->seeks && t->r->force_length);
    hm_transcript_segment *segments = NULL;
    hm_status st = HM_OK;
    *ended &= y->ended;
    while (n && !t->r->force_length && y->tokens[n - 1] == t->g->end) /* beams may be filled up with ends */
        n--;
    if (!l->facts.skipped && all)
        st = keep_ids(l, y, 0, n, err);
    if (!l->facts.skipped && t->timestamps && !st)
        st = hm_transcript_cut(&segments, &count, &advance, ids, stored ? stored : y->tokens, n, l->seek, frames, err);
    for (int i = 0; i < count && !st; i++)
        st = keep_segment(l, segments[i], y, all ? first : -1, err);
    free(segments);
    if (!st && t->seeks)
        st = keep_window(l, l->seek, frames, first, err);
    l->seek += advance;
    l->over = !t->timestamps || l->seek >= l->frames;
    return st;
}

/* In seconds of the recording. */
static void report(hm_engine *e, const transcribing *t, int first, int count)
{
    int64_t done = 0, all = 0;
    for (int i = 0; i < t->lane_count; i++) {
        const lane *l = &t->lanes[i];
        int64_t seek_samples = l->seek * HM_WHISPER_HOP;
        all += l->facts.samples;
        done += i < first || l->over ? l->facts.samples : i < first + count && seek_samples < l->facts.samples ? seek_samples : 0;
    }
    hm_progress(&e->ctx, "transcribe", done / HM_WHISPER_RATE, all / HM_WHISPER_RATE);
}

/* One phase of a round, added to what the result tells of it. */
static hm_status phase(hm_engine *e, transcribing *t, window_round *p, const char *name,
                       hm_status (*run)(hm_engine *, transcribing *, window_round *, hm_error *), int64_t *ns, hm_work *work, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int64_t start = hm_now_ns();
    const hm_work before = {c->counters.flops, c->counters.weight_bytes};
    hm_span_begin(c->probe, HM_SPAN_PHASE, name, -1);
    hm_status st = run(e, t, p, err);
    c->ops.sync(&c->ops);
    st = st ? st : hm_session_status(c, err);
    const hm_work did = hm_session_work(c, before);
    work->flops += did.flops;
    work->weight_bytes += did.weight_bytes;
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, name);
    *ns += hm_now_ns() - start;
    return st;
}

static hm_status write_round(hm_engine *e, transcribing *t, window_round *p, hm_error *err)
{
    hm_status st = detect_round(e, t, p, err);
    return st ? st : decode_round(e, t, p, err);
}

/* Lanes first .. first+count-1 until each is over. */
static hm_status run_lanes(hm_engine *e, transcribing *t, int first, int count, window_round *p, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_status st = HM_OK;
    hm_span_begin(e->ctx.probe, HM_SPAN_STEP, "mel", -1);
    for (int i = first; i < first + count && !st; i++)
        st = hear(e, t, &t->lanes[i], err);
    hm_span_end(e->ctx.probe, HM_SPAN_STEP, "mel");
    out->mel_ns += hm_now_ns() - start;
    for (;;) {
        round_clear(p);
        for (int i = first; i < first + count && !st; i++)
            if (!t->lanes[i].over)
                p->lanes[p->count++] = &t->lanes[i];
        if (st || !p->count)
            break;
        st = phase(e, t, p, "prefill", encode_round, &out->encode_ns, &out->prefill_work, err);
        if (!st)
            st = phase(e, t, p, "generate", write_round, &out->generate_ns, &out->generate_work, err);
        for (int i = 0; i < p->count && !st; i++)
            st = take_text(t, p->lanes[i], &p->texts[i], &out->ended, err);
        if (!st) {
            report(e, t, first, count);
            st = hm_session_status(&e->ctx, err);
        }
    }
    for (int i = first; i < first + count; i++) {
        free(t->lanes[i].mel);
        t->lanes[i].mel = NULL;
    }
    return st;
}

/* --- the result --- */

static hm_status collect(const transcribing *t, hm_result *out, hm_error *err)
{
    int total = 0, windows = 0;
    for (int i = 0; i < t->lane_count; i++) {
        total += t->lanes[i].count;
        windows += t->seeks ? t->lanes[i].heard_count : 1;
    }
    out->windows = hm_calloc((size_t)windows + 1, sizeof *out->windows, "windows", err);
    out->codes = out->windows ? hm_calloc((size_t)total + 1, sizeof *out->codes, "tokens", err) : NULL;
    out->logits = out->codes ? hm_calloc((size_t)total + 1, sizeof *out->logits, "tokens", err) : NULL;
    if (!out->logits)
        return HM_EABSENT;
    for (int i = 0; i < t->lane_count; i++) {
        lane *l = &t->lanes[i];
        l->facts.first = out->frames;
        l->facts.count = l->count;
        if (l->count) {
            memcpy(out->codes + out->frames, l->ids, (size_t)l->count * sizeof *l->ids);
            memcpy(out->logits + out->frames, l->logits, (size_t)l->count * sizeof *l->logits);
        }
        if (!t->seeks)
            out->windows[out->window_count++] = l->facts;
        for (int k = 0; k < l->heard_count; k++) /* of the one lane there is */
            out->windows[out->window_count++] = l->heard[k];
        out->frames += l->count;
    }
    return HM_OK;
}

/* Segments of the seek loop know their times; chunks that were joined do not. */
static hm_status write_segments(const hm_engine *e, const transcribing *t, hm_transcript *out, hm_error *err)
{
    const lane *l = t->lane_count ? &t->lanes[0] : NULL;
    int32_t *text = l ? hm_calloc((size_t)l->count + 1, sizeof *text, "transcript", err) : NULL;
    hm_status st = l && !text ? HM_EABSENT : HM_OK;
    if (!st && l && !(out->chunks = hm_calloc((size_t)l->segment_count + 1, sizeof *out->chunks, "transcript", err)))
        st = HM_EABSENT;
    for (int i = 0; l && i < l->segment_count && !st; i++) {
        const hm_transcript_segment *s = &l->segments[i];
        hm_transcript_chunk *c = &out->chunks[out->chunk_count];
        size_t n = 0;
        for (int k = 0; k < s->count; k++)
            if (l->ids[s->first + k] < t->g->end)
                text[n++] = l->ids[s->first + k];
        c->start_s = s->start_s;
        c->end_s = s->end_s;
        st = hm_transcript_text(&c->text, e->tokenizer, text, n, err);
        out->chunk_count += !st;
    }
    free(text);
    return st ? st : hm_transcript_join(out, err);
}

static hm_status write_transcript(const hm_engine *e, const transcribing *t, hm_result *out, hm_error *err)
{
    const hm_transcript_ids ids = {t->g->end, t->g->timestamp0};
    if (!e->tokenizer) /* of manifests: ids are all there is */
        return HM_OK;
    if (t->timestamps && t->in->chunk_s == 0)
        return write_segments(e, t, &out->transcript, err);
    hm_transcript_part *parts = hm_calloc((size_t)t->lane_count + 1, sizeof *parts, "transcript", err);
    if (!parts)
        return HM_EABSENT;
    for (int i = 0; i < t->lane_count; i++) {
        const hm_transcript_window *f = &t->lanes[i].facts;
        parts[i] = (hm_transcript_part){t->lanes[i].ids, t->lanes[i].count, f->start, f->samples, f->left, f->right};
    }
    hm_status st = hm_transcript_write(&out->transcript, e->tokenizer, ids, parts, t->lane_count, t->timestamps, err);
    free(parts);
    return st;
}

/* Per token and beam: 28 D^2 for the layer's matrices, attention over the window and the text so far, and the vocabulary. */
static double token_flops(const hm_whisper_shape *g, int positions)
{
    double D = (double)g->width, T = (double)g->source_positions;
    double layer = 12 * D * D + 4 * D * (double)g->decoder_hidden + 4 * T * D + 4 * positions * D;
    return layer * (double)g->decoder_layers + 2 * D * (double)g->vocab;
}

static void tell_work(hm_engine *e, const transcribing *t, hm_result *out)
{
    uint64_t window = 0, step = 0;
    int positions = t->prompt_count + t->r->max_frames;
    out->codebooks = 1;
    out->channels = 1;
    out->sample_rate_hz = HM_WHISPER_RATE;
    out->samples = t->in->samples;
    out->prompt_tokens = t->prompt_count;
    out->prefill_ns = out->mel_ns + out->encode_ns;
    hm_whisper_pass_bytes(e->whisper, &step, &window);
    out->frame_weight_bytes =
        out->frames ? step * (uint64_t)e->heard.steps / (uint64_t)out->frames : 0; /* a step serves all windows and beams */
    out->distinct_weight_bytes = step;
    out->frame_kv_bytes = hm_whisper_token_kv_bytes(&e->ctx, t->shape, t->beams, positions / 2);
    out->frame_flops = token_flops(t->shape, positions / 2);
    if (t->batch)
        hm_whisper_estimate(&e->ctx, t->shape, t->batch, t->beams, positions, &out->kv_bytes, &out->scratch_bytes);
}

static hm_status transcribe(hm_engine *e, transcribing *t, hm_result *out, hm_error *err)
{
    window_round p = {0};
    hm_status st = open_lanes(t, err);
    out->ended = true;
    if (!st && t->lane_count)
        st = hm_whisper_work_open(&e->ctx, &t->work, e->whisper, t->batch, t->beams, t->prompt_count + t->r->max_frames, err);
    if (!st && t->lane_count)
        st = round_open(&p, t->batch, err);
    for (int i = 0; i < t->lane_count && !st; i += t->batch)
        st = run_lanes(e, t, i, t->lane_count - i < t->batch ? t->lane_count - i : t->batch, &p, out, err);
    round_close(&p);
    e->heard = t->work ? hm_whisper_work_passes(t->work) : (hm_whisper_passes){0};
    hm_whisper_work_close(&e->ctx, &t->work);
    if (!st)
        st = collect(t, out, err);
    if (!st)
        st = write_transcript(e, t, out, err);
    if (!st)
        tell_work(e, t, out);
    return st;
}

hm_status hm_whisper_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err)
{
    int64_t start = hm_now_ns();
    transcribing t = {.r = r, .in = &r->transcript};
    hm_session_begin_call(e, out);
    hm_session_stage(e, HM_STAGE_LM, NULL); /* nothing can fail: it has one stage, whose weights stay on devices */
    hm_status st = check_request(e, &t, err);
    if (!st)
        st = transcribe(e, &t, out, err);
    for (int i = 0; i < t.lane_count; i++)
        close_lane(&t.lanes[i]);
    free(t.lanes);
    return hm_session_end_call(e, start, out, st);
}
