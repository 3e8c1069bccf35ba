/* Attention with scores kept in memory, and what both ways share. */
#include "engine/cpu/attention.h"

/* Slots that the rows of one head see, over all positions of the call. */
static uint64_t rows_seen(const hm_attention_args *a)
{
    uint64_t n = 0;
    for (int s = 0; s < a->S; s++)
        n += (uint64_t)(hm_cpu_slots_end(a, s) - hm_cpu_slots_begin(a, s));
    return n;
}

/* The room of a task, in floats: queries and outputs of its rows; outputs and scores of up to 12 of them; `slots` keys and values. */
#define ROOM(rows, head, slots) ((2 * (rows) + 12) * ((head) + 16) + 12 * (HM_CPU_ATTN_SLOTS + 16) + 2 * (slots) * (head))

_Static_assert(ROOM(HM_CPU_ATTN_ROWS / 2, HM_CPU_ATTN_MAX_HEAD, HM_KV_PANEL) <= (int)(HM_CPU_WORK_BYTES / sizeof(float)),
               "tasks of half the rows fit the largest head");
_Static_assert(ROOM(HM_CPU_ATTN_ROWS, HM_CPU_ATTN_WIDE_HEAD, HM_CPU_ATTN_SLOTS) <= (int)(HM_CPU_WORK_BYTES / sizeof(float)),
               "tasks of all rows fit smaller ones");

static bool is_read_in_place(const hm_kv_view *kv)
{
    return kv->panels && kv->type == HM_F32;
}

/* Rows of a task: many, which share what is read, as many as there is room for where that is made first; fewer where threads would go
 * without. */
static int task_rows(const hm_attention_args *a, int all, int threads)
{
    int rows = a->Dh <= HM_CPU_ATTN_WIDE_HEAD ? HM_CPU_ATTN_ROWS : HM_CPU_ATTN_ROWS / 2, head = (int)hm_kv_padded(a->Dh);
    while (!is_read_in_place(&a->kv) && 2 * rows <= HM_CPU_ATTN_MANY_ROWS && rows < all && a->Dh <= HM_CPU_ATTN_WIDE_HEAD &&
           ROOM(2 * rows, head, HM_CPU_ATTN_SLOTS) <= (int)(HM_CPU_WORK_BYTES / sizeof(float)))
        rows *= 2;
    while (rows > HM_CPU_ATTN_ROWS / 4 && a->B * a->kv.heads * ((all + rows - 1) / rows) < 4 * threads)
        rows /= 2;
    return rows;
}

bool hm_cpu_attention_open(const hm_ops *op, const hm_attention_args *a, hm_cpu_attention *job)
{
    if (a->kv.heads < 1 || a->H % a->kv.heads || a->Dh < 1 || a->Dh > HM_CPU_ATTN_MAX_HEAD || a->slots < 1) {
        hm_fail(op->error, HM_EBUG,
                "attention: %d query heads over %d stored ones of %d, %d slots; expected a multiple, heads of 1 to %d, slots", a->H,
                a->kv.heads, a->Dh, a->slots, HM_CPU_ATTN_MAX_HEAD);
        return false;
    }
    if (a->kv.type != HM_F32 && (!a->kv.panels || (a->kv.type != HM_BF16 && a->kv.type != HM_I8))) {
        hm_fail(op->error, HM_EBUG, "attention: keys and values of %s %s; expected F32, or BF16 or I8 in panels", hm_dtype_name(a->kv.type),
                a->kv.panels ? "in panels" : "in rows");
        return false;
    }
    uint64_t scores = rows_seen(a) * (uint64_t)a->H * (uint64_t)a->B;
    op->count->attn_scores += scores;
    op->count->flops += 4 * scores * (uint64_t)a->Dh;
    *job = (hm_cpu_attention){.a = a, .group = a->H / a->kv.heads, .splits = 1};
    job->rows = task_rows(a, a->S * job->group, op->dev->threads);
    job->blocks = (a->S * job->group + job->rows - 1) / job->rows;
    atomic_init(&job->next, 0);
    return true;
}

typedef struct attention_run {
    hm_cpu_attention *job;
    hm_device *dev;
    void (*kernel)(hm_cpu_attention *job, float *work);
} attention_run;

static void run_part(void *arg, int index, int count)
{
    const attention_run *r = arg;
    (void)count;
    r->kernel(r->job, hm_cpu_work(r->dev, index));
}

void hm_cpu_attention_run(const hm_ops *op, hm_cpu_attention *job, void (*kernel)(hm_cpu_attention *job, float *work))
{
    const hm_attention_args *a = job->a;
    attention_run r = {job, op->dev, kernel};
    hm_cpu_run(op, run_part, &r, 2.0 * a->B * a->H * (double)rows_seen(a) * a->Dh);
}

void hm_cpu_attention_scores(const hm_ops *op, const hm_attention_args *args)
{
    hm_cpu_attention job;
    if (!hm_cpu_begin(op, "attention"))
        return;
    if (hm_cpu_attention_open(op, args, &job)) {
        void (*kernel)(hm_cpu_attention *, float *) = hm_cpu_scores_scalar;
#if defined(__x86_64__)
        if (hm_isa_vectors(op->dev->isa) == HM_ISA_AVX512)
            kernel = hm_cpu_scores_avx512;
        else if (hm_isa_vectors(op->dev->isa) == HM_ISA_AVX2)
            kernel = hm_cpu_scores_avx2;
#elif defined(__aarch64__)
        if (op->dev->isa == HM_ISA_NEON)
            kernel = hm_cpu_scores_neon;
#endif
        size_t rows = (size_t)args->B * (size_t)args->H * (size_t)args->S;
        job.score_stride = ((int64_t)args->slots + 31) / 32 * 32 + 16; /* whole slivers of every kernel */
        job.scores = hm_cpu_scratch(op, rows * (size_t)job.score_stride * sizeof(float), "attention scores");
        op->count->score_bytes += rows * (size_t)args->slots * sizeof(float);
        if (job.scores)
            hm_cpu_attention_run(op, &job, kernel);
    }
    hm_cpu_end(op, "attention");
}
