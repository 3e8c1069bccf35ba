/* Speed of one arm relative to another from paired rounds. */
#include <math.h>
#include <stdlib.h>

#include "reports/journal.h"

#define MAX_ROUNDS 1000
#define MIN_FOR_INTERVAL 6
#define ONE_SIDE 0.025 /* of a 95 % interval */

static int compare(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return a < b ? -1 : a > b;
}

/* Largest k with P(rank sum <= k) <= level under the signed-rank distribution of n pairs; -1: none. */
static int signed_rank_k(int n, double level)
{
    int top = n * (n + 1) / 2;
    if (n > 60)
        return (int)floor(top / 2.0 - 1.959964 * sqrt(n * (n + 1) * (2 * n + 1) / 24.0)) - 1;
    double *p = calloc((size_t)top + 1, sizeof *p), sum = 0;
    int k = -1;
    if (!p)
        return -1;
    p[0] = 1;
    for (int i = 1; i <= n; i++)
        for (int t = i * (i + 1) / 2; t >= 0; t--)
            p[t] = 0.5 * p[t] + (t >= i ? 0.5 * p[t - i] : 0);
    while (k < top && sum + p[k + 1] <= level)
        sum += p[++k];
    free(p);
    return k;
}

/* Median and order statistics of the means of all pairs of y, each value with itself too (Walsh averages). */
static void hodges_lehmann(hm_speed_up *out, const double *y, int n)
{
    int count = n * (n + 1) / 2, at = 0, k = signed_rank_k(n, ONE_SIDE);
    double *w = malloc((size_t)count * sizeof *w);
    if (!w)
        return;
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++)
            w[at++] = (y[i] + y[j]) / 2;
    qsort(w, (size_t)count, sizeof *w, compare);
    out->ratio = exp(count % 2 ? w[count / 2] : (w[count / 2 - 1] + w[count / 2]) / 2);
    if (k >= 0) {
        out->low = exp(w[k]);
        out->high = exp(w[count - 1 - k]);
    }
    free(w);
}

hm_speed_up hm_journal_speed_up(const hm_journal_session *s, int base, int arm, int kase)
{
    const hm_journal_result *a = hm_journal_at(s, base, kase), *b = hm_journal_at(s, arm, kase);
    hm_speed_up out = {0, NAN, NAN, NAN};
    double y[MAX_ROUNDS], sum_a = 0, sum_b = 0;
    for (int r = 0; r < s->rounds && out.n < MAX_ROUNDS; r++) {
        if (!a->wall_by_round_ms || !b->wall_by_round_ms || !(a->wall_by_round_ms[r] > 0) || !(b->wall_by_round_ms[r] > 0))
            continue;
        sum_a += a->wall_by_round_ms[r];
        sum_b += b->wall_by_round_ms[r];
        y[out.n++] = log(a->wall_by_round_ms[r] / b->wall_by_round_ms[r]);
    }
    if (out.n)
        out.ratio = sum_a / sum_b;
    if (out.n >= MIN_FOR_INTERVAL)
        hodges_lehmann(&out, y, out.n);
    return out;
}
