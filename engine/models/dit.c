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

static void stack_layout(const hm_ctx *c, hm_layout *l, hm_dit_scratch *s, const hm_dit_stack *k, int i, int rows, int frames, int steps)
{
    size_t D = (size_t)k->dim, R = (size_t)rows, M = once(c) ? (size_t)steps : 0, half = (size_t)k->head_dim / 2;
    s->emb[i] = hm_take_f32(l, R * D);
    s->mod[i] = hm_take_f32(l, R * 6 * D);
    s->block_mod[i] = hm_take_f32(l, (M * (size_t)k->layers + R) * 6 * D);
    s->norm_mod[i] = hm_take_f32(l, (M + R) * 2 * D);
    s->cos[i] = hm_take_f32(l, (size_t)frames * half);
    s->sin[i] = hm_take_f32(l, (size_t)frames * half);
}

void hm_dit_layout(const hm_ctx *c, hm_layout *l, hm_dit_scratch *s, const hm_dit *m, int rows, int frames, int steps)
{
    size_t R = (size_t)rows, T = (size_t)frames, D1 = (size_t)m->stack[0].dim, D2 = (size_t)m->stack[1].dim, I = (size_t)m->in;
    size_t F = (size_t)(m->stack[0].ffn_dim > m->stack[1].ffn_dim ? m->stack[0].ffn_dim : m->stack[1].ffn_dim);
    s->rows = rows;
    s->frames = frames;
    s->steps = steps;
    s->in = hm_take_f32(l, R * (T + 2) * I);
    s->connection_in = hm_take_f32(l, R * (T + 2) * (I + D1));
    s->out_in = hm_take_f32(l, R * (T + 2) * D2);
    s->s = hm_take_f32(l, R * T * D2);
    s->n = hm_take_f32(l, R * T * D2);
    s->q = hm_take_f32(l, R * T * D2);
    s->k = hm_take_f32(l, R * T * D2);
    s->v = hm_take_f32(l, R * T * D2);
    s->a = hm_take_f32(l, R * T * D2);
    s->t = hm_take_f32(l, R * T * D2);
    s->gate = hm_take_f32(l, R * T * F);
    s->up = hm_take_f32(l, R * T * F);
    s->velocity = hm_take_f32(l, 2 * T * (size_t)m->out); /* both guidance rows, in one pass or two */
    s->features = hm_take_f32(l, R * 2 * FREQUENCIES);
    for (int i = 0; i < 2; i++)
        stack_layout(c, l, s, &m->stack[i], i, rows, frames, steps);
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

/* emb = linear_2(silu(linear_1(features(t)))), mod = linear(silu(emb)), for `rows` times, into s->emb[i], s->mod[i]. */
static void modulation(hm_ctx *c, const hm_dit_stack *k, hm_dit_scratch *s, int i, const float *t, int rows)
{
    const hm_ops *op = &c->ops;
    float host[2 * FREQUENCIES];
    size_t n = (size_t)rows * (size_t)k->dim;
    for (int b = 0; b < rows; b++) {
        time_features(host, t[b]);
        op->upload(op, s->features + (size_t)b * 2 * FREQUENCIES, host, sizeof host);
    }
    op->linear(op, s->t, s->features, &k->time_1, rows);
    op->activate(op, s->t, HM_ACT_SILU, 0.0f, n);
    op->linear(op, s->emb[i], s->t, &k->time_2, rows);
    op->copy(op, s->t, s->emb[i], n * sizeof(float));
    op->activate(op, s->t, HM_ACT_SILU, 0.0f, n);
    op->linear(op, s->mod[i], s->t, &k->modulation, rows);
    c->counters.table_values += (uint64_t)rows * (uint64_t)(7 * k->dim + 2 * FREQUENCIES);
}

/* m [rows][6D] of one block: scale_shift + mod; and of the output norm [rows][2D]: scale_shift + emb in both halves. */
static void block_modulation(hm_ctx *c, const hm_dit_stack *k, const hm_dit_scratch *s, int i, int block, int rows, float *out)
{
    const hm_ops *op = &c->ops;
    size_t n = (size_t)k->dim * 6;
    for (int b = 0; b < rows; b++) {
        op->copy(op, out + (size_t)b * n, k->blocks[block].scale_shift, n * sizeof(float));
        op->add(op, out + (size_t)b * n, s->mod[i] + (size_t)b * n, n);
    }
}

static void norm_modulation(hm_ctx *c, const hm_dit_stack *k, const hm_dit_scratch *s, int i, int rows, float *out)
{
    const hm_ops *op = &c->ops;
    size_t D = (size_t)k->dim;
    for (int b = 0; b < rows; b++, out += 2 * D) {
        op->copy(op, out, k->scale_shift, 2 * D * sizeof(float));
        op->add(op, out, s->emb[i] + (size_t)b * D, D);
        op->add(op, out + D, s->emb[i] + (size_t)b * D, D);
    }
}

void hm_dit_frames(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, int frames)
{
    s->frames = frames;
    zero_padding(c, s->in, s->rows, frames, m->in);
    zero_padding(c, s->connection_in, s->rows, frames, m->in + m->stack[0].dim);
    zero_padding(c, s->out_in, s->rows, frames, m->stack[1].dim);
}

void hm_dit_prepare(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const float *times, int steps)
{
    for (int i = 0; i < 2 && once(c); i++) {
        const hm_dit_stack *k = &m->stack[i];
        size_t D = (size_t)k->dim, L = (size_t)k->layers;
        c->ops.rope_table(&c->ops, s->cos[i], s->sin[i], k->theta, k->head_dim / 2, 0, s->frames);
        for (int step = 0; step < steps; step++) {
            modulation(c, k, s, i, &times[step], 1);
            for (int b = 0; b < k->layers; b++)
                block_modulation(c, k, s, i, b, 1, s->block_mod[i] + ((size_t)step * L + (size_t)b) * 6 * D);
            norm_modulation(c, k, s, i, 1, s->norm_mod[i] + (size_t)step * 2 * D);
        }
    }
}

/* --- forward --- */

/* What the blocks of one estimator call share. */
struct call {
    const hm_dit_stack *stack;
    hm_dit_scratch *s;
    int i;    /* stack */
    int step; /* into prepared tables, or -1 */
    int rows, frames, batch_row;
};

static void tap(hm_ctx *c, const struct call *k, const char *name, const float *value, int width)
{
    hm_tap(c, name, value, k->batch_row, k->rows, k->frames, width, false);
}

/* y = norm(x)*(1+scale) + shift, with the vectors of m at rows `shift` and `shift+1`. */
static void modulated_norm(hm_ctx *c, const struct call *k, float *y, const float *x, const float *weight, const float *m, int64_t stride,
                           int shift)
{
    const hm_ops *op = &c->ops;
    int D = k->stack->dim;
    const float *shift_vector = m + (size_t)shift * (size_t)D, *scale_vector = shift_vector + D;
    if (fused(c)) {
        op->rmsnorm_modulate(op, y, x, weight, shift_vector, scale_vector, k->rows, k->frames, D, stride, EPS);
        return;
    }
    op->rmsnorm(op, y, x, weight, k->rows * k->frames, D, EPS);
    op->modulate(op, y, y, shift_vector, scale_vector, k->rows, k->frames, D, stride);
}

static void attention_forward(hm_ctx *c, const struct call *k, const hm_dit_block *b)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    int M = k->rows * k->frames, D = k->stack->dim, heads = k->stack->heads, Dh = k->stack->head_dim;
    if (fused(c))
        op->linear_multi(op, 3, (float *const[]){s->q, s->k, s->v}, s->n, (const hm_linear *const[]){&b->q, &b->k, &b->v}, M);
    else {
        op->linear(op, s->q, s->n, &b->q, M);
        op->linear(op, s->k, s->n, &b->k, M);
        op->linear(op, s->v, s->n, &b->v, M);
    }
    op->rope(op, s->q, s->cos[k->i], s->sin[k->i], k->rows, k->frames, heads, Dh, false);
    op->rope(op, s->k, s->cos[k->i], s->sin[k->i], k->rows, k->frames, heads, Dh, false);
    op->attention(op, &(hm_attention_args){
                          .out = s->a,
                          .q = s->q,
                          .kv = {.k = s->k, .v = s->v, .heads = heads, .batch = (int64_t)k->frames * D, .head = Dh, .slot = D},
                          .B = k->rows,
                          .S = k->frames,
                          .H = heads,
                          .Dh = Dh,
                          .slots = k->frames,
                          .scale = 1.0f / sqrtf((float)Dh),
                      });
    op->linear(op, s->t, s->a, &b->o, M);
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

/* One block on s->s [rows][T][D]. Rows of m: shift_a, scale_a, gate_a, shift_m, scale_m, gate_m. */
static void block_forward(hm_ctx *c, const struct call *k, int index)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    const hm_dit_block *b = &k->stack->blocks[index];
    int D = k->stack->dim, L = k->stack->layers;
    bool watched = hm_tapping(c) && k->i == 0;
    float *m = s->block_mod[k->i];
    int64_t stride = 0; /* guidance rows share the time */
    if (k->step >= 0 && once(c))
        m += ((size_t)k->step * (size_t)L + (size_t)index) * 6 * (size_t)D;
    else {
        m += once(c) ? (size_t)s->steps * (size_t)L * 6 * (size_t)D : 0;
        block_modulation(c, k->stack, s, k->i, index, k->rows, m);
        stride = 6 * (int64_t)D;
    }
    if (watched) {
        op->rmsnorm(op, s->n, s->s, b->attn_norm, k->rows * k->frames, D, EPS);
        tap_block(c, k, index, "attn_norm", s->n);
    }
    modulated_norm(c, k, s->n, s->s, b->attn_norm, m, stride, 0);
    attention_forward(c, k, b);
    if (watched)
        tap_block(c, k, index, "attn", s->t);
    op->gate_add(op, s->s, s->t, m + 2 * D, k->rows, k->frames, D, stride);
    modulated_norm(c, k, s->n, s->s, b->mlp_norm, m, stride, 3);
    mlp_forward(c, k, b);
    if (watched)
        tap_block(c, k, index, "mlp", s->t);
    op->gate_add(op, s->s, s->t, m + 5 * D, k->rows, k->frames, D, stride);
    if (watched)
        tap_block(c, k, index, "out", s->s);
}

