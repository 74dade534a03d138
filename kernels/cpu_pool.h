/*
 * cpu_pool: pooling, addition, activations, layouts (part of cpu.c).
 *
 * All are bound by memory; each number is read and written once.
 */

static void
add(const struct pix *s, enum act a, const void *x, const void *z,
    void *y)
{
    ptrdiff_t n = (ptrdiff_t)s->n * s->c * s->h * s->w;
    const num *xs = x, *zs = z;
    num *ys = y;

#pragma omp parallel for
    for (ptrdiff_t i = 0; i < n; i += V) {
        vf v = vload(xs + i);

        vstore(ys + i, act(a, zs != NULL ? v + vload(zs + i) : v));
    }
}

static void
act_back(const struct pix *s, enum act a, const void *y, const void *dy,
         void *g)
{
    ptrdiff_t n = (ptrdiff_t)s->n * s->c * s->h * s->w;
    const num *ys = y, *ds = dy;
    num *gs = g;

#pragma omp parallel for
    for (ptrdiff_t i = 0; i < n; i += V) {
        vf d = vload(ds + i);

        if (a != ACT_NONE)
            d = (vf)((vi)d & passes(a, vload(ys + i)));
        vstore(gs + i, d);
    }
}

/* The part of a window that lies in the picture, along one axis. */
static inline int
window(int o, int stride, int pad, int kernel, int n, int *end)
{
    int from = o * stride - pad;

    *end = from + kernel < n ? from + kernel : n;
    return from > 0 ? from : 0;
}

/* Maximum and where it was, of one output pixel. */
static inline void
max_window(const struct cpu_pool *p, const num *x, int oy, int ox, num *y,
           uint8_t *where)
{
    int y1, x1, y0 = window(oy, p->stride, p->pad, p->kernel, p->in.h, &y1);
    int x0 = window(ox, p->stride, p->pad, p->kernel, p->in.w, &x1);
    int row = oy * p->stride - p->pad, col = ox * p->stride - p->pad;
    vf best = vset(-INFINITY);
    vi k = { 0 };
    bool first = true;

    for (int i = y0; i < y1; i++)
        for (int j = x0; j < x1; j++) {
            vf v = vload(x + ((size_t)i * p->in.w + j) * p->in.block);
            vi more = first ? ~(vi){ 0 } : (vi)(v > best) | (vi)(v != v);
            int number = (i - row) * p->kernel + j - col;

            best = vpick(more, v, best);
            k = (more & number) | (~more & k);
            first = false;
        }
    vstore(y, best);
    for (int l = 0; l < V; l++)
        where[l] = (uint8_t)k[l];
}

static void
maxpool(const struct cpu_pool *p, const void *x, void *y, uint8_t *where)
{
    const struct pix *o = &p->out;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < o->n; n++)
        for (int g = 0; g < o->c / V; g++) {
            size_t to = at(o, n, g);

            for (int i = 0; i < o->h; i++)
                for (int j = 0; j < o->w; j++, to += (size_t)o->block)
                    max_window(p, (const num *)x + at(&p->in, n, g), i, j,
                               (num *)y + to, where + to);
        }
}

static void
maxpool_plane(const struct cpu_pool *p, const uint8_t *where, const num *dy,
              num *dx)
{
    size_t step = (size_t)p->in.block;

    for (int i = 0; i < p->out.h; i++)
        for (int j = 0; j < p->out.w; j++, dy += step, where += step)
            for (int l = 0; l < V; l++) {
                int row = i * p->stride - p->pad + where[l] / p->kernel;
                int col = j * p->stride - p->pad + where[l] % p->kernel;
                num *to = dx + ((size_t)row * p->in.w + col) * step + l;
#ifdef DTYPE_bf16
                vf sum;     /* through a vector: that is where rounding is */
                num pair[2][V];

                memcpy(pair[0], to - l, sizeof pair[0]);
                memcpy(pair[1], dy, sizeof pair[1]);
                sum = vload(pair[0]) + vload(pair[1]);
                vstore(pair[0], sum);
                *to = pair[0][l];
#else
                *to += dy[l];
#endif
            }
}

static void
maxpool_back(const struct cpu_pool *p, const uint8_t *where, const void *dy,
             void *dx)
{
    const struct pix *s = &p->in;
    size_t hw = (size_t)s->h * s->w;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s->n; n++)
        for (int g = 0; g < s->c / V; g++) {
            num *to = (num *)dx + at(s, n, g);
            size_t o = at(&p->out, n, g);

            for (size_t i = 0; i < hw; i++)
                vstore(to + i * (size_t)s->block, vset(0));
            maxpool_plane(p, where + o, (const num *)dy + o, to);
        }
}

