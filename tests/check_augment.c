/*
 * augment: exact where nothing is interpolated; elsewhere against values from
 * scipy.ndimage.map_coordinates (order 1, mode nearest) on the same picture,
 * and tones against the header's formula in Python floats.
 */
#include "check.h"

#include "base/mem.h"
#include "base/pool.h"
#include "data/augment.h"

#include <math.h>
#include <string.h>

enum { H = 40, W = 48, SIZE = 32, PLANE = SIZE * SIZE };

static const struct recipe RECIPE = {
    .width = W, .height = H, .crop = SIZE, .channels = 1,
    .mean = { 0.3f, 0.5f, 0.4f }, .std = { 0.25f, 0.5f, 0.2f },
};

/* A smooth picture with edges where it wraps; channels differ. */
static void
picture(uint8_t *px, int h, int w, int c)
{
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++)
            for (int k = 0; k < c; k++)
                px[(i * w + j) * c + k] =
                    (uint8_t)((i * i + 3 * j * j + i * j) / 37 + 50 * k);
}

static float
level(int channel, int v)
{
    return ((float)v / 255 - RECIPE.mean[channel]) / RECIPE.std[channel];
}

START_TEST(none_is_the_centre_crop)
{
    static uint8_t px[H * W * 3];
    static float out[3 * PLANE];
    struct augment a;

    for (int c = 1; c <= 3; c += 2) {
        picture(px, H, W, c);
        augment_draw(&a, AUGMENT_NONE, 1, 2, 3, H, W, SIZE);
        augment_apply(&a, &RECIPE, px, H, W, c, SIZE, out);
        for (int k = 0; k < c; k++)
            for (int i = 0; i < SIZE; i++)
                for (int j = 0; j < SIZE; j++) {
                    int v = px[((i + 4) * W + j + 8) * c + k];

                    ck_assert(out[k * PLANE + i * SIZE + j] == level(k, v));
                }
    }
}
END_TEST

START_TEST(flip_is_exact)
{
    static uint8_t px[H * W];
    static float plain[PLANE], out[PLANE];
    struct augment a;
    int flips = 0;

    picture(px, H, W, 1);
    augment_none(&a);
    augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, plain);
    for (uint32_t n = 0; n < 40; n++) {
        augment_draw(&a, AUGMENT_FLIP, 1, 0, n, H, W, SIZE);
        augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, out);
        flips += a.flip;
        for (int i = 0; i < SIZE; i++)
            for (int j = 0; j < SIZE; j++) {
                int from = a.flip ? SIZE - 1 - j : j;

                ck_assert(out[i * SIZE + j] == plain[i * SIZE + from]);
            }
    }
    ck_assert(flips > 5 && flips < 35);
}
END_TEST

struct golden {
    int i, j;
    double level;
};

static void
hold(const struct augment *a, const struct golden *g, size_t n)
{
    static uint8_t px[H * W];
    static float out[PLANE];

    picture(px, H, W, 1);
    augment_apply(a, &RECIPE, px, H, W, 1, SIZE, out);
    for (size_t k = 0; k < n; k++) {
        double v = (out[g[k].i * SIZE + g[k].j] * 0.25 + 0.3) * 255;

        /* Weights of 11 bits, on steps of up to 255 where it wraps. */
        ck_assert_msg(fabs(v - g[k].level) < 0.3, "(%d,%d): %g, not %g",
                      g[k].i, g[k].j, v, g[k].level);
    }
}

START_TEST(geometry_equals_scipy)
{
    static const struct golden TURNED[] = {
        { 0, 0, 144.2001 }, { 0, 31, 22.932 }, { 31, 0, 162.7935 },
        { 31, 31, 39.2652 }, { 16, 16, 74.1025 }, { 5, 20, 54.6219 },
        { 20, 5, 126.4982 }, { 10, 27, 35.17 },
    };
    /* Shrunk to half: most of it is border. */
    static const struct golden SHRUNK[] = {
        { 0, 0, 0 }, { 0, 31, 179 }, { 31, 0, 41 }, { 31, 31, 13 },
        { 16, 16, 73.6531 }, { 5, 20, 69.043 }, { 20, 5, 31.2358 },
        { 10, 27, 167.5583 },
    };
    struct augment a;

    augment_none(&a);
    a.angle = 0.2f;
    a.scale = 1.25f;
    a.dx = 2.5f;
    a.dy = -1.5f;
    a.flip = true;
    hold(&a, TURNED, ARRAY_LEN(TURNED));
    augment_none(&a);
    a.angle = -0.15f;
    a.scale = 0.5f;
    hold(&a, SHRUNK, ARRAY_LEN(SHRUNK));
}
END_TEST

