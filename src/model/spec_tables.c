/* SPDX-License-Identifier: Apache-2.0 */
/* The nouns of the file that run: Tenant, Workload, Service. The other kinds are in spec_tables_site.c. */
#include "spec_tables.h"

#define TENANT(member) offsetof(struct tenant, member)
#define WORKLOAD(member) offsetof(struct workload, member)
#define CLAIM(member) offsetof(struct resources_claim, member)
#define AMOUNT(member) offsetof(struct amounts, member)
#define SERVICE(member) offsetof(struct service_noun, member)

/* Tenant */

static const struct choice trust_choices[] = {
	{ "untrusted", TRUST_UNTRUSTED, "vm only" },
	{ "normal", TRUST_NORMAL, "vm or container" },
	{ "trusted", TRUST_TRUSTED, "every method, bare too" },
	{ 0 },
};

static const struct choice reclaim_choices[] = {
	{ "quota", RECLAIM_QUOTA, "take back up to the quota only" },
	{ "fairShare", RECLAIM_FAIR_SHARE, "take back up to the fair share" },
	{ 0 },
};

static const struct choice order_choices[] = {
	{ "strict", ORDER_STRICT, "the first of the queue blocks those behind it" },
	{ "bestEffort", ORDER_BEST_EFFORT, "smaller ones may pass" },
	{ 0 },
};

static const struct field members_fields[] = {
	{ .name = "users", .type = VALUE_NAMES, .form = &form_user, .offset = TENANT(users), .doc = "users of this machine who may use the tenant" },
	{ .name = "groups", .type = VALUE_NAMES, .form = &form_user, .offset = TENANT(groups), .doc = "groups whose members may use the tenant" },
	{ 0 },
};
static const struct table members_table = { .fields = members_fields };

static const struct field quota_fields[] = {
	{ .name = "cpu", .type = VALUE_AMOUNT, .unit = &unit_cpu, .max = CPU_MOST, .offset = AMOUNT(cpu), .doc = "processor time that is guaranteed" },
	{ .name = "memory", .type = VALUE_AMOUNT, .unit = &unit_bytes, .max = AMOUNT_MOST, .offset = AMOUNT(memory), .doc = "memory that is guaranteed" },
	{ .name = "gpu", .type = VALUE_AMOUNT, .unit = &unit_gpu, .max = CPU_MOST, .offset = AMOUNT(gpu), .doc = "GPUs that are guaranteed" },
	{ .name = "storage", .type = VALUE_AMOUNT, .unit = &unit_bytes, .max = AMOUNT_MOST, .offset = AMOUNT(storage), .doc = "storage that is guaranteed, for volumes" },
	{ .name = "instances", .type = VALUE_AMOUNT, .unit = &unit_count, .max = INSTANCES_MAX, .offset = AMOUNT(instances), .doc = "instances that are guaranteed" },
	{ 0 },
};
static const struct table quota_table = { .fields = quota_fields };

static const struct field limit_fields[] = {
	{ .name = "cpu", .type = VALUE_AMOUNT, .unit = &unit_cpu, .min = CPU_LEAST, .max = CPU_MOST, .offset = AMOUNT(cpu),
	  .doc = "processor time of all instances together, at most" },
	{ .name = "memory", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = MEMORY_LEAST, .max = AMOUNT_MOST, .offset = AMOUNT(memory),
	  .absent_doc = "quota.memory", .doc = "memory of all instances together, at most" },
	{ .name = "gpu", .type = VALUE_AMOUNT, .unit = &unit_gpu, .max = CPU_MOST, .offset = AMOUNT(gpu), .doc = "GPUs of all instances together, at most" },
	{ .name = "storage", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = MEMORY_LEAST, .max = AMOUNT_MOST, .offset = AMOUNT(storage),
	  .absent_doc = "quota.storage, else 10Gi", .doc = "size of the tenant's storage; it grows by a new plan and never shrinks" },
	{ .name = "instances", .type = VALUE_AMOUNT, .unit = &unit_count, .max = INSTANCES_MAX, .offset = AMOUNT(instances),
	  .absent_doc = "quota.instances", .doc = "instances at one time; sizes the tenant's network too" },
	{ .name = "pids", .type = VALUE_AMOUNT, .unit = &unit_count, .min = 16, .max = 4194304, .offset = AMOUNT(pids),
	  .doc = "processes and threads of all instances together" },
	{ .name = "diskBandwidth", .type = VALUE_AMOUNT, .unit = &unit_rate, .min = 1024, .max = AMOUNT_MOST, .offset = AMOUNT(disk_bandwidth),
	  .doc = "reading and writing of storage, each" },
	{ .name = "networkBandwidth", .type = VALUE_AMOUNT, .unit = &unit_rate, .min = 1024, .max = AMOUNT_MOST, .offset = AMOUNT(network_bandwidth),
	  .doc = "receiving and sending, each" },
	{ 0 },
};
static const struct table limit_table = { .fields = limit_fields };

