/* SPDX-License-Identifier: Apache-2.0 */
/* The nouns of the file that describe: Site, Node, Pipeline, Study, Prices, Secret; and the list of all kinds. */
#include "spec_tables.h"

#define SITE(member) offsetof(struct site_intent, member)
#define NODE(member) offsetof(struct node_declared, member)
#define STUDY(member) offsetof(struct study, member)
#define PRICES(member) offsetof(struct prices, member)

/* Site */

static const struct choice driver_choices[] = {
	{ "local", DRIVER_LOCAL, "this machine" },
	{ "kubernetes", DRIVER_KUBERNETES, "a cluster, by `context`" },
	{ "openstack", DRIVER_OPENSTACK, "a cloud, by `cloud`" },
	{ "stack", DRIVER_STACK, "a cluster on a cloud" },
	{ "files", DRIVER_FILES, "manifests and exports, read only" },
	{ 0 },
};

static const struct choice strangers_choices[] = {
	{ "report", STRANGERS_REPORT, "what is not ours is reported" },
	{ "refuse", STRANGERS_REFUSE, "nothing is done while there is something that is not ours" },
	{ 0 },
};

static const struct field image_store_fields[] = {
	{ .name = "limit", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = 1 << 20, .max = AMOUNT_MOST, .absent = "50Gi", .offset = SITE(image_store_limit),
	  .doc = "most that unpacked images may take" },
	{ 0 },
};
static const struct table image_store_table = { .fields = image_store_fields };

static const struct field site_fields[] = {
	{ .name = "driver", .type = VALUE_CHOICE, .choices = driver_choices, .absent = "local", .offset = SITE(driver), .doc = "what the islands are made of" },
	{ .name = "context", .type = VALUE_TEXT, .offset = SITE(context), .absent_doc = "the current one", .doc = "kubernetes: context of the kubeconfig" },
	{ .name = "cloud", .type = VALUE_TEXT, .offset = SITE(cloud), .absent_doc = "OS_CLOUD", .doc = "openstack: name in clouds.yaml" },
	{ .name = "hostPaths", .type = VALUE_NAMES, .form = &form_path, .offset = SITE(host_paths), .doc = "folders of the host that volumes may show" },
	{ .name = "addressPool", .type = VALUE_TEXT, .form = &form_prefix, .offset = SITE(address_pool), .absent_doc = "the first free of 10.77.0.0/16, 10.177.0.0/16, 172.29.0.0/16, 192.168.0.0/17",
	  .doc = "private IPv4 range that all tenants' networks are cut from" },
	{ .name = "dns", .type = VALUE_NAMES, .form = &form_address, .offset = SITE(dns), .absent_doc = "the host's", .doc = "resolvers for names that are not ours" },
	{ .name = "imageStore", .type = VALUE_OBJECT, .table = &image_store_table, .doc = "the store of images" },
	{ .name = "strangers", .type = VALUE_CHOICE, .choices = strangers_choices, .absent = "report", .offset = SITE(strangers), .doc = "what to do about things that are not ours" },
	{ .name = "images", .type = VALUE_LABELS, .form = &form_image, .offset = SITE(images), .doc = "short names: alias: reference" },
	{ .name = "starvation", .type = VALUE_AMOUNT, .unit = &unit_duration, .min = 1000, .max = INT64_MAX, .absent = "24h", .offset = SITE(starvation),
	  .doc = "how long an older workload may be passed by" },
	{ 0 },
};
const struct table table_site = { .fields = site_fields };

/* Node */

static const struct field gpu_fields[] = {
	{ .name = "model", .type = VALUE_TEXT, .required = true, .offset = offsetof(struct gpu_declared, model), .doc = "model, like A100" },
	{ .name = "count", .type = VALUE_INTEGER, .min = 1, .max = 1024, .absent = "1", .offset = offsetof(struct gpu_declared, count), .doc = "how many" },
	{ .name = "memory", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = 1 << 20, .max = AMOUNT_MOST, .offset = offsetof(struct gpu_declared, memory), .doc = "memory of each" },
	{ .name = "mig", .type = VALUE_NAMES, .offset = offsetof(struct gpu_declared, mig), .doc = "partitions it is cut into" },
	{ 0 },
};
static const struct table gpu_table = { .fields = gpu_fields, .size = sizeof(struct gpu_declared) };

static const struct field taint_fields[] = {
	{ .name = "key", .type = VALUE_TEXT, .required = true, .offset = offsetof(struct taint, key), .doc = "key" },
	{ .name = "value", .type = VALUE_TEXT, .offset = offsetof(struct taint, value), .doc = "value" },
	{ .name = "effect", .type = VALUE_TEXT, .form = &form_effect, .absent = "NoSchedule", .offset = offsetof(struct taint, effect), .doc = "NoSchedule, PreferNoSchedule or NoExecute" },
	{ 0 },
};
static const struct table taint_table = { .fields = taint_fields, .size = sizeof(struct taint) };

