/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_FAKE_SITE_H
#define INSULA_TESTS_FAKE_SITE_H

/*
 * A site in memory, with faults on demand. Its world outlives open and close, as a cloud would. It
 * watches the engine: verbs on one key at once, a create before what it needs, a remove of what is
 * still used, are noted as violations.
 */

#include "plan/site.h"

#include <pthread.h>

struct fake_thing {
	struct resource *resource;	/* as listed: refs resolved, computed fields filled */
	struct resource *mark;		/* as it was asked for: refs as they are */
	bool complete;			/* false: a create was cut short */
	int polls;			/* calls of ready so far */
};

enum fake_fault { FAKE_NONE, FAKE_FAIL, FAKE_RETRY, FAKE_HALF /* leaves a create half done, then fails */ };

struct fake_world {
	pthread_mutex_t lock;
	VEC(struct fake_thing) things;
	VEC(char *) busy;		/* keys under a verb now */
	VEC(char *) log;		/* "create vision/net" */
	VEC(char *) violations;
	int64_t next_id;
	size_t verbs;			/* create, update, remove, ready so far */
	/* faults */
	size_t fault_at;		/* this verb fails (from 1); 0: none */
	size_t fault_n;			/* and as many after it; 0: one */
	enum fake_fault fault;
	const char *fault_key;		/* each verb on this key fails with `fault`, or NULL */
	int ready_polls;		/* ready says WAITING this often */
	int64_t slow_ns;		/* each verb takes so long */
	const char *gap_kind;		/* its list fails */
	bool no_back_edges;		/* list tells no `after` */
};

struct fake_world *fake_world_new(void);
void fake_world_free(struct fake_world *world);
void fake_world_use(struct fake_world *world);	/* what the next open opens */
#define FAKE_OTHER "other"	/* a deployment that is never the one under test: its things are found by list alone */
/* Things by other hands: a foreign one, one of another deployment, a second one of a key. */
void fake_world_put(struct fake_world *world, enum origin origin, const char *deployment, const char *kind, const char *key, const char *body);
struct fake_thing *fake_world_find(struct fake_world *world, const char *key);
size_t fake_world_count(struct fake_world *world, const char *deployment);
void fake_world_forget_log(struct fake_world *world);

extern const struct kind fake_kinds[];
extern const struct site_ops fake_ops;

#endif
