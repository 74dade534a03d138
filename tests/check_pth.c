/*
 * check_pth: files of torch.save(), and what only looks like one.
 *
 * The pickles are written by hand after pickletools' description; t-torch.sh
 * reads those of PyTorch itself where that is at hand.
 */
#include "base/str.h"
#include "data/pth.h"
#include "tests/check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char path[40];

static void __attribute__((constructor))
name_path(void)
{
    snprintf(path, sizeof path, "/tmp/check-pth-%ld.pth", (long)getpid());
}

/* -------------------------------------------------------------- an archive */

struct archive {
    struct str out, directory;
    int n;
};

static void
put(struct str *s, uint32_t v, int n)
{
    for (; n > 0; n--, v >>= 8)
        str_add_bytes(s, &(unsigned char){ v & 255 }, 1);
}

/* What local header and directory have in common, from the method on. */
static void
put_facts(struct str *s, const char *name, const void *data, size_t n,
          int method)
{
    put(s, (uint32_t)method, 2);
    put(s, 0, 4);
    put(s, (uint32_t)crc32_z(0, data, n), 4);
    put(s, (uint32_t)n, 4);
    put(s, (uint32_t)n, 4);
    put(s, (uint32_t)strlen(name), 2);
    put(s, 0, 2);
}

static void
add(struct archive *a, const char *name, const void *data, size_t n,
    int method)
{
    uint32_t at = (uint32_t)a->out.n;

    put(&a->out, 0x04034b50, 4);
    put(&a->out, 0, 4);
    put_facts(&a->out, name, data, n, method);
    str_add(&a->out, name);
    str_add_bytes(&a->out, data, n);
    put(&a->directory, 0x02014b50, 4);
    put(&a->directory, 0, 6);
    put_facts(&a->directory, name, data, n, method);
    put(&a->directory, 0, 10);
    put(&a->directory, at, 4);
    str_add(&a->directory, name);
    a->n++;
}

static void
finish(struct archive *a)
{
    uint32_t at = (uint32_t)a->out.n;
    FILE *f = fopen(path, "wb");

    str_add_bytes(&a->out, a->directory.text, a->directory.n);
    put(&a->out, 0x06054b50, 4);
    put(&a->out, 0, 4);
    put(&a->out, (uint32_t)a->n, 2);
    put(&a->out, (uint32_t)a->n, 2);
    put(&a->out, (uint32_t)a->directory.n, 4);
    put(&a->out, at, 4);
    put(&a->out, 0, 2);
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(a->out.text, 1, a->out.n, f), a->out.n);
    fclose(f);
    str_release(&a->directory);
}

/* --------------------------------------------------------------- a pickle */

#define TEXT(s, n) "X" n "\0\0\0" s

/*
 * {'w': a tensor [2,3] at 0, 'module._orig_mod.b': the same numbers as [2]
 * at 4}.
 */
#define STORAGE \
    "((" TEXT("storage", "\7") "ctorch\nFloatStorage\n" TEXT("0", "\1") \
    TEXT("cpu", "\3") "K\6tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define ENDING "\x89" "ccollections\nOrderedDict\n)RtR"
#define GOOD \
    "\x80\2ccollections\nOrderedDict\n)Rq\0(" TEXT("w", "\1") REBUILD \
    STORAGE "K\0K\2K\3\x86K\3K\1\x86" ENDING \
    TEXT("module._orig_mod.b", "\x12") \
    REBUILD STORAGE "K\4K\2\x85K\1\x85" ENDING "u."

static const float numbers[6] = { 1, 2, 3, 4, 5, 6 };

static void
write_pth(const char *pickle, size_t n)
{
    struct archive a = { 0 };

    add(&a, "x/data.pkl", pickle, n, 0);
    add(&a, "x/byteorder", "little", 6, 0);
    add(&a, "x/data/0", numbers, sizeof numbers, 0);
    finish(&a);
    str_release(&a.out);
}

/* NULL, or why it was refused; the file must be named. */
static const char *
opens(struct err *e)
{
    struct safet s;

    memset(e, 0, sizeof *e);
    if (pth_open(&s, path, e) == 0) {
        safet_close(&s);
        return NULL;
    }
    ck_assert_int_eq(e->status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e->text, path));
    return e->text;
}

static void
refused(const char *pickle, size_t n, const char *why)
{
    struct err e;

    write_pth(pickle, n);
    ck_assert_msg(opens(&e) != NULL, "taken: %s", why);
    ck_assert_msg(strstr(e.text, why) != NULL, "%s, not: %s", e.text, why);
}
#define REFUSED(pickle, why) refused(pickle, sizeof(pickle) - 1, why)

/* --------------------------------------------------------------- the tests */

