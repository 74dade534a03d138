/*
 * metric and stat against other people's code: scikit-learn 1.9 and scipy 1.17,
 * and for DeLong, ECE and the bootstrap plain numpy (all pairs for DeLong; for
 * the bootstrap the rows of the drawn groups put together again, drawn by a
 * second implementation of the generator).
 */
#include "check.h"

#include "base/mem.h"
#include "learn/metric.h"
#include "learn/stat.h"

#include <math.h>

enum { K = 3 };

static const struct {
    double p[K];
    int truth, pred;
    uint32_t group;
} sample[] = {
    { { 0.3, 0.15, 0.55 }, 0, 2, 0 },
    { { 0.25, 0.15, 0.6 }, 2, 2, 0 },
    { { 0, 0.95, 0.05 }, 1, 1, 1 },
    { { 1, 0, 0 }, 0, 0, 2 },
    { { 0.1, 0.5, 0.4 }, 1, 1, 3 },
    { { 0.25, 0.35, 0.4 }, 0, 2, 3 },
    { { 0.65, 0, 0.35 }, 0, 0, 3 },
    { { 0.85, 0.1, 0.05 }, 0, 0, 4 },
    { { 0.5, 0, 0.5 }, 0, 0, 4 },
    { { 0.45, 0.55, 0 }, 1, 1, 4 },
    { { 0.55, 0.25, 0.2 }, 0, 0, 5 },
    { { 0.6, 0.05, 0.35 }, 2, 0, 5 },
    { { 0.2, 0.35, 0.45 }, 2, 2, 6 },
    { { 0.8, 0.15, 0.05 }, 0, 0, 7 },
    { { 0.65, 0.3, 0.05 }, 1, 0, 7 },
    { { 0.05, 0.85, 0.1 }, 1, 1, 8 },
    { { 0.85, 0.15, 0 }, 0, 0, 9 },
    { { 0.85, 0.15, 0 }, 0, 0, 9 },
    { { 0.3, 0.1, 0.6 }, 0, 2, 10 },
    { { 0.2, 0.2, 0.6 }, 2, 2, 10 },
    { { 0.15, 0.25, 0.6 }, 1, 2, 10 },
    { { 0.15, 0.65, 0.2 }, 1, 1, 10 },
    { { 0.1, 0.3, 0.6 }, 2, 2, 10 },
    { { 0.85, 0.1, 0.05 }, 0, 0, 10 },
};

enum { N = ARRAY_LEN(sample), NGROUPS = 11 };

static const struct {
    enum metric_kind kind;
    int class;
    double value;
} values[] = {
    { METRIC_ACCURACY, -1, 0.75 },
    { METRIC_BALANCED_ACCURACY, -1, 0.754761904761905 },
    { METRIC_MACRO_F1, -1, 0.743775548123374 },
    { METRIC_MCC, -1, 0.621584909122652 },
    { METRIC_KAPPA, -1, 0.609756097560976 },
    { METRIC_BRIER, -1, 0.3625 },
    { METRIC_NLL, -1, 0.595661646468279 },
    { METRIC_ECE, -1, 0.135416666666667 },
    { METRIC_AUROC, 0, 0.902777777777778 },
    { METRIC_AUPRC, 0, 0.901217532467533 },
    { METRIC_SENSITIVITY, 0, 0.75 },
    { METRIC_SPECIFICITY, 0, 0.833333333333333 },
    { METRIC_PPV, 0, 0.818181818181818 },
    { METRIC_NPV, 0, 0.769230769230769 },
    { METRIC_F1, 0, 0.782608695652174 },
    { METRIC_AT_SPEC90, 0, 0.583333333333333 },
    { METRIC_AT_SPEC95, 0, 0.5 },
    { METRIC_AUROC, 1, 0.949579831932773 },
    { METRIC_AUPRC, 1, 0.9004329004329 },
    { METRIC_SENSITIVITY, 1, 0.714285714285714 },
    { METRIC_SPECIFICITY, 1, 1 },
    { METRIC_PPV, 1, 1 },
    { METRIC_NPV, 1, 0.894736842105263 },
    { METRIC_F1, 1, 0.833333333333333 },
    { METRIC_AT_SPEC90, 1, 0.714285714285714 },
    { METRIC_AT_SPEC95, 1, 0.714285714285714 },
    { METRIC_AUROC, 2, 0.857894736842105 },
    { METRIC_AUPRC, 2, 0.543333333333333 },
    { METRIC_SENSITIVITY, 2, 0.8 },
    { METRIC_SPECIFICITY, 2, 0.789473684210526 },
    { METRIC_PPV, 2, 0.5 },
    { METRIC_NPV, 2, 0.9375 },
    { METRIC_F1, 2, 0.615384615384615 },
    { METRIC_AT_SPEC90, 2, 0 },
    { METRIC_AT_SPEC95, 2, 0 },
    { METRIC_AUROC, -1, 0.903417448850885 },
    { METRIC_AUPRC, -1, 0.781661255411255 },
};

