/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "../../guest/dns.c"
#include "../../guest/insula-resolver-zones.c"

#include "dns_message.h"

static void a_question_is_read(void **state)
{
	struct dns_query query;
	uint8_t message[512];
	size_t n = question_make(message, 0x1234, "Train.VISION.insula", DNS_TYPE_A, false);

	assert_int_equal(dns_query_parse(message, n, &query), 0);
	assert_int_equal(query.id, 0x1234);
	assert_string_equal(query.name, "train.vision.insula");
	assert_int_equal(query.type, DNS_TYPE_A);
	assert_int_equal(query.udp_size, 512);
	assert_false(query.edns);
	n = question_make(message, 1, "", DNS_TYPE_ANY, true);
	assert_int_equal(dns_query_parse(message, n, &query), 0);
	assert_string_equal(query.name, "");
	assert_true(query.edns);
	assert_int_equal(query.udp_size, 4096);
}

static void what_is_no_question_is_dropped_or_refused(void **state)
{
	struct dns_query query;
	uint8_t message[512];
	size_t n = question_make(message, 1, "a.insula", DNS_TYPE_A, true);

	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(dns_query_parse(message, i, &query), 0);
	assert_int_equal(dns_query_parse(message, 11, &query), -1);
	message[2] = 0x81;			/* an answer: answering it could go on for ever */
	assert_int_equal(dns_query_parse(message, n, &query), -1);
	message[2] = 0x29;			/* an update */
	assert_int_equal(dns_query_parse(message, n, &query), DNS_NOTIMP);
	message[2] = 1;
	message[5] = 2;
	assert_int_equal(dns_query_parse(message, n, &query), DNS_FORMERR);
	message[5] = 1;
	message[12] = 0xc0;			/* a pointer to itself */
	message[13] = 12;
	assert_int_equal(dns_query_parse(message, n, &query), DNS_FORMERR);
}

static void an_answer_holds_what_fits(void **state)
{
	uint32_t addresses[100];
	struct dns_reply reply = { .authoritative = true, .addresses = addresses, .address_n = 100, .ttl = 5 };
	struct dns_query query;
	uint8_t message[512], answer[4096];
	size_t n = question_make(message, 7, "w.a.insula", DNS_TYPE_A, false);

	for (unsigned i = 0; i < 100; i++)
		addresses[i] = htonl(0x0a4d0100 + i);
	assert_int_equal(dns_query_parse(message, n, &query), 0);
	n = dns_reply_build(message, &query, &reply, answer, 512);
	assert_true(n <= 512);
	assert_true(answer_cut(answer));
	assert_int_equal(answer_count(answer), (512 - 12 - query.question_n) / 16);
	n = dns_reply_build(message, &query, &reply, answer, sizeof(answer));
	assert_false(answer_cut(answer));
	assert_int_equal(answer_count(answer), 100);
	assert_int_equal(n, 12 + query.question_n + 1600);
	assert_memory_equal(answer + n - 4, &addresses[99], 4);
	for (size_t capacity = 0; capacity < 200; capacity++)
		assert_true(dns_reply_build(message, &query, &reply, answer, capacity) <= capacity);
}

static void an_answer_of_others_must_be_about_the_question(void **state)
{
	struct dns_query query;
	uint8_t message[512], answer[512];
	size_t n = question_make(message, 7, "example.org", DNS_TYPE_A, false);

	assert_int_equal(dns_query_parse(message, n, &query), 0);
	question_make(answer, 99, "EXAMPLE.org", DNS_TYPE_A, false);
	answer[2] |= 0x80;
	assert_true(dns_answer_fits(answer, n, 99, message, &query));
	assert_false(dns_answer_fits(answer, n, 98, message, &query));
	assert_false(dns_answer_fits(answer, n - 1, 99, message, &query));
	question_make(answer, 99, "example.net", DNS_TYPE_A, false);
	answer[2] |= 0x80;
	assert_false(dns_answer_fits(answer, n, 99, message, &query));
	question_make(answer, 99, "example.org", DNS_TYPE_AAAA, false);
	answer[2] |= 0x80;
	assert_false(dns_answer_fits(answer, n, 99, message, &query));
}

static void names_of_addresses_are_read(void **state)
{
	uint32_t address;

	assert_true(dns_reverse_name("2.1.77.10.in-addr.arpa", &address));
	assert_int_equal(ntohl(address), 0x0a4d0102);
	assert_false(dns_reverse_name("2.1.77.256.in-addr.arpa", &address));
	assert_false(dns_reverse_name("1.77.10.in-addr.arpa", &address));
	assert_false(dns_reverse_name("2.1.77.10.in-addr.arpa.org", &address));
	assert_true(dns_name_within("a.insula", "insula"));
	assert_true(dns_name_within("insula", "insula"));
	assert_false(dns_name_within("ainsula", "insula"));
	assert_false(dns_name_within("insula.org", "insula"));
}

#define ZONES \
	"digest abc\n" \
	"upstream 192.0.2.53\n" \
	"zone b 10.77.2.0/26 10.77.2.1 0\n" \
	"name w.b.insula 10.77.2.2\n" \
	"zone a 10.77.1.0/26 10.77.1.1 1\n" \
	"name w.b.insula 10.77.2.2\n" \
	"name w.a.insula 10.77.1.2\n" \
	"name 0.w.a.insula 10.77.1.2\n" \
	"name w.a.insula 10.77.1.3\n" \
	"name 1.w.a.insula 10.77.1.3\n"

static struct zones zones_make(void)
{
	struct zones zones;