/* y [rows][T][out] = linear(3^-1/2 * conv(padded input)). Input width conv.d1. */
static void project_forward(hm_ctx *c, const struct call *k, const hm_project *p, float *y, float *input)
{
    const hm_ops *op = &c->ops;
    const hm_linear *w = hm_conv_weights(c, &p->conv);
    int in = p->conv.d1, out = p->conv.d0;
    size_t n = (size_t)k->rows * (size_t)k->frames * (size_t)out;
    for (int b = 0; b < k->rows; b++)
        op->linear_ex(op, &(hm_linear_args){.y = k->s->t + (size_t)b * (size_t)k->frames * (size_t)out,
                                            .x = padded_row(input, b, k->frames, in) - in,
                                            .w = w,
                                            .M = k->frames,
                                            .ldx = in,
                                            .tap_stride = in});
    op->scale(op, k->s->t, (float)pow(3.0, -0.5), n);
    op->linear(op, y, k->s->t, &p->linear, k->rows * k->frames);
}

/* All blocks of a stack on s->s, then its modulated output norm into s->n. */
static void stack_forward(hm_ctx *c, const struct call *k, const float *t)
{
    const hm_ops *op = &c->ops;
    hm_dit_scratch *s = k->s;
    size_t D = (size_t)k->stack->dim;
    float *norm = s->norm_mod[k->i];
    int64_t stride = 0;
    if (!once(c))
        op->rope_table(op, s->cos[k->i], s->sin[k->i], k->stack->theta, k->stack->head_dim / 2, 0, k->frames);
    if (k->step < 0 || !once(c)) {
        modulation(c, k->stack, s, k->i, t, k->rows);
        norm += once(c) ? (size_t)s->steps * 2 * D : 0;
        norm_modulation(c, k->stack, s, k->i, k->rows, norm);
        stride = 2 * (int64_t)D;
    } else
        norm += (size_t)k->step * 2 * D;
    if (k->i == 0 && stride) {
        hm_tap(c, "temb", s->emb[0], k->batch_row, k->rows, 1, (int64_t)D, false);
        hm_tap(c, "adaln_single", s->mod[0], k->batch_row, k->rows, 1, 6 * (int64_t)D, false);
    }
    for (int b = 0; b < k->stack->layers && !hm_ops_status(op); b++)
        block_forward(c, k, b);
    tap(c, k, k->i ? "stack2.out" : "stack1.out", s->s, (int)D);
    op->layernorm(op, s->n, s->s, NULL, NULL, k->rows * k->frames, (int)D, EPS);
    op->modulate(op, s->n, s->n, norm, norm + D, k->rows, k->frames, (int)D, stride);
}

