/* What feeds a training run: batches with their targets, rows by folds. */
#include "check.h"
#include "noise.h"

#include "base/str.h"
#include "base/version.h"
#include "learn/loader.h"
#include "learn/parts.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Rows a..h of 20 x 20 pixels; f has no label. */
enum { N = 8, SIDE = 20, CROP = 16, PIXELS = SIDE * SIDE, CLASSES = 3 };

static const int64_t labels[N] = { 1, 0, 2, 2, 0, -1, 1, 0 };
static const char ids[] = "a\0b\0c\0d\0e\0f\0g\0h";

static char path[64], table[64];
static uint8_t px[N][PIXELS];

static void
dataset(struct dataset *d)
{
    static const char classes[] = "x\ty\tz";
    static const char recipe[] =
        "resize=20x20 crop=20 channels=1 mean=0.25 std=0.5";
    int64_t dims[4] = { N, SIDE, SIDE, 1 }, rows[2] = { N, 32 };
    int64_t nids = sizeof ids;
    uint8_t sha[N][32];
    uint32_t crc[N];
    struct dataset_parts parts = {
        .n = N, .labels = labels, .row_crc = crc, .ids = ids,
        .ids_nbytes = sizeof ids, .classes = classes, .recipe = recipe
    };
    char digest[DIGEST_HEX];
    struct safet_out o;
    struct err e = { 0 };

    snprintf(path, sizeof path, "/tmp/check-train-%ld.st", (long)getpid());
    snprintf(table, sizeof table, "/tmp/check-train-%ld.tsv", (long)getpid());
    for (uint32_t i = 0; i < N; i++) {
        noise(px[i], PIXELS, i);
        crc[i] = (uint32_t)crc32_z(0, px[i], PIXELS);
        memset(sha[i], (int)i + 1, 32);
    }
    dataset_digest(&parts, digest);
    ck_assert_int_eq(safet_create(&o, path, 2000, &e), 0);
    safet_put(&o, "images", DT_U8, 4, dims, px);
    safet_put(&o, "labels", DT_I64, 1, dims, labels);
    safet_put(&o, "row_crc", DT_U32, 1, dims, crc);
    safet_put(&o, "sha256", DT_U8, 2, rows, sha);
    safet_put(&o, "ids", DT_U8, 1, &nids, ids);
    safet_set(&o, "format", BUSI_FORMAT);
    safet_set(&o, "kind", "dataset");
    safet_set(&o, "classes", classes);
    safet_set(&o, "recipe", recipe);
    safet_set(&o, "content", digest);
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
    ck_assert_msg(dataset_open(d, path, &e) == 0, "%s", e.text);
}

static void
done(struct dataset *d)
{
    dataset_close(d);
    unlink(path);
    unlink(table);
}

static const struct look plain, ninth = { AUGMENT_NONE, 0, 9 },
    third = { AUGMENT_STRONG, 0, 3 }, fourth = { AUGMENT_STRONG, 0, 4 },
    mixed = { AUGMENT_NONE, 0.4, 2 };

static void
load(struct loader *l, const struct dataset *d, int threads)
{
    *l = (struct loader){ .data = d, .size = CROP, .classes = CLASSES,
                          .seed = 5, .threads = threads };
    loader_open(l, N);
}

/* ---------------------------------------------------------------- the loader */

/* -sum target * log softmax(z) over a batch, as backend.h has it. */
static double
loss(const struct feed *f, const double z[][CLASSES])
{
    double sum = 0;

    for (int i = 0; i < f->n; i++) {
        double norm = 0;

        for (int k = 0; k < CLASSES; k++)
            norm += exp(z[i][k]);
        for (int k = 0; k < CLASSES; k++)
            sum -= (double)f->targets[i * CLASSES + k] *
                   (z[i][k] - log(norm));
    }
    return sum;
}

/*
 * torch.nn.functional.cross_entropy(z, y, weight=w, label_smoothing=eps) in
 * PyTorch 2, float64, where y are the labels of rows a to e.
 */
