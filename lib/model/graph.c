#include "model/graph.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
    [OP_INPUT] = "input",     [OP_CONV] = "conv",       [OP_BN] = "bn",
    [OP_RELU] = "relu",       [OP_RELU6] = "relu6",     [OP_ADD] = "add",
    [OP_MAXPOOL] = "maxpool", [OP_AVGPOOL] = "avgpool",
    [OP_DROPOUT] = "dropout", [OP_LINEAR] = "linear",   [OP_XENT] = "xent"
};

const char *
op_kind_name(enum op_kind kind)
{
    return kind_names[kind];
}

void
graph_init(struct graph *g, const char *name)
{
    memset(g, 0, sizeof *g);
    snprintf(g->name, sizeof g->name, "%s", name);
    g->name[str_utf8_length(g->name)] = '\0';   /* it may have been cut */
}

void
graph_release(struct graph *g)
{
    free(g->op);
    free(g->param);
    memset(g, 0, sizeof *g);
}

int
graph_add(struct graph *g, enum op_kind kind, const char *name, int a, int b)
{
    struct op *o;

    if (g->nops == g->room) {
        g->room = g->room * 2 + 32;
        g->op = mem_grow(g->op, (size_t)g->room, sizeof *g->op);
    }
    o = memset(&g->op[g->nops], 0, sizeof *o);
    o->kind = kind;
    snprintf(o->name, sizeof o->name, "%s", name);
    o->in[0] = a;
    o->in[1] = b;
    o->stride = 1;
    o->groups = 1;
    return g->nops++;
}

struct op *
graph_last(struct graph *g)
{
    return &g->op[g->nops - 1];
}

const struct op *
graph_input(const struct graph *g)
{
    return &g->op[0];
}

int
graph_classes(const struct graph *g)
{
    return g->op[g->nops - 1].c;
}

/* ------------------------------------------------------------ finishing */

static int
misfit(const struct op *o, const char *why, struct err *e)
{
    return err_set(e, EXIT_INVALID, "model: %s '%s' %s",
                   op_kind_name(o->kind), o->name, why);
}

/* Height or width behind a window that moves over n pixels. */
static int
windows(const struct op *o, int n)
{
    int room = n + 2 * o->pad - o->kernel;

    return room < 0 ? 0 : room / o->stride + 1;
}

enum { LIMIT = 1 << 16 };   /* of every attribute and dimension */
#define MOST_PARAMS ((size_t)1 << 31)

static bool
sane(int v, int least)
{
    return v >= least && v <= LIMIT;
}

static int
shape_pictures(struct op *o, const struct op *x, struct err *e)
{
    /* Backends keep in a byte which of a window's values was the largest. */
    int most = o->kind == OP_MAXPOOL ? 16 : LIMIT;

    if (!sane(o->kernel, 1) || o->kernel > most || !sane(o->stride, 1) ||
        !sane(o->pad, 0) || o->pad >= o->kernel)
        return misfit(o, "has a window that makes no sense", e);
    if (o->kind == OP_CONV &&
        (!sane(o->out, 1) || !sane(o->groups, 1) || x->c % o->groups != 0 ||
         o->out % o->groups != 0))
        return misfit(o, "has channels that its groups do not divide", e);
    o->c = o->kind == OP_CONV ? o->out : x->c;
    o->h = windows(o, x->h);
    o->w = windows(o, x->w);
    if (o->h < 1 || o->w < 1)
        return misfit(o, "has a window larger than its input", e);
    return 0;
}

