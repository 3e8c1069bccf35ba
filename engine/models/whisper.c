/* Windows of a recording to token ids: language, prompt, and the loop over steps (whisper.md steps 6, 9 and 12). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/whisper_search.h"

/* A call that decodes: requests side by side, those that go on first looked for in every step. */
struct call {
    hm_whisper_work *work;
    const hm_whisper_request *requests;
    int n, B;                       /* requests, beams of each */
    hm_whisper_search *search;      /* [n] */
    int *active, active_count;      /* requests that go on */
    int32_t *ids;                   /* [n*max(B, prompt)] of a pass */
    hm_whisper_sequence *sequences; /* [n*B] */
    double *no_speech;              /* [n] */
};

int hm_whisper_prompt(const hm_whisper_generation *g, int32_t language, hm_whisper_task task, bool timestamps,
                      int32_t ids[HM_WHISPER_PROMPT])
{
    int n = 0;
    ids[n++] = g->start;
    if (language >= 0)
        ids[n++] = language;
    if (task != HM_WHISPER_NO_TASK)
        ids[n++] = task == HM_WHISPER_TRANSLATE ? g->translate : g->transcribe;
    if (!timestamps && g->no_timestamps >= 0)
        ids[n++] = g->no_timestamps;
    return n;
}

/* --- what a pass over windows begins with --- */

/* Keys and values of these windows, where they are made anew for every call; the self cache forgets. */
static void begin_pass(hm_ctx *c, hm_whisper_work *work, const int *windows, int count)
{
    size_t each = (size_t)work->m->shape.source_positions * (size_t)work->m->shape.width;
    hm_kv_reset(c, &work->self);
    for (int i = 0; work->out && i < count && !hm_ops_status(&c->ops); i++)
        hm_whisper_cross_kv(c, work, work->out + (size_t)windows[i] * each, windows[i], 1);
}

static hm_status check_windows(const hm_whisper_work *work, const int *windows, int count, hm_error *err)
{
    if (count < 1 || count > work->windows)
        return hm_fail(err, HM_EBUG, "decode: %d windows where there is room for %d", count, work->windows);
    for (int i = 0; i < count; i++) {
        if (windows[i] < 0 || windows[i] >= work->encoded)
            return hm_fail(err, HM_EBUG, "decode: window %d, of %d that are encoded", windows[i], work->encoded);
        for (int k = 0; k < i; k++)
            if (windows[k] == windows[i])
                return hm_fail(err, HM_EBUG, "decode: window %d twice in a call", windows[i]);
    }
    return HM_OK;
}

static hm_status op_status(const hm_ctx *c, hm_error *err)
{
    return c->error.status ? hm_fail(err, c->error.status, "%s", c->error.text) : HM_OK;
}

static void tap_logits(hm_ctx *c, const hm_whisper_work *work, const char *name, int first, int count)
{
    int64_t V = work->m->shape.vocab;
    for (int i = 0; i < count; i++)
        hm_tap(c, name, work->d.logits + (int64_t)(first + i) * V, i, 1, 1, V, false);
}

/* --- language --- */

static int32_t likeliest(const hm_whisper_generation *g, const float *logits, float *margin)
{
    int best = 0;
    float second = -INFINITY;
    for (int i = 1; i < g->language_count; i++) { /* the lowest id wins among equals, whatever the file's order */
        float x = logits[g->languages[i].id], top = logits[g->languages[best].id];
        bool wins = x > top || (x == top && g->languages[i].id < g->languages[best].id);
        second = wins ? top : x > second ? x : second;
        best = wins ? i : best;
    }
    *margin = logits[g->languages[best].id] - second;
    return g->languages[best].id;
}

