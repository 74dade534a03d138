/*
 * str: growing strings, lists of strings, order of names.
 */
#ifndef BUSI_BASE_STR_H
#define BUSI_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing string; all zeros is an empty one.  text is NUL-ended once used. */
struct str {
    char *text;
    size_t n, room;
};

void str_add(struct str *s, const char *text);
void str_add_bytes(struct str *s, const void *data, size_t nbytes);
void str_addf(struct str *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void str_release(struct str *s);

/* As a JSON string in quotes; bytes that are no UTF-8 become \ufffd. */
void str_add_json(struct str *s, const char *text);

/* printf into new memory; the caller frees it. */
char *str_format(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), returns_nonnull));

char *str_vformat(const char *fmt, va_list args)
    __attribute__((format(printf, 1, 0), returns_nonnull));

/* A list that owns its strings; all zeros is an empty one. */
struct str_list {
    char **item;
    size_t n, room;
};

void str_list_add(struct str_list *l, const char *text);
/* The texts one after the other, with another between them. */
void str_add_list(struct str *s, const struct str_list *l, const char *between);
void str_list_split(struct str_list *l, const char *text, char at);
/* A text that is there twice, or NULL. */
const char *str_twice(char *const *text, size_t n);
/* Where a text stands first, or -1. */
long str_list_find(const struct str_list *l, const char *text);
/* Is none empty and none there twice? */
bool str_list_distinct(const struct str_list *l);
bool str_list_same(const struct str_list *a, const struct str_list *b);
void str_list_release(struct str_list *l);

/*
 * Natural order: runs of digits compare by value, all else by byte, ties by
 * byte ("a2" < "a10", "a01" < "a1").  Independent of the locale.
 */
int str_natural(const char *a, const char *b);

/* A set of strings, NULL at first: put one in; was it not there yet? */
bool str_set_add(void **set, const char *s);
bool str_set_has(void *set, const char *s);
void str_set_release(void **set);

/* Bytes of the UTF-8 character that starts at p (n bytes are there), or 0. */
size_t str_utf8(const char *p, size_t n);

/* Bytes at the start of s that are whole such characters. */
size_t str_utf8_length(const char *s);

/* Control characters (C0 and, in UTF-8, C1) become '?': terminals obey them. */
void str_printable(char *s);

bool str_ends(const char *s, const char *tail);
const char *str_base(const char *path);     /* what follows the last '/' */

/*
 * Numbers from whole strings: no blanks, nothing behind.  A real may be
 * written as 1e-3, never as "inf", "nan" or hexadecimal.
 */
bool str_int(const char *s, int64_t *value);
bool str_real(const char *s, double *value);

#endif
