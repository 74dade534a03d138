/*
 * phantom: synthetic breast ultrasound, drawn with its lesion masks.
 *
 * A stand-in for real scans in the demo and in tests: it looks like B-mode,
 * its classes differ by what radiologists look at, and nothing else gives them
 * away.  It is no model of any patient, and accuracy on it says nothing about
 * accuracy on real scans.
 *
 * A scene is made of layers (skin, fat with septa, fibroglandular tissue,
 * muscle, what lies behind it) and of blobs in them (fat lobules, vessels,
 * ribs, ligaments that shadow, and the lesions).  Each has an echo level and an
 * attenuation that differs from what the machine corrects for, which is summed
 * down each line: shadows and enhancement come from that alone.  The levels
 * modulate speckle (data/speckle.h), which is compressed logarithmically and
 * converted to pixels.
 *
 * A lesion has one hidden suspicion, low as a rule in benign and high in
 * malignant ones; margin, shape, orientation, echo, halo, capsule and posterior
 * features follow it loosely, so the classes overlap (features after the ACR
 * BI-RADS atlas, ultrasound, 5th edition, 2013; A. T. Stavros et al.,
 * Radiology 196, 1995).  Sizes, gain and contrast are drawn from the same
 * distributions in all classes: mean and deviation of the gray levels are drawn
 * first and the exposure is set to meet them.
 */
#ifndef BUSI_DATA_PHANTOM_H
#define BUSI_DATA_PHANTOM_H

#include "data/image.h"

#include <stdint.h>

enum phantom_class {
    PHANTOM_BENIGN, PHANTOM_MALIGNANT, PHANTOM_NORMAL, PHANTOM_CLASSES
};

/* Least and greatest width and height of a scan, and masks of one. */
enum { PHANTOM_MIN_SIDE = 300, PHANTOM_MAX_SIDE = 800, PHANTOM_MASKS = 2 };

struct phantom {
    struct image scan;                  /* RGB, R = G = B */
    struct image mask[PHANTOM_MASKS];   /* gray, 0 or 255, as large */
    int nmasks;                         /* 1, or 2 with a second lesion */
};

/* "benign", "malignant" or "normal". */
const char *phantom_class_name(enum phantom_class c);

/*
 * Draw scan `number` of a class.  A function of its arguments alone; the first
 * mask of a normal scan is black.  Release with phantom_release().
 */
void phantom_draw(struct phantom *p, uint64_t seed, enum phantom_class c,
                  uint32_t number);
void phantom_release(struct phantom *p);

#endif
