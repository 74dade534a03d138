#include "learn/onnx.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proto.h"
#include "base/version.h"

#include <stdlib.h>
#include <string.h>

enum { OPSET = 17, IR_VERSION = 8 };

/* Field numbers of onnx.proto. */
enum {
    MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3,
    MODEL_DOC = 6, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_PROPS = 14,
    OPSET_VERSION = 2,
    PROP_KEY = 1, PROP_VALUE = 2,
    GRAPH_NODE = 1, GRAPH_NAMED = 2, GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11, GRAPH_OUTPUT = 12,
    NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAMED = 3, NODE_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    ATTR_NAME = 1, ATTR_F = 2, ATTR_I = 3, ATTR_INTS = 8, ATTR_TYPE = 20,
    TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAMED = 8, TENSOR_RAW = 9,
    VALUE_NAME = 1, VALUE_TYPE = 2,
    TYPE_TENSOR = 1, TYPE_ELEM = 1, TYPE_SHAPE = 2,
    SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2
};

enum elem { ELEM_FLOAT = 1, ELEM_UINT8 = 2, ELEM_INT64 = 7 };
enum { TYPE_OF_FLOAT = 1, TYPE_OF_INT = 2, TYPE_OF_INTS = 7 };

/* A tensor of the file: weights stay where they are until written. */
struct constant {
    struct str head;            /* TensorProto up to its raw bytes */
    const void *data;
    void *own;                  /* data, if it is ours to free */
    size_t nbytes;
};

struct export {
    const struct model *m;
    struct str nodes;           /* the nodes, as fields of the graph */
    struct constant *constant;
    size_t n, room;
    char (*value)[GRAPH_NAME + 8];  /* [nops]: name of each value */
};

/* -------------------------------------------------------- tensors and nodes */

static void
constant(struct export *x, const char *name, enum elem type, int ndims,
         const int64_t *dims, const void *data, size_t nbytes, bool copy)
{
    struct str head = { 0 };
    struct constant *c;

    x->constant = mem_room(x->constant, x->n, &x->room, sizeof *x->constant);
    c = &x->constant[x->n++];
    memset(c, 0, sizeof *c);
    for (int i = 0; i < ndims; i++)
        proto_int(&head, TENSOR_DIMS, dims[i]);
    proto_int(&head, TENSOR_TYPE, type);
    proto_text(&head, TENSOR_NAMED, name);
    proto_head(&head, TENSOR_RAW, nbytes);
    proto_head(&c->head, GRAPH_INITIALIZER, head.n + nbytes);
    str_add_bytes(&c->head, head.text, head.n);
    str_release(&head);
    if (copy) {
        c->own = mem_alloc(nbytes);
        memcpy(c->own, data, nbytes);
        data = c->own;
    }
    c->data = data;
    c->nbytes = nbytes;
}

static void
floats(struct export *x, const char *name, int ndims, const int64_t *dims,
       const float *data)
{
    size_t n = sizeof *data;

    for (int i = 0; i < ndims; i++)
        n *= (size_t)dims[i];
    constant(x, name, ELEM_FLOAT, ndims, dims, data, n, true);
}

static void
scalar(struct export *x, const char *name, float value)
{
    floats(x, name, 0, NULL, &value);
}

static void
two_ints(struct export *x, const char *name, int64_t a, int64_t b)
{
    const int64_t n = 2, data[] = { a, b };

    constant(x, name, ELEM_INT64, 1, &n, data, sizeof data, true);
}

static void
attribute(struct str *node, struct str *a, const char *name, int type)
{
    proto_text(a, ATTR_NAME, name);
    proto_int(a, ATTR_TYPE, type);
    proto_message(node, NODE_ATTRIBUTE, a);
}

static void
attr_int(struct str *node, const char *name, int64_t value)
{
    struct str a = { 0 };

    proto_int(&a, ATTR_I, value);
    attribute(node, &a, name, TYPE_OF_INT);
}

static void
attr_float(struct str *node, const char *name, float value)
{
    struct str a = { 0 };

    proto_float(&a, ATTR_F, value);
    attribute(node, &a, name, TYPE_OF_FLOAT);
}

