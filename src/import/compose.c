/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compose.yaml. How it works: each service is a mapping whose keys are looked up in one table; a row
 * names the function that takes the value, or says what becomes of it. Scalars go through shell_expand
 * (compose's ${VAR:-x} and $$) when they are taken.
 */
#include "shell.h"

#include "data/yaml.h"

#include <stdlib.h>

struct compose {
	struct importer *importer;
	struct work *work;
	VEC(const char *) entrypoint, command;
};

typedef void node_function(struct compose *compose, const char *key, const struct yaml_node *node);
typedef void text_function(struct importer *importer, struct work *work, unsigned line, const char *item, const char *text);

struct key {
	const char *name;
	node_function *take;		/* the whole node, or */
	text_function *text;		/* each scalar of a scalar or a list, or */
	const char *note;		/* what is said; all NULL: nothing is lost */
	enum import_effect effect;
	bool grave;
};

static const char *scalar(struct compose *compose, const struct yaml_node *node)
{
	return node && node->text ? shell_expand(compose->importer, node->mark.line, node->text, true) : NULL;
}

static void odd(struct compose *compose, const char *key, const struct yaml_node *node)
{
	char text[96];

	importer_note(compose->importer, node->mark.line, IMPORT_DROPPED, true, key, "%s is not understood", yaml_describe(node, text));
}

static void take_text(struct compose *compose, const struct key *key, const struct yaml_node *node)
{
	if (node->text)
		key->text(compose->importer, compose->work, node->mark.line, key->name, scalar(compose, node));
	else if (node->type == YAML_SEQUENCE)
		for (size_t i = 0; i < node->n; i++) {
			if (node->items[i]->text)
				key->text(compose->importer, compose->work, node->items[i]->mark.line, key->name, scalar(compose, node->items[i]));
			else
				odd(compose, key->name, node->items[i]);
		}
	else if (node->type != YAML_NULL)
		odd(compose, key->name, node);
}

static void take_image(struct compose *compose, const char *key, const struct yaml_node *node)
{
	const char *text = scalar(compose, node);

	if (text)
		work_take_image(compose->importer, compose->work, node->mark.line, text);
}

static void take_build(struct compose *compose, const char *key, const struct yaml_node *node)
{
	importer_note(compose->importer, node->mark.line, IMPORT_REFUSED, true, key,
		      "images are not built here: build it elsewhere, save it (docker save -o image.tar NAME) and say image: docker-archive:image.tar");
}

static void take_name(struct compose *compose, const char *key, const struct yaml_node *node)
{
	if (node->text)
		importer_note(compose->importer, node->mark.line, IMPORT_CHANGED, false, key, "it is named after its service, %s", compose->work->name);
}

/* A list is words; one text is split as a shell does. */
static void take_words(struct compose *compose, const struct yaml_node *node, bool entrypoint)
{
	VEC(const char *) words = { 0 };

	if (node->type == YAML_SEQUENCE) {
		for (size_t i = 0; i < node->n; i++) {
			const char *text = scalar(compose, node->items[i]);

			if (text)
				vec_push(&words, text);
			else
				odd(compose, entrypoint ? "entrypoint" : "command", node->items[i]);
		}
	} else if (node->text && *node->text) {
		autocommand struct shell_command part = { .literal = true };
		const char *at = scalar(compose, node), *end = at + strlen(at);
		struct error err = { 0 };
		unsigned line = node->mark.line;
		bool more = true;

		while (more && shell_next(compose->importer, &at, end, &line, &part, &more, &err) == 0)
			vec_each(&part.words, word)
				vec_push(&words, *word);
		if (more)
			importer_note(compose->importer, node->mark.line, IMPORT_DROPPED, true, entrypoint ? "entrypoint" : "command", "a quote in it is never closed");
	}
	vec_each(&words, word) {
		if (entrypoint)
			vec_push(&compose->entrypoint, *word);
		else
			vec_push(&compose->command, *word);
	}
	vec_clear(&words);
}

static void take_command(struct compose *compose, const char *key, const struct yaml_node *node)
{
	take_words(compose, node, false);
}

static void take_entrypoint(struct compose *compose, const char *key, const struct yaml_node *node)
{
	take_words(compose, node, true);
}

static void take_environment(struct compose *compose, const char *key, const struct yaml_node *node)
{
	for (size_t i = 0; node->type == YAML_SEQUENCE && i < node->n; i++) {
		if (node->items[i]->text)
			work_take_env(compose->importer, compose->work, node->items[i]->mark.line, key, scalar(compose, node->items[i]));
		else
			odd(compose, key, node->items[i]);
	}
	for (size_t i = 0; node->type == YAML_MAPPING && i < node->n; i++) {
		const struct yaml_entry *entry = &node->entries[i];
		const char *text = entry->value->type == YAML_NULL ? NULL : scalar(compose, entry->value);

		if (entry->value->n)
			odd(compose, entry->key, entry->value);
		else
			work_take_env(compose->importer, compose->work, entry->mark.line, key,
				      text ? arena_printf(compose->importer->arena, "%s=%s", entry->key, text) : entry->key);
	}
}

static void take_volumes(struct compose *compose, const char *key, const struct yaml_node *node)
{
	for (size_t i = 0; node->type == YAML_SEQUENCE && i < node->n; i++) {
		const struct yaml_node *item = node->items[i], *read_only = yaml_get(item, "read_only");
		const char *type = scalar(compose, yaml_get(item, "type")), *target = scalar(compose, yaml_get(item, "target"));

		if (item->text)
			work_take_mount(compose->importer, compose->work, item->mark.line, key, scalar(compose, item));
		else if (type && streq(type, "tmpfs"))
			importer_note(compose->importer, item->mark.line, IMPORT_DROPPED, false, key, "no memory is mounted; what is written there is in the instance's own layer");
		else
			work_add_mount(compose->importer, compose->work, item->mark.line, key, scalar(compose, yaml_get(item, "source")), target ? target : "",
				       read_only && read_only->type == YAML_BOOL && read_only->boolean);
	}
}

static void take_ports(struct compose *compose, const char *key, const struct yaml_node *node)
{
	for (size_t i = 0; node->type == YAML_SEQUENCE && i < node->n; i++) {
		const struct yaml_node *item = node->items[i];
		const char *host = scalar(compose, yaml_get(item, "published")), *port = scalar(compose, yaml_get(item, "target"));
		const char *address = scalar(compose, yaml_get(item, "host_ip")), *protocol = scalar(compose, yaml_get(item, "protocol"));

		if (item->text)
			work_take_port(compose->importer, compose->work, item->mark.line, key, scalar(compose, item));
		else
			work_take_port(compose->importer, compose->work, item->mark.line, key,
				       arena_printf(compose->importer->arena, "%s%s%s%s%s/%s", address ? address : "", address ? ":" : "", host ? host : "", host || address ? ":" : "",
						    port ? port : "", protocol ? protocol : "tcp"));
	}
}

/* device_ids: [0, 3] is as docker's device=0,3 */
static bool take_ids(struct compose *compose, const struct yaml_node *ids)
{
	autobuf struct buf text = { 0 };

	if (!ids || ids->type != YAML_SEQUENCE || !ids->n || ids->n > 1024)
		return false;
	buf_adds(&text, "device=");
	for (size_t i = 0; i < ids->n; i++)
		buf_addf(&text, "%s%s", i ? "," : "", ids->items[i]->text ? ids->items[i]->text : "");
	work_take_gpus(compose->importer, compose->work, ids->mark.line, "device_ids", text.data);
	return true;
}

/* One item of devices: {driver, count, device_ids, capabilities} */
static void take_device(struct compose *compose, const struct yaml_node *item)
{
	const struct yaml_node *ids = yaml_get(item, "device_ids"), *count = yaml_get(item, "count"), *capabilities = yaml_get(item, "capabilities");
	const char *driver = scalar(compose, yaml_get(item, "driver")), *text = scalar(compose, count);
	bool gpu = driver && streq(driver, "nvidia");

	for (size_t i = 0; capabilities && capabilities->type == YAML_SEQUENCE && i < capabilities->n; i++)
		gpu |= str_equal(capabilities->items[i]->text, "gpu");
	if (!gpu)
		importer_note(compose->importer, item->mark.line, IMPORT_REFUSED, true, "devices", "no device of the host but a GPU is granted");
	else if (take_ids(compose, ids))
		return;
	else
		work_take_gpus(compose->importer, compose->work, count ? count->mark.line : item->mark.line, "count", text ? text : "all");
}

static void take_gpu_list(struct compose *compose, const char *key, const struct yaml_node *node)
{
	const char *text = scalar(compose, node);

	if (text)
		work_take_gpus(compose->importer, compose->work, node->mark.line, key, text);
	for (size_t i = 0; node->type == YAML_SEQUENCE && i < node->n; i++) {
		const struct yaml_node *item = node->items[i], *ids = yaml_get(item, "device_ids"), *count = yaml_get(item, "count");

		if (!take_ids(compose, ids))
			work_take_gpus(compose->importer, compose->work, item->mark.line, key, count && count->text ? scalar(compose, count) : "all");
	}
}

static void take_deploy(struct compose *compose, const char *key, const struct yaml_node *node)
{
	const struct yaml_node *resources = yaml_get(node, "resources"), *limits = yaml_get(resources, "limits"), *reserved = yaml_get(resources, "reservations");
	const struct yaml_node *devices = yaml_get(reserved, "devices"), *replicas = yaml_get(node, "replicas"), *policy = yaml_get(yaml_get(node, "restart_policy"), "condition");
	const struct yaml_node *cpus = yaml_get(limits, "cpus"), *memory = yaml_get(limits, "memory");
	int64_t count = replicas && replicas->text ? import_number(scalar(compose, replicas), 1, 1000) : -1;

	if (cpus && cpus->text)
		work_take_cpus(compose->importer, compose->work, cpus->mark.line, "cpus", scalar(compose, cpus));
	if (memory && memory->text)
		work_take_memory(compose->importer, compose->work, memory->mark.line, "memory", scalar(compose, memory));
	if (policy && policy->text)
		work_take_restart(compose->importer, compose->work, policy->mark.line, "restart_policy", scalar(compose, policy));
	if (count > 0)
		compose->work->replicas = count;
	else if (replicas)
		odd(compose, "replicas", replicas);
	for (size_t i = 0; devices && devices->type == YAML_SEQUENCE && i < devices->n; i++)
		take_device(compose, devices->items[i]);
	for (size_t i = 0; reserved && reserved->type == YAML_MAPPING && i < reserved->n; i++)
		if (!streq(reserved->entries[i].key, "devices"))
			importer_note(compose->importer, reserved->entries[i].mark.line, IMPORT_DROPPED, false, reserved->entries[i].key, "what is guaranteed is the tenant's quota");
}

static void take_runtime(struct compose *compose, const char *key, const struct yaml_node *node)
{
	const char *text = scalar(compose, node);

	if (text && streq(text, "nvidia")) {
		if (!compose->work->gpu)
			work_take_gpus(compose->importer, compose->work, node->mark.line, key, "all");
	} else {
		importer_note(compose->importer, node->mark.line, IMPORT_DROPPED, true, key, "a runtime is not chosen by name; method: vm is the stronger wall");
	}
}

static void take_privileged(struct compose *compose, const char *key, const struct yaml_node *node)
{
	if (node->type != YAML_BOOL || node->boolean)
		importer_note(compose->importer, node->mark.line, IMPORT_REFUSED, true, key, "nothing is privileged; say what it was for: resources.gpu for GPUs, volumes for folders");
}

/* Order of starting: everything starts together, and what needs another one tries again. */
static void take_depends(struct compose *compose, const char *key, const struct yaml_node *node)
{
	for (size_t i = 0; node->type == YAML_MAPPING && i < node->n; i++) {
		const char *condition = scalar(compose, yaml_get(node->entries[i].value, "condition"));

		if (condition && !streq(condition, "service_started")) {
			importer_note(compose->importer, node->entries[i].mark.line, IMPORT_DROPPED, true, key,
				      "%s is not waited for (%s): all start together; let the command wait, or restart: onFailure", node->entries[i].key, condition);
			return;
		}
	}
	importer_note(compose->importer, node->mark.line, IMPORT_DROPPED, false, key, "all start together; restart: onFailure tries again");
}

#define ALL(name_, function) { .name = name_, .take = function }
#define EACH(name_, function) { .name = name_, .text = function }
#define SAY(name_, effect_, grave_, note_) { .name = name_, .note = note_, .effect = effect_, .grave = grave_ }

static const struct key keys[] = {
	ALL("image", take_image), ALL("build", take_build), ALL("container_name", take_name), ALL("command", take_command), ALL("entrypoint", take_entrypoint),
	ALL("environment", take_environment), ALL("volumes", take_volumes), ALL("ports", take_ports), ALL("gpus", take_gpu_list), ALL("deploy", take_deploy),
	ALL("runtime", take_runtime), ALL("privileged", take_privileged), ALL("depends_on", take_depends),
	EACH("mem_limit", work_take_memory), EACH("cpus", work_take_cpus), EACH("ipc", work_refuse_ipc), EACH("user", work_take_user),
	EACH("working_dir", work_take_directory), EACH("restart", work_take_restart), EACH("network_mode", work_take_network), EACH("security_opt", work_refuse_security),
	{ .name = "stdin_open" }, { .name = "tty" }, { .name = "init" },
	SAY("env_file", IMPORT_DROPPED, true, "it is not read; put its lines under env, and what is secret into a Secret"),
	SAY("shm_size", IMPORT_DROPPED, false, "/dev/shm is the instance's own, as large as its memory limit"),
	SAY("healthcheck", IMPORT_DROPPED, true, "health is not watched; it runs until it ends"),
	SAY("pid", IMPORT_REFUSED, true, "no instance sees the processes of the host or of others"),
	SAY("devices", IMPORT_REFUSED, true, "no device of the host is mounted; say resources.gpu for GPUs"),
	SAY("cap_add", IMPORT_REFUSED, true, "capabilities of the host are not given"),
	SAY("cap_drop", IMPORT_DROPPED, false, "capabilities are few already"),
	SAY("userns_mode", IMPORT_REFUSED, true, "every tenant has a range of ids of its own"),
	SAY("ulimits", IMPORT_DROPPED, false, "the limits of the site hold"),
	SAY("networks", IMPORT_CHANGED, true, "the tenant is the network: all services reach each other; make a tenant of each where they may not"),
	SAY("hostname", IMPORT_DROPPED, false, "an instance is named after its workload"),
	SAY("expose", IMPORT_DROPPED, false, "within the tenant every port is reached"),
	SAY("links", IMPORT_DROPPED, false, "all of a tenant reach each other by name"),
	SAY("extra_hosts", IMPORT_DROPPED, true, "names are the resolver's; Site.spec.dns says which is asked"),
	SAY("dns", IMPORT_DROPPED, true, "Site.spec.dns says which resolver is asked"),
	SAY("logging", IMPORT_DROPPED, false, "insula logs shows what it prints"),
	SAY("labels", IMPORT_DROPPED, false, "set metadata.labels where it matters"),
	SAY("read_only", IMPORT_DROPPED, true, "the instance can write to its own layer, which ends with it"),
	SAY("tmpfs", IMPORT_DROPPED, false, "what is written there is in the instance's own layer"),
	SAY("secrets", IMPORT_DROPPED, true, "write a Secret, and env: {NAME: {secret: ...}}"),
	SAY("configs", IMPORT_DROPPED, true, "put the file into a volume or the image"),
	SAY("profiles", IMPORT_CHANGED, true, "there are no profiles: it runs when the file is applied"),
	SAY("extends", IMPORT_DROPPED, true, "the other service is not merged in; write its keys here"),
	SAY("stop_signal", IMPORT_DROPPED, true, "it is asked to end by SIGTERM"),
	SAY("stop_grace_period", IMPORT_DROPPED, false, "the site's own grace holds"),
	SAY("pull_policy", IMPORT_DROPPED, false, "an image stays what its digest says"),
	SAY("platform", IMPORT_DROPPED, true, "the image must be this machine's"),
	SAY("mem_reservation", IMPORT_DROPPED, false, "what is guaranteed is the tenant's quota"),
	SAY("memswap_limit", IMPORT_DROPPED, false, "the memory limit holds"),
	SAY("pids_limit", IMPORT_DROPPED, true, "set limit.pids of the tenant"),
};

static void unknown_key(struct compose *compose, const struct yaml_entry *entry)
{
	const char *words[ARRAY_LEN(keys) + 1], *nearest;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		words[i] = keys[i].name;
	words[ARRAY_LEN(keys)] = NULL;
	nearest = nearest_word(entry->key, words);
	if (!starts_with(entry->key, "x-"))
		importer_note(compose->importer, entry->mark.line, IMPORT_DROPPED, true, entry->key, "it is not known here%s%s%s", nearest ? "; did you mean " : "",
			      nearest ? nearest : "", nearest ? "?" : "");
}

static void take_key(struct compose *compose, const struct yaml_entry *entry)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct key *key = &keys[i];

		if (!streq(key->name, entry->key))
			continue;
		if (key->take)
			key->take(compose, key->name, entry->value);
		else if (key->text)
			take_text(compose, key, entry->value);
		else if (key->note)
			importer_note(compose->importer, entry->mark.line, key->effect, key->grave, key->name, "%s", key->note);
		return;
	}
	unknown_key(compose, entry);
}

