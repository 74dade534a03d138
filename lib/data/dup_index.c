/* dup: from keypoints to candidates. */
#include "data/dup.h"

#include "base/mem.h"
#include "base/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_DISTANCE = 16,     /* bits that may differ between two keypoints */
    LEAST_VOTES = 5,        /* keypoints that must agree */
    MOST_TRIALS = 400,      /* pairs of matches that suggest a fit */
    LEAST_BAND = 12, MOST_BAND = 21, MOST_BANDS = 5
};

#define MOST_RATIO 2.4      /* of sizes */
#define SLACK 0.012         /* of a picture's side, to count as agreeing */

/*
 * Every keypoint is filed under a few runs ("bands") of its bits; two that
 * share one run are compared in full.  Bands are as long as keeps the number of
 * keypoints filed under one small.
 */
struct index {
    const struct dup_scan *scan;
    size_t n;
    int bits, nbands;
    size_t most;                    /* runs with more keypoints are noise */
    uint64_t mirror;                /* the bits that a mirrored one flips */
    uint32_t *first[MOST_BANDS];    /* [2^bits + 1], into entry */
    struct entry {
        uint32_t scan, mark;
    } *entry[MOST_BANDS];
};

static size_t
band_of(const struct index *x, uint64_t bits, int band)
{
    return bits >> (band * x->bits) & ((1ull << x->bits) - 1);
}

static void
index_band(struct index *x, int band, size_t total)
{
    size_t room = (size_t)1 << x->bits;
    uint32_t *first = mem_array(room + 2, sizeof *first);

    x->entry[band] = mem_array(total, sizeof *x->entry[band]);
    for (size_t i = 0; i < x->n; i++)
        for (size_t k = 0; k < x->scan[i].nmarks; k++)
            first[band_of(x, x->scan[i].mark[k].bits, band) + 2]++;
    for (size_t k = 2; k < room + 2; k++)
        first[k] += first[k - 1];
    /* first[k + 1] walks from the start of run k to its end. */
    for (size_t i = 0; i < x->n; i++)
        for (size_t k = 0; k < x->scan[i].nmarks; k++) {
            size_t run = band_of(x, x->scan[i].mark[k].bits, band);

            x->entry[band][first[run + 1]++] =
                (struct entry){ (uint32_t)i, (uint32_t)k };
        }
    x->first[band] = first;
}

static void
index_init(struct index *x, const struct dup_scan *scan, size_t n)
{
    size_t total = 0;

    memset(x, 0, sizeof *x);
    x->scan = scan;
    x->n = n;
    x->mirror = keypoint_mirror();
    for (size_t i = 0; i < n; i++)
        total += scan[i].nmarks;
    x->bits = LEAST_BAND;
    while (x->bits < MOST_BAND && (total >> x->bits) > 4)
        x->bits++;
    x->nbands = KEYPOINT_BITS / x->bits;
    x->most = 64 + 16 * (total >> x->bits);
    for (int b = 0; b < x->nbands; b++)
        index_band(x, b, total);
}

static void
index_release(struct index *x)
{
    for (int b = 0; b < x->nbands; b++) {
        free(x->first[b]);
        free(x->entry[b]);
    }
}

/* ------------------------------------------------------------------ fits */

/* A keypoint of scan a that looks like one of scan b. */
struct match {
    uint32_t a;
    bool mirror;
    float ax, ay, bx, by;       /* bx in the mirrored picture, if so */
    float ratio;                /* of sizes, b to a */
};

struct matches {
    struct match *item;
    size_t n, room;
};

static bool
agrees(const struct match *m, const struct dup_fit *f, double slack)
{
    double dx = f->sx * m->ax + f->tx - m->bx;
    double dy = f->sy * m->ay + f->ty - m->by;

    return fabs(dx) < slack && fabs(dy) < slack
        && fabs(log(m->ratio / f->sx)) < 0.35;
}

static size_t
count_agreeing(const struct match *m, size_t n, const struct dup_fit *f,
               double slack)
{
    size_t votes = 0;

    for (size_t i = 0; i < n; i++)
        votes += agrees(&m[i], f, slack);
    return votes;
}

/* Shift and one scale from two matches; false if they tell none. */
static bool
suggest(const struct match *p, const struct match *q, double slack,
        struct dup_fit *f)
{
    double ax = q->ax - p->ax, ay = q->ay - p->ay;
    double bx = q->bx - p->bx, by = q->by - p->by;
    double length = ax * ax + ay * ay, s;

