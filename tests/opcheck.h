/*
 * opcheck: every kind of operation on a backend, held against the reference.
 *
 * Each is run with its gradient stored and, where a graph can ask for that,
 * added to that of a second reader; in shapes that fill vectors and in odd
 * ones.
 */
#ifndef BUSI_TESTS_OPCHECK_H
#define BUSI_TESTS_OPCHECK_H

#include "model/nets.h"
#include "tests/netcheck.h"

/*
 * What may differ.  In float32 it is rounding: the largest element counts.
 * In bfloat16, or in deep networks, a ReLU may take the other side: the norm.
 */
struct limits {
    bool by_norm;
    double values, gradients;
};

/* The reference, a backend and the worst that was seen so far. */
struct pair {
    struct backend *ref, *other;
    struct limits limits;
    double worst_value, worst_gradient;
};

static inline void
pair_within(struct pair *p, const char *text, const struct gap *gap,
            double limit, double *worst)
{
    double size = p->limits.by_norm ? gap->norm : gap->most;

    *worst = fmax(*worst, size);
    ck_assert_msg(size <= limit, "%s %s: %s differs by %g (norm %g) in\n%s",
                  p->other->class->name, p->other->dtype, gap->where,
                  gap->most, gap->norm, text);
}

/* Numbers that both can hold, so that only the operations differ. */
static inline void
pair_net(struct pair *p, struct net *net, const char *text)
{
    struct gap values = { 0 }, gradients = { 0 };
    size_t pixels = op_floats(graph_input(&net->g)) * net->feed.n;

    net_round(net->params, net->g.nparams);
    net_round(net->images, pixels);
    net_compare(net, p->ref, p->other, &values, &gradients);
    pair_within(p, text, &values, p->limits.values, &p->worst_value);
    pair_within(p, text, &gradients, p->limits.gradients,
                &p->worst_gradient);
}

static inline void
pair_text(struct pair *p, const char *text, int n)
{
    struct net net = { 0 };

    net_parse(&net, text, n);
    pair_net(p, &net, text);
    net_release(&net);
}

/* Add text with the number c in the place of every '@'. */
static inline void
add_lines(struct str *s, const char *text, int c)
{
    for (; *text != '\0'; text++)
        if (*text == '@')
            str_addf(s, "%d", c);
        else
            str_add_bytes(s, text, 1);
}

/*
 * `body` reads the value a [c,size,size] and makes o.  `twin` makes z of the
 * same shape from a, behind the body: so the body's gradient of a is added.
 */
static inline void
pair_body(struct pair *p, int c, int size, const char *body,
          const char *twin)
{
    struct str s = { 0 };

    str_addf(&s, "input x channels=2 size=%d\nconv a x out=%d kernel=1\n",
             size, c);
    add_lines(&s, body, c);
    if (twin != NULL) {
        add_lines(&s, twin, c);
        str_add(&s, "add t o z\n");
    }
    str_addf(&s, "avgpool p %s size=2\nlinear fc p out=3",
             twin != NULL ? "t" : "o");
    pair_text(p, s.text, 3);
    str_release(&s);
}

