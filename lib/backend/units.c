#include "backend/units.h"

#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>

/* -------------------------------------------------------------- the units */

/* The only operation that reads value v, NONE if there are several. */
static int
reader(const struct graph *g, int v)
{
    if (g->op[v].uses != 1)
        return NONE;
    for (int i = v + 1; i < g->nops; i++)
        if (g->op[i].in[0] == v || g->op[i].in[1] == v)
            return i;
    return NONE;
}

static enum act
act_of(enum op_kind k)
{
    return k == OP_RELU ? ACT_RELU : k == OP_RELU6 ? ACT_RELU6 : ACT_NONE;
}

/* Take an activation in, if nothing else reads what it reads. */
static void
take_act(const struct graph *g, struct unit *u, bool *taken)
{
    int r = reader(g, u->last);

    if (r != NONE && !taken[r] && act_of(g->op[r].kind) != ACT_NONE) {
        u->act = act_of(g->op[r].kind);
        u->last = r;
        taken[r] = true;
    }
}

static void
take_add(const struct graph *g, struct unit *u, bool *taken)
{
    int r = reader(g, u->last);

    if (r != NONE && !taken[r] && g->op[r].kind == OP_ADD) {
        u->z = g->op[r].in[g->op[r].in[0] == u->last];
        u->last = r;
        taken[r] = true;
    }
}

static struct unit
start_unit(const struct graph *g, int i, bool fold, bool *taken)
{
    struct unit u = { .kind = g->op[i].kind, .op = i, .bn = NONE, .z = NONE,
                      .last = i, .act = act_of(g->op[i].kind), .at = NONE,
                      .again = NONE, .dx = { NONE, NONE },
                      .dx_into = { NONE, NONE } };
    int r;

    taken[i] = true;
    if (g->op[i].flat)
        return u;
    switch (u.kind) {
    case OP_CONV:
        r = reader(g, i);
        if (fold && r != NONE && g->op[r].kind == OP_BN) {
            u.bn = u.last = r;
            taken[r] = true;
            take_add(g, &u, taken);
        }
        take_act(g, &u, taken);
        break;
    case OP_BN:
        take_add(g, &u, taken);
        take_act(g, &u, taken);
        break;
    case OP_ADD:
        u.z = g->op[i].in[1];
        take_act(g, &u, taken);
        break;
    default:
        break;
    }
    return u;
}

static int
by_last(const void *a, const void *b)
{
    return ((const struct unit *)a)->last - ((const struct unit *)b)->last;
}

static void
make_units(struct unit_plan *p, bool fold)
{
    const struct graph *g = p->head.graph;
    bool *taken = mem_array((size_t)g->nops, sizeof *taken);

    p->unit = mem_array((size_t)g->nops, sizeof *p->unit);
    p->unit_at = mem_array((size_t)g->nops, sizeof *p->unit_at);
    for (int i = 0; i < g->nops; i++) {
        p->unit_at[i] = NONE;
        if (!taken[i])
            p->unit[p->nunits++] = start_unit(g, i, fold, taken);
    }
    qsort(p->unit, (size_t)p->nunits, sizeof *p->unit, by_last);
    for (int i = 0; i < p->nunits; i++)
        p->unit_at[p->unit[i].last] = i;
    free(taken);
}

/* -------------------------------------------------------------- the slots */

static void
make_layouts(struct unit_plan *p, const struct unit_shape *m)
{
    const struct graph *g = p->head.graph;
    int n = p->head.n;

    for (int i = 0; i < g->nops; i++) {
        const struct op *o = &g->op[i];
        struct layout *l = &p->layout[i];
        int c = (o->c + m->lanes - 1) / m->lanes * m->lanes;

        l->plain = l->plain && i == 0;
        if (o->flat) {
            l->nbytes = (size_t)n * o->c * sizeof(float);
            continue;
        }
        l->s = (struct pix){ n, c, o->h, o->w,
                                 m->block > 0 ? m->block : c };
        l->nbytes = (size_t)n * (l->plain ? o->c : c) * o->h * o->w *
                    (l->plain ? sizeof(float) : m->size);
    }
}

static int
last_use(const struct graph *g, int v)
{
    int t = v;

    for (int i = v + 1; i < g->nops; i++)
        if (g->op[i].in[0] == v || g->op[i].in[1] == v)
            t = i;
    return t;
}

static void
end_at(int *end, int v, int t)
{
    if (t < end[v])
        end[v] = t;
}

