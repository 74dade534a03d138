#include "data/dup.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Side of the square whose area the small pictures have. */
enum { SMALL = 160, LEAST = 8 };

static const char *const KINDS[DUP_KINDS] = {
    "exact", "shifted", "scaled", "cropped", "mirrored"
};

const char *
dup_kind_name(enum dup_kind k)
{
    return KINDS[k];
}

static void
digest_pixels(const struct image *gray, char hex[DIGEST_HEX])
{
    struct digest d;
    int size[2] = { gray->w, gray->h };

    digest_init(&d);
    digest_add(&d, size, sizeof size);
    digest_add(&d, gray->px, (size_t)gray->w * gray->h);
    digest_end(&d, hex);
}

void
dup_scan_init(struct dup_scan *s, const struct image *m)
{
    struct keypoint mark[KEYPOINT_MOST];
    double f = SMALL / sqrt((double)m->w * m->h);
    int w = (int)lrint(m->w * f), h = (int)lrint(m->h * f);
    struct image gray;

    memset(s, 0, sizeof *s);
    s->w = m->w;
    s->h = m->h;
    image_gray(&gray, m);
    digest_pixels(&gray, s->pixels);
    image_resize(&s->small, &gray, w > LEAST ? w : LEAST,
                 h > LEAST ? h : LEAST);
    s->nmarks = keypoint_find(&gray, mark);
    if (s->nmarks > 0) {
        s->mark = mem_array(s->nmarks, sizeof *s->mark);
        memcpy(s->mark, mark, s->nmarks * sizeof *s->mark);
    }
    image_release(&gray);
}

void
dup_scan_release(struct dup_scan *s)
{
    image_release(&s->small);
    free(s->mark);
    memset(s, 0, sizeof *s);
}

void
dup_pairs_add(struct dup_pairs *l, const struct dup_pair *p)
{
    l->item = mem_room(l->item, l->n, &l->room, sizeof *l->item);
    l->item[l->n++] = *p;
}

static int
ascending(const void *p, const void *q)
{
    double a = *(const double *)p, b = *(const double *)q;

    return (a > b) - (a < b);
}

double
dup_threshold(const struct dup_pairs *l)
{
    double *score = mem_array(l->n + 2, sizeof *score);
    double widest = 0, threshold = 0;
    size_t n = 0;

    score[n++] = DUP_LOW;
    for (size_t i = 0; i < l->n; i++)
        if (l->item[i].score > DUP_LOW && l->item[i].score < DUP_HIGH)
            score[n++] = l->item[i].score;
    score[n++] = DUP_HIGH;
    qsort(score, n, sizeof *score, ascending);
    for (size_t i = 1; i < n; i++)
        if (score[i] - score[i - 1] > widest) {
            widest = score[i] - score[i - 1];
            threshold = (score[i] + score[i - 1]) / 2;
        }
    free(score);
    return threshold;
}

/* Roots of a forest; the root is the lowest number of its tree. */
static size_t
root(size_t *group, size_t i)
{
    while (group[i] != i) {
        group[i] = group[group[i]];
        i = group[i];
    }
    return i;
}

void
dup_groups(const struct dup_pairs *l, double threshold, size_t n,
           size_t *group)
{
    for (size_t i = 0; i < n; i++)
        group[i] = i;
    for (size_t k = 0; k < l->n; k++) {
        size_t a = root(group, l->item[k].a), b = root(group, l->item[k].b);

        if (l->item[k].score < threshold)
            continue;
        if (a < b)
            group[b] = a;
        else
            group[a] = b;
    }
    for (size_t i = 0; i < n; i++)
        group[i] = root(group, i);
}
