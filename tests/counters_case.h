/* What counters say when a toggle is set: rows that tell how a value moves the counter of its toggle, and the amounts that any two stacks
 * of layers have in common, the second of which makes the codes of a frame one after the other. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: nftw"
#endif
#ifndef HM_TESTS_COUNTERS_CASE_H
#define HM_TESTS_COUNTERS_CASE_H

#include "engine/panel.h"
#include "tests/result_case.h"

/* What a run has counted. */
typedef struct observed {
    hm_counters call, load;
    uint64_t prompt; /* rows */
} observed;

typedef struct amounts {
    uint64_t before, after;
} amounts;

typedef struct row {
    const char *toggle;
    int value, scene; /* what runs before and after the toggle is set */
    amounts (*exact)(const observed *before, const observed *after);
} row;

/* --- the table --- */

static const row *case_row; /* the one being checked */
static bool case_same;      /* its value takes the bytes of what the model stores: nothing moves */

static inline uint64_t case_counter(const observed *o, const char *name, bool loading)
{
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        if (!strcmp(hm_counter_name(i), name))
            return ((const uint64_t *)(loading ? &o->load : &o->call))[i];
    fail_msg("no counter %s", name);
    return 0;
}

static inline const row *case_row_of(const row *table, int rows, const char *toggle, int value)
{
    for (int i = 0; i < rows; i++)
        if (!strcmp(table[i].toggle, toggle) && table[i].value == value)
            return &table[i];
    return NULL;
}

static inline void case_check_row(const row *r, const hm_toggle_info *toggle, int value, observed (*run)(int scene, hm_toggles toggles))
{
    bool loading = strstr(toggle->counter, "load_") || strstr(toggle->counter, "converted_");
    hm_toggles with = case_only(toggle, value), without = with;
    *case_toggle(&without, toggle->offset) = 0;
    case_row = r;
    case_same = false;
    observed before = run(r->scene, without), after = run(r->scene, with);
    amounts expected = r->exact(&before, &after);
    uint64_t found_before = case_counter(&before, toggle->counter, loading), found_after = case_counter(&after, toggle->counter, loading);
    if ((expected.before == expected.after) != case_same || found_before != expected.before || found_after != expected.after)
        fail_msg("%s: expected %s to go from %llu to %llu, found %llu to %llu", case_value_text(toggle, value), toggle->counter,
                 (unsigned long long)expected.before, (unsigned long long)expected.after, (unsigned long long)found_before,
                 (unsigned long long)found_after);
}

/* Every value of every toggle of a family of models has its row in the table, and every row its value. */
static inline void case_check_table(unsigned models, const row *table, int rows, observed (*run)(int scene, hm_toggles toggles))
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    for (int i = 0; i < count; i++)
        for (int value = 1; list[i].models & models && list[i].backends & HM_BACKEND_CPU && value < hm_toggle_values(&list[i]);
             value++, checked++) {
            const row *r = case_row_of(table, rows, list[i].name, value);
            if (!r)
                fail_msg("%s: no row says what it does to %s", case_value_text(&list[i], value), list[i].counter);
            case_check_row(r, &list[i], value, run);
        }
    assert_int_equal(checked, rows);
}

/* --- amounts of two stacks --- */

typedef struct case_stack {
    uint64_t layers, heads, kv_heads, head_dim;
} case_stack;

/* What the amounts below are of; a test says so before it runs. */
static struct {
    case_stack outer, inner;
    uint64_t frames, codes; /* codes of a frame */
    uint64_t batch;         /* rows that go through the stacks side by side: two with guidance */
} case_sizes;

#define OUTER (&case_sizes.outer)
#define INNER (&case_sizes.inner)

static inline uint64_t case_range_sum(uint64_t first, uint64_t last)
{
    return last < first ? 0 : (last * (last + 1) - first * (first - 1)) / 2;
}

/* Rows of queries times slots, per head and layer: the prompt, then a row per frame but the last; the inner stack's two rows, then one per
 * code, in every frame. */
static inline uint64_t case_outer_pairs(uint64_t prompt)
{
    return prompt * prompt + case_range_sum(prompt + 1, prompt + case_sizes.frames - 1);
}

static inline uint64_t case_inner_pairs(void)
{
    return case_sizes.frames * (2 * 2 + case_range_sum(3, case_sizes.codes));
}

static inline uint64_t case_scores(uint64_t outer, uint64_t inner)
{
    return case_sizes.batch * sizeof(float) * (OUTER->layers * OUTER->heads * outer + INNER->layers * INNER->heads * inner);
}

static inline amounts case_kv(const observed *b, const observed *a)
{
    uint64_t frames = case_sizes.frames;
    uint64_t outer = OUTER->layers * OUTER->heads * OUTER->head_dim * case_range_sum(b->prompt, b->prompt + frames - 2);
    uint64_t inner = frames * INNER->layers * INNER->heads * INNER->head_dim * case_range_sum(2, case_sizes.codes - 1);
    (void)a;
    return (amounts){case_sizes.batch * 2 * sizeof(float) * (outer + inner), 0};
}

static inline amounts case_mask(const observed *b, const observed *a)
{
    (void)a;
    return (amounts){case_sizes.batch * sizeof(float) * (case_outer_pairs(b->prompt) + case_inner_pairs()), 0};
}

static inline amounts case_attn_flash(const observed *b, const observed *a)
{
    (void)a;
    return (amounts){case_scores(case_outer_pairs(b->prompt), case_inner_pairs()), 0};
}

