/* Attention with scores streamed: a block of slots at a time, never more of them than fit the first caches. */
#include "engine/cpu/attention.h"

/* Few heads and many slots: blocks of slots go to threads as well. False with op->error set. */
static bool split_slots(const hm_ops *op, hm_cpu_attention *job)
{
    const hm_attention_args *a = job->a;
    int tasks = a->B * a->kv.heads * job->blocks, wanted = 4 * op->dev->threads;
    int begin = hm_cpu_slots_begin(a, 0) / HM_CPU_ATTN_SLOTS, end = hm_cpu_slots_end(a, a->S - 1);
    int blocks = (end + HM_CPU_ATTN_SLOTS - 1) / HM_CPU_ATTN_SLOTS - begin, splits = (wanted + tasks - 1) / tasks;
    if (op->dev->threads < 2 || job->blocks > 1 || tasks >= wanted || blocks < 2)
        return true;
    size_t row = (size_t)hm_kv_padded(a->Dh) + HM_KV_LANES, room = (size_t)1 << 16;
    size_t floats = (size_t)tasks * (size_t)blocks * (size_t)a->S * (size_t)job->group * row;
    while (room < floats * sizeof(float) + (size_t)tasks * sizeof *job->arrived)
        room *= 2; /* slots come one by one: room for more of them at once */
    float *parts = hm_cpu_scratch(op, room, "attention");
    if (!parts)
        return false;
    job->splits = splits < blocks ? splits : blocks;
    job->part_blocks = blocks;
    job->parts = parts;
    job->arrived = (atomic_int *)(void *)(parts + floats);
    for (int i = 0; i < tasks; i++)
        atomic_init(&job->arrived[i], 0);
    return true;
}

void hm_cpu_attention_flash(const hm_ops *op, const hm_attention_args *args)
{
    hm_cpu_attention job;
    if (!hm_cpu_begin(op, "attention"))
        return;
    if (hm_cpu_attention_open(op, args, &job)) {
        void (*kernel)(hm_cpu_attention *, float *) = hm_cpu_flash_scalar;
#if defined(__x86_64__)
        if (hm_isa_vectors(op->dev->isa) == HM_ISA_AVX512)
            kernel = hm_cpu_flash_avx512;
        else if (hm_isa_vectors(op->dev->isa) == HM_ISA_AVX2)
            kernel = hm_cpu_flash_avx2;
#elif defined(__aarch64__)
        if (op->dev->isa == HM_ISA_NEON)
            kernel = hm_cpu_flash_neon;
#endif
        if (split_slots(op, &job))
            hm_cpu_attention_run(op, &job, kernel);
    }
    hm_cpu_end(op, "attention");
}
