/* The log of a training run. */
#include "base/file.h"
#include "base/log.h"
#include "learn/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char log_header[] =
    "epoch\tlr\ttrain_loss\ttrain_acc\tval_loss\tval_acc\t"
    "val_balanced_acc\tseconds\timages_per_second\n";

int
train_log_start(struct trainer *t, struct err *e)
{
    struct file_out out;

    if (t->comm->rank > 0 || t->c->log == NULL)
        return 0;
    if (file_out_open(&out, t->c->log, e) != 0)
        return -1;
    fputs(log_header, out.stream);
    if (t->log.n > 0)
        fputs(t->log.text, out.stream);
    return file_out_close(&out, e);
}

static void
put_number(struct str *s, double x)
{
    if (isnan(x))
        str_add(s, "\tNA");
    else
        str_addf(s, "\t%.6g", x);
}

int
train_log_epoch(struct trainer *t, const struct score *s, struct err *e)
{
    size_t before = t->log.n;
    bool good, own;
    FILE *f;

    str_addf(&t->log, "%lld", (long long)t->s.epoch + 1);
    put_number(&t->log, sched_lr(&t->sched, t->s.epoch));
    put_number(&t->log, t->s.loss / t->s.seen);
    put_number(&t->log, t->s.correct / t->s.seen);
    put_number(&t->log, s->loss);
    put_number(&t->log, s->acc);
    put_number(&t->log, s->balanced);
    str_addf(&t->log, "\t%.3f\t%.2f\n", t->s.seconds,
             t->s.seen / fmax(t->s.seconds, 1e-9));
    if (t->comm->rank > 0)
        return 0;
    log_note("epoch %.*s", (int)(t->log.n - before - 1),
             t->log.text + before);
    if (t->c->log == NULL)
        return 0;
    own = strcmp(t->c->log, "-") != 0;
    f = own ? fopen(t->c->log, "a") : stdout;
    if (f == NULL)
        return err_errno(e, "cannot write '%s'", t->c->log);
    fputs(t->log.text + before, f);
    good = fflush(f) == 0;
    if (own && fclose(f) != 0)
        good = false;
    if (!good)
        return err_errno(e, "cannot write '%s'", t->c->log);
    return 0;
}
