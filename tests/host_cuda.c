/* host_cuda: tests/host/cuda_runtime_api.h, of one thread. */
#include "tests/host/cuda_runtime_api.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct task {
    struct task *next;
    bool (*go)(void *arg);
    void (*gone)(void *arg);
    char arg[] __attribute__((aligned(16)));
};

/* Tasks in the order in which they were given. */
struct list {
    struct task *head, **end;
    size_t n;
};

enum { BRANCHES = 4 };      /* streams of a capture */
enum { STREAMS = 16 };

struct host_graph {
    int refs;
    bool invalid;
    int n;
    struct list branch[BRANCHES];
    size_t joined[BRANCHES];        /* tasks that branch 0 has waited for */
    struct task *now[BRANCHES];     /* of a launch */
    size_t done[BRANCHES];
    bool runs;
};

struct host_stream {
    struct list list;
    struct host_graph *graph;       /* of a capture that it is part of */
    int branch;
};

struct host_event {
    unsigned long asked, reached;
    struct host_graph *graph;       /* captured, behind `place` tasks */
    int branch;
    size_t place;
};

static struct host_stream *stream[STREAMS]; /* in the order of opening */
static int nstreams;
static cudaError_t last;
static unsigned long graphs;        /* launches */

unsigned long cuda_host_launches;

static cudaError_t
error(cudaError_t rc)
{
    if (rc != cudaSuccess && rc != cudaErrorNotReady)
        last = rc;
    return rc;
}

/* --------------------------------------------------------------- the work */

static void
add(struct list *l, struct task *t)
{
    if (l->end == NULL)
        l->end = &l->head;
    t->next = NULL;
    *l->end = t;
    l->end = &t->next;
    l->n++;
}

static void
drop(struct task *t)
{
    if (t->gone != NULL)
        t->gone(t->arg);
    free(t);
}

void
cuda_host_put(cudaStream_t s, bool (*go)(void *), void (*gone)(void *),
              const void *arg, size_t nbytes)
{
    struct task *t = mem_aligned(sizeof *t + nbytes, 1);

    t->go = go;
    t->gone = gone;
    if (nbytes > 0)
        memcpy(t->arg, arg, nbytes);
    add(s->graph != NULL ? &s->graph->branch[s->branch] : &s->list, t);
}

/* Whose turn is the i-th of n. */
static int
turned(int i, int n)
{
    const char *order = getenv("CUDA_HOST_STREAMS");

    return order != NULL && strcmp(order, "early") == 0 ? n - 1 - i : i;
}

/* One task of one stream: false where none can go on. */
static bool
advance(void)
{
    for (int i = 0; i < nstreams; i++) {
        struct list *l = &stream[turned(i, nstreams)]->list;
        struct task *t = l->head;

        if (t != NULL && t->go(t->arg)) {
            l->head = t->next;
            if (t->next == NULL)
                l->end = &l->head;
            drop(t);
            return true;
        }
    }
    return false;
}

static void
nap(void)
{
    const struct timespec t = { 0, 50 * 1000 };

    nanosleep(&t, NULL);
}

static cudaError_t
finish(struct host_stream *s)
{
    if (s->graph != NULL) {
        s->graph->invalid = true;
        return error(cudaErrorStreamCaptureUnsupported);
    }
    while (s->list.head != NULL)
        if (!advance())
            nap();
    return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize(cudaStream_t s)
{
    return finish(s);
}

/* ------------------------------------------------------ streams and events */

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    if (flags != cudaStreamNonBlocking || nstreams == STREAMS)
        return error(cudaErrorInvalidValue);
    *s = stream[nstreams++] = mem_array(1, sizeof **s);
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t s)
{
    int i = 0;

    finish(s);
    while (stream[i] != s)
        i++;
    for (nstreams--; i < nstreams; i++)
        stream[i] = stream[i + 1];
    free(s);
    return cudaSuccess;
}

cudaError_t
cudaEventCreate(cudaEvent_t *event)
{
    *event = mem_array(1, sizeof **event);
    return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    return cudaEventCreate(event);
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return cudaSuccess;
}

/* What a stream is to do to an event, or to wait for. */
struct moment {
    struct host_event *event;
    unsigned long number;
    struct host_graph *graph;
    int branch;
    size_t place;
};

static bool
reach(void *arg)
{
    struct moment *m = arg;

    m->event->reached = m->number;
    return true;
}

