/* SPDX-License-Identifier: Apache-2.0 */
/* The values that no plain field type covers. */
#include "spec_internal.h"

#include "ports.h"
#include "quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* env: {NAME: text, NAME: {secret: name}} */

static const struct field env_secret_fields[] = {
	{ .name = "secret", .type = VALUE_TEXT, .form = &form_name, .required = true, .offset = offsetof(struct env, secret),
	  .doc = "name of a Secret, whose value the variable gets" },
	{ 0 },
};
static const struct table env_secret_table = { .fields = env_secret_fields };

static bool decode_one_env(struct decoder *decoder, const struct yaml_entry *entry, struct env *ret)
{
	struct error error = { 0 };

	*ret = (struct env){ .mark = entry->mark };
	if (form_env_name.read(decoder, entry->key, &ret->name, &error) < 0) {
		finding_error(decoder->findings, entry->mark, "%s; %s", error.message, error.hint);
		return false;
	}
	if (entry->value->type == YAML_MAPPING) {
		fields_decode(decoder, &env_secret_table, entry->value, ret);
		return ret->secret != NULL;
	}
	return fields_decode_text(decoder, &form_env_value, entry->value, &ret->value);
}

static int env_compare(const void *a, const void *b)
{
	return strcmp(((const struct env *)a)->name, ((const struct env *)b)->name);
}

static void decode_env(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	struct env *items;
	size_t n = 0;

	if (node->type != YAML_MAPPING) {
		fields_wrong_type(decoder, field, node, "a mapping of names to texts or {secret: NAME}");
		return;
	}
	items = arena_array(decoder->arena, node->n, sizeof(*items));
	for (size_t i = 0; i < node->n; i++) {
		size_t length = decoder_enter(decoder, node->entries[i].key);

		if (decode_one_env(decoder, &node->entries[i], &items[n]))
			n++;
		decoder_leave(decoder, length);
	}
	if (n)
		qsort(items, n, sizeof(*items), env_compare);
	*(struct env **)(void *)((char *)base + field->offset) = items;
	*(size_t *)(void *)((char *)base + field->count) = n;
}

static json_t *env_schema(const struct field *field)
{
	json_t *schema = json_object(), *value = json_object(), *forms = json_array(), *text = json_object();

	json_set_string(text, "type", "string");
	json_add(forms, text);
	json_add(forms, table_schema(&env_secret_table));
	json_set(value, "oneOf", forms);
	json_set_string(schema, "type", "object");
	json_set(schema, "additionalProperties", value);
	return schema;
}

const struct custom custom_env = { "mapping of names to texts or {secret: NAME}", decode_env, env_schema };

/* ports: [tcp/8501] */

static void decode_ports(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	struct port_ranges *target = (void *)((char *)base + field->offset);
	struct error error = { 0 };

	if (node->type != YAML_SEQUENCE) {
		fields_wrong_type(decoder, field, node, "a list of ports like [tcp/8501]");
		return;
	}
	if (!node->n)
		finding_error(decoder->findings, node->mark, "%s is empty; leave it out for all ports", decoder->path.data);
	target->items = arena_array(decoder->arena, node->n, sizeof(*target->items));
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *item = node->items[i];
		char found[96];

		target->items[target->n].mark = item->mark;
		if (item->type != YAML_STRING) {
			yaml_describe(item, found);
			finding_error(decoder->findings, item->mark, "%s must hold ports like tcp/8501, found %s", decoder->path.data, found);
		} else if (port_range_parse(item->text, &target->items[target->n], &error) < 0) {
			finding_error(decoder->findings, item->mark, "%s: %s; %s", decoder->path.data, error.message, error.hint);
		} else {
			target->n++;
		}
	}
}

static json_t *ports_schema(const struct field *field)
{
	json_t *schema = json_object(), *item = json_object();

	json_set_string(item, "type", "string");
	json_set_string(item, "pattern", "^((tcp|udp)(/[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?)?|icmp|icmpv6|any)$");
	json_set_string(schema, "type", "array");
	json_set(schema, "items", item);
	return schema;
}

const struct custom custom_ports = { "list of ports", decode_ports, ports_schema };

/* A mapping whose values may be any scalar; kept as text, as written. */

static int label_compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

static void decode_scalars(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	struct labels *target = (void *)((char *)base + field->offset);

	if (node->type != YAML_MAPPING) {
		fields_wrong_type(decoder, field, node, "a mapping");
		return;
	}
	target->items = arena_array(decoder->arena, node->n, sizeof(*target->items));
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *value = node->entries[i].value;

		if (value->text)
			target->items[target->n++] = (struct label){ node->entries[i].key, value->text };
		else
			fields_wrong_type(decoder, field, value, "a mapping of texts, numbers and booleans");
	}
	if (target->n)
		qsort(target->items, target->n, sizeof(*target->items), label_compare);
}

static json_t *scalars_schema(const struct field *field)
{
	json_t *schema = json_object(), *value = json_object(), *types = json_array();

	json_add(types, json_text("string"));
	json_add(types, json_text("number"));
	json_add(types, json_text("boolean"));
	json_set(value, "type", types);
	json_set_string(schema, "type", "object");
	json_set(schema, "additionalProperties", value);
	return schema;
}

