/* Entries of the op table around codes and convolution weights; see engine/ops.h. */
#ifndef HM_ENGINE_CPU_FOLD_H
#define HM_ENGINE_CPU_FOLD_H

#include "engine/ops.h"

void hm_cpu_any_at_least(const hm_ops *op, int32_t *flag, const int32_t *tokens, int n, int32_t limit);
void hm_cpu_pick(const hm_ops *op, float *y, const float *x, const int32_t *index);
void hm_cpu_fold_conv(const hm_ops *op, const hm_fold_args *args);

#endif
