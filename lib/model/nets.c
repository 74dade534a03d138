#include "model/nets.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name {
    char text[GRAPH_NAME];
};

static struct name __attribute__((format(printf, 1, 2)))
named(const char *fmt, ...)
{
    struct name n;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(n.text, sizeof n.text, fmt, ap);
    va_end(ap);
    return n;
}

/* A convolution that keeps its size at stride 1, without bias. */
static int
conv(struct graph *g, struct name n, int x, int out, int kernel, int stride,
     int groups)
{
    int v = graph_add(g, OP_CONV, n.text, x, -1);
    struct op *o = graph_last(g);

    o->out = out;
    o->kernel = kernel;
    o->stride = stride;
    o->pad = kernel / 2;
    o->groups = groups;
    return v;
}

static int
simple(struct graph *g, enum op_kind kind, struct name n, int x)
{
    return graph_add(g, kind, n.text, x, -1);
}

static int
maxpool(struct graph *g, struct name n, int x, int kernel, int stride, int pad)
{
    int v = simple(g, OP_MAXPOOL, n, x);
    struct op *o = graph_last(g);

    o->kernel = kernel;
    o->stride = stride;
    o->pad = pad;
    return v;
}

static int
avgpool(struct graph *g, int x, int size)
{
    int v = simple(g, OP_AVGPOOL, named("avgpool"), x);

    graph_last(g)->size = size;
    return v;
}

static int
dropout(struct graph *g, struct name n, int x, double p)
{
    int v;

    if (p <= 0)
        return x;
    v = simple(g, OP_DROPOUT, n, x);
    graph_last(g)->p = p;
    return v;
}

static int
linear(struct graph *g, struct name n, int x, int out, double std)
{
    int v = simple(g, OP_LINEAR, n, x);

    graph_last(g)->out = out;
    graph_last(g)->std = std;
    return v;
}

/* --------------------------------------------------------------- ResNet */

/* A basic block (two 3x3) or a bottleneck (1x1, 3x3, 1x1 with 4 x width). */
static int
residual(struct graph *g, struct name at, int x, int width, int stride,
         bool bottleneck, bool project)
{
    const char *p = at.text;
    int kernel[] = { bottleneck ? 1 : 3, 3, 1 };
    int n = bottleneck ? 3 : 2, wide = bottleneck ? 4 * width : width;
    int moves = bottleneck ? 1 : 0;     /* the convolution with the stride */
    int y = x, skip = x;

    for (int i = 0; i < n; i++) {
        y = conv(g, named("%s.conv%d", p, i + 1), y,
                 i == n - 1 ? wide : width, kernel[i],
                 i == moves ? stride : 1, 1);
        y = simple(g, OP_BN, named("%s.bn%d", p, i + 1), y);
        if (i < n - 1)
            y = simple(g, OP_RELU, named("%s.relu%d", p, i + 1), y);
    }
    if (project) {
        skip = conv(g, named("%s.downsample.0", p), x, wide, 1, stride, 1);
        skip = simple(g, OP_BN, named("%s.downsample.1", p), skip);
    }
    y = graph_add(g, OP_ADD, named("%s.add", p).text, y, skip);
    return simple(g, OP_RELU, named("%s.relu", p), y);
}

static void
resnet(struct graph *g, int x, const struct net_conf *c, const int blocks[4],
       bool bottleneck)
{
    x = conv(g, named("conv1"), x, 64, 7, 2, 1);
    x = simple(g, OP_BN, named("bn1"), x);
    x = simple(g, OP_RELU, named("relu"), x);
    x = maxpool(g, named("maxpool"), x, 3, 2, 1);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < blocks[i]; j++)
            x = residual(g, named("layer%d.%d", i + 1, j), x, 64 << i,
                         i > 0 && j == 0 ? 2 : 1, bottleneck,
                         j == 0 && (i > 0 || bottleneck));
    x = avgpool(g, x, 1);
    x = dropout(g, named("dropout"), x, c->dropout);
    linear(g, named("fc"), x, c->classes, 0);
}

/* ---------------------------------------------------------- MobileNetV2 */

static int
conv_bn_relu6(struct graph *g, const char *at, int x, int out, int kernel,
              int stride, int groups)
{
    x = conv(g, named("%s.0", at), x, out, kernel, stride, groups);
    x = simple(g, OP_BN, named("%s.1", at), x);
    return simple(g, OP_RELU6, named("%s.2", at), x);
}

/* Expand (1x1), filter (depthwise 3x3), project (1x1, no activation). */
static int
inverted(struct graph *g, int number, int x, int in, int out, int stride,
         int expand)
{
    struct name at = named("features.%d.conv", number);
    int y = x, k = 0, hidden = in * expand;

    if (expand != 1)
        y = conv_bn_relu6(g, named("%s.%d", at.text, k++).text, y, hidden, 1,
                          1, 1);
    y = conv_bn_relu6(g, named("%s.%d", at.text, k++).text, y, hidden, 3,
                      stride, hidden);
    y = conv(g, named("%s.%d", at.text, k), y, out, 1, 1, 1);
    y = simple(g, OP_BN, named("%s.%d", at.text, k + 1), y);
    if (stride == 1 && in == out)
        y = graph_add(g, OP_ADD, named("features.%d.add", number).text, y, x);
    return y;
}

