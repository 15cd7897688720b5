/* SPDX-License-Identifier: Apache-2.0 */
#include "model/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* What intent.h promises of what was accepted. */
static void check_intent(const struct intent *intent)
{
	for (size_t i = 0; i < intent->workloads.n; i++) {
		const struct workload *workload = &intent->workloads.items[i];

		require(intent_tenant(intent, workload->tenant) != NULL);
		require(intent_workload(intent, workload->tenant, workload->name) == workload);
		require(workload->image || workload->kernel);
		require(workload->replicas >= 0 && workload->min_replicas <= workload->replicas);
		require(!workload->service || workload->service->port > 0);
		for (size_t j = 0; j < workload->volume_n; j++)
			require(workload->volumes[j].mount_path && (workload->volumes[j].name || workload->volumes[j].host_path));
		for (size_t j = 0; j < workload->env_n; j++)
			require(!workload->env[j].value != !workload->env[j].secret);
	}
	for (size_t i = 0; i < intent->tenants.n; i++) {
		const struct tenant *tenant = &intent->tenants.items[i];

		require(tenant->weight >= 1 && tenant->limit.storage > 0);
		for (size_t j = 0; j < tenant->allow_n; j++)
			require((tenant->allow[j].peer == PEER_TENANT) == (tenant->allow[j].tenant != NULL));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct source source = { "/lab/fuzz.yaml", (const char *)data, n };
	autofindings struct findings findings = { 0 };
	struct error err = { 0 };
	struct intent intent;

	if (spec_parse(&source, 1, &intent, &findings, &err) < 0) {
		require(err.code == ERROR_INPUT && *err.message && findings.errors > 0);
		return 0;
	}
	require(findings.errors == 0);
	check_intent(&intent);
	intent_clear(&intent);
	return 0;
}
