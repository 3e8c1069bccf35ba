/* Keys and values into caches, as rows or as panels of every type. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/cpu/rows.h"

/* One head of one slot: where it goes, from what. */
typedef struct kv_slot {
    const hm_kv_view *kv;
    const float *k, *v; /* [Dh] */
    int64_t at;         /* first element of the head */
    int slot, Dh;
} kv_slot;

/* rint(x / scale) for |x| <= 127 scale, as a float. */
static inline float quantised(float x, float scale)
{
    float t = x / scale;
    t = t > 127.0f ? 127.0f : t < -127.0f ? -127.0f : t;
    return t + 12582912.0f - 12582912.0f;
}

/* The scale of x; one that is not finite when x is not. */
static float scale_of(const float *x, int Dh)
{
    float most = 0;
    for (int i = 0; i < Dh; i++) {
        float a = fabsf(x[i]);
        most = a <= most ? most : a;
        if (!(a <= FLT_MAX))
            return NAN;
    }
    return most / 127.0f;
}

static int8_t quantised_at(const float *x, int i, int Dh, float scale)
{
    return i < Dh && scale > 0 ? (int8_t)quantised(x[i], scale) : 0;
}

/* Where a slot's elements begin in a panel of keys and one of values. */
static int64_t key_at(const kv_slot *s)
{
    return s->at + s->slot / HM_KV_PANEL * HM_KV_PANEL * s->kv->slot + s->slot % HM_KV_PANEL;
}

static int64_t value_at(const kv_slot *s)
{
    return s->at + s->slot / HM_KV_PANEL * HM_KV_PANEL * s->kv->slot + s->slot % HM_KV_PANEL * HM_KV_LANES;
}

/* Run d of a slot's values: HM_KV_LANES elements from d*HM_KV_LANES on. */
#define RUN ((int64_t)HM_KV_PANEL * HM_KV_LANES)

static void put_values_f32(const kv_slot *s)
{
    float *v = (float *)s->kv->v + value_at(s);
    int i = 0;
    for (; i + HM_KV_LANES <= s->Dh; i += HM_KV_LANES, v += RUN)
        memcpy(v, s->v + i, HM_KV_LANES * sizeof *v);
    for (int x = 0; i < s->Dh && x < HM_KV_LANES; x++)
        v[x] = i + x < s->Dh ? s->v[i + x] : 0.0f;
}

static void put_f32(const kv_slot *s)
{
    float *k = (float *)s->kv->k + key_at(s);
    for (int i = 0; i < s->Dh; i++)
        k[(int64_t)i * HM_KV_PANEL] = s->k[i];
    put_values_f32(s);
}

/* Keys of four slots that lie side by side in a panel, `stride` floats apart where they come from: turned, so that four are stored at once. */
static void put_four_f32(const kv_slot *s, int64_t stride)
{
    typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
    float *k = (float *)s->kv->k + key_at(s);
    int i = 0;
    for (; i + 4 <= s->Dh; i += 4) {
        const float *from = s->k + i;
        four a = *(const four *)from, b = *(const four *)(from + stride), c = *(const four *)(from + 2 * stride),
             d = *(const four *)(from + 3 * stride);
        for (int x = 0; x < 4; x++)
            *(four *)(k + (int64_t)(i + x) * HM_KV_PANEL) = (four){a[x], b[x], c[x], d[x]};
    }
    for (; i < s->Dh; i++)
        for (int x = 0; x < 4; x++)
            k[(int64_t)i * HM_KV_PANEL + x] = s->k[x * stride + i];
    kv_slot each = *s;
    for (int x = 0; x < 4; x++, each.slot++, each.v += stride)
        put_values_f32(&each);
}

static void put_bf16(const kv_slot *s)
{
    uint16_t *k = (uint16_t *)s->kv->k + key_at(s), *v = (uint16_t *)s->kv->v + value_at(s);
    for (int i = 0; i < s->Dh; i++)
        k[(int64_t)i * HM_KV_PANEL] = hm_f32_to_bf16(s->k[i]);
    for (int i = 0; i < (int)s->kv->slot; i++)
        v[i / HM_KV_LANES * RUN + i % HM_KV_LANES] = i < s->Dh ? hm_f32_to_bf16(s->v[i]) : 0;
}

