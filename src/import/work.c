/* SPDX-License-Identifier: Apache-2.0 */
/* What docker run and compose say in the same words, and what becomes of it. */
#include "work.h"

#include "base/fs.h"
#include "model/cidr.h"
#include "model/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define GPUS_MAX 1024	/* more GPUs than a machine has */

int64_t import_number(const char *text, int64_t low, int64_t high)
{
	char *end;
	long long value;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	value = strtoll(text, &end, 10);
	return *end || errno || value < low || value > high ? -1 : value;
}

void work_take_image(struct importer *importer, struct work *work, unsigned line, const char *image)
{
	const char *last = strrchr(image, '/');

	if (!*image || strpbrk(image, " \n\t\"'")) {
		importer_note(importer, line, IMPORT_DROPPED, true, image, "it is no name of an image; write yours in its place");
		image = "NAME-OF-THE-IMAGE";
	} else if (!strchr(image, '@') && !strchr(last ? last : image, ':')) {
		importer_note(importer, line, IMPORT_CHANGED, false, image, "it has no tag, which means latest; name a tag or a digest, so that it stays the same");
		image = arena_printf(importer->arena, "%s:latest", image);
	}
	work->image = arena_printf(importer->arena, "docker://%s", image);
}

static bool env_name(const char *name, size_t n)
{
	bool ok = n > 0 && !isdigit((unsigned char)name[0]);

	for (size_t i = 0; i < n; i++)
		ok &= name[i] == '_' || (name[i] > 0 && isalnum((unsigned char)name[i]));
	return ok;
}

void work_take_env(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	size_t n = strcspn(text, "=");
	char *name = arena_strndup(importer->arena, text, n);
	const char *value = text[n] ? text + n + 1 : map_get(&importer->variables, name);

	if (!env_name(text, n)) {
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.60s' is not the name of a variable", name);
		return;
	}
	if (starts_with(name, "NVIDIA_VISIBLE_DEVICES") || streq(name, "CUDA_VISIBLE_DEVICES") || starts_with(name, "NVIDIA_DRIVER_CAPABILITIES")) {
		importer_note(importer, line, IMPORT_DROPPED, false, name, "variables choose no GPU here: an instance has those it was granted; say resources.gpu");
		if (streq(name, "NVIDIA_VISIBLE_DEVICES") && value && *value && !streq(value, "none") && !streq(value, "void") && !work->gpu)
			work_take_gpus(importer, work, line, name, value);
		return;
	}
	if (!value) {
		importer_note(importer, line, IMPORT_DROPPED, true, name,
			      "its value comes from where the command was started; give --set %s=VALUE, or name a Secret: {secret: NAME}", name);
		return;
	}
	*vec_add(&work->env) = (struct work_env){ name, arena_strdup(importer->arena, value) };
	if (strstr(name, "TOKEN") || strstr(name, "PASSWORD") || strstr(name, "SECRET") || strstr(name, "API_KEY"))
		importer_note(importer, line, IMPORT_CHANGED, false, name, "it looks like a secret and is in the file as it is; a Secret with fromFile or fromEnv keeps it out");
}

static bool within(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return starts_with(path, folder) && (!path[n] || path[n] == '/');
}

/* Why a path of the host is never mounted, or NULL. */
static const char *forbidden(const char *path)
{
	if (ends_with(path, "docker.sock") || ends_with(path, "containerd.sock") || ends_with(path, "podman.sock"))
		return "whoever holds this socket is root on the host; leave out what needs it";
	if (within(path, "/dev"))
		return "devices are never mounted; say resources.gpu for GPUs";
	if (within(path, "/proc") || within(path, "/sys") || within(path, "/run") || within(path, "/var/run"))
		return "the host's own state is never mounted; leave out what needs it";
	if (strstr(path, "/.ssh") || strstr(path, "/.gnupg"))
		return "keys are never mounted; a Secret gives the one that is needed";
	if (streq(path, "/") || within(path, "/etc") || within(path, "/boot") || within(path, "/var/lib/docker"))
		return "this part of the host is never shared; name the folder with the data";
	return NULL;
}

/* DNS label of a volume's name, or NULL */
static const char *volume_name(struct importer *importer, const char *text)
{
	char *name = arena_strndup(importer->arena, text, 63);
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		name[i] = isalnum((unsigned char)name[i]) && name[i] > 0 ? (char)tolower((unsigned char)name[i]) : '-';
	while (n && name[n - 1] == '-')
		name[--n] = '\0';
	while (*name == '-')
		name++;
	return *name ? name : NULL;
}

static bool mount_is_taken(const struct work *work, const char *target, const char *name)
{
	vec_each(&work->volumes, volume)
		if (streq(volume->mount_path, target) || (name && str_equal(volume->name, name)))
			return true;
	return false;
}

