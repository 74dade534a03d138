/*
 * speckle: the grain of an ultrasound picture, from scatterers.
 *
 * A B-mode picture shows the envelope of the echo of many small scatterers
 * seen through the probe's point-spread function.  The echo of one cell of
 * tissue is a complex number of random phase; blurring by the pulse (axial)
 * and the beam (lateral) adds many of them up, so that the sum is a circular
 * complex Gaussian and its magnitude is Rayleigh distributed, with mean /
 * deviation = sqrt(pi / (4 - pi)) = 1.913 in uniform tissue, however bright.
 *
 *   C. B. Burckhardt, Speckle in ultrasound B-mode scans, IEEE Trans. Sonics
 *   Ultrason. 25(1), 1978.
 *   R. F. Wagner, S. W. Smith, J. M. Sandrik, H. Lopez, Statistics of speckle
 *   in ultrasound B-scans, IEEE Trans. Sonics Ultrason. 30(3), 1983.
 *   J. W. Goodman, Speckle Phenomena in Optics, 2007, chapters 2 and 3.
 */
#ifndef BUSI_DATA_SPECKLE_H
#define BUSI_DATA_SPECKLE_H

#include "base/rng.h"

/* Deviations of the Gaussian point-spread function, in cells, at most 8. */
struct psf {
    double axial;
    double lateral_top;         /* the beam spreads linearly from here ... */
    double lateral_bottom;      /* ... to here */
};

/*
 * The envelope of tissue whose echo has the given root mean square in each
 * cell; mirrored at the borders.  The mean of envelope^2 is that of amplitude^2
 * over the point-spread function.
 */
void speckle_envelope(struct rng *r, const struct psf *p, int w, int h,
                      const float *amplitude,   /* [h,w] */
                      float *envelope);         /* [h,w] */

#endif
