/*
 * curves: what a report draws of predictions, one class against the rest.
 */
#ifndef BUSI_REPORT_CURVES_H
#define BUSI_REPORT_CURVES_H

#include "learn/predictions.h"

#include <stdbool.h>
#include <stddef.h>

/* A scan by the probability of the class in question. */
struct scored {
    double p;
    bool positive;
    size_t file;                /* of the predictions */
};

/* Settled predictions that are not rejected, highest probability first; the
 * caller frees them. */
struct scored *curves_sort(const struct predictions *p, int class, size_t *n);

/* Numbers after the k highest were called positive. */
struct counts {
    double tp, fp, npos, nneg;
};

/*
 * Points of the ROC curve: x[i] = 1 - specificity, y[i] = sensitivity, a point
 * at every distinct probability, from (0,0) to (1,1); NaN where there is no scan
 * to divide by.  x, y [n + 1]; returns how many.
 */
size_t curves_roc(const struct scored *s, size_t n, double *x, double *y);

/* Precision y over recall x at every distinct probability, likewise. */
size_t curves_precision(const struct scored *s, size_t n, double *x,
                        double *y);

/* Counts with p >= threshold as positive. */
struct counts curves_at(const struct scored *s, size_t n, double threshold);

/*
 * The threshold of greatest sensitivity with a specificity of at least `least`
 * on these scans: between two probabilities.  Call it on validation scans.
 */
double curves_threshold(const struct scored *s, size_t n, double least);

/*
 * Net benefit (Vickers, Elkin 2006): tp/n - fp/n * t/(1-t) for positive where
 * p >= t; `all` as if every scan were positive.
 */
double curves_benefit(const struct scored *s, size_t n, double t, bool all);

/*
 * Reliability in the bins of the calibration error (metric_ece_bin()), of the
 * probability of the predicted class: x mean probability, y share that is
 * right, m scans, each [ECE_BINS]; NaN where empty.
 */
void curves_reliability(const struct predictions *p, double *x, double *y,
                        double *m);

#endif
