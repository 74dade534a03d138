/* The networks against torchvision's; graphs as text; hostile texts. */
#include "tests/check.h"

#include "base/digest.h"
#include "base/mem.h"
#include "model/init.h"
#include "model/nets.h"

#include <math.h>
#include <string.h>

/*
 * Parameters for 3 classes and 3 channels, and the SHA-256 of the lines
 * "name dims\n" of torchvision 0.2x's state_dict() without
 * num_batches_tracked, dims joined by x.
 */
static const struct {
    const char *name;
    size_t nparams;
    const char *names;
} nets[] = {
    { "resnet18", 11178051,
      "c26d65120279b98610de14efca50deeb190211dec76790b69b845ec8bc28cb4d" },
    { "resnet34", 21286211,
      "d70da38c1117bdd00c5c25dd5f7f2c8ff0f7907cd502f680b38685f3edd77c77" },
    { "resnet50", 23514179,
      "7c7389431f54aca260efcc5c888eea7d2dd1c1e29611556f6301eead6642d234" },
    { "mobilenet_v2", 2227715,
      "2a2eda38cfed1a6ae1208ad79ca6983194c3f09e61add4b4730eb7b0530e2e33" },
    { "vgg16", 134272835,
      "d0cdd90ea737077dd77ecb119407c6235fe0ca93dbe19eef78f739fee30d1dbe" },
    { "vgg16_bn", 134281283,
      "346d38939273f031931e4db2992c0941777facc8b4e77268df1ec263eff22772" },
};

static const struct net_conf conf = { 3, 224, 3, -1 };

static void
lines(const struct graph *g, struct str *s)
{
    for (int i = 0; i < g->nentries; i++) {
        str_addf(s, "%s ", g->param[i].name);
        for (int k = 0; k < g->param[i].ndims; k++)
            str_addf(s, "%s%d", k > 0 ? "x" : "", (int)g->param[i].dims[k]);
        str_add(s, "\n");
    }
}

START_TEST(like_torchvision)
{
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        struct err e = { 0 };
        struct graph g;
        struct str s = { 0 };
        char hex[DIGEST_HEX];

        ck_assert_msg(net_build(&g, nets[i].name, &conf, &e) == 0, "%s",
                      e.text);
        ck_assert_uint_eq(g.nparams, nets[i].nparams);
        lines(&g, &s);
        digest_bytes(s.text, s.n, hex);
        ck_assert_msg(strcmp(hex, nets[i].names) == 0, "%s:\n%s",
                      nets[i].name, s.text);
        str_release(&s);
        graph_release(&g);
    }
}
END_TEST

/* ResNet-18: 1.814e9 multiply-adds in He et al., Table 1. */
START_TEST(macs)
{
    static const struct {
        const char *name;
        double gmacs;
    } want[] = { { "resnet18", 1.814 }, { "resnet50", 4.089 },
                 { "mobilenet_v2", 0.300 }, { "vgg16", 15.47 } };
    struct err e = { 0 };
    struct graph g;

    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert_int_eq(net_build(&g, want[i].name, &conf, &e), 0);
        ck_assert_double_eq_tol(graph_macs(&g) * 1e-9, want[i].gmacs,
                                0.005 * want[i].gmacs);
        graph_release(&g);
    }
}
END_TEST

START_TEST(text_round_trip)
{
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        struct err e = { 0 };
        struct graph a, b;
        struct str s = { 0 }, t = { 0 };

        ck_assert_int_eq(net_build(&a, nets[i].name, &conf, &e), 0);
        graph_print(&a, &s);
        ck_assert_msg(graph_parse(&b, "copy", s.text, &e) == 0, "%s", e.text);
        graph_print(&b, &t);
        ck_assert_str_eq(s.text, t.text);
        ck_assert_uint_eq(a.nparams, b.nparams);
        str_release(&s);
        str_release(&t);
        graph_release(&a);
        graph_release(&b);
    }
}
END_TEST

#define IN "input x channels=1 size=8\n"
#define TAIL "avgpool p c size=1\nlinear fc p out=2\n"

