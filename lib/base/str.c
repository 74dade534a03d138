#include "base/str.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

void
str_add_bytes(struct str *s, const void *data, size_t nbytes)
{
    if (s->room - s->n <= nbytes) {
        s->room = (s->n + nbytes + 1) * 2;
        s->text = mem_grow(s->text, s->room, 1);
    }
    memcpy(s->text + s->n, data, nbytes);
    s->n += nbytes;
    s->text[s->n] = '\0';
}

void
str_add(struct str *s, const char *text)
{
    str_add_bytes(s, text, strlen(text));
}

char *
str_vformat(const char *fmt, va_list ap)
{
    va_list again;
    char *text;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    text = mem_alloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    return text;
}

void
str_addf(struct str *s, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = str_vformat(fmt, ap);
    va_end(ap);
    str_add(s, text);
    free(text);
}

char *
str_format(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = str_vformat(fmt, ap);
    va_end(ap);
    return text;
}

void
str_add_json(struct str *s, const char *text)
{
    size_t left = strlen(text), n;

    str_add(s, "\"");
    for (; left > 0; text += n, left -= n) {
        n = str_utf8(text, left);
        if (n == 0) {
            str_add(s, "\\ufffd");
            n = 1;
        } else if (n == 1 && ((unsigned char)*text < ' ' || *text == 0x7f)) {
            str_addf(s, "\\u%04x", (unsigned)*text);
        } else {
            if (*text == '"' || *text == '\\')
                str_add(s, "\\");
            str_add_bytes(s, text, n);
        }
    }
    str_add(s, "\"");
}

void
str_release(struct str *s)
{
    free(s->text);
    memset(s, 0, sizeof *s);
}

void
str_list_add(struct str_list *l, const char *text)
{
    l->item = mem_room(l->item, l->n, &l->room, sizeof *l->item);
    l->item[l->n++] = mem_strdup(text);
}

void
str_list_split(struct str_list *l, const char *text, char at)
{
    char *copy = mem_strdup(text), *p = copy;

    for (char *end; (end = strchr(p, at)) != NULL; p = end + 1) {
        *end = '\0';
        str_list_add(l, p);
    }
    str_list_add(l, p);
    free(copy);
}

void
str_add_list(struct str *s, const struct str_list *l, const char *between)
{
    str_add(s, "");
    for (size_t i = 0; i < l->n; i++) {
        str_add(s, i > 0 ? between : "");
        str_add(s, l->item[i]);
    }
}

const char *
str_twice(char *const *text, size_t n)
{
    void *seen = NULL;
    size_t i = 0;

    while (i < n && str_set_add(&seen, text[i]))
        i++;
    str_set_release(&seen);
    return i < n ? text[i] : NULL;
}

long
str_list_find(const struct str_list *l, const char *text)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->item[i], text) == 0)
            return (long)i;
    return -1;
}

bool
str_list_distinct(const struct str_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->item[i][0] == '\0')
            return false;
    return str_twice(l->item, l->n) == NULL;
}

bool
str_list_same(const struct str_list *a, const struct str_list *b)
{
    bool same = a->n == b->n;

    for (size_t i = 0; same && i < a->n; i++)
        same = strcmp(a->item[i], b->item[i]) == 0;
    return same;
}

void
str_list_release(struct str_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->item[i]);
    free(l->item);
    memset(l, 0, sizeof *l);
}

static bool
digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Compare two runs of digits by value; both pointers move behind them. */
static int
compare_runs(const char **a, const char **b)
{
    const char *p, *q;
    size_t n, m;

    while (**a == '0')
        ++*a;
    while (**b == '0')
        ++*b;
    p = *a;
    q = *b;
    while (digit(**a))
        ++*a;
    while (digit(**b))
        ++*b;
    n = (size_t)(*a - p);
    m = (size_t)(*b - q);
    if (n != m)
        return n < m ? -1 : 1;
    return memcmp(p, q, n);
}

int
str_natural(const char *a, const char *b)
{
    const char *p = a, *q = b;

    while (*p != '\0' && *q != '\0') {
        if (digit(*p) && digit(*q)) {
            int order = compare_runs(&p, &q);
            if (order != 0)
                return order;
        } else if (*p != *q) {
            return (unsigned char)*p < (unsigned char)*q ? -1 : 1;
        } else {
            p++;
            q++;
        }
    }
    if (*p != *q)
        return *p == '\0' ? -1 : 1;
    return strcmp(a, b);
}

size_t
str_utf8(const char *p, size_t n)
{
    /* The least character of each length: anything below is overlong. */
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char lead = n > 0 ? (unsigned char)p[0] : 0xff;
    size_t k = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2
             : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
    uint32_t c = k > 1 ? lead & (0x7fu >> k) : lead;

    if (k == 0 || k > n)
        return 0;
    for (size_t i = 1; i < k; i++) {
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    }
    if (c < least[k] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    return k;
}

size_t
str_utf8_length(const char *s)
{
    size_t n = strlen(s), at = 0, k;

    while (at < n && (k = str_utf8(s + at, n - at)) > 0)
        at += k;
    return at;
}

void
str_printable(char *s)
{
    for (unsigned char *p = (unsigned char *)s; *p != '\0'; p++)
        if (*p < ' ' || *p == 0x7f)
            *p = *p == '\t' ? ' ' : '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            p[0] = p[1] = '?';
}

bool
str_ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n >= m && memcmp(s + n - m, tail, m) == 0;
}

const char *
str_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

bool
str_int(const char *s, int64_t *value)
{
    char *end;
    long long v;

    if (!digit(s[s[0] == '-']))
        return false;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *value = v;
    return true;
}

bool
str_real(const char *s, double *value)
{
    char *end;
    double v;

    if (s[0] == '\0' || strspn(s, "+-.0123456789eE") != strlen(s))
        return false;
    v = strtod(s, &end);
    if (*end != '\0' || end == s || v > 1.7e308 || v < -1.7e308)
        return false;
    *value = v;
    return true;
}

static int
by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool
str_set_add(void **set, const char *s)
{
    if (tfind(s, set, by_bytes) != NULL)
        return false;
    mem_must(tsearch(mem_strdup(s), set, by_bytes), 4 * sizeof(void *));
    return true;
}

bool
str_set_has(void *set, const char *s)
{
    return tfind(s, &set, by_bytes) != NULL;
}

void
str_set_release(void **set)
{
    tdestroy(*set, free);
    *set = NULL;
}
