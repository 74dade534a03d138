#include "data/dataset.h"

#include "base/digest.h"
#include "base/mem.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

void
dataset_digest(const struct dataset_parts *p, char hex[DIGEST_HEX])
{
    struct digest d;

    digest_init(&d);
    digest_add(&d, p->labels, p->n * sizeof *p->labels);
    digest_add(&d, p->ids, p->ids_nbytes);
    digest_add(&d, p->row_crc, p->n * sizeof *p->row_crc);
    digest_add(&d, p->classes, strlen(p->classes) + 1);
    digest_add(&d, p->recipe, strlen(p->recipe) + 1);
    digest_end(&d, hex);
}

static int
odd(const struct dataset *d, const char *why, struct err *e)
{
    return err_set(e, EXIT_INVALID, "'%s' is not a valid dataset: %s",
                   d->file.path, why);
}

/* A tensor of this type and number of dimensions, with n rows (0: any). */
static const struct safet_tensor *
need(const struct dataset *d, const char *name, enum dtype t, int ndims,
     struct err *e)
{
    const struct safet_tensor *s = safet_need(&d->file, name, e);

    if (s == NULL)
        return NULL;
    if (s->dtype != t || s->ndims != ndims ||
        (d->n > 0 && s->dims[0] != (int64_t)d->n)) {
        err_set(e, EXIT_INVALID, "'%s' is not a valid dataset: '%s' has another "
                "type or shape than it must", d->file.path, name);
        return NULL;
    }
    return s;
}

static int
open_images(struct dataset *d, struct err *e)
{
    const struct safet_tensor *t = safet_need(&d->file, "images", e);
    int64_t side = d->recipe.crop, c = d->recipe.channels;
    const int64_t *n;

    if (t == NULL)
        return -1;
    d->f32 = t->dtype == DT_F32;
    n = t->dims;
    if ((t->dtype != DT_U8 && !d->f32) || t->ndims != 4 || n[0] < 1 ||
        n[d->f32 ? 1 : 3] != c || n[d->f32 ? 2 : 1] != side ||
        n[d->f32 ? 3 : 2] != side)
        return odd(d, "its images are not as its recipe makes them", e);
    d->n = (size_t)n[0];
    d->c = (int)c;
    d->h = d->w = (int)side;
    d->images = safet_data(&d->file, t);
    d->row_nbytes = t->nbytes / d->n;
    return 0;
}

static int
open_labels(struct dataset *d, struct err *e)
{
    const struct safet_tensor *t = need(d, "labels", DT_I64, 1, e);
    const struct safet_tensor *crc, *sha;
    int64_t k = (int64_t)d->classes.n;

    if (t == NULL || (crc = need(d, "row_crc", DT_U32, 1, e)) == NULL ||
        (sha = need(d, "sha256", DT_U8, 2, e)) == NULL)
        return -1;
    if (sha->dims[1] != DIGEST_BYTES)
        return odd(d, "its SHA-256 are not 32 bytes each", e);
    d->sha256 = safet_data(&d->file, sha);
    /* Copies, since their place in the file need not be aligned. */
    d->labels = mem_array(d->n, sizeof *d->labels);
    memcpy(d->labels, safet_data(&d->file, t), t->nbytes);
    d->row_crc = mem_array(d->n, sizeof *d->row_crc);
    memcpy(d->row_crc, safet_data(&d->file, crc), crc->nbytes);
    for (size_t i = 0; i < d->n; i++)
        if (d->labels[i] < -1 || d->labels[i] >= k)
            return odd(d, "a label is the number of no class", e);
    if (safet_verify_one(&d->file, t, e) != 0 ||
        safet_verify_one(&d->file, crc, e) != 0 ||
        safet_verify_one(&d->file, sha, e) != 0)
        return -1;
    return 0;
}

static int
open_ids(struct dataset *d, struct err *e)
{
    const struct safet_tensor *t = safet_need(&d->file, "ids", e);
    struct lookup *index;
    const char *p, *end, *stop;
    size_t n = 0;

    if (t == NULL || safet_verify_one(&d->file, t, e) != 0)
        return -1;
    if (t->dtype != DT_U8 || t->ndims != 1)
        return odd(d, "its ids are no bytes", e);
    p = safet_data(&d->file, t);
    end = p + t->nbytes;
    d->ids = mem_array(d->n, sizeof *d->ids);
    d->index = index = mem_array(d->n, sizeof *index);
    while (p < end && n < d->n && (stop = memchr(p, '\0', end - p)) != NULL) {
        index[n] = (struct lookup){ p, n };
        d->ids[n++] = p;
        p = stop + 1;
    }
    if (n != d->n || p != end)
        return odd(d, "it has not one id for each picture", e);
    qsort(index, n, sizeof *index, lookup_bytes);
    if (index[0].text[0] == '\0')
        return odd(d, "a picture has no id", e);
    for (size_t i = 1; i < n; i++)
        if (strcmp(index[i - 1].text, index[i].text) == 0)
            return odd(d, "an id is there twice", e);
    return 0;
}

static int
open_metadata(struct dataset *d, struct err *e)
{
    const char *classes, *recipe;
    struct err why = { 0 };

    if ((classes = safet_need_meta(&d->file, "classes", e)) == NULL ||
        (recipe = safet_need_meta(&d->file, "recipe", e)) == NULL)
        return -1;
    if (classes[0] != '\0')
        str_list_split(&d->classes, classes, '\t');
    if (!str_list_distinct(&d->classes))
        return odd(d, "a class has no name or that of another", e);
    if (recipe_parse(&d->recipe, recipe, &why) != 0)
        return err_set(e, EXIT_INVALID, "'%s' is not a valid dataset: its "
                       "recipe: %s", d->file.path, why.text);
    return 0;
}

