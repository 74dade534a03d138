/*
 * cpu_wino: 3x3 convolutions of stride 1 by Winograd's algorithm (part of
 * cpu.c).
 *
 * F(4x4, 3x3) of Lavin and Gray, Fast algorithms for convolutional neural
 * networks (CVPR 2016): a tile of 4x4 outputs from 6x6 inputs is
 *
 *     y = A' [ (G w G') * (B' x B) ] A        (' transposes, * by elements)
 *
 * so that channels are summed by 36 matrix products with a quarter of the
 * multiplications.  The data's gradient is the same convolution with the
 * filters turned; the weights' is the adjoint, sums being over tiles:
 *
 *     dw = G' [ sum (A dy A') * (B' x B) ] G
 *
 * Transformed numbers lie as [36][channels / W][tile][W], W two vectors, each of
 * the 36 parts SKEW further on than a power of two, lest they share cache sets.
 * Every sum has an order that depends on the shape alone.
 */

enum { PART = 36, W = 2 * V, SKEW = 16, ROWS = 6, CHUNK = 8 * ROWS };

static int
wide(int channels)
{
    return (channels + W - 1) / W * W;
}

static int
tiles(const struct cpu_wino *w)
{
    return w->out.n * ((w->out.h + 3) / 4) * ((w->out.w + 3) / 4);
}

static int
least(int a, int b)
{
    return a < b ? a : b;
}

/* ------------------------------------------------- transforms of one tile */

#define INLINE static inline __attribute__((always_inline))

/*
 * The polynomials are taken at 0, A, -A, B, -B and infinity: what rounds least
 * among simple numbers (1 and 2, as in the paper, lose six times as much).
 */
static const float A = 0.625f, B = 1.5f, AA = 0.390625f, BB = 2.25f;
static const float NA = 1 / (2 * 0.390625f * (0.390625f - 2.25f));
static const float NB = 1 / (2 * 2.25f * (2.25f - 0.390625f));

/* B' d: 6 numbers to 6. */
INLINE void
input6(const vf *d, int step, vf *to, int to_step)
{
    vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    vf d4 = d[4 * step], d5 = d[5 * step];
    vf a = d4 - BB * d2, b = A * (d3 - BB * d1);
    vf c = d4 - AA * d2, e = B * (d3 - AA * d1);

    to[0] = AA * BB * d0 - (AA + BB) * d2 + d4;
    to[to_step] = a + b;
    to[2 * to_step] = a - b;
    to[3 * to_step] = c + e;
    to[4 * to_step] = c - e;
    to[5 * to_step] = AA * BB * d1 - (AA + BB) * d3 + d5;
}

/* A' m: 6 to 4. */
INLINE void
output6(const vf *m, int step, vf *to, int to_step)
{
    vf p = m[step] + m[2 * step], q = m[step] - m[2 * step];
    vf r = m[3 * step] + m[4 * step], s = m[3 * step] - m[4 * step];

    to[0] = m[0] + p + r;
    to[to_step] = A * q + B * s;
    to[2 * to_step] = AA * p + BB * r;
    to[3 * to_step] = A * AA * q + B * BB * s + m[5 * step];
}

/* A d: 4 to 6. */
INLINE void
output4(const vf *d, int step, vf *to, int to_step)
{
    vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    vf a = d0 + AA * d2, b = A * (d1 + AA * d3);
    vf c = d0 + BB * d2, e = B * (d1 + BB * d3);

    to[0] = d0;
    to[to_step] = a + b;
    to[2 * to_step] = a - b;
    to[3 * to_step] = c + e;
    to[4 * to_step] = c - e;
    to[5 * to_step] = d3;
}

/* G g: 3 to 6. */
INLINE void
filter3(const vf *g, int step, vf *to, int to_step)
{
    vf g0 = g[0], g1 = g[step], g2 = g[2 * step];
    vf a = NA * (g0 + AA * g2), b = NA * A * g1;
    vf c = NB * (g0 + BB * g2), e = NB * B * g1;

    to[0] = 1 / (AA * BB) * g0;
    to[to_step] = a + b;
    to[2 * to_step] = a - b;
    to[3 * to_step] = c + e;
    to[4 * to_step] = c - e;
    to[5 * to_step] = g2;
}

