/* dup: pairs side by side, to look at. */
#include "data/dup.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BOX_W = 200, BOX_H = 150,   /* for one picture */
    GAP = 8,
    TEXT_H = 14,                /* for the score below a pair */
    DOT = 2,                    /* side of a dot of a digit */
    CELL_W = 2 * BOX_W + 2 * GAP, CELL_H = BOX_H + TEXT_H + GAP,
    ACROSS = 3,                 /* pairs in a row */
    PAPER = 40, INK = 255
};

/* 3x5 dots, row by row from the top. */
static const uint16_t DIGITS[10] = {
    075557, 026227, 071747, 071717, 055711, 074717, 074757, 071111, 075757,
    075717
};

static void
put_picture(struct image *sheet, const struct image *m, int x, int y)
{
    double f = fmin((double)BOX_W / m->w, (double)BOX_H / m->h);
    int w = (int)(m->w * f), h = (int)(m->h * f);
    struct image fit;

    image_resize(&fit, m, w > 0 ? w : 1, h > 0 ? h : 1);
    for (int i = 0; i < fit.h; i++)
        memcpy(sheet->px + (size_t)(y + i) * sheet->w + x,
               fit.px + (size_t)i * fit.w, (size_t)fit.w);
    image_release(&fit);
}

static void
put_digit(struct image *sheet, int digit, int x, int y)
{
    for (int k = 0; k < 15; k++) {
        if ((DIGITS[digit] >> (14 - k) & 1) == 0)
            continue;
        for (int i = 0; i < DOT; i++)
            memset(sheet->px + (size_t)(y + k / 3 * DOT + i) * sheet->w + x
                   + k % 3 * DOT, INK, DOT);
    }
}

/* In thousandths. */
static void
put_score(struct image *sheet, double score, int x, int y)
{
    int v = (int)lrint(fmin(fmax(score, 0), 1) * 1000);

    for (int k = 3; k >= 0; k--, v /= 10)
        put_digit(sheet, v % 10, x + k * 5 * DOT, y);
}

static int
by_score(const void *p, const void *q)
{
    const struct dup_pair *a = p, *b = q;

    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return (a->b > b->b) - (a->b < b->b);
}

void
dup_sheet(const struct dup_scan *scan, const struct dup_pairs *l,
          double threshold, size_t most, struct image *out)
{
    struct dup_pair *item = mem_array(l->n, sizeof *item);
    size_t n = 0;
    int rows;

    for (size_t k = 0; k < l->n; k++)
        if (l->item[k].score >= threshold)
            item[n++] = l->item[k];
    qsort(item, n, sizeof *item, by_score);
    n = n < most ? n : most;
    rows = n > 0 ? (int)((n - 1) / ACROSS + 1) : 1;
    image_init(out, ACROSS * CELL_W + GAP, rows * CELL_H + GAP, 1);
    memset(out->px, PAPER, (size_t)out->w * out->h);
    for (size_t k = 0; k < n; k++) {
        int x = GAP + (int)(k % ACROSS) * CELL_W;
        int y = GAP + (int)(k / ACROSS) * CELL_H;

        put_picture(out, &scan[item[k].a].small, x, y);
        put_picture(out, &scan[item[k].b].small, x + BOX_W + 2, y);
        put_score(out, item[k].score, x, y + BOX_H + 2);
    }
    free(item);
}