static bool
is_reached(void *arg)
{
    const struct moment *m = arg;

    return m->graph != NULL ? m->graph->done[m->branch] >= m->place
                            : m->event->reached >= m->number;
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t s)
{
    struct moment m = { .event = event, .number = ++event->asked };

    event->graph = s->graph;
    if (s->graph == NULL) {
        cuda_host_put(s, reach, NULL, &m, sizeof m);
        return cudaSuccess;
    }
    event->branch = s->branch;
    event->place = s->graph->branch[s->branch].n;
    return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t event, unsigned flags)
{
    struct moment m = { event, event->asked, event->graph, event->branch,
                        event->place };

    if (flags != 0 || (s->graph != NULL && event->graph != s->graph) ||
        (event->graph != NULL && s->graph == NULL &&
         event->graph->n == BRANCHES)) {
        if (s->graph != NULL)
            s->graph->invalid = true;
        return error(cudaErrorStreamCaptureIsolation);
    }
    if (event->graph != NULL && s->graph == NULL) {
        s->graph = event->graph;
        s->branch = event->graph->n++;
    }
    if (s->graph != NULL && s->branch == 0)
        s->graph->joined[event->branch] = event->place;
    cuda_host_put(s, is_reached, NULL, &m, sizeof m);
    return cudaSuccess;
}

cudaError_t
cudaEventQuery(cudaEvent_t event)
{
    if (event->graph != NULL)
        return error(cudaErrorCapturedEvent);
    while (event->reached < event->asked)
        if (!advance())
            return cudaErrorNotReady;
    return cudaSuccess;
}

cudaError_t
cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t rc;

    while ((rc = cudaEventQuery(event)) == cudaErrorNotReady)
        nap();
    return rc;
}

cudaError_t
cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    (void)a;
    (void)b;
    *ms = 0;
    return cudaSuccess;
}

/* ------------------------------------------------------------------ graphs */

static void
let_go(struct host_graph *g)
{
    if (--g->refs > 0)
        return;
    for (int i = 0; i < g->n; i++)
        while (g->branch[i].head != NULL) {
            struct task *t = g->branch[i].head;

            g->branch[i].head = t->next;
            drop(t);
        }
    free(g);
}

cudaError_t
cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    if (s->graph != NULL)
        return error(cudaErrorInvalidValue);
    if (getenv("CUDA_HOST_NO_CAPTURE") != NULL)
        return error(cudaErrorStreamCaptureUnsupported);
    s->graph = mem_array(1, sizeof *s->graph);
    s->graph->refs = s->graph->n = 1;
    s->branch = 0;
    return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    struct host_graph *g = s->graph;
    cudaError_t rc = cudaSuccess;

    *graph = NULL;
    if (g == NULL || s->branch != 0)
        return error(cudaErrorInvalidValue);
    for (int i = 0; i < nstreams; i++)
        if (stream[i]->graph == g)
            stream[i]->graph = NULL;
    for (int i = 1; i < g->n; i++)
        if (g->joined[i] < g->branch[i].n)
            rc = cudaErrorStreamCaptureUnjoined;
    if (g->invalid)
        rc = cudaErrorStreamCaptureInvalidated;
    if (rc == cudaSuccess)
        *graph = g;
    else
        let_go(g);
    return error(rc);
}

cudaError_t
cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status)
{
    *status = s->graph == NULL ? cudaStreamCaptureStatusNone
              : s->graph->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t
cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                     unsigned long long flags)
{
    (void)flags;
    graph->refs++;
    *exec = graph;
    return cudaSuccess;
}

/* A launch: one task of a branch at a time, as advance() has it. */
static bool
run_graph(void *arg)
{
    struct host_graph *g = *(struct host_graph **)arg;
    bool left = false;

    for (int i = 0; i < g->n && !g->runs; i++) {
        g->now[i] = g->branch[i].head;
        g->done[i] = 0;
    }
    g->runs = true;
    for (int i = 0; i < g->n; i++) {
        int k = turned(i, g->n);
        struct task *t = g->now[k];

        if (t == NULL || !t->go(t->arg))
            continue;
        g->now[k] = t->next;
        g->done[k]++;
        i = -1;                 /* from the first again */
    }
    for (int i = 0; i < g->n; i++)
        left = left || g->now[i] != NULL;
    g->runs = left;
    return !left;
}

