#include "learn/trainer.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "data/safet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *
train_state_path(const char *out)
{
    const char *dot = strrchr(str_base(out), '.');
    int n = dot != NULL ? (int)(dot - out) : (int)strlen(out);

    return str_format("%.*s.state%s", n, out, dot != NULL ? dot : "");
}

/*
 * The number of epochs may grow, but not with the cosine, whose every rate
 * depends on it.
 */
char *
train_fingerprint(const struct trainer *t)
{
    const struct train_conf *c = t->c;
    const struct sched_conf *s = &c->sched;
    struct str graph = { 0 };
    char hex[DIGEST_HEX];
    char *text;

    graph_print(&t->model->graph, &graph);
    digest_bytes(graph.text, graph.n, hex);
    str_release(&graph);
    text = str_format(
        "graph=%s data=%s folds=%s fold=%lld batch=%lld rule=%d lr=%.17g "
        "kind=%d warmup=%lld patience=%lld every=%lld factor=%.17g "
        "momentum=%.17g decay=%.17g smoothing=%.17g balanced=%d augment=%d "
        "mixup=%.17g init=%s init_norm=%d freeze=%lld lr_body=%.17g "
        "ema=%.17g select=%d best=%d seed=%lld dtype=%s epochs=%lld "
        "shards=%d sync_bn=%d half=%d",
        hex, t->data->digest, t->parts->digest, (long long)c->fold,
        (long long)c->batch, (int)c->rule, s->lr, (int)s->kind,
        (long long)s->warmup, (long long)s->patience,
        (long long)s->step_every, s->factor, c->momentum, c->weight_decay,
        c->smoothing, c->balanced, (int)c->augment, c->mixup,
        t->model->from.init, c->init_norm, (long long)c->freeze, c->lr_body,
        c->ema, (int)c->select, (int)c->best, (long long)c->seed,
        t->backend->dtype,
        s->kind == SCHED_COSINE ? (long long)s->epochs : 0, c->shards,
        c->sync_bn, c->bf16_gradients);
    return text;
}

/* ------------------------------------------------------------------- saving */

/* The plain numbers of a run, as text that reads back to the same bits. */
static char *
numbers_print(const struct trainer *t)
{
    const struct progress_state *s = &t->s;
    const struct sched *h = &t->sched;

    return str_format("%lld %lld %lld %a %a %a %a %lld %a %a %d "
                      "%a %a %lld %a %lld %lld",
                      (long long)s->epoch, (long long)s->batch,
                      (long long)s->step, s->loss, s->correct, s->seen,
                      s->seconds, (long long)s->best_epoch, s->best_score,
                      s->best_loss, s->ended, h->lr, h->plateau_best,
                      (long long)h->plateau_bad, h->best,
                      (long long)h->since_best, (long long)h->ended);
}

static int
numbers_parse(struct trainer *t, const char *text)
{
    struct progress_state s;
    struct sched h = t->sched;
    long long i[7];
    int ended, n;

    n = sscanf(text, "%lld %lld %lld %la %la %la %la %lld %la %la %d "
               "%la %la %lld %la %lld %lld", &i[0], &i[1], &i[2], &s.loss,
               &s.correct, &s.seen, &s.seconds, &i[3], &s.best_score,
               &s.best_loss, &ended, &h.lr, &h.plateau_best, &i[4], &h.best,
               &i[5], &i[6]);
    if (n != 17)
        return -1;
    s.epoch = i[0];
    s.batch = i[1];
    s.step = i[2];
    s.best_epoch = i[3];
    h.plateau_bad = i[4];
    h.since_best = i[5];
    h.ended = i[6];
    s.ended = sched_stop(&h);   /* by --early-stop as it is now */
    t->s = s;
    t->sched = h;
    return 0;
}

/* The vectors of a run; host ones are read and written in place. */
struct item {
    const char *name;
    float *backend, *host;
    size_t n;
};

enum { BUFFERS = 1, ITEMS = 7 };