/* Add dy / bin size to a bin, or sum it up. */
static inline vf
bin(const struct pix *s, int size, int i, int j, const num *x,
    num *dx, vf d)
{
    int y0 = i * s->h / size, y1 = ((i + 1) * s->h + size - 1) / size;
    int x0 = j * s->w / size, x1 = ((j + 1) * s->w + size - 1) / size;
    vf sum = vset(0), share = d / (float)((y1 - y0) * (x1 - x0));

    for (int r = y0; r < y1; r++)
        for (int c = x0; c < x1; c++) {
            size_t o = ((size_t)r * s->w + c) * (size_t)s->block;

            if (x != NULL)
                sum += vload(x + o);
            else
                vstore(dx + o, vload(dx + o) + share);
        }
    return sum / (float)((y1 - y0) * (x1 - x0));
}

static void
avgpool(const struct pix *s, int channels, int size, const void *x,
        float *flat)
{
    int bins = size * size;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s->n; n++)
        for (int g = 0; g < s->c / V; g++)
            for (int b = 0; b < bins; b++) {
                vf v = bin(s, size, b / size, b % size,
                           (const num *)x + at(s, n, g), NULL, vset(0));

                for (int l = 0; l < V && g * V + l < channels; l++)
                    flat[((size_t)n * channels + g * V + l) * bins + b] =
                        v[l];
            }
}

static void
avgpool_back(const struct pix *s, int channels, int size, const float *flat,
             void *dx)
{
    int bins = size * size;
    size_t hw = (size_t)s->h * s->w;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s->n; n++)
        for (int g = 0; g < s->c / V; g++) {
            num *to = (num *)dx + at(s, n, g);

            for (size_t i = 0; i < hw; i++)
                vstore(to + i * (size_t)s->block, vset(0));
            for (int b = 0; b < bins; b++) {
                vf d = vset(0);

                for (int l = 0; l < V && g * V + l < channels; l++)
                    d[l] = flat[((size_t)n * channels + g * V + l) * bins +
                                b];
                bin(s, size, b / size, b % size, NULL, to, d);
            }
        }
}

static void
channel_sums(const struct pix *s, int channels, const void *dy,
             float *sum)
{
    size_t hw = (size_t)s->h * s->w;

#pragma omp parallel for
    for (int g = 0; g < s->c / V; g++) {
        double total[V] = { 0 };

        for (int n = 0; n < s->n; n++) {
            const num *from = (const num *)dy + at(s, n, g);
            vf a = vset(0);

            for (size_t i = 0; i < hw; i++) {
                a += vload(from + i * (size_t)s->block);
                if (i % RUN == RUN - 1)
                    flush(total, &a);
            }
            flush(total, &a);
        }
        for (int l = 0; l < V && g * V + l < channels; l++)
            sum[g * V + l] = (float)total[l];
    }
}

static void
narrow(const float *from, void *to, size_t n)
{
#pragma omp parallel for
    for (size_t i = 0; i < n; i += V)
        vstore((num *)to + i, vget(from + i));
}

static void
pack(const struct pix *s, int channels, const float *host, void *x)
{
    size_t hw = (size_t)s->h * s->w;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s->n; n++)
        for (int g = 0; g < s->c / V; g++) {
            num *to = (num *)x + at(s, n, g);

            for (size_t i = 0; i < hw; i++) {
                vf v = vset(0);

                for (int l = 0; l < V && g * V + l < channels; l++)
                    v[l] = host[((size_t)n * channels + g * V + l) * hw + i];
                vstore(to + i * (size_t)s->block, v);
            }
        }
}

static void
unpack(const struct pix *s, int channels, const void *x, float *host)
{
    size_t hw = (size_t)s->h * s->w;

#pragma omp parallel for collapse(2)
    for (int n = 0; n < s->n; n++)
        for (int g = 0; g < s->c / V; g++)
            for (size_t i = 0; i < hw; i++) {
                vf v = vload((const num *)x + at(s, n, g) +
                             i * (size_t)s->block);

                for (int l = 0; l < V && g * V + l < channels; l++)
                    host[((size_t)n * channels + g * V + l) * hw + i] = v[l];
            }
}
