/*
 * check_ref: the reference against PyTorch and against finite differences.
 *
 * Expected numbers are PyTorch 2.15's in float64, fed with the same hashes as
 * netcheck.h makes, dropout masks by a Philox written in Python.
 */
#include "base/rng.h"
#include "tests/golden.h"

static const struct example {
    const char *name;
    int n;
    const char *text;
    struct golden golden;
} nets[] = {
    { "conv", 3,
      "input x channels=3 size=9\n"
      "conv c x out=8 kernel=3 stride=2 pad=1 bias=1\n"
      "avgpool p c size=2\nlinear fc p out=3",
      { 3.25443029, -1.12596196, -0.0717610126,
        -1.6264873, 0, -1.12596196 } },
    { "stem", 2,
      "input x channels=1 size=15\n"
      "conv c x out=5 kernel=7 stride=2 pad=3\nrelu r c\n"
      "maxpool m r kernel=3 stride=2 pad=1\n"
      "avgpool p m size=1\nlinear fc p out=4",
      { 7.11368813, -2.26429558, 1.03322273,
        7.63862447, 0, -2.26429558 } },
    { "groups", 2,
      "input x channels=4 size=7\n"
      "conv a x out=6 kernel=3 pad=1 groups=2 bias=1\n"
      "conv b a out=9 kernel=1 stride=2 groups=3\n"
      "avgpool p b size=3\nlinear fc p out=3",
      { 10.6420775, -3.71512745, -0.926783737,
        31.6882899, 0, -3.71512745 } },
    { "inverted", 3,
      "input x channels=3 size=8\n"
      "conv a x out=6 kernel=1\nbn an a\nrelu6 ar an\n"
      "conv b ar out=6 kernel=3 stride=2 pad=1 groups=6\nbn bn b\n"
      "relu6 br bn\nconv c br out=4 kernel=1\nbn cn c\n"
      "conv d cn out=4 kernel=3 pad=1 groups=4\nadd s cn d\n"
      "avgpool p s size=1\nlinear fc p out=3",
      { 3.02593734, 0.356373367, -0.0734100334,
        2.10416756, -3.84502782, -0.726407258 } },
    { "relu6", 4,
      "input x channels=1 size=5\nconv a x out=4 kernel=1 bias=1\n"
      "conv b a out=6 kernel=1 bias=1\nrelu6 r b\n"
      "avgpool p r size=5\nlinear fc p out=3",
      { 4.59877377, 1.43501887, 1.51263839,
        -0.518273423, 0, 1.43501887 } },
    { "residual", 3,
      "input x channels=3 size=17\n"
      "conv conv1 x out=6 kernel=7 stride=2 pad=3\nbn bn1 conv1\n"
      "relu relu1 bn1\nmaxpool pool relu1 kernel=3 stride=2 pad=1\n"
      "conv a1 pool out=6 kernel=3 pad=1\nbn a1n a1\nrelu a1r a1n\n"
      "conv a2 a1r out=6 kernel=3 pad=1\nbn a2n a2\nadd as a2n pool\n"
      "relu a as\n"
      "conv b1 a out=10 kernel=3 stride=2 pad=1\nbn b1n b1\n"
      "relu b1r b1n\nconv b2 b1r out=10 kernel=3 pad=1\nbn b2n b2\n"
      "conv d a out=10 kernel=1 stride=2\nbn dn d\nadd bs b2n dn\n"
      "relu b bs\navgpool p b size=1\ndropout drop p p=0.4\n"
      "linear fc drop out=3",
      { 3.16623626, -0.776837392, 0.403682072,
        -3.21687732, 0.381756424, -9.55823899 } },
    { "shared", 2,
      "input x channels=2 size=5\nbn n x\nrelu a n\n"
      "conv c a out=2 kernel=3 pad=1\nadd s a c\nadd t s a\nadd u x t\n"
      "maxpool m u kernel=2 stride=2\n"
      "avgpool p m size=2\nlinear fc p out=2",
      { 6.67120356, -1.53558657, -3.32400685,
        -15.1026055, -0.254009052, -1.91870392 } },
    { "chain", 4,
      "input x channels=2 size=10\navgpool p x size=7\n"
      "linear a p out=16\nrelu ar a\ndropout ad ar p=0.5\n"
      "linear b ad out=12\nrelu6 br b\ndropout bd br p=0.8\n"
      "linear c bd out=5",
      { 9.80334752, 2.55472284, -3.07005454,
        -5.64570953, 0, -2.73595755 } },
};

