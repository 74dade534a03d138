#include "data/safet.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"

#include <assert.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH = 8,                     /* bytes of the header's length */
    HEADER_MAX = 16 * 1000 * 1000,    /* 100 000 tensors of 160 bytes */
    TENSORS_MAX = 100 * 1000,
    META_MAX = 8 * 1000 * 1000,     /* bytes of a string, of all metadata */
    ALIGN = 64                      /* of the data section in our files */
};

static const struct {
    const char *name;
    size_t nbytes;
} dtypes[] = {
    [DT_U8] = { "U8", 1 },     [DT_I8] = { "I8", 1 },
    [DT_U16] = { "U16", 2 },   [DT_I16] = { "I16", 2 },
    [DT_F16] = { "F16", 2 },   [DT_BF16] = { "BF16", 2 },
    [DT_U32] = { "U32", 4 },   [DT_I32] = { "I32", 4 },
    [DT_F32] = { "F32", 4 },   [DT_U64] = { "U64", 8 },
    [DT_I64] = { "I64", 8 },   [DT_F64] = { "F64", 8 },
    [DT_BOOL] = { "BOOL", 1 },
};

size_t
dtype_nbytes(enum dtype t)
{
    return dtypes[t].nbytes;
}

const char *
dtype_name(enum dtype t)
{
    return dtypes[t].name;
}

/* Bytes of a tensor; also a shape with a 0 in it must not overflow. */
static bool
shape_nbytes(enum dtype t, int ndims, const int64_t *dims, size_t *nbytes)
{
    size_t all = dtype_nbytes(t);
    bool empty = false;

    for (int i = 0; i < ndims; i++) {
        empty = empty || dims[i] == 0;
        if (dims[i] > 0 && __builtin_mul_overflow(all, (size_t)dims[i], &all))
            return false;
    }
    *nbytes = empty ? 0 : all;
    return all <= INT64_MAX;
}

/* ------------------------------------------------------- reading the header */

/*
 * The header is JSON of one fixed form, so the reader is no JSON parser: it
 * expects what must come next.  Nothing nests deeper than the form does.
 */
struct reader {
    const char *p, *end;
    const char *why;            /* what is wrong, or NULL */
    struct str text;            /* the string read last */
};

static bool
wrong(struct reader *r, const char *why)
{
    if (r->why == NULL)
        r->why = why;
    return false;
}

static char
peek(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' ||
                             *r->p == '\t' || *r->p == '\r'))
        r->p++;
    return r->p < r->end ? *r->p : '\0';
}

static bool
take(struct reader *r, char c)
{
    if (peek(r) != c || r->p == r->end)
        return wrong(r, "its header is not as it must be");
    r->p++;
    return true;
}

/* Behind an item of a list: is there another one before `close`? */
static bool
more(struct reader *r, char close)
{
    if (peek(r) == close) {
        r->p++;
        return false;
    }
    return take(r, ',');
}

/* Is the list that starts here empty?  Then it is passed. */
static bool
none(struct reader *r, char close)
{
    if (peek(r) != close)
        return false;
    r->p++;
    return true;
}

static bool
hex_digits(const char *p, const char *end, int n, uint32_t *value)
{
    *value = 0;
    if (end - p < n)
        return false;
    for (; n > 0; n--, p++) {
        uint32_t d = *p >= '0' && *p <= '9' ? (uint32_t)(*p - '0')
                   : *p >= 'a' && *p <= 'f' ? (uint32_t)(*p - 'a' + 10)
                   : *p >= 'A' && *p <= 'F' ? (uint32_t)(*p - 'A' + 10) : 16;
        if (d == 16)
            return false;
        *value = *value << 4 | d;
    }
    return true;
}

static void
add_utf8(struct str *s, uint32_t c)
{
    char b[4];
    size_t n = 0;

    if (c < 0x80) {
        b[n++] = (char)c;
    } else {
        int tail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;

        b[n++] = (char)(0xff00u >> (tail + 1) | c >> (6 * tail));
        while (tail-- > 0)
            b[n++] = (char)(0x80 | (c >> (6 * tail) & 0x3f));
    }
    str_add_bytes(s, b, n);
}

