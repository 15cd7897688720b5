/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_AUDIT_PROVE_INTERNAL_H
#define INSULA_AUDIT_PROVE_INTERNAL_H

/* What the files of the proof share. */

#include "prove.h"
#include "reach.h"
#include "wire.h"

#define PROVE_TTL 2		/* instance -> router -> host, where it ends: enough for whatever stays on the machine */
#define PROVE_HINTS_MAX 64	/* ports tried for every pair */

/* A tenant as the proof meets it: up to two of its instances, and its gateway. */
struct subject {
	const char *tenant;
	uint32_t endpoints[2];		/* in the desired world; [1] WORLD_NONE: has one only */
	uint32_t taps[2];
	uint32_t gateway;		/* endpoint or WORLD_NONE */
	struct address gateway_address;	/* family 0: none known */
	uint32_t gateway_tap;		/* the tenant's link in the router, or WORLD_NONE */
	uint8_t gateway_mac[6];
	bool gateway_mac_known;
	bool controlled;		/* its control was answered */
};

struct port_hint { enum protocol protocol; uint16_t port; };

struct scene {
	const struct prove_options *options;
	const struct world *world;	/* desired */
	struct prove_report *report;
	struct wire wire;
	VEC(struct probe) probes;
	VEC(uint32_t) probe_rows;	/* the row of each probe */
	VEC(struct probe) barriers;	/* controls that were answered: they end each round */
	VEC(struct subject) subjects;
	VEC(struct port_hint) hints;
	uint32_t host;			/* endpoint of the host or WORLD_NONE */
	uint32_t host_tap;		/* the host's end of the uplink or WORLD_NONE */
	uint32_t router_tap;		/* any link of the router or WORLD_NONE: its listeners */
	netns_addresses host_addresses, router_addresses;
};

/* The parts of a row that are not in the packet. */
struct trial {
	enum prove_topic topic;
	const char *to;			/* name of the destination; NULL: its address */
	const char *to_tenant;
	const char *what;
};

/* Evaluates the packet and queues the probe for it. Probe fields `wanted` and `need_answer` follow from the verdict; shape's family, protocol, ports and destination from the packet. */
void prove_add(struct scene *scene, uint32_t tap, const struct trial *trial, const struct packet *packet, const struct probe *probe);
/* A row without a probe: something else looked. */
struct prove_row *prove_add_row(struct scene *scene, enum prove_topic topic, const char *from, const char *from_tenant, const char *to, const char *to_tenant);
void prove_finish_row(struct prove_row *row, bool observed, const char *detail);
void prove_skip(struct scene *scene, const char *what, const char *format, ...) PRINTF_LIKE(3, 4);
const char *prove_print(struct scene *scene, const char *format, ...) PRINTF_LIKE(2, 3);
void prove_progress(const struct scene *scene, const char *text, size_t done, size_t total);
const char *prove_address_text(struct scene *scene, const struct address *address);
const char *prove_endpoint_name(const struct scene *scene, uint32_t endpoint);

/* The group of taps of a publication's workload. */
uint32_t prove_publication_group(const struct world *world, uint32_t publication);

/* prove_flows.c: queue probes. */
void prove_queue_controls(struct scene *scene);
void prove_queue_between(struct scene *scene);
void prove_queue_within(struct scene *scene);
void prove_queue_host(struct scene *scene);
void prove_queue_published(struct scene *scene);
void prove_collect_hints(struct scene *scene);
/* prove_edges.c */
void prove_queue_outside(struct scene *scene);
void prove_queue_spoofing(struct scene *scene);
void prove_queue_mtu(struct scene *scene);

/* prove_names.c, prove_devices.c: look and add rows. */
int prove_names(struct scene *scene, struct error *err) WARN_UNUSED;
int prove_devices(struct scene *scene, struct error *err) WARN_UNUSED;

#endif
