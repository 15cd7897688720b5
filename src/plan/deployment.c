/* SPDX-License-Identifier: Apache-2.0 */
#include "deployment.h"

#include "base/fs.h"
#include "model/capacity.h"
#include "model/expand.h"
#include "ref.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 63

static const char *const driver_names[] = { "local", "kubernetes", "openstack", "stack", "files" };

/* ---- secrets ---- */

/* "vision/hub": the tenant's own, else the one for all; "hub": the one for all, else any of that name. */
static const struct secret_source *find_secret(const struct intent *intent, const char *text)
{
	const char *slash = strchr(text, '/'), *name = slash ? slash + 1 : text;
	const struct secret_source *general = NULL, *any = NULL;

	vec_each(&intent->secrets, source) {
		if (!streq(source->name, name))
			continue;
		if (!source->tenant)
			general = source;
		else if (slash && strlen(source->tenant) == (size_t)(slash - text) && starts_with(text, source->tenant))
			return source;
		else
			any = source;
	}
	return general || slash ? general : any;
}

static int read_secret(void *arg, const char *name, struct secret *ret, struct error *err)
{
	const struct deployment *deployment = arg;
	const struct secret_source *source = deployment->intent ? find_secret(deployment->intent, name) : NULL;

	if (!source)
		return error_set(err, ERROR_INPUT, "secret '%s' is not in the file", name);
	if (source->from_file) {
		autofree char *text = NULL;
		size_t n;

		if (fs_read_file(source->from_file, SECRET_MAX, &text, &n, err) < 0)
			return error_wrap(err, "secret '%s'", name);
		secret_set(ret, text, n);
		explicit_bzero(text, n);
		return 0;
	}
	const char *value = deployment->environment ? deployment->environment(deployment->environment_arg, source->from_env) : NULL;
	if (!value) {
		error_set(err, ERROR_INPUT, "secret '%s': the environment has no variable %s", name, source->from_env);
		return error_hint(err, "set it, or use fromFile");
	}
	secret_set(ret, value, strlen(value));
	return 0;
}

struct digester {
	struct deployment *deployment;
	uint8_t key[32];
	bool has_key;
	struct error error;
	int result;
};

static int secret_key(struct digester *digester, struct error *err)
{
	struct deployment *deployment = digester->deployment;

	if (digester->has_key)
		return 0;
	/* offline nothing is compared, so a key of zeros does; else the key has to be the same one at the next plan */
	if (!deployment->offline) {
		if (!deployment->state && state_open(deployment->config.state_dir, deployment->config.deployment, true, &deployment->state, err) < 0)
			return -1;
		if (state_secret_key(deployment->state, digester->key, err) < 0)
			return -1;
	}
	digester->has_key = true;
	return 0;
}

static int digest_secrets(struct digester *digester, json_t *value, struct error *err)
{
	const char *name, *digest;
	json_t *item;
	size_t i;

	if (secret_mark_is(value, &name, &digest)) {
		autosecret struct secret secret = { 0 };
		char hex[DIGEST_HEX];

		if (digest)
			return 0;
		if (secret_key(digester, err) < 0 || digester->deployment->config.secret(digester->deployment->config.secret_arg, name, &secret, err) < 0)
			return -1;
		secret_mark_digest(digester->key, name, &secret, hex);
		json_set_string(value, "digest", hex);
		return 0;
	}
	json_object_foreach(value, name, item)
		if (digest_secrets(digester, item, err) < 0)
			return -1;
	json_array_foreach(value, i, item)
		if (digest_secrets(digester, item, err) < 0)
			return -1;
	return 0;
}

/* ---- open and close ---- */

static int choose_site(const struct site_ops *const *sites, struct deployment *deployment, struct error *err)
{
	const char *name = driver_names[deployment->config.intent->driver];
	autojson json_t *stored = NULL;

	if (!deployment->intent && deployment->state) {
		if (state_document(deployment->state, "site", &stored, err) < 0)
			return -1;
		name = json_get_string(stored, "driver", name);
	}
	for (; *sites; sites++) {
		if (streq((*sites)->name, name)) {
			deployment->ops = *sites;
			return 0;
		}
	}
	error_set(err, ERROR_UNSUPPORTED, "driver %s is read and checked; nothing acts on it yet", name);
	return error_hint(err, "for this machine leave the Site's driver out, or write driver: local");
}

