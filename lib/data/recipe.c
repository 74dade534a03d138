#include "data/recipe.h"

#include "base/mem.h"
#include "data/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
bad(const char *word, const char *why, struct err *e)
{
    return err_set(e, EXIT_USAGE, "'%s': %s", word, why);
}

/* A side in pixels. */
static bool
side(const char *text, int *value)
{
    int64_t v;

    if (!str_int(text, &v) || v < 1 || v > IMAGE_MAX_SIDE)
        return false;
    *value = (int)v;
    return true;
}

static bool
sides(char *text, struct recipe *r)
{
    char *x = strchr(text, 'x');
    bool good;

    if (x == NULL)
        return side(text, &r->width);
    *x = '\0';
    good = side(text, &r->width) && side(x + 1, &r->height);
    *x = 'x';
    return good;
}

/* One number, or one for each channel; returns how many, 0 if wrong. */
static int
reals(const char *text, float value[3])
{
    struct str_list l = { 0 };
    int n = 0;
    double v;

    str_list_split(&l, text, ',');
    while (n < 3 && (size_t)n < l.n && str_real(l.item[n], &v))
        value[n++] = (float)v;
    if ((size_t)n != l.n)
        n = 0;
    str_list_release(&l);
    return n;
}

/* Of the pieces of one "key=value" word. */
static int
parse_word(struct recipe *r, const char *word, int n[2], unsigned *seen,
           struct err *e)
{
    static const char *const keys[] = {
        "resize=", "crop=", "channels=", "mean=", "std="
    };
    size_t k = 0;
    char *value;
    bool good = true;

    while (k < ARRAY_LEN(keys) &&
           strncmp(word, keys[k], strlen(keys[k])) != 0)
        k++;
    if (k == ARRAY_LEN(keys))
        return bad(word, "not a word of a recipe", e);
    if (*seen & 1u << k)
        return bad(word, "is there twice", e);
    *seen |= 1u << k;
    value = mem_strdup(word + strlen(keys[k]));
    switch (k) {
    case 0: good = sides(value, r); break;
    case 1: good = side(value, &r->crop); break;
    case 2: good = side(value, &r->channels) && r->channels % 2 == 1 &&
                   r->channels <= 3; break;
    case 3: n[0] = reals(value, r->mean); good = n[0] > 0; break;
    case 4: n[1] = reals(value, r->std); good = n[1] > 0; break;
    }
    free(value);
    return good ? 0 : bad(word, "not a value this word can have", e);
}

/* One value stands for all channels; all 256 levels must differ. */
static int
settle(struct recipe *r, const char *text, const int n[2], struct err *e)
{
    float level[256];

    for (int k = 0; k < 2; k++) {
        float *v = k == 0 ? r->mean : r->std;

        if (n[k] != 1 && n[k] != r->channels)
            return bad(text, "mean and std take one number or one for each "
                       "channel", e);
        for (int i = n[k]; i < 3; i++)
            v[i] = i < r->channels || n[k] == 1 ? v[0] : 0;
    }
    for (int i = 0; i < r->channels; i++) {
        recipe_levels(r, i, level);
        for (int v = 0; v < 256; v++)
            if (!isfinite(level[v]) || (v > 0 && !(level[v] > level[v - 1])))
                return bad(text, "with this mean and std, grey levels "
                           "cannot be told apart", e);
    }
    if (r->crop > r->width || (r->height > 0 && r->crop > r->height))
        return bad(text, "the crop is larger than the resized picture", e);
    return 0;
}

int
recipe_parse(struct recipe *r, const char *text, struct err *e)
{
    struct str_list words = { 0 };
    unsigned seen = 0;
    int n[2] = { 0, 0 }, rc = 0;

    memset(r, 0, sizeof *r);
    str_list_split(&words, text, ' ');
    for (size_t i = 0; i < words.n && rc == 0; i++)
        rc = parse_word(r, words.item[i], n, &seen, e);
    str_list_release(&words);
    if (rc == 0 && seen != 31)
        rc = bad(text, "a recipe has resize, crop, channels, mean and std", e);
    return rc == 0 ? settle(r, text, n, e) : rc;
}

