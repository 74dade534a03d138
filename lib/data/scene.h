/*
 * scene: the anatomy of a phantom, in millimetres.
 *
 * x runs along the probe, y into the breast.  What is drawn by chance is fixed
 * by scene_draw(); painting it is a pure function.
 */
#ifndef BUSI_DATA_SCENE_H
#define BUSI_DATA_SCENE_H

#include "base/rng.h"
#include "data/phantom.h"

#include <stdbool.h>

enum {
    SCENE_W = 288,          /* lines of the probe; cells of the grid across */
    SCENE_H = 384,          /* samples of a line; cells down */
    SCENE_BLOBS = 40,
    SCENE_NOISE = 128,      /* side of the table of noise, a power of two */
    BLOB_RIM = 512
};

enum layer { SKIN, FAT, GLAND, MUSCLE, BEHIND, LAYERS };

/* Something roundish with an echo of its own. */
struct blob {
    float x, y, rx, ry;     /* centre and half axes, mm */
    float scale;            /* sqrt(rx ry) */
    float cosine, sine;     /* of the long axis' angle */
    float rim[BLOB_RIM];    /* the border round it, as a share of the ellipse */
    float edge;             /* width over which it begins, mm */
    float cover;            /* 0..1: how much of the tissue it hides */
    float level, grain;     /* dB inside, and how far it varies */
    float cell;             /* size of that variation, mm */
    float capsule;          /* dB of the line around it */
    float halo, halo_width; /* dB and mm of a rim that fades outwards */
    float loss;             /* dB/mm, negative: enhancement behind it */
    float pull;             /* > 0 draws the tissue around it in, < 0 pushes */
    int specks;             /* bright points inside */
};

struct scene {
    float width, depth;                 /* mm */
    float floor[LAYERS - 1][SCENE_W];   /* lower border of a layer, mm */
    float level[LAYERS], grain[LAYERS]; /* dB */
    float fascia[LAYERS - 1];           /* dB of the line at the border */
    float septum, streak;               /* dB of lines in fat, elsewhere */
    float slant;                        /* of the fibres against the border */
    struct blob blob[SCENE_BLOBS];
    int nblobs, nlesions;               /* the lesions are the last blobs */
    float noise[SCENE_NOISE * SCENE_NOISE]; /* -1..1 */
};

/* Depth follows from the width of the probe and the shape of the picture. */
void scene_draw(struct scene *s, struct rng *r, enum phantom_class c,
                double height_to_width);

/* Echo level in dB and attenuation in dB/mm of every cell. */
void scene_paint(const struct scene *s, struct rng *r,
                 float *level,          /* [SCENE_H,SCENE_W] */
                 float *loss);          /* [SCENE_H,SCENE_W] */

/* Does a point lie within the border of lesion k? */
bool scene_inside(const struct scene *s, int k, float x, float y);

#endif
