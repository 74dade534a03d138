/* host_gpu: gpu.h over this machine's memory, for tests without a GPU. */
#include "backend/gpu.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

extern unsigned long cuda_host_launches;
unsigned long cuda_host_launches;

int
gpu_open(struct gpu *g, int device, struct err *e)
{
    (void)e;
    *g = (struct gpu){ .device = device < 0 ? 0 : device, .arch = 90,
                       .cores = 1, .nbytes = (size_t)1 << 40,
                       .name = "no GPU: its kernels on the CPU" };
    return 0;
}

void
gpu_close(struct gpu *g)
{
    memset(g, 0, sizeof *g);
}

void *
gpu_alloc(struct gpu *g, size_t nbytes, struct err *e)
{
    (void)g;
    (void)e;
    return mem_aligned(nbytes + 1, 1);
}

void
gpu_free(struct gpu *g, void *p)
{
    (void)g;
    free(p);
}

void
gpu_up(struct gpu *g, void *to, const void *host, size_t nbytes)
{
    (void)g;
    memcpy(to, host, nbytes);
}

void
gpu_down(struct gpu *g, void *host, const void *from, size_t nbytes)
{
    (void)g;
    memcpy(host, from, nbytes);
}

void
gpu_copy(struct gpu *g, void *to, const void *from, size_t nbytes)
{
    (void)g;
    memcpy(to, from, nbytes);
}

void
gpu_zero(struct gpu *g, void *to, size_t nbytes)
{
    (void)g;
    memset(to, 0, nbytes);
}

void
gpu_sync(struct gpu *g)
{
    (void)g;
}

int
gpu_check(struct gpu *g, struct err *e)
{
    return g->failed.status == 0
               ? 0 : err_set(e, g->failed.status, "%s", g->failed.text);
}

void
gpu_mark(struct gpu *g, int which)
{
    (void)g;
    (void)which;
}

double
gpu_marked(struct gpu *g)
{
    (void)g;
    return 0;
}

int
gpu_record(struct gpu *g, struct err *e)
{
    (void)g;
    return err_set(e, EXIT_IO, "nothing can be recorded without a GPU");
}

struct gpu_graph *
gpu_recorded(struct gpu *g, struct err *e)
{
    (void)g;
    (void)e;
    abort();
}

void
gpu_replay(struct gpu *g, struct gpu_graph *r)
{
    (void)g;
    (void)r;
    abort();
}

void
gpu_graph_free(struct gpu_graph *r)
{
    (void)r;
}
