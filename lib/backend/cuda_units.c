#include "backend/cuda_units.h"

#include "base/mem.h"


/* ---------------------------------------------------------------- planning */

int
cuda_room(struct cuda *c, struct room *r, size_t nbytes, struct err *e)
{
    if (nbytes <= r->nbytes)
        return 0;
    gpu_sync(&c->gpu);
    gpu_free(&c->gpu, r->p);
    r->nbytes = 0;
    r->p = gpu_alloc(&c->gpu, nbytes, e);
    c->moved++;
    if (r->p == NULL)
        return -1;
    r->nbytes = nbytes;
    return 0;
}

static int
up(int n)
{
    return (n + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;
}

static const float *
params(const struct cuda_plan *p, const struct unit *u)
{
    return p->u.head.v.params + p->u.head.graph->op[u->op].param;
}

/*
 * May cuDNN read (or write) weights where they stand in the flat vector?  So
 * it is with VGG16's linear layers, 90 % of its parameters.
 */
static bool
stands(const struct cuda_weights *w, const float *at)
{
    return !w->bf16 && w->r == 1 && w->groups == 1 &&
           w->k % CUDA_LANES == 0 && w->c % CUDA_LANES == 0 &&
           (uintptr_t)at % 16 == 0;
}

static void
open_bn(struct cuda_plan *p, struct unit *u, float **vectors)
{
    struct cuda_bn *b = &cuda_mine(u)->norm;
    const struct op *o = &p->u.head.graph->op[u->op];
    const struct vectors *v = &p->u.head.v;
    int c;

    b->s = p->u.layout[u->op].s;
    c = b->s.c;
    b->bf16 = cuda_of(p)->bf16;
    b->channels = o->c;
    b->act = u->act;
    b->gamma = v->params + o->param;
    b->beta = b->gamma + o->c;
    b->run_mean = v->buffers + o->buffer;
    b->run_var = b->run_mean + o->c;
    b->mean = *vectors;
    b->invstd = *vectors + c;
    b->scale = *vectors + 2 * c;
    b->shift = *vectors + 3 * c;
    *vectors += 4 * c;
}

size_t
cuda_unit_vectors(const struct cuda_plan *p, const struct unit *u)
{
    return u->kind == OP_BN ? 4 * (size_t)p->u.layout[u->op].s.c : 0;
}

/* A convolution or linear layer as cuDNN sees it; flat values are f32. */
static struct conv_shape
shape_of(const struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    const struct op *x = &p->u.head.graph->op[o->in[0]];
    struct conv_shape s = { p->u.head.n, up(x->c), 1, 1, up(o->out), 1, 1, 0,
                            cuda_mine(u)->packing.w.bf16, false };

    if (o->kind == OP_CONV) {
        s.h = x->h;
        s.w = x->w;
        s.kernel = o->kernel;
        s.stride = o->stride;
        s.pad = o->pad;
    }
    return s;
}

/* Bias and ReLU in the convolution's own pass, where cuDNN has an engine. */
static void
fuse(struct cuda_plan *p, struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    struct cuda_unit *m = cuda_mine(u);
    struct conv_shape s = shape_of(p, u);
    struct err why = { 0 };

    if (o->kind != OP_CONV || !o->bias || u->act != ACT_RELU)
        return;
    s.bias_relu = true;
    m->conv[CONV_FORWARD] = cudnn_plan(cuda_of(p)->dnn, &s, CONV_FORWARD,
                                       &why);
    m->fused = m->conv[CONV_FORWARD] != NULL;
    /* As the one row of a matrix: packed like weights. */
    m->bias.w = (struct cuda_weights){ 1, o->out, 1, 1, s.bf16 };
    m->bias.flat = params(p, u) + o->nweights;
}

static int
open_dense(struct cuda_plan *p, struct unit *u, struct err *e)
{
    struct cuda_unit *m = cuda_mine(u);
    struct cuda *c = cuda_of(p);
    struct conv_shape s = shape_of(p, u);

    fuse(p, u);
    for (enum conv_pass k = 0; k < CONV_PASSES; k++) {
        if (k != CONV_FORWARD && p->u.head.mode != MODE_TRAIN)
            break;
        if (k == CONV_DATA && u->dx[0] == NONE)
            continue;
        if (m->conv[k] == NULL)
            m->conv[k] = cudnn_plan(c->dnn, &s, k, e);
        if (m->conv[k] == NULL ||
            cuda_room(c, &c->work, cudnn_workspace(m->conv[k]), e) != 0)
            return -1;
    }
    return cuda_room(c, &c->dw, cuda_packing_nbytes(&m->packing), e);
}

static int
open_linear(struct cuda_plan *p, struct unit *u, struct err *e)
{
    struct cuda *c = cuda_of(p);
    struct conv_shape s = shape_of(p, u);

    if (cuda_room(c, &c->rows[0], (size_t)s.n * s.c * sizeof(float), e) != 0
        || cuda_room(c, &c->rows[1], (size_t)s.n * s.k * sizeof(float),
                     e) != 0)
        return -1;
    return open_dense(p, u, e);
}

/* cuDNN would do these dense or slowly. */
static bool
is_depthwise(const struct op *o, const struct op *x)
{
    return o->groups > 1 && o->groups == x->c && o->out == x->c &&
           o->kernel == 3;
}

int
cuda_unit_open(struct cuda_plan *p, struct unit *u, float **vectors,
               struct err *e)
{
    const struct op *o = &p->u.head.graph->op[u->op], *x;
    struct cuda *c = cuda_of(p);
    struct cuda_unit *m = mem_array(1, sizeof *m);
    size_t sums = (size_t)p->u.layout[u->last].s.c * CUDA_SUMS;

    u->own = m;
    if (u->kind == OP_BN) {
        open_bn(p, u, vectors);
        return cuda_room(c, &c->sums, sums * sizeof(float), e);
    }
    if (u->kind != OP_CONV && u->kind != OP_LINEAR)
        return 0;
    x = &p->u.head.graph->op[o->in[0]];
    m->packing.w = (struct cuda_weights){ o->out, x->c, 1, 1, false };
    m->packing.flat = params(p, u);
    if (u->kind == OP_LINEAR)
        sums = (size_t)up(o->out) * CUDA_SUMS;
    if (u->kind == OP_CONV) {
        m->packing.w.bf16 = c->bf16;
        m->packing.w.groups = o->groups;
        m->packing.w.r = o->kernel;
        m->packing.taps = m->depthwise = is_depthwise(o, x);
    }
    m->packed = !stands(&m->packing.w, m->packing.flat);
    if (m->depthwise)
        sums = (size_t)up(o->out) *
               (CUDA_DW_SUMS > CUDA_SUMS ? CUDA_DW_SUMS : CUDA_SUMS);
    if (cuda_room(c, &c->sums, sums * sizeof(float), e) != 0)
        return -1;
    if (m->depthwise)
        return 0;
    return u->kind == OP_LINEAR ? open_linear(p, u, e)
                                : open_dense(p, u, e);
}

/* ----------------------------------------------------------------- forward */

static struct cuda_dw
dw_of(const struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];

    return (struct cuda_dw){ p->u.layout[o->in[0]].s, p->u.layout[u->op].s,
                             cuda_of(p)->bf16, o->c, o->stride, o->pad };
}

