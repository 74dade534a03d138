/*
 * gpu: memory, streams and recorded graphs of one NVIDIA GPU.  gpu.c and
 * comm_nccl.c alone call the CUDA runtime; kernels/ only launches.
 *
 * Everything is enqueued on one stream and nothing waits unless it says so.
 * What goes wrong on the way is kept, as CUDA reports it late: gpu_check()
 * tells.  The first failure stays.
 */
#ifndef BUSI_BACKEND_GPU_H
#define BUSI_BACKEND_GPU_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct gpu {
    int device;             /* its number */
    size_t nbytes;          /* of memory */
    char name[64];          /* "NVIDIA H200" */
    bool reads_host;        /* memory that was not allocated for it */
    void *stream;           /* cudaStream_t */
    void *mark[2];          /* events of gpu_mark() */
    struct err failed;
};

/* A recorded sequence of launches and copies. */
struct gpu_graph;

/*
 * Open GPU number `device` (-1: the first).  Errors, EXIT_IO: no driver, a
 * driver older than the plugin, no GPU, a number that is not there, a compute
 * capability below 8.0.  That nothing was compiled for a GPU is said by its
 * first launch: gpu_check().
 */
int gpu_open(struct gpu *g, int device, struct err *e);
void gpu_close(struct gpu *g);

/* Memory filled with zeros; NULL and EXIT_IO where there is no more. */
void *gpu_alloc(struct gpu *g, size_t nbytes, struct err *e);
void gpu_free(struct gpu *g, void *p);

/* To the GPU and from it.  The host's memory is free again on return. */
void gpu_up(struct gpu *g, void *to, const void *host, size_t nbytes);
void gpu_down(struct gpu *g, void *host, const void *from, size_t nbytes);
/* Within the GPU; enqueued. */
void gpu_copy(struct gpu *g, void *to, const void *from, size_t nbytes);
void gpu_zero(struct gpu *g, void *to, size_t nbytes);

/* Wait for all that was enqueued. */
void gpu_sync(struct gpu *g);
/* -1 and why, if anything has failed since gpu_open(). */
int gpu_check(struct gpu *g, struct err *e);

/* Mark a moment of the stream (0, then 1); then the seconds in between. */
void gpu_mark(struct gpu *g, int which);
double gpu_marked(struct gpu *g);

/*
 * Record what is enqueued in between instead of running it.  -1 or NULL, and a
 * reason, where it cannot be recorded: then nothing was run, and what failed
 * on the way is forgotten.
 */
int gpu_record(struct gpu *g, struct err *e);
struct gpu_graph *gpu_recorded(struct gpu *g, struct err *e);
void gpu_replay(struct gpu *g, struct gpu_graph *r);
void gpu_graph_free(struct gpu_graph *r);

#endif
