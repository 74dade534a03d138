/*
 * model: a trained network as a file, and all that is needed to use it.
 *
 * A safetensors file of kind "model".  Tensors carry torchvision's names and
 * layouts (F32), so load_state_dict() takes them; besides them there is `seen`
 * (U8 [M,32]): the SHA-256 of every scan file that had a part in training
 * (train and validation rows), so that nobody scores them by accident.
 * Metadata: graph (model text), name, classes (tab-separated, in the order of
 * the outputs), recipe, temperature, and the provenance below.
 */
#ifndef BUSI_LEARN_MODEL_H
#define BUSI_LEARN_MODEL_H

#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "data/recipe.h"
#include "data/safet.h"
#include "model/graph.h"

/* What a model was trained on, and by what it was chosen. */
struct provenance {
    char dataset[DIGEST_HEX];   /* dataset.digest; these are "" where unknown */
    char init[DIGEST_HEX];      /* SHA-256 of the file it started from */
    char folds[DIGEST_HEX];     /* SHA-256 of the fold table */
    int64_t fold;               /* test fold; -1: trained on everything */
    char select[16];            /* what chose the epoch: val, test, last,
                                   none */
    uint8_t *seen;              /* [nseen,32], sorted */
    size_t nseen;
};

struct model {
    struct graph graph;
    float *params;              /* [graph.nparams] */
    float *buffers;             /* [graph.nbuffers] */
    struct str_list classes;
    struct recipe recipe;
    double temperature;         /* logits are divided by it; 1: none */
    struct provenance from;
    char digest[DIGEST_HEX];    /* of this model's numbers and graph */
    int64_t epoch;              /* that was chosen, from 1; -1: unknown */
    int64_t seed;               /* -1: unknown */
    char *command;              /* line that made it; may be NULL */
};

/* Errors: EXIT_INVALID with the file's name and the reason. */
int model_open(struct model *m, const char *path, struct err *e);
/* EXIT_NUMBERS if a weight or statistic is NaN or infinite. */
int model_check_finite(const struct model *m, const char *path, struct err *e);
bool model_all_finite(const float *x, size_t n);
void model_release(struct model *m);

/* Fills m->digest too.  Whole or not at all. */
int model_save(struct model *m, const char *path, struct err *e);

/* SHA-256 of the graph, classes, recipe, temperature and numbers. */
void model_digest(const struct model *m, char hex[DIGEST_HEX]);

/*
 * Of a file of kind "model", whose errors are those of model_open().  p is
 * empty before; whoever has it frees `seen`, after an error too.
 */
int provenance_read(struct provenance *p, const struct safet *s,
                    struct err *e);
/* Sort what was seen, and keep each scan once. */
void provenance_sort(struct provenance *p);
/* Did a scan with this SHA-256 have a part in training? */
bool provenance_has_seen(const struct provenance *p,
                         const uint8_t sha256[DIGEST_BYTES]);

/*
 * May two models vote together?  Same classes in the same order, same recipe;
 * else an error that names both files.
 */
int model_agree(const struct model *a, const char *path_a,
                const struct model *b, const char *path_b, struct err *e);

#endif
