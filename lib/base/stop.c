#include "base/stop.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

static volatile sig_atomic_t asked;
static volatile time_t when;

static void
note(int sig)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (asked == 0)
        when = now.tv_sec;
    else if (now.tv_sec - when >= 2) {
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
