/*
 * dup: near-copies among scans.
 *
 * Three steps.  Keypoints of all scans go into an index of runs of their bits;
 * scans whose keypoints agree on one shift, scale and mirroring are candidates
 * (time grows with the number of scans, not of pairs).  Each candidate is laid
 * over its partner, both with slow changes of brightness removed, and scored
 * by the correlation where they overlap: about 0 for strangers, near 1 for
 * copies, whatever is drawn on them.  Pairs at or above a threshold are
 * copies, and copies of copies are one group.
 */
#ifndef BUSI_DATA_DUP_H
#define BUSI_DATA_DUP_H

#include "base/digest.h"
#include "base/err.h"
#include "base/table.h"
#include "data/image.h"
#include "data/keypoint.h"

#include <stdbool.h>
#include <stddef.h>

enum dup_kind {
    DUP_EXACT,      /* the same pixels */
    DUP_SHIFTED,    /* same scale and size; also where only marks differ */
    DUP_SCALED,     /* another scale, cropped or not */
    DUP_CROPPED,    /* same scale, another size */
    DUP_MIRRORED,   /* left and right exchanged, whatever else */
    DUP_KINDS
};

const char *dup_kind_name(enum dup_kind k);

/* One scan as the search needs it. */
struct dup_scan {
    int w, h;                   /* of the file; 0: could not be read */
    struct image small;         /* gray, of a fixed area */
    char pixels[DIGEST_HEX];    /* digest of the gray pixels and the size */
    struct keypoint *mark;      /* [nmarks] */
    size_t nmarks;
};

void dup_scan_init(struct dup_scan *s, const struct image *m);
void dup_scan_release(struct dup_scan *s);

/* Where scan b shows pixel (x, y) of a: (sx x + tx, sy y + ty). */
struct dup_fit {
    double sx, sy, tx, ty;
    bool mirror;                /* b is mirrored before: x becomes w - 1 - x */
};

struct dup_pair {
    size_t a, b;                /* numbers of scans, a < b */
    struct dup_fit fit;
    size_t votes;               /* keypoints that agree on the fit */
    double score;               /* -1..1 */
    enum dup_kind kind;
};

struct dup_pairs {
    struct dup_pair *item;
    size_t n, room;
};

void dup_pairs_add(struct dup_pairs *l, const struct dup_pair *p);
/* By a and b. */
void dup_pairs_sort(struct dup_pairs *l);

/*
 * Pairs of scans whose keypoints agree, unscored, by a and b; those with equal
 * pixels are among them.  Free ->item.
 */
void dup_candidates(const struct dup_scan *scan, size_t n, int threads,
                    struct dup_pairs *out);

/* Fill in score and kind; refines the fit. */
void dup_score(const struct dup_scan *scan, struct dup_pair *p);

/*
 * The threshold that the scores suggest: the middle of the widest gap between
 * DUP_LOW and DUP_HIGH.
 */
#define DUP_LOW 0.45
#define DUP_HIGH 0.8
double dup_threshold(const struct dup_pairs *l);

/*
 * group[i]: the lowest number of a scan that i is tied to by pairs with a
 * score of at least the threshold.
 */
void dup_groups(const struct dup_pairs *l, double threshold, size_t n,
                size_t *group);

/*
 * A picture of pairs side by side with their scores, the lowest score that
 * reaches the threshold first; `most` pairs at most.
 */
void dup_sheet(const struct dup_scan *scan, const struct dup_pairs *l,
               double threshold, size_t most, struct image *out);

/* A search over a manifest, as busi-dup does it. */
struct dup_conf {
    int threads;                /* 0: all cores */
    double threshold;           /* 0: dup_threshold() */
    const char *pairs;          /* table of pairs, NULL: none */
    const char *sheet;          /* PNG of pairs to look at, NULL: none */
    const char *rejects;        /* NULL: stderr */
};

/*
 * Adds the columns group (id of the group's first scan in natural order) and
 * conflict (0 or 1).  Frames of one DICOM file share a group in any case.  The
 * result does not depend on the order of rows or the number of threads, and
 * scores not on the ids.  Returns EXIT_DONE, EXIT_REJECTS if scans could not be
 * read (each is its own group), or -1; not one that can be is EXIT_INVALID.
 */
int dup_manifest(struct table *t, const struct dup_conf *c, struct err *e);

#endif