static void
items(const struct trainer *t, struct item item[ITEMS])
{
    size_t np = t->model->graph.nparams, nb = t->model->graph.nbuffers;

    item[0] = (struct item){ "params", t->v.params, NULL, np };
    item[BUFFERS] = (struct item){ "buffers", t->v.buffers, NULL, nb };
    item[2] = (struct item){ "m", t->m, NULL, np };
    item[3] = (struct item){ "v", t->m2, NULL, t->m2 != NULL ? np : 0 };
    item[4] = (struct item){ "ema", t->ema, NULL, t->ema != NULL ? np : 0 };
    item[5] = (struct item){ "best_params", NULL, t->best_params, np };
    item[6] = (struct item){ "best_buffers", NULL, t->best_buffers, nb };
}

static void
write_state(struct trainer *t, struct safet_out *o)
{
    size_t np = t->model->graph.nparams, nb = t->model->graph.nbuffers;
    float *host = mem_array(np > nb ? np : nb, sizeof *host);
    char *numbers = numbers_print(t), *print = train_fingerprint(t);
    struct item item[ITEMS];

    safet_set(o, "format", BUSI_FORMAT);
    safet_set(o, "kind", "state");
    safet_set(o, "version", BUSI_VERSION);
    safet_set(o, "run", print);
    safet_set(o, "numbers", numbers);
    safet_set(o, "log", t->log.n > 0 ? t->log.text : "");
    items(t, item);
    if (t->rank_buffers != NULL) {
        item[BUFFERS].host = t->rank_buffers;
        item[BUFFERS].n = nb * (size_t)t->comm->size;
    }
    for (int i = 0; i < ITEMS; i++) {
        int64_t n = (int64_t)item[i].n;

        if (n > 0 && item[i].host == NULL)
            t->backend->class->get(t->backend, host, item[i].backend,
                                   item[i].n);
        safet_put(o, item[i].name, DT_F32, 1, &n,
                  item[i].host != NULL ? item[i].host : host);
    }
    free(numbers);
    free(print);
    free(host);
}

int
state_gather(struct trainer *t, struct err *e)
{
    size_t n = t->model->graph.nbuffers, all = n * (size_t)t->comm->size;
    float *mine;
    double *sum;
    int rc;

    if (t->comm->size == 1 || t->c->sync_bn || t->s.batch == 0)
        return 0;
    mine = mem_array(n, sizeof *mine);
    sum = mem_array(all, sizeof *sum);
    t->backend->class->get(t->backend, mine, t->v.buffers, n);
    for (size_t i = 0; i < n; i++)
        sum[n * (size_t)t->comm->rank + i] = (double)mine[i];
    rc = t->comm->class->hsum(t->comm, sum, all, e);
    t->rank_buffers = mem_array(all, sizeof *t->rank_buffers);
    for (size_t i = 0; i < all; i++)
        t->rank_buffers[i] = (float)sum[i];
    free(mine);
    free(sum);
    return rc;
}

/* A whole file of another kind is not to be laid over. */
static int
check_place(const char *path, struct err *e)
{
    struct safet s;
    struct err why = { 0 };
    bool other;

    if (safet_open(&s, path, &why) != 0)
        return 0;
    other = safet_check_kind(&s, "state", &why) != 0;
    safet_close(&s);
    return !other ? 0 : err_set(e, EXIT_INVALID, "'%s' is there, and is not a "
                                "state of a run: take another name for the "
                                "model", path);
}

int
state_hold(const struct trainer *t, struct safet_out *held, struct err *e)
{
    char *path = train_state_path(t->c->out);
    struct safet_out state;
    int rc = safet_create(held, t->c->out, 0, e);

    if (rc == 0 && (rc = check_place(path, e)) == 0 &&
        (rc = safet_create(&state, path, 0, e)) == 0)
        safet_drop(&state);
    free(path);
    return rc;
}

int
state_save(struct trainer *t, struct err *e)
{
    char *path = train_state_path(t->c->out), *old = str_format("%s.old", path);
    struct safet_out o;
    int rc = safet_create(&o, path, 65536 + 2 * t->log.n, e);

    if (rc == 0) {
        write_state(t, &o);
        /* Until the new one is in place, the old one is the newest. */
        if (rename(path, old) != 0 && access(path, F_OK) == 0)
            log_warn("cannot keep the state before as '%s'", old);
        rc = safet_commit(&o, e);
    }
    free(path);
    free(old);
    return rc;
}

/* ------------------------------------------------------------------ loading */

/* Of how many ranks are these running statistics, of n numbers each? */
static size_t
rows(const struct safet_tensor *x, size_t n)
{
    return n > 0 && x->nbytes > 0 ? x->nbytes / (n * sizeof(float)) : 1;
}