hm_status hm_whisper_detect(hm_ctx *c, hm_whisper_work *work, const int *windows, int count, int32_t *languages, float *margins,
                            hm_error *err)
{
    const hm_whisper_generation *g = &work->m->generation;
    hm_status st = check_windows(work, windows, count, err);
    if (st)
        return st;
    if (!g->language_count)
        return hm_fail(err, HM_EUSAGE, "language: the model's generation config has no lang_to_id, so none can be detected");
    int32_t *ids = hm_calloc((size_t)count, sizeof *ids, "tokens", err);
    hm_whisper_sequence *sequences = ids ? hm_calloc((size_t)count, sizeof *sequences, "sequences", err) : NULL;
    if (sequences) {
        for (int i = 0; i < count; i++) {
            ids[i] = g->start;
            sequences[i] = (hm_whisper_sequence){.row = i * work->beams, .window = windows[i]};
        }
        begin_pass(c, work, windows, count);
        hm_part_begin(c, "language", -1);
        hm_whisper_forward(c, work, ids, sequences, count, 1);
        hm_whisper_logits(c, work, 0, 1, count, 0);
        hm_part_end(c, "language");
        tap_logits(c, work, "dec.sot_logits", 0, count);
    }
    st = sequences ? op_status(c, err) : HM_EABSENT;
    for (int i = 0; i < count && !st; i++) {
        float margin;
        languages[i] = likeliest(g, work->d.host_logits + (size_t)i * (size_t)work->m->shape.vocab, &margin);
        if (margins)
            margins[i] = margin;
    }
    free(ids);
    free(sequences);
    return st;
}

/* --- decoding --- */

static hm_status check_request(const hm_whisper_work *work, const hm_whisper_request *r, const hm_whisper_request *first, hm_error *err)
{
    const hm_whisper_shape *g = &work->m->shape;
    if (r->beams != first->beams || r->prompt_count != first->prompt_count)
        return hm_fail(err, HM_EBUG, "decode: requests of a call have as many beams and prompt ids");
    if (r->prompt_count < 1 || r->prompt_count > HM_WHISPER_PROMPT || r->beams < 1 || r->beams > work->beams)
        return hm_fail(err, HM_EBUG, "decode: %d prompt ids and %d beams; expected 1 to %d and 1 to %d", r->prompt_count, r->beams,
                       HM_WHISPER_PROMPT, work->beams);
    if (r->max_tokens < 1 || r->max_tokens > work->positions - r->prompt_count)
        return hm_fail(err, HM_EUSAGE, "%d tokens after a prompt of %d: expected 1 to %d, the positions that there are", r->max_tokens,
                       r->prompt_count, work->positions - r->prompt_count);
    if (!(r->temperature >= 0) || (r->beams > 1 && (r->temperature > 0 || r->stored)))
        return hm_fail(err, HM_EUSAGE, "temperature %g with %d beams: beams take temperature 0 and no stored tokens", r->temperature,
                       r->beams);
    for (int i = 0; i < r->prompt_count; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= g->vocab)
            return hm_fail(err, HM_EFORMAT, "prompt: id %d is not in the vocabulary of %lld", r->prompt[i], (long long)g->vocab);
    for (int i = 0; r->stored && i < r->max_tokens; i++)
        if (r->stored[i] < 0 || r->stored[i] >= g->vocab)
            return hm_fail(err, HM_EFORMAT, "stored tokens: id %d is not in the vocabulary of %lld", r->stored[i], (long long)g->vocab);
    return HM_OK;
}

static void close_call(struct call *k)
{
    for (int i = 0; k->search && i < k->n; i++)
        hm_whisper_search_close(&k->search[i]);
    free(k->search);
    free(k->active);
    free(k->ids);
    free(k->sequences);
    free(k->no_speech);
}

static hm_status open_call(const hm_ctx *c, struct call *k, hm_error *err)
{
    size_t n = (size_t)k->n, B = (size_t)k->B;
    k->search = hm_calloc(n, sizeof *k->search, "windows", err);
    k->active = k->search ? hm_calloc(n, sizeof *k->active, "windows", err) : NULL;
    k->ids = k->active ? hm_calloc(n * (B > HM_WHISPER_PROMPT ? B : HM_WHISPER_PROMPT), sizeof *k->ids, "tokens", err) : NULL;
    k->sequences = k->ids ? hm_calloc(n * B, sizeof *k->sequences, "sequences", err) : NULL;
    k->no_speech = k->sequences ? hm_calloc(n, sizeof *k->no_speech, "windows", err) : NULL;
    hm_status st = k->no_speech ? HM_OK : HM_EABSENT;
    for (int i = 0; i < k->n && !st; i++) {
        st = hm_whisper_search_open(&k->search[i], &k->requests[i], k->work->m, hm_t(c)->suppress == HM_SUPPRESS_LIST, err);
        k->active[i] = i;
    }
    k->active_count = k->n;
    return st;
}

