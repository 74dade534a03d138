/* busi-predict: scans into a table of probabilities. */
#include "base/opt.h"
#include "data/sandbox.h"
#include "data/image_file.h"
#include "learn/infer.h"
#include "learn/predict.h"

#include <string.h>

static const char *const examples[] = {
    "busi-predict -m model.safetensors new-scans > pred.tsv",
    "busi-predict -m model.safetensors -d data.safetensors -f folds.tsv "
    "--fold 0 -o fold0.pred.tsv",
    "find inbox -name '*.png' -print0 | busi-predict -0 -m a.safetensors "
    "-m b.safetensors",
    NULL
};

/* What cannot be asked for together. */
static int
check(const struct predict *p, bool fold, bool out, struct err *e)
{
    if (p->models.n == 0)
        return err_set(e, EXIT_USAGE, "no model: use -m FILE");
    if (p->data != NULL && *p->paths != NULL)
        return err_set(e, EXIT_USAGE, "rows of a dataset (-d) or paths, not "
                       "both: '%s'", *p->paths);
    if (p->folds != NULL && p->data == NULL)
        return err_set(e, EXIT_USAGE, "folds (-f) are of a dataset: add -d");
    if ((p->folds != NULL) != fold)
        return err_set(e, EXIT_USAGE, "-f FOLDS and --fold I go together");
    if (p->resume != NULL && out)
        return err_set(e, EXIT_USAGE, "--resume names the output; leave -o "
                       "out");
    if (p->resume != NULL && strcmp(p->resume, "-") == 0)
        return err_set(e, EXIT_USAGE, "--resume wants a file");
    if (p->resume == NULL && !out && p->rejects != NULL &&
        strcmp(p->rejects, "-") == 0)
        return err_set(e, EXIT_USAGE, "the table goes to the standard output: "
                       "--rejects wants a file");
    return 0;
}

int
main(int argc, char **argv)
{
    const char *out = NULL;
    struct predict p = { .out = "-" };
    int64_t fold = -1, tta, batch, threads, jobs;
    int dtype, status = -1;
    const struct opt opts[] = {
        { "model", 'm', OPT_LIST, &p.models, "MODEL", NULL,
          "a model (needed); several are averaged", 0, 0 },
        { "data", 'd', OPT_IN, &p.data, "DATA", NULL,
          "score the rows of this dataset", 0, 0 },
        { "folds", 'f', OPT_IN, &p.folds, "FOLDS", NULL,
          "the table that deals the rows into folds", 0, 0 },
        { "fold", 0, OPT_INT, &fold, "I", NULL,
          "of them, score the rows of fold I", -1, 1e6 },
        { "output", 'o', OPT_OUT, &out, "FILE", NULL,
          "where the table goes; default: standard output", 0, 0 },
        { "tta", 0, OPT_INT, &tta, "N", "1",
          "average over N views of each scan", 1, INFER_VIEWS },
        { "cam", 0, OPT_TEXT, &p.cam, "DIR", NULL,
          "write a heat map of each scan below DIR", 0, 0 },
        { "batch", 0, OPT_INT, &batch, "N", "16",
          "scans computed at a time", 1, 4096 },
        { "device", 0, OPT_TEXT, &p.device, "DEVICE", "auto",
          "auto, cpu, cuda, cuda:I or ref", 0, 0 },
        { "dtype", 0, OPT_CHOICE, &dtype, "auto|f32|bf16|tf32", "f32",
          "numbers computed with; auto: the fastest", 0, 0 },
        { "threads", 0, OPT_INT, &threads, "N", "0",
          "threads of the network on a CPU; 0: all cores", 0, 1024 },
        { "jobs", 'j', OPT_INT, &jobs, "N", "0",
          "scans decoded at the same time; 0: all cores", 0, 1024 },
        { "resume", 0, OPT_OUT, &p.resume, "FILE", NULL,
          "add to FILE the scans that it has no scores of", 0, 0 },
        { "allow-train-rows", 0, OPT_FLAG, &p.allow_train_rows, NULL, NULL,
          "also score scans that a model was trained on", 0, 0 },
        OPT_REJECTS(&p.rejects),
        { "null", '0', OPT_FLAG, &p.nul, NULL, NULL,
          "paths on stdin end with NUL, not newline", 0, 0 },
        OPT_END
    };
    const struct program program = {
        "busi-predict", "[PATH...]",
        "Scores scans by trained models: a row of probabilities for each.",
        opts, examples, false
    };
    struct err e = { 0 };
    int at = opt_start(&program, argc, argv);

    p.paths = argv + at;
    p.out = out != NULL ? out : "-";
    p.fold = fold;
    p.tta = (int)tta;
    p.batch = (int)batch;
    p.jobs = (int)jobs;
    p.backend = (struct backend_conf){
        .dtype = (enum dtype_choice)dtype, .threads = (int)threads,
        .device = -1, .keep = p.cam != NULL
    };
    if (check(&p, fold >= 0, out != NULL, &e) == 0 &&
        image_sandbox_open(&e) == 0)
        status = predict_run(&p, &e);
    sandbox_close();
    str_list_release(&p.models);
    return opt_finish(status, &e);
}
