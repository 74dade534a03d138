/*
 * The launcher: this process stays, mpirun is its child, the ranks are
 * mpirun's children.
 *
 * mpirun ends its ranks a second after it gets SIGTERM, too soon to save
 * anything, but hands SIGUSR1 and SIGUSR2 on: these stand for SIGTERM and
 * SIGINT.  It has a process group of its own, that a ^C at the terminal
 * reaches the ranks through this process alone.
 */
#include "comm/comm.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/stop.h"
#include "comm/sieve.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    NO_MPIRUN = 127,            /* status of a child that cannot exec */
    GRACE_SECONDS = 120,        /* to finish a step and save, once asked */
    KILL_SECONDS = 10,          /* for mpirun to end its ranks, once told */
    ALONE_SECONDS = 2           /* for mpirun to end after its ranks */
};

#define SHM "/dev/shm"
#define OURS ".busi-ranks-"    /* and six letters: a folder of a run there */

enum pressure { RUN, ASKED, TOLD, KILLED };

struct launch {
    pid_t mpirun;
    sigset_t mask;              /* of our caller */
    int signals;                /* signalfd */
    int talk;                   /* stderr of mpirun and of the ranks */
    struct sieve sieve;
    enum pressure pressure;
    int asked;                  /* signal that asked us to stop, or 0 */
    double since;               /* it came, or the ranks after it */
    double deadline;            /* of this pressure */
    bool peopled;               /* mpirun had children */
    double alone;               /* since when they are all gone, 0: not */
    bool stuck;                 /* mpirun stayed all the same */
    int hung;                   /* a rank that did as well, or -1 */
    char folder[32];            /* of Open MPI's files, "" if there is none */
    int lock;                   /* on it */
};

/* mpirun's argv; free the array alone. */
static char **
make_command(char *ranks, char *self, int argc, char **argv)
{
    char *const options[] = {
        "mpirun", "--bind-to", "none", "--oversubscribe", "-n", ranks, self
    };
    size_t n = ARRAY_LEN(options), nargs = argc > 1 ? (size_t)argc - 1 : 0;
    char **command = mem_array(n + nargs + 1, sizeof *command);

    memcpy(command, options, sizeof options);
    for (size_t i = 0; i < nargs; i++)
        command[n + i] = argv[i + 1];
    return command;
}

/* In the child: never returns. */
static void
exec_mpirun(const struct launch *l, char **command, pid_t parent, int talk)
{
    int null = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    /* The parent may have died before this was set. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_IO);
    /* mpirun would eat a stdin that belongs to the caller's script. */
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(talk, STDERR_FILENO);
    sigprocmask(SIG_SETMASK, &l->mask, NULL);
    setenv(LOG_USAGE_ELSEWHERE, "1", 1);
    /* Where a container hides the machine's shape, ranks run all the same. */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    /* When one has died, the others need no time to say goodbye. */
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "0", 0);
    if (l->folder[0] != '\0') {
        setenv("OMPI_MCA_btl_vader_backing_directory", l->folder, 0);
        setenv("OMPI_MCA_orte_tmpdir_base", l->folder, 0);
    }
    if (geteuid() == 0) {
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
    execvp(command[0], command);
    _exit(NO_MPIRUN);
}

static int
start(struct launch *l, char **command, struct err *e)
{
    pid_t self = getpid();
    sigset_t mask;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(e, "cannot make a pipe");
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, &l->mask);
    l->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    l->mpirun = l->signals < 0 ? -1 : fork();
    if (l->mpirun == 0)
        exec_mpirun(l, command, self, ends[1]);
    close(ends[1]);
    l->talk = ends[0];
    fcntl(l->talk, F_SETFL, O_NONBLOCK);
    return l->mpirun < 0 ? err_errno(e, "cannot start mpirun") : 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

/* Folders of runs whose every process was killed: nobody holds their lock. */
static void
sweep(void)
{
    DIR *shm = opendir(SHM);
    struct dirent *d;
    struct stat st;

    while (shm != NULL && (d = readdir(shm)) != NULL) {
        char *path = str_format(SHM "/%s", d->d_name);
        int fd = strncmp(d->d_name, OURS, strlen(OURS)) != 0 ||
                 strlen(d->d_name) != strlen(OURS "XXXXXX") ? -1
                 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        /* A young one may just be on its way to its lock. */
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
            st.st_mtime < time(NULL) - 60 &&
            flock(fd, LOCK_EX | LOCK_NB) == 0)
            nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        if (fd >= 0)
            close(fd);
        free(path);
    }
    if (shm != NULL)
        closedir(shm);
}

