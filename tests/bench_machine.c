/*
 * bench_machine: what this machine does at its best.
 *
 *     bench_machine THREADS [SCANS]
 *
 * Lines `what TAB figure TAB unit`: a large product in f32 and, where it is
 * fast, bf16; a copy of memory; with SCANS, a manifest, how many of them are
 * decoded in a second and nothing else.
 */
#include "backend/backend.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "base/table.h"
#include "data/image_file.h"
#include "learn/profile.h"

#include <stdio.h>
#include <stdlib.h>

struct scans {
    struct table table;
    size_t path;            /* column */
};

static void
decode(void *ctx, size_t i, int thread)
{
    struct scans *s = ctx;
    struct image m;
    struct err e = { 0 };

    (void)thread;
    if (image_load(&m, s->table.row[i][s->path], &e) == 0)
        image_release(&m);
}

static int
decode_all(const char *manifest, int threads, struct err *e)
{
    struct scans s = { 0 };
    double start;
    long path;

    if (table_read(&s.table, manifest, e) != 0)
        return -1;
    path = table_need(&s.table, "path", e);
    if (path < 0)
        return -1;
    s.path = (size_t)path;
    for (int pass = 0; pass < 2; pass++) {      /* the first fills caches */
        start = clock_seconds();
        pool_run(threads, s.table.nrows, decode, &s);
    }
    printf("decoding %zu scans alone\t%.1f\timages/s\n", s.table.nrows,
           (double)s.table.nrows / (clock_seconds() - start));
    table_release(&s.table);
    return 0;
}

static int
peaks(int threads, struct err *e)
{
    static const char *const name[] = { "f32", "bf16" };

    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct backend_conf conf = { .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32,
                                     .threads = threads };
        struct profile_peak peak;
        struct err none = { 0 };
        struct backend *b = backend_open("cpu", &conf, bf16 ? &none : e);

        if (b == NULL)
            return bf16 ? 0 : -1;
        if (profile_peak(b, &peak, e) != 0)
            return -1;
        if (!bf16)
            printf("copy of memory, one thread\t%.1f\tGB/s\n", peak.gbytes);
        printf("product in %s\t%.1f\tGFLOP/s\n", name[bf16], peak.gflops);
        backend_close(b);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    struct err e = { 0 };
    int threads = argc > 1 ? atoi(argv[1]) : 1;

    log_open("bench_machine");
    if (peaks(threads, &e) != 0 ||
        (argc > 2 && decode_all(argv[2], threads, &e) != 0)) {
        log_error("%s", e.text);
        return e.status;
    }
    return 0;
}
