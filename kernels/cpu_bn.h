/*
 * cpu_bn: batch normalisation with what follows it (part of cpu.c).
 *
 * Work is cut into lane groups (V channels) and parts (runs of pictures).  With
 * enough groups for the threads, a thread does both passes over a group before
 * the next, so that the second pass finds the group in cache: 8 channels of 32
 * pictures of 56x56 are 3.2 MB.  Bytes moved per number, f32: forward reads x
 * twice (once from memory) and writes y; backward reads dy and x twice and
 * writes dx.
 */

struct bn_job {
    const struct cpu_bn *b;
    const struct cpu_bn_back *g;    /* NULL: forward */
    const num *x, *z;
    num *y;
    int groups, parts;
    double m;                       /* numbers in a channel */
};

static int
bn_parts(const struct pix *s)
{
    int groups = s->c / V;
    int parts = groups >= 16 ? 1 : (16 + groups - 1) / groups;

    return parts < s->n ? parts : s->n;
}

static size_t
bn_sums(const struct cpu_bn *b)
{
    return (size_t)b->s.c * 2 * (size_t)bn_parts(&b->s);
}

/* The two sums of one group and part: V doubles each. */
static double *
bn_sum(const struct bn_job *j, int g, int part)
{
    return j->b->sums + ((size_t)g * j->parts + part) * 2 * V;
}

static void
flush(double *to, vf *sum)
{
    for (int k = 0; k < V; k++)
        to[k] += (double)(*sum)[k];
    *sum = vset(0);
}

/*
 * Sums of x - k and (x - k)^2, where k is the group's first pixel: squares of
 * numbers near zero lose no digits when the mean is large.
 */
static void
sum_forward(const struct bn_job *j, int g, int n, double *sum)
{
    const struct pix *s = &j->b->s;
    const num *x = j->x + at(s, n, g);
    vf k = vload(j->x + at(s, 0, g)), a = vset(0), q = a, a2 = a, q2 = a;
    int hw = s->h * s->w;

    for (int p = 0; p < hw; p += RUN) {
        int end = p + RUN < hw ? p + RUN : hw, i = p;

        for (; i + 1 < end; i += 2) {
            vf u = vload(x + (size_t)i * s->block) - k;
            vf v = vload(x + (size_t)(i + 1) * s->block) - k;

            a += u;
            q += u * u;
            a2 += v;
            q2 += v * v;
        }
        if (i < end) {
            vf u = vload(x + (size_t)i * s->block) - k;

            a += u;
            q += u * u;
        }
        a += a2;
        q += q2;
        a2 = q2 = vset(0);
        flush(sum, &a);
        flush(sum + V, &q);
    }
}

/* The sums of a group over its parts, in part 0. */
static void
bn_total(const struct bn_job *j, int g)
{
    double *total = bn_sum(j, g, 0);

    for (int p = 1; p < j->parts; p++)
        for (int l = 0; l < 2 * V; l++)
            total[l] += bn_sum(j, g, p)[l];
}

/* Deviation, scale and shift of a channel; its running statistics. */
static void
bn_set(const struct cpu_bn *b, int c, double m, double mean, double var)
{
    var = var > 0 || isnan(var) ? var : 0;
    b->mean[c] = (float)mean;
    b->invstd[c] = (float)(1 / sqrt(var + 1e-5));
    b->scale[c] = b->shift[c] = 0;
    if (c >= b->channels)
        return;
    b->scale[c] = b->gamma[c] * b->invstd[c];
    b->shift[c] = b->beta[c] - b->mean[c] * b->scale[c];
    b->run_mean[c] += 0.1f * ((float)mean - b->run_mean[c]);
    b->run_var[c] += 0.1f * ((float)(var * m / (m > 1 ? m - 1 : 1)) -
                             b->run_var[c]);
}

static void
end_forward(const struct bn_job *j, int g)
{
    vf k = vload(j->x + at(&j->b->s, 0, g));
    const double *total = bn_sum(j, g, 0);

    for (int l = 0; l < V; l++) {
        double a = total[l] / j->m, q = total[V + l] / j->m;

        bn_set(j->b, g * V + l, j->m, (double)k[l] + a, q - a * a);
    }
}

static void
apply_forward(const struct bn_job *j, int g, int n)
{
    const struct pix *s = &j->b->s;
    vf scale = vget(j->b->scale + g * V), shift = vget(j->b->shift + g * V);
    const enum act a = j->b->act;
    size_t o = at(s, n, g), step = (size_t)s->block;
    size_t end = o + (size_t)s->h * s->w * step;
    const num *x = j->x, *z = j->z;
    num *y = j->y;

    if (z == NULL)
        for (; o < end; o += step)
            vstore(y + o, act(a, vload(x + o) * scale + shift));
    else
        for (; o < end; o += step)
            vstore(y + o, act(a, vload(x + o) * scale + shift +
                              vload(z + o)));
}

