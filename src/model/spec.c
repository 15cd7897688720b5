/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: each source becomes YAML trees; the kind of a document chooses its table, which
 * decodes head and noun in one go; `finish` moves the noun into the intent. When all are in, the
 * nouns are sorted, twins are found, aliases of images resolved, and validate_intent looks at the
 * whole. Everything that is wrong becomes a finding; the trees live in the intent's arena, so that
 * checks can name the place of any value.
 */
#include "spec_internal.h"

#include "base/digest.h"
#include "base/fs.h"
#include "labels.h"

#include <stdlib.h>
#include <unistd.h>

void intent_init(struct intent *intent)
{
	*intent = (struct intent){ 0 };
	arena_init(&intent->arena);
}

void intent_clear(struct intent *intent)
{
	vec_clear(&intent->tenants);
	vec_clear(&intent->workloads);
	vec_clear(&intent->pipelines);
	vec_clear(&intent->nodes);
	vec_clear(&intent->studies);
	vec_clear(&intent->secrets);
	vec_clear(&intent->notes);
	arena_clear(&intent->arena);
	*intent = (struct intent){ 0 };
}

const struct tenant *intent_tenant(const struct intent *intent, const char *name)
{
	size_t low = 0, high = intent->tenants.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(intent->tenants.items[middle].name, name);

		if (order == 0)
			return &intent->tenants.items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int name_order(const char *tenant_a, const char *a, const char *tenant_b, const char *b)
{
	int order = strcmp(tenant_a, tenant_b);

	return order ? order : strcmp(a, b);
}

const struct workload *intent_workload(const struct intent *intent, const char *tenant, const char *name)
{
	size_t low = 0, high = intent->workloads.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct workload *workload = &intent->workloads.items[middle];
		int order = name_order(workload->tenant, workload->name, tenant, name);

		if (order == 0)
			return workload;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Places */

static const struct document *document_of(const struct reading *reading, struct mark mark)
{
	vec_each(&reading->documents, document)
		if ((*document)->mark.line == mark.line && (*document)->mark.column == mark.column && (*document)->mark.file == mark.file)
			return *document;
	return NULL;
}

struct mark spec_place(const struct reading *reading, struct mark noun, ...)
{
	bool wanted = reading->findings->items.n < FINDINGS_MAX;	/* one more would not be kept */
	const struct document *document = wanted ? document_of(reading, noun) : NULL;
	const struct yaml_node *node = document ? yaml_get(document->node, "spec") : NULL;
	struct mark place = noun;
	va_list keys;

	va_start(keys, noun);
	for (const char *key; node && (key = va_arg(keys, const char *));) {
		node = yaml_get(node, key);
		if (node)
			place = node->mark;
	}
	va_end(keys);
	return place;
}

struct mark spec_head_place(const struct reading *reading, struct mark noun, const char *key)
{
	bool wanted = reading->findings->items.n < FINDINGS_MAX;
	const struct document *document = wanted ? document_of(reading, noun) : NULL;
	const struct yaml_node *node = document ? yaml_get(yaml_get(document->node, "metadata"), key) : NULL;

	return node ? node->mark : noun;
}

/* Documents */

static const struct kind_table *kind_of(struct reading *reading, const struct yaml_node *node)
{
	const struct yaml_node *kind = yaml_get(node, "kind");
	const struct kind_table *table;
	const char *words[16], *nearest;
	size_t n = 0;

	if (node->type != YAML_MAPPING || !kind) {
		finding_error(reading->findings, node->mark, "a document begins with apiVersion: " API_VERSION " and a kind; here is no kind");
		return NULL;
	}
	if (kind->type != YAML_STRING) {
		finding_error(reading->findings, kind->mark, "kind must be text");
		return NULL;
	}
	table = kind_table_find(kind->text);
	if (table && streq(table->name, kind->text))
		return table;
	for (table = kind_tables; table->name && n + 1 < ARRAY_LEN(words); table++)
		words[n++] = table->name;
	words[n] = NULL;
	nearest = nearest_word(kind->text, words);
	if (nearest)
		finding_error(reading->findings, kind->mark, "unknown kind '%.60s'; did you mean '%s'?", kind->text, nearest);
	else
		finding_error(reading->findings, kind->mark,
			      "unknown kind '%.60s'; valid are Tenant, Workload, Service, Pipeline, Site, Node, Study, Prices and Secret", kind->text);
	return NULL;
}

static void read_document(struct reading *reading, const struct yaml_node *node)
{
	const struct kind_table *kind = kind_of(reading, node);
	struct document *document;
	const struct yaml_node *name;
	size_t length;

	if (!kind)
		return;
	document = arena_alloc(&reading->intent->arena, NOUN_OFFSET + kind->size);
	length = decoder_enter(&reading->decoder, kind->path);
	fields_decode(&reading->decoder, &kind->document, node, document);
	decoder_leave(&reading->decoder, length);
	name = yaml_get(yaml_get(node, "metadata"), "name");
	document->node = node;
	document->mark = name ? name->mark : node->mark;
	if (!document->name)
		return;
	vec_push(&reading->documents, document);
	kind->finish(reading, document, (char *)document + NOUN_OFFSET);
}

static void read_source(struct reading *reading, const struct source *source)
{
	autofree char *here = getcwd(NULL, 0), *absolute = NULL, *folder = NULL;
	/* standard input is kept under the name that tells which folder its paths are of */
	const char *shown = streq(source->name, "-") || ends_with(source->name, "/-") ? "<stdin>" : source->name;
	struct yaml_documents documents = { 0 };
	struct error error = { 0 };

	absolute = fs_absolute(here ? here : "/", source->name);
	folder = fs_dirname(absolute);
	reading->decoder.folder = arena_strdup(&reading->intent->arena, folder);
	if (yaml_parse(&reading->intent->arena, shown, source->text, source->n, reading->findings, &documents, &error) < 0) {
		finding_error(reading->findings, ((struct mark){ 0 }), "%s", error.message);
		return;
	}
	for (size_t i = 0; i < documents.n; i++)
		read_document(reading, documents.items[i]);
}

/* Order, twins */

static int mark_compare(const struct mark *a, const struct mark *b)
{
	int order = strcmp(a->file, b->file);

	if (order)
		return order;
	return a->line < b->line ? -1 : a->line > b->line;
}

#define COMPARE(function, type, tenant_of) \
	static int function(const void *a, const void *b) \
	{ \
		const type *x = a, *y = b; \
		int order = name_order(tenant_of(x), x->name, tenant_of(y), y->name); \
		return order ? order : mark_compare(&x->mark, &y->mark); \
	}
#define NO_TENANT(x) ""
#define OWN_TENANT(x) ((x)->tenant ? (x)->tenant : "")
COMPARE(tenant_compare, struct tenant, NO_TENANT)
COMPARE(workload_compare, struct workload, OWN_TENANT)
COMPARE(pipeline_compare, struct pipeline, OWN_TENANT)
COMPARE(secret_compare, struct secret_source, OWN_TENANT)
COMPARE(node_compare, struct node_declared, NO_TENANT)
COMPARE(study_compare, struct study, NO_TENANT)

static void twin(struct reading *reading, const char *what, const char *name, struct mark first, struct mark second)
{
	finding_error(reading->findings, second, "%s '%s' is there twice; the first one is at %s:%u:%u", what, name, first.file, first.line, first.column);
}

#define SORT(reading, vec, compare, what, tenant_of) \
	do { \
		__typeof__(vec) vec_ = (vec); \
		if (vec_->n > 1) \
			qsort(vec_->items, vec_->n, sizeof(*vec_->items), compare); \
		for (size_t i = 1; i < vec_->n; i++) \
			if (name_order(tenant_of(&vec_->items[i - 1]), vec_->items[i - 1].name, tenant_of(&vec_->items[i]), vec_->items[i].name) == 0) \
				twin(reading, what, vec_->items[i].name, vec_->items[i - 1].mark, vec_->items[i].mark); \
	} while (0)

static void sort_nouns(struct reading *reading)
{
	struct intent *intent = reading->intent;

	SORT(reading, &intent->tenants, tenant_compare, "tenant", NO_TENANT);
	SORT(reading, &intent->workloads, workload_compare, "workload", OWN_TENANT);
	SORT(reading, &intent->pipelines, pipeline_compare, "pipeline", OWN_TENANT);
	SORT(reading, &intent->secrets, secret_compare, "secret", OWN_TENANT);
	SORT(reading, &intent->nodes, node_compare, "node", NO_TENANT);
	SORT(reading, &intent->studies, study_compare, "study", NO_TENANT);
}

/* A workload's image may be one of the Site's short names. */
static void resolve_images(struct intent *intent)
{
	vec_each(&intent->workloads, workload) {
		const char *reference = workload->image ? labels_get(&intent->site.images, workload->image) : NULL;

		if (reference)
			workload->image = reference;
	}
}

static void site_defaults(struct reading *reading)
{
	const struct kind_table *kind = kind_table_find("site");
	struct document *document;

	if (reading->has_site)
		return;
	document = arena_alloc(&reading->intent->arena, NOUN_OFFSET + kind->size);
	reading->decoder.folder = "/";
	fields_decode(&reading->decoder, &kind->document, NULL, document);
	reading->intent->site = *(struct site_intent *)(void *)((char *)document + NOUN_OFFSET);
	reading->intent->site.name = "local";
	reading->intent->site.mark = (struct mark){ "", 0, 0 };
}

static const char *digest_sources(struct arena *arena, const struct source *sources, size_t n)
{
	struct digest *digest = digest_new();
	char hex[DIGEST_HEX];

	for (size_t i = 0; i < n; i++)
		digest_update(digest, sources[i].text, sources[i].n);
	digest_final(digest, hex);
	return arena_strdup(arena, hex);
}

int spec_parse(const struct source *sources, size_t n, struct intent *ret, struct findings *findings, struct error *err)
{
	struct intent intent;
	struct reading reading = { .intent = &intent, .findings = findings };
	int status;

	intent_init(&intent);
	reading.decoder = (struct decoder){ .arena = &intent.arena, .findings = findings };
	for (size_t i = 0; i < n; i++)
		read_source(&reading, &sources[i]);
	site_defaults(&reading);
	sort_nouns(&reading);
	resolve_images(&intent);
	validate_intent(&reading);
	intent.digest = digest_sources(&intent.arena, sources, n);
	vec_clear(&reading.documents);
	decoder_clear(&reading.decoder);
	findings_sort(findings);
	status = findings_verdict(findings, err);
	if (status < 0)
		intent_clear(&intent);
	else
		*ret = intent;
	return status;
}
