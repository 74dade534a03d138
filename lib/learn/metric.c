#include "learn/metric.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What a scan adds to the sums of a replicate, times its group's weight. */
struct share {
    double brier, nll;
    double gap;         /* right - confidence */
    uint32_t group;
    uint32_t cell;      /* of the confusion matrix */
    uint32_t bin;       /* of the calibration error */
};

/* An entry of a class's ranking: a group's number and two bits. */
#define POSITIVE 0x80000000u
#define TIE_END  0x40000000u    /* the next one has a lower score */
#define GROUP    0x3fffffffu

struct scorer {
    size_t n, ngroups;
    int k;
    struct share *share;    /* [N] */
    uint32_t *ranking;      /* [K,N] from the highest score down */
};

int
metric_ece_bin(double p)
{
    return (int)fmin(fmax(ceil(p * ECE_BINS) - 1, 0), ECE_BINS - 1);
}

static size_t
nvalues(int k)
{
    return (size_t)METRIC_KINDS * ((size_t)k + 1);
}

/* --------------------------------------------------------------- decisions */

void
metric_confusion(const struct outcome *scan, size_t n, int k, double *count)
{
    memset(count, 0, (size_t)k * (size_t)k * sizeof *count);
    for (size_t i = 0; i < n; i++)
        count[scan[i].truth * k + scan[i].pred]++;
}

struct ratio {
    double over, under;
};

/* A proportion of class c against the rest, as numerator and denominator. */
static struct ratio
proportion(const double *count, int k, enum metric_kind kind, int c)
{
    double all = 0, truth = 0, pred = 0, tp = count[c * k + c], tn;

    for (int i = 0; i < k * k; i++)
        all += count[i];
    for (int i = 0; i < k; i++) {
        truth += count[c * k + i];
        pred += count[i * k + c];
    }
    tn = all - truth - pred + tp;
    switch (kind) {
    case METRIC_SENSITIVITY: return (struct ratio){ tp, truth };
    case METRIC_SPECIFICITY: return (struct ratio){ tn, all - truth };
    case METRIC_PPV: return (struct ratio){ tp, pred };
    case METRIC_NPV: return (struct ratio){ tn, all - pred };
    case METRIC_F1: return (struct ratio){ 2 * tp, truth + pred };
    default: return (struct ratio){ NAN, NAN };
    }
}

static double
divide(double over, double under)
{
    return under > 0 ? over / under : NAN;
}

/* Mean of a metric over the classes for which it is defined. */
static double
class_mean(const double *value, enum metric_kind kind, int k)
{
    double sum = 0, n = 0;

    for (int c = 0; c < k; c++) {
        double x = value[metric_at(kind, c, k)];

        if (!isnan(x)) {
            sum += x;
            n++;
        }
    }
    return divide(sum, n);
}

/*
 * The metrics that need only confusion counts (accuracy .. kappa, sensitivity
 * .. F1); others are left alone.  value[METRIC_KINDS * (k + 1)].
 */
static void
decisions(const double *count, int k, double *value)
{
    double n = 0, right = 0, chance = 0, truth2 = 0, pred2 = 0;

    for (int c = 0; c < k; c++) {
        double truth = 0, pred = 0;

        for (int i = 0; i < k; i++) {
            truth += count[c * k + i];
            pred += count[i * k + c];
        }
        n += truth;
        right += count[c * k + c];
        chance += truth * pred;
        truth2 += truth * truth;
        pred2 += pred * pred;
        for (int m = METRIC_SENSITIVITY; m <= METRIC_F1; m++) {
            struct ratio r = proportion(count, k, (enum metric_kind)m, c);

            value[metric_at((enum metric_kind)m, c, k)] =
                divide(r.over, r.under);
        }
    }
    value[metric_at(METRIC_ACCURACY, -1, k)] = divide(right, n);
    value[metric_at(METRIC_BALANCED_ACCURACY, -1, k)] =
        class_mean(value, METRIC_SENSITIVITY, k);
    value[metric_at(METRIC_MACRO_F1, -1, k)] =
        class_mean(value, METRIC_F1, k);
    value[metric_at(METRIC_MCC, -1, k)] =
        divide(right * n - chance, sqrt((n * n - truth2) * (n * n - pred2)));
    value[metric_at(METRIC_KAPPA, -1, k)] =
        divide(right * n - chance, n * n - chance);
}

