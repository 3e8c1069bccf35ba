/* Codes to 24 kHz mono: steps as numbered in speech_codec.md. Rows are time steps, channels last; every convolution is causal and carries
 * the rows that it will need again, so that a stream in pieces gives the bytes of one pass over all frames. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/models/speech_codec_impl.h"

#define PIECE_BYTES ((size_t)2 << 20) /* widest activation of steps 1 to 5 for the frames that decode=stream pushes at once */
#define BLOCK_BYTES ((size_t)1 << 20) /* widest activation of a block for the rows that it takes at once */
#define PIECE_MIN_FRAMES 4

/* Buffers and carried rows of a stream. Where a convolution reads a buffer, there is room for its carried rows before it. */
typedef struct speech_buffers {
    int slots;                 /* of the transformer's caches */
    int step[HM_TTS_RATES];    /* rows that block i takes at once */
    int samples[HM_TTS_RATES]; /* per row of block i's output */
    hm_transformer_scratch transformer;
    int32_t *ids;                 /* [frames][G], or [G][frames] */
    float *book, *picked, *added; /* [Vc][d], [frames][d], [frames][D]: where codebooks are not folded or not summed at once */
    float *a, *b, *n, *wide;      /* steps 1 to 5; n: [rows][Z], wide: [rows][4Z] */
    float *level[HM_TTS_RATES];   /* output of block i */
    float *t, *u;                 /* inside a block */
    float *wave;                  /* [frames*rate] */
    float *carried;               /* all that follows, in one piece */
    float *pre_conv, *depthwise[HM_TTS_RATES], *input, *up[HM_TTS_RATES], *unit[HM_TTS_RATES][HM_SPEECH_UNITS], *output;
    size_t carried_floats;
} speech_buffers;

struct hm_speech_stream {
    const hm_speech_codec *m;
    int max_frames;
    speech_buffers buffers;
    hm_kv_cache kv;
    void *memory;
    int32_t *ids; /* host [frames*G] */
    uint64_t bytes;
};

/* --- layout --- */

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Slots that a stream's caches need: what the window still sees after whole blocks were dropped, and one push. */
static int cache_slots(const hm_speech_codec_shape *g, int frames)
{
    return frames + HM_ATTENTION_BLOCK - 1 + (int)g->decoder.window - 1;
}

static size_t frame_rows(const hm_speech_codec_shape *g, int frames)
{
    return (size_t)frames * (size_t)hm_speech_latent_rows(g);
}

/* `floats` with room before them. */
static float *take_after(hm_layout *l, size_t room, size_t floats)
{
    room = (room + 15) / 16 * 16;
    float *p = hm_take_f32(l, room + floats);
    return p ? p + room : NULL;
}

/* The next n carried floats. */
static float *take_carried(speech_buffers *s, size_t n)
{
    float *p = s->carried ? s->carried + s->carried_floats : NULL;
    s->carried_floats += n;
    return p;
}

static void place_carried(speech_buffers *s, const hm_speech_codec_shape *g)
{
    size_t Z = (size_t)g->decoder.latent;
    int blocks = (int)g->decoder.rate_count;
    s->carried_floats = 0;
    s->pre_conv = take_carried(s, 2 * (size_t)g->decoder.codebook_dim);
    for (int u = 0; u < (int)g->decoder.ratio_count; u++)
        s->depthwise[u] = take_carried(s, (HM_SPEECH_DEPTHWISE - 1) * Z);
    s->input = take_carried(s, 6 * Z);
    for (int i = 0; i < blocks; i++) {
        size_t dilation = 1;
        s->up[i] = take_carried(s, (size_t)hm_speech_channels(g, i - 1));
        for (int j = 0; j < HM_SPEECH_UNITS; j++, dilation *= 3)
            s->unit[i][j] = take_carried(s, 6 * dilation * (size_t)hm_speech_channels(g, i));
    }
    s->output = take_carried(s, 6 * (size_t)hm_speech_channels(g, blocks - 1));
}