/* n times the same number. */
static void
attr_ints(struct str *node, const char *name, int n, int64_t value)
{
    struct str a = { 0 };

    for (int i = 0; i < n; i++)
        proto_int(&a, ATTR_INTS, value);
    attribute(node, &a, name, TYPE_OF_INTS);
}

/* Inputs are names separated by blanks; the node takes its output's name. */
static void
begin(struct str *node, const char *type, const char *inputs, const char *out)
{
    struct str_list l = { 0 };

    str_list_split(&l, inputs, ' ');
    for (size_t i = 0; i < l.n; i++)
        proto_text(node, NODE_INPUT, l.item[i]);
    str_list_release(&l);
    proto_text(node, NODE_OUTPUT, out);
    proto_text(node, NODE_NAMED, out);
    proto_text(node, NODE_TYPE, type);
}

static void
end(struct export *x, struct str *node)
{
    proto_message(&x->nodes, GRAPH_NODE, node);
}

/* A node without attributes. */
static void
plain(struct export *x, const char *type, const char *inputs, const char *out)
{
    struct str node = { 0 };

    begin(&node, type, inputs, out);
    end(x, &node);
}

/* ------------------------------------------------------------- the picture */

/* The numbers that preparation needs. */
static void
prepare_constants(struct export *x)
{
    const struct recipe *r = &x->m->recipe;
    int64_t size = graph_input(&x->m->graph)->h;
    int64_t first = (r->crop - size) / 2;       /* as recipe_apply() cuts */
    int64_t per_channel[3] = { r->channels, 1, 1 };

    two_ints(x, "/first", first, first);
    two_ints(x, "/last", first + size, first + size);
    two_ints(x, "/axes", 1, 2);
    scalar(x, "/white", 255);
    floats(x, "/mean", 3, per_channel, r->mean);
    floats(x, "/std", 3, per_channel, r->std);
    scalar(x, "/temperature", (float)x->m->temperature);
}

/* pixels -> the value of the input operation, in the recipe's own order. */
static void
prepare(struct export *x, const char *out)
{
    struct str node = { 0 }, a = { 0 };

    prepare_constants(x);
    plain(x, "Slice", "pixels /first /last /axes", "/crop");
    begin(&node, "Transpose", "/crop", "/planes");
    for (int i = 0; i < 4; i++)
        proto_int(&a, ATTR_INTS, (int[]){ 0, 3, 1, 2 }[i]);
    attribute(&node, &a, "perm", TYPE_OF_INTS);
    end(x, &node);
    begin(&node, "Cast", "/planes", "/float");
    attr_int(&node, "to", ELEM_FLOAT);
    end(x, &node);
    plain(x, "Div", "/float /white", "/unit");
    plain(x, "Sub", "/unit /mean", "/centred");
    plain(x, "Div", "/centred /std", out);
}

/* --------------------------------------------------------------- operations */

static void
window(struct str *node, const struct op *o)
{
    attr_ints(node, "kernel_shape", 2, o->kernel);
    attr_ints(node, "strides", 2, o->stride);
    attr_ints(node, "pads", 4, o->pad);
}

/* Which share of pixel j goes into bin i: at [size,n], or its transpose. */
static void
bins(struct export *x, const char *name, int n, int size, bool transpose)
{
    int64_t dims[2] = { transpose ? n : size, transpose ? size : n };
    float *share = mem_array((size_t)n * (size_t)size, sizeof *share);

    for (int i = 0; i < size; i++) {
        int from = i * n / size, to = ((i + 1) * n + size - 1) / size;

        for (int j = from; j < to; j++)
            share[transpose ? j * size + i : i * n + j] =
                1 / (float)(to - from);
    }
    floats(x, name, 2, dims, share);
    free(share);
}

/* Picture in, flat out. */
static void
average(struct export *x, const struct op *o, const struct op *from,
        const char *in, const char *out)
{
    char *pooled = str_format("%s/pooled", out);
    char *rows = str_format("%s/rows", out);
    char *columns = str_format("%s/columns", out);
    char *wide = str_format("%s/wide", out);
    char *left = str_format("%s %s", in, columns);
    char *right = str_format("%s %s", rows, wide);

    if (o->size == 1) {
        plain(x, "GlobalAveragePool", in, pooled);
    } else {
        bins(x, columns, from->w, o->size, true);
        bins(x, rows, from->h, o->size, false);
        plain(x, "MatMul", left, wide);
        plain(x, "MatMul", right, pooled);
    }
    plain(x, "Flatten", pooled, out);
    free(pooled);
    free(rows);
    free(columns);
    free(wide);
    free(left);
    free(right);
}

