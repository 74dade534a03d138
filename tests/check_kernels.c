/*
 * Every variant of the CPU kernels that this machine can run (instruction set,
 * type, layout) against the plain f32 one in blocks of 8, which check_cpu holds
 * against the reference; Winograd's convolutions against plain sums.
 */
#include "tests/check.h"

#include "base/mem.h"
#include "base/rng.h"
#include "kernels/cpu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 3, C = 21, H = 7, W = 9, KERNEL = 3 };

struct variant {
    const struct cpu_kernels *k;
    int block;                  /* 0: nhwc */
    bool bf16;
};

static struct pix
shape(const struct variant *v, int h, int w)
{
    int c = (C + v->k->lanes - 1) / v->k->lanes * v->k->lanes;

    return (struct pix){ N, c, h, w, v->block > 0 ? v->block : c };
}

/* Numbers that bf16 holds exactly, so that only the work differs. */
static float *
numbers(size_t n, uint32_t which)
{
    float *x = mem_aligned(n + 64, sizeof *x);
    struct rng r;

    rng_init(&r, 1, RNG_AUGMENT, 0, which);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((int)rng_below(&r, 257) - 128) / 64;
    return x;
}

static void *
packed(const struct variant *v, const struct pix *s, const float *host)
{
    void *x = mem_aligned((size_t)N * s->c * s->h * s->w, sizeof(float));

    v->k->pack(s, C, host, x);
    return x;
}

/* What one variant makes: pictures unpacked, then other numbers. */
struct made {
    float out[16][N * C * H * W];
    int n;
};

static void
keep(struct made *m, const struct variant *v, const struct pix *s,
     const void *x)
{
    ck_assert_int_lt(m->n, 16);
    v->k->unpack(s, C, x, m->out[m->n++]);
}

static void
keep_floats(struct made *m, const float *x, size_t n)
{
    ck_assert_int_lt(m->n, 16);
    memcpy(m->out[m->n++], x, n * sizeof *x);
}

/* Batch-norm with an addition and an activation, there and back. */
static void
batch_norm(const struct variant *v, struct made *m, enum act act, bool with_z,
     bool two, bool halves)
{
    struct pix s = shape(v, H, W);
    size_t n = (size_t)N * C * H * W;
    float *gamma = numbers(C, 1), *beta = numbers(C, 2);
    float *hx = numbers(n, 3), *hz = numbers(n, 4), *hd = numbers(n, 5);
    float *run = mem_aligned(2 * (size_t)C, sizeof *run);
    float *own = mem_aligned(4 * (size_t)s.c, sizeof *own);
    float *grad = mem_aligned(2 * (size_t)C, sizeof *grad);
    void *x = packed(v, &s, hx), *z = packed(v, &s, hz);
    void *dy = packed(v, &s, hd), *dy2 = packed(v, &s, hz);
    void *dz = packed(v, &s, hx), *y = packed(v, &s, hz);
    struct cpu_bn b = {
        .s = s, .channels = C, .act = act, .gamma = gamma, .beta = beta,
        .run_mean = run, .run_var = run + C, .mean = own,
        .invstd = own + s.c, .scale = own + 2 * s.c, .shift = own + 3 * s.c
    };
    struct cpu_bn_back g = {
        .x = x, .y = with_z ? y : NULL, .dy = dy, .dy2 = two ? dy2 : NULL,
        .z = with_z, .dz = with_z ? dz : NULL, .dx = with_z ? x : dy,
        .dgamma = grad, .dbeta = grad + C
    };
    void *const all[] = { gamma, beta, hx, hz, hd, run, own, grad, x, z, dy,
                          dy2, dz, y };

    b.sums = mem_aligned(v->k->bn_sums(&b), sizeof *b.sums);
    b.shared = mem_aligned(1 + 2 * (size_t)C, sizeof *b.shared);
    if (halves) {
        v->k->bn_train_sums(&b, x);
        v->k->bn_train_rest(&b, x, with_z ? z : NULL, y);
    } else {
        v->k->bn_train(&b, x, with_z ? z : NULL, y);
    }
    keep(m, v, &s, y);
    keep_floats(m, run, 2 * C);
    if (halves) {
        v->k->bn_back_sums(&b, &g);
        v->k->bn_back_rest(&b, &g);
    } else {
        v->k->bn_back(&b, &g);
    }
    keep(m, v, &s, g.dx);
    keep_floats(m, grad, 2 * C);
    if (with_z)
        keep(m, v, &s, dz);
    free(b.sums);
    free(b.shared);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        free(all[i]);
}