/* Rows that each block takes at once, and its buffers. */
static void layout_blocks(const hm_ctx *c, hm_layout *l, speech_buffers *s, const hm_speech_codec_shape *g, int frames)
{
    bool whole = hm_t(c)->decode == HM_DECODE_WHOLE || hm_tapping(c); /* taps show whole activations */
    int blocks = (int)g->decoder.rate_count;
    size_t rows = frame_rows(g, frames), widest = 0, room = 0, samples = 1;
    for (int i = 0; i < blocks; i++) {
        size_t out = (size_t)g->decoder.rates[i] * (size_t)hm_speech_channels(g, i), step = BLOCK_BYTES / (out * sizeof(float));
        step = whole || step > rows ? rows : most(step, 1);
        s->step[i] = (int)step;
        s->level[i] = hm_take_f32(l, step * out);
        widest = most(widest, step * most(out, (size_t)hm_speech_channels(g, i - 1)));
        room = most(room, most(6 * 9 * (size_t)hm_speech_channels(g, i), (size_t)hm_speech_channels(g, i - 1)));
        rows = step * (size_t)g->decoder.rates[i];
    }
    for (int i = blocks - 1; i >= 0; i--) {
        s->samples[i] = (int)samples;
        samples *= (size_t)g->decoder.rates[i];
    }
    s->t = take_after(l, room, widest);
    s->u = hm_take_f32(l, widest);
}

static void layout(const hm_ctx *c, hm_layout *l, speech_buffers *s, const hm_speech_codec_shape *g, int frames)
{
    size_t T = (size_t)frames, rows = frame_rows(g, frames), D = (size_t)g->decoder.codebook_dim, Z = (size_t)g->decoder.latent;
    size_t V = (size_t)g->decoder.codebook, room = most(2 * D, 6 * Z);
    size_t trunk = most(T * most(D, most(Z, (size_t)g->decoder.width)), rows * most(Z, (size_t)g->decoder.channels));
    bool per_call = hm_t(c)->precompute != HM_PRECOMPUTE_ONCE;
    s->slots = cache_slots(g, frames);
    hm_transformer_config config = hm_speech_transformer_config(g, s->slots);
    hm_transformer_layout(c, l, &s->transformer, &config, frames, 1, s->slots);
    s->ids = hm_take(l, T * (size_t)g->groups * sizeof *s->ids);
    s->book = hm_take_f32(l, per_call ? V * (D / 2) : 0);
    s->picked = hm_take_f32(l, per_call ? T * (D / 2) : 0);
    s->added = hm_take_f32(l, T * D);
    s->a = take_after(l, room, trunk);
    s->b = take_after(l, room, trunk);
    s->n = hm_take_f32(l, rows * Z);
    s->wide = hm_take_f32(l, rows * 4 * Z);
    layout_blocks(c, l, s, g, frames);
    s->wave = hm_take_f32(l, T * (size_t)g->decode_rate);
    place_carried(s, g);
    s->carried = hm_take_f32(l, s->carried_floats);
    place_carried(s, g);
}

/* --- streams --- */

hm_status hm_speech_stream_open(hm_ctx *c, hm_speech_stream **out, const hm_speech_codec *m, int max_frames, hm_error *err)
{
    const hm_speech_codec_shape *g = &m->shape;
    hm_layout measure = {0};
    if (max_frames < 1 || (int64_t)max_frames * g->decode_rate > INT_MAX)
        return hm_fail(err, HM_EUSAGE, "speech decoder: %d frames at once: expected 1 to %lld", max_frames,
                       (long long)(INT_MAX / g->decode_rate));
    hm_speech_stream *s = hm_call_calloc(c, 1, sizeof *s, "speech stream", err);
    if (!s)
        return HM_EABSENT;
    s->m = m;
    s->max_frames = max_frames;
    layout(c, &measure, &s->buffers, g, max_frames);
    hm_transformer_config config = hm_speech_transformer_config(g, s->buffers.slots);
    s->ids = hm_call_calloc(c, (size_t)max_frames * (size_t)g->groups, sizeof *s->ids, "codes", err);
    s->memory = s->ids ? c->ops.alloc(&c->ops, measure.used) : NULL;
    hm_status st = s->memory ? HM_OK : hm_fail(err, HM_EABSENT, "speech decoder: no memory for %zu MiB of scratch", measure.used >> 20);
    if (!st)
        st = hm_kv_open(c, &s->kv, &config, 1, s->buffers.slots, hm_t(c)->attn == HM_ATTN_ALL_SLOTS, err);
    if (st) {
        hm_speech_stream_close(c, &s);
        return st;
    }
    layout(c, &(hm_layout){.base = s->memory}, &s->buffers, g, max_frames);
    s->bytes = hm_speech_stream_estimate(c, g, max_frames);
    hm_speech_stream_reset(c, s);
    *out = s;
    return HM_OK;
}

