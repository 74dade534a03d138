#include "comm/comm.h"

#include "base/plugin.h"
#include "base/str.h"
#include "comm/comm_self.h"
#include "comm/comm_tcp.h"

#include <stdlib.h>
#include <string.h>

static bool
more_than_one(const char *variable)
{
    const char *text = getenv(variable);
    int64_t n;

    return text != NULL && str_int(text, &n) && n > 1;
}

static bool
by_mpi(void)
{
    if (more_than_one("OMPI_COMM_WORLD_SIZE") || more_than_one("PMI_SIZE"))
        return true;
    /* A batch script has SLURM_NTASKS too, but srun alone sets a rank. */
    return getenv("PMIX_RANK") != NULL && more_than_one("SLURM_NTASKS");
}

bool
comm_launched(void)
{
    return by_mpi() || comm_tcp_launched();
}

struct comm *
comm_open(const char *name, double timeout, struct err *e)
{
    const struct comm_class *const *class;

    if (strcmp(name, "auto") == 0)
        name = by_mpi() ? "mpi" : comm_tcp_launched() ? "tcp" : "self";
    if (strcmp(name, "self") == 0)
        return comm_self_class.open(timeout, e);
    if (strcmp(name, "tcp") == 0)
        return comm_tcp_class.open(timeout, e);
    if (strcmp(name, "mpi") != 0) {
        err_set(e, EXIT_USAGE, "no communicator is called '%s'"
                " (auto, self, mpi, tcp)", name);
        return NULL;
    }
    class = plugin_symbol("comm_mpi", COMM_SYMBOL, e);
    return class != NULL ? (*class)->open(timeout, e) : NULL;
}

struct comm *
comm_open_gpu(struct comm *host, const struct comm_gpu *g, double timeout,
              struct err *e)
{
    comm_over *const *over = plugin_symbol("comm_nccl", COMM_OVER_SYMBOL, e);

    return over != NULL ? (*over)(host, g, timeout, e) : NULL;
}
