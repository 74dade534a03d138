/*
 * mask: is a PNG file a mask by its pixels?
 *
 * A mask has nothing but black and white: every colour sample of every pixel
 * is 0 or all of it the maximum; alpha does not count.  All black and all
 * white are masks too.  Reading ends at the first pixel that is neither, so
 * scans cost little.  The reader is made for this question alone: it checks no
 * CRC and keeps no picture.
 */
#ifndef BUSI_DATA_MASK_H
#define BUSI_DATA_MASK_H

#include <stdbool.h>

/* False too of files that are no PNG, damaged, or cannot be read. */
bool mask_look(const char *path);

#endif
