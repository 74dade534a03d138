#include "report/plot.h"

#include "base/child.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SVG = 1 << 24 };

static const char *const colours[PLOT_COLOURS] = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#222222",
    "#999999"
};

struct plot_line *
plot_add(struct plot *p, const char *title, enum plot_colour colour, size_t n)
{
    struct plot_line *l;

    p->line = mem_grow(p->line, p->n + 1, sizeof *p->line);
    l = &p->line[p->n++];
    *l = (struct plot_line){ .colour = colour, .n = n };
    snprintf(l->title, sizeof l->title, "%s", title);
    /* What comes from files must not speak gnuplot. */
    for (char *c = l->title; *c != '\0';) {
        size_t n_bytes = str_utf8(c, strlen(c));    /* 0: none, or cut */

        if (n_bytes == 0 || (unsigned char)*c < ' ' ||
            strchr("\"'`\\@{}^~$", *c) != NULL) {
            *c = '?';
            n_bytes = 1;
        }
        c += n_bytes;
    }
    l->x = mem_array(n, sizeof *l->x);
    l->y = mem_array(n, sizeof *l->y);
    return l;
}

void
plot_release(struct plot *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->line[i].x);
        free(p->line[i].y);
    }
    free(p->line);
    p->line = NULL;
    p->n = 0;
}

static bool
is_point(const struct plot_line *l, size_t k)
{
    return isfinite(l->x[k]) && isfinite(l->y[k]);
}

static bool
has_points(const struct plot_line *l)
{
    size_t k = 0;

    while (k < l->n && !is_point(l, k))
        k++;
    return k < l->n;
}

bool
plot_empty(const struct plot *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->line[i].look != PLOT_DASHED && has_points(&p->line[i]))
            return false;
    return true;
}

/* gnuplot finds the range itself, but not where all numbers are one. */
static void
write_range(const struct plot *p, struct str *s, char axis, double lo,
            double hi)
{
    double least = INFINITY, most = -INFINITY;

    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->line[i].n; k++)
            if (is_point(&p->line[i], k)) {
                double v = (axis == 'x' ? p->line[i].x : p->line[i].y)[k];

                least = fmin(least, v);
                most = fmax(most, v);
            }
    if (lo >= hi && least == most) {
        lo = least - 0.5;
        hi = most + 0.5;
    }
    if (lo < hi)
        str_addf(s, "set %crange [%.6g:%.6g]\n", axis, lo, hi);
}

static void
write_script(const struct plot *p, struct str *s)
{
    static const char *const looks[] = {
        "with lines lw 2.5", "with lines lw 1.5 dt 2", "with lines lw 1",
        "with linespoints lw 1.5 pt 7 ps 0.6"
    };
    const char *before = "plot";

    str_add(s, "set terminal svg size 480,340 noenhanced font 'sans-serif,14'\n"
               "set border 3 lc rgb '#666666'\nset tics nomirror out\n"
               "set grid lc rgb '#dddddd' lw 0.5\nset samples 2\n"
               "set key above Left reverse samplen 2\n");
    str_addf(s, "set xlabel '%s'\nset ylabel '%s'\n", p->xlabel, p->ylabel);
    write_range(p, s, 'x', p->lo_x, p->hi_x);
    write_range(p, s, 'y', p->lo_y, p->hi_y);
    for (size_t i = 0; i < p->n; i++) {
        str_addf(s, "$d%zu << EOD\n", i);
        for (size_t k = 0; k < p->line[i].n; k++)
            if (is_point(&p->line[i], k))
                str_addf(s, "%.6g %.6g\n", p->line[i].x[k], p->line[i].y[k]);
            else
                str_add(s, "\n");
        str_add(s, "EOD\n");
    }
    for (size_t i = 0; i < p->n; i++) {
        const struct plot_line *l = &p->line[i];

        if (!has_points(l))
            continue;
        str_addf(s, "%s $d%zu using 1:2 %s lc rgb '%s' ", before, i,
                 looks[l->look], colours[l->colour]);
        if (l->dashes > 0)
            str_addf(s, "dt %d ", l->dashes + 1);
        before = ",";
        if (l->title[0] != '\0')
            str_addf(s, "title \"%s\"", l->title);
        else
            str_add(s, "notitle");
    }
    str_add(s, "\n");
}

/* Where its last line starts that is not blank; *n: its bytes. */
static const char *
last_line(const struct str *s, int *n)
{
    const char *text = s->n > 0 ? s->text : "", *end = text + s->n, *line;

    while (end > text && strchr(" \r\n", end[-1]) != NULL)
        end--;
    for (line = end; line > text && line[-1] != '\n';)
        line--;
    while (line < end && *line == ' ')
        line++;
    *n = (int)(end - line);
    return line;
}

int
plot_svg(const struct plot *p, struct str *svg, struct err *e)
{
    static const char *const gnuplot[] = { "gnuplot", "-d", "-", NULL };
    struct str script = { 0 }, said = { 0 };
    const char *last;
    int n, rc;

    write_script(p, &script);
    rc = child_run(gnuplot, script.text, script.n, MAX_SVG, svg, &said, e);
    last = last_line(svg, &n);
    /* It does not look whether its own output was written. */
    if (rc == 0 && (n < 6 || memcmp(last + n - 6, "</svg>", 6) != 0))
        rc = CHILD_KILLED;
    if (rc == CHILD_NOT_FOUND) {
        rc = 1;
    } else if (rc > 0) {
        last = last_line(&said, &n);    /* is why */
        rc = err_set(e, EXIT_IO, "gnuplot failed%s%.*s", n > 0 ? ": " : "", n,
                     last);
    }
    str_release(&script);
    str_release(&said);
    return rc;
}