static void
mobilenet_v2(struct graph *g, int x, const struct net_conf *c)
{
    static const struct {
        int expand, out, n, stride;
    } stage[] = {
        { 1, 16, 1, 1 },  { 6, 24, 2, 2 },  { 6, 32, 3, 2 },
        { 6, 64, 4, 2 },  { 6, 96, 3, 1 },  { 6, 160, 3, 2 },
        { 6, 320, 1, 1 },
    };
    int number = 1, in = 32;

    x = conv_bn_relu6(g, "features.0", x, in, 3, 2, 1);
    for (size_t i = 0; i < ARRAY_LEN(stage); i++)
        for (int j = 0; j < stage[i].n; j++) {
            x = inverted(g, number++, x, in, stage[i].out,
                         j == 0 ? stage[i].stride : 1, stage[i].expand);
            in = stage[i].out;
        }
    x = conv_bn_relu6(g, "features.18", x, 1280, 1, 1, 1);
    x = avgpool(g, x, 1);
    x = dropout(g, named("classifier.0"), x, c->dropout < 0 ? 0.2
                                                            : c->dropout);
    linear(g, named("classifier.1"), x, c->classes, 0.01);
}

/* ---------------------------------------------------------------- VGG16 */

static void
vgg16(struct graph *g, int x, const struct net_conf *c, bool bn)
{
    static const int plan[] = { 64, 64, 0, 128, 128, 0, 256, 256, 256, 0,
                                512, 512, 512, 0, 512, 512, 512, 0 };
    double p = c->dropout < 0 ? 0.5 : c->dropout;
    int k = 0;      /* torchvision's number in `features` */

    for (size_t i = 0; i < ARRAY_LEN(plan); i++) {
        if (plan[i] == 0) {
            x = maxpool(g, named("features.%d", k++), x, 2, 2, 0);
            continue;
        }
        x = conv(g, named("features.%d", k++), x, plan[i], 3, 1, 1);
        graph_last(g)->bias = true;
        if (bn)
            x = simple(g, OP_BN, named("features.%d", k++), x);
        x = simple(g, OP_RELU, named("features.%d", k++), x);
    }
    x = avgpool(g, x, 7);
    for (int i = 0; i < 6; i += 3) {
        x = linear(g, named("classifier.%d", i), x, 4096, 0.01);
        x = simple(g, OP_RELU, named("classifier.%d", i + 1), x);
        x = dropout(g, named("classifier.%d", i + 2), x, p);
    }
    linear(g, named("classifier.6"), x, c->classes, 0.01);
}

/* ---------------------------------------------------------------- by name */

static int
from_text(struct graph *g, const char *path, const struct net_conf *c,
          struct err *e)
{
    const struct {
        const char *word;
        double value;
    } words[] = {
        { "@channels", c->channels }, { "@size", c->size },
        { "@classes", c->classes },
        { "@dropout", c->dropout < 0 ? 0 : c->dropout },
    };
    struct str text = { 0 };
    char *data;
    size_t nbytes;
    int rc;

    if (file_read(path, &data, &nbytes, e) != 0)
        return -1;
    str_add(&text, "");
    for (const char *p = data; *p != '\0';) {
        size_t i = 0, n = ARRAY_LEN(words);

        while (i < n && strncmp(p, words[i].word, strlen(words[i].word)) != 0)
            i++;
        if (i < n) {
            str_addf(&text, "%.9g", words[i].value);
            p += strlen(words[i].word);
        } else {
            str_add_bytes(&text, p++, 1);
        }
    }
    free(data);
    rc = graph_parse(g, str_base(path), text.text, e);
    str_release(&text);
    if (rc == 0 && graph_classes(g) != c->classes) {
        rc = err_set(e, EXIT_INVALID, "model '%s' has %d outputs for %d "
                     "classes", path, graph_classes(g), c->classes);
        graph_release(g);
    }
    return rc;
}

int
net_build(struct graph *g, const char *name, const struct net_conf *c,
          struct err *e)
{
    static const struct {
        const char *name;
        int blocks[4];
        bool bottleneck;
    } resnets[] = {
        { "resnet18", { 2, 2, 2, 2 }, false },
        { "resnet34", { 3, 4, 6, 3 }, false },
        { "resnet50", { 3, 4, 6, 3 }, true },
    };
    int x;

    graph_init(g, name);
    x = graph_add(g, OP_INPUT, "input", -1, -1);
    graph_last(g)->c = c->channels;
    graph_last(g)->size = c->size;
    for (size_t i = 0; i < ARRAY_LEN(resnets); i++)
        if (strcmp(name, resnets[i].name) == 0)
            resnet(g, x, c, resnets[i].blocks, resnets[i].bottleneck);
    if (strcmp(name, "mobilenet_v2") == 0)
        mobilenet_v2(g, x, c);
    else if (strcmp(name, "vgg16") == 0 || strcmp(name, "vgg16_bn") == 0)
        vgg16(g, x, c, name[5] != '\0');
    if (g->nops == 1) {
        graph_release(g);
        if (strchr(name, '/') == NULL && strchr(name, '.') == NULL)
            return err_set(e, EXIT_USAGE, "no network is named '%s' (there "
                           "are " NET_NAMES ", or a model text)", name);
        return from_text(g, name, c, e);
    }
    if (graph_finish(g, e) != 0) {
        graph_release(g);
        return -1;
    }
    return 0;
}