void hm_speech_stream_close(hm_ctx *c, hm_speech_stream **stream)
{
    hm_speech_stream *s = *stream;
    if (!s)
        return;
    hm_kv_close(c, &s->kv);
    if (s->memory)
        c->ops.free(&c->ops, s->memory);
    hm_call_free(c, s->ids);
    hm_call_free(c, s);
    *stream = NULL;
}

/* Rotations of all positions that the caches can hold from their first slot on, when they are made once. */
static void make_rotations(hm_ctx *c, hm_speech_stream *s)
{
    const hm_transformer *t = &s->m->transformer;
    hm_transformer_scratch *r = &s->buffers.transformer;
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE)
        c->ops.rope_table(&c->ops, r->cos, r->sin, t->theta, t->config.head_dim / 2, s->kv.base, r->table_positions);
}

void hm_speech_stream_reset(hm_ctx *c, hm_speech_stream *s)
{
    hm_kv_reset(c, &s->kv);
    make_rotations(c, s);
    c->ops.fill(&c->ops, s->buffers.carried, 0.0f, s->buffers.carried_floats);
}

uint64_t hm_speech_stream_bytes(const hm_speech_stream *s)
{
    return s->bytes;
}

uint64_t hm_speech_stream_estimate(const hm_ctx *c, const hm_speech_codec_shape *g, int max_frames)
{
    speech_buffers s = {0};
    hm_layout measure = {0};
    layout(c, &measure, &s, g, max_frames);
    hm_transformer_config config = hm_speech_transformer_config(g, s.slots);
    uint64_t bytes = measure.used + hm_kv_bytes(c, &config, 1, s.slots) + (uint64_t)max_frames * (uint64_t)g->groups * sizeof(int32_t);
    if (hm_t(c)->attn != HM_ATTN_FLASH)
        bytes += (uint64_t)config.heads * (uint64_t)max_frames * (uint64_t)(s.slots + HM_SCORE_PADDING) * sizeof(float);
    return bytes;
}

uint64_t hm_speech_vocoder_estimate(const hm_ctx *c, const hm_speech_codec_shape *g, int max_frames)
{
    speech_buffers s = {0};
    hm_layout measure = {0};
    layout_blocks(c, &measure, &s, g, max_frames);
    hm_take_f32(&measure, (size_t)max_frames * (size_t)g->decode_rate);
    return measure.used;
}

/* Room for `frames` more slots: blocks that no later row sees are dropped. */
static void make_room(hm_ctx *c, hm_speech_stream *s, int frames)
{
    int unseen = s->kv.length - ((int)s->m->shape.decoder.window - 1);
    if (s->kv.length + frames <= s->buffers.slots || unseen < HM_ATTENTION_BLOCK)
        return;
    hm_kv_drop(c, &s->kv, unseen / HM_ATTENTION_BLOCK * HM_ATTENTION_BLOCK);
    make_rotations(c, s);
}

/* --- forward --- */

static void tap(hm_ctx *c, const float *value, int rows, int channels, const char *format, int i)
{
    char name[32];
    if (!hm_tapping(c))
        return;
    snprintf(name, sizeof name, format, i);
    hm_tap(c, name, value, 0, 1, channels, rows, true);
}

static bool sums_tables(const hm_ctx *c)
{
    return hm_t(c)->precompute == HM_PRECOMPUTE_ONCE && hm_t(c)->fuse == HM_FUSE_ALL;
}

/* Codes to the device: negative ones are 0, those beyond the codebook its last. */
static void upload_codes(hm_ctx *c, hm_speech_stream *s, const int32_t *codes, int frames)
{
    int G = (int)s->m->shape.groups;
    int32_t top = (int32_t)s->m->shape.decoder.codebook - 1;
    bool by_frame = sums_tables(c);
    for (int i = 0; i < frames; i++)
        for (int q = 0; q < G; q++) {
            int32_t code = codes[(size_t)i * (size_t)G + (size_t)q];
            c->counters.tokens_out_of_range += code > top;
            size_t at = by_frame ? (size_t)i * (size_t)G + (size_t)q : (size_t)q * (size_t)frames + (size_t)i;
            s->ids[at] = code < 0 ? 0 : code > top ? top : code;
        }
    c->ops.upload(&c->ops, s->buffers.ids, s->ids, (size_t)frames * (size_t)G * sizeof *s->ids);
}

