/* busi-info: what is this file, is it whole, where does it come from? */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "learn/describe.h"

#include <stdlib.h>

static const char *const examples[] = {
    "busi-info model.safetensors",
    "busi-info --verify folds.tsv data.safetensors model.safetensors",
    "busi-info --json data.safetensors | grep -o '\"rows\": [0-9]*'",
    NULL
};

static void
print(const struct description *d, size_t n, bool json, FILE *f)
{
    if (json)
        fputs("[", f);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            fputs(json ? ",\n " : "\n", f);
        if (json)
            facts_json(&d[i].facts, f);
        else
            facts_print(&d[i].facts, f);
    }
    if (json)
        fputs("]\n", f);
}

/* Every file that can be described is; the first error is returned. */
static int
info(char *const *paths, size_t n, const struct describe_conf *c, bool json,
     struct err *e)
{
    struct description *d = mem_array(n, sizeof *d);
    struct err apart = { 0 };
    struct file_out out;
    size_t good = 0;

    for (size_t i = 0; i < n; i++) {
        struct err why = { 0 };

        if (describe_open(&d[good], paths[i], c, &why) == 0) {
            good++;
            continue;
        }
        if (e->status != 0)
            log_error("%s", why.text);
        err_copy(e, &why);
    }
    if (c->verify && describe_relate(d, good, &apart) != 0) {
        if (e->status != 0)
            log_error("%s", apart.text);
        err_copy(e, &apart);
    }
    if (file_out_open(&out, "-", e) == 0) {
        print(d, good, json, out.stream);
        file_out_close(&out, e);
    }
    for (size_t i = 0; i < good; i++)
        describe_release(&d[i]);
    free(d);
    return e->status == 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
    struct describe_conf c = { 0 };
    bool json = false;
    const struct opt opts[] = {
        { "verify", 0, OPT_FLAG, &c.verify, NULL, NULL,
          "check every byte, and that the files belong together", 0, 0 },
        { "tensors", 't', OPT_FLAG, &c.tensors, NULL, NULL,
          "list the tensors of each file", 0, 0 },
        { "json", 0, OPT_FLAG, &json, NULL, NULL,
          "print a JSON array, an object for each file", 0, 0 },
        OPT_END
    };
    const struct program program = {
        "busi-info", "FILE...",
        "Says what a file is, whether it is whole and where it comes from.",
        opts, examples, false
    };
    struct err e = { 0 };
    int at = opt_start(&program, argc, argv);

    if (at == argc)
        err_set(&e, EXIT_USAGE, "no file given");
    else
        info(argv + at, (size_t)(argc - at), &c, json, &e);
    return opt_finish(EXIT_DONE, &e);
}
