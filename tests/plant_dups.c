/*
 * plant_dups: a folder of phantoms with copies among them, and what is a copy
 * of what.
 *
 *     plant_dups DIR N
 *
 * Draws N scans DIR/benign/..., eight of nine of them phantoms, the others a
 * copy each of the phantom before them, changed in the ways of plants.h by
 * turns.  DIR/truth.tsv names the pairs: id_a, id_b, what.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "data/image_file.h"
#include "data/phantom.h"
#include "tests/plants.h"

#include <stdio.h>
#include <stdlib.h>

enum { TURN = 9 };      /* scans, the last of them a copy */

struct run {
    const char *dir;
    size_t n;
    struct err *errors;     /* [threads] */
};

static void
save(const struct run *r, const struct image *m, size_t i, int thread)
{
    char *path = str_format("%s/benign/%zu.png", r->dir, i);

    if (r->errors[thread].status == 0)
        image_save_png(m, path, &r->errors[thread]);
    free(path);
}

/* Nine scans: eight phantoms and a copy of the last. */
static void
draw_turn(void *ctx, size_t turn, int thread)
{
    const struct run *r = ctx;

    for (size_t i = turn * TURN; i < (turn + 1) * TURN - 1 && i < r->n; i++) {
        struct phantom p;
        struct image gray, copy;
        struct dup_fit fit;
        struct rng draws;

        phantom_draw(&p, 23, (enum phantom_class)(i % PHANTOM_CLASSES),
                     (uint32_t)i);
        image_gray(&gray, &p.scan);
        phantom_release(&p);
        save(r, &gray, i, thread);
        if (i % TURN == TURN - 2 && i + 1 < r->n) {
            rng_init(&draws, 23, RNG_PHANTOM, 99, (uint32_t)i);
            plant(&copy, &gray, &PLANT[turn % PLANTS], &draws, &fit);
            save(r, &copy, i + 1, thread);
            image_release(&copy);
        }
        image_release(&gray);
    }
}

static int
write_truth(const struct run *r, struct err *e)
{
    char *path = str_format("%s/truth.tsv", r->dir);
    struct file_out out;
    int rc = file_out_open(&out, path, e);

    if (rc == 0) {
        fputs("id_a\tid_b\twhat\n", out.stream);
        for (size_t i = TURN - 1; i < r->n; i += TURN)
            fprintf(out.stream, "benign/%zu.png\tbenign/%zu.png\t%s\n", i - 1,
                    i, PLANT[i / TURN % PLANTS].what);
        rc = file_out_close(&out, e);
    }
    free(path);
    return rc;
}

int
main(int argc, char **argv)
{
    struct run r = { .dir = argc == 3 ? argv[1] : NULL };
    int64_t n = 0;
    struct err e = { 0 };
    char *folder;

    log_open("plant_dups");
    if (argc != 3 || !str_int(argv[2], &n) || n < 0) {
        log_error("usage: plant_dups DIR N");
        return EXIT_USAGE;
    }
    r.n = (size_t)n;
    r.errors = mem_array((size_t)pool_cores(), sizeof *r.errors);
    folder = str_format("%s/benign", r.dir);
    if (file_make_folder(folder, &e) == 0) {
        pool_run(0, (r.n + TURN - 1) / TURN, draw_turn, &r);
        for (int t = 0; t < pool_cores() && e.status == 0; t++)
            e = r.errors[t];
        if (e.status == 0)
            write_truth(&r, &e);
    }
    if (e.status != 0)
        log_error("%s", e.text);
    free(folder);
    free(r.errors);
    return e.status;
}
