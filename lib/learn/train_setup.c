#include "learn/train_setup.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "model/init.h"
#include "model/nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum train_preset
train_setup_preset(int argc, char **argv)
{
    enum train_preset p = PRESET_BUSI, start = PRESET_BUSI;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = strchr(argv[i], '=');
        size_t n = value != NULL ? (size_t)(value++ - argv[i])
                                 : strlen(argv[i]);

        /* getopt takes them from "--pap" and "--rec" on. */
        if (n >= 5 && strncmp(argv[i], "--paper", n) == 0)
            p = PRESET_PAPER;
        if (n == 6 && strncmp(argv[i], "--init", n) == 0)
            start = PRESET_INIT;
        if (n < 5 || strncmp(argv[i], "--recipe", n) != 0)
            continue;
        if (value == NULL)
            value = i + 1 < argc ? argv[i + 1] : "";
        p = strcmp(value, "sgd") == 0 ? PRESET_SGD
          : strcmp(value, "paper") == 0 ? PRESET_PAPER : PRESET_BUSI;
    }
    return p == PRESET_BUSI ? start : p;
}

int
train_setup_check(const struct train_setup *s, struct train_conf *c,
                  struct err *e)
{
    if (s->data_path == NULL || (c->out == NULL && !s->plan))
        return err_set(e, EXIT_USAGE, "a dataset and an output are needed: "
                       "use -d FILE -o FILE");
    if (s->init.norm != 0 && s->init.path == NULL)
        return err_set(e, EXIT_USAGE, "--init-norm goes with --init");
    if (strcmp(s->fold, "all") == 0)
        c->fold = -1;
    else if (!str_int(s->fold, &c->fold) || c->fold < 0)
        return err_set(e, EXIT_USAGE, "--fold wants a number or all, not "
                       "'%s'", s->fold);
    if (c->fold >= 0 && s->folds_path == NULL)
        return err_set(e, EXIT_USAGE, "--fold %lld needs a table of folds "
                       "(-f FILE); --fold all trains on everything",
                       (long long)c->fold);
    if (s->dropout < 0 && s->dropout != -1)
        return err_set(e, EXIT_USAGE, "--dropout %g: a share is wanted, or -1 "
                       "for the network's own", s->dropout);
    if (c->fold < 0 && c->select == SELECT_TEST)
        return err_set(e, EXIT_USAGE, "--fold all leaves no test rows to "
                       "select by");
    return 0;
}

static void
add_seen(struct train_setup *s, size_t n, size_t row)
{
    memcpy(s->model.from.seen + DIGEST_BYTES * n,
           s->data.sha256 + DIGEST_BYTES * row, DIGEST_BYTES);
}

/*
 * SHA-256 of all scans that train or choose the epoch, and of those that the
 * start was trained on, sorted, each once.  Test rows that chose it (--select
 * test) are not among them: the model says so in `select`, and whoever scores
 * them is warned.
 */
static void
set_seen(struct train_setup *s)
{
    const struct parts *p = &s->parts;
    const struct provenance *start = &s->init.from;
    struct provenance *own = &s->model.from;
    size_t n = 0;

    own->seen = mem_array(p->ntrain + p->nval + start->nseen, DIGEST_BYTES);
    for (size_t j = 0; j < p->ntrain; j++)
        add_seen(s, n++, p->train[j]);
    for (size_t j = 0; j < p->nval; j++)
        add_seen(s, n++, p->val[j]);
    if (start->nseen > 0)
        memcpy(own->seen + DIGEST_BYTES * n, start->seen,
               DIGEST_BYTES * start->nseen);
    own->nseen = n + start->nseen;
    provenance_sort(own);
}

/* Numbers from scratch, then those of the file. */
static int
start_numbers(struct train_setup *s, int64_t seed, struct err *e)
{
    struct model *m = &s->model;
    const struct transfer *t = &s->init;
    size_t counters = 0;

    m->params = mem_array(m->graph.nparams, sizeof *m->params);
    m->buffers = mem_array(m->graph.nbuffers, sizeof *m->buffers);
    init_params(&m->graph, (uint64_t)seed, m->params, m->buffers);
    if (t->path == NULL)
        return 0;
    s->init.classes = &m->classes;
    if (transfer_load(&s->init, &m->graph, &m->recipe, m->params, m->buffers,
                      e) != 0)
        return -1;
    memcpy(m->from.init, t->digest, sizeof m->from.init);
    log_note("'%s': %zu tensors are taken as they are", t->path, t->taken);
    for (size_t i = 0; i < t->adapted.n; i++)
        log_note("%s", t->adapted.item[i]);
    for (size_t i = 0; i < t->left.n; i++)
        if (str_ends(t->left.item[i], ".num_batches_tracked"))
            counters++;
        else
            log_note("%s: left out", t->left.item[i]);
    if (counters > 0)
        log_note("%zu counters (num_batches_tracked): left out", counters);
    return 0;
}