/*
 * Open MPI leaves shared memory behind now and then, when a rank dies as it
 * opens.  So its files have a folder of ours, in memory.  Its lock is held by
 * all that are started here.
 */
static void
make_folder(struct launch *l)
{
    sweep();
    snprintf(l->folder, sizeof l->folder, SHM "/" OURS "XXXXXX");
    l->lock = -1;
    if (mkdtemp(l->folder) == NULL)
        l->folder[0] = '\0';
    else
        l->lock = open(l->folder, O_RDONLY | O_DIRECTORY);
    if (l->lock >= 0)
        flock(l->lock, LOCK_SH);
}

static void
remove_folder(struct launch *l)
{
    if (l->folder[0] != '\0')
        nftw(l->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (l->lock >= 0)
        close(l->lock);
}

/*
 * mpirun drops signals that come before it has started the ranks, so they are
 * told again; within STOP_SECONDS they take that for one signal.
 */
static void
tell_ranks(const struct launch *l)
{
    kill(l->mpirun, l->asked == SIGINT ? SIGUSR2 : SIGUSR1);
}

/* Ask the ranks to stop; if they were asked, have them ended; else kill. */
static void
press(struct launch *l)
{
    switch (++l->pressure) {
    case ASKED:
        tell_ranks(l);
        l->deadline = clock_seconds() + GRACE_SECONDS;
        break;
    case TOLD:
        kill(l->mpirun, SIGTERM);
        l->deadline = clock_seconds() + KILL_SECONDS;
        break;
    default:
        kill(l->mpirun, SIGKILL);
        l->pressure = KILLED;
    }
}

static void
take_talk(struct launch *l)
{
    char bytes[4096];
    ssize_t n;

    while ((n = read(l->talk, bytes, sizeof bytes)) > 0)
        sieve_add(&l->sieve, bytes, (size_t)n);
    if (n == 0) {
        close(l->talk);
        l->talk = -1;
    }
}

/* Children of a process that live, and those that ended and are still there. */
struct brood {
    int alive, ended;
    pid_t last;                 /* one that lives */
};

static void
count_children(pid_t parent, int kill_with, struct brood *b)
{
    char path[64], state;
    FILE *list, *stat;
    int child;

    *b = (struct brood){ 0 };
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent,
             (int)parent);
    list = fopen(path, "re");
    while (list != NULL && fscanf(list, "%d", &child) == 1) {
        snprintf(path, sizeof path, "/proc/%d/stat", child);
        stat = fopen(path, "re");
        if (stat == NULL)
            continue;
        if (fscanf(stat, "%*d %*s %c", &state) == 1 && state == 'Z') {
            b->ended++;
        } else {
            b->alive++;
            b->last = child;
            if (kill_with != 0)
                kill(child, kill_with);
        }
        fclose(stat);
    }
    if (list != NULL)
        fclose(list);
}

/* Which rank is this process?  -1: nobody knows. */
static int
rank_of(pid_t pid)
{
    static const char name[] = "OMPI_COMM_WORLD_RANK=";
    char path[64], *line = NULL;
    size_t room = 0;
    int rank = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    f = fopen(path, "re");
    while (f != NULL && getdelim(&line, &room, 0, f) > 0)
        if (strncmp(line, name, sizeof name - 1) == 0)
            rank = (int)strtol(line + sizeof name - 1, NULL, 10);
    if (f != NULL)
        fclose(f);
    free(line);
    return rank;
}

/*
 * mpirun may lock itself up: on its way out, when a rank died early, or behind
 * a lock that a rank holds which was stopped.  Then it does not reap children
 * that have ended, or stays when all are gone.
 */
static void
free_stuck(struct launch *l)
{
    struct brood b;

    count_children(l->mpirun, 0, &b);
    if (!l->peopled && b.alive > 0) {
        l->peopled = true;
        l->since = clock_seconds();
    }
    if (!l->peopled || (b.ended == 0 && b.alive > 0)) {
        l->alone = 0;
    } else if (l->alone == 0) {
        l->alone = clock_seconds();
    } else if (clock_seconds() - l->alone > ALONE_SECONDS) {
        l->stuck = true;
        l->hung = b.alive == 1 ? rank_of(b.last) : -1;
        kill(l->mpirun, SIGSTOP);       /* it shall not look away meanwhile */
        count_children(l->mpirun, SIGKILL, &b);
        kill(l->mpirun, SIGKILL);
    }
}