/* The weights as cuDNN or the depthwise kernels read them. */
static void *
packed_weights(struct cuda_plan *p, const struct unit *u)
{
    const struct cuda_unit *m = cuda_mine(u);

    return m->packed ? p->copy->to.base + m->packing.packed
                     : (void *)params(p, u);
}

/* Rows [n][f] as cuDNN reads them; room is for a copy. */
static void *
packed_rows(struct cuda_plan *p, int f, float *rows, struct room *room)
{
    if (f % CUDA_LANES == 0)
        return rows;
    cuda_pack_rows(p->u.head.n, f, false, rows, room->p,
                   cuda_of(p)->gpu.stream);
    return room->p;
}

static int
run(struct cuda_plan *p, const struct unit *u, enum conv_pass pass, void *x,
    void *w, void *y)
{
    struct cuda *c = cuda_of(p);
    const struct cuda_unit *m = cuda_mine(u);
    void *bias = m->fused ? p->copy->to.base + m->bias.packed : NULL;

    return cudnn_run(c->dnn, m->conv[pass], x, w, bias, y, c->work.p);
}

static int
conv_forward(struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    struct cuda *c = cuda_of(p);
    const struct cuda_unit *m = cuda_mine(u);
    const struct pix *s = &p->u.layout[u->last].s;
    const float *w = params(p, u);
    void *x = cuda_value(p, o->in[0]), *y = cuda_value(p, u->last);
    struct cuda_dw d;

    if (m->depthwise) {
        d = dw_of(p, u);
        cuda_dw_forward(&d, x, packed_weights(p, u), y, c->gpu.stream);
    } else if (run(p, u, CONV_FORWARD, x, packed_weights(p, u),
                   y) != 0) {
        return -1;
    }
    if (!m->fused && (o->bias || u->act != ACT_NONE))
        cuda_add(s, c->bf16, u->act, y, NULL, o->bias ? w + o->nweights : NULL,
                 o->c, y, c->gpu.stream);
    return 0;
}

