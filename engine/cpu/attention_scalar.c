/* Attention for plain C. */
#define HM_VEC_BITS 128
#include "engine/cpu/attention.inc"

void hm_cpu_scores_scalar(hm_cpu_attention *job, float *work)
{
    kernel_attention_scores(job, work);
}

void hm_cpu_flash_scalar(hm_cpu_attention *job, float *work)
{
    kernel_flash(job, work);
}