	assert_int_equal(zones_parse(xstrdup(ZONES), &zones), 0);
	return zones;
}

static uint32_t ip(const char *text)
{
	return inet_addr(text);
}

static void zones_are_read(void **state)
{
	struct zones zones = zones_make();
	const struct zone_name *found;
	size_t n;

	assert_string_equal(zones.digest, "abc");
	assert_int_equal(zones.upstream_n, 1);
	assert_ptr_equal(zones_find(&zones, ip("10.77.1.0")), &zones.zones[0]);
	assert_ptr_equal(zones_find(&zones, ip("10.77.1.63")), &zones.zones[0]);
	assert_null(zones_find(&zones, ip("10.77.1.64")));
	assert_ptr_equal(zones_find(&zones, ip("10.77.2.2")), &zones.zones[1]);
	assert_null(zones_find(&zones, ip("10.77.0.1")));
	assert_null(zones_find(&zones, ip("255.255.255.255")));
	found = zone_lookup(&zones.zones[0], "w.a.insula", &n);
	assert_int_equal(n, 2);
	assert_string_equal(found->name, "w.a.insula");
	zone_lookup(&zones.zones[1], "w.a.insula", &n);
	assert_int_equal(n, 0);
	zones_clear(&zones);
}

static void zones_that_are_not_of_the_form_are_refused(void **state)
{
	static const char *const wrong[] = {
		"name a.insula 10.0.0.1\n", "zone a 10.0.0.1/8 10.0.0.1 1\n", "zone a 10.0.0.0/33 10.0.0.1 1\n", "zone a 10.0.0.0/8 x 1\n",
		"zone a\n", "upstream x\n", "what\n", "zone a 10.0.0.0/8 10.0.0.1 1\nname b\n",
	};
	struct zones zones;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(zones_parse(xstrdup(wrong[i]), &zones), -1);
	assert_int_equal(zones_parse(xstrdup(""), &zones), 0);
	assert_null(zones_find(&zones, ip("10.0.0.1")));
	zones_clear(&zones);
}

static struct verdict judge(struct zones *zones, unsigned zone, const char *name, uint16_t type, unsigned rotation)
{
	struct dns_query query = { .type = type, .class = DNS_CLASS_IN };
	struct verdict verdict;

	strcpy(query.name, name);
	resolver_judge(zones, &zones->zones[zone], &query, rotation, &verdict);
	return verdict;
}

static void a_tenant_learns_what_it_may_reach_and_nothing_else(void **state)
{
	struct zones zones = zones_make();
	struct verdict verdict;

	verdict = judge(&zones, 0, "w.a.insula", DNS_TYPE_A, 1);
	assert_int_equal(verdict.reply.address_n, 2);
	assert_int_equal(verdict.addresses[0], ip("10.77.1.3"));	/* each first in its turn */
	assert_int_equal(verdict.addresses[1], ip("10.77.1.2"));
	verdict = judge(&zones, 0, "w.a.insula", DNS_TYPE_AAAA, 0);
	assert_int_equal(verdict.reply.code, DNS_NOERROR);
	assert_int_equal(verdict.reply.address_n, 0);
	assert_int_equal(judge(&zones, 0, "w.b.insula", DNS_TYPE_A, 0).reply.address_n, 1);
	assert_int_equal(judge(&zones, 1, "w.a.insula", DNS_TYPE_A, 0).reply.code, DNS_NXDOMAIN);
	assert_int_equal(judge(&zones, 1, "nobody.b.insula", DNS_TYPE_A, 0).reply.code, DNS_NXDOMAIN);
	assert_int_equal(judge(&zones, 0, "example.org", DNS_TYPE_A, 0).kind, VERDICT_FORWARD);
	assert_int_equal(judge(&zones, 1, "example.org", DNS_TYPE_A, 0).reply.code, DNS_REFUSED);
	assert_int_equal(judge(&zones, 0, "x.insula", DNS_TYPE_A, 0).kind, VERDICT_REPLY);	/* never asked outside */
	zones_clear(&zones);
}

static void an_address_has_the_name_of_its_replica_for_those_who_may_know(void **state)
{
	struct zones zones = zones_make();
	struct verdict verdict = judge(&zones, 0, "3.1.77.10.in-addr.arpa", DNS_TYPE_PTR, 0);

	assert_int_equal(verdict.reply.name_n, 1);
	assert_string_equal(verdict.names[0], "1.w.a.insula");
	assert_int_equal(judge(&zones, 1, "3.1.77.10.in-addr.arpa", DNS_TYPE_PTR, 0).reply.code, DNS_NXDOMAIN);
	assert_int_equal(judge(&zones, 0, "9.1.77.10.in-addr.arpa", DNS_TYPE_PTR, 0).reply.code, DNS_NXDOMAIN);
	assert_int_equal(judge(&zones, 0, "9.9.9.9.in-addr.arpa", DNS_TYPE_PTR, 0).kind, VERDICT_FORWARD);
	zones_clear(&zones);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_read),
		cmocka_unit_test(what_is_no_question_is_dropped_or_refused),
		cmocka_unit_test(an_answer_holds_what_fits),
		cmocka_unit_test(an_answer_of_others_must_be_about_the_question),
		cmocka_unit_test(names_of_addresses_are_read),
		cmocka_unit_test(zones_are_read),
		cmocka_unit_test(zones_that_are_not_of_the_form_are_refused),
		cmocka_unit_test(a_tenant_learns_what_it_may_reach_and_nothing_else),
		cmocka_unit_test(an_address_has_the_name_of_its_replica_for_those_who_may_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
