/*
 * check_cpu: the CPU backend against the reference, and whole networks against
 * PyTorch.
 */
#include "tests/golden.h"
#include "tests/opcheck.h"

#include <sys/wait.h>
#include <unistd.h>

static const struct limits limits_f32 = { .values = 1e-4, .gradients = 1e-4 };
static const struct limits limits_bf16 = { .by_norm = true, .values = 2e-2 };
/*
 * Values agree to rounding in deep networks too.  But where a ReLU6 reads a
 * number that close to its kink the two may take different sides, and with 12
 * pixels a channel one such is a few per cent of a gradient.
 */
static const struct limits limits_deep = { .by_norm = true, .values = 1e-4,
                                           .gradients = 5e-2 };

/* -1, and a line that says SKIP, where the backend lacks the type. */
static int
open_pair(struct pair *p, bool bf16)
{
    struct backend_conf conf = { .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32 };
    struct backend_conf plain = { .dtype = DTYPE_F32 };
    struct err e = { 0 };

    memset(p, 0, sizeof *p);
    p->other = backend_open("cpu", &conf, &e);
    if (p->other == NULL) {
        ck_assert_msg(bf16, "%s", e.text);
        printf("SKIP cpu in bf16: %s\n", e.text);
        return -1;
    }
    p->ref = backend_open("ref", &plain, &e);
    ck_assert_str_eq(p->other->dtype, bf16 ? "bf16" : "f32");
    p->limits = bf16 ? limits_bf16 : limits_f32;
    return 0;
}

static void
close_pair(struct pair *p, const char *what)
{
    printf("%s, %s: values within %.1e, gradients within %.1e\n",
           p->other->dtype, what, p->worst_value, p->worst_gradient);
    backend_close(p->ref);
    backend_close(p->other);
}

static void
both_types(void (*check)(struct pair *p), const char *what,
           double bf16_gradients)
{
    struct pair p;

    for (int bf16 = 0; bf16 < 2; bf16++)
        if (open_pair(&p, bf16) == 0) {
            if (bf16)
                p.limits.gradients = bf16_gradients;
            check(&p);
            close_pair(&p, what);
        }
}

START_TEST(test_convs)
{
    both_types(pair_convs, "convolutions", 5e-2);
}
END_TEST

START_TEST(test_elements)
{
    /* Batch-norm cancels most of the gradient of the weights before it. */
    both_types(pair_elements, "pictures", 2e-1);
}
END_TEST

START_TEST(test_flats)
{
    both_types(pair_flats, "flat values", 8e-2);
}
END_TEST

START_TEST(test_nets)
{
    struct pair p;

    ck_assert_int_eq(open_pair(&p, false), 0);
    p.limits = limits_deep;
    pair_nets(&p);
    close_pair(&p, "networks");
}
END_TEST

/*
 * Batches so large that 3x3 goes by Winograd's algorithm: fewer products, each a
 * little less exact.  Without ReLUs, which may take different sides.
 */
START_TEST(test_large)
{
    static const char text[] =
        "input x channels=64 size=28\n"
        "conv a x out=64 kernel=3 pad=1\nconv b a out=64 kernel=3 pad=1\n"
        "add s b a\navgpool p s size=1\nlinear fc p out=3";
    struct net net = { 0 };
    struct pair p;
    struct side s;
    char by[128];

    ck_assert_int_eq(open_pair(&p, false), 0);
    net_parse(&net, text, 32);
    pair_net(&p, &net, text);
    side_open(&s, p.other, &net, MODE_EVAL);
    p.other->class->explain(s.plan, 1, by);
    printf("3x3, 64 channels, 28x28, batch 32: %s\n", by);
    side_close(&s);
    net_release(&net);
    close_pair(&p, "large batch");
}
END_TEST

/* Gradients to three times what PyTorch's own float32 loses. */
START_TEST(test_torchvision)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct backend_conf conf = { .dtype = DTYPE_F32, .keep = true };
        struct err e = { 0 };
        struct backend *b = backend_open("cpu", &conf, &e);

        ck_assert_msg(b != NULL, "%s", e.text);
        near_known(b, &known[i], fmax(1e-4, 3 * known[i].single));
        backend_close(b);
    }
}
END_TEST

/* A network's gradients, and how much memory their plan takes. */
static float *
gradients(const struct backend_conf *conf, struct net *net, size_t *nbytes)
{
    struct err e = { 0 };
    struct backend *b = backend_open("cpu", conf, &e);
    struct side s;
    float *grads;

    ck_assert_msg(b != NULL, "%s", e.text);
    side_open(&s, b, net, MODE_TRAIN);
    side_run(&s, &net->feed);
    *nbytes = s.plan->nbytes;
    grads = side_get(&s, s.v.grads, net->g.nparams);
    side_close(&s);
    backend_close(b);
    return grads;
}

