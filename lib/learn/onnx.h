/*
 * onnx: a model as an ONNX file (opset 17, IR version 8).
 *
 * Input `pixels`, u8 [N,crop,crop,C]: rows of a dataset's `images`, or scans
 * as the recipe resizes and crops them.  Output `probabilities`, f32 [N,K].
 * All between is inside: the crop to the network's size, normalisation, the
 * network (batch-norm as such, dropout left out), temperature and softmax.
 * metadata_props holds classes (tab-separated), recipe, temperature, select,
 * content (the model's digest) and version.  Weights keep torchvision's names;
 * the value of an operation is called NAME.out, so that no model text can make
 * names clash.  Adaptive pooling is two products with constant matrices.
 */
#ifndef BUSI_LEARN_ONNX_H
#define BUSI_LEARN_ONNX_H

#include "learn/model.h"

/* Errors: cannot be written; larger than the 2 GB that ONNX allows. */
int onnx_save(const struct model *m, const char *path, struct err *e);

#endif
