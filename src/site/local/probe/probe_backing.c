/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * What the state folder lies on: images, tenants' storage, the state.
 *
 * How it works: what it is called is told by statfs(2); what it can do is tried with a file that has no name, so that a look leaves
 * nothing behind. A file system that says yes to fallocate(2) and takes no space (ZFS) is found out by the blocks of the file.
 */

#define TRY_SIZE ((int64_t)1 << 20)
#define SECTOR 512			/* unit of st_blocks */

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define CEPH_MAGIC 0x00c36400		/* fs/ceph/super.h */
#define CIFS_MAGIC 0xff534d42		/* linux/magic.h of newer kernels */
#define SMB2_MAGIC 0xfe534d42
#define FUSE_MAGIC 0x65735546
#define ZFS_MAGIC 0x2fc12fc1		/* OpenZFS, include/sys/fs/zfs.h */
#define LUSTRE_MAGIC 0x0bd00bd0

static const struct backing { unsigned long magic; const char *name; bool shared, memory; } backings[] = {
	{ EXT4_SUPER_MAGIC, "ext4", false, false }, { XFS_SUPER_MAGIC, "xfs", false, false }, { BTRFS_SUPER_MAGIC, "btrfs", false, false },
	{ ZFS_MAGIC, "zfs", false, false }, { F2FS_SUPER_MAGIC, "f2fs", false, false }, { OVERLAYFS_SUPER_MAGIC, "overlayfs", false, false },
	{ TMPFS_MAGIC, "tmpfs", false, true }, { RAMFS_MAGIC, "ramfs", false, true },
	{ NFS_SUPER_MAGIC, "NFS", true, false }, { CIFS_MAGIC, "CIFS", true, false }, { SMB2_MAGIC, "CIFS", true, false },
	{ CEPH_MAGIC, "CephFS", true, false }, { V9FS_MAGIC, "9p", true, false }, { FUSE_MAGIC, "FUSE", true, false }, { LUSTRE_MAGIC, "Lustre", true, false },
};

static const struct backing *backing_find(unsigned long magic)
{
	for (size_t i = 0; i < ARRAY_LEN(backings); i++)
		if (backings[i].magic == (magic & 0xffffffff))
			return &backings[i];
	return NULL;
}

/* False also where no file can be made to try it with; a full disk could, had it room. */
static bool reserves(const char *folder)
{
	autofd int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fallocate(fd, 0, 0, TRY_SIZE) < 0)
		return errno == ENOSPC || errno == EDQUOT;
	return fstat(fd, &st) == 0 && (int64_t)st.st_blocks * SECTOR >= TRY_SIZE;
}

void probe_backing(const struct site_config *config, json_t *facts)
{
	autofree char *folder = probe_path_existing(config->state_dir);
	const struct backing *backing;
	struct statvfs flags;
	struct statfs st;
	json_t *fact;

	if (statfs(folder, &st) < 0 || statvfs(folder, &flags) < 0)
		return;
	backing = backing_find((unsigned long)st.f_type);
	fact = json_object();
	json_set(fact, "type", backing ? json_string(backing->name) : json_sprintf("0x%lx", (unsigned long)st.f_type & 0xffffffff));
	json_set_bool(fact, "shared", backing && backing->shared);
	json_set_bool(fact, "memory", backing && backing->memory);
	json_set_bool(fact, "readOnly", flags.f_flag & ST_RDONLY);
	if (access(folder, W_OK) == 0)
		json_set_bool(fact, "reserve", reserves(folder));
	json_set(facts, "backing", fact);
}
