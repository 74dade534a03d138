#include "base/stop.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static volatile sig_atomic_t asked;
static volatile int64_t when;       /* milliseconds */

static void
note(int sig)
{
    struct timespec t;
    int64_t now;

    clock_gettime(CLOCK_MONOTONIC, &t);
    now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    if (asked == 0)
        when = now;
    else if (now - when >= 1000 * STOP_SECONDS) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    asked = sig == SIGUSR1 ? SIGTERM : sig == SIGUSR2 ? SIGINT : sig;
}

void
stop_install(void)
{
    struct sigaction a = { .sa_handler = note, .sa_flags = SA_RESTART };

    sigemptyset(&a.sa_mask);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGUSR2, &a, NULL);
}

int
stop_signal(void)
{
    return asked;
}