/* Pools, additions, sums over pixels. */
static void
others(const struct variant *v, struct made *m)
{
    struct pix s = shape(v, H, W), o = shape(v, 4, 5);
    struct cpu_pool pool = { s, o, KERNEL, 2, 1 };
    size_t n = (size_t)N * C * H * W;
    float *hx = numbers(n, 3), *hz = numbers(n, 4), *flat = numbers(n, 6);
    void *x = packed(v, &s, hx), *z = packed(v, &s, hz);
    void *y = packed(v, &o, hz), *w = packed(v, &s, hz);
    uint8_t *at = mem_array((size_t)N * o.c * o.h * o.w, 1);

    v->k->maxpool(&pool, x, y, at);
    keep(m, v, &o, y);
    v->k->maxpool_back(&pool, at, y, z);
    keep(m, v, &s, z);
    v->k->add(&s, ACT_RELU6, x, w, z);
    keep(m, v, &s, z);
    v->k->act_back(&s, ACT_RELU6, z, x, w);
    keep(m, v, &s, w);
    v->k->avgpool(&s, C, 3, x, flat);
    keep_floats(m, flat, (size_t)N * C * 9);
    v->k->avgpool_back(&s, C, 3, flat, z);
    keep(m, v, &s, z);
    v->k->channel_sums(&s, C, x, flat);
    keep_floats(m, flat, C);
    v->k->narrow(hx, w, 64);
    v->k->unpack(&(struct pix){ 1, 64, 1, 1, 64 }, 64, w, flat);
    keep_floats(m, flat, 64);
    free(hx);
    free(hz);
    free(flat);
    free(x);
    free(z);
    free(y);
    free(w);
    free(at);
}

/* The stem's weight gradient: two input channels, a 5x5 filter, stride 2. */
static void
stem(const struct variant *v, struct made *m)
{
    struct pix s = shape(v, 4, 5);
    struct cpu_stem t = { N, 2, H, W, s, 5, 2, 2 };
    float *x = numbers((size_t)N * 2 * H * W, 3), *hd = numbers(N * C * 20, 4);
    void *dy = packed(v, &s, hd);
    float *dw = mem_aligned((size_t)s.c * 50, sizeof *dw);
    double *sums = mem_aligned(v->k->stem_sums(&t), sizeof *sums);

    v->k->stem_back(&t, x, dy, dw, sums);
    keep_floats(m, dw, (size_t)C * 50);
    free(x);
    free(hd);
    free(dy);
    free(dw);
    free(sums);
}

static void
make_all(const struct variant *v, struct made *m, int part, bool halves)
{
    static const enum act acts[] = { ACT_NONE, ACT_RELU, ACT_RELU6 };

    memset(m, 0, sizeof *m);
    if (part < 12)
        batch_norm(v, m, acts[part % 3], part / 3 % 2, part / 6,
                   halves);
    else if (part == 12)
        others(v, m);
    else
        stem(v, m);
}

/*
 * Difference as a share of the numbers: of the largest one, or with `norm` of
 * the whole vector (rounding to bf16 takes a few numbers across the edge of an
 * activation, where the gradient jumps).
 */
static double
gap(const float *a, const float *b, size_t n, bool norm)
{
    double most = 0, size = 1e-30, d2 = 0, a2 = 1e-30;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);

        d = isnan(d) ? INFINITY : d;    /* fmax() forgets NaN */
        most = fmax(most, d);
        size = fmax(size, fabs((double)a[i]));
        d2 += d * d;
        a2 += (double)a[i] * a[i];
    }
    return norm ? sqrt(d2 / a2) : most / size;
}

static void
compare(const struct variant *v)
{
    static const struct variant plain = { &cpu_plain_f32, 8, false };
    struct made *want = mem_alloc(sizeof *want);
    struct made *got = mem_alloc(sizeof *got);

    /* Batch-norm in halves as well, against the whole. */
    for (int i = 0; i < 14 + 12; i++) {
        int part = i % 14;

        make_all(&plain, want, part, false);
        make_all(v, got, part, i >= 14);
        ck_assert_int_eq(want->n, got->n);
        ck_assert_int_gt(want->n, 0);
        for (int k = 0; k < want->n; k++) {
            double d = gap(want->out[k], got->out[k],
                           ARRAY_LEN(want->out[0]), v->bf16);

            ck_assert_msg(d < (v->bf16 ? 5e-2 : 2e-5),
                          "%s block %d, part %d, output %d: differs by %g",
                          v->k->name, v->block, part, k, d);
        }
    }
    free(want);
    free(got);
}

/* ------------------------------------------------------ Winograd's algorithm */

enum { FROM = 21, TO = 13 };    /* channels */

/* What a 3x3 convolution and its gradients are, by their definition. */
struct book {
    float y[N * TO * (H + 2) * (W + 2)];
    float dx[N * FROM * H * W], dw[TO * FROM * 9];
};

static void
by_the_book(int pad, const float *x, const float *f, const float *dy,
            struct book *b)
{
    int oh = H + 2 * pad - 2, ow = W + 2 * pad - 2;

