/* SPDX-License-Identifier: Apache-2.0 */
/* Our file of what was read. Every string from outside is quoted as YAML's double-quoted form has it. */
#include "work.h"

#include "base/fs.h"
#include "model/quantity.h"

#include <inttypes.h>
#include <stdlib.h>

/* The bytes of one UTF-8 character at `s`, or 0 when it is none. */
static size_t character(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)))
		return 0;
	if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)))
		return 0;
	return n;
}

/* Always quoted, so that no text can be taken for another type, an alias or a comment. What is no UTF-8 becomes U+FFFD. */
static void write_text(struct buf *ret, const char *text)
{
	buf_addc(ret, '"');
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		size_t n = character(s);

		if (*s == '"' || *s == '\\')
			buf_addf(ret, "\\%c", *s);
		else if (*s == '\n')
			buf_adds(ret, "\\n");
		else if (*s == '\t')
			buf_adds(ret, "\\t");
		else if (*s < 0x20 || *s == 0x7f)
			buf_addf(ret, "\\x%02x", *s);
		else if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0)
			buf_addf(ret, "\\x%02x", s[1]);
		else if (n == 0 || (n == 3 && (!memcmp(s, "\xef\xbb\xbf", 3) || (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe))))
			buf_adds(ret, "\\ufffd");
		else
			buf_add(ret, s, n);
		s += n ? n : 1;
	}
	buf_addc(ret, '"');
}

/* Plain where it cannot be misread: a path, a reference, a word that begins with a letter or a slash. */
static void write_word(struct buf *ret, const char *text)
{
	static const char *const other[] = { "true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL", NULL };
	const char *all = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@:=+";
	size_t n = strlen(text);
	bool plain = n && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/", text[0]) && strspn(text, all) == n && text[n - 1] != ':';

	for (const char *const *o = other; *o; o++)
		plain &= !streq(text, *o);
	if (plain)
		buf_adds(ret, text);
	else
		write_text(ret, text);
}

/* "My_Train.Job" is my-train-job; what is taken, or insula's own, gets a number. */
static const char *settle_name(struct importer *importer, struct map *taken, const struct work *work)
{
	static const char *const reserved[] = { "gateway", "ids", "limits", "network", "storage", "volume" };
	char name[48];
	size_t n = 0;
	const char *ret;

	for (const char *s = work->name ? work->name : "work"; *s && n < sizeof(name) - 1; s++) {
		char c = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			name[n++] = c;
		else if (n && name[n - 1] != '-')
			name[n++] = '-';
	}
	while (n && name[n - 1] == '-')
		n--;
	name[n] = '\0';
	ret = arena_strdup(importer->arena, n ? name : "work");
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (streq(ret, reserved[i]))
			ret = arena_printf(importer->arena, "%s-work", reserved[i]);
	for (unsigned i = 2; map_has(taken, ret); i++)
		ret = arena_printf(importer->arena, "%s-%u", n ? name : "work", i);
	map_set(taken, ret, (void *)work);
	if (work->name && !streq(ret, work->name))
		importer_note(importer, work->line, IMPORT_CHANGED, false, work->name, "its name here is %s; names have a-z, 0-9 and -, and each is there once", ret);
	return ret;
}

static void write_env(const struct work *work, struct buf *ret)
{
	if (!work->env.n)
		return;
	buf_adds(ret, "  env:\n");
	for (size_t i = 0; i < work->env.n; i++) {
		bool later = false;

		for (size_t j = i + 1; j < work->env.n; j++)
			later |= streq(work->env.items[i].name, work->env.items[j].name);
		if (later)
			continue;
		buf_adds(ret, "    ");
		write_text(ret, work->env.items[i].name);
		buf_adds(ret, ": ");
		write_text(ret, work->env.items[i].value);
		buf_addc(ret, '\n');
	}
}

static void write_volumes(const struct work *work, struct buf *ret)
{
	if (work->volumes.n)
		buf_adds(ret, "  volumes:\n");
	vec_each(&work->volumes, volume) {
		buf_adds(ret, "    - {mountPath: ");
		write_word(ret, volume->mount_path);
		if (volume->host_path) {
			buf_adds(ret, ", hostPath: ");
			write_word(ret, volume->host_path);
		} else {
			buf_adds(ret, ", name: ");
			write_word(ret, volume->name);
		}
		buf_addf(ret, ", readOnly: %s}\n", volume->read_only ? "true" : "false");
	}
}

static void write_resources(const struct work *work, struct buf *ret)
{
	const char *between = "";
	char text[QUANTITY_TEXT];

	if (!work->cpu && !work->memory && !work->gpu)
		return;
	buf_adds(ret, "  resources: {");
	if (work->cpu) {
		quantity_format_milli(work->cpu, text);
		buf_addf(ret, "cpu: %s", text);
		between = ", ";
	}
	if (work->memory) {
		quantity_format_bytes(work->memory, text);
		buf_addf(ret, "%smemory: %s", between, text);
		between = ", ";
	}
	if (work->gpu)
		buf_addf(ret, "%sgpu: %" PRId64, between, work->gpu);
	for (size_t i = 0; work->gpu && i < work->gpu_models.n; i++) {
		buf_adds(ret, i ? ", " : ", gpuModel: [");
		write_text(ret, work->gpu_models.items[i]);
	}
	buf_adds(ret, work->gpu && work->gpu_models.n ? "]}\n" : "}\n");
}

