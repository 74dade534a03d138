/*
 * rng: random numbers that are a function of a key and a position.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy
 * as 1, 2, 3; SC 2011).  Every draw depends only on (seed, stream, epoch,
 * sample, number of the draw), so results do not depend on the number of
 * threads or ranks or on the order of work.
 */
#ifndef BUSI_BASE_RNG_H
#define BUSI_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What the numbers are for; streams never overlap. */
enum rng_stream {
    RNG_INIT,       /* initial weights; sample = parameter's number */
    RNG_SHUFFLE,    /* order of an epoch */
    RNG_AUGMENT,    /* one sample's augmentation */
    RNG_DROPOUT,    /* dropout masks */
    RNG_FOLD,       /* assignment of groups to folds */
    RNG_BOOTSTRAP,  /* resampling in busi-eval */
    RNG_PHANTOM,    /* drawing of phantoms */
    RNG_MIXUP       /* one sample's partner and share */
};

struct rng {
    uint32_t key[2];        /* from the seed */
    uint32_t counter[4];    /* block, sample, epoch, stream */
    uint32_t block[4];      /* the block in use */
    int used;               /* words of it handed out */
};

/* Start at draw 0 of (seed, stream, epoch, sample). */
void rng_init(struct rng *r, uint64_t seed, enum rng_stream stream,
              uint32_t epoch, uint32_t sample);

/*
 * The same draws by number, with no state: words 4 * block .. 4 * block + 3,
 * and one alone.
 */
void rng_block(uint64_t seed, enum rng_stream stream, uint32_t epoch,
               uint32_t sample, uint32_t block, uint32_t word[4]);
uint32_t rng_at(uint64_t seed, enum rng_stream stream, uint32_t epoch,
                uint32_t sample, uint32_t draw);

uint32_t rng_u32(struct rng *r);
double rng_real(struct rng *r);                 /* uniform in [0, 1) */
double rng_range(struct rng *r, double lo, double hi);
double rng_normal(struct rng *r);               /* mean 0, deviation 1 */
uint32_t rng_below(struct rng *r, uint32_t n);  /* 0..n-1, unbiased; n > 0 */

/* Shuffle n indices (Fisher-Yates). */
void rng_shuffle(struct rng *r, size_t *index, size_t n);

#endif