/* The probability of <|nospeech|>, the id before NOTS, at the prompt's SOT. */
static double no_speech(const hm_whisper *m, const float *logits)
{
    int32_t id = m->generation.no_timestamps - 1;
    return id < 0 ? 0 : exp((double)logits[id] - hm_whisper_log_sum(logits, (int)m->shape.vocab));
}

static int start_of(const hm_whisper *m, const hm_whisper_request *r)
{
    for (int i = 0; i < r->prompt_count; i++)
        if (r->prompt[i] == m->generation.start)
            return i;
    return 0;
}

/* All prompts in one pass; the logits of the last position of each, and of SOT where they are asked for. */
static void prefill(hm_ctx *c, struct call *k)
{
    hm_whisper_work *work = k->work;
    const hm_whisper *m = work->m;
    int S = k->requests[0].prompt_count, start = start_of(m, &k->requests[0]);
    size_t V = (size_t)m->shape.vocab;
    bool all = hm_t(c)->rows == HM_ROWS_ALL, wanted = false;
    for (int i = 0; i < k->n; i++) {
        memcpy(k->ids + (size_t)i * (size_t)S, k->requests[i].prompt, (size_t)S * sizeof *k->ids);
        k->sequences[i] = (hm_whisper_sequence){.row = i * k->B, .window = k->requests[i].window};
        wanted = wanted || k->requests[i].no_speech;
    }
    hm_part_begin(c, "prompt", -1);
    hm_whisper_forward(c, work, k->ids, k->sequences, k->n, S);
    c->counters.prompt_rows += (uint64_t)k->n * (uint64_t)S;
    if (all)
        hm_whisper_logits(c, work, 0, 1, k->n * S, 0);
    else {
        hm_whisper_logits(c, work, S - 1, S, k->n, 0);
        if (wanted)
            hm_whisper_logits(c, work, start, S, k->n, k->n);
    }
    hm_part_end(c, "prompt");
    for (int i = 0; i < k->n && !hm_ops_status(&c->ops); i++) {
        int last = all ? i * S + S - 1 : i;
        for (int b = 0; b < k->B; b++)
            k->search[i].now[b].logits = last;
        if (k->requests[i].no_speech)
            k->no_speech[i] = no_speech(m, work->d.host_logits + (size_t)(all ? i * S + start : k->n + i) * V);
        tap_logits(c, work, "dec.first_logits", last, 1);
    }
}

static void step_part(void *arg, int part, int parts, int thread)
{
    const struct call *k = arg;
    (void)parts;
    (void)thread;
    hm_whisper_search_step(&k->search[k->active[part]], k->work->d.host_logits);
}

/* An id from the processed row of a window that draws. */
static void draw(hm_ctx *c, struct call *k, int i)
{
    const hm_ops *op = &c->ops;
    hm_whisper_decoder_scratch *s = &k->work->d;
    hm_whisper_search *search = &k->search[i];
    const hm_whisper_request *r = search->r;
    size_t V = (size_t)search->rules.V;
    const float *row = s->host_logits + (size_t)search->now[0].logits * V;
    int32_t id = 0;
    op->upload(op, s->scores, row, V * sizeof *row);
    op->sample(op, &(hm_sample_args){.logits = s->scores,
                                     .V = (int)V,
                                     .topk = r->topk,
                                     .temperature = (float)r->temperature,
                                     .seed = r->seed,
                                     .frame = (uint32_t)search->count,
                                     .codebook = r->stream,
                                     .token = s->token});
    op->download(op, &id, s->token, sizeof id);
    if (!hm_ops_status(op))
        hm_whisper_search_take(search, row, id);
}

/* The logits of the step that was just taken to whoever looks: what the rules forbid is -infinity. */
static void tell_logits(const struct call *k, int i)
{
    const hm_whisper_search *search = &k->search[i];
    const hm_logit_sink *sink = k->requests[i].logits;
    size_t V = (size_t)search->rules.V;
    if (sink && k->B == 1 && !(k->requests[i].temperature > 0) && search->count <= sink->frames)
        sink->row(sink->self, search->count - 1, 0, k->work->d.host_logits + (size_t)search->now[0].logits * V, (int)V);
}