/* Shape of one value from those before it. */
static int
shape(struct graph *g, struct op *o, struct err *e)
{
    const struct op *x = o->kind == OP_INPUT ? o : &g->op[o->in[0]];
    const struct op *y = o->kind == OP_ADD ? &g->op[o->in[1]] : x;
    bool wants_flat = o->kind == OP_DROPOUT || o->kind == OP_LINEAR ||
                      o->kind == OP_XENT;

    o->flat = x->flat || o->kind == OP_AVGPOOL;
    o->c = x->c;
    o->h = x->h;
    o->w = x->w;
    if (o->kind != OP_INPUT && o->kind != OP_RELU && o->kind != OP_RELU6 &&
        x->flat != wants_flat)
        return misfit(o, wants_flat ? "wants a flat input (avgpool first)"
                                    : "wants pictures, not a flat input", e);
    switch (o->kind) {
    case OP_INPUT:
        if (o != g->op || !sane(o->c, 1) || !sane(o->size, 1))
            return misfit(o, "must come first, with channels and size", e);
        o->h = o->w = o->size;
        break;
    case OP_CONV:
    case OP_MAXPOOL:
        return shape_pictures(o, x, e);
    case OP_ADD:
        if (x == y || x->c != y->c || x->h != y->h || x->w != y->w)
            return misfit(o, "wants two different inputs of one shape", e);
        break;
    case OP_AVGPOOL:
        if (!sane(o->size, 1) || o->size > x->h || o->size > x->w)
            return misfit(o, "has a size that its input lacks", e);
        o->c = x->c * o->size * o->size;
        o->h = o->w = 1;
        break;
    case OP_LINEAR:
        if (!sane(o->out, 1))
            return misfit(o, "has no outputs", e);
        o->c = o->out;
        break;
    case OP_DROPOUT:
        if (!(o->p >= 0 && o->p < 1))
            return misfit(o, "wants p in [0,1)", e);
        break;
    default:
        break;
    }
    return 0;
}

