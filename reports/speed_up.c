/* Speed of one arm relative to another from paired rounds. */
#include <math.h>

#include "reports/journal_parts.h"
#include "reports/stats.h"

#define MAX_ROUNDS 1000
#define MIN_FOR_INTERVAL 6
#define ONE_SIDE 0.025 /* of a 95 % interval */

hm_speed_up hm_journal_speed_up(const hm_journal_session *s, int base, int arm, int kase)
{
    const hm_journal_result *a = hm_journal_at(s, base, kase), *b = hm_journal_at(s, arm, kase);
    hm_speed_up out = {0, NAN, NAN, NAN};
    double y[MAX_ROUNDS], sum_a = 0, sum_b = 0;
    if (!hm_journal_ranks(a) || !hm_journal_ranks(b))
        return out;
    for (int r = 0; r < s->rounds && out.n < MAX_ROUNDS; r++) {
        if (!a->wall_by_round_ms || !b->wall_by_round_ms || !(a->wall_by_round_ms[r] > 0) || !(b->wall_by_round_ms[r] > 0))
            continue;
        sum_a += a->wall_by_round_ms[r];
        sum_b += b->wall_by_round_ms[r];
        y[out.n++] = log(a->wall_by_round_ms[r] / b->wall_by_round_ms[r]);
    }
    if (out.n)
        out.ratio = sum_a / sum_b;
    if (out.n >= MIN_FOR_INTERVAL) {
        hm_interval h = hm_hodges_lehmann(y, out.n, ONE_SIDE);
        out = (hm_speed_up){out.n, exp(h.estimate), exp(h.low), exp(h.high)};
    }
    return out;
}