/* The gradient behind the activation, of vector o. */
static inline vf
masked(const struct bn_job *j, size_t o, vf x, vf scale, vf shift)
{
    const struct cpu_bn_back *g = j->g;
    vf d = vload((const num *)g->dy + o);
    vf y = g->z ? vload((const num *)g->y + o) : x * scale + shift;

    if (g->dy2 != NULL)
        d += vload((const num *)g->dy2 + o);
    return (vf)((vi)d & passes(j->b->act, y));
}

/* Sums of dy and dy (x - mean). */
static void
sum_backward(const struct bn_job *j, int g, int n, double *sum)
{
    const struct cpu_bn *b = j->b;
    const struct cpu_bn_back *gr = j->g;
    const num *x = gr->x;
    vf mean = vget(b->mean + g * V), a = vset(0), q = a;
    vf scale = vget(b->scale + g * V), shift = vget(b->shift + g * V);
    bool keep = gr->z || gr->dy2 != NULL;
    size_t o = at(&b->s, n, g), step = (size_t)b->s.block;
    int hw = b->s.h * b->s.w;
    num *dz = gr->dz;

    for (int p = 0; p < hw; p += RUN) {
        int end = p + RUN < hw ? p + RUN : hw;

        for (int i = p; i < end; i++, o += step) {
            vf v = vload(x + o), d = masked(j, o, v, scale, shift);

            if (keep)
                vstore((num *)gr->dy + o, d);
            if (dz != NULL)
                vstore(dz + o, vload(dz + o) + d);
            a += d;
            q += d * (v - mean);
        }
        flush(sum, &a);
        flush(sum + V, &q);
    }
}

static void
end_backward(const struct bn_job *j, int g)
{
    const struct cpu_bn *b = j->b;
    const double *total = bn_sum(j, g, 0);

    for (int l = 0; l < V; l++) {
        int c = g * V + l;

        if (c < b->channels) {
            j->g->dbeta[c] = (float)total[l];
            j->g->dgamma[c] = (float)(total[V + l] * b->invstd[c]);
        }
    }
}

/* dx = scale (d - mean(d) - (x - mean) mean(d (x - mean)) / var). */
static void
apply_backward(const struct bn_job *j, int g, int n)
{
    const struct cpu_bn *b = j->b;
    const struct cpu_bn_back *gr = j->g;
    const num *x = gr->x;
    num *dx = gr->dx;
    vf mean = vget(b->mean + g * V), slope, base;
    vf scale = vget(b->scale + g * V), shift = vget(b->shift + g * V);
    bool keep = gr->z || gr->dy2 != NULL;
    size_t o = at(&b->s, n, g), step = (size_t)b->s.block;
    size_t end = o + (size_t)b->s.h * b->s.w * step;

    for (int l = 0; l < V; l++) {
        double i = b->invstd[g * V + l];

        base[l] = (float)(bn_sum(j, g, 0)[l] / j->m);
        slope[l] = (float)(bn_sum(j, g, 0)[V + l] / j->m * i * i);
    }
    for (; o < end; o += step) {
        vf v = vload(x + o);
        vf d = keep ? vload((const num *)gr->dy + o)
                    : masked(j, o, v, scale, shift);

        vstore(dx + o, scale * (d - base - (v - mean) * slope));
    }
}

/* The pictures of one part of a group: either pass. */
static void
bn_part(const struct bn_job *j, int pass, int g, int part)
{
    int n = j->b->s.n;
    double *sum = bn_sum(j, g, part);

    if (pass == 0)
        memset(sum, 0, 2 * V * sizeof *sum);
    for (int i = n * part / j->parts; i < n * (part + 1) / j->parts; i++) {
        if (pass == 0 && j->g == NULL)
            sum_forward(j, g, i, sum);
        else if (pass == 0)
            sum_backward(j, g, i, sum);
        else if (j->g == NULL)
            apply_forward(j, g, i);
        else
            apply_backward(j, g, i);
    }
}

static void
bn_end(const struct bn_job *j, int g)
{
    bn_total(j, g);
    if (j->g == NULL)
        end_forward(j, g);
    else
        end_backward(j, g);
}

static void
bn_group(const struct bn_job *j, int g)
{
    for (int p = 0; p < j->parts; p++)
        bn_part(j, 0, g, p);
    bn_end(j, g);
    for (int p = 0; p < j->parts; p++)
        bn_part(j, 1, g, p);
}

