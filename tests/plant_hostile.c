/*
 * plant_hostile FOLDER: files that a folder of scans should not hold.
 *
 * Those whose names begin with "good" are pictures; all others are to be
 * refused.  One line for each on stdout: its name.
 *
 * plant_hostile --marked FOLDER: good pictures with words about a patient in
 * all places that formats have for them.  On stdout: the words.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static bool quiet;          /* say no names */

static void
put(const char *name, const void *data, size_t nbytes)
{
    FILE *f = fopen(name, "wb");

    if (f == NULL || fwrite(data, 1, nbytes, f) != nbytes || fclose(f) != 0) {
        perror(name);
        exit(EXIT_IO);
    }
    if (!quiet)
        puts(name);
}

static void
put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* ---------------------------------------------------------------- cut short */

static void
cuts(void)
{
    for (size_t i = 0; i < ARRAY_LEN(pictures); i++) {
        const char *end = strncmp(pictures[i].name, "png", 3) == 0 ? "png"
                        : strncmp(pictures[i].name, "bmp", 3) == 0 ? "bmp"
                        : strcmp(pictures[i].name, "jpeg") == 0 ? "jpg"
                        : strcmp(pictures[i].name, "tiff") == 0 ? "tif"
                        : "webp";
        char name[64];

        snprintf(name, sizeof name, "good-%s.%s", pictures[i].name, end);
        put(name, pictures[i].data, pictures[i].nbytes);
        for (size_t part = 1; part < 4; part++) {
            snprintf(name, sizeof name, "cut-%s-%zu.%s", pictures[i].name,
                     part, end);
            put(name, pictures[i].data, pictures[i].nbytes * part / 4);
        }
    }
}

/* --------------------------------------------------------- what PNG may say */

/* A part of a PNG, with its CRC right. */
static void
chunk(struct str *s, const char *type, const void *data, size_t nbytes)
{
    uint8_t head[8], tail[4];

    put32(head, (uint32_t)nbytes);
    memcpy(head + 4, type, 4);
    put32(tail, (uint32_t)crc32(crc32(0, head + 4, 4), data, (uInt)nbytes));
    str_add_bytes(s, (const char *)head, 8);
    str_add_bytes(s, data, nbytes);
    str_add_bytes(s, (const char *)tail, 4);
}

struct png {
    uint32_t w, h;
    uint8_t depth, colour, compression, filter, interlace;
    size_t pixels;              /* bytes of zeros that IDAT unpacks to */
    size_t text;                /* the same of a zTXt; 0: none */
    bool no_idat, no_end, twice;
};

static void
packed(struct str *s, const char *type, const char *before, size_t nbytes)
{
    uLongf n = compressBound(nbytes) + 32;
    size_t start = strlen(before) + (type[0] == 'z' ? 2 : 0);
    uint8_t *zeros = mem_array(nbytes, 1), *to = mem_array(start + n, 1);

    memcpy(to, before, strlen(before));
    if (compress2(to + start, &n, zeros, nbytes, 9) != Z_OK)
        exit(EXIT_IO);
    chunk(s, type, to, start + n);
    free(zeros);
    free(to);
}

static void
png(const char *name, const struct png *p)
{
    struct str s = { 0 };
    uint8_t head[13];

    put32(head, p->w);
    put32(head + 4, p->h);
    head[8] = p->depth;
    head[9] = p->colour;
    head[10] = p->compression;
    head[11] = p->filter;
    head[12] = p->interlace;
    str_add_bytes(&s, "\x89PNG\r\n\x1a\n", 8);
    chunk(&s, "IHDR", head, sizeof head);
    if (p->twice)
        chunk(&s, "IHDR", head, sizeof head);
    if (p->text > 0)
        packed(&s, "zTXt", "note", p->text);
    if (!p->no_idat)
        packed(&s, "IDAT", "", p->pixels);
    if (!p->no_end)
        chunk(&s, "IEND", "", 0);
    put(name, s.text, s.n);
    str_release(&s);
}