/* ----------------------------------------------------------- probabilities */

struct ranked {
    double score;
    uint32_t tag;
};

static int
by_falling_score(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->score;
    double y = ((const struct ranked *)b)->score;

    return (x < y) - (x > y);
}

static void
rank(const struct outcome *scan, size_t n, int c, uint32_t *ranking)
{
    struct ranked *r = mem_array(n, sizeof *r);

    for (size_t i = 0; i < n; i++) {
        r[i].score = scan[i].p[c];
        r[i].tag = scan[i].group | (scan[i].truth == c ? POSITIVE : 0);
    }
    qsort(r, n, sizeof *r, by_falling_score);
    for (size_t i = 0; i < n; i++) {
        bool end = i + 1 == n || r[i + 1].score < r[i].score;

        ranking[i] = r[i].tag | (end ? TIE_END : 0);
    }
    free(r);
}

static void
scorer_init(struct scorer *s, const struct outcome *scan, size_t n, int k,
            size_t ngroups)
{
    assert(ngroups <= GROUP);
    *s = (struct scorer){ n, ngroups, k, mem_array(n, sizeof *s->share),
                          mem_array(n * (size_t)k, sizeof *s->ranking) };
    for (size_t i = 0; i < n; i++) {
        const struct outcome *x = &scan[i];
        struct share *h = &s->share[i];
        double confidence = x->p[x->pred];

        for (int c = 0; c < k; c++) {
            double d = x->p[c] - (c == x->truth);

            h->brier += d * d;
        }
        h->nll = -log(fmax(x->p[x->truth], DBL_EPSILON));
        h->gap = (x->truth == x->pred) - confidence;
        h->bin = (uint32_t)metric_ece_bin(confidence);
        h->cell = (uint32_t)(x->truth * k + x->pred);
        h->group = x->group;
    }
    for (int c = 0; c < k; c++)
        rank(scan, n, c, s->ranking + (size_t)c * n);
}

static void
scorer_release(struct scorer *s)
{
    free(s->share);
    free(s->ranking);
}

/*
 * Walk the ROC and precision-recall curves of class c from the highest score
 * down.  Positives are unpredictable, so the inner loop has no branch on them.
 */
static void
curves(const struct scorer *s, int c, const uint32_t *weight, double npos,
       double nneg, double *value)
{
    const uint32_t *ranking = s->ranking + (size_t)c * s->n;
    uint64_t tp = 0, fp = 0, tied_tp = 0, tied = 0;
    double area = 0, ap = 0, at90 = 0, at95 = 0;

    for (size_t i = 0; i < s->n; i++) {
        uint64_t w = weight[ranking[i] & GROUP];
        uint64_t dtp, dfp;

        tied += w;
        tied_tp += w * (ranking[i] >> 31);
        if (!(ranking[i] & TIE_END))
            continue;
        dtp = tied_tp;
        dfp = tied - tied_tp;
        area += (double)dfp * ((double)tp + (double)dtp / 2);
        tp += dtp;
        fp += dfp;
        /* Where nothing was drawn yet, the step is 0 high. */
        ap += (double)dtp * (double)tp / (double)(tp + fp + (tp + fp == 0));
        at90 = (double)(fp * 10) <= nneg ? (double)tp : at90;
        at95 = (double)(fp * 20) <= nneg ? (double)tp : at95;
        tied = tied_tp = 0;
    }
    value[metric_at(METRIC_AUROC, c, s->k)] = divide(area, npos * nneg);
    value[metric_at(METRIC_AUPRC, c, s->k)] = divide(ap, npos);
    if (nneg > 0) {
        value[metric_at(METRIC_AT_SPEC90, c, s->k)] = divide(at90, npos);
        value[metric_at(METRIC_AT_SPEC95, c, s->k)] = divide(at95, npos);
    }
}

