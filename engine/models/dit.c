/* The flow-matching estimator (a diffusion transformer) and its Euler solver: heartcodec.md sections 4 and 5. */
#include <math.h>
#include <stdio.h>

#include "engine/models/heartcodec.h"

#define EPS 1e-6f
#define FREQUENCIES 256
#define SIGMA_MIN 1e-6

static bool once(const hm_ctx *c)
{
    return hm_t(c)->precompute == HM_PRECOMPUTE_ONCE;
}

static bool fused(const hm_ctx *c)
{
    return hm_t(c)->fuse == HM_FUSE_ALL;
}

/* --- buffers --- */

/* Rows of times whose networks run side by side: sums of so few rows do not depend on how many there are. */
static int few(int rows)
{
    return rows < HM_FEW_ROWS ? rows : HM_FEW_ROWS;
}

static void tables_layout(hm_layout *l, hm_dit_tables *t, const hm_dit *m, int steps, int frames)
{
    t->steps = steps;
    t->frames = frames;
    for (int i = 0; i < 2; i++) {
        const hm_dit_stack *k = &m->stack[i];
        size_t D = (size_t)k->dim, half = (size_t)k->head_dim / 2;
        t->block_mod[i] = hm_take_f32(l, (size_t)steps * (size_t)k->layers * 6 * D);
        t->norm_mod[i] = hm_take_f32(l, (size_t)steps * 2 * D);
        t->cos[i] = hm_take_f32(l, (size_t)frames * half);
        t->sin[i] = hm_take_f32(l, (size_t)frames * half);
    }
}

/* Room for the networks of `times` times. */
static void time_layout(hm_layout *l, hm_dit_scratch *s, const hm_dit *m, int times)
{
    size_t n = (size_t)times;
    s->features = hm_take_f32(l, n * 2 * FREQUENCIES);
    s->hidden = hm_take_f32(l, n * (size_t)m->stack[1].dim);
    for (int i = 0; i < 2; i++) {
        s->emb[i] = hm_take_f32(l, n * (size_t)m->stack[i].dim);
        s->mod[i] = hm_take_f32(l, n * 6 * (size_t)m->stack[i].dim);
    }
}

/* Tables that are kept, where they are those of this extent, and room for the others. */
static void choose_tables(const hm_ctx *c, hm_layout *l, hm_dit_scratch *s, const hm_dit *m, const hm_dit_extent *e)
{
    const hm_dit_tables *kept = &m->kept;
    bool steps = once(c) && kept->steps == e->steps, frames = once(c) && kept->frames >= e->frames;
    tables_layout(l, &s->own, m, once(c) && !steps ? e->steps : 0, frames ? 0 : e->frames);
    s->tables = s->own;
    for (int i = 0; i < 2; i++) {
        if (steps) {
            s->tables.block_mod[i] = kept->block_mod[i];
            s->tables.norm_mod[i] = kept->norm_mod[i];
        }
        if (frames) {
            s->tables.cos[i] = kept->cos[i];
            s->tables.sin[i] = kept->sin[i];
        }
    }
}

