/* The convolutional waveform decoder: heartcodec.md section 7. Rows are time steps, channels last, so that every convolution is a
 * linear layer over a few neighbouring rows. Causal convolutions carry their last input rows from chunk to chunk, so that a
 * segment in chunks gives the same bytes as in one piece. */
#include <stdio.h>

#include "engine/models/heartcodec.h"

#define CHUNK_BYTES ((size_t)1 << 20) /* widest activation of a chunk */
#define CHUNK_MIN_FRAMES 4

/* Floats carried by all convolutions together. */
static int64_t all_history(const hm_scalar_model *m)
{
    int64_t n = 0;
    for (int s = 0; s < m->stages; s++) {
        n += m->stage[s].up.linear.in;
        for (int j = 0; j < HM_CODEC_UNITS; j++)
            n += hm_conv_history(&m->stage[s].unit[j].conv1, m->stage[s].unit[j].dilation);
    }
    if (m->repeat > 1)
        n += hm_conv_history(&m->post, 1);
    return n + hm_conv_history(&m->output, 1);
}

/* The most floats of history that any one convolution has: room before a work buffer's first row. */
static int64_t headroom(const hm_scalar_model *m)
{
    int64_t most = 0;
    for (int s = 0; s < m->stages; s++)
        for (int j = 0; j < HM_CODEC_UNITS; j++) {
            int64_t n = hm_conv_history(&m->stage[s].unit[j].conv1, m->stage[s].unit[j].dilation);
            most = n > most ? n : most;
        }
    for (int s = 0; s < m->stages; s++)
        most = m->stage[s].up.linear.in > most ? m->stage[s].up.linear.in : most;
    int64_t end = hm_conv_history(&m->output, 1);
    return end > most ? end : most;
}

/* Floats of the widest activation per latent frame. */
static int64_t frame_floats(const hm_scalar_model *m)
{
    int64_t rows = 1, most = m->input.linear.out;
    for (int s = 0; s < m->stages; s++) {
        rows *= m->stage[s].up.stride;
        int64_t n = rows * m->stage[s].unit[0].conv1.linear.in;
        most = n > most ? n : most;
    }
    int64_t end = (int64_t)m->rate * m->output.linear.in;
    return end > most ? end : most;
}

void hm_wave_layout(const hm_ctx *c, hm_layout *l, hm_wave_scratch *s, const hm_scalar_model *m, int frames)
{
    int64_t per_frame = frame_floats(m), room = (headroom(m) + 15) / 16 * 16;
    int chunk = (int)(CHUNK_BYTES / ((size_t)per_frame * sizeof(float)));
    chunk = chunk < CHUNK_MIN_FRAMES ? CHUNK_MIN_FRAMES : chunk;
    if (hm_t(c)->decode == HM_DECODE_WHOLE || hm_tapping(c) || chunk > frames)
        chunk = frames; /* taps show whole activations */
    s->chunk_frames = chunk;
    s->max_frames = frames;
    s->floats = per_frame * chunk;
    float *a = hm_take_f32(l, (size_t)(room + s->floats)), *b = hm_take_f32(l, (size_t)(room + s->floats));
    float *d = hm_take_f32(l, (size_t)(room + s->floats));
    s->a = a ? a + room : NULL;
    s->b = b ? b + room : NULL;
    s->c = d ? d + room : NULL;
    s->history = hm_take_f32(l, (size_t)all_history(m));
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
    if (!hm_tapping(c) || s->chunk_frames != s->max_frames)
        return;
    snprintf(name, sizeof name, "decoder.%d.out", module);
    hm_tap(c, name, value, channel, 1, channels, rows, true);
}

/* One chunk: latent frames first .. first+frames-1 of s->latents to wave. */
static void chunk_forward(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, int first, int frames, float *wave, int channel)
{
    const hm_ops *op = &c->ops;
    float *x = s->a, *y = s->b, *t = s->c, *history = s->history;
    const hm_linear *w = hm_conv_weights(c, &m->input);
    int rows = frames;
    op->linear_ex(op, &(hm_linear_args){.y = x,
                                        .x = s->latents + (size_t)first * (size_t)m->latent,
                                        .w = w,
                                        .M = frames, /* 1 input conv */
                                        .ldx = m->latent,
                                        .tap_stride = m->latent});
    tap(c, s, 0, channel, x, w->out, rows);
    for (int i = 0; i < m->stages; i++) { /* 2 stages: upsample, five residual units */
        const hm_decoder_stage *g = &m->stage[i];
        conv_forward(c, &g->up, &history, 1, y, x, rows, NULL, NULL);
        rows *= g->up.stride;
        for (int j = 0; j < HM_CODEC_UNITS; j++) {
            const hm_residual_unit *u = &g->unit[j];
            conv_forward(c, &u->conv1, &history, u->dilation, t, y, rows, &u->slope1, NULL);
            conv_forward(c, &u->conv2, &history, 1, y, t, rows, &u->slope2, x);
        }
        float *swap = x;
        x = y;
        y = swap;
        tap(c, s, i + 1, channel, x, g->unit[0].conv1.linear.in, rows);
    }
    int module = m->stages + 1, c0 = m->output.linear.in;
    if (m->repeat > 1) { /* 3 repeat each sample r times, conv, PReLU */
        for (int j = 0; j < m->repeat; j++)
            op->copy_2d(op, y + (size_t)j * (size_t)c0, (int64_t)m->repeat * c0, x, c0, c0, rows);
        rows *= m->repeat;
        conv_forward(c, &m->post, &history, 1, x, y, rows, &m->post_slope, NULL);
        tap(c, s, module++, channel, x, c0, rows);
    }
    conv_forward(c, &m->output, &history, 1, wave, x, rows, NULL, NULL); /* 4 output conv */
    tap(c, s, module, channel, wave, 1, rows);
}

void hm_wave_decode(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, const float *latents, int64_t ld, int frames, float *wave,
                    int64_t needed, int channel)
{
    const hm_ops *op = &c->ops;
    int side = (m->input.taps - 1) / 2, Z = m->latent;
    float *first = s->latents + (size_t)side * (size_t)Z;
    op->fill(op, s->history, 0.0f, (size_t)all_history(m));
    op->fill(op, s->latents, 0.0f, (size_t)(frames + 2 * side) * (size_t)Z);
    op->copy_2d(op, first, Z, latents, ld, Z, frames);
    op->round9(op, first, first, (size_t)frames * (size_t)Z); /* 0 x = rint(9x)/9 */
    for (int at = 0; at < frames && !hm_ops_status(op); at += s->chunk_frames) {
        int n = frames - at < s->chunk_frames ? frames - at : s->chunk_frames;
        if (hm_t(c)->decode != HM_DECODE_WHOLE && (int64_t)at * m->rate >= needed)
            break;
        chunk_forward(c, m, s, at, n, wave + (int64_t)at * m->rate, channel);
        c->counters.decoded_frames += (uint64_t)n;
        c->counters.decode_chunks++;
    }
}