static size_t
count_seen(const struct train_setup *s, const size_t *row, size_t n)
{
    size_t seen = 0;

    for (size_t i = 0; i < n; i++)
        seen += provenance_has_seen(&s->init.from,
                                    s->data.sha256 +
                                    DIGEST_BYTES * row[i]);
    return seen;
}

/*
 * Validation rows of the same fold of the same table chose the epoch there as
 * here, which is fine; others were trained on.
 */
static void
warn_leaks(const struct train_setup *s, const struct train_conf *c)
{
    const struct parts *p = &s->parts;
    const struct provenance *start = &s->init.from;
    bool same = start->fold == c->fold && strcmp(start->select, "none") != 0 &&
                strcmp(start->folds, p->digest) == 0;
    size_t val = count_seen(s, p->val, p->nval);
    size_t test = count_seen(s, p->test, p->ntest);

    if (val > 0 && !same)
        log_warn("'%s' was trained on %zu of the %zu validation rows: the "
                 "epoch and the temperature chosen by them flatter",
                 s->init.path, val, p->nval);
    if (test > 0)
        log_warn("'%s' was trained on %zu of the %zu test rows: they test "
                 "nothing any more", s->init.path, test, p->ntest);
}

/* A new network with all that its file will say of it. */
static int
make_model(struct train_setup *s, const struct train_conf *c, struct err *e)
{
    enum train_select select = c->select;
    const struct dataset *d = &s->data;
    struct model *m = &s->model;
    struct str_list names = { 0 };
    int side = d->h < 224 ? d->h : 224;
    struct net_conf net = { d->c, s->size > 0 ? (int)s->size : side,
                            (int)d->classes.n, s->dropout };
    const struct op *in;

    if (net.size > d->h)
        return err_set(e, EXIT_USAGE, "--size %d is larger than the pictures "
                       "of '%s' (%d)", net.size, d->file.path, d->h);
    if (net_build(&m->graph, s->net, &net, e) != 0)
        return -1;
    /* A text may have numbers of its own. */
    in = graph_input(&m->graph);
    if (in->c != d->c || in->h > d->h || (s->size > 0 && in->h != net.size))
        return err_set(e, EXIT_USAGE, "'%s' takes pictures of %d channels, "
                       "size %d; '%s' has %d, size %d%s", s->net, in->c, in->h,
                       d->file.path, d->c, d->h,
                       s->size > 0 ? ", and --size is given" : "");
    if (4 * in->h < 3 * d->h)
        log_warn("size %d: of each picture of %d the middle alone is judged; "
                 "busi-prep --resize makes small ones", in->h, d->h);
    for (size_t i = 0; i < d->classes.n; i++)
        str_list_add(&m->classes, d->classes.item[i]);
    m->recipe = d->recipe;
    if (start_numbers(s, c->seed, e) != 0)
        return -1;
    warn_leaks(s, c);
    m->temperature = 1;
    set_seen(s);
    memcpy(m->from.dataset, d->digest, sizeof m->from.dataset);
    memcpy(m->from.folds, s->parts.digest, sizeof m->from.folds);
    m->from.fold = c->fold;
    if (strcmp(s->init.from.select, "test") == 0)
        select = SELECT_TEST;
    else if (s->parts.nval == 0 && select == SELECT_VAL)
        select = SELECT_LAST;
    str_list_split(&names, SELECT_NAMES, '|');
    snprintf(m->from.select, sizeof m->from.select, "%s", names.item[select]);
    str_list_release(&names);
    m->seed = c->seed;
    m->command = mem_strdup(c->command);
    return 0;
}

/* Into so many parts --deterministic cuts every batch: a power of two. */
enum { SHARDS = 8 };

/* The GPU of a rank; SLURM may show each rank its own one alone. */
static int
device_of(const struct comm *comm)
{
    const char *seen = getenv("CUDA_VISIBLE_DEVICES");

    if (comm->size == 1 || (seen != NULL && strchr(seen, ',') == NULL))
        return -1;
    return comm->local_rank;
}

