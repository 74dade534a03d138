#include "learn/onnx.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/version.h"

#include <stdlib.h>
#include <string.h>

/*
 * Protocol buffers: a message is fields, each a number and a wire type, then a
 * varint, or a length and bytes.  Field numbers are those of onnx.proto (ONNX
 * 1.13), named after the messages there.
 */
enum {
    MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_METADATA = 14,
    OPSET_VERSION = 2,
    ENTRY_KEY = 1, ENTRY_VALUE = 2,
    GRAPH_NODE = 1, GRAPH_NAME_FIELD = 2, GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11, GRAPH_OUTPUT = 12,
    NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT = 2, ATTRIBUTE_INT = 3,
    ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20,
    TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9,
    VALUE_NAME = 1, VALUE_TYPE = 2,
    TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2,
    SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2
};

/* AttributeProto.AttributeType and TensorProto.DataType. */
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 };
enum { DATA_FLOAT = 1, DATA_UINT8 = 2, DATA_INT64 = 7 };

enum { IR_VERSION = 8, OPSET = 13 };

static void
put_varint(struct str *s, uint64_t v)
{
    unsigned char b[10];
    int n = 0;

    do {
        b[n] = (unsigned char)(v & 127);
        v >>= 7;
        if (v > 0)
            b[n] |= 128;
        n++;
    } while (v > 0);
    str_add_bytes(s, b, (size_t)n);
}

static void
put_int(struct str *s, int field, int64_t v)
{
    put_varint(s, (uint64_t)field << 3);
    put_varint(s, (uint64_t)v);
}

static void
put_bytes(struct str *s, int field, const void *data, size_t n)
{
    put_varint(s, (uint64_t)field << 3 | 2);
    put_varint(s, n);
    str_add_bytes(s, data, n);
}

static void
put_text(struct str *s, int field, const char *text)
{
    put_bytes(s, field, text, strlen(text));
}

/* A message inside another; it is used up. */
static void
put_message(struct str *s, int field, struct str *inner)
{
    put_bytes(s, field, inner->text != NULL ? inner->text : "", inner->n);
    str_release(inner);
}

/* ----------------------------------------------------------- parts of a graph */

static void
add_ints(struct str *node, const char *name, const int64_t *v, size_t n)
{
    struct str a = { 0 };

    put_text(&a, ATTRIBUTE_NAME, name);
    for (size_t i = 0; i < n; i++)
        put_int(&a, ATTRIBUTE_INTS, v[i]);
    put_int(&a, ATTRIBUTE_TYPE, TYPE_INTS);
    put_message(node, NODE_ATTRIBUTE, &a);
}

static void
add_int(struct str *node, const char *name, int64_t v)
{
    struct str a = { 0 };

    put_text(&a, ATTRIBUTE_NAME, name);
    put_int(&a, ATTRIBUTE_INT, v);
    put_int(&a, ATTRIBUTE_TYPE, TYPE_INT);
    put_message(node, NODE_ATTRIBUTE, &a);
}

static void
add_float(struct str *node, const char *name, float v)
{
    struct str a = { 0 };

    put_text(&a, ATTRIBUTE_NAME, name);
    put_varint(&a, ATTRIBUTE_FLOAT << 3 | 5);
    str_add_bytes(&a, &v, sizeof v);
    put_int(&a, ATTRIBUTE_TYPE, TYPE_FLOAT);
    put_message(node, NODE_ATTRIBUTE, &a);
}

/* A node up to its attributes; inputs end with NULL. */
static struct str
begin_node(const char *type, const char *name, const char *const *inputs,
           const char *output)
{
    struct str node = { 0 };

    for (; *inputs != NULL; inputs++)
        put_text(&node, NODE_INPUT, *inputs);
    put_text(&node, NODE_OUTPUT, output);
    put_text(&node, NODE_NAME, name);
    put_text(&node, NODE_TYPE, type);
    return node;
}

