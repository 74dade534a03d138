#include "data/image_vips.h"

#include "base/file.h"
#include "base/mem.h"
#include "data/cell.h"
#include "data/image_bmp.h"
#include "data/image_dicom.h"
#include "data/image_png.h"
#include "data/scan.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

enum { STRIP = 16 };        /* rows decoded at a time */

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

/* libvips takes 40 ms to start, and most PNG files can do without it. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;

static void
start(void)
{
    if (VIPS_INIT("busi") != 0)
        return;
    /* Warnings of codecs would go to stderr; errors reach us as such. */
    g_log_set_handler("VIPS", G_LOG_LEVEL_MASK, hush, NULL);
    vips_cache_set_max(0);
    vips_concurrency_set(1);
    started = true;
}

int
image_vips_open(struct err *e)
{
    pthread_once(&once, start);
    return started ? 0 : err_set(e, EXIT_IO, "cannot start libvips: %s",
                                 vips_error_buffer());
}

void
image_vips_close(void)
{
    if (started)
        vips_shutdown();
}

/* --------------------------------------------------- which format, how much */

typedef int loader(void *data, size_t nbytes, VipsImage **out, ...);

/* The loader for what the first bytes say, or NULL. */
static loader *
loader_for(const unsigned char *p, size_t nbytes)
{
    if (nbytes < 12)
        return NULL;
    if (memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0)
        return vips_pngload_buffer;
    if (memcmp(p, "\xff\xd8\xff", 3) == 0)
        return vips_jpegload_buffer;
    if (memcmp(p, "II*\0", 4) == 0 || memcmp(p, "MM\0*", 4) == 0)
        return vips_tiffload_buffer;
    if (memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "WEBP", 4) == 0)
        return vips_webpload_buffer;
    return NULL;
}

static int
invalid(struct err *e, const char *why)
{
    return err_set(e, EXIT_INVALID, "%s", why);
}

/* From the header alone: is this a picture we take, of a size we take? */
static int
check_header(VipsImage *in, struct err *e)
{
    if (in->Xsize > IMAGE_MAX_SIDE || in->Ysize > IMAGE_MAX_SIDE ||
        (int64_t)in->Xsize * in->Ysize > IMAGE_MAX_PIXELS)
        return err_set(e, EXIT_INVALID, "%dx%d pixels are more than the "
                       "limit of %d a side and %d M in all", in->Xsize,
                       in->Ysize, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS >> 20);
    if (vips_image_get_n_pages(in) > 1)
        return err_set(e, EXIT_INVALID, "has %d pages; one picture a file "
                       "is taken", vips_image_get_n_pages(in));
    if (in->BandFmt != VIPS_FORMAT_UCHAR && in->BandFmt != VIPS_FORMAT_USHORT)
        return invalid(e, "its pixels are neither 8 nor 16 bits of unsigned "
                          "integer");
    if (in->Bands > 5 || (in->Bands == 5 &&
                          in->Type != VIPS_INTERPRETATION_CMYK))
        return err_set(e, EXIT_INVALID, "has %d channels", in->Bands);
    return 0;
}

/* ------------------------------------------------------------------- pixels */

/*
 * A row of the decoder as gray or RGB of 8 bits: the high byte of 16, alpha
 * flattened on black.
 */
static void
put_row(uint8_t *to, int c, const void *from, int bands, bool wide, int w)
{
    const uint8_t *p8 = from;
    const uint16_t *p16 = from;

    if (!wide && bands == c) {
        memcpy(to, p8, (size_t)w * (size_t)c);
        return;
    }
    for (int x = 0; x < w; x++, p8 += bands, p16 += bands)
        for (int i = 0; i < c; i++) {
            unsigned v = wide ? p16[i] >> 8 : p8[i], a = 255;

            if (bands > c)
                a = wide ? p16[c] >> 8 : p8[c];
            *to++ = image_on_black(v, a);
        }
}

/*
 * Pixels are pulled in this thread, strip by strip: that needs no threads of
 * libvips, whose pool loses errors, and no second copy of the picture.
 */
