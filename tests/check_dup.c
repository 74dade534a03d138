/*
 * dup: copies planted among phantoms are found, whatever was done to them, and
 * nothing else is.  What was done is known, and so is the fit.
 */
#include "check.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "data/dup.h"
#include "data/phantom.h"
#include "tests/plants.h"

#include <math.h>
#include <string.h>

enum { PHANTOMS = 6, SCANS = PHANTOMS * (PLANTS + 1) };

struct garden {
    struct dup_scan scan[SCANS];    /* phantom, its copies, phantom, ... */
    struct dup_fit fit[SCANS];      /* from the phantom to the copy */
};

static void
grow(void *ctx, size_t i, int thread)
{
    struct garden *g = ctx;
    size_t at = i * (PLANTS + 1);
    struct phantom p;
    struct image gray;
    struct rng r;

    (void)thread;
    phantom_draw(&p, 11, (enum phantom_class)(i % PHANTOM_CLASSES),
                 (uint32_t)i);
    image_gray(&gray, &p.scan);
    phantom_release(&p);
    dup_scan_init(&g->scan[at], &gray);
    rng_init(&r, 11, RNG_PHANTOM, 99, (uint32_t)i);
    for (int k = 0; k < PLANTS; k++) {
        struct image copy;

        plant(&copy, &gray, &PLANT[k], &r, &g->fit[at + 1 + k]);
        dup_scan_init(&g->scan[at + 1 + k], &copy);
        image_release(&copy);
    }
    image_release(&gray);
}

static struct garden *
garden_make(void)
{
    struct garden *g = mem_array(1, sizeof *g);

    pool_run(0, PHANTOMS, grow, g);
    return g;
}

static void
garden_release(struct garden *g)
{
    for (int i = 0; i < SCANS; i++)
        dup_scan_release(&g->scan[i]);
    free(g);
}

/* --------------------------------------------------------------- the tests */

/* Is the fit the one planted?  In pixels of b at the middle of a. */
static bool
fits(const struct dup_pair *p, const struct dup_fit *f,
     const struct dup_scan *a)
{
    double x = (p->fit.sx - f->sx) * a->w / 2 + p->fit.tx - f->tx;
    double y = (p->fit.sy - f->sy) * a->h / 2 + p->fit.ty - f->ty;

    return fabs(x) < 4 * f->sx && fabs(y) < 4 * f->sy
        && fabs(p->fit.sx / f->sx - 1) < 0.012
        && fabs(p->fit.sy / f->sy - 1) < 0.012;
}

static void
hold(const struct garden *g, const struct dup_pair *p, int found[PLANTS])
{
    size_t of = p->b % (PLANTS + 1);
    const struct plant *plant = &PLANT[of > 0 ? of - 1 : 0];

    if (p->score < 0.6)
        return;
    ck_assert_msg(p->a / (PLANTS + 1) == p->b / (PLANTS + 1),
                  "%zu and %zu are strangers: %g", p->a, p->b, p->score);
    if (p->a % (PLANTS + 1) != 0)
        return;
    found[of - 1]++;
    ck_assert_msg(p->kind == plant->kind, "%s is called %s", plant->what,
                  dup_kind_name(p->kind));
    ck_assert_msg(p->kind == DUP_EXACT
                  || fits(p, &g->fit[p->b], &g->scan[p->a]),
                  "%s of %zu: %g %g %+g %+g, not %g %g %+g %+g", plant->what,
                  p->a, p->fit.sx, p->fit.sy, p->fit.tx, p->fit.ty,
                  g->fit[p->b].sx, g->fit[p->b].sy, g->fit[p->b].tx,
                  g->fit[p->b].ty);
}