/* G' u: 6 to 3. */
INLINE void
filter6(const vf *u, int step, vf *to, int to_step)
{
    vf p = NA * (u[step] + u[2 * step]), q = NA * (u[step] - u[2 * step]);
    vf r = NB * (u[3 * step] + u[4 * step]);
    vf s = NB * (u[3 * step] - u[4 * step]);

    to[0] = 1 / (AA * BB) * u[0] + p + r;
    to[to_step] = A * q + B * s;
    to[2 * to_step] = AA * p + BB * r + u[5 * step];
}

/* Rows and columns of an n x n tile, to m x m. */
INLINE void
twice(void (*one)(const vf *, int, vf *, int), int n, int m, const vf *from,
      vf *to)
{
    vf half[PART];

    for (int j = 0; j < n; j++)
        one(from + j, n, half + j, n);
    for (int i = 0; i < m; i++)
        one(half + i * n, 1, to + i * m, 1);
}

/* An n x n tile from row y and column x on; zeros outside the picture. */
INLINE void
tile_get(const struct pix *s, const num *from, int y, int x, int n, vf *d)
{
    bool inside = y >= 0 && x >= 0 && y + n <= s->h && x + n <= s->w;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            d[i * n + j] =
                inside || (y + i >= 0 && y + i < s->h && x + j >= 0 &&
                           x + j < s->w)
                    ? vload(from + ((ptrdiff_t)(y + i) * s->w + x + j) *
                                       s->block)
                    : vset(0);
}

/* Where tile t lies. */
struct spot {
    int n, y, x;        /* picture; first row and column of the output */
};

static struct spot
spot(const struct cpu_wino *w, int t)
{
    int across = (w->out.w + 3) / 4, down = (w->out.h + 3) / 4;

    return (struct spot){ t / (across * down), t / across % down * 4,
                          t % across * 4 };
}

/* Tile t of either picture, all channels, to place `at_tile` of `count`. */
INLINE void
transform(const struct cpu_wino *w, bool input, const num *from, int t,
          int at_tile, int count, float *to)
{
    const struct pix *s = input ? &w->in : &w->out;
    struct spot p = spot(w, t);
    size_t part = (size_t)wide(s->c) * count + SKEW;

    for (int g = 0; g < wide(s->c) / V; g++) {
        float *v = to + ((size_t)(g / 2) * count + at_tile) * W + g % 2 * V;
        vf d[PART], out[PART];

        if (g * V >= s->c)
            memset(out, 0, sizeof out);
        else if (input) {
            tile_get(s, from + at(s, p.n, g), p.y - w->pad, p.x - w->pad, 6,
                     d);
            twice(input6, 6, 6, d, out);
        } else {
            tile_get(s, from + at(s, p.n, g), p.y, p.x, 4, d);
            twice(output4, 4, 6, d, out);
        }
        for (int k = 0; k < PART; k++)
            vput(v + k * part, out[k]);
    }
}

/* ---------------------------------------------------------------- products */

/*
 * c[rows][W] (+)= sum over blocks and depth of a[row] b[W]; a's rows lie `row`
 * apart, its columns `step`; blocks of a lie `block` apart, b's end to end.
 */
INLINE void
product(int rows, int blocks, int depth, const float *a, size_t row,
        size_t step, size_t block, const float *b, float *c, size_t crow,
        bool more)
{
    vf sum[ROWS][2];

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++)
            sum[i][j] = more ? vget(c + i * crow + j * V) : vset(0);
    for (int k = 0; k < blocks; k++, a += block) {
        const float *p = a;

        for (int d = 0; d < depth; d++, p += step, b += W) {
            vf b0 = vget(b), b1 = vget(b + V);

            for (int i = 0; i < rows; i++) {
                sum[i][0] += b0 * p[i * row];
                sum[i][1] += b1 * p[i * row];
            }
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 2; j++)
            vput(c + i * crow + j * V, sum[i][j]);
}