/* YAML 1.1's merge: the keys that the service does not have itself. */
static void take_merged(struct compose *compose, const struct yaml_node *service, const struct yaml_node *merged)
{
	for (size_t i = 0; merged->type == YAML_SEQUENCE && i < merged->n; i++)
		if (merged->items[i]->type == YAML_MAPPING)
			take_merged(compose, service, merged->items[i]);
	for (size_t i = 0; merged->type == YAML_MAPPING && i < merged->n; i++)
		if (!yaml_get(service, merged->entries[i].key))
			take_key(compose, &merged->entries[i]);
}

static void read_service(struct importer *importer, const struct yaml_entry *service)
{
	struct compose compose = { .importer = importer, .work = importer_add(importer, service->mark.line) };

	if (!compose.work)
		return;
	compose.work->name = service->key;
	for (size_t i = 0; i < service->value->n; i++) {
		const struct yaml_entry *entry = &service->value->entries[i];

		if (streq(entry->key, "<<"))
			take_merged(&compose, service->value, entry->value);
		else
			take_key(&compose, entry);
	}
	vec_each(&compose.entrypoint, word)
		vec_push(&compose.work->command, *word);
	if (!compose.entrypoint.n && compose.command.n && compose.command.items[0][0] == '-')
		importer_note(importer, service->mark.line, IMPORT_CHANGED, true, compose.command.items[0],
			      "these are arguments of the image's own entrypoint, which is not known here; write that program in front of command");
	vec_each(&compose.command, word)
		vec_push(&compose.work->command, *word);
	vec_clear(&compose.entrypoint);
	vec_clear(&compose.command);
	if (!compose.work->image) {
		compose.work->image = "docker://NAME-OF-THE-IMAGE:latest";
		importer_note(importer, service->mark.line, IMPORT_DROPPED, true, service->key, "it has no image; write its name into the file");
	}
}