/* Forward: a slot for each unit's value, used by the units that read it. */
static void
place_values(struct unit_plan *p)
{
    const struct graph *g = p->head.graph;
    struct arena *a = &p->arena;

    for (int i = 0; i < p->nunits; i++) {
        struct unit *u = &p->unit[i];
        int x = g->op[u->op].in[0], t = u->last;

        if (x != NONE)
            arena_use(a, p->value[x], t);
        if (u->z != NONE)
            arena_use(a, p->value[u->z], t);
        /* oneDNN adds z by writing over it, if it is not read again. */
        if (u->kind == OP_CONV && u->z != NONE && u->z != x &&
            last_use(g, u->z) <= t) {
            p->value[t] = p->value[u->z];
            end_at(p->value_end, u->z, t);
        } else {
            p->value[t] = arena_add(a, p->layout[t].nbytes, t);
        }
        if (u->kind == OP_MAXPOOL)
            u->at = arena_add(a, (size_t)p->layout[t].s.n *
                                     p->layout[t].s.c * g->op[t].h *
                                     g->op[t].w, t);
    }
}

/* Where unit u writes the gradient of its input k, value v, at step t. */
static void
give_slot(struct unit_plan *p, struct unit *u, int k, int v, int t)
{
    int maker = p->unit_at[v];
    struct arena *a = &p->arena;

    u->dx[k] = arena_add(a, p->layout[v].nbytes, t);
    if (p->grad[0][v] == NONE) {
        p->grad[0][v] = u->dx[k];
    } else if (p->grad[1][v] == NONE && maker != NONE &&
               p->unit[maker].kind == OP_BN) {
        p->grad[1][v] = u->dx[k];
    } else {
        u->dx_into[k] = p->grad[0][v];
        arena_use(a, p->grad[0][v], t);
    }
}

/* A slot that holds the gradient of v already becomes v's. */
static bool
lend_slot(struct unit_plan *p, struct unit *u, int k, int v, int slot)
{
    if (p->grad[0][v] != NONE)
        return false;
    p->grad[0][v] = u->dx[k] = slot;
    return true;
}

/* Does the maker of v read v again on its way back? */
static bool
needs_value(const struct unit_plan *p, int v)
{
    const struct unit *u = &p->unit[p->unit_at[v]];

    return u->act != ACT_NONE && (u->kind != OP_BN || u->z != NONE);
}

/* Batch-norm: dz is the masked dy, dx goes over dy or x where it can. */
static void
place_bn_back(struct unit_plan *p, struct unit *u, int x, int t)
{
    const struct graph *g = p->head.graph;
    int dy = p->grad[0][u->last];

    arena_use(&p->arena, p->value[x], t);
    if (p->grad[1][u->last] != NONE)
        arena_use(&p->arena, p->grad[1][u->last], t);
    if (u->z == NONE) {
        if (!lend_slot(p, u, 0, x, dy))
            give_slot(p, u, 0, x, t);
        end_at(p->grad_end, u->last, t);
        return;
    }
    if (u->act != ACT_NONE)
        arena_use(&p->arena, p->value[u->last], t);
    if (!lend_slot(p, u, 1, u->z, dy)) {
        u->dx[1] = p->grad[0][u->z];
        u->dx_add[1] = true;
        arena_use(&p->arena, u->dx[1], t);
    }
    end_at(p->grad_end, u->last, t);
    if (g->op[x].uses == 1 && !needs_value(p, x) &&
        lend_slot(p, u, 0, x, p->value[x]))
        end_at(p->value_end, x, t);
    else
        give_slot(p, u, 0, x, t);
}

/* May value x, which a convolution reads, be made again from what its maker
 * reads?  That is held until the maker has run backward in any case. */
static bool
can_recompute(const struct unit_plan *p, int x)
{
    const struct unit *maker = &p->unit[p->unit_at[x]];

    return maker->kind == OP_BN && maker->z == NONE &&
           p->head.graph->op[x].uses == 1;
}

