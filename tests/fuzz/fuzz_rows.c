/* Prediction tables and manifests as busi-eval and busi-split take them. */
#include "fuzz.h"

#include "base/log.h"
#include "data/fold.h"
#include "data/manifest.h"
#include "learn/predictions.h"

enum { FOLDS = 3, MOST = 1000 };

static void
deal(void)
{
    struct table t = { 0 };
    struct fold_set s;
    struct err e = { 0 };
    int fold[MOST];

    if (manifest_read(&t, "fuzz", &e) == 0 && t.nrows <= MOST &&
        fold_open(&s, &t, fold_group(&t, NULL), &e) == 0) {
        if (fold_assign(&s, FOLDS, 1, 0, fold, &e) == 0)
            for (size_t i = 0; i < s.n; i++)
                if (fold[i] < 0 || fold[i] >= FOLDS)
                    abort();
        fold_close(&s);
    }
    table_release(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct predictions p = { 0 };
    struct labels l;
    struct err e = { 0 };

    log_set_level(LOG_QUIET);
    fuzz_input(data, n);
    deal();
    if (labels_read(&l, "fuzz", &e) == 0) {
        if (predictions_add(&p, "fuzz", &l, &e) == 0)
            predictions_settle(&p, &e);
        predictions_release(&p);
        labels_release(&l);
    }
    return 0;
}
