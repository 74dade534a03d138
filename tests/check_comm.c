/*
 * comm: this program is also the ranks that it starts,
 *
 *     check_comm rank WORK FOLDER
 *
 * where each rank leaves its process id in FOLDER/N.
 */
#include "tests/check.h"

#include "base/mem.h"
#include "base/str.h"
#include "comm/comm.h"
#include "comm/gpu_facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------ as a rank */

static volatile sig_atomic_t asked;

static void
note(int sig)
{
    asked = sig;
}

static void
nap(double seconds)
{
    struct timespec t = { (time_t)seconds,
                          (long)((seconds - (double)(time_t)seconds) * 1e9) };

    nanosleep(&t, NULL);
}

/* FOLDER/NAME holds a number. */
static void
put(const char *folder, const char *name, long value)
{
    char *path = str_format("%s/%s", folder, name);
    char *part = str_format("%s/.%s", folder, name);
    FILE *f = fopen(part, "w");

    if (f == NULL || fprintf(f, "%ld\n", value) < 0 || fclose(f) != 0 ||
        rename(part, path) != 0)
        abort();
    free(part);
    free(path);
}

static long
get(const char *folder, const char *name)
{
    char *path = str_format("%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    long value = -1;

    free(path);
    if (f != NULL) {
        if (fscanf(f, "%ld", &value) != 1)
            value = -1;
        fclose(f);
    }
    return value;
}

/* Terms of many magnitudes, so that another order shows. */
static double
term(int rank, size_t i)
{
    uint32_t u = ((uint32_t)i + 1) * 2654435761u ^ (uint32_t)rank * 2246822519u;

    u = (u ^ u >> 15) * 2246822519u;
    return ((double)u - 0x1p31) * (double)(1 << u % 20) * 0x1p-40;
}

/* Of ranks [from, from + n), n a power of two: neighbours first. */
static double
tree(int from, int n, int size, size_t i, bool single)
{
    double a, b;

    if (n == 1)
        return single ? (double)(float)term(from, i) : term(from, i);
    a = tree(from, n / 2, size, i, single);
    if (from + n / 2 >= size)
        return a;
    b = tree(from + n / 2, n / 2, size, i, single);
    return single ? (double)((float)a + (float)b) : a + b;
}

static int
sums_of(struct comm *c, size_t n, struct err *e)
{
    float *x = mem_array(n + 1, sizeof *x);
    double *y = mem_array(n + 1, sizeof *y);
    int rc = 0;

    for (size_t i = 0; i <= n; i++) {
        x[i] = (float)term(c->rank, i);
        y[i] = term(c->rank, i);
    }
    /* In three pieces, from the end, with another sum in between. */
    if (c->class->sum(c, x + 2 * n / 3, n - 2 * n / 3, e) != 0 ||
        c->class->sum(c, x + n / 3, 2 * n / 3 - n / 3, e) != 0 ||
        c->class->hsum(c, y, n, e) != 0 ||
        c->class->sum(c, x, n / 3, e) != 0 || c->class->wait(c, e) != 0)
        rc = -1;
    for (size_t i = 0; i <= n && rc == 0; i++) {
        bool behind = i == n;       /* is left alone */
        float want = (float)(behind ? term(c->rank, i)
                                    : tree(0, 64, c->size, i, true));
        double want_y = behind ? term(c->rank, i)
                               : tree(0, 64, c->size, i, false);

        if (memcmp(&x[i], &want, sizeof want) != 0 ||
            memcmp(&y[i], &want_y, sizeof want_y) != 0)
            rc = err_set(e, EXIT_INVALID, "element %zu of %zu is %a, not %a",
                         i, n, (double)x[i], (double)want);
    }
    free(x);
    free(y);
    return rc;
}

static int
rank_sums(struct comm *c, struct err *e)
{
    static const size_t sizes[] = { 0, 1, 2, 7, 1000003 };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (sums_of(c, sizes[i], e) != 0)
            return -1;
    return 0;
}

/* Nobody passes before all have come. */
static int
rank_barrier(struct comm *c, const char *folder, struct err *e)
{
    char name[16];

    nap(0.05 * (c->size - c->rank));
    snprintf(name, sizeof name, "came%d", c->rank);
    put(folder, name, 1);
    if (c->class->hsum(c, NULL, 0, e) != 0)
        return -1;
    for (int r = 0; r < c->size; r++) {
        snprintf(name, sizeof name, "came%d", r);
        if (get(folder, name) != 1)
            return err_set(e, EXIT_INVALID, "rank %d passed before %d came",
                           c->rank, r);
    }
    return 0;
}

/* Rank 1 fails, and rank 0 waits for it. */
static int
rank_fails(struct comm *c, struct err *e)
{
    if (c->rank == 1)
        return err_set(e, EXIT_NUMBERS, "the loss is NaN");
    return c->class->hsum(c, NULL, 0, e);
}

/* Each rank says that it has the GPU of its own number. */
static int
rank_gpus(struct comm **c, struct err *e)
{
    struct comm_gpu g = { (*c)->local_rank, NULL };
    struct comm *over = comm_open_gpu(*c, &g, 20, e);

    if (over == NULL)
        return -1;
    *c = over;
    return 0;
}

/* Steps until somebody ends it from outside. */
static int
rank_steps(struct comm *c, const char *folder, struct err *e)
{
    for (;;) {
        double stop = asked;

        if (c->class->hsum(c, &stop, 1, e) != 0)
            return -1;
        if (stop > 0) {
            char name[16];

            nap(0.2);           /* longer than the others take to end */
            snprintf(name, sizeof name, "saved%d", c->rank);
            put(folder, name, asked);
            return 0;
        }
        nap(0.005);
    }
}

static int
rank_main(const char *work, const char *folder)
{
    struct err e = { 0 };
    struct comm *c = comm_open(strcmp(work, "stopped") == 0 ? 2 : 0, &e);
    char name[16];
    int rc = -1;

    if (c != NULL) {
        signal(SIGUSR1, note);
        signal(SIGUSR2, note);
        snprintf(name, sizeof name, "%d", c->rank);
        put(folder, name, getpid());
        rc = strcmp(work, "sums") == 0 ? rank_sums(c, &e)
           : strcmp(work, "barrier") == 0 ? rank_barrier(c, folder, &e)
           : strcmp(work, "fails") == 0 ? rank_fails(c, &e)
           : strcmp(work, "gpus") == 0 ? rank_gpus(&c, &e)
           : rank_steps(c, folder, &e);
        c->class->close(c, rc != 0);
    }
    if (rc != 0)
        log_error("%s", e.text);
    else if (asked != 0)
        return 128 + (asked == SIGUSR1 ? SIGTERM : SIGINT);
    return e.status;
}

/* -------------------------------------------------------- as the launcher */

struct run {
    char folder[32];
    int ranks;
    pid_t launcher;
};

static void
start(struct run *r, int ranks, char *work)
{
    *r = (struct run){ .folder = "/tmp/check_comm.XXXXXX", .ranks = ranks };
    ck_assert_ptr_nonnull(mkdtemp(r->folder));
    r->launcher = fork();
    if (r->launcher == 0) {
        char *argv[] = { "check_comm", "rank", work, r->folder, NULL };
        char *talk = str_format("%s/talk", r->folder);
        struct err e = { 0 };
        int status;

        /* mpirun leaves its scratch files there, if any. */
        setenv("TMPDIR", r->folder, 1);
        /* Open MPI does not free all that it allocates. */
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        dup2(open(talk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), STDERR_FILENO);
        free(talk);
        status = comm_launch(ranks, 4, argv, &e);
        if (e.status != 0)
            log_error("%s", e.text);
        _exit(status);
    }
}

static pid_t
rank_pid(const struct run *r, int rank)
{
    char name[16];

    snprintf(name, sizeof name, "%d", rank);
    return (pid_t)get(r->folder, name);
}

/* All ranks are at work. */
static void
await_ranks(const struct run *r)
{
    double limit = clock_seconds() + 10;

    for (int i = 0; i < r->ranks; i++)
        while (rank_pid(r, i) <= 0) {
            ck_assert_msg(clock_seconds() < limit, "rank %d not there", i);
            nap(0.01);
        }
    nap(0.1);
}

static bool
alive(pid_t pid)
{
    char path[32], state = 'Z';
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    f = fopen(path, "r");
    if (f == NULL)
        return false;
    if (fscanf(f, "%*d %*s %c", &state) != 1)
        state = 'Z';
    fclose(f);
    return state != 'Z';
}

static void
await_gone(const struct run *r, double seconds)
{
    double limit = clock_seconds() + seconds;

    for (int i = 0; i < r->ranks; i++)
        while (alive(rank_pid(r, i))) {
            ck_assert_msg(clock_seconds() < limit, "rank %d lives on", i);
            nap(0.01);
        }
}

/* Exit status of the launcher, which has `seconds` to end. */
static int
await_status(const struct run *r, double seconds)
{
    double limit = clock_seconds() + seconds;
    int status;

    while (waitpid(r->launcher, &status, WNOHANG) == 0) {
        ck_assert_msg(clock_seconds() < limit, "the launcher lives on");
        nap(0.01);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What was said is exactly this; nothing of mpirun's is left behind. */
static void
end(const struct run *r, const char *talk)
{
    char *path = str_format("%s/talk", r->folder);
    char *command = str_format("rm -r '%s'", r->folder);
    char said[4096];
    FILE *f = fopen(path, "r");
    struct dirent *d;
    DIR *folder = opendir(r->folder);

    ck_assert_ptr_nonnull(f);
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
    ck_assert_str_eq(said, talk);
    while ((d = readdir(folder)) != NULL)
        ck_assert_msg(strncmp(d->d_name, "ompi", 4) != 0, "%s is left",
                      d->d_name);
    closedir(folder);
    ck_assert_int_eq(system(command), 0);
    free(command);
    free(path);
}

START_TEST(self_alone)
{
    struct err e = { 0 };
    struct comm *c;
    float x = 3;
    double y = 4;

    ck_assert(!comm_launched());
    c = comm_open(0, &e);
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->class->name, "self");
    ck_assert(c->rank == 0 && c->size == 1);
    ck_assert(c->local_rank == 0 && c->local_size == 1);
    ck_assert_int_eq(c->class->sum(c, &x, 1, &e), 0);
    ck_assert_int_eq(c->class->hsum(c, &y, 1, &e), 0);
    ck_assert_int_eq(c->class->hsum(c, NULL, 0, &e), 0);
    ck_assert(x == 3 && y == 4);
    c->class->close(c, false);
}
END_TEST

START_TEST(launched)
{
    setenv("SLURM_NTASKS", "4", 1);     /* a batch script alone */
    ck_assert(!comm_launched());
    setenv("PMIX_RANK", "0", 1);
    ck_assert(comm_launched());
    setenv("SLURM_NTASKS", "1", 1);
    ck_assert(!comm_launched());
    setenv("PMI_SIZE", "x", 1);
    ck_assert(!comm_launched());
    setenv("PMI_SIZE", "2", 1);
    ck_assert(comm_launched());
    unsetenv("PMI_SIZE");
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    ck_assert(!comm_launched());
    setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
    ck_assert(comm_launched());
}
END_TEST

START_TEST(no_mpirun)
{
    struct run r;

    setenv("PATH", "/nonexistent", 1);
    start(&r, 2, "sums");
    ck_assert_int_eq(await_status(&r, 5), EXIT_IO);
    setenv("PATH", "/usr/bin:/bin", 1);
    end(&r, "check_comm: cannot run mpirun: several ranks need Open MPI\n");
}
END_TEST

START_TEST(colon)
{
    char *argv[] = { "x", ":", NULL };
    struct err e = { 0 };

    ck_assert_int_eq(comm_launch(2, 2, argv, &e), EXIT_USAGE);
    ck_assert_int_eq(e.status, EXIT_USAGE);
}
END_TEST

START_TEST(sums)
{
    for (int ranks = 1; ranks <= 4; ranks++) {
        struct run r;

        start(&r, ranks, "sums");
        ck_assert_int_eq(await_status(&r, 20), 0);
        end(&r, "");
    }
}
END_TEST

START_TEST(barrier)
{
    struct run r;

    start(&r, 3, "barrier");
    ck_assert_int_eq(await_status(&r, 10), 0);
    end(&r, "");
}
END_TEST

START_TEST(rank_that_fails)
{
    struct run r;

    start(&r, 3, "fails");
    ck_assert_int_eq(await_status(&r, 10), EXIT_NUMBERS);
    await_gone(&r, 0.1);
    end(&r, "check_comm: the loss is NaN\n");
}
END_TEST

START_TEST(rank_that_dies)
{
    struct run r;

    start(&r, 3, "steps");
    await_ranks(&r);
    kill(rank_pid(&r, 1), SIGKILL);
    ck_assert_int_eq(await_status(&r, 3), 128 + SIGKILL);
    await_gone(&r, 0.1);
    end(&r, "check_comm: rank 1 was killed by signal 9\n");
}
END_TEST

START_TEST(rank_that_stops)
{
    struct run r;

    start(&r, 3, "stopped");
    await_ranks(&r);
    kill(rank_pid(&r, 2), SIGSTOP);
    ck_assert_int_eq(await_status(&r, 5), EXIT_IO);
    await_gone(&r, 0.1);
    end(&r, "check_comm: rank 2 has not answered for 2 s\n");
}
END_TEST

START_TEST(launcher_that_dies)
{
    struct run r;

    start(&r, 2, "steps");
    await_ranks(&r);
    kill(r.launcher, SIGKILL);
    ck_assert_int_eq(await_status(&r, 1), 128 + SIGKILL);
    await_gone(&r, 3);
    nap(0.5);                   /* mpirun tidies up */
    end(&r, "");
}
END_TEST

/* Asked to stop, every rank ends in its own time, and in order. */
START_TEST(stop_in_order)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    static const int seen[] = { SIGUSR1, SIGUSR2, SIGUSR1 };

    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct run r;

        start(&r, 2, "steps");
        await_ranks(&r);
        kill(r.launcher, signals[i]);
        ck_assert_int_eq(await_status(&r, 5), 128 + signals[i]);
        await_gone(&r, 0.1);
        ck_assert_int_eq(get(r.folder, "saved0"), seen[i]);
        ck_assert_int_eq(get(r.folder, "saved1"), seen[i]);
        end(&r, "");
    }
}
END_TEST