/* Every value, each group counting `weight` times. */
static void
score(const struct scorer *s, const uint32_t *weight, double *value)
{
    int k = s->k;
    double *count = mem_array((size_t)k * (size_t)k, sizeof *count);
    double gap[ECE_BINS] = { 0 }, brier = 0, nll = 0, ece = 0, n = 0;

    for (size_t i = 0; i < nvalues(k); i++)
        value[i] = NAN;
    for (size_t i = 0; i < s->n; i++) {
        const struct share *h = &s->share[i];
        double w = weight[h->group];

        count[h->cell] += w;
        gap[h->bin] += w * h->gap;
        brier += w * h->brier;
        nll += w * h->nll;
        n += w;
    }
    for (int b = 0; b < ECE_BINS; b++)
        ece += fabs(gap[b]);
    decisions(count, k, value);
    value[metric_at(METRIC_BRIER, -1, k)] = divide(brier, n);
    value[metric_at(METRIC_NLL, -1, k)] = divide(nll, n);
    value[metric_at(METRIC_ECE, -1, k)] = divide(ece, n);
    for (int c = 0; c < k; c++) {
        double npos = proportion(count, k, METRIC_SENSITIVITY, c).under;

        curves(s, c, weight, npos, n - npos, value);
    }
    value[metric_at(METRIC_AUROC, -1, k)] = class_mean(value, METRIC_AUROC, k);
    value[metric_at(METRIC_AUPRC, -1, k)] = class_mean(value, METRIC_AUPRC, k);
    free(count);
}

/* --------------------------------------------------------------- intervals */

struct bootstrap {
    const struct scorer *s;
    uint64_t seed;
    const struct metric *whole;     /* of all scans, once each */
    uint32_t *weight;       /* [threads, ngroups] */
    double *value;          /* [replicates, nvalues] */
    double *calibrated;     /* [replicates] errors of calibrated_error() */
};

/* A mean over fewer classes than that of all scans is one of another kind. */
static void
drop_other_means(const struct metric *whole, int k, double *value)
{
    static const enum metric_kind mean[] = {
        METRIC_BALANCED_ACCURACY, METRIC_MACRO_F1, METRIC_AUROC, METRIC_AUPRC
    };

    for (int c = 0; c < k; c++) {
        size_t at = metric_at(METRIC_SENSITIVITY, c, k);

        for (size_t i = 0; i < ARRAY_LEN(mean); i++)
            if (isnan(value[at]) && !isnan(whole[at].value))
                value[metric_at(mean[i], -1, k)] = NAN;
    }
}

/*
 * The calibration error of decisions that are right as often as their
 * probabilities say, those of a group by one draw.
 */
static double
calibrated_error(const struct scorer *s, struct rng *r, uint32_t *draw)
{
    double gap[ECE_BINS] = { 0 }, ece = 0;

    for (size_t g = 0; g < s->ngroups; g++)
        draw[g] = rng_u32(r);
    for (size_t i = 0; i < s->n; i++) {
        const struct share *h = &s->share[i];
        bool right = h->cell % (uint32_t)(s->k + 1) == 0;
        double p = right - h->gap;

        gap[h->bin] += (draw[h->group] < p * 0x1p32) - p;
    }
    for (int b = 0; b < ECE_BINS; b++)
        ece += fabs(gap[b]);
    return ece / (double)s->n;
}

