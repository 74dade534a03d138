/*
 * stat: intervals and tests, on plain numbers.
 *
 * What is undefined is NaN.  Intervals are two-sided at 95 %.
 */
#ifndef BUSI_LEARN_STAT_H
#define BUSI_LEARN_STAT_H

#include <stdbool.h>
#include <stddef.h>

#define STAT_Z95 1.959963984540054  /* normal quantile at 0.975 */

struct interval {
    double lo, hi;
};

/* Of x out of n (Wilson 1927). */
struct interval stat_wilson(double x, double n);

/* Value +- STAT_Z95 sd, clipped to [lo, hi]; NaN unless variance > 0. */
struct interval stat_normal(double value, double variance, double lo,
                            double hi);

/*
 * The q-quantile of n sorted values, linear between the two nearest
 * (Hyndman, Fan 1996, type 7; numpy's default).
 */
double stat_quantile(const double *sorted, size_t n, double q);

/*
 * The area under the ROC curve as a mean of placements: that of a positive is
 * the share of negatives scored below it, that of a negative the share of
 * positives scored above it, ties counting one half.  They are DeLong's
 * components V10 and V01 (DeLong, DeLong, Clarke-Pearson 1988); one sort finds
 * them all, as in Sun, Xu: Fast implementation of DeLong's algorithm, IEEE
 * Signal Processing Letters 21 (2014).
 */
void stat_placements(const double *score, const bool *positive, size_t n,
                     double *placement);

struct auc {
    double area;
    double variance;    /* NaN with fewer than two of either kind */
};

/*
 * Area and variance from placements.  Given the differences of two raters'
 * placements of the same scans, it is the difference of the two areas and the
 * variance of that (the paired test).
 */
struct auc stat_delong(const double *placement, const bool *positive,
                       size_t n);

/* Two-sided probability of a normal deviate beyond |z|. */
double stat_two_sided(double z);

/*
 * McNemar's test, exact: b pairs where only one rater is right, c where only
 * the other is.  min(1, 2 P(X <= min(b, c))), X ~ Binomial(b + c, 1/2).
 */
double stat_mcnemar(size_t b, size_t c);

/* Of (b - c) / n, paired proportions (Bonett, Price 2012, adjusted Wald). */
struct interval stat_paired(size_t b, size_t c, size_t n);

#endif
