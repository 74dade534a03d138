/*
 * calibrate: one temperature that makes probabilities mean what they say.
 *
 * Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks; ICML
 * 2017.  Logits are divided by T > 0, which leaves every decision as it is; T
 * is what gives the labels the greatest likelihood.
 */
#ifndef BUSI_LEARN_CALIBRATE_H
#define BUSI_LEARN_CALIBRATE_H

#include <stddef.h>

/* T is sought between these: few rows, all of them right, would have it 0. */
#define TEMPERATURE_LEAST 0.1
#define TEMPERATURE_MOST 10.0

/*
 * p [n,k] probabilities at T = 1, label[i] in 0..k-1.  T to within 1e-9, or 1
 * where n is 0.
 */
double calibrate_temperature(const double *p, const int *label, size_t n,
                             size_t k);

#endif
