#include "check.h"

#include "base/str.h"
#include "data/safet.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Made by safetensors 0.8 (save of NumPy arrays a, café, e; metadata k). */
static const uint8_t foreign[] = {
    208,0,0,0,0,0,0,0,123,34,95,95,109,101,116,97,100,97,
    116,97,95,95,34,58,123,34,107,34,58,34,113,117,111,116,101,32,
    92,34,32,195,169,32,92,92,32,92,110,34,125,44,34,99,97,102,
    195,169,34,58,123,34,100,116,121,112,101,34,58,34,73,54,52,34,
    44,34,115,104,97,112,101,34,58,91,93,44,34,100,97,116,97,95,
    111,102,102,115,101,116,115,34,58,91,48,44,56,93,125,44,34,97,
    34,58,123,34,100,116,121,112,101,34,58,34,70,51,50,34,44,34,
    115,104,97,112,101,34,58,91,51,93,44,34,100,97,116,97,95,111,
    102,102,115,101,116,115,34,58,91,56,44,50,48,93,125,44,34,101,
    34,58,123,34,100,116,121,112,101,34,58,34,85,56,34,44,34,115,
    104,97,112,101,34,58,91,48,44,52,93,44,34,100,97,116,97,95,
    111,102,102,115,101,116,115,34,58,91,50,48,44,50,48,93,125,125,
    7,0,0,0,0,0,0,0,0,0,0,0,0,0,128,63,0,0,
    0,64
};

static char path[64];

static void
write_bytes(const void *data, size_t nbytes)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, nbytes, f), nbytes);
    fclose(f);
}

/* A header, and nbytes zeros behind it. */
static void
write_header(const char *text, size_t n, size_t nbytes)
{
    struct str s = { 0 };
    uint64_t length = n;        /* this test runs on little-endian machines */

    str_add_bytes(&s, &length, 8);
    str_add_bytes(&s, text, n);
    for (size_t i = 0; i < nbytes; i++)
        str_add_bytes(&s, "", 1);
    write_bytes(s.text, s.n);
    str_release(&s);
}

static int
opens(struct err *e)
{
    struct safet s;

    err_clear(e);
    if (safet_open(&s, path, e) != 0)
        return -1;
    safet_close(&s);
    return 0;
}

static void
refused(const char *header, size_t nbytes, const char *words)
{
    struct err e;

    write_header(header, strlen(header), nbytes);
    ck_assert_msg(opens(&e) == -1, "%s", header);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_msg(strstr(e.text, words) != NULL, "%s: %s", header, e.text);
    ck_assert_ptr_nonnull(strstr(e.text, path));
}

static void
setup(void)
{
    snprintf(path, sizeof path, "/tmp/check-safet-%ld", (long)getpid());
}

static void
write_ours(void)
{
    static const float w[6] = { 1, 2, 3, 4, 5, 6 };
    static const int64_t w_dims[2] = { 2, 3 }, b_dims[1] = { 3 };
    struct safet_out o;
    struct err e = { 0 };

    ck_assert_int_eq(safet_create(&o, path, 700, &e), 0);
    safet_set(&o, "format", "1");
    safet_set(&o, "kind", "model");
    safet_set(&o, "odd", "tab\t quote\" back\\ bad\xff utf\xc3\xa9");
    safet_put(&o, "w", DT_F32, 2, w_dims, w);
    safet_begin(&o, "b", DT_U8);
    safet_add(&o, "x", 1);
    safet_add(&o, "yz", 2);
    safet_end(&o, 1, b_dims);
    safet_put(&o, "none", DT_F64, 2, (const int64_t[]){ 0, 5 }, NULL);
    safet_put(&o, "one", DT_I16, 0, NULL, "\5\0");
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
}

