/* busi-train: trains one network on one fold. */
#include "base/mem.h"
#include "base/opt.h"
#include "base/stop.h"
#include "comm/comm.h"
#include "learn/train.h"
#include "learn/train_setup.h"

#include <stdlib.h>
#include <string.h>

static const char *const examples[] = {
    "busi-train -d data.safetensors -f folds.tsv --fold 0 -m resnet18 "
    "-o fold0.safetensors",
    "busi-train -d data.safetensors -f folds.tsv --fold 0 -m mobilenet_v2 "
    "-e 60 --ranks 2 --log fold0.tsv -o fold0.safetensors",
    "busi-train --paper --select test -b 128 -d data.safetensors "
    "-f folds.tsv --fold 0 -m resnet34 -o paper.safetensors",
    NULL
};

/* Defaults that differ: of busi, sgd, paper, and of busi with --init. */
typedef const char *const presets[PRESET_INIT + 1];
static presets
    epochs_of = { "60", "60", "100", "16" },
    batch_of = { "32", "32", "64", "32" },
    lr_of = { "0.001", "0.02", "0.001", "0.0005" },
    weight_decay_of = { "0.05", "0.0005", "0", "0.05" },
    optimizer_of = { "adamw", "sgd", "sgd", "adamw" },
    schedule_of = { "cosine", "cosine", "plateau", "cosine" },
    warmup_of = { "3", "3", "0", "2" },
    label_smoothing_of = { "0.1", "0.1", "0", "0.1" },
    augment_of = { "standard", "standard", "none", "standard" },
    ema_of = { "0.99", "0", "0", "0.98" },
    select_of = { "val", "val", "val", "last" };

/* Open everything, train, close everything; the exit status, or -1. */
static int
train(struct train_setup *s, struct train_conf *c, struct err *e)
{
    struct comm *comm;
    int rc = -1, stopped = 0;

    /* Before there is anything to save, a signal ends a run that is alone. */
    if (comm_launched())
        stop_install();
    comm = comm_open(s->rank_timeout, e);
    if (comm == NULL)
        return -1;
    if (train_setup_open(s, c, &comm, e) == 0) {
        stop_install();
        rc = !s->plan ? train_run(c, &s->model, &s->data, &s->parts,
                                  s->backend, comm, &stopped, e)
             : comm->rank == 0 ? train_setup_plan(s, c, e) : 0;
    }
    comm->class->close(comm, rc != 0);
    train_setup_close(s);
    return rc == 0 && stopped != 0 ? 128 + stopped : rc;
}

/* Here, or in each of the ranks that the command line is given to. */
static int
work(const struct program *p, struct train_setup *s, struct train_conf *c,
     int ranks, int argc, char **command, struct err *e)
{
    /* These change no model, the last two only with --deterministic. */
    const char *const but[] = {
        "resume", "profile", "save-every", "rank-timeout",
        s->deterministic ? "threads" : NULL, "ranks", NULL
    };
    char *text;
    int status;

    if (train_setup_check(s, c, e) != 0)
        return -1;
    if (ranks > 1 && !comm_launched())
        return comm_launch(ranks, argc, command, e);
    c->command = text = opt_settings(p, argc, command, but);
    status = train(s, c, e);
    free(text);
    return status;
}