START_TEST(bad_texts)
{
    static const char *const bad[] = {
        "", "input x channels=1 size=8", "linear fc x out=2",
        IN "linear fc x out=2",                         /* not flat */
        IN "conv c x out=4 kernel=3",                   /* no head */
        IN "conv c y out=4 kernel=3\n" TAIL,            /* no such value */
        IN "conv c x kernel=3\n" TAIL,                  /* no out */
        IN "conv c x out=4 out=4 kernel=3\n" TAIL,      /* twice */
        IN "conv c x out=4 kernel=9\n" TAIL,            /* window too large */
        IN "conv c x out=4 kernel=3 pad=3\n" TAIL,
        "input x channels=1 size=40\nmaxpool c x kernel=17\n" TAIL,
        IN "conv c x out=4 kernel=3 stride=0\n" TAIL,
        IN "conv c x out=4 kernel=3 groups=3\n" TAIL,
        IN "conv c x out=99999999999 kernel=3\n" TAIL,
        IN "conv c x out=-1 kernel=3\n" TAIL,
        IN "conv c x out=4 kernel=3 dilation=2\n" TAIL,
        IN "conv x x out=4 kernel=3\n" TAIL,            /* name twice */
        IN "conv d x out=4 kernel=3\nconv c x out=4 kernel=1\n" TAIL,
        IN "add c x x\n" TAIL,
        IN "warp c x\n" TAIL,
        IN IN "conv c x out=4 kernel=3\n" TAIL,
        IN "conv c x out=65536 kernel=1 pad=0\nconv d c out=65536 kernel=1\n"
           "avgpool p d size=1\nlinear fc p out=2\n",
    };
    struct graph g;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = { 0 };

        ck_assert_msg(graph_parse(&g, "bad", bad[i], &e) != 0, "%zu: %s", i,
                      bad[i]);
        ck_assert_int_eq(e.status, EXIT_INVALID);
    }
}
END_TEST

/* In a residual block, the second gradient to reach a value is added. */
START_TEST(add_bits)
{
    struct err e = { 0 };
    struct graph g;

    ck_assert_int_eq(graph_parse(&g, "block", IN
                                 "conv a x out=4 kernel=3 pad=1\n"
                                 "conv b a out=4 kernel=3 pad=1\n"
                                 "add c b a\n" TAIL, &e), 0);
    ck_assert(!g.op[3].add[0] && !g.op[3].add[1]);  /* the sum comes first */
    ck_assert(g.op[2].add[0]);                      /* then b's, into a */
    ck_assert_int_eq(g.op[1].uses, 2);
    graph_release(&g);
}
END_TEST

static double
deviation(const float *x, size_t n)
{
    double s = 0, q = 0;

    for (size_t i = 0; i < n; i++) {
        s += x[i];
        q += (double)x[i] * x[i];
    }
    return sqrt(q / (double)n - s / (double)n * (s / (double)n));
}

START_TEST(initial_numbers)
{
    struct err e = { 0 };
    struct graph g;
    float *x, *b;

    ck_assert_int_eq(net_build(&g, "resnet18", &conf, &e), 0);
    x = mem_array(g.nparams, sizeof *x);
    b = mem_array(g.nbuffers, sizeof *b);
    init_params(&g, 1, x, b);
    for (int i = 0; i < g.nentries; i++) {
        const struct param *p = &g.param[i];

        if (strcmp(p->name, "layer2.0.conv1.weight") == 0)
            ck_assert_double_eq_tol(deviation(x + p->offset, p->n),
                                    sqrt(2.0 / (128 * 9)), 2e-4);
        if (strcmp(p->name, "fc.weight") == 0)
            ck_assert_double_eq_tol(deviation(x + p->offset, p->n),
                                    1 / sqrt(3.0 * 512), 1e-3);
        if (strcmp(p->name, "bn1.running_var") == 0)
            ck_assert_double_eq(b[p->offset], 1);
    }
    free(x);
    free(b);
    graph_release(&g);
}
END_TEST

CHECK_MAIN("graph", 60, like_torchvision, macs, text_round_trip, bad_texts,
           add_bits, initial_numbers)