/* Returns the floats in it. */
static size_t
entry(struct graph *g, int op, const char *tail, bool buffer, int ndims,
      const int64_t *dims)
{
    size_t *end = buffer ? &g->nbuffers : &g->nparams;
    struct param *p;

    g->param = mem_grow(g->param, (size_t)g->nentries + 1, sizeof *p);
    p = memset(&g->param[g->nentries++], 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s.%s", g->op[op].name, tail);
    p->op = op;
    p->buffer = buffer;
    p->offset = *end;
    p->n = 1;
    p->ndims = ndims;
    for (int i = 0; i < ndims; i++) {
        p->dims[i] = dims[i];
        p->n = p->n > MOST_PARAMS / (size_t)dims[i]
                   ? MOST_PARAMS + 1 : p->n * (size_t)dims[i];
    }
    *end += p->n;
    return p->n;
}

/* Parameters and buffers of one operation, as torchvision orders them. */
static void
entries(struct graph *g, int i)
{
    struct op *o = &g->op[i];
    const struct op *x = i > 0 ? &g->op[o->in[0]] : o;
    const int64_t conv[] = { o->out, x->c / o->groups, o->kernel, o->kernel };
    const int64_t linear[] = { o->out, x->c }, c[] = { o->c };

    o->param = g->nparams;
    o->buffer = g->nbuffers;
    switch (o->kind) {
    case OP_CONV:
        o->nweights = entry(g, i, "weight", false, 4, conv);
        if (o->bias)
            entry(g, i, "bias", false, 1, c);
        break;
    case OP_BN:
        o->nweights = entry(g, i, "weight", false, 1, c);
        entry(g, i, "bias", false, 1, c);
        entry(g, i, "running_mean", true, 1, c);
        entry(g, i, "running_var", true, 1, c);
        break;
    case OP_LINEAR:
        o->nweights = entry(g, i, "weight", false, 2, linear);
        entry(g, i, "bias", false, 1, c);
        break;
    default:
        break;
    }
    o->nparams = g->nparams - o->param;
}

static int
inputs(struct graph *g, int i, struct err *e)
{
    struct op *o = &g->op[i];
    int n = o->kind == OP_INPUT ? 0 : o->kind == OP_ADD ? 2 : 1;

    for (int k = 0; k < 2; k++) {
        if ((k < n) != (o->in[k] >= 0) || o->in[k] >= i)
            return misfit(o, "has wrong inputs", e);
        if (k < n)
            g->op[o->in[k]].uses++;
    }
    for (int j = 0; j < i; j++)
        if (strcmp(g->op[j].name, o->name) == 0)
            return misfit(o, "has a name used twice", e);
    return 0;
}

int
graph_finish(struct graph *g, struct err *e)
{
    bool *have;

    if (g->nops < 2)
        return err_set(e, EXIT_INVALID, "model: it has no operations");
    graph_add(g, OP_XENT, "loss", g->nops - 1, -1);
    for (int i = 0; i < g->nops; i++) {
        if (inputs(g, i, e) != 0 || shape(g, &g->op[i], e) != 0)
            return -1;
        if (op_floats(&g->op[i]) > 1 << 28)
            return misfit(&g->op[i], "makes too large a value", e);
        entries(g, i);
        if (g->nparams > MOST_PARAMS)
            return misfit(&g->op[i], "has too many parameters", e);
    }
    for (int i = 0; i < g->nops - 1; i++)
        if (g->op[i].uses == 0)
            return misfit(&g->op[i], "is used by nothing", e);
    have = mem_array((size_t)g->nops, sizeof *have);
    for (int i = g->nops - 1; i > 0; i--)
        for (int k = 0; k < 2 && g->op[i].in[k] >= 0; k++) {
            g->op[i].add[k] = have[g->op[i].in[k]];
            have[g->op[i].in[k]] = true;
        }
    free(have);
    return 0;
}

double
graph_op_macs(const struct graph *g, int op)
{
    const struct op *o = &g->op[op];

    if (o->kind != OP_CONV && o->kind != OP_LINEAR)
        return 0;
    return (double)o->nweights * o->h * o->w;
}

double
graph_macs(const struct graph *g)
{
    double macs = 0;

    for (int i = 0; i < g->nops; i++)
        macs += graph_op_macs(g, i);
    return macs;
}

/* ----------------------------------------------------------------- text */

/* Attributes that each kind of operation may carry, and must if marked. */
static const struct attribute {
    const char *key;
    enum op_kind kind;
    bool must;
    size_t at;              /* an int, or a double where real is set */
    bool real;
} attributes[] = {
    { "channels", OP_INPUT, true, offsetof(struct op, c), false },
    { "size", OP_INPUT, true, offsetof(struct op, size), false },
    { "out", OP_CONV, true, offsetof(struct op, out), false },
    { "kernel", OP_CONV, true, offsetof(struct op, kernel), false },
    { "stride", OP_CONV, false, offsetof(struct op, stride), false },
    { "pad", OP_CONV, false, offsetof(struct op, pad), false },
    { "groups", OP_CONV, false, offsetof(struct op, groups), false },
    { "kernel", OP_MAXPOOL, true, offsetof(struct op, kernel), false },
    { "stride", OP_MAXPOOL, true, offsetof(struct op, stride), false },
    { "pad", OP_MAXPOOL, false, offsetof(struct op, pad), false },
    { "size", OP_AVGPOOL, true, offsetof(struct op, size), false },
    { "p", OP_DROPOUT, true, offsetof(struct op, p), true },
    { "out", OP_LINEAR, true, offsetof(struct op, out), false },
    { "std", OP_LINEAR, false, offsetof(struct op, std), true },
};

void
graph_print(const struct graph *g, struct str *s)
{
    for (int i = 0; i < g->nops && g->op[i].kind != OP_XENT; i++) {
        const struct op *o = &g->op[i];

        str_addf(s, "%s %s", op_kind_name(o->kind), o->name);
        for (int k = 0; k < 2 && o->in[k] >= 0; k++)
            str_addf(s, " %s", g->op[o->in[k]].name);
        for (size_t j = 0; j < ARRAY_LEN(attributes); j++) {
            const struct attribute *a = &attributes[j];
            const void *v = (const char *)o + a->at;

            if (a->kind != o->kind)
                continue;
            if (a->real)
                str_addf(s, " %s=%.9g", a->key, *(const double *)v);
            else
                str_addf(s, " %s=%d", a->key, *(const int *)v);
        }
        str_add(s, o->kind == OP_CONV && o->bias ? " bias=1\n" : "\n");
    }
}

static int
find_value(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->nops - 1; i++)
        if (strcmp(g->op[i].name, name) == 0)
            return i;
    return -1;
}

