/* Folds: what a split promises, on manifests drawn at random. */
#include "check.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/table.h"
#include "data/fold.h"

#include <stdio.h>
#include <string.h>

static const char *const columns[] = {
    "id", "label", "sha256", "group", "conflict", NULL
};

/* A row; sha256 by number, group "" for none. */
static void
row(struct table *t, const char *id, const char *label, size_t sha,
    const char *group)
{
    char hex[32];
    const char *cells[] = { id, label, hex, group, "0" };

    snprintf(hex, sizeof hex, "%zu", sha);
    table_add(t, cells);
}

/*
 * A manifest like BUSI: labels in about its shares, most scans alone, some in
 * groups of up to 12, few groups torn between labels.
 */
static void
draw_manifest(struct table *t, uint64_t seed, size_t n)
{
    static const char *const labels[] = { "benign", "malignant", "normal" };
    struct rng r;
    size_t left = 0, group = 0;
    uint32_t label = 0;

    rng_init(&r, seed, RNG_PHANTOM, 0, 0);
    table_init(t, columns);
    for (size_t i = 0; i < n; i++, left--) {
        char id[32], name[32];

        if (left == 0) {
            uint32_t u = rng_below(&r, 100);

            left = rng_below(&r, 3) > 0 ? 1 : 1 + rng_below(&r, 12);
            label = u < 56 ? 0 : u < 83 ? 1 : 2;
            group++;
        }
        if (left > 1 && rng_below(&r, 40) == 0)
            label = rng_below(&r, 3);
        snprintf(id, sizeof id, "%s (%zu).png", labels[label], i);
        snprintf(name, sizeof name, "g%zu", group);
        row(t, id, labels[label], i, name);
    }
}

static int *
assign(const struct table *t, const char *group, int k, uint64_t seed,
       uint32_t round)
{
    int *fold = mem_array(t->nrows, sizeof *fold);
    struct err e = { 0 };
    struct fold_set s;

    ck_assert_msg(fold_open(&s, t, group, &e) == 0, "%s", e.text);
    ck_assert_msg(fold_assign(&s, k, seed, round, fold, &e) == 0, "%s", e.text);
    fold_close(&s);
    return fold;
}

/* What a split promises, counted here without the library's own proof. */
START_TEST(promises)
{
    struct table t;
    static const char *const labels[] = { "benign", "malignant", "normal" };
    size_t n = 40 + (size_t)_i * 37 % 800;
    int k = 2 + _i % 9;
    int *fold;

    draw_manifest(&t, (uint64_t)_i, n);
    fold = assign(&t, "group", k, 1, 0);
    for (size_t i = 0; i < n; i++) {
        ck_assert(fold[i] >= 0 && fold[i] < k);
        for (size_t j = 0; j < i; j++)
            if (strcmp(t.row[i][3], t.row[j][3]) == 0)
                ck_assert_int_eq(fold[i], fold[j]);
    }
    for (int f = 0; f < k; f++) {
        size_t here = 0;

        for (size_t i = 0; i < n; i++)
            here += fold[i] == f;
        ck_assert_msg(here > 0, "fold %d of %d is empty", f, k);
    }
    for (size_t c = 0; c < 3; c++) {
        size_t most = 0, least = n, largest = 1;

        for (int f = 0; f < k; f++) {
            size_t here = 0;

            for (size_t i = 0; i < n; i++)
                here += fold[i] == f && strcmp(t.row[i][1], labels[c]) == 0;
            most = here > most ? here : most;
            least = here < least ? here : least;
        }
        for (size_t i = 0; i < n; i++) {
            size_t size = 0;

            for (size_t j = 0; j < n; j++)
                size += strcmp(t.row[i][3], t.row[j][3]) == 0 &&
                        strcmp(t.row[j][1], labels[c]) == 0;
            largest = size > largest ? size : largest;
        }
        ck_assert_msg(most - least <= largest, "%s: %zu to %zu, largest %zu",
                      labels[c], least, most, largest);
    }
    free(fold);
    table_release(&t);
}
END_TEST

