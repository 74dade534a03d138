/*
 * Ranks that talk by MPI.
 *
 * MPI_Allreduce may add in any order, so the order is ours: of each chunk a
 * rank owns one part; it takes that part from all others, adds neighbours first
 * (halves.h) and hands the result back.  That moves no more bytes than the best
 * algorithms do (each rank sends 2 n (size - 1) / size numbers), and one chunk's
 * results travel together with the next chunk's terms.
 *
 * MPI moves nothing while nobody calls it, so sums that were begun are made by
 * a thread of ours, in order, while the caller computes on.  The caller enters
 * MPI only when that thread has nothing to do.
 */
#include "base/halves.h"
#include "base/log.h"
#include "base/mem.h"
#include "comm/comm.h"

#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 18,            /* numbers that travel at a time */
    SPIN_US = 50,               /* test so long before the first nap, */
    SPIN_BYTES_US = 1000,       /* and 1 us more for so many bytes; */
    NAP_MIN_US = 20,            /* naps double */
    NAP_MAX_US = 1000,
    JOBS = 64                   /* sums that can be begun at a time */
};

enum tag { TAG_TERM, TAG_SUM };

/* What a vector is made of. */
struct kind {
    MPI_Datatype type;
    size_t width;               /* bytes */
    void (*add)(void *to, const void *from, size_t n);
};

/* A sum that was begun. */
struct job {
    float *x;
    size_t n;
};

struct mpi {
    struct comm comm;
    double timeout;
    MPI_Request *request;       /* [4 * size] under way */
    int *peer;                  /* [4 * size] with which rank */
    int *done;                  /* [4 * size] scratch of wait_all() */
    int nrequests;
    size_t nbytes;              /* that they move */
    char *terms;                /* [size][CHUNK / size + 1] of others */
    size_t terms_nbytes;
    uint16_t *bf16;             /* [nbf16] */
    size_t nbf16;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;       /* of all below */
    pthread_cond_t change;
    struct job job[JOBS];       /* ring, njobs from `first` */
    size_t first, njobs;
    bool busy;                  /* the thread is in MPI */
    bool ended;                 /* the thread is to end */
    struct err failed;          /* of the thread */
};

static int
mpi_failed(int code, struct err *e)
{
    char text[MPI_MAX_ERROR_STRING];
    int n;

    if (MPI_Error_string(code, text, &n) != MPI_SUCCESS)
        return err_set(e, EXIT_IO, "MPI failed with code %d", code);
    return err_set(e, EXIT_IO, "MPI failed: %s", text);
}

/* What was begun with a peer is among what wait_all() waits for. */
static int
posted(struct mpi *m, int code, size_t nbytes, int peer, struct err *e)
{
    if (code != MPI_SUCCESS)
        return mpi_failed(code, e);
    m->peer[m->nrequests++] = peer;
    m->nbytes += nbytes;
    return 0;
}

static int
post_send(struct mpi *m, const void *x, size_t n, const struct kind *k,
          int peer, enum tag tag, struct err *e)
{
    int code = MPI_Isend(x, (int)n, k->type, peer, (int)tag, MPI_COMM_WORLD,
                         &m->request[m->nrequests]);

    return posted(m, code, n * k->width, peer, e);
}

static int
post_receive(struct mpi *m, void *x, size_t n, const struct kind *k,
             int peer, enum tag tag, struct err *e)
{
    int code = MPI_Irecv(x, (int)n, k->type, peer, (int)tag, MPI_COMM_WORLD,
                         &m->request[m->nrequests]);

    return posted(m, code, n * k->width, peer, e);
}

/*
 * Name the ranks that are waited for, if it is time to.  If several are missing,
 * some may only be waiting for the one at fault; so this rank waits a second
 * more, in which another may name it.
 */
static int
check_deadline(struct mpi *m, double waited, struct err *e)
{
    char list[256] = "";
    int nmissing = 0;

    if (m->timeout <= 0 || waited < m->timeout)
        return 0;
    for (int r = 0; r < m->comm.size; r++) {
        size_t used = strlen(list);
        bool missing = false;

        for (int i = 0; i < m->nrequests; i++)
            if (m->peer[i] == r && m->request[i] != MPI_REQUEST_NULL)
                missing = true;
        if (!missing)
            continue;
        snprintf(list + used, sizeof list - used, "%s%d",
                 nmissing > 0 ? ", " : "", r);
        nmissing++;
    }
    if (nmissing == 1)
        return err_set(e, EXIT_IO, "rank %s has not answered for %g s", list,
                       m->timeout);
    if (waited < m->timeout + 1)
        return 0;
    return err_set(e, EXIT_IO, "ranks %s have not answered for %g s", list,
                   m->timeout);
}

