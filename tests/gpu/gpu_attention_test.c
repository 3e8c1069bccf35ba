/* Positions, caches and attention on a GPU, both ways, against the CPU's plain kernels. Bound of attention, for |v| < 1: on either side 3e-6
 * for the weighted sum and 1e-6 of the greatest sum of |q k| * scale for the rounding of scores. What is stored in caches is the same
 * bytes. */
#include "engine/gpu/gpu.h"
#include "tests/gpu/gpu_case.h"

/* How keys and values lie. */
typedef enum layout {
    ROWS,      /* [B][heads][slots][Dh] */
    ROWS_SLOT, /* [B][slots][heads][Dh] */
    PANELS,
    PANELS_BF16,
    PANELS_INT8,
    LAYOUTS
} layout;

static const hm_dtype layout_type[LAYOUTS] = {HM_F32, HM_F32, HM_F32, HM_BF16, HM_I8};

typedef struct shape {
    int B, S, H, heads, Dh, slots, pos;
    bool causal;
    layout layout;
    int window;
} shape;

typedef struct problem {
    shape s;
    float *q;
    size_t n_q, kv_bytes, scale_bytes;
    hm_attention_args cpu, gpu;
    double bound;
} problem;

static void (*const gpu_ways[])(const hm_ops *, const hm_attention_args *) = {hm_gpu_attention_scores, hm_gpu_attention_flash};
static void (*const cpu_ways[])(const hm_ops *, const hm_attention_args *) = {hm_cpu_attention_scores, hm_cpu_attention_flash};

static hm_kv_view view_of(const shape *s)
{
    int64_t Dh = s->Dh, panels = (s->slots + 31) / 32;
    hm_kv_view kv = {.type = layout_type[s->layout], .heads = s->heads};
    kv.panels = s->layout >= PANELS;
    kv.slot = kv.panels ? (Dh + 15) / 16 * 16 : s->layout == ROWS ? Dh : s->heads * Dh;
    kv.head = kv.panels ? panels * 32 * kv.slot : s->layout == ROWS ? s->slots * Dh : Dh;
    kv.batch = s->layout == ROWS_SLOT ? s->slots * kv.slot : s->heads * kv.head;
    return kv;
}

static size_t row_floats(const shape *s)
{
    return (size_t)s->B * (size_t)s->slots * (size_t)s->heads * (size_t)s->Dh;
}

/* Rows of keys and values into caches of both devices, which then hold the same bytes. In panels, what nobody stores stays 0x55. */
static void problem_fill(gpu_case *c, problem *p, const float *k, const float *v)
{
    const shape *s = &p->s;
    hm_kv_view *here = &p->cpu.kv, *there = &p->gpu.kv;
    *here = *there = view_of(s);
    size_t elements = (size_t)(s->B * here->batch);
    p->kv_bytes = elements * hm_dtype_bytes(here->type);
    p->scale_bytes = s->layout == PANELS_INT8 ? elements / (size_t)here->slot * sizeof(float) : 0;
    void **hosts[4] = {&here->k, &here->v, (void **)&here->k_scale, (void **)&here->v_scale};
    void **devices[4] = {&there->k, &there->v, (void **)&there->k_scale, (void **)&there->v_scale};
    for (int i = 0; i < 4; i++) {
        size_t bytes = i < 2 ? p->kv_bytes : p->scale_bytes;
        if (bytes) {
            *hosts[i] = malloc(bytes);
            memset(*hosts[i], 0x55, bytes);
            *devices[i] = gpu_put(c, *hosts[i], bytes);
        }
    }
    c->cpu.op.kv_put(&c->cpu.op, here, k, v, s->B, s->slots, s->heads, s->Dh, 0);
    c->gpu.op.kv_put(&c->gpu.op, there, gpu_put_floats(c, k, row_floats(s)), gpu_put_floats(c, v, row_floats(s)), s->B, s->slots, s->heads,
                     s->Dh, 0);
    for (int i = 0; i < 4; i++) {
        size_t bytes = i < 2 ? p->kv_bytes : p->scale_bytes;
        uint8_t *found = malloc(bytes + 1);
        if (bytes) {
            gpu_get(c, found, *devices[i]);
            for (size_t b = 0; b < bytes; b++)
                if (found[b] != ((uint8_t *)*hosts[i])[b] && !(i > 1 && isnan(((float *)*hosts[i])[b / 4])))
                    fail_msg("layout %d, part %d: byte %zu of %zu of the cache differs", (int)s->layout, i, b, bytes);
        }
        free(found);
    }
}

