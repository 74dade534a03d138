#include "data/image_vips.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <vips/vips.h>

enum {
    STRIP = 16,             /* rows decoded at a time */
    ALL_BITS = 0xffff,
    LOW_BITS = 0x3fff,      /* no more of 16: they are another kind's */
    NOT_SPREAD = 1 << 16    /* from 8: then both bytes are equal */
};

/*
 * libvips keeps one buffer of error texts for the whole process.  Decodes
 * share this lock; whenever anything failed, the file is decoded once more
 * alone, so that the verdict and the words are about this file.
 */
static pthread_rwlock_t errors = PTHREAD_RWLOCK_INITIALIZER;

static void
hush(const gchar *domain, GLogLevelFlags level, const gchar *text, void *ctx)
{
    (void)domain, (void)level, (void)text, (void)ctx;
}

static int
start(struct err *e)
{
    if (VIPS_INIT("busi") != 0)
        return err_set(e, EXIT_IO, "cannot start libvips: %s",
                       vips_error_buffer());
    /* Warnings of codecs would go to stderr; errors reach us as such. */
    g_log_set_handler("VIPS", G_LOG_LEVEL_MASK, hush, NULL);
    vips_cache_set_max(0);
    vips_concurrency_set(1);
    return 0;
}

typedef int loader(void *data, size_t nbytes, VipsImage **out, ...);

static loader *const loaders[] = {
    [MAGIC_PNG] = vips_pngload_buffer, [MAGIC_JPEG] = vips_jpegload_buffer,
    [MAGIC_TIFF] = vips_tiffload_buffer, [MAGIC_WEBP] = vips_webpload_buffer
};

/* From the header alone: is this a picture we take, of a size we take? */
static int
check_header(VipsImage *in, struct err *e)
{
    if (image_check_size(in->Xsize, in->Ysize, e) != 0)
        return -1;
    if (vips_image_get_n_pages(in) > 1)
        return err_set(e, EXIT_INVALID, "has %d pages; one picture a file "
                       "is taken", vips_image_get_n_pages(in));
    if (in->BandFmt != VIPS_FORMAT_UCHAR && in->BandFmt != VIPS_FORMAT_USHORT)
        return err_set(e, EXIT_INVALID, "its pixels are neither 8 nor 16 bits "
                       "of unsigned integer");
    if (in->Bands > 5 || (in->Bands == 5 &&
                          in->Type != VIPS_INTERPRETATION_CMYK))
        return err_set(e, EXIT_INVALID, "has %d channels", in->Bands);
    return 0;
}

/*
 * A row of the decoder as gray or RGB of 8 bits: the high byte of 16, alpha
 * flattened on black.  Returns the bits that occur, of 8 all, and NOT_SPREAD.
 */
static unsigned
put_row(uint8_t *to, int c, const void *from, int bands, bool wide, int w)
{
    const uint8_t *p8 = from;
    const uint16_t *p16 = from;
    unsigned bits = wide ? 0 : ALL_BITS;

    if (!wide && bands == c) {
        memcpy(to, p8, (size_t)w * (size_t)c);
        return ALL_BITS;
    }
    for (int x = 0; x < w; x++, p8 += bands, p16 += bands)
        for (int i = 0; i < c; i++) {
            unsigned v = wide ? p16[i] >> 8 : p8[i], a = 255;

            if (bands > c)
                a = wide ? p16[c] >> 8 : p8[c];
            if (wide)
                bits |= p16[i] | (p16[i] % 257 != 0 ? NOT_SPREAD : 0);
            *to++ = image_on_black(v, a);
        }
    return bits;
}

/*
 * Pixels are pulled in this thread, strip by strip: that needs no threads of
 * libvips, whose pool loses errors, and no second copy of the picture.
 */
static int
pull(struct image *m, VipsImage *in, struct err *e)
{
    VipsRegion *region = vips_region_new(in);
    unsigned bits = 0;
    bool wide = in->BandFmt == VIPS_FORMAT_USHORT;
    int rc = 0;

    image_init(m, in->Xsize, in->Ysize, in->Bands < 3 ? 1 : 3);
    for (int top = 0; top < m->h && rc == 0; top += STRIP) {
        VipsRect r = { 0, top, m->w, VIPS_MIN(STRIP, m->h - top) };

        rc = vips_region_prepare(region, &r);
        for (int y = top; y < top + r.height && rc == 0; y++)
            bits |= put_row(m->px + (size_t)y * (size_t)(m->w * m->c), m->c,
                            VIPS_REGION_ADDR(region, 0, y), in->Bands, wide,
                            m->w);
    }
    g_object_unref(region);
    /* Of 10 to 14 bits the high byte is nearly black. */
    if (rc == 0 && (bits & NOT_SPREAD) != 0 && (bits & ALL_BITS) <= LOW_BITS)
        rc = err_set(e, EXIT_INVALID, "has 16 bits, of which only the low %d "
                     "are used: spread them first",
                     32 - __builtin_clz(bits & ALL_BITS));
    return rc;
}