START_TEST(tensors_are_where_the_pickle_says)
{
    const struct safet_tensor *w, *b;
    struct safet s;
    struct err e = { 0 };

    write_pth(GOOD, sizeof GOOD - 1);
    ck_assert(pth_look(path));
    ck_assert_msg(pth_open(&s, path, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(s.ntensors, 2);
    w = safet_find(&s, "w");
    b = safet_find(&s, "b");
    ck_assert(w != NULL && b != NULL);
    ck_assert(w->ndims == 2 && w->dims[0] == 2 && w->dims[1] == 3);
    ck_assert(w->dtype == DT_F32 && b->ndims == 1 && b->dims[0] == 2);
    ck_assert_mem_eq(safet_data(&s, w), numbers, sizeof numbers);
    ck_assert_mem_eq(safet_data(&s, b), numbers + 4, 8);
    safet_close(&s);
}
END_TEST

START_TEST(nothing_is_called)
{
    REFUSED("\x80\2cos\nsystem\n(" TEXT("true", "\4") "tR.",
            "wants to call 'os.system'");
    REFUSED("\x80\2cbuiltins\neval\n)R.", "wants to call 'builtins.eval'");
    REFUSED("\x80\2(ios\nsystem\n.", "instruction 0x69");
    REFUSED("\x80\4\x8c\2os\x8c\6system\x93)R.", "instruction 0x93");
    REFUSED("\x80\2}\x81.", "instruction 0x81");
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
    REFUSED("\x80\2}.", "no tensors");
    REFUSED("\x80\2K\1.", "no dictionary");
    REFUSED("\x80\2}", "cut off");
    REFUSED("u.", "damaged");
    REFUSED("R.", "damaged");
    REFUSED("t.", "damaged");
    REFUSED("h\7.", "damaged");
    REFUSED("j\xff\xff\xff\xff.", "damaged");
    REFUSED("r\xff\xff\xff\xff.", "damaged");
    REFUSED("X\xff\xff\xff\xffno.", "cut off");
    REFUSED("\x8a\x40.", "too large");
    REFUSED("ctorch", "cut off");
    /* A tensor larger than its numbers, odd strides, another storage. */
    REFUSED("\x80\2}(" TEXT("w", "\1") REBUILD STORAGE
            "K\1K\2K\3\x86K\3K\1\x86" ENDING "u.", "larger than its numbers");
    REFUSED("\x80\2}(" TEXT("w", "\1") REBUILD STORAGE
            "K\0K\2K\3\x86K\1K\2\x86" ENDING "u.", "'w' is not contiguous");
    REFUSED("\x80\2}(" TEXT("w", "\1") REBUILD STORAGE
            "J\xff\xff\xff\xffK\2\x85K\1\x85" ENDING "u.", "larger");
    REFUSED("\x80\2}(" TEXT("w", "\1") REBUILD "((" TEXT("storage", "\7")
            "ctorch\nFloatStorage\n" TEXT("9", "\1") TEXT("cpu", "\3")
            "K\6tQK\0K\2\x85K\1\x85" ENDING "u.", "missing");
    REFUSED("\x80\2}(" TEXT("w", "\1") REBUILD "((" TEXT("storage", "\7")
            "ctorch\nQuint8Storage\n" TEXT("0", "\1") TEXT("cpu", "\3")
            "K\6tQK\0K\2\x85K\1\x85" ENDING "u.", "plain numbers");
}
END_TEST

START_TEST(old_files_are_named_as_such)
{
    static const char magic[] = "\x80\2\x8a\nl\xfc\x9c" "F\xf9 j\xa8P\x19.";
    FILE *f = fopen(path, "wb");
    struct err e;

    fwrite(magic, 1, sizeof magic - 1, f);
    fclose(f);
    ck_assert(pth_look(path));
    ck_assert_ptr_nonnull(opens(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "before PyTorch 1.6"));
}
END_TEST

START_TEST(compressed_archives_are_refused)
{
    struct archive a = { 0 };
    struct err e;

    add(&a, "x/data.pkl", GOOD, sizeof GOOD - 1, 8);
    finish(&a);
    str_release(&a.out);
    ck_assert_ptr_nonnull(opens(&e));
    ck_assert_ptr_nonnull(strstr(e.text, "compressed"));
}
END_TEST

/* No cut opens; no flipped bit does harm, and none in the numbers is missed. */
START_TEST(damage_is_found_or_harmless)
{
    struct archive a = { 0 };
    size_t n, data;
    struct err e;

    add(&a, "x/data.pkl", GOOD, sizeof GOOD - 1, 0);
    add(&a, "x/data/0", numbers, sizeof numbers, 0);
    finish(&a);
    n = a.out.n;
    data = 30 + strlen("x/data.pkl") + sizeof GOOD - 1 + 30 +
           strlen("x/data/0");
    for (size_t i = 0; i < n; i++) {
        FILE *f = fopen(path, "wb");

        fwrite(a.out.text, 1, i, f);
        fclose(f);
        ck_assert_msg(opens(&e) != NULL, "cut at %zu", i);
    }
    for (size_t i = 0; i < 8 * n; i++) {
        FILE *f = fopen(path, "wb");
        bool numbers_hit = i / 8 >= data && i / 8 < data + sizeof numbers;

        a.out.text[i / 8] ^= (char)(1 << i % 8);
        fwrite(a.out.text, 1, n, f);
        fclose(f);
        a.out.text[i / 8] ^= (char)(1 << i % 8);
        ck_assert_msg(opens(&e) != NULL || !numbers_hit, "bit %zu", i);
    }
    str_release(&a.out);
    unlink(path);
}
END_TEST

CHECK_MAIN("pth", 60, tensors_are_where_the_pickle_says, nothing_is_called,
           what_is_wrong_is_refused, old_files_are_named_as_such,
           compressed_archives_are_refused, damage_is_found_or_harmless)
