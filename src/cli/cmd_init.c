/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/fs.h"

#include <unistd.h>

/* A first file: small enough to read, true on this machine, with every word explained. */
static const char template[] =
	"# insula: two teams on this machine. 'insula explain tenant.spec' says what each field means.\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Site\n"
	"metadata: {name: %s}\n"
	"spec: {driver: local}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Tenant\n"
	"metadata: {name: vision}\n"
	"spec:\n"
	"  weight: 2                                   # its share of what is idle\n"
	"  quota: {cpu: %s, memory: %s, storage: 1Gi}  # guaranteed\n"
	"  limit: {cpu: %s, pids: 512}                 # never more\n"
	"  network:\n"
	"    allow:\n"
	"      - {from: {tenant: audio}, ports: [tcp/8080]}   # audio may reach vision's port 8080; nobody else may\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Tenant\n"
	"metadata: {name: audio}\n"
	"spec:\n"
	"  quota: {cpu: %s, memory: %s, storage: 1Gi}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Service\n"
	"metadata: {name: hello, tenant: vision}\n"
	"spec:\n"
	"  image: host                                 # this machine's own programs, read-only; no image needed for a first try\n"
	"  command: [python3, -m, http.server, \"8080\"]\n"
	"  port: 8080\n"
	"  resources: {cpu: 500m, memory: 128Mi}\n"
	"---\n"
	"apiVersion: insula.dev/v1\n"
	"kind: Workload\n"
	"metadata: {name: work, tenant: audio}\n"
	"spec:\n"
	"  image: host\n"
	"  command: [sleep, infinity]\n"
	"  resources: {cpu: 500m, memory: 128Mi}\n";

static int init_run(struct cli *cli)
{
	const char *path = cli->operand_n ? cli->operands[0] : "insula.yaml";
	long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	int64_t memory = (int64_t)pages * page;
	char cpu[32], half[32], size[32];
	struct error err;

	if (fs_exists(path)) {
		error_set(&err, ERROR_INPUT, "%s is there already and stays as it is", path);
		error_hint(&err, "name another: insula init FILE");
		return output_error(cli, &err);
	}
	/* a quarter of the machine for each of the two */
	snprintf(half, sizeof(half), "%ldm", MAX(cores * 250, 100L));
	snprintf(cpu, sizeof(cpu), "%ld", cores);
	snprintf(size, sizeof(size), "%lldMi", (long long)MAX(memory / 4 / (1 << 20), (int64_t)128));
	autofree char *text = xasprintf(template, cli->deployment ? cli->deployment : "local", half, size, cpu, half, size);
	if (fs_replace_file(path, text, strlen(text), 0644, false, &err) < 0)
		return output_error(cli, &err);
	if (cli->json)
		output_json("init", json_pack("{s:s, s:I, s:I}", "file", path, "cores", (json_int_t)cores, "memory", (json_int_t)memory));
	output_summary(cli, "found  local    %ld core%s, %lld GiB", cores, cores == 1 ? "" : "s", (long long)(memory >> 30));
	output_summary(cli, "wrote  %s   2 example tenants, nothing applied.  Next: insula doctor, insula plan %s", path, path);
	return 0;
}

const struct command command_init = {
	.name = "init",
	.operands = "[FILE]",
	.summary = "write a first file for this machine",
	.description = "Writes a commented file (insula.yaml when none is named) with two example tenants, sized for this machine.\nApplies nothing, and never overwrites a file.",
	.examples = "  insula init && insula doctor && insula plan\n",
	.exits = "0 done\n1 error\n4 the file is there already\n",
	.max_operands = 1,
	.run = init_run,
};
