/* The kernels for AVX2. */
#define HM_VEC_BITS 256
#include "engine/cpu/kernels.inc"

const hm_cpu_kernels hm_cpu_kernels_avx2 = HM_CPU_KERNELS;

void hm_cpu_scores_avx2(hm_cpu_attention *job, float *work)
{
    kernel_attention_scores(job, work);
}

void hm_cpu_flash_avx2(hm_cpu_attention *job, float *work)
{
    kernel_flash(job, work);
}
