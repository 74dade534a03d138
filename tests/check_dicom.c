/*
 * DICOM files, made here byte by byte (PS3.5: explicit VR, little endian), and
 * what DCMTK's tools and we make of them.  Expected pixels come from the
 * standard's formulas, or from the same JPEG outside of DICOM.
 *
 * With arguments this is no test but writes a file for the shell tests:
 *
 *     check_dicom OUT FRAMES
 */
#include "check.h"
#include "pictures.h"

#include "base/mem.h"
#include "base/str.h"
#include "data/image_file.h"
#include "data/scan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { W = 64, H = 48 };

struct dicom {
    int w, h, frames, samples, bits;
    const char *photometric, *syntax;
    const char *center, *width;         /* or NULL */
    const char *intercept;              /* of the modality, or NULL */
};

static const struct dicom plain = {
    W, H, 1, 1, 8, "MONOCHROME2", "1.2.840.10008.1.2.1", NULL, NULL, NULL
};

static void
u16(struct str *s, unsigned v)
{
    str_add_bytes(s, (uint8_t[]){ (uint8_t)v, (uint8_t)(v >> 8) }, 2);
}

static void
u32(struct str *s, uint32_t v)
{
    u16(s, v & 0xffff);
    u16(s, v >> 16);
}

static void
element(struct str *s, unsigned group, unsigned number, const char *vr,
        const void *value, size_t n)
{
    u16(s, group);
    u16(s, number);
    str_add(s, vr);
    if (strcmp(vr, "OB") == 0 || strcmp(vr, "OW") == 0) {
        u16(s, 0);
        u32(s, (uint32_t)n);
    } else {
        u16(s, (unsigned)n);
    }
    str_add_bytes(s, value, n);
}

static void
text(struct str *s, unsigned group, unsigned number, const char *vr,
     const char *value)
{
    char even[128];
    size_t n = strlen(value);

    snprintf(even, sizeof even, "%s%s", value, n % 2 ? " " : "");
    if (strcmp(vr, "UI") == 0 && n % 2)
        even[n] = '\0';
    element(s, group, number, vr, even, n + n % 2);
}

static void
number(struct str *s, unsigned group, unsigned at, unsigned value)
{
    struct str v = { 0 };

    u16(&v, value);
    element(s, group, at, "US", v.text, 2);
    str_release(&v);
}