static int
check_digest(struct dataset *d, struct err *e)
{
    const struct safet_tensor *ids = safet_find(&d->file, "ids");
    const char *content = safet_need_meta(&d->file, "content", e);
    struct dataset_parts parts = {
        .n = d->n,
        .labels = d->labels,
        .row_crc = d->row_crc,
        .ids = safet_data(&d->file, ids),
        .ids_nbytes = ids->nbytes,
        .classes = safet_meta(&d->file, "classes"),
        .recipe = safet_meta(&d->file, "recipe"),
    };

    if (content == NULL)
        return -1;
    dataset_digest(&parts, d->digest);
    if (strcmp(d->digest, content) != 0)
        return odd(d, "its content is not what its digest says", e);
    return 0;
}

int
dataset_open(struct dataset *d, const char *path, struct err *e)
{
    memset(d, 0, sizeof *d);
    if (safet_open(&d->file, path, e) != 0)
        return -1;
    if (safet_check_kind(&d->file, "dataset", e) != 0 ||
        open_metadata(d, e) != 0 || open_images(d, e) != 0 ||
        open_labels(d, e) != 0 || open_ids(d, e) != 0 ||
        check_digest(d, e) != 0) {
        dataset_close(d);
        return -1;
    }
    return 0;
}

void
dataset_close(struct dataset *d)
{
    safet_close(&d->file);
    str_list_release(&d->classes);
    free(d->labels);
    free(d->row_crc);
    free(d->ids);
    free(d->index);
    memset(d, 0, sizeof *d);
}

long
dataset_find(const struct dataset *d, const char *id)
{
    return lookup_find(d->index, d->n, id);
}

/*
 * Back from normalised values [C,H,W] to bytes [H,W,C].  The guess by the
 * inverse formula may be off by one; a value that is no level at all is not
 * ours.
 */
static int
unlevel(const struct dataset *d, const unsigned char *in, uint8_t *out)
{
    size_t plane = (size_t)d->h * (size_t)d->w, c = (size_t)d->c;
    float level[256];

    for (size_t k = 0; k < c; k++) {
        float mean = d->recipe.mean[k], std = d->recipe.std[k];

        recipe_levels(&d->recipe, (int)k, level);
        for (size_t i = 0; i < plane; i++, in += sizeof(float)) {
            float v, guess;
            int u;

            memcpy(&v, in, sizeof v);
            guess = (v * std + mean) * 255.0f + 0.5f;
            u = guess >= 255 ? 255 : guess >= 0 ? (int)guess : 0;
            if (level[u] < v && u < 255)
                u++;
            else if (level[u] > v && u > 0)
                u--;
            if (level[u] != v)
                return -1;
            out[i * c + k] = (uint8_t)u;
        }
    }
    return 0;
}

const char *
dataset_differs(const struct dataset *d, size_t row, const char *sha256,
                const char *label)
{
    uint8_t bytes[DIGEST_BYTES];

    if (sha256 != NULL && sha256[0] != '\0' &&
        (!digest_unhex(sha256, bytes) ||
         memcmp(bytes, d->sha256 + row * DIGEST_BYTES, DIGEST_BYTES) != 0))
        return "SHA-256";
    if (label != NULL && label[0] != '\0' && d->labels[row] >= 0 &&
        strcmp(d->classes.item[d->labels[row]], label) != 0)
        return "label";
    return NULL;
}

int
dataset_join(const struct dataset *d, const struct table *t, size_t *line,
             struct err *e)
{
    long id = table_need(t, "id", e);
    long sha256 = table_find(t, "sha256"), label = table_find(t, "label");

    if (id < 0)
        return -1;
    for (size_t row = 0; row < d->n; row++)
        line[row] = t->nrows;
    for (size_t i = 0; i < t->nrows; i++) {
        char *const *cell = t->row[i];
        long row = dataset_find(d, cell[id]);
        const char *other = row < 0 ? NULL
            : dataset_differs(d, (size_t)row, sha256 >= 0 ? cell[sha256] : NULL,
                              label >= 0 ? cell[label] : NULL);

        if (other != NULL)
            return err_set(e, EXIT_INVALID, "'%s' and '%s' do not belong "
                           "together: '%s' has another %s", d->file.path,
                           t->path, cell[id], other);
        if (row >= 0)
            line[row] = i;
    }
    for (size_t row = 0; row < d->n; row++)
        if (line[row] == t->nrows)
            return err_set(e, EXIT_INVALID, "'%s' does not cover '%s': it "
                           "lacks '%s' (busi-prep makes a dataset of that "
                           "table's scans alone)", t->path, d->file.path,
                           d->ids[row]);
    return 0;
}

int
dataset_row(const struct dataset *d, size_t row, uint8_t *out, struct err *e)
{
    const unsigned char *in = d->images + row * d->row_nbytes;

    if (libdeflate_crc32(0, in, d->row_nbytes) != d->row_crc[row])
        return err_set(e, EXIT_INVALID, "'%s' is damaged: CRC-32 of the "
                       "picture '%s' differs", d->file.path, d->ids[row]);
    if (!d->f32)
        memcpy(out, in, d->row_nbytes);
    else if (unlevel(d, in, out) != 0)
        return err_set(e, EXIT_INVALID, "'%s': the picture '%s' has values "
                       "that its recipe does not make", d->file.path,
                       d->ids[row]);
    return 0;
}