START_TEST(finds_what_is_planted_and_nothing_else)
{
    struct garden *g = garden_make();
    int found[PLANTS] = { 0 };
    size_t group[SCANS];
    struct dup_pairs l, again;
    double threshold;

    dup_candidates(g->scan, SCANS, 2, &l);
    dup_candidates(g->scan, SCANS, 1, &again);
    ck_assert_uint_eq(l.n, again.n);
    for (size_t k = 0; k < l.n; k++) {
        const struct dup_pair *p = &l.item[k], *q = &again.item[k];

        ck_assert(p->a == q->a && p->b == q->b && p->votes == q->votes
                  && p->fit.sx == q->fit.sx && p->fit.tx == q->fit.tx);
        dup_score(g->scan, &l.item[k]);
        hold(g, &l.item[k], found);
    }
    for (int k = 0; k < PLANTS; k++)
        ck_assert_msg(found[k] == PHANTOMS, "%s: %d of %d", PLANT[k].what,
                      found[k], PHANTOMS);
    threshold = dup_threshold(&l);
    ck_assert(threshold > DUP_LOW && threshold < DUP_HIGH);
    dup_groups(&l, threshold, SCANS, group);
    for (size_t i = 0; i < SCANS; i++)
        ck_assert_uint_eq(group[i], i / (PLANTS + 1) * (PLANTS + 1));
    free(l.item);
    free(again.item);
    garden_release(g);
}
END_TEST

/* Flat, tiny and narrow pictures have no keypoints; equal ones are equal. */
START_TEST(pictures_without_keypoints)
{
    static const int SIZE[][3] = {  /* width, height, level */
        { 60, 60, 0 }, { 60, 60, 0 }, { 60, 60, 9 }, { 1, 1, 0 },
        { 1, 1, 0 }, { 3, 900, 7 }, { 900, 3, 7 }, { 2000, 40, 7 },
    };
    struct dup_scan scan[ARRAY_LEN(SIZE) + 1];
    struct dup_pairs l;

    for (size_t i = 0; i < ARRAY_LEN(SIZE); i++) {
        struct image m;

        image_init(&m, SIZE[i][0], SIZE[i][1], 1);
        memset(m.px, SIZE[i][2], (size_t)m.w * m.h);
        dup_scan_init(&scan[i], &m);
        image_release(&m);
    }
    /* One that could not be read. */
    memset(&scan[ARRAY_LEN(SIZE)], 0, sizeof *scan);
    dup_candidates(scan, ARRAY_LEN(scan), 1, &l);
    ck_assert_uint_eq(l.n, 2);
    ck_assert(l.item[0].a == 0 && l.item[0].b == 1);
    ck_assert(l.item[1].a == 3 && l.item[1].b == 4);
    dup_score(scan, &l.item[0]);
    ck_assert(l.item[0].score == 1 && l.item[0].kind == DUP_EXACT);
    free(l.item);
    dup_candidates(scan, 0, 1, &l);
    ck_assert_uint_eq(l.n, 0);
    for (size_t i = 0; i < ARRAY_LEN(scan); i++)
        dup_scan_release(&scan[i]);
}
END_TEST

/* A mirrored picture has the same keypoints, with known bits flipped. */
START_TEST(mirror_flips_known_bits)
{
    static struct keypoint one[KEYPOINT_MOST], two[KEYPOINT_MOST];
    size_t n, m, same = 0;
    struct phantom p;
    struct image gray;

    phantom_draw(&p, 3, PHANTOM_BENIGN, 0);
    image_gray(&gray, &p.scan);
    n = keypoint_find(&gray, one);
    mirror(&gray);
    m = keypoint_find(&gray, two);
    ck_assert(n > 100 && n <= KEYPOINT_MOST);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double dx = gray.w - 1.0 - one[i].x - two[j].x;
            uint64_t bits = one[i].bits ^ keypoint_mirror();

            if (hypot(dx, one[i].y - two[j].y) < 2
                && fabs(log(one[i].size / two[j].size)) < 0.1
                && __builtin_popcountll(bits ^ two[j].bits) < 10) {
                same++;
                break;
            }
        }
    ck_assert_msg(same * 10 > n * 6, "%zu of %zu", same, n);
    /* 8 x 8 frequencies, half of them odd across. */
    ck_assert_int_eq(__builtin_popcountll(keypoint_mirror()), 32);
    image_release(&gray);
    phantom_release(&p);
}
END_TEST

static void
pair(struct dup_pairs *l, size_t a, size_t b, double score)
{
    dup_pairs_add(l, &(struct dup_pair){ .a = a, .b = b, .score = score });
}

