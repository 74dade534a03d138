#include "data/sandbox.h"

#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1             /* they map terabytes */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

enum {
    REGION = SANDBOX_MAX_IN + SANDBOX_MAX_OUT,
    KEEP = 32 << 20             /* bytes of pixels whose pages are kept */
};

/* To a sandbox, and back. */
struct request {
    size_t nbytes;
};

struct reply {
    int rc, status, w, h, c;
    char text[sizeof ((struct err *)0)->text];
};

struct sandbox {
    int socket, memory, class;
    uint8_t *region;            /* bytes of the file, then pixels */
    bool busy;
    struct sandbox *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t back;        /* one is idle again, or gone */
    int warden;                 /* socket; -1: there is none */
    pid_t pid;
    struct sandbox *sandboxes;
    int guards;                 /* bits of drop_rights(); -1: no sandbox yet */
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .back = PTHREAD_COND_INITIALIZER,
          .warden = -1, .guards = -1 };

/* ------------------------------------------------------------ in the child */

static int
landlock(void)
{
    struct landlock_ruleset_attr a = {
        .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1
    };
    int fd = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof a, 0), rc;

    if (fd < 0)
        return -1;
    rc = (int)syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
    return rc;
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/*
 * What a decoder needs once it runs: memory without executable pages, locks,
 * threads, the time, its own descriptors, an end.
 */
static int
filter(void)
{
#if defined(ARCH)
    static const short allowed[] = {
        SYS_read, SYS_write, SYS_recvfrom, SYS_sendto, SYS_close, SYS_fstat,
        SYS_lseek, SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_futex,
        SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
        SYS_sched_yield, SYS_sched_getaffinity, SYS_setitimer, SYS_getpid,
        SYS_gettid, SYS_getrandom, SYS_clock_gettime,
        SYS_gettimeofday, SYS_getrusage, SYS_sysinfo, SYS_set_robust_list,
#if defined(SANITIZED)
        SYS_sigaltstack,        /* of each thread */
#endif
        SYS_rseq, SYS_exit, SYS_exit_group
    };
    enum { HEAD = 4, TAIL = 14, N = ARRAY_LEN(allowed) };
    struct sock_filter f[HEAD + N + TAIL] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data,
                                                    arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
    };
    const struct sock_filter tail[TAIL] = {
        /* Signals to its own threads: abort() sends one. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)getpid(), 10, 9),
        /* Threads, but no processes; clone3's flags cannot be seen. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 5, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    };
    struct sock_fprog p = { .len = ARRAY_LEN(f), .filter = f };

    for (int i = 0; i < N; i++)     /* to the last line, or on */
        f[HEAD + i] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i],
            (uint8_t)(N - i + TAIL - 2), 0);
    memcpy(f + HEAD + N, tail, sizeof tail);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
#else
    return -1;
#endif
}

static void
limit(int resource, rlim_t most)
{
    setrlimit(resource, &(struct rlimit){ most, most });
}

/* Bits: 1 Landlock, 2 seccomp. */
static int
drop_rights(void)
{
    int guards = 0;

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
#if !defined(SANITIZED)
    limit(RLIMIT_DATA, SANDBOX_BYTES);
#endif
    guards |= landlock() == 0 ? 1 : 0;
    limit(RLIMIT_NOFILE, 0);
    guards |= filter() == 0 ? 2 : 0;
    return guards;
}

/* Pictures until nobody asks any more. */
static void __attribute__((noreturn))
serve(const struct sandbox_class *c, int fd, uint8_t *region)
{
    struct reply r = { .rc = drop_rights() };
    struct request q;

    while (send(fd, &r, sizeof r, MSG_NOSIGNAL) == (ssize_t)sizeof r &&
           recv(fd, &q, sizeof q, 0) == (ssize_t)sizeof q) {
        struct itimerval clock = { .it_value.tv_sec = SANDBOX_SECONDS };
        struct itimerval wall = { .it_value.tv_sec = SANDBOX_WAIT_SECONDS };
        struct image m = { 0 };
        struct err e = { 0 };

        setitimer(ITIMER_PROF, &clock, NULL);   /* their signals are the end */
        setitimer(ITIMER_REAL, &wall, NULL);
        memset(&r, 0, sizeof r);
        r.rc = c->decode(&m, region, q.nbytes, &e);
        r.status = e.status;
        memcpy(r.text, e.text, sizeof r.text);
        if (r.rc == 0) {
            r.w = m.w;
            r.h = m.h;
            r.c = m.c;
            memcpy(region + SANDBOX_MAX_IN, m.px,
                   (size_t)m.w * (size_t)m.h * (size_t)m.c);
        }
        image_release(&m);
        clock.it_value.tv_sec = 0;
        setitimer(ITIMER_PROF, &clock, NULL);
        setitimer(ITIMER_REAL, &clock, NULL);
    }
    _exit(0);
}

