#include "learn/train.h"

#include "base/halves.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/version.h"
#include "data/safet.h"
#include "learn/profile.h"
#include "learn/shares.h"
#include "learn/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const phase_names[PHASES] = {
    "load", "forward", "backward", "wait", "reduce", "update", "evaluate",
    "save"
};

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
    bool bf16 = c->bf16;
    int rc;

    c->bf16 = false;
    rc = comm_sum_now(c, x, n, e);
    c->bf16 = bf16;
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
    int busy = 0;

    k->get(t->backend, x, t->v.buffers, n);
    if (t->comm->size == 1 || t->c->sync_bn)
        return 0;
    for (int r = 0; r < t->comm->size; r++)
        busy += is_busy(t, r);
    if (!is_busy(t, t->comm->rank))
        memset(x, 0, n * sizeof *x);
    k->put(t->backend, t->v.buffers, x, n);
    if (sum_whole(t->comm, t->comm->device ? t->v.buffers : x, n, e) != 0)
        return -1;
    if (t->comm->device)
        k->get(t->backend, x, t->v.buffers, n);
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
    if (model_all_finite(t->best_params, t->model->graph.nparams) &&
        model_all_finite(t->best_buffers, t->model->graph.nbuffers))
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
        train_evaluate(t, test ? p->test : p->val, test ? p->ntest : p->nval,
                       &s, e) != 0)
        return -1;
    train_spend(t, PHASE_EVALUATE, &clock);
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
    train_spend(t, PHASE_SAVE, &clock);
    return rc;
}

static int
run_epoch(struct trainer *t, struct progress *bar, int *stop, struct err *e)
{
    double start = clock_seconds();

    shuffle(t);
    if (train_steps(t, bar, stop, e) != 0)
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

    progress_open(&bar, "images", n * (size_t)t->s.epoch +
                      (size_t)t->s.batch * (size_t)t->c->batch,
                  n * (size_t)t->c->sched.epochs);
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
    t->comm->bf16 = c->bf16_gradients;
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

/*
 * Ranks that were started one by one may have been told different things, or
 * have found them: bf16 on one machine and f32 on the other.
 */
static int
check_ranks(const struct trainer *t, struct err *e)
{
    const struct train_conf *c = t->c;
    size_t ranks = (size_t)t->comm->size, n;
    struct str_list said = { 0 };
    char *print = train_fingerprint(t), hex[DIGEST_HEX];
    char *text = str_format("version=" BUSI_VERSION " %s epochs=%lld "
                            "early_stop=%lld bucket_mb=%g resume=%d "
                            "profile=%d calibrate=%d", print,
                            (long long)c->sched.epochs,
                            (long long)c->sched.early_stop, c->bucket_mb,
                            c->resume, c->profile, c->calibrate);
    double *all;
    int rc;

    str_list_split(&said, text, ' ');
    n = said.n;
    all = mem_array(ranks * n, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        digest_bytes(said.item[i], strlen(said.item[i]), hex);
        hex[12] = '\0';         /* 48 bits, which a double holds */
        all[(size_t)t->comm->rank * n + i] = (double)strtoull(hex, NULL, 16);
    }
    rc = t->comm->class->hsum(t->comm, all, ranks * n, e);
    for (size_t i = 0; i < ranks * n && rc == 0; i++)
        if (all[i] != all[i % n])
            rc = err_set(e, EXIT_USAGE, "rank %zu has another %.*s than rank 0",
                         i / n, (int)strcspn(said.item[i % n], "="),
                         said.item[i % n]);
    str_list_release(&said);
    free(print);
    free(text);
    free(all);
    return rc;
}

int
train_run(const struct train_conf *c, struct model *m,
          const struct dataset *d, const struct parts *p, struct backend *b,
          struct comm *comm, int *stopped, struct err *e)
{
    struct trainer t = { .c = c, .model = m, .data = d, .parts = p,
                         .backend = b, .comm = comm };
    struct safet_out held = { 0 };
    int rc = comm->size > 1 ? check_ranks(&t, e) : 0;

    *stopped = 0;
    if (rc == 0)
        rc = open_trainer(&t, e);
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
            rc = train_calibrate(&t, e);
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
