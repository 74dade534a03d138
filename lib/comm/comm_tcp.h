/*
 * comm_tcp: ranks that talk through rank 0, by TCP, where there is no MPI.
 *
 * Whoever started the ranks (torchrun, srun with a line of shell) says in the
 * environment, as PyTorch has it: RANK, WORLD_SIZE, LOCAL_RANK and
 * LOCAL_WORLD_SIZE (default: all ranks are on one machine), MASTER_ADDR and
 * MASTER_PORT (default 127.0.0.1, 29500).  Rank 0 listens on MASTER_PORT + 1, as
 * torchrun has the port itself.
 *
 * All numbers go through rank 0: fine for a few numbers in a step, as beside
 * NCCL, and for small networks.  Peers are trusted; nothing is encrypted.
 */
#ifndef BUSI_COMM_COMM_TCP_H
#define BUSI_COMM_COMM_TCP_H

#include "comm/comm.h"

/* Does the environment say so? */
bool comm_tcp_launched(void);

extern const struct comm_class comm_tcp_class;

#endif
