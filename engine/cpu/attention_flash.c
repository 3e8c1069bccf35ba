/* Attention with scores streamed: a block of slots at a time, never more of them than fit the first caches. */
#include "engine/cpu/attention.h"

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
#endif
        hm_cpu_attention_run(op, &job, kernel);
    }
    hm_cpu_end(op, "attention");
}