static void
pngs(void)
{
    const struct {
        const char *name;
        struct png png;
    } of[] = {
        { "good-plain.png", { 8, 8, 8, 0, .pixels = 72 } },
        { "good-text-bomb.png",
          { 8, 8, 8, 0, .pixels = 72, .text = 100 << 20 } },
        { "no-width.png", { 0, 8, 8, 0, .pixels = 72 } },
        { "no-height.png", { 8, 0, 8, 0, .pixels = 72 } },
        { "wide.png", { 0x7fffffff, 1, 8, 0, .pixels = 72 } },
        { "high.png", { 1, 0xffffffff, 8, 0, .pixels = 72 } },
        { "too-large.png", { 20000, 20000, 8, 2, .pixels = 72 } },
        { "claims-64M.png", { 16384, 4096, 8, 2, .pixels = 72 } },
        { "bomb-gray.png",
          { 16384, 4096, 8, 0, .pixels = (16385u * 4096) + 1 } },
        { "bomb-rgb.png",
          { 16384, 4096, 8, 2, .pixels = 16384u * 3 * 4096 + 4096 } },
        { "more-pixels.png", { 8, 8, 8, 0, .pixels = 100 << 20 } },
        { "fewer-pixels.png", { 8, 8, 8, 0, .pixels = 71 } },
        { "depth-3.png", { 8, 8, 3, 0, .pixels = 72 } },
        { "depth-0.png", { 8, 8, 0, 0, .pixels = 72 } },
        { "colour-1.png", { 8, 8, 8, 1, .pixels = 72 } },
        { "colour-7.png", { 8, 8, 8, 7, .pixels = 72 } },
        { "no-palette.png", { 8, 8, 8, 3, .pixels = 72 } },
        { "compression-1.png", { 8, 8, 8, 0, 1, .pixels = 72 } },
        { "filter-1.png", { 8, 8, 8, 0, 0, 1, .pixels = 72 } },
        { "interlace-2.png", { 8, 8, 8, 0, 0, 0, 2, .pixels = 72 } },
        { "no-idat.png", { 8, 8, 8, 0, .no_idat = true } },
        { "no-end.png", { 8, 8, 8, 0, .pixels = 72, .no_end = true } },
        { "two-heads.png", { 0, 0, 8, 0, .pixels = 72, .twice = true } },
    };

    for (size_t i = 0; i < ARRAY_LEN(of); i++)
        png(of[i].name, &of[i].png);
}

/* ------------------------------------------------------------ other formats */

/* A copy with some bytes changed. */
static void
patched(const char *name, const void *data, size_t nbytes, size_t at,
        const char *bytes, size_t n)
{
    char *copy = mem_alloc(nbytes);

    memcpy(copy, data, nbytes);
    memcpy(copy + at, bytes, n);
    put(name, copy, nbytes);
    free(copy);
}

static size_t
find(const uint8_t *data, size_t nbytes, const char *what, size_t n)
{
    const uint8_t *p = memmem(data, nbytes, what, n);

    return p != NULL ? (size_t)(p - data) : 0;
}

static void
others(void)
{
    size_t sof = find(jpeg, sizeof jpeg, "\xff\xc0", 2);
    size_t dht = find(jpeg, sizeof jpeg, "\xff\xc4", 2);

    patched("huge.jpg", jpeg, sizeof jpeg, sof + 5, "\xff\xdc\xff\xdc", 4);
    patched("flat.jpg", jpeg, sizeof jpeg, sof + 5, "\0\0\0\0", 4);
    patched("tables.jpg", jpeg, sizeof jpeg, dht + 5,
            "\xff\xff\xff\xff\xff\xff", 6);
    patched("huge.bmp", bmp, sizeof bmp, 18, "\xff\xff\xff\x7f", 4);
    patched("rle.bmp", bmp, sizeof bmp, 30, "\1\0\0\0", 4);
    patched("offset.bmp", bmp, sizeof bmp, 10, "\xff\xff\xff\xff", 4);
    patched("beyond.tif", tiff, sizeof tiff, 4, "\xff\xff\xff\x7f", 4);
    patched("itself.tif", tiff, sizeof tiff, 4, "\4\0\0\0", 4);
    patched("size.webp", webp, sizeof webp, 4, "\xff\xff\xff\xff", 4);
    put("pages.tif", tiff_2, sizeof tiff_2);
    put("animated.gif.png", gif, sizeof gif);
}

/* -------------------------------------------------------- no pictures at all */

