/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_PACKETS_H
#define INSULA_SITE_LOCAL_PACKETS_H

/*
 * Who pays for the work on a packet. The kernel does it in interrupts, at nobody's expense: a tenant that sends many small
 * packets takes time from all. A port with a thread of its own does it in that thread, which a control group limits.
 *
 * That holds for what sockets send as datagrams (UDP, ICMP); TCP is held back by its receiver.
 */

#include "base/base.h"

#include <sys/types.h>

#define PACKETS_GROUP "packets"	/* of a tenant's control group: the threads of its ports */

/* The thread that receives for `link`, one end of a veth pair that is up, in the calling thread's network namespace; made when
   there is none. ERROR_UNSUPPORTED when this kernel cannot: then all is as before, or as good. */
int packets_thread(const char *link, pid_t *ret, struct error *err) WARN_UNUSED;
/* Can it be had here? Tried with a pair of links in a namespace that is thrown away. */
int packets_try(struct error *err) WARN_UNUSED;

#endif
