#include "data/scene.h"

#include <math.h>
#include <string.h>

static float
lerp(float a, float b, float t)
{
    return a + (b - a) * t;
}

static float
clamp(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* 0 below a, 1 above b, smooth between. */
static float
ramp(float a, float b, float v)
{
    float t = clamp((v - a) / (b - a), 0, 1);

    return t * t * (3 - 2 * t);
}

static float
range(struct rng *r, float lo, float hi)
{
    return lerp(lo, hi, (float)rng_real(r));
}

static float
normal(struct rng *r, float mean, float deviation)
{
    return mean + deviation * (float)rng_normal(r);
}

static bool
chance(struct rng *r, double p)
{
    return rng_real(r) < p;
}

/* Smooth noise of unit cells, -1..1; periodic in SCENE_NOISE. */
static float
noise(const struct scene *s, float x, float y)
{
    /* Made positive by whole periods, so that truncation is the floor. */
    float fx = x + 32 * SCENE_NOISE, fy = y + 32 * SCENE_NOISE;
    unsigned i = (unsigned)fx, j = (unsigned)fy;
    float u = fx - (float)(int)i, v = fy - (float)(int)j;
    unsigned i0 = i % SCENE_NOISE, j0 = j % SCENE_NOISE;
    unsigned i1 = (i + 1) % SCENE_NOISE, j1 = (j + 1) % SCENE_NOISE;
    const float *a = s->noise + j0 * SCENE_NOISE;
    const float *b = s->noise + j1 * SCENE_NOISE;

    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    return lerp(lerp(a[i0], a[i1], u), lerp(b[i0], b[i1], u), v);
}

/* A line where the noise crosses zero: 1 on it, 0 from width on. */
static float
ridge(float n, float width)
{
    float t = 1 - fabsf(n) / width;

    return t > 0 ? t * t : 0;
}

/* ------------------------------------------------------------------ blobs */

static void
blob_aim(struct blob *b, float angle)
{
    b->cosine = cosf(angle);
    b->sine = sinf(angle);
}

/* Far outside any border, in half axes: rims end before it. */
static const float RIM_MOST = 2;

/*
 * Number of the rim's entry for a direction.  Goes round as the angle does,
 * along a square in place of a circle, which spares the arc tangent.
 */
static int
rim_entry(float u, float v)
{
    float t = u / (fabsf(u) + fabsf(v) + 1e-9f);
    float turn = v >= 0 ? 1 - t : 3 + t;

    return (int)(turn * (BLOB_RIM / 4)) & (BLOB_RIM - 1);
}

/* The angle in the middle of an entry. */
static float
rim_angle(int i)
{
    float turn = ((float)i + 0.5f) * 4 / BLOB_RIM;
    float t = turn < 2 ? 1 - turn : turn - 3;

    return atan2f(turn < 2 ? 1 - fabsf(t) : fabsf(t) - 1, t);
}

/* Distance to the border in mm, negative inside; *up: 1 facing the probe. */
static float
blob_distance(const struct blob *b, float x, float y, float *up)
{
    float dx = x - b->x, dy = y - b->y;
    float u = (dx * b->cosine + dy * b->sine) / b->rx;
    float v = (dy * b->cosine - dx * b->sine) / b->ry;
    float r = sqrtf(u * u + v * v);

    *up = fabsf(dy) / (fabsf(dx) + fabsf(dy) + 1e-3f);
    return (r - b->rim[rim_entry(u, v)]) * b->scale;
}

/* Waves on the border: a few long ones, `lobes` short, and sharp spikes. */
static void
blob_shape(struct blob *b, struct rng *r, float waves, float lobes, int spikes,
           float height)
{
    float at[16], tall[16], wide[16], phase[16];

    for (int k = 0; k < 16; k++)
        phase[k] = range(r, 0, 6.2831853f);
    for (int k = 0; k < spikes; k++) {
        at[k] = range(r, -3.1415927f, 3.1415927f);
        tall[k] = height * range(r, 0.1f, 1);
        wide[k] = range(r, 0.1f, 0.35f);
    }
    for (int i = 0; i < BLOB_RIM; i++) {
        float angle = rim_angle(i), v = 1;

        for (int k = 2; k < 6; k++)
            v += waves / (float)k * sinf((float)k * angle + phase[k]);
        for (int k = 7; k < 16; k += 2)
            v += lobes * 0.5f * sinf((float)k * angle + phase[k]);
        for (int k = 0; k < spikes; k++) {
            float d = fabsf(angle - at[k]);

            d = fminf(d, 6.2831853f - d) / wide[k];
            v += tall[k] * fmaxf(0, 1 - d) * fmaxf(0, 1 - d);
        }
        b->rim[i] = clamp(v, 0.35f, RIM_MOST);
    }
}

static struct blob *
blob_add(struct scene *s, float x, float y, float rx, float ry)
{
    struct blob *b = &s->blob[s->nblobs++];

    memset(b, 0, sizeof *b);
    *b = (struct blob){ .x = x, .y = y, .rx = rx, .ry = ry, .cosine = 1,
                        .scale = sqrtf(rx * ry), .edge = 0.4f, .cover = 1,
                        .cell = 1 };
    for (int i = 0; i < BLOB_RIM; i++)
        b->rim[i] = 1;
    return b;
}

/* A trait of a lesion: a if benign-like, b if malignant-like, loosely. */
static float
trait(struct rng *r, float suspicion, float a, float b)
{
    return lerp(a, b, clamp(normal(r, suspicion, 0.22f), 0, 1));
}

static void
draw_lesion(struct scene *s, struct rng *r, float suspicion, float scale)
{
    float size = 0.5f * s->width * scale *
                 trait(r, suspicion, 0.25f, 0.3f) * expf(normal(r, 0, 0.3f));
    float shape = trait(r, suspicion, 1.75f, 0.95f) *
                  expf(normal(r, 0, 0.12f));
    float radius = clamp(size, 0.045f * s->width, 0.27f * s->depth);
    float rx = radius * sqrtf(shape), ry = radius / sqrtf(shape);
    float x = range(r, 0.18f, 0.82f) * s->width;
    float y = clamp(normal(r, 0.36f, 0.1f) * s->depth,
                    s->floor[SKIN][0] + 1 + ry, 0.7f * s->depth);
    struct blob *b = blob_add(s, x, y, rx, ry);
    float waves = trait(r, suspicion, 0.04f, 0.32f);
    float lobes = trait(r, suspicion, -0.02f, 0.1f);
    float spikes = trait(r, suspicion, -5, 11);

    blob_aim(b, normal(r, 0, trait(r, suspicion, 0.12f, 0.4f)));
    blob_shape(b, r, waves, fmaxf(lobes, 0), (int)fmaxf(spikes, 0),
               trait(r, suspicion, 0.1f, 0.4f));
    b->edge = trait(r, suspicion, 0.15f, 1.6f);
    b->level = s->level[FAT] - trait(r, suspicion, 5, 9) -
               fabsf(normal(r, 0, 4));
    b->grain = trait(r, suspicion, 0.5f, 7);
    b->cell = range(r, 0.8f, 2.2f);
    b->capsule = trait(r, suspicion, 15, -5);
    b->halo = trait(r, suspicion, -4, 12);
    b->halo_width = range(r, 1, 3);
    /* Over its whole height, so that a large one is not a black hole. */
    b->loss = (trait(r, suspicion, -7, 14) + normal(r, 0, 2)) / (2 * ry);
    b->pull = trait(r, suspicion, -0.35f, 0.3f);
    b->specks = (int)trait(r, suspicion, -6, 7);
    s->nlesions++;
}

/* Things of all classes that look a little like a lesion or cast a shadow. */
static void
draw_others(struct scene *s, struct rng *r)
{
    float w = s->width;

    for (int n = (int)rng_below(r, 4); n > 0; n--) {    /* fat lobules */
        float rx = range(r, 2.5f, 7);
        struct blob *b = blob_add(s, range(r, 0, w),
                                  range(r, 0.2f, 0.5f) * s->depth, rx,
                                  rx * range(r, 0.35f, 0.7f));

        blob_aim(b, normal(r, 0, 0.2f));
        blob_shape(b, r, range(r, 0.1f, 0.3f), 0, 0, 0);
        b->level = s->level[FAT] + range(r, -3, 3);
        b->grain = 1.5f;
        b->capsule = range(r, 0, 8);
        b->cover = range(r, 0.5f, 1);
        b->edge = range(r, 0.3f, 1.2f);
        b->pull = -0.2f;
    }
    for (int n = (int)rng_below(r, 6); n > 0; n--) {    /* vessels, ducts */
        float ry = range(r, 0.3f, 1);
        struct blob *b = blob_add(s, range(r, 0, w),
                                  range(r, 0.12f, 0.6f) * s->depth,
                                  ry * range(r, 1, 5), ry);

        blob_aim(b, normal(r, 0, 0.4f));
        blob_shape(b, r, 0.4f, 0, 0, 0);
        b->level = s->level[FAT] - range(r, 3, 12);
    }
    for (int n = (int)rng_below(r, 5); n > 0; n--) {    /* ligaments */
        struct blob *b = blob_add(s, range(r, 0, w),
                                  range(r, 0.08f, 0.45f) * s->depth,
                                  range(r, 0.4f, 3.5f), 0.8f);

        b->cover = 0;
        b->edge = 0.8f;
        b->loss = range(r, -1.5f, 8);
    }
    if (chance(r, 0.4)) {                               /* poor contact */
        struct blob *b = blob_add(s, chance(r, 0.5) ? 0 : w, 0.8f,
                                  range(r, 2, 9), 0.8f);

        b->cover = 0;
        b->edge = 1.5f;
        b->loss = range(r, 4, 14);
    }
    if (chance(r, 0.35)) {                              /* a rib */
        float x = range(r, 0, w), rx = range(r, 5, 9);
        int column = (int)clamp(x / w * SCENE_W, 0, SCENE_W - 1);
        struct blob *b = blob_add(s, x, s->floor[MUSCLE][column] +
                                  range(r, -2, 1), rx, range(r, 2, 4));

        b->level = -22;
        b->capsule = range(r, 8, 18);
        b->loss = range(r, 3, 6);
    }
}

/* ----------------------------------------------------------------- layers */

/* Borders that wander around a depth each, and keep their order. */
static void
draw_layers(struct scene *s, struct rng *r)
{
    float dense = (float)rng_real(r);       /* glandular against fatty */
    float skin = range(r, 0.8f, 2);
    float fat = skin + lerp(0.3f, 0.08f, dense) * s->depth *
                range(r, 0.6f, 1.6f);
    float gland = s->depth * range(r, 0.5f, 0.85f);
    float muscle = gland + s->depth * range(r, 0.1f, 0.3f);
    const float mean[LAYERS - 1] = { skin, fat, gland, muscle };
    const float wander[LAYERS - 1] = { 0.12f, 2.2f, 1.8f, 1.5f };
    float tilt = normal(r, 0, 0.09f), bend = normal(r, 0, 1.2f);
    float from = range(r, 0, SCENE_NOISE);

    for (int x = 0; x < SCENE_W; x++) {
        float mm = ((float)x + 0.5f) * s->width / SCENE_W;
        float side = 2 * mm / s->width - 1, last = 0.5f;

        for (int k = 0; k < LAYERS - 1; k++) {
            float deep = mean[k] / s->depth;
            float y = mean[k] + deep * (tilt * (mm - s->width / 2) +
                                        bend * side * side);

            y += wander[k] * (noise(s, from + mm / 11, 9.5f * (float)k) +
                              0.35f * noise(s, from + mm / 3,
                                            9.5f * (float)k + 4));
            last = s->floor[k][x] = fmaxf(y, last + 0.4f);
        }
    }
}

static void
draw_tissue(struct scene *s, struct rng *r)
{
    s->level[SKIN] = range(r, -4, 3);
    s->level[FAT] = range(r, -11, -5);
    s->level[GLAND] = range(r, -3, 2);
    s->level[MUSCLE] = range(r, -11, -5);
    s->level[BEHIND] = range(r, -20, -8);
    s->grain[SKIN] = 1;
    s->grain[FAT] = range(r, 1, 3);
    s->grain[GLAND] = range(r, 3, 8);
    s->grain[MUSCLE] = range(r, 3, 6);
    s->grain[BEHIND] = range(r, 2, 6);
    s->fascia[SKIN] = range(r, 3, 8);
    s->fascia[FAT] = range(r, 2, 10);
    s->fascia[GLAND] = range(r, 3, 10);
    s->fascia[MUSCLE] = range(r, 4, 16);
    s->septum = range(r, 9, 18);
    s->streak = range(r, 6, 15);
    s->slant = normal(r, 0, 0.1f);
}

void
scene_draw(struct scene *s, struct rng *r, enum phantom_class c,
           double height_to_width)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < SCENE_NOISE * SCENE_NOISE; i++)
        s->noise[i] = (float)(rng_u32(r) >> 8) * 0x1p-23f - 1;
    s->width = range(r, 34, 50);
    s->depth = s->width * (float)height_to_width;
    draw_layers(s, r);
    draw_tissue(s, r);
    draw_others(s, r);
    if (c != PHANTOM_NORMAL) {
        float mean = c == PHANTOM_MALIGNANT ? 0.68f : 0.3f;
        float suspicion = clamp(normal(r, mean, 0.16f), 0, 1);

        draw_lesion(s, r, suspicion, 1);
        if (chance(r, 1.0 / 12))
            draw_lesion(s, r, suspicion, 0.6f);
    }
}

