/* The convolutional waveform decoder: heartcodec.md section 7. Rows are time steps, channels last, so that every convolution is a
 * linear layer over a few neighbouring rows. Causal convolutions carry their last input rows from piece to piece, so that a segment in
 * pieces gives the same bytes as in one. Every stage takes as many rows at once as its own buffer holds, and all stages after it come
 * before its next rows: deep stages read their weights seldom, activations of late ones stay in cache. */
#include <stdio.h>

#include "engine/models/heartcodec.h"

#define PIECE_BYTES ((size_t)1 << 20) /* of a stage's output for the rows that it takes at once */
#define PIECE_MIN_ROWS 256            /* of its output at least: where it has many channels, weights are what takes time */

/* Floats carried by stage i; by all after the stages. */
static int64_t stage_history(const hm_scalar_model *m, int i)
{
    int64_t n = hm_conv_history(&m->stage[i].up, 1);
    for (int j = 0; j < HM_CODEC_UNITS; j++)
        n += hm_conv_history(&m->stage[i].unit[j].conv1, m->stage[i].unit[j].dilation);
    return n;
}

static int64_t end_history(const hm_scalar_model *m)
{
    return (m->repeat > 1 ? hm_conv_history(&m->post, 1) : 0) + hm_conv_history(&m->output, 1);
}

static int64_t all_history(const hm_scalar_model *m)
{
    int64_t n = end_history(m);
    for (int i = 0; i < m->stages; i++)
        n += stage_history(m, i);
    return n;
}

/* The most floats of history that any one convolution has: room before a buffer's first row. */
static int64_t headroom(const hm_scalar_model *m)
{
    int64_t most = end_history(m);
    for (int i = 0; i < m->stages; i++) {
        int64_t up = hm_conv_history(&m->stage[i].up, 1);
        most = up > most ? up : most;
        for (int j = 0; j < HM_CODEC_UNITS; j++) {
            int64_t n = hm_conv_history(&m->stage[i].unit[j].conv1, m->stage[i].unit[j].dilation);
            most = n > most ? n : most;
        }
    }
    return (most + 15) / 16 * 16;
}

static int channels_of(const hm_decoder_stage *g)
{
    return g->unit[0].conv1.linear.in;
}

/* Whether the post processor's kernel is folded for rows that are not repeated. */
static bool is_folded(const hm_scalar_model *m)
{
    return m->post.repeat > 1;
}

/* Rows of input that a step of a stage takes of `rows`, in steps of one size: each gives `stride` rows of `channels`. */
static int piece_rows(int stride, int channels, int rows)
{
    int n = (int)(PIECE_BYTES / ((size_t)channels * sizeof(float)));
    n = (n < PIECE_MIN_ROWS ? PIECE_MIN_ROWS : n) / stride;
    n = n < 1 ? 1 : n > rows ? rows : n;
    int pieces = (rows + n - 1) / n;
    return (rows + pieces - 1) / pieces;
}

/* Rows that each stage takes at once, of a segment of `frames`. */
static void choose_steps(hm_wave_scratch *s, const hm_scalar_model *m, int frames)
{
    int64_t samples = m->rate, rows = frames;
    s->max_frames = frames;
    s->frames = s->whole ? frames : piece_rows(1, m->input.linear.out, frames);
    for (int i = 0, most = s->frames; i < m->stages; i++) {
        int stride = m->stage[i].up.stride;
        s->step[i] = s->whole ? (int)rows : piece_rows(stride, channels_of(&m->stage[i]), most);
        s->samples[i] = (int)samples;
        most = s->step[i] * stride;
        rows *= stride;
        samples /= stride;
    }
    s->samples[m->stages] = (int)samples; /* what repeating makes of a row */
    int last = m->stages - 1, most = s->step[last] * m->stage[last].up.stride;
    s->last_step = s->whole ? most : piece_rows(m->repeat, m->output.linear.in, most);
}

static float *take(hm_layout *l, int64_t room, int64_t floats)
{
    float *p = hm_take_f32(l, (size_t)(room + floats));
    return p ? p + room : NULL;
}