/* The last applied files. That they do not read any more (an older program wrote them) may not keep a destroy from working. */
static int read_stored(struct deployment *deployment, struct error *err)
{
	autojson json_t *files = NULL;
	autojson json_t *destroyed = NULL;

	if (!deployment->state)
		return 0;
	if (state_document(deployment->state, "files", &files, err) < 0 || state_document(deployment->state, "destroyed", &destroyed, err) < 0)
		return -1;
	if (!files)
		return 0;
	deployment->has_stored = true;
	if (intent_from_files(files, &deployment->stored, &deployment->stored_error) < 0) {
		error_wrap(&deployment->stored_error, "the kept copy of the files does not read any more");
		return 0;
	}
	for (size_t i = 0; i < json_array_size(destroyed); i++)
		intent_without_tenant(&deployment->stored, json_string_value(json_array_get(destroyed, i)));
	deployment->intent = &deployment->stored;
	json_decref(deployment->files);
	deployment->files = steal(&files);
	return 0;
}

/* It becomes a folder's name. */
static int check_name(const char *name, struct error *err)
{
	size_t n = strlen(name);

	if (n > 0 && n <= NAME_MAX_BYTES && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n && name[0] != '.' && name[0] != '-')
		return 0;
	return error_set(err, ERROR_INPUT, "'%s' is no name of a deployment", name);
}

static int open_state(struct deployment *deployment, const struct deployment_options *options, struct error *err)
{
	struct error problem;

	if (options->offline)
		return 0;
	if (state_open(options->state_dir, deployment->config.deployment, options->write, &deployment->state, &problem) < 0) {
		if (options->write || problem.code != ERROR_NOT_FOUND) {
			*err = problem;
			return -1;
		}
		return 0;
	}
	return options->write ? state_lock(deployment->state, options->lock_wait_ms, err) : 0;
}

static int open_parts(const struct site_ops *const *sites, struct intent *intent, const struct deployment_options *options,
		      struct deployment *deployment, struct error *err)
{
	if (check_name(deployment->config.deployment, err) < 0 || open_state(deployment, options, err) < 0)
		return -1;
	deployment->intent = intent;
	if (!intent && read_stored(deployment, err) < 0)
		return -1;
	site_intent_default(&deployment->site_default, deployment->config.deployment);
	deployment->config.intent = deployment->intent ? &deployment->intent->site : &deployment->site_default;
	deployment->config.whole_intent = deployment->intent;
	if (choose_site(sites, deployment, err) < 0)
		return -1;
	return options->offline ? 0 : deployment->ops->open(&deployment->config, &deployment->site, err);
}

int deployment_open(const struct site_ops *const *sites, struct intent *intent, const char *name,
		    const struct deployment_options *options, struct deployment *ret, struct error *err)
{
	*ret = (struct deployment){
		.config = {
			.deployment = xstrdup(intent ? intent->site.name : name ? name : "local"),
			.state_dir = xstrdup(options->state_dir), .run_dir = xstrdup(options->run_dir), .program_dir = xstrdup(options->program_dir),
			.nvml = options->nvml ? xstrdup(options->nvml) : NULL,
			.secret = read_secret, .secret_arg = ret,
		},
		.decisions = json_object(), .notes = json_array(),
		.files = options->files ? json_deep_copy(options->files) : json_array(),
		.offline = options->offline, .environment = options->environment, .environment_arg = options->environment_arg,
	};
	survey_init(&ret->survey);
	world_init(&ret->world);
	if (open_parts(sites, intent, options, ret, err) < 0) {
		deployment_close(ret);
		return -1;
	}
	return 0;
}

static void clear_expanded(struct deployment *deployment)
{
	json_decref(deployment->facts.json);
	deployment->facts.json = NULL;
	survey_clear(&deployment->survey);
	survey_init(&deployment->survey);
	world_clear(&deployment->world);
	world_init(&deployment->world);
	resources_clear(&deployment->desired);
	json_array_clear(deployment->notes);
	deployment->surveyed = deployment->expanded = false;
}

static void clear_listed(struct deployment *deployment)
{
	resources_clear(&deployment->actual);
	resources_clear(&deployment->applied);
	resources_clear(&deployment->interrupted);
	resources_clear(&deployment->unfinished);
	coverage_clear(&deployment->coverage);
	deployment->listed = false;
}

void deployment_close(struct deployment *deployment)
{
	if (deployment->site)
		deployment->ops->close(deployment->site);
	clear_expanded(deployment);
	clear_listed(deployment);
	survey_clear(&deployment->survey);
	world_clear(&deployment->world);
	state_close(deployment->state);
	if (deployment->has_stored)
		intent_clear(&deployment->stored);
	json_decref(deployment->decisions);
	json_decref(deployment->notes);
	json_decref(deployment->files);
	free((char *)deployment->config.deployment);
	free((char *)deployment->config.state_dir);
	free((char *)deployment->config.run_dir);
	free((char *)deployment->config.program_dir);
	free((char *)deployment->config.nvml);
	*deployment = (struct deployment){ 0 };
}

