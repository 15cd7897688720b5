/* SPDX-License-Identifier: Apache-2.0 */
#include "data/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What any walk of the tree relies on: the promised depth and size, types that fit their fields. */
static size_t walk(const struct yaml_node *node, unsigned depth)
{
	size_t weight = 1;

	if (depth > YAML_DEPTH_MAX || !node->mark.line || (node->text != NULL) == (node->type >= YAML_SEQUENCE))
		__builtin_trap();
	for (size_t i = 0; i < node->n; i++)
		weight += walk(node->type == YAML_SEQUENCE ? node->items[i] : node->entries[i].value, depth + 1);
	if (weight != node->weight)
		__builtin_trap();
	return weight;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	autoarena struct arena arena = { 0 };
	autofindings struct findings findings = { 0 };
	struct yaml_documents documents = { 0 };
	struct error err = { 0 };

	if (yaml_parse(&arena, "fuzz", data, n, &findings, &documents, &err) < 0) {
		if (err.code != ERROR_INPUT || !*err.message)
			__builtin_trap();
		return 0;
	}
	for (size_t i = 0; i < documents.n; i++)
		walk(documents.items[i], 1);
	return 0;
}