    memset(b, 0, sizeof *b);
    for (int n = 0; n < N; n++)
        for (int o = 0; o < TO; o++)
            for (int i = 0; i < FROM; i++)
                for (int p = 0; p < oh * ow * 9; p++) {
                    int tap = p % 9, at = p / 9;
                    int r = at / ow + tap / 3 - pad;
                    int c = at % ow + tap % 3 - pad;
                    size_t from = ((size_t)n * FROM + i) * H * W + r * W + c;
                    size_t to = ((size_t)n * TO + o) * oh * ow + at;
                    size_t w = ((size_t)o * FROM + i) * 9 + tap;

                    if (r < 0 || r >= H || c < 0 || c >= W)
                        continue;
                    b->y[to] += f[w] * x[from];
                    b->dx[from] += f[w] * dy[to];
                    b->dw[w] += x[from] * dy[to];
                }
}

static void *
laid_out(const struct cpu_kernels *k, const struct pix *s, int channels,
         const float *host)
{
    void *x = mem_aligned((size_t)s->n * s->c * s->h * s->w, sizeof(float));

    k->pack(s, channels, host, x);
    return x;
}

static void
is_near(const char *what, int pad, const float *want, const float *got,
        size_t n)
{
    double d = gap(want, got, n, false);

    ck_assert_msg(d < 5e-6, "%s, pad %d: differs by %g", what, pad, d);
}

static void
winograd(const struct cpu_kernels *k, int pad)
{
    int from = (FROM + k->lanes - 1) / k->lanes * k->lanes;
    int to = (TO + k->lanes - 1) / k->lanes * k->lanes;
    struct cpu_wino w = { { N, from, H, W, k->lanes },
                          { N, to, H + 2 * pad - 2, W + 2 * pad - 2,
                            k->lanes }, FROM, TO, pad };
    struct cpu_wino back = { w.out, w.in, TO, FROM, 2 - pad };
    size_t ny = (size_t)N * TO * w.out.h * w.out.w, ndx = N * FROM * H * W;
    float *hx = numbers(ndx, 1), *f = numbers(TO * FROM * 9, 2);
    float *hdy = numbers(ny, 3), *old = numbers(ny, 4);
    float *bias = numbers((size_t)to, 5), *host = numbers(ny + ndx, 6);
    void *x = laid_out(k, &w.in, FROM, hx);
    void *dy = laid_out(k, &w.out, TO, hdy);
    void *y = laid_out(k, &w.out, TO, old), *dx = laid_out(k, &w.in, FROM, hx);
    float *packed = mem_array(k->wino_packed(&w), sizeof *packed);
    size_t n = k->wino_scratch(&w, false), m = k->wino_scratch(&back, false);
    float *scratch, *dw = mem_array(TO * FROM * 9, sizeof *dw);
    struct book *b = mem_alloc(sizeof *b);

    n = n > m ? n : m;
    m = k->wino_scratch(&w, true);
    scratch = mem_array(n > m ? n : m, sizeof *scratch);
    by_the_book(pad, hx, f, hdy, b);
    for (size_t i = 0; i < ny; i++) {
        float v = b->y[i] + old[i] +
                  bias[i / (size_t)(w.out.h * w.out.w) % TO];

        b->y[i] = v > 0 ? v : 0;
    }
    k->wino_pack(&w, f, false, packed);
    k->wino_forward(&w, packed, bias, true, ACT_RELU, x, y, scratch);
    k->unpack(&w.out, TO, y, host);
    is_near("forward", pad, b->y, host, ny);
    k->wino_pack(&back, f, true, packed);
    k->wino_forward(&back, packed, NULL, false, ACT_NONE, dy, dx, scratch);
    k->unpack(&w.in, FROM, dx, host);
    is_near("data", pad, b->dx, host, ndx);
    k->wino_weights(&w, x, dy, dw, scratch);
    is_near("weights", pad, b->dw, dw, TO * FROM * 9);
    {
        void *const all[] = { hx, f, hdy, old, bias, host, x, dy, y, dx,
                              packed, scratch, dw, b };

        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            free(all[i]);
    }
}

START_TEST(variants)
{
    const struct {
        const struct cpu_kernels *f32, *bf16;
        bool runs;
    } sets[] = {
        { &cpu_plain_f32, &cpu_plain_bf16, true },
#ifndef CPU_PLAIN_ONLY
        { &cpu_avx2_f32, &cpu_avx2_bf16,
          __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") },
        { &cpu_avx512_f32, &cpu_avx512_bf16,
          __builtin_cpu_supports("avx512f") &&
              __builtin_cpu_supports("avx512bw") },
#endif
    };

    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        const struct cpu_kernels *k = sets[i].f32, *h = sets[i].bf16;

        if (!sets[i].runs) {
            printf("SKIP kernels %s: this CPU cannot run them\n", k->name);
            continue;
        }
        compare(&(struct variant){ k, k->lanes, false });
        compare(&(struct variant){ k, 0, false });
        compare(&(struct variant){ h, h->lanes, true });
        compare(&(struct variant){ h, 0, true });
        for (int pad = 0; pad < 3; pad++)
            winograd(k, pad);
    }
}
END_TEST

CHECK_MAIN("kernels", 60, variants)