static void problem_open(gpu_case *c, problem *p, const shape *s, const float *q, const float *k, const float *v)
{
    *p = (problem){.s = *s, .n_q = (size_t)s->B * (size_t)s->S * (size_t)s->H * (size_t)s->Dh};
    p->q = guarded_alloc(p->n_q);
    memcpy(p->q, q, p->n_q * sizeof *q);
    problem_fill(c, p, k, v);
    hm_attention_args a = {.q = p->q, .kv = p->cpu.kv, .B = s->B, .S = s->S, .H = s->H, .Dh = s->Dh, .slots = s->slots};
    a.pos = s->pos;
    a.causal = s->causal;
    a.window = s->window;
    a.scale = 1.0f / sqrtf((float)s->Dh);
    hm_kv_view there = p->gpu.kv;
    p->cpu = p->gpu = a;
    p->gpu.kv = there;
    p->gpu.q = gpu_put_floats(c, p->q, p->n_q);
    p->gpu.out = gpu_put_floats(c, p->q, p->n_q);
}

/* Of random values of that size. */
static void problem_random(gpu_case *c, problem *p, const shape *s, float size)
{
    size_t n_q = (size_t)s->B * (size_t)s->S * (size_t)s->H * (size_t)s->Dh, rows = row_floats(s);
    float *q = random_floats(n_q, 1, size), *k = random_floats(rows, 2, size), *v = random_floats(rows, 3, 1.0f);
    problem_open(c, p, s, q, k, v);
    guarded_free(q, n_q);
    guarded_free(k, rows);
    guarded_free(v, rows);
    /* elements are below `size` and a third of its square on average: |q k| of the greatest row is far below all of them at their greatest */
    p->bound = 2 * (3e-6 + 1e-6 * (double)size * (double)size * 0.5 * sqrt((double)s->Dh));
}

static void problem_close(gpu_case *c, problem *p)
{
    free(p->cpu.kv.k);
    free(p->cpu.kv.v);
    free(p->cpu.kv.k_scale);
    free(p->cpu.kv.v_scale);
    guarded_free(p->q, p->n_q);
    gpu_give_back(c);
}

/* What the device makes of it; released with guarded_free. */
static float *attend(gpu_case *c, problem *p, int way)
{
    float *y = guarded_alloc(p->n_q);
    gpu_ways[way](&c->gpu.op, &p->gpu);
    gpu_get(c, y, p->gpu.out);
    return y;
}

static float *attend_here(gpu_case *c, problem *p, int way)
{
    p->cpu.out = guarded_alloc(p->n_q);
    cpu_ways[way](&c->cpu.op, &p->cpu);
    return p->cpu.out;
}

static void check_ways(gpu_case *c, problem *p)
{
    for (int way = 0; way < 2; way++) {
        c->gpu.count = c->cpu.count = (hm_counters){0};
        float *expected = attend_here(c, p, way), *found = attend(c, p, way);
        assert_same_counts(c);
        for (size_t i = 0; i < p->n_q; i++)
            assert_near(found[i], (double)expected[i], p->bound, way ? "streamed" : "scores", i);
        guarded_free(expected, p->n_q);
        guarded_free(found, p->n_q);
    }
}