START_TEST(what_goes_in_comes_out)
{
    const struct safet_tensor *t;
    struct safet s;
    struct err e = { 0 };
    float w[6];

    setup();
    write_ours();
    ck_assert_msg(safet_open(&s, path, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(s.ntensors, 4);
    ck_assert_uint_eq((uintptr_t)s.data % 64, 0);
    ck_assert_str_eq(safet_meta(&s, "odd"),
                     "tab\t quote\" back\\ bad\xef\xbf\xbd utf\xc3\xa9");
    t = safet_find(&s, "w");
    ck_assert(t != NULL && t->dtype == DT_F32 && t->ndims == 2);
    ck_assert(t->dims[0] == 2 && t->dims[1] == 3);
    memcpy(w, safet_data(&s, t), sizeof w);
    ck_assert(w[0] == 1 && w[5] == 6);
    t = safet_find(&s, "b");
    ck_assert_mem_eq(safet_data(&s, t), "xyz", 3);
    t = safet_find(&s, "one");
    ck_assert(t != NULL && t->ndims == 0 && t->nbytes == 2);
    ck_assert_ptr_null(safet_find(&s, "W"));
    ck_assert_int_eq(safet_check_kind(&s, "model", &e), 0);
    ck_assert_int_eq(safet_verify(&s, &e), 0);
    ck_assert_int_eq(safet_check_kind(&s, "dataset", &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    safet_close(&s);
    unlink(path);
}
END_TEST

START_TEST(foreign_files_open)
{
    static const char spaced[] =
        "{\"\\u0061\\ud83d\\ude00\\u00e9\\u20AC\" "
        ":{ \"data_offsets\" : [0, 1 ] ,\n"
        "\"shape\":[ ],\"dtype\":\"BOOL\"}\t}   ";
    const struct safet_tensor *t;
    struct safet s;
    struct err e = { 0 };
    int64_t seven;

    setup();
    write_bytes(foreign, sizeof foreign);
    ck_assert_msg(safet_open(&s, path, &e) == 0, "%s", e.text);
    ck_assert_str_eq(safet_meta(&s, "k"), "quote \" \xc3\xa9 \\ \n");
    t = safet_find(&s, "caf\xc3\xa9");
    ck_assert(t != NULL && t->dtype == DT_I64 && t->ndims == 0);
    memcpy(&seven, safet_data(&s, t), sizeof seven);
    ck_assert_int_eq(seven, 7);
    t = safet_find(&s, "e");
    ck_assert(t != NULL && t->nbytes == 0 && t->dims[1] == 4);
    ck_assert_int_eq(safet_check_kind(&s, "model", &e), -1);
    err_clear(&e);
    ck_assert_int_eq(safet_verify(&s, &e), -1);     /* no CRC to hold to */
    safet_close(&s);
    write_header("{}", 2, 0);
    ck_assert_int_eq(opens(&e), 0);
    write_header(spaced, sizeof spaced - 1, 1);
    ck_assert_msg(safet_open(&s, path, NULL) == 0, "with blanks");
    ck_assert_ptr_nonnull(safet_find(&s, "a\xf0\x9f\x98\x80\xc3\xa9"
                                         "\xe2\x82\xac"));
    safet_close(&s);
    unlink(path);
}
END_TEST

static int
whole(void)
{
    struct safet s;
    int rc;

    if (safet_open(&s, path, NULL) != 0)
        return -1;
    rc = safet_check_kind(&s, "model", NULL);
    if (rc == 0)
        rc = safet_verify(&s, NULL);
    safet_close(&s);
    return rc;
}

START_TEST(every_truncation_and_flip_is_refused)
{
    struct file_map m;
    unsigned char *copy;
    size_t n;
    int fd;

    setup();
    write_ours();
    ck_assert_int_eq(whole(), 0);
    ck_assert_int_eq(file_map(&m, path, NULL), 0);
    n = m.nbytes;
    copy = malloc(n);
    memcpy(copy, m.data, n);
    file_unmap(&m);
    fd = open(path, O_WRONLY);
    for (size_t i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            unsigned char c = (unsigned char)(copy[i] ^ 1 << bit);

            ck_assert_int_eq(pwrite(fd, &c, 1, (off_t)i), 1);
            ck_assert_msg(whole() == -1, "bit %d of byte %zu", bit, i);
        }
        ck_assert_int_eq(pwrite(fd, copy + i, 1, (off_t)i), 1);
    }
    ck_assert_int_eq(whole(), 0);
    ck_assert_int_eq(pwrite(fd, "", 1, (off_t)n), 1);
    ck_assert_int_eq(whole(), -1);
    while (n-- > 0) {
        ck_assert_int_eq(ftruncate(fd, (off_t)n), 0);
        ck_assert_msg(whole() == -1, "cut to %zu", n);
    }
    close(fd);
    free(copy);
    unlink(path);
}
END_TEST

#define T(dtype, shape, at) \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" at "]}"
#define META(m) "{\"__metadata__\":{" m "}}"

START_TEST(bad_headers_are_refused)
{
    struct err e;

    setup();
    refused("", 0, "too short");
    refused(" {}", 0, "not as it must be");
    refused("[]", 0, "not as it must be");
    refused("{}x", 0, "behind its header");
    refused("{} {}", 0, "behind its header");
    refused("{\"a\":" T("U8", "4", "0,4") "}}", 4, "behind its header");
    refused("{\"a\":" T("U8", "4", "0,4"), 4, "not as it must be");
    refused("{\"a\":" T("U8", "4", "0,4") ",}", 4, "not as it must be");
    refused("{\"a\":" T("U8", "4", "0,4") "}", 3, "shorter");
    refused("{\"a\":" T("U8", "4", "0,4") "}", 5, "longer");
    refused("{\"a\":" T("U8", "4", "1,5") "}", 5, "hole");
    refused("{\"a\":" T("U8", "4", "0,4") ",\"b\":" T("U8", "4", "2,6") "}",
            6, "overlap");
    refused("{\"a\":" T("U8", "4", "0,4") ",\"b\":" T("U8", "4", "0,4") "}",
            4, "overlap");
    refused("{\"a\":" T("U8", "4", "0,4") ",\"b\":" T("U8", "1", "5,6") "}",
            6, "hole");
    refused("{\"a\":" T("U8", "4", "0,4") ",\"a\":" T("U8", "1", "4,5") "}",
            5, "two tensors of one name");
    refused("{\"a\":" T("U8", "4", "4,0") "}", 4, "range");
    refused("{\"a\":" T("F32", "4", "0,4") "}", 4, "range");
    refused("{\"a\":" T("U8", "-4", "0,4") "}", 4, "whole number");
    refused("{\"a\":" T("U8", "4.0", "0,4") "}", 4, "not as it must be");
    refused("{\"a\":" T("U8", "04", "0,4") "}", 4, "whole number");
    refused("{\"a\":" T("U8", "4e0", "0,4") "}", 4, "not as it must be");
    refused("{\"a\":" T("U8", "9223372036854775808", "0,4") "}", 4,
            "too large");
    refused("{\"a\":" T("F64", "4611686018427387904,4", "0,0") "}", 0,
            "overflows");
    refused("{\"a\":" T("U8", "4294967296,4294967296", "0,0") "}", 0,
            "overflows");
    refused("{\"a\":" T("U8", "0,4294967296,4294967296", "0,0") "}", 0,
            "overflows");
    refused("{\"a\":" T("U8", "1,1,1,1,1,1,1,1,1", "0,1") "}", 1,
            "dimensions");
    refused("{\"a\":" T("U9", "4", "0,4") "}", 4, "type");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "lacks");
    refused("{\"a\":{}}", 0, "not as it must be");
    refused("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],"
            "\"data_offsets\":[0,1]}}", 1, "wrong field");
    refused("{\"a\":{\"dtype\":\"U8\",\"more\":[[[[]]]],\"shape\":[1],"
            "\"data_offsets\":[0,1]}}", 1, "wrong field");
    refused("{\"a\":[[[[[[[[[[]]]]]]]]]]}", 0, "not as it must be");
    refused(META("\"a\":\"1\",\"a\":\"2\""), 0, "twice");
    refused(META("\"a\":1"), 0, "not as it must be");
    refused(META("\"a\":{\"b\":\"c\"}"), 0, "not as it must be");
    refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "two sections");
    refused(META("\"a\":\"\\x\""), 0, "bad character");
    refused(META("\"a\":\"\n\""), 0, "bad character");
    refused(META("\"a\":\"\\u0000\""), 0, "bad character");
    refused(META("\"a\":\"\\ud800\""), 0, "bad character");
    refused(META("\"a\":\"\\udc00\\ud800\""), 0, "bad character");
    refused(META("\"a\":\"\xff\""), 0, "UTF-8");
    refused(META("\"a\":\"\xc0\xaf\""), 0, "UTF-8");
    refused(META("\"a\":\"\xed\xa0\x80\""), 0, "UTF-8");
    refused(META("\"a\":\"\xf4\x90\x80\x80\""), 0, "UTF-8");
    refused(META("\"crc32\":\"a=00000000\""), 0, "CRC-32");
    refused(META("\"self\":\"00000000\""), 0, "header is damaged");
    refused(META("\"self\":\"\""), 0, "header is damaged");
    write_header("{}\0", 3, 0);
    ck_assert_int_eq(opens(&e), -1);
    unlink(path);
}
END_TEST

START_TEST(bad_lengths_are_refused)
{
    static const unsigned char huge[10] = {
        255, 255, 255, 255, 255, 255, 255, 255, '{', '}'
    };
    static const unsigned char wide[10] = { 3, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
    struct str long_text = { 0 };
    struct err e;

    setup();
    write_bytes(huge, sizeof huge);
    ck_assert_int_eq(opens(&e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "16 MB"));
    write_bytes(wide, sizeof wide);
    ck_assert_int_eq(opens(&e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "than the file"));
    write_bytes("", 0);
    ck_assert_int_eq(opens(&e), -1);
    str_add(&long_text, "{\"__metadata__\":{\"a\":\"");
    for (int i = 0; i < 100 * 1000; i++)
        str_add(&long_text, "0123456789012345678901234567890123456789"
                            "0123456789012345678901234567890123456789");
    str_add(&long_text, "\",\"b\":\"c\"}}");
    write_header(long_text.text, long_text.n, 0);
    ck_assert_int_eq(opens(&e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "8 MB"));
    str_release(&long_text);
    unlink(path);
    ck_assert_int_eq(opens(&e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
}
END_TEST

START_TEST(room_is_a_limit)
{
    struct safet_out o;
    struct err e = { 0 };

    setup();
    ck_assert_int_eq(safet_create(&o, path, 100, &e), 0);
    for (int i = 0; i < 9; i++)
        safet_set(&o, "0123456789", "0123456789");
    ck_assert_int_eq(safet_commit(&o, &e), -1);
    ck_assert_int_eq(access(path, F_OK), -1);
    err_clear(&e);
    ck_assert_int_eq(safet_create(&o, "-", 100, &e), -1);
    ck_assert_int_eq(e.status, EXIT_USAGE);
}
END_TEST

CHECK_MAIN("safet", 30, what_goes_in_comes_out, foreign_files_open,
           every_truncation_and_flip_is_refused, bad_headers_are_refused,
           bad_lengths_are_refused, room_is_a_limit)