static struct backend *
open_ref(void)
{
    struct backend_conf conf = { .dtype = DTYPE_F32, .threads = 1 };
    struct err e = { 0 };
    struct backend *b = backend_open("ref", &conf, &e);

    ck_assert_msg(b != NULL, "%s", e.text);
    return b;
}

/* ------------------------------------------------------- against PyTorch */

START_TEST(test_pytorch)
{
    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        struct backend *b = open_ref();
        struct net net = { 0 };

        net_parse(&net, nets[i].text, nets[i].n);
        near_golden(b, nets[i].name, &net, &nets[i].golden, 5e-5);
        net_release(&net);
        backend_close(b);
    }
}
END_TEST

/* The others take plain C too long; check_cpu has them all. */
START_TEST(test_torchvision)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct backend *b = open_ref();

        if (str_ends(known[i].name, "18") || str_ends(known[i].name, "v2"))
            near_known(b, &known[i], 5e-5);
        backend_close(b);
    }
}
END_TEST

/* -------------------------------------------- against finite differences */

/* Loss at v + step * direction; v is put back. */
static double
loss_along(struct side *s, float *v, const double *direction, size_t n,
           double step, bool images)
{
    float *save = mem_array(n, sizeof *save);
    double loss;

    memcpy(save, v, n * sizeof *save);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(v[i] + step * direction[i]);
    if (!images)
        s->b->class->put(s->b, s->v.params, s->net->params,
                         s->net->g.nparams);
    loss = side_run(s, &s->net->feed);
    memcpy(v, save, n * sizeof *save);
    if (!images)
        s->b->class->put(s->b, s->v.params, s->net->params,
                         s->net->g.nparams);
    free(save);
    return loss;
}

/*
 * How far the derivative along a direction is from the best of its central
 * differences: kinks (ReLU) spoil the long steps, rounding the short ones.
 */
static double
miss(struct side *s, float *v, const float *grad, const double *direction,
     size_t n, bool images)
{
    static const double steps[] = { 1e-3, 2e-4, 4e-5 };
    double have = 0, best = INFINITY;

    for (size_t i = 0; i < n; i++)
        have += grad[i] * direction[i];
    for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
        double d = loss_along(s, v, direction, n, steps[k], images) -
                   loss_along(s, v, direction, n, -steps[k], images);

        best = fmin(best, fabs(d / (2 * steps[k]) - have));
    }
    return best;
}

/* Along random corners; the norm is what such a derivative is on average. */
static void
check_gradient(struct side *s, const char *net, const char *what, float *v,
               const float *grad, size_t n, bool images)
{
    double *direction = mem_array(n, sizeof *direction);
    double norm = 0;

    for (size_t i = 0; i < n; i++)
        norm += (double)grad[i] * grad[i];
    norm = sqrt(norm);
    for (uint32_t k = 0; k < 3; k++) {
        double d;

        for (size_t i = 0; i < n; i++)
            direction[i] = net_number(3000 + k, i) > 0 ? 1 : -1;
        d = miss(s, v, grad, direction, n, images);
        ck_assert_msg(d <= 1e-2 * norm + 1e-3, "%s, %s: off by %g of %g",
                      net, what, d, norm);
    }
    free(direction);
}

static void
check_gradients(struct backend *b, const struct example *x)
{
    struct net net = { 0 };
    struct side s;
    size_t n;
    float *dinput, *grads;

    net_parse(&net, x->text, x->n);
    side_open(&s, b, &net, MODE_TRAIN);
    side_run(&s, &net.feed);
    dinput = side_peek(&s, 0, true, &n);
    grads = side_get(&s, s.v.grads, net.g.nparams);
    check_gradient(&s, x->name, "input", net.images, dinput, n, true);
    for (int k = 0; k < net.g.nentries; k++) {
        const struct param *p = &net.g.param[k];

        if (!p->buffer)
            check_gradient(&s, x->name, p->name, net.params + p->offset,
                           grads + p->offset, p->n, false);
    }
    free(dinput);
    free(grads);
    side_close(&s);
    net_release(&net);
}

START_TEST(test_differences)
{
    struct backend *b = open_ref();

    for (size_t i = 0; i < ARRAY_LEN(nets); i++)
        check_gradients(b, &nets[i]);
    backend_close(b);
}
END_TEST

/* ------------------------------------------------------- edges by hand */

