#include "comm/sieve.h"

#include <string.h>

enum {
    DASHES = 74,            /* in the first and last line of a banner */
    BANNER_MAX = 8192       /* more is no banner */
};

static void
clear(struct str *s)
{
    s->n = 0;
    if (s->text != NULL)
        s->text[0] = '\0';
}

static bool
is_dashes(const struct str *line)
{
    return line->n == DASHES + 1 && strspn(line->text, "-") == DASHES;
}

/* The whole banner is there. */
static void
judge(struct sieve *s)
{
    const char *text = s->banner.n > 0 ? s->banner.text : "";
    const char *rank = strstr(text, "process rank ");
    const char *signal = strstr(text, "exited on signal ");
    const char *name = strstr(text, "Process name: ");
    const char *code = strstr(text, "Exit code: ");

    if (rank != NULL && signal != NULL) {
        if (sscanf(rank, "process rank %d", &s->rank) != 1 ||
            sscanf(signal, "exited on signal %d", &s->signal) != 1)
            s->signal = 0;
    } else if (code != NULL && name != NULL) {
        if (sscanf(name, "Process name: [[%*d,%*d],%d]", &s->rank) != 1 ||
            sscanf(code, "Exit code: %d", &s->status) != 1)
            s->status = 0;
    } else if (strstr(text, "non-zero exit code") == NULL &&
               strstr(text, "exited with non-zero status") == NULL) {
        fputs(text, s->out);
        s->strange = true;
    }
    clear(&s->banner);
    s->in_banner = false;
}

/*
 * The line said last, one that mpirun says of its own, or that of a rank that
 * misses one which itself waited for the rank that was named first.
 */
static bool
is_noise(struct sieve *s)
{
    static const char forwarding[] = "mpirun: Forwarding signal ";

    if (strncmp(s->line.text, forwarding, sizeof forwarding - 1) == 0)
        return true;
    if (strstr(s->line.text, " not answered for ") != NULL ||
        strstr(s->line.text, " not met for ") != NULL) {
        if (s->missed)
            return true;
        s->missed = true;
    }
    return s->line.n == s->last.n &&
           memcmp(s->line.text, s->last.text, s->line.n) == 0;
}

static void
take_line(struct sieve *s)
{
    if (is_dashes(&s->line)) {
        if (s->in_banner)
            judge(s);
        else
            s->in_banner = true;
    } else if (s->in_banner) {
        str_add_bytes(&s->banner, s->line.text, s->line.n);
        if (s->banner.n > BANNER_MAX)
            judge(s);
    } else if (!is_noise(s)) {
        fwrite(s->line.text, 1, s->line.n, s->out);
        s->spoke = true;
        clear(&s->last);
        str_add_bytes(&s->last, s->line.text, s->line.n);
    }
    clear(&s->line);
}

void
sieve_add(struct sieve *s, const char *bytes, size_t nbytes)
{
    while (nbytes > 0) {
        const char *end = memchr(bytes, '\n', nbytes);
        size_t n = end != NULL ? (size_t)(end - bytes) + 1 : nbytes;

        str_add_bytes(&s->line, bytes, n);
        if (end != NULL)
            take_line(s);
        bytes += n;
        nbytes -= n;
    }
}

void
sieve_end(struct sieve *s)
{
    if (s->line.n > 0)
        take_line(s);
    if (s->in_banner)
        judge(s);
    str_release(&s->line);
    str_release(&s->last);
    str_release(&s->banner);
}