/* \uXXXX, or two of them that make one character; r->p is behind the u. */
static bool
unicode_escape(struct reader *r)
{
    uint32_t c, low;

    if (!hex_digits(r->p, r->end, 4, &c))
        return false;
    r->p += 4;
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u' ||
            !hex_digits(r->p + 2, r->end, 4, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return false;
        r->p += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (c == 0 || (c >= 0xdc00 && c < 0xe000)) {
        return false;
    }
    add_utf8(&r->text, c);
    return true;
}

static bool
escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;

    if (++r->p == r->end)
        return false;
    if (*r->p == 'u') {
        r->p++;
        return unicode_escape(r);
    }
    at = *r->p != '\0' ? strchr(from, *r->p) : NULL;
    if (at == NULL)
        return false;
    str_add_bytes(&r->text, to + (at - from), 1);
    r->p++;
    return true;
}

/* A string, into r->text. */
static bool
string(struct reader *r)
{
    r->text.n = 0;
    str_add(&r->text, "");
    if (!take(r, '"'))
        return false;
    while (r->p < r->end && *r->p != '"') {
        const char *p = r->p;
        size_t n = 1;

        if (r->text.n > META_MAX)
            return wrong(r, "a string in its header is too long");
        while (p < r->end && *p != '"' && *p != '\\' &&
               (unsigned char)*p >= ' ' && n > 0 && p - r->p < META_MAX) {
            n = str_utf8(p, (size_t)(r->end - p));
            p += n;
        }
        if (n == 0)
            return wrong(r, "a string in its header is not UTF-8");
        str_add_bytes(&r->text, r->p, (size_t)(p - r->p));
        if (p > r->p)
            r->p = p;
        else if (*p != '\\' || !escape(r))
            return wrong(r, "a string in its header has a bad character");
    }
    return take(r, '"');
}

/* A whole number from 0 to 2^63 - 1. */
static bool
number(struct reader *r, int64_t *value)
{
    const char *start;
    int64_t v = 0;

    peek(r);
    start = r->p;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, *r->p - '0', &v))
            return wrong(r, "a number in its header is too large");
    if (r->p == start || (*start == '0' && r->p - start > 1))
        return wrong(r, "a number in its header is not a whole number");
    *value = v;
    return true;
}

static bool
read_dtype(struct reader *r, struct safet_tensor *t)
{
    if (!string(r))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(dtypes); i++)
        if (strcmp(dtypes[i].name, r->text.text) == 0) {
            t->dtype = (enum dtype)i;
            return true;
        }
    return wrong(r, "a tensor has a type that is not known here");
}

static bool
read_shape(struct reader *r, struct safet_tensor *t)
{
    if (!take(r, '['))
        return false;
    if (none(r, ']'))
        return true;
    do {
        if (t->ndims == SAFET_DIMS)
            return wrong(r, "a tensor has too many dimensions");
        if (!number(r, &t->dims[t->ndims++]))
            return false;
    } while (more(r, ']'));
    return r->why == NULL;
}

static bool
read_offsets(struct reader *r, int64_t at[2])
{
    return take(r, '[') && number(r, &at[0]) && take(r, ',') &&
           number(r, &at[1]) && take(r, ']');
}

static bool
read_tensor(struct reader *r, struct safet_tensor *t)
{
    static const char *const fields[] = { "dtype", "shape", "data_offsets" };
    int64_t at[2] = { 0, 0 };
    unsigned seen = 0;

    if (!take(r, '{'))
        return false;
    do {
        size_t i = 0;
        bool good;

        if (!string(r) || !take(r, ':'))
            return false;
        while (i < 3 && strcmp(r->text.text, fields[i]) != 0)
            i++;
        if (i == 3 || seen & 1u << i)
            return wrong(r, "a tensor's entry has a wrong field");
        seen |= 1u << i;
        good = i == 0 ? read_dtype(r, t)
             : i == 1 ? read_shape(r, t) : read_offsets(r, at);
        if (!good)
            return false;
    } while (more(r, '}'));
    if (r->why != NULL)
        return false;
    if (seen != 7)
        return wrong(r, "a tensor's entry lacks a field");
    if (!shape_nbytes(t->dtype, t->ndims, t->dims, &t->nbytes))
        return wrong(r, "a tensor's shape overflows");
    if (at[1] < at[0] || (uint64_t)(at[1] - at[0]) != t->nbytes)
        return wrong(r, "a tensor's range is not as long as its shape says");
    t->begin = (size_t)at[0];
    return true;
}