START_TEST(targets_are_those_of_pytorch)
{
    static const double z[5][CLASSES] = {
        { 0.5, -1.25, 2 }, { 1.5, 0.25, -0.75 }, { -2, 0.125, 0.375 },
        { 3, -0.5, 1 }, { 0, 0.625, -1.5 }
    };
    static const double weight[CLASSES] = { 0.5, 1.75, 3 };
    static const struct {
        const double *weight;
        double smoothing, loss;
    } known[] = {
        { NULL, 0, 1.544399566150 }, { NULL, 0.1, 1.554399566150 },
        { NULL, 1, 1.644399566150 }, { weight, 0, 1.733084988192 },
        { weight, 0.1, 1.733145017417 }, { weight, 1, 1.733685280436 }
    };
    static const size_t rows[5] = { 0, 1, 2, 3, 4 };
    struct dataset d;

    dataset(&d);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        for (int cut = 0; cut <= 2; cut += 2) {
            struct err e = { 0 };
            struct loader l;
            struct feed f;
            double norm, sum = 0;

            load(&l, &d, 1);
            l.weight = known[i].weight;
            l.smoothing = known[i].smoothing;
            norm = loader_norm(&l, rows, 5);
            /* Two ranks' shares add up to the whole. */
            if (cut > 0) {
                ck_assert_int_eq(loader_fill(&l, rows, cut, &plain, norm, &f,
                                             &e), 0);
                sum = loss(&f, z);
            }
            ck_assert_int_eq(loader_fill(&l, rows + cut, 5 - cut, &plain,
                                         norm, &f, &e), 0);
            sum += loss(&f, z + cut);
            ck_assert_double_eq_tol(sum, known[i].loss, 1e-6);
            loader_close(&l);
        }
    done(&d);
}
END_TEST

START_TEST(a_batch_is_its_rows)
{
    static const size_t rows[3] = { 7, 0, 5 };
    struct dataset d;
    struct loader l;
    struct feed f;
    struct err e = { 0 };

    dataset(&d);
    load(&l, &d, 1);
    ck_assert_int_eq(loader_fill(&l, rows, 3, &ninth, 3, &f, &e), 0);
    ck_assert(f.n == 3 && f.epoch == 9 && f.seed == 5);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(f.samples[i], rows[i]);
        for (int y = 0; y < CROP; y++)
            for (int x = 0; x < CROP; x++) {
                uint8_t v = px[rows[i]][(y + 2) * SIDE + x + 2];
                float want = ((float)v / 255.0f - 0.25f) / 0.5f;

                ck_assert_float_eq(f.images[(i * CROP + y) * CROP + x], want);
            }
    }
    loader_close(&l);
    done(&d);
}
END_TEST

START_TEST(threads_and_company_make_no_difference)
{
    static const size_t rows[N] = { 3, 1, 4, 0, 2, 7, 6, 5 };
    enum { ONE = CROP * CROP };
    struct dataset d;
    struct loader one, two;
    struct feed f, g;
    struct err e = { 0 };

    dataset(&d);
    load(&one, &d, 1);
    load(&two, &d, 2);
    ck_assert_int_eq(loader_fill(&one, rows, N, &third, N, &f, &e), 0);
    ck_assert_int_eq(loader_fill(&two, rows, N, &third, N, &g, &e), 0);
    ck_assert_mem_eq(f.images, g.images, N * ONE * sizeof *f.images);
    ck_assert_mem_eq(f.targets, g.targets, N * CLASSES * sizeof *f.targets);
    /* A row alone is what it is among others, ... */
    ck_assert_int_eq(loader_fill(&two, rows + 4, 1, &third, N, &g, &e), 0);
    ck_assert_mem_eq(f.images + 4 * ONE, g.images, ONE * sizeof *f.images);
    /* ... and another in the next epoch. */
    ck_assert_int_eq(loader_fill(&two, rows + 4, 1, &fourth, N, &g, &e), 0);
    ck_assert_mem_ne(f.images + 4 * ONE, g.images, ONE * sizeof *f.images);
    loader_close(&one);
    loader_close(&two);
    done(&d);
}
END_TEST

/*
 * With two classes apart from each other the target tells the share, and the
 * picture must be that much of two rows.
 */
