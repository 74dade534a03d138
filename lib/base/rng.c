#include "base/rng.h"

#include <math.h>

static void
philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1];
    uint32_t c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u;
        uint64_t p1 = (uint64_t)c2 * 0xCD9E8D57u;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void
rng_init(struct rng *r, uint64_t seed, enum rng_stream stream, uint32_t epoch,
         uint32_t sample)
{
    r->key[0] = (uint32_t)seed;
    r->key[1] = (uint32_t)(seed >> 32);
    r->counter[0] = 0;
    r->counter[1] = sample;
    r->counter[2] = epoch;
    r->counter[3] = (uint32_t)stream;
    r->used = 4;
}

void
rng_block(uint64_t seed, enum rng_stream stream, uint32_t epoch,
          uint32_t sample, uint32_t block, uint32_t word[4])
{
    struct rng r;

    rng_init(&r, seed, stream, epoch, sample);
    r.counter[0] = block;
    philox(r.counter, r.key, word);
}

uint32_t
rng_at(uint64_t seed, enum rng_stream stream, uint32_t epoch, uint32_t sample,
       uint32_t draw)
{
    uint32_t word[4];

    rng_block(seed, stream, epoch, sample, draw / 4, word);
    return word[draw % 4];
}

uint32_t
rng_u32(struct rng *r)
{
    if (r->used == 4) {
        philox(r->counter, r->key, r->block);
        r->counter[0]++;
        r->used = 0;
    }
    return r->block[r->used++];
}

double
rng_real(struct rng *r)
{
    return rng_u32(r) * 0x1p-32;
}

double
rng_range(struct rng *r, double lo, double hi)
{
    return lo + (hi - lo) * rng_real(r);
}

/* Box-Muller; 1 - u keeps the logarithm away from zero. */
double
rng_normal(struct rng *r)
{
    double u = 1.0 - rng_real(r), v = rng_real(r);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* Lemire's multiply-and-reject. */
uint32_t
rng_below(struct rng *r, uint32_t n)
{
    uint64_t m = (uint64_t)rng_u32(r) * n;

    if ((uint32_t)m < n) {
        uint32_t least = -n % n;
        while ((uint32_t)m < least)
            m = (uint64_t)rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

void
rng_shuffle(struct rng *r, size_t *index, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(r, (uint32_t)i);
        size_t t = index[i - 1];

        index[i - 1] = index[j];
        index[j] = t;
    }
}