void hm_dit_layout(const hm_ctx *c, hm_layout *l, hm_dit_scratch *s, const hm_dit *m, const hm_dit_extent *e)
{
    size_t D1 = (size_t)m->stack[0].dim, D2 = (size_t)m->stack[1].dim, I = (size_t)m->in, T = (size_t)e->frames;
    size_t F = (size_t)(m->stack[0].ffn_dim > m->stack[1].ffn_dim ? m->stack[0].ffn_dim : m->stack[1].ffn_dim);
    int rows = hm_t(c)->cfg == HM_CFG_BATCHED ? e->segments * e->passes : e->segments;
    size_t R = (size_t)rows, n = R * T, one = (size_t)e->segments * T, all = one * (size_t)e->passes;
    s->segments = e->segments;
    s->passes = e->passes;
    s->rows = rows;
    s->frames = e->frames;
    s->steps = e->steps;
    s->in = hm_take_f32(l, R * (T + 2) * I);
    s->inner_in = hm_take_f32(l, R * (T + 2) * D1);
    s->out_in = hm_take_f32(l, R * (T + 2) * D2);
    s->s = hm_take_f32(l, n * D2);
    s->n = hm_take_f32(l, n * D2);
    s->q = hm_take_f32(l, n * D2);
    s->k = hm_take_f32(l, n * D2);
    s->v = hm_take_f32(l, n * D2);
    s->a = hm_take_f32(l, n * D2);
    s->t = hm_take_f32(l, n * D2);
    s->gate = hm_take_f32(l, n * F);
    s->up = hm_take_f32(l, n * F);
    for (int i = 0; i < 2; i++) {
        s->fixed_sum[i] = hm_take_f32(l, once(c) ? all * (i ? D2 : D1) : 0);
        s->state_sum[i] = hm_take_f32(l, once(c) ? one * (i ? D2 : D1) : 0);
        s->block_mod[i] = hm_take_f32(l, R * 6 * (i ? D2 : D1));
        s->norm_mod[i] = hm_take_f32(l, R * 2 * (i ? D2 : D1));
    }
    s->velocity = hm_take_f32(l, (e->passes > 2 ? all : 2 * one) * (size_t)m->out); /* of all guidance rows, in one pass or two */
    time_layout(l, s, m, rows > few(e->steps) ? rows : few(e->steps));
    choose_tables(c, l, s, m, e);
}

/* Columns of a padded buffer [rows][T+2][width]: first real frame of a batch row. */
static float *padded_row(float *buffer, int row, int frames, int width)
{
    return buffer + ((size_t)row * (size_t)(frames + 2) + 1) * (size_t)width;
}

static void zero_padding(hm_ctx *c, float *buffer, int rows, int frames, int width)
{
    for (int b = 0; b < rows; b++) {
        float *first = padded_row(buffer, b, frames, width);
        c->ops.fill(&c->ops, first - width, 0.0f, (size_t)width);
        c->ops.fill(&c->ops, first + (size_t)frames * (size_t)width, 0.0f, (size_t)width);
    }
}

/* x [rows][T][width] into a padded buffer, from frame `from` on. */
static void into_padded(hm_ctx *c, float *buffer, const float *x, int rows, int frames, int from, int width)
{
    int n = frames - from;
    for (int b = 0; b < rows; b++)
        c->ops.copy(&c->ops, padded_row(buffer, b, frames, width) + (size_t)from * (size_t)width, x + (size_t)b * (size_t)n * (size_t)width,
                    (size_t)n * (size_t)width * sizeof *x);
}

void hm_dit_input(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, int row, int first, const float *src, int64_t ld, int width)
{
    c->ops.copy_2d(&c->ops, padded_row(s->in, row, s->frames, m->in) + first, m->in, src, ld, width, s->frames);
}

/* --- timestep --- */

/* [cos a_0 .. cos a_255, sin a_0 ..], a_j = (t*w_j)*1000, w_j = exp(float(-ln 10000 * j)/256), each product rounded to float32. */
static void time_features(float *out, float t)
{
    for (int j = 0; j < FREQUENCIES; j++) {
        float exponent = (float)(-log(10000.0)) * (float)j / (float)FREQUENCIES;
        float w = (float)exp((double)exponent), angle = t * w * 1000.0f;
        out[j] = (float)cos((double)angle);
        out[FREQUENCIES + j] = (float)sin((double)angle);
    }
}

/* emb = linear_2(silu(linear_1(features(t)))), mod = linear(silu(emb)), for `rows` times (same: for t[0] in all of them), into s->emb[i],
 * s->mod[i]. */
