/*
 * init: initial numbers of a network, as torchvision draws them.
 *
 * Convolutions: normal, variance 2 / (K R S) (He et al. 2015, fan-out), biases
 * 0.  Batch-norm: weight 1, bias 0, running mean 0, variance 1.  Linear: normal
 * with the operation's std and bias 0, or where that is 0 PyTorch's default,
 * uniform in +-1 / sqrt(inputs) for weights and biases.
 */
#ifndef BUSI_MODEL_INIT_H
#define BUSI_MODEL_INIT_H

#include "model/graph.h"

/* params [g->nparams], buffers [g->nbuffers]: host memory, filled whole. */
void init_params(const struct graph *g, uint64_t seed, float *params,
                 float *buffers);

#endif
