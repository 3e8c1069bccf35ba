/* Codes to audio: conditioning, segments, joining (heartcodec.md sections 3 and 6). */
#include "engine/models/heartcodec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS 2
#define SIDE_BYTES ((size_t)1 << 30) /* of the solver's scratch for segments that are solved side by side, unless one needs more */
/* The original's overlap: 80 of every 93 codes (and samples) are new. */
#define OVERLAP_DIVISOR 93
#define OVERLAP_NEW 80

/* --- plan --- */

/* Segments of a duration. HM_EUSAGE when it has no new codes, or not twice as many latents as codes. */
static hm_status cut_make(hm_detok_cut *cut, const hm_codec_shape *g, double duration_s, hm_error *err)
{
    cut->ns = (int)(duration_s * HM_CODES_PER_SECOND);
    cut->hop = cut->ns / OVERLAP_DIVISOR * OVERLAP_NEW;
    cut->overlap = cut->ns - cut->hop;
    cut->samples = (int64_t)(duration_s * (double)g->sample_rate);
    cut->overlap_samples = cut->samples - cut->samples / OVERLAP_DIVISOR * OVERLAP_NEW;
    if (cut->hop && (int)(duration_s * HM_CODES_PER_SECOND * HM_LATENTS_PER_CODE) == HM_LATENTS_PER_CODE * cut->ns)
        return HM_OK;
    return hm_fail(err, HM_EUSAGE,
                   "segment duration %g s: expected at least 7.44 s and twice as many latents as codes, found %d codes and %d latents",
                   duration_s, cut->ns, (int)(duration_s * HM_CODES_PER_SECOND * HM_LATENTS_PER_CODE));
}

/* `frames` codes from a segment's begin on, in segments of one kind. Whole ones, codes repeated cyclically to fill the last ... */
static void plan_tiled(hm_detok_plan *p, const hm_detok_cut *cut, int frames, bool lose_tail)
{
    int length = frames < cut->ns ? cut->ns : frames, latents = HM_LATENTS_PER_CODE * cut->overlap;
    /* The original tests the overlap in latents where codes are meant: some lengths are not extended and lose their end. */
    bool skip = lose_tail && (length - latents) % cut->hop == 0;
    if (!skip)
        length = (length - cut->overlap + cut->hop - 1) / cut->hop * cut->hop + cut->overlap;
    p->segments = (length - cut->hop) / cut->hop + 1;
    p->last_ns = cut->ns;
    int covered = (p->segments - 1) * cut->hop + cut->ns;
    p->lost_codes = covered < frames ? frames - covered : 0;
}

/* ... or only what the song has: the last segment is as long as its codes. */
static void plan_needed(hm_detok_plan *p, const hm_detok_cut *cut, int frames)
{
    p->segments = frames <= cut->ns ? 1 : (frames - cut->overlap + cut->hop - 1) / cut->hop;
    p->last_ns = frames - (p->segments - 1) * cut->hop;
}

static void plan_kind(hm_detok_plan *p, const hm_detok_cut *cut, const hm_detok_request *r, int frames)
{
    if (r->tiled)
        plan_tiled(p, cut, frames, r->lose_tail);
    else
        plan_needed(p, cut, frames);
}

hm_status hm_detok_plan_make(hm_detok_plan *p, const hm_codec_shape *g, const hm_detok_request *r, int frames, hm_error *err)
{
    *p = (hm_detok_plan){0};
    if (frames < 1)
        return hm_fail(err, HM_EUSAGE, "codes: expected at least 1 frame, found %d", frames);
    if (!(r->duration_s >= 1.0 && r->duration_s <= 600.0))
        return hm_fail(err, HM_EUSAGE, "segment duration: expected 7.44 to 600 seconds, found %g", r->duration_s);
    hm_status st = cut_make(&p->next, g, r->duration_s, err);
    if (st)
        return st;
    p->first = p->next;
    if (r->short_first && r->duration_s > HM_DETOK_FIRST_SECONDS)
        st = cut_make(&p->first, g, HM_DETOK_FIRST_SECONDS, err);
    if (st)
        return st;
    if (p->first.ns == p->next.ns || frames <= p->first.ns)
        plan_kind(p, &p->first, r, frames);
    else { /* the first segment, then the rest of the song as if it began where the second does */
        plan_kind(p, &p->next, r, frames - p->first.hop);
        p->segments++;
    }
    p->target = (int64_t)((double)frames / HM_CODES_PER_SECOND * (double)g->sample_rate);
    return HM_OK;
}