/* The shortest text that reads back as the same float. */
static void
print_real(struct str *s, float v)
{
    char text[32];

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtof(text, NULL) == v)
            break;
    }
    str_add(s, text);
}

static void
print_reals(struct str *s, const char *key, const float v[3], int n)
{
    bool same = n == 1 || (v[0] == v[1] && v[0] == v[2]);

    str_add(s, key);
    for (int i = 0; i < (same ? 1 : n); i++) {
        str_add(s, i > 0 ? "," : "");
        print_real(s, v[i]);
    }
}

void
recipe_print(const struct recipe *r, struct str *s)
{
    str_addf(s, "resize=%d", r->width);
    if (r->height > 0)
        str_addf(s, "x%d", r->height);
    str_addf(s, " crop=%d channels=%d", r->crop, r->channels);
    print_reals(s, " mean=", r->mean, r->channels);
    print_reals(s, " std=", r->std, r->channels);
}

bool
recipe_same(const struct recipe *a, const struct recipe *b)
{
    _Static_assert(sizeof *a == 4 * sizeof(int) + 6 * sizeof(float),
                   "a recipe has no gaps");

    return memcmp(a, b, sizeof *a) == 0;
}

/* The sides after the resize; -1 if the long one gets out of hand. */
static int
resized(const struct recipe *r, const struct image *in, int *w, int *h)
{
    int64_t longer;

    *w = r->width;
    *h = r->height;
    if (r->height > 0)
        return 0;
    /* As torchvision: the long side is rounded down. */
    if (in->w <= in->h) {
        longer = (int64_t)r->width * in->h / in->w;
        *h = (int)longer;
    } else {
        longer = (int64_t)r->width * in->w / in->h;
        *w = (int)longer;
        *h = r->width;
    }
    return longer <= IMAGE_MAX_SIDE ? 0 : -1;
}

/* The square in the middle; gray becomes equal in all channels. */
static void
cut_square(const struct recipe *r, const struct image *m, uint8_t *out)
{
    int left = (m->w - r->crop) / 2, top = (m->h - r->crop) / 2;
    size_t row = (size_t)r->crop * (size_t)r->channels;

    for (int y = 0; y < r->crop; y++, out += row) {
        const uint8_t *p = m->px + ((size_t)(top + y) * (size_t)m->w +
                                    (size_t)left) * (size_t)m->c;

        if (m->c == r->channels)
            memcpy(out, p, row);
        else
            for (int x = 0; x < r->crop; x++)
                memset(out + 3 * x, p[x], 3);
    }
}

int
recipe_apply(const struct recipe *r, const struct image *in, uint8_t *out,
             struct err *e)
{
    struct image gray = { 0 }, sized;
    int w, h, rc = 0;

    if (resized(r, in, &w, &h) != 0)
        return err_set(e, EXIT_INVALID, "%dx%d pixels are too narrow to be "
                       "resized to a short side of %d", in->w, in->h,
                       r->width);
    if (in->c > r->channels) {
        image_gray(&gray, in);
        in = &gray;
    }
    image_resize(&sized, in, w, h);
    image_release(&gray);
    if (w < r->crop || h < r->crop)
        rc = err_set(e, EXIT_INVALID, "resized to %dx%d, which is smaller "
                     "than the crop of %d", w, h, r->crop);
    else
        cut_square(r, &sized, out);
    image_release(&sized);
    return rc;
}

void
recipe_levels(const struct recipe *r, int channel, float level[256])
{
    for (int v = 0; v < 256; v++) {
        float unit = (float)v / 255.0f;

        level[v] = (unit - r->mean[channel]) / r->std[channel];
    }
}
