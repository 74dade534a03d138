/* One instruction set and one type: see cpu.h. */
#include "kernels/cpu.h"

#include "kernels/vec.h"

#include <float.h>
#include <math.h>
#include <omp.h>

/* Pixels over which sums stay in f32. */
enum { RUN = 1024 };

/* First number of lane group g (V channels) of picture n. */
static inline size_t
at(const struct pix *s, int n, int g)
{
    size_t hw = (size_t)s->h * s->w;

    return ((size_t)n * s->c + (size_t)(g * V / s->block * s->block)) * hw +
           (size_t)(g * V % s->block);
}

/* Written so that NaN stays NaN, here and below. */
static inline vf
act(enum act a, vf x)
{
    if (a == ACT_NONE)
        return x;
    x = vpick((vi)(x <= 0), vset(0), x);
    return a == ACT_RELU ? x : vpick((vi)(x > 6), vset(6), x);
}

/* Where the activation passes its gradient, read off what it read or made. */
static inline vi
passes(enum act a, vf y)
{
    if (a == ACT_NONE)
        return ~(vi){ 0 };
    return a == ACT_RELU ? ~(vi)(y <= 0) : ~((vi)(y <= 0) | (vi)(y >= 6));
}

#include "kernels/cpu_bn.h"
#include "kernels/cpu_pool.h"
#include "kernels/cpu_stem.h"
#include "kernels/cpu_wino.h"

#define JOIN_(a, b, c) a##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#ifdef DTYPE_bf16
#define DTYPE bf16
#else
#define DTYPE f32
#endif

const struct cpu_kernels JOIN(cpu_, ISA, DTYPE) = {
    .name = TEXT(ISA) " " TEXT(DTYPE),
    .lanes = V,
    .size = sizeof(num),
    .bn_sums = bn_sums,
    .bn_train = bn_train,
    .bn_apply = bn_apply,
    .bn_back = bn_back,
    .bn_train_sums = bn_train_sums,
    .bn_train_rest = bn_train_rest,
    .bn_back_sums = bn_back_sums,
    .bn_back_rest = bn_back_rest,
    .add = add,
    .act_back = act_back,
    .maxpool = maxpool,
    .maxpool_back = maxpool_back,
    .avgpool = avgpool,
    .avgpool_back = avgpool_back,
    .stem_back = stem_back,
    .stem_sums = stem_sums,
    .wino_packed = wino_packed,
    .wino_scratch = wino_scratch,
    .wino_pack = wino_pack,
    .wino_forward = wino_forward,
    .wino_weights = wino_weights,
    .channel_sums = channel_sums,
    .narrow = narrow,
    .pack = pack,
    .unpack = unpack,
};
