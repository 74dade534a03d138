#include "comm/comm_self.h"

#include "base/mem.h"

#include <stdlib.h>

static struct comm *
self_open(double timeout, struct err *e)
{
    struct comm *c = mem_array(1, sizeof *c);

    (void)timeout, (void)e;
    *c = (struct comm){ .class = &comm_self_class, .size = 1,
                        .local_size = 1 };
    return c;
}

static int
self_floats(struct comm *c, float *x, size_t n, struct err *e)
{
    (void)c, (void)x, (void)n, (void)e;
    return 0;
}

static int
self_doubles(struct comm *c, double *x, size_t n, struct err *e)
{
    (void)c, (void)x, (void)n, (void)e;
    return 0;
}

static int
self_wait(struct comm *c, struct err *e)
{
    (void)c, (void)e;
    return 0;
}

static void
self_close(struct comm *c, bool failed)
{
    (void)failed;
    free(c);
}

const struct comm_class comm_self_class = {
    .name = "self",
    .open = self_open,
    .sum = self_floats,
    .wait = self_wait,
    .hsum = self_doubles,
    .close = self_close
};