/* Two buffers that change places from stage to stage. */
static void whole_layout(hm_layout *l, hm_wave_scratch *s, const hm_scalar_model *m, int64_t room, int64_t widest)
{
    int64_t end = (int64_t)s->last_step * m->repeat * m->output.linear.in;
    widest = end > widest ? end : widest;
    float *a = take(l, room, widest), *b = take(l, room, widest);
    s->head = a;
    for (int i = 0; i < m->stages; i++) {
        s->level[i] = i % 2 ? a : b;
        s->spare[i] = i % 2 ? b : a;
    }
    s->repeated = m->stages % 2 ? a : b;
    s->post = is_folded(m) ? s->repeated : m->stages % 2 ? b : a;
}

/* A buffer for every stage. */
static void pieces_layout(const hm_ctx *c, hm_layout *l, hm_wave_scratch *s, const hm_scalar_model *m, int64_t room, int64_t widest)
{
    int64_t end = (int64_t)s->last_step * m->repeat * m->output.linear.in;
    float *spare = take(l, room, hm_t(c)->fuse == HM_FUSE_ALL ? 0 : widest);
    s->head = take(l, room, (int64_t)s->frames * m->input.linear.out);
    for (int i = 0; i < m->stages; i++) {
        s->level[i] = take(l, room, (int64_t)s->step[i] * m->stage[i].up.stride * channels_of(&m->stage[i]));
        s->spare[i] = spare;
    }
    s->repeated = take(l, room, m->repeat > 1 && !is_folded(m) ? end : 0);
    s->post = take(l, room, m->repeat > 1 ? end : 0);
}

void hm_wave_layout(const hm_ctx *c, hm_layout *l, hm_wave_scratch *s, const hm_scalar_model *m, int frames)
{
    int64_t room = headroom(m), widest = 0;
    s->whole = hm_t(c)->decode == HM_DECODE_WHOLE || hm_tapping(c); /* taps show whole activations */
    choose_steps(s, m, frames);
    for (int i = 0; i < m->stages; i++) {
        int64_t n = (int64_t)s->step[i] * m->stage[i].up.stride * channels_of(&m->stage[i]);
        widest = n > widest ? n : widest;
    }
    int64_t head = (int64_t)s->frames * m->input.linear.out;
    s->t = take(l, room, widest);
    if (s->whole)
        whole_layout(l, s, m, room, head > widest ? head : widest);
    else
        pieces_layout(c, l, s, m, room, widest);
    s->history = hm_take_f32(l, (size_t)all_history(m));
    float *at = s->history;
    for (int i = 0; i <= m->stages && at; i++) {
        s->carried[i] = at;
        at += i < m->stages ? stage_history(m, i) : 0;
    }
    s->latents = hm_take_f32(l, (size_t)(frames + m->input.taps - 1) * (size_t)m->latent);
}

/* One causal convolution, whose carried history is at *history (advanced past it). slope: of a PReLU after it, or NULL. spare: a buffer of
 * y's size when the result is added to y, else NULL. */
static void conv_forward(hm_ctx *c, const hm_conv *conv, float **history, int dilation, float *y, float *x, int rows, const float *slope,
                         float *spare)
{
    hm_conv_forward(c, conv,
                    &(hm_conv_call){.y = y,
                                    .x = x,
                                    .history = *history,
                                    .rows = rows,
                                    .dilation = dilation,
                                    .add = spare != NULL,
                                    .act = slope ? HM_ACT_PRELU : HM_ACT_NONE,
                                    .slope = slope ? *slope : 0,
                                    .spare = spare});
    *history += hm_conv_history(conv, dilation);
}

static void tap(hm_ctx *c, const hm_wave_scratch *s, int module, int channel, const float *value, int channels, int rows)
{
    char name[32];
    if (!hm_tapping(c) || !s->whole)
        return;
    snprintf(name, sizeof name, "decoder.%d.out", module);
    hm_tap(c, name, value, channel, 1, channels, rows, true);
}

