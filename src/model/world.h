/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_WORLD_H
#define INSULA_MODEL_WORLD_H

/*
 * Ground: what intent comes to. The same nouns for every site; no word of any site in them.
 * Audit, schedule and report read ground. world_expand (expand.h) makes it from intent, a site's
 * lift makes it from live resources.
 *
 * All memory is in the world's arena; names are interned there. References between nouns are by
 * index into the world's arrays, WORLD_NONE when there is none.
 */

#include "cidr.h"
#include "intent.h"

#define WORLD_NONE UINT32_MAX

struct gpu { const char *uuid, *model; int64_t memory; bool declared; };
struct node {
	const char *name;
	int64_t cpu, memory, pods;		/* pods AMOUNT_NONE: no own limit */
	struct gpu *gpus;
	size_t gpu_n;
	struct labels labels;
	uint32_t link;				/* its uplink */
};

struct instance {
	const char *key;			/* "vision/train/0" */
	const char *tenant, *workload;
	uint32_t replica;
	const char *digest;			/* of its whole spec: a finished one of the same digest satisfies the plan */
	enum method method;
	uint32_t node, endpoint;
	int64_t cpu, memory, gpu;
};

enum endpoint_kind {
	ENDPOINT_INSTANCE,	/* something of a tenant */
	ENDPOINT_HOST,		/* a node itself: its own addresses and services */
	ENDPOINT_GATEWAY,	/* the router of a tenant's network */
	ENDPOINT_OUTSIDE,	/* a machine beyond the uplink */
};
struct endpoint {
	const char *name;			/* "vision/train/0" */
	const char *native_kind, *native_name;	/* as the site calls it: for messages only, never compared */
	enum endpoint_kind kind;
	const char *tenant;			/* or NULL */
	struct labels labels;			/* "tenant", "workload", "replica" and the user's own */
	struct address *addresses;
	size_t address_n;
	uint32_t node, port;
};

enum select_kind {
	SELECT_ALL,		/* every endpoint and every address */
	SELECT_LABELS,		/* endpoints with all of these labels (instances only) */
	SELECT_PREFIX,		/* addresses within `prefix`, without those in `except` */
	SELECT_INTERNET,	/* public unicast addresses: not private, shared, link-local, loopback, multicast, documentation or reserved */
	SELECT_METADATA,	/* 169.254.0.0/16 and fe80::/10, fd00:ec2::254 */
	SELECT_HOSTS,		/* nodes and gateways */
};
struct selector {
	enum select_kind kind;
	struct labels labels;
	struct prefix prefix;
	struct prefix *except;
	size_t except_n;
};

enum action { ACTION_ALLOW, ACTION_DENY, ACTION_PASS };
enum direction { DIRECTION_INGRESS, DIRECTION_EGRESS };
struct rule {
	const char *name;			/* what the user sees: "audio: from vision tcp/8501" */
	enum action action;
	struct selector *peers;			/* n 0: none */
	size_t peer_n;
	struct port_ranges ports;		/* n 0: all */
	struct mark mark;			/* of the words in the file, when they come from there */
};
/*
 * Policies of one direction that select an endpoint are asked by tier (ascending), then priority
 * (ascending), then order; in each, rules in order. The first allow or deny decides; pass goes
 * on with the next tier. When none decides: an endpoint that a policy with `isolates` selects
 * in that direction is denied, any other allowed. A packet passes when its sender's egress and
 * its receiver's ingress both allow it; what is not an endpoint of ours allows everything.
 * Answers to what passed pass (stateful).
 */
struct policy {
	const char *name, *native_kind, *native_name;
	uint32_t tier, priority;
	enum direction direction;
	bool isolates;
	struct selector applies;
	struct rule *rules;
	size_t rule_n;
};

struct port {					/* where an endpoint meets a network */
	const char *name;
	uint32_t endpoint, link;
	uint8_t mac[6];
	struct address *allowed;		/* source addresses it may use; n 0 with security on: only its own */
	size_t allowed_n;
	bool security;				/* false: sources and policies are not checked */
	struct names groups;			/* security groups, where a site has them */
};

struct link {
	const char *name, *native_kind;		/* "uplink", "vision/network" */
	const char *tenant;			/* or NULL */
	int64_t mtu, overhead;			/* bytes; a child's mtu must be <= parent's mtu - its overhead */
	uint32_t parent;			/* or WORLD_NONE */
	struct prefix prefix;			/* family 0: none */
	struct address gateway;			/* family 0: none */
};

struct publication {				/* a service on a chosen address of the host */
	struct address address;
	uint16_t port;
	enum protocol protocol;
	const char *tenant, *workload;
	uint16_t target_port;
};

struct world {
	struct arena arena;
	VEC(struct node) nodes;
	VEC(struct instance) instances;		/* sorted by key */
	VEC(struct endpoint) endpoints;
	VEC(struct policy) policies;
	VEC(struct port) ports;
	VEC(struct link) links;
	VEC(struct publication) publications;
	bool ipv6;				/* false: IPv6 is off, and every packet of it is denied */
};

void world_init(struct world *world);
void world_clear(struct world *world);
uint32_t world_find_instance(const struct world *world, const char *key);
uint32_t world_find_endpoint(const struct world *world, const char *name);
uint32_t world_find_link(const struct world *world, const char *name);

#endif
