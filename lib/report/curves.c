#include "report/curves.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static int
by_p(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->p, y = ((const struct scored *)b)->p;

    return x > y ? -1 : x < y;
}

struct scored *
curves_sort(const struct predictions *p, int class, size_t *n)
{
    struct scored *s = mem_array(p->n, sizeof *s);

    *n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->row[i].ok)
            s[(*n)++] = (struct scored){ p->row[i].outcome.p[class],
                                         p->row[i].outcome.truth == class,
                                         p->row[i].file };
    if (*n > 0)
        qsort(s, *n, sizeof *s, by_p);
    return s;
}

static struct counts
totals(const struct scored *s, size_t n)
{
    struct counts c = { 0 };

    for (size_t i = 0; i < n; i++) {
        c.npos += s[i].positive;
        c.nneg += !s[i].positive;
    }
    return c;
}

/* Is the i-th the last of its probability? */
static bool
last_of(const struct scored *s, size_t n, size_t i)
{
    return i + 1 == n || s[i + 1].p < s[i].p;
}

size_t
curves_roc(const struct scored *s, size_t n, double *x, double *y)
{
    struct counts c = totals(s, n);
    size_t m = 1;

    /* 0, or NaN if no scan is positive, or negative. */
    x[0] = 0 / c.nneg;
    y[0] = 0 / c.npos;
    for (size_t i = 0; i < n; i++) {
        c.tp += s[i].positive;
        c.fp += !s[i].positive;
        if (last_of(s, n, i)) {
            x[m] = c.fp / c.nneg;
            y[m++] = c.tp / c.npos;
        }
    }
    return m;
}

size_t
curves_precision(const struct scored *s, size_t n, double *x, double *y)
{
    struct counts c = totals(s, n);
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        c.tp += s[i].positive;
        c.fp += !s[i].positive;
        if (last_of(s, n, i)) {
            x[m] = c.tp / c.npos;
            y[m++] = c.tp / (c.tp + c.fp);
        }
    }
    return m;
}

struct counts
curves_at(const struct scored *s, size_t n, double threshold)
{
    struct counts c = totals(s, n);

    for (size_t i = 0; i < n && s[i].p >= threshold; i++) {
        c.tp += s[i].positive;
        c.fp += !s[i].positive;
    }
    return c;
}

double
curves_threshold(const struct scored *s, size_t n, double least)
{
    struct counts c = totals(s, n);
    double best = INFINITY;     /* nothing is positive */

    if (c.nneg == 0)
        return NAN;
    for (size_t i = 0; i < n; i++) {
        c.fp += !s[i].positive;
        if (!last_of(s, n, i))
            continue;
        if (!(1 - c.fp / c.nneg >= least))
            break;
        best = i + 1 < n ? (s[i].p + s[i + 1].p) / 2 : s[i].p / 2;
    }
    return best;
}

double
curves_benefit(const struct scored *s, size_t n, double t, bool all)
{
    struct counts c = curves_at(s, n, all ? -1 : t);

    return c.tp / (double)n - c.fp / (double)n * t / (1 - t);
}

void
curves_reliability(const struct predictions *p, double *x, double *y,
                   double *m)
{
    for (int b = 0; b < ECE_BINS; b++)
        x[b] = y[b] = m[b] = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct outcome *o = &p->row[i].outcome;
        double top;
        int b;

        if (!p->row[i].ok)
            continue;
        top = o->p[o->pred];
        b = metric_ece_bin(top);
        x[b] += top;
        y[b] += o->pred == o->truth;
        m[b]++;
    }
    for (int b = 0; b < ECE_BINS; b++) {
        x[b] = m[b] > 0 ? x[b] / m[b] : NAN;
        y[b] = m[b] > 0 ? y[b] / m[b] : NAN;
    }
}