static const struct field allow_fields[] = {
	{ .name = "from", .type = VALUE_CUSTOM, .custom = &custom_peer, .table = &table_peer_from, .doc = "who may come in; exactly one of from and to" },
	{ .name = "to", .type = VALUE_CUSTOM, .custom = &custom_peer, .table = &table_peer_to, .doc = "where this tenant's instances may go" },
	{ .name = "ports", .type = VALUE_CUSTOM, .custom = &custom_ports, .offset = offsetof(struct allow, ports), .absent_doc = "all",
	  .doc = "protocols and ports: tcp/8501, udp/5000-5100, tcp, icmp" },
	{ 0 },
};
static const struct table allow_table = {
	.fields = allow_fields, .size = sizeof(struct allow), .marked = true, .mark_offset = offsetof(struct allow, mark),
};

static const struct field network_fields[] = {
	{ .name = "allow", .type = VALUE_LIST, .table = &allow_table, .offset = TENANT(allow), .count = TENANT(allow_n),
	  .doc = "what may pass besides traffic within the tenant; all else is denied" },
	{ 0 },
};
static const struct table network_table = { .fields = network_fields };

static const struct field tenant_fields[] = {
	{ .name = "members", .type = VALUE_OBJECT, .table = &members_table, .doc = "who may use the tenant" },
	{ .name = "trust", .type = VALUE_CHOICE, .choices = trust_choices, .absent = "normal", .offset = TENANT(trust), .doc = "which methods its workloads may use" },
	{ .name = "weight", .type = VALUE_INTEGER, .min = 1, .max = 10000, .absent = "1", .offset = TENANT(weight), .doc = "share of what is idle, up to the limit" },
	{ .name = "quota", .type = VALUE_OBJECT, .table = &quota_table, .offset = TENANT(quota), .doc = "what is guaranteed" },
	{ .name = "limit", .type = VALUE_OBJECT, .table = &limit_table, .offset = TENANT(limit), .doc = "what is never exceeded" },
	{ .name = "network", .type = VALUE_OBJECT, .table = &network_table, .doc = "who reaches whom" },
	{ .name = "parent", .type = VALUE_TEXT, .form = &form_name, .offset = TENANT(parent), .doc = "tenant whose quota this one is part of" },
	{ .name = "borrowingLimit", .type = VALUE_OBJECT, .table = &quota_table, .offset = TENANT(borrowing_limit), .doc = "how much may be used beyond the quota" },
	{ .name = "lendingLimit", .type = VALUE_OBJECT, .table = &quota_table, .offset = TENANT(lending_limit), .doc = "how much of the quota others may use while it is idle" },
	{ .name = "reclaim", .type = VALUE_CHOICE, .choices = reclaim_choices, .absent = "quota", .offset = TENANT(reclaim), .doc = "how much is taken back from those who borrowed" },
	{ .name = "order", .type = VALUE_CHOICE, .choices = order_choices, .absent = "bestEffort", .offset = TENANT(order), .doc = "order of the tenant's own queue" },
	{ .name = "usageHalfLife", .type = VALUE_AMOUNT, .unit = &unit_duration, .min = 1000, .max = INT64_MAX, .offset = TENANT(usage_half_life),
	  .doc = "after this time past usage counts half" },
	{ 0 },
};
const struct table table_tenant = { .fields = tenant_fields };

/* Workload */

static const struct choice method_choices[] = {
	{ "auto", METHOD_AUTO, "the cheapest that trust and the site allow" },
	{ "container", METHOD_CONTAINER, "namespaces and control groups, the host's kernel" },
	{ "vm", METHOD_VM, "a virtual machine with its own kernel" },
	{ "bare", METHOD_BARE, "on the host itself, for trusted tenants" },
	{ 0 },
};

