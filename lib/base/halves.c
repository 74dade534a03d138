#include "base/halves.h"

void
halves_cut(size_t n, int part, int parts, size_t *from, size_t *to)
{
    size_t a = 0, b = n;

    while (parts % 2 == 0) {
        size_t half = a + (b - a) / 2;

        parts /= 2;
        if (part < parts) {
            b = half;
        } else {
            a = half;
            part -= parts;
        }
    }
    *from = a + (b - a) * (size_t)part / (size_t)parts;
    *to = a + (b - a) * (size_t)(part + 1) / (size_t)parts;
}

void
halves_add_floats(void *to, const void *from, size_t n)
{
    float *restrict x = to;
    const float *restrict y = from;

    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

void
halves_add_doubles(void *to, const void *from, size_t n)
{
    double *restrict x = to;
    const double *restrict y = from;

    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}
