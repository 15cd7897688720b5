/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_PORTS_H
#define INSULA_MODEL_PORTS_H

/* Ports as the file writes them: "tcp/8501", "udp/5000-5100", "tcp" and "icmp" (all of it), "any". */

#include "intent.h"

#define PORT_TEXT 24

int port_range_parse(const char *text, struct port_range *ret, struct error *err) WARN_UNUSED;	/* the mark stays as it is */
void port_range_format(const struct port_range *range, char text[static PORT_TEXT]);
bool port_range_contains(const struct port_range *range, enum protocol protocol, uint16_t port);
/* n 0 contains everything. */
bool port_ranges_contain(const struct port_ranges *ranges, enum protocol protocol, uint16_t port);

const char *protocol_name(enum protocol protocol);	/* "tcp" */
bool protocol_has_ports(enum protocol protocol);	/* tcp and udp */
/* false: not known */
bool protocol_parse(const char *text, enum protocol *ret);

#endif
