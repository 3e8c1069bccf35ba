/* Golden computations: inputs given, outputs told through probe->tap. They run the same forwards as songs do. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/cpu.h"
#include "engine/sampling.h"
#include "engine/session/session.h"
#include "engine/synth.h"

static void tap_values(hm_ctx *c, const char *name, const void *data, bool is_int, int64_t d0, int64_t d1)
{
    if (hm_tapping(c))
        c->probe->tap(c->probe->self, &(hm_tap_value){.name = name, .data = data, .is_int = is_int, .rank = 3, .shape = {d0, 1, d1}});
}

/* --- language model --- */

/* Watches the guided logits go by and keeps best minus second of every draw. */
struct margin_watch {
    const hm_probe *outer;
    float *margins; /* [frames][K] */
    int codebooks, frames;
};

static void watch_tap(void *self, const hm_tap_value *v)
{
    struct margin_watch *w = self;
    int frame, codebook;
    if (sscanf(v->name, "frame%d.sampled_logits.%d", &frame, &codebook) == 2 && frame < w->frames && codebook < w->codebooks) {
        const float *z = v->data;
        float best = -INFINITY, second = -INFINITY;
        for (int64_t i = 0; i < v->shape[2]; i++)
            if (z[i] > best) {
                second = best;
                best = z[i];
            } else if (z[i] > second)
                second = z[i];
        w->margins[frame * w->codebooks + codebook] = best - second;
    }
    if (w->outer->tap)
        w->outer->tap(w->outer->self, v);
}

/* The prompt's ids: from the check, or from text. malloc'ed. */
static hm_status check_prompt(hm_engine *e, const hm_check *k, int32_t **ids, hm_mula_request *request, hm_error *err)
{
    if (k->tags) {
        hm_request text = {.music.tags = k->tags, .music.lyrics = k->lyrics, .max_frames = k->frames};
        return hm_heart_prompt(e, &text, ids, &request->n, &request->slot, err);
    }
    request->slot = k->tags_count;
    request->n = k->tags_count + 1 + k->lyrics_count;
    *ids = hm_calloc((size_t)request->n, sizeof **ids, "prompt", err);
    if (!*ids)
        return HM_EABSENT;
    memcpy(*ids, k->tags_ids, (size_t)k->tags_count * sizeof **ids);
    memcpy(*ids + k->tags_count + 1, k->lyrics_ids, (size_t)k->lyrics_count * sizeof **ids);
    for (int i = 0; i < request->n; i++)
        if ((*ids)[i] < 0 || (*ids)[i] >= e->mula.config.text_vocabulary)
            return hm_fail(err, HM_EFORMAT, "prompt id %d: expected 0 to %d, found %d", i, e->mula.config.text_vocabulary - 1, (*ids)[i]);
    return HM_OK;
}

/* Greedy frames; *kept of them when the end-of-song rule is applied. */
static void check_frames(hm_engine *e, hm_mula_work *work, hm_mula_song *song, const hm_check *k, int *kept)
{
    hm_ctx *c = &e->ctx;
    hm_mula_prefill(c, work, song);
    for (*kept = 0; *kept < k->frames && !hm_ops_status(&c->ops); (*kept)++) {
        bool ended;
        hm_mula_frame(c, work, &song, 1, &ended);
        if (ended && k->stop_at_eos) {
            *kept = song->frames - 1;
            return;
        }
    }
}

