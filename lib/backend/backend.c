#include "backend/backend.h"

#include "backend/backend_ref.h"
#include "base/plugin.h"
#include "base/log.h"

#include <string.h>

static struct backend *
open_plugin(const char *name, const struct backend_conf *c, struct err *e)
{
    char file[32] = "backend_";
    const struct backend_class *const *class;

    strncat(file, name, sizeof file - strlen(file) - 1);
    class = plugin_symbol(file, BACKEND_SYMBOL, e);
    return class != NULL ? (*class)->open(c, e) : NULL;
}

struct backend *
backend_open(const char *name, const struct backend_conf *c, struct err *e)
{
    struct err why = { 0 };
    struct backend *b;

    if (strcmp(name, "ref") == 0)
        return backend_ref_class.open(c, e);
    if (strcmp(name, "auto") != 0)
        return open_plugin(name, c, e);
    b = open_plugin("cuda", c, &why);
    if (b != NULL)
        return b;
    log_note("no GPU: %s; going on with the CPU", why.text);
    return open_plugin("cpu", c, e);
}

void
backend_close(struct backend *b)
{
    if (b != NULL)
        b->class->close(b);
}
