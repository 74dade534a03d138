/*
 * cpu_stem: weight gradient of a convolution on a plain picture (part of
 * cpu.c).
 *
 * oneDNN 2.6 has no fast kernel for one input channel.  dw[k][r][s] is the sum
 * over pixels of dy[k] * x[shifted by r,s]: V output channels at once, a row of
 * the filter (up to 7 taps) in registers.  Tasks are (picture block, lane
 * group); each block's sums are added in order, so threads do not matter.
 */

enum { STEM_TAPS = 7, STEM_BLOCKS = 16 };

static int
stem_blocks(const struct cpu_stem *s)
{
    return s->n < STEM_BLOCKS ? s->n : STEM_BLOCKS;
}

static size_t
stem_sums(const struct cpu_stem *s)
{
    return (size_t)stem_blocks(s) * s->out.c * s->c * s->kernel * s->kernel;
}

/* One output row times one input row: taps [from, from + taps) of a row. */
static inline void
stem_row(const struct cpu_stem *s, const float *x, const num *dy, int from,
         int taps, vf sum[STEM_TAPS])
{
    for (int o = 0; o < s->out.w; o++, dy += s->out.block) {
        int col = o * s->stride - s->pad + from;
        vf d = vload(dy);

        if (col >= 0 && col + STEM_TAPS <= s->w && taps == STEM_TAPS) {
            for (int t = 0; t < STEM_TAPS; t++)
                sum[t] += d * x[col + t];
            continue;
        }
        for (int t = 0; t < taps; t++)
            if (col + t >= 0 && col + t < s->w)
                sum[t] += d * x[col + t];
    }
}

/* Filter row r, taps from `from`, of input channel c over one picture. */
static void
stem_taps(const struct cpu_stem *s, const float *x, const num *dy, int r,
          int from, double *to)
{
    int taps = s->kernel - from < STEM_TAPS ? s->kernel - from : STEM_TAPS;
    size_t row = (size_t)s->out.w * s->out.block;
    vf sum[STEM_TAPS];

    for (int o = 0; o < s->out.h;) {
        int end = o + 8 < s->out.h ? o + 8 : s->out.h;

        for (int t = 0; t < STEM_TAPS; t++)
            sum[t] = vset(0);
        for (; o < end; o++) {
            int i = o * s->stride - s->pad + r;

            if (i >= 0 && i < s->h)
                stem_row(s, x + (size_t)i * s->w, dy + (size_t)o * row, from,
                         taps, sum);
        }
        for (int t = 0; t < taps; t++)
            flush(to + t * V, &sum[t]);
    }
}

/* sums[V] per tap of one lane group, over the pictures of one block. */
static void
stem_task(const struct cpu_stem *s, const float *x, const num *dy, int block,
          int g, double *sums)
{
    int blocks = stem_blocks(s), k = s->kernel;
    size_t hw = (size_t)s->h * s->w;

    memset(sums, 0, (size_t)s->c * k * k * V * sizeof *sums);
    for (int n = s->n * block / blocks; n < s->n * (block + 1) / blocks; n++)
        for (int c = 0; c < s->c; c++)
            for (int r = 0; r < k; r++)
                for (int from = 0; from < k; from += STEM_TAPS)
                    stem_taps(s, x + ((size_t)n * s->c + c) * hw,
                              dy + at(&s->out, n, g), r, from,
                              sums + ((size_t)(c * k + r) * k + from) * V);
}

static void
stem_back(const struct cpu_stem *s, const float *x, const void *dy, float *dw,
          double *sums)
{
    int blocks = stem_blocks(s), groups = s->out.c / V;
    size_t taps = (size_t)s->c * s->kernel * s->kernel;

#pragma omp parallel
    {
#pragma omp for collapse(2) schedule(dynamic)
        for (int b = 0; b < blocks; b++)
            for (int g = 0; g < groups; g++)
                stem_task(s, x, dy, b, g,
                          sums + (size_t)(b * groups + g) * taps * V);
#pragma omp for
        for (int g = 0; g < groups; g++)
            for (size_t t = 0; t < taps; t++)
                for (int l = 0; l < V; l++) {
                    double sum = 0;

                    for (int b = 0; b < blocks; b++)
                        sum += sums[((size_t)(b * groups + g) * taps + t) *
                                    V + l];
                    dw[(size_t)(g * V + l) * taps + t] = (float)sum;
                }
    }
}
