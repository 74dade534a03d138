/*
 * loader: rows of a dataset as a batch that a backend takes.
 */
#ifndef BUSI_LEARN_LOADER_H
#define BUSI_LEARN_LOADER_H

#include "backend/backend.h"
#include "data/augment.h"
#include "data/dataset.h"

/* How pictures of a batch are changed; all 0: not at all. */
struct look {
    enum augment_kind augment;
    double mixup;               /* Beta(mixup, mixup); 0: none */
    uint32_t epoch;
};

struct loader {
    const struct dataset *data;
    const size_t *partners;     /* [npartners] rows to mix with */
    size_t npartners;
    int size;                   /* of the network's input */
    int classes;
    uint64_t seed;
    double smoothing;           /* label smoothing, 0..1 */
    const double *weight;       /* [classes] of the loss; NULL: all 1 */
    int threads;
    float *images;              /* [room,C,size,size] */
    float *targets;             /* [room,classes] */
    uint32_t *samples;          /* [room] */
    uint8_t *pixels;            /* [threads][h,w,c] */
    float *other;               /* [threads][C,size,size] */
};

/* Room for batches of up to `room` rows; the other fields stand already. */
void loader_open(struct loader *l, int room);
void loader_close(struct loader *l);

/*
 * A batch of n rows: pictures changed as (seed, epoch, row) says, and targets
 * whose loss is the mean over a global batch of which the weights sum up to
 * `norm` (PyTorch's CrossEntropyLoss with weight and label_smoothing).  What f
 * points to belongs to the loader, until the next call.
 *
 * Mixup (Zhang, Cisse, Dauphin, Lopez-Paz: mixup: beyond empirical risk
 * minimization; ICLR 2018): picture and target are s * own + (1 - s) * the
 * partner's, with s the larger side of a draw, so that a row stays mostly
 * itself.  The partner is one of `partners`, changed by its own draws.
 */
int loader_fill(struct loader *l, const size_t *rows, int n,
                const struct look *look, double norm, struct feed *f,
                struct err *e);

/* The row that a row is mixed with, by its draws, and the row's own share;
 * itself and 1 where it is not mixed. */
size_t loader_partner(const struct loader *l, const struct look *look,
                      size_t row, double *share);

/* The target [classes] of a row, mixed or not, over norm. */
void loader_target(const struct loader *l, const struct look *look, size_t row,
                   double norm, float *target);

/* Sum of the weights of rows: the norm of a global batch. */
double loader_norm(const struct loader *l, const size_t *rows, size_t n);

#endif
