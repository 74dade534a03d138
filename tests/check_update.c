/*
 * check_update: three steps against PyTorch 2.15's torch.optim, in float32.
 */
#include "backend/update.h"
#include "tests/netcheck.h"

enum { N = 5, STEPS = 3 };

static const float nothing[N];

/* All vectors of a small optimisation; one guard behind each. */
struct vectors_of {
    float params[N + 1], grads[N + 1], m[N + 1], v[N + 1], ema[N + 1];
};

static struct update
update_of(struct vectors_of *x, enum update_rule rule)
{
    struct update u = { .rule = rule, .end = N, .params = x->params,
                        .grads = x->grads, .m = x->m, .v = x->v,
                        .ema = x->ema };

    for (size_t i = 0; i <= N; i++) {
        x->params[i] = x->ema[i] = (float)net_number(1, i);
        x->m[i] = x->v[i] = 0;
    }
    return u;
}

static void
run_steps(struct vectors_of *x, struct update *u)
{
    for (uint32_t t = 1; t <= STEPS; t++) {
        for (size_t i = 0; i <= N; i++)
            x->grads[i] = (float)(0.5 * net_number(10 + t, i));
        u->step = t;
        update_host(u);
    }
}

static void
near(const char *what, const float *have, const float *want)
{
    for (int i = 0; i < N; i++)
        ck_assert_msg(fabsf(have[i] - want[i]) <= 1e-6f,
                      "%s[%d] is %.9g, not %.9g", what, i, have[i], want[i]);
}

static const float sgd_params[N] = {
    -0.81738925f, 0.62137079f, -0.84665567f, -0.82516199f, -0.078758858f
};

/* SGD(lr=0.1, momentum=0.9, weight_decay=0.01), EMA of 0.9. */
START_TEST(test_sgd)
{
    static const float m[N] = { -0.092838585f, 0.77567577f, 0.39274591f,
                                0.46482804f, -0.63881254f };
    static const float ema[N] = { -0.7731396f, 0.76320571f, -0.83351308f,
                                  -0.71599627f, -0.19166964f };
    struct vectors_of x;
    struct update u = update_of(&x, UPDATE_SGD);

    u.lr = 0.1f;
    u.momentum = 0.9f;
    u.decay = 0.01f;
    u.ema_decay = 0.9f;
    run_steps(&x, &u);
    near("params", x.params, sgd_params);
    near("m", x.m, m);
    near("ema", x.ema, ema);
    near("v", x.v, nothing);
}
END_TEST

/* AdamW(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1). */
START_TEST(test_adamw)
{
    static const float params[N] = { -0.77058268f, 0.76554072f, -0.82859504f,
                                     -0.71441996f, -0.19157521f };
    static const float m[N] = { -0.0071263243f, 0.075556882f, 0.041491885f,
                                0.048481319f, -0.063407764f };
    static const float v[N] = { 0.00028382323f, 0.00036017597f,
                                0.00028680559f, 0.00019128057f,
                                0.00029774301f };
    static const float ema[N] = { -0.76116085f, 0.78747773f, -0.83432096f,
                                  -0.69593722f, -0.21055289f };
    struct vectors_of x;
    struct update u = update_of(&x, UPDATE_ADAMW);

    u.lr = 0.01f;
    u.decay = 0.1f;
    u.beta1 = 0.9f;
    u.beta2 = 0.999f;
    u.eps = 1e-8f;
    u.ema_decay = 0.9f;
    run_steps(&x, &u);
    near("params", x.params, params);
    near("m", x.m, m);
    near("ema", x.ema, ema);
    /* PyTorch has beta2 in double: 1.3e-5 of v is that rounding. */
    for (int i = 0; i < N; i++)
        ck_assert_float_eq_tol(x.v[i], v[i], 2e-5f * v[i]);
}
END_TEST

/* Without EMA and second moments, in two ranges: the same bits; no more. */
START_TEST(test_ranges)
{
    struct vectors_of whole, parts;
    struct update u = update_of(&whole, UPDATE_SGD), first, second;

    u.lr = 0.1f;
    u.momentum = 0.9f;
    u.decay = 0.01f;
    u.v = NULL;
    u.ema = NULL;
    run_steps(&whole, &u);
    near("params", whole.params, sgd_params);
    ck_assert_float_eq(whole.params[N], (float)net_number(1, N));
    ck_assert_float_eq(whole.m[N], 0);

    first = update_of(&parts, UPDATE_SGD);
    first.lr = 0.1f;
    first.momentum = 0.9f;
    first.decay = 0.01f;
    first.ema = NULL;
    second = first;
    first.end = second.begin = 2;
    run_steps(&parts, &first);
    run_steps(&parts, &second);
    ck_assert_mem_eq(parts.params, whole.params, sizeof whole.params);
    ck_assert_mem_eq(parts.m, whole.m, sizeof whole.m);
}
END_TEST

/* PyTorch's first step takes the gradient as it is, whatever m holds. */
START_TEST(test_first_step)
{
    struct vectors_of x;
    struct update u = update_of(&x, UPDATE_SGD);

    u.lr = 0.5f;
    u.momentum = 0.9f;
    u.step = 1;
    for (int i = 0; i < N; i++) {
        x.m[i] = 100;
        x.params[i] = 1;
        x.grads[i] = 0.5f;
    }
    update_host(&u);
    for (int i = 0; i < N; i++) {
        ck_assert_float_eq(x.m[i], 0.5f);
        ck_assert_float_eq(x.params[i], 0.75f);
    }
}
END_TEST

CHECK_MAIN("update", 10, test_sgd, test_adamw, test_ranges, test_first_step)
