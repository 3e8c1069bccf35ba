/* Several utterances in one process: a frame of all that are at work is one pass; when one ends, the next takes its seat. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/session/qwen.h"

/* An utterance at work. */
struct seat {
    int index; /* of the request */
    hm_qwen_prompt prompt;
    hm_utterance *utterance;
    int64_t joined_ns, prefilled_ns;
};

struct hall {
    hm_engine *e;
    const hm_many *many;
    hm_qwen_prompt *prompts; /* [count] until they take a seat */
    hm_result *results;      /* [count] */
    hm_talker_work *work;
    struct seat seats[HM_TALKER_BATCH];
    int seated, next;        /* seats 0 .. seated-1 are taken; the request that joins next */
    int64_t steps, step_rows;
};

/* A result counts what was done for it alone, and every step that it took part in. */
static void count_for(hm_result *out, const hm_counters *before, const hm_counters *after)
{
    uint64_t *sum = (uint64_t *)&out->counters;
    const uint64_t *b = (const uint64_t *)before, *a = (const uint64_t *)after;
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        sum[i] += a[i] - b[i];
}

/* --- before the first frame --- */

/* Rows of a prompt whose voice is not encoded yet. */
static hm_status count_rows(const hm_engine *e, const hm_qwen_prompt *p, const hm_request *r, int *rows, hm_error *err)
{
    static const float unknown_voice;
    hm_talker_request t = p->request;
    int64_t rate = e->qwen->codec_shape.encode_rate;
    if (r->speech.reference)
        t.speaker_vector = &unknown_voice;
    if (p->reference_ids) {
        t.reference_ids = t.reference_codes = p->reference_ids; /* counted, not read */
        t.reference_frames = (int)((r->speech.reference_samples + rate - 1) / rate);
    }
    hm_status st = hm_qwen_check_length(e, &t, err);
    if (!st && t.text_count < 9)
        st = hm_fail(err, HM_EUSAGE, "text: no tokens between its template; expected at least one word");
    *rows = st ? 0 : hm_talker_prompt_rows(&e->qwen->talker.shape, &t);
    return st;
}

static hm_status open_prompts(struct hall *h, hm_error *err)
{
    const hm_many *m = h->many;
    int rows = 0, positions = 0, batch = m->batch < m->count ? m->batch : m->count;
    for (int i = 0; i < m->count; i++) {
        const hm_request *r = &m->requests[i];
        int own = 0;
        hm_status st = r->sink ? hm_fail(err, HM_EUSAGE, "several at once cannot be streamed; ask for one at a time") : HM_OK;
        if (!st)
            st = hm_qwen_prompt_open(h->e, r, &h->prompts[i], err);
        if (!st)
            st = count_rows(h->e, &h->prompts[i], r, &own, err);
        if (st)
            return hm_fail_within(err, "request %d", i + 1);
        rows = own > rows ? own : rows;
        positions = own + r->max_frames > positions ? own + r->max_frames : positions;
    }
    return hm_qwen_work_take(h->e, batch, rows, positions, &h->work, err);
}

/* --- joining and leaving --- */

static hm_status join(struct hall *h, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    struct seat *s = &h->seats[h->seated];
    const hm_request *r = &h->many->requests[h->next];
    hm_result *out = &h->results[h->next];
    *s = (struct seat){.index = h->next, .prompt = h->prompts[h->next], .joined_ns = hm_now_ns()};
    h->prompts[h->next] = (hm_qwen_prompt){0};
    h->next++;
    h->seated++;
    hm_session_begin_call(h->e, out);
    hm_span_begin(c->probe, HM_SPAN_PHASE, "prefill", s->index);
    hm_status st = r->speech.reference ? hm_qwen_prompt_reference(h->e, r, &s->prompt, err) : HM_OK;
    out->reference_ns = r->speech.reference ? hm_now_ns() - s->joined_ns : 0;
    if (!st)
        st = hm_qwen_result_open(h->e, r, out, err);
    if (!st)
        st = hm_utterance_begin(c, &s->utterance, h->work, &s->prompt.request, err);
    if (!st) {
        hm_utterance_prefill(c, h->work, s->utterance);
        c->ops.sync(&c->ops);
        st = hm_session_status(c, err);
    }
    hm_span_end(c->probe, HM_SPAN_PHASE, "prefill");
    s->prefilled_ns = hm_now_ns();
    out->prefill_ns = s->prefilled_ns - s->joined_ns;
    count_for(out, &(hm_counters){0}, &c->counters);
    return st;
}

