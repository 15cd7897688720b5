/* SPDX-License-Identifier: Apache-2.0 */
#include "syscall_filter.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: `allowed` and `refused` are the whole policy, but for three calls that depend on an argument: clone may
 * not make namespaces (clone3 hides its flags in memory, which a filter cannot read: ENOSYS), socket is for the address
 * families in use, personality for those that change nothing dangerous. 32-bit programs on x86 have no sockets at all: their
 * old socketcall hides the family from a filter, and libseccomp does not part it from socket. Names that this libseccomp or this
 * architecture does not know are passed over: the kernel's answer to them is ENOSYS by default.
 *
 * The policy is for containers with a user namespace and without capabilities: calls that need one in the first user namespace
 * (settimeofday, mount of a disk) would fail anyway; leaving them out keeps their code away from
 * tenants. Left out on purpose although programs use them: io_uring, userfaultfd, perf events and bpf, whose
 * past is rich in holes, and the kernel's keyrings, which are not separated by tenant.
 */

#define FILTER_LIMIT ((size_t)1 << 20)
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define NAMESPACE_FLAGS (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)

static const char *const allowed[] = {
	/* files by descriptor */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "close", "close_range",
	"lseek", "_llseek", "dup", "dup2", "dup3", "fcntl", "fcntl64", "ioctl", "flock", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range",
	"sync_file_range2", "arm_sync_file_range", "ftruncate", "ftruncate64", "fallocate", "fadvise64", "fadvise64_64", "arm_fadvise64_64", "readahead",
	"sendfile", "sendfile64", "splice", "tee", "vmsplice", "copy_file_range", "pipe", "pipe2", "memfd_create", "cachestat",
	/* files by name */
	"open", "openat", "openat2", "creat", "access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64",
	"newfstatat", "fstatat64", "statx", "oldstat", "oldlstat", "oldfstat", "statfs", "statfs64", "fstatfs", "fstatfs64", "ustat",
	"truncate", "truncate64", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "symlink", "symlinkat", "readlink", "readlinkat",
	"mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32", "lchown", "lchown32",
	"fchownat", "umask", "utime", "utimes", "utimensat", "utimensat_time64", "futimesat", "getdents", "getdents64", "readdir",
	"getcwd", "chdir", "fchdir", "name_to_handle_at",
	"getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr", "llistxattr", "flistxattr",
	"removexattr", "lremovexattr", "fremovexattr",
	"inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
	/* memory */
	"brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "msync", "madvise", "mincore", "mlock", "mlock2", "mlockall", "munlock", "munlockall",
	"membarrier", "remap_file_pages", "pkey_alloc", "pkey_free", "pkey_mprotect", "mseal", "process_madvise", "process_mrelease",
	"get_mempolicy", "set_mempolicy", "mbind", "set_mempolicy_home_node", "map_shadow_stack",
	/* processes and threads (clone: below) */
	"fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid", "kill", "tkill", "tgkill",
	"getpid", "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "set_tid_address", "set_robust_list", "get_robust_list", "rseq",
	"set_thread_area", "get_thread_area", "arch_prctl", "prctl", "seccomp", "modify_ldt", "pidfd_open", "pidfd_send_signal", "pidfd_getfd",
	"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "restart_syscall", "cacheflush", "breakpoint", "set_tls", "get_tls",
	"futex", "futex_time64", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue",
	/* who one is: changes fail where the user namespace says so */
	"getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid", "getegid32", "getresuid", "getresuid32", "getresgid", "getresgid32",
	"setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid", "setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32",
	"setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "getgroups", "getgroups32", "setgroups", "setgroups32", "capget", "capset",
	/* signals */
	"rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
	"rt_sigqueueinfo", "rt_tgsigqueueinfo", "sigaction", "sigprocmask", "sigpending", "sigreturn", "sigsuspend", "signal", "sgetmask", "ssetmask",
	"sigaltstack", "signalfd", "signalfd4", "pause", "alarm",
	/* waiting */
	"poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old",
	"epoll_wait", "epoll_wait_old", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2",
	"io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents", "io_pgetevents_time64",
	/* time: read only */
	"time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep", "clock_nanosleep_time64",
	"nanosleep", "times", "getitimer", "setitimer", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
	"timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
	/* the network (socket: below) */
	"socketpair", "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown",
	"send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64",
	/* System V and POSIX messages, within the container's own namespace */
	"ipc", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semctl", "semtimedop", "semtimedop_time64", "msgget", "msgsnd", "msgrcv", "msgctl",
	"mq_open", "mq_unlink", "mq_timedsend", "mq_timedsend_time64", "mq_timedreceive", "mq_timedreceive_time64", "mq_notify", "mq_getsetattr",
	/* limits and the scheduler, for one's own */
	"getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "getpriority", "setpriority", "nice", "ioprio_get", "ioprio_set",
	"sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getattr", "sched_setattr", "sched_getparam", "sched_setparam", "sched_getscheduler",
	"sched_setscheduler", "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "sched_rr_get_interval_time64",
	/* the rest */
	"uname", "olduname", "oldolduname", "sysinfo", "getcpu", "getrandom", "process_vm_readv", "process_vm_writev", "kcmp", "riscv_flush_icache",
};