/* --------------------------------------------------------------- painting */

/* Tissue at (x, y); v is the depth below the border above it. */
static float
tissue(const struct scene *s, enum layer k, float x, float v)
{
    float own = 31.7f * (float)k, l = s->level[k];
    float w = noise(s, x / 7 + own, v / 3);     /* bends the fibres */
    float y = v + 1.1f * w + s->slant * x, n;

    switch (k) {
    case SKIN:
        return l + s->grain[k] * noise(s, x / 2, v / 0.3f);
    case FAT:
        n = noise(s, x / 11 + own + 0.5f * w, y / 2.8f);
        return l + s->grain[k] * noise(s, x / 2.5f, y / 1.5f + own) +
               s->septum * ridge(n, 0.1f) *
               ramp(-0.6f, 0.2f, noise(s, x / 6, y / 3 + 50));
    case GLAND:
        n = noise(s, x / 9 + own + w, y / 1.7f);
        return l + s->grain[k] * (noise(s, x / 4.5f + w, y / 1.6f + own) +
               0.5f * noise(s, x / 1.6f, y / 0.6f)) +
               s->streak * ridge(n, 0.13f) *
               ramp(-0.4f, 0.5f, noise(s, x / 4, y / 2 + 50));
    case MUSCLE:
    case BEHIND:
    default:
        n = noise(s, x / 11 + own, y / 0.9f);
        return l + s->grain[k] * noise(s, x / 9, y / 1.8f + own) +
               s->streak * (1.5f * ramp(0.3f, 0.9f, n) +
                            ridge(noise(s, x / 14, y / 2.2f + own), 0.1f));
    }
}

