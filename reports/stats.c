#include "reports/stats.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXACT_SIGNED_RANK = 60,
    EXACT_RANK_SUM = 2500
};

#define SIGNED_RANK_COST 1.023 /* sqrt(pi / 3): what signed ranks cost on normal values */

/* ---- order ---- */

static void insertion_sort(double *x, int n)
{
    for (int i = 1; i < n; i++) {
        double v = x[i];
        int j = i;
        for (; j > 0 && x[j - 1] > v; j--)
            x[j] = x[j - 1];
        x[j] = v;
    }
}

static double middle_of(double a, double b, double c)
{
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* Ascending; the shorter side by recursion, so that it is never deep. Finite values or infinities. */
static void sort(double *x, int n)
{
    while (n > 16) {
        double pivot = middle_of(x[0], x[n / 2], x[n - 1]);
        int i = 0, j = n - 1;
        while (i <= j) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i <= j) {
                double t = x[i];
                x[i++] = x[j];
                x[j--] = t;
            }
        }
        if (j + 1 < n - i) {
            sort(x, j + 1);
            x += i;
            n -= i;
        } else {
            sort(x + i, n - i);
            n = j + 1;
        }
    }
    insertion_sort(x, n);
}

static double *sorted_copy(const double *x, int n)
{
    double *y = n > 0 ? malloc((size_t)n * sizeof *y) : NULL;
    for (int i = 0; y && i < n; i++) {
        if (isnan(x[i])) { /* has no place in an order */
            free(y);
            return NULL;
        }
        y[i] = x[i];
    }
    if (y)
        sort(y, n);
    return y;
}

static double middle(const double *sorted, int n)
{
    return n % 2 ? sorted[n / 2] : sorted[n / 2 - 1] / 2 + sorted[n / 2] / 2;
}

/* ---- description ---- */

double hm_median(const double *x, int n)
{
    double *y = sorted_copy(x, n), m = y ? middle(y, n) : NAN;
    free(y);
    return m;
}

double hm_mean(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / n : NAN;
}

