/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "data/json.h"
#include "model/labels.h"
#include "model/spec.h"

#include <unistd.h>

static const char lab[] =
	"apiVersion: insula.dev/v1\n"
	"kind: Tenant\n"
	"metadata: {name: vision, labels: {team: eyes}}\n"
	"spec:\n"
	"  members: {users: [ann], groups: [vision]}\n"
	"  weight: 2\n"
	"  quota: {cpu: 16, memory: 64Gi, gpu: 2, storage: 200Gi, instances: 50}\n"
	"  limit: {gpu: 4, pids: 4096, diskBandwidth: 200Mi, networkBandwidth: 1Gi}\n"
	"  network:\n"
	"    allow:\n"
	"      - {from: {tenant: audio}, ports: [tcp/8501]}\n"
	"      - {to: {internet: true}, ports: [tcp/443, udp/5000-5100]}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Tenant\n"
	"metadata: {name: audio}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Workload\n"
	"metadata: {name: train, tenant: vision}\n"
	"spec:\n"
	"  image: oci:./images/trainer\n"
	"  command: [python3, train.py]\n"
	"  env: {EPOCHS: \"20\", TOKEN: {secret: hub}}\n"
	"  volumes:\n"
	"    - {name: data, mountPath: /data, hostPath: /srv/data/../data/x, readOnly: true}\n"
	"    - {name: out, mountPath: /out, size: 10Gi}\n"
	"  resources: {cpu: 2, memory: 8Gi, gpu: 0.5, gpuMemory: 10Gi, gpuModel: [A100, H100]}\n"
	"  replicas: 4\n"
	"  gang: true\n"
	"  priority: 100\n"
	"  restart: onFailure\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Service\n"
	"metadata: {name: model, tenant: vision}\n"
	"spec: {image: server, port: 8501, publish: {address: 0.0.0.0, port: 8080}}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Site\n"
	"metadata: {name: lab}\n"
	"spec: {hostPaths: [/srv/data], images: {server: oci:images/server}}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Secret\n"
	"metadata: {name: hub}\n"
	"spec: {fromFile: ./token}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Study\n"
	"metadata: {name: s}\n"
	"spec: {tenants: [1, 2, 8], weights: {perf: 0.35}}\n";

static void the_nouns_are_read_with_their_defaults(void **state)
{
	struct source source = { "/etc/lab/lab.yaml", lab, strlen(lab) };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	struct intent intent;
	const struct tenant *vision, *audio;

	assert_ok(spec_parse(&source, 1, &intent, &findings, &err));
	assert_int_equal(findings.items.n, 0);
	vision = intent_tenant(&intent, "vision");
	audio = intent_tenant(&intent, "audio");
	assert_ptr_equal(audio, &intent.tenants.items[0]);
	assert_int_equal(vision->quota.cpu, 16000);
	assert_int_equal(vision->limit.cpu, AMOUNT_NONE);
	assert_int_equal(vision->limit.memory, 64LL << 30);
	assert_int_equal(vision->limit.gpu, 4000);
	assert_int_equal(vision->limit.instances, 50);
	assert_int_equal(vision->limit.pids, 4096);
	assert_int_equal(vision->quota.pids, AMOUNT_NONE);
	assert_int_equal(vision->limit.storage, 200LL << 30);
	assert_string_equal(labels_get(&vision->labels, "team"), "eyes");
	assert_string_equal(vision->users.items[0], "ann");
	assert_int_equal(vision->allow_n, 2);
	assert_int_equal(vision->allow[0].peer, PEER_TENANT);
	assert_false(vision->allow[0].to);
	assert_int_equal(vision->allow[1].peer, PEER_INTERNET);
	assert_int_equal(vision->allow[1].ports.items[1].last, 5100);
	assert_int_equal(vision->allow[1].mark.line, 12);
	assert_int_equal(audio->limit.storage, 10LL << 30);
	assert_int_equal(audio->limit.memory, AMOUNT_NONE);
	assert_int_equal(audio->weight, 1);
	assert_int_equal(audio->trust, TRUST_NORMAL);
	assert_string_equal(intent.site.name, "lab");
	assert_int_equal(intent.site.image_store_limit, 50LL << 30);
	assert_int_equal(intent.site.starvation, 86400000);
	assert_string_equal(intent.secrets.items[0].from_file, "/etc/lab/token");
	assert_int_equal(intent.studies.items[0].tenant_n, 3);
	assert_string_equal(labels_get(&intent.studies.items[0].weights, "perf"), "0.35");
	assert_int_equal(strlen(intent.digest), 64);
	intent_clear(&intent);
}

