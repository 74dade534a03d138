/* comm_self: one rank alone; every sum is what it was. */
#ifndef BUSI_COMM_COMM_SELF_H
#define BUSI_COMM_COMM_SELF_H

#include "comm/comm.h"

extern const struct comm_class comm_self_class;

#endif
