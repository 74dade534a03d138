#include "report/plot.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
write_range(const struct plot *p, FILE *f, char axis, double lo, double hi)
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
        fprintf(f, "set %crange [%.6g:%.6g]\n", axis, lo, hi);
}

static void
write_script(const struct plot *p, FILE *f)
{
    static const char *const looks[] = {
        "with lines lw 2.5", "with lines lw 1.5 dt 2", "with lines lw 1",
        "with linespoints lw 1.5 pt 7 ps 0.6"
    };
    const char *before = "plot";

    fputs("set terminal svg size 480,340 noenhanced font 'sans-serif,14'\n"
          "set border 3 lc rgb '#666666'\nset tics nomirror out\n"
          "set grid lc rgb '#dddddd' lw 0.5\nset samples 2\n", f);
    fprintf(f, "set xlabel '%s'\nset ylabel '%s'\nset key %s samplen 2\n",
            p->xlabel, p->ylabel, p->key);
    write_range(p, f, 'x', p->lo_x, p->hi_x);
    write_range(p, f, 'y', p->lo_y, p->hi_y);
    for (size_t i = 0; i < p->n; i++) {
        fprintf(f, "$d%zu << EOD\n", i);
        for (size_t k = 0; k < p->line[i].n; k++)
            if (is_point(&p->line[i], k))
                fprintf(f, "%.6g %.6g\n", p->line[i].x[k], p->line[i].y[k]);
            else
                fputs("\n", f);
        fputs("EOD\n", f);
    }
    for (size_t i = 0; i < p->n; i++) {
        const struct plot_line *l = &p->line[i];

        if (!has_points(l))
            continue;
        fprintf(f, "%s $d%zu using 1:2 %s lc rgb '%s' ", before, i,
                looks[l->look], colours[l->colour]);
        before = ",";
        if (l->title[0] != '\0')
            fprintf(f, "title \"%s\"", l->title);
        else
            fputs("notitle", f);
    }
    fputs("\n", f);
}

static void
become_gnuplot(int script, int out, int talk)
{
    if (dup2(script, 0) >= 0 && dup2(out, 1) >= 0 && dup2(talk, 2) >= 0)
        execlp("gnuplot", "gnuplot", "-d", "-", (char *)NULL);
    _exit(127);
}

/* Everything the child says, then how it ended. */
static int
collect(pid_t child, int from, struct str *to)
{
    char part[65536];
    ssize_t n;
    int status = -1;

    while ((n = read(from, part, sizeof part)) > 0 ||
           (n < 0 && errno == EINTR))
        if (n > 0)
            str_add_bytes(to, part, (size_t)n);
    waitpid(child, &status, 0);
    return n == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool
whole_svg(const struct str *svg)
{
    size_t n = svg->n;

    while (n > 0 && strchr(" \r\n", svg->text[n - 1]) != NULL)
        n--;
    return n >= 6 && memcmp(svg->text + n - 6, "</svg>", 6) == 0;
}

/* What gnuplot said last is why it failed. */
static int
failed(FILE *talk, struct err *e)
{
    char line[256], last[256] = "";

    rewind(talk);
    while (fgets(line, sizeof line, talk) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " ")] != '\0')
            snprintf(last, sizeof last, "%s", line);
    }
    return err_set(e, EXIT_IO, "gnuplot failed%s%s", last[0] ? ": " : "",
                   last + strspn(last, " "));
}

int
plot_svg(const struct plot *p, struct str *svg, struct err *e)
{
    FILE *script = tmpfile(), *talk = tmpfile();
    int ends[2], status = -1, rc;
    pid_t child;

    if (script == NULL || talk == NULL || pipe(ends) != 0) {
        err_errno(e, "cannot run gnuplot");
        if (script != NULL)
            fclose(script);
        if (talk != NULL)
            fclose(talk);
        return -1;
    }
    write_script(p, script);
    if (fflush(script) == 0 && lseek(fileno(script), 0, SEEK_SET) == 0 &&
        (child = fork()) >= 0) {
        if (child == 0)
            become_gnuplot(fileno(script), ends[1], fileno(talk));
        close(ends[1]);
        status = collect(child, ends[0], svg);
    } else {
        close(ends[1]);
    }
    close(ends[0]);
    fclose(script);
    /* It does not look whether its own output was written. */
    if (status == 0 && whole_svg(svg))
        rc = 0;
    else
        rc = status == 127 ? 1 : failed(talk, e);
    fclose(talk);
    return rc;
}