static void
bn_forward(struct cuda_plan *p, const struct unit *u)
{
    struct cuda *c = cuda_of(p);
    struct cuda_bn *b = &cuda_mine(u)->norm;
    const void *x = cuda_value(p, p->u.head.graph->op[u->op].in[0]);
    const void *z = u->z != NONE ? cuda_value(p, u->z) : NULL;
    void *y = cuda_value(p, u->last);

    b->sums = (float *)c->sums.p;
    if (p->u.head.mode == MODE_TRAIN)
        cuda_bn_train(b, x, z, y, c->gpu.stream);
    else
        cuda_bn_eval(b, x, z, y, c->gpu.stream);
}

static int
linear_forward(struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    const struct op *x = &p->u.head.graph->op[o->in[0]];
    struct cuda *c = cuda_of(p);
    void *rows = packed_rows(p, x->c, cuda_value(p, o->in[0]), &c->rows[0]);

    if (run(p, u, CONV_FORWARD, rows, packed_weights(p, u),
            c->rows[1].p) != 0)
        return -1;
    cuda_unpack_rows(p->u.head.n, o->c, false, c->rows[1].p,
                     params(p, u) + o->nweights, cuda_value(p, u->last),
                     c->gpu.stream);
    return 0;
}

static struct cuda_pool
pool_of(const struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];

    return (struct cuda_pool){ p->u.layout[o->in[0]].s,
                               p->u.layout[u->last].s, cuda_of(p)->bf16,
                               o->kernel, o->stride, o->pad };
}

static struct cuda_dropout
dropout_of(const struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];

    return (struct cuda_dropout){ p->u.head.n, o->c, u->op, o->p, p->samples,
                                  p->now };
}

static struct cuda_xent
xent_of(const struct cuda_plan *p, const struct unit *u)
{
    return (struct cuda_xent){ p->u.head.n,
                               p->u.head.graph->op[u->op].c, p->now,
                               p->targets, p->labels };
}

int
cuda_unit_forward(struct cuda_plan *p, struct unit *u)
{
    const struct graph *g = p->u.head.graph;
    const struct op *o = &g->op[u->op];
    struct cuda *c = cuda_of(p);
    const void *x = o->in[0] != NONE ? cuda_value(p, o->in[0]) : NULL;
    const struct pix *s = &p->u.layout[u->last].s;
    void *y = cuda_value(p, u->last), *stream = c->gpu.stream;
    struct cuda_dropout drop;
    struct cuda_pool pool;
    struct cuda_xent xent;

    switch (u->kind) {
    case OP_INPUT:          /* its value is there; so must the weights be */
        cuda_copy_freshen(c, p->copy);
        break;
    case OP_CONV:
        return conv_forward(p, u);
    case OP_BN:
        bn_forward(p, u);
        break;
    case OP_ADD:
        cuda_add(s, c->bf16, u->act, x, cuda_value(p, u->z), NULL, 0, y,
                 stream);
        break;
    case OP_RELU:
    case OP_RELU6:
        if (o->flat)
            cuda_relu(units_floats(&p->u, u->op), u->act, x, y, stream);
        else
            cuda_add(s, c->bf16, u->act, x, NULL, NULL, 0, y, stream);
        break;
    case OP_MAXPOOL:
        pool = pool_of(p, u);
        cuda_maxpool(&pool, x, y, cuda_slot(p, u->at), stream);
        break;
    case OP_AVGPOOL:
        cuda_avgpool(&p->u.layout[o->in[0]].s, c->bf16, g->op[o->in[0]].c,
                     o->size, x, y, stream);
        break;
    case OP_DROPOUT:
        drop = dropout_of(p, u);
        if (p->u.head.mode == MODE_TRAIN)
            cuda_dropout(&drop, x, y, stream);
        else
            gpu_copy(&c->gpu, y, x, p->u.layout[u->op].nbytes);
        break;
    case OP_LINEAR:
        return linear_forward(p, u);
    case OP_XENT:
        xent = xent_of(p, u);
        cuda_xent(&xent, x, y, c->out, stream);
        break;
    }
    return 0;
}

