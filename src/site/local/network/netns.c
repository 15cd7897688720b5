/* SPDX-License-Identifier: Apache-2.0 */
#include "netns.h"

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

struct netns_job {
	int netns;
	int (*work)(void *arg, struct error *err);
	void *arg;
	struct error *err;
	int result;
};

static int job_enter(const struct netns_job *job)
{
	if (job->netns == NETNS_NEW) {
		if (unshare(CLONE_NEWNET) < 0)
			return error_set_errno(job->err, errno, "cannot make a network namespace");
	} else if (job->netns != NETNS_HERE && setns(job->netns, CLONE_NEWNET) < 0) {
		return error_set_errno(job->err, errno, "cannot enter a network namespace");
	}
	return 0;
}

static void *job_thread(void *arg)
{
	struct netns_job *job = arg;

	job->result = job_enter(job);
	if (job->result == 0)
		job->result = job->work(job->arg, job->err);
	return NULL;
}

int netns_run(int netns, int (*work)(void *arg, struct error *err), void *arg, struct error *err)
{
	struct netns_job job = { netns, work, arg, err, -1 };
	sigset_t all, before;
	pthread_t thread;
	int errnum;

	/* signals stay with the threads of the caller */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errnum = pthread_create(&thread, NULL, job_thread, &job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errnum)
		return error_set_errno(err, errnum, "cannot start a thread for a network namespace");
	pthread_join(thread, NULL);
	return job.result;
}

int netns_open(const char *path, struct error *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct statfs where;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open the network namespace %s", path);
	if (fstatfs(fd, &where) < 0)
		return error_set_errno(err, errno, "cannot examine %s", path);
	/* before the mount, and after its end, there is a plain file */
	if (where.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return error_set(err, ERROR_NOT_FOUND, "no network namespace is bound to %s", path);
	return steal_fd(&fd);
}

bool netns_exists(const char *path)
{
	struct error err;
	autofd int fd = netns_open(path, &err);

	return fd >= 0;
}

struct fresh {
	int (*prepare)(void *arg, struct error *err);
	void *arg;
	int fd;
};

static int fresh_work(void *arg, struct error *err)
{
	struct fresh *fresh = arg;

	if (fresh->prepare && fresh->prepare(fresh->arg, err) < 0)
		return -1;
	fresh->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fresh->fd < 0)
		return error_set_errno(err, errno, "cannot open a new network namespace");
	return 0;
}

static int bind_namespace(int netns, const char *path, struct error *err)
{
	char source[40];
	autofd int file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (file < 0)
		return error_set_errno(err, errno, "cannot make %s", path);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", netns);
	if (mount(source, path, NULL, MS_BIND, NULL) < 0)
		return error_set_errno(err, errno, "cannot bind a network namespace to %s", path);
	return 0;
}

int netns_create(const char *path, int (*prepare)(void *arg, struct error *err), void *arg, int *ret_fd, struct error *err)
{
	struct fresh fresh = { prepare, arg, -1 };
	struct error absent;
	autofd int fd = netns_open(path, &absent);

	if (fd >= 0) {
		if (prepare && netns_run(fd, prepare, arg, err) < 0)
			return error_wrap(err, "network namespace %s", path);
		*ret_fd = steal_fd(&fd);
		return 0;
	}
	if (absent.code != ERROR_NOT_FOUND) {
		*err = absent;
		return -1;
	}
	if (netns_run(NETNS_NEW, fresh_work, &fresh, err) < 0)
		return error_wrap(err, "network namespace %s", path);
	fd = fresh.fd;
	if (bind_namespace(fd, path, err) < 0)
		return -1;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int netns_remove(const char *path, struct error *err)
{
	/* more than one mount may lie on it */
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		return error_set_errno(err, errno, "cannot unmount the network namespace %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "cannot remove %s", path);
	return 0;
}

int netns_sysctl(const char *name, const char *value, struct error *err)
{
	autofree char *path = xasprintf("/proc/sys/net/%s", name);
	struct error failed;

	if (fs_write_value(path, value, &failed) == 0 || failed.code == ERROR_NOT_FOUND)
		return 0;
	*err = failed;
	return -1;
}

int netns_disable_ipv6(struct error *err)
{
	/* "default" is what links that come later begin with; "all" sets those that are here */
	if (netns_sysctl("ipv6/conf/default/disable_ipv6", "1", err) < 0 || netns_sysctl("ipv6/conf/all/disable_ipv6", "1", err) < 0)
		return error_wrap(err, "cannot turn IPv6 off");
	return 0;
}