START_TEST(gpu_facts)
{
    double f[3][GPU_FACTS] = { { 22809, 7, 1, 0 }, { 22809, 7, 2, 1 },
                               { 22809, 8, 1, 0 } };
    struct err e = { 0 };

    ck_assert_int_eq(gpu_facts_check(f[0], 3, &e), 0);
    f[2][FACT_MACHINE] = 7;
    ck_assert_int_eq(gpu_facts_check(f[0], 3, &e), -1);
    ck_assert_str_eq(e.text, "ranks 0 and 2 are on the same GPU (number 0); "
                     "NCCL wants one for each");
    err_clear(&e);
    f[0][FACT_GPU] = f[2][FACT_GPU] = 0;    /* unknown */
    ck_assert_int_eq(gpu_facts_check(f[0], 3, &e), 0);
    f[1][FACT_VERSION] = 22703;
    ck_assert_int_eq(gpu_facts_check(f[0], 3, &e), -1);
    ck_assert_str_eq(e.text, "rank 0 has NCCL 2.28.9, rank 1 has 2.27.3");
    ck_assert(gpu_facts_number("node1") != gpu_facts_number("node2"));
}
END_TEST

/* NCCL is opened, finds no GPU, says so and is gone; or all is well. */
START_TEST(no_gpus)
{
    struct run r;
    char *path, said[4096];
    FILE *f;
    int status;

    start(&r, 2, "gpus");
    status = await_status(&r, 40);
    await_gone(&r, 0.1);
    path = str_format("%s/talk", r.folder);
    f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
    if (strstr(said, "comm_nccl is not built") != NULL)
        puts("SKIP: built without NCCL");
    else if (status != 0)
        ck_assert_msg(status == EXIT_IO &&
                      (strstr(said, ": NCCL: ") != NULL ||
                       strstr(said, "on the same GPU") != NULL),
                      "status %d: %s", status, said);
    free(path);
    path = str_format("rm -r '%s'", r.folder);
    ck_assert_int_eq(system(path), 0);
    free(path);
}
END_TEST

CHECK_SUITE(run_suite, "comm", 60, self_alone, launched, no_mpirun, colon,
            sums, barrier, rank_that_fails, rank_that_dies, rank_that_stops,
            launcher_that_dies, stop_in_order, gpu_facts, no_gpus)

int
main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "rank") == 0) {
        log_open("check_comm");
        return rank_main(argv[2], argv[3]);
    }
    return run_suite();
}