static const char *const refused[] = {	/* EPERM: what a program should be told clearly */
	"mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr",
	"unshare", "setns", "bpf", "perf_event_open", "userfaultfd", "ptrace", "add_key", "request_key", "keyctl", "open_by_handle_at",
	"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct",
	"quotactl", "quotactl_fd", "syslog", "iopl", "ioperm", "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "stime",
	"sethostname", "setdomainname", "vhangup", "lookup_dcookie", "fanotify_init", "fanotify_mark", "move_pages", "migrate_pages",
};

static const int families[] = { 1 /* AF_UNIX */, 2 /* AF_INET */, 10 /* AF_INET6 */, 16 /* AF_NETLINK: addresses and routes are read by it */ };
#define FAMILY_MAX 16
static const uint32_t personalities[] = { 0 /* Linux */, 0x8 /* Linux, 32 bits */, 0x40000 /* without randomised addresses */, 0x20000, 0x20008, 0xffffffff /* asks */ };

void syscall_policy_each(void (*each)(void *arg, const char *name, bool allow), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		each(arg, allowed[i], true);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		each(arg, refused[i], false);
}

static bool family_is_allowed(int family)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (families[i] == family)
			return true;
	return false;
}

/* 0 or a negative errno; an unknown name is no failure. */
static int rule_add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned n, const struct scmp_arg_cmp *cmp)
{
	int number = seccomp_syscall_resolve_name(name);

	return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(filter, action, number, n, cmp);
}

static int clone_rules_add(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp no_namespace = SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0);
	int status = rule_add(filter, SCMP_ACT_ALLOW, "clone", 1, &no_namespace);

	for (unsigned bit = 0; bit < 32 && !status; bit++) {
		struct scmp_arg_cmp namespace = SCMP_A0(SCMP_CMP_MASKED_EQ, 1u << bit, 1u << bit);

		if ((unsigned)NAMESPACE_FLAGS & 1u << bit)
			status = rule_add(filter, SCMP_ACT_ERRNO(EPERM), "clone", 1, &namespace);
	}
	for (size_t i = 0; i < ARRAY_LEN(personalities) && !status; i++) {
		struct scmp_arg_cmp is = SCMP_A0(SCMP_CMP_EQ, personalities[i]);

		status = rule_add(filter, SCMP_ACT_ALLOW, "personality", 1, &is);
	}
	return status;
}

static int socket_rules_add(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp beyond = SCMP_A0(SCMP_CMP_GT, FAMILY_MAX);
	int status = rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1, &beyond);

	for (int family = 0; family <= FAMILY_MAX && !status; family++) {
		struct scmp_arg_cmp is = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family);

		status = rule_add(filter, family_is_allowed(family) ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1, &is);
	}
	return status;
}

/* The rules for the architectures that the filter has. */
static int filter_fill(scmp_filter_ctx filter, bool sockets)
{
	int status = 0;

	for (size_t i = 0; i < ARRAY_LEN(allowed) && !status; i++)
		status = rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_LEN(refused) && !status; i++)
		status = rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0, NULL);
	if (!status)
		status = clone_rules_add(filter);
	return status || !sockets ? status : socket_rules_add(filter);
}

/* A filter for other architectures than this, to be merged into the first; taken over by it, or released here. */
static int architecture_merge(scmp_filter_ctx filter, uint32_t architecture, bool sockets)
{
	scmp_filter_ctx other = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int status = other ? seccomp_arch_add(other, architecture) : -ENOMEM;

	if (!status)
		status = seccomp_arch_remove(other, SCMP_ARCH_NATIVE);
	if (!status)
		status = filter_fill(other, sockets);
	if (!status)
		status = seccomp_merge(filter, other);
	if (status && other)
		seccomp_release(other);
	return status;
}

