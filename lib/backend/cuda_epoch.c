/* Whole steps on the GPU: pictures that stay there, epochs, recorded steps. */
#include "backend/cuda_units.h"
#include "backend/walk.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)CUDA_STEPS == (int)UPDATES, "updates of a step");

int
cuda_hold(struct backend *b, const struct resident *r, struct err *e)
{
    struct cuda *c = (struct cuda *)b;
    size_t nbytes = r->n * (size_t)r->h * r->w * r->c;

    if (cuda_room(c, &c->held, nbytes, e) != 0)
        return -1;
    gpu_up(&c->gpu, c->held.p, r->pixels, nbytes);
    c->channels = r->c;
    c->h = r->h;
    c->w = r->w;
    return gpu_check(&c->gpu, e);
}

/* Copy behind what lies in the room already; where it went. */
static void *
put(struct cuda *c, size_t *at, const void *host, size_t nbytes)
{
    void *to = c->epoch.p + *at;

    gpu_up(&c->gpu, to, host, nbytes);
    *at += (nbytes + 63) / 64 * 64;
    return to;
}

int
cuda_epoch_begin(struct backend *b, const struct epoch *x, struct err *e)
{
    struct cuda *c = (struct cuda *)b;
    size_t k = (size_t)x->classes, n = x->n, at = 0;
    size_t batches = x->updates != NULL ? (n + x->batch - 1) / x->batch : 0;
    size_t nsteps = batches * CUDA_STEPS;
    struct cuda_step *steps = mem_array(nsteps + 1, sizeof *steps);
    struct cuda_epoch t = { .pixels = (const uint8_t *)c->held.p,
                            .n = (uint32_t)n, .batch = (uint32_t)x->batch,
                            .next = (uint32_t)x->first, .epoch = x->epoch,
                            .seed = x->seed };
    int rc;

    for (size_t i = 0; i < nsteps; i++) {
        steps[i] = cuda_step_of(&x->updates[i]);
        if (steps[i].n > c->span[i % CUDA_STEPS]) {
            c->span[i % CUDA_STEPS] = steps[i].n;
            c->moved++;         /* recorded launches are too small */
        }
    }
    /* Those before x->first may be empty. */
    c->trained = nsteps > 0 ? x->updates[nsteps - 1].params : NULL;
    c->averaged = nsteps > 0 ? x->updates[nsteps - 1].ema : NULL;
    rc = cuda_room(c, &c->epoch, n * (sizeof *x->maps + sizeof *x->mixes +
                   4 + 4 + 4 * k) +
                   nsteps * sizeof *steps + 6 * 64, e);
    if (rc == 0) {
        t.maps = put(c, &at, x->maps, n * sizeof *x->maps);
        if (x->mixes != NULL)
            t.mixes = put(c, &at, x->mixes, n * sizeof *x->mixes);
        t.rows = put(c, &at, x->rows, n * sizeof *x->rows);
        t.targets = put(c, &at, x->targets, n * k * sizeof *x->targets);
        t.labels = put(c, &at, x->labels, n * sizeof *x->labels);
        if (nsteps > 0)
            t.steps = put(c, &at, steps, nsteps * sizeof *steps);
        gpu_up(&c->gpu, c->turns, &t, sizeof t);
        c->turn = t;
        gpu_zero(&c->gpu, c->out, 4 * sizeof *c->out);
        rc = gpu_check(&c->gpu, e);
    }
    free(steps);
    return rc;
}

/* Enqueue all of a step. */
static int
enqueue(struct cuda_plan *p, struct err *e)
{
    struct plan *head = &p->u.head;
    struct cuda *c = cuda_of(p);
    const struct reduction *r = head->reduction;
    const struct cuda_turn turn = {
        head->n, graph_classes(head->graph), head->skip, c->turns, p->now,
        p->targets, p->labels, p->samples, c->step
    };
    const struct cuda_look look = { p->u.layout[0].s, c->bf16, c->channels,
                                    c->h, c->w, c->turns, p->now };

    cuda_take_turn(&turn, c->gpu.stream);
    cuda_look(&look, cuda_value(p, 0), c->gpu.stream);
    if (walk_forward(head, e) != 0)
        return -1;
    if (head->mode == MODE_EVAL)
        return 0;
    if (walk_backward(head, r != NULL ? r->ready : NULL,
                      r != NULL ? r->ctx : NULL, e) != 0 ||
        (r != NULL && r->end(r->ctx, e) != 0))
        return -1;
    for (int i = 0; i < CUDA_STEPS; i++)
        cuda_step(c->step + i, c->span[i], &p->copy->to, c->gpu.stream);
    return 0;
}

/* NULL where it cannot be recorded, which is then not tried again. */
static struct gpu_graph *
record(struct cuda_plan *p)
{
    struct cuda *c = cuda_of(p);
    struct gpu_graph *r = NULL;
    struct err why = { 0 };

    if (getenv("BUSI_NO_RECORD") != NULL) {
        err_set(&why, EXIT_IO, "BUSI_NO_RECORD is set");
    } else if (gpu_record(&c->gpu, &why) == 0) {
        int rc = enqueue(p, &why);

        r = gpu_recorded(&c->gpu, &why);
        if (rc != 0) {
            gpu_graph_free(r);
            r = NULL;
        }
    }
    if (r == NULL) {
        size_t n = strlen(c->head.about);

        snprintf(c->head.about + n, sizeof c->head.about - n,
                 "; steps are not recorded: %s", why.text);
        c->no_graphs = true;
    }
    p->moved = c->moved;
    return r;
}

/* The first step of a plan is not recorded: it loads what later ones use. */
int
cuda_whole_step(struct plan *head, struct err *e)
{
    struct cuda_plan *p = (struct cuda_plan *)head;
    struct cuda *c = cuda_of(p);
    uint32_t left;

    left = c->turn.n - c->turn.next++ * c->turn.batch - (uint32_t)head->skip;
    head->fed = left < (uint32_t)head->n ? (int)left : head->n;
    p->u.has_targets = true;
    if (p->graph != NULL && p->moved != c->moved) {
        gpu_sync(&c->gpu);
        gpu_graph_free(p->graph);
        p->graph = NULL;
    }
    cuda_copy_freshen(c, p->copy);      /* no part of what is recorded */
    if (p->graph == NULL && p->steps > 0 && !c->no_graphs)
        p->graph = record(p);
    p->steps++;
    if (p->graph != NULL)
        gpu_replay(&c->gpu, p->graph);
    else if (enqueue(p, e) != 0)
        return -1;
    if (head->mode == MODE_TRAIN && c->trained != NULL)
        cuda_copy_moved(c, c->trained, c->averaged, p->copy);
    return gpu_check(&c->gpu, e);
}

int
cuda_sums(struct backend *b, double *loss, double *correct, struct err *e)
{
    struct cuda *c = (struct cuda *)b;
    double out[4];

    gpu_down(&c->gpu, out, c->out, sizeof out);
    *loss = out[2];
    *correct = out[3];
    return gpu_check(&c->gpu, e);
}