    if (length < 100 * slack * slack)
        return false;
    s = (ax * bx + ay * by) / length;
    if (s < 1 / MOST_RATIO || s > MOST_RATIO)
        return false;
    *f = (struct dup_fit){ s, s, p->bx - s * p->ax, p->by - s * p->ay,
                           p->mirror };
    return fabs(f->sx * q->ax + f->tx - q->bx) < slack
        && fabs(f->sy * q->ay + f->ty - q->by) < slack;
}

/* Least squares of b = s a + t over the sums of n matches. */
static void
line_fit(double n, double a, double b, double aa, double ab, double *s,
         double *t)
{
    double spread = aa - a * a / n;

    if (spread > 1)
        *s = (ab - a * b / n) / spread;
    *t = (b - *s * a) / n;
}

/* Both axes on their own: pictures have been squashed, too. */
static void
improve(const struct match *m, size_t n, double slack, struct dup_fit *f)
{
    double k = 0, ax = 0, bx = 0, ay = 0, by = 0;
    double axx = 0, axb = 0, ayy = 0, ayb = 0;

    for (size_t i = 0; i < n; i++) {
        if (!agrees(&m[i], f, slack))
            continue;
        k++;
        ax += m[i].ax;
        bx += m[i].bx;
        axx += m[i].ax * m[i].ax;
        axb += m[i].ax * m[i].bx;
        ay += m[i].ay;
        by += m[i].by;
        ayy += m[i].ay * m[i].ay;
        ayb += m[i].ay * m[i].by;
    }
    if (k < 3)
        return;
    line_fit(k, ax, bx, axx, axb, &f->sx, &f->tx);
    line_fit(k, ay, by, ayy, ayb, &f->sy, &f->ty);
}

/* The fit most matches agree on, and how many do. */
static size_t
best_fit(const struct match *m, size_t n, double slack, struct dup_fit *best)
{
    size_t most = 0, trials = n * (n - 1) / 2;
    size_t stride = trials / MOST_TRIALS + 1, at = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            struct dup_fit f;
            size_t votes;

            if (at++ % stride != 0 || !suggest(&m[i], &m[j], slack, &f))
                continue;
            votes = count_agreeing(m, n, &f, slack);
            if (votes > most) {
                most = votes;
                *best = f;
            }
        }
    for (int round = 0; round < 3 && most > 0; round++) {
        struct dup_fit f = *best;
        size_t votes;

        improve(m, n, slack, &f);
        votes = count_agreeing(m, n, &f, slack);
        if (votes < most)
            break;
        most = votes;
        *best = f;
    }
    return most;
}

/* --------------------------------------------------------------- queries */

static void
match_add(struct matches *l, const struct match *m)
{
    l->item = mem_room(l->item, l->n, &l->room, sizeof *l->item);
    l->item[l->n++] = *m;
}

/* The first entry of a run that is not of a scan before b. */
static const struct entry *
before(const struct entry *it, const struct entry *end, size_t b)
{
    while (it < end) {
        const struct entry *mid = it + (end - it) / 2;

        if (mid->scan < b)
            it = mid + 1;
        else
            end = mid;
    }
    return it;
}

static void
look_up(const struct index *x, size_t b, const struct keypoint *mark,
        bool mirror, struct matches *l)
{
    uint64_t bits = mirror ? mark->bits ^ x->mirror : mark->bits;
    float bx = mirror ? (float)(x->scan[b].w - 1) - mark->x : mark->x;

    for (int band = 0; band < x->nbands; band++) {
        size_t run = band_of(x, bits, band);
        const struct entry *it = x->entry[band] + x->first[band][run];
        const struct entry *end = x->entry[band] + x->first[band][run + 1];

        /* Of a crowded run the scans just before b: copies make chains. */
        if ((size_t)(end - it) > x->most) {
            end = before(it, end, b);
            if ((size_t)(end - it) > x->most)
                it = end - x->most;
        }
        /* Entries are in order of scans: each pair is met once. */
        for (; it < end && it->scan < b; it++) {
            const struct keypoint *o = &x->scan[it->scan].mark[it->mark];
            int apart = __builtin_popcountll(o->bits ^ bits);

            if (apart <= MOST_DISTANCE)
                match_add(l, &(struct match){ it->scan, mirror, o->x, o->y,
                                              bx, mark->y,
                                              mark->size / o->size });
        }
    }
}