/* Complete all requests.  Only tests: a blocking wait would burn a core. */
static int
wait_all(struct mpi *m, struct err *e)
{
    double start = clock_seconds(), active = start;
    double spin = (SPIN_US + (double)m->nbytes / SPIN_BYTES_US) * 1e-6;
    long nap = NAP_MIN_US;

    for (;;) {
        double now;
        int ndone;
        int code = MPI_Testsome(m->nrequests, m->request, &ndone, m->done,
                                MPI_STATUSES_IGNORE);

        if (code != MPI_SUCCESS)
            return mpi_failed(code, e);
        if (ndone == MPI_UNDEFINED)
            break;
        now = clock_seconds();
        if (ndone > 0) {
            active = now;
            nap = NAP_MIN_US;
        } else if (now - active < spin) {
            sched_yield();
        } else {
            struct timespec t = { 0, nap * 1000 };

            if (check_deadline(m, now - start, e) != 0)
                return -1;
            nanosleep(&t, NULL);
            nap = nap * 2 < NAP_MAX_US ? nap * 2 : NAP_MAX_US;
        }
    }
    m->nrequests = 0;
    m->nbytes = 0;
    return 0;
}

/* Part r of a chunk of n numbers: where it starts. */
static size_t
part(const struct mpi *m, size_t n, int r)
{
    return n * (size_t)r / (size_t)m->comm.size;
}

/* Where the terms of rank r for my part go. */
static char *
terms_of(const struct mpi *m, int r)
{
    return m->terms + (size_t)r * m->terms_nbytes;
}

/* Terms of a chunk: my part from all others, theirs to them. */
static int
post_terms(struct mpi *m, char *x, size_t n, const struct kind *k,
           struct err *e)
{
    size_t mine = part(m, n, m->comm.rank + 1) - part(m, n, m->comm.rank);

    for (int i = 1; i < m->comm.size; i++) {
        int r = (m->comm.rank + i) % m->comm.size;
        size_t at = part(m, n, r);

        if (post_receive(m, terms_of(m, r), mine, k, r, TAG_TERM, e) != 0 ||
            post_send(m, x + at * k->width, part(m, n, r + 1) - at, k, r,
                      TAG_TERM, e) != 0)
            return -1;
    }
    return 0;
}

/* Sums of a chunk: my part to all others, theirs from them. */
static int
post_sums(struct mpi *m, char *x, size_t n, const struct kind *k,
          struct err *e)
{
    size_t mine = part(m, n, m->comm.rank);
    size_t nmine = part(m, n, m->comm.rank + 1) - mine;

    for (int i = 1; i < m->comm.size; i++) {
        int r = (m->comm.rank + i) % m->comm.size;
        size_t at = part(m, n, r);

        if (post_receive(m, x + at * k->width, part(m, n, r + 1) - at, k, r,
                         TAG_SUM, e) != 0 ||
            post_send(m, x + mine * k->width, nmine, k, r, TAG_SUM, e) != 0)
            return -1;
    }
    return 0;
}

/* My part of a chunk becomes the sum over ranks, neighbours first. */
static void
add_terms(struct mpi *m, char *x, size_t n, const struct kind *k)
{
    size_t at = part(m, n, m->comm.rank);
    size_t mine = part(m, n, m->comm.rank + 1) - at;
    char *own = x + at * k->width, *total = own;

    HALVES_EACH (r, step, m->comm.size)
        k->add(r == m->comm.rank ? own : terms_of(m, r),
               r + step == m->comm.rank ? own : terms_of(m, r + step), mine);
    if (m->comm.rank > 0)
        total = terms_of(m, 0);
    if (mine > 0 && total != own)
        memcpy(own, total, mine * k->width);
}