/* Returns the wait status of mpirun. */
static int
attend(struct launch *l)
{
    int status = 0;

    for (;;) {
        struct pollfd p[2] = { { l->signals, POLLIN, 0 },
                               { l->talk, POLLIN, 0 } };
        bool timed = l->pressure == ASKED || l->pressure == TOLD;
        struct signalfd_siginfo info;

        poll(p, 2, l->pressure == ASKED ? 200 : 500);
        free_stuck(l);
        if (l->pressure == ASKED &&
            clock_seconds() < l->since + 0.8 * STOP_SECONDS)
            tell_ranks(l);
        if (l->talk >= 0)
            take_talk(l);
        while (read(l->signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGCHLD)
                continue;
            if (l->asked == 0) {
                l->asked = (int)info.ssi_signo;
                l->since = clock_seconds();
            } else if (clock_seconds() < l->since + STOP_SECONDS) {
                continue;       /* to a process, and then to its group */
            }
            press(l);
        }
        if (waitpid(l->mpirun, &status, WNOHANG) == l->mpirun)
            break;
        if (timed && clock_seconds() > l->deadline)
            press(l);
    }
    if (l->talk >= 0)
        take_talk(l);
    return status;
}

/* What mpirun's end means to our caller. */
static int
judge(const struct launch *l, int wait_status, struct err *e)
{
    int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
                                        : 128 + WTERMSIG(wait_status);

    if (status == NO_MPIRUN) {
        err_set(e, EXIT_IO, "cannot run mpirun: several ranks need Open MPI");
        return EXIT_IO;
    }
    /* Asked to stop, and stopped: by that signal, whatever stood for it. */
    if (l->asked != 0 && (status > 128 || (status != 0 && !l->sieve.spoke)))
        return 128 + l->asked;
    if (l->stuck)
        status = l->sieve.signal != 0 ? 128 + l->sieve.signal
                 : l->sieve.status != 0 ? l->sieve.status : EXIT_IO;
    if (l->sieve.status != 0 && !l->sieve.spoke)
        err_set(e, status, "rank %d ended with status %d and said nothing",
                l->sieve.rank, l->sieve.status);
    else if (l->sieve.signal != 0)
        err_set(e, status, "rank %d was killed by signal %d", l->sieve.rank,
                l->sieve.signal);
    else if (l->stuck && l->hung >= 0)
        err_set(e, status, "rank %d hangs, the others have ended", l->hung);
    else if (l->stuck)
        err_set(e, status, "mpirun did not end after its ranks");
    else if (WIFSIGNALED(wait_status))
        err_set(e, status, "mpirun was killed by signal %d",
                WTERMSIG(wait_status));
    /* So early that mpirun does not know which. */
    else if (status != 0 && !l->sieve.spoke && !l->sieve.strange)
        err_set(e, status, "a rank ended with status %d and said nothing",
                status);
    /* mpirun failed, and said why; its 1 is not our 1. */
    if (l->sieve.strange && status == EXIT_REJECTS)
        status = EXIT_IO;
    return status;
}

int
comm_launch(int ranks, int argc, char **argv, struct err *e)
{
    struct launch l = { .talk = -1, .signals = -1, .hung = -1,
                        .sieve.out = stderr };
    char *self = realpath("/proc/self/exe", NULL);
    char *count = str_format("%d", ranks);
    char **command = NULL;
    int status = -1;

    if (self == NULL) {
        err_errno(e, "cannot find the running program");
        goto done;
    }
    /* To mpirun it parts two programs, and there is no way to quote it. */
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], ":") == 0) {
            err_set(e, EXIT_USAGE, "':' cannot be an argument of ranks");
            goto done;
        }
    command = make_command(count, self, argc, argv);
    make_folder(&l);
    if (start(&l, command, e) == 0) {
        int wait_status = attend(&l);

        sieve_end(&l.sieve);
        status = judge(&l, wait_status, e);
    }
    sigprocmask(SIG_SETMASK, &l.mask, NULL);
    remove_folder(&l);
done:
    if (l.signals >= 0)
        close(l.signals);
    if (l.talk >= 0)
        close(l.talk);
    free(command);
    free(count);
    free(self);
    return status >= 0 ? status : e->status;
}
