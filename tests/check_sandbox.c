/* check_sandbox: what a decoder in a child can do, and what it cannot. */
#include "base/mem.h"
#include "base/pool.h"
#include "data/sandbox.h"
#include "tests/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool started;
static pid_t outside;       /* a process that is no sandbox */

static void
start(void)
{
    started = true;
}

/* "NAME=1" for all that it could do and should not. */
static void
try_all(struct err *e)
{
    static char word[] = "x";
    char *args[] = { word, NULL };
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    err_set(e, EXIT_INVALID, "read=%d write=%d socket=%d fork=%d exec=%d "
            "code=%d kill=%d env=%d", open("/etc/passwd", O_RDONLY) >= 0,
            open("/tmp/check-sandbox", O_WRONLY | O_CREAT, 0600) >= 0,
            socket(AF_INET, SOCK_STREAM, 0) >= 0, fork() >= 0,
            execv("/bin/true", args) == 0, code != MAP_FAILED,
            syscall(SYS_tgkill, outside, outside, 0) == 0, chdir("/") == 0);
}

/* The first byte says what is to happen. */
static int
decode(struct image *m, const void *data, size_t nbytes, struct err *e)
{
    const char *p = data;
    volatile char *nowhere = NULL;

    switch (p[0]) {
    case 'p':           /* a picture whose pixels are the bytes */
        image_init(m, (int)nbytes, 1, 1);
        memcpy(m->px, data, nbytes);
        return started ? 0 : -1;
    case 'e': return err_set(e, EXIT_INVALID, "a bad\tpicture");
    case 'n': return 1;
    case 't': try_all(e); return -1;
    case 'c': *nowhere = 1; break;
    case 'a': abort();
    case 'm':
        for (;;)
            memset(mem_alloc(1 << 20), 1, 1 << 20);
    case 'h':
        for (;;)
            ;
    }
    return -1;
}

static const struct sandbox_class classes[] = { { start, decode } };

static int
ask(const char *text, struct image *m, struct err *e)
{
    err_clear(e);
    return sandbox_decode(0, m, text, strlen(text), e);
}

static void
works(void)
{
    struct image m;
    struct err e = { 0 };

    ck_assert_msg(ask("pixels", &m, &e) == 0, "%s", e.text);
    ck_assert_int_eq(m.w, 6);
    ck_assert_mem_eq(m.px, "pixels", 6);
    image_release(&m);
}

static void
dies(const char *text)
{
    struct image m;
    struct err e = { 0 };

    ck_assert_int_eq(ask(text, &m, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "its decoder crashed"));
    works();
}

START_TEST(answers_come_back)
{
    struct image m;
    struct err e = { 0 };

    ck_assert_int_eq(sandbox_open(classes, &e), 0);
    works();
    ck_assert_int_eq(ask("n", &m, &e), 1);
    ck_assert_int_eq(ask("e", &m, &e), -1);
    ck_assert_str_eq(e.text, "a bad?picture");
    works();
    sandbox_close();
    ck_assert(!sandbox_is_open());
}
END_TEST

START_TEST(a_child_can_do_nothing_else)
{
    struct image m;
    struct err e = { 0 };

    outside = getpid();
    ck_assert_int_eq(sandbox_open(classes, &e), 0);
    works();
    printf("guarded by %s\n", sandbox_guards());
    if (strstr(sandbox_guards(), "seccomp") == NULL) {
        printf("SKIP system calls of a child: no seccomp here\n");
        return;
    }
    ck_assert_int_eq(ask("t", &m, &e), -1);
    ck_assert_str_eq(e.text, "read=0 write=0 socket=0 fork=0 exec=0 code=0 "
                             "kill=0 env=0");
    sandbox_close();
}
END_TEST

START_TEST(a_dead_child_costs_one_picture)
{
    struct err e = { 0 };

    ck_assert_int_eq(sandbox_open(classes, &e), 0);
    works();
    dies("c");
    dies("a");
#if !defined(__SANITIZE_ADDRESS__)
    dies("m");
#endif
    sandbox_close();
}
END_TEST

START_TEST(a_child_that_hangs_is_left)
{
    struct err e = { 0 };

    ck_assert_int_eq(sandbox_open(classes, &e), 0);
    dies("h");
    sandbox_close();
}
END_TEST

static void
one_of_many(void *ctx, size_t i, int thread)
{
    char text[32];
    struct image m;
    struct err e = { 0 };
    int *right = ctx;

    (void)thread;
    snprintf(text, sizeof text, i % 50 == 7 ? "c%zu" : "p%zu", i);
    if (ask(text, &m, &e) == 0) {
        right[i] = (size_t)m.w == strlen(text) &&
                   memcmp(m.px, text, (size_t)m.w) == 0;
        image_release(&m);
    } else {
        right[i] = i % 50 == 7;
    }
}

START_TEST(many_threads_at_once)
{
    enum { N = 2000 };
    int right[N] = { 0 };
    struct err e = { 0 };

    ck_assert_int_eq(sandbox_open(classes, &e), 0);
    pool_run(8, N, one_of_many, right);
    for (int i = 0; i < N; i++)
        ck_assert_msg(right[i], "picture %d", i);
    sandbox_close();
}
END_TEST

/* Whoever dies takes the children along: none of them holds the pipe. */
START_TEST(children_die_with_us)
{
    int fd[2];
    char c;

    ck_assert_int_eq(pipe(fd), 0);
    if (fork() == 0) {
        struct err e = { 0 };

        if (sandbox_open(classes, &e) == 0) {
            works();
            if (write(fd[1], "x", 1) == 1)
                kill(getpid(), SIGKILL);
        }
        _exit(1);
    }
    close(fd[1]);
    ck_assert_int_eq(read(fd[0], &c, 1), 1);        /* there were children */
    ck_assert_int_eq(read(fd[0], &c, 1), 0);        /* and none has it open */
}
END_TEST

CHECK_MAIN("sandbox", 60, answers_come_back, a_child_can_do_nothing_else,
           a_dead_child_costs_one_picture, a_child_that_hangs_is_left,
           many_threads_at_once, children_die_with_us)
