/* busi-eval: metrics with intervals from tables of predictions. */
#include "base/file.h"
#include "base/opt.h"
#include "learn/evaluate.h"

#include <stdbool.h>

struct settings {
    const char *out, *labels;
    struct evaluate_conf conf;
    int64_t seed, nboot;
    bool json, compare;
};

static const char *const examples[] = {
    "busi-eval -l manifest.tsv pred.tsv >metrics.tsv",
    "busi-eval --positive malignant -o metrics.tsv fold*.pred.tsv",
    "busi-eval --compare resnet18.tsv resnet50.tsv",
    NULL
};

/* Read the tables and work out the rows. */
static int
evaluate(const struct settings *s, int n, char **paths, struct table *out,
         struct err *e)
{
    char dash[] = "-", *standard_input[] = { dash };
    struct predictions p = { 0 };
    struct labels labels = { 0 };
    int rc = 0;

    if (n == 0) {
        n = 1;
        paths = standard_input;
    }
    if (s->labels != NULL)
        rc = labels_read(&labels, s->labels, e);
    for (int i = 0; i < n && rc == 0; i++)
        rc = predictions_add(&p, paths[i], s->labels != NULL ? &labels : NULL,
                             e);
    if (rc == 0)
        rc = s->compare ? predictions_pair(&p, e) : predictions_settle(&p, e);
    if (rc == 0 && s->labels != NULL)
        predictions_lack(&p, &labels);
    if (rc == 0 && s->compare)
        evaluate_compare(&p, out);
    else if (rc == 0)
        rc = evaluate_table(&p, &s->conf, out, e);
    predictions_release(&p);
    labels_release(&labels);
    return rc;
}

static int
save(const struct settings *s, const struct table *t, struct err *e)
{
    struct file_out out;

    if (!s->json)
        return table_save(t, s->out, e);
    if (file_out_open(&out, s->out, e) != 0)
        return -1;
    evaluate_json(t, out.stream);
    return file_out_close(&out, e);
}

int
main(int argc, char **argv)
{
    struct settings s = { 0 };
    const struct opt opts[] = {
        { "output", 'o', OPT_OUT, &s.out, "FILE", "-",
          "write the metrics here", 0, 0 },
        { "labels", 'l', OPT_IN, &s.labels, "MANIFEST", NULL,
          "take labels and groups that are not there from here", 0, 0 },
        { "positive", 0, OPT_TEXT, &s.conf.positive, "CLASS", NULL,
          "add rows for this class against the rest", 0, 0 },
        { "compare", 0, OPT_FLAG, &s.compare, NULL, NULL,
          "test the first of two tables against the second", 0, 0 },
        { "json", 0, OPT_FLAG, &s.json, NULL, NULL,
          "write JSON, not TSV", 0, 0 },
        { "bootstrap", 0, OPT_INT, &s.nboot, "N", "2000",
          "bootstrap replicates, 0 for none", 0, 100000 },
        OPT_SEED(&s.seed),
        OPT_END
    };
    const struct program program = {
        "busi-eval", "[PRED.tsv...]",
        "Compute metrics with 95 % intervals from tables of predictions.",
        opts, examples, false
    };
    struct table out = { 0 };
    struct err e = { 0 };
    int first = opt_start(&program, argc, argv);

    s.conf.seed = (uint64_t)s.seed;
    s.conf.nboot = (size_t)s.nboot;
    if (s.compare && argc - first != 2)
        err_set(&e, EXIT_USAGE, "--compare wants two tables, not %d",
                argc - first);
    else if (s.compare && s.conf.positive != NULL)
        err_set(&e, EXIT_USAGE, "--compare covers every class: it does not go "
                "with --positive");
    else if (evaluate(&s, argc - first, argv + first, &out, &e) == 0)
        save(&s, &out, &e);
    table_release(&out);
    return opt_finish(EXIT_DONE, &e);
}