static void workloads_and_services(void **state)
{
	struct source source = { "/etc/lab/lab.yaml", lab, strlen(lab) };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	struct intent intent;
	const struct workload *train, *model;

	assert_ok(spec_parse(&source, 1, &intent, &findings, &err));
	train = intent_workload(&intent, "vision", "train");
	model = intent_workload(&intent, "vision", "model");
	assert_string_equal(train->image, "oci:/etc/lab/images/trainer");
	assert_int_equal(train->command.n, 2);
	assert_int_equal(train->env_n, 2);
	assert_string_equal(train->env[0].value, "20");
	assert_string_equal(train->env[1].secret, "hub");
	assert_string_equal(train->volumes[0].host_path, "/srv/data/x");
	assert_true(train->volumes[0].read_only);
	assert_true(train->volumes[1].keep);
	assert_int_equal(train->volumes[1].size, 10LL << 30);
	assert_int_equal(train->resources.gpu, 500);
	assert_int_equal(train->resources.gpu_models.n, 2);
	assert_int_equal(train->min_replicas, 4);
	assert_int_equal(train->restart, RESTART_ON_FAILURE);
	assert_null(train->service);
	assert_int_equal(model->restart, RESTART_ALWAYS);
	assert_string_equal(model->image, "oci:/etc/lab/images/server");
	assert_int_equal(model->resources.cpu, AMOUNT_NONE);
	assert_int_equal(model->service->port, 8501);
	assert_int_equal(model->service->publish_port, 8080);
	assert_int_equal(model->service->protocol, PROTOCOL_TCP);
	assert_int_equal(model->service->scale_max, 1);
	assert_null(intent_workload(&intent, "audio", "train"));
	assert_int_equal(intent.notes.n, 4);
	assert_string_equal(intent.notes.items[0], "tenant vision: members is read and checked; nothing acts on it yet");
	assert_string_equal(intent.notes.items[1], "workload vision/train: resources.gpu is read and checked; nothing acts on it yet");
	assert_string_equal(intent.notes.items[2], "workload vision/train: priority is read and checked; nothing acts on it yet");
	assert_string_equal(intent.notes.items[3], "kind Study is read and checked; nothing acts on it yet");
	intent_clear(&intent);
}

static void an_empty_file_is_a_local_site(void **state)
{
	struct source source = { "empty.yaml", "# nothing\n", 10 };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	struct intent intent;

	assert_ok(spec_parse(&source, 1, &intent, &findings, &err));
	assert_string_equal(intent.site.name, "local");
	assert_int_equal(intent.site.driver, DRIVER_LOCAL);
	assert_int_equal(intent.tenants.n, 0);
	intent_clear(&intent);
}

static void folders_and_files_are_read(void **state)
{
	char *dir = temp_dir_make();
	autofree char *one = fs_join(dir, "b.yaml"), *two = fs_join(dir, "a.yml"), *other = fs_join(dir, "c.txt");
	static const char tenant[] = "apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: t}\n";
	static const char work[] = "apiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: t}\nspec: {image: ./root}\n";
	const char *paths[] = { dir };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	json_t *sources;
	struct intent intent;
	autofree char *expected = xasprintf("rootfs:%s/root", dir);

	assert_fails(spec_read(paths, 1, &intent, &findings, &err), "has no .yaml file");
	assert_ok(fs_replace_file(one, work, strlen(work), 0600, false, &err));
	assert_ok(fs_replace_file(two, tenant, strlen(tenant), 0600, false, &err));
	assert_ok(fs_replace_file(other, "{", 1, 0600, false, &err));
	assert_ok(spec_read(paths, 1, &intent, &findings, &err));
	assert_string_equal(intent.workloads.items[0].image, expected);
	intent_clear(&intent);
	assert_ok(spec_sources(paths, 1, &sources, &err));
	assert_int_equal(json_array_size(sources), 2);
	assert_string_equal(json_get_string(json_array_get(sources, 0), "name", ""), two);
	assert_string_equal(json_get_string(json_array_get(sources, 1), "text", ""), work);
	json_decref(sources);
	paths[0] = "/nonexistent/file.yaml";
	assert_fails(spec_read(paths, 1, &intent, &findings, &err), "/nonexistent/file.yaml");
	assert_int_equal(err.code, ERROR_INPUT);
	temp_dir_remove(dir);
}