static void modulation(hm_ctx *c, const hm_dit_stack *k, hm_dit_scratch *s, int i, const float *t, bool same, int rows)
{
    const hm_ops *op = &c->ops;
    float host[2 * FREQUENCIES];
    size_t D = (size_t)k->dim;
    for (int b = 0; b < rows; b++) {
        time_features(host, t[same ? 0 : b]);
        op->upload(op, s->features + (size_t)b * 2 * FREQUENCIES, host, sizeof host);
    }
    for (int b = 0; b < rows; b += HM_FEW_ROWS) {
        int n = few(rows - b);
        size_t values = (size_t)n * D;
        float *emb = s->emb[i] + (size_t)b * D;
        op->linear(op, s->hidden, s->features + (size_t)b * 2 * FREQUENCIES, &k->time_1, n);
        op->activate(op, s->hidden, HM_ACT_SILU, 0.0f, values);
        op->linear(op, emb, s->hidden, &k->time_2, n);
        op->copy(op, s->hidden, emb, values * sizeof *emb);
        op->activate(op, s->hidden, HM_ACT_SILU, 0.0f, values);
        op->linear(op, s->mod[i] + (size_t)b * 6 * D, s->hidden, &k->modulation, n);
    }
    c->counters.table_values += (uint64_t)rows * (uint64_t)(7 * k->dim + 2 * FREQUENCIES);
}

/* m [6D] of one block: scale_shift + mod; and of the output norm [2D]: scale_shift + emb in both halves. */
static void block_modulation(hm_ctx *c, const hm_dit_stack *k, int block, const float *mod, float *out)
{
    size_t n = (size_t)k->dim * 6;
    c->ops.copy(&c->ops, out, k->blocks[block].scale_shift, n * sizeof *out);
    c->ops.add(&c->ops, out, mod, n);
}

static void norm_modulation(hm_ctx *c, const hm_dit_stack *k, const float *emb, float *out)
{
    size_t D = (size_t)k->dim;
    c->ops.copy(&c->ops, out, k->scale_shift, 2 * D * sizeof *out);
    c->ops.add(&c->ops, out, emb, D);
    c->ops.add(&c->ops, out + D, emb, D);
}

/* --- tables --- */

static void make_rotations(hm_ctx *c, const hm_dit *m, const hm_dit_tables *t)
{
    for (int i = 0; i < 2 && t->frames; i++)
        c->ops.rope_table(&c->ops, t->cos[i], t->sin[i], m->stack[i].theta, m->stack[i].head_dim / 2, 0, t->frames);
}

/* The networks of all steps, few at a time, so that their weights are read few times. */
static void make_steps(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_dit_tables *t)
{
    float times[HM_CODEC_MAX_STEPS + 1];
    if (!t->steps)
        return;
    hm_flow_times(times, t->steps);
    for (int i = 0; i < 2; i++) {
        const hm_dit_stack *k = &m->stack[i];
        size_t D = (size_t)k->dim, L = (size_t)k->layers;
        for (int first = 0; first < t->steps; first += HM_FEW_ROWS) {
            int n = few(t->steps - first);
            modulation(c, k, s, i, times + first, false, n);
            for (int j = 0; j < n; j++) {
                size_t step = (size_t)(first + j);
                for (int b = 0; b < k->layers; b++)
                    block_modulation(c, k, b, s->mod[i] + (size_t)j * 6 * D, t->block_mod[i] + (step * L + (size_t)b) * 6 * D);
                norm_modulation(c, k, s->emb[i] + (size_t)j * D, t->norm_mod[i] + step * 2 * D);
            }
        }
    }
}

uint64_t hm_dit_kept_bytes(const hm_ctx *c, hm_dit *m)
{
    hm_layout l = {0};
    if (once(c))
        tables_layout(&l, &m->kept, m, hm_flow_steps(c), HM_LATENTS_PER_CODE * (int)(HM_DETOK_SECONDS * HM_CODES_PER_SECOND));
    return l.used;
}

hm_status hm_dit_keep(hm_ctx *c, hm_dit *m, void *memory, hm_error *err)
{
    hm_dit_scratch s = {0};
    hm_layout room = {0};
    tables_layout(&(hm_layout){.base = memory}, &m->kept, m, m->kept.steps, m->kept.frames);
    time_layout(&room, &s, m, few(m->kept.steps));
    void *scratch = c->ops.alloc(&c->ops, room.used);
    if (!scratch)
        return hm_fail(err, HM_EABSENT, "codec: no memory for %zu bytes of time embeddings", room.used);
    time_layout(&(hm_layout){.base = scratch}, &s, m, few(m->kept.steps));
    make_rotations(c, m, &m->kept);
    make_steps(c, m, &s, &m->kept);
    c->ops.sync(&c->ops);
    c->ops.free(&c->ops, scratch);
    return HM_OK;
}