/* Seat i becomes free; the last one takes its place. */
static hm_status leave(struct hall *h, int i, bool ended, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    struct seat s = h->seats[i];
    const hm_request *r = &h->many->requests[s.index];
    hm_result *out = &h->results[s.index];
    hm_counters before = c->counters;
    out->ended = ended;
    hm_qwen_collect(h->e, s.utterance, out);
    out->scratch_bytes = hm_talker_work_bytes(h->work);
    out->generate_ns = hm_now_ns() - s.prefilled_ns;
    hm_utterance_end(c, &s.utterance);
    h->seats[i] = h->seats[--h->seated];
    hm_status st = hm_session_status(c, err);
    if (!st)
        st = hm_session_check_result(out, err);
    if (!st && !r->skip_codec)
        st = hm_qwen_audio(h->e, &s.prompt, r, out, err);
    hm_qwen_prompt_close(&s.prompt);
    count_for(out, &before, &c->counters);
    out->wall_ns = hm_now_ns() - s.joined_ns;
    return st;
}

/* A frame of everyone. */
static hm_status step(struct hall *h, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    hm_utterance *u[HM_TALKER_BATCH];
    bool ended[HM_TALKER_BATCH];
    hm_counters before = c->counters;
    for (int i = 0; i < h->seated; i++)
        u[i] = h->seats[i].utterance;
    hm_span_begin(c->probe, HM_SPAN_PHASE, "generate", h->steps);
    hm_span_begin(c->probe, HM_SPAN_STEP, "frame", h->steps);
    hm_talker_frame(c, h->work, u, h->seated, ended);
    hm_span_end(c->probe, HM_SPAN_STEP, "frame");
    hm_span_end(c->probe, HM_SPAN_PHASE, "generate");
    h->steps++;
    h->step_rows += h->seated;
    for (int i = 0; i < h->seated; i++)
        count_for(&h->results[h->seats[i].index], &before, &c->counters);
    hm_status st = hm_session_status(c, err);
    for (int i = h->seated - 1; i >= 0 && !st; i--)
        if (ended[i] || hm_utterance_frames(u[i]) == h->many->requests[h->seats[i].index].max_frames)
            st = leave(h, i, ended[i], err);
    return st;
}

static hm_status run(struct hall *h, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    const hm_many *m = h->many;
    hm_status st = open_prompts(h, err);
    while (!st && (h->seated || h->next < m->count)) {
        hm_progress(c, "generate", h->next - h->seated, m->count);
        st = hm_session_status(c, err);
        while (!st && h->seated < m->batch && h->next < m->count)
            st = join(h, err);
        if (!st)
            st = step(h, err);
    }
    return st;
}

static void close_hall(struct hall *h)
{
    while (h->seated) {
        struct seat *s = &h->seats[--h->seated];
        hm_utterance_end(&h->e->ctx, &s->utterance);
        hm_qwen_prompt_close(&s->prompt);
    }
    for (int i = 0; h->prompts && i < h->many->count; i++)
        hm_qwen_prompt_close(&h->prompts[i]);
    free(h->prompts);
    if (h->work)
        hm_qwen_work_give(h->e, &h->work);
}

hm_status hm_qwen_generate_many(hm_engine *e, hm_many *many, hm_error *err)
{
    int64_t start = hm_now_ns();
    struct hall h = {.e = e, .many = many};
    if (many->batch > HM_TALKER_BATCH)
        return hm_fail(err, HM_EUSAGE, "batch: expected at most %d utterances at a time, found %d", HM_TALKER_BATCH, many->batch);
    h.prompts = hm_calloc((size_t)many->count, sizeof *h.prompts, "requests", err);
    h.results = h.prompts ? hm_calloc((size_t)many->count, sizeof *h.results, "results", err) : NULL;
    e->ctx.error = (hm_error){0};
    hm_status st = h.results ? run(&h, err) : HM_EABSENT;
    close_hall(&h);
    for (int i = 0; h.results && i < many->count; i++)
        if (st)
            hm_session_result_free(&h.results[i]);
        else
            many->results[i] = h.results[i];
    free(h.results);
    many->wall_ns = hm_now_ns() - start;
    many->steps = h.steps;
    many->step_rows = h.step_rows;
    return st;
}