/* Counter-clockwise: what was bright on the right is bright at the top. */
START_TEST(angle_turns_counter_clockwise)
{
    static uint8_t px[64 * 64];
    static float out[PLANE];
    struct augment a;

    for (int i = 0; i < 64 * 64; i++)
        px[i] = (uint8_t)(2 * (i % 64));
    augment_none(&a);
    a.angle = 1.5707963267948966f;
    augment_apply(&a, &RECIPE, px, 64, 64, 1, SIZE, out);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            ck_assert_float_eq_tol(out[i * SIZE + j],
                                   level(0, 2 * (16 + SIZE - 1 - i)), 1e-3f);
}
END_TEST

START_TEST(tones_follow_the_formula)
{
    static const int AT[3] = { 3 * SIZE + 7, 30 * SIZE + 29, 15 * SIZE + 2 };
    static const float TONE[3] = { -0.822501f, 2.358647f, -0.795582f };
    static const float BOTH[3] = { -0.881485f, 2.8f, -0.798109f };
    static const float GAIN[3] = { -0.908824f, 2.061176f, -0.841471f };
    static uint8_t px[H * W];
    static float tone[PLANE], both[PLANE], gain[PLANE];
    struct augment a;

    picture(px, H, W, 1);
    augment_none(&a);
    a.gain_top = 0.8f;
    a.gain_bottom = 1.2f;
    augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, gain);
    a.gamma = 0.8f;
    a.contrast = 1.2f;
    a.brightness = 1.1f;
    augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, both);
    a.gain_top = a.gain_bottom = 1;
    augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, tone);
    for (int k = 0; k < 3; k++) {
        ck_assert_float_eq_tol(tone[AT[k]], TONE[k], 2e-5f);
        ck_assert_float_eq_tol(both[AT[k]], BOTH[k], 2e-5f);
        ck_assert_float_eq_tol(gain[AT[k]], GAIN[k], 2e-5f);
    }
}
END_TEST

START_TEST(speckle_has_its_deviation)
{
    enum { SIDE = 128 };
    static uint8_t px[SIDE * SIDE];
    static float out[SIDE * SIDE];
    double sum = 0, square = 0, n = SIDE * SIDE;
    struct augment a;

    memset(px, 102, sizeof px);
    augment_none(&a);
    a.seed = 5;
    a.speckle = 0.1f;
    augment_apply(&a, &RECIPE, px, SIDE, SIDE, 1, SIDE, out);
    for (int i = 0; i < SIDE * SIDE; i++) {
        double v = (out[i] * 0.25 + 0.3) / 0.4 - 1;

        sum += v;
        square += v * v;
    }
    ck_assert(fabs(sum / n) < 0.003);
    ck_assert(fabs(sqrt(square / n) - 0.1) < 0.003);
}
END_TEST

START_TEST(rectangle_is_masked_out)
{
    static uint8_t px[H * W];
    static float plain[PLANE], out[PLANE];
    struct augment a;

    picture(px, H, W, 1);
    augment_none(&a);
    augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, plain);
    a.cut_x = 0.25f;
    a.cut_y = 0.5f;
    a.cut_w = 0.125f;
    a.cut_h = 0.25f;
    augment_apply(&a, &RECIPE, px, H, W, 1, SIZE, out);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            bool cut = i >= 16 && i < 24 && j >= 8 && j < 12;

            ck_assert(out[i * SIZE + j] == (cut ? 0 : plain[i * SIZE + j]));
        }
}
END_TEST

/* Everything that is drawn keeps to its range and fills it. */
START_TEST(draws_fill_their_ranges)
{
    enum { N = 4000 };
    const double degree = 3.14159265358979 / 180;
    double lo_angle = 9, hi_angle = -9, lo = 9, hi = 0, lo_g = 9, hi_g = 0;
    double log_scale = 0;
    int flips = 0, cuts = 0;

    for (uint32_t n = 0; n < N; n++) {
        struct augment s, t;

        augment_draw(&s, AUGMENT_STANDARD, 7, 1, n, 256, 256, 224);
        augment_draw(&t, AUGMENT_STRONG, 7, 1, n, 256, 256, 224);
        ck_assert(s.flip == t.flip);
        flips += s.flip;
        cuts += t.cut_w > 0;
        log_scale += log(s.scale) / N;
        lo_angle = fmin(lo_angle, s.angle / degree);
        hi_angle = fmax(hi_angle, s.angle / degree);
        lo = fmin(lo, s.scale);
        hi = fmax(hi, s.scale);
        lo_g = fmin(lo_g, t.gamma);
        hi_g = fmax(hi_g, t.gamma);
        ck_assert(fabs(s.dx) <= fmax(0, 128 - 112 / s.scale) + 1e-4);
        ck_assert(fabs(s.contrast - 1) <= 0.2001);
        ck_assert(fabs(t.brightness - 1) <= 0.3501);
        ck_assert(s.speckle == 0 && s.cut_w == 0 && s.gain_top == 1);
        ck_assert(t.speckle >= 0 && t.speckle <= 0.15001);
        ck_assert(fabs(log(t.gain_top)) <= 0.3001);
        ck_assert(t.cut_x >= 0 && t.cut_x + t.cut_w <= 1.0001);
    }
    ck_assert(abs(flips - N / 2) < 130 && abs(cuts - N / 2) < 130);
    ck_assert(lo_angle >= -8 && lo_angle < -7.9);
    ck_assert(hi_angle <= 8 && hi_angle > 7.9);
    ck_assert(lo >= 0.8499 && lo < 0.852 && hi <= 1.1501 && hi > 1.148);
    ck_assert(lo_g >= 0.6499 && lo_g < 0.66 && hi_g <= 1.501 && hi_g > 1.48);
    /* The middle of the logarithms, -0.0114; deviation 0.0014. */
    ck_assert(fabs(log_scale + 0.0114) < 0.006);
}
END_TEST

