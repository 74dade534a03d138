/*
 * stop: being asked to end.
 *
 * After stop_install(), SIGTERM and SIGINT (and SIGUSR1 and SIGUSR2, which
 * stand for them where mpirun is in between: comm.h) do not end the process
 * but are remembered.  Many senders signal twice in a row (timeout(1) does); one
 * more, two seconds or later after the first, ends the process at once.
 */
#ifndef BUSI_BASE_STOP_H
#define BUSI_BASE_STOP_H

enum { STOP_SECONDS = 2 };      /* until one more is another one */

void stop_install(void);

/* 0, or the signal asked for: SIGTERM or SIGINT. */
int stop_signal(void);

#endif
