/*
 * marks: what sonographers and scanners draw into a picture.
 *
 * A network can read them instead of the tissue: in BUSI, calipers stand on
 * lesions only.  So scans that carry marks are flagged and scored apart.
 *
 *   caliper   an upright cross of four equal straight arms, of even brightness
 *             and brighter than what lies along both sides: one that is clear,
 *             or two
 *   text      two or more characters in a line, of even brightness, with sharp
 *             edges; not at the top border, where the scanner puts its name
 *   colour    50 pixels or more that are not gray: coloured calipers, boxes,
 *             Doppler
 *
 * The thresholds were set on BUSI (tests/marks-judged.tsv); other scanners draw
 * other marks.  Not found there: crosses with an open centre, pictograms of the
 * body, characters that the border cuts or bright tissue touches.
 */
#ifndef BUSI_DATA_MARKS_H
#define BUSI_DATA_MARKS_H

#include "base/str.h"
#include "data/image.h"

enum { MARK_CALIPER = 1, MARK_TEXT = 2, MARK_COLOUR = 4 };

/* Which are there; of a picture as it was decoded, not resized. */
unsigned marks_find(const struct image *m);

/* "caliper,text"; nothing for 0. */
void marks_print(unsigned marks, struct str *s);

#endif