void hm_dit_prepare(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s)
{
    if (!once(c))
        return;
    make_rotations(c, m, &s->own);
    make_steps(c, m, s, &s->own);
}

void hm_dit_frames(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, int segments, int frames)
{
    s->segments = segments;
    s->rows = hm_t(c)->cfg == HM_CFG_BATCHED ? segments * s->passes : segments;
    s->frames = frames;
    zero_padding(c, s->in, s->rows, frames, m->in);
    zero_padding(c, s->inner_in, s->rows, frames, m->stack[0].dim);
    zero_padding(c, s->out_in, s->rows, frames, m->stack[1].dim);
}

/* --- forward --- */

/* What the blocks of one estimator call share. */
struct call {
    const hm_dit_call *request;
    const hm_dit_stack *stack;
    hm_dit_scratch *s;
    int i; /* stack */
    int rows, frames;
    float *x; /* [rows][frames][D]: the last so many frames of the segment; all but in the last block */
};

/* Whether the time of this call is a row of the tables, and sums of its step 0 are kept. */
static bool prepared(const hm_ctx *c, const struct call *k)
{
    return once(c) && k->request->step >= 0;
}

static void tap(hm_ctx *c, const struct call *k, const char *name, const float *value, int width)
{
    if (k->frames == k->s->frames)
        hm_tap(c, name, value, k->request->pass, k->rows, k->frames, width, false);
}

/* y = norm(x)*(1+scale) + shift, with the vectors of m at rows `shift` and `shift+1`. */
static void modulated_norm(hm_ctx *c, const struct call *k, const float *weight, const float *m, int64_t stride, int shift)
{
    const hm_ops *op = &c->ops;
    int D = k->stack->dim;
    float *y = k->s->n;
    const float *shift_vector = m + (size_t)shift * (size_t)D, *scale_vector = shift_vector + D;
    if (fused(c)) {
        op->rmsnorm_modulate(op, y, k->x, weight, shift_vector, scale_vector, k->rows, k->frames, D, stride, EPS);
        return;
    }
    op->rmsnorm(op, y, k->x, weight, k->rows * k->frames, D, EPS);
    op->modulate(op, y, y, shift_vector, scale_vector, k->rows, k->frames, D, stride);
}

/* y [rows][frames-from][D] = x's frames from `from` on. */
static void last_frames(hm_ctx *c, const struct call *k, float *y, const float *x, int from)
{
    size_t D = (size_t)k->stack->dim, n = (size_t)(k->frames - from) * D;
    for (int b = 0; b < k->rows; b++)
        c->ops.copy(&c->ops, y + (size_t)b * n, x + ((size_t)b * (size_t)k->frames + (size_t)from) * D, n * sizeof *y);
}

static void project_heads(hm_ctx *c, const struct call *k, const hm_dit_block *b, int from)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    int M = k->rows * k->frames, asking = k->rows * (k->frames - from);
    const float *n = s->n;
    if (fused(c) && !from) {
        op->linear_multi(op, 3, (float *const[]){s->q, s->k, s->v}, n, (const hm_linear *const[]){&b->q, &b->k, &b->v}, M);
        return;
    }
    if (from) {
        last_frames(c, k, s->a, s->n, from);
        n = s->a;
    }
    op->linear(op, s->q, n, &b->q, asking);
    if (fused(c))
        op->linear_multi(op, 2, (float *const[]){s->k, s->v}, s->n, (const hm_linear *const[]){&b->k, &b->v}, M);
    else {
        op->linear(op, s->k, s->n, &b->k, M);
        op->linear(op, s->v, s->n, &b->v, M);
    }
}