#define INPUTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* A node without attributes that gives its output its own name. */
static void
add_node(struct str *graph, const char *type, const char *name,
         const char *const *inputs)
{
    struct str node = begin_node(type, name, inputs, name);

    put_message(graph, GRAPH_NODE, &node);
}

static void
add_tensor(struct str *graph, const char *name, int type, const int64_t *dims,
           int ndims, const void *data, size_t nbytes)
{
    struct str t = { 0 };

    for (int i = 0; i < ndims; i++)
        put_int(&t, TENSOR_DIMS, dims[i]);
    put_int(&t, TENSOR_TYPE, type);
    put_text(&t, TENSOR_NAME, name);
    put_bytes(&t, TENSOR_RAW, data, nbytes);
    put_message(graph, GRAPH_INITIALIZER, &t);
}

static void
add_floats(struct str *graph, const char *name, const int64_t *dims,
           int ndims, const float *data)
{
    size_t n = 1;

    for (int i = 0; i < ndims; i++)
        n *= (size_t)dims[i];
    add_tensor(graph, name, DATA_FLOAT, dims, ndims, data,
               n * sizeof *data);
}

/* An input or output; a dimension of 0 is the number of pictures. */
static void
add_value(struct str *graph, int field, const char *name, int type,
          const int64_t *dims, int ndims)
{
    struct str value = { 0 }, kind = { 0 }, tensor = { 0 }, shape = { 0 };

    for (int i = 0; i < ndims; i++) {
        struct str dim = { 0 };

        if (dims[i] == 0)
            put_text(&dim, DIM_PARAM, "N");
        else
            put_int(&dim, DIM_VALUE, dims[i]);
        put_message(&shape, SHAPE_DIM, &dim);
    }
    put_int(&tensor, TENSOR_ELEMENT, type);
    put_message(&tensor, TENSOR_SHAPE, &shape);
    put_message(&kind, TYPE_TENSOR, &tensor);
    put_text(&value, VALUE_NAME, name);
    put_message(&value, VALUE_TYPE, &kind);
    put_message(graph, field, &value);
}

/* ---------------------------------------------------------- the operations */

/* From pixels to what the network's input is called. */
static void
add_input(struct str *graph, const struct model *m, const struct op *x)
{
    const struct recipe *r = &m->recipe;
    int64_t from = (r->crop - x->size) / 2;
    int64_t pixels[4] = { 0, r->crop, r->crop, r->channels };
    int64_t starts[2] = { from, from };
    int64_t ends[2] = { from + x->size, from + x->size };
    int64_t axes[2] = { 2, 3 }, two = 2, per[3] = { r->channels, 1, 1 };
    float full = 255;
    struct str node;

    add_value(graph, GRAPH_INPUT, "pixels", DATA_UINT8, pixels, 4);
    add_tensor(graph, "starts", DATA_INT64, &two, 1, starts, sizeof starts);
    add_tensor(graph, "ends", DATA_INT64, &two, 1, ends, sizeof ends);
    add_tensor(graph, "axes", DATA_INT64, &two, 1, axes, sizeof axes);
    add_floats(graph, "full", NULL, 0, &full);
    add_floats(graph, "mean", per, 3, r->mean);
    add_floats(graph, "std", per, 3, r->std);
    node = begin_node("Transpose", "planes", INPUTS("pixels"), "planes");
    add_ints(&node, "perm", (int64_t[]){ 0, 3, 1, 2 }, 4);
    put_message(graph, GRAPH_NODE, &node);
    add_node(graph, "Slice", "window",
             INPUTS("planes", "starts", "ends", "axes"));
    node = begin_node("Cast", "levels", INPUTS("window"), "levels");
    add_int(&node, "to", DATA_FLOAT);
    put_message(graph, GRAPH_NODE, &node);
    add_node(graph, "Div", "unit", INPUTS("levels", "full"));
    add_node(graph, "Sub", "centred", INPUTS("unit", "mean"));
    add_node(graph, "Div", x->name, INPUTS("centred", "std"));
}

