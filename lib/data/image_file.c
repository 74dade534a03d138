#include "data/image_file.h"

#include "base/file.h"
#include "base/magic.h"
#include "base/mem.h"
#include "base/plugin.h"
#include "base/str.h"
#include "data/sandbox.h"
#include "data/image_bmp.h"
#include "data/image_dicom.h"
#include "data/image_png.h"
#include "data/image_vips.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* -------------------------------------------------------------------- paths */

const char *
image_frame(const char *path)
{
    static const char *const endings[] = { ".dcm", ".dicom" };
    const char *end = path + strlen(path), *mark = strrchr(path, '#');

    if (mark == NULL || mark[1] < '1' || mark[1] > '9' || end - mark > 11 ||
        mark[1 + strspn(mark + 1, "0123456789")] != '\0')
        return end;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
        size_t n = strlen(endings[i]);

        if ((size_t)(mark - path) > n &&
            strncasecmp(mark - n, endings[i], n) == 0)
            return mark;
    }
    return end;
}

char *
image_path(const char *path, int64_t *frame)
{
    const char *mark = image_frame(path);

    *frame = 0;
    if (*mark == '#')
        str_int(mark + 1, frame);
    return str_format("%.*s", (int)(mark - path), path);
}

/* ------------------------------------------------------------------ libvips */

static const struct image_vips *vips;
static struct err why_not;

static void
load_vips(void)
{
    const struct image_vips *const *found =
        plugin_symbol("image_vips", IMAGE_VIPS_SYMBOL, &why_not);

    if (found != NULL && (*found)->start(&why_not) == 0)
        vips = *found;
}

static void
need_vips(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load_vips);
}

/* ----------------------------------------------------------------- decoding */

static int
invalid(struct err *e, const char *why)
{
    return err_set(e, EXIT_INVALID, "%s", why);
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
 * What libvips would take for something else, or NULL.  It takes YCbCr for RGB,
 * but where libjpeg unpacks it, and what lies behind the colours for alpha.
 * Tags of TIFF 6.0: 259 compression (6 and 7: JPEG), 262 photometric
 * interpretation (0, 1: gray, 2: RGB, 5: CMYK, 6: YCbCr), 277 samples a pixel,
 * 338 what the extra ones are (0: of no known meaning).
 */
static const char *
tiff_oddity(const uint8_t *p, size_t nbytes)
{
    size_t at = tiff_number(p, nbytes, 4, 4);
    uint32_t n = tiff_number(p, nbytes, at, 2), packed = 1, means = 0;
    uint32_t samples = 1, colours;
    bool told = false, alpha = true;

    for (at += 2; n-- > 0; at += 12) {
        uint32_t tag = tiff_number(p, nbytes, at, 2);
        uint32_t value = tiff_number(p, nbytes, at + 8, 2);

        if (tag == 259)
            packed = value;
        else if (tag == 262)
            means = value;
        else if (tag == 277)
            samples = value;
        else if (tag == 338) {
            told = true;
            alpha = value != 0 && tiff_number(p, nbytes, at + 4, 4) == 1;
        }
    }
    colours = means < 2 ? 1 : means == 5 ? 4 : 3;
    alpha = told ? alpha : samples <= colours;
    return means == 6 && packed != 6 && packed != 7
           ? "is a TIFF file of YCbCr pixels" : alpha
           ? NULL : "is a TIFF file with a channel that is neither colour nor "
                    "alpha: remove it first";
}

/* What needs no libvips; 1: that does. */
static int
decode_own(struct image *m, const void *data, size_t nbytes, struct err *e)
{
    const char *odd;

    memset(m, 0, sizeof *m);
    switch (magic_of(data, nbytes)) {
    case MAGIC_PNG:
        return image_png_check(data, nbytes, e) != 0
               ? -1 : image_png_decode(m, data, nbytes, e);
    case MAGIC_BMP:
        return image_bmp_decode(m, data, nbytes, e);
    case MAGIC_TIFF:
        odd = tiff_oddity(data, nbytes);
        return odd != NULL ? invalid(e, odd) : 1;
    case MAGIC_JPEG:
    case MAGIC_WEBP:
        return 1;
    default:
        return invalid(e, nbytes == 0 ? "is empty" : "is no PNG, JPEG, TIFF, "
                       "WebP, BMP or DICOM picture");
    }
}

static int
decode_vips(struct image *m, const void *data, size_t nbytes, struct err *e)
{
    need_vips();
    if (vips == NULL)
        return err_copy(e, &why_not);
    return vips->decode(m, magic_of(data, nbytes), data, nbytes, e);
}

enum { OWN, VIPS };
static const struct sandbox_class decoders[] = {
    [OWN] = { NULL, decode_own }, [VIPS] = { need_vips, decode_vips }
};

int
image_sandbox_open(struct err *e)
{
    return sandbox_open(decoders, e);
}

static int
decode_by(int class, struct image *m, const void *data, size_t nbytes,
          struct err *e)
{
    return sandbox_is_open() ? sandbox_decode(class, m, data, nbytes, e)
                             : decoders[class].decode(m, data, nbytes, e);
}

int
image_decode(struct image *m, const void *data, size_t nbytes, int64_t frame,
             struct err *e)
{
    int rc;

    memset(m, 0, sizeof *m);
    if (magic_of(data, nbytes) == MAGIC_DICOM)
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
    char *file = image_path(path, frame);
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
    need_vips();
    if (vips == NULL)
        return err_copy(e, &why_not);
    return vips->encode_png(m, data, nbytes, e);
}

int
image_save_png(const struct image *m, const char *path, struct err *e)
{
    struct file_out out;
    void *data = NULL;
    size_t nbytes = 0;

    if (image_encode_png(m, &data, &nbytes, e) != 0)
        return -1;
    assert(data != NULL);
    if (file_out_open(&out, path, e) != 0) {
        free(data);
        return -1;
    }
    fwrite(data, 1, nbytes, out.stream);
    free(data);
    return file_out_close(&out, e);
}