static void put_int8(const kv_slot *s)
{
    int8_t *k = (int8_t *)s->kv->k + key_at(s), *v = (int8_t *)s->kv->v + value_at(s);
    float k_scale = scale_of(s->k, s->Dh), v_scale = scale_of(s->v, s->Dh);
    int64_t scale = s->at / s->kv->slot + s->slot;
    for (int i = 0; i < s->Dh; i++)
        k[(int64_t)i * HM_KV_PANEL] = quantised_at(s->k, i, s->Dh, k_scale);
    for (int i = 0; i < (int)s->kv->slot; i++)
        v[i / HM_KV_LANES * RUN + i % HM_KV_LANES] = quantised_at(s->v, i, s->Dh, v_scale);
    s->kv->k_scale[scale] = k_scale;
    s->kv->v_scale[scale] = v_scale;
}

static void put_row(const kv_slot *s)
{
    int64_t to = s->at + s->slot * s->kv->slot;
    memcpy((float *)s->kv->k + to, s->k, (size_t)s->Dh * sizeof(float));
    memcpy((float *)s->kv->v + to, s->v, (size_t)s->Dh * sizeof(float));
}

#define TOGETHER 4 /* slots of an item, of which the first is a multiple of as many */

static int items_of(int pos, int S)
{
    return (pos + S - 1) / TOGETHER - pos / TOGETHER + 1;
}

static void kv_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    const hm_kv_view *kv = j->kv;
    int repeat = kv->heads / j->heads, items = items_of(j->pos, j->S);
    int64_t stride = (int64_t)j->heads * j->D;
    for (size_t item = first; item < last; item++) {
        int64_t b = (int64_t)(item / (size_t)items);
        int begin = (j->pos / TOGETHER + (int)(item % (size_t)items)) * TOGETHER, end = begin + TOGETHER;
        bool whole = begin >= j->pos && end <= j->pos + j->S && kv->panels && kv->type == HM_F32;
        begin = begin > j->pos ? begin : j->pos;
        end = end < j->pos + j->S ? end : j->pos + j->S;
        for (int h = 0; h < kv->heads; h++) {
            int64_t from = (b * j->S + begin - j->pos) * stride + (int64_t)(h / repeat) * j->D;
            kv_slot s = {.kv = kv, .k = j->u + from, .v = j->v + from, .Dh = j->D, .slot = begin, .at = b * kv->batch + h * kv->head};
            if (whole)
                put_four_f32(&s, stride);
            for (; !whole && s.slot < end; s.slot++, s.k += stride, s.v += stride) {
                if (!kv->panels)
                    put_row(&s);
                else if (kv->type == HM_BF16)
                    put_bf16(&s);
                else if (kv->type == HM_I8)
                    put_int8(&s);
                else
                    put_f32(&s);
            }
        }
    }
}

static void cpu_kv_put(const hm_ops *op, const hm_kv_view *kv, const float *k, const float *v, int B, int S, int stored_from, int Dh,
                       int pos)
{
    hm_cpu_rows j = {.run = kv_rows, .u = k, .v = v, .kv = kv, .D = Dh, .S = S, .heads = stored_from, .pos = pos};
    j.items = (size_t)B * (size_t)items_of(pos, S);
    uint64_t one = (uint64_t)Dh * hm_dtype_bytes(kv->type) + (kv->type == HM_I8 ? sizeof(float) : 0);
    if (!hm_cpu_begin(op, "kv_put"))
        return;
    op->count->kv_written_bytes += 2 * one * (uint64_t)B * (uint64_t)S * (uint64_t)kv->heads;
    hm_cpu_run_rows(op, "kv_put", &j, 2.0 * B * S * kv->heads * Dh);
}

static void mask_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t s = first; s < last; s++) {
        int at = j->pos + (int)s;
        for (int i = 0; i < j->n; i++)
            j->y[s * (size_t)j->n + (size_t)i] = i <= at && (!j->window || i > at - j->window) ? 0.0f : -INFINITY;
    }
}

static void cpu_causal_mask(const hm_ops *op, float *mask, int S, int slots, int pos, int window)
{
    hm_cpu_rows j = {.run = mask_rows, .items = (size_t)S, .y = mask, .n = slots, .pos = pos, .window = window};
    if (!hm_cpu_begin(op, "causal_mask"))
        return;
    op->count->mask_bytes += 4 * (uint64_t)S * (uint64_t)slots;
    hm_cpu_run_rows(op, "causal_mask", &j, (double)S * slots);
}

void hm_cpu_fill_kv(hm_ops *ops)
{
    ops->kv_put = cpu_kv_put;
    ops->causal_mask = cpu_causal_mask;
}
