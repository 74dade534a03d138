/* Datasets made here by hand, so that wrong ones can be made as well. */
#include "check.h"
#include "noise.h"

#include "base/str.h"
#include "base/version.h"
#include "data/dataset.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { N = 3, SIDE = 16, PIXELS = SIDE * SIDE };

static char path[64];

/* What to write; the tests spoil one thing at a time. */
struct draft {
    const char *recipe, *classes, *kind, *content;
    bool f32, wrong_value;
    int c;
    int64_t labels[N], labels_n, images_n;
    const char *ids;
    size_t ids_nbytes;
    uint8_t px[N][PIXELS * 3];
};

static void
draft_init(struct draft *d, const char *numbers, int c, bool f32)
{
    static char recipe[200];

    memset(d, 0, sizeof *d);
    snprintf(recipe, sizeof recipe, "resize=16x16 crop=16 channels=%d %s", c,
             numbers);
    d->recipe = recipe;
    d->classes = "benign\tmalignant";
    d->kind = "dataset";
    d->c = c;
    d->f32 = f32;
    d->labels[0] = 1;
    d->labels[1] = -1;
    d->labels_n = d->images_n = N;
    d->ids = "b/2\0a/1\0c";
    d->ids_nbytes = 10;
    /* Row 0 holds all 256 values. */
    for (int i = 0; i < PIXELS * c; i++)
        d->px[0][i] = (uint8_t)(i / c);
    noise(d->px[1], (size_t)(PIXELS * c), 1);
    noise(d->px[2], (size_t)(PIXELS * c), 2);
    snprintf(path, sizeof path, "/tmp/check-dataset-%ld", (long)getpid());
}

/* The float row [C,H,W] of a picture, with NumPy's order of operations. */
static void
floats(const struct draft *d, const uint8_t *px, float *out)
{
    struct recipe r;

    ck_assert_int_eq(recipe_parse(&r, d->recipe, NULL), 0);
    for (int k = 0; k < d->c; k++)
        for (int i = 0; i < PIXELS; i++) {
            float unit = (float)px[i * d->c + k] / 255.0f;

            *out++ = (unit - r.mean[k]) / r.std[k];
        }
}

static void
write_draft(const struct draft *d)
{
    int64_t c = d->c, dims[4] = { d->images_n, SIDE, SIDE, c };
    int64_t planes[4] = { d->images_n, c, SIDE, SIDE };
    int64_t rows[2] = { N, 32 }, nids = (int64_t)d->ids_nbytes;
    static const uint8_t sha[N * 32];
    struct dataset_parts parts = {
        .n = N, .labels = d->labels, .ids = d->ids,
        .ids_nbytes = d->ids_nbytes, .classes = d->classes,
        .recipe = d->recipe
    };
    struct safet_out o;
    struct err e = { 0 };
    uint32_t crc[N] = { 0 };
    char digest[DIGEST_HEX];
    float f[PIXELS * 3] = { 0 };

    ck_assert_int_eq(safet_create(&o, path, 2000, &e), 0);
    safet_begin(&o, "images", d->f32 ? DT_F32 : DT_U8);
    for (int i = 0; i < d->images_n; i++) {
        const void *row = d->f32 ? (void *)f : (void *)d->px[i];
        size_t nbytes = (size_t)(PIXELS * c) * (d->f32 ? 4 : 1);

        if (d->f32)
            floats(d, d->px[i], f);
        if (d->wrong_value)
            f[7] += 1e-4f;
        crc[i] = (uint32_t)crc32_z(0, row, nbytes);
        safet_add(&o, row, nbytes);
    }
    parts.row_crc = crc;
    safet_end(&o, 4, d->f32 ? planes : dims);
    safet_put(&o, "ids", DT_U8, 1, &nids, d->ids);  /* labels lie odd then */
    safet_put(&o, "labels", DT_I64, 1, &d->labels_n, d->labels);
    safet_put(&o, "row_crc", DT_U32, 1, rows, crc);
    safet_put(&o, "sha256", DT_U8, 2, rows, sha);
    dataset_digest(&parts, digest);
    safet_set(&o, "format", BUSI_FORMAT);
    safet_set(&o, "kind", d->kind);
    safet_set(&o, "classes", d->classes);
    safet_set(&o, "recipe", d->recipe);
    safet_set(&o, "content", d->content != NULL ? d->content : digest);
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
}

