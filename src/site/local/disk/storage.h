/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_STORAGE_H
#define INSULA_SITE_LOCAL_STORAGE_H

/*
 * File systems in image files: a tenant's storage and the volumes with a size of their own.
 *
 * Space that was promised is reserved when the image is made (where the file system below can), so that a tenant's
 * write never fails because somebody else filled the disk; what is only a ceiling is sparse. An image has its name only once it is complete.
 */

#include "site/local/local.h"

struct image_file {
	const char *path, *point;	/* absolute */
	const char *identity;		/* "<deployment>/<key>": its UUID comes from this */
	int64_t size;			/* bytes */
	bool reserve;
	uint32_t owner;			/* uid and gid of its root folder and, shifted when it was another, of all in it */
};

/* Makes, checks, grows (while it is not mounted) and mounts it, as far as each is missing; never shrinks. Idempotent. */
int image_file_ensure(const struct image_file *file, struct error *err) WARN_UNUSED;
/* Grows a mounted one to file->size; *ret_done is false where the kernel does not let us. */
int image_file_grow_online(const struct image_file *file, bool *ret_done, struct error *err) WARN_UNUSED;
/* The same with the file system unmounted for a moment; when it is in use: a retryable error, and it is as it was. */
int image_file_grow_offline(const struct image_file *file, struct error *err) WARN_UNUSED;
/* Unmounts, and waits until no loop device has it; ERROR_CONFLICT when somebody still uses it. */
int image_file_unmount(const char *path, const char *point, struct error *err) WARN_UNUSED;
int64_t image_file_size(const char *path);	/* of the file system in it; -1: there is none */
int image_file_delete(const char *path, struct error *err) WARN_UNUSED;	/* not mounted now; absent is success */

/* Adds `to - from` to every uid and gid within [from, from + 65536) in the tree, which must not be in use. Where it was stopped half way, it goes on. */
int tree_shift_owner(const char *path, uint32_t from, uint32_t to, struct error *err) WARN_UNUSED;

char *local_storage_image(const struct site *site, const char *tenant);		/* <state>/<deployment>/storage/<tenant>.img */
char *local_storage_point(const struct site *site, const char *tenant);		/* <run>/storage/<tenant> */
char *local_volume_dir(const struct site *site, const char *tenant, const char *name);	/* <point>/volumes/<name>: what an instance binds */

/* Unmounts the storage and removes its mount point, and its image unless that is to be kept. */
int local_storage_forget(struct site *site, const char *tenant, bool keep_image, struct error *err) WARN_UNUSED;

/* Does the tenant have volumes that outlive a destroy? */
int local_volumes_kept(struct site *site, const char *tenant, bool *ret, struct error *err) WARN_UNUSED;
/* Mounts the images of the tenant's volumes again (after its storage was mounted); unmounts them. */
int local_volumes_mount(struct site *site, const char *tenant, struct error *err) WARN_UNUSED;
int local_volumes_unmount(struct site *site, const char *tenant, struct error *err) WARN_UNUSED;

#endif