/* Anything but gray and RGB is brought to sRGB; *in is replaced. */
static int
to_rgb(VipsImage **in)
{
    VipsInterpretation type = (*in)->Type;
    VipsImage *out;

    if (type == VIPS_INTERPRETATION_B_W || type == VIPS_INTERPRETATION_sRGB ||
        type == VIPS_INTERPRETATION_GREY16 ||
        type == VIPS_INTERPRETATION_RGB16 || type == VIPS_INTERPRETATION_RGB)
        return 0;
    if (vips_colourspace(*in, &out, VIPS_INTERPRETATION_sRGB, NULL) != 0)
        return -1;
    g_object_unref(*in);
    *in = out;
    return 0;
}

/* One attempt.  *failed: libvips had something to say. */
static int
attempt(struct image *m, loader *load, const void *data, size_t nbytes,
        bool *failed, struct err *e)
{
    VipsImage *in = NULL;
    int rc = -1;

    if (load((void *)data, nbytes, &in, "access", VIPS_ACCESS_SEQUENTIAL,
             "fail_on", VIPS_FAIL_ON_ERROR, NULL) == 0 &&
        (rc = check_header(in, e)) == 0) {
        rc = to_rgb(&in) == 0 ? pull(m, in, e) : -1;
    }
    if (in != NULL)
        g_object_unref(in);
    *failed = vips_error_buffer()[0] != '\0';
    if (rc != 0 || *failed) {
        image_release(m);
        rc = -1;
    }
    return rc;
}

/* The text of libvips as one line. */
static void
say_failure(struct err *e)
{
    char *text = vips_error_buffer_copy();
    size_t n = strlen(text);

    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    for (char *p = text; *p != '\0'; p++)
        if (*p == '\n')
            *p = ';';
    err_set(e, EXIT_INVALID, "cannot be decoded: %s",
            n > 0 ? text : "no reason given");
    g_free(text);
}

static int
decode(struct image *m, enum magic f, const void *data, size_t nbytes,
       struct err *e)
{
    struct err first = { 0 };
    bool failed;
    int rc;

    memset(m, 0, sizeof *m);
    pthread_rwlock_rdlock(&errors);
    rc = attempt(m, loaders[f], data, nbytes, &failed, &first);
    pthread_rwlock_unlock(&errors);
    if (rc == 0)
        return 0;
    pthread_rwlock_wrlock(&errors);
    vips_error_clear();
    rc = attempt(m, loaders[f], data, nbytes, &failed, e);
    if (rc != 0)
        say_failure(e);
    vips_error_clear();
    pthread_rwlock_unlock(&errors);
    return rc;
}

static int
encode_png(const struct image *m, void **data, size_t *nbytes, struct err *e)
{
    size_t n = (size_t)m->w * (size_t)m->h * (size_t)m->c;
    VipsImage *in;
    void *png = NULL;
    int rc = -1;

    pthread_rwlock_rdlock(&errors);
    in = vips_image_new_from_memory(m->px, n, m->w, m->h, m->c,
                                    VIPS_FORMAT_UCHAR);
    if (in != NULL) {
        in->Type = m->c == 1 ? VIPS_INTERPRETATION_B_W
                             : VIPS_INTERPRETATION_sRGB;
        rc = vips_pngsave_buffer(in, &png, nbytes, "strip", TRUE, NULL);
        g_object_unref(in);
    }
    pthread_rwlock_unlock(&errors);
    if (rc != 0) {
        pthread_rwlock_wrlock(&errors);
        vips_error_clear();
        pthread_rwlock_unlock(&errors);
        err_set(e, EXIT_IO, "cannot make a PNG of %d x %d pixels", m->w,
                m->h);
    } else {
        *data = mem_alloc(*nbytes);
        memcpy(*data, png, *nbytes);
    }
    g_free(png);
    return rc;
}

extern const struct image_vips *const busi_image_vips;
__attribute__((visibility("default")))
const struct image_vips *const busi_image_vips = &(const struct image_vips){
    start, decode, encode_png
};
