#include "data/pth.h"

#include "base/mem.h"
#include "base/str.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUES_MAX = 1 << 18,       /* of a pickle: some 30 000 tensors */
    NESTED_MAX = 3              /* dictionaries in dictionaries */
};

/* How a file begins that torch.save() wrote before 1.6. */
#define OLD_MAGIC 0x0a8a0280

/* A run of bytes of the file. */
struct bytes {
    const unsigned char *p;
    size_t n;
};

static bool
same(struct bytes b, const char *text)
{
    return b.n == strlen(text) && memcmp(b.p, text, b.n) == 0;
}

/* ------------------------------------------------------------- the archive */

struct entry {
    struct bytes name, data;
};

struct zip {
    struct bytes file;
    struct entry *entry;        /* [n] */
    size_t n;
};

static uint32_t
little(const unsigned char *p, int n)
{
    uint32_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* The record at the end that says where the directory is. */
static const unsigned char *
find_end(struct bytes f)
{
    size_t least = 22, most = least + 65535;

    for (size_t back = least; back <= most && back <= f.n; back++)
        if (little(f.p + f.n - back, 4) == 0x06054b50)
            return f.p + f.n - back;
    return NULL;
}

/* One entry of the directory; how long it is, or 0 and why. */
static size_t
read_entry(struct bytes f, size_t at, struct entry *e, const char **why)
{
    const unsigned char *p = f.p + at;
    size_t n, local, name, begin;

    *why = "its directory is damaged";
    if (f.n - at < 46 || little(p, 4) != 0x02014b50)
        return 0;
    n = little(p + 24, 4);
    local = little(p + 42, 4);
    name = little(p + 28, 2);
    if (f.n - at - 46 < name || local > f.n || f.n - local < 30 ||
        little(f.p + local, 4) != 0x04034b50)
        return 0;
    if (little(p + 10, 2) != 0 || little(p + 20, 4) != n) {
        *why = "it is compressed or larger than 4 GB";
        return 0;
    }
    begin = local + 30 + little(f.p + local + 26, 2) +
            little(f.p + local + 28, 2);
    if (begin > f.n || f.n - begin < n)
        return 0;
    /* PyTorch can be told to leave the sums out. */
    if (little(p + 16, 4) != 0 &&
        libdeflate_crc32(0, f.p + begin, n) != little(p + 16, 4)) {
        *why = "it is damaged (CRC-32 differs)";
        return 0;
    }
    e->name = (struct bytes){ p + 46, name };
    e->data = (struct bytes){ f.p + begin, n };
    return 46 + name + little(p + 30, 2) + little(p + 32, 2);
}

static const char *
zip_read(struct zip *z)
{
    const unsigned char *end = find_end(z->file);
    const char *why = "it is cut off";
    size_t n, at;

    if (end == NULL)
        return why;
    n = little(end + 10, 2);
    at = little(end + 16, 4);
    z->entry = mem_array(n, sizeof *z->entry);
    for (z->n = 0; z->n < n; z->n++) {
        size_t used = at < z->file.n
                          ? read_entry(z->file, at, &z->entry[z->n], &why)
                          : 0;

        if (used == 0)
            return why;
        at += used;
    }
    return NULL;
}

/* The entry NAME/tail, NAME being the folder that all entries share. */
static const struct entry *
zip_find(const struct zip *z, const char *folder, struct bytes tail)
{
    for (size_t i = 0; i < z->n; i++) {
        struct bytes b = z->entry[i].name;
        const unsigned char *slash = memchr(b.p, '/', b.n);
        size_t skip = slash != NULL ? (size_t)(slash + 1 - b.p) : 0;
        size_t n = strlen(folder);

        if (skip > 0 && b.n - skip == n + tail.n &&
            memcmp(b.p + skip, folder, n) == 0 &&
            memcmp(b.p + skip + n, tail.p, tail.n) == 0)
            return &z->entry[i];
    }
    return NULL;
}

/* --------------------------------------------------------------- the values */

enum kind {
    V_MARK, V_OTHER, V_INT, V_TEXT, V_GLOBAL, V_TUPLE, V_DICT, V_STORAGE,
    V_TENSOR
};

struct tensor {
    enum dtype dtype;
    struct bytes data;
    int ndims;
    int64_t dims[SAFET_DIMS];
    bool odd;               /* not contiguous, or of too many dimensions */
};

struct value {
    enum kind kind;
    int64_t i;
    struct bytes text;      /* of a global: "module\nname" */
    size_t first, n;        /* tuple: in items; dict: its number in first */
    struct tensor t;        /* tensor; storage: dtype and data */
};

/* What a dictionary was given, in this order. */
struct pair {
    size_t dict, at;        /* at: its own number */
    struct bytes key;
    struct value value;
};

struct machine {
    const struct zip *zip;
    const unsigned char *p, *end;
    struct value *stack, *item, *memo;
    size_t nstack, stack_room, nitems, item_room, memo_room;
    struct pair *pair;
    size_t npairs, pair_room, ndicts, nmemo;
    size_t *next;           /* [ndicts] pair to gather */
    char why[160];
};

static int
refuse(struct machine *m, const char *why)
{
    if (m->why[0] == '\0')
        snprintf(m->why, sizeof m->why, "%s", why);
    return -1;
}

static int
push(struct machine *m, struct value v)
{
    if (m->nstack >= VALUES_MAX)
        return refuse(m, "its pickle is too large");
    m->stack = mem_room(m->stack, m->nstack, &m->stack_room, sizeof v);
    m->stack[m->nstack++] = v;
    return 0;
}

static int
pop(struct machine *m, struct value *v)
{
    if (m->nstack == 0)
        return refuse(m, "its pickle is damaged");
    *v = m->stack[--m->nstack];
    return 0;
}

/* Take n bytes of the program. */
static int
take(struct machine *m, size_t n, struct bytes *b)
{
    if ((size_t)(m->end - m->p) < n)
        return refuse(m, "its pickle is cut off");
    *b = (struct bytes){ m->p, n };
    m->p += n;
    return 0;
}

/* Where the values above the last mark begin; the mark stays below. */
static int
above_mark(struct machine *m, size_t *first)
{
    for (size_t i = m->nstack; i-- > 0;)
        if (m->stack[i].kind == V_MARK) {
            *first = i + 1;
            return 0;
        }
    return refuse(m, "its pickle is damaged");
}

/* The values from `first` on become a tuple, in their place or the mark's. */
static int
make_tuple(struct machine *m, size_t first, bool mark)
{
    struct value v = { .kind = V_TUPLE, .first = m->nitems,
                       .n = m->nstack - first };

    if (m->nitems + v.n > VALUES_MAX)
        return refuse(m, "its pickle is too large");
    for (size_t i = first; i < m->nstack; i++) {
        m->item = mem_room(m->item, m->nitems, &m->item_room, sizeof v);
        m->item[m->nitems++] = m->stack[i];
    }
    m->nstack = first - (mark ? 1 : 0);
    return push(m, v);
}

static int
tuple_of(struct machine *m, size_t n)
{
    return m->nstack < n ? refuse(m, "its pickle is damaged")
                         : make_tuple(m, m->nstack - n, false);
}

static int
remember(struct machine *m, size_t at)
{
    if (m->nstack == 0 || at >= VALUES_MAX)
        return refuse(m, "its pickle is damaged");
    while (m->nmemo <= at) {
        m->memo = mem_room(m->memo, m->nmemo, &m->memo_room, sizeof *m->memo);
        m->memo[m->nmemo++] = (struct value){ .kind = V_OTHER };
    }
    m->memo[at] = m->stack[m->nstack - 1];
    return 0;
}

static int
recall(struct machine *m, size_t at)
{
    return at < m->nmemo ? push(m, m->memo[at])
                         : refuse(m, "its pickle is damaged");
}

static int
new_dict(struct machine *m)
{
    return push(m, (struct value){ .kind = V_DICT, .first = m->ndicts++ });
}

/* Keys and values from `first` on go into the dictionary below them. */
static int
set_items(struct machine *m, size_t first, bool mark)
{
    size_t below = first - (mark ? 1 : 0);
    const struct value *dict;

    if (below == 0 || (m->nstack - first) % 2 != 0)
        return refuse(m, "its pickle is damaged");
    dict = &m->stack[below - 1];
    for (size_t i = first; i < m->nstack; i += 2) {
        if (dict->kind != V_DICT || m->stack[i].kind != V_TEXT)
            continue;       /* an optimiser's state, say */
        if (m->npairs >= VALUES_MAX)
            return refuse(m, "its pickle is too large");
        m->pair = mem_room(m->pair, m->npairs, &m->pair_room, sizeof *m->pair);
        m->pair[m->npairs] = (struct pair){ dict->first, m->npairs,
                                            m->stack[i].text,
                                            m->stack[i + 1] };
        m->npairs++;
    }
    m->nstack = below;
    return 0;
}

/* ------------------------------------------------- the few calls understood */

/* Those of a tuple with so many at least (not 0), else NULL. */
static const struct value *
items(const struct machine *m, const struct value *v, size_t least)
{
    return v->kind == V_TUPLE && v->n >= least ? m->item + v->first : NULL;
}

/* ('storage', torch FloatStorage, '0', 'cpu', 6): bytes of the archive. */
static int
make_storage(struct machine *m)
{
    static const struct {
        const char *name;
        enum dtype dtype;
    } types[] = {
        { "torch\nFloatStorage", DT_F32 }, { "torch\nDoubleStorage", DT_F64 },
        { "torch\nHalfStorage", DT_F16 }, { "torch\nBFloat16Storage", DT_BF16 },
        { "torch\nLongStorage", DT_I64 }, { "torch\nIntStorage", DT_I32 },
        { "torch\nShortStorage", DT_I16 }, { "torch\nCharStorage", DT_I8 },
        { "torch\nByteStorage", DT_U8 }, { "torch\nBoolStorage", DT_BOOL }
    };
    struct value v, made = { .kind = V_STORAGE };
    const struct value *a;
    const struct entry *e;

    if (pop(m, &v) != 0)
        return -1;
    a = items(m, &v, 5);
    if (a == NULL || a[0].kind != V_TEXT || !same(a[0].text, "storage") ||
        a[1].kind != V_GLOBAL || a[2].kind != V_TEXT)
        return refuse(m, "its pickle refers to something else than tensors");
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (same(a[1].text, types[i].name)) {
            e = zip_find(m->zip, "data/", a[2].text);
            if (e == NULL)
                return refuse(m, "numbers of a tensor are missing");
            made.t.dtype = types[i].dtype;
            made.t.data = e->data;
            return push(m, made);
        }
    return refuse(m, "it has tensors of another type than plain numbers");
}

/* (storage, offset, sizes, strides, ...). */
static int
make_tensor(struct machine *m, const struct value *args)
{
    const struct value *a = items(m, args, 4), *size, *stride;
    struct value v = { .kind = V_TENSOR };
    size_t bytes, n = 1;
    bool empty = false;

    if (a == NULL || a[0].kind != V_STORAGE || a[1].kind != V_INT ||
        a[2].kind != V_TUPLE || a[3].kind != V_TUPLE || a[2].n != a[3].n)
        return refuse(m, "a tensor in it is damaged");
    v.t.dtype = a[0].t.dtype;
    bytes = dtype_nbytes(v.t.dtype);
    size = m->item + a[2].first;
    stride = m->item + a[3].first;
    v.t.odd = a[2].n > SAFET_DIMS;
    v.t.ndims = v.t.odd ? 0 : (int)a[2].n;
    if (args->n > 6)            /* such as torch._neg_view()'s */
        return refuse(m, "a tensor in it is a view that is not plain numbers");
    for (size_t i = 0; i < a[2].n; i++)
        empty = empty || (size[i].kind == V_INT && size[i].i == 0);
    n = empty ? 0 : 1;
    for (size_t i = a[2].n; i-- > 0 && !v.t.odd;) {
        if (size[i].kind != V_INT || stride[i].kind != V_INT ||
            size[i].i < 0)
            return refuse(m, "a tensor in it is damaged");
        v.t.dims[i] = size[i].i;
        v.t.odd = size[i].i != 1 && stride[i].i != (int64_t)n && !empty;
        if (__builtin_mul_overflow(n, (size_t)size[i].i, &n) ||
            n > a[0].t.data.n)
            return refuse(m, "a tensor in it is damaged");
    }
    if (a[1].i < 0 || (size_t)a[1].i > a[0].t.data.n / bytes ||
        n > a[0].t.data.n / bytes - (size_t)a[1].i)
        return refuse(m, "a tensor is larger than its numbers");
    v.t.data = (struct bytes){ a[0].t.data.p + (size_t)a[1].i * bytes,
                               n * bytes };
    return push(m, v);
}

static int
call(struct machine *m)
{
    struct value args, f;

    if (pop(m, &args) != 0 || pop(m, &f) != 0)
        return -1;
    if (f.kind != V_GLOBAL || args.kind != V_TUPLE)
        return refuse(m, "its pickle is damaged");
    if (same(f.text, "collections\nOrderedDict"))
        return new_dict(m);
    if (same(f.text, "torch._utils\n_rebuild_tensor_v2"))
        return make_tensor(m, &args);
    if (same(f.text, "torch._utils\n_rebuild_parameter") && args.n > 0)
        return push(m, m->item[args.first]);
    snprintf(m->why, sizeof m->why, "it wants to call '%.*s'",
             (int)(f.text.n < 100 ? f.text.n : 100), (const char *)f.text.p);
    for (char *p = m->why; *p != '\0'; p++)
        *p = *p == '\n' ? '.' : (unsigned char)*p < ' ' ? '?' : *p;
    return -1;
}

/* ------------------------------------------------------------- the program */

/* A whole number of n bytes, two's complement. */
static int
push_int(struct machine *m, size_t n, bool sign)
{
    struct bytes b;
    uint64_t v = 0;

    if (n > 8)
        return refuse(m, "a number in its pickle is too large");
    if (take(m, n, &b) != 0)
        return -1;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | b.p[i];
    if (sign && n > 0 && n < 8 && b.p[n - 1] >= 128)
        v |= UINT64_MAX << 8 * n;
    return push(m, (struct value){ .kind = V_INT, .i = (int64_t)v });
}

/* The length of what follows, in n bytes. */
static int
length(struct machine *m, size_t n, size_t *value)
{
    struct bytes b;

    if (take(m, n, &b) != 0)
        return -1;
    *value = little(b.p, (int)n);
    return 0;
}

static int
push_text(struct machine *m, size_t width)
{
    struct value v = { .kind = V_TEXT };
    size_t n;

    if (length(m, width, &n) != 0 || take(m, n, &v.text) != 0)
        return -1;
    return push(m, v);
}

/* Two lines: module and name. */
static int
push_global(struct machine *m)
{
    struct value v = { .kind = V_GLOBAL, .text = { m->p, 0 } };
    int lines = 0;

    while (lines < 2) {
        if (m->p == m->end)
            return refuse(m, "its pickle is cut off");
        lines += *m->p++ == '\n';
    }
    v.text.n = (size_t)(m->p - 1 - v.text.p);
    return push(m, v);
}

static int
drop_to_mark(struct machine *m, bool mark)
{
    size_t first = m->nstack;
    struct value v;

    if (!mark)
        return pop(m, &v);
    if (above_mark(m, &first) != 0)
        return -1;
    m->nstack = first - 1;
    return 0;
}

static int
set_to_mark(struct machine *m, bool mark)
{
    size_t first;

    if (!mark)
        return m->nstack < 2 ? refuse(m, "its pickle is damaged")
                             : set_items(m, m->nstack - 2, false);
    return above_mark(m, &first) != 0 ? -1 : set_items(m, first, true);
}

static int
step_memo(struct machine *m, int op)
{
    size_t at;

    if (op == 0x94)                             /* MEMOIZE */
        return remember(m, m->nmemo);
    if (length(m, op == 'q' || op == 'h' ? 1 : 4, &at) != 0)
        return -1;
    return op == 'q' || op == 'r' ? remember(m, at) : recall(m, at);
}

/* One instruction; names are those of Python's pickletools. */
static int
step(struct machine *m, int op)
{
    static const struct value other = { .kind = V_OTHER };
    struct bytes skip;
    size_t first = 0;

    switch (op) {
    case 0x80: return take(m, 1, &skip);                /* PROTO */
    case 0x95: return take(m, 8, &skip);                /* FRAME */
    case '(': return push(m, (struct value){ .kind = V_MARK });
    case 'N': return push(m, other);                    /* NONE */
    case 'G': return take(m, 8, &skip) != 0 ? -1 : push(m, other);
    case 0x88: case 0x89:                               /* NEWTRUE, -FALSE */
        return push(m, (struct value){ .kind = V_INT, .i = op == 0x88 });
    case 'K': return push_int(m, 1, false);             /* BININT1 */
    case 'M': return push_int(m, 2, false);             /* BININT2 */
    case 'J': return push_int(m, 4, true);              /* BININT */
    case 0x8a:                                          /* LONG1 */
        return length(m, 1, &first) != 0 ? -1 : push_int(m, first, true);
    case 'X': return push_text(m, 4);                   /* BINUNICODE */
    case 0x8c: return push_text(m, 1);                  /* SHORT_... */
    case 'c': return push_global(m);                    /* GLOBAL */
    case ')': return make_tuple(m, m->nstack, false);   /* EMPTY_TUPLE */
    case 't':                                           /* TUPLE */
        return above_mark(m, &first) != 0 ? -1 : make_tuple(m, first, true);
    case 0x85: case 0x86: case 0x87:                    /* TUPLE1, 2, 3 */
        return tuple_of(m, (size_t)op - 0x84);
    case '}': return new_dict(m);                       /* EMPTY_DICT */
    case ']': return push(m, other);                    /* EMPTY_LIST */
    case 'a': return drop_to_mark(m, false);            /* APPEND */
    case 'e': return drop_to_mark(m, true);             /* APPENDS */
    case 's': return set_to_mark(m, false);             /* SETITEM */
    case 'u': return set_to_mark(m, true);              /* SETITEMS */
    case 'b': return drop_to_mark(m, false);            /* BUILD: its state */
    case 'Q': return make_storage(m);                   /* BINPERSID */
    case 'R': return call(m);                           /* REDUCE */
    case 'q': case 'r': case 'h': case 'j': case 0x94:
        return step_memo(m, op);
    default:
        snprintf(m->why, sizeof m->why, "its pickle has the instruction "
                 "0x%02x, which describes no tensor", (unsigned)op);
        return -1;
    }
}

/* The value that the program leaves. */
static int
run(struct machine *m, struct value *root)
{
    while (m->p < m->end) {
        int op = *m->p++;

        if (op == '.')
            return pop(m, root);
        if (step(m, op) != 0)
            return -1;
    }
    return refuse(m, "its pickle is cut off");
}

/* --------------------------------------------------------------- all of it */

/* A name without what wrappers of a network put in front of it. */
static struct bytes
bare(struct bytes key)
{
    static const char *const before[] = { "module.", "_orig_mod.", "model." };

    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        size_t n = strlen(before[i]);

        if (key.n > n && memcmp(key.p, before[i], n) == 0) {
            key = (struct bytes){ key.p + n, key.n - n };
            i = (size_t)-1;     /* and again: they nest */
        }
    }
    return key;
}

