/* SPDX-License-Identifier: Apache-2.0 */
#include "../../guest/dns.c"
#include "../../guest/insula-resolver-zones.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Any bytes as a question: read, judged, answered within the client's size; then as an answer to itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char text[] = "upstream 192.0.2.53\nzone a 10.77.1.0/26 10.77.1.1 1\nname w.a.insula 10.77.1.2\nname w.a.insula 10.77.1.3\n";
	uint8_t answer[DNS_UDP_OURS], copy[QUERY_MAX];
	struct dns_query query;
	struct verdict verdict = { 0 };
	struct zones zones;
	size_t length;
	int code;

	if (n > sizeof(copy) || zones_parse(strdup(text), &zones) < 0)
		return 0;
	code = dns_query_parse(data, n, &query);
	if (code == 0)
		resolver_judge(&zones, &zones.zones[0], &query, 1, &verdict);
	else
		verdict.reply.code = code;
	if (code >= 0) {
		size_t capacity = query.udp_size < sizeof(answer) ? query.udp_size : sizeof(answer);

		length = dns_reply_build(data, &query, &verdict.reply, answer, capacity);
		if (length < DNS_HEADER || length > capacity || strlen(query.name) >= DNS_NAME_MAX || DNS_HEADER + query.question_n > n)
			abort();
		memcpy(copy, data, n);
		copy[2] |= 0x80;
		if (code == 0 && !dns_answer_fits(copy, n, query.id, data, &query))
			abort();
		if (code == 0 && dns_truncate(copy, &query) > n)
			abort();
	}
	zones_clear(&zones);
	return 0;
}
