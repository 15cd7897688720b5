/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/vec.h"
#include "site/local/local.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

const struct site_ops *const session_sites[] = { &site_local, NULL };

static void findings_print(const struct cli *cli, const struct findings *findings)
{
	vec_each(&findings->items, finding) {
		autofree char *text = output_safe(finding->text);

		if (cli->json)
			output_json("finding", json_pack("{s:s, s:b, s:s, s:i, s:i}", "message", text, "warning", finding->warning, "file",
							 finding->mark.file ? finding->mark.file : "", "line", (int)finding->mark.line, "column",
							 (int)finding->mark.column));
		else
			fprintf(stderr, "%s%s\n", finding->warning ? "warning: " : "", text);
	}
}

static int parse_files(const json_t *files, struct intent *intent, struct findings *findings, struct error *err)
{
	size_t n = json_array_size(files);
	autofree struct source *sources = xcalloc(n + 1, sizeof(*sources));

	for (size_t i = 0; i < n; i++) {
		const json_t *file = json_array_get(files, i), *text = json_object_get(file, "text");

		sources[i] = (struct source){ json_string_value(json_object_get(file, "name")), json_string_value(text), json_string_length(text) };
		if (!sources[i].name || !sources[i].text)
			return error_set(err, ERROR_INPUT, "the kept copy of the file is damaged: part %zu has no text", i + 1);
	}
	return spec_parse(sources, n, intent, findings, err);
}