START_TEST(threshold_is_in_the_widest_gap)
{
    struct dup_pairs l = { 0 };

    /* No scores: between the limits. */
    ck_assert_double_eq_tol(dup_threshold(&l), 0.625, 1e-12);
    pair(&l, 0, 1, 0.99);
    pair(&l, 0, 2, 0.1);
    pair(&l, 1, 2, 0.5);
    ck_assert_double_eq_tol(dup_threshold(&l), 0.65, 1e-12);
    pair(&l, 1, 3, 0.7);
    ck_assert_double_eq_tol(dup_threshold(&l), 0.6, 1e-12);
    pair(&l, 2, 3, 0.58);
    ck_assert_double_eq_tol(dup_threshold(&l), 0.64, 1e-12);
    free(l.item);
}
END_TEST

START_TEST(copies_of_copies_are_one_group)
{
    static const size_t WANT[] = { 0, 1, 1, 3, 1, 3, 6 };
    struct dup_pairs l = { 0 };
    size_t group[ARRAY_LEN(WANT)];

    pair(&l, 2, 4, 0.9);
    pair(&l, 3, 5, 0.6);
    pair(&l, 1, 4, 0.9);
    pair(&l, 0, 6, 0.59);
    dup_groups(&l, 0.6, ARRAY_LEN(WANT), group);
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++)
        ck_assert_uint_eq(group[i], WANT[i]);
    free(l.item);
}
END_TEST

/* Frames of a still loop: every keypoint of each is in all the others. */
START_TEST(many_copies_are_one_group)
{
    enum { COPIES = 200, SIDE = 160 };
    struct dup_scan *scan = mem_array(COPIES, sizeof *scan);
    struct dup_pairs l;
    struct phantom p;
    struct image m;
    size_t group[COPIES];

    phantom_draw(&p, 11, PHANTOM_BENIGN, 0);
    image_init(&m, SIDE, SIDE, 1);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            m.px[y * SIDE + x] = p.scan.px[((y + p.scan.h / 3) * p.scan.w +
                                            x + p.scan.w / 3) * p.scan.c];
    phantom_release(&p);
    for (int i = 0; i < COPIES; i++) {
        m.px[i] ^= 1;
        dup_scan_init(&scan[i], &m);
    }
    image_release(&m);
    dup_candidates(scan, COPIES, 2, &l);
    for (size_t i = 0; i < l.n; i++)
        l.item[i].score = 1;
    dup_groups(&l, 0.6, COPIES, group);
    for (size_t i = 0; i < COPIES; i++) {
        ck_assert_uint_eq(group[i], 0);
        dup_scan_release(&scan[i]);
    }
    free(l.item);
    free(scan);
}
END_TEST

START_TEST(sheet_shows_the_lowest_pairs_first)
{
    struct dup_scan scan[2];
    struct dup_pairs l = { 0 };
    struct image m, few, many;

    image_init(&m, 40, 30, 1);
    memset(m.px, 200, 40 * 30);
    dup_scan_init(&scan[0], &m);
    dup_scan_init(&scan[1], &m);
    image_release(&m);
    dup_sheet(scan, &l, 0.5, 60, &few);
    ck_assert(few.px[few.w * 20 + 20] == 40);
    image_release(&few);
    pair(&l, 0, 1, 0.9);
    pair(&l, 0, 1, 0.4);
    dup_sheet(scan, &l, 0.5, 60, &few);
    for (int k = 0; k < 7; k++)
        pair(&l, 0, 1, 0.7);
    dup_sheet(scan, &l, 0.5, 5, &many);
    ck_assert(few.px[few.w * 20 + 20] == 200);
    ck_assert(many.w == few.w && many.h > few.h && many.h < 3 * few.h);
    image_release(&few);
    image_release(&many);
    dup_scan_release(&scan[0]);
    dup_scan_release(&scan[1]);
    free(l.item);
}
END_TEST

CHECK_MAIN("dup", 120, finds_what_is_planted_and_nothing_else,
           pictures_without_keypoints, mirror_flips_known_bits,
           threshold_is_in_the_widest_gap, copies_of_copies_are_one_group,
           many_copies_are_one_group,
           sheet_shows_the_lowest_pairs_first)