void hm_dit_forward(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const float *t, int step, int rows, int batch_row)
{
    const hm_ops *op = &c->ops;
    int T = s->frames, I = m->in, D1 = m->stack[0].dim, D2 = m->stack[1].dim, wide = I + D1;
    struct call k = {.stack = &m->stack[0], .s = s, .step = step, .rows = rows, .frames = T, .batch_row = batch_row};
    c->counters.solver_frames += (uint64_t)(rows * T);

    project_forward(c, &k, &m->proj_in, s->s, s->in); /* s = proj_in(x_in)            */
    tap(c, &k, "proj_in", s->s, D1);
    stack_forward(c, &k, t);         /* s = stack 1(s), output norm  */
    for (int b = 0; b < rows; b++) { /* concat [x_in, s]             */
        float *to = padded_row(s->connection_in, b, T, wide);
        op->copy_2d(op, to, wide, padded_row(s->in, b, T, I), I, I, T);
        op->copy_2d(op, to + I, wide, s->n + (size_t)b * (size_t)T * (size_t)D1, D1, D1, T);
    }
    project_forward(c, &k, &m->connection, s->s, s->connection_in); /* y = connection_proj(...)     */
    tap(c, &k, "connection_proj", s->s, D2);
    k.stack = &m->stack[1];
    k.i = 1;
    stack_forward(c, &k, t); /* y = stack 2(y), output norm  */
    for (int b = 0; b < rows; b++)
        op->copy_2d(op, padded_row(s->out_in, b, T, D2), D2, s->n + (size_t)b * (size_t)T * (size_t)D2, D2, D2, T);
    project_forward(c, &k, &m->proj_out, s->velocity, s->out_in); /* velocity = proj_out(y)       */
    tap(c, &k, "out", s->velocity, m->out);
}

