/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_INSTANCE_H
#define INSULA_SITE_LOCAL_INSTANCE_H

/*
 * What the verbs of kind instance share with exec, logs and usage: where an instance's things are, and what is made for it
 * before its monitor starts.
 */

#include "site/local/image/image.h"
#include "site/local/local.h"
#include "monitor.h"

struct instance_files {			/* all owned */
	char *dir;			/* <run>/i/<key>: shared with the link, whose namespace file is in it */
	char *data;			/* <storage>/instances/<workload>.<replica>: upper, work */
	char *log;			/* <deployment>/logs/<tenant>/<workload>/<replica>.log */
	char *usage;			/* <deployment>/usage/<tenant>/<workload>/<replica> */
	char *cgroup;
	struct instance_key key;
};
int instance_files_of(const struct site *site, const char *key, struct instance_files *ret, struct error *err) WARN_UNUSED;
void instance_files_clear(struct instance_files *files);
#define autoinstance_files CLEANUP(instance_files_clear)

/* Makes all that a monitor needs, monitor.conf last: when that is there, all is. The control group exists already. */
int instance_prepare(struct site *site, const struct resource *resource, const struct instance_files *files, struct error *err) WARN_UNUSED;
/* The digest of the body that monitor.conf was made from; NULL when there is none. Caller frees. */
char *instance_prepared(const struct instance_files *files);
/* Has an instance of this body digest run to its end before what the run folder knew was lost (a reboot)? Then the monitor's status file
   says so again, and a monitor that is started finds nothing to do. */
int instance_recall(const struct instance_files *files, const char *digest, struct error *err) WARN_UNUSED;
/* It was removed on purpose: one of the same digest that comes later is to run. Its records stay. */
int instance_forget(const struct instance_files *files, struct error *err) WARN_UNUSED;
/* Of a body: what it is made from, without what the site computes. */
void instance_body_digest(const json_t *body, char hex[static DIGEST_HEX]);

/* The topmost plain layer: files that every container needs (hosts, resolv.conf, hostname) and, for the image "host", a root to hang the machine's folders into. */
struct skeleton {
	const char *path;		/* made here */
	int64_t owner;
	const char *tenant, *hostname;
	const char *address, *gateway;	/* without length; NULL: no network */
	const struct image_host_root *roots;	/* of the image "host"; NULL for others */
	size_t root_n;
};
int skeleton_make(const struct skeleton *skeleton, struct error *err) WARN_UNUSED;
/* Folders of the machine's /etc that the image "host" shows read-only, as far as they are here; NULL-ended. */
extern const char *const skeleton_etc_shown[];

int local_exec(struct site *site, const struct exec_request *request, int *ret_status, struct error *err) WARN_UNUSED;
int local_logs(struct site *site, const char *key, int fd, bool follow, int64_t tail, const volatile bool *stop, struct error *err) WARN_UNUSED;
int local_usage(struct site *site, bool history, int (*sink)(void *arg, const struct usage_record *record), void *arg, struct error *err) WARN_UNUSED;

#endif