/* Where a segment lies in the song. */
struct place {
    int at, ns, context;            /* first code, codes, those of them shared with the segment before */
    int64_t start, samples, shared; /* first sample, samples at most, those shared with the segment before */
};

static struct place place_of(const hm_detok_plan *p, int k)
{
    const hm_detok_cut *cut = k ? &p->next : &p->first, *before = k > 1 ? &p->next : &p->first;
    int64_t later = k ? k - 1 : 0, first_hop = p->first.samples - p->first.overlap_samples, hop = p->next.samples - p->next.overlap_samples;
    struct place s = {.ns = k == p->segments - 1 ? p->last_ns : cut->ns, .samples = cut->samples};
    if (k) {
        s.at = p->first.hop + (int)later * p->next.hop;
        s.start = first_hop + later * hop;
        s.context = before->overlap;
        s.shared = before->overlap_samples;
    }
    return s;
}

/* Codes of the longest segment. */
static int longest(const hm_detok_plan *p)
{
    int most = 0;
    for (int k = 0; k < p->segments && k < 2; k++) {
        int n = place_of(p, k).ns;
        most = n > most ? n : most;
    }
    return most;
}

int hm_detok_ready(const hm_detok *d, int frames)
{
    const hm_detok_plan *p = &d->plan;
    if (frames < p->first.ns)
        return 0;
    int rest = frames - p->first.hop - p->next.ns;
    int ready = rest < 0 ? 1 : 2 + rest / p->next.hop;
    return ready < p->segments ? ready : p->segments;
}

/* --- conditioning --- */

/* Section 3: e[n] = sum over q of embed_q[c]; project_out; cond_feature_emb. */
void hm_codec_condition(hm_ctx *c, hm_detok *d, const int32_t *codes, int64_t stride, int n, float *rvq, float *cond)
{
    const hm_ops *op = &c->ops;
    const hm_codec *m = d->m;
    int Q = (int)m->shape.quantizers, dim = (int)m->shape.codebook_dim, C = (int)m->shape.dim;
    int32_t *ids = (int32_t *)d->host_mask + (size_t)Q * (size_t)n; /* host_mask holds the mask, then one row of ids */
    float *out = m->project_out.w ? rvq : cond, *summed = m->project_out.w ? d->rvq_rows : rvq;
    for (int q = 0; q < Q; q++) {
        for (int i = 0; i < n; i++) {
            int32_t code = codes[(int64_t)q * stride + i];
            ids[i] = code < 0 ? 0 : code;
            d->host_mask[(size_t)i * (size_t)Q + (size_t)q] = code >= 0;
        }
        op->upload(op, d->ids, ids, (size_t)n * sizeof *ids);
        op->gather(op, d->rvq_rows, m->embed[q], m->embed_type, dim, d->ids, n);
        op->copy_2d(op, d->rvq + (size_t)q * (size_t)dim, (int64_t)Q * dim, d->rvq_rows, dim, dim, n);
    }
    op->upload(op, d->rvq_mask, d->host_mask, (size_t)Q * (size_t)n * sizeof(float));
    op->masked_sum(op, summed, d->rvq, d->rvq_mask, n, Q, dim);
    if (m->project_out.w)
        op->linear(op, out, summed, &m->project_out, n);
    op->linear(op, cond, rvq, &m->cond, n);
    hm_tap(c, "rvq_out", rvq, 0, 1, n, C, false);
    hm_tap(c, "cond_feature_emb", cond, 0, 1, n, C, false);
}

/* --- state --- */

static int passes(const hm_detok_request *r)
{
    return r->guidance > 1.0f ? 2 : 1;
}