/* Standard input and pipes can be read only once. */
static bool reads_once(const char *path)
{
	struct stat st;

	return streq(path, "-") || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

/* Of what can be read only once, the text is kept first. */
static int read_files(struct session *session, const char *const *paths, size_t n, struct findings *findings, struct error *err)
{
	bool once = false;

	for (size_t i = 0; i < n; i++)
		once |= reads_once(paths[i]);
	if (once) {
		if (spec_sources(paths, n, &session->files, err) < 0)
			return -1;
		return parse_files(session->files, &session->intent, findings, err);
	}
	if (spec_read(paths, n, &session->intent, findings, err) < 0)
		return -1;
	return spec_sources(paths, n, &session->files, err);
}

int session_read(struct session *session, struct cli *cli, struct error *err)
{
	const char *standard[] = { "insula.yaml" };
	const char *const *paths = cli->operand_n > 0 ? (const char *const *)cli->operands : standard;
	size_t n = cli->operand_n > 0 ? (size_t)cli->operand_n : 1;
	struct findings findings = { 0 };
	int r;

	if (cli->operand_n == 0 && !fs_exists(standard[0])) {
		error_set(err, ERROR_INPUT, "no file is named, and there is no insula.yaml here");
		return error_hint(err, "insula %s FILE, or make a first one with: insula init", cli->command->name);
	}
	intent_init(&session->intent);
	session->has_intent = true;
	r = read_files(session, paths, n, &findings, err);
	findings_print(cli, &findings);
	if (r < 0) {
		size_t errors = 0;

		vec_each(&findings.items, finding)
			errors += !finding->warning;
		if (errors > 0) {
			error_set(err, ERROR_INPUT, "%zu error%s in the file; nothing was done", errors, errors == 1 ? "" : "s");
			error_hint(err, "insula explain FIELD says what a field means");
		}
	}
	findings_clear(&findings);
	return r;
}

int session_name(struct cli *cli, char **ret, struct error *err)
{
	VEC(char *) names = { 0 };
	struct dirent *entry;
	int r = 0;

	if (cli->deployment) {
		*ret = xstrdup(cli->deployment);
		return 0;
	}
	autodir DIR *dir = opendir(cli->state_dir);
	while (dir && (entry = readdir(dir))) {
		autofree char *db = xasprintf("%s/%s/state.db", cli->state_dir, entry->d_name);

		if (entry->d_name[0] != '.' && fs_exists(db))
			vec_push(&names, xstrdup(entry->d_name));
	}
	if (names.n == 1) {
		*ret = xstrdup(names.items[0]);
	} else {
		bool has_local = names.n == 0;

		vec_each(&names, name)
			has_local |= streq(*name, "local");
		if (has_local) {
			*ret = xstrdup("local");
		} else {
			error_set(err, ERROR_INPUT, "there are %zu deployments here and none is called local", names.n);
			r = error_hint(err, "name one with --deployment: %s, ...", names.items[0]);
		}
	}
	vec_each(&names, name)
		free(*name);
	vec_clear(&names);
	return r;
}

static const char *environment_read(void *arg, const char *name)
{
	return getenv(name);
}

int session_open(struct session *session, struct cli *cli, bool write, bool offline, struct error *err)
{
	struct deployment_options options = {
		.state_dir = cli->state_dir,
		.run_dir = cli->run_dir,
		.program_dir = cli->program_dir,
		.nvml = cli->nvml,
		.offline = offline,
		.write = write,
		.lock_wait_ms = 60 * 1000,
		.files = session->files,
		.environment = environment_read,
	};
	autofree char *name = NULL;

	session->cli = cli;
	if (!session->has_intent && session_name(cli, &name, err) < 0)
		return -1;
	if (deployment_open(session_sites, session->has_intent ? &session->intent : NULL, name, &options, &session->deployment, err) < 0)
		return -1;
	session->open = true;
	return 0;
}

int session_parse(struct session *session, const json_t *files, struct error *err)
{
	session->has_intent = true;
	session->files = json_deep_copy(files);
	return intent_from_files(files, &session->intent, err);
}

int session_tenant(struct session *session, const char *name, struct error *err)
{
	const struct intent *intent = session->deployment.intent;
	VEC(const char *) names = { 0 };
	const char *near;

	if (!intent || intent_tenant(intent, name))
		return 0;
	vec_each(&intent->tenants, tenant)
		vec_push(&names, tenant->name);
	vec_push(&names, NULL);
	near = nearest_word(name, names.items);
	vec_clear(&names);
	error_set(err, ERROR_INPUT, "deployment %s has no tenant '%s'", session->deployment.config.deployment, name);
	return near ? error_hint(err, "did you mean %s?", near) : error_hint(err, "insula status lists them");
}

void session_close(struct session *session)
{
	if (session->open)
		deployment_close(&session->deployment);
	if (session->has_intent)
		intent_clear(&session->intent);
	json_decref(session->files);
	*session = (struct session){ 0 };
}

struct instance_search {
	const char *name;
	VEC(char *) matches;
	VEC(char *) all;
};

/* "vision/train/0" is meant by itself, by "vision/train", by "train/0" and by "train" */
static bool instance_matches(const char *key, const char *name)
{
	size_t n = strlen(name);
	const char *at = key;

	for (int part = 0; part < 2 && at; part++) {
		if (strncmp(at, name, n) == 0 && (at[n] == '\0' || at[n] == '/') && strchr(at, '/'))
			return !(part == 0 && !strchr(name, '/'));	/* a tenant's name alone is no instance */
		at = strchr(at, '/');
		at = at ? at + 1 : NULL;
	}
	return false;
}

static int instance_seen(void *arg, const struct usage_record *record)
{
	struct instance_search *search = arg;

	vec_push(&search->all, xstrdup(record->key));
	if (instance_matches(record->key, search->name))
		vec_push(&search->matches, xstrdup(record->key));
	return 0;
}

int session_instance(struct session *session, const char *name, char **ret, struct error *err)
{
	struct deployment *deployment = &session->deployment;
	struct instance_search search = { .name = name };
	int r;

	if (!deployment->ops->usage)
		return error_set(err, ERROR_UNSUPPORTED, "the %s site has no instances to ask", deployment->ops->name);
	r = deployment->ops->usage(deployment->site, false, instance_seen, &search, err);
	if (r == 0) {
		size_t owners = 0;

		for (size_t i = 0; i < search.matches.n; i++) {
			size_t tenant = strcspn(search.matches.items[i], "/") + 1;
			size_t workload = tenant + strcspn(search.matches.items[i] + tenant, "/");

			owners += i == 0 || strncmp(search.matches.items[i], search.matches.items[0], workload + 1) != 0;
		}
		if (owners == 1) {
			*ret = xstrdup(search.matches.items[0]);
		} else if (owners == 0) {
			const char *near;

			vec_push(&search.all, NULL);
			near = nearest_word(name, (const char *const *)search.all.items);
			error_set(err, ERROR_NOT_FOUND, "there is no instance '%s'", name);
			r = near ? error_hint(err, "did you mean %s?", near) : error_hint(err, "insula status lists them");
		} else {
			error_set(err, ERROR_INPUT, "'%s' can mean %s or %s", name, search.matches.items[0], search.matches.items[1]);
			r = error_hint(err, "say it whole: TENANT/WORKLOAD/REPLICA");
		}
	}
	vec_each(&search.matches, match)
		free(*match);
	vec_each(&search.all, key)
		free(*key);
	vec_clear(&search.matches);
	vec_clear(&search.all);
	return r;
}