/* ----------------------------------------------------------------- weights */

static size_t
wino_packed(const struct cpu_wino *w)
{
    return (size_t)PART * wide(w->in.c) * wide(w->out.c);
}

/* u: [36][oc / W][ic][W]. */
static void
wino_pack(const struct cpu_wino *w, const float *filter, bool turned, float *u)
{
    int ic = wide(w->in.c), oc = wide(w->out.c);

#pragma omp parallel for
    for (int g = 0; g < oc / V; g++)
        for (int i = 0; i < ic; i++) {
            float *to = u + ((size_t)(g / 2) * ic + i) * W + g % 2 * V;
            float taps[9][V] = { { 0 } };
            vf from[9], out[PART];

            for (int l = 0; l < V && i < w->ic && g * V + l < w->oc; l++) {
                int o = g * V + l;
                const float *f = filter + 9 * (turned ? (size_t)i * w->oc + o
                                                      : (size_t)o * w->ic + i);

                for (int k = 0; k < 9; k++)
                    taps[k][l] = f[turned ? 8 - k : k];
            }
            for (int k = 0; k < 9; k++)
                from[k] = vget(taps[k]);
            twice(filter3, 3, 6, from, out);
            for (int k = 0; k < PART; k++)
                vput(to + (size_t)k * ic * oc, out[k]);
        }
}

/* ----------------------------------------------------------------- forward */

/* Tiles that a thread takes at once: a multiple of ROWS, all threads alike. */
static int
chunk(const struct cpu_wino *w)
{
    int threads = omp_get_max_threads(), n = tiles(w);
    int chunks = (n + CHUNK - 1) / CHUNK;

    chunks = (chunks + threads - 1) / threads * threads;
    return (n + chunks * ROWS - 1) / (chunks * ROWS) * ROWS;
}

/* Floats that one thread needs. */
static size_t
forward_floats(const struct cpu_wino *w)
{
    size_t count = (size_t)chunk(w);

    return PART * ((size_t)wide(w->in.c) * count + SKEW + W * count + SKEW);
}

struct wino_end {
    const float *bias;  /* [out.c], NULL: none */
    bool sum;           /* what is there is added */
    enum act act;
};

/* One tile and V channels of it: from m (parts lie `part` apart) to y. */
INLINE void
finish(const struct cpu_wino *w, const struct wino_end *end, const float *m,
       size_t part, struct spot p, int g, num *y)
{
    const struct pix *s = &w->out;
    vf in[PART], out[16];
    vf bias = end->bias != NULL ? vget(end->bias + g * V) : vset(0);

    for (int k = 0; k < PART; k++)
        in[k] = vget(m + k * part);
    twice(output6, 6, 4, in, out);
    y += at(s, p.n, g);
    for (int i = 0; i < least(4, s->h - p.y); i++)
        for (int j = 0; j < least(4, s->w - p.x); j++) {
            num *to = y + ((size_t)(p.y + i) * s->w + p.x + j) * s->block;
            vf v = out[i * 4 + j] + bias;

            if (end->sum)
                v += vload(to);
            vstore(to, act(end->act, v));
        }
}

/* Tiles [first, first + n) of the output. */
static void
forward_chunk(const struct cpu_wino *w, const struct wino_end *end,
              const float *u, const num *x, num *y, int first, int n,
              int count, float *v)
{
    int ic = wide(w->in.c), oc = wide(w->out.c);
    size_t part = (size_t)ic * count + SKEW, mpart = (size_t)W * count + SKEW;
    float *m = v + PART * part;

    for (int t = 0; t < n; t++)
        transform(w, true, x, first + t, t, count, v);
    for (int b = 0; b < oc / W; b++) {
        for (int k = 0; k < PART; k++)
            for (int t = 0; t < n; t += ROWS)
                product(ROWS, ic / W, W, v + k * part + (size_t)t * W, W, 1,
                        (size_t)W * count,
                        u + ((size_t)k * oc / W + b) * ic * W,
                        m + k * mpart + (size_t)t * W, W, false);
        for (int t = 0; t < n; t++)
            for (int j = 0; j < 2 && b * W + j * V < w->out.c; j++)
                finish(w, end, m + (size_t)t * W + j * V, mpart,
                       spot(w, first + t), 2 * b + j, y);
    }
}

