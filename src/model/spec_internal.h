/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_MODEL_SPEC_INTERNAL_H
#define INSULA_MODEL_SPEC_INTERNAL_H

/* What the files behind spec.h share: the tables of the kinds, their units and forms, the checks. */

#include "data/field.h"
#include "spec.h"

#define API_VERSION "insula.dev/v1"
#define REPLICAS_MAX 10000		/* of one workload */
#define INSTANCES_MAX 100000		/* of one file */
#define MEMORY_LEAST ((int64_t)8 << 20)	/* bytes; less does not hold a process */
#define CPU_LEAST 10			/* thousandths; less than a scheduler's slice */
#define CPU_MOST 1000000000		/* thousandths of cores or GPUs: a million */
#define STORAGE_DEFAULT ((int64_t)10 << 30)
#define AMOUNT_MOST ((int64_t)1 << 60)	/* so that a few of them can be added */

/* The head of every document. */
struct document {
	const char *api_version, *kind, *name, *tenant;	/* tenant or NULL */
	struct labels labels;
	struct mark mark;		/* of the name, else of the document */
	const struct yaml_node *node;
};

/* The noun follows the head in one block, so that one table decodes the whole document. */
#define NOUN_OFFSET ((sizeof(struct document) + 15) / 16 * 16)

/* What a Service decodes into; the workload is first, so that its table is the Service's base. */
struct service_noun { struct workload workload; struct service service; int64_t port, publish_port; };

struct reading;
struct kind_table {
	const char *name;		/* "Tenant"; NULL ends the list */
	const char *path;		/* "tenant" */
	struct table document;		/* apiVersion, kind, metadata, spec */
	size_t size;			/* of the noun */
	void (*finish)(struct reading *reading, const struct document *document, void *noun);	/* into the intent */
	const char *doc;
};
extern const struct kind_table kind_tables[];
const struct kind_table *kind_table_find(const char *name);	/* by name or path */

enum noted { NOTED_PIPELINE = 1, NOTED_NODE = 2, NOTED_STUDY = 4, NOTED_PRICES = 8 };
struct reading {
	struct intent *intent;
	struct findings *findings;
	struct decoder decoder;
	VEC(struct document *) documents;	/* all that were decoded, for places */
	bool has_site;
	unsigned noted;			/* enum noted: kinds whose note is written */
};

/* spec_forms.c */
extern const struct unit unit_cpu, unit_gpu, unit_bytes, unit_rate, unit_count, unit_duration, unit_price;
extern const struct form form_name, form_label_value, form_path, form_absolute_path, form_image, form_env_name, form_env_value,
	form_address, form_prefix, form_argument, form_user, form_date, form_currency,
	form_operator, form_effect, form_method, form_api_version;
bool is_dns_label(const char *text);

/* spec_decode.c */
extern const struct custom custom_env, custom_ports, custom_scalars, custom_integers, custom_gpu_prices, custom_peer;
extern const struct table table_peer_from, table_peer_to;

/* spec_finish.c: from a decoded document into the intent */
void finish_tenant(struct reading *reading, const struct document *document, void *noun);
void finish_workload(struct reading *reading, const struct document *document, void *noun);
void finish_service(struct reading *reading, const struct document *document, void *noun);
void finish_pipeline(struct reading *reading, const struct document *document, void *noun);
void finish_site(struct reading *reading, const struct document *document, void *noun);
void finish_node(struct reading *reading, const struct document *document, void *noun);
void finish_study(struct reading *reading, const struct document *document, void *noun);
void finish_prices(struct reading *reading, const struct document *document, void *noun);
void finish_secret(struct reading *reading, const struct document *document, void *noun);
/* The place of spec.a.b... of the noun whose mark this is; as deep as the file goes. Keys end with NULL. */
struct mark spec_place(const struct reading *reading, struct mark noun, ...) __attribute__((sentinel));

/* The same of metadata.KEY. */
struct mark spec_head_place(const struct reading *reading, struct mark noun, const char *key);

/* validate*.c: cross-checks of the whole intent, after it is sorted */
void validate_intent(struct reading *reading);
void unknown_tenant(struct reading *reading, struct mark mark, const char *name);	/* the finding, with the nearest name */
void validate_network(struct reading *reading);		/* allow, publish, the address pool */
void validate_tenants(struct reading *reading);		/* quotas, parents, what workloads ask for */

#endif
