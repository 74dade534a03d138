#include "learn/shares.h"

#include "base/mem.h"

#include <stdlib.h>

enum what { INPUT, COMPUTE, WAITING, EXCHANGE, WHATS };

/* Below this share of the time nothing is worth a look. */
#define LEAST 0.05

/* Whom to look at: the largest share on any rank that is not computing. */
static void
first_look(const double *all, int size, FILE *out)
{
    double largest = 0, least = 1;
    int rank = 0, slowest = 0, what = COMPUTE;

    for (int r = 0; r < size; r++) {
        for (int k = 0; k < WHATS; k++)
            if (k != COMPUTE && all[r * WHATS + k] > largest) {
                largest = all[r * WHATS + k];
                rank = r;
                what = k;
            }
        if (all[r * WHATS + WAITING] < least) {
            least = all[r * WHATS + WAITING];
            slowest = r;
        }
    }
    largest *= 100;
    if (largest < 100 * LEAST)
        fprintf(out, "look first: at nothing, all ranks compute\n");
    else if (what == INPUT)
        fprintf(out, "look first: rank %d waits %.0f %% for input\n", rank,
                largest);
    else if (what == EXCHANGE)
        fprintf(out, "look first: rank %d spends %.0f %% on exchanging "
                "gradients\n", rank, largest);
    else
        fprintf(out, "look first: rank %d computes longest, rank %d waits "
                "%.0f %% for it\n", slowest, rank, largest);
}

int
shares_say(struct comm *c, const struct shares *mine, FILE *out,
           struct err *e)
{
    double sum = mine->input + mine->compute + mine->waiting + mine->exchange;
    double *all = mem_array((size_t)c->size * WHATS, sizeof *all);
    double *own = all + c->rank * WHATS;
    int rc;

    own[INPUT] = mine->input / sum;
    own[COMPUTE] = mine->compute / sum;
    own[WAITING] = mine->waiting / sum;
    own[EXCHANGE] = mine->exchange / sum;
    for (int k = 0; k < WHATS && sum <= 0; k++)
        own[k] = 0;
    rc = c->class->hsum(c, all, (size_t)c->size * WHATS, e);
    for (int r = 0; r < c->size && rc == 0 && c->rank == 0; r++)
        fprintf(out, "rank %d: compute %.1f %%, input %.1f %%, waiting "
                "%.1f %%, exchange %.1f %%\n", r,
                100 * all[r * WHATS + COMPUTE], 100 * all[r * WHATS + INPUT],
                100 * all[r * WHATS + WAITING],
                100 * all[r * WHATS + EXCHANGE]);
    if (rc == 0 && c->rank == 0)
        first_look(all, c->size, out);
    free(all);
    return rc;
}
