/* The backend "cuda": cuDNN's convolutions, own kernels around them. */
#include "backend/backend.h"
#include "backend/cuda_units.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKSPACE_MOST = 1 << 30 };  /* bytes that cuDNN may ask for */

/* ---------------------------------------------------------- open and close */

static void
cuda_close(struct backend *b)
{
    struct cuda *c = (struct cuda *)b;
    struct room *const rooms[] = { &c->arena, &c->dw, &c->work, &c->sums,
                                   &c->rows[0], &c->rows[1], &c->plain,
                                   &c->held, &c->epoch };

    cudnn_close(c->dnn);
    for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
        gpu_free(&c->gpu, rooms[i]->p);
    gpu_free(&c->gpu, c->step);
    gpu_free(&c->gpu, c->turns);
    gpu_free(&c->gpu, c->out);
    gpu_close(&c->gpu);
    free(c);
}

extern const struct backend_class backend_cuda_class;

static struct cudnn *
open_cudnn(struct cuda *c, const struct backend_conf *conf, struct err *e)
{
    /* Next to bf16, what is f32 (the linear layers) may round to TF32. */
    struct cudnn_conf want = { .gpu = &c->gpu, .workspace = WORKSPACE_MOST,
                               .deterministic = conf->deterministic,
                               .tf32 = c->bf16 || conf->dtype == DTYPE_TF32 };

    /* A small card has better uses for its memory. */
    if (want.workspace > c->gpu.nbytes / 16)
        want.workspace = c->gpu.nbytes / 16;
    return cudnn_open(&want, e);
}

static struct backend *
cuda_open(const struct backend_conf *conf, struct err *e)
{
    struct cuda *c = mem_array(1, sizeof *c);

    if (gpu_open(&c->gpu, conf->device, e) != 0) {
        free(c);
        return NULL;
    }
    c->bf16 = conf->dtype == DTYPE_BF16 || conf->dtype == DTYPE_AUTO;
    c->shape = (struct unit_shape){ CUDA_LANES, 0, c->bf16 ? 2 : 4,
                                    conf->keep, false, false };
    c->head.class = &backend_cuda_class;
    c->head.dtype = c->bf16 ? "bf16" : conf->dtype == DTYPE_TF32 ? "tf32"
                                                                 : "f32";
    c->step = gpu_alloc(&c->gpu, CUDA_STEPS * sizeof *c->step, e);
    c->turns = gpu_alloc(&c->gpu, sizeof *c->turns, e);
    c->out = gpu_alloc(&c->gpu, 4 * sizeof *c->out, e);
    if (c->step != NULL && c->turns != NULL && c->out != NULL)
        c->dnn = open_cudnn(c, conf, e);
    if (c->dnn == NULL) {
        cuda_close(&c->head);
        return NULL;
    }
    snprintf(c->head.about, sizeof c->head.about, "%s, %s", c->gpu.name,
             cudnn_about(c->dnn));
    return &c->head;
}

/* ----------------------------------------------------------------- vectors */

static struct gpu *
gpu_of(struct backend *b)
{
    return &((struct cuda *)b)->gpu;
}

static float *
cuda_alloc(struct backend *b, size_t n, struct err *e)
{
    return gpu_alloc(gpu_of(b), n * sizeof(float), e);
}

static void
cuda_release(struct backend *b, float *p)
{
    gpu_sync(gpu_of(b));
    gpu_free(gpu_of(b), p);
}

static void
cuda_put(struct backend *b, float *to, const float *host, size_t n)
{
    gpu_up(gpu_of(b), to, host, n * sizeof *to);
    cuda_copy_stale((struct cuda *)b, to, n);
}

static void
cuda_get(struct backend *b, float *host, const float *from, size_t n)
{
    gpu_down(gpu_of(b), host, from, n * sizeof *host);
}

static void
cuda_sync(struct backend *b)
{
    gpu_sync(gpu_of(b));
}

struct cuda_step
cuda_step_of(const struct update *u)
{
    struct cuda_step s = {
        .adamw = u->rule == UPDATE_ADAMW, .n = u->end - u->begin,
        .lr = u->lr, .momentum = u->momentum, .decay = u->decay,
        .beta1 = u->beta1, .beta2 = u->beta2, .eps = u->eps,
        .ema_decay = u->ema_decay, .first = u->step == 1,
        .params = u->params + u->begin, .m = u->m + u->begin,
        .v = u->v != NULL ? u->v + u->begin : NULL,
        .ema = u->ema != NULL ? u->ema + u->begin : NULL,
        .grads = u->grads + u->begin
    };

    /* As update_host() has it: in double while t is small. */
    s.rate = (float)(u->lr / (1 - pow(u->beta1, (double)u->step)));
    s.root = (float)(1 / sqrt(1 - pow(u->beta2, (double)u->step)));
    return s;
}