/* What is made again has the bits it had, and was not held in between. */
START_TEST(test_recompute)
{
    static const char *const names[] = { "resnet18", "resnet50",
                                         "mobilenet_v2" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct backend_conf conf = { .dtype = DTYPE_F32, .threads = 1 };
        struct net_conf size = { 1, 64, 3, -1 };
        struct net net = { 0 };
        struct err e = { 0 };
        size_t held, less;
        float *a, *b;

        ck_assert_int_eq(net_build(&net.g, names[i], &size, &e), 0);
        net_fill(&net, 4);
        a = gradients(&conf, &net, &held);
        conf.recompute = true;
        b = gradients(&conf, &net, &less);
        ck_assert_mem_eq(a, b, net.g.nparams * sizeof *a);
        printf("%s: %.2f of the memory when values are made again\n",
               names[i], (double)less / (double)held);
        ck_assert(10 * less < 9 * held);
        free(a);
        free(b);
        net_release(&net);
    }
}
END_TEST

/*
 * A batch that threads share by pictures, in parts that are not equal, has the
 * gradients of one thread.  Without ReLUs, as above.
 */
START_TEST(test_cut)
{
    static const char text[] =
        "input x channels=1 size=28\nconv a x out=20 kernel=5 stride=2 pad=2\n"
        "bn an a\nconv b an out=20 kernel=3 pad=1\nbn bn b\nadd s bn an\n"
        "avgpool p s size=1\nlinear fc p out=3";
    struct backend_conf conf = { .dtype = DTYPE_F32, .threads = 1 };
    struct net net = { 0 };
    double far = 0, norm = 0;
    size_t nbytes;
    float *one, *cut;

    net_parse(&net, text, 17);
    one = gradients(&conf, &net, &nbytes);
    conf.threads = 3;
    conf.batch = 17;
    conf.nparams = net.g.nparams;
    cut = gradients(&conf, &net, &nbytes);
    for (size_t i = 0; i < net.g.nparams; i++) {
        far += pow((double)one[i] - (double)cut[i], 2);
        norm += pow((double)one[i], 2);
    }
    printf("cut in 3: %.1e of the gradients' norm\n", sqrt(far / norm));
    ck_assert(far > 0);
    ck_assert_double_lt(sqrt(far / norm), 1e-5);
    free(one);
    free(cut);
    net_release(&net);
}
END_TEST

/*
 * At full size no convolution of any network may fall to oneDNN's reference
 * implementation, hundreds of times slower.  Plans alone: nothing is run, so
 * the vectors need not exist.
 */
START_TEST(test_fast)
{
    static const char *const names[] = { "resnet18", "resnet34", "resnet50",
                                         "mobilenet_v2", "vgg16",
                                         "vgg16_bn" };
    const struct vectors none = { NULL, NULL, NULL };

    for (size_t i = 0; i < 4 * ARRAY_LEN(names); i++) {
        struct net_conf conf = { i % 2 ? 3 : 1, 224, 3, -1 };
        enum mode mode = i / 2 % 2 ? MODE_EVAL : MODE_TRAIN;
        struct backend_conf plain = { .dtype = DTYPE_AUTO };
        struct err e = { 0 };
        struct backend *b = backend_open("cpu", &plain, &e);
        struct graph g;
        struct plan *p;
        int seen = 0;

        ck_assert_int_eq(net_build(&g, names[i / 4], &conf, &e), 0);
        p = b->class->plan(b, &g, 2, mode, &none, &e);
        ck_assert_msg(p != NULL, "%s", e.text);
        for (int k = 0; k < g.nops; k++) {
            char by[128];

            b->class->explain(p, k, by);
            seen += by[0] != '\0';
            ck_assert_msg(strstr(by, "ref") == NULL, "%s %s: %s", g.name,
                          g.op[k].name, by);
        }
        ck_assert_int_ge(seen, 13);
        b->class->unplan(p);
        graph_release(&g);
        backend_close(b);
    }
}
END_TEST

CHECK_SUITE(run_suite, "cpu", 300, test_convs, test_elements, test_flats,
            test_nets, test_large, test_torchvision, test_recompute, test_cut,
            test_fast)

/* In a child: oneDNN's threads would not survive the forks of the tests. */
static int
cpu_opens(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        struct backend_conf conf = { 0 };
        struct err e = { 0 };

        if (backend_open("cpu", &conf, &e) == NULL)
            printf("no CPU backend: %s\n", e.text);
        fflush(stdout);
        _exit(e.status);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int
main(void)
{
    return cpu_opens() ? run_suite() : CHECK_SKIP;
}
