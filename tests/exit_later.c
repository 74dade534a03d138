/*
 * Preloaded into ranks by tests/torture-ranks.sh: rank EXIT_RANK leaves by
 * _exit(EXIT_STATUS), as if some library had called it, EXIT_MS milliseconds
 * after its start.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *
leave(void *arg)
{
    const char *ms = getenv("EXIT_MS"), *status = getenv("EXIT_STATUS");
    long n = ms != NULL ? strtol(ms, NULL, 10) : 0;
    struct timespec t = { n / 1000, n % 1000 * 1000000 };

    (void)arg;
    nanosleep(&t, NULL);
    _exit(status != NULL ? (int)strtol(status, NULL, 10) : 0);
}

__attribute__((constructor)) static void
start(void)
{
    const char *mine = getenv("OMPI_COMM_WORLD_RANK");
    const char *rank = getenv("EXIT_RANK");
    pthread_t thread;

    if (mine != NULL && rank != NULL && strcmp(mine, rank) == 0)
        pthread_create(&thread, NULL, leave, NULL);
}