static const shape shapes[] = {
    {1, 1, 3, 1, 8, 1, 0, true, ROWS, 0},          {2, 1, 6, 2, 128, 300, 299, true, ROWS, 0},
    {1, 5, 4, 4, 17, 40, 20, true, ROWS, 0},       {2, 3, 8, 4, 384, 260, 10, true, ROWS, 0},
    {1, 70, 4, 2, 31, 70, 0, true, ROWS, 0},       {2, 61, 2, 2, 64, 61, 0, false, ROWS, 0},
    {1, 9, 24, 8, 12, 520, 511, true, ROWS, 0},    {1, 40, 5, 1, 33, 300, 0, true, ROWS, 0},
    {1, 2, 1, 1, 1, 7, 5, true, ROWS, 0},          {1, 1, 60, 1, 16, 33, 32, true, ROWS, 0},
    {1, 30, 4, 2, 6, 30, 0, true, ROWS, 7},        {2, 5, 4, 4, 24, 700, 690, true, ROWS, 72},
    {1, 300, 2, 2, 8, 600, 300, true, ROWS, 250},  {1, 1, 16, 8, 128, 900, 899, true, ROWS, 1},
    {1, 130, 3, 1, 20, 800, 670, true, ROWS, 300}, {1, 4, 2, 1, 9, 50, 46, true, ROWS, 64},
    {1, 1, 2, 1, 40, 1290, 1289, true, ROWS, 0},   {1, 2, 7, 7, 1024, 35, 31, true, ROWS, 0},
    {1, 1, 11, 1, 48, 770, 769, true, ROWS, 700},  {1, 3, 2, 2, 1000, 300, 297, true, ROWS, 0},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void both_ways_are_near_the_cpus_over_every_layout(void **state)
{
    gpu_case *c = *state;
    for (size_t i = 0; i < SHAPES * LAYOUTS; i++) {
        problem p;
        shape s = shapes[i / LAYOUTS];
        s.layout = (layout)(i % LAYOUTS);
        problem_random(c, &p, &s, i % 2 ? 6.0f : 1.0f);
        check_ways(c, &p);
        problem_close(c, &p);
    }
}

static void a_causal_mask_gives_the_bytes_of_the_implicit_one(void **state)
{
    gpu_case *c = *state;
    for (size_t i = 0; i < SHAPES; i++) {
        problem p;
        shape s = shapes[i];
        s.layout = i % 2 ? PANELS_INT8 : ROWS;
        problem_random(c, &p, &s, 3.0f);
        size_t n = (size_t)(s.S * s.slots);
        float *mask = guarded_alloc(n), *found = guarded_alloc(n), *there = gpu_put_floats(c, mask, n);
        c->cpu.op.causal_mask(&c->cpu.op, mask, s.S, s.slots, s.pos, s.window);
        c->gpu.op.causal_mask(&c->gpu.op, there, s.S, s.slots, s.pos, s.window);
        gpu_get(c, found, there);
        assert_same_bytes(found, mask, n);
        for (int way = 0; way < 2; way++) {
            p.gpu.causal = true;
            p.gpu.mask = NULL;
            float *implicit = attend(c, &p, way);
            p.gpu.causal = false;
            p.gpu.mask = there;
            float *masked = attend(c, &p, way);
            assert_same_bytes(masked, implicit, p.n_q);
            guarded_free(implicit, p.n_q);
            guarded_free(masked, p.n_q);
        }
        guarded_free(mask, n);
        guarded_free(found, n);
        problem_close(c, &p);
    }
}

static void windows_do_not_read_blocks_out_of_sight(void **state)
{
    static const layout layouts[] = {ROWS, PANELS};
    gpu_case *c = *state;
    for (int i = 0; i < 2; i++) {
        shape s = {1, 3, 4, 2, 24, 1100, 1097, true, layouts[i], 60};
        size_t n_q = 3 * 4 * 24, rows = row_floats(&s), hidden = (1097 - 59) / 32 * 32 * 2 * 24;
        float *q = random_floats(n_q, 1, 2.0f), *k = random_floats(rows, 2, 2.0f), *v = random_floats(rows, 3, 1.0f);
        for (size_t j = 0; j < hidden; j++) /* rows are [slots][heads][Dh] */
            k[j] = v[j] = NAN;
        problem p;
        problem_open(c, &p, &s, q, k, v);
        p.bound = 5e-5;
        check_ways(c, &p);
        problem_close(c, &p);
        guarded_free(q, n_q);
        guarded_free(k, rows);
        guarded_free(v, rows);
    }
}

/* Row by row, as in generation: few rows and many give the same bytes, however many slots there is room for. */
static void pieces_of_a_prompt_do_not_change_a_row(void **state)
{
    static const shape ones[] = {{1, 130, 6, 2, 40, 400, 270, true, ROWS, 0}, {1, 40, 4, 1, 40, 1400, 1360, true, ROWS, 0}};
    gpu_case *c = *state;
    for (int i = 0; i < 2 * LAYOUTS; i++)
        for (int way = 0; way < 2; way++) {
            problem p;
            shape s = ones[i % 2];
            s.layout = (layout)(i / 2);
            int row = s.H * s.Dh;
            problem_random(c, &p, &s, 2.0f);
            float *whole = attend(c, &p, way), one[6 * 40 * 5];
            float *out = gpu_put_floats(c, one, (size_t)(row * 5));
            for (int at = 0, n; at + 5 <= s.S; at += 7 + n) {
                hm_attention_args part = p.gpu;
                n = 1 + at % 5;
                part.out = out;
                part.q = p.gpu.q + at * row;
                part.S = n;
                part.pos = s.pos + at;
                part.slots = s.pos + at + n;
                gpu_ways[way](&c->gpu.op, &part);
                gpu_get(c, one, out);
                assert_same_bytes(one, whole + at * row, (size_t)(n * row));
            }
            guarded_free(whole, p.n_q);
            problem_close(c, &p);
        }
}

static void a_window_of_moved_slots_gives_the_bytes_of_the_whole_pass(void **state)
{
    gpu_case *c = *state;
    for (int i = 0; i < 2 * LAYOUTS; i++) {
        enum {
            ROW = 4 * 20
        };
        shape s = {1, 620, 4, 2, 20, 620, 0, true, (layout)(i / 2), 300};
        problem p;
        problem_random(c, &p, &s, 3.0f);
        float *whole = attend(c, &p, i % 2), rows[ROW * 7] = {0}, *out = gpu_put_floats(c, rows, ROW * 7);
        for (int at = 250, n; at < s.S; at += 13) {
            int first = at + 1 - s.window, gone = first > 0 ? first / HM_ATTENTION_BLOCK * HM_ATTENTION_BLOCK : 0;
            hm_attention_args a = p.gpu;
            n = 1 + at % 7 < s.S - at ? 1 + at % 7 : s.S - at;
            a.kv = hm_kv_from(&a.kv, 0, gone);
            a.S = n;
            a.pos = at - gone;
            a.slots = at + n - gone;
            a.q = p.gpu.q + at * ROW;
            a.out = out;
            gpu_ways[i % 2](&c->gpu.op, &a);
            gpu_get(c, rows, out);
            assert_same_bytes(rows, whole + at * ROW, (size_t)n * ROW);
        }
        guarded_free(whole, p.n_q);
        problem_close(c, &p);
    }
}

static void expanded_heads_give_the_bytes_of_shared_ones(void **state)
{
    gpu_case *c = *state;
    for (int i = 0; i < 2 * LAYOUTS; i++) {
        shape direct = {2, 20, 6, 2, 24, 50, 30, true, (layout)(i / 2), 0}, expanded = direct;
        expanded.heads = direct.H;
        problem p, e;
        size_t n = 2 * 50 * 2 * 24;
        float *k = random_floats(n, 8, 2.0f), *v = random_floats(n, 9, 1.0f), *k_there, *v_there;
        problem_random(c, &p, &direct, 2.0f);
        problem_random(c, &e, &expanded, 2.0f);
        k_there = gpu_put_floats(c, k, n);
        v_there = gpu_put_floats(c, v, n);
        c->gpu.count = c->cpu.count = (hm_counters){0};
        for (int which = 0; which < 2; which++) {
            problem *one = which ? &e : &p;
            c->gpu.op.kv_put(&c->gpu.op, &one->gpu.kv, k_there, v_there, 2, 50, 2, 24, 0);
            c->cpu.op.kv_put(&c->cpu.op, &one->cpu.kv, k, v, 2, 50, 2, 24, 0);
        }
        assert_same_counts(c);
        float *a = attend(c, &p, i % 2), *b = attend(c, &e, i % 2);
        assert_same_bytes(a, b, p.n_q);
        guarded_free(a, p.n_q);
        guarded_free(b, p.n_q);
        guarded_free(k, n);
        guarded_free(v, n);
        free(e.cpu.kv.k);
        free(e.cpu.kv.v);
        free(e.cpu.kv.k_scale);
        free(e.cpu.kv.v_scale);
        guarded_free(e.q, e.n_q);
        problem_close(c, &p);
    }
}

/* Denormals, zeros, great values and what is not finite, at any place: the bytes that the CPU stores (problem_fill looks at them). */
static void hostile_rows_are_stored_as_the_cpu_stores_them(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    gpu_case *c = *state;
    for (int i = 0; i < LAYOUTS; i++) {
        shape s = {2, 1, 2, 2, 37, 70, 69, true, (layout)i, 0};
        problem p;
        size_t rows = row_floats(&s);
        float *q = random_floats(2 * 2 * 37, 1, 1.0f), *k = hostile_floats(rows, 12), *v = hostile_floats(rows, 13);
        for (int x = 0; x < 30; x++)
            k[x * 331 % (int)rows] = v[x * 173 % (int)rows] = odd[x % 3];
        problem_open(c, &p, &s, q, k, v);
        problem_close(c, &p);
        guarded_free(q, 2 * 2 * 37);
        guarded_free(k, rows);
        guarded_free(v, rows);
    }
}

static void hostile_scores_stay_finite_and_near(void **state)
{
    static const shape ones[] = {{1, 1, 6, 2, 40, 530, 529, true, ROWS, 0}, {2, 70, 4, 4, 24, 90, 20, true, ROWS, 0}};
    gpu_case *c = *state;
    for (int i = 0; i < 2 * LAYOUTS; i++) {
        shape s = ones[i % 2];
        problem p;
        size_t rows, n_q = (size_t)(s.B * s.S * s.H * s.Dh);
        s.layout = (layout)(i / 2);
        rows = row_floats(&s);
        float *q = hostile_floats(n_q, 11), *k = hostile_floats(rows, 12), *v = random_floats(rows, 13, 1.0f);
        problem_open(c, &p, &s, q, k, v);
        p.gpu.scale = p.cpu.scale = 1e-20f; /* scores of some tens of millions: one slot has all the weight, or they are equal */
        for (int way = 0; way < 2; way++) {
            float *y = attend(c, &p, way);
            for (size_t x = 0; x < n_q; x++)
                assert_true(fabsf(y[x]) <= 1.00001f);
            guarded_free(y, n_q);
        }
        p.gpu.scale = p.cpu.scale = 1e-32f;
        p.bound = 2 * (3e-6 + 1e-6 * 24 * 9e-2);
        check_ways(c, &p);
        problem_close(c, &p);
        guarded_free(q, n_q);
        guarded_free(k, rows);
        guarded_free(v, rows);
    }
}

/* A value that is not finite shows in the rows that see it, and in no other head; a key that is no number in all that see it. */
static void what_is_not_finite_stays_so(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    gpu_case *c = *state;
    for (int i = 0; i < 6 * LAYOUTS; i++) {
        shape s = {1, 4, 2, 2, 24, 300, 296, true, (layout)(i / 6), 0};
        problem p;
        size_t rows = row_floats(&s), n_q = 4 * 2 * 24;
        float *q = random_floats(n_q, 1, 1.0f), *k = random_floats(rows, 2, 1.0f), *v = random_floats(rows, 3, 1.0f);
        v[(298 * 2 + 1) * 24 + 5] = odd[i % 3]; /* seen by the last two positions of head 1 */
        problem_open(c, &p, &s, q, k, v);
        float *y = attend(c, &p, i / 3 % 2);
        for (size_t x = 0; x < n_q; x++) {
            bool head = x / 24 % 2, seen = head && x / 48 >= 2 && x % 24 == 5;
            assert_true(head || isfinite(y[x]));
            assert_false(seen && isfinite(y[x]));
        }
        guarded_free(y, n_q);
        problem_close(c, &p);
        guarded_free(q, n_q);
        guarded_free(k, rows);
        guarded_free(v, rows);
    }
}

/* A mask that hides everything leaves no number; one slot left has all the weight, whatever its score. */
static void masks_of_all_but_one_slot_give_its_value(void **state)
{
    gpu_case *c = *state;
    shape s = {1, 3, 2, 1, 20, 600, 0, false, PANELS, 0};
    problem p;
    problem_random(c, &p, &s, 5.0f);
    float *mask = guarded_alloc(3 * 600);
    for (int i = 0; i < 3 * 600; i++)
        mask[i] = i == 5 || i == 600 + 599 ? 0.0f : -INFINITY;
    p.cpu.mask = mask;
    p.gpu.mask = gpu_put_floats(c, mask, 3 * 600);
    for (int way = 0; way < 2; way++) {
        float *y = attend(c, &p, way), *expected = attend_here(c, &p, way);
        assert_same_bytes(y, expected, 2 * 2 * 20);
        for (int i = 2 * 2 * 20; i < 3 * 2 * 20; i++)
            assert_true(isnan(y[i]) && isnan(expected[i]));
        guarded_free(y, p.n_q);
        guarded_free(expected, p.n_q);
    }
    guarded_free(mask, 3 * 600);
    problem_close(c, &p);
}

/* One position after another as frames that are recorded: what differs are steps, so that launches are the same from frame to frame. */
static void recorded_frames_give_the_bytes_of_those_that_are_not(void **state)
{
    enum {
        FRAMES = 40,
        ROW = 4 * 24
    };
    gpu_case *c = *state;
    hm_ops *op = &c->gpu.op;
    for (int way = 0; way < 2; way++) {
        shape s = {1, FRAMES, 4, 2, 24, 530, 530 - FRAMES, true, PANELS_BF16, 0};
        problem p;
        problem_random(c, &p, &s, 2.0f);
        float *theta = random_floats(12, 7, 1.0f), zeros[2 * FRAMES * 12] = {0}, rows[2][FRAMES * ROW];
        float *theta_there = gpu_put_floats(c, theta, 12), *angles = gpu_put_floats(c, zeros, 2 * FRAMES * 12);
        float *q = gpu_put_floats(c, p.q, ROW), *out = gpu_put_floats(c, p.q, ROW), *k = gpu_put_floats(c, p.q, ROW / 2);
        op->rope_table(op, angles, angles + FRAMES * 12, theta_there, 12, 500, FRAMES);
        for (int recorded = 0; recorded < 2; recorded++) {
            hm_gpu_record_frames(c->gpu.dev, recorded);
            for (int f = 0; f < FRAMES; f++) {
                hm_attention_args a = p.gpu;
                a.q = q;
                a.out = out;
                a.S = 1;
                a.pos = s.pos + f;
                a.slots = s.pos + f + 1;
                op->upload(op, q, p.q + f * ROW, ROW * sizeof(float));
                op->upload(op, k, p.q + f * ROW, ROW / 2 * sizeof(float));
                op->frame(op, true);
                op->rope(op, q, angles + f * 12, angles + (FRAMES + f) * 12, 1, 1, 4, 24, f % 2);
                op->rope(op, q, angles + f * 12, angles + (FRAMES + f) * 12, 1, 1, 4, 24, false);
                op->rope(op, k, angles + f * 12, angles + (FRAMES + f) * 12, 1, 1, 2, 24, true);
                op->kv_put(op, &a.kv, k, k, 1, 1, 2, 24, a.pos);
                gpu_ways[way](op, &a);
                op->frame(op, false);
                gpu_get(c, rows[recorded] + f * ROW, out);
            }
        }
        hm_gpu_record_frames(c->gpu.dev, false);
        assert_same_bytes(rows[1], rows[0], FRAMES * ROW);
        guarded_free(theta, 12);
        problem_close(c, &p);
    }
}

/* Angles are the same float; of their cosine and sine up to 4 ulp may be wrong here, one on the CPU. */
static void tables_of_angles_are_near_the_cpus(void **state)
{
    static const int halves[] = {1, 5, 64, 192}, firsts[] = {0, 1000, 123456};
    gpu_case *c = *state;
    for (int i = 0; i < 12; i++) {
        int half = halves[i % 4], count = 37;
        size_t n = (size_t)(half * count);
        float *theta = guarded_alloc((size_t)half), *cosines = guarded_alloc(n), *sines = guarded_alloc(n), *found = guarded_alloc(n);
        for (int j = 0; j < half; j++)
            theta[j] = (float)pow(5e5, -(double)j / half);
        float *theta_there = gpu_put_floats(c, theta, (size_t)half), *cos_there = gpu_put_floats(c, found, n),
              *sin_there = gpu_put_floats(c, found, n);
        c->cpu.op.rope_table(&c->cpu.op, cosines, sines, theta, half, firsts[i / 4], count);
        c->gpu.op.rope_table(&c->gpu.op, cos_there, sin_there, theta_there, half, firsts[i / 4], count);
        gpu_get(c, found, cos_there);
        for (size_t j = 0; j < n; j++)
            assert_near(found[j], (double)cosines[j], 3e-7, "cosine", j);
        gpu_get(c, found, sin_there);
        for (size_t j = 0; j < n; j++)
            assert_near(found[j], (double)sines[j], 3e-7, "sine", j);
        gpu_give_back(c);
        guarded_free(theta, (size_t)half);
        guarded_free(cosines, n);
        guarded_free(sines, n);
        guarded_free(found, n);
    }
}

static void rotation_gives_the_cpus_bytes_from_any_place_of_a_table(void **state)
{
    static const int sizes[][4] = {{1, 1, 3, 2}, {2, 5, 4, 10}, {1, 70, 2, 64}, {3, 2, 1, 384}};
    gpu_case *c = *state;
    for (int i = 0; i < 8; i++) {
        int B = sizes[i / 2][0], S = sizes[i / 2][1], heads = sizes[i / 2][2], Dh = sizes[i / 2][3], first = i % 2 ? 9 : 0;
        size_t n = (size_t)(B * S * heads * Dh), table = (size_t)((S + 9) * Dh / 2);
        float *x = hostile_floats(n, 1), *cosines = random_floats(table, 2, 1.0f), *sines = random_floats(table, 3, 1.0f), *y;
        float *x_there = gpu_put_floats(c, x, n), *cos_there = gpu_put_floats(c, cosines, table),
              *sin_there = gpu_put_floats(c, sines, table);
        for (int half = 0; half < 2; half++) {
            c->cpu.op.rope(&c->cpu.op, x, cosines + first * Dh / 2, sines + first * Dh / 2, B, S, heads, Dh, half);
            c->gpu.op.rope(&c->gpu.op, x_there, cos_there + first * Dh / 2, sin_there + first * Dh / 2, B, S, heads, Dh, half);
            y = guarded_alloc(n);
            gpu_get(c, y, x_there);
            assert_same_bytes(y, x, n);
            guarded_free(y, n);
        }
        gpu_give_back(c);
        guarded_free(x, n);
        guarded_free(cosines, table);
        guarded_free(sines, table);
    }
}

static void impossible_heads_are_refused(void **state)
{
    gpu_case *c = *state;
    float x = 0;
    for (int i = 0; i < 8; i++) {
        hm_attention_args a = {.out = &x, .q = &x, .kv = {.k = &x, .v = &x, .heads = 2}, .B = 1, .S = 1, .H = 3, .Dh = 1, .slots = 1};
        a.H = i / 2 == 1 ? 2 : 3;
        a.Dh = i / 2 == 1 ? 1025 : 1;
        a.kv.heads = i / 2 >= 2 ? 1 : 2;
        a.slots = i / 2 == 2 ? 0 : 1;
        a.kv.type = i / 2 == 3 ? HM_BF16 : HM_F32;
        gpu_ways[i % 2](&c->gpu.op, &a);
        assert_int_equal(c->gpu.error.status, HM_EBUG);
        assert_non_null(strstr(c->gpu.error.text, i / 2 < 3 ? "expected a multiple" : "BF16 in rows"));
        c->gpu.error = (hm_error){0};
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_are_near_the_cpus_over_every_layout),
        cmocka_unit_test(a_causal_mask_gives_the_bytes_of_the_implicit_one),
        cmocka_unit_test(windows_do_not_read_blocks_out_of_sight),
        cmocka_unit_test(pieces_of_a_prompt_do_not_change_a_row),
        cmocka_unit_test(a_window_of_moved_slots_gives_the_bytes_of_the_whole_pass),
        cmocka_unit_test(expanded_heads_give_the_bytes_of_shared_ones),
        cmocka_unit_test(hostile_rows_are_stored_as_the_cpu_stores_them),
        cmocka_unit_test(hostile_scores_stay_finite_and_near),
        cmocka_unit_test(what_is_not_finite_stays_so),
        cmocka_unit_test(masks_of_all_but_one_slot_give_its_value),
        cmocka_unit_test(recorded_frames_give_the_bytes_of_those_that_are_not),
        cmocka_unit_test(tables_of_angles_are_near_the_cpus),
        cmocka_unit_test(rotation_gives_the_cpus_bytes_from_any_place_of_a_table),
        cmocka_unit_test(impossible_heads_are_refused),
    };
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
