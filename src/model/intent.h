/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_INTENT_H
#define INSULA_MODEL_INTENT_H

/*
 * Intent: the nouns of the file, as the user wrote them, with defaults filled in.
 *
 * All memory is in the arena of the intent. Strings are never NULL unless marked "or NULL".
 * Units: cpu and gpu in thousandths (500m is 500; one GPU is 1000), memory, storage and bandwidth
 * in bytes (a second), durations in milliseconds. AMOUNT_NONE is "not given, and no default".
 * Every noun keeps the place it was read from, for messages.
 */

#include "base/arena.h"
#include "base/vec.h"
#include "data/words.h"

#define AMOUNT_NONE INT64_MIN

enum trust { TRUST_UNTRUSTED, TRUST_NORMAL, TRUST_TRUSTED };
enum method { METHOD_AUTO, METHOD_CONTAINER, METHOD_VM, METHOD_BARE };
enum restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };
enum cores { CORES_EXCLUSIVE, CORES_SHARED };
enum reclaim { RECLAIM_QUOTA, RECLAIM_FAIR_SHARE };
enum queue_order { ORDER_STRICT, ORDER_BEST_EFFORT };
enum protocol { PROTOCOL_ANY, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMP = 1, PROTOCOL_ICMPV6 = 58 };

/* "tcp/8501", "udp/5000-5100", "tcp" (every port) */
struct port_range { enum protocol protocol; uint16_t first, last; struct mark mark; };
struct port_ranges { struct port_range *items; size_t n; };	/* n 0: every port of every protocol */

struct amounts { int64_t cpu, memory, gpu, storage, instances, pids, disk_bandwidth, network_bandwidth; };

enum peer_kind { PEER_TENANT, PEER_INTERNET, PEER_CIDR };
struct allow {
	bool to;			/* to: this tenant sends; from: this tenant receives */
	enum peer_kind peer;
	const char *tenant;		/* PEER_TENANT, else NULL */
	const char *cidr;		/* PEER_CIDR, else NULL */
	struct port_ranges ports;
	struct mark mark;
};

struct tenant {
	const char *name;
	struct mark mark;
	struct labels labels;
	struct names users, groups;
	enum trust trust;
	int64_t weight;			/* >= 1 */
	struct amounts quota, limit;	/* limit has its defaults from quota */
	struct allow *allow;
	size_t allow_n;
	/* scheduling words; read and checked, acted on by the scheduler */
	const char *parent;		/* or NULL */
	struct amounts borrowing_limit, lending_limit;
	enum reclaim reclaim;
	enum queue_order order;
	int64_t usage_half_life;	/* ms or AMOUNT_NONE */
};

struct env { const char *name, *value, *secret; struct mark mark; };	/* exactly one of value, secret */
struct volume {
	const char *name;		/* or NULL for a hostPath without a name */
	const char *mount_path, *host_path;	/* host_path absolute, or NULL */
	bool read_only, keep;
	int64_t size;			/* bytes or AMOUNT_NONE */
	struct mark mark;
};
struct workload_group { const char *name; int64_t replicas, min; struct mark mark; };
struct toleration { const char *key, *value, *operator, *effect; };
struct resources_claim { int64_t cpu, memory, gpu, gpu_memory; struct names gpu_models; };	/* the workload's own, each replica */

struct workload {
	const char *name, *tenant;
	struct mark mark;
	struct labels labels;
	enum method method;
	const char *image;		/* as written, relative paths made absolute; or NULL (kernel alone) */
	const char *pull_secret;	/* or NULL */
	struct names command;		/* empty: the image's own */
	struct env *env;
	size_t env_n;
	const char *working_dir;	/* or NULL */
	struct volume *volumes;
	size_t volume_n;
	struct resources_claim resources;
	int64_t replicas, min_replicas;
	bool gang;
	int64_t priority;
	enum restart restart;
	enum cores cores;
	const char *kernel;		/* or NULL */
	bool allow_emulation;
	struct names packages;
	bool preemptible;
	int64_t disruption_budget;	/* or AMOUNT_NONE */
	struct workload_group *groups;
	size_t group_n;
	int64_t time_limit, arrival, duration;	/* ms or AMOUNT_NONE */
	struct labels node_selector;
	struct toleration *tolerations;
	size_t toleration_n;
	struct names affinity, anti_affinity;	/* names of workloads of the same tenant */
	const char *topology_required;	/* or NULL */
	const char *mig;		/* or NULL */
	struct service *service;	/* or NULL: this workload listens */
};

struct service {			/* kind Service: a workload that listens */
	uint16_t port;
	enum protocol protocol;
	const char *publish_address;	/* or NULL: not published */
	uint16_t publish_port;
	int64_t concurrency, scale_min, scale_max;
};

struct pipeline { const char *name, *tenant, *file; struct labels arguments; struct mark mark; };
struct gpu_declared { const char *model; int64_t count, memory; struct names mig; };
struct taint { const char *key, *value, *effect; };
struct node_declared {
	const char *name;
	struct mark mark;
	int64_t cpu, memory, pods;
	struct gpu_declared *gpus;
	size_t gpu_n;
	struct labels labels, topology;
	struct taint *taints;
	size_t taint_n;
};
struct secret_source { const char *name, *tenant, *from_file, *from_env; struct mark mark; };	/* tenant or NULL: any; exactly one from_ */
struct price { const char *model; int64_t micros; };
struct prices {
	const char *currency, *date;
	int64_t cpu_hour, gib_hour, gib_month, egress_gib;	/* millionths of the currency */
	struct price *gpu_hour;
	size_t gpu_n;
	struct mark mark;
};
struct study {
	const char *name;
	struct names probes, methods;
	int64_t *tenants;
	size_t tenant_n;
	struct names placement;
	double precision;
	int64_t budget;			/* ms */
	uint64_t seed;
	struct labels weights;
	struct mark mark;
};

enum driver { DRIVER_LOCAL, DRIVER_KUBERNETES, DRIVER_OPENSTACK, DRIVER_STACK, DRIVER_FILES };
enum strangers { STRANGERS_REPORT, STRANGERS_REFUSE };
struct site_intent {
	const char *name;		/* the deployment; "local" when there is no Site */
	struct mark mark;
	enum driver driver;
	const char *context, *cloud;	/* or NULL */
	struct names host_paths;
	const char *address_pool;	/* CIDR, or NULL: chosen, then kept as a decision */
	struct names dns;		/* upstream resolvers; empty: the host's */
	int64_t image_store_limit;	/* bytes */
	enum strangers strangers;
	struct labels images;		/* alias: reference */
	int64_t starvation;		/* ms */
};

struct intent {
	struct arena arena;
	struct site_intent site;
	VEC(struct tenant) tenants;		/* sorted by name */
	VEC(struct workload) workloads;		/* sorted by tenant, name; services too */
	VEC(struct pipeline) pipelines;
	VEC(struct node_declared) nodes;
	VEC(struct study) studies;
	VEC(struct secret_source) secrets;
	struct prices *prices;			/* or NULL */
	VEC(const char *) notes;		/* what is read and checked but acted on by nothing yet; plan prints them */
	const char *digest;			/* sha256 of all files read, in order */
};

void intent_init(struct intent *intent);
void intent_clear(struct intent *intent);

const struct tenant *intent_tenant(const struct intent *intent, const char *name);
const struct workload *intent_workload(const struct intent *intent, const char *tenant, const char *name);

#endif