static int
add_tensor(struct safet *s, size_t *room, struct machine *m, struct bytes key,
           const struct tensor *t)
{
    struct safet_tensor *to;

    key = bare(key);
    if (t->odd) {
        snprintf(m->why, sizeof m->why, "its '%.*s' is not contiguous",
                 (int)(key.n < 80 ? key.n : 80), (const char *)key.p);
        return -1;
    }
    s->tensor = mem_room(s->tensor, s->ntensors, room, sizeof *s->tensor);
    to = &s->tensor[s->ntensors++];
    *to = (struct safet_tensor){
        .name = str_format("%.*s", (int)(key.n < 1000 ? key.n : 1000),
                           (const char *)key.p),
        .dtype = t->dtype, .ndims = t->ndims,
        .begin = (size_t)(t->data.p - s->data), .nbytes = t->data.n
    };
    memcpy(to->dims, t->dims, sizeof to->dims);
    return 0;
}

static int
by_dict(const void *a, const void *b)
{
    const struct pair *p = a, *q = b;

    return p->dict != q->dict ? (p->dict > q->dict) - (p->dict < q->dict)
                              : (p->at > q->at) - (p->at < q->at);
}

/* What a dictionary was given stands together, from `next` on. */
static void
sort_pairs(struct machine *m)
{
    m->next = mem_array(m->ndicts, sizeof *m->next);
    if (m->npairs > 0)
        qsort(m->pair, m->npairs, sizeof *m->pair, by_dict);
    for (size_t i = m->npairs; i-- > 0;)
        m->next[m->pair[i].dict] = i;
}

