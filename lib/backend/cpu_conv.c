#include "backend/cpu_conv.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/*
 * Fewer tiles of 4x4 outputs than this are not worth it: transformed filters
 * are four times the filters, and each is read for few tiles.
 */
enum { LEAST_TILES = 32 };

struct cpu_conv {
    struct dn_conv *dn;         /* NULL: by Winograd's algorithm */
    struct dn *d;
    const struct cpu_kernels *k;
    struct dn_conf c;
    struct cpu_wino there, back;
    const float *w;             /* training: as given, packed in each pass */
    float *packed;              /* else: packed once */
    float *bias;                /* [there.out.c], NULL: none */
};

/* oneDNN 2.6 has Winograd's algorithm for AVX-512 alone. */
static bool
can_winograd(const struct dn_conf *c)
{
    const struct op *o = c->op;

    return c->lanes == 8 && !c->bf16 && !c->plain && o->kernel == 3 &&
           o->stride == 1 && o->groups == 1 && o->pad <= 2;
}

static bool
many_tiles(const struct dn_conf *c)
{
    return c->n * ((c->op->h + 3) / 4) * ((c->op->w + 3) / 4) >= LEAST_TILES;
}

/* Packed filters lie in front of a pass's other scratch memory. */
static float *
scratch(const struct cpu_conv *v, const struct cpu_wino *w, bool weights)
{
    size_t n = v->k->wino_scratch(w, weights);

    if (!weights && v->packed == NULL)
        n += v->k->wino_packed(w);
    return dn_scratch(v->d, n * sizeof(float));
}

static void
wino_new(struct cpu_conv *v, const struct cpu_wino *w)
{
    const struct dn_conf *c = &v->c;

    v->there = *w;
    v->back = (struct cpu_wino){ w->out, w->in, w->oc, w->ic, 2 - w->pad };
    if (!c->train)
        v->packed = mem_aligned(v->k->wino_packed(&v->there), sizeof(float));
    if (c->bias)
        v->bias = mem_aligned((size_t)v->there.out.c, sizeof *v->bias);
    scratch(v, &v->there, false);
    if (c->train) {
        scratch(v, &v->back, false);
        scratch(v, &v->there, true);
    }
}

struct cpu_conv *
cpu_conv_new(struct dn *d, const struct cpu_kernels *k,
             const struct dn_conf *c, const struct cpu_wino *w, bool fast,
             struct err *e)
{
    struct cpu_conv *v = mem_array(1, sizeof *v);
    bool can = can_winograd(c);
    struct err none = { 0 };

    v->d = d;
    v->k = k;
    v->c = *c;
    if (!can || !many_tiles(c))
        v->dn = dn_conv_new(d, c, fast || can, can ? &none : e);
    if (v->dn != NULL)
        return v;
    /* Of 2x2 pixels oneDNN has the weights' gradient by reference alone. */
    if (can) {
        wino_new(v, w);
        return v;
    }
    free(v);
    return NULL;
}

void
cpu_conv_free(struct cpu_conv *v)
{
    if (v == NULL)
        return;
    dn_conv_free(v->dn);
    free(v->packed);
    free(v->bias);
    free(v);
}

const char *
cpu_conv_name(const struct cpu_conv *v, enum dn_pass pass)
{
    if (v->dn != NULL)
        return dn_conv_name(v->dn, pass);
    return v->c.train || pass == DN_FORWARD ? "winograd" : "";
}

int
cpu_conv_pack(struct cpu_conv *v, const float *w, const float *bias)
{
    if (v->dn != NULL)
        return dn_conv_pack(v->dn, w, bias);
    v->w = w;
    if (v->packed != NULL)
        v->k->wino_pack(&v->there, w, false, v->packed);
    if (v->bias != NULL)
        memcpy(v->bias, bias, (size_t)v->there.oc * sizeof *bias);
    return 0;
}

/* There, or back with the filters turned. */
static void
convolve(struct cpu_conv *v, bool back, const void *x, void *y)
{
    const struct cpu_wino *w = back ? &v->back : &v->there;
    float *more = scratch(v, w, false), *packed = v->packed;

    if (packed == NULL) {
        packed = more;
        more += v->k->wino_packed(w);
        v->k->wino_pack(w, v->w, back, packed);
    }
    if (back)
        v->k->wino_forward(w, packed, NULL, false, ACT_NONE, x, y, more);
    else
        v->k->wino_forward(w, packed, v->bias, v->c.sum, v->c.act, x, y,
                           more);
}

int
cpu_conv_forward(struct cpu_conv *v, const void *x, void *y)
{
    if (v->dn != NULL)
        return dn_conv_forward(v->dn, x, y);
    convolve(v, false, x, y);
    return 0;
}

int
cpu_conv_data(struct cpu_conv *v, const void *dy, void *dx)
{
    if (v->dn != NULL)
        return dn_conv_data(v->dn, dy, dx);
    convolve(v, true, dy, dx);
    return 0;
}

int
cpu_conv_weights(struct cpu_conv *v, const void *x, const void *dy, float *dw,
                 float *db)
{
    if (v->dn != NULL)
        return dn_conv_weights(v->dn, x, dy, dw, db);
    v->k->wino_weights(&v->there, x, dy, dw, scratch(v, &v->there, true));
    if (db != NULL)
        v->k->channel_sums(&v->there.out, v->there.oc, dy, db);
    return 0;
}