/* ---- what is ---- */

static int take_resource(void *arg, struct resource *resource)
{
	resources_add(arg, resource);
	return 0;
}

int deployment_list(struct deployment *deployment, struct error *err)
{
	CLEANUP(journal_entries_clear) journal_entries open = { 0 };

	clear_listed(deployment);
	deployment->listed = true;
	if (deployment->offline) {
		for (const struct kind *kind = deployment->ops->kinds; kind->name; kind++)
			coverage_add(&deployment->coverage, kind->name, NULL, COVERAGE_COMPLETE, NULL);
		return 0;
	}
	if (deployment->ops->list(deployment->site, LIST_OURS, take_resource, &deployment->actual, &deployment->coverage, err) < 0)
		return error_wrap(err, "cannot list what is there");
	if (!deployment->state)
		return 0;
	if (state_applied(deployment->state, &deployment->applied, err) < 0 || state_journal_open(deployment->state, &open, err) < 0)
		return -1;
	plan_recover(&open, &deployment->applied, &deployment->interrupted, &deployment->unfinished);
	return 0;
}

/* ---- what shall be ---- */

/* What the state lacks is told by what lives. */
static int read_decisions(struct deployment *deployment, json_t **ret, struct error *err)
{
	autojson json_t *decisions = NULL;
	const char *key;
	json_t *value;

	if (deployment->state) {
		if (state_decisions(deployment->state, &decisions, err) < 0)
			return -1;
	} else {
		decisions = json_object();
	}
	if (!deployment->listed && deployment_list(deployment, err) < 0)
		return -1;
	for (size_t i = 0; i < deployment->actual.n; i++) {
		const struct resource *resource = deployment->actual.items[i];
		json_t *told = json_get_object(resource->body, "decisions");

		if (resource->origin != ORIGIN_OURS)
			continue;
		json_object_foreach(told, key, value)
			decisions_merge_live(decisions, key, value);
	}
	*ret = steal(&decisions);
	return 0;
}

static int probe(struct deployment *deployment, struct error *err)
{
	if (deployment->offline) {
		deployment->facts.json = json_object();
		json_set_bool(deployment->facts.json, "offline", true);
	} else if (deployment->ops->probe(&deployment->config, &deployment->facts, err) < 0) {
		return -1;
	}
	if (deployment->ops->survey(&deployment->facts, &deployment->survey, err) < 0)
		return -1;
	deployment->surveyed = true;
	return 0;
}

static int lower(struct deployment *deployment, struct error *err)
{
	struct digester digester = { .deployment = deployment };
	int result = 0;

	vec_each(&deployment->intent->notes, note)
		json_add(deployment->notes, json_text(*note));
	if (deployment->ops->lower(&deployment->facts, &deployment->config, deployment->intent, &deployment->world, deployment->decisions,
				   &deployment->desired, deployment->notes, err) < 0)
		return -1;
	for (size_t i = 0; i < deployment->desired.n && result == 0; i++)
		result = digest_secrets(&digester, deployment->desired.items[i]->body, err);
	explicit_bzero(digester.key, sizeof(digester.key));
	return result;
}

int deployment_expand(struct deployment *deployment, struct error *err)
{
	autojson json_t *old = NULL;
	json_t *decisions;

	if (!deployment->intent) {
		if (deployment->stored_error.code) {
			*err = deployment->stored_error;
			return -1;
		}
		error_set(err, ERROR_NOT_FOUND, "nothing was ever applied to deployment '%s'", deployment->config.deployment);
		return error_hint(err, "apply a file first");
	}
	clear_expanded(deployment);
	if (probe(deployment, err) < 0 || read_decisions(deployment, &old, err) < 0)
		return -1;
	/* what the file no longer names stays decided until the plan knows that nothing of it remains (forget_decisions) */
	if (decisions_make(deployment->intent, &deployment->survey, old, true, &decisions, err) < 0)
		return -1;
	json_decref(deployment->decisions);
	deployment->decisions = decisions;
	if (world_expand(deployment->intent, &deployment->survey, decisions, &deployment->world, err) < 0)
		return -1;
	if (lower(deployment, err) < 0 || capacity_check(deployment->intent, &deployment->survey, deployment->notes, err) < 0)
		return -1;
	deployment->expanded = true;
	return 0;
}

