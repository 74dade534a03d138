#include "learn/train.h"

#include "backend/walk.h"
#include "base/halves.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/stop.h"
#include "data/safet.h"
#include "learn/calibrate.h"
#include "learn/profile.h"
#include "learn/shares.h"
#include "learn/trainer.h"
#include "learn/transfer.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const phase_names[PHASES] = {
    "load", "forward", "backward", "wait", "reduce", "update", "evaluate",
    "save"
};

/* Rank r's share [from, to) of n things. */
static void
share(const struct comm *c, size_t n, size_t *from, size_t *to)
{
    halves_cut(n, c->rank, c->size, from, to);
}

static void
spend(struct trainer *t, enum phase p, double *clock)
{
    double now = clock_seconds();

    t->phase[p] += now - *clock;
    *clock = now;
}

/* ------------------------------------------------------------------- a step */

/* A batch-norm's sums over the ranks, where it asks for them. */
static int
share_sums(void *ctx, double *sums, size_t n, struct err *e)
{
    struct comm *c = ctx;

    return c->class->hsum(c, sums, n, e);
}

/* For n pictures; skip: as in struct plan. */
static struct plan *
train_plan(struct trainer *t, int n, int skip, struct err *e)
{
    int i = 0;

    while (i < PLANS && t->train[i] != NULL &&
           (t->train[i]->n != n || t->train[i]->skip != skip))
        i++;
    if (i == PLANS)
        t->backend->class->unplan(t->train[--i]);
    else if (t->train[i] != NULL)
        return t->train[i];
    t->train[i] = t->backend->class->plan(t->backend, &t->model->graph, n,
                                          MODE_TRAIN, &t->v, e);
    if (t->train[i] == NULL)
        return NULL;
    for (int k = 0; k < 2; k++)
        t->train[i]->spent[k] = t->spent[k];
    if (t->comm->size > 1) {
        t->train[i]->share = share_sums;
        t->train[i]->share_ctx = t->comm;
    }
    t->train[i]->skip = skip;
    if (!comm_alone(t->comm))
        t->train[i]->reduction = &t->reduction;
    return t->train[i];
}

