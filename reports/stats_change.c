/* Change points of a series: E-divisive's statistic finds where it may have changed, Student's t and a least magnitude decide. Wild values
 * are tamed before: one alone would swell the spread that a change is held against, and hide it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reports/stats.h"

enum {
    WINDOW = 50,
    LEAST_STRETCH = 3,
    AROUND = LEAST_STRETCH - 1 /* neighbours on each side: the median of a step's shortest stretch is its own */
};

#define CANDIDATE_P 0.01
#define CHANGE_P 0.001
#define LEAST_SDS 2.5 /* of the quieter side */
#define WILD_SDS 3.0
#define SD_OF_DIFFERENCE 1.0483 /* 1.4826 / sqrt(2): the sd of normal values from the median |difference| of neighbours */

/* z with every value brought to within three standard deviations of the median of it and its neighbours; the deviation is that of
 * neighbours' differences, which steps and wild values hardly move. False: no memory. */
static bool tame_wild_ones(const double *z, int n, double *out)
{
    for (int i = 1; i < n; i++)
        out[i - 1] = fabs(z[i] - z[i - 1]);
    double room = WILD_SDS * SD_OF_DIFFERENCE * hm_median(out, n - 1);
    for (int i = 0; i < n; i++) {
        int first = i > AROUND ? i - AROUND : 0, end = i + AROUND < n ? i + AROUND + 1 : n;
        double median = hm_median(z + first, end - first);
        out[i] = fmin(fmax(z[i], median - room), median + room);
        if (isnan(room) || isnan(median))
            return false;
    }
    return true;
}

/* Sums of |z_i - z_j| over rectangles of a window: sums[i][j] is that of rows before i and columns before j. */
typedef struct distances {
    double sums[WINDOW + 1][WINDOW + 1];
} distances;

static void measure(distances *d, const double *z, int n)
{
    memset(d, 0, sizeof *d);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            d->sums[i + 1][j + 1] = d->sums[i][j + 1] + d->sums[i + 1][j] - d->sums[i][j] + fabs(z[i] - z[j]);
}

static double between(const distances *d, int from, int to, int from2, int to2)
{
    return d->sums[to][to2] - d->sums[from][to2] - d->sums[to][from2] + d->sums[from][from2];
}

/* Q(s, t, k) = nm / (n + m) (2 mean|x - y| - mean|x - x'| - mean|y - y'|), x = z[s..t), y = z[t..k). */
static double divergence(const distances *d, int s, int t, int k)
{
    double n = t - s, m = k - t;
    double within_x = n > 1 ? between(d, s, t, s, t) / (n * (n - 1)) : 0, within_y = m > 1 ? between(d, t, k, t, k) / (m * (m - 1)) : 0;
    return n * m / (n + m) * (2 * between(d, s, t, t, k) / (n * m) - within_x - within_y);
}

/* Two-sided p of Student's t with pooled variance; 0 where neither side varies and they differ. */
static double student_p(const double *x, int n, const double *y, int m)
{
    double a = hm_mean(x, n), b = hm_mean(y, m), va = 0, vb = 0;
    for (int i = 0; i < n; i++)
        va += (x[i] - a) * (x[i] - a);
    for (int i = 0; i < m; i++)
        vb += (y[i] - b) * (y[i] - b);
    double pooled = (va + vb) / (n + m - 2);
    if (!(pooled > 0))
        return a == b ? 1 : 0;
    return hm_student_two_sided((a - b) / sqrt(pooled * (1.0 / n + 1.0 / m)), n + m - 2);
}

/* Splits z[from..to) of a window where Q is largest, as long as the t-test says so; marks[i]: a change before value i. */
static void split(const distances *d, const double *z, int from, int to, bool *marks)
{
    int at = -1, end = -1;
    double best = 0;
    for (int t = from + LEAST_STRETCH; t + LEAST_STRETCH <= to; t++)
        for (int k = t + LEAST_STRETCH; k <= to; k++) {
            double q = divergence(d, from, t, k);
            if (q > best) {
                best = q;
                at = t;
                end = k;
            }
        }
    if (at < 0 || student_p(z + from, at - from, z + at, end - at) >= CANDIDATE_P)
        return;
    marks[at] = true;
    split(d, z, from, at, marks);
    split(d, z, at, to, marks);
}

/* What a candidate between its neighbours is worth. tame: z without wild values. */
static hm_change weigh(const double *z, const double *tame, int from, int at, int to, double least, bool *stays)
{
    hm_change c = {at, hm_median(z + from, at - from), hm_median(z + at, to - at), 1};
    int n = at - from, m = to - at;
    *stays = false;
    if (n < LEAST_STRETCH || m < LEAST_STRETCH)
        return c;
    double x = hm_sd(tame + from, n), y = hm_sd(tame + at, m), quiet = LEAST_SDS * (x < y ? x : y);
    c.p = student_p(tame + from, n, tame + at, m);
    *stays = c.p < CHANGE_P && fabs(c.after - c.before) >= (least > quiet ? least : quiet);
    return c;
}

/* Drops the weakest of those that do not hold, until all do; returns how many are left of `count`. */
static int keep_the_strong(const double *z, const double *tame, int n, double least, int *at, int count, hm_change *changes)
{
    for (;;) {
        int weakest = -1;
        for (int i = 0; i < count; i++) {
            bool stays;
            changes[i] = weigh(z, tame, i ? at[i - 1] : 0, at[i], i + 1 < count ? at[i + 1] : n, least, &stays);
            double size = fabs(changes[i].after - changes[i].before);
            if (!stays && (weakest < 0 || changes[i].p > changes[weakest].p ||
                           (changes[i].p == changes[weakest].p && size < fabs(changes[weakest].after - changes[weakest].before))))
                weakest = i;
        }
        if (weakest < 0)
            return count;
        memmove(at + weakest, at + weakest + 1, (size_t)(count - weakest - 1) * sizeof *at);
        count--;
    }
}

int hm_change_points(const double *z, int n, double least, hm_change *out, int most)
{
    int count = 0;
    bool known = n >= 2 * LEAST_STRETCH;
    for (int i = 0; i < n && known; i++)
        known = isfinite(z[i]);
    distances *d = known ? malloc(sizeof *d) : NULL;
    double *y = known ? malloc((size_t)n * sizeof *y) : NULL;
    bool *marks = known ? calloc((size_t)n, sizeof *marks) : NULL;
    int *at = known ? malloc((size_t)n * sizeof *at) : NULL;
    hm_change *changes = known ? malloc((size_t)n * sizeof *changes) : NULL;
    if (d && y && marks && at && changes && tame_wild_ones(z, n, y)) {
        for (int first = 0; first == 0 || first + WINDOW / 2 < n; first += WINDOW / 2) { /* windows overlap by half */
            int size = n - first < WINDOW ? n - first : WINDOW;
            measure(d, y + first, size);
            split(d, y + first, 0, size, marks + first);
        }
        for (int i = 0; i < n; i++)
            if (marks[i])
                at[count++] = i;
        count = keep_the_strong(z, y, n, least, at, count, changes);
        count = count < most ? count : most;
        memcpy(out, changes, (size_t)count * sizeof *out);
    }
    free(d);
    free(y);
    free(marks);
    free(at);
    free(changes);
    return count;
}