/* Convolution, batch-norm, linear: the inputs end with its own parameters. */
static void
weighted(struct export *x, int op, const char *in, const char *out)
{
    const struct graph *g = &x->m->graph;
    const struct op *o = &g->op[op];
    struct str inputs = { 0 }, node = { 0 };

    str_add(&inputs, in);
    for (int i = 0; i < g->nentries; i++)
        if (g->param[i].op == op)
            str_addf(&inputs, " %s", g->param[i].name);
    switch (o->kind) {
    case OP_CONV:
        begin(&node, "Conv", inputs.text, out);
        window(&node, o);
        attr_int(&node, "group", o->groups);
        break;
    case OP_BN:
        begin(&node, "BatchNormalization", inputs.text, out);
        attr_float(&node, "epsilon", BN_EPS);
        break;
    default:
        begin(&node, "Gemm", inputs.text, out);
        attr_int(&node, "transB", 1);
    }
    end(x, &node);
    str_release(&inputs);
}

static void
export_op(struct export *x, int i)
{
    const struct op *o = &x->m->graph.op[i];
    const char *in = o->in[0] >= 0 ? x->value[o->in[0]] : "";
    const char *out = x->value[i];
    struct str node = { 0 }, inputs = { 0 };

    switch (o->kind) {
    case OP_INPUT:
        prepare(x, out);
        break;
    case OP_CONV:
    case OP_BN:
    case OP_LINEAR:
        weighted(x, i, in, out);
        break;
    case OP_RELU:
        plain(x, "Relu", in, out);
        break;
    case OP_RELU6:
        str_addf(&inputs, "%s /zero /six", in);
        plain(x, "Clip", inputs.text, out);
        break;
    case OP_ADD:
        str_addf(&inputs, "%s %s", in, x->value[o->in[1]]);
        plain(x, "Add", inputs.text, out);
        break;
    case OP_MAXPOOL:
        begin(&node, "MaxPool", in, out);
        window(&node, o);
        end(x, &node);
        break;
    case OP_AVGPOOL:
        average(x, o, &x->m->graph.op[o->in[0]], in, out);
        break;
    case OP_DROPOUT:
        memcpy(x->value[i], in, sizeof x->value[i]);
        break;
    case OP_XENT:
        str_addf(&inputs, "%s /temperature", in);
        plain(x, "Div", inputs.text, "/logits");
        plain(x, "Softmax", "/logits", "probabilities");
    }
    str_release(&inputs);
}

static void
export_all(struct export *x)
{
    const struct model *m = x->m;
    const struct graph *g = &m->graph;
    bool clips = false;

    x->value = mem_array((size_t)g->nops, sizeof *x->value);
    for (int i = 0; i < g->nops; i++) {
        snprintf(x->value[i], sizeof x->value[i], "%s.out", g->op[i].name);
        clips |= g->op[i].kind == OP_RELU6;
    }
    if (clips) {
        scalar(x, "/zero", 0);
        scalar(x, "/six", 6);
    }
    for (int i = 0; i < g->nentries; i++) {
        const struct param *p = &g->param[i];

        constant(x, p->name, ELEM_FLOAT, p->ndims, p->dims,
                 (p->buffer ? m->buffers : m->params) + p->offset,
                 p->n * sizeof *m->params, false);
    }
    for (int i = 0; i < g->nops; i++)
        export_op(x, i);
}

/* ----------------------------------------------------------------- the file */

