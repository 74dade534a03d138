#include "backend/cuda_copy.h"

#include "backend/cuda_units.h"
#include "base/mem.h"

#include <stdlib.h>

/*
 * Where each packed tensor goes, in the order of the flat vector, which is that
 * of the units' first ops; the units stand in that of their last.  By the graph
 * and the vector's place alone, so that plans for batches of any size agree.
 * Returns the bytes.
 */
static size_t
lay_out(struct cuda_plan *p, struct cuda_packing *list, struct cuda_copy *k)
{
    int nops = p->u.head.graph->nops;
    const struct unit **of = mem_array((size_t)nops, sizeof *of);
    size_t at = 0;

    for (int i = 0; i < p->u.nunits; i++)
        of[p->u.unit[i].op] = &p->u.unit[i];
    for (int i = 0; i < 2 * nops; i++) {
        struct cuda_unit *m = of[i / 2] != NULL ? cuda_mine(of[i / 2]) : NULL;
        struct cuda_packing *one = m == NULL ? NULL
                                   : i % 2 ? &m->bias : &m->packing;

        if (m == NULL || (i % 2 ? one->flat == NULL : !m->packed))
            continue;
        one->packed = at;
        one->block = k->blocks;
        at += (cuda_packing_nbytes(one) + 255) / 256 * 256;
        k->blocks += cuda_packing_blocks(one);
        list[k->to.n++] = *one;
    }
    free(of);
    return at;
}

static void
release(struct cuda *c, struct cuda_copy *k)
{
    gpu_free(&c->gpu, (void *)k->to.list);
    gpu_free(&c->gpu, k->to.base);
    free(k);
}

static struct cuda_copy *
find(const struct cuda *c, const struct graph *g, const float *params)
{
    struct cuda_copy *k = c->copies;

    while (k != NULL && (k->graph != g || k->params != params))
        k = k->next;
    return k;
}

int
cuda_copy_open(struct cuda_plan *p, struct err *e)
{
    struct cuda *c = cuda_of(p);
    struct cuda_copy *k = mem_array(1, sizeof *k), *old;
    struct cuda_packing *list = mem_array(2 * (size_t)p->u.nunits + 1,
                                          sizeof *list), *there;
    size_t nbytes = lay_out(p, list, k), n = (size_t)k->to.n;

    old = find(c, p->u.head.graph, p->u.head.v.params);
    if (old != NULL) {
        free(k);
        k = old;
    } else {
        k->graph = p->u.head.graph;
        k->params = p->u.head.v.params;
        k->to.list = there = gpu_alloc(&c->gpu, (n + 1) * sizeof *list, e);
        if (there != NULL)
            gpu_up(&c->gpu, there, list, n * sizeof *list);
        k->to.base = gpu_alloc(&c->gpu, nbytes + 1, e);
        if (there == NULL || k->to.base == NULL) {
            free(list);
            release(c, k);
            return -1;
        }
        k->next = c->copies;
        c->copies = k;
    }
    free(list);
    k->uses++;
    p->copy = k;
    return 0;
}

void
cuda_copy_close(struct cuda_plan *p)
{
    struct cuda *c = cuda_of(p);
    struct cuda_copy **at = &c->copies;

    if (p->copy == NULL || --p->copy->uses > 0)
        return;
    while (*at != p->copy)
        at = &(*at)->next;
    *at = p->copy->next;
    release(c, p->copy);
}

void
cuda_copy_freshen(struct cuda *c, struct cuda_copy *k)
{
    if (!k->fresh)
        cuda_pack_all(k->to.list, k->to.n, k->blocks, k->to.base,
                      c->gpu.stream);
    k->fresh = true;
}

void
cuda_copy_stale(struct cuda *c, const float *params, size_t n)
{
    for (struct cuda_copy *k = c->copies; k != NULL; k = k->next)
        if (params < k->params + k->graph->nparams && k->params < params + n)
            k->fresh = false;
}

struct cuda_copy *
cuda_copy_of(const struct cuda *c, const float *params)
{
    struct cuda_copy *k = c->copies;

    while (k != NULL && k->params != params)
        k = k->next;
    return k;
}

void
cuda_copy_moved(struct cuda *c, const float *params, const float *ema,
                const struct cuda_copy *written)
{
    for (struct cuda_copy *k = c->copies; k != NULL; k = k->next)
        if (k != written && (k->params == params || k->params == ema))
            k->fresh = false;
}