void work_add_mount(struct importer *importer, struct work *work, unsigned line, const char *item, const char *source, const char *target, bool read_only)
{
	static const char *const own[] = { "/proc", "/sys", "/dev", "/.insula" };
	struct work_volume volume = { .read_only = read_only, .line = line };
	autofree char *mount = NULL, *host = NULL;

	if (*target != '/') {
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.100s' is no absolute path inside", target);
		return;
	}
	mount = fs_absolute("/", target);
	if (source && strchr("/.~", *source)) {
		const char *home = map_get(&importer->variables, "HOME");

		if (*source == '~' && home && (!source[1] || source[1] == '/'))
			source = arena_printf(importer->arena, "%s%s", home, source + 1);
		host = fs_absolute(importer->options->directory, source);
		if (forbidden(host)) {
			importer_note(importer, line, IMPORT_REFUSED, true, item, "%s: %s", host, forbidden(host));
			return;
		}
		volume.host_path = arena_strdup(importer->arena, host);
	} else {
		volume.name = source && *source ? volume_name(importer, source) : NULL;
		if (source && *source && volume.name && !streq(volume.name, source))
			importer_note(importer, line, IMPORT_CHANGED, false, source, "the volume's name here is %s", volume.name);
		if (!volume.name)
			volume.name = volume_name(importer, mount);
	}
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (within(mount, own[i])) {
			importer_note(importer, line, streq(mount, "/dev/shm") ? IMPORT_DROPPED : IMPORT_REFUSED, !streq(mount, "/dev/shm"), item, "every instance has %s of its own", own[i]);
			return;
		}
	}
	if (streq(mount, "/") || !volume.name == !volume.host_path || mount_is_taken(work, mount, volume.name)) {
		importer_note(importer, line, IMPORT_DROPPED, true, item, "there is something at %s already, or the volume is mounted twice", mount);
		return;
	}
	volume.mount_path = arena_strdup(importer->arena, mount);
	*vec_add(&work->volumes) = volume;
}

void work_take_mount(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	const char *colon = strchr(text, ':'), *options;
	char *source, *target;
	bool read_only = false;

	if (!colon) {
		work_add_mount(importer, work, line, item, NULL, text, false);
		return;
	}
	source = arena_strndup(importer->arena, text, (size_t)(colon - text));
	options = strchr(colon + 1, ':');
	target = arena_strndup(importer->arena, colon + 1, options ? (size_t)(options - colon - 1) : strlen(colon + 1));
	while (options && *options) {
		size_t n = strcspn(++options, ",");
		char *word = arena_strndup(importer->arena, options, n);

		if (streq(word, "ro"))
			read_only = true;
		else if (strstr(word, "shared") || strstr(word, "slave"))
			importer_note(importer, line, IMPORT_DROPPED, true, item, "mounts made later are not passed on (%s)", word);
		options += n;
	}
	work_add_mount(importer, work, line, item, source, target, read_only);
}

/* [[address:]host:]port[/protocol] */
void work_take_port(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	struct work_port port = { .address = "0.0.0.0", .line = line };
	char *copy = arena_strdup(importer->arena, text), *slash = strrchr(copy, '/'), *colon;
	struct address address;
	struct error ignored = { 0 };

	if (slash) {
		port.udp = streq(slash + 1, "udp");
		*slash = '\0';
		if (!port.udp && !streq(slash + 1, "tcp"))
			copy = (char *)"";
	}
	colon = strrchr(copy, ':');
	port.port = import_number(colon ? colon + 1 : copy, 1, 65535);
	if (colon) {
		*colon = '\0';
		colon = strrchr(copy, ':');
		port.host = colon && !colon[1] ? port.port : import_number(colon ? colon + 1 : copy, 1, 65535);
		if (colon) {
			*colon = '\0';
			port.address = copy;
		}
	}
	if (port.port < 0 || port.host < 0 || address_parse(port.address, &address, &ignored) < 0) {
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.60s' is not one port; write a line for each port", text);
		return;
	}
	if (!port.host)
		importer_note(importer, line, IMPORT_DROPPED, true, item, "a port of the host that is drawn by lot; it is reached within the tenant, and publish: {port: N} opens it");
	else if (streq(port.address, "0.0.0.0"))
		importer_note(importer, line, IMPORT_CHANGED, false, item, "as before everyone who reaches this host reaches it; publish.address 127.0.0.1 is for this host only");
	for (size_t i = 0; port.host && i < importer->works.n; i++) {
		const struct work *other = importer->works.items[i];

		if (other->ports.n && other->ports.items[0].host == port.host && other != work) {
			importer_note(importer, line, IMPORT_DROPPED, true, item, "port %lld of the host is published by line %u too", (long long)port.host, other->ports.items[0].line);
			port.host = 0;
		}
	}
	*vec_add(&work->ports) = port;
}

