/*
 * transfer: weights of another training as the start of this one.
 *
 * A safetensors file with the names of torchvision or, of MobileNetV2 and VGG,
 * of timm (ResNets are named alike by both), or a model of ours.  Numbers may
 * be F64, F32, F16 or BF16.  Adapted are
 *
 *   the head       the last layer, if its shape is another: as from scratch
 *   the first      its weights are rescaled so that a picture normalised our
 *   convolution    way gives what it gave normalised the file's way; of three
 *                  input channels the sum serves for one gray one.  What is
 *                  constant goes into the mean of the batch-norm behind, or
 *                  the bias.  Exact but at the border, where a padded 0 is
 *                  another shade of gray in the two normalisations.
 */
#ifndef BUSI_LEARN_TRANSFER_H
#define BUSI_LEARN_TRANSFER_H

#include "learn/model.h"

/* How pictures were normalised that the file's network was trained on. */
enum transfer_norm {
    NORM_IMAGENET,      /* mean .485 .456 .406, deviation .229 .224 .225 */
    NORM_HALF,          /* mean .5, deviation .5 */
    NORM_SAME           /* as ours */
};
#define NORM_NAMES "imagenet|half|same"

struct transfer {
    const char *path;
    enum transfer_norm norm;    /* ignored for a model of ours */
    const struct str_list *classes;     /* of the new one; NULL: not compared */
    char digest[DIGEST_HEX];    /* out: SHA-256 of the file */
    struct str_list adapted;    /* out: a sentence each */
    struct str_list left;       /* out: names in the file that are not used */
    size_t taken;               /* out: tensors as they are */
    struct provenance from;     /* out: of a model of ours, else empty */
};

/*
 * Fill params and buffers, which hold the numbers of a start from scratch, of
 * a graph that reads pictures as the recipe makes them.  The head of a model of
 * ours that tells other classes, or the same in another order, is not taken.
 * Errors (EXIT_INVALID): no such file format; a tensor is missing or has a shape
 * that does not fit, other than named above.
 */
int transfer_load(struct transfer *t, const struct graph *g,
                  const struct recipe *r, float *params, float *buffers,
                  struct err *e);
void transfer_release(struct transfer *t);

/* First parameter of the last layer, which is the end of the vector. */
size_t transfer_head(const struct graph *g);

#endif
