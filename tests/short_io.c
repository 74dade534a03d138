/*
 * Preloaded into programs by tests/t-faults.sh: in busi-*, every third read and
 * write is interrupted (EINTR), all others move seven bytes at most.  With RANK
 * set, sockets do the same; without, they carry messages, which are never cut.
 * close_range() is not there, as before Linux 5.9.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How much of n may move now; -1: interrupted. */
static long
some(size_t n, bool here)
{
    static atomic_uint calls;
    unsigned k;

    if (n == 0 || !here || strncmp(program_invocation_short_name, "busi-", 5))
        return (long)n;
    k = atomic_fetch_add(&calls, 1);
    errno = EINTR;
    return k % 3 == 2 ? -1 : (long)(n < 1 + k % 7 ? n : 1 + k % 7);
}

ssize_t
read(int fd, void *to, size_t n)
{
    long m = some(n, true);

    return m < 0 ? m : syscall(SYS_read, fd, to, m);
}

ssize_t
write(int fd, const void *from, size_t n)
{
    long m = some(n, true);

    return m < 0 ? m : syscall(SYS_write, fd, from, m);
}

ssize_t
recv(int fd, void *to, size_t n, int flags)
{
    long m = some(n, getenv("RANK") != NULL);

    return m < 0 ? m : syscall(SYS_recvfrom, fd, to, m, flags, NULL, NULL);
}

ssize_t
send(int fd, const void *from, size_t n, int flags)
{
    long m = some(n, getenv("RANK") != NULL);

    return m < 0 ? m : syscall(SYS_sendto, fd, from, m, flags, NULL, 0);
}

int
close_range(unsigned first, unsigned last, int flags)
{
    (void)first, (void)last, (void)flags;
    errno = ENOSYS;
    return -1;
}