struct bounds {
    enum metric_kind kind;
    int class;
    double lo, hi;
};

/* Wilson and DeLong. */
static const struct bounds formulas[] = {
    { METRIC_ACCURACY, -1, 0.55100555994846, 0.88000633771405 },
    { METRIC_AUROC, 0, 0.783554658661361, 1 },
    { METRIC_SENSITIVITY, 0, 0.467694665066434, 0.911058331605945 },
    { METRIC_SPECIFICITY, 0, 0.551969137747027, 0.953034857816146 },
    { METRIC_PPV, 0, 0.523019438039156, 0.948632310253915 },
    { METRIC_NPV, 0, 0.497436240532725, 0.918204712815014 },
    { METRIC_AUROC, 1, 0.868073410131878, 1 },
    { METRIC_SENSITIVITY, 1, 0.358934451832619, 0.917781075995943 },
    { METRIC_SPECIFICITY, 1, 0.815681864991148, 1 },
    { METRIC_PPV, 1, 0.565517535216825, 1 },
    { METRIC_NPV, 1, 0.68605917288891, 0.97064143970113 },
    { METRIC_AUROC, 2, 0.701375359737257, 1 },
    { METRIC_SENSITIVITY, 2, 0.375534629762525, 0.96377589136757 },
    { METRIC_SPECIFICITY, 2, 0.566657215561858, 0.914923233670838 },
    { METRIC_PPV, 2, 0.215216062213878, 0.784783937786122 },
    { METRIC_NPV, 2, 0.716712624297011, 0.988880655235358 },
};

/* Seed 7, 200 replicates. */
static const struct bounds resampled[] = {
    { METRIC_BALANCED_ACCURACY, -1, 0.586266233766234, 0.903290043290043 },
    { METRIC_MACRO_F1, -1, 0.589005698005698, 0.847260101010101 },
    { METRIC_MCC, -1, 0.470746085907233, 0.802217115110761 },
    { METRIC_KAPPA, -1, 0.442175298804781, 0.796497005988024 },
    { METRIC_BRIER, -1, 0.239283333333333, 0.448955357142857 },
    { METRIC_NLL, -1, 0.399951445544212, 0.722215942006804 },
    { METRIC_ECE, -1, 0, 0.3 },     /* 0.1686 if reflected above, too */
    { METRIC_AUROC, -1, 0.832292579711310, 0.969491642616643 },
    { METRIC_AUPRC, -1, 0.701469913891483, 0.951826113701114 },
    { METRIC_AUPRC, 0, 0.787122890478505, 0.985815018315018 },
    { METRIC_F1, 0, 0.665909090909091, 0.909090909090909 },
    { METRIC_AUPRC, 1, 0.732857142857143, 1 },
    { METRIC_F1, 1, 0.599285714285714, 1 },
    { METRIC_AUPRC, 2, 0.356944444444444, 1 },
    { METRIC_F1, 2, 0, 0.8 },
    { METRIC_AT_SPEC90, 1, 0.427857142857143, 1 },
    { METRIC_AT_SPEC95, 1, 0.427857142857143, 1 },
};

static void
close_to(const char *what, int i, int class, double expected, double got)
{
    ck_assert_msg(fabs(expected - got) < 1e-12,
                  "%s %d of class %d: %.15g, not %.15g", what, i, class, got,
                  expected);
}