static void
wino_forward(const struct cpu_wino *w, const float *u, const float *bias,
             bool sum, enum act a, const void *x, void *y, float *scratch)
{
    struct wino_end end = { bias, sum, a };
    int all = tiles(w), count = chunk(w);
    size_t each = forward_floats(w);

#pragma omp parallel for schedule(dynamic)
    for (int t = 0; t < all; t += count)
        forward_chunk(w, &end, u, x, y, t, least(count, all - t), count,
                      scratch + each * (size_t)omp_get_thread_num());
}

/* ------------------------------------------------------- weights' gradient */

enum { HELD = 5 << 20 };        /* floats of transformed tiles, about */

static int
back_chunk(const struct cpu_wino *w)
{
    int each = PART * (wide(w->in.c) + wide(w->out.c)), fit = HELD / each;

    return least(tiles(w), fit < 24 ? 24 : least(fit, 384));
}

/* Floats of transformed tiles and of the transformed gradient. */
static size_t
back_floats(const struct cpu_wino *w)
{
    size_t both = (size_t)wide(w->in.c) + wide(w->out.c);

    return PART * (both * back_chunk(w) + 2 * SKEW) + wino_packed(w);
}

/* One filter's gradient per lane, V input channels of output channel o. */
static void
unpack_gradient(const struct cpu_wino *w, const float *du, int o, int g,
                float *dw)
{
    int ic = wide(w->in.c), oc = wide(w->out.c);
    vf in[PART], out[9];

    for (int k = 0; k < PART; k++)
        in[k] = vget(du + ((size_t)k * oc + o) * ic + g * V);
    twice(filter6, 6, 3, in, out);
    for (int l = 0; l < V && g * V + l < w->ic; l++)
        for (int k = 0; k < 9; k++)
            dw[((size_t)o * w->ic + g * V + l) * 9 + k] = out[k][l];
}

static void
wino_weights(const struct cpu_wino *w, const void *x, const void *dy,
             float *dw, float *scratch)
{
    int ic = wide(w->in.c), oc = wide(w->out.c), all = tiles(w);
    int count = back_chunk(w);
    size_t vpart = (size_t)ic * count + SKEW, dpart = (size_t)oc * count + SKEW;
    float *v = scratch, *d = v + PART * vpart, *du = d + PART * dpart;

#pragma omp parallel
    {
        for (int first = 0; first < all; first += count) {
            int n = least(count, all - first);

#pragma omp for
            for (int t = 0; t < n; t++) {
                transform(w, true, x, first + t, t, count, v);
                transform(w, false, dy, first + t, t, count, d);
            }
#pragma omp for collapse(2)
            for (int k = 0; k < PART; k++)
                for (int o = 0; o < oc; o += 4)
                    for (int b = 0; b < ic / W; b++)
                        product(4, 1, n,
                                d + k * dpart + (size_t)(o / W) * count * W +
                                    o % W, 1, W, 0,
                                v + k * vpart + (size_t)b * count * W,
                                du + ((size_t)k * oc + o) * ic + b * W, ic,
                                first > 0);
        }
#pragma omp for
        for (int o = 0; o < w->oc; o++)
            for (int g = 0; g < ic / V; g++)
                unpack_gradient(w, du, o, g, dw);
    }
}

static size_t
wino_scratch(const struct cpu_wino *w, bool weights)
{
    return weights ? back_floats(w)
                   : forward_floats(w) * (size_t)omp_get_max_threads();
}