static void fields_are_explained(void **state)
{
	static const struct { const char *path, *text; } cases[] = {
		{ "", "tenant     a team with its island" }, { "tenant", "fields of tenant.spec" }, { "Tenant", "weight" },
		{ "tenant.spec.quota.gpu", "GPUs; 0.5 is half of one" }, { "workload.spec.volumes.size", "bytes" }, { "service.spec.restart", "default  always" },
		{ "service.spec.image", "image reference" }, { "workload.spec.restart", "default  never" }, { "tenant.spec.weight", "1 to 10000" },
		{ "workload.spec.method", "a virtual machine with its own kernel" }, { "tenant.spec.network.allow.to.cidr", "range of addresses" },
		{ "tenant.metadata.name", "DNS label" },
	};
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autobuf struct buf text = { 0 };

		assert_ok(spec_explain(cases[i].path, &text, &err));
		if (!strstr(text.data, cases[i].text))
			fail_msg("%s: \"%s\" is not in:\n%s", cases[i].path, cases[i].text, text.data);
	}
}

static void what_is_not_there_has_a_nearest_name(void **state)
{
	static const struct { const char *path, *message, *hint; } cases[] = {
		{ "tennant", "no kind 'tennant'", "'tenant'" }, { "tenant.spec.quota.memmory", "no field 'memmory' in tenant.spec.quota", "'tenant.spec.quota.memory'" },
		{ "tenant.spec.weight.x", "has no fields", "insula explain tenant.spec.weight" }, { "tenant.zzzzzz", "no field", "lists its fields" },
	};
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autobuf struct buf text = { 0 };

		assert_fails(spec_explain(cases[i].path, &text, &err), cases[i].message);
		assert_int_equal(err.code, ERROR_INPUT);
		assert_non_null(strstr(err.hint, cases[i].hint));
	}
}

static void the_schema_and_the_reference_hold_every_field(void **state)
{
	autobuf struct buf schema = { 0 }, reference = { 0 };
	struct error err = { 0 };
	json_t *json;

	spec_schema(&schema);
	assert_ok(json_parse("schema", schema.data, schema.n, JSON_SIZE_MAX, &json, &err));
	assert_int_equal(json_array_size(json_get_array(json, "oneOf")), 9);
	json_decref(json);
	spec_reference(&reference);
	assert_non_null(strstr(reference.data, "| `tenant.spec.limit.networkBandwidth` | quantity of bytes a second"));
	assert_non_null(strstr(reference.data, "| `service.spec.publish.port` |"));
	assert_non_null(strstr(reference.data, "## Secret"));
}

static void count_path(void *arg, const char *path)
{
	struct error err = { 0 };
	autobuf struct buf text = { 0 };

	++*(size_t *)arg;
	assert_ok(spec_explain(path, &text, &err));
	assert_true(text.n > 0);
}

static void every_path_can_be_explained(void **state)
{
	size_t n = 0, all = spec_paths("", count_path, &n);

	assert_int_equal(n, all);
	assert_true(all > 150);
	assert_int_equal(spec_paths("tenant.spec.quota.", NULL, NULL), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nouns_are_read_with_their_defaults),
		cmocka_unit_test(workloads_and_services),
		cmocka_unit_test(an_empty_file_is_a_local_site),
		cmocka_unit_test(folders_and_files_are_read),
		cmocka_unit_test(fields_are_explained),
		cmocka_unit_test(what_is_not_there_has_a_nearest_name),
		cmocka_unit_test(the_schema_and_the_reference_hold_every_field),
		cmocka_unit_test(every_path_can_be_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
