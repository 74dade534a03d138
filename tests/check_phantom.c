/* Phantoms: grain, masks, sizes, and that a draw depends on its key alone. */
#include "check.h"

#include "base/mem.h"
#include "data/phantom.h"
#include "data/speckle.h"

#include <math.h>
#include <string.h>

static bool
same(const struct image *a, const struct image *b)
{
    return a->w == b->w && a->h == b->h && a->c == b->c &&
           memcmp(a->px, b->px, (size_t)a->w * (size_t)a->h *
                                (size_t)a->c) == 0;
}

/* Mean of the scan where a mask (k of it) is white, or black. */
static double
mean_where(const struct phantom *p, int k, int value, size_t *n)
{
    size_t cells = (size_t)p->scan.w * (size_t)p->scan.h;
    double sum = 0;

    *n = 0;
    for (size_t i = 0; i < cells; i++)
        if (p->mask[k].px[i] == value) {
            sum += p->scan.px[3 * i];
            ++*n;
        }
    return *n > 0 ? sum / (double)*n : 0;
}

/* Goodman: a Rayleigh envelope has mean / deviation sqrt(pi / (4 - pi)). */
START_TEST(grain_is_rayleigh)
{
    enum { W = 256, H = 512 };
    const struct psf psf = { 1.2, 1.5, 2.5 };
    float *amplitude = mem_array(W * H, sizeof *amplitude);
    float *envelope = mem_array(W * H, sizeof *envelope);
    double sum = 0, squares = 0, mean, above = 0;
    struct rng r;

    for (int i = 0; i < W * H; i++)
        amplitude[i] = 3;
    rng_init(&r, 5, RNG_PHANTOM, 0, 0);
    speckle_envelope(&r, &psf, W, H, amplitude, envelope);
    for (int i = 0; i < W * H; i++) {
        sum += envelope[i];
        squares += (double)envelope[i] * envelope[i];
        above += envelope[i] > 6;
    }
    mean = sum / (W * H);
    squares /= W * H;
    ck_assert_double_eq_tol(mean / sqrt(squares - mean * mean), 1.913, 0.04);
    ck_assert_double_eq_tol(squares, 9, 0.4);
    /* P(envelope > 2 rms) = exp(-4). */
    ck_assert_double_eq_tol(above / (W * H), 0.0183, 0.004);
    free(amplitude);
    free(envelope);
}
END_TEST

/* The echo of one cell is the point-spread function, of unit energy. */
START_TEST(grain_spreads_as_asked)
{
    enum { W = 65, H = 65, AT = 32 * W + 32 };
    const struct psf psf = { 1, 2, 2 };
    float *amplitude = mem_array(W * H, sizeof *amplitude);
    float *envelope = mem_array(W * H, sizeof *envelope);
    double energy = 0;
    struct rng r;

    amplitude[AT] = 1;
    rng_init(&r, 5, RNG_PHANTOM, 0, 0);
    speckle_envelope(&r, &psf, W, H, amplitude, envelope);
    for (int i = 0; i < W * H; i++)
        energy += (double)envelope[i] * envelope[i];
    /* exp(-x^2 / (2 sigma^2)) at one deviation and at two. */
    ck_assert_float_eq_tol(envelope[AT + W] / envelope[AT], 0.60653f, 1e-4f);
    ck_assert_float_eq_tol(envelope[AT + 2] / envelope[AT], 0.60653f, 1e-4f);
    ck_assert_float_eq_tol(envelope[AT + 4] / envelope[AT], 0.13534f, 1e-4f);
    /* |uniform in a square of half side sqrt(3/2)|^2 is at most 3. */
    ck_assert(energy > 0 && energy <= 3);
    free(amplitude);
    free(envelope);
}
END_TEST

