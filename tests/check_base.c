/* The base layer: strings, tables, files, digests, random numbers, threads. */
#include "check.h"

#include "base/child.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/pool.h"
#include "base/reject.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/table.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A scratch folder, and the tests run in it. */
static void
scratch_enter(char folder[32])
{
    memcpy(folder, "/tmp/check_base.XXXXXX", 23);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void
scratch_leave(const char *folder)
{
    char *command = str_format("rm -rf '%s'", folder);

    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static void
spill(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

static char *
slurp(const char *path)
{
    struct err e = { 0 };
    char *data = NULL;
    size_t n;

    ck_assert_msg(file_read(path, &data, &n, &e) == 0, "%s", e.text);
    return data;
}

/* --------------------------------------------------------------------- mem */

/* Also right after memory of that size was dirty. */
START_TEST(memory_is_zero_and_aligned)
{
    static const size_t size[] = { 1, 63, 64, 2 << 20, (2 << 20) + 1, 5 << 20 };

    for (size_t i = 0; i < 2 * ARRAY_LEN(size); i++) {
        size_t n = size[i / 2];
        unsigned char *p = (i % 2 ? mem_huge : mem_aligned)(n, 1);

        ck_assert_uint_eq((uintptr_t)p % 64, 0);
        ck_assert(p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
        memset(p, 255, n);
        free(p);
    }
}
END_TEST

/* --------------------------------------------------------------------- str */

START_TEST(natural_order)
{
    /* Each is before all that follow it. */
    static const char *const rising[] = {
        "", "1", "2", "10", "a", "a01", "a1", "a01b", "a2", "a10", "a10b",
        "a99999999999999999999", "a100000000000000000000", "b (2).png",
        "b (2)_mask.png", "b (10).png", "\xff"
    };

    for (size_t i = 0; i < ARRAY_LEN(rising); i++)
        for (size_t j = 0; j < ARRAY_LEN(rising); j++) {
            int order = str_natural(rising[i], rising[j]);

            ck_assert_msg(i < j ? order < 0 : i > j ? order > 0 : order == 0,
                          "'%s' and '%s': %d", rising[i], rising[j], order);
        }
}
END_TEST

START_TEST(numbers_from_text)
{
    static const char *const no_int[] = {
        "", "-", "+1", " 1", "1 ", "1.0", "0x10", "9223372036854775808"
    };
    static const char *const no_real[] = {
        "", "inf", "nan", "0x1p3", " 1", "1 ", "1e999", "-1e999", ".", "1e",
        "e5"
    };
    int64_t i;
    double d;

    ck_assert(str_int("-9223372036854775808", &i) && i == INT64_MIN);
    ck_assert(str_int("007", &i) && i == 7);
    for (size_t k = 0; k < ARRAY_LEN(no_int); k++)
        ck_assert_msg(!str_int(no_int[k], &i), "'%s'", no_int[k]);
    ck_assert(str_real("-1.5e-3", &d) && d == -1.5e-3);
    for (size_t k = 0; k < ARRAY_LEN(no_real); k++)
        ck_assert_msg(!str_real(no_real[k], &d), "'%s'", no_real[k]);
}
END_TEST

START_TEST(json_strings)
{
    struct str s = { 0 };

    str_add_json(&s, "");
    str_add_json(&s, "a\"b\\c\t\x1b\x7f \xc3\xa9\xff\xed\xa0\x80");
    ck_assert_str_eq(s.text, "\"\"\"a\\\"b\\\\c\\u0009\\u001b\\u007f "
                     "\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd\"");
    str_release(&s);
}
END_TEST

START_TEST(strings_grow)
{
    struct str s = { 0 };
    struct str_list l = { 0 };

    for (int i = 0; i < 1000; i++)
        str_addf(&s, "%d,", i);
    ck_assert_uint_eq(s.n, 10 * 2 + 90 * 3 + 900 * 4);
    ck_assert(str_ends(s.text, ",998,999,"));
    str_list_split(&l, s.text, ',');
    ck_assert_uint_eq(l.n, 1001);
    ck_assert_str_eq(l.item[999], "999");
    ck_assert_str_eq(l.item[1000], "");
    ck_assert_str_eq(str_base("a/b/c.png"), "c.png");
    ck_assert_str_eq(str_base("c.png"), "c.png");
    str_list_release(&l);
    str_release(&s);
}
END_TEST

/* ------------------------------------------------------------------- table */

START_TEST(table_round_trip)
{
    static const char *const columns[] = { "id", "a\tb", NULL };
    static const char *const cells[][2] = {
        { "tab\there", "new\nline" }, { "back\\slash", "return\r" },
        { "\\t is no tab", "" }, { "", "-x" },
        { "\xff\xfe invalid", "\xc3\xa4 umlaut" }
    };
    char folder[32];
    struct table t, u;
    struct err e = { 0 };
    char *text;

    scratch_enter(folder);
    table_init(&t, columns);
    for (size_t i = 0; i < ARRAY_LEN(cells); i++)
        ck_assert_uint_eq(table_add(&t, cells[i]), i);
    ck_assert_int_eq(table_save(&t, "t.tsv", &e), 0);
    text = slurp("t.tsv");
    ck_assert_ptr_nonnull(strstr(text, "id\ta\\tb\ntab\\there\tnew\\nline\n"
                                       "back\\\\slash\treturn\\r\n"));
    free(text);
    ck_assert_int_eq(table_read(&u, "t.tsv", &e), 0);
    ck_assert_uint_eq(u.nrows, ARRAY_LEN(cells));
    ck_assert_int_eq(table_find(&u, "a\tb"), 1);
    for (size_t i = 0; i < ARRAY_LEN(cells); i++)
        for (size_t j = 0; j < 2; j++)
            ck_assert_str_eq(u.row[i][j], cells[i][j]);
    table_release(&t);
    table_release(&u);
    scratch_leave(folder);
}
END_TEST

START_TEST(table_takes)
{
    char folder[32];
    struct table t;
    struct err e = { 0 };

    scratch_enter(folder);
    spill("crlf", "id\tn\r\na\t1\r\nb\t2");     /* no newline at the end */
    ck_assert_int_eq(table_read(&t, "crlf", &e), 0);
    ck_assert_uint_eq(t.nrows, 2);
    ck_assert_str_eq(t.column[1], "n");
    ck_assert_str_eq(t.row[1][1], "2");
    table_release(&t);
    spill("bom", "\xef\xbb\xbfid\tn\na\t1\n");
    ck_assert_int_eq(table_read(&t, "bom", &e), 0);
    ck_assert_int_eq(table_find(&t, "id"), 0);
    table_release(&t);
    spill("header", "id\n");
    ck_assert_int_eq(table_read(&t, "header", &e), 0);
    ck_assert_uint_eq(t.nrows, 0);
    table_release(&t);
    scratch_leave(folder);
}
END_TEST

START_TEST(table_refuses)
{
    static const struct { const char *text, *why; } bad[] = {
        { "", "empty" },
        { "id\tn\na\n", "line 2: 1 cells where the header has 2" },
        { "id\tn\na\t1\t2\n", "line 2: 3 cells" },
        { "id\tn\n\n", "line 2: 1 cells" },
        { "id\tid\n", "two columns are named 'id'" },
        { "id\t\n", "column 2 of the header has no name" },
        { "id\na\\x\n", "line 2: unknown escape" },
        { "id\na\\", "line 2: unknown escape" }
    };
    char folder[32];
    struct table t;

    scratch_enter(folder);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = { 0 };

        spill("bad", bad[i].text);
        ck_assert_int_eq(table_read(&t, "bad", &e), -1);
        ck_assert_int_eq(e.status, EXIT_INVALID);
        ck_assert_msg(strstr(e.text, bad[i].why) != NULL, "%s", e.text);
    }
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen("bad", "wb");
        struct err e = { 0 };

        fwrite(i == 0 ? "i\0d\n" : "id\na\0b", 1, i == 0 ? 4 : 6, f);
        fclose(f);
        ck_assert_int_eq(table_read(&t, "bad", &e), -1);
        ck_assert_ptr_nonnull(strstr(e.text, "NUL"));
    }
    scratch_leave(folder);
}
END_TEST

START_TEST(table_changes)
{
    static const char *const columns[] = { "id", NULL };
    static const bool keep[] = { true, false, false, true };
    struct table t;
    struct err e = { 0 };
    int64_t n;
    double x;

    table_init(&t, columns);
    for (int i = 0; i < 4; i++)
        table_add(&t, (const char *const[]){ (const char *[]){
                          "a", "b", "c", "d" }[i] });
    ck_assert_uint_eq(table_column(&t, "n"), 1);
    ck_assert_uint_eq(table_column(&t, "n"), 1);
    ck_assert_str_eq(t.row[3][1], "");
    table_set(&t, 3, 1, "12");
    table_set(&t, 0, 1, "1.5");
    table_filter(&t, keep);
    ck_assert_uint_eq(t.nrows, 2);
    ck_assert_str_eq(t.row[1][0], "d");
    ck_assert_int_eq(table_int(&t, 1, 1, &n, &e), 0);
    ck_assert_int_eq(n, 12);
    ck_assert_int_eq(table_real(&t, 0, 1, &x, &e), 0);
    ck_assert(x == 1.5);
    ck_assert_int_eq(table_int(&t, 0, 1, &n, &e), -1);
    ck_assert_str_eq(e.text, "'table' line 2: n '1.5' is not a whole number");
    ck_assert_int_eq(table_need(&t, "label", NULL), -1);
    table_release(&t);
}
END_TEST

/* -------------------------------------------------------------------- file */

START_TEST(out_is_whole_or_not)
{
    char folder[32], *text;
    struct file_out o, p;
    struct err e = { 0 };

    scratch_enter(folder);
    spill("x", "old");
    ck_assert_int_eq(file_out_open(&o, "x", &e), 0);
    fputs("new", o.stream);
    fflush(o.stream);
    text = slurp("x");
    ck_assert_str_eq(text, "old");
    free(text);
    file_out_drop(&o);
    ck_assert_int_ne(access(".x.part", F_OK), 0);
    text = slurp("x");
    ck_assert_str_eq(text, "old");
    free(text);

    ck_assert_int_eq(file_out_open(&o, "x", &e), 0);
    fputs("new", o.stream);
    ck_assert_int_eq(file_out_close(&o, &e), 0);
    file_out_drop(&o);                          /* harmless */
    text = slurp("x");
    ck_assert_str_eq(text, "new");
    free(text);
    ck_assert_int_ne(access(".x.part", F_OK), 0);

    ck_assert_int_eq(file_out_open(&p, "no/such/folder", &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
    scratch_leave(folder);
}
END_TEST

START_TEST(out_takes_over_a_part)
{
    char folder[32], *text;
    struct file_out o;
    struct err e = { 0 };

    scratch_enter(folder);
    spill(".x.part", "left behind by a run that was killed");
    ck_assert_int_eq(file_out_open(&o, "x", &e), 0);
    fputs("new", o.stream);
    ck_assert_int_eq(file_out_close(&o, &e), 0);
    text = slurp("x");
    ck_assert_str_eq(text, "new");
    free(text);
    scratch_leave(folder);
}
END_TEST

/* The second of two runs on one target is told who holds it. */
START_TEST(out_is_locked)
{
    char folder[32], holder[64];
    struct file_out o;
    struct err e = { 0 };
    int status;
    pid_t child;

    scratch_enter(folder);
    snprintf(holder, sizeof holder, "process %ld", (long)getpid());
    ck_assert_int_eq(file_out_open(&o, "x", &e), 0);
    child = fork();
    if (child == 0) {
        struct file_out second;
        struct err why = { 0 };

        if (file_out_open(&second, "x", &why) == 0)
            _exit(1);
        _exit(why.status == EXIT_IO && strstr(why.text, holder) ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(file_out_close(&o, &e), 0);
    ck_assert_int_eq(access("x", F_OK), 0);
    scratch_leave(folder);
}
END_TEST

START_TEST(out_to_a_full_device)
{
    struct file_out o;
    struct err e = { 0 };

    if (access("/dev/full", W_OK) != 0)
        return;
    ck_assert_int_eq(file_out_open(&o, "/dev/full", &e), 0);
    fputs("text", o.stream);
    ck_assert_int_eq(file_out_close(&o, &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
    ck_assert_ptr_nonnull(strstr(e.text, "/dev/full"));
    ck_assert_int_eq(access("/dev/full", F_OK), 0);
}
END_TEST

START_TEST(files_in)
{
    char folder[32], *big = mem_array(200001, 1), *data;
    struct file_map m;
    struct err e = { 0 };
    size_t n;

    scratch_enter(folder);
    memset(big, 'x', 200000);
    spill("big", big);
    spill("empty", "");
    ck_assert_int_eq(file_read("big", &data, &n, &e), 0);
    ck_assert_uint_eq(n, 200000);
    ck_assert_str_eq(data, big);
    free(data);
    ck_assert_int_eq(file_map(&m, "big", &e), 0);
    ck_assert_uint_eq(m.nbytes, 200000);
    ck_assert_int_eq(m.data[199999], 'x');
    file_unmap(&m);
    ck_assert_int_eq(file_map(&m, "empty", &e), 0);
    ck_assert_uint_eq(m.nbytes, 0);
    ck_assert_ptr_nonnull(m.data);
    file_unmap(&m);
    ck_assert_int_eq(file_map(&m, ".", &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
    err_clear(&e);
    ck_assert_int_eq(file_read("none", &data, &n, &e), -1);
    ck_assert_str_eq(e.text, "cannot open 'none': No such file or directory");
    err_clear(&e);
    ck_assert_int_eq(file_make_folder("a/b//c/", &e), 0);
    ck_assert_int_eq(file_make_folder("a/b/c", &e), 0);
    ck_assert_int_eq(access("a/b/c", X_OK), 0);
    ck_assert_int_eq(file_make_folder("big/c", &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
    free(big);
    scratch_leave(folder);
}
END_TEST

START_TEST(rejects)
{
    char folder[32], *text;
    struct reject r;
    struct err e = { 0 };

    scratch_enter(folder);
    ck_assert_int_eq(reject_open(&r, "r.tsv", &e), 0);
    reject_add(&r, "a\tb.png", "empty", "no bytes");
    reject_add(&r, "c\n.png", "unreadable", "");
    ck_assert_uint_eq(r.n, 2);
    ck_assert_int_eq(reject_close(&r, &e), 0);
    text = slurp("r.tsv");
    ck_assert_str_eq(text, "a\\tb.png\tempty\tno bytes\n"
                           "c\\n.png\tunreadable\t\n");
    free(text);
    reject_drop(&r);
    scratch_leave(folder);
}
END_TEST

START_TEST(errors)
{
    struct err e = { 0 }, why = { 0 };
    char *longer = mem_array(5000, 1);

    ck_assert_int_eq(err_set(&e, EXIT_INVALID, "first %d", 1), -1);
    err_set(&e, EXIT_IO, "second");
    ck_assert_str_eq(e.text, "first 1");
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_int_eq(err_set(NULL, EXIT_IO, "nobody listens"), -1);
    errno = EMFILE;
    ck_assert_int_eq(err_errno(&why, "nothing opens"), -1);
    ck_assert_int_eq(err_copy(&e, &why), -1);
    ck_assert_str_eq(e.text, "first 1");
    ck_assert_int_eq(err_copy(NULL, &why), -1);
    err_clear(&e);
    err_copy(&e, &why);
    ck_assert_str_eq(e.text, why.text);
    ck_assert_int_eq(e.status, EXIT_IO);
    ck_assert(e.shortage);
    err_clear(&e);
    memset(longer, 'x', 4999);
    err_set(&e, EXIT_IO, "%s", longer);
    ck_assert_uint_eq(strlen(e.text), sizeof e.text - 1);
    free(longer);
}
END_TEST

/* --------------------------------------------------------------------- opt */

/* Whatever lay there before, a program finds its defaults. */
START_TEST(options_have_defaults)
{
    const char *model = "left over", *out = "left over";
    bool deep = true;
    int64_t n = -7;
    const struct opt opts[] = {
        { "model", 'm', OPT_TEXT, &model, "MODEL", NULL, "none", 0, 0 },
        { "output", 'o', OPT_TEXT, &out, "FILE", "-", "stdout", 0, 0 },
        { "deep", 0, OPT_FLAG, &deep, NULL, NULL, "not", 0, 0 },
        { "number", 'n', OPT_INT, &n, "N", "3", "three", 0, 9 },
        OPT_END
    };
    const struct program p = { "check", "", "Checks.", opts, NULL, false };
    char *bare[] = { "check", NULL };
    char *full[] = { "check", "a", "--deep", "-n4", "-m", "net", NULL };
    struct err e = { 0 };

    ck_assert_int_eq(opt_parse(&p, 1, bare, &e), 1);
    ck_assert_ptr_null(model);
    ck_assert_str_eq(out, "-");
    ck_assert(!deep);
    ck_assert_int_eq(n, 3);
    ck_assert_int_eq(opt_parse(&p, 6, full, &e), 5);
    ck_assert_str_eq(model, "net");
    ck_assert(deep);
    ck_assert_int_eq(n, 4);
    full[3] = "-n10";
    ck_assert_int_eq(opt_parse(&p, 6, full, &e), -1);
    ck_assert_int_eq(e.status, EXIT_USAGE);
}
END_TEST

/* ------------------------------------------------------------------ digest */

START_TEST(sha256)
{
    /* The first three and the million: FIPS 180-4 examples; the others are
       bytes (7 i + 3) mod 256, by Python's hashlib: the padding's edges. */
    static const struct { const char *text, *hex; } known[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb924"
              "27ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223"
                 "b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" }
    };
    static const struct { size_t n; const char *hex; } edges[] = {
        { 55,
          "e7313d333c272e639f790978283f9eb392e843d0f29b7016828bb1daa4aac70b" },
        { 56,
          "4324d65f3c103567f5589c710bc08f8523f929a9272e3af36fc968e52abc6c27" },
        { 63,
          "81c80242132f230c3bd41b3e63bbcff16107339549214a99614ff26664625055" },
        { 64,
          "39e3d7b6b5d075d37d053ad89b24b41bef4f3c29760c84447cab3f3be1882241" },
        { 65,
          "aacca6ff74fdbb296d165a45cecfa04e5127bc008770fbbdd48006f2d2fae95e" },
        { 119,
          "9ce7368e4daf32341631b492e80359dc9f594b48453cd0dd5bf0b19279cc177e" },
        { 120,
          "7836b787757e95e58b3ca5aec90b1b004e8deba1e50e9675af9cabf1a13a04b5" }
    };
    unsigned char bytes[120];
    char hex[DIGEST_HEX], many[1001];
    struct digest d;

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        digest_bytes(known[i].text, strlen(known[i].text), hex);
        ck_assert_str_eq(hex, known[i].hex);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(7 * i + 3);
    for (size_t i = 0; i < ARRAY_LEN(edges); i++)
        for (size_t cut = 0; cut <= edges[i].n; cut++) {
            digest_init(&d);
            digest_add(&d, bytes, cut);
            digest_add(&d, bytes + cut, edges[i].n - cut);
            digest_end(&d, hex);
            ck_assert_str_eq(hex, edges[i].hex);
        }
    memset(many, 'a', sizeof many);
    digest_init(&d);
    for (int i = 0; i < 999; i++)               /* odd pieces: 999 * 1001 */
        digest_add(&d, many, 1001);
    digest_add(&d, many, 1);
    digest_end(&d, hex);
    ck_assert_str_eq(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
                          "f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

/* RFC 4231, test cases 1, 2 and 6 (a key longer than a block). */
START_TEST(hmac)
{
    char hex[DIGEST_HEX];
    unsigned char key[131];

    memset(key, 0x0b, 20);
    digest_hmac(key, 20, "Hi There", 8, hex);
    ck_assert_str_eq(hex, "b0344c61d8db38535ca8afceaf0bf12b"
                          "881dc200c9833da726e9376c2e32cff7");
    digest_hmac("Jefe", 4, "what do ya want for nothing?", 28, hex);
    ck_assert_str_eq(hex, "5bdcc146bf60754e6a042426089575c7"
                          "5a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    digest_hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key "
                "First", 54, hex);
    ck_assert_str_eq(hex, "60e431591ee0b67f0d8a26aacbf5b77f"
                          "8e0bc6213728c5140546040f0ee37f54");
}
END_TEST

START_TEST(sha256_of_files)
{
    char folder[32], hex[DIGEST_HEX];
    struct err e = { 0 };

    scratch_enter(folder);
    spill("abc", "abc");
    ck_assert_int_eq(digest_file("abc", hex, &e), 0);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223"
                          "b00361a396177a9cb410ff61f20015ad");
    ck_assert_int_eq(digest_file("none", hex, &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
    scratch_leave(folder);
}
END_TEST

/* --------------------------------------------------------------------- rng */

START_TEST(philox_known_answers)
{
    /* Philox4x32-10 of Random123 1.14, tests/kat_vectors. */
    static const struct { uint32_t counter[4], key[2], out[4]; } known[] = {
        { { 0 }, { 0 },
          { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } }
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct rng r;

        rng_init(&r, 0, RNG_INIT, 0, 0);
        memcpy(r.counter, known[i].counter, sizeof r.counter);
        memcpy(r.key, known[i].key, sizeof r.key);
        for (int k = 0; k < 4; k++)
            ck_assert_uint_eq(rng_u32(&r), known[i].out[k]);
    }
}
END_TEST

START_TEST(draws_by_place)
{
    uint32_t word[4];
    struct rng r;

    rng_init(&r, 0x123456789abcdef0, RNG_DROPOUT, 7, 9);
    for (uint32_t k = 0; k < 12; k++) {
        uint32_t drawn = rng_u32(&r);

        ck_assert_uint_eq(drawn, rng_at(0x123456789abcdef0, RNG_DROPOUT, 7, 9,
                                        k));
        rng_block(0x123456789abcdef0, RNG_DROPOUT, 7, 9, k / 4, word);
        ck_assert_uint_eq(drawn, word[k % 4]);
    }
    /* Every part of the place counts. */
    ck_assert_uint_ne(rng_at(1, RNG_FOLD, 0, 0, 0), rng_at(2, RNG_FOLD, 0, 0, 0));
    ck_assert_uint_ne(rng_at(1, RNG_FOLD, 0, 0, 0),
                      rng_at(1 + (1ull << 32), RNG_FOLD, 0, 0, 0));
    ck_assert_uint_ne(rng_at(1, RNG_FOLD, 0, 0, 0), rng_at(1, RNG_INIT, 0, 0, 0));
    ck_assert_uint_ne(rng_at(1, RNG_FOLD, 0, 0, 0), rng_at(1, RNG_FOLD, 1, 0, 0));
    ck_assert_uint_ne(rng_at(1, RNG_FOLD, 0, 0, 0), rng_at(1, RNG_FOLD, 0, 1, 0));
}
END_TEST

/* Bounds are six deviations of the statistic. */
START_TEST(distributions)
{
    enum { N = 100000 };
    double sum = 0, square = 0, low = 1, high = 0;
    size_t below[7] = { 0 }, index[50], seen[50] = { 0 }, moved = 0;
    struct rng r;

    rng_init(&r, 1, RNG_BOOTSTRAP, 0, 0);
    for (int i = 0; i < N; i++) {
        double u = rng_real(&r);

        low = u < low ? u : low;
        high = u > high ? u : high;
        sum += u;
        below[rng_below(&r, 7)]++;
    }
    ck_assert(low >= 0 && low < 1e-3 && high < 1 && high > 1 - 1e-3);
    ck_assert(fabs(sum / N - 0.5) < 6 * sqrt(1.0 / 12 / N));
    for (int i = 0; i < 7; i++)
        ck_assert(fabs((double)below[i] - N / 7.0) <
                  6 * sqrt(N / 7.0 * 6 / 7));
    sum = 0;
    for (int i = 0; i < N; i++) {
        double z = rng_normal(&r);

        ck_assert(isfinite(z));
        sum += z;
        square += z * z;
    }
    ck_assert(fabs(sum / N) < 6 / sqrt(N));
    ck_assert(fabs(square / N - 1) < 6 * sqrt(2.0 / N));
    for (size_t i = 0; i < 50; i++)
        index[i] = i;
    rng_shuffle(&r, index, 50);
    for (size_t i = 0; i < 50; i++) {
        seen[index[i]]++;
        moved += index[i] != i;
    }
    for (size_t i = 0; i < 50; i++)
        ck_assert_uint_eq(seen[i], 1);
    ck_assert(moved > 40);
}
END_TEST

/* -------------------------------------------------------------------- pool */

struct done {
    unsigned char times[1000];
    size_t by[8];
};

static void
tally_one(void *ctx, size_t i, int thread)
{
    struct done *t = ctx;

    t->times[i]++;
    t->by[thread]++;
}

START_TEST(pool_does_all_once)
{
    for (int threads = 0; threads <= 8; threads++) {
        struct done t = { { 0 }, { 0 } };
        size_t all = 0;

        if (threads == 0 && pool_cores() > 8)
            continue;
        pool_run(threads, 1000, tally_one, &t);
        for (size_t i = 0; i < 1000; i++)
            ck_assert_uint_eq(t.times[i], 1);
        for (int k = 0; k < 8; k++)
            all += t.by[k];
        ck_assert_uint_eq(all, 1000);
        pool_run(threads, 0, tally_one, &t);
        pool_run(threads, 1, tally_one, &t);
        ck_assert_uint_eq(t.times[0], 2);
    }
    ck_assert_int_ge(pool_cores(), 1);
}
END_TEST

/* Item 7 and many behind it fail, the lowest last. */
static int
try_one(void *ctx, size_t i, int thread, struct err *e)
{
    atomic_int *tried = ctx;

    (void)thread;
    atomic_fetch_add(tried, 1);
    if (i < 7)
        return 0;
    if (i == 7)
        usleep(2000);
    return err_set(e, EXIT_INVALID, "item %zu fails", i);
}

START_TEST(pool_names_the_first_that_fails)
{
    for (int threads = 1; threads <= 8; threads++) {
        struct err e = { 0 };
        atomic_int tried = 0;

        ck_assert_int_eq(pool_try(threads, 7, try_one, &tried, &e), 0);
        ck_assert_int_eq(pool_try(threads, 1000, try_one, &tried, &e), -1);
        ck_assert_str_eq(e.text, "item 7 fails");
        ck_assert_int_lt(tried, 100);
    }
}
END_TEST

/* Beside four busy programs for each core there is room for one thread. */
START_TEST(pool_knows_its_room)
{
    enum { MOST = 64 };
    struct pool_room r = { 0 };
    int n = 4 * pool_cores();
    pid_t busy[MOST];
    double start;

    ck_assert_int_eq(pool_room(&r, 1000), 1000);
    ck_assert_int_eq(pool_room(&r, 1000), 1000);
    if (n > MOST)
        return;
    for (int i = 0; i < n; i++)
        if ((busy[i] = fork()) == 0)
            for (;;)
                continue;
    for (int i = 0; i < 3; i++) {
        for (start = clock_seconds(); clock_seconds() < start + 0.6;)
            continue;
        (void)pool_room(&r, 1000);
    }
    ck_assert_int_eq(pool_room(&r, 1000), 1);
    for (int i = 0; i < n; i++) {
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
}
END_TEST

static int
sh(const char *script, struct str *out, struct str *said)
{
    const char *const args[] = { "sh", "-c", script, NULL };

    return child_run(args, "bytes", 5, 1000, out, said, NULL);
}

START_TEST(children)
{
    static const char *const none[] = { "no such program", NULL };
    struct str out = { 0 }, said = { 0 };

    ck_assert_int_eq(sh("cat; echo oh >&2; exit 3", &out, &said), 3);
    ck_assert_str_eq(out.text, "bytes");
    ck_assert_str_eq(said.text, "oh\n");
    ck_assert_int_eq(sh("kill -9 $$", &out, &said), CHILD_KILLED);
    ck_assert_int_eq(sh("printf %1001d 1", &out, &said), CHILD_KILLED);
    ck_assert_int_eq(child_run(none, "", 0, 1000, &out, &said, NULL),
                     CHILD_NOT_FOUND);
    str_release(&out);
    str_release(&said);
}
END_TEST

CHECK_MAIN("base", 60, memory_is_zero_and_aligned, natural_order,
           numbers_from_text, json_strings, strings_grow, table_round_trip,
           table_takes, table_refuses, table_changes, out_is_whole_or_not,
           out_takes_over_a_part, out_is_locked, out_to_a_full_device,
           files_in, rejects, errors, options_have_defaults, sha256, hmac,
           sha256_of_files, philox_known_answers, draws_by_place,
           distributions, pool_does_all_once,
           pool_names_the_first_that_fails, pool_knows_its_room, children)