static void
cuda_update(struct backend *b, const struct update *u)
{
    struct cuda *c = (struct cuda *)b;
    struct cuda_copy *k = cuda_copy_of(c, u->params);
    const struct cuda_copying none = { NULL, 0, NULL };
    struct cuda_step s = cuda_step_of(u);

    gpu_up(&c->gpu, c->step, &s, sizeof s);
    cuda_step(c->step, s.n, k != NULL ? &k->to : &none, c->gpu.stream);
    cuda_copy_moved(c, u->params, u->ema, k);
}

/* ---------------------------------------------------------------- planning */

static void
cuda_unplan(struct plan *head)
{
    struct cuda_plan *p = (struct cuda_plan *)head;
    struct gpu *g;

    if (p == NULL)
        return;
    g = &cuda_of(p)->gpu;
    gpu_sync(g);
    gpu_free(g, p->vectors);
    gpu_free(g, p->targets);
    gpu_free(g, p->labels);
    gpu_free(g, p->samples);
    gpu_free(g, p->now);
    cuda_copy_close(p);
    gpu_graph_free(p->graph);
    for (int i = 0; i < p->u.nunits; i++)
        free(p->u.unit[i].own);
    units_release(&p->u);
}

/* What a batch comes with, besides its pictures. */
static int
open_batch(struct cuda_plan *p, struct err *e)
{
    struct gpu *g = &cuda_of(p)->gpu;
    size_t n = (size_t)p->u.head.n, k = graph_classes(p->u.head.graph);

    p->targets = gpu_alloc(g, n * k * sizeof *p->targets, e);
    p->labels = gpu_alloc(g, n * sizeof *p->labels, e);
    p->samples = gpu_alloc(g, n * sizeof *p->samples, e);
    p->now = gpu_alloc(g, sizeof *p->now, e);
    return p->targets != NULL && p->labels != NULL && p->samples != NULL &&
           p->now != NULL ? 0 : -1;
}

static int
open_units(struct cuda_plan *p, struct err *e)
{
    struct cuda *c = cuda_of(p);
    float *vectors;
    size_t n = 0;

    for (int i = 0; i < p->u.nunits; i++)
        n += cuda_unit_vectors(p, &p->u.unit[i]);
    p->vectors = vectors = gpu_alloc(&c->gpu, n * sizeof *vectors, e);
    if (vectors == NULL)
        return -1;
    for (int i = 0; i < p->u.nunits; i++)
        if (cuda_unit_open(p, &p->u.unit[i], &vectors, e) != 0)
            return -1;
    cudnn_planned(c->dnn);
    return cuda_copy_open(p, e);
}

static struct plan *
cuda_plan(struct backend *b, const struct graph *g, int n, enum mode mode,
          const struct vectors *v, struct err *e)
{
    struct cuda *c = (struct cuda *)b;
    struct cuda_plan *p = mem_array(1, sizeof *p);

    p->u.head = (struct plan){ .backend = b, .graph = g, .mode = mode,
                               .n = n, .v = *v };
    p->u.layout = mem_array((size_t)g->nops, sizeof *p->u.layout);
    p->u.head.nbytes = units_make(&p->u, &c->shape);
    if (open_batch(p, e) == 0 && open_units(p, e) == 0 &&
        cuda_room(c, &c->arena, p->u.head.nbytes, e) == 0 &&
        cuda_room(c, &c->plain, (size_t)n * op_floats(graph_input(g)) *
                  sizeof(float), e) == 0 && gpu_check(&c->gpu, e) == 0)
        return &p->u.head;
    cuda_unplan(&p->u.head);
    return NULL;
}

/* ----------------------------------------------------------------- running */

static void
cuda_feed(struct plan *head, const struct feed *f)
{
    struct cuda_plan *p = (struct cuda_plan *)head;
    struct cuda *c = cuda_of(p);
    const struct op *in = graph_input(head->graph);
    size_t one = op_floats(in), n = (size_t)head->n;
    size_t k = (size_t)graph_classes(head->graph);
    struct cuda_now now = { f->seed, f->epoch, f->n, 0, f->n };
    int32_t *unknown;

    gpu_up(&c->gpu, c->plain.p, f->images, (size_t)f->n * one *
           sizeof *f->images);
    cuda_pack(&p->u.layout[0].s, c->bf16, in->c, (float *)c->plain.p,
              cuda_value(p, 0), c->gpu.stream);
    gpu_zero(&c->gpu, p->targets, n * k * sizeof *p->targets);
    p->u.has_targets = f->targets != NULL;
    if (f->targets != NULL)
        gpu_up(&c->gpu, p->targets, f->targets, (size_t)f->n * k *
               sizeof *f->targets);
    if (f->samples != NULL)
        gpu_up(&c->gpu, p->samples, f->samples, (size_t)f->n *
               sizeof *f->samples);
    unknown = mem_array(n, sizeof *unknown);
    for (size_t i = 0; i < n; i++)
        unknown[i] = -1;
    gpu_up(&c->gpu, p->labels, unknown, n * sizeof *unknown);
    free(unknown);
    gpu_up(&c->gpu, p->now, &now, sizeof now);
    head->fed = f->n;
}

