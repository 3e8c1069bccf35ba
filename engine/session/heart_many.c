/* Several songs side by side. */
#include <stdlib.h>

#include "engine/session/many.h"

_Static_assert(HM_MANY_MOST <= HM_MULA_BATCH, "the language model takes all that may sit side by side");

struct seat {
    const hm_request *request;
    hm_mula_song song;
};

struct hall {
    hm_engine *e;
    const hm_request *requests;
    hm_heart_prompted *prompts; /* [count] */
    bool guided;
    int prompt, positions; /* the longest prompt; the longest prompt and frames together */
    hm_mula_work work;
};

static hm_status check(void *self, int i, hm_error *err)
{
    struct hall *h = self;
    const hm_request *r = &h->requests[i];
    hm_heart_prompted *p = &h->prompts[i];
    hm_status st = hm_heart_prompted_open(h->e, r, p, err);
    int n = p->request.n;
    h->guided = h->guided || r->music.cfg_scale > 1;
    h->prompt = n > h->prompt ? n : h->prompt;
    h->positions = n + r->max_frames > h->positions ? n + r->max_frames : h->positions;
    return st;
}

static hm_status room(void *self, int batch, hm_error *err)
{
    struct hall *h = self;
    return hm_mula_work_open(&h->e->ctx, &h->work, &h->e->mula, batch, h->guided, h->prompt, h->positions, err);
}

static hm_status join(void *self, void *at, int i, hm_result *out, hm_error *err)
{
    struct hall *h = self;
    struct seat *s = at;
    s->request = &h->requests[i];
    hm_status st = hm_session_result_open(h->e, s->request, out, err);
    if (!st)
        st = hm_mula_begin(&h->e->ctx, &s->song, &h->e->mula, &h->prompts[i].request, err);
    if (!st)
        hm_mula_prefill(&h->e->ctx, &h->work, &s->song);
    return st;
}

static void step(void *self, void *seats, int n, bool *done, bool *ended)
{
    struct hall *h = self;
    struct seat *s = seats;
    hm_mula_song *songs[HM_MANY_MOST] = {0};
    for (int i = 0; i < n; i++)
        songs[i] = &s[i].song;
    hm_mula_frame(&h->e->ctx, &h->work, songs, n, ended);
    for (int i = 0; i < n; i++) {
        ended[i] = ended[i] && !s[i].request->force_length;
        done[i] = ended[i] || songs[i]->frames == s[i].request->max_frames;
    }
}

static void collect(void *self, void *at, hm_result *out)
{
    struct hall *h = self;
    struct seat *s = at;
    out->frames = s->song.frames - out->ended;
    hm_heart_collect(h->e, &h->work, &s->song, out);
    hm_mula_end(&h->e->ctx, &s->song);
}

static hm_status audio(void *self, void *at, hm_result *out, hm_error *err)
{
    const struct seat *s = at;
    return hm_heart_audio(((struct hall *)self)->e, s->request, NULL, out, err);
}

static void leave(void *self, void *at)
{
    hm_mula_end(&((struct hall *)self)->e->ctx, &((struct seat *)at)->song);
}

static const hm_many_family songs = {
    .what = "songs",
    .seat_bytes = sizeof(struct seat),
    .check = check,
    .room = room,
    .join = join,
    .step = step,
    .collect = collect,
    .audio = audio,
    .leave = leave,
};

hm_status hm_heart_generate_many(hm_engine *e, hm_many *many, hm_error *err)
{
    struct hall h = {.e = e, .requests = many->requests};
    h.prompts = hm_calloc((size_t)many->count, sizeof *h.prompts, "requests", err);
    hm_status st = h.prompts ? hm_session_many(e, many, &songs, &h, err) : HM_EABSENT;
    for (int i = 0; h.prompts && i < many->count; i++)
        hm_heart_prompted_close(&h.prompts[i]);
    free(h.prompts);
    hm_mula_work_close(&e->ctx, &h.work);
    return st;
}