static void
load(struct outcome o[N])
{
    for (size_t i = 0; i < N; i++)
        o[i] = (struct outcome){ sample[i].p, sample[i].truth,
                                 sample[i].pred, sample[i].group };
}

static const struct metric *
of(const struct metric *m, enum metric_kind kind, int class)
{
    return &m[metric_at(kind, class, K)];
}

START_TEST(test_values)
{
    struct outcome o[N];
    struct metric *m;

    load(o);
    m = metric_measure(o, N, K, NGROUPS, 1, 0);
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        close_to("value", (int)values[i].kind, values[i].class,
                 values[i].value,
                 of(m, values[i].kind, values[i].class)->value);
    free(m);
}
END_TEST

static void
check_bounds(const struct metric *m, const struct bounds *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct metric *got = of(m, b[i].kind, b[i].class);

        close_to("lo", (int)b[i].kind, b[i].class, b[i].lo, got->lo);
        close_to("hi", (int)b[i].kind, b[i].class, b[i].hi, got->hi);
    }
}

START_TEST(test_intervals)
{
    struct outcome o[N];
    struct metric *m;

    load(o);
    m = metric_measure(o, N, K, NGROUPS, 7, 200);
    check_bounds(m, formulas, ARRAY_LEN(formulas));
    check_bounds(m, resampled, ARRAY_LEN(resampled));
    free(m);
    m = metric_measure(o, N, K, NGROUPS, 7, 0);
    check_bounds(m, formulas, ARRAY_LEN(formulas));
    for (size_t i = 0; i < ARRAY_LEN(resampled); i++)
        ck_assert(isnan(of(m, resampled[i].kind, resampled[i].class)->lo));
    ck_assert_double_eq(of(m, METRIC_SENSITIVITY, 1)->n, 7);
    ck_assert_double_eq(of(m, METRIC_SPECIFICITY, 1)->n, 17);
    ck_assert_double_eq(of(m, METRIC_PPV, 1)->n, 5);
    ck_assert_double_eq(of(m, METRIC_NPV, 1)->n, 19);
    ck_assert_double_eq(of(m, METRIC_F1, 1)->n, N);
    free(m);
}
END_TEST

START_TEST(test_nothing)
{
    struct metric *m = metric_measure(NULL, 0, K, 0, 1, 50);

    for (size_t i = 0; i < METRIC_KINDS * (K + 1); i++) {
        ck_assert(isnan(m[i].value));
        ck_assert(isnan(m[i].lo));
        ck_assert(isnan(m[i].hi));
    }
    free(m);
}
END_TEST

/* One scan, rightly called by certainty. */
START_TEST(test_one)
{
    static const double sure[K] = { 0, 1, 0 };
    const struct outcome o = { sure, 1, 1, 0 };
    struct metric *m = metric_measure(&o, 1, K, 1, 1, 50);

    ck_assert_double_eq(of(m, METRIC_ACCURACY, -1)->value, 1);
    close_to("lo", METRIC_ACCURACY, -1, 0.206549314377237,
             of(m, METRIC_ACCURACY, -1)->lo);
    ck_assert_double_eq(of(m, METRIC_ACCURACY, -1)->hi, 1);
    ck_assert_double_eq(of(m, METRIC_BRIER, -1)->value, 0);
    ck_assert(isnan(of(m, METRIC_BRIER, -1)->lo));
    ck_assert(isnan(of(m, METRIC_BRIER, -1)->hi));
    ck_assert_double_eq(of(m, METRIC_NLL, -1)->value, 0);
    ck_assert_double_eq(of(m, METRIC_ECE, -1)->value, 0);
    ck_assert_double_eq(of(m, METRIC_SENSITIVITY, 1)->value, 1);
    ck_assert(isnan(of(m, METRIC_SENSITIVITY, 0)->value));
    ck_assert(isnan(of(m, METRIC_SPECIFICITY, 1)->value));
    ck_assert_double_eq(of(m, METRIC_SPECIFICITY, 0)->value, 1);
    ck_assert(isnan(of(m, METRIC_PPV, 0)->value));
    ck_assert(isnan(of(m, METRIC_MCC, -1)->value));
    ck_assert(isnan(of(m, METRIC_KAPPA, -1)->value));
    ck_assert(isnan(of(m, METRIC_AUROC, -1)->value));
    ck_assert(isnan(of(m, METRIC_AUROC, 1)->value));
    ck_assert(isnan(of(m, METRIC_AUPRC, 0)->value));
    ck_assert(isnan(of(m, METRIC_AT_SPEC90, 1)->value));
    free(m);
}
END_TEST

