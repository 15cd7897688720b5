/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"
#include "base/proc.h"

#include <stdlib.h>

/*
 * Firewalls of others on the host: iptables of both kinds with Docker's, ufw's or libvirt's chains in them, firewalld, rules by hand.
 *
 * How it works: a rule of theirs can drop what our uplink forwards, whatever our own table accepts; it cannot open a way between
 * tenants, which lie in a namespace of ours. Nothing of theirs is ever edited. What is reported is a chain that
 * drops what it does not know, who made it, and that one's own command to let the uplink through; once a rule
 * there names the uplink in both directions, nothing is reported any more.
 */

#define TOOL_TIMEOUT_MS 5000
#define OUTPUT_LIMIT ((size_t)64 << 20)

struct looking {
	json_t *cuts;			/* [{"text", "fix"}] */
	const json_t *chains;		/* of nft: [{"chain": {...}}] */
	const char *uplink;		/* our link on the host */
};

static json_t *nft_read(const char *const *argv)
{
	const struct proc_options options = { .argv = argv, .timeout_ms = TOOL_TIMEOUT_MS, .output_limit = OUTPUT_LIMIT };
	autofree char *output = NULL;
	autojson json_t *listed = NULL;
	struct error ignored;

	if (proc_check(&options, &output, &ignored) < 0 || json_parse("nft", output, strlen(output), OUTPUT_LIMIT, &listed, &ignored) < 0)
		return NULL;
	return json_incref(json_object_get(listed, "nftables"));
}

static bool has_chain(const struct looking *looking, const char *family, const char *table, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach(looking->chains, i, item) {
		const json_t *chain = json_get_object(item, "chain");

		if (streq(json_get_string(chain, "family", ""), family) && streq(json_get_string(chain, "table", ""), table) &&
		    streq(json_get_string(chain, "name", ""), name))
			return true;
	}
	return false;
}

/* "insu*" in a rule means every uplink of ours. */
static bool names_uplink(const char *text, const char *uplink)
{
	size_t n = strlen(text);

	if (n > 0 && (text[n - 1] == '*' || text[n - 1] == '+'))
		return n > 1 && strncmp(text, uplink, n - 1) == 0;
	return streq(text, uplink);
}

/* Does the rule let pass what has the uplink as its `side` ("iifname", "oifname")? firewalld does it by a chain of the zone "trusted". */
static bool rule_opens(const json_t *rule, const char *side, const char *uplink)
{
	bool named = false, passes = false;
	json_t *expression;
	size_t i;

	json_array_foreach(json_get_array(rule, "expr"), i, expression) {
		const json_t *match = json_get_object(expression, "match"), *jump = json_get_object(expression, "goto");
		const json_t *meta = json_get_object(json_get_object(match, "left"), "meta");

		named |= match && streq(json_get_string(meta, "key", ""), side) && names_uplink(json_get_string(match, "right", ""), uplink);
		passes |= json_object_get(expression, "accept") || ends_with(json_get_string(jump ? jump : json_get_object(expression, "jump"), "target", ""), "_trusted");
	}
	return named && passes;
}

static bool table_is_open(const struct looking *looking, const char *family, const char *table)
{
	const char *const argv[] = { "nft", "-j", "list", "table", family, table, NULL };
	autojson json_t *listed = nft_read(argv);
	bool in = false, out = false;
	json_t *item;
	size_t i;

	json_array_foreach(listed, i, item) {
		const json_t *rule = json_get_object(item, "rule");

		in |= rule_opens(rule, "iifname", looking->uplink);
		out |= rule_opens(rule, "oifname", looking->uplink);
	}
	return in && out;
}

/* Takes over the texts. */
static void cut_add(struct looking *looking, json_t *text, json_t *fix)
{
	json_add(looking->cuts, json_pack("{s:o, s:o}", "text", text, "fix", fix));
}

static json_t *iptables_fix(const char *program, const char *chain, const char *uplink)
{
	return json_sprintf("%s -I %s -i %s -j ACCEPT; %s -I %s -o %s -j ACCEPT", program, chain, uplink, program, chain, uplink);
}