static const struct choice restart_choices[] = {
	{ "never", RESTART_NEVER, "it runs once" },
	{ "onFailure", RESTART_ON_FAILURE, "again after a status that is not 0" },
	{ "always", RESTART_ALWAYS, "again whenever it ends" },
	{ 0 },
};

static const struct choice cores_choices[] = {
	{ "exclusive", CORES_EXCLUSIVE, "cores of its own" },
	{ "shared", CORES_SHARED, "cores that others use too" },
	{ 0 },
};

static const struct field volume_fields[] = {
	{ .name = "name", .type = VALUE_TEXT, .form = &form_name, .offset = offsetof(struct volume, name), .absent_doc = "required without hostPath",
	  .doc = "name within the tenant; workloads that name the same volume share it" },
	{ .name = "mountPath", .type = VALUE_TEXT, .form = &form_absolute_path, .required = true, .offset = offsetof(struct volume, mount_path), .doc = "where the instance sees it" },
	{ .name = "hostPath", .type = VALUE_TEXT, .form = &form_path, .offset = offsetof(struct volume, host_path), .doc = "a folder of the host, within the Site's hostPaths" },
	{ .name = "readOnly", .type = VALUE_BOOL, .absent = "false", .offset = offsetof(struct volume, read_only), .doc = "writing is refused" },
	{ .name = "size", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = 1 << 20, .max = AMOUNT_MOST, .offset = offsetof(struct volume, size),
	  .absent_doc = "the tenant's storage", .doc = "most that the volume holds" },
	{ .name = "keep", .type = VALUE_BOOL, .absent = "true", .offset = offsetof(struct volume, keep), .doc = "survives destroy, unless --delete-data is given" },
	{ 0 },
};
static const struct table volume_table = {
	.fields = volume_fields, .size = sizeof(struct volume), .marked = true, .mark_offset = offsetof(struct volume, mark),
};

static const struct field resources_fields[] = {
	{ .name = "cpu", .type = VALUE_AMOUNT, .unit = &unit_cpu, .min = CPU_LEAST, .max = CPU_MOST, .offset = CLAIM(cpu),
	  .absent_doc = "the tenant's limit", .doc = "processor time of each replica, at most" },
	{ .name = "memory", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = MEMORY_LEAST, .max = AMOUNT_MOST, .offset = CLAIM(memory),
	  .absent_doc = "the tenant's limit", .doc = "memory of each replica, at most" },
	{ .name = "gpu", .type = VALUE_AMOUNT, .unit = &unit_gpu, .max = CPU_MOST, .offset = CLAIM(gpu), .doc = "GPUs of each replica; a fraction shares one" },
	{ .name = "gpuMemory", .type = VALUE_AMOUNT, .unit = &unit_bytes, .min = 1 << 20, .max = AMOUNT_MOST, .offset = CLAIM(gpu_memory), .doc = "memory that each GPU must have, or its share of one" },
	{ .name = "gpuModel", .type = VALUE_NAMES, .offset = CLAIM(gpu_models), .absent_doc = "any", .doc = "models that will do" },
	{ 0 },
};
static const struct table resources_table = { .fields = resources_fields };

static const struct field group_fields[] = {
	{ .name = "name", .type = VALUE_TEXT, .form = &form_name, .required = true, .offset = offsetof(struct workload_group, name), .doc = "name of the group" },
	{ .name = "replicas", .type = VALUE_INTEGER, .min = 1, .max = REPLICAS_MAX, .required = true, .offset = offsetof(struct workload_group, replicas), .doc = "replicas of this group" },
	{ .name = "min", .type = VALUE_INTEGER, .min = 0, .max = REPLICAS_MAX, .absent_doc = "replicas", .offset = offsetof(struct workload_group, min), .doc = "start with these at least" },
	{ 0 },
};
static const struct table group_table = {
	.fields = group_fields, .size = sizeof(struct workload_group), .marked = true, .mark_offset = offsetof(struct workload_group, mark),
};

static const struct field toleration_fields[] = {
	{ .name = "key", .type = VALUE_TEXT, .offset = offsetof(struct toleration, key), .absent_doc = "every taint", .doc = "key of the taint" },
	{ .name = "operator", .type = VALUE_TEXT, .form = &form_operator, .absent = "Equal", .offset = offsetof(struct toleration, operator), .doc = "Equal compares the value, Exists does not" },
	{ .name = "value", .type = VALUE_TEXT, .offset = offsetof(struct toleration, value), .doc = "value of the taint" },
	{ .name = "effect", .type = VALUE_TEXT, .form = &form_effect, .offset = offsetof(struct toleration, effect), .absent_doc = "every effect", .doc = "NoSchedule, PreferNoSchedule or NoExecute" },
	{ 0 },
};
static const struct table toleration_table = { .fields = toleration_fields, .size = sizeof(struct toleration) };