static void
rubbish(void)
{
    static const char *const ends[] = { "png", "jpg", "tif", "bmp", "webp",
                                        "dcm" };
    static const char *const heads[] = { "\x89PNG\r\n\x1a\n",
                                         "\xff\xd8\xff\xe0", "II*",
                                         "BM", "RIFF", "" };
    uint8_t *noise = mem_array(1 << 16, 1);
    uint32_t x = 1;

    for (size_t i = 0; i < 1 << 16; i++) {
        x = 1664525 * x + 1013904223;
        noise[i] = (uint8_t)(x >> 24);
    }
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        char name[64];

        snprintf(name, sizeof name, "empty.%s", ends[i]);
        put(name, "", 0);
        snprintf(name, sizeof name, "noise.%s", ends[i]);
        memcpy(noise, heads[i], strlen(heads[i]));
        if (i == 5)
            memcpy(noise + 128, "DICM", 4);
        put(name, noise, 1 << 16);
    }
    put("text.png", "This is a text.\n", 16);
    put("page.jpg", "<!DOCTYPE html><title>404</title>", 33);
    put("program.png", "\177ELF\2\1\1", 7);
    memset(noise, 0, 1 << 16);
    put("zeros.png", noise, 1 << 16);
    free(noise);
}

/* What is not even a file; these are not listed. */
static void
things(void)
{
    if (mkdir("folder.png", 0755) != 0 || mkfifo("fifo.png", 0644) != 0 ||
        symlink("loop.png", "loop.png") != 0 ||
        symlink("nowhere", "dangling.png") != 0 ||
        symlink("/dev/zero", "endless.png") != 0 ||
        symlink("/dev/null", "null.png") != 0)
        exit(EXIT_IO);
}

/* ------------------------------------------------------------------- marked */

/* PNG: a part of this type behind IHDR. */
static void
marked_png(const char *name, const char *type, const char *text, size_t n)
{
    enum { HEAD = 8 + 25 };
    struct str s = { 0 };
    char *file = str_format("%s.png", name);

    str_add_bytes(&s, (const char *)png_gray, HEAD);
    chunk(&s, type, text, n);
    str_add_bytes(&s, (const char *)png_gray + HEAD, sizeof png_gray - HEAD);
    put(file, s.text, s.n);
    free(file);
    str_release(&s);
}

/* JPEG: a segment behind its start. */
static void
marked_jpeg(const char *name, int marker, const char *text, size_t n)
{
    struct str s = { 0 };
    char *file = str_format("%s.jpg", name);
    const char head[] = { (char)0xff, (char)marker, (char)((n + 2) >> 8),
                          (char)(n + 2) };

    str_add_bytes(&s, (const char *)jpeg, 2);
    str_add_bytes(&s, head, 4);
    str_add_bytes(&s, text, n);
    str_add_bytes(&s, (const char *)jpeg + 2, sizeof jpeg - 2);
    put(file, s.text, s.n);
    free(file);
    str_release(&s);
}

/* A string with its length, also of one that holds zeros. */
#define TEXT(s) (s), sizeof (s) - 1

/* TIFF's ImageDescription, big endian, as EXIF has it. */
#define EXIF "MM\0*\0\0\0\10\0\1\1\16\0\2\0\0\0\20\0\0\0\32\0\0\0\0"

static void
marked(void)
{
    marked_png("text", "tEXt", TEXT("Author\0MARKER-TEXT-JANE"));
    marked_png("itxt", "iTXt",
               TEXT("XML:com.adobe.xmp\0\0\0\0\0<x>MARKER-XMP-JANE</x>"));
    marked_png("exif", "eXIf", TEXT(EXIF "MARKER-EXIF-JANE"));
    marked_png("own", "prVt", TEXT("MARKER-OWN-JANE"));
    marked_jpeg("comment", 0xfe, TEXT("MARKER-COMMENT-JANE"));
    marked_jpeg("app1", 0xe1, TEXT("Exif\0\0" EXIF "MARKER-APP1-JANE"));
    marked_jpeg("app13", 0xed, TEXT("Photoshop 3.0\0MARKER-IPTC-JANE"));
}

int
main(int argc, char **argv)
{
    bool marks = argc == 3 && strcmp(argv[1], "--marked") == 0;

    log_open("plant_hostile");
    if (marks) {
        static const char *const words[] = { "TEXT", "XMP", "EXIF", "OWN",
                                             "COMMENT", "APP1", "IPTC" };

        if (mkdir(argv[2], 0755) != 0 || chdir(argv[2]) != 0) {
            perror(argv[2]);
            return EXIT_IO;
        }
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            printf("MARKER-%s-JANE\n", words[i]);
        quiet = true;
        marked();
        return 0;
    }
    if (argc != 2 || mkdir(argv[1], 0755) != 0 || chdir(argv[1]) != 0) {
        perror("plant_hostile FOLDER");
        return EXIT_IO;
    }
    cuts();
    pngs();
    others();
    rubbish();
    things();
    return 0;
}