/* s->t of frames from `from` on, which see all. */
static void attention_forward(hm_ctx *c, const struct call *k, const hm_dit_block *b, int from)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    int T = k->frames, D = k->stack->dim, heads = k->stack->heads, Dh = k->stack->head_dim;
    const float *cos_table = s->tables.cos[k->i], *sin_table = s->tables.sin[k->i];
    size_t first = (size_t)from * (size_t)(Dh / 2);
    project_heads(c, k, b, from);
    op->rope(op, s->q, cos_table + first, sin_table + first, k->rows, T - from, heads, Dh, false);
    op->rope(op, s->k, cos_table, sin_table, k->rows, T, heads, Dh, false);
    op->attention(op, &(hm_attention_args){
                          .out = s->a,
                          .q = s->q,
                          .kv = {.k = s->k, .v = s->v, .heads = heads, .batch = (int64_t)T * D, .head = Dh, .slot = D},
                          .B = k->rows,
                          .S = T - from,
                          .H = heads,
                          .Dh = Dh,
                          .slots = T,
                          .pos = from,
                          .scale = 1.0f / sqrtf((float)Dh),
                      });
    op->linear(op, s->t, s->a, &b->o, k->rows * (T - from));
}

static void mlp_forward(hm_ctx *c, const struct call *k, const hm_dit_block *b)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    int M = k->rows * k->frames;
    if (fused(c))
        op->linear_swiglu(op, s->gate, s->n, &b->gate, &b->up, M);
    else {
        op->linear(op, s->gate, s->n, &b->gate, M);
        op->linear(op, s->up, s->n, &b->up, M);
        op->silu_mul(op, s->gate, s->gate, s->up, (size_t)M * (size_t)k->stack->ffn_dim);
    }
    op->linear(op, s->t, s->gate, &b->down, M);
}

/* "block<index>.<what>" of the first stack. */
static void tap_block(hm_ctx *c, const struct call *k, int index, const char *what, const float *value)
{
    char name[64];
    snprintf(name, sizeof name, "block%d.%s", index, what);
    tap(c, k, name, value, k->stack->dim);
}

/* Rows of a block: shift_a, scale_a, gate_a, shift_m, scale_m, gate_m; *stride from one batch row's to the next. */
static const float *block_rows(hm_ctx *c, const struct call *k, int index, int64_t *stride)
{
    hm_dit_scratch *s = k->s;
    size_t D = (size_t)k->stack->dim, L = (size_t)k->stack->layers;
    *stride = 0; /* all rows have the step's time */
    if (prepared(c, k))
        return s->tables.block_mod[k->i] + ((size_t)k->request->step * L + (size_t)index) * 6 * D;
    *stride = 6 * (int64_t)D;
    for (int b = 0; b < k->rows; b++)
        block_modulation(c, k->stack, index, s->mod[k->i] + (size_t)b * 6 * D, s->block_mod[k->i] + (size_t)b * 6 * D);
    return s->block_mod[k->i];
}

/* One block on x; of frames from `from` on, which are all that x holds afterwards. */
static void block_forward(hm_ctx *c, struct call *k, int index, int from)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    const hm_dit_block *b = &k->stack->blocks[index];
    int D = k->stack->dim;
    bool watched = hm_tapping(c) && k->i == 0;
    int64_t stride;
    const float *m = block_rows(c, k, index, &stride);
    if (watched) {
        op->rmsnorm(op, s->n, k->x, b->attn_norm, k->rows * k->frames, D, EPS);
        tap_block(c, k, index, "attn_norm", s->n);
    }
    modulated_norm(c, k, b->attn_norm, m, stride, 0);
    attention_forward(c, k, b, from);
    if (watched)
        tap_block(c, k, index, "attn", s->t);
    if (from) {
        last_frames(c, k, s->k, k->x, from); /* keys have been used */
        k->x = s->k;
        k->frames -= from;
    }
    op->gate_add(op, k->x, s->t, m + 2 * D, k->rows, k->frames, D, stride);
    modulated_norm(c, k, b->mlp_norm, m, stride, 3);
    mlp_forward(c, k, b);
    if (watched)
        tap_block(c, k, index, "mlp", s->t);
    op->gate_add(op, k->x, s->t, m + 5 * D, k->rows, k->frames, D, stride);
    if (watched)
        tap_block(c, k, index, "out", k->x);
}