static int
by_scan(const void *p, const void *q)
{
    const struct match *a = p, *b = q;

    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    if (a->mirror != b->mirror)
        return a->mirror - b->mirror;
    if (a->ay != b->ay)
        return a->ay < b->ay ? -1 : 1;
    if (a->ax != b->ax)
        return a->ax < b->ax ? -1 : 1;
    if (a->by != b->by)
        return a->by < b->by ? -1 : 1;
    return (a->bx > b->bx) - (a->bx < b->bx);
}

struct search {
    struct index index;
    struct dup_pairs *found;    /* [n], of each scan with earlier ones */
};

static bool
same_pixels(const struct dup_scan *a, const struct dup_scan *b)
{
    return strcmp(a->pixels, b->pixels) == 0;
}

/* Of the plain and the mirrored fit of one pair the better one counts. */
static void
found_add(struct dup_pairs *l, const struct dup_pair *p)
{
    struct dup_pair *last = l->n > 0 ? &l->item[l->n - 1] : NULL;

    if (last == NULL || last->a != p->a)
        dup_pairs_add(l, p);
    else if (p->votes > last->votes)
        *last = *p;
}

static void
query(void *ctx, size_t b, int thread)
{
    struct search *s = ctx;
    const struct dup_scan *scan = s->index.scan, *own = &scan[b];
    double slack = SLACK * sqrt((double)own->w * own->h);
    struct matches l = { 0 };
    size_t n = 0;

    (void)thread;
    for (size_t k = 0; k < own->nmarks; k++)
        for (int mirror = 0; mirror < 2; mirror++)
            look_up(&s->index, b, &own->mark[k], mirror, &l);
    if (l.n > 1)
        qsort(l.item, l.n, sizeof *l.item, by_scan);
    /* Met in several bands, it counts once. */
    for (size_t i = 0; i < l.n; i++)
        if (n == 0 || by_scan(&l.item[n - 1], &l.item[i]) != 0)
            l.item[n++] = l.item[i];
    for (size_t i = 0, end; i < n; i = end) {
        struct dup_pair p = { .a = l.item[i].a, .b = b };

        for (end = i + 1; end < n && l.item[end].a == l.item[i].a
             && l.item[end].mirror == l.item[i].mirror;)
            end++;
        if (end - i < LEAST_VOTES || same_pixels(&scan[p.a], own))
            continue;           /* add_equal() has those */
        p.votes = best_fit(l.item + i, end - i, slack, &p.fit);
        if (p.votes >= LEAST_VOTES)
            found_add(&s->found[b], &p);
    }
    free(l.item);
}

/* Equal pixels need no keypoints: flat pictures have none. */
static int
by_pixels(const void *p, const void *q)
{
    const struct dup_scan *const *a = p, *const *b = q;
    int order = strcmp((*a)->pixels, (*b)->pixels);

    return order != 0 ? order : (*a > *b) - (*a < *b);
}

static void
add_equal(const struct dup_scan *scan, size_t n, struct dup_pairs *out)
{
    const struct dup_scan **order = mem_array(n, sizeof *order);
    size_t m = 0;

    for (size_t i = 0; i < n; i++)
        if (scan[i].w > 0)
            order[m++] = &scan[i];
    if (m > 1)
        qsort(order, m, sizeof *order, by_pixels);
    for (size_t i = 0, j; i < m; i = j)
        for (j = i + 1; j < m && same_pixels(order[i], order[j]); j++)
            dup_pairs_add(out, &(struct dup_pair){
                .a = (size_t)(order[i] - scan),
                .b = (size_t)(order[j] - scan),
                .fit = { 1, 1, 0, 0, false },
            });
    free(order);
}

static int
by_numbers(const void *p, const void *q)
{
    const struct dup_pair *a = p, *b = q;

    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return (a->b > b->b) - (a->b < b->b);
}

void
dup_pairs_sort(struct dup_pairs *l)
{
    if (l->n > 1)
        qsort(l->item, l->n, sizeof *l->item, by_numbers);
}

void
dup_candidates(const struct dup_scan *scan, size_t n, int threads,
               struct dup_pairs *out)
{
    struct search s;

    memset(out, 0, sizeof *out);
    index_init(&s.index, scan, n);
    s.found = mem_array(n, sizeof *s.found);
    pool_run(threads, n, query, &s);
    add_equal(scan, n, out);
    for (size_t b = 0; b < n; b++) {
        for (size_t k = 0; k < s.found[b].n; k++)
            dup_pairs_add(out, &s.found[b].item[k]);
        free(s.found[b].item);
    }
    dup_pairs_sort(out);
    free(s.found);
    index_release(&s.index);
}
