/*
 * vec: vectors of V floats, loaded from and stored as f32 or bf16.
 *
 * GCC's vector extension; included once per instruction set by kernels/cpu.c.
 */
#ifndef BUSI_KERNELS_VEC_H
#define BUSI_KERNELS_VEC_H

#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
enum { V = 16 };
#else
enum { V = 8 };
#endif

typedef float vf __attribute__((vector_size(4 * V)));
typedef int32_t vi __attribute__((vector_size(4 * V)));
typedef uint32_t vu __attribute__((vector_size(4 * V)));
typedef uint16_t vh __attribute__((vector_size(2 * V)));

static inline vf
vset(float x)
{
    return (vf){ 0 } + x;
}

static inline vf
vget(const float *p)
{
    vf x;

    memcpy(&x, p, sizeof x);
    return x;
}

static inline void
vput(float *p, vf x)
{
    memcpy(p, &x, sizeof x);
}

/* Where the mask is all ones x, where it is zero y. */
static inline vf
vpick(vi mask, vf x, vf y)
{
    return (vf)((mask & (vi)x) | (~mask & (vi)y));
}

#ifdef DTYPE_bf16
typedef uint16_t num;

static inline vf
vload(const num *p)
{
    vh h;

    memcpy(&h, p, sizeof h);
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline void
vstore(num *p, vf x)
{
    vu u = (vu)x;
    vu r = u + 0x7fff + (u >> 16 & 1);
    vh h;

    r = (vu)vpick((vi)(x == x), (vf)r, (vf)((vu){ 0 } + 0x7fc00000u));
    h = __builtin_convertvector(r >> 16, vh);
    memcpy(p, &h, sizeof h);
}
#else
typedef float num;

static inline vf
vload(const num *p)
{
    return vget(p);
}

static inline void
vstore(num *p, vf x)
{
    vput(p, x);
}
#endif

#endif