static int
cuda_run(struct plan *head, int op, enum pass pass, struct err *e)
{
    struct cuda_plan *p = (struct cuda_plan *)head;
    struct unit *u = units_begin(&p->u, op, pass);
    int rc;

    if (u == NULL)
        return 0;
    rc = pass == PASS_FORWARD ? cuda_unit_forward(p, u)
                              : cuda_unit_backward(p, u);
    if (rc != 0) {
        char why[256];

        cudnn_why(cuda_of(p)->dnn, why);
        return err_set(e, EXIT_IO, "%s failed in '%s': %s",
                       cudnn_about(cuda_of(p)->dnn),
                       head->graph->op[u->op].name, why);
    }
    return gpu_check(&cuda_of(p)->gpu, e);
}

/* The engines of a convolution's three passes. */
static void
cuda_explain(struct plan *head, int op, char text[128])
{
    struct cuda_plan *p = (struct cuda_plan *)head;

    text[0] = '\0';
    for (int i = 0; i < p->u.nunits; i++) {
        const struct cuda_unit *m = cuda_mine(&p->u.unit[i]);
        size_t n = 0;

        if (p->u.unit[i].op != op)
            continue;
        if (m->depthwise)
            snprintf(text, 128, "own kernel");
        for (int k = 0; k < CONV_PASSES; k++)
            if (m->conv[k] != NULL && n < 128)
                n += (size_t)snprintf(text + n, 128 - n, "%s%s",
                                      n > 0 ? "; " : "",
                                      cudnn_explain(m->conv[k]));
    }
}

static void
cuda_result(struct plan *head, float *probs, double *loss)
{
    struct cuda_plan *p = (struct cuda_plan *)head;
    struct gpu *g = &cuda_of(p)->gpu;
    int last = head->graph->nops - 1;

    if (probs != NULL)
        gpu_down(g, probs, cuda_value(p, last), (size_t)head->fed *
                 (size_t)graph_classes(head->graph) * sizeof *probs);
    if (loss != NULL)
        gpu_down(g, loss, cuda_of(p)->out, sizeof *loss);
    if (loss != NULL && !p->u.has_targets)
        *loss = NAN;
}

/* To the host, what slot holds of value v's shape. */
static void
fetch(struct unit_plan *plan, int v, int slot, float *host)
{
    struct cuda_plan *p = (struct cuda_plan *)plan;
    const struct op *o = &plan->head.graph->op[v];
    struct cuda *c = cuda_of(p);
    struct pix s = plan->layout[v].s;
    size_t nbytes = (size_t)plan->head.fed * op_floats(o) * sizeof *host;
    struct err e = { 0 };
    float *plain;

    if (o->flat) {
        gpu_down(&c->gpu, host, cuda_slot(p, slot), nbytes);
        return;
    }
    s.n = plan->head.fed;
    plain = gpu_alloc(&c->gpu, nbytes, &e);
    if (plain == NULL) {
        err_copy(&c->gpu.failed, &e);
        return;
    }
    cuda_unpack(&s, c->bf16, o->c, cuda_slot(p, slot), plain, c->gpu.stream);
    gpu_down(&c->gpu, host, plain, nbytes);
    gpu_free(&c->gpu, plain);
}

static int
cuda_peek(struct plan *head, int v, bool gradient, float *host)
{
    return units_peek((struct unit_plan *)head, v, gradient, host, fetch);
}

static void
cuda_gpu(struct backend *b, int *device, void **stream)
{
    *device = gpu_of(b)->device;
    *stream = gpu_of(b)->stream;
}

const struct backend_class backend_cuda_class = {
    .name = "cuda", .open = cuda_open, .close = cuda_close,
    .alloc = cuda_alloc, .release = cuda_release, .put = cuda_put,
    .get = cuda_get, .plan = cuda_plan, .unplan = cuda_unplan,
    .feed = cuda_feed, .run = cuda_run, .result = cuda_result,
    .update = cuda_update, .sync = cuda_sync, .peek = cuda_peek,
    .explain = cuda_explain, .gpu = cuda_gpu, .hold = cuda_hold,
    .epoch = cuda_epoch_begin,
    .step = cuda_whole_step, .sums = cuda_sums
};

__attribute__((visibility("default")))
const struct backend_class *const busi_backend_class = &backend_cuda_class;