/* y [frames][out] = convolution of kernel 3 over rows that lie ld apart, of which x is the one before the first, plus `onto`, which may be
 * NULL or y. */
static void convolve(hm_ctx *c, const hm_linear *w, float *y, const float *x, int ld, int frames, const float *onto)
{
    c->ops.linear_ex(&c->ops, &(hm_linear_args){.y = y, .x = x, .w = w, .M = frames, .ldx = ld, .tap_stride = ld, .residual = onto});
}

/* s->t [rows][T][out] = the sums of p over the columns of s->in: fixed, then state. Kept where they are the same again. */
static void input_sums(hm_ctx *c, const struct call *k, const hm_dit *m, const hm_project *p)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    int T = s->frames, I = m->in, O = m->out, out = p->fixed.linear.out;
    size_t n = (size_t)T * (size_t)out;
    bool keep = prepared(c, k), first = k->request->step == 0;
    const hm_linear *fixed = hm_conv_weights(c, &p->fixed), *state = hm_conv_weights(c, &p->state);
    float *kept = keep ? s->fixed_sum[k->i] + (size_t)(k->request->pass * s->segments) * n : NULL, *shared = s->state_sum[k->i];
    for (int b = 0; b < k->rows; b++) {
        const float *x = padded_row(s->in, b, T, I) - I;
        float *z = s->t + (size_t)b * n;
        if (!keep) {
            convolve(c, fixed, z, x + O, I, T, NULL);
            convolve(c, state, z, x, I, T, z);
            continue;
        }
        if (first)
            convolve(c, fixed, kept + (size_t)b * n, x + O, I, T, NULL);
        if (k->request->pass == 0 && b < s->segments)
            convolve(c, state, shared + (size_t)b * n, x, I, T, NULL);
        op->copy(op, z, kept + (size_t)b * n, n * sizeof *z);
        op->add(op, z, shared + (size_t)(b % s->segments) * n, n);
    }
}

/* s->t [rows][T][out] += the sums of p over the first stack's rows, s->n. */
static void inner_sums(hm_ctx *c, const struct call *k, const hm_project *p)
{
    hm_dit_scratch *s = k->s;
    int T = s->frames, D = p->inner.linear.in;
    size_t n = (size_t)T * (size_t)p->inner.linear.out;
    const hm_linear *w = hm_conv_weights(c, &p->inner);
    into_padded(c, s->inner_in, s->n, k->rows, T, 0, D);
    for (int b = 0; b < k->rows; b++)
        convolve(c, w, s->t + (size_t)b * n, padded_row(s->inner_in, b, T, D) - D, D, T, s->t + (size_t)b * n);
}

/* y = linear(3^-1/2 * s->t). */
static void project_end(hm_ctx *c, const struct call *k, const hm_project *p, float *y, int rows)
{
    const hm_ops *op = &c->ops;
    op->scale(op, k->s->t, (float)pow(3.0, -0.5), (size_t)rows * (size_t)p->linear.in);
    op->linear(op, y, k->s->t, &p->linear, rows);
}

/* All blocks of a stack, then its modulated output norm into s->n. from: frames before it are not asked for. */
static void stack_forward(hm_ctx *c, struct call *k, int from)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    size_t D = (size_t)k->stack->dim;
    const float *norm = s->norm_mod[k->i];
    int64_t stride = 0;
    if (!once(c))
        op->rope_table(op, s->tables.cos[k->i], s->tables.sin[k->i], k->stack->theta, k->stack->head_dim / 2, 0, k->frames);
    if (prepared(c, k))
        norm = s->tables.norm_mod[k->i] + (size_t)k->request->step * 2 * D;
    else {
        modulation(c, k->stack, s, k->i, k->request->t, k->request->step >= 0, k->rows);
        for (int b = 0; b < k->rows; b++)
            norm_modulation(c, k->stack, s->emb[k->i] + (size_t)b * D, s->norm_mod[k->i] + (size_t)b * 2 * D);
        stride = 2 * (int64_t)D;
    }
    if (k->i == 0 && stride) {
        hm_tap(c, "temb", s->emb[0], k->request->pass, k->rows, 1, (int64_t)D, false);
        hm_tap(c, "adaln_single", s->mod[0], k->request->pass, k->rows, 1, 6 * (int64_t)D, false);
    }
    for (int b = 0; b < k->stack->layers && !hm_ops_status(op); b++)
        block_forward(c, k, b, b == k->stack->layers - 1 ? from : 0);
    tap(c, k, k->i ? "stack2.out" : "stack1.out", k->x, (int)D);
    op->layernorm(op, s->n, k->x, NULL, NULL, k->rows * k->frames, (int)D, EPS);
    op->modulate(op, s->n, s->n, norm, norm + D, k->rows, k->frames, (int)D, stride);
}

