/* busi-prep: scans into a tensor file. */
#include "base/err.h"
#include "base/opt.h"
#include "base/str.h"
#include "data/sandbox.h"
#include "data/image_file.h"
#include "data/prep.h"


static const char *const examples[] = {
    "busi-prep -o data.safetensors manifest.tsv",
    "busi-strip scans | busi-prep -o data.safetensors --crop 256",
    "busi-prep -o rgb.safetensors --channels 3 "
    "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 manifest.tsv",
    NULL
};

int
main(int argc, char **argv)
{
    enum { U8, F32 };
    enum { FAIL, SKIP };
    const char *resize, *crop, *channels, *mean, *std;
    struct prep p = { .manifest = "-" };
    int dtype, on_bad, status = 0;
    int64_t jobs;
    const struct opt opts[] = {
        { "output", 'o', OPT_OUT, &p.out, "FILE", NULL,
          "the dataset to write (needed)", 0, 0 },
        { "resize", 0, OPT_TEXT, &resize, "WxH", "256x256",
          "resize to W x H; one number: fit the short side", 0, 0 },
        { "crop", 0, OPT_TEXT, &crop, "N", "224",
          "keep the N x N pixels in the centre", 0, 0 },
        { "channels", 0, OPT_TEXT, &channels, "1|3", "1",
          "gray or RGB", 0, 0 },
        { "dtype", 0, OPT_CHOICE, &dtype, "u8|f32", "u8",
          "bytes, or floats already normalised", 0, 0 },
        { "mean", 0, OPT_TEXT, &mean, "M[,M,M]", "0.5",
          "taken off the 0..1 scale, per channel", 0, 0 },
        { "std", 0, OPT_TEXT, &std, "S[,S,S]", "0.5",
          "divides what is left, per channel", 0, 0 },
        { "classes", 0, OPT_TEXT, &p.classes, "A,B,...", NULL,
          "classes in order; default: the labels found", 0, 0 },
        { "on-bad", 0, OPT_CHOICE, &on_bad, "fail|skip", "fail",
          "a bad scan ends the run, or is left out", 0, 0 },
        { "marks", 0, OPT_OUT, &p.marks, "MANIFEST", NULL,
          "write the manifest with a column of calipers and other marks",
          0, 0 },
        OPT_REJECTS(&p.rejects),
        { "jobs", 'j', OPT_INT, &jobs, "N", "0",
          "scans decoded at the same time; 0: all cores", 0, 1024 },
        OPT_END
    };
    const struct program program = {
        "busi-prep", "[MANIFEST]",
        "Decodes, resizes and crops scans into a safetensors dataset.",
        opts, examples, false
    };
    struct str recipe = { 0 };
    struct err e = { 0 };
    int at = opt_start(&program, argc, argv);

    p.f32 = dtype == F32;
    p.skip = on_bad == SKIP;
    p.threads = (int)jobs;
    if (at < argc)
        p.manifest = argv[at++];
    str_addf(&recipe, "resize=%s crop=%s channels=%s mean=%s std=%s", resize,
             crop, channels, mean, std);
    if (at < argc)
        err_set(&e, EXIT_USAGE, "one manifest, not also '%s'", argv[at]);
    else if (p.out == NULL)
        err_set(&e, EXIT_USAGE, "no output file: use -o FILE");
    else if (recipe_parse(&p.recipe, recipe.text, &e) == 0 &&
             image_sandbox_open(&e) == 0)
        status = prep_run(&p, &e);
    sandbox_close();
    str_release(&recipe);
    return opt_finish(status, &e);
}
