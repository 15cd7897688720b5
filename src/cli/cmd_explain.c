/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include "model/spec.h"

static void path_print(void *arg, const char *path)
{
	printf("%s\n", path);
}

static int explain_run(struct cli *cli)
{
	struct error err;
	autobuf struct buf text = { 0 };

	if (cli_flag(cli, "schema"))
		spec_schema(&text);
	else if (cli_flag(cli, "reference"))
		spec_reference(&text);
	else if (cli_flag(cli, "paths")) {
		spec_paths(cli->operand_n ? cli->operands[0] : "", path_print, NULL);
		return 0;
	} else if (spec_explain(cli->operand_n ? cli->operands[0] : "", &text, &err) < 0)
		return output_error(cli, &err);
	if (cli->json && !cli_flag(cli, "schema"))
		output_json("explain", json_pack("{s:s, s:s}", "field", cli->operand_n ? cli->operands[0] : "", "text", text.data ? text.data : ""));
	else if (text.n)
		fwrite(text.data, 1, text.n, stdout);
	return 0;
}

static const struct option options[] = {
	{ "schema", 0, NULL, "a JSON schema of the file, for editors" },
	{ "reference", 0, NULL, "every field of every kind, as Markdown" },
	{ "paths", 0, NULL, "the paths of all fields, one a line" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_explain = {
	.name = "explain",
	.operands = "[FIELD]",
	.summary = "say what a field of the file means",
	.description = "Says what a kind or a field of the file means: its type, unit, default and limits.\n"
		       "Without a field it lists the kinds.",
	.options = options,
	.examples = "  insula explain tenant.spec.quota.gpu\n  insula explain workload\n  insula explain --schema > insula.schema.json\n",
	.exits = "0 done\n4 there is no such field; the nearest is named\n",
	.max_operands = 1,
	.run = explain_run,
};
