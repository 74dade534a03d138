/* trainer: the steps of an epoch. */
#include "learn/trainer.h"

#include "backend/walk.h"
#include "base/mem.h"
#include "base/stop.h"
#include "learn/transfer.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>

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
    if (t->comm->size > 1 && t->c->sync_bn) {
        t->train[i]->share = share_sums;
        t->train[i]->share_ctx = t->comm;
    }
    t->train[i]->skip = skip;
    if (!comm_alone(t->comm))
        t->train[i]->reduction = &t->reduction;
    return t->train[i];
}

/* How many of the rows are taken for what they are. */
static double
count_right(const struct trainer *t, const float *probs, const size_t *rows,
            size_t n)
{
    size_t classes = (size_t)t->loader.classes;
    double right = 0;

    for (size_t i = 0; i < n; i++) {
        const float *p = probs + i * classes;
        size_t best = 0;

        for (size_t k = 1; k < classes; k++)
            best = p[k] > p[best] ? k : best;
        right += (int64_t)best == t->data->labels[rows[i]];
    }
    return right;
}

/* Forward and backward over this rank's share of a global batch. */
static int
gradients(struct trainer *t, const size_t *rows, size_t n, double *loss,
          double *correct, struct err *e)
{
    const struct backend_class *k = t->backend->class;
    const struct look look = { t->c->augment, t->c->mixup,
                               (uint32_t)t->s.epoch };
    double clock = clock_seconds();
    size_t from, to;
    struct feed f;
    struct plan *p;
    float *probs;

    train_share(t, n, &from, &to);
    *loss = *correct = 0;
    /* Fewer rows than ranks: nothing to add, but to a shared batch-norm. */
    if (from == to && !t->c->sync_bn)
        return exchange_nothing(&t->exchange, e);
    p = train_plan(t, to > from ? (int)(to - from) : 1, 0, e);
    if (p == NULL ||
        loader_fill(&t->loader, rows + from, (int)(to - from), &look,
                    loader_norm(&t->loader, rows, n), &f, e) != 0)
        return -1;
    train_spend(t, PHASE_LOAD, &clock);
    t->images += (double)(to - from);
    k->feed(p, &f);
    t->exchange.idle = from == to;
    if (walk_forward(p, e) != 0)
        return -1;
    train_spend(t, PHASE_FORWARD, &clock);
    if (walk_backward(p, exchange_ready, &t->exchange, e) != 0)
        return -1;
    train_spend(t, PHASE_BACKWARD, &clock);
    probs = mem_array((to - from) * (size_t)t->loader.classes, sizeof *probs);
    k->result(p, probs, loss);
    *correct = count_right(t, probs, rows + from, to - from);
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
        train_spend(t, PHASE_UPDATE, &clock);
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

/* ---------------------------------------------- steps of the backend's own */

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

    train_share(t, n, &from, &to);
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

/* --------------------------------------------------------------- all steps */

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

int
train_steps(struct trainer *t, struct progress *bar, int *stop, struct err *e)
{
    return begin_steps(t, e) != 0 ||
           run_steps(t, whole_batches(t), true, bar, stop, e) != 0 ||
           end_steps(t, e) != 0 ||
           run_steps(t, batches(t), false, bar, stop, e) != 0 ? -1 : 0;
}