/* An input or output; dims[0] < 0: any number of pictures. */
static void
value_info(struct str *s, int field, const char *name, enum elem type,
           int ndims, const int64_t *dims)
{
    struct str value = { 0 }, kind = { 0 }, tensor = { 0 }, shape = { 0 };

    for (int i = 0; i < ndims; i++) {
        struct str dim = { 0 };

        if (dims[i] < 0)
            proto_text(&dim, DIM_PARAM, "N");
        else
            proto_int(&dim, DIM_VALUE, dims[i]);
        proto_message(&shape, SHAPE_DIM, &dim);
    }
    proto_int(&tensor, TYPE_ELEM, type);
    proto_message(&tensor, TYPE_SHAPE, &shape);
    proto_message(&kind, TYPE_TENSOR, &tensor);
    proto_text(&value, VALUE_NAME, name);
    proto_message(&value, VALUE_TYPE, &kind);
    proto_message(s, field, &value);
}

static void
prop(struct str *s, const char *key, const char *value)
{
    struct str p = { 0 };

    proto_text(&p, PROP_KEY, key);
    proto_text(&p, PROP_VALUE, value);
    proto_message(s, MODEL_PROPS, &p);
}

static void
about(struct str *s, const struct model *m)
{
    struct str classes = { 0 }, recipe = { 0 }, temperature = { 0 };
    struct str opset = { 0 };

    str_add_list(&classes, &m->classes, "\t");
    recipe_print(&m->recipe, &recipe);
    str_addf(&temperature, "%.17g", m->temperature);
    proto_int(s, MODEL_IR_VERSION, IR_VERSION);
    proto_text(s, MODEL_PRODUCER, "busi");
    proto_text(s, MODEL_PRODUCER_VERSION, BUSI_VERSION);
    proto_text(s, MODEL_DOC, "For research; not a medical device.");
    proto_int(&opset, OPSET_VERSION, OPSET);
    proto_message(s, MODEL_OPSET, &opset);
    prop(s, "classes", classes.text);
    prop(s, "recipe", recipe.text);
    prop(s, "temperature", temperature.text);
    prop(s, "select", m->from.select);
    prop(s, "content", m->digest);
    prop(s, "version", BUSI_VERSION);
    str_release(&classes);
    str_release(&recipe);
    str_release(&temperature);
}

/* The graph last, its tensors straight from the model. */
static int
put(const struct export *x, struct str *s, struct str *graph,
    const char *path, struct err *e)
{
    size_t nbytes = graph->n;
    struct file_out out;

    for (size_t i = 0; i < x->n; i++)
        nbytes += x->constant[i].head.n + x->constant[i].nbytes;
    proto_head(s, MODEL_GRAPH, nbytes);
    if (s->n + nbytes > INT32_MAX)
        return err_set(e, EXIT_INVALID, "'%s' would be larger than the 2 GB "
                       "that ONNX allows", path);
    if (file_out_open(&out, path, e) != 0)
        return -1;
    fwrite(s->text, 1, s->n, out.stream);
    fwrite(graph->text, 1, graph->n, out.stream);
    for (size_t i = 0; i < x->n; i++) {
        const struct constant *c = &x->constant[i];

        fwrite(c->head.text, 1, c->head.n, out.stream);
        fwrite(c->data, 1, c->nbytes, out.stream);
    }
    return file_out_close(&out, e);
}

int
onnx_save(const struct model *m, const char *path, struct err *e)
{
    int64_t in[4] = { -1, m->recipe.crop, m->recipe.crop,
                      m->recipe.channels };
    int64_t out[2] = { -1, (int64_t)m->classes.n };
    struct export x = { .m = m };
    struct str s = { 0 }, graph = { 0 };
    int rc;

    export_all(&x);
    about(&s, m);
    proto_text(&graph, GRAPH_NAMED,
               m->graph.name[0] != '\0' ? m->graph.name : "network");
    str_add_bytes(&graph, x.nodes.text, x.nodes.n);
    value_info(&graph, GRAPH_INPUT, "pixels", ELEM_UINT8, 4, in);
    value_info(&graph, GRAPH_OUTPUT, "probabilities", ELEM_FLOAT, 2, out);
    rc = put(&x, &s, &graph, path, e);
    for (size_t i = 0; i < x.n; i++) {
        str_release(&x.constant[i].head);
        free(x.constant[i].own);
    }
    free(x.constant);
    free(x.value);
    str_release(&x.nodes);
    str_release(&graph);
    str_release(&s);
    return rc;
}