static const struct field topology_fields[] = {
	{ .name = "required", .type = VALUE_TEXT, .offset = WORKLOAD(topology_required), .doc = "level of topology that all replicas must share: rack, node" },
	{ 0 },
};
static const struct table topology_table = { .fields = topology_fields };

static const struct field workload_fields[] = {
	{ .name = "method", .type = VALUE_CHOICE, .choices = method_choices, .absent = "auto", .offset = WORKLOAD(method), .doc = "how it is isolated" },
	{ .name = "image", .type = VALUE_TEXT, .form = &form_image, .offset = WORKLOAD(image), .absent_doc = "required without kernel",
	  .doc = "oci:PATH, docker-archive:PATH, rootfs:PATH or a path, docker://HOST/NAME:TAG or @DIGEST, host, or a name in the store" },
	{ .name = "pullSecret", .type = VALUE_TEXT, .form = &form_name, .offset = WORKLOAD(pull_secret), .doc = "Secret for the image's registry" },
	{ .name = "command", .type = VALUE_NAMES, .form = &form_argument, .offset = WORKLOAD(command), .absent_doc = "the image's own", .doc = "program and arguments; no shell" },
	{ .name = "env", .type = VALUE_CUSTOM, .custom = &custom_env, .offset = WORKLOAD(env), .count = WORKLOAD(env_n), .doc = "environment: NAME: text, or NAME: {secret: name}" },
	{ .name = "workingDir", .type = VALUE_TEXT, .form = &form_absolute_path, .offset = WORKLOAD(working_dir), .absent_doc = "the image's own", .doc = "where the command starts" },
	{ .name = "volumes", .type = VALUE_LIST, .table = &volume_table, .offset = WORKLOAD(volumes), .count = WORKLOAD(volume_n), .doc = "what it keeps and what it sees of the host" },
	{ .name = "resources", .type = VALUE_OBJECT, .table = &resources_table, .offset = WORKLOAD(resources), .doc = "what each replica may use" },
	{ .name = "replicas", .type = VALUE_INTEGER, .min = 0, .max = REPLICAS_MAX, .absent = "1", .offset = WORKLOAD(replicas), .doc = "instances of this workload" },
	{ .name = "minReplicas", .type = VALUE_INTEGER, .min = 0, .max = REPLICAS_MAX, .absent_doc = "replicas", .offset = WORKLOAD(min_replicas), .doc = "a gang may start with these" },
	{ .name = "gang", .type = VALUE_BOOL, .absent = "false", .offset = WORKLOAD(gang), .doc = "all replicas start together or none" },
	{ .name = "priority", .type = VALUE_INTEGER, .min = -1000000000, .max = 1000000000, .absent = "0", .offset = WORKLOAD(priority), .doc = "higher goes first" },
	{ .name = "restart", .type = VALUE_CHOICE, .choices = restart_choices, .absent = "never", .offset = WORKLOAD(restart), .doc = "what happens when it ends" },
	{ .name = "cores", .type = VALUE_CHOICE, .choices = cores_choices, .absent = "exclusive", .offset = WORKLOAD(cores), .doc = "bare only: whose cores" },
	{ .name = "kernel", .type = VALUE_TEXT, .form = &form_path, .offset = WORKLOAD(kernel), .absent_doc = "the site's", .doc = "vm only: kernel; without an image it is a unikernel" },
	{ .name = "allowEmulation", .type = VALUE_BOOL, .absent = "false", .offset = WORKLOAD(allow_emulation), .doc = "vm only: may run without hardware help even when untrusted" },
	{ .name = "packages", .type = VALUE_NAMES, .offset = WORKLOAD(packages), .doc = "vm only: what an image `host` is narrowed to" },
	{ .name = "preemptible", .type = VALUE_BOOL, .absent = "true", .offset = WORKLOAD(preemptible), .doc = "may be stopped for a more urgent one" },
	{ .name = "disruptionBudget", .type = VALUE_INTEGER, .min = 0, .max = REPLICAS_MAX, .offset = WORKLOAD(disruption_budget), .doc = "replicas that may be stopped at one time" },
	{ .name = "groups", .type = VALUE_LIST, .table = &group_table, .offset = WORKLOAD(groups), .count = WORKLOAD(group_n), .doc = "parts of a gang; their replicas add up" },
	{ .name = "timeLimit", .type = VALUE_AMOUNT, .unit = &unit_duration, .min = 1000, .max = INT64_MAX, .offset = WORKLOAD(time_limit), .doc = "it is ended after this time" },
	{ .name = "arrival", .type = VALUE_AMOUNT, .unit = &unit_duration, .max = INT64_MAX, .offset = WORKLOAD(arrival), .doc = "for simulation: when it comes" },
	{ .name = "duration", .type = VALUE_AMOUNT, .unit = &unit_duration, .max = INT64_MAX, .offset = WORKLOAD(duration), .doc = "for simulation and backfill: how long it runs" },
	{ .name = "nodeSelector", .type = VALUE_LABELS, .form = &form_label_value, .offset = WORKLOAD(node_selector), .doc = "labels that its node must have" },
	{ .name = "tolerations", .type = VALUE_LIST, .table = &toleration_table, .offset = WORKLOAD(tolerations), .count = WORKLOAD(toleration_n), .doc = "taints that it bears" },
	{ .name = "affinity", .type = VALUE_NAMES, .form = &form_name, .offset = WORKLOAD(affinity), .doc = "workloads of the tenant to be near to" },
	{ .name = "antiAffinity", .type = VALUE_NAMES, .form = &form_name, .offset = WORKLOAD(anti_affinity), .doc = "workloads of the tenant to be apart from" },
	{ .name = "topology", .type = VALUE_OBJECT, .table = &topology_table, .doc = "how close the replicas must be" },
	{ .name = "mig", .type = VALUE_TEXT, .offset = WORKLOAD(mig), .doc = "profile of a GPU partition, like 1g.10gb" },
	{ 0 },
};
const struct table table_workload = { .fields = workload_fields };