enum { JOBS = 24 };

struct work {
    uint8_t px[H * W];
    float out[JOBS][PLANE];
};

static void
one(void *ctx, size_t i, int thread)
{
    struct work *w = ctx;
    struct augment a;

    (void)thread;
    augment_draw(&a, AUGMENT_STRONG, 3, 4, (uint32_t)i, H, W, SIZE);
    augment_apply(&a, &RECIPE, w->px, H, W, 1, SIZE, w->out[i]);
}

START_TEST(order_and_threads_do_not_matter)
{
    struct work *forth = mem_array(1, sizeof *forth);
    struct work *back = mem_array(1, sizeof *back);

    picture(forth->px, H, W, 1);
    picture(back->px, H, W, 1);
    pool_run(3, JOBS, one, forth);
    for (size_t i = JOBS; i-- > 0;)
        one(back, i, 0);
    ck_assert(memcmp(forth->out, back->out, sizeof forth->out) == 0);
    for (int i = 1; i < JOBS; i++)
        ck_assert(memcmp(back->out[0], back->out[i], sizeof *back->out) != 0);
    free(forth);
    free(back);
}
END_TEST

/* The odd pixel is left at the right and the bottom, as in recipe_apply(). */
START_TEST(centre_is_that_of_the_recipe)
{
    static const struct recipe even = {
        .width = 8, .height = 7, .crop = 4, .channels = 1,
        .mean = { 0 }, .std = { 1 },
    };
    uint8_t px[7 * 8], cut[16];
    struct image m = { 8, 7, 1, px };
    struct augment a;
    struct err e = { 0 };
    float out[16];

    picture(px, 7, 8, 1);
    ck_assert_int_eq(recipe_apply(&even, &m, cut, &e), 0);
    augment_none(&a);
    augment_apply(&a, &even, px, 7, 8, 1, 4, out);
    for (int i = 0; i < 16; i++)
        ck_assert(out[i] == (float)cut[i] / 255);
}
END_TEST

/* No border, tiny and lopsided pictures, and crops larger than the picture. */
START_TEST(any_size_is_safe)
{
    static const int SIDES[][3] = {
        { 32, 32, 32 }, { 1, 1, 1 }, { 1, 9, 4 }, { 5, 3, 8 }, { 33, 32, 31 },
        { 2, 300, 16 },
    };

    for (size_t k = 0; k < ARRAY_LEN(SIDES); k++) {
        int h = SIDES[k][0], w = SIDES[k][1], size = SIDES[k][2];
        uint8_t *px = mem_array((size_t)h * w * 3, 1);
        float *out = mem_array((size_t)size * size * 3, sizeof *out);

        picture(px, h, w, 3);
        for (uint32_t n = 0; n < 60; n++) {
            struct augment a;

            augment_draw(&a, (enum augment_kind)(n % 4), 1, n, 0, h, w, size);
            if (h == 32 && a.scale < 1)
                ck_assert(a.dx == 0 && a.dy == 0);
            augment_apply(&a, &RECIPE, px, h, w, 3, size, out);
            for (int i = 0; i < size * size * 3; i++)
                ck_assert(isfinite(out[i]) && fabs(out[i]) <= 3.0001);
        }
        free(px);
        free(out);
    }
}
END_TEST

/* Identity geometry is exact in the padding as well. */
START_TEST(padding_is_the_border)
{
    static const uint8_t px[3] = { 10, 20, 30 };
    float out[49];
    struct augment a;

    augment_none(&a);
    augment_apply(&a, &RECIPE, px, 1, 3, 1, 7, out);
    for (int i = 0; i < 49; i++) {
        int j = i % 7 < 2 ? 0 : i % 7 > 4 ? 2 : i % 7 - 2;

        ck_assert(out[i] == level(0, px[j]));
    }
}
END_TEST

CHECK_MAIN("augment", 20, none_is_the_centre_crop, flip_is_exact,
           geometry_equals_scipy, angle_turns_counter_clockwise,
           tones_follow_the_formula, speckle_has_its_deviation,
           rectangle_is_masked_out, draws_fill_their_ranges,
           order_and_threads_do_not_matter, any_size_is_safe,
           centre_is_that_of_the_recipe,
           padding_is_the_border)