static int filter_make(scmp_filter_ctx filter)
{
	int status = filter_fill(filter, true);

#if defined(__x86_64__)
	if (!status)
		status = architecture_merge(filter, SCMP_ARCH_X32, true);
	if (!status)
		status = architecture_merge(filter, SCMP_ARCH_X86, false);
#endif
	/* a tree instead of a chain: any call costs some 10 comparisons, not hundreds */
	return status ? status : seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

int syscall_filter_compile(int fd, struct error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int status;

	if (!filter)
		return error_set(err, ERROR_FAILED, "cannot make a system call filter");
	status = filter_make(filter);
	if (!status)
		status = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	return status ? error_set_errno(err, -status, "cannot compile the system call filter") : 0;
}

/* What the filter depends on, as a file name. */
static char *cache_name(void)
{
	const struct scmp_version *version = seccomp_version();
	autojson json_t *profile = syscall_filter_profile();
	char hex[DIGEST_HEX];

	json_digest(profile, hex);
	return xasprintf("%.16s-%u.%u.%u.bpf", hex, version->major, version->minor, version->micro);
}

static int compile_and_keep(const char *path, void **ret, size_t *ret_n, struct error *err)
{
	autofd int fd = memfd_create("insula-seccomp", MFD_CLOEXEC);
	autofree char *data = NULL, *dir = fs_dirname(path);
	struct stat st;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot make a memory file");
	if (syscall_filter_compile(fd, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot look at a memory file");
	data = xmalloc((size_t)st.st_size + 1);
	if (pread(fd, data, (size_t)st.st_size, 0) != st.st_size)
		return error_set(err, ERROR_FAILED, "cannot read the system call filter back");
	if (fs_make_dirs(dir, 0700, err) < 0 || fs_replace_file(path, data, (size_t)st.st_size, 0600, false, err) < 0)
		return -1;
	*ret_n = (size_t)st.st_size;
	*ret = steal(&data);
	return 0;
}

int syscall_filter_get(const char *dir, void **ret, size_t *ret_n, struct error *err)
{
	autofree char *name = cache_name(), *path = fs_join(dir, name), *data = NULL;
	struct error unread;
	size_t n;

	if (fs_read_file(path, FILTER_LIMIT, &data, &n, &unread) == 0 && n && n % sizeof(struct sock_filter) == 0) {
		*ret = steal(&data);
		*ret_n = n;
		return 0;
	}
	return compile_and_keep(path, ret, ret_n, err);
}

int syscall_filter_base64(const char *dir, char **ret, struct error *err)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	autofree void *data = NULL;
	const unsigned char *p;
	char *text, *to;
	size_t n;

	if (syscall_filter_get(dir, &data, &n, err) < 0)
		return -1;
	p = data;
	to = text = xmalloc((n + 2) / 3 * 4 + 1);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
		*to++ = i + 2 < n ? digits[bits & 63] : '=';
	}
	*to = '\0';
	*ret = text;
	return 0;
}

static json_t *names_json(const char *const *names, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_add(array, json_text(names[i]));
	return array;
}

static json_t *rule_json(json_t *names, const char *action, int errnum)
{
	json_t *rule = json_object();

	json_set(rule, "names", names);
	json_set_string(rule, "action", action);
	if (errnum)
		json_set_int(rule, "errnoRet", errnum);
	return rule;
}

static json_t *argument_rule_json(const char *name, const char *action, int errnum, const char *op, int64_t value, int64_t value_two)
{
	json_t *rule = rule_json(names_json(&name, 1), action, errnum), *argument = json_object(), *arguments = json_array();

	json_set_int(argument, "index", 0);
	json_set_int(argument, "value", value);
	json_set_int(argument, "valueTwo", value_two);
	json_set_string(argument, "op", op);
	json_add(arguments, argument);
	json_set(rule, "args", arguments);
	return rule;
}

json_t *syscall_filter_profile(void)
{
	json_t *profile = json_object(), *rules = json_array(), *architectures = json_array();

	json_set_string(profile, "defaultAction", "SCMP_ACT_ERRNO");
	json_set_int(profile, "defaultErrnoRet", ENOSYS);
#if defined(__x86_64__)
	json_add(architectures, json_text("SCMP_ARCH_X86_64"));
	json_add(architectures, json_text("SCMP_ARCH_X32"));
#elif defined(__aarch64__)
	json_add(architectures, json_text("SCMP_ARCH_AARCH64"));
#endif
	json_set(profile, "architectures", architectures);
	json_add(rules, rule_json(names_json(allowed, ARRAY_LEN(allowed)), "SCMP_ACT_ALLOW", 0));
	json_add(rules, rule_json(names_json(refused, ARRAY_LEN(refused)), "SCMP_ACT_ERRNO", EPERM));
	json_add(rules, argument_rule_json("clone", "SCMP_ACT_ALLOW", 0, "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, 0));
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		json_add(rules, argument_rule_json("socket", "SCMP_ACT_ALLOW", 0, "SCMP_CMP_EQ", families[i], 0));
	json_add(rules, argument_rule_json("socket", "SCMP_ACT_ERRNO", EAFNOSUPPORT, "SCMP_CMP_GT", FAMILY_MAX, 0));
	for (size_t i = 0; i < ARRAY_LEN(personalities); i++)
		json_add(rules, argument_rule_json("personality", "SCMP_ACT_ALLOW", 0, "SCMP_CMP_EQ", personalities[i], 0));
	json_set(profile, "syscalls", rules);
	return profile;
}