static float
point(const struct scene *s, float x, float y)
{
    int column = (int)clamp(x / s->width * SCENE_W, 0, SCENE_W - 1);
    float top = 0, line = 0;
    int k;

    for (k = 0; k < LAYERS - 1; k++) {
        float d = (y - s->floor[k][column]) / 0.22f;

        if (fabsf(d) < 3)
            line += s->fascia[k] * expf(-d * d) *
                    ramp(-0.7f, 0.4f, noise(s, x / 5, 70 + 3 * (float)k));
        if (d < 0)
            break;
        top = s->floor[k][column];
    }
    return line + tissue(s, (enum layer)k, x, y - top);
}

/* Where the tissue that is now at (x, y) was before blobs moved it. */
static void
pulled(const struct scene *s, float *x, float *y)
{
    float x0 = *x, y0 = *y;

    for (int k = 0; k < s->nblobs; k++) {
        const struct blob *b = &s->blob[k];
        float dx, dy, far;

        if (b->pull == 0)
            continue;
        dx = x0 - b->x;
        dy = y0 - b->y;
        far = (dx * dx + dy * dy) / (3 * b->rx * b->ry);
        if (far < 5) {
            float f = b->pull * expf(-far);

            *x += f * dx;
            *y += f * dy;
        }
    }
}