START_TEST(mixup_mixes_pictures_and_targets_alike)
{
    static const size_t rows[N] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    static const size_t partner[1] = { 6 };
    enum { ONE = CROP * CROP };
    struct dataset d;
    struct loader l, two;
    struct feed f;
    struct err e = { 0 };
    float own[N * ONE], before = 0;
    int differ = 0;

    dataset(&d);
    load(&l, &d, 1);
    load(&two, &d, 2);
    l.partners = two.partners = partner;
    l.npartners = two.npartners = 1;
    ck_assert_int_eq(loader_fill(&l, rows, N, &plain, 1, &f, &e), 0);
    memcpy(own, f.images, sizeof own);
    ck_assert_int_eq(loader_fill(&l, rows, N, &mixed, 1, &f, &e), 0);
    for (int i = 0; i < N; i++) {
        const float *t = f.targets + i * CLASSES;
        float share;

        if (d.labels[i] < 0 || d.labels[i] == d.labels[6])
            continue;
        share = t[d.labels[i]];
        ck_assert(share >= 0.5f && share <= 1);
        ck_assert_float_eq_tol(t[d.labels[6]], 1 - share, 1e-6f);
        differ += share != before;
        before = share;
        for (int k = 0; k < ONE; k++)
            ck_assert_float_eq_tol(f.images[i * ONE + k],
                                   share * own[i * ONE + k] +
                                       (1 - share) * own[6 * ONE + k], 1e-5f);
    }
    ck_assert_int_ge(differ, 3);
    memcpy(own, f.images, sizeof own);
    ck_assert_int_eq(loader_fill(&two, rows, N, &mixed, 1, &f, &e), 0);
    ck_assert_mem_eq(own, f.images, sizeof own);
    loader_close(&l);
    loader_close(&two);
    done(&d);
}
END_TEST

/* The mean of a draw's larger share: 1/2 + 4^-a / (a B(a, a)). */
START_TEST(mixup_draws_from_the_beta_distribution)
{
    static const double of[] = { 1e-5, 0.1, 0.3, 1, 1.5, 4, 30 };
    static const size_t partner[2] = { 6, 7 };
    enum { DRAWS = 20000 };
    const struct loader l = { .seed = 3, .partners = partner,
                              .npartners = 2 };

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        double a = of[i], sum = 0, share;
        double want = 0.5 + exp(-a * log(4) - log(a) - 2 * lgamma(a) +
                                lgamma(2 * a));

        for (uint32_t k = 0; k < DRAWS; k++) {
            const struct look look = { AUGMENT_NONE, a, k };

            loader_partner(&l, &look, k % 8, &share);
            ck_assert(share >= 0.5 && share <= 1);
            sum += share;
        }
        /* Five standard errors at the widest, of a uniform share. */
        ck_assert_float_eq_tol((float)(sum / DRAWS), (float)want, 0.0055f);
    }
}
END_TEST

START_TEST(a_damaged_row_is_an_error)
{
    static const size_t rows[3] = { 0, 3, 1 };
    struct dataset d;
    struct loader l;
    struct feed f;
    struct err e = { 0 };
    uint8_t other;
    int fd;

    dataset(&d);
    load(&l, &d, 2);
    fd = open(path, O_WRONLY);
    other = (uint8_t)(px[3][0] ^ 1);
    ck_assert_int_eq(pwrite(fd, &other, 1,
                            (off_t)(d.images - d.file.map.data) + 3 * PIXELS),
                     1);
    close(fd);
    ck_assert_int_eq(loader_fill(&l, rows, 3, &plain, 3, &f, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "'d'"));
    loader_close(&l);
    done(&d);
}
END_TEST

/* ----------------------------------------------------------------- the parts */

static void
write_table(const char *text)
{
    FILE *f = fopen(table, "w");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

static const char folds4[] =
    "id\tfold\nh\t3\ng\t2\nf\t1\ne\t1\nd\t0\nc\t3\nb\t2\na\t0\n";

static void
is_rows(const size_t *rows, size_t n, const char *want)
{
    char text[N + 1] = "";

    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + rows[i]);
    ck_assert_str_eq(text, want);
}

static void
is_parts(const struct dataset *d, const char *file, int64_t fold,
         const char *train, const char *val, const char *test)
{
    struct parts p;
    struct err e = { 0 };

    ck_assert_msg(parts_open(&p, d, file, fold, &e) == 0, "%s", e.text);
    is_rows(p.train, p.ntrain, train);
    is_rows(p.val, p.nval, val);
    is_rows(p.test, p.ntest, test);
    parts_train_on_val(&p);
    ck_assert_uint_eq(p.ntrain, strlen(train) + strlen(val));
    ck_assert_uint_eq(p.nval, 0);
    for (size_t i = 1; i < p.ntrain; i++)
        ck_assert_uint_lt(p.train[i - 1], p.train[i]);
    is_rows(p.test, p.ntest, test);
    parts_release(&p);
}

