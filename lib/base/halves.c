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