/* Say the first of "key=value key=value ..." that differs. */
static int
other_run(const char *path, const char *there, const char *here,
          struct err *e)
{
    size_t n, m;

    for (;; there += n + 1, here += m + 1) {
        n = strcspn(there, " ");
        m = strcspn(here, " ");
        if (n != m || strncmp(there, here, n) != 0 || there[n] == '\0' ||
            here[m] == '\0')
            break;
    }
    return err_set(e, EXIT_USAGE, "'%s' is the state of another run: %.*s "
                   "there, %.*s here", path, (int)n, there, (int)m, here);
}

/* Everything checked before anything is taken over. */
static int
check(const struct trainer *t, const struct safet *f, struct err *e)
{
    const char *run = safet_need_meta(f, "run", e);
    char *print;
    struct item item[ITEMS];
    int rc = 0;

    if (run == NULL || safet_verify(f, e) != 0 ||
        safet_need_meta(f, "numbers", e) == NULL ||
        safet_need_meta(f, "log", e) == NULL)
        return -1;
    print = train_fingerprint(t);
    if (strcmp(run, print) != 0)
        rc = other_run(f->path, run, print, e);
    free(print);
    items(t, item);
    for (int i = 0; i < ITEMS && rc == 0; i++) {
        const struct safet_tensor *x = safet_need(f, item[i].name, e);

        if (x == NULL)
            return -1;
        if (x->dtype != DT_F32 ||
            x->nbytes != item[i].n * sizeof(float) *
                         (i == BUFFERS ? rows(x, item[i].n) : 1))
            rc = err_set(e, EXIT_INVALID, "'%s': tensor '%s' does not fit",
                         f->path, x->name);
    }
    return rc;
}

static int
take(struct trainer *t, const struct safet *f, struct err *e)
{
    struct item item[ITEMS];

    if (numbers_parse(t, safet_meta(f, "numbers")) != 0)
        return err_set(e, EXIT_INVALID, "'%s' has no numbers of a run",
                       f->path);
    if (t->s.epoch > t->c->sched.epochs)
        return err_set(e, EXIT_USAGE, "'%s' has trained %lld epochs, more "
                       "than --epochs %lld", f->path, (long long)t->s.epoch,
                       (long long)t->c->sched.epochs);
    str_add(&t->log, safet_meta(f, "log"));
    items(t, item);
    for (int i = 0; i < ITEMS; i++) {
        const struct safet_tensor *x = safet_find(f, item[i].name);
        const float *data = (const float *)safet_data(f, x);

        if (i == BUFFERS && (size_t)t->comm->rank < rows(x, item[i].n))
            data += item[i].n * (size_t)t->comm->rank;
        if (item[i].n == 0)
            continue;
        if (item[i].host == NULL)
            t->backend->class->put(t->backend, item[i].backend, data,
                                   item[i].n);
        else
            memcpy(item[i].host, data, item[i].n * sizeof(float));
    }
    return 0;
}

static int
load(struct trainer *t, const char *path, struct err *e)
{
    struct safet f;
    int rc;

    if (safet_open(&f, path, e) != 0)
        return -1;
    rc = safet_check_kind(&f, "state", e) == 0 && check(t, &f, e) == 0 &&
                 take(t, &f, e) == 0 ? 0 : -1;
    safet_close(&f);
    return rc;
}

int
state_load(struct trainer *t, struct err *e)
{
    char *path = train_state_path(t->c->out), *old = str_format("%s.old", path);
    struct err why = { 0 };
    int rc = 0;

    if (access(path, F_OK) == 0 || access(old, F_OK) == 0) {
        rc = load(t, path, &why) == 0 ? 1 : -1;
        /* A damaged or missing newest one: the one before it is whole. */
        if (rc < 0 && why.status != EXIT_USAGE && access(old, F_OK) == 0) {
            log_warn("%s; going on from the state before it", why.text);
            err_clear(&why);
            rc = load(t, old, &why) == 0 ? 1 : -1;
        }
    }
    if (rc < 0)
        err_set(e, why.status == EXIT_USAGE ? EXIT_INVALID : why.status,
                "%s", why.text);
    free(path);
    free(old);
    return rc;
}
