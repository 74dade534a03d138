/*
 * plot: a diagram as SVG, drawn by gnuplot in a child process.
 */
#ifndef BUSI_REPORT_PLOT_H
#define BUSI_REPORT_PLOT_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

/* Colours that stay apart for the colour-blind (Okabe, Ito 2008). */
enum plot_colour {
    PLOT_BLUE, PLOT_ORANGE, PLOT_GREEN, PLOT_PURPLE, PLOT_SKY, PLOT_BLACK,
    PLOT_GRAY, PLOT_COLOURS
};

struct plot_line {
    char title[48];             /* "": not in the key */
    enum plot_colour colour;
    enum { PLOT_LINE, PLOT_DASHED, PLOT_THIN, PLOT_MARKS } look;
                                /* dashed: what to compare with */
    int dashes;                 /* of PLOT_LINE: 0 is none; tell lines of one
                                   colour apart */
    double *x, *y;              /* [n]; NaN breaks the line */
    size_t n;
};

struct plot {
    const char *xlabel, *ylabel;
    double lo_x, hi_x, lo_y, hi_y;      /* equal: as the numbers are */
    struct plot_line *line;     /* [n], freed by plot_release() */
    size_t n;
};

/* A new line of n points to be filled in. */
struct plot_line *plot_add(struct plot *p, const char *title,
                           enum plot_colour colour, size_t n);
void plot_release(struct plot *p);

/* Is there no point, but for what to compare with? */
bool plot_empty(const struct plot *p);

/* 1: gnuplot is not installed.  Errors: EXIT_IO when it fails. */
int plot_svg(const struct plot *p, struct str *svg, struct err *e);

#endif