double hm_sd(const double *x, int n)
{
    double mean = hm_mean(x, n), sum = 0;
    for (int i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return n > 1 ? sqrt(sum / (n - 1)) : NAN;
}

double hm_mad(const double *x, int n)
{
    double *y = sorted_copy(x, n), out = NAN;
    if (y) {
        double m = middle(y, n);
        for (int i = 0; i < n; i++)
            y[i] = fabs(y[i] - m);
        sort(y, n);
        out = middle(y, n);
    }
    free(y);
    return out;
}

/* ---- distributions ---- */

/* A start good to 5e-4 (Abramowitz and Stegun 26.2.23), then Halley's steps on erfc. */
double hm_normal_quantile(double p)
{
    if (!(p >= 0 && p <= 1))
        return NAN;
    double tail = p < 0.5 ? p : 1 - p;
    if (tail == 0)
        return p < 0.5 ? -INFINITY : INFINITY;
    double t = sqrt(-2 * log(tail));
    double z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    for (int i = 0; i < 3; i++) { /* z: upper quantile of `tail` */
        double e = (0.5 * erfc(z / M_SQRT2) - tail) * sqrt(2 * M_PI) * exp(z * z / 2);
        z += e / (1 - z * e / 2);
    }
    return p < 0.5 ? -z : z;
}

/* Continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (int half = 0; half < 2; half++) {
            double step = half ? odd : even;
            d = 1 + step * d;
            c = 1 + step / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            f *= c * d;
        }
        if (fabs(c * d - 1) < 1e-15)
            break;
    }
    return f;
}

/* Regularised incomplete beta function I_x(a, b). */
static double incomplete_beta(double a, double b, double x)
{
    int sign;
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double hm_student_two_sided(double t, double freedom)
{
    if (isnan(t) || !(freedom > 0))
        return NAN;
    return isinf(t) ? 0 : incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
}

double hm_student_quantile(double p, double freedom)
{
    if (!(p >= 0 && p <= 1) || !(freedom > 0))
        return NAN;
    double both = 2 * (p < 0.5 ? p : 1 - p), low = 0, high = 1;
    if (both == 0)
        return p < 0.5 ? -INFINITY : INFINITY;
    while (hm_student_two_sided(high, freedom) > both && high < 1e300)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        double t = (low + high) / 2;
        if (hm_student_two_sided(t, freedom) > both)
            low = t;
        else
            high = t;
    }
    return p < 0.5 ? -(low + high) / 2 : (low + high) / 2;
}

enum {
    SIGNED_RANK_SUMS = EXACT_SIGNED_RANK * (EXACT_SIGNED_RANK + 1) / 2 + 1
};

/* Of W+ of n <= 60 pairs. */
static void signed_rank_distribution(int n, double p[SIGNED_RANK_SUMS])
{
    memset(p, 0, SIGNED_RANK_SUMS * sizeof *p);
    p[0] = 1;
    for (int i = 1; i <= n; i++) {
        int t = i * (i + 1) / 2;
        for (; t >= i; t--)
            p[t] = 0.5 * (p[t] + p[t - i]);
        for (; t >= 0; t--)
            p[t] *= 0.5;
    }
}

/* Largest k with p[0] + ... + p[k] <= level. */
static int largest_within(const double *p, int top, double level)
{
    double sum = 0;
    int k = -1;
    while (k < top && sum + p[k + 1] <= level)
        sum += p[++k];
    return k;
}

static int signed_rank_k_of_many(int n, double level)
{
    double pairs = (double)n * (n + 1), k = floor(pairs / 4 + hm_normal_quantile(level) * sqrt(pairs * (2.0 * n + 1) / 24)) - 1;
    return !(k >= 0) ? -1 : k > pairs / 2 ? (int)(pairs / 2) : (int)k;
}

int hm_signed_rank_k(int n, double level)
{
    double p[SIGNED_RANK_SUMS];
    if (n < 1 || !(level > 0))
        return -1;
    if (n > EXACT_SIGNED_RANK)
        return signed_rank_k_of_many(n, level);
    signed_rank_distribution(n, p);
    return largest_within(p, n * (n + 1) / 2, level);
}

/* Distribution of U of `rows` and `columns` values, as probabilities, from the recurrence: of the largest value, rows / (rows + columns)
 * are from the first side. NULL without memory. */
static double *rank_sum_distribution(int rows, int columns)
{
    size_t size = (size_t)rows * (size_t)columns + 1;
    double *p = calloc((size_t)columns + 1, size * sizeof *p); /* p[j]: of i and j values, while i grows */
    if (!p)
        return NULL;
    for (int j = 0; j <= columns; j++)
        p[(size_t)j * size] = 1;
    for (int i = 1; i <= rows; i++)
        for (int j = 1; j <= columns; j++) {
            double *now = p + (size_t)j * size, *before = now - size, a = (double)i / (i + j), b = (double)j / (i + j);
            for (int u = i * j; u >= 0; u--) /* from above: what is still needed of i - 1 lies below */
                now[u] = (u >= j ? a * now[u - j] : 0) + b * before[u];
        }
    memmove(p, p + (size_t)columns * size, size * sizeof *p);
    return p;
}

int hm_rank_sum_k(int n, int m, double level)
{
    if (n < 1 || m < 1 || !(level > 0))
        return -1;
    double pairs = (double)n * m;
    if (pairs > EXACT_RANK_SUM) {
        double k = floor(pairs / 2 + hm_normal_quantile(level) * sqrt(pairs * ((double)n + m + 1) / 12) - 0.5);
        return k < 0 ? -1 : k > pairs ? n * m : (int)k;
    }
    double *p = n > m ? rank_sum_distribution(n, m) : rank_sum_distribution(m, n);
    int k = p ? largest_within(p, n * m, level) : -1;
    free(p);
    return k;
}

/* ---- paired and unpaired ---- */

/* Median of sorted values, and the k-th from both ends. */
static hm_interval from_both_ends(const double *sorted, int count, int k)
{
    hm_interval out = {middle(sorted, count), -INFINITY, INFINITY};
    if (k >= 0 && k < count) {
        out.low = sorted[k];
        out.high = sorted[count - 1 - k];
    }
    return out;
}

void hm_hodges_lehmann_at(const double *y, int n, const double *levels, int count, hm_interval *out)
{
    double p[SIGNED_RANK_SUMS];
    size_t pairs = n > 0 ? (size_t)n * ((size_t)n + 1) / 2 : 0, at = 0;
    double *w = n > 0 && n < 1 << 15 ? malloc(pairs * sizeof *w) : NULL;
    bool known = w != NULL;
    for (int i = 0; i < n && known; i++) {
        known = !isnan(y[i]);
        for (int j = i; j < n; j++)
            w[at++] = y[i] / 2 + y[j] / 2;
    }
    if (known) {
        sort(w, (int)pairs);
        if (n <= EXACT_SIGNED_RANK)
            signed_rank_distribution(n, p);
    }
    for (int l = 0; l < count; l++) {
        int k = n <= EXACT_SIGNED_RANK && known ? largest_within(p, (int)pairs, levels[l]) : signed_rank_k_of_many(n, levels[l]);
        out[l] = known ? from_both_ends(w, (int)pairs, k) : (hm_interval){NAN, NAN, NAN};
    }
    free(w);
}

hm_interval hm_hodges_lehmann(const double *y, int n, double level)
{
    hm_interval out;
    hm_hodges_lehmann_at(y, n, &level, 1, &out);
    return out;
}

hm_interval hm_fieller(const double *x, int n, const double *y, int m, double alpha)
{
    double a = hm_mean(x, n), b = hm_mean(y, m);
    hm_interval out = {a / b, NAN, NAN};
    if (n < 2 || m < 2)
        return out;
    double ha = hm_student_quantile(1 - alpha / 2, n - 1) * hm_sd(x, n) / sqrt(n);
    double hb = hm_student_quantile(1 - alpha / 2, m - 1) * hm_sd(y, m) / sqrt(m);
    double below = b * b - hb * hb, root = a * a * b * b - (a * a - ha * ha) * below;
    if (below <= 0 || root < 0)
        return out;
    out.low = (a * b - sqrt(root)) / below;
    out.high = (a * b + sqrt(root)) / below;
    return out;
}

hm_interval hm_shift(const double *x, int n, const double *y, int m, double level)
{
    hm_interval out = {NAN, NAN, NAN};
    size_t pairs = n > 0 && m > 0 ? (size_t)n * (size_t)m : 0, at = 0;
    double *d = pairs && pairs < 1 << 28 ? malloc(pairs * sizeof *d) : NULL;
    bool known = d != NULL;
    for (int i = 0; i < n && known; i++)
        for (int j = 0; j < m; j++) {
            d[at] = y[j] - x[i];
            known = known && !isnan(d[at++]);
        }
    if (known) {
        sort(d, (int)pairs);
        out = from_both_ends(d, (int)pairs, hm_rank_sum_k(n, m, level));
    }
    free(d);
    return out;
}

/* ---- drift, quantiles, planning ---- */

double hm_mann_kendall_p(const double *y, int n)
{
    if (n < 4)
        return 1;
    double *sorted = sorted_copy(y, n), s = 0;
    if (!sorted)
        return NAN;
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            s += (y[j] > y[i]) - (y[j] < y[i]);
    double variance = (double)n * (n - 1) * (2.0 * n + 5);
    for (int i = 0, ties; i < n; i += ties) {
        for (ties = 1; i + ties < n && sorted[i + ties] == sorted[i]; ties++)
            ;
        variance -= (double)ties * (ties - 1) * (2.0 * ties + 5);
    }
    free(sorted);
    variance /= 18;
    if (variance <= 0 || s == 0)
        return 1;
    return erfc((fabs(s) - 1) / sqrt(2 * variance));
}

double hm_theil_sen(const double *y, int n)
{
    int64_t pairs = (int64_t)n * (n - 1) / 2, count = 0;
    double *slopes = n < 2 || pairs > INT32_MAX ? NULL : malloc((size_t)pairs * sizeof *slopes);
    if (!slopes)
        return NAN;
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            slopes[count++] = (y[j] - y[i]) / (j - i);
    double slope = hm_median(slopes, (int)pairs);
    free(slopes);
    return slope;
}

/* How many of the terms P(B = 0), P(B = 1) ... of the binomial distribution sum to at most `level`. */
static int binomial_tail(int n, double p, double level)
{
    double sum = 0, all;
    int count = 0, sign;
    for (all = lgamma_r(n + 1.0, &sign); count <= n; count++) {
        sum += exp(all - lgamma_r(count + 1.0, &sign) - lgamma_r(n - count + 1.0, &sign) + count * log(p) + (n - count) * log1p(-p));
        if (sum > level)
            break;
    }
    return count;
}

hm_interval hm_quantile(const double *x, int n, double p, double level)
{
    hm_interval out = {NAN, NAN, NAN};
    double *y = p > 0 && p < 1 ? sorted_copy(x, n) : NULL;
    if (!y)
        return out;
    double at = (n - 1) * p;
    int below = (int)at;
    out.estimate = below + 1 < n ? y[below] + (at - below) * (y[below + 1] - y[below]) : y[n - 1];
    int low = binomial_tail(n, p, (1 - level) / 2), high = binomial_tail(n, 1 - p, (1 - level) / 2);
    if (low >= 1 && high >= 1) { /* order statistics low and n + 1 - high, counted from 1 */
        out.low = y[low - 1];
        out.high = y[n - high];
    }
    free(y);
    return out;
}

int hm_quantile_needs(double p)
{
    p = p < 0.5 ? 1 - p : p;
    if (!(p < 1))
        return INT32_MAX;
    double n = ceil(log(0.05) / log(p));
    return n < 1 ? 1 : n > INT32_MAX ? INT32_MAX : (int)n;
}

double hm_detectable(double sd, int n, double level, double power)
{
    return n < 1 ? NAN : SIGNED_RANK_COST * (hm_normal_quantile(1 - level) + hm_normal_quantile(power)) * sd / sqrt(n);
}

int hm_best_iterations(double process_cost, double iteration_cost, double iteration_variance, double process_variance, int cap)
{
    cap = cap < 1 ? 1 : cap;
    if (!(process_variance > 0) || !(iteration_cost > 0))
        return cap;
    double n = ceil(sqrt(process_cost / iteration_cost * iteration_variance / process_variance));
    return !(n > 1) ? 1 : n > cap ? cap : (int)n;
}