/* A cell index inside 0..n for a place in mm, clamped. */
static int
cell(float mm, float extent, int n)
{
    return (int)clamp(mm / extent * (float)n, 0, (float)n);
}

static void
paint_blob(const struct scene *s, const struct blob *b, float *level,
           float *loss)
{
    float reach = RIM_MOST * fmaxf(b->rx, b->ry) + b->halo_width + b->edge;
    int x0 = cell(b->x - reach, s->width, SCENE_W);
    int x1 = cell(b->x + reach, s->width, SCENE_W);
    int y0 = cell(b->y - reach, s->depth, SCENE_H);
    int y1 = cell(b->y + reach, s->depth, SCENE_H);
    float halo = fmaxf(b->halo, 0), capsule = fmaxf(b->capsule, 0);

    for (int j = y0; j < y1; j++)
        for (int i = x0; i < x1; i++) {
            float x = ((float)i + 0.5f) * s->width / SCENE_W;
            float y = ((float)j + 0.5f) * s->depth / SCENE_H;
            float up, d = blob_distance(b, x, y, &up);
            float in = 1 - ramp(-b->edge, b->edge, d), c = d / 0.3f;
            float *l = &level[j * SCENE_W + i];

            if (d > 0 && halo > 0 && b->halo_width > 0)
                *l += halo * (1 - ramp(0, b->halo_width, d));
            if (in > 0) {
                float own = b->level + b->grain *
                            (noise(s, x / b->cell + 20, y / b->cell + 90) +
                             0.5f * noise(s, x * 2, y * 3));

                *l = lerp(*l, own, b->cover * in);
                loss[j * SCENE_W + i] += b->loss * in;
            }
            /* A mirror: strongest where it faces the probe. */
            if (capsule > 0 && fabsf(c) < 3)
                *l += capsule * expf(-c * c) * up * up;
        }
}