const struct custom custom_scalars = { "mapping of scalars", decode_scalars, scalars_schema };

/* A list of whole numbers of at least 1. */

static void decode_integers(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	int64_t *items;

	if (node->type != YAML_SEQUENCE) {
		fields_wrong_type(decoder, field, node, "a list of whole numbers");
		return;
	}
	items = arena_array(decoder->arena, node->n, sizeof(*items));
	for (size_t i = 0; i < node->n; i++) {
		if (node->items[i]->type == YAML_INT && node->items[i]->integer >= 1 && node->items[i]->integer <= REPLICAS_MAX)
			items[i] = node->items[i]->integer;
		else
			fields_wrong_type(decoder, field, node->items[i], "a list of whole numbers from 1 to 10000");
	}
	*(int64_t **)(void *)((char *)base + field->offset) = items;
	*(size_t *)(void *)((char *)base + field->count) = node->n;
}

static json_t *integers_schema(const struct field *field)
{
	json_t *schema = json_object(), *item = json_object();

	json_set_string(item, "type", "integer");
	json_set_int(item, "minimum", 1);
	json_set_int(item, "maximum", REPLICAS_MAX);
	json_set_string(schema, "type", "array");
	json_set(schema, "items", item);
	return schema;
}

const struct custom custom_integers = { "list of whole numbers", decode_integers, integers_schema };

/* gpuHour: {A100: 1.50} */

static void decode_gpu_prices(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	struct prices *prices = base;
	struct error error = { 0 };

	if (node->type != YAML_MAPPING) {
		fields_wrong_type(decoder, field, node, "a mapping of models to prices");
		return;
	}
	prices->gpu_hour = arena_array(decoder->arena, node->n, sizeof(*prices->gpu_hour));
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *value = node->entries[i].value;
		struct price *price = &prices->gpu_hour[prices->gpu_n];

		price->model = node->entries[i].key;
		if (!value->text)
			fields_wrong_type(decoder, field, value, "a mapping of models to prices");
		else if (micros_parse(value->text, &price->micros, &error) < 0)
			finding_error(decoder->findings, value->mark, "%s.%.40s: %s", decoder->path.data, price->model, error.message);
		else
			prices->gpu_n++;
	}
}

static json_t *gpu_prices_schema(const struct field *field)
{
	json_t *schema = json_object(), *value = json_object();

	json_set_string(value, "type", "number");
	json_set_int(value, "minimum", 0);
	json_set_string(schema, "type", "object");
	json_set(schema, "additionalProperties", value);
	return schema;
}

const struct custom custom_gpu_prices = { "mapping of models to prices", decode_gpu_prices, gpu_prices_schema };

/* from: {tenant: a}; to: {tenant: b} or {internet: true} or {cidr: 192.0.2.0/24} */

struct peer { const char *tenant, *cidr; bool internet; };

static void set_peer(struct decoder *decoder, const struct yaml_node *node, const struct peer *peer, bool to, struct allow *allow)
{
	const struct yaml_node *internet = yaml_get(node, "internet");
	int given = (yaml_get(node, "tenant") != NULL) + (yaml_get(node, "cidr") != NULL) + (internet != NULL);

	if (to && node->type == YAML_MAPPING && given != 1)
		finding_error(decoder->findings, node->mark, "%s needs exactly one of tenant, internet and cidr", decoder->path.data);
	else if (to && internet && internet->type == YAML_BOOL && !peer->internet)
		finding_error(decoder->findings, internet->mark, "%s.internet can only be true; leave the line out to deny it", decoder->path.data);
	allow->to = to;
	allow->tenant = peer->tenant;
	allow->cidr = peer->cidr;
	allow->peer = peer->internet ? PEER_INTERNET : peer->cidr ? PEER_CIDR : PEER_TENANT;
}

static void decode_peer(struct decoder *decoder, const struct field *field, const struct yaml_node *node, void *base)
{
	struct peer peer = { 0 };

	fields_decode(decoder, field->table, node, &peer);
	set_peer(decoder, node, &peer, streq(field->name, "to"), base);
}

const struct custom custom_peer = { "mapping", decode_peer, NULL };

static const struct field from_fields[] = {
	{ .name = "tenant", .type = VALUE_TEXT, .form = &form_name, .required = true, .offset = offsetof(struct peer, tenant),
	  .doc = "the tenant whose instances may come in" },
	{ 0 },
};
const struct table table_peer_from = { .fields = from_fields };

static const struct field to_fields[] = {
	{ .name = "tenant", .type = VALUE_TEXT, .form = &form_name, .offset = offsetof(struct peer, tenant),
	  .doc = "a tenant; a statement of intent: what opens the way is its own `from`" },
	{ .name = "internet", .type = VALUE_BOOL, .absent = "false", .offset = offsetof(struct peer, internet),
	  .doc = "true: public addresses; never private, shared, link-local or metadata ones" },
	{ .name = "cidr", .type = VALUE_TEXT, .form = &form_prefix, .offset = offsetof(struct peer, cidr),
	  .doc = "a range of addresses; link-local, loopback and multicast are refused" },
	{ 0 },
};
const struct table table_peer_to = { .fields = to_fields };