/* As many segments side by side as there are, and as there is room for. */
static int choose_side(const hm_ctx *c, const hm_detok *d)
{
    int side = d->request.side_by_side ? d->plan.segments : 1;
    for (; side > 1; side--) {
        hm_layout l = {0};
        hm_dit_scratch s;
        hm_dit_layout(c, &l, &s, &d->m->dit,
                      &(hm_dit_extent){side, passes(&d->request), HM_LATENTS_PER_CODE * longest(&d->plan), d->request.steps});
        if (l.used <= SIDE_BYTES)
            break;
    }
    return side;
}

static void layout(const hm_ctx *c, hm_layout *l, hm_detok *d)
{
    const hm_codec_shape *g = &d->m->shape;
    size_t n = (size_t)longest(&d->plan), T = HM_LATENTS_PER_CODE * n, C = (size_t)g->dim, O = (size_t)g->out;
    size_t Q = (size_t)g->quantizers, dim = (size_t)(g->codebook_dim > g->dim ? g->codebook_dim : g->dim);
    d->side = choose_side(c, d);
    size_t side = (size_t)d->side;
    hm_dit_layout(c, l, &d->dit, &d->m->dit, &(hm_dit_extent){d->side, passes(&d->request), (int)T, d->request.steps});
    hm_wave_layout(c, l, &d->wave, &d->m->decoder, (int)T);
    d->mu = hm_take_f32(l, side * T * C);
    d->noise = hm_take_f32(l, side * T * O);
    d->x = hm_take_f32(l, side * T * O);
    d->previous = hm_take_f32(l, T * O);
    d->rvq = hm_take_f32(l, n * Q * dim);
    d->rvq_rows = hm_take_f32(l, n * dim);
    d->rvq_mask = hm_take_f32(l, n * Q);
    d->cond = hm_take_f32(l, 2 * n * C);
    d->ids = hm_take(l, n * sizeof(int32_t));
    d->pcm = hm_take_f32(l, CHANNELS * T * (size_t)d->m->decoder.rate);
    if (d->plan.segments > 1 || d->request.open) /* shorter songs may have more segments than longer ones: tail=lost */
        d->tail_room =
            d->plan.first.overlap_samples > d->plan.next.overlap_samples ? d->plan.first.overlap_samples : d->plan.next.overlap_samples;
    d->tail = hm_take_f32(l, CHANNELS * (size_t)d->tail_room);
}

void hm_detok_seam(const hm_detok *d, int k, int64_t *first, int64_t *alone)
{
    struct place s = place_of(&d->plan, k);
    *first = s.start;
    *alone = s.start + s.shared;
}

int hm_detok_codes(hm_detok *d, int k)
{
    struct place s = place_of(&d->plan, k);
    int Q = (int)d->m->shape.quantizers, frames = d->request.frames, first = d->plan.first.ns > frames ? d->plan.first.ns : frames;
    int32_t top = (int32_t)d->m->shape.codebook_size - 1;
    for (int i = 0; i < s.ns; i++) {
        int from = (s.at + i) % first % frames; /* tiled to a segment first; the extension repeats that */
        for (int q = 0; q < Q; q++) {
            int32_t code = d->request.codes[(size_t)from * (size_t)Q + (size_t)q];
            d->codes[(size_t)q * (size_t)s.ns + (size_t)i] = code > top ? top : code;
        }
    }
    return s.ns;
}

static hm_status host_buffers(hm_ctx *c, hm_detok *d, hm_error *err)
{
    const hm_codec_shape *g = &d->m->shape;
    size_t n = (size_t)longest(&d->plan), T = HM_LATENTS_PER_CODE * n, Q = (size_t)g->quantizers;
    d->room = d->plan.target ? d->plan.target : 1;
    d->codes = hm_call_calloc(c, Q * n, sizeof *d->codes, "codes", err);
    d->host_noise = hm_call_calloc(c, T * (size_t)g->out, sizeof(float), "noise", err);
    d->host_mask = hm_call_calloc(c, (Q + 1) * n, sizeof(float), "code masks", err);
    d->host_pcm = hm_call_calloc(c, CHANNELS * T * (size_t)d->m->decoder.rate, sizeof(float), "one segment of audio", err);
    if (!d->audio)
        d->audio = hm_calloc(CHANNELS * (size_t)d->room, sizeof(float), "audio", err);
    return d->codes && d->host_noise && d->host_mask && d->host_pcm && d->audio ? HM_OK : HM_EABSENT;
}