/* Rows that a small plan computes are those of a larger one. */
START_TEST(test_fewer)
{
    struct backend *b = open_ref();
    struct net net = { 0 };
    struct side s;
    struct feed one;
    float whole[9], part[3];

    net_parse(&net, nets[5].text, 3);
    side_open(&s, b, &net, MODE_EVAL);
    side_run(&s, &net.feed);
    b->class->result(s.plan, whole, NULL);
    one = net.feed;
    one.n = 1;
    one.images += op_floats(graph_input(&net.g));
    one.targets = NULL;
    one.samples = NULL;
    ck_assert_double_eq(side_run(&s, &one), 0);
    b->class->result(s.plan, part, NULL);
    ck_assert_mem_eq(part, whole + 3, sizeof part);
    ck_assert_float_eq_tol(part[0] + part[1] + part[2], 1, 1e-6f);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}
END_TEST

/* A net whose first operation is fed with given pixels. */
static float *
run_pixels(const char *text, const float *pixels, bool gradient, size_t *n)
{
    struct backend *b = open_ref();
    struct net net = { 0 };
    struct side s;
    float *v;

    net_parse(&net, text, 1);
    net.feed.images = pixels;
    side_open(&s, b, &net, MODE_TRAIN);
    side_run(&s, &net.feed);
    v = gradient ? side_peek(&s, 0, true, n) : side_peek(&s, 1, false, n);
    side_close(&s);
    net_release(&net);
    backend_close(b);
    return v;
}

/* At 0 and at 6 nothing passes; in between all does. */
START_TEST(test_relu6_edges)
{
    static const char text[] =
        "input x channels=1 size=2\nrelu6 r x\navgpool p r size=2\n"
        "linear fc p out=2";
    static const float x[4] = { 0, 6, 3, 7 };
    size_t n;
    float *v = run_pixels(text, x, false, &n), *g;

    ck_assert_float_eq(v[0], 0);
    ck_assert_float_eq(v[1], 6);
    ck_assert_float_eq(v[2], 3);
    ck_assert_float_eq(v[3], 6);
    g = run_pixels(text, x, true, &n);
    ck_assert_float_eq(g[0], 0);
    ck_assert_float_eq(g[1], 0);
    ck_assert_float_ne(g[2], 0);
    ck_assert_float_eq(g[3], 0);
    free(v);
    free(g);
}
END_TEST

/* The first of equals, row by row, gets the gradient. */
START_TEST(test_maxpool_ties)
{
    static const char text[] =
        "input x channels=1 size=3\nmaxpool m x kernel=2 stride=1\n"
        "avgpool p m size=2\nlinear fc p out=2";
    static const float x[9] = { 1, 1, 0, 1, 1, 1, 0, 1, 1 };
    size_t n;
    float *g = run_pixels(text, x, true, &n);
    static const bool gets[9] = { 1, 1, 0, 1, 1, 0, 0, 0, 0 };

    ck_assert_uint_eq(n, 9);
    for (int i = 0; i < 9; i++)
        ck_assert_msg((g[i] != 0) == gets[i], "pixel %d: %g", i, g[i]);
    free(g);
}
END_TEST

/* Bad numbers are seen behind every operation. */
START_TEST(test_nan)
{
    static const char *const texts[] = {
        "input x channels=1 size=2\nrelu r x\navgpool p r size=1\n"
        "linear fc p out=2",
        "input x channels=1 size=2\nrelu6 r x\navgpool p r size=1\n"
        "linear fc p out=2",
        "input x channels=1 size=2\nmaxpool m x kernel=2 stride=2\n"
        "avgpool p m size=1\nlinear fc p out=2"
    };
    float x[4] = { 1, 2, NAN, 3 };

    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        size_t n;
        float *v = run_pixels(texts[k], x, false, &n);

        ck_assert_msg(isnan(v[n == 4 ? 2 : 0]), "%s", texts[k]);
        free(v);
    }
}
END_TEST

