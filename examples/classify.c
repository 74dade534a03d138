/*
 * The library from C: the probabilities of one scan.
 *
 *     cc classify.c $(pkg-config --cflags --libs busi) -o classify
 *     ./classify model.safetensors scan.png
 *
 * "ref" computes in plain C and needs no plugin, nor do most PNG files; "cpu",
 * which is fast, and other pictures are found with
 * BUSI_PLUGINS=/usr/local/lib/busi.
 */
#include "base/log.h"
#include "data/image_file.h"
#include "learn/infer.h"

#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    const struct backend_conf conf = { 0 };
    struct err e = { 0 }, why = { 0 };
    struct infer in = { 0 };
    struct image scan = { 0 };
    struct model model = { 0 };
    struct model *const models[] = { &model };
    uint8_t *px = NULL;
    float *p = NULL;

    log_open("classify");
    if (argc != 3)
        err_set(&e, EXIT_USAGE, "usage: classify MODEL SCAN");
    else if (model_open(&model, argv[1], &e) == 0 &&
             infer_open(&in, models, 1, "ref", &conf, 1, &e) == 0) {
        const struct recipe *r = &model.recipe;

        px = malloc((size_t)r->crop * (size_t)r->crop * (size_t)r->channels);
        p = malloc(model.classes.n * sizeof *p);
        in.views = 1;
        if (image_load(&scan, argv[2], &why) != 0 ||
            recipe_apply(r, &scan, px, &why) != 0)
            err_set(&e, why.status, "'%s': %s", argv[2], why.text);
        else if (infer_run(&in, 1, px, p, &e) == 0)
            for (size_t i = 0; i < model.classes.n; i++)
                printf("%s\t%.6f\n", model.classes.item[i], (double)p[i]);
    }
    if (e.status != 0)
        log_error("%s", e.text);
    infer_close(&in);
    image_release(&scan);
    model_release(&model);
    free(px);
    free(p);
    return e.status;
}