static void
add_window(struct str *node, const struct op *o)
{
    add_ints(node, "kernel_shape", (int64_t[]){ o->kernel, o->kernel }, 2);
    add_ints(node, "strides", (int64_t[]){ o->stride, o->stride }, 2);
    add_ints(node, "pads",
             (int64_t[]){ o->pad, o->pad, o->pad, o->pad }, 4);
}

/*
 * PyTorch's adaptive bins, whatever the sizes, are a product with a matrix
 * from each side: P [size,h] times the picture times Q [w,size].
 */
static void
add_avgpool(struct str *graph, const struct op *o, const struct op *in,
            const char *x)
{
    char *names[4];
    const int n[2] = { in->h, in->w };
    struct str node;

    for (int i = 0; i < 4; i++)
        names[i] = str_format("%s.%d", o->name, i);
    for (int side = 0; side < 2; side++) {
        int64_t dims[2] = { side == 0 ? o->size : n[1],
                            side == 0 ? n[0] : o->size };
        float *p = mem_array((size_t)(o->size * n[side]), sizeof *p);

        for (int b = 0; b < o->size; b++) {
            int lo = b * n[side] / o->size;
            int hi = ((b + 1) * n[side] + o->size - 1) / o->size;

            for (int i = lo; i < hi; i++)
                p[side == 0 ? b * n[0] + i : i * o->size + b] =
                    1 / (float)(hi - lo);
        }
        add_floats(graph, names[side], dims, 2, p);
        free(p);
    }
    add_node(graph, "MatMul", names[2], INPUTS(names[0], x));
    add_node(graph, "MatMul", names[3], INPUTS(names[2], names[1]));
    node = begin_node("Flatten", o->name, INPUTS(names[3]), o->name);
    add_int(&node, "axis", 1);
    put_message(graph, GRAPH_NODE, &node);
    for (int i = 0; i < 4; i++)
        free(names[i]);
}

static void
add_conv(struct str *graph, const struct op *o, const char *x,
         const char *weight, const char *bias)
{
    struct str node = begin_node("Conv", o->name,
                                 INPUTS(x, weight, o->bias ? bias : NULL),
                                 o->name);

    add_window(&node, o);
    add_int(&node, "group", o->groups);
    put_message(graph, GRAPH_NODE, &node);
}

/* An operation with parameters, which carry their names. */
static void
add_layer(struct str *graph, const struct op *o, const char *x)
{
    char *weight = str_format("%s.weight", o->name);
    char *bias = str_format("%s.bias", o->name);
    char *mean = str_format("%s.running_mean", o->name);
    char *var = str_format("%s.running_var", o->name);
    struct str node;

    if (o->kind == OP_CONV) {
        add_conv(graph, o, x, weight, bias);
    } else if (o->kind == OP_BN) {
        node = begin_node("BatchNormalization", o->name,
                          INPUTS(x, weight, bias, mean, var), o->name);
        add_float(&node, "epsilon", 1e-5f);
        put_message(graph, GRAPH_NODE, &node);
    } else {
        node = begin_node("Gemm", o->name, INPUTS(x, weight, bias), o->name);
        add_int(&node, "transB", 1);
        put_message(graph, GRAPH_NODE, &node);
    }
    free(weight);
    free(bias);
    free(mean);
    free(var);
}

