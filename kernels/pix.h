/*
 * pix: what kernels for all machines say of pictures.
 */
#ifndef BUSI_KERNELS_PIX_H
#define BUSI_KERNELS_PIX_H

/*
 * Pictures lie as [n][c/block][h*w][block].  c is the number of channels
 * rounded up to whole vectors; the channels behind the real ones hold zeros.
 * Block c is nhwc.
 */
struct pix {
    int n, c, h, w;         /* c: rounded up */
    int block;
};

enum act { ACT_NONE, ACT_RELU, ACT_RELU6 };

#endif