static const struct field node_fields[] = {
	{ .name = "cpu", .type = VALUE_AMOUNT, .unit = &unit_cpu, .min = CPU_LEAST, .max = CPU_MOST, .required = true, .offset = NODE(cpu), .doc = "cores" },
	{ .name = "memory", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = MEMORY_LEAST, .max = AMOUNT_MOST, .required = true, .offset = NODE(memory), .doc = "memory" },
	{ .name = "pods", .type = VALUE_INTEGER, .min = 1, .max = INSTANCES_MAX, .offset = NODE(pods), .doc = "instances at one time" },
	{ .name = "gpus", .type = VALUE_LIST, .table = &gpu_table, .offset = NODE(gpus), .count = NODE(gpu_n), .doc = "GPUs" },
	{ .name = "labels", .type = VALUE_LABELS, .form = &form_label_value, .offset = NODE(labels), .doc = "what nodeSelector asks for" },
	{ .name = "taints", .type = VALUE_LIST, .table = &taint_table, .offset = NODE(taints), .count = NODE(taint_n), .doc = "what keeps workloads away" },
	{ .name = "topology", .type = VALUE_LABELS, .form = &form_label_value, .offset = NODE(topology), .doc = "where it stands: rack: r1" },
	{ 0 },
};
const struct table table_node = { .fields = node_fields };

/* Pipeline */

static const struct field pipeline_fields[] = {
	{ .name = "file", .type = VALUE_TEXT, .form = &form_path, .required = true, .offset = offsetof(struct pipeline, file), .doc = "compiled Kubeflow pipeline (YAML)" },
	{ .name = "arguments", .type = VALUE_CUSTOM, .custom = &custom_scalars, .offset = offsetof(struct pipeline, arguments), .doc = "its parameters" },
	{ 0 },
};
const struct table table_pipeline = { .fields = pipeline_fields };

/* Study */

static const struct field study_fields[] = {
	{ .name = "probes", .type = VALUE_NAMES, .form = &form_name, .offset = STUDY(probes), .absent_doc = "all", .doc = "what is measured" },
	{ .name = "methods", .type = VALUE_NAMES, .form = &form_method, .offset = STUDY(methods), .absent_doc = "all that work", .doc = "bare, vm, container" },
	{ .name = "tenants", .type = VALUE_CUSTOM, .custom = &custom_integers, .offset = STUDY(tenants), .count = STUDY(tenant_n), .absent_doc = "[1]", .doc = "numbers of tenants at one time" },
	{ .name = "placement", .type = VALUE_NAMES, .form = &form_name, .offset = STUDY(placement), .doc = "placements that are compared" },
	{ .name = "precision", .type = VALUE_NUMBER, .absent = "0.02", .offset = STUDY(precision), .doc = "half width of a ratio's confidence interval at which a cell is done" },
	{ .name = "budget", .type = VALUE_AMOUNT, .unit = &unit_duration, .min = 1000, .max = INT64_MAX, .absent = "30m", .offset = STUDY(budget), .doc = "time it may take" },
	{ .name = "seed", .type = VALUE_INTEGER, .min = 0, .max = INT64_MAX, .absent = "1", .offset = STUDY(seed), .doc = "seed of every random choice" },
	{ .name = "weights", .type = VALUE_CUSTOM, .custom = &custom_scalars, .offset = STUDY(weights), .doc = "weights of the recommendation: perf: 0.35" },
	{ 0 },
};
const struct table table_study = { .fields = study_fields };

/* Prices */

static const struct field prices_fields[] = {
	{ .name = "currency", .type = VALUE_TEXT, .form = &form_currency, .absent = "USD", .offset = PRICES(currency), .doc = "currency of all prices" },
	{ .name = "date", .type = VALUE_TEXT, .form = &form_date, .offset = PRICES(date), .doc = "day the prices are of" },
	{ .name = "cpuHour", .type = VALUE_AMOUNT, .unit = &unit_price, .offset = PRICES(cpu_hour), .doc = "one core for an hour" },
	{ .name = "memoryGibHour", .type = VALUE_AMOUNT, .unit = &unit_price, .offset = PRICES(gib_hour), .doc = "one GiB of memory for an hour" },
	{ .name = "gpuHour", .type = VALUE_CUSTOM, .custom = &custom_gpu_prices, .doc = "one GPU for an hour, by model" },
	{ .name = "storageGibMonth", .type = VALUE_AMOUNT, .unit = &unit_price, .offset = PRICES(gib_month), .doc = "one GiB of storage for a month" },
	{ .name = "egressGib", .type = VALUE_AMOUNT, .unit = &unit_price, .offset = PRICES(egress_gib), .doc = "one GiB to the internet" },
	{ 0 },
};
const struct table table_prices = { .fields = prices_fields };

