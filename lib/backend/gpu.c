#include "backend/gpu.h"

#include "base/mem.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gpu_graph {
    cudaGraphExec_t exec;
};

static void
note(struct gpu *g, cudaError_t rc, const char *what)
{
    if (rc != cudaSuccess)
        err_set(&g->failed, EXIT_IO, "GPU %d failed to %s: %s", g->device,
                what, cudaGetErrorString(rc));
}

/* ---------------------------------------------------------- open and close */

/* What stands between this program and a GPU, as one says it. */
static int
missing(cudaError_t rc, struct err *e)
{
    int driver = 0;

    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        return err_set(e, EXIT_IO, "no NVIDIA driver is installed "
                       "(libcuda.so.1 is missing)");
    if (driver / 1000 < CUDART_VERSION / 1000)
        return err_set(e, EXIT_IO, "the NVIDIA driver is too old: it "
                       "speaks CUDA %d.%d, the plugin was built with %d.%d",
                       driver / 1000, driver % 1000 / 10,
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (rc == cudaErrorNoDevice || rc == cudaSuccess)
        return err_set(e, EXIT_IO, "the NVIDIA driver shows no GPU");
    return err_set(e, EXIT_IO, "CUDA: %s", cudaGetErrorString(rc));
}

static int
describe(struct gpu *g, struct err *e)
{
    struct cudaDeviceProp p;
    cudaError_t rc = cudaGetDeviceProperties(&p, g->device);

    if (rc != cudaSuccess)
        return missing(rc, e);
    g->nbytes = p.totalGlobalMem;
    g->reads_host = p.pageableMemoryAccessUsesHostPageTables != 0;
    snprintf(g->name, sizeof g->name, "%.63s", p.name);
    if (p.major < 8)
        return err_set(e, EXIT_IO, "GPU %d (%s) is of compute "
                       "capability %d.%d; 8.0 or later is needed", g->device,
                       g->name, p.major, p.minor);
    return 0;
}

int
gpu_open(struct gpu *g, int device, struct err *e)
{
    int n = 0;      /* stays as it is where there is no driver */
    cudaError_t rc = cudaGetDeviceCount(&n);

    memset(g, 0, sizeof *g);
    g->device = device < 0 ? 0 : device;
    if (rc != cudaSuccess || n == 0)
        return missing(rc, e);
    if (g->device >= n)
        return err_set(e, EXIT_IO, "there is no GPU number %d (%d seen,"
                       " counted from 0)", g->device, n);
    if (describe(g, e) != 0)
        return -1;
    rc = cudaSetDevice(g->device);
    if (rc == cudaSuccess)
        rc = cudaStreamCreateWithFlags((cudaStream_t *)&g->stream,
                                       cudaStreamNonBlocking);
    for (int i = 0; i < 2 && rc == cudaSuccess; i++)
        rc = cudaEventCreate((cudaEvent_t *)&g->mark[i]);
    if (rc == cudaSuccess)
        return 0;
    err_set(e, EXIT_IO, "GPU %d (%s): %s", g->device, g->name,
            cudaGetErrorString(rc));
    gpu_close(g);
    return -1;
}

void
gpu_close(struct gpu *g)
{
    for (int i = 0; i < 2; i++)
        if (g->mark[i] != NULL)
            cudaEventDestroy(g->mark[i]);
    if (g->stream != NULL)
        cudaStreamDestroy(g->stream);
    memset(g, 0, sizeof *g);
}

/* ------------------------------------------------------------------ memory */

void *
gpu_alloc(struct gpu *g, size_t nbytes, struct err *e)
{
    void *p = NULL;
    cudaError_t rc = cudaMalloc(&p, nbytes > 0 ? nbytes : 1);

    if (rc != cudaSuccess) {
        cudaGetLastError();     /* it is told here; later calls are fine */
        err_set(e, EXIT_IO, "cannot allocate %.0f MB on GPU %d (%s): %s",
                (double)nbytes / 1048576, g->device, g->name,
                cudaGetErrorString(rc));
        return NULL;
    }
    gpu_zero(g, p, nbytes);
    return p;
}

void
gpu_free(struct gpu *g, void *p)
{
    if (p != NULL)
        note(g, cudaFree(p), "free memory");
}

/*
 * From pageable memory CUDA takes a copy of its own before it returns, but not
 * where the GPU reads such memory itself.
 */
void
gpu_up(struct gpu *g, void *to, const void *host, size_t nbytes)
{
    note(g, cudaMemcpyAsync(to, host, nbytes, cudaMemcpyHostToDevice,
                            g->stream), "copy to it");
    if (g->reads_host)
        gpu_sync(g);
}

void
gpu_down(struct gpu *g, void *host, const void *from, size_t nbytes)
{
    note(g, cudaMemcpyAsync(host, from, nbytes, cudaMemcpyDeviceToHost,
                            g->stream), "copy from it");
    gpu_sync(g);
}

void
gpu_copy(struct gpu *g, void *to, const void *from, size_t nbytes)
{
    note(g, cudaMemcpyAsync(to, from, nbytes, cudaMemcpyDeviceToDevice,
                            g->stream), "copy");
}

void
gpu_zero(struct gpu *g, void *to, size_t nbytes)
{
    note(g, cudaMemsetAsync(to, 0, nbytes, g->stream), "clear memory");
}

void
gpu_sync(struct gpu *g)
{
    note(g, cudaStreamSynchronize(g->stream), "do what it was given");
}

int
gpu_check(struct gpu *g, struct err *e)
{
    note(g, cudaPeekAtLastError(), "start a kernel");
    return g->failed.status == 0 ? 0 : err_copy(e, &g->failed);
}

/* ------------------------------------------------------- times and graphs */

void
gpu_mark(struct gpu *g, int which)
{
    note(g, cudaEventRecord(g->mark[which], g->stream), "mark a moment");
}

double
gpu_marked(struct gpu *g)
{
    float ms = 0;

    note(g, cudaEventSynchronize(g->mark[1]), "do what it was given");
    note(g, cudaEventElapsedTime(&ms, g->mark[0], g->mark[1]),
         "measure a time");
    return ms * 1e-3;
}

int
gpu_record(struct gpu *g, struct err *e)
{
    cudaError_t rc;

    if (gpu_check(g, e) != 0)
        return -1;
    rc = cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeRelaxed);
    if (rc == cudaSuccess)
        return 0;
    cudaGetLastError();
    return err_set(e, EXIT_IO, "%s", cudaGetErrorString(rc));
}

struct gpu_graph *
gpu_recorded(struct gpu *g, struct err *e)
{
    struct gpu_graph *r = mem_array(1, sizeof *r);
    cudaGraph_t graph = NULL;
    cudaError_t rc = cudaStreamEndCapture(g->stream, &graph);

    if (rc == cudaSuccess)
        rc = cudaGraphInstantiate(&r->exec, graph, 0);
    if (graph != NULL)
        cudaGraphDestroy(graph);
    if (rc == cudaSuccess)
        return r;
    cudaGetLastError();
    if (g->failed.status != 0)
        err_set(e, EXIT_IO, "%s", g->failed.text);
    err_clear(&g->failed);
    err_set(e, EXIT_IO, "%s", cudaGetErrorString(rc));
    free(r);
    return NULL;
}

void
gpu_replay(struct gpu *g, struct gpu_graph *r)
{
    note(g, cudaGraphLaunch(r->exec, g->stream), "replay a step");
}

void
gpu_graph_free(struct gpu_graph *r)
{
    if (r != NULL)
        cudaGraphExecDestroy(r->exec);
    free(r);
}
