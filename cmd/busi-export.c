/* busi-export: a model in the format of other programs. */
#include "base/opt.h"
#include "learn/model.h"
#include "learn/onnx.h"

static const char *const examples[] = {
    "busi-export --onnx -m model.safetensors -o model.onnx",
    NULL
};

int
main(int argc, char **argv)
{
    const char *model, *out;
    bool onnx = false;
    const struct opt opts[] = {
        { "onnx", 0, OPT_FLAG, &onnx, NULL, NULL,
          "write an ONNX file (the only format yet)", 0, 0 },
        { "model", 'm', OPT_IN, &model, "MODEL", NULL,
          "a model of busi-train (needed)", 0, 0 },
        { "output", 'o', OPT_OUT, &out, "FILE", "-",
          "the file to write", 0, 0 },
        OPT_END
    };
    const struct program program = {
        "busi-export", "",
        "Writes a model for other programs, all that it needs inside.",
        opts, examples, false
    };
    struct err e = { 0 };
    struct model m = { 0 };
    int at = opt_start(&program, argc, argv);

    if (at < argc)
        err_set(&e, EXIT_USAGE, "no operands are taken, not '%s'", argv[at]);
    else if (model == NULL || !onnx)
        err_set(&e, EXIT_USAGE, "a model and a format are needed: use "
                "--onnx -m MODEL");
    else if (model_open(&m, model, &e) == 0 &&
             model_check_finite(&m, model, &e) == 0)
        onnx_save(&m, out, &e);
    model_release(&m);
    return opt_finish(0, &e);
}
