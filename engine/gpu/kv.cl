/* Positions, caches of keys and values, masks. */
#include "engine/gpu/compat.inc"
#include "engine/gpu/store.inc"

#define PANEL 32 /* HM_KV_PANEL */
#define LANES 16 /* HM_KV_LANES */
#define F32 0
#define BF16 1

/* An item is an angle. */
KERNEL(rope_table, 64)
(GLOBAL float *cosines, GLOBAL float *sines, GLOBAL const float *RESTRICT theta, const int angles, const int count, STEP(first))
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < (long)count * angles) {
        float angle = (float)(STEP_OF(first) + i / angles) * theta[i % angles];
        cosines[i] = cos(angle);
        sines[i] = sin(angle);
    }
}

/* An item is a pair of a head of a row: elements `apart` of each other, the next pair `next` further. */
KERNEL(rope, 64)
(GLOBAL float *x, GLOBAL const char *cosines, STEP(cosines_at), GLOBAL const char *sines, STEP(sines_at), const long pairs, const int S,
 const int heads, const int Dh, const int apart, const int next)
{
    long i = GROUP(0) * 64 + ITEM, count = Dh / 2;
    GLOBAL const float *c = (GLOBAL const float *)(cosines + STEP_OF(cosines_at)), *s = (GLOBAL const float *)(sines + STEP_OF(sines_at));
    if (i < pairs) {
        long head = i / count, angle = head / heads % S * count + i % count;
        GLOBAL float *at = x + head * Dh + i % count * next;
        float x0 = at[0], x1 = at[apart];
        at[0] = x0 * c[angle] - x1 * s[angle];
        at[apart] = x1 * c[angle] + x0 * s[angle];
    }
}

/* The scale of a head; no number when an element is not finite. */
DEVICE float scale_of(GLOBAL const float *x, int Dh, LOCAL float *space)
{
    float most = 0;
    for (int i = ITEM; i < Dh; i += 64) {
        float a = fabs(x[i]);
        most = a <= most ? most : a <= 3.402823466e38f ? a : as_f32(0x7F800000u);
    }
    most = group_max(most, space);
    return most < as_f32(0x7F800000u) ? divided(most, 127.0f) : as_f32(0x7FC00000u);
}

/* What the kernels below share: where keys and values go, and from where; k_at, v_at: of the head's first element in a panel. */
#define PUT                                                                                                                       \
    GLOBAL const float *RESTRICT from_k, GLOBAL const float *RESTRICT from_v, const int heads, const long batch, const long head, \
        const long slot_stride, const int S, const int from_heads, const int Dh, STEP(pos)
#define PUT_OPEN                                                                                 \
    const long m = GROUP(0) / heads, h = GROUP(0) % heads, slot = STEP_OF(pos) + m % S;          \
    const long row = m / S * batch + h * head, panel = row + slot / PANEL * PANEL * slot_stride; \
    const long k_at = panel + slot % PANEL, v_at = panel + slot % PANEL * LANES;                 \
    GLOBAL const float *xk = from_k + (m * from_heads + h / (heads / from_heads)) * Dh;          \
    GLOBAL const float *xv = from_v + (m * from_heads + h / (heads / from_heads)) * Dh;

/* Element i of a head in a panel of values. */
#define VALUE_AT(i) ((i) / LANES * (PANEL * LANES) + (i) % LANES)

/* A group is a head that is stored of a row. */
KERNEL(kv_put, 64)
(GLOBAL char *k, GLOBAL char *v, const int type, const int panels, PUT)
{
    PUT_OPEN
    int last = panels ? (int)slot_stride : Dh;
    for (int i = ITEM; i < last; i += 64) {
        float key = i < Dh ? xk[i] : 0.0f, value = i < Dh ? xv[i] : 0.0f;
        if (!panels) {
            ((GLOBAL float *)k)[row + slot * slot_stride + i] = key;
            ((GLOBAL float *)v)[row + slot * slot_stride + i] = value;
        }
        if (panels && i < Dh && type == F32)
            ((GLOBAL float *)k)[k_at + (long)i * PANEL] = key;
        if (panels && i < Dh && type == BF16)
            ((GLOBAL ushort *)k)[k_at + (long)i * PANEL] = f32_bf16(key);
        if (panels && type == F32)
            ((GLOBAL float *)v)[v_at + VALUE_AT(i)] = value;
        if (panels && type == BF16)
            ((GLOBAL ushort *)v)[v_at + VALUE_AT(i)] = f32_bf16(value);
    }
}

/* The same into panels of int8, with a scale of each head's keys and one of its values. */
KERNEL(kv_put_int8, 64)
(GLOBAL char *k, GLOBAL char *v, GLOBAL float *k_scale, GLOBAL float *v_scale, PUT)
{
    SHARED(float, space, GROUP_SPACE(64));
    PUT_OPEN
    float of_k = scale_of(xk, Dh, space), of_v = scale_of(xv, Dh, space);
    for (int i = ITEM; i < slot_stride; i += 64) {
        if (i < Dh)
            k[k_at + (long)i * PANEL] = quantised(xk[i], of_k);
        v[v_at + VALUE_AT(i)] = i < Dh ? quantised(xv[i], of_v) : 0;
    }
    if (ITEM == 0) {
        k_scale[row / slot_stride + slot] = of_k;
        v_scale[row / slot_stride + slot] = of_v;
    }
}

/* Slots of a row, side by side; groups cover at least the slots there are. window: 0: none. */
KERNEL(causal_mask, 64)(GLOBAL float *mask, const int window, STEP(pos), STEP(slots))
{
    long i = GROUP(0) * 64 + ITEM, n = STEP_OF(slots), at = STEP_OF(pos) + GROUP(1);
    if (i < n)
        mask[GROUP(1) * n + i] = i <= at && (!window || i > at - window) ? 0.0f : -as_f32(0x7F800000u);
}