static hm_status check_lm(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int K = e->mula.config.codebooks, kept = 0;
    size_t n = (size_t)k->frames * (size_t)K;
    hm_mula_work work = {0};
    hm_mula_song song = {0};
    int32_t *ids = NULL, *codes = hm_calloc(n, sizeof *codes, "codes", err);
    float *logits = hm_calloc(n, sizeof *logits, "logits", err), *margins = hm_calloc(n, sizeof *margins, "margins", err);
    const hm_probe *outer = c->probe;
    struct margin_watch watch = {outer, margins, K, k->frames};
    hm_probe probe = {.self = &watch, .tap = watch_tap};
    hm_mula_request request = {.muq = k->muq, .max_frames = k->frames, .cfg_scale = k->cfg_scale, .topk = 1, .temperature = 1.0f};
    request.forced = !k->stop_at_eos;
    request.meanwhile = k->stop_at_eos; /* frames after the end are not told */
    hm_status st = codes && logits && margins ? check_prompt(e, k, &ids, &request, err) : HM_EABSENT;
    request.text_ids = ids;
    if (!st)
        st = hm_mula_work_open(c, &work, &e->mula, 1, request.cfg_scale > 1.0, request.n, request.n + request.max_frames, err);
    if (!st)
        st = hm_mula_begin(c, &song, &e->mula, &request, err);
    if (!st) {
        c->probe = outer && outer->tap ? &probe : outer;
        check_frames(e, &work, &song, k, &kept);
        hm_mula_collect(c, &song, kept, codes, logits);
        c->probe = outer;
        tap_values(c, "tags_ids", ids, true, 1, request.slot);
        tap_values(c, "lyrics_ids", ids + request.slot + 1, true, 1, request.n - request.slot - 1);
        tap_values(c, "tokens", codes, true, kept, K);
        tap_values(c, "margins", margins, false, kept, K);
        st = hm_session_status(c, err);
    }
    hm_mula_end(c, &song);
    hm_mula_work_close(c, &work);
    free(ids);
    free(codes);
    free(logits);
    free(margins);
    return st;
}

/* Where the stacks rotate: theta, cos and sin at the positions given. */
static hm_status check_rope(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int half = k->head_dim / 2;
    size_t room = (size_t)k->n * (size_t)half;
    float *theta = c->ops.alloc(&c->ops, ((size_t)half + 2 * room + 1) * sizeof *theta);
    if (!theta)
        return hm_fail(err, HM_EABSENT, "rope check: no memory");
    float *cos_at = theta + half, *sin_at = cos_at + room;
    float *host = hm_calloc((size_t)half, sizeof *host, "angles", err);
    if (!host) {
        c->ops.free(&c->ops, theta);
        return HM_EABSENT;
    }
    hm_mula_theta(host, k->head_dim);
    c->ops.upload(&c->ops, theta, host, (size_t)half * sizeof *host);
    free(host);
    for (int i = 0; i < k->n; i++)
        c->ops.rope_table(&c->ops, cos_at + (size_t)i * (size_t)half, sin_at + (size_t)i * (size_t)half, theta, half, k->positions[i], 1);
    hm_tap(c, "theta", theta, 0, 1, 1, half, false);
    hm_tap(c, "cos", cos_at, 0, k->n, 1, half, false);
    hm_tap(c, "sin", sin_at, 0, k->n, 1, half, false);
    c->ops.free(&c->ops, theta);
    return hm_session_status(c, err);
}

/* sample_topk with the draws given, a row at a time. */
static hm_status check_sample(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    int V = k->n;
    float *probs = hm_calloc((size_t)k->batch * (size_t)V, sizeof *probs, "probabilities", err);
    float *scratch = hm_calloc(hm_sample_scratch_floats(V), sizeof *scratch, "sampling", err);
    int32_t *tokens = hm_calloc((size_t)k->batch, sizeof *tokens, "tokens", err);
    hm_status st = probs && scratch && tokens ? HM_OK : HM_EABSENT;
    for (int b = 0; b < k->batch && !st; b++) {
        hm_sample_input in = {.logits = k->logits + (size_t)b * (size_t)V,
                              .V = V,
                              .topk = k->topk,
                              .temperature = (float)k->temperature,
                              .q = k->q + (size_t)b * (size_t)V};
        tokens[b] = hm_sample_reference(&in, probs + (size_t)b * (size_t)V, scratch, NULL);
        if (hm_t(c)->sampling == HM_SAMPLING_FUSED && !c->ops.apart) /* devices draw their own q */
            tokens[b] = hm_cpu_draw(c->dev, &in, scratch, NULL);
    }
    if (!st) {
        tap_values(c, "probs", probs, false, k->batch, V);
        tap_values(c, "token", tokens, true, 1, k->batch);
    }
    free(probs);
    free(scratch);
    free(tokens);
    return st;
}

/* --- codec --- */

