/*
 * infer: pixels in, probabilities out, by one network or several.
 *
 * Probabilities are softmax(log p / temperature) of each model, averaged
 * (arithmetic mean) over its views of the picture and over the models.
 *
 * View 0 is the plain centre crop, the very numbers of a dataset; odd views
 * are flipped left-right, and each pair after the first is shifted or scaled a
 * little.
 *
 * A picture's numbers may depend in the last bits on the size of the plan that
 * computes it, never on what else is in the batch.  There are two plans: one
 * for the first picture if it comes alone, so that the answer comes soon, and
 * one of `batch` for all else.  So equal calls give equal bits.
 */
#ifndef BUSI_LEARN_INFER_H
#define BUSI_LEARN_INFER_H

#include "backend/backend.h"
#include "learn/model.h"

#include <stdint.h>

enum { INFER_VIEWS = 16 };      /* at most */

struct infer {
    struct backend *backend;
    struct infer_net *net;      /* [n], one for each model */
    int n, batch;
    int views;                  /* 1..INFER_VIEWS; set it after opening */
    bool begun;                 /* the first picture has been through */
    float *images;              /* [batch,C,size,size] */
    float *probs;               /* [batch,K] of one view */
    double *sum;                /* [batch,K] */
};

/*
 * The models must agree (model_agree), outlive this and stay as they are.
 * device: a name for backend_open().  Plans are made when first needed.
 */
int infer_open(struct infer *in, struct model *const *models, int n,
               const char *device, const struct backend_conf *c, int batch,
               struct err *e);
void infer_close(struct infer *in);

/*
 * n <= batch pictures px [n,H,W,C], as the models' recipe makes them, to
 * probs [n,K].  What comes out may be NaN if a model is.
 */
int infer_run(struct infer *in, int n, const uint8_t *px, float *probs,
              struct err *e);

/*
 * Heat maps (cam.h) of class[i] for the same pictures, summed over the models:
 * map [n,crop,crop].  The backend must have been opened with `keep`.
 */
int infer_cam(struct infer *in, int n, const uint8_t *px, const int *class,
              float *map, struct err *e);

#endif
