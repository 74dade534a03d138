#include "base/log.h"

#include "base/str.h"
#include "base/version.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static enum log_level level = LOG_NORMAL;
static const char *program;     /* NULL in a plugin: its own copy */
static double started;

void
log_open(const char *called)
{
    program = called;
    started = clock_seconds();
}

void
log_set_level(enum log_level l)
{
    level = l;
}

static const char *
name(void)
{
    return program != NULL ? program : program_invocation_short_name;
}

/* One write per line, so that lines of several processes stay whole. */
static void
say(const char *fmt, va_list ap)
{
    char line[2048];
    int n = snprintf(line, sizeof line, "%s: ", name());
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    int room = (int)sizeof line - n - 2;

    n += m < 0 ? 0 : m < room ? m : room;
    line[n] = '\0';
    str_printable(line);
    line[n++] = '\n';
    fwrite(line, 1, (size_t)n, stderr);
    fflush(stderr);
}

#define SAY(fmt)                \
    do {                        \
        va_list ap;             \
        va_start(ap, fmt);      \
        say(fmt, ap);           \
        va_end(ap);             \
    } while (0)

void
log_error(const char *fmt, ...)
{
    SAY(fmt);
}

void
log_warn(const char *fmt, ...)
{
    if (level >= LOG_NORMAL)
        SAY(fmt);
}

void
log_note(const char *fmt, ...)
{
    if (level >= LOG_VERBOSE)
        SAY(fmt);
}

double
clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double
tv_seconds(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

void
log_usage(void)
{
    struct rusage self, kids;

    if (getenv(LOG_USAGE_ELSEWHERE) != NULL)
        return;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &kids);
    log_note("version %s, %.2f s wall, %.2f s CPU, %.1f MB peak",
             BUSI_VERSION, clock_seconds() - started,
             tv_seconds(self.ru_utime) + tv_seconds(self.ru_stime) +
                 tv_seconds(kids.ru_utime) + tv_seconds(kids.ru_stime),
             (double)(self.ru_maxrss > kids.ru_maxrss
                      ? self.ru_maxrss : kids.ru_maxrss) / 1024);
}

void
progress_open(struct progress *p, const char *what, size_t from,
              size_t total)
{
    p->what = what;
    p->from = from;
    p->total = total;
    p->start = clock_seconds();
    p->last = p->start;
    p->shown = level >= LOG_NORMAL && isatty(STDERR_FILENO);
}

void
progress_step(struct progress *p, size_t done)
{
    double now, rate;

    if (!p->shown)
        return;
    now = clock_seconds();
    if (now - p->last < 0.1)
        return;
    p->last = now;
    rate = (double)(done - p->from) / (now - p->start);
    if (p->total == 0 || rate <= 0)
        fprintf(stderr, "\r%s: %zu %s, %.1f/s\033[K", name(), done, p->what,
                rate);
    else
        fprintf(stderr, "\r%s: %zu/%zu %s, %.1f/s, %.0f s left\033[K",
                name(), done, p->total, p->what, rate,
                (double)(p->total - done) / rate);
    fflush(stderr);
}

void
progress_close(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
}
