/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * insula-resolver FOLDER PLACE [RESOLV.CONF ...]
 *
 * Names for the tenants of one deployment. Descriptors 3 and 4 are a UDP and a listening TCP socket on port 53 of the router's
 * namespace; PLACE is a word that says which namespace that is. Returns when it answers, and goes on in the background.
 *
 * Two processes. The keeper is root and touches nothing from a network: it holds FOLDER/lock, says in FOLDER/pid who it is
 * ("PID TICKS PLACE"), reads FOLDER/zones and, when that names no upstream, the first RESOLV.CONF that does, and hands both to
 * the worker by a socket; FOLDER/loaded then holds the zones' digest. SIGHUP makes it read again, and it looks at RESOLV.CONF
 * every two seconds. It starts a worker that ended again, after a pause that doubles up to ten seconds. The worker
 * (insula-resolver-worker.c) is nobody, sees no file and answers.
 */

#define WORKER_ID 65534
#define FD_UDP 3
#define FD_TCP 4
#define KEEPER_FDS 32			/* it never has as many */
#define LOOK_MS 2000
#define PAUSE_FIRST_MS 50
#define PAUSE_LAST_MS 10000
#define STEADY_MS 10000			/* a worker that lived this long makes the next pause short again */
#define ANSWER_MS 5000
#define RESOLV_MAX 65536

struct keeper {
	const char *folder, *place;
	char **resolv;			/* paths, NULL-ended */
	struct timespec resolv_changed;	/* of the one in use */
	ino_t resolv_file;
	pid_t worker;
	int control;			/* or -1: no worker */
	int64_t started, pause;		/* ms */
};

static int64_t now_ms(void)
{
	return worker_now();
}

static char *path_in(const struct keeper *keeper, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", keeper->folder, name) < 0 ? NULL : path;
}

/* A whole file with a 0 byte behind, and `room` more bytes. */
static char *read_file(const char *path, size_t limit, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0, capacity = 65536;
	char *text = fd < 0 ? NULL : malloc(capacity + room + 1);
	ssize_t got = 0;

	while (text && (got = read(fd, text + n, capacity - n)) > 0) {
		n += (size_t)got;
		if (n > limit)
			break;
		if (n == capacity) {
			char *more = realloc(text, capacity * 2 + room + 1);

			if (!more)
				break;
			text = more;
			capacity *= 2;
		}
	}
	if (fd >= 0)
		close(fd);
	if (text && got != 0) {
		free(text);
		return NULL;
	}
	if (text)
		text[n] = '\0';
	return text;
}

static int write_file(const struct keeper *keeper, const char *name, const char *text)
{
	char *path = path_in(keeper, name), *fresh = NULL;
	int fd = -1, done = -1;

	if (path && asprintf(&fresh, "%s.new", path) >= 0)
		fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0) {
		done = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
		close(fd);
		if (done == 0)
			done = rename(fresh, path);
	}
	free(path);
	free(fresh);
	return done;
}

/* Adds "upstream ADDRESS" lines for the name servers of a resolv.conf(5); how many. */
static int add_upstreams(const char *text, char *to, size_t room)
{
	int found = 0;

	for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		char address[16];
		struct in_addr parsed;

		if (sscanf(line, "nameserver %15[0-9.]", address) != 1 || inet_pton(AF_INET, address, &parsed) != 1 || found == UPSTREAMS_MAX)
			continue;
		if (snprintf(to + strlen(to), room - strlen(to), "upstream %s\n", address) > 0)
			found++;
	}
	return found;
}

static void note_resolv(struct keeper *keeper)
{
	struct stat st;

	keeper->resolv_file = 0;
	for (char **path = keeper->resolv; *path; path++) {
		if (stat(*path, &st) < 0)
			continue;
		keeper->resolv_file = st.st_ino;
		keeper->resolv_changed = st.st_mtim;
		return;
	}
}

static bool resolv_moved(const struct keeper *keeper)
{
	struct keeper now = *keeper;

	note_resolv(&now);
	return now.resolv_file != keeper->resolv_file || now.resolv_changed.tv_sec != keeper->resolv_changed.tv_sec ||
	       now.resolv_changed.tv_nsec != keeper->resolv_changed.tv_nsec;
}

static char *read_zones(struct keeper *keeper)
{
	const size_t room = UPSTREAMS_MAX * 32 + 8;
	char *path = path_in(keeper, "zones"), *text = path ? read_file(path, ZONE_TEXT_MAX, room) : NULL;

	free(path);
	note_resolv(keeper);
	if (!text || strncmp(text, "upstream ", 9) == 0 || strstr(text, "\nupstream "))
		return text;
	for (char **p = keeper->resolv; *p; p++) {
		char *resolv = read_file(*p, RESOLV_MAX, 0);
		int found = resolv ? add_upstreams(resolv, text, strlen(text) + room) : 0;

		free(resolv);
		if (found)
			break;
	}
	return text;
}

static bool send_whole(int fd, const void *data, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(fd, (const char *)data + done, n - done, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		if (sent > 0)
			done += (size_t)sent;
	}
	return true;
}

/* Hands the zones to the worker and waits until they are in use. */
static bool load(struct keeper *keeper)
{
	char *text = read_zones(keeper), digest[65] = "";
	struct pollfd waiting = { keeper->control, POLLIN, 0 };
	uint64_t n = text ? strlen(text) : 0;
	bool good;

	good = text && keeper->control >= 0 && send_whole(keeper->control, &n, sizeof(n)) && send_whole(keeper->control, text, (size_t)n) &&
	       poll(&waiting, 1, ANSWER_MS) == 1 && recv(keeper->control, digest, sizeof(digest), MSG_WAITALL) == (ssize_t)sizeof(digest);
	free(text);
	digest[64] = '\0';
	return good && write_file(keeper, "loaded", digest) == 0;
}