/* velocity = proj_out(s->n), of the frames that are asked for. */
static void output_forward(hm_ctx *c, const struct call *k, const hm_project *p)
{
    hm_dit_scratch *s = k->s;
    int T = s->frames, D = p->inner.linear.in, known = k->request->known, asked = T - known;
    size_t n = (size_t)asked * (size_t)p->inner.linear.out;
    const hm_linear *w = hm_conv_weights(c, &p->inner);
    into_padded(c, s->out_in, s->n, k->rows, T, T - k->frames, D);
    for (int b = 0; b < k->rows; b++)
        convolve(c, w, s->t + (size_t)b * n, padded_row(s->out_in, b, T, D) + (known - 1) * (int64_t)D, D, asked, NULL);
    project_end(c, k, p, s->velocity, k->rows * asked);
}

void hm_dit_forward(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_dit_call *request)
{
    int T = s->frames, rows = request->rows, known = request->known;
    struct call k = {.request = request, .stack = &m->stack[0], .s = s, .rows = rows, .frames = T, .x = s->s};
    c->counters.solver_frames += (uint64_t)(rows * T);

    input_sums(c, &k, m, &m->proj_in); /* s = proj_in(x_in)            */
    project_end(c, &k, &m->proj_in, s->s, rows * T);
    tap(c, &k, "proj_in", s->s, m->stack[0].dim);
    stack_forward(c, &k, 0); /* s = stack 1(s), output norm  */
    k.stack = &m->stack[1];
    k.i = 1;
    input_sums(c, &k, m, &m->connection); /* y = connection_proj([x_in, s]) */
    inner_sums(c, &k, &m->connection);
    project_end(c, &k, &m->connection, s->s, rows * T);
    tap(c, &k, "connection_proj", s->s, m->stack[1].dim);
    stack_forward(c, &k, known > 0 ? known - 1 : 0); /* y = stack 2(y), output norm  */
    output_forward(c, &k, &m->proj_out);             /* velocity = proj_out(y)       */
    if (!known)
        tap(c, &k, "out", s->velocity, m->out);
}

/* --- solver --- */

int hm_flow_steps(const hm_ctx *c)
{
    switch (hm_t(c)->flow_steps) {
    case HM_STEPS_50:
        return 50;
    case HM_STEPS_20:
        return 20;
    case HM_STEPS_5:
        return 5;
    case HM_STEPS_2:
        return 2;
    case HM_STEPS_1:
        return 1;
    default:
        return 10;
    }
}

void hm_flow_times(float *t, int steps)
{
    float s = 1.0f / (float)steps;
    for (int i = 0; i <= steps; i++)
        t[i] = i < (steps + 1) / 2 ? (float)i * s : fmaf(-(float)(steps - i), s, 1.0f);
}

/* Context and mu columns of one input row; mu NULL: zeros (the unconditional row). */
static void constant_columns(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r, int row, const float *mu)
{
    const hm_ops *op = &c->ops;
    int O = m->out, C = m->in - 2 * O;
    float *first = padded_row(s->in, row, s->frames, m->in);
    op->fill(op, s->a, 0.0f, (size_t)(O + C)); /* zeros first, then what is known */
    op->copy_2d(op, first + O, m->in, s->a, 0, O + C, s->frames);
    if (r->context_frames)
        op->copy_2d(op, first + O, m->in, r->context, O, O, r->context_frames);
    if (mu)
        op->copy_2d(op, first + 2 * O, m->in, mu, C, C, s->frames);
}

