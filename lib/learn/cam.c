#include "learn/cam.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* ------------------------------------------------------------ the gradient */

static int
peek(struct plan *p, int v, float *host, struct err *e)
{
    if (p->backend->class->peek(p, v, false, host) == 0)
        return 0;
    return err_set(e, EXIT_INVALID, "the network '%s' gives no heat map: its "
                   "value '%s' is not kept", p->graph->name,
                   p->graph->op[v].name);
}

/* The gradient of a linear layer's inputs, in new memory. */
static double *
through_linear(const struct op *o, size_t nin, const float *params,
               const double *g)
{
    const float *w = params + o->param;     /* [out,in] */
    double *to = mem_array(nin, sizeof *to);

    for (int k = 0; k < o->out; k++)
        for (size_t i = 0; i < nin; i++)
            to[i] += g[k] * (double)w[(size_t)k * nin + i];
    return to;
}

/* The derivative of one output by the flat values of the average pool. */
static double *
head_gradient(struct plan *p, const struct model *m, int i, int class,
              int *pool, struct err *e)
{
    const struct graph *g = p->graph;
    int v = g->op[g->nops - 1].in[0];       /* what the loss reads */
    double *grad = mem_array((size_t)graph_classes(g), sizeof *grad);

    grad[class] = 1;
    for (; g->op[v].kind != OP_AVGPOOL; v = g->op[v].in[0]) {
        const struct op *o = &g->op[v];
        size_t n = op_floats(o);

        if (o->kind == OP_LINEAR) {
            double *before = through_linear(o, op_floats(&g->op[o->in[0]]),
                                            m->params, grad);

            free(grad);
            grad = before;
        } else if (o->kind == OP_RELU || o->kind == OP_RELU6) {
            float *y = mem_array(n * (size_t)p->fed, sizeof *y);
            int rc = peek(p, v, y, e);

            for (size_t k = 0; k < n; k++) {
                float x = y[(size_t)i * n + k];

                if (x <= 0 || (o->kind == OP_RELU6 && x >= 6))
                    grad[k] = 0;
            }
            free(y);
            if (rc != 0) {
                free(grad);
                return NULL;
            }
        }
    }
    *pool = v;
    return grad;
}

/* ----------------------------------------------------------------- the map */

/* Enlarge [h,w] to size x size, pixel centres on pixel centres. */
static float
between(const float *a, int h, int w, int size, int y, int x)
{
    float fy = ((float)y + 0.5f) * (float)h / (float)size - 0.5f;
    float fx = ((float)x + 0.5f) * (float)w / (float)size - 0.5f;
    float cy = fminf(fmaxf(fy, 0), (float)(h - 1));
    float cx = fminf(fmaxf(fx, 0), (float)(w - 1));
    int y0 = (int)cy, x0 = (int)cx;
    int y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    float v = cy - (float)y0, u = cx - (float)x0;

    return (1 - v) * ((1 - u) * a[y0 * w + x0] + u * a[y0 * w + x1]) +
           v * ((1 - u) * a[y1 * w + x0] + u * a[y1 * w + x1]);
}

/* Sum of the channels x [C,H,W] with weights, no less than 0, at most 1. */
static float *
small_map(const struct op *o, const float *x, const double *grad, int bins)
{
    size_t hw = (size_t)o->h * (size_t)o->w;
    float *a = mem_array(hw, sizeof *a), top = 0;

    for (int c = 0; c < o->c; c++) {
        double weight = 0;

        /* The pool spreads the gradient of a bin over its pixels. */
        for (int b = 0; b < bins; b++)
            weight += grad[(size_t)c * (size_t)bins + (size_t)b];
        for (size_t k = 0; k < hw; k++)
            a[k] += (float)(weight / (double)hw) * x[(size_t)c * hw + k];
    }
    for (size_t k = 0; k < hw; k++)
        top = fmaxf(top, a[k]);
    for (size_t k = 0; k < hw; k++)
        a[k] = a[k] > 0 ? a[k] / top : 0;
    return a;
}

int
cam_add(struct plan *p, const struct model *m, const int *class, int side,
        float *map, struct err *e)
{
    const struct graph *g = p->graph;
    int size = graph_input(g)->size, from = (side - size) / 2, rc = 0;
    float *x = NULL;

    for (int i = 0; i < p->fed && rc == 0; i++) {
        float *to = map + (size_t)i * (size_t)side * (size_t)side, *a;
        const struct op *o;
        int pool;
        double *grad = head_gradient(p, m, i, class[i], &pool, e);

        if (grad == NULL) {
            rc = -1;
            break;
        }
        o = &g->op[g->op[pool].in[0]];
        if (x == NULL) {
            x = mem_array(op_floats(o) * (size_t)p->fed, sizeof *x);
            rc = peek(p, g->op[pool].in[0], x, e);
        }
        a = small_map(o, x + (size_t)i * op_floats(o), grad,
                      g->op[pool].size * g->op[pool].size);
        for (int r = 0; r < size; r++)
            for (int s = 0; s < size; s++)
                to[(from + r) * side + from + s] += between(a, o->h, o->w,
                                                            size, r, s);
        free(a);
        free(grad);
    }
    free(x);
    return rc;
}

double
cam_inside(const float *map, const uint8_t *mask, int side)
{
    double all = 0, in = 0;
    bool any = false;

    for (int i = 0; i < side * side; i++) {
        all += (double)map[i];
        in += mask[i] >= 128 ? (double)map[i] : 0;
        any = any || mask[i] >= 128;
    }
    return any && all > 0 ? in / all : NAN;
}

/* ------------------------------------------------------------- the picture */

/* Is the mask here and not everywhere around? */
static bool
outline(const uint8_t *mask, int side, int y, int x)
{
    if (mask[y * side + x] < 128)
        return false;
    return y == 0 || x == 0 || y == side - 1 || x == side - 1 ||
           mask[(y - 1) * side + x] < 128 || mask[(y + 1) * side + x] < 128 ||
           mask[y * side + x - 1] < 128 || mask[y * side + x + 1] < 128;
}

/* Black over purple and orange to yellow: matplotlib's inferno in 5 points. */
static void
colour(float v, float rgb[3])
{
    static const float at[5][3] = { { 0, 0, 4 }, { 87, 16, 110 },
                                    { 188, 55, 84 }, { 249, 142, 9 },
                                    { 252, 255, 164 } };
    int k = v < 1 ? (int)(4 * v) : 3;
    float part = 4 * v - (float)k;

    for (int c = 0; c < 3; c++)
        rgb[c] = at[k][c] + part * (at[k + 1][c] - at[k][c]);
}

void
cam_paint(struct image *to, const uint8_t *px, int c, int side,
          const float *map, const uint8_t *mask)
{
    float top = 0;

    image_init(to, side, side, 3);
    for (int i = 0; i < side * side; i++)
        top = fmaxf(top, map[i]);
    for (int i = 0; i < side * side; i++) {
        float v = top > 0 ? map[i] / top : 0, rgb[3];
        bool line = mask != NULL && outline(mask, side, i / side, i % side);

        colour(v, rgb);
        for (int k = 0; k < 3; k++) {
            float gray = px[(size_t)i * (size_t)c + (c == 3 ? k : 0)];
            float mix = 0.65f * v;

            to->px[3 * i + k] = line ? 255 : (uint8_t)lrintf(
                (1 - mix) * gray + mix * rgb[k]);
        }
    }
}