/* Masks come from draws number op * 2^20 + f of the dropout stream. */
START_TEST(test_dropout_draws)
{
    struct backend *b = open_ref();
    struct net net = { 0 };
    struct side s;
    size_t n, nf = 2 * 7 * 7;
    float *x, *y;
    int kept = 0;

    net_parse(&net, "input x channels=2 size=7\navgpool p x size=7\n"
              "dropout d p p=0.25\nlinear fc d out=2", 2);
    side_open(&s, b, &net, MODE_TRAIN);
    side_run(&s, &net.feed);
    x = side_peek(&s, 1, false, &n);
    y = side_peek(&s, 2, false, &n);
    for (size_t i = 0; i < 2 * nf; i++) {
        struct rng r;
        double u = 0;

        rng_init(&r, 5, RNG_DROPOUT, 2, i < nf ? 7 : 10);
        r.counter[0] = 2 << 18;
        for (size_t k = 0; k <= i % nf; k++)
            u = rng_real(&r);
        ck_assert_double_eq_tol(y[i], u >= 0.25 ? x[i] / 0.75 : 0, 1e-6);
        kept += u >= 0.25;
    }
    ck_assert_int_gt(kept, 120);
    ck_assert_int_lt(kept, 170);
    free(x);
    free(y);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}
END_TEST

START_TEST(test_refusals)
{
    struct backend_conf conf = { .dtype = DTYPE_BF16 };
    struct err e = { 0 };
    struct backend *b = open_ref();
    struct net net = { 0 };
    struct side s;
    struct feed f;

    ck_assert_ptr_null(backend_open("ref", &conf, &e));
    ck_assert_int_eq(e.status, EXIT_USAGE);
    err_clear(&e);

    net_parse(&net, "input x channels=2 size=1\nbn n x\n"
              "avgpool p n size=1\nlinear fc p out=2", 1);
    side_open(&s, b, &net, MODE_EVAL);
    side_run(&s, &net.feed);
    ck_assert_int_eq(walk_backward(s.plan, NULL, NULL, &e), -1);
    ck_assert_int_eq(e.status, EXIT_USAGE);
    err_clear(&e);
    side_close(&s);
    net_release(&net);

    net_parse(&net, nets[0].text, 1);
    f = net.feed;
    f.targets = NULL;
    side_open(&s, b, &net, MODE_TRAIN);
    b->class->feed(s.plan, &f);
    ck_assert_int_eq(walk_forward(s.plan, &e), 0);
    ck_assert_int_eq(walk_backward(s.plan, NULL, NULL, &e), -1);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}
END_TEST

/* -------------------------------------------------------------- the walk */

struct ready {
    size_t next;        /* where the next range must end */
    int calls, stop;    /* refuse call number `stop` */
};

static int
ready(void *ctx, size_t begin, size_t end, struct err *e)
{
    struct ready *r = ctx;

    ck_assert_uint_lt(begin, end);
    ck_assert_uint_eq(end, r->next);
    r->next = begin;
    return ++r->calls == r->stop ? err_set(e, EXIT_IO, "stopped") : 0;
}

/* Ranges come from the end without a gap; a refusal ends the walk. */
START_TEST(test_ready)
{
    struct backend *b = open_ref();
    struct net net = { 0 };
    struct side s;
    struct ready r = { 0 };
    struct err e = { 0 };

    net_parse(&net, nets[5].text, 2);
    side_open(&s, b, &net, MODE_TRAIN);
    side_run(&s, &net.feed);
    r.next = net.g.nparams;
    ck_assert_int_eq(walk_backward(s.plan, ready, &r, &e), 0);
    ck_assert_uint_eq(r.next, 0);
    ck_assert_int_eq(r.calls, 13);
    r = (struct ready){ .next = net.g.nparams, .stop = 2 };
    ck_assert_int_eq(walk_backward(s.plan, ready, &r, &e), -1);
    ck_assert_str_eq(e.text, "stopped");
    ck_assert_int_eq(r.calls, 2);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}
END_TEST

/* Gradients of parameters are stored: a second pass changes no bit. */
START_TEST(test_stored)
{
    struct backend *b = open_ref();
    struct net net = { 0 };
    struct side s;
    float *first, *second;

    net_parse(&net, nets[5].text, 2);
    side_open(&s, b, &net, MODE_TRAIN);
    side_run(&s, &net.feed);
    first = side_get(&s, s.v.grads, net.g.nparams);
    side_run(&s, &net.feed);
    second = side_get(&s, s.v.grads, net.g.nparams);
    ck_assert_mem_eq(first, second, net.g.nparams * sizeof *first);
    free(first);
    free(second);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}
END_TEST

CHECK_MAIN("ref", 60, test_pytorch, test_torchvision, test_differences,
           test_fewer, test_relu6_edges, test_maxpool_ties, test_nan,
           test_dropout_draws, test_refusals, test_ready, test_stored)