hm_status hm_detok_begin(hm_ctx *c, hm_detok *d, const hm_codec *m, const hm_detok_request *r, hm_error *err)
{
    hm_layout measure = {0};
    *d = (hm_detok){.m = m, .request = *r, .audio = r->audio};
    hm_status st = r->steps < 1 || r->steps > HM_CODEC_MAX_STEPS
                       ? hm_fail(err, HM_EUSAGE, "solver steps: expected 1 to %d, found %d", HM_CODEC_MAX_STEPS, r->steps)
                       : hm_detok_plan_make(&d->plan, &m->shape, r, r->frames, err);
    if (st) {
        hm_detok_end(c, d);
        return st;
    }
    layout(c, &measure, d);
    d->scratch_bytes = measure.used;
    d->memory = c->ops.alloc(&c->ops, measure.used);
    st = d->memory ? host_buffers(c, d, err) : hm_fail(err, HM_EABSENT, "codec: no memory for %zu MiB of scratch", measure.used >> 20);
    if (st) {
        hm_detok_end(c, d);
        return st;
    }
    layout(c, &(hm_layout){.base = d->memory}, d);
    hm_dit_prepare(c, &m->dit, &d->dit);
    if (!r->open)
        hm_detok_length(c, d, r->frames);
    return HM_OK;
}

/* Nothing of what is there changes: whole segments are the same at every length, and the plan of this one has them. */
void hm_detok_length(hm_ctx *c, hm_detok *d, int frames)
{
    int Q = (int)d->m->shape.quantizers;
    int32_t top = (int32_t)d->m->shape.codebook_size - 1;
    hm_detok_plan_make(&d->plan, &d->m->shape, &d->request, frames, NULL); /* it was made in begin, of the same segments */
    d->request.frames = frames;
    d->request.open = false;
    for (int i = 0; i < frames * Q; i++)
        c->counters.tokens_out_of_range += d->request.codes[i] > top;
    c->counters.lost_codes += (uint64_t)d->plan.lost_codes;
    d->samples = d->samples < d->plan.target ? d->samples : d->plan.target;
    if (d->done == d->plan.segments)
        d->final = d->samples;
}

void hm_detok_end(hm_ctx *c, hm_detok *d)
{
    if (d->memory)
        c->ops.free(&c->ops, d->memory);
    hm_call_free(c, d->codes);
    hm_call_free(c, d->host_noise);
    hm_call_free(c, d->host_mask);
    hm_call_free(c, d->host_pcm);
    free(d->audio);
    *d = (hm_detok){0};
}

uint64_t hm_detok_estimate(hm_ctx *c, const hm_codec *m, const hm_detok_request *r, hm_detok_memory *parts)
{
    hm_detok d = {.m = m, .request = *r};
    hm_layout measure = {0}, wave = {0};
    if (hm_detok_plan_make(&d.plan, &m->shape, r, r->frames, NULL))
        return 0;
    layout(c, &measure, &d);
    hm_wave_layout(c, &wave, &d.wave, &m->decoder, HM_LATENTS_PER_CODE * longest(&d.plan));
    uint64_t n = (uint64_t)longest(&d.plan), T = HM_LATENTS_PER_CODE * n, Q = (uint64_t)m->shape.quantizers;
    uint64_t host = CHANNELS * (uint64_t)d.plan.target + CHANNELS * T * (uint64_t)m->decoder.rate; /* see host_buffers */
    host += Q * n + T * (uint64_t)m->shape.out + (Q + 1) * n;
    if (hm_t(c)->attn != HM_ATTN_FLASH)
        host += (uint64_t)d.dit.rows * (uint64_t)m->shape.heads * T * (T + HM_SCORE_PADDING);
    uint64_t all = measure.used + host * sizeof(float);
    if (parts) {
        uint64_t pcm = CHANNELS * T * (uint64_t)m->decoder.rate * sizeof(float); /* on the device and on the host */
        *parts = (hm_detok_memory){.vocoder = wave.used + 2 * pcm, .audio = CHANNELS * (uint64_t)d.plan.target * sizeof(float)};
        parts->flow = all - parts->vocoder - parts->audio;
    }
    return all;
}

