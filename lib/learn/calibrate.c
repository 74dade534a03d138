#include "learn/calibrate.h"

#include <math.h>

static double
log_of(double p)
{
    return log(fmax(p, 1e-30));
}

/*
 * Derivative of a row's loss -log softmax(b log p)[label] by b = 1 / T: the
 * expected log p under the tempered probabilities, less that of the label.
 */
static double
slope(const double *p, int label, size_t k, double b)
{
    double top = 0, all = 0, sum = 0;

    for (size_t i = 0; i < k; i++)
        top = fmax(top, p[i]);
    for (size_t i = 0; i < k; i++) {
        double w = exp(b * (log_of(p[i]) - log_of(top)));

        all += w;
        sum += w * log_of(p[i]);
    }
    return sum / all - log_of(p[label]);
}

/* The loss is convex in 1 / T: halve the interval on its derivative. */
double
calibrate_temperature(const double *p, const int *label, size_t n, size_t k)
{
    double lo = 1 / TEMPERATURE_MOST, hi = 1 / TEMPERATURE_LEAST;

    if (n == 0)
        return 1;
    while (hi - lo > 1e-10 * lo) {
        double b = (lo + hi) / 2, sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += slope(p + i * k, label[i], k, b);
        if (sum > 0)
            hi = b;
        else
            lo = b;
    }
    return 2 / (lo + hi);
}
