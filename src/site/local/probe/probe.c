/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"

int local_probe_machine(const struct site_config *config, json_t **ret, struct error *err)
{
	autojson json_t *facts = json_object();

	probe_system(config, facts);
	if (probe_works(config, facts, err) < 0)
		return -1;
	*ret = steal(&facts);
	return 0;
}

int local_probe(const struct site_config *config, struct site_facts *ret, struct error *err)
{
	autojson json_t *facts = NULL;

	if (local_probe_machine(config, &facts, err) < 0)
		return -1;
	if (probe_network(config, facts, err) < 0 || probe_ids(config, facts, err) < 0)
		return -1;
	probe_backing(config, facts);
	probe_firewalls(config, facts);
	probe_gpus(config, facts);
	probe_storage(config, facts);
	probe_images(config, facts);
	probe_checks(config, facts);
	ret->json = steal(&facts);
	return 0;
}