static hm_status check_est(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_ops *op = &c->ops;
    const hm_dit *m = &e->codec.dit;
    int rows = hm_t(c)->cfg == HM_CFG_BATCHED ? k->batch : 1;
    size_t one = (size_t)k->n * (size_t)m->in;
    hm_dit_scratch s = {0};
    hm_layout measure = {0};
    hm_dit_extent extent = {.segments = 1, .passes = k->batch, .frames = k->n};
    hm_dit_layout(c, &measure, &s, m, &extent);
    void *memory = op->alloc(op, measure.used);
    float *x = op->alloc(op, one * sizeof *x);
    if (memory && x) {
        hm_dit_layout(c, &(hm_layout){.base = memory}, &s, m, &extent);
        hm_dit_prepare(c, m, &s);
        hm_dit_frames(c, m, &s, 1, k->n);
        for (int b = 0; b < k->batch; b += rows) {
            for (int row = 0; row < rows; row++) {
                op->upload(op, x, k->x + (size_t)(b + row) * one, one * sizeof *x);
                hm_dit_input(c, m, &s, row, 0, x, m->in, m->in);
            }
            hm_dit_forward(c, m, &s, &(hm_dit_call){.t = k->t + b, .step = -1, .rows = rows, .pass = b});
        }
    }
    if (memory)
        op->free(op, memory);
    if (x)
        op->free(op, x);
    return hm_session_status(c, err);
}

/* Codes [Q][n] as given in golden files, turned to [n][Q]. malloc'ed. */
static int32_t *turned_codes(const hm_check *k, int Q, hm_error *err)
{
    int32_t *codes = hm_calloc((size_t)k->n * (size_t)Q, sizeof *codes, "codes", err);
    for (int q = 0; q < Q && codes; q++)
        for (int i = 0; i < k->n; i++)
            codes[(size_t)i * (size_t)Q + (size_t)q] = k->codes[(size_t)q * (size_t)k->n + (size_t)i];
    return codes;
}

static hm_status check_solve(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_ops *op = &c->ops;
    const hm_codec *m = &e->codec;
    int n = k->n, T = 2 * n, O = (int)m->shape.out, C = (int)m->shape.dim;
    hm_detok d;
    int32_t *codes = turned_codes(k, (int)m->shape.quantizers, err);
    if (!codes)
        return HM_EABSENT;
    hm_status st = hm_detok_begin(
        c, &d, m,
        &(hm_detok_request){.codes = codes, .frames = n, .duration_s = HM_DETOK_SECONDS, .steps = k->steps, .guidance = (float)k->guidance},
        err);
    if (!st) {
        hm_dit_frames(c, &m->dit, &d.dit, 1, T);
        hm_detok_codes(&d, 0);
        hm_codec_condition(c, &d, d.codes, n, n, d.cond, d.cond + (size_t)n * (size_t)C);
        for (int i = 0; i < 2; i++)
            op->copy_2d(op, d.mu + (size_t)i * (size_t)C, 2 * (int64_t)C, d.cond + (size_t)n * (size_t)C, C, C, n);
        op->upload(op, d.noise, k->noise, (size_t)T * (size_t)O * sizeof(float));
        op->upload(op, d.previous, k->context, (size_t)k->context_frames * (size_t)O * sizeof(float));
        hm_flow_solve(c, &m->dit, &d.dit,
                      &(hm_flow_request){.mu = d.mu,
                                         .noise = d.noise,
                                         .context = d.previous,
                                         .context_frames = k->context_frames,
                                         .steps = k->steps,
                                         .guidance = (float)k->guidance,
                                         .x = d.x,
                                         .steps_total = k->steps});
        hm_tap(c, "result", d.x, 0, 1, T, O, false);
        hm_detok_end(c, &d);
        st = hm_session_status(c, err);
    }
    free(codes);
    return st;
}