static void
place_back(struct unit_plan *p, struct unit *u, bool recompute)
{
    const struct graph *g = p->head.graph;
    int x = g->op[u->op].in[0], t = 2 * g->nops - 1 - u->last;
    struct arena *a = &p->arena;

    if (u->kind == OP_INPUT)
        return;
    if (u->kind != OP_XENT)
        arena_use(a, p->grad[0][u->last], t);
    switch (u->kind) {
    case OP_BN:
        place_bn_back(p, u, x, t);
        break;
    case OP_CONV:
        if (recompute && can_recompute(p, x))
            u->again = arena_add(a, p->layout[x].nbytes, t);
        else
            arena_use(a, p->value[x], t);
        if (u->act != ACT_NONE) {
            arena_use(a, p->value[u->last], t);
            end_at(p->grad_end, u->last, t);
        }
        if (x != 0)
            give_slot(p, u, 0, x, t);
        break;
    case OP_ADD:
        if (u->act != ACT_NONE) {
            arena_use(a, p->value[u->last], t);
            end_at(p->grad_end, u->last, t);
        }
        give_slot(p, u, 0, x, t);
        give_slot(p, u, 1, u->z, t);
        break;
    case OP_RELU:
    case OP_RELU6:
    case OP_XENT:
        arena_use(a, p->value[u->last], t);
        give_slot(p, u, 0, x, t);
        break;
    case OP_MAXPOOL:
        arena_use(a, u->at, t);
        give_slot(p, u, 0, x, t);
        break;
    case OP_LINEAR:
        arena_use(a, p->value[x], t);
        give_slot(p, u, 0, x, t);
        break;
    default:
        give_slot(p, u, 0, x, t);
    }
}

/* Every gradient is used until its value's maker has run backward. */
static void
hold_grads(struct unit_plan *p)
{
    const struct graph *g = p->head.graph;

    for (int i = 0; i < p->nunits; i++) {
        int v = p->unit[i].last, t = 2 * g->nops - 1 - v;

        for (int k = 0; k < 2; k++)
            if (p->grad[k][v] != NONE)
                arena_use(&p->arena, p->grad[k][v], t);
    }
}

static int *
numbers(int n, int value)
{
    int *v = mem_array((size_t)n, sizeof *v);

    for (int i = 0; i < n; i++)
        v[i] = value;
    return v;
}

size_t
units_make(struct unit_plan *p, const struct unit_shape *m)
{
    const struct graph *g = p->head.graph;

    make_units(p, m->fold && p->head.mode == MODE_EVAL);
    make_layouts(p, m);
    p->value = numbers(g->nops, NONE);
    p->grad[0] = numbers(g->nops, NONE);
    p->grad[1] = numbers(g->nops, NONE);
    p->value_end = numbers(g->nops, INT_MAX);
    p->grad_end = numbers(g->nops, INT_MAX);
    place_values(p);
    arena_use(&p->arena, p->value[g->nops - 1], 2 * g->nops);   /* result */
    if (p->head.mode == MODE_TRAIN) {
        for (int i = p->nunits - 1; i >= 0; i--)
            place_back(p, &p->unit[i], m->recompute);
        hold_grads(p);
        /* result() may be asked for after the backward pass. */
        arena_use(&p->arena, p->value[g->nops - 1], 2 * g->nops - 1);
    }
    for (int v = 0; v < g->nops && !m->keep; v++) {
        if (p->value[v] != NONE)
            end_at(p->value_end, v, p->arena.slot[p->value[v]].last + 1);
        if (p->grad[0][v] != NONE)
            end_at(p->grad_end, v, p->arena.slot[p->grad[0][v]].last + 1);
    }
    return arena_place(&p->arena, m->keep);
}

void
units_release(struct unit_plan *p)
{
    free(p->unit);
    free(p->unit_at);
    free(p->layout);
    free(p->value);
    free(p->grad[0]);
    free(p->grad[1]);
    free(p->value_end);
    free(p->grad_end);
    free(p->targets);
    free(p->samples);
    arena_release(&p->arena);
    free(p);
}

/* ------------------------------------------------------------ as it runs */

size_t
units_floats(const struct unit_plan *p, int v)
{
    return (size_t)p->head.n * op_floats(&p->head.graph->op[v]);
}

struct unit *
units_begin(struct unit_plan *p, int op, enum pass pass)
{
    p->step = pass == PASS_FORWARD ? op : 2 * p->head.graph->nops - 1 - op;
    return p->unit_at[op] != NONE ? &p->unit[p->unit_at[op]] : NULL;
}

int
units_peek(struct unit_plan *p, int v, bool gradient, float *host,
           units_fetch *fetch)
{
    size_t n = (size_t)p->head.fed * op_floats(&p->head.graph->op[v]);
    int slot = gradient ? p->grad[0][v] : p->value[v];
    int made = gradient ? 2 * p->head.graph->nops - 2 - v : v;
    int end = gradient ? p->grad_end[v] : p->value_end[v];
    float *more;

    if (slot == NONE || p->step < made || p->step >= end)
        return -1;
    fetch(p, v, slot, host);
    if (gradient && p->grad[1][v] != NONE) {
        more = mem_array(n, sizeof *more);
        fetch(p, v, p->grad[1][v], more);
        for (size_t i = 0; i < n; i++)
            host[i] += more[i];
        free(more);
    }
    return 0;
}
