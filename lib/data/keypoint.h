/*
 * keypoint: places in a picture that are found again in its copies.
 *
 * Blobs: extrema of differences of Gaussians over place and size (Lowe:
 * Distinctive image features from scale-invariant keypoints, IJCV 2004), each
 * with 63 bits: the signs of the lowest frequencies of the picture around it
 * (an 8x8 cosine transform without its mean).  Place and size move with the
 * picture when it is shifted, cropped or rescaled while the bits stay; a
 * mirrored picture flips exactly the bits of keypoint_mirror().
 */
#ifndef BUSI_DATA_KEYPOINT_H
#define BUSI_DATA_KEYPOINT_H

#include "data/image.h"

#include <stddef.h>
#include <stdint.h>

enum { KEYPOINT_BITS = 63, KEYPOINT_MOST = 400 };

struct keypoint {
    float x, y;         /* in pixels of the picture */
    float size;         /* radius, likewise */
    uint64_t bits;
};

/*
 * Find at most KEYPOINT_MOST in a gray picture, the clearest of each size.
 * Pictures are brought to one area first, so copies of any size agree.
 */
size_t keypoint_find(const struct image *gray,
                     struct keypoint out[KEYPOINT_MOST]);

/* The bits that a mirrored copy has flipped. */
uint64_t keypoint_mirror(void);

#endif