/* Row W e of codebook q for every frame: from its table, or from the codebook divided and projected now. */
static void project_codes(hm_ctx *c, hm_speech_stream *s, int q, float *y, int frames)
{
    const hm_ops *op = &c->ops;
    const hm_speech_codec *m = s->m;
    speech_buffers *w = &s->buffers;
    int D = (int)m->shape.decoder.codebook_dim;
    const int32_t *ids = w->ids + (size_t)q * (size_t)frames;
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE) {
        op->gather(op, y, m->tables[q], HM_F32, D, ids, frames);
        return;
    }
    hm_speech_codebook_rows(c, m, q, w->book);
    op->gather(op, w->picked, w->book, HM_F32, D / 2, ids, frames);
    op->linear_ex(op, &(hm_linear_args){.y = y, .x = w->picked, .w = &m->project[q > 0], .M = frames});
}

/* Step 1: sum over codebooks of W e. */
static void dequantise(hm_ctx *c, hm_speech_stream *s, float *y, int frames)
{
    const hm_ops *op = &c->ops;
    int D = (int)s->m->shape.decoder.codebook_dim, G = (int)s->m->shape.groups;
    if (sums_tables(c)) {
        op->gather_tables(op, y, s->m->tables, HM_F32, D, s->buffers.ids, frames, G);
        return;
    }
    for (int q = 0; q < G; q++) {
        float *to = q ? s->buffers.added : y;
        project_codes(c, s, q, to, frames);
        if (q)
            op->add(op, y, to, (size_t)frames * (size_t)D);
    }
}

/* Step 3: x [frames][Z] to y; x is overwritten. */
static void transformer_forward(hm_ctx *c, hm_speech_stream *s, float *x, float *y, int frames)
{
    const hm_ops *op = &c->ops;
    const hm_speech_codec *m = s->m;
    hm_kv_cache *kv = &s->kv;
    op->linear_ex(op, &(hm_linear_args){.y = y, .x = x, .w = &m->into, .M = frames});
    hm_tap(c, "pt_input_proj", y, 0, 1, frames, m->into.out, false);
    hm_transformer_forward(c, &m->transformer, &s->buffers.transformer, &kv, 1, x, y, 1, frames,
                           &(hm_transformer_pass){.first_out = "pt_layer0"});
    op->linear_ex(op, &(hm_linear_args){.y = y, .x = x, .w = &m->out_of, .M = frames});
    hm_tap(c, "pt_out", y, 0, 1, frames, m->out_of.out, false);
}

/* Step 4 for one ratio: x [rows][Z] to y [rows*ratio][Z]; x is overwritten. Returns the rows of y. */
static int upsample_forward(hm_ctx *c, hm_speech_stream *s, int u, float *y, float *x, int rows)
{
    const hm_ops *op = &c->ops;
    const hm_speech_upsample *m = &s->m->upsample[u];
    speech_buffers *w = &s->buffers;
    int Z = (int)s->m->shape.decoder.latent;
    size_t carried = (HM_SPEECH_DEPTHWISE - 1) * (size_t)Z;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    hm_conv_forward(c, &m->up, &(hm_conv_call){.y = y, .x = x, .rows = rows, .dilation = 1});
    rows *= m->up.stride;
    tap(c, y, rows, Z, "up%d_transconv", u);
    op->copy(op, y - carried, w->depthwise[u], carried * sizeof *y);
    op->depthwise(op, x, y - carried, m->depthwise, m->depthwise_bias, rows, Z, HM_SPEECH_DEPTHWISE, 1);
    op->copy(op, w->depthwise[u], y + (size_t)rows * (size_t)Z - carried, carried * sizeof *y);
    op->layernorm(op, w->n, x, m->norm, m->norm_bias, rows, Z, HM_SPEECH_NORM_EPS);
    op->linear_ex(op, &(hm_linear_args){.y = w->wide, .x = w->n, .w = &m->wide, .M = rows, .act = fused ? HM_ACT_GELU : HM_ACT_NONE});
    if (!fused)
        op->activate(op, w->wide, HM_ACT_GELU, 0, (size_t)rows * (size_t)m->wide.out);
    op->linear_ex(op, &(hm_linear_args){.y = x, .x = w->wide, .w = &m->narrow, .M = rows});
    op->gate_add(op, y, x, m->gamma, 1, rows, Z, 0);
    tap(c, y, rows, Z, "up%d", u);
    return rows;
}

