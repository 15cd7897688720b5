/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_AUDIT_PROVE_H
#define INSULA_AUDIT_PROVE_H

/*
 * The proof: what the file says about each packet (reach.h, on the desired world) held against what really
 * happens to it on the machine. docs/proof.md says what is tried and how.
 *
 * Nothing leaves the machine: packets to outside have a TTL that ends at the host. Nothing that runs is disturbed but
 * by one small packet a probe.
 */

#include "plan/site.h"

enum prove_topic {
	PROVE_CONTROL,		/* does the prover itself see what surely passes? */
	PROVE_BETWEEN,		/* tenant to tenant */
	PROVE_WITHIN,		/* within a tenant */
	PROVE_HOST,		/* services of the host and of the gateways */
	PROVE_METADATA,
	PROVE_INTERNET,
	PROVE_PRIVATE,		/* private ranges outside */
	PROVE_CIDR,		/* the edges of declared address ranges */
	PROVE_PUBLISHED,
	PROVE_FROM_HOST,	/* host to instance */
	PROVE_SPOOFING,
	PROVE_MTU,
	PROVE_NAMES,
	PROVE_DEVICES,
	PROVE_TOPICS
};
const char *prove_topic_name(enum prove_topic topic);		/* "between": the stable word in JSON */
const char *prove_topic_title(enum prove_topic topic);		/* "between tenants" */

struct prove_row {
	enum prove_topic topic;
	const char *from, *to;			/* "vision/train/0", "host", "169.254.169.254", "/dev/kvm" */
	const char *from_tenant, *to_tenant;	/* or NULL */
	const char *protocol;			/* "tcp", "arp", "name", "device" ... */
	int family;				/* AF_INET, AF_INET6, or 0 */
	uint16_t port;				/* 0: none */
	const char *what;			/* what is special about it ("spoofed source 10.77.2.2"), or NULL */
	bool expected, observed, ok;
	const char *rule;			/* the rule that decides, or NULL */
	const char *reason;			/* what the file says, in words */
	const char *detail;			/* what was seen, in words */
};

struct prove_skip { const char *what, *why; };

struct prove_report {
	struct arena arena;
	VEC(struct prove_row) rows;
	VEC(struct prove_skip) skipped;		/* what was not proven, and why */
	size_t differences;
	uint64_t seed;
	int64_t ms;
};
void prove_report_clear(struct prove_report *report);
#define autoprove CLEANUP(prove_report_clear)

struct prove_options {
	const struct site_ops *ops;
	struct site *site;
	const struct world *desired;		/* what the file says */
	const struct world *live;		/* lifted from what is, or NULL: its ports are tried too */
	const struct resources *actual;		/* or NULL: ports that their bodies name ("tcp/8501") are tried too */
	uint64_t seed;				/* chooses the undeclared ports */
	unsigned sample;			/* undeclared ports a pair and protocol; 0: 3 */
	bool no_devices;
	void (*progress)(void *arg, const char *text, size_t done, size_t total);
	void *progress_arg;
};

/* -1 when the proof could not be held; differences are in the report. The report is set on success. */
int prove_run(const struct prove_options *options, struct prove_report *ret, struct error *err) WARN_UNUSED;

#endif
