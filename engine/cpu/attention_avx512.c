/* Attention for AVX-512. */
#define HM_VEC_BITS 512
#include "engine/cpu/attention.inc"

void hm_cpu_scores_avx512(hm_cpu_attention *job, float *work)
{
    kernel_attention_scores(job, work);
}

void hm_cpu_flash_avx512(hm_cpu_attention *job, float *work)
{
    kernel_flash(job, work);
}
