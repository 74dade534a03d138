/* busi-report: one HTML page about a cross-validation. */
#include "base/opt.h"
#include "data/sandbox.h"
#include "data/image_file.h"
#include "report/report.h"

#include <stdlib.h>

static const char *const examples[] = {
    "busi-report -o report.html -l folds.tsv pred-?.tsv",
    "busi-report -o report.html -l folds.tsv --log fold-0.tsv --log fold-1.tsv "
    "--model fold-0.safetensors --cam maps pred-0.tsv pred-1.tsv",
    NULL
};

int
main(int argc, char **argv)
{
    struct report_conf c = { 0 };
    int64_t seed, nboot;
    const struct opt opts[] = {
        { "output", 'o', OPT_OUT, &c.out, "FILE", "-", "write the page here",
          0, 0 },
        { "labels", 'l', OPT_IN, &c.manifest, "MANIFEST", NULL,
          "manifest with labels, groups, folds and paths", 0, 0 },
        { "log", 0, OPT_LIST, &c.logs, "LOG", NULL,
          "log of busi-train; one for each fold", 0, 0 },
        { "model", 0, OPT_LIST, &c.models, "MODEL", NULL,
          "model that made predictions; one for each fold", 0, 0 },
        { "validation", 0, OPT_LIST, &c.validation, "PRED", NULL,
          "predictions of each model on its validation fold", 0, 0 },
        { "plain", 0, OPT_IN, &c.plain, "METRICS", NULL,
          "metrics of the same training on plain folds", 0, 0 },
        { "cam", 0, OPT_TEXT, &c.cam, "DIR", NULL,
          "heat maps that busi-predict --cam made", 0, 0 },
        { "positive", 0, OPT_TEXT, &c.positive, "CLASS", NULL,
          "class of operating points; default: malignant", 0, 0 },
        { "title", 0, OPT_TEXT, &c.title, "TEXT",
          "Classification of breast ultrasound", "heading of the page", 0,
          0 },
        { "bootstrap", 0, OPT_INT, &nboot, "N", "2000",
          "bootstrap replicates, 0 for none", 0, 100000 },
        OPT_REJECTS(&c.rejects),
        OPT_SEED(&seed),
        OPT_END
    };
    const struct program program = {
        "busi-report", "PRED.tsv...",
        "Writes one self-contained HTML page about a cross-validation.",
        opts, examples, false
    };
    struct err e = { 0 };
    const char *const but[] = { "rejects", NULL };
    int at = opt_start(&program, argc, argv), rc = 0;
    char *command = opt_settings(&program, argc, argv, but);

    c.command = command;
    c.preds = argv + at;
    c.npreds = (size_t)(argc - at);
    c.seed = (uint64_t)seed;
    c.nboot = (size_t)nboot;
    if (c.npreds == 0)
        err_set(&e, EXIT_USAGE, "no predictions: name the tables of "
                "busi-predict");
    else if (image_sandbox_open(&e) == 0)
        rc = report_write(&c, &e);
    sandbox_close();
    str_list_release(&c.logs);
    str_list_release(&c.models);
    str_list_release(&c.validation);
    free(command);
    return opt_finish(rc == 1 ? EXIT_REJECTS : EXIT_DONE, &e);
}
