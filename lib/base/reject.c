#include "base/reject.h"

#include "base/table.h"

#include <stdio.h>
#include <string.h>

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

    table_put(f, path);
    putc('\t', f);
    table_put(f, reason);
    putc('\t', f);
    table_put(f, detail);
    putc('\n', f);
    r->n++;
}

const char *
reject_reason(const struct err *e)
{
    return e->status == EXIT_IO ? "unreadable" : "invalid";
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
