/* SPDX-License-Identifier: Apache-2.0 */
#include "network_fixture.h"

#include "site/local/probe/probe.h"

/* Firewalls of others, as their makers load them: what cuts our uplink is named, and the command that is shown mends it. */

static char uplink[16];

static int setup(void **state)
{
	local_link_name("test", LINK_UPLINK_HOST, "host/router", uplink);
	return machine_setup(state);
}

static void shell(const char *script)
{
	RUN_IN(NETNS_HERE, "sh", "-ec", script);
}

static json_t *cuts(void)
{
	autojson json_t *facts = json_object();

	probe_firewalls(&machine.config, facts);
	return json_incref(json_object_get(facts, "cuts"));
}

static void expect_nothing(void)
{
	autojson json_t *found = cuts();

	if (json_array_size(found))
		fail_msg("%s", json_get_string(json_array_get(found, 0), "text", "?"));
}

/* One cut with these words; its cure is run, and then there is none. */
static void expect_cured(const char *text, const char *fix)
{
	autojson json_t *found = cuts();
	const json_t *cut = json_array_get(found, 0);

	assert_int_equal(json_array_size(found), 1);
	assert_holds(json_get_string(cut, "text", ""), text);
	assert_holds(json_get_string(cut, "fix", ""), fix);
	shell(json_get_string(cut, "fix", "false"));
	expect_nothing();
}

static void clean(void)
{
	shell("nft flush ruleset");
	expect_nothing();
}

static void needs(const char *program)
{
	autofree char *found = fs_find_program(PROC_PATH, program);

	machine_needed();
	if (!found)
		test_skip("%s is not installed", program);
}

static void a_machine_without_rules_cuts_nothing(void **state)
{
	machine_needed();
	shell("nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy accept; }; }'");
	expect_nothing();
	clean();
}

static void docker(void **state)
{
	needs("iptables");
	shell("iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -A FORWARD -j DOCKER-USER");
	expect_cured("chain FORWARD of table ip filter", "iptables -I DOCKER-USER -i insu");
	clean();
}

static void iptables_by_hand(void **state)
{
	needs("iptables");
	shell("iptables-nft -P FORWARD DROP");
	expect_cured("chain FORWARD of table ip filter", "iptables -I FORWARD -i insu");
	clean();
}

static void iptables_of_the_old_kind(void **state)
{
	autofree char *names = NULL;
	struct error ignored;

	needs("iptables-legacy");
	RUN_IN(NETNS_HERE, "sh", "-c", "iptables-legacy -P FORWARD DROP || true");
	if (fs_read_file("/proc/net/ip_tables_names", 4096, &names, NULL, &ignored) < 0 || !strstr(names, "filter"))
		test_skip("this kernel has no tables of the old kind");
	expect_cured("iptables-legacy", "iptables-legacy -I FORWARD -i insu");
	shell("iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F");
	expect_nothing();
}

static void rules_by_hand(void **state)
{
	machine_needed();
	shell("nft 'table inet mine { chain between { type filter hook forward priority 10; policy drop; }; }'");
	expect_cured("chain between of table inet mine", "nft insert rule inet mine between iifname insu");
	clean();
}

static void one_direction_is_not_enough(void **state)
{
	autofree char *half = xasprintf("nft insert rule inet mine between iifname %s accept", uplink);

	machine_needed();
	shell("nft 'table inet mine { chain between { type filter hook forward priority 10; policy drop; }; }'");
	shell(half);
	expect_cured("chain between of table inet mine", "oifname");
	clean();
	/* a rule for other links will not do, one for every uplink of ours will */
	shell("nft 'table inet mine { chain between { type filter hook forward priority 10; policy drop; iifname \"eth*\" accept; oifname \"eth*\" accept; }; }'");
	expect_cured("chain between of table inet mine", "oifname");
	clean();
	shell("nft 'table inet mine { chain between { type filter hook forward priority 10; policy drop; iifname \"insu*\" accept; oifname \"insu*\" accept; }; }'");
	expect_nothing();
	clean();
}

static void ufw(void **state)
{
	autojson json_t *found = NULL;

	needs("iptables");
	shell("iptables-nft -P FORWARD DROP; iptables-nft -N ufw-user-forward; iptables-nft -A FORWARD -j ufw-user-forward");
	found = cuts();
	assert_holds(json_get_string(json_array_get(found, 0), "fix", ""), "ufw route allow in on insu");
	/* what ufw makes of that */
	{
		autofree char *made = xasprintf("iptables-nft -A ufw-user-forward -i %s -j ACCEPT; iptables-nft -A ufw-user-forward -o %s -j ACCEPT", uplink, uplink);

		shell(made);
	}
	expect_nothing();
	clean();
}

static void firewalld(void **state)
{
	autofree char *zone = xasprintf("nft add rule inet firewalld filter_FORWARD_IN_ZONES iifname %s goto filter_FWDI_trusted; "
					"nft add rule inet firewalld filter_FORWARD_IN_ZONES oifname %s goto filter_FWDO_trusted", uplink, uplink);
	autojson json_t *found = NULL;

	machine_needed();
	shell("nft 'table inet firewalld { chain filter_FWDI_trusted { accept; }; chain filter_FWDO_trusted { accept; }; chain filter_FORWARD_IN_ZONES { }; "
	      "chain filter_FORWARD { type filter hook forward priority 10; policy accept; ct state established,related accept; jump filter_FORWARD_IN_ZONES; "
	      "reject with icmpx type admin-prohibited; }; }'");
	found = cuts();
	assert_int_equal(json_array_size(found), 1);
	assert_holds(json_get_string(json_array_get(found, 0), "fix", ""), "firewall-cmd --permanent --zone=trusted --add-interface=insu");
	shell(zone);
	expect_nothing();
	clean();
}

static void our_own_tables_are_no_news(void **state)
{
	machine_needed();
	shell("nft 'table inet insula_other { chain forward { type filter hook forward priority 0; policy drop; }; }'");
	expect_nothing();
	clean();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_without_rules_cuts_nothing),
		cmocka_unit_test(docker),
		cmocka_unit_test(iptables_by_hand),
		cmocka_unit_test(iptables_of_the_old_kind),
		cmocka_unit_test(rules_by_hand),
		cmocka_unit_test(one_direction_is_not_enough),
		cmocka_unit_test(ufw),
		cmocka_unit_test(firewalld),
		cmocka_unit_test(our_own_tables_are_no_news),
	};

	return cmocka_run_group_tests(tests, setup, machine_teardown);
}