static hm_status check_decode(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    const hm_ops *op = &c->ops;
    const hm_scalar_model *m = &e->codec.decoder;
    int O = (int)e->codec.shape.out;
    size_t samples = (size_t)k->n * (size_t)m->rate;
    hm_wave_scratch s = {0};
    hm_layout measure = {0};
    hm_wave_layout(c, &measure, &s, m, k->n);
    void *memory = op->alloc(op, measure.used);
    float *latents = op->alloc(op, ((size_t)k->n * (size_t)O + samples) * sizeof *latents);
    if (memory && latents) {
        float *wave = latents + (size_t)k->n * (size_t)O;
        hm_wave_layout(c, &(hm_layout){.base = memory}, &s, m, k->n);
        op->upload(op, latents, k->latents, (size_t)k->n * (size_t)O * sizeof *latents);
        for (int ch = 0; ch < 2; ch++) {
            hm_wave_decode(c, m, &s, latents + (size_t)ch * (size_t)m->latent, O, k->n, wave, (int64_t)samples, ch);
            hm_tap(c, "wave", wave, ch, 1, 1, (int64_t)samples, false);
        }
    }
    if (memory)
        op->free(op, memory);
    if (latents)
        op->free(op, latents);
    return hm_session_status(c, err);
}

/* noise("noise.{salt}.seg{k}", [T, O]) = hmsynth uniform * float32(sqrt 3). */
struct named_noise {
    const char *salt;
    uint64_t seed;
};

static void fill_named(void *self, int segment, float *z, int64_t count)
{
    const struct named_noise *n = self;
    char name[96];
    snprintf(name, sizeof name, "noise.%s.seg%d", n->salt, segment);
    hm_synth_fill(z, HM_F32, name, n->seed, 0, (uint64_t)count, 0.0f, 1.0f, NULL);
    for (int64_t i = 0; i < count; i++)
        z[i] *= (float)sqrt(3.0);
}

/* As the original: whole segments, and some lengths losing their end. */
static hm_status check_detok(hm_engine *e, const hm_check *k, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_detok d;
    struct named_noise noise = {k->noise_salt, e->synth_seed};
    int32_t *codes = turned_codes(k, (int)e->codec.shape.quantizers, err);
    if (!codes)
        return HM_EABSENT;
    hm_status st = hm_detok_begin(c, &d, &e->codec,
                                  &(hm_detok_request){.codes = codes,
                                                      .frames = k->n,
                                                      .duration_s = k->duration_s,
                                                      .steps = k->steps,
                                                      .guidance = (float)k->guidance,
                                                      .tiled = true,
                                                      .lose_tail = true,
                                                      .noise = {&noise, fill_named}},
                                  err);
    if (!st) {
        for (int i = 0; i < d.plan.segments && !hm_ops_status(&c->ops); i++)
            hm_detok_segment(c, &d, i);
        for (int ch = 0; ch < 2; ch++)
            if (hm_tapping(c))
                c->probe->tap(
                    c->probe->self,
                    &(hm_tap_value){
                        .name = "wave", .data = d.audio + (int64_t)ch * d.room, .batch_row = ch, .rank = 3, .shape = {1, 1, d.samples}});
        hm_detok_end(c, &d);
        st = hm_session_status(c, err);
    }
    free(codes);
    return st;
}

hm_status hm_heart_check(hm_engine *e, const hm_check *k, hm_error *err)
{
    bool codec = k->kind == HM_CHECK_EST || k->kind == HM_CHECK_SOLVE || k->kind == HM_CHECK_DECODE || k->kind == HM_CHECK_DETOK;
    if ((codec && !e->has_codec) || (k->kind == HM_CHECK_LM && !e->has_lm))
        return hm_fail(err, HM_EBUG, "check: the engine was opened without the part it needs");
    switch (k->kind) {
    case HM_CHECK_LM:
        return check_lm(e, k, err);
    case HM_CHECK_EST:
        return check_est(e, k, err);
    case HM_CHECK_SOLVE:
        return check_solve(e, k, err);
    case HM_CHECK_DECODE:
        return check_decode(e, k, err);
    case HM_CHECK_DETOK:
        return check_detok(e, k, err);
    case HM_CHECK_ROPE:
        return check_rope(e, k, err);
    case HM_CHECK_SAMPLE:
        return check_sample(e, k, err);
    default:
        break;
    }
    return hm_fail(err, HM_EUSAGE, "check: kind %d is none of a music model's", (int)k->kind);
}