/* Chunk i's terms travel while the sums of chunk i - 1 do. */
static int
sum(struct mpi *m, void *x, size_t n, const struct kind *k, struct err *e)
{
    char *chunk = x, *last = x;
    size_t left = n, nlast = 0;

    do {                        /* once for n = 0, the barrier */
        size_t nchunk = left < CHUNK ? left : CHUNK;

        if (post_terms(m, chunk, nchunk, k, e) != 0 ||
            (nlast > 0 && post_sums(m, last, nlast, k, e) != 0) ||
            wait_all(m, e) != 0)
            return -1;
        add_terms(m, chunk, nchunk, k);
        last = chunk;
        nlast = nchunk;
        chunk += nchunk * k->width;
        left -= nchunk;
    } while (left > 0);
    return post_sums(m, last, nlast, k, e) != 0 ? -1 : wait_all(m, e);
}

/* As bf16, rounded to the nearest, ties to even; NaN stays NaN. */
static uint16_t
narrow(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    if (x != x)
        return (uint16_t)(u >> 16 | 64);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float
widen(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

static void
add_bf16(void *to, const void *from, size_t n)
{
    uint16_t *restrict x = to;
    const uint16_t *restrict y = from;

    for (size_t i = 0; i < n; i++)
        x[i] = narrow(widen(x[i]) + widen(y[i]));
}

static int
sum_floats(struct mpi *m, float *x, size_t n, struct err *e)
{
    const struct kind whole = { MPI_FLOAT, sizeof *x, halves_add_floats };
    const struct kind bf16 = { MPI_UINT16_T, sizeof *m->bf16, add_bf16 };

    if (!m->comm.bf16)
        return sum(m, x, n, &whole, e);
    m->bf16 = mem_scratch(m->bf16, n, &m->nbf16, sizeof *m->bf16);
    for (size_t i = 0; i < n; i++)
        m->bf16[i] = narrow(x[i]);
    if (sum(m, m->bf16, n, &bf16, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        x[i] = widen(m->bf16[i]);
    return 0;
}

/* The thread: jobs in order; after a failure none is done any more. */
static void *
work(void *arg)
{
    struct mpi *m = arg;

    pthread_mutex_lock(&m->lock);
    for (;;) {
        struct err e = { 0 };
        struct job j;

        while (!m->ended && (m->njobs == 0 || m->busy))
            pthread_cond_wait(&m->change, &m->lock);
        if (m->ended)
            break;
        j = m->job[m->first];
        m->busy = true;
        pthread_mutex_unlock(&m->lock);
        sum_floats(m, j.x, j.n, &e);
        pthread_mutex_lock(&m->lock);
        m->busy = false;
        m->first = (m->first + 1) % JOBS;
        m->njobs = e.status == 0 ? m->njobs - 1 : 0;
        if (e.status != 0)
            m->failed = e;
        pthread_cond_broadcast(&m->change);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static int
mpi_wait(struct comm *c, struct err *e)
{
    struct mpi *m = (struct mpi *)c;

    pthread_mutex_lock(&m->lock);
    while (m->njobs > 0 || m->busy)
        pthread_cond_wait(&m->change, &m->lock);
    pthread_mutex_unlock(&m->lock);
    if (m->failed.status == 0)
        return 0;
    return err_copy(e, &m->failed);
}

static int
mpi_sum(struct comm *c, float *x, size_t n, struct err *e)
{
    struct mpi *m = (struct mpi *)c;
    int rc = 0;

    pthread_mutex_lock(&m->lock);
    while (m->njobs == JOBS)
        pthread_cond_wait(&m->change, &m->lock);
    if (m->failed.status != 0)
        rc = err_copy(e, &m->failed);
    if (rc == 0) {
        m->job[(m->first + m->njobs++) % JOBS] = (struct job){ x, n };
        pthread_cond_broadcast(&m->change);
    }
    if (rc == 0 && !m->has_thread) {
        m->has_thread = pthread_create(&m->thread, NULL, work, m) == 0;
        if (!m->has_thread) {
            m->njobs = 0;
            rc = err_set(e, EXIT_IO, "cannot start a thread");
        }
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* After the sums that were begun, in the caller's thread. */
static int
mpi_hsum(struct comm *c, double *x, size_t n, struct err *e)
{
    const struct kind k = { MPI_DOUBLE, sizeof *x, halves_add_doubles };

    return mpi_wait(c, e) != 0 ? -1 : sum((struct mpi *)c, x, n, &k, e);
}

/* False if it is in a sum that may never end: it goes with the process. */
static bool
end_thread(struct mpi *m)
{
    bool idle;

    if (!m->has_thread)
        return true;
    pthread_mutex_lock(&m->lock);
    idle = m->njobs == 0 && !m->busy;
    m->ended = true;
    pthread_cond_broadcast(&m->change);
    pthread_mutex_unlock(&m->lock);
    if (idle)
        pthread_join(m->thread, NULL);
    return idle;
}

/*
 * A failed rank leaves without MPI_Finalize: the launcher then ends the others
 * and takes this rank's exit status for its own.
 */
static void
mpi_close(struct comm *c, bool failed)
{
    struct mpi *m = (struct mpi *)c;

    /* Meet first, by naps: MPI_Finalize burns a core while it waits. */
    m->timeout = failed ? m->timeout : 0;
    if (!failed && mpi_hsum(c, NULL, 0, NULL) != 0)
        failed = true;
    if (!end_thread(m))
        return;
    if (!failed)
        MPI_Finalize();
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->change);
    free(m->request);
    free(m->peer);
    free(m->done);
    free(m->terms);
    free(m->bf16);
    free(m);
}

/* MPI knows no deadline while it opens: this thread has one for it. */
struct watch {
    double timeout;
    bool met;
    pthread_mutex_t lock;
    pthread_cond_t change;
    pthread_t thread;
};

static void *
watch(void *arg)
{
    struct watch *w = arg;
    struct timespec limit;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += (time_t)w->timeout + 1;
    pthread_mutex_lock(&w->lock);
    while (!w->met && rc == 0)
        rc = pthread_cond_timedwait(&w->change, &w->lock, &limit);
    if (!w->met) {
        log_error("the ranks have not met for %g s: one hangs, or is not "
                  "there", w->timeout);
        _exit(EXIT_IO);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static struct comm *mpi_meet(double timeout, struct err *e);

static struct comm *
mpi_open(double timeout, struct err *e)
{
    struct watch w = { .timeout = timeout };
    struct comm *c;
    bool watched;

    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.change, NULL);
    watched = timeout > 0 && pthread_create(&w.thread, NULL, watch, &w) == 0;
    c = mpi_meet(timeout, e);
    pthread_mutex_lock(&w.lock);
    w.met = true;
    pthread_cond_signal(&w.change);
    pthread_mutex_unlock(&w.lock);
    if (watched)
        pthread_join(w.thread, NULL);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.change);
    return c;
}

static const struct comm_class mpi_class;

static struct comm *
mpi_meet(double timeout, struct err *e)
{
    struct mpi *m = NULL;
    MPI_Comm local;
    int had = 0, level, code;

    if (MPI_Initialized(&had) != MPI_SUCCESS || had) {
        err_set(e, EXIT_IO, "MPI is open already");
        return NULL;
    }
    /* Reading another's memory is forbidden in many containers, and copies
       through shared memory were as fast (2 ranks, 11 M floats: 10-14 ms). */
    setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    if (code != MPI_SUCCESS) {
        mpi_failed(code, e);
        return NULL;
    }
    if (level < MPI_THREAD_SERIALIZED) {
        err_set(e, EXIT_IO, "this MPI takes no calls from other threads");
        return NULL;
    }
    m = mem_array(1, sizeof *m);
    m->comm.class = &mpi_class;
    m->timeout = timeout;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &m->comm.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m->comm.size);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0,
                        MPI_INFO_NULL, &local);
    MPI_Comm_rank(local, &m->comm.local_rank);
    MPI_Comm_size(local, &m->comm.local_size);
    MPI_Comm_free(&local);
    m->request = mem_array((size_t)m->comm.size, 4 * sizeof *m->request);
    m->peer = mem_array((size_t)m->comm.size, 4 * sizeof *m->peer);
    m->done = mem_array((size_t)m->comm.size, 4 * sizeof *m->done);
    m->terms_nbytes = (CHUNK / (size_t)m->comm.size + 1) * sizeof(double);
    m->terms = mem_aligned((size_t)m->comm.size, m->terms_nbytes);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->change, NULL);
    return &m->comm;
}

static const struct comm_class mpi_class = {
    .name = "mpi",
    .open = mpi_open,
    .sum = mpi_sum,
    .wait = mpi_wait,
    .hsum = mpi_hsum,
    .close = mpi_close
};

extern const struct comm_class *const busi_comm_class;

__attribute__((visibility("default")))
const struct comm_class *const busi_comm_class = &mpi_class;