/* Nobody, nowhere, with nothing. */
static bool give_up_rights(const struct keeper *keeper)
{
	const struct rlimit none = { 0, 0 };

	return chroot(keeper->folder) == 0 && chdir("/") == 0 && setgroups(0, NULL) == 0 && setresgid(WORKER_ID, WORKER_ID, WORKER_ID) == 0 &&
	       setresuid(WORKER_ID, WORKER_ID, WORKER_ID) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && setrlimit(RLIMIT_FSIZE, &none) == 0 && setrlimit(RLIMIT_CORE, &none) == 0;
}

static bool start_worker(struct keeper *keeper)
{
	pid_t self = getpid();
	int pair[2];

	keeper->started = now_ms();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	keeper->worker = fork();
	if (keeper->worker == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* the lock, the signals and whatever else is the keeper's */
		for (int fd = FD_TCP + 1; fd < KEEPER_FDS; fd++)
			if (fd != pair[1])
				close(fd);
		if (!give_up_rights(keeper))
			_exit(1);
		/* asked for after the change of ids, which clears it; the keeper may have gone meanwhile */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != self)
			_exit(1);
		_exit(worker_run(FD_UDP, FD_TCP, pair[1]));
	}
	close(pair[1]);
	keeper->control = pair[0];
	if (keeper->worker < 0) {
		close(pair[0]);
		keeper->control = -1;
		return false;
	}
	return load(keeper);
}

static void worker_ended(struct keeper *keeper)
{
	if (waitpid(keeper->worker, NULL, WNOHANG) != keeper->worker)
		return;
	if (keeper->control >= 0)
		close(keeper->control);
	keeper->control = -1;
	keeper->worker = 0;
	if (now_ms() - keeper->started >= STEADY_MS)
		keeper->pause = PAUSE_FIRST_MS;
}

static void stop_worker(struct keeper *keeper)
{
	if (keeper->worker <= 0)
		return;
	kill(keeper->worker, SIGKILL);
	waitpid(keeper->worker, NULL, 0);
}

static int keep(struct keeper *keeper, int signals)
{
	for (;;) {
		struct pollfd waiting = { signals, POLLIN, 0 };
		int64_t due = keeper->worker ? LOOK_MS : keeper->started + keeper->pause - now_ms();
		struct signalfd_siginfo info;

		if (poll(&waiting, 1, due < 0 ? 0 : (int)due) > 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			if (info.ssi_signo == SIGTERM) {
				stop_worker(keeper);
				return 0;
			}
			if (info.ssi_signo == SIGHUP && keeper->worker)
				load(keeper);
			if (info.ssi_signo == SIGCHLD && keeper->worker)
				worker_ended(keeper);
			continue;
		}
		if (keeper->worker) {
			if (resolv_moved(keeper))
				load(keeper);
		} else if (keeper->started + keeper->pause <= now_ms()) {
			keeper->pause = keeper->pause * 2 > PAUSE_LAST_MS ? PAUSE_LAST_MS : keeper->pause * 2;
			start_worker(keeper);
		}
	}
}

static uint64_t start_ticks(void)
{
	char *text = read_file("/proc/self/stat", 4096, 0), *at = text ? strrchr(text, ')') : NULL;
	uint64_t ticks = 0;

	/* field 22; the closing bracket ends field 2 */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at + 1, NULL, 10);
	free(text);
	return ticks;
}

static int hold_lock(const struct keeper *keeper)
{
	char *path = path_in(keeper, "lock");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	free(path);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -1;
}

/* In the background: tells `ready` once it answers. */
static int run(struct keeper *keeper, int ready)
{
	char who[128];
	sigset_t set;
	int signals, nowhere;

	setsid();
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0 || hold_lock(keeper) < 0)
		return 1;
	nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3 && nowhere >= 0; fd++)
		dup2(nowhere, fd);
	snprintf(who, sizeof(who), "%d %llu %s\n", (int)getpid(), (unsigned long long)start_ticks(), keeper->place);
	if (write_file(keeper, "pid", who) < 0 || !start_worker(keeper)) {
		stop_worker(keeper);
		return 1;
	}
	if (write(ready, "", 1) != 1) {
		stop_worker(keeper);
		return 1;
	}
	close(ready);
	return keep(keeper, signals);
}

int main(int argc, char **argv)
{
	struct keeper keeper = { .control = -1, .pause = PAUSE_FIRST_MS };
	int ready[2];
	pid_t pid;
	char c;

	if (argc < 3 || fcntl(FD_UDP, F_GETFD) < 0 || fcntl(FD_TCP, F_GETFD) < 0) {
		fprintf(stderr, "usage: insula-resolver FOLDER PLACE [RESOLV.CONF ...], with sockets as descriptors 3 and 4\n");
		return 2;
	}
	keeper.folder = argv[1];
	keeper.place = argv[2];
	keeper.resolv = argv + 3;
	fcntl(FD_UDP, F_SETFD, FD_CLOEXEC);
	fcntl(FD_TCP, F_SETFD, FD_CLOEXEC);
	umask(077);
	if (pipe2(ready, O_CLOEXEC) < 0 || chdir("/") < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "insula-resolver: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0) {
		close(ready[0]);
		return run(&keeper, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) == 1)
		return 0;
	fprintf(stderr, "insula-resolver: it does not start: is another one running for %s?\n", argv[1]);
	return 1;
}