/* ---- plan ---- */

/* Tenants, and every key with each of its beginnings, of which something remains after the plan. */
struct remains { struct arena arena; struct map tenants, keys; };

static void note_remains(struct remains *remains, const char *key)
{
	char *text = arena_strdup(&remains->arena, key);
	size_t n;

	if (resource_tenant(key, &n))
		map_set(&remains->tenants, arena_strndup(&remains->arena, key, n), remains);
	for (;;) {
		map_set(&remains->keys, text, remains);
		char *slash = strrchr(text, '/');
		if (!slash)
			break;
		text = arena_strndup(&remains->arena, text, (size_t)(slash - text));
	}
}

static void find_remains(const struct plan *plan, struct remains *remains)
{
	arena_init(&remains->arena);
	vec_each(&plan->steps, step)
		if (step->action != STEP_DELETE && (step->action != STEP_NOTHING || step->live))
			note_remains(remains, step->resource->key);
}

static void remains_clear(struct remains *remains)
{
	map_clear(&remains->tenants);
	map_clear(&remains->keys);
	arena_clear(&remains->arena);
}

/* Is it wanted by the file, whatever the plan does? */
static bool decision_wanted(const struct deployment *deployment, const struct plan_options *options, const char *tenant, const char *instance)
{
	const char *of = tenant ? tenant : instance;

	if (options->only_tenant && !(tenant ? streq(tenant, options->only_tenant) : resource_in_tenant(of, options->only_tenant)))
		return true;	/* not this plan's */
	if (options->destroy || !deployment->expanded)
		return false;
	return tenant ? intent_tenant(deployment->intent, tenant) != NULL
		      : world_find_instance(&deployment->world, instance) != WORLD_NONE;
}

/* Decisions of tenants and instances that are neither wanted nor there any more. */
static void forget_decisions(const struct deployment *deployment, const struct plan_options *options, struct plan *plan)
{
	CLEANUP(remains_clear) struct remains remains = { 0 };
	const char *decision;
	json_t *value;
	void *next;

	find_remains(plan, &remains);
	json_object_foreach_safe(plan->decisions, next, decision, value) {
		const char *tenant = starts_with(decision, "tenant/") ? decision + strlen("tenant/") : NULL;
		const char *instance = starts_with(decision, "instance/") ? decision + strlen("instance/") : NULL;
		bool whole = !tenant && !instance;

		if (whole ? !options->destroy || options->only_tenant || remains.keys.n : decision_wanted(deployment, options, tenant, instance))
			continue;
		if (!whole && (tenant ? map_has(&remains.tenants, tenant) : map_has(&remains.keys, instance)))
			continue;
		json_object_del(plan->decisions, decision);
	}
}

static void describe(const struct deployment *deployment, const struct plan_options *options, struct plan *plan)
{
	json_set_string(plan->site, "deployment", deployment->config.deployment);
	json_set_string(plan->site, "driver", deployment->ops->name);
	if (options->destroy)
		json_set_string(plan->site, "tenant", options->only_tenant);
	plan->made_ms = clock_wall_ms(&clock_system);
	if (deployment->facts.json)
		json_object_update(plan->facts, deployment->facts.json);
	json_array_extend(plan->notes, deployment->notes);
	json_array_extend(plan->files, deployment->files);
}

static int take_decisions(struct deployment *deployment, json_t *into, struct error *err)
{
	autojson json_t *decisions = NULL;

	if (read_decisions(deployment, &decisions, err) < 0)
		return -1;
	json_object_update(into, decisions);
	return 0;
}

int deployment_plan(struct deployment *deployment, const struct plan_options *options, struct plan *ret, struct error *err)
{
	struct resources none = { 0 };
	const struct resources *desired = &deployment->desired;
	struct plan_options all = *options;

	if (!deployment->listed && deployment_list(deployment, err) < 0)
		return -1;
	all.interrupted = &deployment->interrupted;
	all.unfinished = &deployment->unfinished;
	if (options->destroy && !options->only_tenant)
		desired = &none;
	describe(deployment, options, ret);
	if (deployment->expanded)
		json_object_update(ret->decisions, deployment->decisions);
	else if (take_decisions(deployment, ret->decisions, err) < 0)
		return -1;
	if (plan_make(deployment->ops->kinds, desired, &deployment->applied, &deployment->actual, &deployment->coverage, &all, ret, err) < 0)
		return -1;
	forget_decisions(deployment, options, ret);
	plan_seal(ret);
	return 0;
}
