#include "comm/comm_tcp.h"

#include "base/halves.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/stop.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAGIC = 0x62757369,
    CHUNK = 1 << 20,            /* bytes of a rank that travel at a time */
    GRACE_SECONDS = 2           /* in which rank 0 may say it better */
};

struct tcp {
    struct comm comm;
    double timeout, start;      /* of the call that is going on */
    int *peer;                  /* [size] sockets; of rank > 0 only that to 0 */
    char *terms;                /* [size][CHUNK], on rank 0 */
};

/* Before every message.  status != 0: nbytes of text say what went wrong. */
struct head {
    uint32_t magic, rank, size, status;
    uint64_t nbytes;
};

/* A variable of the environment, if it is there. */
static int
number(const char *name, int least, int most, int *to, struct err *e)
{
    const char *text = getenv(name);
    int64_t n;

    if (text == NULL)
        return 0;
    if (!str_int(text, &n) || n < least || n > most)
        return err_set(e, EXIT_USAGE, "%s is '%s': a number from %d to %d is "
                       "wanted", name, text, least, most);
    *to = (int)n;
    return 0;
}

bool
comm_tcp_launched(void)
{
    const char *size = getenv("WORLD_SIZE");

    return getenv("RANK") != NULL && size != NULL && size[0] != '\0' &&
           strcmp(size, "1") != 0;
}

/* ---------------------------------------------------------------- messages */

static int
gone(int rank, struct err *e)
{
    return err_set(e, EXIT_IO, "rank %d has gone", rank);
}

/* Wait until a socket is ready for more. */
static int
ready(struct tcp *t, int rank, short what, struct err *e)
{
    double limit = t->timeout + (t->comm.rank > 0 ? GRACE_SECONDS : 0);
    struct pollfd p = { t->peer[rank], what, 0 };

    for (;;) {
        double left = t->start + limit - clock_seconds();

        if (t->timeout > 0 && left <= 0)
            return err_set(e, EXIT_IO, "rank %d has not answered for %g s",
                           rank, t->timeout);
        if (poll(&p, 1, t->timeout > 0 ? (int)(1000 * left) + 1 : -1) > 0)
            return 0;
    }
}

static int
move(struct tcp *t, int rank, void *to, const void *from, size_t nbytes,
     struct err *e)
{
    size_t done = 0;

    while (done < nbytes) {
        ssize_t n = to != NULL
            ? recv(t->peer[rank], (char *)to + done, nbytes - done, 0)
            : send(t->peer[rank], (const char *)from + done, nbytes - done,
                   MSG_NOSIGNAL);

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return gone(rank, e);
        else if (ready(t, rank, to != NULL ? POLLIN : POLLOUT, e) != 0)
            return -1;
    }
    return 0;
}

static int
send_message(struct tcp *t, int rank, int status, const void *x,
             size_t nbytes, struct err *e)
{
    struct head h = { MAGIC, (uint32_t)t->comm.rank, (uint32_t)t->comm.size,
                      (uint32_t)status, nbytes };

    return move(t, rank, NULL, &h, sizeof h, e) != 0
               ? -1 : move(t, rank, NULL, x, nbytes, e);
}

static int
take_message(struct tcp *t, int rank, void *x, size_t nbytes, struct err *e)
{
    char text[sizeof e->text] = "";
    struct head h;

    if (move(t, rank, &h, NULL, sizeof h, e) != 0)
        return -1;
    if (h.magic != MAGIC || (h.status == 0 ? h.nbytes != nbytes
                                           : h.nbytes >= sizeof text))
        return err_set(e, EXIT_IO, "rank %d says something else", rank);
    if (h.status == 0)
        return move(t, rank, x, NULL, nbytes, e);
    if (move(t, rank, text, NULL, h.nbytes, e) != 0)
        return -1;
    return err_set(e, (int)h.status, "%s", text);
}

/* Rank 0 tells the others what it knows. */
static int
tell(struct tcp *t, struct err *e)
{
    struct err dull = { 0 };

    t->timeout = GRACE_SECONDS;
    t->start = clock_seconds();
    for (int r = 1; r < t->comm.size && t->comm.rank == 0; r++)
        if (t->peer[r] >= 0)
            send_message(t, r, e->status, e->text, strlen(e->text), &dull);
    return -1;
}

/* ------------------------------------------------------------------- sums */

/* What a vector is made of. */
struct kind {
    size_t width;               /* bytes */
    void (*add)(void *to, const void *from, size_t n);
};

static void *
term(struct tcp *t, int rank)
{
    return t->terms + (size_t)rank * CHUNK;
}