static void
add_op(struct str *graph, const struct model *m, int i)
{
    const struct graph *g = &m->graph;
    const struct op *o = &g->op[i];
    const char *x = o->in[0] >= 0 ? g->op[o->in[0]].name : NULL;
    struct str node;

    switch (o->kind) {
    case OP_INPUT:
        add_input(graph, m, o);
        break;
    case OP_CONV: case OP_BN: case OP_LINEAR:
        add_layer(graph, o, x);
        break;
    case OP_RELU:
        add_node(graph, "Relu", o->name, INPUTS(x));
        break;
    case OP_RELU6:
        add_node(graph, "Clip", o->name, INPUTS(x, "zero", "six"));
        break;
    case OP_ADD:
        add_node(graph, "Add", o->name, INPUTS(x, g->op[o->in[1]].name));
        break;
    case OP_MAXPOOL:
        node = begin_node("MaxPool", o->name, INPUTS(x), o->name);
        add_window(&node, o);
        put_message(graph, GRAPH_NODE, &node);
        break;
    case OP_AVGPOOL:
        add_avgpool(graph, o, &g->op[o->in[0]], x);
        break;
    case OP_DROPOUT:
        add_node(graph, "Identity", o->name, INPUTS(x));
        break;
    case OP_XENT:
        add_node(graph, "Div", "scaled", INPUTS(x, "temperature"));
        node = begin_node("Softmax", o->name, INPUTS("scaled"),
                          "probabilities");
        add_int(&node, "axis", 1);
        put_message(graph, GRAPH_NODE, &node);
    }
}

static void
add_graph(struct str *graph, const struct model *m)
{
    const struct graph *g = &m->graph;
    float zero = 0, six = 6, temperature = (float)m->temperature;
    int64_t out[2] = { 0, (int64_t)m->classes.n };
    bool clips = false;

    for (int i = 0; i < g->nops; i++) {
        add_op(graph, m, i);
        clips = clips || g->op[i].kind == OP_RELU6;
    }
    if (clips) {
        add_floats(graph, "zero", NULL, 0, &zero);
        add_floats(graph, "six", NULL, 0, &six);
    }
    add_floats(graph, "temperature", NULL, 0, &temperature);
    for (int i = 0; i < g->nentries; i++) {
        const struct param *p = &g->param[i];

        add_floats(graph, p->name, p->dims, p->ndims,
                   (p->buffer ? m->buffers : m->params) + p->offset);
    }
    put_text(graph, GRAPH_NAME_FIELD, g->name);
    add_value(graph, GRAPH_OUTPUT, "probabilities", DATA_FLOAT, out, 2);
}

/* ----------------------------------------------------------------- the file */

static void
add_metadata(struct str *s, const char *key, const char *value)
{
    struct str entry = { 0 };

    put_text(&entry, ENTRY_KEY, key);
    put_text(&entry, ENTRY_VALUE, value);
    put_message(s, MODEL_METADATA, &entry);
}

/* All but the graph, which comes behind. */
static void
add_head(struct str *s, const struct model *m)
{
    struct str opset = { 0 }, classes = { 0 }, recipe = { 0 };

    put_int(s, MODEL_IR_VERSION, IR_VERSION);
    put_text(s, MODEL_PRODUCER, "busi");
    put_text(s, MODEL_PRODUCER_VERSION, BUSI_VERSION);
    put_int(&opset, OPSET_VERSION, OPSET);
    put_message(s, MODEL_OPSET, &opset);
    for (size_t i = 0; i < m->classes.n; i++)
        str_addf(&classes, "%s%s", i > 0 ? "\t" : "", m->classes.item[i]);
    recipe_print(&m->recipe, &recipe);
    add_metadata(s, "classes", classes.text);
    add_metadata(s, "recipe", recipe.text);
    add_metadata(s, "content", m->digest);
    str_release(&classes);
    str_release(&recipe);
}

int
onnx_save(const struct model *m, const char *path, struct err *e)
{
    struct str head = { 0 }, graph = { 0 };
    struct file_out out;
    int rc = -1;

    add_head(&head, m);
    add_graph(&graph, m);
    put_varint(&head, (uint64_t)MODEL_GRAPH << 3 | 2);
    put_varint(&head, graph.n);
    if (head.n + graph.n > INT32_MAX) {
        err_set(e, EXIT_INVALID, "'%s' would be larger than the 2 GB that "
                "ONNX allows", path);
    } else if (file_out_open(&out, path, e) == 0) {
        fwrite(head.text, 1, head.n, out.stream);
        fwrite(graph.text, 1, graph.n, out.stream);
        rc = file_out_close(&out, e);
    }
    str_release(&head);
    str_release(&graph);
    return rc;
}
