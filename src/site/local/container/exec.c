/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include "base/fs.h"
#include "base/proc.h"
#include "base/vec.h"
#include "bundle.h"
#include "cgroup.h"
#include "exec_relay.h"
#include "guest/program.h"
#include "guest/protocol.h"
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * exec: one more process in a running container. How it works: the OCI runtime does it, in a child that has joined the instance's
 * cgroup first, and whose mount namespace lacks what crun does not want to see. The process is that of the
 * container's config (its user, its limits, its variables, no capability) with another command; secrets are not among the variables.
 * No monitor is needed.
 *
 * With a terminal the runtime makes one inside and carries between the two; without, exec_relay does. Either way
 * nothing that the caller has open gets inside. What the runtime itself has to complain of goes to a log of its own: so its failure is told from the command's.
 */

#define CONFIG_LIMIT ((size_t)4 << 20)
#define FAILED_BEFORE_RUNTIME 125
#define LOG_LIMIT ((size_t)1 << 16)

struct runtime_call {
	const struct exec_request *request;
	char *path;			/* of the runtime */
	int program;			/* the same, opened, or -1 */
	char *hidden, *empty;		/* mount to hide and the folder to hide it with, or NULL */
	char **groups;			/* cgroup.procs files; crun only */
	int process, log;		/* memory files: the OCI process; what the runtime complains of */
	uid_t owner;			/* of what the command gets for its input and output */
	gid_t group;
	char **argv;
	bool is_crun;
};

/* Variables of the request replace those of the container. */
static json_t *env_merge(const json_t *own, const char *const *more)
{
	json_t *merged = json_array(), *item;
	size_t index;

	json_array_foreach((json_t *)own, index, item) {
		const char *text = json_string_value(item);
		size_t n = text ? strcspn(text, "=") : 0;
		bool replaced = false;

		for (const char *const *one = more; one && *one; one++)
			replaced |= !strncmp(*one, text, n) && (*one)[n] == '=';
		if (!replaced)
			json_array_append(merged, item);
	}
	for (const char *const *one = more; one && *one; one++)
		json_add(merged, json_text(*one));
	return merged;
}

/* config.json's process with the request in it. */
static int process_make(const struct instance_files *files, const struct exec_request *request, json_t **ret, struct error *err)
{
	autofree char *path = xasprintf("%s/" DIR_BUNDLE "/config.json", files->dir);
	autojson json_t *config = NULL, *process = NULL;
	json_t *args = json_array();

	for (const char *const *arg = request->argv; *arg; arg++)
		json_add(args, json_text(*arg));
	if (json_read_file(path, CONFIG_LIMIT, &config, err) < 0) {
		json_decref(args);
		return -1;
	}
	process = json_deep_copy(json_get_object(config, "process"));
	json_set(process, "args", args);
	json_set(process, "env", env_merge(json_get_array(process, "env"), request->env));
	json_set_bool(process, "terminal", request->tty);
	if (request->working_dir)
		json_set_string(process, "cwd", request->working_dir);
	*ret = steal(&process);
	return 0;
}

/* One that the runtime inherits. */
static int memory_file(const char *text, int *ret, struct error *err)
{
	autofd int fd = memfd_create("insula-exec", MFD_CLOEXEC), above = -1;

	if (fd < 0)
		return error_set_errno(err, errno, "cannot make a memory file");
	if (fs_write_all(fd, text, strlen(text), err) < 0)
		return -1;
	above = fcntl(fd, F_DUPFD, 10);
	if (above < 0)
		return error_set_errno(err, errno, "cannot set up a memory file");
	*ret = steal_fd(&above);
	return 0;
}

/* "runtime=crun" and "program=/usr/bin/crun" of monitor.conf: what the container was made with, whatever a probe says now. */
static char *conf_value(const struct instance_files *files, const char *key)
{
	autofree char *path = fs_join(files->dir, FILE_CONF), *text = NULL, *start = xasprintf("\n%s=", key);
	struct error absent;
	const char *line;

	if (fs_read_file(path, CONF_LIMIT, &text, NULL, &absent) < 0 || !(line = strstr(text, start)))
		return NULL;
	line += strlen(start);
	return xstrndup(line, strcspn(line, "\n"));
}

static void word_add(struct runtime_call *call, size_t *n, char *word)
{
	call->argv[(*n)++] = word;
}

static void call_clear(struct runtime_call *call)
{
	free(call->path);
	free(call->hidden);
	free(call->empty);
	strings_free(call->groups);
	strings_free(call->argv);
	cleanup_fd(&call->program);
	cleanup_fd(&call->process);
	cleanup_fd(&call->log);
}

static void ids_take(struct runtime_call *call, const struct instance_files *files, const json_t *process)
{
	autofree char *base = conf_value(files, "base");
	long long first = base ? strtoll(base, NULL, 10) : 0;
	const json_t *user = json_get_object(process, "user");

	call->owner = (uid_t)(first + json_get_int(user, "uid", 0));
	call->group = (gid_t)(first + json_get_int(user, "gid", 0));
}