static bool
read_meta(struct reader *r, struct safet *s)
{
    size_t room = 0, all = 0;

    if (!take(r, '{'))
        return false;
    if (none(r, '}'))
        return true;
    do {
        if (s->nmeta == room) {
            room = room * 2 + 16;
            s->key = mem_grow(s->key, room, sizeof *s->key);
            s->value = mem_grow(s->value, room, sizeof *s->value);
        }
        if (!string(r))
            return false;
        all += r->text.n + 2 * sizeof(char *);
        s->key[s->nmeta] = mem_strdup(r->text.text);
        s->value[s->nmeta++] = mem_strdup("");
        if (!take(r, ':') || !string(r))
            return false;
        free(s->value[s->nmeta - 1]);
        s->value[s->nmeta - 1] = mem_strdup(r->text.text);
        all += r->text.n;
        if (all > META_MAX)
            return wrong(r, "its metadata is larger than 8 MB");
        if (strcmp(s->key[s->nmeta - 1], "self") == 0)
            s->self = r->p - 9;     /* 8 digits and the quote */
    } while (more(r, '}'));
    return r->why == NULL;
}

static bool
read_header(struct reader *r, struct safet *s)
{
    size_t room = 0;
    bool meta = false;

    if (r->p == r->end || *r->p != '{')
        return wrong(r, "its header is not as it must be");
    r->p++;
    if (none(r, '}'))
        return peek(r) == '\0' && r->p == r->end ? true
             : wrong(r, "there is more behind its header's end");
    do {
        struct safet_tensor *t;

        if (!string(r) || !take(r, ':'))
            return false;
        if (strcmp(r->text.text, "__metadata__") == 0) {
            if (meta)
                return wrong(r, "it has two sections of metadata");
            meta = true;
            if (!read_meta(r, s))
                return false;
            continue;
        }
        if (s->ntensors == TENSORS_MAX)
            return wrong(r, "it has too many tensors");
        s->tensor = mem_room(s->tensor, s->ntensors, &room,
                             sizeof *s->tensor);
        t = &s->tensor[s->ntensors++];
        memset(t, 0, sizeof *t);
        t->name = mem_strdup(r->text.text);
        if (!read_tensor(r, t))
            return false;
    } while (more(r, '}'));
    if (r->why == NULL && (peek(r) != '\0' || r->p != r->end))
        return wrong(r, "there is more behind its header's end");
    return r->why == NULL;
}

/* ------------------------------------------------- checking what was read */

static int
by_place(const void *a, const void *b)
{
    const struct safet_tensor *s = a, *t = b;

    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    if (s->nbytes != t->nbytes)
        return s->nbytes < t->nbytes ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp((*(struct safet_tensor *const *)a)->name,
                  (*(struct safet_tensor *const *)b)->name);
}

const char *
safet_index(struct safet *s)
{
    s->by_name = mem_array(s->ntensors, sizeof *s->by_name);
    for (size_t i = 0; i < s->ntensors; i++)
        s->by_name[i] = &s->tensor[i];
    qsort(s->by_name, s->ntensors, sizeof *s->by_name, by_name);
    for (size_t i = 1; i < s->ntensors; i++)
        if (by_name(&s->by_name[i - 1], &s->by_name[i]) == 0)
            return "it has two tensors of one name";
    return NULL;
}

/* The tensors tile the data; no name and no key is there twice. */
static const char *
check_layout(struct safet *s, size_t nbytes)
{
    const char *why = NULL;
    size_t at = 0;

    if (s->ntensors > 0)
        qsort(s->tensor, s->ntensors, sizeof *s->tensor, by_place);
    for (size_t i = 0; i < s->ntensors; i++) {
        if (s->tensor[i].begin != at || s->tensor[i].nbytes > nbytes - at)
            why = s->tensor[i].begin > at
                ? "there is a hole in its data"
                : s->tensor[i].begin < at ? "two of its tensors overlap"
                : "it is shorter than its header says";
        if (why != NULL)
            break;
        at += s->tensor[i].nbytes;
    }
    if (why == NULL && at != nbytes)
        why = "it is longer than its header says";
    if (why == NULL)
        why = safet_index(s);
    if (why == NULL && str_twice(s->key, s->nmeta) != NULL)
        why = "its metadata has a key twice";
    return why;
}

