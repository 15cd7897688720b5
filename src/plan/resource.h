/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_RESOURCE_H
#define INSULA_PLAN_RESOURCE_H

/*
 * A resource: one native thing of one site. The key is ours, stable and unique in a deployment
 * ("vision/network"); the id is the site's, known after create or list. The body is JSON, its
 * fields described by the kind's table.
 *
 * A body may hold
 *   {"$ref": "<key>", "field": "<name>"}   known when that resource exists: "id", or a field of what create or get answered
 *   {"$secret": "<name>", "digest": "<hmac>"}  a secret: only its keyed digest is ever kept or compared
 * (ref.h reads and resolves both.)
 *
 * Keys: the part before the first '/' names the tenant ("vision/train/0"). What belongs to the
 * whole site has no '/' or begins with "host/", "image/" or "site/" ("host/firewall"), which are
 * therefore no names of tenants: see resource_tenant.
 *
 * Decisions: any body may have the computed field "decisions", an object of decision key to value
 * ({"tenant/vision": {"slot": 3}}), put there by lower. A site keeps it with the resource (in its
 * mark, tag or label) and list gives it back; a deployment whose state was lost reads its decisions
 * from there (deployment.h). It needs no row in a kind's table.
 *
 * Ownership: a resource owns its strings (heap) and one reference of its body.
 */

#include "base/map.h"
#include "base/vec.h"
#include "data/json.h"

enum origin { ORIGIN_OURS, ORIGIN_DERIVED, ORIGIN_FOREIGN };	/* derived: made by something of ours */
enum cause { CAUSE_FILE, CAUSE_DECISION, CAUSE_RUN, CAUSE_SCALE };	/* which of the four wants it; a plan for one never changes another's */

/* Order of creation; destruction runs backwards. Within a class `after` decides. */
enum stage { STAGE_FENCE, STAGE_GROUND, STAGE_WORK, STAGE_DOOR };

enum field_class {
	FIELD_OWNED,		/* ours: a difference is an update */
	FIELD_DEFAULTED,	/* ours when the body has it; else the site's choice, left alone */
	FIELD_COMPUTED,		/* the site's: never compared */
	FIELD_IMMUTABLE,	/* a difference is a replace */
	FIELD_SECRET,		/* compared by digest only */
};
enum field_shape { SHAPE_SCALAR, SHAPE_LIST, SHAPE_SET, SHAPE_MAP };	/* LIST: order counts; SET: it does not; MAP: a list of objects told apart by map_key */

struct kind_field {
	const char *name;		/* of the body's top level */
	enum field_class class;
	enum field_shape shape;
	const char *map_key;		/* SHAPE_MAP: "name" */
	const char *absent;		/* JSON text of the value that absence means, or NULL */
	bool authoritative;		/* SET or MAP: foreign members are drift and are removed; else only ours are compared */
	const char *doc;
};

struct kind {
	const char *name;		/* "firewall" */
	const char *title;		/* for plans: "firewall" */
	enum stage stage;
	bool create_first;		/* replace: create the new before the old goes */
	bool keep;			/* outlives destroy unless --delete-data (a body's "keep": true does the same for one, false undoes it);
					   what holds a kept one must be keep too */
	bool shared;			/* of no deployment (an image in the store): made when missing, never removed by destroy */
	const struct kind_field *fields;	/* ends with name NULL; a body field that is not in it is a bug */
};

struct resource {
	char *site, *kind, *key;
	char *id;			/* or NULL: not known yet */
	char *revision;			/* or NULL: what the site says changes with each change */
	char *deployment;		/* from its mark when listed; NULL for foreign */
	enum origin origin;
	enum cause cause;
	json_t *body;
	char **after;			/* keys that must exist first; NULL-ended or NULL */
	size_t after_n;
};

struct resources {
	struct resource **items;	/* owned */
	size_t n, capacity;
	struct map by_key;		/* key to struct resource *; first wins */
};

struct resource *resource_new(const char *site, const char *kind, const char *key, json_t *body /* stolen */);
void resource_free(struct resource *resource);
void resource_free_pp(struct resource **resource);
#define autoresource CLEANUP(resource_free_pp)
struct resource *resource_copy(const struct resource *resource);	/* body is a deep copy */
void resource_set_id(struct resource *resource, const char *id);
void resource_set_revision(struct resource *resource, const char *revision);
void resource_add_after(struct resource *resource, const char *key);	/* once each */

void resources_clear(struct resources *resources);
#define autoresources CLEANUP(resources_clear)
/* Takes ownership. A second one of the same key is kept in items but not in by_key: the caller counts (two or more: stop and say which). */
void resources_add(struct resources *resources, struct resource *resource);
struct resource *resources_get(const struct resources *resources, const char *key);
void resources_remove(struct resources *resources, const char *key);	/* all of that key; frees them */
void resources_sort(struct resources *resources);			/* by key */

/* The tenant of a key: its first part; NULL with *ret_n 0 when the key is the whole site's. */
const char *resource_tenant(const char *key, size_t *ret_n);
bool resource_in_tenant(const char *key, const char *tenant);
bool resource_keep(const struct kind *kind, const struct resource *resource);	/* stays when its deployment is destroyed? */

const struct kind *kind_find(const struct kind *kinds, const char *name);	/* table ends with name NULL */
const struct kind_field *kind_field_find(const struct kind *kind, const char *name);
/* ERROR_FAILED when the body has a field that the kind's table lacks. */
int kind_check(const struct kind *kind, const struct resource *resource, struct error *err) WARN_UNUSED;

const char *origin_name(enum origin origin);	/* "ours" */
const char *cause_name(enum cause cause);	/* "file" */
const char *stage_name(enum stage stage);	/* "fence" */

/* {"kind", "key", "body"} and, where they say something: site, id, revision, deployment, origin, cause, after. */
json_t *resource_to_json(const struct resource *resource);
int resource_from_json(const json_t *json, struct resource **ret, struct error *err) WARN_UNUSED;

#endif