/* Service: a workload that listens */

static const struct choice service_protocols[] = {
	{ "tcp", PROTOCOL_TCP, "TCP" },
	{ "udp", PROTOCOL_UDP, "UDP" },
	{ 0 },
};

static const struct field publish_fields[] = {
	{ .name = "address", .type = VALUE_TEXT, .form = &form_address, .offset = SERVICE(service.publish_address), .absent_doc = "127.0.0.1",
	  .doc = "address of the host; 0.0.0.0 is all of them" },
	{ .name = "port", .type = VALUE_INTEGER, .min = 1, .max = 65535, .offset = SERVICE(publish_port), .absent_doc = "the service's port", .doc = "port of the host" },
	{ 0 },
};
static const struct table publish_table = { .fields = publish_fields };

static const struct field scale_fields[] = {
	{ .name = "min", .type = VALUE_INTEGER, .min = 0, .max = REPLICAS_MAX, .offset = SERVICE(service.scale_min), .absent_doc = "replicas", .doc = "fewest replicas" },
	{ .name = "max", .type = VALUE_INTEGER, .min = 1, .max = REPLICAS_MAX, .offset = SERVICE(service.scale_max), .absent_doc = "replicas", .doc = "most replicas" },
	{ 0 },
};
static const struct table scale_table = { .fields = scale_fields };

static const struct field service_fields[] = {
	{ .name = "port", .type = VALUE_INTEGER, .min = 1, .max = 65535, .required = true, .offset = SERVICE(port), .doc = "where each replica listens" },
	{ .name = "protocol", .type = VALUE_CHOICE, .choices = service_protocols, .absent = "tcp", .offset = SERVICE(service.protocol), .doc = "protocol of the port" },
	{ .name = "publish", .type = VALUE_OBJECT, .table = &publish_table, .absent_doc = "not published", .doc = "an address of the host that leads to the service" },
	{ .name = "concurrency", .type = VALUE_INTEGER, .min = 1, .max = 1000000, .offset = SERVICE(service.concurrency), .doc = "requests at one time for each replica" },
	{ .name = "scale", .type = VALUE_OBJECT, .table = &scale_table, .doc = "bounds of the number of replicas" },
	{ .name = "restart", .type = VALUE_CHOICE, .choices = restart_choices, .absent = "always", .offset = WORKLOAD(restart), .doc = "what happens when it ends" },
	{ 0 },
};
const struct table table_service = { .fields = service_fields, .base = &table_workload };
