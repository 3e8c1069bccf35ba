/* The kernels for AVX-512. */
#define HM_VEC_BITS 512
#include "engine/cpu/kernels.inc"

const hm_cpu_kernels hm_cpu_kernels_avx512 = HM_CPU_KERNELS;

void hm_cpu_scores_avx512(hm_cpu_attention *job, float *work)
{
    kernel_attention_scores(job, work);
}

void hm_cpu_flash_avx512(hm_cpu_attention *job, float *work)
{
    kernel_flash(job, work);
}