static void
replicate(void *ctx, size_t i, int thread)
{
    struct bootstrap *b = ctx;
    size_t n = b->s->ngroups;
    uint32_t *weight = b->weight + (size_t)thread * n;
    struct rng r;

    memset(weight, 0, n * sizeof *weight);
    rng_init(&r, b->seed, RNG_BOOTSTRAP, 0, (uint32_t)i);
    for (size_t j = 0; j < n; j++)
        weight[rng_below(&r, (uint32_t)n)]++;
    score(b->s, weight, b->value + i * nvalues(b->s->k));
    drop_other_means(b->whole, b->s->k, b->value + i * nvalues(b->s->k));
    b->calibrated[i] = calibrated_error(b->s, &r, weight);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
percentiles(const double *value, size_t nboot, size_t step, struct metric *m)
{
    double *x = mem_array(nboot, sizeof *x);
    size_t n = 0;

    for (size_t i = 0; i < nboot; i++)
        if (!isnan(value[i * step]))
            x[n++] = value[i * step];
    if (!isnan(m->value) && n > 0 && n * 10 >= nboot * 9) {
        qsort(x, n, sizeof *x, by_value);
        /* Replicates that never differ know nothing of the spread. */
        if (x[0] < x[n - 1]) {
            m->lo = stat_quantile(x, n, 0.025);
            m->hi = stat_quantile(x, n, 0.975);
        }
    }
    free(x);
}

/*
 * Calibration error is a sum of absolute values: few scans add to it, and
 * resampling adds as much again.  So the percentiles are reflected about it,
 * and the lower end is 0 where chance alone gives as much one time in twenty
 * (consistency resampling: Broecker and Smith, Weather and Forecasting 2007).
 * A reflected upper end is never more than twice the value, which chance may
 * have made small: where the percentile itself is higher, it stays.
 */
static void
reflect(struct metric *m, double *calibrated, size_t n)
{
    double lo = 2 * m->value - m->hi, hi = 2 * m->value - m->lo;

    qsort(calibrated, n, sizeof *calibrated, by_value);
    if (m->value <= stat_quantile(calibrated, n, 0.95))
        lo = 0;
    m->lo = fmax(fmin(lo, m->value), 0);
    m->hi = fmin(fmax(fmax(hi, m->hi), m->value), 1);
}

static void
bootstrap(const struct scorer *s, uint64_t seed, size_t nboot,
          struct metric *metric)
{
    size_t step = nvalues(s->k), threads = (size_t)pool_cores();
    struct bootstrap b = { .s = s, .seed = seed, .whole = metric };
    struct metric *ece;

    if (s->ngroups == 0 || nboot == 0)
        return;
    b.weight = mem_array(threads * s->ngroups, sizeof *b.weight);
    b.value = mem_array(nboot * step, sizeof *b.value);
    b.calibrated = mem_array(nboot, sizeof *b.calibrated);
    pool_run((int)threads, nboot, replicate, &b);
    for (size_t i = 0; i < step; i++)
        percentiles(b.value + i, nboot, step, &metric[i]);
    ece = &metric[metric_at(METRIC_ECE, -1, s->k)];
    if (!isnan(ece->lo))
        reflect(ece, b.calibrated, nboot);
    free(b.weight);
    free(b.value);
    free(b.calibrated);
}

static void
set_interval(struct metric *m, struct interval i)
{
    m->lo = i.lo;
    m->hi = i.hi;
}

/* The intervals that have a formula. */
static void
formulas(const struct outcome *scan, size_t n, int k, struct metric *metric)
{
    double *count = mem_array((size_t)k * (size_t)k, sizeof *count);
    struct metric *m = &metric[metric_at(METRIC_ACCURACY, -1, k)];
    double right = 0;

    metric_confusion(scan, n, k, count);
    for (int c = 0; c < k; c++) {
        struct auc a = metric_auroc(scan, n, c, NULL);

        right += count[c * k + c];
        for (int i = METRIC_SENSITIVITY; i <= METRIC_NPV; i++) {
            struct metric *p = &metric[metric_at((enum metric_kind)i, c, k)];
            struct ratio r = proportion(count, k, (enum metric_kind)i, c);

            p->n = r.under;
            set_interval(p, stat_wilson(r.over, r.under));
        }
        set_interval(&metric[metric_at(METRIC_AUROC, c, k)],
                     stat_normal(a.area, a.variance, 0, 1));
    }
    set_interval(m, stat_wilson(right, (double)n));
    free(count);
}

struct auc
metric_auroc(const struct outcome *scan, size_t n, int c, double *placement)
{
    double *score_of = mem_array(n, sizeof *score_of);
    double *v = mem_array(n, sizeof *v);
    bool *positive = mem_array(n, sizeof *positive);
    struct auc a;

    for (size_t i = 0; i < n; i++) {
        score_of[i] = scan[i].p[c];
        positive[i] = scan[i].truth == c;
    }
    stat_placements(score_of, positive, n, v);
    a = stat_delong(v, positive, n);
    if (placement != NULL)
        memcpy(placement, v, n * sizeof *v);
    free(score_of);
    free(v);
    free(positive);
    return a;
}

struct metric *
metric_measure(const struct outcome *scan, size_t n, int k, size_t ngroups,
               uint64_t seed, size_t nboot)
{
    struct metric *metric = mem_array(nvalues(k), sizeof *metric);
    double *value = mem_array(nvalues(k), sizeof *value);
    uint32_t *once = mem_array(ngroups, sizeof *once);
    struct scorer s;

    for (size_t g = 0; g < ngroups; g++)
        once[g] = 1;
    scorer_init(&s, scan, n, k, ngroups);
    score(&s, once, value);
    for (size_t i = 0; i < nvalues(k); i++)
        metric[i] = (struct metric){ value[i], NAN, NAN, (double)n };
    bootstrap(&s, seed, nboot, metric);
    formulas(scan, n, k, metric);
    scorer_release(&s);
    free(value);
    free(once);
    return metric;
}