/* Rows of one call: what changes, and what does not where no sum of it is kept yet. */
static void input_rows(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r, const hm_dit_call *call, bool guided)
{
    size_t T = (size_t)s->frames, O = (size_t)m->out, C = (size_t)m->in - 2 * O;
    for (int row = 0; row < call->rows; row++) {
        size_t segment = (size_t)(row % s->segments);
        int pass = call->pass + row / s->segments;
        if (!once(c) || call->step == 0)
            constant_columns(c, m, s, r, row, guided && pass == 0 ? NULL : r->mu + segment * T * C);
        if (!once(c) || pass == 0) /* the state's sum serves both passes */
            hm_dit_input(c, m, s, row, 0, r->x + segment * T * O, m->out, m->out);
    }
}

/* Known frames lie on the straight line from their noise: x = (1 - (1-sigma)t) z + t y. */
static void context_state(hm_ctx *c, const hm_dit *m, const hm_flow_request *r, float t)
{
    const hm_ops *op = &c->ops;
    size_t n = (size_t)r->context_frames * (size_t)m->out;
    if (!n)
        return;
    op->copy(op, r->x, r->noise, n * sizeof(float));
    op->scale(op, r->x, 1.0f - (float)(1.0 - SIGMA_MIN) * t, n);
    op->axpy(op, r->x, t, r->context, n);
}

/* Velocity of the states r->x at step index `step`, guided, in s->velocity [segments][T-known][O]. */
static void guided_velocity(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r, float t, int step, int known)
{
    const hm_ops *op = &c->ops;
    size_t n = (size_t)s->segments * (size_t)(s->frames - known) * (size_t)m->out;
    int passes = r->guidance > 1.0f ? 2 : 1, together = hm_t(c)->cfg == HM_CFG_BATCHED ? passes : 1;
    hm_dit_call call = {.t = &t, .step = step, .rows = together * s->segments, .known = known};
    for (; call.pass < passes; call.pass += together) {
        input_rows(c, m, s, r, &call, passes == 2);
        hm_dit_forward(c, m, s, &call);
        if (call.pass == 0 && together < passes)
            op->copy(op, s->velocity + n, s->velocity, n * sizeof(float));
    }
    if (passes == 2 && together == 2)
        op->guide(op, s->velocity, s->velocity + n, s->velocity, r->guidance, n);
    else if (passes == 2)
        op->guide(op, s->velocity, s->velocity, s->velocity + n, r->guidance, n);
}

void hm_flow_solve(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r)
{
    const hm_ops *op = &c->ops;
    float times[HM_CODEC_MAX_STEPS + 1];
    int known = hm_t(c)->rows == HM_ROWS_NEEDED ? r->context_frames : 0; /* what they move by is thrown away */
    size_t O = (size_t)m->out, all = (size_t)s->segments * (size_t)s->frames * O, skipped = (size_t)known * O;
    hm_flow_times(times, r->steps);
    op->copy(op, r->x, r->noise, all * sizeof(float));
    float t = 0, dt = times[1];
    for (int step = 0; step < r->steps && !hm_ops_status(op); step++) {
        hm_progress(c, "decode", r->steps_before + step * s->segments, r->steps_total);
        hm_span_begin(c->probe, HM_SPAN_STEP, "solver step", step);
        context_state(c, m, r, t);
        if (known < s->frames) {
            guided_velocity(c, m, s, r, t, step, known);
            op->axpy(op, r->x + skipped, dt, s->velocity, all - skipped);
        }
        t = t + dt;
        if (step + 2 <= r->steps)
            dt = times[step + 2] - t;
        c->counters.solver_steps++;
        hm_span_end(c->probe, HM_SPAN_STEP, "solver step");
    }
    if (r->context_frames)
        op->copy(op, r->x, r->context, (size_t)r->context_frames * (size_t)m->out * sizeof(float));
}
