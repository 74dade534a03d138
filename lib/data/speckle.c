#include "data/speckle.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REACH = 24 };            /* longest half of a kernel, 3 deviations */

/* Half a Gaussian of unit energy; returns its reach. */
static int
kernel(float *k, double sigma)
{
    int reach = (int)ceil(3 * sigma);
    double energy = 0;

    if (reach > REACH)
        reach = REACH;
    for (int i = 0; i <= reach; i++) {
        double v = sigma > 0 ? exp(-0.5 * i * i / (sigma * sigma)) : 1;

        k[i] = (float)v;
        energy += (i == 0 ? 1 : 2) * v * v;
    }
    for (int i = 0; i <= reach; i++)
        k[i] /= (float)sqrt(energy);
    return reach;
}

/* Index i of n cells that are mirrored at both ends. */
static int
mirror(int i, int n)
{
    if (i < 0)
        i = -1 - i;
    if (i >= n)
        i = 2 * n - 1 - i;
    return i < 0 ? 0 : i;
}

static void
blur_axial(const float *in, float *out, int w, int h, double sigma)
{
    float k[REACH + 1] = { 0 };
    int reach = kernel(k, sigma);

    memset(out, 0, (size_t)w * (size_t)h * sizeof *out);
    for (int y = 0; y < h; y++) {
        float *o = out + (size_t)y * w;

        for (int j = -reach; j <= reach; j++) {
            const float *a = in + (size_t)mirror(y + j, h) * w;
            float f = k[abs(j)];

            for (int x = 0; x < w; x++)
                o[x] += f * a[x];
        }
    }
}

/* One row in place; `wide` has room for w + 2 * REACH. */
static void
blur_lateral(float *row, float *wide, int w, const float *k, int reach)
{
    for (int x = -reach; x < w + reach; x++)
        wide[x + reach] = row[mirror(x, w)];
    memset(row, 0, (size_t)w * sizeof *row);
    for (int j = 0; j <= 2 * reach; j++) {
        float f = k[abs(j - reach)];

        for (int x = 0; x < w; x++)
            row[x] += f * wide[x + j];
    }
}

void
speckle_envelope(struct rng *r, const struct psf *p, int w, int h,
                 const float *amplitude, float *envelope)
{
    size_t n = (size_t)w * (size_t)h;
    float *re = mem_array(n, sizeof *re), *im = mem_array(n, sizeof *im);
    float *tmp = mem_array(n, sizeof *tmp);
    float *wide = mem_array((size_t)w + 2 * REACH, sizeof *wide);
    float k[REACH + 1];

    /*
     * Both parts uniform in +-sqrt(3/2), so that |cell|^2 is 1 on average.
     * The blur makes them Gaussian.
     */
    for (size_t i = 0; i < n; i++) {
        uint32_t u = rng_u32(r);
        float unit = amplitude[i] * (1.2247449f / 32768);

        re[i] = unit * ((float)(u & 0xffff) - 32767.5f);
        im[i] = unit * ((float)(u >> 16) - 32767.5f);
    }
    blur_axial(re, tmp, w, h, p->axial);
    memcpy(re, tmp, n * sizeof *re);
    blur_axial(im, tmp, w, h, p->axial);
    for (int y = 0; y < h; y++) {
        float *a = re + (size_t)y * w, *b = tmp + (size_t)y * w;
        float *o = envelope + (size_t)y * w;
        double part = (y + 0.5) / h;
        int reach = kernel(k, p->lateral_top +
                              (p->lateral_bottom - p->lateral_top) * part);

        blur_lateral(a, wide, w, k, reach);
        blur_lateral(b, wide, w, k, reach);
        for (int x = 0; x < w; x++)
            o[x] = sqrtf(a[x] * a[x] + b[x] * b[x]);
    }
    free(re);
    free(im);
    free(tmp);
    free(wide);
}
