/* Operations whose rows or elements are independent: one job serves all of them. */
#ifndef HM_ENGINE_CPU_ROWS_H
#define HM_ENGINE_CPU_ROWS_H

#include "engine/cpu/device.h"

/* `run` does items [first, last); the fields after grain mean what it wants. */
typedef struct hm_cpu_rows hm_cpu_rows;
struct hm_cpu_rows {
    void (*run)(const hm_cpu_rows *j, size_t first, size_t last);
    const hm_cpu_kernels *k;
    size_t items, grain;
    float *y, *z;
    const float *x, *u, *v, *w;
    const void *table;
    const void *const *tables;
    const int32_t *ids;
    int32_t *found;
    const hm_kv_view *kv;
    hm_dtype type;
    hm_act act;
    bool half;
    int D, n, rows, pos, window, heads, S;
    int64_t stride, ldy, ldx;
    float a, eps;
};

/* Runs the job's items and ends the operation. work: elements touched, about. */
void hm_cpu_run_rows(const hm_ops *op, const char *name, hm_cpu_rows *j, double work);

#endif
