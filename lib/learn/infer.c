#include "learn/infer.h"

#include "backend/walk.h"
#include "base/mem.h"
#include "data/augment.h"
#include "learn/cam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct infer_net {
    const struct model *model;
    struct vectors v;
    struct plan *one, *many;    /* NULL: not needed yet */
};

static int
net_load(struct infer *in, struct infer_net *net, const struct model *m,
         struct err *e)
{
    const struct backend_class *c = in->backend->class;
    const struct graph *g = &m->graph;

    net->model = m;
    if (c->host) {              /* its vectors are those of the model */
        net->v.params = m->params;
        net->v.buffers = m->buffers;
        return 0;
    }
    if ((net->v.params = c->alloc(in->backend, g->nparams, e)) == NULL ||
        (net->v.buffers = c->alloc(in->backend, g->nbuffers, e)) == NULL)
        return -1;
    c->put(in->backend, net->v.params, m->params, g->nparams);
    c->put(in->backend, net->v.buffers, m->buffers, g->nbuffers);
    return 0;
}

int
infer_open(struct infer *in, struct model *const *models, int n,
           const char *device, const struct backend_conf *conf, int batch,
           struct err *e)
{
    size_t room = 0, k = models[0]->classes.n, images = (size_t)batch;

    memset(in, 0, sizeof *in);
    in->backend = backend_open(device, conf, e);
    if (in->backend == NULL)
        return -1;
    in->net = mem_array((size_t)n, sizeof *in->net);
    in->batch = batch;
    in->views = 1;
    for (; in->n < n; in->n++) {
        size_t one = op_floats(graph_input(&models[in->n]->graph));

        room = one > room ? one : room;
        if (net_load(in, &in->net[in->n], models[in->n], e) != 0) {
            in->n++;
            infer_close(in);
            return -1;
        }
    }
    in->images = mem_aligned(images, room * sizeof *in->images);
    in->probs = mem_array(images * k, sizeof *in->probs);
    in->sum = mem_array(images * k, sizeof *in->sum);
    return 0;
}

void
infer_close(struct infer *in)
{
    const struct backend_class *c;

    if (in->backend == NULL)
        return;
    c = in->backend->class;
    for (int i = 0; i < in->n; i++) {
        struct infer_net *net = &in->net[i];

        if (net->one != net->many)
            c->unplan(net->one);
        c->unplan(net->many);
        if (!c->host) {         /* else they are the model's */
            c->release(in->backend, net->v.params);
            c->release(in->backend, net->v.buffers);
        }
    }
    backend_close(in->backend);
    free(in->net);
    free(in->images);
    free(in->probs);
    free(in->sum);
    memset(in, 0, sizeof *in);
}

/* Small enough to show the same lesion, large enough to be another sample. */
static void
view_make(struct augment *a, int view, int size)
{
    static const struct {
        float scale, dx, dy;    /* shifts as parts of the side */
    } looks[INFER_VIEWS / 2] = {
        { 1, 0, 0 }, { 1.05f, 0, 0 }, { 0.95f, 0, 0 }, { 1, 0.03f, 0 },
        { 1, -0.03f, 0 }, { 1, 0, 0.03f }, { 1, 0, -0.03f }, { 1.1f, 0, 0 }
    };

    augment_none(a);
    a->flip = view % 2 == 1;
    a->scale = looks[view / 2].scale;
    a->dx = looks[view / 2].dx * (float)size;
    a->dy = looks[view / 2].dy * (float)size;
}

/* Add softmax(log p / temperature) to the sum. */
static void
add_tempered(double *sum, const float *p, size_t k, double temperature)
{
    double all = 0;

    for (size_t i = 0; i < k && temperature != 1; i++)
        all += pow((double)p[i], 1 / temperature);
    for (size_t i = 0; i < k; i++)
        sum[i] += temperature == 1 ? (double)p[i]
                                   : pow((double)p[i], 1 / temperature) / all;
}

static struct plan *
plan_for(struct infer *in, struct infer_net *net, bool one, struct err *e)
{
    struct plan **p = one ? &net->one : &net->many;
    int n = one ? 1 : in->batch;

    if (*p == NULL && n == 1)
        *p = one ? net->many : net->one;    /* the same, if it is there */
    if (*p == NULL && net->one != NULL) {   /* it had its picture */
        in->backend->class->unplan(net->one);
        net->one = NULL;
    }
    if (*p == NULL)
        *p = in->backend->class->plan(in->backend, &net->model->graph, n,
                                      MODE_EVAL, &net->v, e);
    return *p;
}

/* One model looks at one view of the pictures. */
static int
look(struct infer *in, struct infer_net *net, struct plan *plan, int view,
     int n, const uint8_t *px, struct err *e)
{
    const struct backend_class *c = in->backend->class;
    const struct recipe *r = &net->model->recipe;
    const struct op *x = graph_input(plan->graph);
    size_t one = op_floats(x);
    size_t bytes = (size_t)r->crop * (size_t)r->crop * (size_t)r->channels;
    size_t k = net->model->classes.n;
    struct feed feed = { .n = n, .images = in->images };
    struct augment a;

    view_make(&a, view, x->h);
    for (size_t i = 0; i < (size_t)n; i++)
        augment_apply(&a, r, px + i * bytes, r->crop, r->crop, r->channels,
                      x->h, in->images + i * one);
    c->feed(plan, &feed);
    if (walk_forward(plan, e) != 0)
        return -1;
    c->result(plan, in->probs, NULL);
    for (size_t i = 0; i < (size_t)n; i++)
        add_tempered(in->sum + i * k, in->probs + i * k, k,
                     net->model->temperature);
    return 0;
}

int
infer_run(struct infer *in, int n, const uint8_t *px, float *probs,
          struct err *e)
{
    size_t all = (size_t)n * in->net[0].model->classes.n;
    bool one = n == 1 && !in->begun;

    in->begun = true;
    memset(in->sum, 0, all * sizeof *in->sum);
    for (int i = 0; i < in->n; i++) {
        struct plan *plan = plan_for(in, &in->net[i], one, e);

        if (plan == NULL)
            return -1;
        for (int view = 0; view < in->views; view++)
            if (look(in, &in->net[i], plan, view, n, px, e) != 0)
                return -1;
    }
    for (size_t i = 0; i < all; i++)
        probs[i] = (float)(in->sum[i] / (in->n * in->views));
    return 0;
}

int
infer_cam(struct infer *in, int n, const uint8_t *px, const int *class,
          float *map, struct err *e)
{
    int side = in->net[0].model->recipe.crop;

    memset(map, 0, (size_t)n * (size_t)side * (size_t)side * sizeof *map);
    for (int i = 0; i < in->n; i++) {
        struct plan *plan = plan_for(in, &in->net[i], false, e);

        if (plan == NULL || look(in, &in->net[i], plan, 0, n, px, e) != 0 ||
            cam_add(plan, in->net[i].model, class, side, map, e) != 0)
            return -1;
    }
    return 0;
}