/* Whoever made the table has its own way to let something pass that outlives its next reload. */
static json_t *fix_for(const struct looking *looking, const char *family, const char *table, const char *chain)
{
	if (has_chain(looking, family, table, "DOCKER-USER"))
		return iptables_fix("iptables", "DOCKER-USER", looking->uplink);
	if (has_chain(looking, family, table, "ufw-user-forward"))
		return json_sprintf("ufw route allow in on %s; ufw route allow out on %s", looking->uplink, looking->uplink);
	if (streq(family, "ip") && streq(table, "filter") && streq(chain, "FORWARD"))
		return iptables_fix("iptables", "FORWARD", looking->uplink);
	return json_sprintf("nft insert rule %s %s %s iifname %s accept; nft insert rule %s %s %s oifname %s accept", family, table, chain, looking->uplink,
			    family, table, chain, looking->uplink);
}

/* firewalld's chain accepts by its policy and rejects by its last rule what no zone knows. */
static bool is_firewalld(const char *table, const char *chain)
{
	return streq(table, "firewalld") && streq(chain, "filter_FORWARD");
}

static void chain_look(struct looking *looking, const json_t *chain)
{
	const char *family = json_get_string(chain, "family", ""), *table = json_get_string(chain, "table", ""), *name = json_get_string(chain, "name", "?");
	bool firewalld = is_firewalld(table, name);

	if (!streq(json_get_string(chain, "hook", ""), "forward") || starts_with(table, "insula_") || (!streq(family, "ip") && !streq(family, "inet")))
		return;
	if ((!firewalld && !streq(json_get_string(chain, "policy", ""), "drop")) || table_is_open(looking, family, table))
		return;
	cut_add(looking, json_sprintf("chain %s of table %s %s drops what no rule of it accepts", name, family, table),
		firewalld ? json_sprintf("firewall-cmd --permanent --zone=trusted --add-interface=%s; firewall-cmd --reload", looking->uplink)
			  : fix_for(looking, family, table, name));
}

/* nft does not show what iptables-legacy has loaded. */
static void legacy_look(struct looking *looking)
{
	static const char *const argv[] = { "iptables-legacy", "-S", NULL };
	const struct proc_options options = { .argv = argv, .timeout_ms = TOOL_TIMEOUT_MS, .output_limit = OUTPUT_LIMIT };
	autofree char *names = NULL, *program = fs_find_program(PROC_PATH, argv[0]), *output = NULL, *in = NULL, *out = NULL;
	const char *chain;
	struct error ignored;

	/* only where it is in use: asking would load its modules */
	if (fs_read_file("/proc/net/ip_tables_names", 4096, &names, NULL, &ignored) < 0 || !strstr(names, "filter"))
		return;
	if (!program) {
		cut_add(looking, json_string("iptables of the old kind are loaded, and iptables-legacy is not installed to look at them"),
			json_string("apt-get install iptables; insula doctor"));
		return;
	}
	if (proc_check(&options, &output, &ignored) < 0 || !strstr(output, "-P FORWARD DROP"))
		return;
	chain = strstr(output, "-N DOCKER-USER\n") ? "DOCKER-USER" : "FORWARD";
	in = xasprintf("-A %s -i %s -j ACCEPT\n", chain, looking->uplink);
	out = xasprintf("-A %s -o %s -j ACCEPT\n", chain, looking->uplink);
	if (!strstr(output, in) || !strstr(output, out))
		cut_add(looking, json_string("chain FORWARD of iptables-legacy drops what no rule of it accepts"), iptables_fix(argv[0], chain, looking->uplink));
}

void probe_firewalls(const struct site_config *config, json_t *facts)
{
	static const char *const argv[] = { "nft", "-j", "list", "chains", NULL };
	char uplink[16];
	struct looking looking = { .cuts = json_array(), .uplink = uplink };
	autojson json_t *chains = nft_read(argv);
	json_t *item;
	size_t i;

	json_set(facts, "cuts", looking.cuts);
	local_link_name(config->deployment, LINK_UPLINK_HOST, "host/router", uplink);
	looking.chains = chains;
	/* only chains are listed at first: the rules of a table can be many */
	json_array_foreach(chains, i, item)
		if (json_get_object(item, "chain"))
			chain_look(&looking, json_get_object(item, "chain"));
	legacy_look(&looking);
}
