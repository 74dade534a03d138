#include "data/image_dicom.h"

#include "base/child.h"
#include "base/mem.h"
#include "data/image_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DUMP = 1 << 24 };

/* What the header says. */
struct header {
    int64_t w, h, frames, samples, allocated, bits;
    int64_t nbytes;             /* of the pixels; -1: they are compressed */
    char syntax[65];            /* how, by its number */
    bool window, table;         /* of VOI, to be used */
    bool white_is_0;            /* MONOCHROME1 */
    bool halved;                /* YBR_FULL_422: two samples a pixel */
};

/* Pixels made up for a damaged JPEG are only worth a warning to DCMTK. */
static bool
complains(const struct str *said)
{
    const char *text = said->n > 0 ? said->text : "";

    return strncmp(text, "E:", 2) == 0 || strstr(text, "\nE:") != NULL ||
           strstr(text, "Corrupt JPEG") != NULL;
}

/* Run a tool on the bytes.  Its output is whole and it ended well, or -1. */
static int
ask(const char *const *args, const void *data, size_t nbytes, size_t limit,
    struct str *out, struct err *e)
{
    struct str said = { 0 };
    int rc = child_run(args, data, nbytes, limit, out, &said, e);

    if (rc == CHILD_NOT_FOUND)
        rc = err_set(e, EXIT_IO, "'%s' of DCMTK, which reads DICOM, is not "
                     "installed (Debian: dcmtk)", args[0]);
    else if (rc > 0 || complains(&said))
        rc = err_set(e, EXIT_INVALID, "cannot be decoded: DCMTK's '%s' "
                     "refuses it", args[0]);
    str_release(&said);
    return rc;
}

/* --------------------------------------------------------------- the header */

/* Of a line `(gggg,eeee) VR value #...`; those of nested items are indented. */
static void
read_line(struct header *h, const char *line)
{
    static const struct {
        const char *tag;
        size_t at;
    } known[] = {
        { "(0028,0002)", offsetof(struct header, samples) },
        { "(0028,0008)", offsetof(struct header, frames) },
        { "(0028,0010)", offsetof(struct header, h) },
        { "(0028,0011)", offsetof(struct header, w) },
        { "(0028,0100)", offsetof(struct header, allocated) },
        { "(0028,0101)", offsetof(struct header, bits) },
    };
    const char *value;

    if (strlen(line) < 16)
        return;
    value = line + 15 + (line[15] == '[');
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strncmp(line, known[i].tag, 11) == 0)
            *(int64_t *)((char *)h + known[i].at) = strtoll(value, NULL, 10);
    if (strncmp(line, "(0028,1050)", 11) == 0 && line[15] == '[')
        h->window = true;
    if (strncmp(line, "(0028,3010)", 11) == 0)
        h->table = true;
    if (strncmp(line, "(0028,0004) CS [MONOCHROME1]", 28) == 0)
        h->white_is_0 = true;
    if (strncmp(line, "(0028,0004) CS [YBR_FULL_422]", 29) == 0)
        h->halved = true;
    if (strncmp(line, "(0002,0010) UI [", 16) == 0)
        snprintf(h->syntax, sizeof h->syntax, "%.*s",
                 (int)strspn(value, ".0123456789"), value);
    if (strncmp(line, "(7fe0,0010)", 11) == 0 && strrchr(line, '#') != NULL)
        h->nbytes = strstr(line, "PixelSequence") != NULL
                    ? -1 : strtoll(strrchr(line, '#') + 1, NULL, 10);
}

static int
read_header(struct header *h, const void *data, size_t nbytes, struct err *e)
{
    static const char *const dump[] = { "dcmdump", "-q", "-Un", "-", NULL };
    struct str text = { 0 };
    int rc = ask(dump, data, nbytes, MAX_DUMP, &text, e);

    *h = (struct header){ .frames = 1 };
    for (char *line = text.text, *next; rc == 0 && line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        read_line(h, line);
    }
    str_release(&text);
    return rc;
}

