/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_GUEST_PROGRAM_H
#define INSULA_GUEST_PROGRAM_H

/* For insula and the monitor alike. */

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 0x00000001
#endif

/* The OCI runtime's program on a read-only mount that only the descriptor holds: then no container can write to it through /proc/PID/exe,
   and the runtime, which sees that, neither copies itself nor makes a mount under /tmp for it, which would stay when it is killed.
   -1 where the kernel cannot: the runtime does it then. */
static inline int program_open(const char *path)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		close(tree);
		return -1;
	}
	return tree;
}

#endif
