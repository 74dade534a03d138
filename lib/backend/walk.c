#include "backend/walk.h"

#include "base/log.h"

/* Sums that are to be shared are, as often as the backend asks for it. */
static int
run_shared(struct plan *p, int op, enum pass pass, struct err *e)
{
    int rc;

    while ((rc = p->backend->class->run(p, op, pass, e)) == RUN_SHARE)
        if (p->share != NULL &&
            p->share(p->share_ctx, p->sums, p->nsums, e) != 0)
            return -1;
    return rc;
}

static int
run(struct plan *p, int op, enum pass pass, struct err *e)
{
    const struct backend_class *c = p->backend->class;
    double start;
    int rc;

    if (p->spent[pass] == NULL)
        return run_shared(p, op, pass, e);
    start = clock_seconds();
    rc = run_shared(p, op, pass, e);
    c->sync(p->backend);
    p->spent[pass][op] += clock_seconds() - start;
    return rc;
}

int
walk_forward(struct plan *p, struct err *e)
{
    for (int i = 0; i < p->graph->nops; i++)
        if (run(p, i, PASS_FORWARD, e) < 0)
            return -1;
    return 0;
}

int
walk_backward(struct plan *p, grads_ready *ready, void *ctx, struct err *e)
{
    for (int i = p->graph->nops - 1; i >= 0; i--) {
        const struct op *op = &p->graph->op[i];

        if (run(p, i, PASS_BACKWARD, e) < 0)
            return -1;
        if (ready && op->nparams > 0 &&
            ready(ctx, op->param, op->param + op->nparams, e) < 0)
            return -1;
    }
    return 0;
}