/* Set attribute `key=value`; *seen collects those that were given. */
static int
set_attribute(struct op *o, const char *word, unsigned *seen)
{
    const char *value = strchr(word, '=') + 1;
    size_t n = (size_t)(value - word) - 1;
    double real;
    int64_t whole;

    if (o->kind == OP_CONV && strncmp(word, "bias=", 5) == 0) {
        o->bias = strcmp(value, "1") == 0;
        return o->bias || strcmp(value, "0") == 0 ? 0 : -1;
    }
    for (size_t j = 0; j < ARRAY_LEN(attributes); j++) {
        const struct attribute *a = &attributes[j];

        if (a->kind != o->kind || strlen(a->key) != n ||
            strncmp(a->key, word, n) != 0 || (*seen & 1u << j) != 0)
            continue;
        *seen |= 1u << j;
        if (a->real && str_real(value, &real)) {
            char digits[32];    /* as graph_print() writes it */

            snprintf(digits, sizeof digits, "%.9g", real);
            *(double *)((char *)o + a->at) = strtod(digits, NULL);
            return 0;
        }
        if (!a->real && str_int(value, &whole) && whole >= 0 &&
            whole <= LIMIT) {
            *(int *)((char *)o + a->at) = (int)whole;
            return 0;
        }
        return -1;
    }
    return -1;
}

/* One line: kind, name, inputs, attributes. */
static int
parse_words(struct graph *g, const struct str_list *w)
{
    enum op_kind kind = 0;
    unsigned seen = 0;
    int inputs_seen = 0;

    while (kind < OP_XENT && strcmp(w->item[0], kind_names[kind]) != 0)
        kind++;
    if (kind == OP_XENT || w->n < 2 || strlen(w->item[1]) >= GRAPH_NAME ||
        w->item[1][str_utf8_length(w->item[1])] != '\0' ||
        strchr(w->item[1], '=') != NULL || g->nops >= 4096)
        return -1;
    graph_add(g, kind, w->item[1], -1, -1);
    for (size_t i = 2; i < w->n; i++) {
        struct op *o = graph_last(g);

        if (strchr(w->item[i], '=') != NULL) {
            if (set_attribute(o, w->item[i], &seen) != 0)
                return -1;
        } else {
            int v = find_value(g, w->item[i]);
            if (v < 0 || inputs_seen == 2)
                return -1;
            o->in[inputs_seen++] = v;
        }
    }
    for (size_t j = 0; j < ARRAY_LEN(attributes); j++)
        if (attributes[j].kind == kind && attributes[j].must &&
            (seen & 1u << j) == 0)
            return -1;
    return 0;
}

int
graph_parse(struct graph *g, const char *name, const char *text,
            struct err *e)
{
    struct str_list lines = { 0 };
    int rc = 0;

    graph_init(g, name);
    str_list_split(&lines, text, '\n');
    for (size_t i = 0; i < lines.n && rc == 0; i++) {
        struct str_list words = { 0 };
        char *save = NULL, *hash = strchr(lines.item[i], '#');

        if (hash != NULL)
            *hash = '\0';
        for (char *w = strtok_r(lines.item[i], " \t\r", &save); w != NULL;
             w = strtok_r(NULL, " \t\r", &save))
            str_list_add(&words, w);
        if (words.n > 0 && parse_words(g, &words) != 0)
            rc = err_set(e, EXIT_INVALID,
                         "model '%s' line %zu: not an operation we know",
                         name, i + 1);
        str_list_release(&words);
    }
    str_list_release(&lines);
    if (rc == 0)
        rc = graph_finish(g, e);
    if (rc != 0)
        graph_release(g);
    return rc;
}