/* "self" is the CRC-32 of the header with its own digits taken as zeros. */
static const char *
check_self(const struct safet *s, const char *header, size_t nbytes)
{
    const char *text = safet_meta(s, "self");
    char want[9] = "";
    size_t at;
    uint32_t crc;

    if (text == NULL)
        return NULL;
    if (strlen(text) == 8 && memcmp(s->self, text, 8) == 0) {
        at = (size_t)(s->self - header);
        crc = libdeflate_crc32(0, header, at);
        crc = libdeflate_crc32(crc, "00000000", 8);
        crc = libdeflate_crc32(crc, header + at + 8, nbytes - at - 8);
        snprintf(want, sizeof want, "%08x", crc);
    }
    return strcmp(want, text) == 0 && want[0] != '\0' ? NULL
         : "its header is damaged (CRC-32 differs)";
}

static struct safet_tensor *
find(const struct safet *s, const char *name)
{
    struct safet_tensor key = { .name = (char *)name }, *p = &key, **at;

    if (s->ntensors == 0)
        return NULL;
    at = bsearch(&p, s->by_name, s->ntensors, sizeof *s->by_name, by_name);
    return at != NULL ? *at : NULL;
}

/* The list of CRCs, "name=8 digits name=8 digits ...", into the tensors. */
static const char *
read_crcs(struct safet *s)
{
    const char *list = safet_meta(s, "crc32");
    struct str_list words = { 0 };
    const char *why = NULL;

    if (list == NULL || list[0] == '\0')
        return NULL;
    str_list_split(&words, list, ' ');
    for (size_t i = 0; i < words.n && why == NULL; i++) {
        char *word = words.item[i], *at = strrchr(word, '=');
        struct safet_tensor *t = NULL;

        if (at != NULL && strlen(at) == 9) {
            *at = '\0';
            t = find(s, word);
        }
        if (t == NULL || t->has_crc ||
            !hex_digits(at + 1, at + 9, 8, &t->crc))
            why = "its list of CRC-32 is not of its tensors";
        else
            t->has_crc = true;
    }
    str_list_release(&words);
    return why;
}

/* ------------------------------------------------------------ for programs */

static const char *
load(struct safet *s)
{
    const unsigned char *p = s->map.data;
    const char *header = (const char *)p + LENGTH, *why;
    struct reader r = { 0 };
    uint64_t n = 0;

    if (s->map.nbytes < LENGTH + 2)
        return "it is too short";
    for (int i = LENGTH - 1; i >= 0; i--)
        n = n << 8 | p[i];
    if (n > HEADER_MAX)
        return "its header is longer than 16 MB";
    if (n > s->map.nbytes - LENGTH)
        return "its header is longer than the file";
    s->data = p + LENGTH + n;
    r.p = header;
    r.end = header + n;
    read_header(&r, s);
    str_release(&r.text);
    why = r.why;
    if (why == NULL)
        why = check_layout(s, s->map.nbytes - LENGTH - (size_t)n);
    if (why == NULL)
        why = check_self(s, header, (size_t)n);
    if (why == NULL)
        why = read_crcs(s);
    return why;
}

int
safet_open(struct safet *s, const char *path, struct err *e)
{
    const char *why;

    memset(s, 0, sizeof *s);
    if (strcmp(path, "-") == 0)
        return err_set(e, EXIT_USAGE, "'-': models and datasets do not come "
                       "through a pipe; name a file");
    if (file_map(&s->map, path, e) != 0)
        return -1;
    s->path = mem_strdup(path);
    why = load(s);
    if (why == NULL)
        return 0;
    err_set(e, EXIT_INVALID, "'%s' cannot be read as safetensors: %s", path,
            why);
    safet_close(s);
    return -1;
}

static void
free_lists(struct safet_tensor *tensor, size_t ntensors, char **key,
           char **value, size_t nmeta)
{
    for (size_t i = 0; i < ntensors; i++)
        free(tensor[i].name);
    for (size_t i = 0; i < nmeta; i++) {
        free(key[i]);
        free(value[i]);
    }
    free(tensor);
    free(key);
    free(value);
}

void
safet_close(struct safet *s)
{
    free_lists(s->tensor, s->ntensors, s->key, s->value, s->nmeta);
    free(s->by_name);
    free(s->path);
    file_unmap(&s->map);
    memset(s, 0, sizeof *s);
}

