#include "learn/profile.h"

#include "backend/walk.h"
#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- the limit */

enum { BATCH = 8, REPEATS = 6, COPY_BYTES = 1 << 28 };

static const char product[] =
    "input x channels=16 size=28\nconv a x out=512 kernel=1\n"
    "conv b a out=512 kernel=1\navgpool p b size=1\nlinear fc p out=2";
enum { PRODUCT = 2 };       /* operation b */

/* What has no products and takes less of the whole has no line. */
#define LEAST 0.0005

/* Seconds of the product, the best of several. */
static int
time_product(struct plan *p, double *best, struct err *e)
{
    size_t n = BATCH * op_floats(graph_input(p->graph));
    float *images = mem_array(n, sizeof *images);
    struct feed feed = { .n = BATCH, .images = images };
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        images[i] = (float)(i % 7) - 3;
    p->spent[PASS_FORWARD] = mem_array((size_t)p->graph->nops,
                                       sizeof *p->spent[PASS_FORWARD]);
    *best = INFINITY;
    for (int i = 0; i < REPEATS && rc == 0; i++) {
        p->spent[PASS_FORWARD][PRODUCT] = 0;
        p->backend->class->feed(p, &feed);
        rc = walk_forward(p, e);
        *best = fmin(*best, p->spent[PASS_FORWARD][PRODUCT]);
    }
    free(p->spent[PASS_FORWARD]);
    free(images);
    return rc;
}

static int
peak_gflops(struct backend *b, double *gflops, struct err *e)
{
    const struct backend_class *k = b->class;
    struct graph g;
    struct vectors v = { NULL, NULL, NULL };
    struct plan *p = NULL;
    double seconds = 0;
    int rc = -1;

    if (graph_parse(&g, "peak", product, e) != 0)
        return -1;
    v.params = k->alloc(b, g.nparams, e);
    v.buffers = k->alloc(b, 1, e);
    if (e->status == 0)
        p = k->plan(b, &g, BATCH, MODE_EVAL, &v, e);
    if (p != NULL)
        rc = time_product(p, &seconds, e);
    if (rc == 0)
        *gflops = 2e-9 * BATCH * graph_op_macs(&g, PRODUCT) / seconds;
    k->unplan(p);
    k->release(b, v.params);
    k->release(b, v.buffers);
    graph_release(&g);
    return rc;
}

static double
copy_gbytes(void)
{
    char *from = mem_alloc(COPY_BYTES), *to = mem_alloc(COPY_BYTES);
    double best = INFINITY;

    memset(from, 1, COPY_BYTES);
    memset(to, 2, COPY_BYTES);
    for (int i = 0; i < 3; i++) {
        double start = clock_seconds();

        memcpy(to, from, COPY_BYTES);
        best = fmin(best, clock_seconds() - start);
        from[i] = to[COPY_BYTES / 2];
    }
    free(from);
    free(to);
    return 2e-9 * COPY_BYTES / best;
}

int
profile_peak(struct backend *b, struct profile_peak *p, struct err *e)
{
    p->gbytes = copy_gbytes();
    return peak_gflops(b, &p->gflops, e);
}

/* ---------------------------------------------------------------- the table */

/* Backward is two products, but one where no gradient goes further. */
static double
work(const struct graph *g, int i)
{
    return 2e-9 * graph_op_macs(g, i) * (g->op[i].in[0] == 0 ? 2 : 3);
}

void
profile_ops(const struct graph *g, double *const spent[2], double images,
            struct plan *by, const struct profile_peak *peak, FILE *to)
{
    double all = 0, gflop = 0, convs = 0;

    for (int i = 0; i < g->nops; i++)
        all += spent[0][i] + spent[1][i];
    fprintf(to, "%-28s %-8s %9s %9s %7s %8s  %s\n", "ms a picture", "kind",
            "forward", "backward", "share", "GFLOP/s", "by");
    for (int i = 0; i < g->nops; i++) {
        const struct op *o = &g->op[i];
        double sum = spent[0][i] + spent[1][i];
        char name[128] = "";

        if (by != NULL && by->backend->class->explain != NULL)
            by->backend->class->explain(by, i, name);
        gflop += images * work(g, i);
        convs += o->kind == OP_CONV ? sum : 0;
        if (sum < LEAST * all && work(g, i) == 0)
            continue;
        fprintf(to, "%-28s %-8s %9.4f %9.4f %5.1f %%", o->name,
                op_kind_name(o->kind), 1e3 * spent[0][i] / images,
                1e3 * spent[1][i] / images,
                100 * sum / fmax(all, 1e-9));
        if (work(g, i) > 0)
            fprintf(to, " %8.1f", images * work(g, i) / fmax(sum, 1e-9));
        else
            fprintf(to, " %8s", "");
        fprintf(to, "%s%s\n", name[0] != '\0' ? "  " : "", name);
    }
    fprintf(to, "forward and backward: %.1f images/s, %.1f GFLOP/s, %.0f %% of "
            "the %.0f of a large product here;\nconvolutions are %.0f %% of "
            "the time; a copy of memory moves %.1f GB/s\n",
            images / fmax(all, 1e-9), gflop / fmax(all, 1e-9),
            100 * gflop / fmax(all, 1e-9) / peak->gflops, peak->gflops,
            100 * convs / fmax(all, 1e-9), peak->gbytes);
}
