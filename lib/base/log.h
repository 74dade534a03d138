/*
 * log: what a program says on stderr.
 *
 * Each line is `PROGRAM: text`.  Errors are always printed; warnings unless
 * -q; notes only with -v.  The level, the program's name and its start are
 * globals, as are the signal in stop.c, whether stdin was read in file.c, the
 * plugin in image_file.c, the lock of libvips' errors in image_vips.c and the
 * processes in the sandbox; there are no others.
 */
#ifndef BUSI_BASE_LOG_H
#define BUSI_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE };

void log_open(const char *program);     /* name that starts each line */
void log_set_level(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * With -v, as the last line: version, wall and CPU seconds of this process and
 * its children, peak memory of the largest.  Silent where the environment says
 * that the process which started this one tells it.
 */
#define LOG_USAGE_ELSEWHERE "BUSI_USAGE_ELSEWHERE"
void log_usage(void);

/*
 * A progress bar on stderr: rate and time left, redrawn at most ten times a
 * second; silent when stderr is no terminal or with -q.
 */
struct progress {
    const char *what;   /* unit of the work, such as "scans" */
    size_t from;        /* done before, by another run */
    size_t total;       /* 0: unknown */
    double start, last; /* seconds, monotonic */
    bool shown;
};

void progress_open(struct progress *p, const char *what, size_t from,
                   size_t total);
void progress_step(struct progress *p, size_t done);
void progress_close(struct progress *p);

/* Seconds of the monotonic clock. */
double clock_seconds(void);

#endif
