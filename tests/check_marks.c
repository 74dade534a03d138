/*
 * Crosses, letters and colour drawn into tissue made of noise.
 *
 * tests/marks-judged.tsv holds what was seen by eye in 625 scans of BUSI: give
 * this program the folder of BUSI in BUSI to count against it.
 */
#include "check.h"
#include "noise.h"

#include "base/table.h"
#include "data/image_file.h"
#include "data/marks.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { W = 320, H = 240 };

/* Gray blobs of about 8 pixels, from 20 to 190. */
static void
tissue(struct image *m, uint32_t seed)
{
    struct image small;

    image_init(&small, W / 8, H / 8, 1);
    noise(small.px, (size_t)small.w * (size_t)small.h, seed);
    for (int i = 0; i < small.w * small.h; i++)
        small.px[i] = (uint8_t)(20 + small.px[i] * 2 / 3);
    image_resize(m, &small, W, H);
    image_release(&small);
}

static void
box(struct image *m, int x, int y, int w, int h, uint8_t value)
{
    for (int i = 0; i < h; i++)
        for (int k = 0; k < w; k++)
            m->px[(y + i) * m->w + x + k] = value;
}

/* Strokes of `width`, arms of `arm` pixels beside the centre. */
static void
cross(struct image *m, int x, int y, int arm, int width)
{
    int a = 2 * arm + width;

    box(m, x - arm - width / 2, y - width / 2, a, width, 228);
    box(m, x - width / 2, y - arm - width / 2, width, a, 228);
}

/* A letter 10 wide and 14 high, strokes of 2. */
static void
letter(struct image *m, char c, int x, int y)
{
    box(m, c == 'L' ? x : x + 4, y, 2, 14, 228);
    box(m, x, c == 'L' ? y + 12 : y, 10, 2, 228);
}

static void
finds(const struct image *m, const char *expected, const char *what)
{
    struct str s = { 0 };

    marks_print(marks_find(m), &s);
    ck_assert_msg(strcmp(s.text, expected) == 0, "%s: '%s', not '%s'", what,
                  s.text, expected);
    str_release(&s);
}

START_TEST(tissue_alone_has_none)
{
    struct image m;

    for (uint32_t seed = 1; seed <= 20; seed++) {
        tissue(&m, seed);
        finds(&m, "", "tissue");
        image_release(&m);
    }
    image_init(&m, 3, 2, 1);
    finds(&m, "", "a tiny picture");
    image_release(&m);
}
END_TEST

START_TEST(crosses_of_all_sizes)
{
    static const struct { int arm, width; } size[] = {
        { 6, 1 }, { 6, 2 }, { 7, 2 }, { 8, 3 }, { 9, 3 }, { 12, 5 }
    };
    struct image m, big;

    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        tissue(&m, (uint32_t)i + 30);
        cross(&m, 100, 80, size[i].arm, size[i].width);
        cross(&m, 200, 120, size[i].arm, size[i].width);
        finds(&m, "caliper", "two crosses");
        image_release(&m);
    }
    /* As in copies that were enlarged. */
    tissue(&m, 50);
    cross(&m, 100, 80, 8, 3);
    image_resize(&big, &m, W * 6 / 5, H * 6 / 5);
    finds(&big, "caliper", "enlarged by 1.2");
    image_release(&big);
    image_resize(&big, &m, W * 193 / 100, H * 193 / 100);
    finds(&big, "caliper", "enlarged by 1.93");
    image_release(&big);
    image_release(&m);
}
END_TEST

/* Corners, bars, uneven arms and a bright cross of tissue are none. */
START_TEST(what_is_no_cross)
{
    struct image m;

    tissue(&m, 60);
    box(&m, 50, 50, 80, 3, 228);
    box(&m, 200, 40, 3, 60, 228);
    box(&m, 60, 120, 3, 30, 228);
    box(&m, 60, 147, 30, 3, 228);
    finds(&m, "", "bars and a corner");
    cross(&m, 200, 150, 8, 3);
    box(&m, 201, 149, 40, 3, 228);
    finds(&m, "", "one long arm");
    image_release(&m);
}
END_TEST

START_TEST(letters_in_a_line)
{
    struct image m;

    tissue(&m, 70);
    letter(&m, 'L', 100, 150);
    finds(&m, "", "one letter");
    letter(&m, 'T', 114, 150);
    finds(&m, "text", "two letters");
    cross(&m, 60, 60, 8, 3);
    finds(&m, "caliper,text", "both");
    image_release(&m);
    tissue(&m, 71);
    letter(&m, 'L', 100, 2);
    letter(&m, 'T', 114, 2);
    finds(&m, "", "at the top border");
    letter(&m, 'L', 100, 100);
    letter(&m, 'T', 114, 120);
    finds(&m, "", "not in one line");
    image_release(&m);
}
END_TEST

START_TEST(colour_on_gray)
{
    struct image m, rgb;

    tissue(&m, 80);
    image_init(&rgb, m.w, m.h, 3);
    for (int i = 0; i < m.w * m.h; i++)
        memset(rgb.px + 3 * i, m.px[i], 3);
    finds(&rgb, "", "gray as RGB");
    for (int i = 0; i < 49; i++)
        rgb.px[3 * (60 * W + 20 + i)] ^= 0x40;
    finds(&rgb, "", "49 pixels");
    rgb.px[3 * (60 * W + 80)] ^= 0x40;
    finds(&rgb, "colour", "50 pixels");
    image_release(&m);
    image_release(&rgb);
}
END_TEST

/* Found and missed of a kind, among those judged. */
static void
count(const struct table *t, const unsigned *found, const char *name,
      unsigned kind, size_t most_missed, size_t most_wrong)
{
    size_t right = 0, missed = 0, wrong = 0;

    for (size_t i = 0; i < t->nrows; i++) {
        bool seen = strstr(t->row[i][1], name) != NULL;
        bool told = (found[i] & kind) != 0;

        right += seen && told;
        missed += seen && !told;
        wrong += told && !seen;
    }
    printf("%s: %zu right, %zu missed, %zu wrong\n", name, right, missed,
           wrong);
    ck_assert_uint_gt(right, 0);
    ck_assert_uint_le(missed, most_missed);
    ck_assert_uint_le(wrong, most_wrong);
}

START_TEST(as_judged_by_eye)
{
    const char *busi = getenv("BUSI");
    struct err e = { 0 };
    struct table t;
    unsigned *found;

    if (busi == NULL) {
        printf("SKIP: BUSI is not set: marks not held against BUSI\n");
        return;
    }
    ck_assert_msg(table_read(&t, "tests/marks-judged.tsv", &e) == 0, "%s",
                  e.text);
    found = calloc(t.nrows, sizeof *found);
    for (size_t i = 0; i < t.nrows; i++) {
        char *path = str_format("%s/%s", busi, t.row[i][0]);
        struct image m;

        ck_assert_msg(image_load(&m, path, &e) == 0, "%s: %s", path, e.text);
        found[i] = marks_find(&m);
        image_release(&m);
        free(path);
    }
    count(&t, found, "caliper", MARK_CALIPER, 1, 0);
    count(&t, found, "text", MARK_TEXT, 9, 0);
    count(&t, found, "colour", MARK_COLOUR, 0, 0);
    free(found);
    table_release(&t);
}
END_TEST

CHECK_MAIN("marks", 120, tissue_alone_has_none, crosses_of_all_sizes,
           what_is_no_cross, letters_in_a_line, colour_on_gray,
           as_judged_by_eye)
