/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_SITE_H
#define INSULA_PLAN_SITE_H

/*
 * A site turns resources into real things. It translates; it decides nothing.
 *
 * The verbs are plain blocking code, called from a small pool of threads at once for different
 * resources: they share nothing that changes but what the site locks itself. Retries, deadlines,
 * order, parallelism and the journal belong to apply (apply.h). Each verb is idempotent:
 *   create  of what exists with this key and our mark completes it and succeeds
 *   remove  of what is absent succeeds, and returns only when it is absent
 */

#include "base/secret.h"
#include "model/decisions.h"
#include "model/world.h"
#include "resource.h"

/* What a probe found: plain JSON, so that a plan can store it and lower() stays pure. By convention it has
   "checks": [{"id": "cgroup", "level": "ok|warn|fail", "text": "...", "fix": "..."}], which 'insula doctor' prints. */
struct site_facts { json_t *json; };

struct site_config {
	const char *deployment;			/* Site's metadata.name */
	const char *state_dir;			/* "/var/lib/insula": kept over a reboot */
	const char *run_dir;			/* "/run/insula": gone after a reboot */
	const char *program_dir;		/* where insula-init, insula-monitor and insula-resolver are */
	const char *nvml;			/* NVIDIA's management library, or NULL: libnvidia-ml.so.1 where the loader finds it */
	const struct site_intent *intent;	/* the Site of the file, or defaults */
	const struct intent *whole_intent;	/* all of the file, for a probe that looks at its images; or NULL */
	bool no_wait;				/* verbs do not wait for READY (tests) */
	/* Reads a secret's value when a verb needs it. */
	int (*secret)(void *arg, const char *name, struct secret *ret, struct error *err);
	void *secret_arg;
	/* Something long is going on: "unpacking layer 2 of 5", done 0..total or total 0. May be NULL. */
	void (*progress)(void *arg, const char *key, const char *text, int64_t done, int64_t total);
	void *progress_arg;
};

enum list_scope {
	LIST_OURS,		/* what bears our mark of this deployment: enough for a plan */
	LIST_ALL,		/* everything the site has, for audits */
};

enum coverage_state { COVERAGE_COMPLETE, COVERAGE_ABSENT, COVERAGE_FORBIDDEN, COVERAGE_FAILED };
/* `kind` is a name of the kind table (not copied); a kind without any entry is not complete. */
struct coverage_entry { const char *kind; char *scope; enum coverage_state state; char *reason; };
struct coverage { VEC(struct coverage_entry) entries; };
void coverage_add(struct coverage *coverage, const char *kind, const char *scope, enum coverage_state state, const char *reason);
void coverage_clear(struct coverage *coverage);
/* Is the list of this kind complete or known to be absent? Only then may something be deleted or taken for missing. */
bool coverage_complete(const struct coverage *coverage, const char *kind);
const char *coverage_reason(const struct coverage *coverage, const char *kind);	/* why it is not; never NULL */

/* Takes ownership of the resource. Non-zero stops the listing. */
typedef int (*resource_sink)(void *arg, struct resource *resource);

enum readiness { READY_YES, READY_WAITING, READY_FAILED };

struct site;
struct exec_request {
	const char *key;			/* instance "vision/train/0" */
	const char *const *argv;
	const char *const *env;			/* additions or NULL */
	const char *working_dir;		/* or NULL */
	bool tty, interactive;
	int stdin_fd, stdout_fd, stderr_fd;
};
struct usage_record {
	const char *tenant, *workload, *key, *method;
	int64_t started_ms, ended_ms;		/* wall clock; ended 0: running */
	int64_t cpu_ns, memory_peak, memory_now, samples;
	int exit_status;			/* -1 while running */
	int64_t restarts;
	const char *state;			/* "running", "exited", "backoff", "failed", "created", "stopped" */
	const char *detail;			/* "out of memory", or NULL */
};

struct site_ops {
	const char *name;
	const struct kind *kinds;	/* ends with name NULL */
	int (*probe)(const struct site_config *config, struct site_facts *ret, struct error *err);
	int (*survey)(const struct site_facts *facts, struct survey *ret, struct error *err);	/* pure */
	int (*open)(const struct site_config *config, struct site **ret, struct error *err);
	void (*close)(struct site *site);
	/* Pure. Also puts a note into `notes` (json array of strings) for what cannot be enforced or expressed; one that starts with "not enforced" needs --accept. */
	int (*lower)(const struct site_facts *facts, const struct site_config *config, const struct intent *intent, const struct world *world,
		     const json_t *decisions, struct resources *ret, json_t *notes, struct error *err);
	/* Pure; one resource at a time; `facts` as stored. */
	int (*lift)(const struct site_facts *facts, const struct resource *resource, struct world *into, struct error *err);
	int (*list)(struct site *site, enum list_scope scope, resource_sink sink, void *arg, struct coverage *ret, struct error *err);
	int (*get)(struct site *site, struct resource *resource, struct error *err);		/* ERROR_NOT_FOUND when absent; fills id, revision, body */
	int (*create)(struct site *site, struct resource *resource, struct error *err);	/* sets id, revision */
	int (*update)(struct site *site, const struct resource *from, struct resource *to, struct error *err);
	int (*remove)(struct site *site, const struct resource *resource, bool delete_data, struct error *err);
	int (*ready)(struct site *site, const struct resource *resource, enum readiness *ret, struct error *err);
	/* May be NULL. */
	int (*exec)(struct site *site, const struct exec_request *request, int *ret_status, struct error *err);
	/* Copies the log to fd; follow until the instance has ended or *stop; tail lines or -1 */
	int (*logs)(struct site *site, const char *key, int fd, bool follow, int64_t tail, const volatile bool *stop, struct error *err);
	/* One record an instance; with `history` also those that have ended. The strings live until the sink returns. */
	int (*usage)(struct site *site, bool history, int (*sink)(void *arg, const struct usage_record *record), void *arg, struct error *err);
	/* What is left of this deployment anywhere: links, namespaces, mounts, loops, cgroups, processes; one line each in `ret` (json array of strings). */
	int (*sweep)(struct site *site, const char *tenant /* or NULL: all */, json_t *ret, struct error *err);
	/* A network namespace descriptor of an endpoint (caller closes); name "" is the site's own router, "host" the host. For proofs. */
	int (*enter)(struct site *site, const char *endpoint, int *ret_netns, struct error *err);
};

#endif