/* Each pair is taken once, however often its dictionary is met. */
static int
gather(struct safet *s, size_t *room, struct machine *m, size_t dict,
       int depth)
{
    static const char *const inner[] = { "state_dict", "model_state_dict",
                                         "model", "net" };

    while (m->next[dict] < m->npairs &&
           m->pair[m->next[dict]].dict == dict) {
        const struct pair *p = &m->pair[m->next[dict]++];

        if (p->value.kind == V_TENSOR &&
            add_tensor(s, room, m, p->key, &p->value.t) != 0)
            return -1;
        for (size_t k = 0; k < ARRAY_LEN(inner); k++)
            if (p->value.kind == V_DICT && depth < NESTED_MAX &&
                same(p->key, inner[k]) &&
                gather(s, room, m, p->value.first, depth + 1) != 0)
                return -1;
    }
    return 0;
}

static const char *
load(struct safet *s, struct zip *z, struct machine *m)
{
    const struct entry *pickle, *order;
    struct value root;
    const char *why;
    size_t room = 0;

    if (z->file.n >= 4 && little(z->file.p, 4) == OLD_MAGIC)
        return "it has the format before PyTorch 1.6 "
               "(torch.save(torch.load(OLD), NEW) makes it anew)";
    why = zip_read(z);
    if (why != NULL)
        return why;
    pickle = zip_find(z, "data.pkl", (struct bytes){ z->file.p, 0 });
    order = zip_find(z, "byteorder", (struct bytes){ z->file.p, 0 });
    if (pickle == NULL)
        return "it has no data.pkl";
    if (order != NULL && !same(order->data, "little"))
        return "its numbers are not little-endian";
    m->zip = z;
    m->p = pickle->data.p;
    m->end = m->p + pickle->data.n;
    if (run(m, &root) != 0)
        return m->why;
    if (root.kind != V_DICT)
        return "it holds no dictionary of tensors (torch.save a state_dict)";
    sort_pairs(m);
    if (gather(s, &room, m, root.first, 0) != 0)
        return m->why;
    if (s->ntensors == 0)
        return "it holds no tensors (torch.save a state_dict)";
    return safet_index(s);
}

bool
pth_look(const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char head[4] = { 0 };
    bool read = f != NULL && fread(head, 1, 4, f) == 4;

    if (f != NULL)
        fclose(f);
    return read && (little(head, 4) == 0x04034b50 ||
                    little(head, 4) == OLD_MAGIC);
}

int
pth_open(struct safet *s, const char *path, struct err *e)
{
    struct zip z = { 0 };
    struct machine m = { 0 };
    const char *why;

    memset(s, 0, sizeof *s);
    if (file_map(&s->map, path, e) != 0)
        return -1;
    s->path = mem_strdup(path);
    s->data = s->map.data;
    z.file = (struct bytes){ s->map.data, s->map.nbytes };
    why = load(s, &z, &m);
    if (why != NULL)
        err_set(e, EXIT_INVALID, "'%s' is not a file of tensors by torch.save: "
                "%s", path, why);
    free(z.entry);
    free(m.stack);
    free(m.item);
    free(m.memo);
    free(m.pair);
    free(m.next);
    if (why == NULL)
        return 0;
    safet_close(s);
    return -1;
}