static int
open_backend(struct train_setup *s, struct train_conf *c,
             const struct comm *comm, struct err *e)
{
    bool several = comm->size > 1, cpu;
    struct backend_conf conf = { .dtype = (enum dtype_choice)s->dtype,
                                 .device = device_of(comm),
                                 .deterministic = s->deterministic,
                                 .recompute = s->recompute,
                                 .sync_bn = s->sync_bn && several,
                                 .nparams = s->model.graph.nparams,
                                 .batch = (int)(c->batch / comm->size) };

    conf.threads = (int)s->threads;
    if (conf.threads == 0) {
        conf.threads = pool_cores() / comm->local_size;
        conf.threads = conf.threads > 0 ? conf.threads : 1;
    }
    c->threads = conf.threads;
    if (s->deterministic && SHARDS % comm->size == 0)
        conf.shards = SHARDS / comm->size;
    s->backend = backend_open(s->device, &conf, e);
    if (s->backend == NULL)
        return -1;
    cpu = strcmp(s->backend->class->name, "cpu") == 0;
    if (s->recompute && !cpu)
        return err_set(e, EXIT_USAGE, "--recompute is for the CPU");
    if (s->sync_bn && several && !cpu)
        return err_set(e, EXIT_USAGE, "--sync-bn is for ranks on the CPU");
    if (s->deterministic && several && (!cpu || conf.shards == 0))
        return err_set(e, EXIT_USAGE, "--deterministic takes 1, 2, 4 or %d "
                       "ranks, on the CPU", SHARDS);
    if (c->bf16_gradients && several && s->backend->class->gpu == NULL &&
        (!cpu || strcmp(comm->class->name, "mpi") != 0))
        return err_set(e, EXIT_USAGE, "--grad-dtype bf16 is for ranks on "
                       "GPUs, and on the CPU under MPI");
    if (s->deterministic && c->bf16_gradients)
        return err_set(e, EXIT_USAGE, "--deterministic wants --grad-dtype "
                       "f32: with bf16 the bits depend on the ranks");
    c->shards = s->deterministic && cpu ? SHARDS : 0;
    c->sync_bn = s->sync_bn || c->shards > 0;
    return 0;
}

/* Ranks on GPUs sum there; one alone if BUSI_NCCL is set, to try that. */
static int
open_gpus(struct train_setup *s, struct comm **comm, struct err *e)
{
    bool mine = s->backend->class->gpu != NULL;
    double all = mine;
    struct comm *over;
    struct comm_gpu g;

    if ((*comm)->size == 1 && getenv("BUSI_NCCL") == NULL)
        return 0;
    if ((*comm)->class->hsum(*comm, &all, 1, e) != 0)
        return -1;
    if (all > 0 && all < (*comm)->size)
        return err_set(e, EXIT_IO, "only %g of %d ranks have a GPU of their "
                       "own: take fewer --ranks, or --device cpu", all,
                       (*comm)->size);
    if (!mine)
        return 0;
    s->backend->class->gpu(s->backend, &g.device, &g.stream);
    over = comm_open_gpu(*comm, &g, s->rank_timeout, e);
    if (over == NULL)
        return -1;
    *comm = over;
    return 0;
}

/* The state of the run must not be laid over what it reads or writes. */
static int
check_state_name(const struct train_setup *s, const struct train_conf *c,
                 struct err *e)
{
    const char *const others[] = {
        s->data_path, s->folds_path, s->init.path, c->log
    };
    char *path[2];
    int rc = 0;

    if (c->out == NULL)         /* with --plan */
        return 0;
    path[0] = train_state_path(c->out);
    path[1] = str_format("%s.old", path[0]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        for (int k = 0; k < 2 && others[i] != NULL; k++)
            if (rc == 0 && file_same(others[i], path[k]))
                rc = err_set(e, EXIT_USAGE, "'%s' would be overwritten by "
                             "the state of '%s': take another name",
                             others[i], c->out);
    free(path[0]);
    free(path[1]);
    return rc;
}

int
train_setup_open(struct train_setup *s, struct train_conf *c,
                 struct comm **comm, struct err *e)
{
    if (check_state_name(s, c, e) != 0 ||
        dataset_open(&s->data, s->data_path, e) != 0)
        return -1;
    if (s->data.classes.n < 2)
        return err_set(e, EXIT_INVALID, "'%s' has %zu classes; training "
                       "needs two", s->data_path, s->data.classes.n);
    if (parts_open(&s->parts, &s->data, s->folds_path, c->fold, e) != 0)
        return -1;
    if (c->select == SELECT_VAL && s->parts.k > 2 && c->fold >= 0 &&
        s->parts.nval == 0)
        return err_set(e, EXIT_INVALID, "'%s' has no labelled row of fold "
                       "%lld, which chooses the epoch (--select)",
                       s->folds_path,
                       (long long)(c->fold + 1) % s->parts.k);
    if (c->select == SELECT_TEST && s->parts.ntest == 0)
        return err_set(e, EXIT_INVALID, "'%s' has no labelled row of fold "
                       "%lld, which chooses the epoch (--select test)",
                       s->folds_path, (long long)c->fold);
    if (c->select == SELECT_NONE)
        parts_train_on_val(&s->parts);
    if (make_model(s, c, e) != 0 || open_backend(s, c, *comm, e) != 0)
        return -1;
    return open_gpus(s, comm, e);
}

void
train_setup_close(struct train_setup *s)
{
    backend_close(s->backend);
    model_release(&s->model);
    transfer_release(&s->init);
    parts_release(&s->parts);
    dataset_close(&s->data);
}

int
train_setup_plan(const struct train_setup *s, const struct train_conf *c,
                 struct err *e)
{
    if (scale_say(&s->scale, s->backend, &s->model.graph, s->model.params,
                  (size_t)c->batch, s->parts.ntrain, stdout, e) != 0)
        return -1;
    return fflush(stdout) == 0 ? 0 : err_errno(e, "cannot write the plan");
}