/* A workload that listens is a Service; it has one port. */
static void write_port(struct importer *importer, const struct work *work, struct buf *ret)
{
	const struct work_port *port = work->ports.items;

	buf_addf(ret, "  port: %" PRId64 "\n", port->port);
	if (port->udp)
		buf_adds(ret, "  protocol: udp\n");
	if (port->host) {
		buf_adds(ret, "  publish: {address: ");
		write_text(ret, port->address);
		buf_addf(ret, ", port: %" PRId64 "}\n", port->host);
	}
	for (size_t i = 1; i < work->ports.n; i++)
		importer_note(importer, work->ports.items[i].line, IMPORT_DROPPED, true, arena_printf(importer->arena, "port %" PRId64, work->ports.items[i].port),
			      "a Service publishes one port, and %" PRId64 " is it; within the tenant every port is reached", port->port);
}

static void write_work(struct importer *importer, struct work *work, const char *name, struct buf *ret)
{
	char text[QUANTITY_TEXT];

	buf_addf(ret, "---\napiVersion: insula.dev/v1\nkind: %s\nmetadata: {name: \"%s\", tenant: \"%s\"}\nspec:\n", work->ports.n ? "Service" : "Workload", name,
		 importer->options->tenant);
	buf_adds(ret, "  image: ");
	write_word(ret, work->image);
	buf_addc(ret, '\n');
	for (size_t i = 0; i < work->command.n; i++) {
		buf_adds(ret, i ? ", " : "  command: [");
		write_text(ret, work->command.items[i]);
	}
	if (work->command.n)
		buf_adds(ret, "]\n");
	write_env(work, ret);
	if (work->working_dir) {
		buf_adds(ret, "  workingDir: ");
		write_word(ret, work->working_dir);
		buf_addc(ret, '\n');
	}
	write_volumes(work, ret);
	write_resources(work, ret);
	if (work->ports.n)
		write_port(importer, work, ret);
	if (work->replicas)
		buf_addf(ret, "  replicas: %" PRId64 "\n", work->replicas);
	if (work->time_limit) {
		duration_format(work->time_limit, text);
		buf_addf(ret, "  timeLimit: %s\n", text);
	}
	if (work->restart || work->ports.n)
		buf_addf(ret, "  restart: %s\n", work->restart ? work->restart : "never");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The folders of the host that are mounted must be allowed by the Site: who applies the file sees them at its head. */
static void write_site(struct importer *importer, struct buf *ret)
{
	VEC(const char *) paths = { 0 };

	vec_each(&importer->works, work)
		vec_each(&(*work)->volumes, volume)
			if (volume->host_path)
				vec_push(&paths, volume->host_path);
	if (!paths.n)
		return;
	qsort(paths.items, paths.n, sizeof(*paths.items), by_text);
	buf_adds(ret, "apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: local}\nspec:\n  hostPaths:\n");
	for (size_t i = 0; i < paths.n; i++) {
		if (i && streq(paths.items[i], paths.items[i - 1]))
			continue;
		buf_adds(ret, "    - ");
		write_word(ret, paths.items[i]);
		buf_addc(ret, '\n');
	}
	buf_adds(ret, "---\n");
	vec_clear(&paths);
	importer_note(importer, 0, IMPORT_CHANGED, false, "folders of the host", "the Site at the head of the file allows them; join it with the Site that you have");
}

static void write_tenant(struct importer *importer, struct buf *ret)
{
	int64_t gpus = 0;
	bool network = false;

	vec_each(&importer->works, work) {
		int64_t all = (*work)->gpu * MAX((*work)->replicas, 1);

		gpus = importer->queue ? MAX(gpus, (*work)->gpu) : gpus + all;
		network |= !(*work)->no_network;
	}
	buf_addf(ret, "apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: \"%s\"}\n", importer->options->tenant);
	if (!gpus && !network)
		return;
	buf_adds(ret, "spec:\n");
	if (gpus)
		buf_addf(ret, "  limit: {gpu: %" PRId64 "}\n", gpus);
	if (!network)
		return;
	buf_adds(ret, "  network:\n    allow:\n      - {to: {internet: true}, ports: [tcp/80, tcp/443]}\n");
	importer_note(importer, 0, IMPORT_CHANGED, false, "network", "nothing is reached but the tenant's own and public addresses on tcp ports 80 and 443; add what else is needed to network.allow");
}

void work_write(struct importer *importer, struct buf *ret)
{
	struct map taken = { 0 };

	write_site(importer, ret);
	write_tenant(importer, ret);
	vec_each(&importer->works, work)
		write_work(importer, *work, settle_name(importer, &taken, *work), ret);
	map_clear(&taken);
}