static int
pull(struct image *m, VipsImage *in)
{
    VipsRegion *region = vips_region_new(in);
    bool wide = in->BandFmt == VIPS_FORMAT_USHORT;
    int rc = 0;

    image_init(m, in->Xsize, in->Ysize, in->Bands < 3 ? 1 : 3);
    for (int top = 0; top < m->h && rc == 0; top += STRIP) {
        VipsRect r = { 0, top, m->w, VIPS_MIN(STRIP, m->h - top) };

        rc = vips_region_prepare(region, &r);
        for (int y = top; y < top + r.height && rc == 0; y++)
            put_row(m->px + (size_t)y * (size_t)(m->w * m->c), m->c,
                    VIPS_REGION_ADDR(region, 0, y), in->Bands, wide, m->w);
    }
    g_object_unref(region);
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
        rc = to_rgb(&in) == 0 ? pull(m, in) : -1;
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

/* A number of a TIFF file, 2 or 4 bytes at `at`; 0 behind its end. */
static uint32_t
tiff_number(const uint8_t *p, size_t nbytes, size_t at, int width)
{
    uint32_t v = 0;

    if (at > nbytes || nbytes - at < (size_t)width)
        return 0;
    for (int i = 0; i < width; i++)
        v = v << 8 | p[at + (size_t)(p[0] == 'I' ? width - 1 - i : i)];
    return v;
}

/*
 * libvips takes YCbCr for RGB, but where libjpeg unpacks it.  Tags of TIFF 6.0:
 * 259 compression (6 and 7: JPEG), 262 photometric interpretation (6: YCbCr).
 */
static bool
tiff_of_ycc(const uint8_t *p, size_t nbytes)
{
    size_t at = tiff_number(p, nbytes, 4, 4);
    uint32_t n = tiff_number(p, nbytes, at, 2), packed = 1, means = 0;

    for (at += 2; n-- > 0; at += 12) {
        uint32_t tag = tiff_number(p, nbytes, at, 2);

        if (tag == 259)
            packed = tiff_number(p, nbytes, at + 8, 2);
        else if (tag == 262)
            means = tiff_number(p, nbytes, at + 8, 2);
    }
    return means == 6 && packed != 6 && packed != 7;
}

/* What needs no libvips; 1: that does. */
static int
decode_own(struct image *m, const void *data, size_t nbytes, struct err *e)
{
    loader *load = loader_for(data, nbytes);

    memset(m, 0, sizeof *m);
    if (nbytes > 2 && memcmp(data, "BM", 2) == 0)
        return image_bmp_decode(m, data, nbytes, e);
    if (load == NULL)
        return invalid(e, nbytes == 0 ? "is empty" : "is no PNG, JPEG, TIFF, "
                       "WebP, BMP or DICOM picture");
    if (load == vips_tiffload_buffer && tiff_of_ycc(data, nbytes))
        return invalid(e, "is a TIFF file of YCbCr pixels");
    if (load != vips_pngload_buffer)
        return 1;
    return image_png_check(data, nbytes, e) != 0
           ? -1 : image_png_decode(m, data, nbytes, e);
}

static int
decode_vips(struct image *m, const void *data, size_t nbytes, struct err *e)
{
    loader *load = loader_for(data, nbytes);
    struct err first = { 0 };
    bool failed;
    int rc;

    memset(m, 0, sizeof *m);
    if (image_vips_open(e) != 0)
        return -1;
    pthread_rwlock_rdlock(&errors);
    rc = attempt(m, load, data, nbytes, &failed, &first);
    pthread_rwlock_unlock(&errors);
    if (rc == 0)
        return 0;
    pthread_rwlock_wrlock(&errors);
    vips_error_clear();
    rc = attempt(m, load, data, nbytes, &failed, e);
    if (rc != 0)
        say_failure(e);
    vips_error_clear();
    pthread_rwlock_unlock(&errors);
    return rc;
}

static void
start_once(void)
{
    pthread_once(&once, start);
}

enum { OWN, VIPS };
static const struct cell_class decoders[] = {
    [OWN] = { NULL, decode_own }, [VIPS] = { start_once, decode_vips }
};

int
image_cells_open(struct err *e)
{
    return cell_open(decoders, e);
}

static int
decode_by(int class, struct image *m, const void *data, size_t nbytes,
          struct err *e)
{
    return cell_is_open() ? cell_decode(class, m, data, nbytes, e)
                          : decoders[class].decode(m, data, nbytes, e);
}

int
image_decode(struct image *m, const void *data, size_t nbytes, int64_t frame,
             struct err *e)
{
    int rc;

    memset(m, 0, sizeof *m);
    if (image_dicom_is(data, nbytes))
        return image_dicom_decode(m, data, nbytes, frame, e);
    if (frame > 0)
        return invalid(e, "is no DICOM file");
    rc = decode_by(OWN, m, data, nbytes, e);
    return rc <= 0 ? rc : decode_by(VIPS, m, data, nbytes, e);
}

int
image_read(const char *path, char **data, size_t *nbytes, int64_t *frame,
           struct err *e)
{
    char *file = scan_file(path, frame);
    int rc = file_load(file, IMAGE_MAX_BYTES, data, nbytes, e);

    free(file);
    return rc;
}

int
image_load(struct image *m, const char *path, struct err *e)
{
    char *data;
    size_t nbytes;
    int64_t frame;
    int rc;

    memset(m, 0, sizeof *m);
    if (image_read(path, &data, &nbytes, &frame, e) != 0)
        return -1;
    rc = image_decode(m, data, nbytes, frame, e);
    free(data);
    return rc;
}

/* ------------------------------------------------------------------ writing */

int
image_encode_png(const struct image *m, void **data, size_t *nbytes,
                 struct err *e)
{
    size_t n = (size_t)m->w * (size_t)m->h * (size_t)m->c;
    VipsImage *in;
    void *png = NULL;
    int rc = -1;

    if (image_vips_open(e) != 0)
        return -1;
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

int
image_save_png(const struct image *m, const char *path, struct err *e)
{
    struct file_out out;
    void *data;
    size_t nbytes;

    if (image_encode_png(m, &data, &nbytes, e) != 0)
        return -1;
    if (file_out_open(&out, path, e) != 0) {
        free(data);
        return -1;
    }
    fwrite(data, 1, nbytes, out.stream);
    free(data);
    return file_out_close(&out, e);
}