/* Steps 1 to 5. Returns [rows][C_0]. */
static float *latents_forward(hm_ctx *c, hm_speech_stream *s, int frames, int *rows)
{
    const hm_speech_codec *m = s->m;
    speech_buffers *w = &s->buffers;
    float *x = w->a, *y = w->b, *swap;
    dequantise(c, s, x, frames); /* 1 */
    tap(c, x, frames, m->pre_conv.linear.in, "quantized", 0);
    hm_conv_forward(c, &m->pre_conv, &(hm_conv_call){.y = y, .x = x, .history = w->pre_conv, .rows = frames, .dilation = 1}); /* 2 */
    tap(c, y, frames, m->pre_conv.linear.out, "pre_conv", 0);
    transformer_forward(c, s, y, x, frames); /* 3 */
    *rows = frames;
    for (int u = 0; u < (int)m->shape.decoder.ratio_count; u++) { /* 4 */
        *rows = upsample_forward(c, s, u, y, x, *rows);
        swap = x;
        x = y;
        y = swap;
    }
    hm_conv_forward(c, &m->input, &(hm_conv_call){.y = y, .x = x, .history = w->input, .rows = *rows, .dilation = 1}); /* 5 */
    tap(c, y, *rows, m->input.linear.out, "dec%d", 0);
    return y;
}

static void snake(hm_ctx *c, const hm_speech_snake *f, float *y, const float *x, int rows)
{
    hm_speech_snake_ready(c, f);
    c->ops.snake(&c->ops, y, x, f->a, f->b, rows, f->channels);
}

/* y += conv2(snake2(conv1(snake1(y)))) */
static void unit_forward(hm_ctx *c, hm_speech_stream *s, const hm_speech_unit *m, float *history, float *y, int rows)
{
    float *t = s->buffers.t, *u = s->buffers.u;
    snake(c, &m->act1, t, y, rows);
    hm_speech_snake_ready(c, &m->act2);
    hm_conv_forward(c, &m->conv1,
                    &(hm_conv_call){.y = u,
                                    .x = t,
                                    .history = history,
                                    .rows = rows,
                                    .dilation = m->dilation,
                                    .act = HM_ACT_SNAKE,
                                    .snake_a = m->act2.a,
                                    .snake_b = m->act2.b});
    hm_conv_forward(c, &m->conv2, &(hm_conv_call){.y = y, .x = u, .rows = rows, .dilation = 1, .add = true, .spare = t});
}

/* Step 7: x [rows][C_n] to samples. */
static void output_forward(hm_ctx *c, hm_speech_stream *s, const float *x, int rows, float *wave)
{
    const hm_speech_codec *m = s->m;
    int n = (int)m->shape.decoder.rate_count;
    float *t = s->buffers.t;
    snake(c, &m->last, t, x, rows);
    tap(c, t, rows, m->last.channels, "dec%d", n + 1);
    hm_conv_forward(c, &m->output, &(hm_conv_call){.y = wave, .x = t, .history = s->buffers.output, .rows = rows, .dilation = 1});
    tap(c, wave, rows, 1, "dec%d", n + 2);
    c->ops.clamp(&c->ops, wave, -1.0f, 1.0f, (size_t)rows);
}

/* Step 6, block i and all after it: x [rows][C_{i-1}] to samples, as many rows at once as its buffers hold. */
static void block_forward(hm_ctx *c, hm_speech_stream *s, int i, const float *x, int rows, float *wave)
{
    const hm_speech_block *m = &s->m->block[i];
    speech_buffers *w = &s->buffers;
    int stride = m->up.stride, channels = m->act.channels;
    float *y = w->level[i];
    for (int at = 0; at < rows && !hm_ops_status(&c->ops); at += w->step[i]) {
        int n = rows - at < w->step[i] ? rows - at : w->step[i], out = n * stride;
        float *part = wave + (size_t)at * (size_t)stride * (size_t)w->samples[i];
        snake(c, &m->act, w->t, x + (size_t)at * (size_t)channels, n);
        hm_conv_forward(c, &m->up, &(hm_conv_call){.y = y, .x = w->t, .history = w->up[i], .rows = n, .dilation = 1});
        tap(c, y, out, m->unit[0].act1.channels, "dec%d_transconv", i + 1);
        for (int j = 0; j < HM_SPEECH_UNITS; j++) {
            unit_forward(c, s, &m->unit[j], w->unit[i][j], y, out);
            if (j == 0)
                tap(c, y, out, m->unit[0].act1.channels, "dec%d_res0", i + 1);
        }
        tap(c, y, out, m->unit[0].act1.channels, "dec%d", i + 1);
        if (i + 1 < (int)s->m->shape.decoder.rate_count)
            block_forward(c, s, i + 1, y, out, part);
        else
            output_forward(c, s, y, out, part);
    }
}