const struct safet_tensor *
safet_find(const struct safet *s, const char *name)
{
    return find(s, name);
}

const void *
safet_data(const struct safet *s, const struct safet_tensor *t)
{
    return s->data + t->begin;
}

const char *
safet_meta(const struct safet *s, const char *key)
{
    for (size_t i = 0; i < s->nmeta; i++)
        if (strcmp(s->key[i], key) == 0)
            return s->value[i];
    return NULL;
}

const struct safet_tensor *
safet_need(const struct safet *s, const char *name, struct err *e)
{
    const struct safet_tensor *t = safet_find(s, name);

    if (t == NULL)
        err_set(e, EXIT_INVALID, "'%s' has no tensor '%s'", s->path, name);
    return t;
}

const char *
safet_need_meta(const struct safet *s, const char *key, struct err *e)
{
    const char *value = safet_meta(s, key);

    if (value == NULL)
        err_set(e, EXIT_INVALID, "'%s' has no '%s' in its metadata", s->path,
                key);
    return value;
}

int
safet_check_kind(const struct safet *s, const char *kind, struct err *e)
{
    const char *format = safet_meta(s, "format");
    const char *what = safet_meta(s, "kind");

    if (what == NULL || format == NULL)
        return err_set(e, EXIT_INVALID, "'%s' was not made by this toolkit",
                       s->path);
    if (safet_need_meta(s, "self", e) == NULL)
        return -1;
    if (strcmp(what, kind) != 0)
        return err_set(e, EXIT_INVALID, "'%s' is a %s file, not a %s file",
                       s->path, what, kind);
    if (strcmp(format, BUSI_FORMAT) != 0)
        return err_set(e, EXIT_INVALID,
                       "'%s' has format %s; this version knows %s", s->path,
                       format, BUSI_FORMAT);
    return 0;
}

int
safet_verify_one(const struct safet *s, const struct safet_tensor *t,
                 struct err *e)
{
    if (!t->has_crc)
        return err_set(e, EXIT_INVALID,
                       "'%s' has no CRC-32 of its tensor '%s'", s->path,
                       t->name);
    if (libdeflate_crc32(0, safet_data(s, t), t->nbytes) != t->crc)
        return err_set(e, EXIT_INVALID,
                       "'%s' is damaged: CRC-32 of '%s' differs", s->path,
                       t->name);
    return 0;
}

int
safet_verify(const struct safet *s, struct err *e)
{
    for (size_t i = 0; i < s->ntensors; i++)
        if (safet_verify_one(s, &s->tensor[i], e) != 0)
            return -1;
    return 0;
}

/* ------------------------------------------------------------------ writing */

int
safet_create(struct safet_out *o, const char *path, size_t header_room,
             struct err *e)
{
    memset(o, 0, sizeof *o);
    if (strcmp(path, "-") == 0)
        return err_set(e, EXIT_USAGE,
                       "tensors are written to a file, not to a stream");
    if (file_out_open(&o->out, path, e) != 0)
        return -1;
    o->header_room = (LENGTH + header_room + ALIGN - 1) / ALIGN * ALIGN -
                     LENGTH;
    if (fseeko(o->out.stream, (off_t)(LENGTH + o->header_room), SEEK_SET)) {
        err_errno(e, "cannot write '%s'", path);
        safet_drop(o);
        return -1;
    }
    return 0;
}

void
safet_set(struct safet_out *o, const char *key, const char *value)
{
    o->key = mem_grow(o->key, o->nmeta + 1, sizeof *o->key);
    o->value = mem_grow(o->value, o->nmeta + 1, sizeof *o->value);
    o->key[o->nmeta] = mem_strdup(key);
    o->value[o->nmeta++] = mem_strdup(value);
}

void
safet_begin(struct safet_out *o, const char *name, enum dtype t)
{
    struct safet_tensor *now;

    o->tensor = mem_grow(o->tensor, o->ntensors + 1, sizeof *o->tensor);
    now = &o->tensor[o->ntensors];
    memset(now, 0, sizeof *now);
    now->name = mem_strdup(name);
    now->dtype = t;
    if (o->ntensors > 0)
        now->begin = now[-1].begin + now[-1].nbytes;
    o->ntensors++;
}