/* All up to the pixels. */
static void
header(struct str *s, const struct dicom *d)
{
    struct str meta = { 0 }, n = { 0 };
    char frames[16];

    text(&meta, 2, 2, "UI", "1.2.840.10008.5.1.4.1.1.3.1");
    text(&meta, 2, 3, "UI", "1.2.3.4");
    text(&meta, 2, 0x10, "UI", d->syntax);
    for (int i = 0; i < 128; i++)
        str_add_bytes(s, "", 1);
    str_add(s, "DICM");
    u32(&n, (uint32_t)meta.n);
    element(s, 2, 0, "UL", n.text, 4);
    str_add_bytes(s, meta.text, meta.n);
    text(s, 8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.3.1");
    text(s, 8, 0x18, "UI", "1.2.3.4");
    text(s, 0x10, 0x10, "PN", "Confidential^Carla");
    text(s, 0x10, 0x20, "LO", "PATIENT-4711");
    number(s, 0x28, 2, (unsigned)d->samples);
    text(s, 0x28, 4, "CS", d->photometric);
    if (d->samples == 3)
        number(s, 0x28, 6, 0);
    snprintf(frames, sizeof frames, "%d", d->frames);
    if (d->frames != 1)
        text(s, 0x28, 8, "IS", frames);
    number(s, 0x28, 0x10, (unsigned)d->h);
    number(s, 0x28, 0x11, (unsigned)d->w);
    number(s, 0x28, 0x100, d->bits > 8 ? 16 : 8);
    number(s, 0x28, 0x101, (unsigned)d->bits);
    number(s, 0x28, 0x102, (unsigned)d->bits - 1);
    number(s, 0x28, 0x103, 0);
    if (d->center != NULL) {
        text(s, 0x28, 0x1050, "DS", d->center);
        text(s, 0x28, 0x1051, "DS", d->width);
    }
    if (d->intercept != NULL) {
        text(s, 0x28, 0x1052, "DS", d->intercept);
        text(s, 0x28, 0x1053, "DS", "1");
    }
    str_release(&meta);
    str_release(&n);
}

/* The value of a pixel; frames differ. */
static unsigned
value(const struct dicom *d, int frame, int i)
{
    return (unsigned)(i * 5 + i / W * 3 + frame * 77) &
           ((1u << d->bits) - 1);
}

static void
make(struct str *s, const struct dicom *d)
{
    struct str px = { 0 };

    memset(s, 0, sizeof *s);
    header(s, d);
    for (int f = 0; f < d->frames; f++)
        for (int i = 0; i < W * H * d->samples; i++) {
            unsigned v = value(d, f, i);

            if (d->bits > 8)
                u16(&px, v);
            else
                str_add_bytes(&px, (uint8_t[]){ (uint8_t)v }, 1);
        }
    element(s, 0x7fe0, 0x10, d->bits > 8 ? "OW" : "OB", px.text, px.n);
    str_release(&px);
}

static void
decode(struct image *m, const struct str *s, int64_t frame, int c)
{
    struct err e = { 0 };

    ck_assert_msg(image_decode(m, s->text, s->n, frame, &e) == 0, "%s",
                  e.text);
    ck_assert(m->w == W && m->h == H && m->c == c);
}

static void
refuses(const struct str *s, size_t n, int64_t frame, const char *words)
{
    struct err e = { 0 };
    struct image m;

    ck_assert_int_eq(image_decode(&m, s->text, n, frame, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_msg(strstr(e.text, words) != NULL, "'%s'", e.text);
    ck_assert_ptr_null(m.px);
    ck_assert_ptr_null(strstr(e.text, "Carla"));
}

START_TEST(bytes_stay_as_they_are)
{
    struct dicom rgb = plain, turned = plain;
    struct image m;
    struct str s;

    make(&s, &plain);
    decode(&m, &s, 0, 1);
    for (int i = 0; i < W * H; i++)
        ck_assert_uint_eq(m.px[i], value(&plain, 0, i));
    image_release(&m);
    str_release(&s);

    turned.photometric = "MONOCHROME1";
    make(&s, &turned);
    decode(&m, &s, 1, 1);
    for (int i = 0; i < W * H; i++)
        ck_assert_uint_eq(m.px[i], 255 - value(&plain, 0, i));
    image_release(&m);
    str_release(&s);

    rgb.samples = 3;
    rgb.photometric = "RGB";
    make(&s, &rgb);
    decode(&m, &s, 0, 3);
    for (int i = 0; i < 3 * W * H; i++)
        ck_assert_uint_eq(m.px[i], value(&plain, 0, i));
    image_release(&m);
    str_release(&s);
}
END_TEST

/* PS3.3 C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255, in 0..255. */
START_TEST(windows_are_heeded)
{
    static const struct {
        int bits;
        const char *center, *width, *photometric, *intercept;
        double c, w, shift;
    } cases[] = {
        { 8, "100", "80", "MONOCHROME2", NULL, 100, 80, 0 },
        { 8, "100", "80", "MONOCHROME1", NULL, 100, 80, 0 },
        { 12, "2000", "1500", "MONOCHROME2", NULL, 2000, 1500, 0 },
        { 12, "2000\\50", "1500\\7", "MONOCHROME2", NULL, 2000, 1500, 0 },
        { 12, "1000", "1500", "MONOCHROME2", "-1000", 1000, 1500, -1000 },
        /* none: from the darkest to the brightest, which are 0 and 4095 */
        { 12, NULL, NULL, "MONOCHROME2", NULL, 2048, 4096, 0 },
    };

    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct dicom d = plain;
        struct image m;
        struct str s;

        d.bits = cases[k].bits;
        d.center = cases[k].center;
        d.width = cases[k].width;
        d.photometric = cases[k].photometric;
        d.intercept = cases[k].intercept;
        make(&s, &d);
        decode(&m, &s, 0, 1);
        for (int i = 0; i < W * H; i++) {
            double x = value(&d, 0, i) + cases[k].shift;
            double y = (x - (cases[k].c - 0.5)) / (cases[k].w - 1) + 0.5;

            y = 255 * fmin(fmax(y, 0), 1);
            if (strcmp(d.photometric, "MONOCHROME1") == 0)
                y = 255 - y;
            ck_assert_msg(fabs(m.px[i] - y) <= 1, "%zu: %g is %d, not %g", k,
                          x, m.px[i], y);
        }
        image_release(&m);
        str_release(&s);
    }
}
END_TEST

START_TEST(frames_by_number)
{
    struct dicom d = plain;
    struct image m;
    struct str s;

    d.frames = 3;
    make(&s, &d);
    for (int f = 0; f < 3; f++) {
        decode(&m, &s, f + 1, 1);
        for (int i = 0; i < W * H; i++)
            ck_assert_uint_eq(m.px[i], value(&d, f, i));
        image_release(&m);
    }
    refuses(&s, s.n, 0, "3 frames");
    refuses(&s, s.n, 4, "no frame 4");
    str_release(&s);
}
END_TEST

/* PS3.5 A.4: an empty offset table, then a fragment for each frame. */
static void
encapsulate(struct str *s, const char *syntax, const void *data, size_t n,
            int frames)
{
    struct dicom d = plain;

    d.w = 9;
    d.h = 7;
    d.frames = frames;
    d.syntax = syntax;
    memset(s, 0, sizeof *s);
    header(s, &d);
    u16(s, 0x7fe0);
    u16(s, 0x10);
    str_add(s, "OB");
    u16(s, 0);
    u32(s, 0xffffffff);
    for (int f = -1; f < frames; f++) {
        u16(s, 0xfffe);
        u16(s, 0xe000);
        u32(s, f < 0 ? 0 : (uint32_t)(n + n % 2));
        if (f >= 0)
            str_add_bytes(s, data, n);
        if (f >= 0 && n % 2)
            str_add_bytes(s, "", 1);
    }
    u16(s, 0xfffe);
    u16(s, 0xe0dd);
    u32(s, 0);
}

#define BASELINE "1.2.840.10008.1.2.4.50"

START_TEST(jpeg_inside)
{
    struct err e = { 0 };
    struct image want, got;
    struct str s;

    ck_assert_int_eq(image_decode(&want, jpeg, sizeof jpeg, 0, &e), 0);
    encapsulate(&s, BASELINE, jpeg, sizeof jpeg, 2);
    for (int f = 1; f <= 2; f++) {
        ck_assert_msg(image_decode(&got, s.text, s.n, f, &e) == 0, "%s",
                      e.text);
        ck_assert(got.w == 9 && got.h == 7 && got.c == 1);
        /* libjpeg-turbo and DCMTK's libjpeg may round differently. */
        for (int i = 0; i < 63; i++)
            ck_assert_int_le(abs(got.px[i] - want.px[i]), 2);
        image_release(&got);
    }
    image_release(&want);
    str_release(&s);
    encapsulate(&s, BASELINE, jpeg, sizeof jpeg / 4, 1);
    refuses(&s, s.n, 0, "refuses");
    str_release(&s);
    for (int k = 80; k < 92; k += k == 81 ? 9 : 1) {    /* JPEG-LS, 2000 */
        char syntax[] = "1.2.840.10008.1.2.4.xx";

        syntax[sizeof syntax - 3] = (char)('0' + k / 10);
        syntax[sizeof syntax - 2] = (char)('0' + k % 10);
        encapsulate(&s, syntax, jpeg, sizeof jpeg, 1);
        refuses(&s, s.n, 0, syntax);
        refuses(&s, s.n, 0, "is not taken: decompress it first");
        str_release(&s);
    }
    /* Cut within its pixels: DCMTK makes up the rest, and only warns. */
    encapsulate(&s, BASELINE, jpeg, sizeof jpeg - 12, 1);
    refuses(&s, s.n, 0, "refuses");
    str_release(&s);
}
END_TEST

START_TEST(damage_is_refused)
{
    struct dicom d = plain;
    struct str s;

    make(&s, &d);
    for (size_t n = 200; n < s.n; n += n < 700 ? 41 : 613)
        refuses(&s, n, 0, "");
    refuses(&s, s.n - 1, 0, "");
    str_release(&s);
    d.w = d.h = 65000;
    make(&s, &d);
    refuses(&s, s.n, 0, "limit");
    str_release(&s);
    d.w = 16000;
    d.h = 4000;                 /* allowed, but the pixels are not there */
    make(&s, &d);
    refuses(&s, s.n, 0, "cannot be decoded");
    str_release(&s);
    memset(&s, 0, sizeof s);
    header(&s, &plain);         /* no pixels at all */
    refuses(&s, s.n, 0, "without a picture");
    refuses(&(struct str){ .text = (char *)png_gray }, sizeof png_gray, 2,
            "is no DICOM");
    str_release(&s);
}
END_TEST

START_TEST(paths_with_frames)
{
    static const struct {
        const char *path, *file;
        int64_t frame;
    } cases[] = {
        { "a/x.dcm#3", "a/x.dcm", 3 }, { "x.DICOM#12", "x.DICOM", 12 },
        { "x.dcm", "x.dcm", 0 }, { "x.dcm#0", "x.dcm#0", 0 },
        { "x.dcm#", "x.dcm#", 0 }, { "x.dcm#3a", "x.dcm#3a", 0 },
        { "x.png#3", "x.png#3", 0 }, { "#3", "#3", 0 },
        { "dcm#3", "dcm#3", 0 }, { "x.dcm#3/y.png", "x.dcm#3/y.png", 0 },
        { "x.dcm#99999999999999999999", "x.dcm#99999999999999999999", 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t frame;
        char *file = image_path(cases[i].path, &frame);

        ck_assert_str_eq(file, cases[i].file);
        ck_assert_int_eq(frame, cases[i].frame);
        free(file);
    }
    ck_assert_ptr_nonnull(scan_ending("x.dcm#3"));
    ck_assert_ptr_null(scan_ending("x.dcm#"));
    ck_assert_ptr_null(scan_ending("x.d"));
}
END_TEST

CHECK_SUITE(run_suite, "dicom", 120, bytes_stay_as_they_are,
            windows_are_heeded, frames_by_number, jpeg_inside,
            damage_is_refused, paths_with_frames)

int
main(int argc, char **argv)
{
    if (argc == 3) {
        struct dicom d = plain;
        struct str s;
        FILE *f = fopen(argv[1], "wb");

        d.frames = atoi(argv[2]);
        make(&s, &d);
        return f != NULL && fwrite(s.text, 1, s.n, f) == s.n &&
               fclose(f) == 0 ? 0 : 1;
    }
    if (system("command -v dcmdump dcmj2pnm >/dev/null") != 0) {
        puts("SKIP: dcmdump and dcmj2pnm (Debian: dcmtk) are not installed");
        return CHECK_SKIP;
    }
    return run_suite();
}