/* Every window that goes on takes its next id or ids; those that ended leave. */
static void choose(hm_ctx *c, struct call *k)
{
    int left = 0;
    hm_part_begin(c, "search", -1);
    hm_team_share(c->team, step_part, k, k->active_count, NULL);
    for (int a = 0; a < k->active_count && !hm_ops_status(&c->ops); a++) {
        int i = k->active[a];
        if (k->requests[i].temperature > 0)
            draw(c, k, i);
        tell_logits(k, i);
        c->counters.suppress_bytes += k->search[i].mask_bytes;
        k->search[i].mask_bytes = 0;
        if (!k->search[i].done)
            k->active[left++] = i;
    }
    k->active_count = left;
    hm_part_end(c, "search");
}

/* The beams that go on, in the order of their rows of the self cache; then one pass. */
static void advance(hm_ctx *c, struct call *k)
{
    hm_whisper_work *work = k->work;
    int rows = k->active_count * k->B;
    work->passes.again++;
    for (int a = 0; a < k->active_count; a++) {
        int i = k->active[a];
        hm_whisper_search *s = &k->search[i];
        for (int b = 0; b < s->copy_count; b++)
            hm_kv_copy_row(c, &work->self, i * k->B + s->copies[b][0], i * k->B + s->copies[b][1], work->self.length);
        for (int b = 0; b < k->B; b++) {
            int at = a * k->B + s->now[b].row;
            k->ids[at] = s->now[b].ids[s->count - 1];
            k->sequences[at] = (hm_whisper_sequence){.row = i * k->B + s->now[b].row, .window = k->requests[i].window};
            s->now[b].logits = at;
        }
    }
    hm_part_begin(c, "text_step", -1);
    hm_whisper_forward(c, work, k->ids, k->sequences, rows, 1);
    hm_whisper_logits(c, work, 0, 1, rows, 0);
    hm_part_end(c, "text_step");
}

static hm_status take_results(struct call *k, hm_whisper_text *results, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < k->n && !st; i++) {
        results[i] = (hm_whisper_text){0};
        st = hm_whisper_search_result(&k->search[i], &results[i], err);
        results[i].no_speech_prob = k->no_speech[i];
        for (int j = 0; st && j <= i; j++)
            hm_whisper_text_close(&results[j]);
    }
    return st;
}

hm_status hm_whisper_decode(hm_ctx *c, hm_whisper_work *work, const hm_whisper_request *requests, int count, hm_whisper_text *results,
                            hm_error *err)
{
    struct call k = {.work = work, .requests = requests, .n = count};
    int longest = 0, *windows = hm_calloc((size_t)(count > 0 ? count : 1), sizeof *windows, "windows", err);
    if (!windows)
        return HM_EABSENT;
    for (int i = 0; i < count; i++)
        windows[i] = requests[i].window;
    hm_status st = check_windows(work, windows, count, err);
    for (int i = 0; i < count && !st; i++) {
        st = check_request(work, &requests[i], &requests[0], err);
        longest = requests[i].max_tokens > longest ? requests[i].max_tokens : longest;
    }
    k.B = st ? 1 : requests[0].beams;
    if (!st)
        st = open_call(c, &k, err);
    if (!st) {
        begin_pass(c, work, windows, count);
        prefill(c, &k);
        for (int step = 1; !hm_ops_status(&c->ops); step++) {
            hm_span_begin(c->probe, HM_SPAN_STEP, "frame", work->passes.steps++);
            choose(c, &k);
            if (k.active_count)
                advance(c, &k);
            hm_span_end(c->probe, HM_SPAN_STEP, "frame");
            hm_progress(c, "decode", k.active_count ? step : longest, longest);
            if (!k.active_count)
                break;
        }
        st = op_status(c, err);
    }
    if (!st)
        st = take_results(&k, results, err);
    close_call(&k);
    free(windows);
    return st;
}

hm_whisper_passes hm_whisper_work_passes(const hm_whisper_work *work)
{
    return work->passes;
}

void hm_whisper_text_close(hm_whisper_text *text)
{
    free(text->tokens);
    free(text->margins);
    free(text->logits);
    *text = (hm_whisper_text){0};
}