static int
sum_here(struct tcp *t, void *x, size_t nbytes, const struct kind *k,
         struct err *e)
{
    memcpy(term(t, 0), x, nbytes);
    for (int r = 1; r < t->comm.size; r++)
        if (take_message(t, r, term(t, r), nbytes, e) != 0)
            return tell(t, e);
    HALVES_EACH (r, step, t->comm.size)
        k->add(term(t, r), term(t, r + step), nbytes / k->width);
    memcpy(x, term(t, 0), nbytes);
    for (int r = 1; r < t->comm.size; r++)
        if (send_message(t, r, 0, x, nbytes, e) != 0)
            return tell(t, e);
    return 0;
}

static int
sum(struct tcp *t, void *x, size_t nbytes, const struct kind *k,
    struct err *e)
{
    size_t at = 0;

    do {                        /* once for nothing, the barrier */
        size_t n = nbytes - at < CHUNK ? nbytes - at : CHUNK;
        char *here = n > 0 ? (char *)x + at : t->terms;

        t->start = clock_seconds();
        if (t->comm.rank == 0 ? sum_here(t, here, n, k, e) != 0
                              : send_message(t, 0, 0, here, n, e) != 0 ||
                                    take_message(t, 0, here, n, e) != 0)
            return -1;
        at += n;
    } while (at < nbytes);
    return 0;
}

static int
tcp_sum(struct comm *c, float *x, size_t n, struct err *e)
{
    const struct kind k = { sizeof *x, halves_add_floats };

    return sum((struct tcp *)c, x, n * sizeof *x, &k, e);
}

static int
tcp_hsum(struct comm *c, double *x, size_t n, struct err *e)
{
    const struct kind k = { sizeof *x, halves_add_doubles };

    return sum((struct tcp *)c, x, n * sizeof *x, &k, e);
}

static int
tcp_wait(struct comm *c, struct err *e)
{
    (void)c, (void)e;
    return 0;
}

static void
tcp_close(struct comm *c, bool failed)
{
    struct tcp *t = (struct tcp *)c;
    struct err e = { 0 };

    t->timeout = 0;
    if (!failed)
        tcp_hsum(c, NULL, 0, &e);
    for (int r = 0; r < c->size && t->peer != NULL; r++)
        if (t->peer[r] >= 0)
            close(t->peer[r]);
    free(t->peer);
    free(t->terms);
    free(t);
}

/* ------------------------------------------------------------------ meeting */

static void
adopt(struct tcp *t, int rank, int fd)
{
    int one = 1;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    t->peer[rank] = fd;
}

static bool
has_ended(int fd)
{
    struct pollfd p = { fd, POLLRDHUP, 0 };

    return poll(&p, 1, 0) > 0;
}

/* Slot 0 is that of whoever has not been taken in. */
static int
leave(struct tcp *t, int fd)
{
    close(fd);
    t->peer[0] = -1;
    return 0;
}

static int
take_in(struct tcp *t, int fd, struct err *e)
{
    uint32_t size = (uint32_t)t->comm.size;
    struct err dull = { 0 };
    struct head h;
    int *seat;

    /* Slot 0 is free on rank 0: for whoever has not said its name yet. */
    adopt(t, 0, fd);
    t->timeout = GRACE_SECONDS;
    t->start = clock_seconds();
    if (move(t, 0, &h, NULL, sizeof h, &dull) != 0 || h.magic != MAGIC)
        return leave(t, fd);    /* none of ours */
    seat = h.rank > 0 && h.rank < size ? &t->peer[h.rank] : &t->peer[0];
    if (h.size != size) {
        err_set(e, EXIT_USAGE, "rank %u was told of %u ranks, rank 0 of %u",
                h.rank, h.size, size);
    } else if (*seat >= 0 && !has_ended(*seat)) {
        err_set(e, EXIT_USAGE, "two processes say that they are rank %u",
                h.rank);
    } else {
        if (*seat >= 0)
            close(*seat);       /* started again */
        *seat = fd;
        t->peer[0] = -1;
        return 0;
    }
    send_message(t, 0, e->status, e->text, strlen(e->text), &dull);
    leave(t, fd);
    return -1;
}

/* The first that has not come, or the number of ranks. */
static int
missing(const struct tcp *t)
{
    int r = 1;

    while (r < t->comm.size && t->peer[r] >= 0)
        r++;
    return r;
}

static int
check_stop(struct err *e)
{
    if (stop_signal() == 0)
        return 0;
    return err_set(e, 128 + stop_signal(), "asked to stop before all ranks "
                   "had come");
}

