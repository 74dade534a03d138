/* busi-dup: find near-copies and tie them into groups. */
#include "base/opt.h"
#include "base/table.h"
#include "data/sandbox.h"
#include "data/dup.h"
#include "data/image_file.h"
#include "data/manifest.h"


static const char *const examples[] = {
    "busi-strip scans | busi-dup > groups.tsv",
    "busi-dup -v --pairs pairs.tsv -o groups.tsv manifest.tsv",
    "busi-dup --threshold 0.4 --sheet pairs.png -o groups.tsv manifest.tsv",
    NULL
};

int
main(int argc, char **argv)
{
    const char *out, *in = "-";
    struct dup_conf c = { 0 };
    int64_t jobs;
    const struct opt opts[] = {
        { "output", 'o', OPT_OUT, &out, "MANIFEST", "-",
          "write the manifest here", 0, 0 },
        { "pairs", 0, OPT_OUT, &c.pairs, "FILE", NULL,
          "list the pairs of copies with score and kind", 0, 0 },
        { "sheet", 0, OPT_PICTURE, &c.sheet, "FILE", NULL,
          "PNG of the 60 lowest pairs that count, side by side", 0, 0 },
        { "threshold", 0, OPT_REAL, &c.threshold, "T", "0",
          "score from which a pair counts; 0: read off the scores", 0, 1 },
        OPT_REJECTS(&c.rejects),
        { "jobs", 'j', OPT_INT, &jobs, "N", "0",
          "scans in work at the same time; 0: all cores", 0, 1024 },
        OPT_END
    };
    const struct program program = {
        "busi-dup", "[MANIFEST]",
        "Finds near-copies among scans and ties them into groups.",
        opts, examples, true
    };
    struct err e = { 0 };
    struct table t = { 0 };
    int at = opt_start(&program, argc, argv), status = 0;

    c.threads = (int)jobs;
    if (at < argc)
        in = argv[at++];
    if (at < argc)
        err_set(&e, EXIT_USAGE, "one manifest, not also '%s'", argv[at]);
    else if (image_sandbox_open(&e) == 0 && manifest_read(&t, in, &e) == 0
             && (status = dup_manifest(&t, &c, &e)) >= 0)
        table_save(&t, out, &e);
    sandbox_close();
    table_release(&t);
    return opt_finish(status, &e);
}
