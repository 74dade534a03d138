/* trainer: scores of rows while training. */
#include "learn/trainer.h"

#include "backend/walk.h"
#include "base/mem.h"
#include "learn/calibrate.h"

#include <math.h>
#include <stdlib.h>

/* Probabilities [n,K] of rows, with the weights that are evaluated. */
static int
score_rows(struct trainer *t, const size_t *rows, size_t n, float *probs,
           struct err *e)
{
    const struct backend_class *k = t->backend->class;
    const struct look plain = { 0 };
    size_t b = (size_t)t->eval->n;
    struct feed f;

    if (t->resident.held && n > 0 &&
        resident_epoch(&t->resident, rows, n, b, 0, &plain, NULL, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i += b) {
        size_t m = n - i < b ? n - i : b;

        if (t->resident.held) {
            if (k->step(t->eval, e) != 0)
                return -1;
        } else {
            if (loader_fill(&t->loader, rows + i, (int)m, &plain, 1, &f,
                            e) != 0)
                return -1;
            f.targets = NULL;
            k->feed(t->eval, &f);
            if (walk_forward(t->eval, e) != 0)
                return -1;
        }
        k->result(t->eval, probs + i * (size_t)t->loader.classes, NULL);
    }
    return 0;
}

static double *
widen(const float *x, size_t n)
{
    double *y = mem_array(n, sizeof *y);

    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

static int
largest(const double *p, int n)
{
    int best = 0;

    for (int k = 1; k < n; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

/* Probabilities [n,K] of rows, each scored by one rank. */
static double *
score_all(struct trainer *t, const size_t *rows, size_t n, struct err *e)
{
    size_t classes = (size_t)t->loader.classes, from, to;
    float *mine = mem_array(n * classes, sizeof *mine);
    double *probs;
    int rc;

    train_share(t, n, &from, &to);
    rc = score_rows(t, rows + from, to - from, mine + from * classes, e);
    probs = widen(mine, n * classes);
    free(mine);
    if (rc == 0)
        rc = t->comm->class->hsum(t->comm, probs, n * classes, e);
    if (rc == 0)
        return probs;
    free(probs);
    return NULL;
}

int
train_evaluate(struct trainer *t, const size_t *rows, size_t n,
               struct score *s, struct err *e)
{
    int classes = t->loader.classes, present = 0;
    double *right = mem_array((size_t)classes, sizeof *right);
    double *all = mem_array((size_t)classes, sizeof *all);
    double *probs = score_all(t, rows, n, e), loss = 0;
    bool numbers = true;

    *s = (struct score){ NAN, NAN, NAN, n };
    for (size_t i = 0; i < n && probs != NULL; i++) {
        const double *q = probs + i * (size_t)classes;
        int64_t label = t->data->labels[rows[i]];

        loss -= log(fmax(q[label], 1e-30));
        numbers = numbers && isfinite(q[0]);
        all[label]++;
        right[label] += largest(q, classes) == label;
    }
    if (probs != NULL && n > 0) {
        s->loss = loss / (double)n;
        s->acc = s->balanced = 0;
        for (int k = 0; k < classes; k++) {
            s->acc += right[k] / (double)n;
            if (all[k] > 0) {
                s->balanced += right[k] / all[k];
                present++;
            }
        }
        s->balanced /= present;
    }
    free(right);
    free(all);
    free(probs);
    if (!numbers)
        err_set(e, EXIT_NUMBERS, "the network's outputs are not finite numbers any "
                "more (epoch %lld)", (long long)t->s.epoch + 1);
    return e->status == 0 ? 0 : -1;
}

/* All ranks come to the same temperature. */
int
train_calibrate(struct trainer *t, struct err *e)
{
    const size_t *rows = t->parts->val;
    size_t n = t->parts->nval;
    double *probs = score_all(t, rows, n, e);
    int *label = mem_array(n, sizeof *label);

    for (size_t i = 0; i < n; i++)
        label[i] = (int)t->data->labels[rows[i]];
    if (probs != NULL)
        t->model->temperature = calibrate_temperature(
            probs, label, n, t->model->classes.n);
    free(label);
    free(probs);
    return e->status == 0 ? 0 : -1;
}