/* Secret */

static const struct field secret_fields[] = {
	{ .name = "fromFile", .type = VALUE_TEXT, .form = &form_path, .offset = offsetof(struct secret_source, from_file), .doc = "file that holds the value; exactly one of fromFile and fromEnv" },
	{ .name = "fromEnv", .type = VALUE_TEXT, .form = &form_env_name, .offset = offsetof(struct secret_source, from_env), .doc = "variable of insula's environment that holds the value" },
	{ 0 },
};
const struct table table_secret = { .fields = secret_fields };

/* Documents */

static const struct field metadata_fields[] = {
	{ .name = "name", .type = VALUE_TEXT, .form = &form_name, .required = true, .offset = offsetof(struct document, name), .doc = "name, unique among its kind" },
	{ .name = "labels", .type = VALUE_LABELS, .form = &form_label_value, .offset = offsetof(struct document, labels), .doc = "labels of your own" },
	{ 0 },
};
static const struct table metadata_table = { .fields = metadata_fields };

static const struct field tenant_metadata_fields[] = {
	{ .name = "tenant", .type = VALUE_TEXT, .form = &form_name, .required = true, .offset = offsetof(struct document, tenant), .doc = "the tenant it belongs to" },
	{ 0 },
};
static const struct table tenant_metadata_table = { .fields = tenant_metadata_fields, .base = &metadata_table };

static const struct field secret_metadata_fields[] = {
	{ .name = "tenant", .type = VALUE_TEXT, .form = &form_name, .offset = offsetof(struct document, tenant), .absent_doc = "every tenant", .doc = "the only tenant that may use it" },
	{ 0 },
};
static const struct table secret_metadata_table = { .fields = secret_metadata_fields, .base = &metadata_table };

#define DOCUMENT(symbol, metadata, spec_table, need) \
	static const struct field symbol[] = { \
		{ .name = "apiVersion", .type = VALUE_TEXT, .form = &form_api_version, .required = true, \
		  .offset = offsetof(struct document, api_version), .doc = API_VERSION }, \
		{ .name = "kind", .type = VALUE_TEXT, .required = true, .offset = offsetof(struct document, kind), .doc = "what the document describes" }, \
		{ .name = "metadata", .type = VALUE_OBJECT, .table = &(metadata), .required = true, .doc = "what it is called" }, \
		{ .name = "spec", .type = VALUE_OBJECT, .table = &(spec_table), .required = (need), .offset = NOUN_OFFSET, .doc = "what it is" }, \
		{ 0 }, \
	}

DOCUMENT(tenant_document, metadata_table, table_tenant, false);
DOCUMENT(workload_document, tenant_metadata_table, table_workload, true);
DOCUMENT(service_document, tenant_metadata_table, table_service, true);
DOCUMENT(pipeline_document, tenant_metadata_table, table_pipeline, true);
DOCUMENT(site_document, metadata_table, table_site, false);
DOCUMENT(node_document, metadata_table, table_node, true);
DOCUMENT(study_document, metadata_table, table_study, false);
DOCUMENT(prices_document, metadata_table, table_prices, true);
DOCUMENT(secret_document, secret_metadata_table, table_secret, true);

const struct kind_table kind_tables[] = {
	{ "Tenant", "tenant", { .fields = tenant_document }, sizeof(struct tenant), finish_tenant, "a team with its island: quota, limits, and who reaches it" },
	{ "Workload", "workload", { .fields = workload_document }, sizeof(struct workload), finish_workload, "something a tenant runs" },
	{ "Service", "service", { .fields = service_document }, sizeof(struct service_noun), finish_service, "a workload that listens; it has all fields of a Workload" },
	{ "Pipeline", "pipeline", { .fields = pipeline_document }, sizeof(struct pipeline), finish_pipeline, "a compiled Kubeflow pipeline of a tenant" },
	{ "Site", "site", { .fields = site_document }, sizeof(struct site_intent), finish_site, "where everything lives; its name is the deployment's" },
	{ "Node", "node", { .fields = node_document }, sizeof(struct node_declared), finish_node, "a machine that is declared, for planning and simulation" },
	{ "Study", "study", { .fields = study_document }, sizeof(struct study), finish_study, "what is measured, and how well" },
	{ "Prices", "prices", { .fields = prices_document }, sizeof(struct prices), finish_prices, "what things cost" },
	{ "Secret", "secret", { .fields = secret_document }, sizeof(struct secret_source), finish_secret, "where a secret value is read from when it is needed; it is kept nowhere" },
	{ 0 },
};

const struct kind_table *kind_table_find(const char *name)
{
	for (const struct kind_table *kind = kind_tables; kind->name; kind++)
		if (streq(kind->name, name) || streq(kind->path, name))
			return kind;
	return NULL;
}