/* ---------------------------------------------------------------- backward */

static int
dense_backward(struct cuda_plan *p, const struct unit *u, void *x, void *dy,
               void *dx)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    struct cuda *c = cuda_of(p);
    const struct cuda_unit *m = cuda_mine(u);
    float *grads = p->u.head.v.grads + o->param;
    bool here = stands(&m->packing.w, grads);

    if (run(p, u, CONV_WEIGHTS, x, here ? (void *)grads : c->dw.p, dy) != 0)
        return -1;
    if (!here)
        cuda_unpack_weights(&m->packing.w, c->dw.p, grads,
                            c->gpu.stream);
    if (dx == NULL)
        return 0;
    return run(p, u, CONV_DATA, dx, packed_weights(p, u), dy);
}

static int
conv_backward(struct cuda_plan *p, const struct unit *u, void *dy)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    struct cuda *c = cuda_of(p);
    const struct pix *s = &p->u.layout[u->last].s;
    void *x = cuda_value(p, o->in[0]), *stream = c->gpu.stream;
    void *dx = u->dx[0] != NONE ? cuda_slot(p, u->dx[0]) : NULL;
    float *grads = p->u.head.v.grads + o->param;
    float *sums = (float *)c->sums.p;
    struct cuda_dw d;

    if (o->bias)
        cuda_bias_back(s, c->bf16, o->c, u->act, cuda_value(p, u->last), dy,
                       dy, grads + o->nweights, sums, stream);
    else if (u->act != ACT_NONE)
        cuda_act_back(s, c->bf16, u->act, cuda_value(p, u->last), dy, dy,
                      stream);
    if (!cuda_mine(u)->depthwise)
        return dense_backward(p, u, x, dy, dx);
    d = dw_of(p, u);
    cuda_dw_weights(&d, x, dy, grads, sums, stream);
    if (dx != NULL)
        cuda_dw_data(&d, dy, packed_weights(p, u), dx, stream);
    return 0;
}

static void
bn_backward(struct cuda_plan *p, const struct unit *u, void *dy)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    struct cuda *c = cuda_of(p);
    int dy2 = p->u.grad[1][u->last];
    struct cuda_bn_back g = {
        .x = cuda_value(p, o->in[0]),
        .y = u->z != NONE ? cuda_value(p, u->last) : NULL,
        .dy = dy,
        .dy2 = dy2 != NONE ? cuda_slot(p, dy2) : NULL,
        .dz = u->dx_add[1] ? cuda_slot(p, u->dx[1]) : NULL,
        .dx = cuda_slot(p, u->dx[0]),
        .dgamma = p->u.head.v.grads + o->param,
        .dbeta = p->u.head.v.grads + o->param + o->c,
    };

    cuda_mine(u)->norm.sums = (float *)c->sums.p;
    cuda_bn_back(&cuda_mine(u)->norm, &g, c->gpu.stream);
}

