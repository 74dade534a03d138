/*
 * resident: a dataset that stays in the backend's memory.
 *
 * Where a backend does whole steps by itself (backend.h), the pictures go there
 * once; before an epoch the host works out how each picture is changed, the
 * targets and the updates, and then has nothing to do but to say "next".
 * Pictures and targets are those of loader_fill().
 */
#ifndef BUSI_LEARN_RESIDENT_H
#define BUSI_LEARN_RESIDENT_H

#include "learn/loader.h"

struct resident_set {           /* all zeros: nothing is held */
    const struct loader *l;
    struct backend *backend;
    uint8_t *pixels;            /* [rows of the dataset][h,w,c] */
    bool held;
    size_t room;                /* rows that the vectors below can take */
    uint32_t *rows;
    struct augment_map *maps;
    struct augment_mix *mixes;
    float *targets;             /* [room,K] */
    int32_t *labels;
};

/*
 * Hold the dataset of l, which must stay.  What keeps it from being held (no
 * such backend, no memory) is no error; a note says so.  Errors: a row that
 * is damaged.
 */
int resident_open(struct resident_set *s, struct backend *b,
                  const struct loader *l, struct err *e);
void resident_close(struct resident_set *s);

/*
 * An epoch over rows in this order, from batch `first` on; updates
 * [batches][UPDATES] or NULL.  With look->mixup the rows hold all partners.
 */
int resident_epoch(struct resident_set *s, const size_t *rows, size_t n,
                   size_t batch, size_t first, const struct look *look,
                   const struct update *updates, struct err *e);

#endif