static int call_make(struct site *site, const struct instance_files *files, struct runtime_call *call, struct error *err)
{
	autofree char *name = conf_value(files, "runtime"), *text = NULL;
	autojson json_t *process = NULL;
	bool is_crun = call->is_crun = name && streq(name, "crun");
	size_t n = 0;

	call->path = conf_value(files, "program");
	if (!name || !call->path)
		return error_set(err, ERROR_NOT_FOUND, "there is no such instance");
	call->program = program_open(call->path);
	if (process_make(files, call->request, &process, err) < 0)
		return -1;
	text = json_canonical(process);
	ids_take(call, files, process);
	if (memory_file(text, &call->process, err) < 0 || memory_file("", &call->log, err) < 0)
		return -1;
	if (is_crun) {
		call->groups = cgroup_procs_files(site->cgroups, files->cgroup);
		call->hidden = runtime_hidden_mount(site->cgroups);
		call->empty = fs_join(files->dir, DIR_MOUNTS "/none");
	}
	call->argv = xcalloc(14, sizeof(*call->argv));
	word_add(call, &n, xstrdup(name));
	if (is_crun)
		word_add(call, &n, xstrdup("--cgroup-manager=disabled"));
	word_add(call, &n, xstrdup("--root"));
	word_add(call, &n, fs_join(files->dir, DIR_STATE));
	word_add(call, &n, xstrdup("--log"));
	word_add(call, &n, xasprintf("/proc/self/fd/%d", call->log));
	word_add(call, &n, xstrdup("exec"));
	if (call->request->tty)
		word_add(call, &n, xstrdup("--tty"));
	word_add(call, &n, xstrdup("--process"));
	word_add(call, &n, xasprintf("/proc/self/fd/%d", call->process));
	word_add(call, &n, xstrdup(CONTAINER_ID));
	return 0;
}

static bool value_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(value);
	bool done = fd >= 0 && write(fd, value, n) == (ssize_t)n;

	if (fd >= 0)
		close(fd);
	return done;
}

/* In the child: system calls only. Without a terminal of its own it leaves our session, so that nothing in the container
   can type into the user's. */
static void child_run(const struct runtime_call *call, pid_t parent, const int streams[static RELAY_STREAMS]) __attribute__((noreturn));
static void child_run(const struct runtime_call *call, pid_t parent, const int streams[static RELAY_STREAMS])
{
	static const char *const env[] = { "PATH=" PROC_PATH, NULL };
	static const int usual[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP };
	sigset_t none;

	for (char **group = call->groups; group && *group; group++)
		if (!value_write(*group, "0"))
			_exit(FAILED_BEFORE_RUNTIME);
	if (call->hidden && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 || mount(call->empty, call->hidden, NULL, MS_BIND, NULL) < 0))
		_exit(FAILED_BEFORE_RUNTIME);
	if (!call->request->tty)
		setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(FAILED_BEFORE_RUNTIME);
	for (int i = 0; i < RELAY_STREAMS; i++)
		if (dup2(streams[i], i) < 0)
			_exit(FAILED_BEFORE_RUNTIME);
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		signal(usual[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (call->program >= 0)
		syscall(SYS_execveat, call->program, "", call->argv, env, AT_EMPTY_PATH);
	execve(call->path, call->argv, (char *const *)env);
	_exit(FAILED_BEFORE_RUNTIME);
}

/* The runtime's own failure, in its words; false when it was the command that ended so. */
static bool runtime_failed(const struct runtime_call *call, struct error *err)
{
	autofree char *path = xasprintf("/proc/self/fd/%d", call->log), *text = NULL;
	struct error unread;
	char *line, *end;

	if (fs_read_file(path, LOG_LIMIT, &text, NULL, &unread) < 0 || !*text || (!call->is_crun && !strstr(text, "level=error")))
		return false;
	end = text + strlen(text);
	while (end > text && end[-1] == '\n')
		*--end = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (call->is_crun && strstr(line, "Z: "))	/* a time stands before it */
		line = strstr(line, "Z: ") + 3;
	error_set(err, ERROR_FAILED, "%s", line);
	return true;
}

static int call_run(const struct runtime_call *call, int *ret_status, struct error *err)
{
	const struct exec_request *request = call->request;
	const int outer[RELAY_STREAMS] = { request->stdin_fd, request->stdout_fd, request->stderr_fd };
	CLEANUP(exec_relay_clear) struct exec_relay relay = { 0 };
	pid_t pid, parent = getpid();
	int status;

	if (!request->tty && exec_relay_open(&relay, outer, request->interactive, call->owner, call->group, err) < 0)
		return -1;
	pid = fork();
	if (!pid)
		child_run(call, parent, request->tty ? outer : relay.inner);
	if (pid < 0)
		return error_set_errno(err, errno, "cannot fork");
	if (!request->tty && exec_relay_run(&relay, pid, &status, err) < 0)
		return -1;
	while (request->tty && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "cannot wait for %s", call->path);
	if (status && runtime_failed(call, err))
		return -1;
	*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return 0;
}

int local_exec(struct site *site, const struct exec_request *request, int *ret_status, struct error *err)
{
	CLEANUP(call_clear) struct runtime_call call = { .request = request, .program = -1, .process = -1, .log = -1 };
	autoinstance_files struct instance_files files = { 0 };
	struct monitor_status status;
	struct error missing;

	if (instance_files_of(site, request->key, &files, err) < 0)
		return -1;
	if (monitor_status(files.dir, &status, &missing) < 0) {
		error_set(err, ERROR_NOT_FOUND, "there is no instance %s", request->key);
		return error_hint(err, "see which there are: insula status");
	}
	if (!status.init) {
		error_set(err, ERROR_CONFLICT, "%s does not run: it is %s%s%s", request->key, status.state, *status.reason ? ", " : "", status.reason);
		return error_hint(err, "see what it said: insula logs %s", request->key);
	}
	if (call_make(site, &files, &call, err) < 0 || call_run(&call, ret_status, err) < 0)
		return error_wrap(err, "cannot run a command in %s", request->key);
	return 0;
}