/* The next frames, of which the samples of the first `skip` are not wanted. */
static void push(hm_ctx *c, hm_speech_stream *s, const int32_t *codes, int frames, int skip, float *pcm)
{
    const hm_ops *op = &c->ops;
    size_t rate = (size_t)s->m->shape.decode_rate;
    float *wave = s->buffers.wave;
    int rows;
    if (frames < 1 || hm_ops_status(op))
        return;
    if (frames > s->max_frames) {
        hm_fail(&c->error, HM_EBUG, "speech decoder: %d frames pushed; the stream was opened for %d at once", frames, s->max_frames);
        return;
    }
    hm_part_begin(c, "latents", frames);
    make_room(c, s, frames);
    upload_codes(c, s, codes, frames);
    const float *x = latents_forward(c, s, frames, &rows);
    hm_part_end(c, "latents");
    hm_part_begin(c, "vocoder", frames);
    block_forward(c, s, 0, x, rows, wave);
    hm_tap(c, "waveform", wave, 0, 1, 1, (int64_t)frames * (int64_t)rate, false);
    op->download(op, pcm, wave + (size_t)skip * rate, (size_t)(frames - skip) * rate * sizeof *pcm);
    hm_part_end(c, "vocoder");
    c->counters.decoded_frames += (uint64_t)frames;
    c->counters.decode_chunks++;
}

void hm_speech_stream_push(hm_ctx *c, hm_speech_stream *s, const int32_t *codes, int frames, float *pcm)
{
    push(c, s, codes, frames, 0, pcm);
}

/* --- all frames --- */

int hm_speech_piece_frames(const hm_ctx *c, const hm_speech_codec_shape *g, int frames)
{
    size_t one = frame_rows(g, 1) * most(4 * (size_t)g->decoder.latent, (size_t)g->decoder.channels) * sizeof(float);
    size_t n = most(PIECE_BYTES / one, PIECE_MIN_FRAMES);
    return hm_t(c)->decode == HM_DECODE_WHOLE || hm_tapping(c) || n > (size_t)frames ? frames : (int)n;
}

/* Frames first .. end-1 of a fresh stream, of which those from `start` on become audio. */
static void decode_frames(hm_ctx *c, hm_speech_stream *s, const int32_t *codes, int first, int start, int end, int total, float *audio)
{
    size_t G = (size_t)s->m->shape.groups, rate = (size_t)s->m->shape.decode_rate;
    hm_speech_stream_reset(c, s);
    for (int at = first; at < end && !hm_ops_status(&c->ops); at += s->max_frames) {
        int n = end - at < s->max_frames ? end - at : s->max_frames, unwanted = start - at < 0 ? 0 : start - at < n ? start - at : n;
        push(c, s, codes + (size_t)at * G, n, unwanted, audio + (size_t)(at + unwanted) * rate);
        hm_progress(c, "decode", at + n, total);
    }
}

hm_status hm_speech_decode(hm_ctx *c, const hm_speech_codec *m, const int32_t *codes, int frames, int chunk, int context, float *audio,
                           uint64_t *scratch_bytes, hm_error *err)
{
    hm_speech_stream *s = NULL;
    bool original = hm_t(c)->chunks == HM_CHUNKS_ORIGINAL;
    if (frames < 1)
        return hm_fail(err, HM_EUSAGE, "codes: expected at least 1 frame, found %d", frames);
    if (original && (chunk < 1 || context < 0))
        return hm_fail(err, HM_EUSAGE, "speech decoder: chunks of %d frames after %d: expected at least 1 after at least 0", chunk,
                       context);
    int64_t longest = original ? (int64_t)chunk + context : frames;
    hm_status st = hm_speech_stream_open(c, &s, m, hm_speech_piece_frames(c, &m->shape, longest < frames ? (int)longest : frames), err);
    if (st)
        return st;
    for (int64_t start = 0; start < frames && !hm_ops_status(&c->ops); start += original ? chunk : frames) {
        int64_t end = original && start + chunk < frames ? start + chunk : frames, before = start > context ? context : start;
        decode_frames(c, s, codes, (int)(start - before), (int)start, (int)end, frames, audio);
    }
    if (scratch_bytes)
        *scratch_bytes = hm_speech_stream_bytes(s);
    hm_speech_stream_close(c, &s);
    return hm_ops_status(&c->ops) ? hm_fail(err, c->error.status, "%s", c->error.text) : HM_OK;
}