/* Beside services: volumes and networks need no words of their own here. */
static void read_top(struct importer *importer, const struct yaml_entry *entry)
{
	static const char *const silent[] = { "services", "version", "name", "volumes", NULL };

	for (const char *const *s = silent; *s; s++)
		if (streq(*s, entry->key))
			return;
	if (!starts_with(entry->key, "x-"))
		importer_note(importer, entry->mark.line, IMPORT_DROPPED, !streq(entry->key, "networks"), entry->key, "only services and their volumes are read");
}

static void read_volumes(struct importer *importer, const struct yaml_node *volumes)
{
	for (size_t i = 0; volumes && volumes->type == YAML_MAPPING && i < volumes->n; i++)
		if (volumes->entries[i].value->n)
			importer_note(importer, volumes->entries[i].mark.line, IMPORT_DROPPED, true, volumes->entries[i].key,
				      "its driver and options: the volume is a new and empty one in the tenant's storage; copy what it held");
}

int import_compose(struct importer *importer, const char *text, size_t n, struct error *err)
{
	autofindings struct findings findings = { 0 };
	struct yaml_documents documents;
	const struct yaml_node *services;

	if (yaml_parse(importer->arena, importer->name, text, n, &findings, &documents, err) < 0 || findings_verdict(&findings, err) < 0)
		return -1;
	services = documents.n ? yaml_get(documents.items[0], "services") : NULL;
	if (!services || services->type != YAML_MAPPING) {
		error_set(err, ERROR_INPUT, "%s has no services", importer->name);
		return error_hint(err, "a compose file has services: with one entry for each container");
	}
	for (size_t i = 0; i < documents.items[0]->n; i++)
		read_top(importer, &documents.items[0]->entries[i]);
	read_volumes(importer, yaml_get(documents.items[0], "volumes"));
	for (size_t i = 0; i < services->n; i++) {
		if (services->entries[i].value->type == YAML_MAPPING)
			read_service(importer, &services->entries[i]);
		else
			importer_note(importer, services->entries[i].mark.line, IMPORT_DROPPED, true, services->entries[i].key, "it is no mapping, so it is no service");
	}
	return 0;
}