/* All slots of caches: the outer one has `slots`, the inner one those of a frame's codes. */
static inline amounts case_attn_all(const observed *b, const observed *a, uint64_t slots)
{
    uint64_t outer = slots * (b->prompt + case_sizes.frames - 1), inner = case_sizes.frames * case_sizes.codes * case_sizes.codes;
    assert_int_equal(a->call.attn_scores * sizeof(float), a->call.score_bytes);
    return (amounts){case_scores(case_outer_pairs(b->prompt), case_inner_pairs()), case_scores(outer, inner)};
}

static inline amounts case_gqa(const observed *b, const observed *a)
{
    uint64_t outer = OUTER->layers * OUTER->head_dim * (b->prompt + case_sizes.frames - 1);
    uint64_t inner = INNER->layers * INNER->head_dim * case_sizes.frames * case_sizes.codes;
    uint64_t bytes = case_sizes.batch * 2 * sizeof(float);
    assert_int_equal(a->call.attn_scores, b->call.attn_scores);
    return (amounts){bytes * (OUTER->heads * outer + INNER->heads * inner), bytes * (OUTER->kv_heads * outer + INNER->kv_heads * inner)};
}

/* Bytes of K and V put into caches that have all query heads: every position once, `element` bytes each and `scale` per head and slot. */
static inline uint64_t case_kv_written(const observed *o, uint64_t element, uint64_t scale)
{
    uint64_t outer = OUTER->layers * OUTER->heads * (o->prompt + case_sizes.frames - 1) * (OUTER->head_dim * element + scale);
    uint64_t inner = INNER->layers * INNER->heads * case_sizes.frames * case_sizes.codes * (INNER->head_dim * element + scale);
    return case_sizes.batch * 2 * (outer + inner);
}

static inline amounts case_kv_bf16(const observed *b, const observed *a)
{
    return (amounts){case_kv_written(b, 4, 0), case_kv_written(a, 2, 0)};
}

static inline amounts case_kv_int8(const observed *b, const observed *a)
{
    return (amounts){case_kv_written(b, 4, 0), case_kv_written(a, 1, sizeof(float))};
}

/* Bytes of a preallocated cache of float32: panels of 32 slots, heads padded to 16. */
static inline uint64_t case_cache_bytes(uint64_t layers, uint64_t heads, uint64_t slots, uint64_t head_dim)
{
    return 2 * layers * heads * ((slots + 31) / 32 * 32) * ((head_dim + 15) / 16 * 16) * sizeof(float);
}

/* Every code as it is drawn, and the logits that were picked at the end. */
static inline amounts case_codes_frame(const observed *b, const observed *a)
{
    (void)b;
    (void)a;
    return (amounts){case_sizes.frames * case_sizes.codes + 1, case_sizes.frames + 1};
}

static inline void case_expect_preallocated(const observed *o)
{
    assert_int_equal(o->call.kv_copied_bytes, 0);
    assert_int_equal(o->call.kv_grown, 0);
}

/* --- amounts of tensors --- */

/* Bytes of the tensors that `wanted` takes; closes the table. */
static inline uint64_t case_bytes_of(hm_tensor_table *all, bool (*wanted)(const hm_tensor_row *row))
{
    uint64_t n = 0;
    for (int i = 0; i < all->count; i++)
        n += wanted(&all->rows[i]) ? hm_tensor_row_bytes(&all->rows[i]) : 0;
    hm_tensor_table_close(all);
    return n;
}

/* Bytes of the panels of a tensor that is a linear layer, a stack of them [n][in][out], or a convolution. */
static inline uint64_t case_panels(const hm_tensor_row *r, hm_format asked, hm_dtype stored)
{
    bool stacked = !strcmp(r->name, "audio_head"), short_turned = strstr(r->name, ".upsample.") && strstr(r->name, ".0.conv.");
    bool turned = short_turned || strstr(r->name, ".up_conv.") || strstr(r->name, ".block.1.conv.");
    int out = (int)r->shape[stacked ? 2 : 0], in = (int)r->shape[1], taps = r->rank == 3 && !stacked ? (int)r->shape[2] : 1;
    if (turned) { /* [in][out][2*stride], or [stride] */
        in = (int)r->shape[0];
        out = (int)r->shape[1] * taps / (short_turned ? 1 : 2);
        taps = short_turned ? 1 : 2;
    }
    hm_format format = !asked || (hm_format_quantised(asked) && in < 64) ? hm_format_of(stored) : asked;
    return hm_panels_bytes(format, out, in, taps) * (stacked ? (uint64_t)r->shape[0] : 1);
}

/* What the layers of a table are read in panels, each as often as `reads` says, where those that `chosen` takes have another format than
 * they are stored in. cut (NULL: none is) says of what ranges of inputs a tensor's layers are. Closes the table. */
static inline uint64_t case_panels_read(hm_tensor_table *all, uint64_t (*reads)(const hm_tensor_row *r),
                                        bool (*chosen)(const hm_tensor_row *r), int (*cut)(const hm_tensor_row *r, int64_t inputs[3]),
                                        hm_format format)
{
    uint64_t n = 0;
    for (int i = 0; i < all->count; i++) {
        hm_tensor_row r = all->rows[i];
        int64_t inputs[3] = {r.shape[1]};
        int ranges = cut ? cut(&r, inputs) : 1;
        for (int k = 0; k < ranges; k++) {
            r.shape[1] = inputs[k];
            n += reads(&r) * case_panels(&r, chosen(&r) ? format : HM_FORMAT_ROWS, r.type);
        }
    }
    hm_tensor_table_close(all);
    return n;
}

static inline bool case_any_tensor(const hm_tensor_row *r)
{
    return r->rank >= 0;
}

#endif