static int
linear_backward(struct cuda_plan *p, const struct unit *u, float *dy)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    const struct op *x = &p->u.head.graph->op[o->in[0]];
    struct cuda *c = cuda_of(p);
    void *rx = packed_rows(p, x->c, cuda_value(p, o->in[0]), &c->rows[0]);
    void *ry = packed_rows(p, o->c, dy, &c->rows[1]);
    float *dx = cuda_slot(p, u->dx[0]);
    struct pix rows = { p->u.head.n, up(o->c), 1, 1, up(o->c) };
    bool filled = x->c % CUDA_LANES != 0;

    cuda_bias_back(&rows, false, o->c, ACT_NONE, NULL, ry, NULL,
                   p->u.head.v.grads + o->param + o->nweights,
                   (float *)c->sums.p, c->gpu.stream);
    /* A copy's data gradient goes over it, once the weights' is made. */
    if (dense_backward(p, u, rx, ry, filled ? rx : dx) != 0)
        return -1;
    if (filled)
        cuda_unpack_rows(p->u.head.n, x->c, false, rx, NULL, dx,
                         c->gpu.stream);
    return 0;
}

static int
backward(struct cuda_plan *p, struct unit *u)
{
    const struct graph *g = p->u.head.graph;
    const struct op *o = &g->op[u->op];
    struct cuda *c = cuda_of(p);
    const struct pix *s = &p->u.layout[u->last].s;
    int slot = p->u.grad[0][u->last];
    void *dy = slot != NONE ? cuda_slot(p, slot) : NULL;
    void *dx = u->dx[0] != NONE ? cuda_slot(p, u->dx[0]) : NULL;
    void *y = cuda_value(p, u->last), *stream = c->gpu.stream;
    struct cuda_dropout drop;
    struct cuda_pool pool;
    struct cuda_xent xent;

    switch (u->kind) {
    case OP_INPUT:
        break;
    case OP_CONV:
        return conv_backward(p, u, dy);
    case OP_BN:
        bn_backward(p, u, dy);
        break;
    case OP_ADD:
        cuda_act_back(s, c->bf16, u->act, y, dy, dx, stream);
        cuda_act_back(s, c->bf16, u->act, y, dy, cuda_slot(p, u->dx[1]),
                      stream);
        break;
    case OP_RELU:
    case OP_RELU6:
        if (o->flat)
            cuda_relu_back(units_floats(&p->u, u->op), u->act, y, dy, dx,
                           stream);
        else
            cuda_act_back(s, c->bf16, u->act, y, dy, dx, stream);
        break;
    case OP_MAXPOOL:
        pool = pool_of(p, u);
        cuda_maxpool_back(&pool, cuda_slot(p, u->at), dy, dx, stream);
        break;
    case OP_AVGPOOL:
        cuda_avgpool_back(&p->u.layout[o->in[0]].s, c->bf16,
                          g->op[o->in[0]].c, o->size, dy, dx, stream);
        break;
    case OP_DROPOUT:
        drop = dropout_of(p, u);
        cuda_dropout(&drop, dy, dx, stream);
        break;
    case OP_LINEAR:
        return linear_backward(p, u, dy);
    case OP_XENT:
        xent = xent_of(p, u);
        cuda_xent_back(&xent, y, dx, stream);
        break;
    }
    return 0;
}

/* Add what a unit wrote to a slot of its own to the gradient it belongs to. */
static void
gather(struct cuda_plan *p, const struct unit *u)
{
    const struct op *o = &p->u.head.graph->op[u->op];
    struct cuda *c = cuda_of(p);

    for (int i = 0; i < 2; i++) {
        int v = i == 0 ? o->in[0] : u->z;
        void *to, *from;

        if (u->dx_into[i] == NONE)
            continue;
        to = cuda_slot(p, u->dx_into[i]);
        from = cuda_slot(p, u->dx[i]);
        if (p->u.head.graph->op[v].flat)
            cuda_accumulate(units_floats(&p->u, v), from, to, c->gpu.stream);
        else
            cuda_add(&p->u.layout[v].s, c->bf16, ACT_NONE, to, from, NULL, 0,
                     to, c->gpu.stream);
    }
}

int
cuda_unit_backward(struct cuda_plan *p, struct unit *u)
{
    int rc = backward(p, u);

    gather(p, u);
    return rc;
}