/* Rows in another order and groups under other names: the same split. */
START_TEST(order_and_names_do_not_count)
{
    enum { N = 300 };
    struct table t, u;
    size_t index[N];
    struct rng r;
    int *a, *b, *c;
    size_t other = 0;

    draw_manifest(&t, 5, N);
    rng_init(&r, 9, RNG_SHUFFLE, 0, 0);
    for (size_t i = 0; i < N; i++)
        index[i] = i;
    rng_shuffle(&r, index, N);
    table_init(&u, columns);
    for (size_t i = 0; i < N; i++) {
        char **cells = t.row[index[i]];
        char name[64];

        /* Names that sort the other way round. */
        snprintf(name, sizeof name, "x%d", 1000 - atoi(cells[3] + 1));
        row(&u, cells[0], cells[1], index[i], name);
    }
    a = assign(&t, "group", 5, 3, 0);
    b = assign(&u, "group", 5, 3, 0);
    for (size_t i = 0; i < N; i++)
        ck_assert_int_eq(b[i], a[index[i]]);
    c = assign(&t, "group", 5, 4, 0);
    for (size_t i = 0; i < N; i++)
        other += c[i] != a[i];
    ck_assert_uint_gt(other, N / 2);
    free(c);
    c = assign(&t, "group", 5, 3, 1);
    for (size_t i = other = 0; i < N; i++)
        other += c[i] != a[i];
    ck_assert_uint_gt(other, N / 2);
    free(a);
    free(b);
    free(c);
    table_release(&t);
    table_release(&u);
}
END_TEST

/* g1 = {a, b}; c has the bytes of b; d and e have no group. */
static void
small_manifest(struct table *t)
{
    table_init(t, columns);
    row(t, "e", "x", 5, "");
    row(t, "d", "x", 4, "");
    row(t, "c", "y", 2, "g2");
    row(t, "b", "x", 2, "g1");
    row(t, "a", "x", 1, "g1");
}