static void
launched(void *arg)
{
    let_go(*(struct host_graph **)arg);
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    exec->refs++;
    graphs++;
    cuda_host_put(s, run_graph, launched, &exec, sizeof exec);
    return cudaSuccess;
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
    let_go(graph);
    return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    let_go(exec);
    return cudaSuccess;
}

/* ------------------------------------------------------------------ memory */

cudaError_t
cudaMalloc(void **p, size_t nbytes)
{
    const char *full = getenv("CUDA_HOST_FULL"), *rank = getenv("RANK");
    size_t refused;
    int who;

    if (full != NULL && rank != NULL &&
        sscanf(full, "%d:%zu", &who, &refused) == 2 && who == atoi(rank) &&
        refused == nbytes)
        return error(cudaErrorMemoryAllocation);
    *p = mem_aligned(nbytes, 1);
    return cudaSuccess;
}

/* Like CUDA's, not before everything is done. */
cudaError_t
cudaFree(void *p)
{
    for (int i = 0; i < nstreams; i++)
        if (stream[i]->graph == NULL)
            finish(stream[i]);
    free(p);
    return cudaSuccess;
}

struct copy {
    void *to;
    const void *from;
    size_t nbytes;
    void *own;                  /* of memory that the host may change */
    int value;                  /* without `from` */
};

static bool
copy(void *arg)
{
    const struct copy *c = arg;

    if (c->from != NULL)
        memcpy(c->to, c->from, c->nbytes);
    else
        memset(c->to, c->value, c->nbytes);
    return true;
}

static void
copied(void *arg)
{
    free(((struct copy *)arg)->own);
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t nbytes,
                enum cudaMemcpyKind kind, cudaStream_t s)
{
    struct copy c = { to, from, nbytes, NULL, 0 };

    if (nbytes == 0)
        return cudaSuccess;
    if (kind != cudaMemcpyDeviceToDevice && s->graph != NULL) {
        s->graph->invalid = true;
        return error(cudaErrorStreamCaptureUnsupported);
    }
    if (kind == cudaMemcpyHostToDevice) {
        c.from = c.own = mem_array(nbytes, 1);
        memcpy(c.own, from, nbytes);
    }
    cuda_host_put(s, copy, copied, &c, sizeof c);
    return kind == cudaMemcpyDeviceToHost ? finish(s) : cudaSuccess;
}

cudaError_t
cudaMemsetAsync(void *to, int value, size_t nbytes, cudaStream_t s)
{
    const struct copy c = { to, NULL, nbytes, NULL, value };

    cuda_host_put(s, copy, NULL, &c, sizeof c);
    return cudaSuccess;
}

/* ------------------------------------------------------------------ device */

/* How much was recorded: a line in the file that CUDA_HOST_COUNT names. */
static void
count(void)
{
    const char *path = getenv("CUDA_HOST_COUNT");
    FILE *f = path != NULL ? fopen(path, "a") : NULL;

    if (f != NULL) {
        fprintf(f, "%lu\n", graphs);
        fclose(f);
    }
}

cudaError_t
cudaGetDeviceCount(int *n)
{
    static bool first = true;

    if (first)
        atexit(count);
    first = false;
    *n = 64;
    return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    (void)device;
    *p = (struct cudaDeviceProp){
        .name = "no GPU: its kernels on the CPU", .major = 9,
        .multiProcessorCount = 1, .totalGlobalMem = (size_t)1 << 40
    };
    return cudaSuccess;
}

cudaError_t
cudaDeviceGetPCIBusId(char *text, int n, int device)
{
    snprintf(text, (size_t)n, "0000:%02x:00.0", device);
    return cudaSuccess;
}

cudaError_t
cudaSetDevice(int device)
{
    (void)device;
    return cudaSuccess;
}

cudaError_t
cudaGetLastError(void)
{
    cudaError_t rc = last;

    last = cudaSuccess;
    return rc;
}

cudaError_t
cudaPeekAtLastError(void)
{
    return last;
}

const char *
cudaGetErrorString(cudaError_t rc)
{
    static const char *const text[] = {
        "no error", "invalid value", "out of memory", "no device",
        "not ready", "operation not permitted on a captured event",
        "operation not permitted while a stream is capturing",
        "the capture was invalidated", "a captured stream was not joined",
        "an event of another capture"
    };

    return text[rc];
}