/* ----------------------------------------------------------- in the warden */

static uint8_t *
map_region(int memory)
{
    void *p = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_NORESERVE, memory, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* All descriptors from 4 on, also before Linux 5.9. */
static void
close_others(void)
{
    bool done = close_range(4, ~0U, 0) == 0;
    DIR *all_open = done ? NULL : opendir("/proc/self/fd");
    struct dirent *d;

    if (all_open == NULL)
        return;
    while ((d = readdir(all_open)) != NULL) {
        int fd = atoi(d->d_name);

        if (fd >= 4 && fd != dirfd(all_open))
            close(fd);
    }
    closedir(all_open);
}

static void
become_sandbox(const struct sandbox_class *c, int fd, int memory)
{
    uint8_t *region = map_region(memory);

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (region == NULL || dup2(fd, 3) < 0)
        _exit(1);
    close_others();
    if (c->start != NULL)
        c->start();
    serve(c, 3, region);
}

/* A sandbox for every message, which brings its class, socket and memory. */
static void __attribute__((noreturn))
be_warden(const struct sandbox_class *classes, int fd)
{
    int null = open("/dev/null", O_RDWR);
    sigset_t none;

    for (int i = 0; i < 3; i++)
        dup2(null, i);
    dup2(fd, 3);
    close_others();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setpgid(0, 0);              /* a ^C is for those who save first */
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPROF, SIG_DFL);   /* clocks of the children */
    signal(SIGALRM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (;;) {
        int class, fds[2];
        union {
            char bytes[CMSG_SPACE(sizeof fds)];
            struct cmsghdr align;
        } control;
        struct iovec v = { &class, sizeof class };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control };

        if (recvmsg(3, &m, 0) != (ssize_t)sizeof class ||
            CMSG_FIRSTHDR(&m) == NULL)
            _exit(0);
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fds);
        if (fork() == 0)
            become_sandbox(&classes[class], fds[0], fds[1]);
        close(fds[0]);
        close(fds[1]);
    }
}

/* ------------------------------------------------------------ on our side */

int
sandbox_open(const struct sandbox_class *classes, struct err *e)
{
    struct rlimit files;
    int fd[2];

    signal(SIGXFSZ, SIG_IGN);   /* a limit of files is an error, no end */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;    /* each sandbox needs two of ours */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
        return err_errno(e, "cannot make a socket");
    fflush(NULL);
    all.pid = fork();
    if (all.pid == 0) {
        close(fd[0]);           /* it ends when ours, the last, is closed */
        be_warden(classes, fd[1]);
    }
    close(fd[1]);
    if (all.pid < 0) {
        close(fd[0]);
        return err_errno(e, "cannot start a process");
    }
    all.warden = fd[0];
    return 0;
}

bool
sandbox_is_open(void)
{
    return all.warden >= 0;
}

static void
release(struct sandbox *c)
{
    if (c->region != NULL)
        munmap(c->region, REGION);
    if (c->socket >= 0)
        close(c->socket);
    if (c->memory >= 0)
        close(c->memory);
    free(c);
}

