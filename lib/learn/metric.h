/*
 * metric: how good are predictions?
 *
 * Pure numbers: no files, no names.  Every metric is computed from scans that
 * carry a weight, so that the value itself (all weights 1) and its bootstrap
 * replicates (weight = how often the scan's group was drawn) are made by the
 * same code.  What is undefined is NaN, never 0.
 *
 * t is the truth, y the prediction, p[k] the probability of class k, N the
 * number of scans.  Per class, that class is positive and all others negative.
 *
 *   accuracy           (tp of all classes) / N
 *   balanced accuracy  mean sensitivity of the classes that occur in t
 *   macro F1           mean F1 of the classes that occur in t or y
 *   MCC                Gorodkin 2004 (R_K); (c N - sum y_k t_k) / sqrt(...)
 *   kappa              Cohen 1960, unweighted
 *   Brier              mean over scans of sum_k (p[k] - [t = k])^2: 0..2
 *   NLL                mean of -log p[t], p cut at 2^-52 from below
 *   ECE                Guo et al. 2017: bins (i/15, (i+1)/15] of p[y]
 *   AUROC              ties count one half; macro: mean of those defined
 *   AUPRC              average precision, sum of (R_i - R_i-1) P_i, a step at
 *                      every distinct score; macro: mean of those defined
 *   at specificity s   greatest sensitivity over all thresholds on p[k] whose
 *                      specificity is at least s, on these very scans
 */
#ifndef BUSI_LEARN_METRIC_H
#define BUSI_LEARN_METRIC_H

#include "learn/stat.h"

#include <stddef.h>
#include <stdint.h>

/* What became of one scan. */
struct outcome {
    const double *p;    /* [K] probabilities */
    int truth, pred;    /* 0..K-1 */
    uint32_t group;     /* 0..ngroups-1, what the bootstrap draws */
};

enum { ECE_BINS = 15 };

/* Which of them a probability of 0..1 lies in. */
int metric_ece_bin(double p);

enum metric_kind {
    METRIC_ACCURACY,
    METRIC_BALANCED_ACCURACY,
    METRIC_MACRO_F1,
    METRIC_MCC,
    METRIC_KAPPA,
    METRIC_BRIER,
    METRIC_NLL,
    METRIC_ECE,
    METRIC_AUROC,           /* from here on per class too, */
    METRIC_AUPRC,
    METRIC_SENSITIVITY,     /* and from here on only per class */
    METRIC_SPECIFICITY,
    METRIC_PPV,
    METRIC_NPV,
    METRIC_F1,
    METRIC_AT_SPEC90,
    METRIC_AT_SPEC95,
    METRIC_KINDS
};

struct metric {
    double value, lo, hi;   /* lo, hi: 95 % interval */
    double n;               /* scans it rests on: a proportion's denominator,
                               else N */
};

/* Where a metric stands: class c, or -1 for the one over all classes. */
static inline size_t
metric_at(enum metric_kind kind, int c, int k)
{
    return (size_t)kind * ((size_t)k + 1) + (size_t)(c + 1);
}

/* How many scans of truth t are predicted y: count[t * k + y], zeroed here. */
void metric_confusion(const struct outcome *scan, size_t n, int k,
                      double *count);

/*
 * All metrics with intervals: [METRIC_KINDS * (k + 1)], NaN where undefined;
 * the caller frees them.  Accuracy, sensitivity, specificity, PPV and NPV:
 * Wilson; AUROC per class: DeLong; the rest: percentiles of nboot (0: none)
 * bootstrap replicates over groups, if at least nine in ten are defined and
 * not all are equal (ECE: reflected about the value v, 2 v - hi to the higher
 * of 2 v - lo and hi, and widened to hold v).
 * Replicate b is drawn by (seed, RNG_BOOTSTRAP, 0, b) over all cores; the
 * result depends on the order of scans and groups, so sort them first.
 */
struct metric *metric_measure(const struct outcome *scan, size_t n, int k,
                              size_t ngroups, uint64_t seed, size_t nboot);

/* DeLong's area of class c of every scan, and placements [n] unless NULL. */
struct auc metric_auroc(const struct outcome *scan, size_t n, int c,
                        double *placement);

#endif