static void
bn_run(const struct bn_job *j)
{
    bool whole = j->groups >= 2 * omp_get_max_threads();

#pragma omp parallel
    if (whole || j->parts == 1) {
#pragma omp for schedule(dynamic)
        for (int g = 0; g < j->groups; g++)
            bn_group(j, g);
    } else {
#pragma omp for collapse(2)
        for (int g = 0; g < j->groups; g++)
            for (int p = 0; p < j->parts; p++)
                bn_part(j, 0, g, p);
#pragma omp for
        for (int g = 0; g < j->groups; g++)
            bn_end(j, g);
#pragma omp for collapse(2)
        for (int g = 0; g < j->groups; g++)
            for (int p = 0; p < j->parts; p++)
                bn_part(j, 1, g, p);
    }
}

static struct bn_job
bn_job(const struct cpu_bn *b, const struct cpu_bn_back *g, const void *x,
       const void *z, void *y)
{
    return (struct bn_job){ b, g, x, z, y, b->s.c / V, bn_parts(&b->s),
                            (double)b->s.n * b->s.h * b->s.w };
}

static void
bn_train(const struct cpu_bn *b, const void *x, const void *z, void *y)
{
    struct bn_job j = bn_job(b, NULL, x, z, y);

    bn_run(&j);
}

static void
bn_apply(const struct cpu_bn *b, const void *x, const void *z, void *y)
{
    struct bn_job j = bn_job(b, NULL, x, z, y);

#pragma omp parallel for collapse(2)
    for (int g = 0; g < j.groups; g++)
        for (int n = 0; n < b->s.n; n++)
            apply_forward(&j, g, n);
}

static void
bn_back(const struct cpu_bn *b, const struct cpu_bn_back *g)
{
    struct bn_job j = bn_job(b, g, NULL, NULL, NULL);

    bn_run(&j);
}

/* ------------------------------------------------ in halves (see cpu.h) */

static void
bn_each_part(const struct bn_job *j, int pass)
{
#pragma omp parallel for collapse(2)
    for (int g = 0; g < j->groups; g++)
        for (int p = 0; p < j->parts; p++)
            bn_part(j, pass, g, p);
}

/* Between a group's two sums and the channels' of b->shared. */
static void
bn_shared(const struct bn_job *j, bool out)
{
    const struct cpu_bn *b = j->b;
    double *a = b->shared + 1, *q = a + b->channels;

    for (int c = 0; c < b->channels; c++) {
        double *total = bn_sum(j, c / V, 0) + c % V;

        if (out) {
            a[c] = total[0];
            q[c] = total[V];
        } else {
            total[0] = a[c];
            total[V] = q[c];
        }
    }
}

static void
bn_train_sums(const struct cpu_bn *b, const void *x)
{
    struct bn_job j = bn_job(b, NULL, x, NULL, NULL);

    bn_each_part(&j, 0);
    for (int g = 0; g < j.groups; g++) {
        vf k = vload(j.x + at(&b->s, 0, g));
        double *total = bn_sum(&j, g, 0);

        bn_total(&j, g);
        /* Others have another k: sums of x and of x^2 are common ground. */
        for (int l = 0; l < V; l++) {
            double d = (double)k[l], a = total[l];

            total[l] = a + j.m * d;
            total[V + l] += 2 * d * a + j.m * d * d;
        }
    }
    b->shared[0] = j.m;
    bn_shared(&j, true);
}

static void
bn_train_rest(const struct cpu_bn *b, const void *x, const void *z, void *y)
{
    struct bn_job j = bn_job(b, NULL, x, z, y);
    const double *a = b->shared + 1, *q = a + b->channels;
    double m = b->shared[0];

    for (int c = 0; c < b->s.c; c++) {
        double mean = c < b->channels ? a[c] / m : 0;

        bn_set(b, c, m, mean, c < b->channels ? q[c] / m - mean * mean : 0);
    }
    bn_each_part(&j, 1);
}

static void
bn_back_sums(const struct cpu_bn *b, const struct cpu_bn_back *g)
{
    struct bn_job j = bn_job(b, g, NULL, NULL, NULL);

    bn_each_part(&j, 0);
    for (int i = 0; i < j.groups; i++)
        bn_end(&j, i);
    b->shared[0] = j.m;
    bn_shared(&j, true);
}

static void
bn_back_rest(const struct cpu_bn *b, const struct cpu_bn_back *g)
{
    struct bn_job j = bn_job(b, g, NULL, NULL, NULL);

    j.m = b->shared[0];
    bn_shared(&j, false);
    bn_each_part(&j, 1);
}