int
main(int argc, char **argv)
{
    struct train_setup s = { 0 };
    struct train_conf c = { 0 };
    struct sched_conf *h = &c.sched;
    int optimizer = 0, schedule = 0, weights = 0, augment = 0, select = 0;
    int best = 0, norm = 0, grads = 0, recipe = 0;
    int64_t ranks = 1;
    const enum train_preset p = train_setup_preset(argc, argv);
    bool paper, plain = false;
    const struct opt opts[] = {
        { "data", 'd', OPT_IN, &s.data_path, "FILE", NULL,
          "dataset made by busi-prep (needed)", 0, 0 },
        { "folds", 'f', OPT_IN, &s.folds_path, "FILE", NULL,
          "manifest with folds, made by busi-split", 0, 0 },
        { "fold", 0, OPT_TEXT, &s.fold, "I|all", "0",
          "test fold; fold I+1 chooses the epoch", 0, 0 },
        { "model", 'm', OPT_TEXT, &s.net, "MODEL", "resnet18",
          "resnet18, resnet34, resnet50, mobilenet_v2, vgg16, vgg16_bn, or a "
          "model text", 0, 0 },
        { "init", 0, OPT_IN, &s.init.path, "FILE", NULL,
          "start from weights of torchvision, timm or ours", 0, 0 },
        { "init-norm", 0, OPT_CHOICE, &norm, NORM_NAMES, "imagenet",
          "how the pictures were normalised that they come from", 0, 0 },
        { "freeze", 0, OPT_INT, &c.freeze, "N", "0",
          "epochs at the start in which only the last layer learns", 0, 1e6 },
        { "lr-body", 0, OPT_REAL, &c.lr_body, "F", "1",
          "factor of the rate for all but the last layer", 0, 1e3 },
        { "output", 'o', OPT_OUT, &c.out, "FILE", NULL,
          "the model to write (needed)", 0, 0 },
        { "size", 0, OPT_INT, &s.size, "N", "0",
          "side of the input; 0: the dataset's, at most 224", 0, 4096 },
        { "epochs", 'e', OPT_INT, &h->epochs, "N",
          epochs_of[p], "passes over the rows", 1, 1e6 },
        { "batch", 'b', OPT_INT, &c.batch, "N", batch_of[p],
          "rows in a step, over all ranks", 1, 65536 },
        { "lr", 0, OPT_REAL, &h->lr, "X",
          lr_of[p], "learning rate", 0, 1e3 },
        { "momentum", 0, OPT_REAL, &c.momentum, "X", "0.9", "of SGD", 0, 1 },
        { "weight-decay", 0, OPT_REAL, &c.weight_decay, "X",
          weight_decay_of[p], "L2 (SGD), decoupled (AdamW)", 0, 10 },
        { "optimizer", 0, OPT_CHOICE, &optimizer, "sgd|adamw",
          optimizer_of[p], "rule of the updates", 0, 0 },
        { "schedule", 0, OPT_CHOICE, &schedule, SCHED_NAMES,
          schedule_of[p], "of the learning rate", 0, 0 },
        { "patience", 0, OPT_INT, &h->patience, "N", "10",
          "epochs without a better loss before plateau acts", 0, 1e6 },
        { "warmup", 0, OPT_INT, &h->warmup, "N", warmup_of[p],
          "epochs in which the rate rises", 0, 1e6 },
        { "early-stop", 0, OPT_INT, &h->early_stop, "N", "0",
          "end after N epochs without a better loss; 0: never", 0, 1e6 },
        { "dropout", 0, OPT_REAL, &s.dropout, "P", "-1",
          "before the head; -1: the network's own", -1, 0.999 },
        { "label-smoothing", 0, OPT_REAL, &c.smoothing, "X",
          label_smoothing_of[p], "share spread over all classes", 0, 1 },
        { "class-weights", 0, OPT_CHOICE, &weights, "none|balanced", "none",
          "of the loss", 0, 0 },
        { "augment", 0, OPT_CHOICE, &augment, AUGMENT_NAMES,
          augment_of[p], "random changes of the pictures", 0, 0 },
        { "mixup", 0, OPT_REAL, &c.mixup, "A", "0",
          "mix pictures in pairs by Beta(A, A); 0: none", 0, 100 },
        { "ema", 0, OPT_REAL, &c.ema, "D", ema_of[p],
          "decay of a moving average of the weights; 0: none", 0, 0.99999 },
        { "select", 0, OPT_CHOICE, &select, SELECT_NAMES, select_of[p],
          "rows that choose the epoch; test is what the paper did", 0, 0 },
        { "best", 0, OPT_CHOICE, &best, BEST_NAMES, "acc",
          "what the best epoch is best in", 0, 0 },
        { "no-calibrate", 0, OPT_FLAG, &plain, NULL, NULL,
          "fit no temperature on the validation rows", 0, 0 },
        { "recipe", 0, OPT_CHOICE, &recipe, RECIPE_NAMES, "busi",
          "defaults of all other settings", 0, 0 },
        { "paper", 0, OPT_FLAG, &paper, NULL, NULL,
          "the same as --recipe paper", 0, 0 },
        { "dtype", 0, OPT_CHOICE, &s.dtype, "auto|f32|bf16|tf32", "auto",
          "of activations; auto: what is fastest here", 0, 0 },
        { "device", 0, OPT_TEXT, &s.device, "DEVICE", "auto",
          "auto, cpu, cuda, cuda:I or ref", 0, 0 },
        { "threads", 0, OPT_INT, &s.threads, "N", "0",
          "of a rank on the CPU; 0: its share of the cores", 0, 1024 },
        { "ranks", 0, OPT_INT, &ranks, "N", "1",
          "processes that train together", 1, 4096 },
        { "rank-timeout", 0, OPT_REAL, &s.rank_timeout, "SECONDS", "300",
          "a rank may keep others waiting; 0: for ever", 0, 1e6 },
        { "bucket-mb", 0, OPT_REAL, &c.bucket_mb, "MB", "0",
          "gradients that travel at a time; 0: by the ranks' speed", 0, 1e6 },
        { "grad-dtype", 0, OPT_CHOICE, &grads, "f32|bf16", "f32",
          "of gradients between ranks", 0, 0 },
        { "plan", 0, OPT_FLAG, &s.plan, NULL, NULL,
          "print what more GPUs would give, and do not train", 0, 0 },
        { "gpus", 0, OPT_TEXT, &s.scale.gpus, "LIST", "2,4,8",
          "of --plan", 0, 0 },
        { "link", 0, OPT_TEXT, &s.scale.link, "RATE[,US]", "10GB/s,20us",
          "of --plan, between GPUs, and latency", 0, 0 },
        { "gflops", 0, OPT_REAL, &s.scale.gflops, "X", "0",
          "of --plan, of a GPU; 0: as measured here", 0, 1e9 },
        { "deterministic", 0, OPT_FLAG, &s.deterministic, NULL, NULL,
          "same bits for any threads and 1, 2, 4 or 8 ranks", 0, 0 },
        { "sync-bn", 0, OPT_FLAG, &s.sync_bn, NULL, NULL,
          "batch-norm over the batch, not each rank's share", 0, 0 },
        { "recompute", 0, OPT_FLAG, &s.recompute, NULL, NULL,
          "the same numbers in less memory, a little slower", 0, 0 },
        { "save-every", 0, OPT_REAL, &c.save_every, "SECONDS", "60",
          "between two saved states, at least", 0, 1e6 },
        { "resume", 0, OPT_FLAG, &c.resume, NULL, NULL,
          "go on from the state beside the output, if there is one", 0, 0 },
        { "profile", 0, OPT_FLAG, &c.profile, NULL, NULL,
          "print seconds by phase and by operation on stderr", 0, 0 },
        { "log", 0, OPT_OUT, &c.log, "FILE", NULL,
          "a line per epoch", 0, 0 },
        OPT_SEED(&c.seed),
        OPT_END
    };
    const struct program program = {
        "busi-train", "",
        "Trains a network on a dataset, one fold left out for testing.",
        opts, examples, false
    };
    struct err e = { 0 };
    char **command = mem_array((size_t)argc + 1, sizeof *command);
    int at, status = 0;

    memcpy(command, argv, (size_t)argc * sizeof *command);
    sched_preset(h, 0);
    at = opt_start(&program, argc, argv);
    h->kind = (enum sched_kind)schedule;
    c.rule = (enum update_rule)optimizer;
    c.balanced = weights == 1;
    c.augment = (enum augment_kind)augment;
    c.select = (enum train_select)select;
    c.best = (enum train_best)best;
    s.init.norm = (enum transfer_norm)norm;
    c.init_norm = norm;
    c.calibrate = !plain;
    s.scale.bucket_mb = c.bucket_mb;
    c.bf16_gradients = grads == 1;
    if (at < argc)
        err_set(&e, EXIT_USAGE, "no operands are taken, not '%s'", argv[at]);
    else
        status = work(&program, &s, &c, (int)ranks, argc, command, &e);
    free(command);
    return opt_finish(status, &e);
}