START_TEST(folds_say_what_a_row_does)
{
    struct dataset d;

    dataset(&d);
    write_table(folds4);
    is_parts(&d, table, 0, "bcgh", "e", "ad");
    is_parts(&d, table, 1, "acdh", "bg", "e");
    is_parts(&d, table, 2, "ade", "ch", "bg");
    is_parts(&d, table, 3, "beg", "ad", "ch");      /* 0 follows on 3 */
    is_parts(&d, table, -1, "abcdegh", "", "");
    is_parts(&d, NULL, -1, "abcdegh", "", "");
    /* Of two folds none is left to validate. */
    write_table("id\tfold\na\t0\nb\t1\nc\t0\nd\t1\ne\t0\nf\t1\ng\t0\nh\t1\n");
    is_parts(&d, table, 0, "bdh", "", "aceg");
    is_parts(&d, table, 1, "aceg", "", "bdh");
    done(&d);
}
END_TEST

START_TEST(the_table_is_named_by_its_text)
{
    struct dataset d;
    struct parts p;
    struct err e = { 0 };
    char hex[DIGEST_HEX];

    dataset(&d);
    write_table(folds4);
    digest_bytes(folds4, sizeof folds4 - 1, hex);
    ck_assert_int_eq(parts_open(&p, &d, table, 0, &e), 0);
    ck_assert_str_eq(p.digest, hex);
    ck_assert_int_eq(p.k, 4);
    parts_release(&p);
    done(&d);
}
END_TEST

START_TEST(what_does_not_belong_together_is_refused)
{
    /* The SHA-256 of rows a and b are 01 01 ... and 02 02 ... */
    static const char ones[] = "0101010101010101010101010101010101010101"
                               "010101010101010101010101";
    static const char head[] =
        "id\tfold\nb\t0\nc\t1\nd\t2\ne\t0\nf\t1\ng\t2\nh\t0\n";
    static const struct {
        const char *row, *words[3];
        int64_t fold;
    } wrong[] = {
        { "", { "lacks 'a'", path, table }, 0 },
        { "a\t0\n", { "has no fold 3", table }, 3 },
        { "a\t-1\n", { "no fold -1", "line 9" }, 0 },
        { "a\t1000000\n", { "no fold 1000000", "line 9" }, 0 },
        { "a\tx\n", { "line 9", table }, 0 },
        { "a\t\n", { "line 9", table }, 0 },
        { "a\t1\na\t1\n", { "'a'", table }, 0 }
    };
    struct dataset d;
    struct parts p;
    char text[1000];

    dataset(&d);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = { 0 };

        snprintf(text, sizeof text, "%s%s", head, wrong[i].row);
        write_table(text);
        ck_assert_msg(parts_open(&p, &d, table, wrong[i].fold, &e) == -1,
                      "'%s'", wrong[i].row);
        ck_assert_int_eq(e.status, EXIT_INVALID);
        for (int j = 0; j < 3 && wrong[i].words[j] != NULL; j++)
            ck_assert_msg(strstr(e.text, wrong[i].words[j]) != NULL, "%s",
                          e.text);
    }
    for (int same = 0; same <= 1; same++) {
        struct err e = { 0 };
        struct str s = { 0 };

        str_add(&s, "id\tfold\tsha256\n");
        for (int i = 0; i < N; i++) {
            str_addf(&s, "%c\t%d\t", 'a' + i, i % 3);
            for (int k = 0; k < 32; k++)
                str_addf(&s, "%02x", i + 1);
            str_add(&s, "\n");
        }
        if (!same)      /* b with the bytes of a */
            memcpy(strstr(s.text, "0202"), ones, 64);
        write_table(s.text);
        ck_assert_int_eq(parts_open(&p, &d, table, 0, &e), same ? 0 : -1);
        if (!same)
            ck_assert_ptr_nonnull(strstr(e.text, "'b' has another SHA-256"));
        parts_release(&p);
        str_release(&s);
    }
    done(&d);
}
END_TEST

START_TEST(something_must_be_left_to_train_on)
{
    struct dataset d;
    struct parts p;
    struct err e = { 0 };

    dataset(&d);
    write_table("id\tfold\na\t0\nb\t0\nc\t0\nd\t0\ne\t0\nf\t1\ng\t0\nh\t0\n");
    ck_assert_int_eq(parts_open(&p, &d, table, 0, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "no labelled row to train on"));
    done(&d);
}
END_TEST

CHECK_MAIN("train", 30, targets_are_those_of_pytorch, a_batch_is_its_rows,
           threads_and_company_make_no_difference,
           mixup_mixes_pictures_and_targets_alike,
           mixup_draws_from_the_beta_distribution, a_damaged_row_is_an_error,
           folds_say_what_a_row_does, the_table_is_named_by_its_text,
           what_does_not_belong_together_is_refused,
           something_must_be_left_to_train_on)
