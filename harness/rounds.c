#include "harness/rounds.h"

#include "engine/base/rng.h"
#include "harness/plan.h"

enum { STREAM_ORDER = 0x4F524452 };

void hm_rounds_order(uint64_t seed, int case_index, int round, int arms, int *order)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, words[4];
    for (int i = 0; i < arms; i++)
        order[i] = i;
    for (int i = arms - 1; i > 0; i--) { /* Fisher-Yates; 64 bits over a small range: no bias to speak of */
        uint32_t counter[4] = {(uint32_t)(round / 2), (uint32_t)case_index, (uint32_t)i, STREAM_ORDER};
        hm_philox4x32(counter, key, words);
        int j = (int)(((uint64_t)words[0] << 32 | words[1]) % (uint64_t)(i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (int i = 0; round % 2 && i < arms / 2; i++) {
        int t = order[i];
        order[i] = order[arms - 1 - i];
        order[arms - 1 - i] = t;
    }
}

static hm_status one_round(const hm_rounds *r, int round, bool *any, hm_error *err)
{
    int order[HM_PLAN_ARMS], arms[HM_PLAN_ARMS];
    *any = false;
    for (int c = 0; c < r->cases; c++) {
        int n = 0;
        for (int a = 0; a < r->arms; a++)
            if (!r->applies || r->applies(r->self, c, a))
                arms[n++] = a;
        hm_rounds_order(r->seed, c, round, n, order);
        for (int slot = 0; slot < n; slot++) {
            int arm = arms[order[slot]];
            if (!r->wanted(r->self, c, arm, round))
                continue;
            *any = true;
            hm_status st = r->run(r->self, c, arm, round, slot, err);
            if (st)
                return st;
        }
    }
    return HM_OK;
}

hm_status hm_rounds_run(const hm_rounds *r, int *done, hm_error *err)
{
    int64_t start = hm_clock_now(r->clock), longest = 0;
    for (*done = 0; *done < r->rounds; ++*done) {
        int64_t begin = hm_clock_now(r->clock);
        bool any;
        if (r->max_time_ns && longest && begin - start + longest > r->max_time_ns)
            break;
        hm_status st = one_round(r, *done, &any, err);
        if (st)
            return st;
        int64_t took = hm_clock_now(r->clock) - begin;
        if (any && took > longest)
            longest = took;
    }
    return HM_OK;
}
