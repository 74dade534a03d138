#include "learn/stat.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

struct interval
stat_wilson(double x, double n)
{
    const double z2 = STAT_Z95 * STAT_Z95;
    double middle, half;

    if (!(n > 0))
        return (struct interval){ NAN, NAN };
    middle = (x + z2 / 2) / (n + z2);
    half = STAT_Z95 / (n + z2) * sqrt(x * (n - x) / n + z2 / 4);
    /* The formula's 0 and 1 at the ends, without its rounding errors. */
    return (struct interval){ x > 0 ? middle - half : 0,
                              x < n ? middle + half : 1 };
}

struct interval
stat_normal(double value, double variance, double lo, double hi)
{
    double half;

    if (!(variance > 0))
        return (struct interval){ NAN, NAN };
    half = STAT_Z95 * sqrt(variance);
    return (struct interval){ fmax(lo, value - half), fmin(hi, value + half) };
}

double
stat_quantile(const double *sorted, size_t n, double q)
{
    double at;
    size_t i;

    if (n == 0)
        return NAN;
    at = q * (double)(n - 1);
    i = (size_t)at;
    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

struct scored {
    double score;
    size_t at;
};

static int
by_score(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->score;
    double y = ((const struct scored *)b)->score;

    return (x > y) - (x < y);
}

void
stat_placements(const double *score, const bool *positive, size_t n,
                double *placement)
{
    struct scored *s = mem_array(n, sizeof *s);
    double npos = 0, nneg, below_pos = 0, below_neg = 0;

    for (size_t i = 0; i < n; i++) {
        s[i] = (struct scored){ score[i], i };
        npos += positive[i];
    }
    nneg = (double)n - npos;
    qsort(s, n, sizeof *s, by_score);
    for (size_t i = 0, end; i < n; i = end) {
        double tied_pos = 0, tied_neg;

        for (end = i; end < n && s[end].score <= s[i].score; end++)
            tied_pos += positive[s[end].at];
        tied_neg = (double)(end - i) - tied_pos;
        for (size_t j = i; j < end; j++)
            placement[s[j].at] = positive[s[j].at]
                ? (below_neg + tied_neg / 2) / nneg
                : (npos - below_pos - tied_pos / 2) / npos;
        below_pos += tied_pos;
        below_neg += tied_neg;
    }
    free(s);
}

/* Number, mean and variance (n - 1) of the values of one kind. */
static void
moments(const double *x, const bool *positive, bool kind, size_t n,
        double *count, double *mean, double *variance)
{
    double m = 0, sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        if (positive[i] == kind) {
            sum += x[i];
            m++;
        }
    *count = m;
    *mean = sum / m;
    for (size_t i = 0; i < n; i++)
        if (positive[i] == kind)
            squares += (x[i] - *mean) * (x[i] - *mean);
    *variance = m > 1 ? squares / (m - 1) : NAN;
}

struct auc
stat_delong(const double *placement, const bool *positive, size_t n)
{
    double npos, nneg, mean, other, vpos, vneg;

    moments(placement, positive, true, n, &npos, &mean, &vpos);
    moments(placement, positive, false, n, &nneg, &other, &vneg);
    if (!(npos > 0 && nneg > 0))
        return (struct auc){ NAN, NAN };
    /* Placements are counts over counts: less than this is rounding alone. */
    if (vpos / npos + vneg / nneg < 1e-24)
        return (struct auc){ mean, 0 };
    return (struct auc){ mean, vpos / npos + vneg / nneg };
}

double
stat_two_sided(double z)
{
    return erfc(fabs(z) / sqrt(2));
}

double
stat_mcnemar(size_t b, size_t c)
{
    double n = (double)b + (double)c, least = b < c ? (double)b : (double)c;
    double term, sum = 0;

    /* From the largest term of the tail down, each from the one before. */
    term = exp(lgamma(n + 1) - lgamma(least + 1) - lgamma(n - least + 1) -
               n * log(2));
    for (double k = least; k >= 0 && term > 0; k--) {
        sum += term;
        term *= k / (n - k + 1);
    }
    return fmin(1, 2 * sum);
}

struct interval
stat_paired(size_t b, size_t c, size_t n)
{
    double m = (double)n + 2;
    double p = ((double)b + 1) / m, q = ((double)c + 1) / m;

    if (n == 0)
        return (struct interval){ NAN, NAN };
    return stat_normal(p - q, (p + q - (p - q) * (p - q)) / m, -1, 1);
}
