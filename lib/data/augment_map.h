/*
 * augment_map: one picture's changes, worked out as far as numbers go.
 *
 * What is left is the same few operations for every pixel, so that a GPU can
 * do them and get the same bits; its kernels read this struct too.
 */
#ifndef BUSI_DATA_AUGMENT_MAP_H
#define BUSI_DATA_AUGMENT_MAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    AUGMENT_UNIT_BITS = 16,     /* of the fixed point of positions */
    AUGMENT_UNIT = 1 << AUGMENT_UNIT_BITS,
    AUGMENT_WEIGHT_BITS = 11,   /* of bilinear weights: 8 + 2 * 11 bits fit */
    AUGMENT_WEIGHT = 1 << AUGMENT_WEIGHT_BITS,
    AUGMENT_SPECKLE_BLOCK = 64  /* first block of the speckle's draws */
};

struct augment_map {
    /* Source of output pixel (i, j): start + i * down + j * right. */
    int64_t x, y, right_x, right_y, down_x, down_y;
    bool whole;         /* pixels fall on pixels, row on row, all inside */
    bool rows;          /* gain and speckle: values are not final yet */
    float gain_top, gain_bottom;
    float unit;         /* of the speckle: factor 1 + unit * (sum - 255) */
    int cut_x, cut_y, cut_w, cut_h; /* output pixels set to 0 */
    uint64_t seed;
    uint32_t epoch, sample;
    float mean[3], std[3];
    /* The values of 0..255, and the last once more, to interpolate to. */
    float curve[3][257];
};

/* A picture mixed with another: share of its own, rest of the other's. */
struct augment_mix {
    uint32_t with;      /* place of the other in the same list; itself: none */
    float share, rest;
};

#endif
