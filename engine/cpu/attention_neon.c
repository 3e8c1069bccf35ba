/* Attention for NEON. */
#define HM_VEC_BITS 128
#define HM_VEC_NEON
#include "engine/cpu/attention.inc"

void hm_cpu_scores_neon(hm_cpu_attention *job, float *work)
{
    kernel_attention_scores(job, work);
}

void hm_cpu_flash_neon(hm_cpu_attention *job, float *work)
{
    kernel_flash(job, work);
}