void work_take_gpus(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	int64_t count = import_number(text, 0, GPUS_MAX);
	autofree char *plain = xstrdup(text);
	size_t n = 0;

	for (const char *s = text; *s; s++)
		if (*s != '"' && *s != '\'')
			plain[n++] = *s;
	plain[n] = '\0';
	if (starts_with(plain, "count=") && !strchr(plain, ','))
		count = import_number(plain + 6, 0, GPUS_MAX);
	if (count >= 0 && !streq(item, "NVIDIA_VISIBLE_DEVICES")) {
		work->gpu = count;
	} else if (streq(plain, "all") || streq(plain, "count=all") || streq(plain, "-1")) {
		work->gpu = importer->options->gpus ? importer->options->gpus : 1;
		importer_note(importer, line, IMPORT_CHANGED, true, item, "ALL GPUs BECOME %lld: nobody holds every card of a shared machine unasked; --gpus N asks for more",
			      (long long)work->gpu);
	} else if (starts_with(plain, "device=") || isdigit((unsigned char)plain[0]) || starts_with(plain, "GPU-")) {
		work->gpu = 1;
		for (const char *s = plain; *s; s++)
			work->gpu += *s == ',';
		importer_note(importer, line, IMPORT_CHANGED, false, item, "%lld of the GPUs, whichever are free; numbers of cards are not chosen here, gpuModel names what will do",
			      (long long)work->gpu);
	} else {
		work->gpu = 1;
		importer_note(importer, line, IMPORT_CHANGED, true, item, "'%.60s' is not understood and becomes one GPU; set resources.gpu", text);
	}
}

/* Docker's units: b, k, m, g, with or without a further b, in powers of two; without one, bytes. */
void work_take_memory(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	size_t digits = strspn(text, "0123456789.");
	const char *unit = text + digits, *letters = "bkmgt", *letter = *unit ? strchr(letters, tolower((unsigned char)*unit)) : letters;
	autofree char *number = NULL;
	struct error ignored = { 0 };
	int64_t milli, bytes = -1;

	if (digits && letter && (!*unit || !unit[1] || streq(unit + 1, "b") || streq(unit + 1, "B") || streq(unit + 1, "i") || streq(unit + 1, "ib") || streq(unit + 1, "iB"))) {
		number = xstrndup(text, digits);
		if (quantity_parse(number, 1000, &milli, &ignored) == 0 && milli >= 0) {
			__int128 value = ((__int128)milli << (10 * (letter - letters))) / 1000;

			bytes = value < INT64_MAX / 16 ? (int64_t)value : -1;
		}
	}
	if (bytes < 1 << 20) {
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.60s' is not understood, or less than a megabyte; set resources.memory", text);
		return;
	}
	work->memory = bytes;
}

void work_take_cpus(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	struct error ignored = { 0 };
	int64_t milli;

	if (quantity_parse(text, 1000, &milli, &ignored) < 0 || milli < 10 || milli > 1000000)
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.60s' is not a number of cores; set resources.cpu", text);
	else
		work->cpu = milli;
}

void work_take_restart(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (streq(text, "always") || streq(text, "unless-stopped") || streq(text, "any")) {
		work->restart = "always";
	} else if (starts_with(text, "on-failure")) {
		work->restart = "onFailure";
		if (text[strlen("on-failure")])
			importer_note(importer, line, IMPORT_CHANGED, false, item, "onFailure; how often it is tried is not counted, the pauses become longer instead");
	} else if (streq(text, "no") || streq(text, "none") || streq(text, "false")) {
		work->restart = "never";
	} else {
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.60s' is not known; set restart to never, onFailure or always", text);
	}
}

void work_take_user(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	const char *uid = map_get(&importer->variables, "UID"), *name = map_get(&importer->variables, "USER");
	autofree char *user = xstrndup(text, strcspn(text, ":"));
	bool self = (uid && streq(user, uid)) || (name && streq(user, name));

	importer_note(importer, line, IMPORT_DROPPED, !self, item, "the image's own user runs it, within a range of ids that is the tenant's; %s",
		      self ? "files in a hostPath belong to the folder's owner as before" : "make an image with this user where that matters");
}

void work_take_network(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (streq(text, "none")) {
		work->no_network = true;
		importer_note(importer, line, IMPORT_CHANGED, true, item, "within the tenant it is still reached; network.allow is the whole tenant's");
	} else if (streq(text, "host")) {
		importer_note(importer, line, IMPORT_CHANGED, true, item,
			      "it has a network of its own; what listens is a Service with port and publish, which the ports that are listed become");
	} else if (starts_with(text, "container:") || starts_with(text, "service:")) {
		importer_note(importer, line, IMPORT_REFUSED, true, item, "no two share one network; they reach each other by name within the tenant");
	} else if (!streq(text, "bridge") && !streq(text, "default")) {
		importer_note(importer, line, IMPORT_CHANGED, false, item, "the tenant is the network: all of it reach each other by name");
	}
}

void work_take_directory(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (*text != '/')
		importer_note(importer, line, IMPORT_DROPPED, true, item, "'%.100s' is no absolute path inside; set workingDir", text);
	else
		work->working_dir = arena_strdup(importer->arena, text);
}

void work_refuse_ipc(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (streq(text, "host") || starts_with(text, "container:") || starts_with(text, "service:"))
		importer_note(importer, line, IMPORT_CHANGED, !streq(text, "host"), item, "an own /dev/shm instead, as large as the memory limit; nothing is shared with the host or others");
}

void work_refuse_security(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text)
{
	if (!starts_with(text, "no-new-privileges"))
		importer_note(importer, line, IMPORT_REFUSED, true, item, "the walls are never taken down (%.60s)", text);
}
