#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
put(struct err *e, int status, const char *tail, const char *fmt, va_list ap)
{
    if (e == NULL || e->status != 0)
        return;
    e->status = status;
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    if (tail != NULL) {
        size_t n = strlen(e->text);
        snprintf(e->text + n, sizeof e->text - n, ": %s", tail);
    }
}

int
err_set(struct err *e, int status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    put(e, status, NULL, fmt, ap);
    va_end(ap);
    return -1;
}

int
err_errno(struct err *e, const char *fmt, ...)
{
    int code = errno;
    bool first = e != NULL && e->status == 0;
    va_list ap;

    va_start(ap, fmt);
    put(e, EXIT_IO, strerror(code), fmt, ap);
    va_end(ap);
    if (first)
        e->shortage = code == EMFILE || code == ENFILE || code == ENOMEM ||
                      code == EAGAIN;
    return -1;
}

int
err_copy(struct err *to, const struct err *from)
{
    if (to != NULL && to->status == 0)
        *to = *from;
    return -1;
}

void
err_clear(struct err *e)
{
    e->status = 0;
    e->shortage = false;
    e->text[0] = '\0';
}
