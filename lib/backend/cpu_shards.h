/*
 * cpu_shards: the CPU backend whose threads share a batch, not an operation.
 *
 * Every batch is cut into a fixed number of shards (halves.h), each computed by
 * one thread in a CPU backend of its own, shards side by side.  Batch-norm is
 * that of the whole batch: its sums, like the gradients and the loss, are added
 * up neighbours first, over the shards and then over the ranks.  So the bits
 * are the same for any number of threads, by which oneDNN cuts its weight
 * gradients, and for any number of ranks if there are as many shards in all;
 * and only as many threads work as the machine has room for at the moment,
 * since waiting for one that another program keeps from its core costs far
 * more than it brings.
 *
 * Costs: each shard packs the weights for itself (time and memory of packed
 * weights, forward and backward, and of gradients times the shards of this
 * rank), and no more threads are busy than there are shards.
 */
#ifndef BUSI_BACKEND_CPU_SHARDS_H
#define BUSI_BACKEND_CPU_SHARDS_H

#include "backend/backend.h"

enum { SHARDS_MOST = 64 };

/* conf->shards of them, conf->threads at a time at most. */
struct backend *cpu_shards_open(const struct backend_class *inner,
                                const struct backend_conf *conf,
                                struct err *e);

#endif
