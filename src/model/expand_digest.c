/* SPDX-License-Identifier: Apache-2.0 */
#include "expand_internal.h"

static json_t *names_json(const struct names *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < names->n; i++)
		json_add(list, json_text(names->items[i]));
	return list;
}

static void set_amount(json_t *object, const char *key, int64_t value)
{
	if (value != AMOUNT_NONE)
		json_set_int(object, key, value);
}

static json_t *env_json(const struct workload *workload)
{
	json_t *env = json_object();

	for (size_t i = 0; i < workload->env_n; i++) {
		json_t *value = json_object();

		json_set_string(value, "value", workload->env[i].value);
		json_set_string(value, "secret", workload->env[i].secret);
		json_set(env, workload->env[i].name, value);
	}
	return env;
}

static json_t *volumes_json(const struct workload *workload)
{
	json_t *list = json_array();

	for (size_t i = 0; i < workload->volume_n; i++) {
		const struct volume *volume = &workload->volumes[i];
		json_t *item = json_object();

		json_set_string(item, "name", volume->name);
		json_set_string(item, "mountPath", volume->mount_path);
		json_set_string(item, "hostPath", volume->host_path);
		json_set_bool(item, "readOnly", volume->read_only);
		json_add(list, item);
	}
	return list;
}

static json_t *resources_json(const struct workload *workload)
{
	const struct resources_claim *claim = &workload->resources;
	json_t *object = json_object();

	set_amount(object, "cpu", claim->cpu);
	set_amount(object, "memory", claim->memory);
	set_amount(object, "gpu", claim->gpu);
	set_amount(object, "gpuMemory", claim->gpu_memory);
	json_set(object, "gpuModels", names_json(&claim->gpu_models));
	json_set_string(object, "mig", workload->mig);
	return object;
}

const char *workload_digest(struct arena *arena, const struct workload *workload, enum method method)
{
	autojson json_t *spec = json_object();
	char hex[DIGEST_HEX];

	json_set_string(spec, "tenant", workload->tenant);
	json_set_string(spec, "workload", workload->name);
	json_set_string(spec, "method", method_name(method));
	json_set_string(spec, "image", workload->image);
	json_set_string(spec, "kernel", workload->kernel);
	json_set(spec, "command", names_json(&workload->command));
	json_set(spec, "packages", names_json(&workload->packages));
	json_set(spec, "env", env_json(workload));
	json_set_string(spec, "workingDir", workload->working_dir);
	json_set(spec, "volumes", volumes_json(workload));
	json_set(spec, "resources", resources_json(workload));
	json_set_int(spec, "restart", workload->restart);
	json_set_int(spec, "cores", workload->cores);
	json_set_bool(spec, "allowEmulation", workload->allow_emulation);
	if (workload->service) {
		json_set_int(spec, "port", workload->service->port);
		json_set_int(spec, "protocol", workload->service->protocol);
	}
	json_digest(spec, hex);
	return arena_strdup(arena, hex);
}