START_TEST(bytes_join_groups)
{
    struct table t;
    struct fold_set s;
    struct err e = { 0 };

    small_manifest(&t);
    ck_assert_int_eq(fold_open(&s, &t, "group", &e), 0);
    ck_assert_uint_eq(s.nunits, 3);
    ck_assert_uint_eq(s.unit[4], 0);            /* a: the first id */
    ck_assert_uint_eq(s.unit[3], 0);
    ck_assert_uint_eq(s.unit[2], 0);
    ck_assert_uint_eq(s.unit[1], 1);
    ck_assert_uint_eq(s.unit[0], 2);
    ck_assert(fold_conflict(&s, 0) && !fold_conflict(&s, 1));
    ck_assert_uint_eq(fold_units(&s, 0), 3);
    ck_assert_uint_eq(fold_units(&s, 1), 1);
    fold_close(&s);
    ck_assert_int_eq(fold_open(&s, &t, NULL, &e), 0);
    ck_assert_uint_eq(s.nunits, 4);             /* bytes alone */
    fold_ungroup(&s);
    ck_assert_uint_eq(s.nunits, 5);
    fold_close(&s);
    ck_assert_int_eq(fold_open(&s, &t, "patient", &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    table_release(&t);
}
END_TEST

START_TEST(filters)
{
    struct table t;
    struct err e = { 0 };

    small_manifest(&t);
    ck_assert_int_eq(fold_filter(&t, "group", false, true, &e), 0);
    ck_assert_uint_eq(t.nrows, 3);              /* e, d, and a for its unit */
    ck_assert_str_eq(t.row[0][0], "e");
    ck_assert_str_eq(t.row[2][0], "a");
    table_release(&t);
    small_manifest(&t);
    table_set(&t, 1, 4, "1");                   /* conflict of d */
    ck_assert_int_eq(fold_filter(&t, "group", true, false, &e), 0);
    ck_assert_uint_eq(t.nrows, 1);
    ck_assert_str_eq(t.row[0][0], "e");
    table_release(&t);
}
END_TEST

START_TEST(refusals)
{
    struct table t;
    struct fold_set s;
    struct err e = { 0 };
    int fold[5];

    small_manifest(&t);
    ck_assert_int_eq(fold_open(&s, &t, "group", &e), 0);
    ck_assert_int_eq(fold_assign(&s, 3, 1, 0, fold, &e), 0);
    ck_assert_int_eq(fold_assign(&s, 4, 1, 0, fold, &e), -1);
    ck_assert_str_eq(e.text, "4 folds want as many groups, 'table' has 3");
    fold_close(&s);
    err_clear(&e);
    table_set(&t, 1, 1, "");
    table_set(&t, 3, 1, "");
    ck_assert_int_eq(fold_open(&s, &t, "group", &e), 0);
    ck_assert_int_eq(fold_assign(&s, 2, 1, 0, fold, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_str_eq(e.text,
                     "2 of 5 scans carry no label, the first is 'b'");
    fold_close(&s);
    table_release(&t);
}
END_TEST

/* Every kind of fault is found and named. */
START_TEST(proof_finds_faults)
{
    static const struct { const char *cell[5], *says; int k; } cases[] = {
        { { "1", "0", "0", "0", "0" }, NULL, 0 },
        { { "1", "0", "0", "0", "0" }, NULL, 2 },
        { { "1", "0", "0", "0", "1" }, "'a' in fold 1 and 'b' in fold 0", 0 },
        { { "1", "0", "1", "0", "0" }, "'a' in fold 0 and 'c' in fold 1", 0 },
        { { "", "1", "0", "0", "0" }, "'e' has no fold", 0 },
        { { "x", "1", "0", "0", "0" }, "'e' has fold 'x'", 0 },
        { { "-1", "1", "0", "0", "0" }, "'e' has fold '-1'", 0 },
        { { "2", "1", "0", "0", "0" }, "'e' has fold '2', not 0 to 1", 2 },
        { { "1", "1", "2", "2", "2" }, "fold 0 is empty", 0 },
        { { "1", "0", "0", "0", "0" }, "fold 2 is empty", 3 },
        { { "0", "0", "0", "0", "0" }, "no two folds", 0 },
        { { "", "", "", "", "" }, "no two folds", 0 }
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str_list faults = { 0 };
        struct fold_set s;
        struct table t;
        int fold[5], k;
        bool said = false;
        size_t at;

        small_manifest(&t);
        at = table_column(&t, "fold");
        for (size_t j = 0; j < 5; j++)
            table_set(&t, j, at, cases[i].cell[j]);
        ck_assert_int_eq(fold_open(&s, &t, "group", NULL), 0);
        k = fold_read(&s, at, cases[i].k, fold, &faults);
        fold_check(&s, fold, k, &faults);
        for (size_t j = 0; j < faults.n; j++)
            said = said || (cases[i].says != NULL &&
                            strstr(faults.item[j], cases[i].says) != NULL);
        if (cases[i].says == NULL)
            ck_assert_msg(faults.n == 0, "case %zu: %s", i, faults.item[0]);
        else
            ck_assert_msg(said, "case %zu: %s", i,
                          faults.n > 0 ? faults.item[0] : "no fault");
        str_list_release(&faults);
        fold_close(&s);
        table_release(&t);
    }
}
END_TEST

START_TEST(proof_finds_imbalance)
{
    struct str_list faults = { 0 };
    struct fold_set s;
    struct table t;
    int fold[8] = { 0, 0, 0, 0, 0, 1, 1, 1 };

    table_init(&t, columns);
    for (size_t i = 0; i < 8; i++)
        row(&t, (const char *[]){ "a", "b", "c", "d", "e", "f", "g",
                                  "h" }[i], "x", i, "");
    ck_assert_int_eq(fold_open(&s, &t, "group", NULL), 0);
    fold_check(&s, fold, 2, &faults);           /* 5 and 3 of single scans */
    ck_assert_uint_eq(faults.n, 1);
    ck_assert_ptr_nonnull(strstr(faults.item[0], "label 'x' has from 3 to 5"));
    str_list_release(&faults);
    fold[4] = 1;
    fold_check(&s, fold, 2, &faults);
    ck_assert_uint_eq(faults.n, 0);
    fold_close(&s);
    table_release(&t);
}
END_TEST

START_TEST(counts)
{
    const int fold[5] = { 1, 1, 0, 0, 0 };
    static const char *const want[2][5] = {
        { "0", "3", "1", "2", "1" }, { "1", "2", "2", "2", "0" }
    };
    struct fold_set s;
    struct table t, out;

    small_manifest(&t);
    ck_assert_int_eq(fold_open(&s, &t, "group", NULL), 0);
    fold_counts(&s, fold, 2, &out);
    ck_assert_uint_eq(out.ncolumns, 5);
    ck_assert_str_eq(out.column[3], "n_x");
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 5; j++)
            ck_assert_str_eq(out.row[i][j], want[i][j]);
    table_release(&out);
    fold_close(&s);
    table_release(&t);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("fold");
    TCase *c = tcase_create("fold");
    SRunner *r;
    int failed;

    log_open("check_fold");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, promises, 0, 60);
    tcase_add_test(c, order_and_names_do_not_count);
    tcase_add_test(c, bytes_join_groups);
    tcase_add_test(c, filters);
    tcase_add_test(c, refusals);
    tcase_add_test(c, proof_finds_faults);
    tcase_add_test(c, proof_finds_imbalance);
    tcase_add_test(c, counts);
    suite_add_tcase(s, c);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