/* 3 repeat each sample r times, conv, PReLU; 4 output conv: x [rows][c0] to wave. */
static void end_forward(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, float *x, int rows, float *wave, int channel)
{
    const hm_ops *op = &c->ops;
    float *history = s->carried[m->stages];
    int module = m->stages + 1, c0 = m->output.linear.in;
    if (m->repeat > 1) {
        for (int j = 0; j < m->repeat && !is_folded(m); j++)
            op->copy_2d(op, s->repeated + (size_t)j * (size_t)c0, (int64_t)m->repeat * c0, x, c0, c0, rows);
        if (is_folded(m)) /* a row of its output is r samples */
            conv_forward(c, &m->post, &history, 1, s->post, x, rows, &m->post_slope, NULL);
        else
            conv_forward(c, &m->post, &history, 1, s->post, s->repeated, rows * m->repeat, &m->post_slope, NULL);
        rows *= m->repeat;
        x = s->post;
        tap(c, s, module++, channel, x, c0, rows);
    }
    conv_forward(c, &m->output, &history, 1, wave, x, rows, NULL, NULL);
    tap(c, s, module, channel, wave, 1, rows);
}

/* Stage i, upsampling and five residual units, of `rows` rows at x that its buffer holds; into s->level[i]. */
static void stage_forward(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, int i, float *x, int rows)
{
    const hm_decoder_stage *g = &m->stage[i];
    float *history = s->carried[i], *y = s->level[i];
    conv_forward(c, &g->up, &history, 1, y, x, rows, NULL, NULL);
    rows *= g->up.stride;
    for (int j = 0; j < HM_CODEC_UNITS; j++) {
        const hm_residual_unit *u = &g->unit[j];
        conv_forward(c, &u->conv1, &history, u->dilation, s->t, y, rows, &u->slope1, NULL);
        conv_forward(c, &u->conv2, &history, 1, y, s->t, rows, &u->slope2, s->spare[i]);
    }
}

/* Stage i and all after it: x [rows] to samples, as many rows at once as the buffers hold. x has room before it, where a piece's history
 * goes: the rows that lie there already, but for the first. */
static void pieces_forward(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, int i, float *x, int rows, float *wave, int channel)
{
    bool end = i == m->stages;
    int step = end ? s->last_step : s->step[i], in = end ? channels_of(&m->stage[i - 1]) : m->stage[i].up.linear.in;
    for (int at = 0; at < rows && !hm_ops_status(&c->ops); at += step) {
        int n = rows - at < step ? rows - at : step;
        float *piece = x + (size_t)at * (size_t)in, *to = wave + (int64_t)at * s->samples[i];
        if (end) {
            end_forward(c, m, s, piece, n, to, channel);
            c->counters.decode_chunks++;
            continue;
        }
        stage_forward(c, m, s, i, piece, n);
        n *= m->stage[i].up.stride;
        tap(c, s, i + 1, channel, s->level[i], channels_of(&m->stage[i]), n);
        pieces_forward(c, m, s, i + 1, s->level[i], n, to, channel);
    }
}

void hm_wave_decode(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, const float *latents, int64_t ld, int frames, float *wave,
                    int64_t needed, int channel)
{
    const hm_ops *op = &c->ops;
    int side = (m->input.taps - 1) / 2, Z = m->latent, last = frames;
    float *first = s->latents + (size_t)side * (size_t)Z;
    op->fill(op, s->history, 0.0f, (size_t)all_history(m));
    op->fill(op, s->latents, 0.0f, (size_t)(frames + 2 * side) * (size_t)Z);
    op->copy_2d(op, first, Z, latents, ld, Z, frames);
    op->round9(op, first, first, (size_t)frames * (size_t)Z); /* 0 x = rint(9x)/9 */
    if (hm_t(c)->decode != HM_DECODE_WHOLE && needed < (int64_t)frames * m->rate)
        last = needed < 1 ? 0 : (int)((needed + m->rate - 1) / m->rate);
    for (int at = 0; at < last && !hm_ops_status(op); at += s->frames) {
        int n = last - at < s->frames ? last - at : s->frames;
        op->linear_ex(op, &(hm_linear_args){.y = s->head, /* 1 input conv */
                                            .x = s->latents + (size_t)at * (size_t)Z,
                                            .w = hm_conv_weights(c, &m->input),
                                            .M = n,
                                            .ldx = Z,
                                            .tap_stride = Z});
        tap(c, s, 0, channel, s->head, m->input.linear.out, n);
        pieces_forward(c, m, s, 0, s->head, n, wave + (int64_t)at * m->rate, channel); /* 2 stages, then 3 and 4 */
        c->counters.decoded_frames += (uint64_t)n;
    }
}
