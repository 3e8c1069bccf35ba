/* Several utterances side by side. */
#include <stdlib.h>

#include "engine/base/time.h"
#include "engine/session/many.h"
#include "engine/session/qwen.h"

_Static_assert(HM_MANY_MOST <= HM_TALKER_BATCH, "the talker takes all that may sit side by side");

struct seat {
    const hm_request *request;
    hm_qwen_prompt prompt;
    hm_utterance *utterance;
};

struct hall {
    hm_engine *e;
    const hm_request *requests;
    hm_qwen_prompt *prompts; /* [count] until they take a seat */
    int rows, positions;     /* of the longest prompt; of the longest prompt and frames together */
    hm_talker_work *work;
};

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
    return hm_qwen_prompt_rows(e, &t, rows, err);
}

static hm_status check(void *self, int i, hm_error *err)
{
    struct hall *h = self;
    const hm_request *r = &h->requests[i];
    int rows = 0;
    hm_status st = hm_qwen_prompt_open(h->e, r, &h->prompts[i], err);
    if (!st)
        st = count_rows(h->e, &h->prompts[i], r, &rows, err);
    h->rows = rows > h->rows ? rows : h->rows;
    h->positions = rows + r->max_frames > h->positions ? rows + r->max_frames : h->positions;
    return st;
}

static hm_status room(void *self, int batch, hm_error *err)
{
    struct hall *h = self;
    return hm_qwen_work_take(h->e, batch, h->rows, h->positions, &h->work, err);
}

static hm_status join(void *self, void *at, int i, hm_result *out, hm_error *err)
{
    struct hall *h = self;
    struct seat *s = at;
    int64_t start = hm_now_ns();
    *s = (struct seat){.request = &h->requests[i], .prompt = h->prompts[i]};
    h->prompts[i] = (hm_qwen_prompt){0};
    hm_status st = HM_OK;
    if (s->request->speech.reference) {
        st = hm_qwen_prompt_reference(h->e, s->request, &s->prompt, err);
        out->reference_ns = hm_now_ns() - start;
    }
    if (!st)
        st = hm_session_result_open(h->e, s->request, out, err);
    if (!st)
        st = hm_utterance_begin(&h->e->ctx, &s->utterance, h->work, &s->prompt.request, err);
    if (!st)
        hm_utterance_prefill(&h->e->ctx, h->work, s->utterance);
    return st;
}

static void step(void *self, void *seats, int n, bool *done, bool *ended)
{
    struct hall *h = self;
    const struct seat *s = seats;
    hm_utterance *u[HM_MANY_MOST] = {0};
    for (int i = 0; i < n; i++)
        u[i] = s[i].utterance;
    hm_talker_frame(&h->e->ctx, h->work, u, n, ended);
    for (int i = 0; i < n; i++)
        done[i] = ended[i] || hm_utterance_frames(u[i]) == s[i].request->max_frames;
}

static void collect(void *self, void *at, hm_result *out)
{
    struct hall *h = self;
    struct seat *s = at;
    hm_qwen_collect(h->e, s->utterance, out);
    out->scratch_bytes = hm_talker_work_bytes(h->work);
    hm_utterance_end(&h->e->ctx, &s->utterance);
}

static hm_status audio(void *self, void *at, hm_result *out, hm_error *err)
{
    const struct seat *s = at;
    return hm_qwen_audio(((struct hall *)self)->e, &s->prompt, s->request, NULL, out, err);
}

static void leave(void *self, void *at)
{
    struct seat *s = at;
    hm_utterance_end(&((struct hall *)self)->e->ctx, &s->utterance);
    hm_qwen_prompt_close(&s->prompt);
}

static const hm_many_family utterances = {
    .what = "utterances",
    .seat_bytes = sizeof(struct seat),
    .check = check,
    .room = room,
    .join = join,
    .step = step,
    .collect = collect,
    .audio = audio,
    .leave = leave,
};

hm_status hm_qwen_generate_many(hm_engine *e, hm_many *many, hm_error *err)
{
    struct hall h = {.e = e, .requests = many->requests};
    h.prompts = hm_calloc((size_t)many->count, sizeof *h.prompts, "requests", err);
    hm_status st = h.prompts ? hm_session_many(e, many, &utterances, &h, err) : HM_EABSENT;
    for (int i = 0; h.prompts && i < many->count; i++)
        hm_qwen_prompt_close(&h.prompts[i]);
    free(h.prompts);
    if (h.work)
        hm_qwen_work_give(e, &h.work);
    return st;
}