/* --- solver --- */

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

/* Velocity of the state r->x at step index `step`, guided, in s->velocity [T][O]. */
static void guided_velocity(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r, float t, int step)
{
    const hm_ops *op = &c->ops;
    int O = m->out, rows = r->guidance > 1.0f ? 2 : 1;
    size_t n = (size_t)s->frames * (size_t)O;
    float times[2] = {t, t};
    bool batched = hm_t(c)->cfg == HM_CFG_BATCHED || rows == 1;
    bool written = once(c) && batched && step > 0; /* context and mu columns stay from the first step */
    if (batched) {
        for (int row = 0; row < rows; row++) {
            if (!written)
                constant_columns(c, m, s, r, row, rows == 2 && row == 0 ? NULL : r->mu);
            hm_dit_input(c, m, s, row, 0, r->x, O, O);
        }
        hm_dit_forward(c, m, s, times, step, rows, 0);
        if (rows == 2)
            op->guide(op, s->velocity, s->velocity + n, s->velocity, r->guidance, n);
        return;
    }
    for (int row = 0; row < 2; row++) {
        constant_columns(c, m, s, r, 0, row == 0 ? NULL : r->mu);
        hm_dit_input(c, m, s, 0, 0, r->x, O, O);
        hm_dit_forward(c, m, s, times, step, 1, row);
        if (row == 0)
            op->copy(op, s->velocity + n, s->velocity, n * sizeof(float));
    }
    op->guide(op, s->velocity, s->velocity, s->velocity + n, r->guidance, n);
}

void hm_flow_solve(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r)
{
    const hm_ops *op = &c->ops;
    float times[HM_CODEC_MAX_STEPS + 1];
    size_t n = (size_t)s->frames * (size_t)m->out;
    hm_flow_times(times, r->steps);
    op->copy(op, r->x, r->noise, n * sizeof(float));
    float t = 0, dt = times[1];
    for (int step = 0; step < r->steps && !hm_ops_status(op); step++) {
        hm_progress(c, "decode", r->steps_before + step, r->steps_total);
        hm_span_begin(c->probe, HM_SPAN_STEP, "solver step", step);
        context_state(c, m, r, t);
        guided_velocity(c, m, s, r, t, step);
        op->axpy(op, r->x, dt, s->velocity, n);
        t = t + dt;
        if (step + 2 <= r->steps)
            dt = times[step + 2] - t;
        c->counters.solver_steps++;
        hm_span_end(c->probe, HM_SPAN_STEP, "solver step");
    }
    if (r->context_frames)
        op->copy(op, r->x, r->context, (size_t)r->context_frames * (size_t)m->out * sizeof(float));
}