void
safet_add(struct safet_out *o, const void *data, size_t nbytes)
{
    struct safet_tensor *t = &o->tensor[o->ntensors - 1];

    if (nbytes == 0)
        return;
    /* A failure stays in the stream and is told at the end. */
    fwrite(data, 1, nbytes, o->out.stream);
    t->crc = libdeflate_crc32(t->crc, data, nbytes);
    t->nbytes += nbytes;
}

void
safet_end(struct safet_out *o, int ndims, const int64_t *dims)
{
    struct safet_tensor *t = &o->tensor[o->ntensors - 1];
    size_t nbytes = 0;
    bool fits;

    assert(ndims <= SAFET_DIMS);
    t->ndims = ndims;
    for (int i = 0; i < ndims; i++)
        t->dims[i] = dims[i];
    fits = shape_nbytes(t->dtype, ndims, dims, &nbytes);
    assert(fits && nbytes == t->nbytes);
    (void)fits;
}

void
safet_put(struct safet_out *o, const char *name, enum dtype t, int ndims,
          const int64_t *dims, const void *data)
{
    size_t nbytes = 0;

    shape_nbytes(t, ndims, dims, &nbytes);
    safet_begin(o, name, t);
    safet_add(o, data, nbytes);
    safet_end(o, ndims, dims);
}

/* The header's text; returns where the digits of "self" are in it. */
static size_t
put_header(const struct safet_out *o, struct str *to)
{
    struct str crcs = { 0 };
    size_t self;

    str_add(to, "{\"__metadata__\":{");
    for (size_t i = 0; i < o->nmeta; i++) {
        str_add_json(to, o->key[i]);
        str_add(to, ":");
        str_add_json(to, o->value[i]);
        str_add(to, ",");
    }
    str_add(&crcs, "");
    for (size_t i = 0; i < o->ntensors; i++)
        str_addf(&crcs, "%s%s=%08x", i > 0 ? " " : "", o->tensor[i].name,
                 (unsigned)o->tensor[i].crc);
    str_add(to, "\"crc32\":");
    str_add_json(to, crcs.text);
    str_release(&crcs);
    str_add(to, ",\"self\":\"");
    self = to->n;
    str_add(to, "00000000\"}");
    for (size_t i = 0; i < o->ntensors; i++) {
        const struct safet_tensor *t = &o->tensor[i];

        str_add(to, ",");
        str_add_json(to, t->name);
        str_addf(to, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
        for (int k = 0; k < t->ndims; k++)
            str_addf(to, "%s%lld", k > 0 ? "," : "", (long long)t->dims[k]);
        str_addf(to, "],\"data_offsets\":[%zu,%zu]}", t->begin,
                 t->begin + t->nbytes);
    }
    str_add(to, "}");
    return self;
}

int
safet_commit(struct safet_out *o, struct err *e)
{
    unsigned char length[LENGTH];
    struct str header = { 0 };
    char digits[9];
    size_t self = put_header(o, &header);
    int rc = -1;

    if (header.n > o->header_room) {
        err_set(e, EXIT_IO, "cannot write '%s': its header needs %zu bytes, "
                "%zu were kept", o->out.path, header.n, o->header_room);
        goto done;
    }
    if (header.n > HEADER_MAX) {
        err_set(e, EXIT_IO, "cannot write '%s': its header would be longer "
                "than 16 MB", o->out.path);
        goto done;
    }
    while (header.n < o->header_room)
        str_add_bytes(&header, " ", 1);
    snprintf(digits, sizeof digits, "%08x",
             libdeflate_crc32(0, header.text, header.n));
    memcpy(header.text + self, digits, 8);
    for (int i = 0; i < LENGTH; i++)
        length[i] = (unsigned char)((uint64_t)header.n >> (8 * i));
    if (fseeko(o->out.stream, 0, SEEK_SET) != 0) {
        err_errno(e, "cannot write '%s'", o->out.path);
        goto done;
    }
    fwrite(length, 1, LENGTH, o->out.stream);
    fwrite(header.text, 1, header.n, o->out.stream);
    rc = file_out_close(&o->out, e);
done:
    str_release(&header);
    safet_drop(o);
    return rc;
}

void
safet_drop(struct safet_out *o)
{
    file_out_drop(&o->out);
    free_lists(o->tensor, o->ntensors, o->key, o->value, o->nmeta);
    memset(o, 0, sizeof *o);
}
