#include "backend/backend.h"

#include "backend/backend_ref.h"
#include "base/plugin.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/*
 * OpenMP's threads spin while they wait, by default so long that on a busy
 * machine they take the core from those they wait for: two threads beside two
 * other programs trained at a seventh of the quiet rate, and at not quite half
 * with this limit.  A lower one (2000) cost a quiet machine up to half of its
 * rate at a batch of 1, where waking up took longer than waiting.  libgomp reads
 * it when it is loaded.
 */
static void
limit_spinning(void)
{
    if (getenv("OMP_WAIT_POLICY") == NULL)
        setenv("GOMP_SPINCOUNT", "20000", 0);
}

static struct backend *
open_plugin(const char *name, const struct backend_conf *c, struct err *e)
{
    char file[32] = "backend_";
    const struct backend_class *const *class;

    limit_spinning();
    strncat(file, name, sizeof file - strlen(file) - 1);
    class = plugin_symbol(file, BACKEND_SYMBOL, e);
    return class != NULL ? (*class)->open(c, e) : NULL;
}

static struct backend *
open_auto(const struct backend_conf *c, struct err *e)
{
    struct err why = { 0 };
    struct backend *b = open_plugin("cuda", c, &why);

    if (b != NULL)
        return b;
    log_note("no GPU: %s; going on with the CPU", why.text);
    return open_plugin("cpu", c, e);
}

struct backend *
backend_open(const char *name, const struct backend_conf *c, struct err *e)
{
    struct backend_conf one = *c;
    int64_t device;

    if (strcmp(name, "auto") == 0)
        return open_auto(c, e);
    if (strcmp(name, "ref") == 0)
        return backend_ref_class.open(c, e);
    if (strcmp(name, "cpu") == 0 || strcmp(name, "cuda") == 0)
        return open_plugin(name, c, e);
    if (strncmp(name, "cuda:", 5) == 0 && str_int(name + 5, &device) &&
        device >= 0 && device < 1024) {
        one.device = (int)device;
        return open_plugin("cuda", &one, e);
    }
    err_set(e, EXIT_USAGE, "there is no device '%s' (auto, cpu, cuda, "
            "cuda:N, ref)", name);
    return NULL;
}

void
backend_close(struct backend *b)
{
    if (b != NULL)
        b->class->close(b);
}