/*
 * Certain and wrong: NLL is cut at 2^-52 (36.04..., 52 ln 2), Brier is 2.
 * Perfect separation has no DeLong variance; all ties are one half.
 */
START_TEST(test_extremes)
{
    static const double a[K] = { 1, 0, 0 }, b[K] = { 0, 1, 0 };
    const struct outcome wrong[] = {
        { a, 1, 0, 0 }, { a, 1, 0, 1 }, { b, 0, 1, 2 }, { b, 0, 1, 3 }
    };
    const struct outcome tied[] = {
        { a, 0, 0, 0 }, { a, 0, 0, 1 }, { a, 1, 0, 2 }, { a, 1, 0, 3 }
    };
    struct metric *m = metric_measure(wrong, 4, K, 4, 1, 50);

    close_to("nll", 0, -1, 52 * log(2), of(m, METRIC_NLL, -1)->value);
    ck_assert_double_eq(of(m, METRIC_BRIER, -1)->value, 2);
    ck_assert_double_eq(of(m, METRIC_ECE, -1)->value, 1);
    ck_assert_double_eq(of(m, METRIC_AUROC, 0)->value, 0);
    ck_assert(isnan(of(m, METRIC_AUROC, 0)->lo));
    ck_assert_double_eq(of(m, METRIC_AUROC, -1)->value, 0);
    ck_assert_double_eq(of(m, METRIC_BALANCED_ACCURACY, -1)->value, 0);
    ck_assert_double_eq(of(m, METRIC_MCC, -1)->value, -1);
    ck_assert_double_eq(of(m, METRIC_AT_SPEC90, 0)->value, 0);
    ck_assert(isnan(of(m, METRIC_AUROC, 2)->value));
    free(m);
    m = metric_measure(tied, 4, K, 4, 1, 50);
    ck_assert_double_eq(of(m, METRIC_AUROC, 0)->value, 0.5);
    ck_assert_double_eq(of(m, METRIC_AUPRC, 0)->value, 0.5);
    ck_assert(isnan(of(m, METRIC_PPV, 1)->value));
    ck_assert(isnan(of(m, METRIC_MCC, -1)->value));
    ck_assert_double_eq(of(m, METRIC_KAPPA, -1)->value, 0);
    free(m);
}
END_TEST

/*
 * Ten negatives, one of them above a positive: at a specificity of exactly
 * 90 % both positives are found, at 95 % one.  A class of one scan is missing
 * in a third of the replicates, (11/12)^12, and its AUPRC has no interval.
 */
START_TEST(test_boundaries)
{
    static const double high[K] = { 0.1, 0.9, 0 }, over[K] = { 0.2, 0.8, 0 },
                        low[K] = { 0.3, 0.7, 0 }, least[K] = { 1, 0, 0 };
    struct outcome o[12];
    struct metric *m;

    for (uint32_t i = 0; i < 12; i++)
        o[i] = (struct outcome){ least, 0, 0, i };
    o[0] = (struct outcome){ high, 1, 1, 0 };
    o[1] = (struct outcome){ over, 0, 1, 1 };
    o[2] = (struct outcome){ low, 1, 1, 2 };
    o[3].truth = 2;
    m = metric_measure(o, 12, K, 12, 1, 500);
    ck_assert_double_eq(of(m, METRIC_AT_SPEC90, 1)->value, 1);
    ck_assert_double_eq(of(m, METRIC_AT_SPEC95, 1)->value, 0.5);
    ck_assert(!isnan(of(m, METRIC_AUPRC, 2)->value));
    ck_assert(isnan(of(m, METRIC_AUPRC, 2)->lo));
    ck_assert(!isnan(of(m, METRIC_AUPRC, 0)->lo));
    free(m);
}
END_TEST