/* --- segments --- */

/* Puts one segment's pcm (host, [channels][samples]) in its place in the song. */
static void join(hm_detok *d, const struct place *s, int64_t samples)
{
    int64_t end = s->start + samples < d->plan.target ? s->start + samples : d->plan.target;
    for (int ch = 0; ch < CHANNELS; ch++) {
        float *out = d->audio + (int64_t)ch * d->room;
        if (end > s->start)
            memcpy(out + s->start, d->host_pcm + (int64_t)ch * samples, (size_t)(end - s->start) * sizeof *out);
    }
    d->samples = end > d->samples ? end : d->samples;
}

/* Crossfades a channel's `count` samples from the end of the segment before, and keeps its own end for the next one. */
static void join_channel(hm_ctx *c, const hm_detok *d, int k, const struct place *s, int ch, float *pcm, int64_t count)
{
    const hm_ops *op = &c->ops;
    float *tail = d->tail + (int64_t)ch * d->tail_room;
    if (s->shared)
        op->crossfade(op, pcm, tail, count < s->shared ? count : s->shared, s->shared);
    if (!d->request.open && k == d->plan.segments - 1)
        return;
    struct place next = place_of(&d->plan, k + 1);
    int64_t from = next.start - s->start, there = count - from < next.shared ? count - from : next.shared;
    if (there > 0)
        op->copy(op, tail, pcm + from, (size_t)there * sizeof *tail);
    if (there < next.shared)
        op->fill(op, tail + (there > 0 ? there : 0), 0.0f, (size_t)(next.shared - (there > 0 ? there : 0)));
}

/* Latents [T][2Z] -> pcm, one channel per half of the columns; joined, and downloaded into host_pcm [channels][samples]. */
static void decode_segment(hm_ctx *c, hm_detok *d, int k, const struct place *s, int T, int64_t samples)
{
    const hm_ops *op = &c->ops;
    int O = (int)d->m->shape.out, Z = (int)d->m->shape.latent;
    int64_t left = d->plan.target - s->start, needed = left < samples ? left : samples;
    needed = needed < 0 ? 0 : needed;
    const float *x = d->x + (size_t)(k - d->first_solved) * (size_t)T * (size_t)O;
    hm_part_begin(c, "vocoder", k);
    for (int ch = 0; ch < CHANNELS && !hm_ops_status(op); ch++) {
        float *pcm = d->pcm + (size_t)ch * (size_t)T * (size_t)d->m->decoder.rate;
        hm_wave_decode(c, &d->m->decoder, &d->wave, x + (size_t)ch * (size_t)Z, O, T, pcm, needed, ch);
        join_channel(c, d, k, s, ch, pcm, needed);
        op->download(op, d->host_pcm + (int64_t)ch * samples, pcm, (size_t)needed * sizeof(float));
    }
    hm_part_end(c, "vocoder");
}

/* mu and noise of segment k, in place `slot` of those that are solved together. The previous segment's last latents, or their noise, are
 * in d->previous. */
static void prepare_segment(hm_ctx *c, hm_detok *d, int k, int slot)
{
    const hm_ops *op = &c->ops;
    int n = hm_detok_codes(d, k), T = HM_LATENTS_PER_CODE * n, O = (int)d->m->shape.out, C = (int)d->m->shape.dim;
    float *mu = d->mu + (size_t)slot * (size_t)T * (size_t)C, *noise = d->noise + (size_t)slot * (size_t)T * (size_t)O;
    hm_codec_condition(c, d, d->codes, n, n, d->cond, d->cond + (size_t)n * (size_t)C);
    for (int i = 0; i < HM_LATENTS_PER_CODE; i++) /* each code's frame twice */
        op->copy_2d(op, mu + (size_t)i * (size_t)C, HM_LATENTS_PER_CODE * (int64_t)C, d->cond + (size_t)n * (size_t)C, C, C, n);
    d->request.noise.fill(d->request.noise.self, k, d->host_noise, (int64_t)T * O);
    op->upload(op, noise, d->host_noise, (size_t)T * (size_t)O * sizeof(float));
}