static inline void
pair_convs(struct pair *p)
{
    static const struct {
        int c, out, size, kernel, stride, pad, groups, bias;
    } convs[] = {
        { 3, 64, 33, 7, 2, 3, 1, 0 },   { 1, 64, 33, 7, 2, 3, 1, 0 },
        { 3, 24, 33, 3, 2, 1, 1, 0 },   { 8, 8, 7, 3, 1, 1, 1, 1 },
        { 24, 40, 14, 1, 1, 0, 1, 0 },  { 40, 64, 7, 1, 2, 0, 1, 0 },
        { 64, 64, 14, 3, 1, 1, 1, 0 },  { 64, 40, 7, 3, 2, 1, 1, 1 },
        { 24, 24, 33, 3, 1, 1, 24, 0 }, { 40, 40, 14, 3, 2, 1, 40, 0 },
        { 3, 3, 7, 3, 1, 1, 3, 1 },     { 64, 64, 7, 3, 2, 1, 64, 0 },
        { 8, 24, 14, 3, 1, 1, 4, 1 },   { 24, 8, 7, 5, 1, 2, 2, 0 },
        { 1, 1, 7, 3, 1, 1, 1, 1 },     { 40, 1, 14, 1, 1, 0, 1, 1 },
        { 3, 8, 14, 2, 2, 0, 1, 0 },    { 8, 3, 33, 1, 3, 0, 1, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(convs); i++) {
        char body[128], twin[128];

        for (int k = 0; k < 2; k++)
            snprintf(k ? twin : body, sizeof body, "conv %s a out=%d "
                     "kernel=%d stride=%d pad=%d groups=%d bias=%d\n",
                     k ? "z" : "o", convs[i].out, convs[i].kernel,
                     convs[i].stride, convs[i].pad, convs[i].groups,
                     convs[i].bias);
        pair_body(p, convs[i].c, convs[i].size, body, NULL);
        pair_body(p, convs[i].c, convs[i].size, body, twin);
    }
}

/* All that runs over pictures and is not a convolution, alone and in rows. */
static inline void
pair_elements(struct pair *p)
{
    static const char same[] = "bn z a\n";
    static const struct {
        const char *body, *twin;
    } bodies[] = {
        { "bn o a\n", "conv zc a out=@ kernel=1\nrelu z zc\n" },
        { "relu o a\n", same },
        { "relu6 o a\n", same },
        { "bn n a\nrelu o n\n", same },
        { "bn n a\nrelu6 o n\n", same },
        { "relu r a\nbn o r\n", same },
        { "conv c a out=@ kernel=3 pad=1\nbn n c\nadd s n a\nrelu o s\n",
          same },
        { "conv c a out=@ kernel=3 pad=1\nbn n c\nadd o a n\n", same },
        { "conv c a out=@ kernel=1\nadd o c a\n", same },
        { "conv c a out=@ kernel=3 pad=1 bias=1\nrelu o c\n", same },
        { "conv c a out=@ kernel=1 bias=1\nrelu6 o c\n", same },
        { "conv c a out=@ kernel=3 pad=1 groups=@ bias=1\nrelu o c\n",
          same },
        /* Values that two read: nothing may be fused away. */
        { "bn n a\nrelu r n\nadd o r n\n", same },
        { "relu r a\nbn n r\nadd s n r\nrelu6 q s\nadd o q s\n", same },
        { "bn m a\nbn n a\nadd s m n\nrelu o s\n", same },
        { "maxpool o a kernel=3 stride=1 pad=1\n", same },
        { "maxpool o a kernel=3 stride=2 pad=1\n",
          "conv z a out=@ kernel=3 stride=2 pad=1\n" },
        { "maxpool o a kernel=2 stride=2\n",
          "conv z a out=@ kernel=2 stride=2\n" },
        { "relu r a\nmaxpool o r kernel=2 stride=2\n",
          "maxpool z a kernel=2 stride=2\n" },
        { "bn n a\nrelu r n\nmaxpool o r kernel=3 stride=2 pad=1\n", NULL },
    };
    static const int shapes[][2] = {    /* channels, size */
        { 3, 33 }, { 1, 14 }, { 8, 7 }, { 24, 14 }, { 40, 7 }, { 64, 7 }
    };

    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (size_t k = 0; k < ARRAY_LEN(bodies); k++) {
            int c = shapes[i][0], size = shapes[i][1];

            pair_body(p, c, size, bodies[k].body, NULL);
            if (bodies[k].twin != NULL)
                pair_body(p, c, size, bodies[k].body, bodies[k].twin);
        }
}

/* From the pool on values are flat, and each has one reader. */
static inline void
pair_flats(struct pair *p)
{
    static const char *const texts[] = {
        "input x channels=3 size=7\nconv a x out=40 kernel=1\n"
        "avgpool p a size=1\nlinear fc p out=2",
        "input x channels=3 size=33\nconv a x out=8 kernel=1\n"
        "avgpool p a size=7\nlinear fc p out=10",
        "input x channels=1 size=14\nconv a x out=24 kernel=1\n"
        "avgpool p a size=3\ndropout d p p=0.5\nlinear fc d out=3",
        "input x channels=2 size=10\navgpool p x size=7\n"
        "linear a p out=67\nrelu ar a\ndropout ad ar p=0.5\n"
        "linear b ad out=12\nrelu6 br b\ndropout bd br p=0.8\n"
        "linear c bd out=5",
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        pair_text(p, texts[i], 5);
        pair_text(p, texts[i], 1);
    }
}

/* Whole networks, small pictures; their own dropout. */
static inline void
pair_nets(struct pair *p)
{
    static const char *const names[] = { "resnet18", "mobilenet_v2" };
    struct net_conf conf = { .channels = 1, .size = 64, .classes = 3,
                             .dropout = -1 };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct err e = { 0 };
        struct net net = { 0 };

        ck_assert_msg(net_build(&net.g, names[i], &conf, &e) == 0, "%s",
                      e.text);
        net_fill(&net, 3);
        pair_net(p, &net, names[i]);
        net_release(&net);
    }
}

#endif