START_TEST(test_wilson)
{
    static const struct {
        double x, n, lo, hi;
    } t[] = {
        { 0, 10, 0, 0.27753279986288926 },
        { 10, 10, 0.7224672001371109, 1 },
        { 7, 9, 0.4525889691069889, 0.9367748928821533 },
        { 431, 780, 0.5174966087710917, 0.587116382896089 },
    };

    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct interval w = stat_wilson(t[i].x, t[i].n);

        close_to("wilson lo", (int)i, -1, t[i].lo, w.lo);
        close_to("wilson hi", (int)i, -1, t[i].hi, w.hi);
    }
    ck_assert(isnan(stat_wilson(0, 0).lo));
}
END_TEST

START_TEST(test_mcnemar)
{
    close_to("mcnemar", 0, 0, 1, stat_mcnemar(0, 0));
    close_to("mcnemar", 1, 0, 1, stat_mcnemar(1, 0));
    close_to("mcnemar", 3, 3, 1, stat_mcnemar(3, 3));
    close_to("mcnemar", 5, 12, 0.143463134765625, stat_mcnemar(5, 12));
    close_to("mcnemar", 40, 21, 0.0204147137996349, stat_mcnemar(40, 21));
    close_to("mcnemar", 500, 600, 0.00281954499143643,
             stat_mcnemar(500, 600));
    close_to("mcnemar", 0, 2000, 0, stat_mcnemar(0, 2000));
}
END_TEST

START_TEST(test_paired)
{
    struct interval i = stat_paired(12, 5, 100);

    close_to("lo", 0, 0, -0.014064609259292, i.lo);
    close_to("hi", 0, 0, 0.151319511220076, i.hi);
    i = stat_paired(0, 3, 3);
    close_to("lo", 1, 0, -1, i.lo);
    close_to("hi", 1, 0, 0.101218032461265, i.hi);
    ck_assert(isnan(stat_paired(0, 0, 0).lo));
}
END_TEST

/* The sample against itself mixed with its rows shifted by one. */
START_TEST(test_paired_delong)
{
    static const struct {
        double d, variance, p;
    } t[K] = {
        { 0.0486111111111112, 0.0019114758698092, 0.266197213775812 },
        { 0.0924369747899159, 0.00255028481981028, 0.0671867635679182 },
        { -0.0263157894736844, 0.00180517082179132, 0.535665984818166 },
    };
    double mixed[N][K], v[N], w[N];
    bool positive[N];
    struct outcome a[N], b[N];

    load(a);
    load(b);
    for (int i = 0; i < N; i++) {
        for (int c = 0; c < K; c++)
            mixed[i][c] = 0.3 * sample[(i + N - 1) % N].p[c] +
                          0.7 * sample[i].p[c];
        b[i].p = mixed[i];
    }
    for (int c = 0; c < K; c++) {
        struct auc d;

        metric_auroc(a, N, c, v);
        metric_auroc(b, N, c, w);
        for (int i = 0; i < N; i++) {
            positive[i] = a[i].truth == c;
            v[i] -= w[i];
        }
        d = stat_delong(v, positive, N);
        close_to("difference", 0, c, t[c].d, d.area);
        close_to("variance", 0, c, t[c].variance, d.variance);
        close_to("p", 0, c, t[c].p,
                 stat_two_sided(d.area / sqrt(d.variance)));
    }
}
END_TEST

START_TEST(test_quantile)
{
    static const double x[] = { -1, 1.5, 2.6, 3, 4, 5, 9 };

    close_to("quantile", 0, 0, -0.625, stat_quantile(x, 7, 0.025));
    close_to("quantile", 1, 0, 3, stat_quantile(x, 7, 0.5));
    close_to("quantile", 2, 0, 8.4, stat_quantile(x, 7, 0.975));
    close_to("quantile", 3, 0, 9, stat_quantile(x, 7, 1));
    close_to("quantile", 4, 0, -1, stat_quantile(x, 1, 0.5));
    ck_assert(isnan(stat_quantile(x, 0, 0.5)));
}
END_TEST

CHECK_MAIN("metric", 10, test_values, test_intervals, test_nothing, test_one,
           test_extremes, test_boundaries, test_wilson, test_mcnemar,
           test_paired, test_paired_delong, test_quantile)
