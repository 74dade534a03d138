#include "base/reject.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char reject_shortage[] = "shortage";

int
reject_open(struct reject *r, const char *path, struct err *e)
{
    memset(r, 0, sizeof *r);
    return path != NULL ? file_out_open(&r->out, path, e) : 0;
}

void
reject_add(struct reject *r, const char *path, const char *reason,
           const char *detail)
{
    FILE *f = r->out.stream != NULL ? r->out.stream : stderr;
    const char *const cell[] = { path, reason, detail };
    bool shown = f == stderr && isatty(STDERR_FILENO);

    for (size_t i = 0; i < ARRAY_LEN(cell); i++) {
        char *text = mem_strdup(cell[i]);

        if (shown)
            str_printable(text);
        table_put(f, text);
        putc(i + 1 < ARRAY_LEN(cell) ? '\t' : '\n', f);
        free(text);
    }
    r->n++;
}

const char *
reject_reason(const struct err *e)
{
    return e->shortage ? reject_shortage
           : e->status == EXIT_IO ? "unreadable" : "invalid";
}

int
reject_close(struct reject *r, struct err *e)
{
    return r->out.stream != NULL ? file_out_close(&r->out, e) : 0;
}

void
reject_drop(struct reject *r)
{
    file_out_drop(&r->out);
}
