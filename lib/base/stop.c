#include "base/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked;

static void
note(int sig)
{
    asked = sig == SIGUSR1 ? SIGTERM : sig == SIGUSR2 ? SIGINT : sig;
}

void
stop_install(void)
{
    struct sigaction a = { .sa_handler = note, .sa_flags = SA_RESTART |
                                                           SA_RESETHAND };

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
