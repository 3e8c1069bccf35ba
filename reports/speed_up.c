/* Speed of one arm relative to another from paired rounds. */
#include <math.h>

#include "reports/journal_parts.h"
#include "reports/stats.h"

#define MAX_ROUNDS 1000
#define MIN_FOR_INTERVAL 6
#define ONE_SIDE 0.025 /* of a 95 % interval */

static hm_speed_up of_rounds(const double *base, const double *arm, int rounds)
{
    hm_speed_up out = {0, NAN, NAN, NAN};
    double y[MAX_ROUNDS], sum_base = 0, sum_arm = 0;
    for (int r = 0; r < rounds && base && arm && out.n < MAX_ROUNDS; r++) {
        if (!(base[r] > 0) || !(arm[r] > 0))
            continue;
        sum_base += base[r];
        sum_arm += arm[r];
        y[out.n++] = log(base[r] / arm[r]);
    }
    if (out.n)
        out.ratio = sum_base / sum_arm;
    if (out.n >= MIN_FOR_INTERVAL) {
        hm_interval h = hm_hodges_lehmann(y, out.n, ONE_SIDE);
        out = (hm_speed_up){out.n, exp(h.estimate), exp(h.low), exp(h.high)};
    }
    return out;
}

hm_speed_up hm_journal_speed_up(const hm_journal_session *s, int base, int arm, int kase)
{
    const hm_journal_result *a = hm_journal_at(s, base, kase), *b = hm_journal_at(s, arm, kase);
    int rounds = hm_journal_ranks(a) && hm_journal_ranks(b) ? s->rounds : 0;
    return of_rounds(a->wall_by_round_ms, b->wall_by_round_ms, rounds);
}

hm_speed_up hm_journal_drawing_speed_up(const hm_journal_session *s, int base, int arm, int kase)
{
    const hm_journal_result *a = hm_journal_at(s, base, kase), *b = hm_journal_at(s, arm, kase);
    int rounds = hm_journal_ranks(a) && hm_journal_ranks(b) ? s->rounds : 0;
    return of_rounds(a->drawing_by_round_ms, b->drawing_by_round_ms, rounds);
}
