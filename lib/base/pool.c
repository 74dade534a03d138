#include "base/pool.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* Seconds that our cores have been idle, and all that they have counted. */
static void
read_idle(double *idle, double *all)
{
    /* user nice system idle iowait irq softirq steal */
    enum { FIELDS = 8, IDLE = 3, IOWAIT = 4 };
    FILE *f = fopen("/proc/stat", "re");
    double tick = (double)sysconf(_SC_CLK_TCK);
    char line[512];
    cpu_set_t set;

    *idle = *all = 0;
    if (f == NULL)
        return;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        CPU_ZERO(&set);
    while (fgets(line, sizeof line, f) != NULL) {
        char *at = line + 3;
        unsigned long cpu;

        if (strncmp(line, "cpu", 3) != 0 || *at < '0' || *at > '9')
            continue;
        cpu = strtoul(at, &at, 10);
        if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &set))
            continue;
        for (int i = 0; i < FIELDS; i++) {
            double s = (double)strtoull(at, &at, 10) / tick;

            *all += s;
            *idle += i == IDLE || i == IOWAIT ? s : 0;
        }
    }
    fclose(f);
}

int
pool_room(struct pool_room *r, int most)
{
    struct pool_room now = { .at = clock_seconds(), .cores = most };
    struct timespec t;
    double seconds = now.at - r->at;

    if (r->at > 0 && seconds < 0.5)
        return r->cores;
    read_idle(&now.idle, &now.all);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    now.own = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    /* Where cores do not count all time, their idle time means nothing. */
    if (r->at > 0 && now.all - r->all > 0.8 * pool_cores() * seconds) {
        double room = (now.own - r->own + now.idle - r->idle) / seconds + 0.5;

        now.cores = room >= most ? most : room < 1 ? 1 : (int)room;
    }
    *r = now;
    return now.cores;
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