void
sandbox_close(void)
{
    if (all.warden < 0)
        return;
    for (struct sandbox *c = all.sandboxes, *next; c != NULL; c = next) {
        next = c->next;
        release(c);
    }
    all.sandboxes = NULL;
    if (all.guards >= 0)
        log_note("pictures were decoded in processes of their own, guarded by "
                 "%s", sandbox_guards());
    close(all.warden);
    all.warden = -1;
    while (waitpid(all.pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Its end of a socket and the memory go to the warden. */
static int
order(int class, int fd, int memory)
{
    int fds[2] = { fd, memory };
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec v = { &class, sizeof class };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    return sendmsg(all.warden, &m, MSG_NOSIGNAL) > 0 ? 0 : -1;
}

/* One message, in time; false: the child is gone, or as good as. */
static bool
hear(const struct sandbox *c, struct reply *r)
{
    const int limit = 1000 * (SANDBOX_WAIT_SECONDS + SANDBOX_SECONDS);
    struct pollfd p = { c->socket, POLLIN, 0 };
    int rc;

    while ((rc = poll(&p, 1, limit)) < 0 && errno == EINTR)
        ;
    return rc > 0 && recv(c->socket, r, sizeof *r, 0) == (ssize_t)sizeof *r;
}

const char *
sandbox_guards(void)
{
    static const char *const names[] = { "limits alone", "Landlock",
                                         "seccomp", "Landlock and seccomp" };

    return all.guards < 0 ? "none yet" : names[all.guards & 3];
}

static struct sandbox *
new_sandbox(int class, struct err *e)
{
    struct sandbox *c = mem_array(1, sizeof *c);
    struct reply hello;
    int fd[2] = { -1, -1 }, rc;

    c->class = class;
    c->memory = memfd_create("busi-sandbox", MFD_CLOEXEC);
    if (c->memory < 0 || ftruncate(c->memory, REGION) != 0 ||
        (c->region = map_region(c->memory)) == NULL ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0) {
        err_errno(e, "cannot prepare a decoder's process");
        e->shortage = true;
        c->socket = -1;
        release(c);
        return NULL;
    }
    c->socket = fd[0];
    rc = order(class, fd[1], c->memory);
    close(fd[1]);
    if (rc != 0 || !hear(c, &hello)) {
        err_set(e, EXIT_IO, "cannot start a decoder's process");
        e->shortage = true;
        release(c);
        return NULL;
    }
    all.guards = hello.rc;
    return c;
}

/*
 * An idle sandbox of the class, or a new one; where no more can be made, one
 * that is busy and will be idle.
 */
static struct sandbox *
take(int class, struct err *e)
{
    struct err why = { 0 };
    struct sandbox *c = NULL;
    bool some = true;

    pthread_mutex_lock(&all.lock);
    while (c == NULL && some) {
        some = false;
        for (c = all.sandboxes; c != NULL; c = c->next) {
            if (!c->busy && c->class == class)
                break;
            some = some || c->class == class;
        }
        if (c != NULL)
            break;
        err_clear(&why);
        c = new_sandbox(class, &why);
        if (c != NULL) {
            c->next = all.sandboxes;
            all.sandboxes = c;
        } else if (some) {
            pthread_cond_wait(&all.back, &all.lock);
        }
    }
    if (c == NULL)
        err_copy(e, &why);
    else
        c->busy = true;
    pthread_mutex_unlock(&all.lock);
    return c;
}

static void
give_back(struct sandbox *c, bool sound)
{
    pthread_mutex_lock(&all.lock);
    c->busy = false;
    if (!sound) {
        struct sandbox **at = &all.sandboxes;

        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        release(c);
    }
    pthread_cond_broadcast(&all.back);
    pthread_mutex_unlock(&all.lock);
}

/* A reply is foreign too: its child may have been taken over. */
static int
take_reply(const struct sandbox *c, struct reply *r, struct image *m,
           struct err *e)
{
    size_t n;

    if (r->rc > 0)
        return 1;
    if (r->rc < 0) {
        r->text[sizeof r->text - 1] = '\0';
        for (char *p = r->text; *p != '\0'; p++)
            if ((unsigned char)*p < ' ')
                *p = '?';
        return err_set(e, r->status == EXIT_IO ? EXIT_IO : EXIT_INVALID,
                       "%s", r->text);
    }
    if ((r->c != 1 && r->c != 3) || image_check_size(r->w, r->h, NULL) != 0)
        return err_set(e, EXIT_INVALID, "its decoder made no picture of it");
    n = (size_t)r->w * (size_t)r->h * (size_t)r->c;
    m->w = r->w;
    m->h = r->h;
    m->c = r->c;
    m->px = mem_alloc(n);
    memcpy(m->px, c->region + SANDBOX_MAX_IN, n);
    return 0;
}

int
sandbox_decode(int class, struct image *m, const void *data, size_t nbytes,
               struct err *e)
{
    struct request q = { nbytes };
    struct sandbox *c;
    struct reply r;
    int rc;

    memset(m, 0, sizeof *m);
    if (nbytes > SANDBOX_MAX_IN)
        return err_set(e, EXIT_INVALID, "is larger than %d MB",
                       SANDBOX_MAX_IN >> 20);
    c = take(class, e);
    if (c == NULL)
        return -1;
    memcpy(c->region, data, nbytes);
    if (send(c->socket, &q, sizeof q, MSG_NOSIGNAL) != (ssize_t)sizeof q ||
        !hear(c, &r)) {
        give_back(c, false);
        return err_set(e, EXIT_INVALID, "cannot be decoded: its decoder "
                       "crashed, or wanted more than %d MB or %d s",
                       SANDBOX_BYTES >> 20, SANDBOX_SECONDS);
    }
    rc = take_reply(c, &r, m, e);
    if (nbytes > KEEP || (rc == 0 && (size_t)m->w * (size_t)m->h > KEEP / 3))
        fallocate(c->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                  REGION);
    give_back(c, true);
    return rc;
}
