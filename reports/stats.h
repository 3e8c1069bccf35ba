/* Statistics of paired and unpaired timings: pure functions over double[]. Sources are named per function; docs/statistics.md tells why
 * these and not others. Arrays are not changed unless said; n counts values; NaN comes out where a figure is not defined. */
#ifndef HM_REPORTS_STATS_H
#define HM_REPORTS_STATS_H

#include <stdbool.h>

#include "engine/base/error.h"

/* --- description --- */
double hm_median(const double *x, int n);
double hm_mean(const double *x, int n);
double hm_sd(const double *x, int n);  /* sample standard deviation; NaN below two */
double hm_mad(const double *x, int n); /* median of |x - median|; 1.4826 of it estimates the sd of normal values */

/* --- distributions --- */
double hm_normal_quantile(double p); /* of the standard normal */
double hm_student_quantile(double p, double freedom);
double hm_student_two_sided(double t, double freedom); /* P(|T| >= |t|) */

/* Largest k with P(W+ <= k) <= level, W+ the signed-rank sum of n pairs: exact up to n = 60 by P_n(t) = (P_{n-1}(t) + P_{n-1}(t - n)) / 2,
 * the normal approximation beyond; -1: none. (Wilcoxon) */
int hm_signed_rank_k(int n, double level);

/* Largest k with P(U <= k) <= level, U the Mann-Whitney statistic of n and m values: exact by f(n,m,u) = f(n-1,m,u-m) + f(n,m-1,u) up to
 * n m = 2500, the normal approximation beyond; -1: none. */
int hm_rank_sum_k(int n, int m, double level);

/* --- paired --- */
typedef struct hm_interval {
    double estimate, low, high; /* low, high: -INFINITY, INFINITY where n is too small for the level */
} hm_interval;

/* Hodges-Lehmann estimate: median of the Walsh averages (y_i + y_j) / 2, i <= j; low and high are one-sided bounds, each at `level`
 * (0.025: a two-sided 95 % interval), w[k] and w[M - 1 - k]. n from 1 to 32767, NaN else. */
hm_interval hm_hodges_lehmann(const double *y, int n, double level);

/* The same at several levels: out[i] has the bounds of levels[i]. */
void hm_hodges_lehmann_at(const double *y, int n, const double *levels, int count, hm_interval *out);

/* Fieller's interval of mean(x) / mean(y), two-sided at 1 - alpha; low = high = NaN where it is unbounded. */
hm_interval hm_fieller(const double *x, int n, const double *y, int m, double alpha);

/* --- unpaired --- */
/* Shift of y against x: median of all y_j - x_i, with one-sided bounds at `level` from the exact distribution of U. */
hm_interval hm_shift(const double *x, int n, const double *y, int m, double level);

/* --- drift, quantiles, planning --- */
/* Two-sided p of Mann-Kendall's S (ties corrected, normal approximation with continuity): is there a trend? 1 below n = 4. */
double hm_mann_kendall_p(const double *y, int n);

/* Slope per step: median of (y_j - y_i) / (j - i), i < j, which a few outliers do not move. NaN below two values. (Theil 1950, Sen 1968) */
double hm_theil_sen(const double *y, int n);

/* p-quantile (0 < p < 1) by order statistics (interpolated between the two at (n - 1) p) with its two-sided interval of at least `level`
 * (0.95), half of the rest on each side, from the binomial distribution; low and high NaN where n is too small to have one. */
hm_interval hm_quantile(const double *x, int n, double p, double level);

/* Least number of events for which a p-quantile may be told: 299 for 0.99, 59 for 0.95, 29 for 0.90 (p^n <= 0.05). */
int hm_quantile_needs(double p);

/* Least detectable log-ratio at n pairs: 1.023 (z_{1 - level} + z_power) sd / sqrt(n); 1.023 is what signed ranks cost on normal values. */
double hm_detectable(double sd, int n, double level, double power);

/* Timed generations per process that cost least for a wanted precision: ceil(sqrt(c_process / c_iter * var_iter / var_process)), at
 * least 1, at most cap; cap where the variance between processes is <= 0. (Kalibera and Jones 2013) */
int hm_best_iterations(double process_cost, double iteration_cost, double iteration_variance, double process_variance, int cap);

/* --- change points --- */
typedef struct hm_change {
    int at;               /* first value after the change */
    double before, after; /* medians of the stretches on both sides */
    double p;             /* of the t-test that kept it */
} hm_change;

/* E-divisive with a t-test and a least magnitude, as docs/statistics.md has it: wild values are tamed; candidates at p < 0.01 over windows of 50, the weakest
 * dropped until all have p < 0.001 and |difference of medians| >= max(least, 2.5 * the smaller sd) with at least 3 values on each side.
 * z: logarithms of times. Writes at most `most`, in order; returns how many. (Matteson and James 2014; Daly et al. 2020) */
int hm_change_points(const double *z, int n, double least, hm_change *out, int most);

#endif
