/* Attention for AVX2. */
#define HM_VEC_BITS 256
#include "engine/cpu/attention.inc"

void hm_cpu_scores_avx2(hm_cpu_attention *job, float *work)
{
    kernel_attention_scores(job, work);
}

void hm_cpu_flash_avx2(hm_cpu_attention *job, float *work)
{
    kernel_flash(job, work);
}