/* RLE, and what JPEG was before JPEG-LS; dcmj2pnm knows no more. */
static bool
unpacks(const char *syntax)
{
    static const char jpeg[] = "1.2.840.10008.1.2.4.";
    size_t n = sizeof jpeg - 1;

    if (strncmp(syntax, jpeg, n) != 0)
        return strcmp(syntax, "1.2.840.10008.1.2.5") == 0;
    return strlen(syntax) == n + 2 && syntax[n] >= '5' && syntax[n] < '8';
}

static int
check_header(const struct header *h, int64_t frame, struct err *e)
{
    int64_t samples = h->halved ? 2 : h->samples;

    if (h->w < 1 || h->h < 1 || h->frames < 1 || h->nbytes == 0)
        return err_set(e, EXIT_INVALID, "is a DICOM file without a picture");
    if (image_check_size(h->w, h->h, e) != 0)
        return -1;
    if (h->nbytes < 0 && !unpacks(h->syntax))
        return err_set(e, EXIT_INVALID, "its transfer syntax %s is not taken: "
                       "decompress it first", h->syntax);
    if (frame == 0 && h->frames > 1)
        return err_set(e, EXIT_INVALID, "has %lld frames: name one, as in "
                       "'FILE.dcm#1'", (long long)h->frames);
    if (frame > h->frames)
        return err_set(e, EXIT_INVALID, "has no frame %lld; %lld are there",
                       (long long)frame, (long long)h->frames);
    /* DCMTK would make up what is missing. */
    if (samples < 1 || samples > 4 || h->allocated < 1 || h->allocated > 32 ||
        h->frames > IMAGE_MAX_BYTES ||
        (h->nbytes > 0 && (h->nbytes / h->frames) * 8 <
                          h->w * h->h * samples * h->allocated))
        return err_set(e, EXIT_INVALID, "cannot be decoded: its pixels are "
                       "not as its header says");
    return 0;
}

/* --------------------------------------------------------------- the pixels */

/* A raw PGM or PPM with 8 bits, exactly as long as it says. */
static int
take_pnm(struct image *m, const struct header *h, const struct str *pnm,
         struct err *e)
{
    int c = pnm->n > 2 && pnm->text[1] == '6' ? 3 : 1;
    char *head = str_format("P%d\n%lld %lld\n255\n", c == 3 ? 6 : 5,
                            (long long)h->w, (long long)h->h);
    size_t n = strlen(head), bytes = (size_t)(h->w * h->h * c);
    bool sound = pnm->n == n + bytes && memcmp(pnm->text, head, n) == 0;

    free(head);
    if (!sound)
        return err_set(e, EXIT_INVALID, "cannot be decoded: its pixels are "
                       "not as its header says");
    image_init(m, (int)h->w, (int)h->h, c);
    memcpy(m->px, pnm->text + n, bytes);
    /* DCMTK was told to turn it; its own way to white is off by one level. */
    for (size_t i = 0; h->white_is_0 && i < bytes; i++)
        m->px[i] = (uint8_t)~m->px[i];
    return 0;
}

int
image_dicom_decode(struct image *m, const void *data, size_t nbytes,
                   int64_t frame, struct err *e)
{
    const char *args[16] = { "dcmj2pnm", "+op", "-O", "-S", "+F" };
    struct str pnm = { 0 };
    struct header h;
    char number[24];
    int n = 5, rc;

    memset(m, 0, sizeof *m);
    if (read_header(&h, data, nbytes, e) != 0 ||
        check_header(&h, frame, e) != 0)
        return -1;
    snprintf(number, sizeof number, "%lld", (long long)(frame > 0 ? frame : 1));
    args[n++] = number;
    if (h.samples == 1 && (h.window || h.table)) {
        args[n++] = h.window ? "+Wi" : "+Wl";
        args[n++] = "1";
    } else if (h.samples == 1 && h.bits > 8) {
        args[n++] = "+Wm";
    }
    if (h.white_is_0)
        args[n++] = "+P";
    args[n++] = "-";
    rc = ask(args, data, nbytes, 3 * (size_t)IMAGE_MAX_PIXELS + 64, &pnm, e);
    if (rc == 0)
        rc = take_pnm(m, &h, &pnm, e);
    str_release(&pnm);
    return rc;
}
