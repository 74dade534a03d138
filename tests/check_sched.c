/* sched: against the schedulers of PyTorch 2 (torch.optim.lr_scheduler). */
#include "check.h"

#include "base/mem.h"
#include "learn/sched.h"

#include <math.h>
#include <string.h>

static void
near(double got, double want)
{
    ck_assert_msg(fabs(got - want) <= 1e-6 * want, "%.12g, not %.12g", got,
                  want);
}

/* Losses in, rates of the n epochs and of the one after them out. */
static void
plateau(const struct sched_conf *c, const double *loss, const double *lr,
        size_t n)
{
    struct sched s;

    sched_init(&s, c);
    for (size_t i = 0; i < n; i++) {
        near(sched_lr(&s, (int64_t)i), lr[i]);
        sched_end_epoch(&s, loss[i]);
    }
    near(sched_lr(&s, (int64_t)n), lr[n]);
}

/* ReduceLROnPlateau(o, 'min', factor=0.1, patience=2, threshold=1e-4) */
START_TEST(plateau_equals_pytorch)
{
    static const double LOSS[] = {
        1.0, 0.8, 0.79999, 0.81, 0.8, 0.79991, 0.7, 0.71, 0.72, NAN, 0.69995,
        0.69, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7,
    };
    static const double LR[] = {
        0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01, 1e-3, 1e-3,
        1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5,
    };
    struct sched_conf c;

    sched_preset(&c, 20);
    c.lr = 0.1;
    c.patience = 2;
    plateau(&c, LOSS, LR, ARRAY_LEN(LOSS));
}
END_TEST

/* eps=1e-8: smaller changes are not made. */
START_TEST(plateau_has_a_floor)
{
    static const double LOSS[5] = { 1, 1, 1, 1, 1 };
    static const double TINY[6] = { 1e-6, 1e-6, 1e-7, 1e-8, 1e-8, 1e-8 };
    struct sched_conf c;

    sched_preset(&c, 5);
    c.lr = 1e-6;
    c.patience = 0;
    plateau(&c, LOSS, TINY, 5);
}
END_TEST

static void
fixed(const struct sched_conf *c, const double *lr, size_t n)
{
    struct sched s;

    sched_init(&s, c);
    for (size_t i = 0; i < n; i++)
        near(sched_lr(&s, (int64_t)i), lr[i]);
}

/* CosineAnnealingLR(o, 10) */
START_TEST(cosine_equals_pytorch)
{
    static const double LR[] = {
        0.1, 0.09755282581475769, 0.09045084971874738, 0.07938926261462367,
        0.06545084971874739, 0.05, 0.03454915028125264, 0.020610737385376353,
        0.009549150281252635, 0.002447174185242324,
    };
    struct sched_conf c;
    struct sched s;

    sched_preset(&c, 10);
    c.kind = SCHED_COSINE;
    c.lr = 0.1;
    fixed(&c, LR, ARRAY_LEN(LR));
    sched_init(&s, &c);
    ck_assert(sched_lr(&s, 10) == 0);
}
END_TEST

/* SequentialLR of LinearLR(o, 1/4, 1, 3) and CosineAnnealingLR(o, 9) */
START_TEST(warmup_equals_pytorch)
{
    static const double LR[] = {
        0.025, 0.05, 0.075, 0.1, 0.09698463103929543, 0.08830222215594889,
        0.075, 0.058682408883346526, 0.041317591116653486, 0.025,
        0.011697777844051105, 0.0030153689607045845,
    };
    struct sched_conf c;

    sched_preset(&c, 12);
    c.kind = SCHED_COSINE;
    c.lr = 0.1;
    c.warmup = 3;
    fixed(&c, LR, ARRAY_LEN(LR));
}
END_TEST

/* Losses of the warm-up neither lower the rate nor set the plateau's best. */
START_TEST(warmup_does_not_count_for_the_plateau)
{
    static const double LOSS[] = { 0.1, 9, 9, 9, 0.5, 0.5, 0.5 };
    static const double LR[] = {
        0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.01,
    };
    struct sched_conf c;

    sched_preset(&c, 7);
    c.lr = 0.1;
    c.warmup = 3;
    c.patience = 1;
    plateau(&c, LOSS, LR, ARRAY_LEN(LOSS));
}
END_TEST

/* StepLR(o, 3, 0.1), and after two epochs of warm-up */
START_TEST(step_equals_pytorch)
{
    static const double LR[] = {
        0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 1e-3, 1e-3, 1e-3, 1e-4,
    };
    static const double WARM[] = {
        0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 1e-3,
    };
    struct sched_conf c;

    sched_preset(&c, 10);
    c.kind = SCHED_STEP;
    c.lr = 0.1;
    c.step_every = 3;
    fixed(&c, LR, ARRAY_LEN(LR));
    c.warmup = 2;
    fixed(&c, WARM, ARRAY_LEN(WARM));
}
END_TEST

START_TEST(constant_is_constant)
{
    static const double LR[] = { 0.0005, 0.001, 0.001, 0.001 };
    struct sched_conf c;

    sched_preset(&c, 4);
    c.kind = SCHED_CONSTANT;
    c.warmup = 1;
    fixed(&c, LR, ARRAY_LEN(LR));
}
END_TEST

START_TEST(stops_after_epochs_without_a_better_loss)
{
    static const double LOSS[] = { 1, 0.9, 0.95, 0.8, 0.8, NAN, 0.81 };
    struct sched_conf c;
    struct sched s;

    sched_preset(&c, 20);
    sched_init(&s, &c);
    for (int i = 0; i < 100; i++)
        sched_end_epoch(&s, 1);
    ck_assert(!sched_stop(&s));
    c.early_stop = 3;
    sched_init(&s, &c);
    for (size_t i = 0; i < ARRAY_LEN(LOSS); i++) {
        ck_assert(!sched_stop(&s));
        sched_end_epoch(&s, LOSS[i]);
    }
    ck_assert(sched_stop(&s));
    ck_assert(s.best == 0.8 && s.since_best == 3);
}
END_TEST

/* A copy of the bytes goes on as the original does. */
START_TEST(state_is_plain)
{
    struct sched_conf c;
    struct sched s, copy;
    unsigned char kept[sizeof s];

    sched_preset(&c, 20);
    c.patience = 1;
    sched_init(&s, &c);
    for (int i = 0; i < 4; i++)
        sched_end_epoch(&s, 1);
    memcpy(kept, &s, sizeof s);
    memcpy(&copy, kept, sizeof copy);
    for (int i = 4; i < 9; i++) {
        ck_assert(sched_lr(&s, i) == sched_lr(&copy, i));
        sched_end_epoch(&s, 1);
        sched_end_epoch(&copy, 1);
    }
    ck_assert(copy.ended == 9 && copy.lr < 1e-6);
}
END_TEST

CHECK_MAIN("sched", 10, plateau_equals_pytorch, plateau_has_a_floor,
           cosine_equals_pytorch, warmup_equals_pytorch,
           warmup_does_not_count_for_the_plateau, step_equals_pytorch,
           constant_is_constant, stops_after_epochs_without_a_better_loss,
           state_is_plain)