/* What segment k begins with, from the end of the segment before, which is at `from` [its latents][O]; returns latents. */
static int take_end(hm_ctx *c, hm_detok *d, int k, const float *from)
{
    int context = HM_LATENTS_PER_CODE * place_of(&d->plan, k).context, before = k ? HM_LATENTS_PER_CODE * place_of(&d->plan, k - 1).ns : 0;
    size_t O = (size_t)d->m->shape.out;
    if (k)
        c->ops.copy(&c->ops, d->previous, from + (size_t)(before - context) * O, (size_t)context * O * sizeof(float));
    return context;
}

/* Segments that are solved together with k: those after it that are as long, once the song's length is known. */
static int segments_with(const hm_detok *d, int k)
{
    int n = 1;
    while (n < d->side && !d->request.open && k + n < d->plan.segments && place_of(&d->plan, k + n).ns == place_of(&d->plan, k).ns)
        n++;
    return n;
}

/* Latents of segment k from those of the segment before. */
static void solve_next(hm_ctx *c, hm_detok *d, int k, hm_flow_request *request)
{
    request->context_frames = take_end(c, d, k, d->x);
    request->context = d->previous;
    prepare_segment(c, d, k, 0);
    hm_flow_solve(c, &d->m->dit, &d->dit, request);
}

/* Latents of n segments from k on, which share nothing but the noise of the frames that they have in common. */
static void solve_together(hm_ctx *c, hm_detok *d, int k, int n, hm_flow_request *request)
{
    const hm_ops *op = &c->ops;
    size_t O = (size_t)d->m->shape.out, T = (size_t)(HM_LATENTS_PER_CODE * place_of(&d->plan, k).ns);
    size_t before = k ? (size_t)(HM_LATENTS_PER_CODE * place_of(&d->plan, k - 1).ns) : 0;
    const float *end = d->noise + (size_t)(k - 1 - d->first_solved) * before * O;
    for (int j = 0; j < n; j++) {
        float *noise = d->noise + (size_t)j * T * O;
        int context = take_end(c, d, k + j, end);
        prepare_segment(c, d, k + j, j);
        op->copy(op, noise, d->previous, (size_t)context * O * sizeof *noise);
        end = noise;
    }
    hm_flow_solve(c, &d->m->dit, &d->dit, request);
}

/* Latents of segment k, and of those that are solved with it, into d->x. */
static void solve_segments(hm_ctx *c, hm_detok *d, int k)
{
    int n = segments_with(d, k), T = HM_LATENTS_PER_CODE * place_of(&d->plan, k).ns;
    hm_flow_request request = {.mu = d->mu,
                               .noise = d->noise,
                               .steps = d->request.steps,
                               .guidance = d->request.guidance,
                               .x = d->x,
                               .steps_before = k * d->request.steps,
                               .steps_total = d->plan.segments * d->request.steps};
    hm_part_begin(c, "flow", k);
    hm_dit_frames(c, &d->m->dit, &d->dit, n, T);
    if (d->request.side_by_side)
        solve_together(c, d, k, n, &request);
    else
        solve_next(c, d, k, &request);
    hm_part_end(c, "flow");
    d->first_solved = k;
    d->solved = k + n;
    for (int j = 0; j < n; j++)
        hm_tap(c, "latents", d->x + (size_t)j * (size_t)T * (size_t)d->m->shape.out, k + j, 1, T, d->m->shape.out, false);
}

void hm_detok_segment(hm_ctx *c, hm_detok *d, int k)
{
    const hm_detok_plan *p = &d->plan;
    struct place s = place_of(p, k);
    int T = HM_LATENTS_PER_CODE * s.ns;
    int64_t samples = (int64_t)T * d->m->decoder.rate;
    samples = samples > s.samples ? s.samples : samples;

    hm_span_begin(c->probe, HM_SPAN_STEP, "segment", k);
    if (k >= d->solved)
        solve_segments(c, d, k);
    decode_segment(c, d, k, &s, T, samples);
    if (!hm_ops_status(&c->ops)) {
        join(d, &s, samples);
        d->done = k + 1;
        d->final = !d->request.open && d->done == p->segments ? d->samples : place_of(p, k + 1).start;
    }
    hm_span_end(c->probe, HM_SPAN_STEP, "segment");
}