static int
meet_here(struct tcp *t, int listener, double limit, struct err *e)
{
    while (missing(t) < t->comm.size) {
        struct pollfd p = { listener, POLLIN, 0 };
        double left = limit - clock_seconds();
        int fd;

        if (left <= 0)
            return err_set(e, EXIT_IO, "rank %d has not come", missing(t));
        if (check_stop(e) != 0)
            return -1;
        if (poll(&p, 1, (int)(1000 * fmin(left, 1)) + 1) <= 0)
            continue;
        fd = accept(listener, NULL, NULL);
        if (fd >= 0 && take_in(t, fd, e) != 0)
            return -1;
    }
    return 0;
}

/* At a loopback address nobody from another machine comes. */
static int
listen_at(const char *host, int port, struct err *e)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strncmp(host, "127.", 4) == 0)
        inet_pton(AF_INET, host, &at.sin_addr);
    if (fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
        listen(fd, 64) == 0)
        return fd;
    err_errno(e, "cannot listen on port %d", port);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A connection within the time left, of which a try takes two seconds. */
static bool
connects(int fd, const struct addrinfo *a, double left)
{
    struct pollfd p = { fd, POLLOUT, 0 };
    int why = 0;
    socklen_t n = sizeof why;

    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return true;
    return errno == EINPROGRESS &&
           poll(&p, 1, left > 2 ? 2000 : left > 0 ? (int)(1000 * left) : 0)
               == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n) == 0 && why == 0;
}

/* One try to reach rank 0; -1: not yet. */
static int
try_master(const char *host, const char *port, double limit)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
    int fd = -1;

    if (getaddrinfo(host, port, &hints, &all) != 0)
        return -1;
    for (struct addrinfo *a = all; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    0);
        if (fd >= 0 && !connects(fd, a, limit - clock_seconds())) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(all);
    return fd;
}

static int
meet_master(struct tcp *t, const char *host, const char *port, double limit,
            struct err *e)
{
    const struct timespec nap = { 0, 50000000 };
    struct head h = { MAGIC, (uint32_t)t->comm.rank, (uint32_t)t->comm.size,
                      0, 0 };
    int fd;

    while ((fd = try_master(host, port, limit)) < 0) {
        if (clock_seconds() > limit)
            return err_set(e, EXIT_IO, "rank 0 does not listen at %s:%s",
                           host, port);
        if (check_stop(e) != 0)
            return -1;
        nanosleep(&nap, NULL);
    }
    adopt(t, 0, fd);
    return move(t, 0, NULL, &h, sizeof h, e);
}

/* What the environment says of the ranks, and of where rank 0 listens. */
static int
read_places(struct comm *c, int *port, struct err *e)
{
    *port = 29500;
    c->size = 1;
    if (number("WORLD_SIZE", 1, 1 << 16, &c->size, e) != 0 ||
        number("RANK", 0, c->size - 1, &c->rank, e) != 0)
        return -1;
    c->local_size = c->size;
    c->local_rank = c->rank;
    if (number("LOCAL_WORLD_SIZE", 1, c->size, &c->local_size, e) != 0 ||
        number("LOCAL_RANK", 0, c->local_size - 1, &c->local_rank, e) != 0)
        return -1;
    return number("MASTER_PORT", 1, 65534, port, e);
}

static struct comm *
tcp_open(double timeout, struct err *e)
{
    const char *host = getenv("MASTER_ADDR");
    double limit = timeout > 0 ? clock_seconds() + timeout : INFINITY;
    struct comm places = { .class = &comm_tcp_class };
    int given, listener = -1, rc = -1;
    struct tcp *t;
    char *port;

    if (read_places(&places, &given, e) != 0)
        return NULL;
    port = str_format("%d", given + 1);
    t = mem_array(1, sizeof *t);
    t->comm = places;
    t->peer = mem_array((size_t)t->comm.size, sizeof *t->peer);
    for (int r = 0; r < t->comm.size; r++)
        t->peer[r] = -1;
    t->terms = mem_array(t->comm.rank == 0 ? (size_t)t->comm.size : 1, CHUNK);
    if (host == NULL)
        host = "127.0.0.1";
    if (t->comm.rank > 0)
        rc = meet_master(t, host, port, limit, e);
    else if ((listener = listen_at(host, given + 1, e)) >= 0)
        rc = meet_here(t, listener, limit, e);
    if (listener >= 0)
        close(listener);
    free(port);
    t->timeout = timeout;
    if (rc != 0)
        tell(t, e);
    else if (tcp_hsum(&t->comm, NULL, 0, e) == 0)
        return &t->comm;
    tcp_close(&t->comm, true);
    return NULL;
}

const struct comm_class comm_tcp_class = {
    .name = "tcp", .open = tcp_open, .sum = tcp_sum, .wait = tcp_wait,
    .hsum = tcp_hsum, .close = tcp_close
};