START_TEST(draws_depend_on_their_key)
{
    static const struct { uint64_t seed; enum phantom_class c; uint32_t n; }
    other[] = {
        { 2, PHANTOM_BENIGN, 1 }, { 1, PHANTOM_MALIGNANT, 1 },
        { 1, PHANTOM_BENIGN, 2 }, { 1 + (1ull << 32), PHANTOM_BENIGN, 1 }
    };
    struct phantom a, b;

    phantom_draw(&a, 1, PHANTOM_BENIGN, 1);
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        phantom_draw(&b, other[i].seed, other[i].c, other[i].n);
        ck_assert(!same(&a.scan, &b.scan));
        phantom_release(&b);
    }
    phantom_draw(&b, 1, PHANTOM_BENIGN, 1);
    ck_assert_int_eq(a.nmasks, b.nmasks);
    ck_assert(same(&a.scan, &b.scan));
    for (int k = 0; k < a.nmasks; k++)
        ck_assert(same(&a.mask[k], &b.mask[k]));
    phantom_release(&a);
    phantom_release(&b);
}
END_TEST

static void
check_picture(const struct phantom *p)
{
    const struct image *m = &p->scan;
    double sum = 0;
    size_t n = (size_t)m->w * (size_t)m->h, coloured = 0;

    ck_assert_int_ge(m->w, PHANTOM_MIN_SIDE);
    ck_assert_int_le(m->w, PHANTOM_MAX_SIDE);
    ck_assert_int_ge(m->h, PHANTOM_MIN_SIDE);
    ck_assert_int_le(m->h, PHANTOM_MAX_SIDE);
    ck_assert_int_eq(m->c, 3);
    for (size_t i = 0; i < n; i++) {
        coloured += m->px[3 * i] != m->px[3 * i + 1] ||
                    m->px[3 * i] != m->px[3 * i + 2];
        sum += m->px[3 * i];
    }
    ck_assert_uint_eq(coloured, 0);
    /* Drawn between 45 and 125; the stop at white costs a little. */
    ck_assert_double_ge(sum / (double)n, 40);
    ck_assert_double_le(sum / (double)n, 127);
}

/* Lesions are darker than what is around them, nearly always. */
START_TEST(masks_lie_on_lesions)
{
    int darker = 0, lesions = 0, doubles = 0;

    for (int c = PHANTOM_BENIGN; c <= PHANTOM_MALIGNANT; c++)
        for (uint32_t i = 1; i <= 15; i++) {
            struct phantom p;

            phantom_draw(&p, 3, (enum phantom_class)c, i);
            check_picture(&p);
            ck_assert_int_ge(p.nmasks, 1);
            ck_assert_int_le(p.nmasks, PHANTOM_MASKS);
            doubles += p.nmasks > 1;
            for (int k = 0; k < p.nmasks; k++) {
                size_t in, out;
                double dark = mean_where(&p, k, 255, &in);

                darker += dark < 0.8 * mean_where(&p, k, 0, &out);
                lesions++;
                ck_assert_int_eq(p.mask[k].c, 1);
                ck_assert_uint_eq(in + out, (size_t)p.scan.w *
                                            (size_t)p.scan.h);
                ck_assert_uint_gt(in, (in + out) / 2000);
                ck_assert_uint_lt(in, (in + out) / 2);
            }
            phantom_release(&p);
        }
    ck_assert_int_ge(darker, lesions * 8 / 10);
    ck_assert_int_ge(doubles, 1);
    ck_assert_int_le(doubles, 10);
}
END_TEST

START_TEST(normal_masks_are_black)
{
    for (uint32_t i = 1; i <= 5; i++) {
        struct phantom p;
        size_t n;

        phantom_draw(&p, 3, PHANTOM_NORMAL, i);
        check_picture(&p);
        ck_assert_int_eq(p.nmasks, 1);
        ck_assert_int_eq(p.mask[0].w, p.scan.w);
        ck_assert_int_eq(p.mask[0].h, p.scan.h);
        mean_where(&p, 0, 0, &n);
        ck_assert_uint_eq(n, (size_t)p.scan.w * (size_t)p.scan.h);
        phantom_release(&p);
    }
}
END_TEST

CHECK_MAIN("phantom", 60, grain_is_rayleigh, grain_spreads_as_asked,
           draws_depend_on_their_key, masks_lie_on_lesions,
           normal_masks_are_black)
