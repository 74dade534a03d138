/*
 * image_dicom: DICOM files, by the tools of DCMTK.
 *
 * `dcmdump` reads the header and `dcmj2pnm` the pixels, each as a child that
 * may take 2 GB and a minute at most and sees the file on its standard input:
 * whatever a hostile file does to them stays there, and only pictures and sizes
 * come back.  No field about a patient is kept, shown or written; what is
 * burned into the pixels stays, as in any picture.
 *
 * Gray values go through the modality table and the first window (VOI) of the
 * file; without a window, 8 bits stay as they are and more are spread from the
 * darkest to the brightest pixel.  MONOCHROME1 is turned, so that black is
 * black.  Overlays are not drawn.
 *
 * One frame of a file is addressed as `FILE.dcm#N`, from 1.
 */
#ifndef BUSI_DATA_IMAGE_DICOM_H
#define BUSI_DATA_IMAGE_DICOM_H

#include "base/err.h"
#include "data/image.h"

/*
 * Decode a frame; 0: the only one.  EXIT_INVALID: damaged, too large, has no
 * such frame, or several and none was asked for; EXIT_IO: DCMTK is not there.
 */
int image_dicom_decode(struct image *m, const void *data, size_t nbytes,
                       int64_t frame, struct err *e);

#endif
