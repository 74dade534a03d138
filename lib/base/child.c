#include "base/child.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 512 };           /* bytes, of ulimit -f */

/* All of a file, if it is no longer than the limit. */
static int
take(int fd, struct str *to, size_t limit)
{
    off_t size = lseek(fd, 0, SEEK_END);
    size_t n = size > 0 ? (size_t)size : 0;
    void *p;

    if (n == 0 || n > limit)
        return n == 0 ? 0 : CHILD_KILLED;
    p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return -1;
    str_add_bytes(to, p, n);
    munmap(p, n);
    return 0;
}

/* What has become of it, and what it wrote; -1 with errno. */
static int
await(pid_t pid, const int fd[3], size_t limit, struct str *out,
      struct str *said)
{
    int status, rc, more;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    rc = take(fd[1], out, limit);
    more = rc < 0 ? rc : take(fd[2], said, limit);
    if (more != 0)
        rc = more;
    return rc != 0 ? rc
         : WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_KILLED;
}

static int
start(pid_t *pid, const char *const *args, size_t limit, const int fd[3])
{
    extern char **environ;
    char blocks[24];
    const char *argv[24] = {
        "sh", "-c", "trap '' INT; ulimit -v 2097152; ulimit -t 60; "
                    "ulimit -f $0; exec \"$@\"", blocks
    };
    posix_spawn_file_actions_t a;
    int rc;

    snprintf(blocks, sizeof blocks, "%zu", limit / BLOCK + 1);
    for (int i = 0; args[i] != NULL; i++)
        argv[4 + i] = args[i];
    posix_spawn_file_actions_init(&a);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&a, fd[i], i);
    rc = posix_spawn(pid, "/bin/sh", &a, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&a);
    return rc;
}

int
child_run(const char *const *args, const void *in, size_t nbytes, size_t limit,
          struct str *out, struct str *said, struct err *e)
{
    int fd[3], rc = -1;
    pid_t pid;

    for (int i = 0; i < 3; i++)     /* files without a name */
        fd[i] = memfd_create("child", MFD_CLOEXEC);
    if (fd[0] < 0 || fd[1] < 0 || fd[2] < 0 ||
        pwrite(fd[0], in, nbytes, 0) != (ssize_t)nbytes) {
        err_errno(e, "cannot hand bytes to '%s'", args[0]);
    } else if ((errno = start(&pid, args, limit, fd)) != 0) {
        err_errno(e, "cannot start '%s'", args[0]);
    } else if ((rc = await(pid, fd, limit, out, said)) < 0) {
        err_errno(e, "cannot learn what '%s' says", args[0]);
    }
    for (int i = 0; i < 3; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    return rc;
}
