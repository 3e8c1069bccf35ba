#include "harness/rounds.h"

#include <string.h>

#include "engine/base/rng.h"
#include "harness/plan.h"

enum {
    STREAM_ORDER = 0x4F524452
};

const char *const hm_order_names[HM_ORDER_COUNT + 1] = {
#define ORDER_NAME(id, name, text) name,
    HM_ORDERS(ORDER_NAME)
#undef ORDER_NAME
};

int hm_order_parse(const char *name)
{
    for (int i = 0; i < HM_ORDER_COUNT; i++)
        if (!strcmp(name, hm_order_names[i]))
            return i;
    return -1;
}

static void permute(uint64_t seed, int case_index, int draw, int arms, int *order)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, words[4];
    for (int i = arms - 1; i > 0; i--) { /* Fisher-Yates; 64 bits over a small range: no bias to speak of */
        uint32_t counter[4] = {(uint32_t)draw, (uint32_t)case_index, (uint32_t)i, STREAM_ORDER};
        hm_philox4x32(counter, key, words);
        int j = (int)(((uint64_t)words[0] << 32 | words[1]) % (uint64_t)(i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

void hm_rounds_order(hm_order kind, uint64_t seed, int case_index, int round, int arms, int *order)
{
    for (int i = 0; i < arms; i++)
        order[i] = i;
    if (kind != HM_ORDER_SERIAL)
        permute(seed, case_index, kind == HM_ORDER_ABBA ? round / 2 : round, arms, order);
    for (int i = 0; kind == HM_ORDER_ABBA && round % 2 && i < arms / 2; i++) {
        int t = order[i];
        order[i] = order[arms - 1 - i];
        order[arms - 1 - i] = t;
    }
}

bool hm_rounds_too_many_dropped(int dropped, int kept)
{
    return dropped > 1 && dropped > HM_ROUNDS_DROPPED_MOST * (dropped + kept);
}

/* One case's turns of a round. *any: there was something to run; *slots: arms that have one. */
static hm_status run_case(const hm_rounds *r, int c, int round, bool *any, int *slots, hm_error *err)
{
    int order[HM_PLAN_ARMS], arms[HM_PLAN_ARMS], n = 0;
    *any = false;
    for (int a = 0; a < r->arms; a++)
        if (!r->applies || r->applies(r->self, c, a))
            arms[n++] = a;
    *slots = n;
    hm_rounds_order(r->order, r->seed, c, round, n, order);
    for (int slot = 0; slot < n; slot++) {
        int arm = arms[order[slot]];
        if (!r->wanted(r->self, c, arm, round))
            continue;
        *any = true;
        hm_status st = r->run(r->self, c, arm, round, slot, err);
        if (st)
            return st;
    }
    return HM_OK;
}

/* Until the round of this case may stay. */
static hm_status keep_case(const hm_rounds *r, int c, int round, hm_rounds_outcome *out, bool *any, hm_error *err)
{
    int planned = r->rounds * r->cases, slots;
    for (;;) {
        bool ran, drop = false;
        hm_status st = run_case(r, c, round, &ran, &slots, err);
        *any = *any || ran;
        if (!st && ran && r->judge)
            st = r->judge(r->self, c, round, &drop, err);
        if (st)
            return st;
        if (!drop) {
            out->kept += slots > 0;
            return HM_OK;
        }
        out->dropped++;
        if (hm_rounds_too_many_dropped(out->dropped, planned)) { /* even if all that are left were good */
            out->invalid = true;
            return HM_OK;
        }
    }
}

hm_status hm_rounds_run(const hm_rounds *r, hm_rounds_outcome *out, hm_error *err)
{
    bool over[HM_PLAN_CASES] = {0};
    int64_t start = hm_clock_now(r->clock), longest = 0;
    int left = r->cases;
    *out = (hm_rounds_outcome){.dropped = r->dropped};
    for (; out->rounds < r->rounds && left; out->rounds++) {
        int64_t begin = hm_clock_now(r->clock);
        bool any = false;
        if (r->max_time_ns && longest && begin - start + longest > r->max_time_ns)
            break;
        for (int c = 0; c < r->cases; c++) {
            if (over[c])
                continue;
            hm_status st = keep_case(r, c, out->rounds, out, &any, err);
            if (st || out->invalid)
                return st;
            over[c] = r->decided && r->decided(r->self, c, out->rounds + 1);
            left -= over[c];
        }
        int64_t took = hm_clock_now(r->clock) - begin;
        if (any && took > longest)
            longest = took;
    }
    out->decided = !left;
    out->invalid = hm_rounds_too_many_dropped(out->dropped, out->kept);
    return HM_OK;
}
