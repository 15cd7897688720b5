/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_BUNDLE_H
#define INSULA_SITE_LOCAL_BUNDLE_H

/*
 * An OCI bundle's config.json (runtime-spec 1.0), from what an instance is. bundle_config is pure.
 *
 * What every container gets: own user, pid, mount, ipc, uts and cgroup namespaces and the network namespace it is given; no
 * capability, no new privileges; proc with its dangerous parts masked or read-only; an empty read-only /sys (a sysfs needs
 * the network namespace's owner, and runtimes fall back to the machine's own); a minimal /dev; /dev/shm of a given size.
 */

#include "data/json.h"

struct bundle_mount { const char *source, *target; bool read_only; };

struct bundle_user {
	int64_t uid, gid;
	char *home;			/* owned; "/" when unknown */
};
void bundle_user_clear(struct bundle_user *user);

struct bundle {
	const char *runtime;		/* "crun" or "runc" */
	const char *root;		/* path of the root file system */
	const char *netns;		/* path of the network namespace; NULL: a new, empty one */
	const char *init;		/* path of insula-init */
	const char *hostname;
	const char *const *args;	/* the command, NULL-ended */
	const char *const *env;		/* "A=b", NULL-ended, without secrets; a later one of the same name wins */
	const char *working_dir;
	struct bundle_user user;
	int64_t base, count;		/* ids */
	int64_t shm;			/* bytes of /dev/shm */
	int64_t oom_score_adj;		/* 0..1000 */
	int64_t open_files;		/* hard limit of descriptors; 0: as it is */
	const struct bundle_mount *mounts;
	size_t mount_n;
	const char *filter;		/* crun: the compiled filter as base64 */
	const char *cgroup;		/* runc: path of the cgroup */
};

json_t *bundle_config(const struct bundle *bundle);
/* The process of an exec: the same user and limits without init. args, env (whole) and cwd as given. */
json_t *bundle_process(const struct bundle_user *user, const char *const *args, const char *const *env, const char *working_dir,
		       bool tty, int64_t open_files, int64_t oom_score_adj);

/* The command: `command` (JSON array) when it has members, else the image's Entrypoint and Cmd. NULL-ended, caller frees with
   strings_free. ERROR_INPUT when there is none. */
int bundle_command(const json_t *command, const json_t *image_config, char ***ret, struct error *err) WARN_UNUSED;
/* The image's "User" ("", "1000", "1000:100", "name", "name:group"); names are looked up in etc/passwd and etc/group of the topmost
   layer that has one, never following a link out of it. */
int bundle_user_find(const char *user, const char *const *layers, size_t layer_n, struct bundle_user *ret, struct error *err) WARN_UNUSED;
void strings_free(char **strings);

#endif