START_TEST(rows_come_back)
{
    static const char *const numbers[] = {
        "mean=0.5 std=0.5", "mean=0 std=1", "mean=0.485 std=0.229",
        "mean=0.3333 std=0.0771", "mean=-2.5 std=7", "mean=1000 std=0.01"
    };

    for (size_t k = 0; k < 2 * sizeof numbers / sizeof numbers[0]; k++)
        for (int c = 1; c <= 3; c += 2) {
            struct dataset d;
            struct draft t;
            struct err e = { 0 };
            uint8_t px[PIXELS * 3];

            draft_init(&t, numbers[k / 2], c, k % 2);
            write_draft(&t);
            ck_assert_msg(dataset_open(&d, path, &e) == 0, "%s", e.text);
            ck_assert(d.n == N && d.c == c && d.h == SIDE && d.w == SIDE);
            ck_assert(d.f32 == (k % 2 == 1) && d.classes.n == 2);
            for (size_t i = 0; i < N; i++) {
                ck_assert_msg(dataset_row(&d, i, px, &e) == 0, "%s", e.text);
                ck_assert_mem_eq(px, t.px[i], (size_t)(PIXELS * c));
                ck_assert_int_eq(d.labels[i], t.labels[i]);
            }
            ck_assert_int_eq(dataset_find(&d, "b/2"), 0);
            ck_assert_int_eq(dataset_find(&d, "a/1"), 1);
            ck_assert_int_eq(dataset_find(&d, "c"), 2);
            ck_assert_int_eq(dataset_find(&d, "d"), -1);
            ck_assert_str_eq(d.ids[1], "a/1");
            dataset_close(&d);
        }
    unlink(path);
}
END_TEST

static void
refused(const struct draft *t, const char *words)
{
    struct dataset d;
    struct err e = { 0 };

    write_draft(t);
    ck_assert_msg(dataset_open(&d, path, &e) == -1, "%s", words);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_msg(strstr(e.text, words) != NULL, "%s", e.text);
}

START_TEST(unsound_ones_are_refused)
{
    static const char usual[] = "mean=0.5 std=0.5";
    struct draft t;

#define SPOIL(words, ...)                   \
    do {                                    \
        draft_init(&t, usual, 1, false);    \
        __VA_ARGS__;                        \
        refused(&t, words);                 \
    } while (0)
    SPOIL("model file", t.kind = "model");
    SPOIL("number of no class", t.labels[2] = 2);
    SPOIL("number of no class", t.labels[2] = -2);
    SPOIL("'labels'", t.labels_n = 2);
    SPOIL("'labels'", t.images_n = 2);
    SPOIL("one id for each", t.ids_nbytes = 8);
    SPOIL("one id for each", t.ids_nbytes = 9);
    SPOIL("one id for each", t.ids = "b/2\0a/1\0c\0d", t.ids_nbytes = 12);
    SPOIL("twice", t.ids = "b/2\0a/1\0b/2", t.ids_nbytes = 12);
    SPOIL("no id", t.ids = "b/2\0a/1\0", t.ids_nbytes = 9);
    SPOIL("digest", t.content = "0000");
    SPOIL("class", t.classes = "benign\tbenign");
    SPOIL("class", t.classes = "benign\t");
    SPOIL("its recipe", t.recipe = "resize=16x16");
    SPOIL("as its recipe makes",
          t.recipe = "resize=16x16 crop=15 channels=1 mean=0 std=1");
    SPOIL("as its recipe makes",
          t.recipe = "resize=16x16 crop=16 channels=3 mean=0 std=1");
#undef SPOIL
    unlink(path);
}
END_TEST

START_TEST(damage_is_found_by_row)
{
    struct dataset d;
    struct draft t;
    struct err e = { 0 };
    uint8_t px[PIXELS * 3];
    size_t at;
    int fd;

    draft_init(&t, "mean=0.5 std=0.5", 1, false);
    write_draft(&t);
    ck_assert_int_eq(dataset_open(&d, path, &e), 0);
    at = (size_t)(d.images - d.file.map.data) + PIXELS + 5;    /* row 1 */
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "\377", 1, (off_t)at), 1);
    close(fd);
    ck_assert_int_eq(dataset_row(&d, 0, px, &e), 0);
    ck_assert_int_eq(dataset_row(&d, 2, px, &e), 0);
    ck_assert_int_eq(dataset_row(&d, 1, px, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "a/1"));
    dataset_close(&d);

    err_clear(&e);
    draft_init(&t, "mean=0.5 std=0.5", 1, true);
    t.wrong_value = true;
    write_draft(&t);
    ck_assert_int_eq(dataset_open(&d, path, &e), 0);
    ck_assert_int_eq(dataset_row(&d, 0, px, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "does not make"));
    dataset_close(&d);
    unlink(path);
}
END_TEST

CHECK_MAIN("dataset", 30, rows_come_back, unsound_ones_are_refused,
           damage_is_found_by_row)
