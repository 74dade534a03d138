/*
 * cam: where a network looks (Grad-CAM).
 *
 * Selvaraju et al.: Grad-CAM: visual explanations from deep networks via
 * gradient-based localization; ICCV 2017.  The last pictures of the network,
 * before its average pool, are summed with weights: a channel's weight is the
 * mean over its pixels of the derivative of the class's output.  What speaks
 * against the class (negative sums) is dropped.
 */
#ifndef BUSI_LEARN_CAM_H
#define BUSI_LEARN_CAM_H

#include "backend/backend.h"
#include "data/image.h"
#include "learn/model.h"

#include <stdint.h>

/*
 * Add the map of class[i] for each picture i of the plan's last batch to
 * map [fed,side,side]: scaled to a largest value of 1 (or all 0), enlarged
 * (bilinear) to the network's input, which is the centre of the side x side
 * picture.  The plan is one for eval, of a backend opened with `keep`.
 */
int cam_add(struct plan *p, const struct model *m, const int *class,
            int side, float *map, struct err *e);

/*
 * Share of the map's sum that lies where the mask is 128 or more; NaN for a map
 * or a mask with nothing in it.  Both [side,side].
 */
double cam_inside(const float *map, const uint8_t *mask, int side);

/*
 * The picture px [side,side,c] in gray under the map in colours (its largest
 * value is the brightest); the mask's outline in white if one is given.
 */
void cam_paint(struct image *to, const uint8_t *px, int c, int side,
               const float *map, const uint8_t *mask);

#endif