static void
paint_specks(const struct scene *s, const struct blob *b, struct rng *r,
             float *level)
{
    for (int k = 0; k < b->specks; k++) {
        float x = b->x + 0.6f * b->rx * range(r, -1, 1);
        float y = b->y + 0.6f * b->ry * range(r, -1, 1);
        int i = cell(x, s->width, SCENE_W - 2);
        int j = cell(y, s->depth, SCENE_H - 2);
        float bright = range(r, 12, 20);

        for (int dj = 0; dj < 2; dj++)
            for (int di = 0; di < 2; di++)
                level[(j + dj) * SCENE_W + i + di] += bright;
    }
}

void
scene_paint(const struct scene *s, struct rng *r, float *level, float *loss)
{
    memset(loss, 0, sizeof *loss * SCENE_W * SCENE_H);
    for (int j = 0; j < SCENE_H; j++)
        for (int i = 0; i < SCENE_W; i++) {
            float x = ((float)i + 0.5f) * s->width / SCENE_W;
            float y = ((float)j + 0.5f) * s->depth / SCENE_H;

            pulled(s, &x, &y);
            level[j * SCENE_W + i] = point(s, x, y);
        }
    for (int k = 0; k < s->nblobs; k++) {
        paint_blob(s, &s->blob[k], level, loss);
        paint_specks(s, &s->blob[k], r, level);
    }
}

bool
scene_inside(const struct scene *s, int k, float x, float y)
{
    const struct blob *b = &s->blob[s->nblobs - s->nlesions + k];
    float reach = RIM_MOST * fmaxf(b->rx, b->ry), up;

    return fabsf(x - b->x) < reach && fabsf(y - b->y) < reach &&
           blob_distance(b, x, y, &up) < 0;
}