static double *
widen(const float *x, size_t n)
{
    double *y = mem_array(n, sizeof *y);

    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

static int
largest(const double *p, int n)
{
    int best = 0;

    for (int k = 1; k < n; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

/* Forward and backward over this rank's share of a global batch. */
static int
gradients(struct trainer *t, const size_t *rows, size_t n, double *loss,
          double *correct, struct err *e)
{
    const struct backend_class *k = t->backend->class;
    const struct look look = { t->c->augment, t->c->mixup,
                               (uint32_t)t->s.epoch };
    int classes = t->loader.classes;
    double clock = clock_seconds();
    size_t from, to;
    struct feed f;
    struct plan *p;
    double *wide;
    float *probs;

    share(t->comm, n, &from, &to);
    *loss = *correct = 0;
    /* Fewer rows than ranks: nothing to add, but to a shared batch-norm. */
    if (from == to && !t->c->sync_bn)
        return exchange_nothing(&t->exchange, e);
    p = train_plan(t, to > from ? (int)(to - from) : 1, 0, e);
    if (p == NULL ||
        loader_fill(&t->loader, rows + from, (int)(to - from), &look,
                    loader_norm(&t->loader, rows, n), &f, e) != 0)
        return -1;
    spend(t, PHASE_LOAD, &clock);
    t->images += (double)(to - from);
    k->feed(p, &f);
    t->exchange.idle = from == to;
    if (walk_forward(p, e) != 0)
        return -1;
    spend(t, PHASE_FORWARD, &clock);
    if (walk_backward(p, exchange_ready, &t->exchange, e) != 0)
        return -1;
    if (t->exchange.host != NULL)
        k->get(t->backend, t->exchange.host, t->v.grads,
               t->model->graph.nparams);
    spend(t, PHASE_BACKWARD, &clock);
    probs = mem_array((to - from) * (size_t)classes, sizeof *probs);
    k->result(p, probs, loss);
    wide = widen(probs, (to - from) * (size_t)classes);
    for (size_t i = 0; i < to - from; i++)
        *correct += largest(wide + i * (size_t)classes, classes) ==
                    t->data->labels[rows[from + i]];
    free(wide);
    free(probs);
    return 0;
}

/* In an epoch. */
static size_t
batches(const struct trainer *t)
{
    size_t b = (size_t)t->c->batch;

    return (t->parts->ntrain + b - 1) / b;
}

/* What a step does to body and head; a frozen body's is empty. */
static void
updates(const struct trainer *t, int64_t step, struct update u[UPDATES])
{
    const struct train_conf *c = t->c;
    double lr = sched_lr(&t->sched, t->s.epoch);
    size_t head = transfer_head(&t->model->graph);

    u[0] = (struct update){
        .rule = c->rule, .step = step, .lr = (float)(lr * c->lr_body),
        .momentum = (float)c->momentum, .decay = (float)c->weight_decay,
        .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
        .ema_decay = (float)c->ema, .params = t->v.params,
        .grads = t->v.grads, .m = t->m, .v = t->m2, .ema = t->ema
    };
    /* A short run's average would be of its start: grow into the decay. */
    if (t->ema != NULL)
        u[0].ema_decay = (float)fmin(c->ema, (1.0 + (double)step) /
                                                 (10.0 + (double)step));
    u[1] = u[0];
    u[0].end = t->s.epoch >= c->freeze ? head : 0;
    /* AdamW corrects its moments by the steps that they are made of. */
    u[0].step -= c->freeze * (int64_t)batches(t);
    u[1].begin = head;
    u[1].end = t->model->graph.nparams;
    u[1].lr = (float)lr;
}

static void
update(struct trainer *t)
{
    struct update u[UPDATES];

    updates(t, t->s.step + 1, u);
    for (int i = 0; i < UPDATES; i++)
        if (u[i].end > u[i].begin)
            t->backend->class->update(t->backend, &u[i]);
}

/* What the ranks tell each other in a step: summed up over them. */
enum told { LOSS, CORRECT, TERMINATE, INTERRUPT, SECONDS };

/*
 * Seconds since `clock` were spent on others: on waiting as long as the last of
 * them computed longer than this rank, else on the exchange.  told[SECONDS + r]
 * says how long rank r computed.
 */
static void
spend_on_others(struct trainer *t, const double *told, double *clock)
{
    double last = 0, now = clock_seconds(), wait;

    for (int r = 0; r < t->comm->size; r++)
        last = fmax(last, told[SECONDS + r]);
    wait = fmin(last - told[SECONDS + t->comm->rank], now - *clock);
    t->phase[PHASE_WAIT] += wait;
    t->phase[PHASE_REDUCE] += now - *clock - wait;
    *clock = now;
}

/* By the sums alone: a rank that stops by itself hangs the others. */
static int
signal_of(const double asked[2])
{
    return asked[0] > 0 ? SIGTERM : asked[1] > 0 ? SIGINT : 0;
}

/* One global batch; *stop: the signal that any rank was sent. */
static int
step(struct trainer *t, const size_t *rows, size_t n, int *stop,
     struct err *e)
{
    size_t ntold = SECONDS + (size_t)t->comm->size;
    double *told = mem_array(ntold, sizeof *told), clock = clock_seconds();
    int asked, rc = gradients(t, rows, n, &told[LOSS], &told[CORRECT], e);

    told[SECONDS + t->comm->rank] = clock_seconds() - clock;
    clock = clock_seconds();
    asked = stop_signal();
    told[TERMINATE] = asked == SIGTERM;
    told[INTERRUPT] = asked == SIGINT;
    if (rc == 0)
        rc = t->comm->class->hsum(t->comm, told, ntold, e);
    if (rc == 0 && !isfinite(told[LOSS]))
        rc = err_set(e, EXIT_NUMBERS, "the loss is not a finite number any more "
                     "(epoch %lld, step %lld); a lower --lr may help",
                     (long long)t->s.epoch + 1, (long long)t->s.step + 1);
    if (rc == 0)
        rc = exchange_end(&t->exchange, e);
    if (rc == 0) {
        spend_on_others(t, told, &clock);
        update(t);
        spend(t, PHASE_UPDATE, &clock);
        t->s.loss += told[LOSS] * (double)n;
        t->s.correct += told[CORRECT];
        t->s.seen += (double)n;
        t->s.step++;
        t->s.batch++;
        *stop = signal_of(told + TERMINATE);
    }
    free(told);
    return rc;
}

/* ------------------------------------------------- steps of the backend's own */

/* How many of them are the backend's steps: those with pictures for every
 * rank.  A last one that has fewer is the host's. */
static size_t
whole_batches(const struct trainer *t)
{
    size_t last = t->parts->ntrain % (size_t)t->c->batch;

    if (!t->resident.held)
        return 0;
    return batches(t) - (last > 0 && last < (size_t)t->comm->size);
}

/* Everything that this epoch's steps need, to a backend that does them. */
static int
begin_steps(struct trainer *t, struct err *e)
{
    const struct look look = { t->c->augment, t->c->mixup,
                               (uint32_t)t->s.epoch };
    size_t n = t->parts->ntrain, b = (size_t)t->c->batch;
    size_t first = (size_t)t->s.batch, all = batches(t);
    struct update *u;
    int rc;

    if (!t->resident.held)
        return 0;
    u = mem_array(all * UPDATES, sizeof *u);
    for (size_t i = first; i < all; i++)
        updates(t, t->s.step + 1 + (int64_t)(i - first), u + i * UPDATES);
    rc = resident_epoch(&t->resident, t->order, n, b, first, &look, u, e);
    free(u);
    return rc;
}

/* As step(), but what it gives is known only to end_steps(). */
static int
next_step(struct trainer *t, size_t n, int *stop, struct err *e)
{
    const struct comm_class *k = t->comm->class;
    int asked = stop_signal();
    double told[] = { asked == SIGTERM, asked == SIGINT };
    size_t from, to;
    struct plan *p;

    share(t->comm, n, &from, &to);
    p = train_plan(t, (int)(to - from), (int)from, e);
    if (p == NULL || t->backend->class->step(p, e) != 0 ||
        k->hsum(t->comm, told, ARRAY_LEN(told), e) != 0 ||
        (k->pace != NULL && k->pace(t->comm, e) != 0))
        return -1;
    t->s.seen += (double)n;
    t->s.step++;
    t->s.batch++;
    *stop = signal_of(told);
    return 0;
}

static int
end_steps(struct trainer *t, struct err *e)
{
    double got[2];

    if (!t->resident.held)
        return 0;
    if (t->comm->class->wait(t->comm, e) != 0 ||
        t->backend->class->sums(t->backend, &got[0], &got[1], e) != 0 ||
        t->comm->class->hsum(t->comm, got, ARRAY_LEN(got), e) != 0)
        return -1;
    if (!isfinite(got[0]))
        return err_set(e, EXIT_NUMBERS, "the loss is not a finite number any more "
                       "(epoch %lld); a lower --lr may help",
                       (long long)t->s.epoch + 1);
    t->s.loss += got[0];
    t->s.correct += got[1];
    return 0;
}

/* --------------------------------------------------------------- evaluation */

/* Probabilities [n,K] of rows, with the weights that are evaluated. */
static int
score_rows(struct trainer *t, const size_t *rows, size_t n, float *probs,
           struct err *e)
{
    const struct backend_class *k = t->backend->class;
    const struct look plain = { 0 };
    size_t b = (size_t)t->eval->n;
    struct feed f;

    if (t->resident.held && n > 0 &&
        resident_epoch(&t->resident, rows, n, b, 0, &plain, NULL, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i += b) {
        size_t m = n - i < b ? n - i : b;

        if (t->resident.held) {
            if (k->step(t->eval, e) != 0)
                return -1;
        } else {
            if (loader_fill(&t->loader, rows + i, (int)m, &plain, 1, &f,
                            e) != 0)
                return -1;
            f.targets = NULL;
            k->feed(t->eval, &f);
            if (walk_forward(t->eval, e) != 0)
                return -1;
        }
        k->result(t->eval, probs + i * (size_t)t->loader.classes, NULL);
    }
    return 0;
}

/* Probabilities [n,K] of rows, each scored by one rank. */
static double *
score_all(struct trainer *t, const size_t *rows, size_t n, struct err *e)
{
    size_t classes = (size_t)t->loader.classes, from, to;
    float *mine = mem_array(n * classes, sizeof *mine);
    double *probs;
    int rc;

    share(t->comm, n, &from, &to);
    rc = score_rows(t, rows + from, to - from, mine + from * classes, e);
    probs = widen(mine, n * classes);
    free(mine);
    if (rc == 0)
        rc = t->comm->class->hsum(t->comm, probs, n * classes, e);
    if (rc == 0)
        return probs;
    free(probs);
    return NULL;
}

static int
evaluate(struct trainer *t, const size_t *rows, size_t n, struct score *s,
         struct err *e)
{
    int classes = t->loader.classes, present = 0;
    double *right = mem_array((size_t)classes, sizeof *right);
    double *all = mem_array((size_t)classes, sizeof *all);
    double *probs = score_all(t, rows, n, e), loss = 0;
    bool numbers = true;

    *s = (struct score){ NAN, NAN, NAN, n };
    for (size_t i = 0; i < n && probs != NULL; i++) {
        const double *q = probs + i * (size_t)classes;
        int64_t label = t->data->labels[rows[i]];

        loss -= log(fmax(q[label], 1e-30));
        numbers = numbers && isfinite(q[0]);
        all[label]++;
        right[label] += largest(q, classes) == label;
    }
    if (probs != NULL && n > 0) {
        s->loss = loss / (double)n;
        s->acc = s->balanced = 0;
        for (int k = 0; k < classes; k++) {
            s->acc += right[k] / (double)n;
            if (all[k] > 0) {
                s->balanced += right[k] / all[k];
                present++;
            }
        }
        s->balanced /= present;
    }
    free(right);
    free(all);
    free(probs);
    if (!numbers)
        err_set(e, EXIT_NUMBERS, "the network's outputs are not finite numbers any "
                "more (epoch %lld)", (long long)t->s.epoch + 1);
    return e->status == 0 ? 0 : -1;
}

/* ----------------------------------------------------------------- an epoch */

static void
shuffle(struct trainer *t)
{
    struct rng r;

    rng_init(&r, (uint64_t)t->c->seed, RNG_SHUFFLE, (uint32_t)t->s.epoch, 0);
    memcpy(t->order, t->parts->train, t->parts->ntrain * sizeof *t->order);
    rng_shuffle(&r, t->order, t->parts->ntrain);
}

/* What is no gradient is not rounded, however those travel. */
static int
sum_whole(struct comm *c, float *x, size_t n, struct err *e)
{
    bool half = c->half;
    int rc;

    c->half = false;
    rc = c->class->sum(c, x, n, e) == 0 && c->class->wait(c, e) == 0 ? 0 : -1;
    c->half = half;
    return rc;
}

/* Does a rank get pictures of the largest batch? */
static bool
is_busy(const struct trainer *t, int rank)
{
    size_t b = (size_t)t->c->batch, from, to;

    halves_cut(b < t->parts->ntrain ? b : t->parts->ntrain, rank,
               t->comm->size, &from, &to);
    return to > from;
}

/* The running statistics become the mean over the ranks' that have some. */
static int
mean_buffers(struct trainer *t, struct err *e)
{
    const struct backend_class *k = t->backend->class;
    size_t n = t->model->graph.nbuffers;
    float *x = t->model->buffers;
    bool same = t->comm->size == 1 || t->c->sync_bn;
    int busy = 0;

    for (int r = 0; r < t->comm->size; r++)
        busy += is_busy(t, r);
    if (!same && !is_busy(t, t->comm->rank)) {
        memset(x, 0, n * sizeof *x);
        k->put(t->backend, t->v.buffers, x, n);
    }
    if (!same && t->comm->device &&
        sum_whole(t->comm, t->v.buffers, n, e) != 0)
        return -1;
    k->get(t->backend, x, t->v.buffers, n);
    if (same)
        return 0;
    if (!t->comm->device && sum_whole(t->comm, x, n, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        x[i] /= (float)busy;
    k->put(t->backend, t->v.buffers, x, n);
    return 0;
}

/* What --best asks for: the more, the better. */
static double
goodness(const struct trainer *t, const struct score *s)
{
    return t->c->best == BEST_ACC ? s->acc
           : t->c->best == BEST_BALANCED ? s->balanced : -s->loss;
}

/* Is this epoch the best so far?  Ties go to the lower loss. */
static bool
better(const struct trainer *t, const struct score *s)
{
    double score = goodness(t, s);

    if (t->s.best_epoch == 0 || s->n == 0 || t->c->select == SELECT_LAST)
        return true;
    return score > t->s.best_score ||
           (score == t->s.best_score && s->loss < t->s.best_loss);
}

/*
 * A library's ReLU may turn NaN into 0, so the outputs do not show it: check the
 * weights.
 */
static int
keep_best(struct trainer *t, const struct score *s, struct err *e)
{
    const struct backend_class *k = t->backend->class;

    t->s.best_epoch = t->s.epoch + 1;
    t->s.best_loss = s->loss;
    t->s.best_score = goodness(t, s);
    k->get(t->backend, t->best_params, t->ema != NULL ? t->ema : t->v.params,
           t->model->graph.nparams);
    memcpy(t->best_buffers, t->model->buffers,
           t->model->graph.nbuffers * sizeof *t->best_buffers);
    if (all_finite(t->best_params, t->model->graph.nparams) &&
        all_finite(t->best_buffers, t->model->graph.nbuffers))
        return 0;
    return err_set(e, EXIT_NUMBERS, "the weights are not finite numbers any more "
                   "(epoch %lld); a lower --lr may help",
                   (long long)t->s.epoch + 1);
}

/* Evaluate, keep the best, move the schedule; then the epoch is done. */
static int
end_epoch(struct trainer *t, double start, struct err *e)
{
    const struct parts *p = t->parts;
    bool test = t->c->select == SELECT_TEST;
    double clock = clock_seconds();
    struct score s;

    if (mean_buffers(t, e) != 0 ||
        evaluate(t, test ? p->test : p->val, test ? p->ntest : p->nval, &s,
                 e) != 0)
        return -1;
    spend(t, PHASE_EVALUATE, &clock);
    if (better(t, &s) && keep_best(t, &s, e) != 0)
        return -1;
    t->s.seconds += clock_seconds() - start;
    if (train_log_epoch(t, &s, e) != 0)
        return -1;
    /* With nothing to validate on, the training loss steers the schedule. */
    sched_end_epoch(&t->sched, s.n > 0 ? s.loss : t->s.loss / t->s.seen);
    t->s.ended = sched_stop(&t->sched);
    t->s.epoch++;
    t->s.batch = 0;
    t->s.loss = t->s.correct = t->s.seen = t->s.seconds = 0;
    return 0;
}

static void
take_best(struct trainer *t)
{
    const struct backend_class *k = t->backend->class;
    struct model *m = t->model;
    size_t np = m->graph.nparams, nb = m->graph.nbuffers;

    memcpy(m->params, t->best_params, np * sizeof(float));
    memcpy(m->buffers, t->best_buffers, nb * sizeof(float));
    m->epoch = t->s.best_epoch;
    k->put(t->backend, t->ema != NULL ? t->ema : t->v.params, m->params, np);
    k->put(t->backend, t->v.buffers, m->buffers, nb);
}

/* All ranks come to the same temperature. */
static int
calibrate(struct trainer *t, struct err *e)
{
    const size_t *rows = t->parts->val;
    size_t n = t->parts->nval;
    double *probs = score_all(t, rows, n, e);
    int *label = mem_array(n, sizeof *label);

    for (size_t i = 0; i < n; i++)
        label[i] = (int)t->data->labels[rows[i]];
    if (probs != NULL)
        t->model->temperature = calibrate_temperature(
            probs, label, n, t->model->classes.n);
    free(label);
    free(probs);
    return e->status == 0 ? 0 : -1;
}

/* Save now and then (rank 0); every rank comes here. */
static int
save(struct trainer *t, bool now, struct err *e)
{
    double clock = clock_seconds();
    int rc = 0;

    if (now || clock - t->saved > t->c->save_every) {
        rc = state_gather(t, e);
        if (rc == 0 && t->comm->rank == 0)
            rc = state_save(t, e);
        t->saved = clock_seconds();
    }
    spend(t, PHASE_SAVE, &clock);
    return rc;
}

/* Steps up to batch number `end`, the backend's own or the host's. */
static int
run_steps(struct trainer *t, size_t end, bool whole, struct progress *bar,
          int *stop, struct err *e)
{
    size_t b = (size_t)t->c->batch, n = t->parts->ntrain;

    while ((size_t)t->s.batch < end && *stop == 0) {
        size_t i = (size_t)t->s.batch * b, m = n - i < b ? n - i : b;

        if ((whole ? next_step(t, m, stop, e)
                   : step(t, t->order + i, m, stop, e)) != 0)
            return -1;
        progress_step(bar, (size_t)t->s.epoch * n + i + m);
    }
    return 0;
}

static int
run_epoch(struct trainer *t, struct progress *bar, int *stop, struct err *e)
{
    double start = clock_seconds();

    shuffle(t);
    if (begin_steps(t, e) != 0 ||
        run_steps(t, whole_batches(t), true, bar, stop, e) != 0 ||
        end_steps(t, e) != 0 ||
        run_steps(t, batches(t), false, bar, stop, e) != 0)
        return -1;
    if (*stop != 0) {
        t->s.seconds += clock_seconds() - start;
        return 0;
    }
    return end_epoch(t, start, e);
}

static int
run_epochs(struct trainer *t, int *stop, struct err *e)
{
    size_t n = t->parts->ntrain;
    struct progress bar;
    int rc = 0;

    progress_open(&bar, "images", n * (size_t)t->c->sched.epochs);
    while (t->s.epoch < t->c->sched.epochs && !t->s.ended && rc == 0 &&
           *stop == 0) {
        rc = run_epoch(t, &bar, stop, e);
        if (rc == 0)
            rc = save(t, *stop != 0 || t->s.ended ||
                         t->s.epoch == t->c->sched.epochs, e);
    }
    progress_close(&bar);
    return rc;
}

/* ------------------------------------------------------------- start and end */

/* Class weights n / (K n_k), so that the mean over the rows is 1. */
static double *
class_weights(const struct dataset *d, const struct parts *p)
{
    size_t k = d->classes.n;
    double *w = mem_array(k, sizeof *w);

    for (size_t i = 0; i < p->ntrain; i++)
        w[d->labels[p->train[i]]]++;
    for (size_t i = 0; i < k; i++)
        w[i] = w[i] > 0 ? (double)p->ntrain / ((double)k * w[i]) : 0;
    return w;
}

static float *
vector(struct trainer *t, size_t n, struct err *e)
{
    return t->backend->class->alloc(t->backend, n > 0 ? n : 1, e);
}

/* Let the backend do whole steps, where it can on every rank. */
static int
hold(struct trainer *t, struct err *e)
{
    double all;

    /* What the host must see of every step, it must do itself. */
    if (t->c->profile || (t->comm->size > 1 && !t->comm->device) ||
        t->c->batch < t->comm->size)
        return 0;
    if (resident_open(&t->resident, t->backend, &t->loader, e) != 0)
        return -1;
    all = t->resident.held;
    if (t->comm->class->hsum(t->comm, &all, 1, e) != 0)
        return -1;
    if (all < t->comm->size)
        resident_close(&t->resident);
    return 0;
}

static int
open_trainer(struct trainer *t, struct err *e)
{
    const struct train_conf *c = t->c;
    const struct graph *g = &t->model->graph;
    const struct backend_class *k = t->backend->class;
    size_t np = g->nparams, nb = g->nbuffers;
    int64_t eval = c->batch < 32 ? c->batch : 32, room;

    /* Shards of a fixed size, whatever the ranks. */
    if (c->shards > 0)
        eval = 4 * c->shards / t->comm->size;

    t->v.params = vector(t, np, e);
    t->v.grads = vector(t, np, e);
    t->v.buffers = vector(t, nb, e);
    t->m = vector(t, np, e);
    t->m2 = c->rule == UPDATE_ADAMW ? vector(t, np, e) : NULL;
    t->ema = c->ema > 0 ? vector(t, np, e) : NULL;
    if (e->status != 0)
        return -1;
    k->put(t->backend, t->v.params, t->model->params, np);
    k->put(t->backend, t->v.buffers, t->model->buffers, nb);
    if (t->ema != NULL)
        k->put(t->backend, t->ema, t->model->params, np);
    t->best_params = mem_array(np, sizeof(float));
    t->best_buffers = mem_array(nb, sizeof(float));
    t->comm->half = c->half_gradients;
    t->exchange = (struct exchange){ .backend = t->backend, .comm = t->comm,
                                     .graph = g, .grads = t->v.grads };
    t->reduction = (struct reduction){ exchange_ready, exchange_end,
                                       &t->exchange };
    if (exchange_open(&t->exchange, c->bucket_mb, e) != 0)
        return -1;
    t->order = mem_array(t->parts->ntrain, sizeof *t->order);
    if (c->balanced)
        t->weight = class_weights(t->data, t->parts);
    t->loader = (struct loader){
        .data = t->data, .size = graph_input(g)->size,
        .classes = graph_classes(g), .seed = (uint64_t)c->seed,
        .partners = t->parts->train, .npartners = t->parts->ntrain,
        .smoothing = c->smoothing, .weight = t->weight, .threads = c->threads
    };
    for (int i = 0; i < 2 && c->profile; i++)
        t->spent[i] = mem_array((size_t)g->nops, sizeof *t->spent[i]);
    room = c->batch < (int64_t)t->parts->ntrain ? c->batch
                                                : (int64_t)t->parts->ntrain;
    loader_open(&t->loader, (int)(room > eval ? room : eval));
    sched_init(&t->sched, &c->sched);
    /* Evaluation reads the average of the weights where there is one. */
    t->eval = k->plan(t->backend, g, (int)eval, MODE_EVAL,
                      &(struct vectors){ t->ema != NULL ? t->ema
                                                        : t->v.params,
                                         t->v.buffers, NULL }, e);
    if (t->eval == NULL)
        return -1;
    return hold(t, e);
}

static void
close_trainer(struct trainer *t)
{
    const struct backend_class *k = t->backend->class;
    float *const vectors[] = { t->v.params, t->v.grads, t->v.buffers, t->m,
                               t->m2, t->ema };

    for (int i = 0; i < PLANS; i++)
        k->unplan(t->train[i]);
    k->unplan(t->eval);
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
        k->release(t->backend, vectors[i]);
    resident_close(&t->resident);
    loader_close(&t->loader);
    free(t->best_params);
    free(t->best_buffers);
    free(t->rank_buffers);
    exchange_close(&t->exchange);
    free(t->order);
    free(t->weight);
    free(t->spent[0]);
    free(t->spent[1]);
    str_release(&t->log);
}

/* By phase and by operation. */
static int
say_profile(const struct trainer *t, struct err *e)
{
    struct profile_peak peak;
    double sum = 0;

    if (profile_peak(t->backend, &peak, e) != 0)
        return -1;

    for (int i = 0; i < PHASES; i++)
        sum += t->phase[i];
    for (int i = 0; i < PHASES; i++)
        fprintf(stderr, "%-9s %9.3f s %5.1f %%\n", phase_names[i],
                t->phase[i], 100 * t->phase[i] / fmax(sum, 1e-9));
    if (t->images > 0)
        profile_ops(&t->model->graph, t->spent, t->images, t->train[0],
                    &peak, stderr);
    return 0;
}

static int
say_shares(const struct trainer *t, struct err *e)
{
    const double *p = t->phase;
    const struct shares mine = {
        p[PHASE_LOAD], p[PHASE_FORWARD] + p[PHASE_BACKWARD] + p[PHASE_UPDATE],
        p[PHASE_WAIT], p[PHASE_REDUCE] };

    return shares_say(t->comm, &mine, stderr, e);
}

/* Every rank reads the state; one that saw another would spoil them all. */
static int
resume(struct trainer *t, struct err *e)
{
    int rc = state_load(t, e);
    double steps = rc < 0 ? 0 : (double)t->s.step;

    if (rc < 0 || t->comm->class->hsum(t->comm, &steps, 1, e) != 0)
        return -1;
    if (steps != (double)t->s.step * t->comm->size)
        return err_set(e, EXIT_IO, "the ranks do not see the same state "
                       "beside '%s'", t->c->out);
    if (rc == 0 && t->comm->rank == 0)
        log_note("no state to go on from: starting anew");
    return 0;
}

int
train_run(const struct train_conf *c, struct model *m,
          const struct dataset *d, const struct parts *p, struct backend *b,
          struct comm *comm, int *stopped, struct err *e)
{
    struct trainer t = { .c = c, .model = m, .data = d, .parts = p,
                         .backend = b, .comm = comm };
    struct safet_out held = { 0 };
    int rc = open_trainer(&t, e);

    *stopped = 0;
    t.saved = clock_seconds();
    if (rc == 0 && comm->rank == 0)
        rc = state_hold(&t, &held, e);
    if (rc == 0 && c->resume)
        rc = resume(&t, e);
    if (rc == 0)
        rc = train_log_start(&t, e);
    if (rc == 0)
        rc = run_epochs(&t, stopped, e);
    if (comm->rank == 0)
        log_note("computed by %s in %s: %s", b->class->name, b->dtype,
                 b->about);
    if (rc == 0 && *stopped == 0) {
        take_best(&t);
        if (c->calibrate)
            rc = calibrate(&t, e);
        safet_drop(&held);
        if (rc == 0 && comm->rank == 0)
            rc = model_save(m, c->out, e);
    }
    safet_drop(&held);
    if (rc == 0 && c->profile && comm->rank == 0)
        rc = say_profile(&t, e);
    if (rc == 0 && c->profile)
        rc = say_shares(&t, e);
    close_trainer(&t);
    return rc;
}
