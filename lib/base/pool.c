#include "base/pool.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct job {
    void (*work)(void *ctx, size_t i, int thread);
    void *ctx;
    size_t n;
    atomic_size_t next;
};

struct worker {
    struct job *job;
    int number;
    pthread_t thread;
};

int
pool_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CPU_COUNT(&set);
}

static void *
labour(void *arg)
{
    struct worker *w = arg;
    struct job *j = w->job;
    size_t i;

    while ((i = atomic_fetch_add(&j->next, 1)) < j->n)
        j->work(j->ctx, i, w->number);
    return NULL;
}

void
pool_run(int threads, size_t n, void (*work)(void *, size_t, int), void *ctx)
{
    struct job job = { .work = work, .ctx = ctx, .n = n };
    struct worker *w;
    int started = 0;

    if (threads <= 0)
        threads = pool_cores();
    if ((size_t)threads > n)
        threads = n > 0 ? (int)n : 1;
    w = mem_array((size_t)threads, sizeof *w);
    for (int t = 0; t < threads; t++)
        w[t] = (struct worker){ .job = &job, .number = t };
    /* A thread that cannot be had costs time, not results. */
    for (int t = 1; t < threads; t++, started++)
        if (pthread_create(&w[t].thread, NULL, labour, &w[t]) != 0)
            break;
    labour(&w[0]);
    for (int t = 1; t <= started; t++)
        pthread_join(w[t].thread, NULL);
    free(w);
}

struct attempt {
    int (*work)(void *ctx, size_t i, int thread, struct err *e);
    void *ctx;
    atomic_size_t lowest;       /* item that failed */
    pthread_mutex_t lock;       /* of its error */
    struct err err;
};

/* Items are handed out in order: all before one that failed are tried. */
static void
attempt(void *ctx, size_t i, int thread)
{
    struct attempt *a = ctx;
    struct err e = { 0 };

    if (i > a->lowest || a->work(a->ctx, i, thread, &e) == 0)
        return;
    pthread_mutex_lock(&a->lock);
    if (i < a->lowest) {
        a->lowest = i;
        a->err = e;
    }
    pthread_mutex_unlock(&a->lock);
}

int
pool_try(int threads, size_t n, int (*work)(void *, size_t, int, struct err *),
         void *ctx, struct err *e)
{
    struct attempt a = { .work = work, .ctx = ctx, .lowest = n,
                         .lock = PTHREAD_MUTEX_INITIALIZER };

    pool_run(threads, n, attempt, &a);
    return a.lowest == n ? 0 : err_copy(e, &a.err);
}

static void *
pass(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

int
pool_check(int threads, struct err *e)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    size_t others = threads > 1 ? (size_t)threads - 1 : 0, n = 0;
    pthread_t *thread = mem_array(others, sizeof *thread);
    int rc = 0;

    pthread_mutex_lock(&gate);
    while (n < others &&
           (rc = pthread_create(&thread[n], NULL, pass, &gate)) == 0)
        n++;
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    free(thread);
    errno = rc;
    return rc == 0 ? 0 : err_errno(e, "cannot start %d threads", threads);
}
