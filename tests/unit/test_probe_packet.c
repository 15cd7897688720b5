/* SPDX-License-Identifier: Apache-2.0 */
/* Probes are known again, as they were sent and as their answers come back, and nothing else is taken for one. */
#include "helper.h"

#include "audit/probe_packet.h"
#include "base/rng.h"

static struct probe_shape shape(int family, enum protocol protocol, uint32_t index)
{
	struct probe_shape s = { .nonce = 0xfffffff0, .index = index, .family = family, .protocol = protocol, .source_port = 1111, .port = 8501, .ttl = 2, .size = 0 };

	s.source = (struct address){ family, { 10, 0, 0, 1 } };
	s.destination = (struct address){ family, { 10, 0, 0, 2 } };
	return s;
}

static uint16_t fold(const uint8_t *data, size_t n, uint32_t total)
{
	for (size_t i = 0; i < n; i++)
		total += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)total;
}

static void probes_are_known_again(void **state)
{
	static const struct { int family; enum protocol protocol; size_t size; } cases[] = {
		{ AF_INET, PROTOCOL_TCP, 0 }, { AF_INET, PROTOCOL_UDP, 0 }, { AF_INET, PROTOCOL_ICMP, 0 }, { AF_INET, PROTOCOL_UDP, 1501 },
		{ AF_INET6, PROTOCOL_TCP, 0 }, { AF_INET6, PROTOCOL_UDP, 0 }, { AF_INET6, PROTOCOL_ICMPV6, 0 },
	};
	static const uint8_t from[6] = { 2, 0, 0, 0, 0, 1 }, to[6] = { 2, 0, 0, 0, 0, 2 };
	uint8_t frame[2048];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct probe_shape s = shape(cases[i].family, cases[i].protocol, (uint32_t)i + 40);
		struct probe_seen seen;
		size_t header = cases[i].family == AF_INET ? 20 : 40, ip = PROBE_FRAME_HEADER;

		s.size = cases[i].size;
		size_t n = probe_build_frame(&s, from, to, frame, sizeof(frame));
		assert_true(n > 0 && (!s.size || n == s.size + ip));
		assert_true(probe_read_frame(frame, n, s.nonce, &seen));
		assert_int_equal(seen.kind, SEEN_PROBE);
		assert_int_equal(seen.index, s.index);
		assert_true(seen.port == s.port || (seen.port == 0 && cases[i].protocol != PROTOCOL_TCP && cases[i].protocol != PROTOCOL_UDP));
		assert_memory_equal(seen.from_mac, from, 6);
		/* the checksums are right: headers sum to all ones */
		if (cases[i].family == AF_INET)
			assert_int_equal(fold(frame + ip, 20, 0), 0xffff);
		uint32_t pseudo = cases[i].protocol == PROTOCOL_ICMP ? 0 : (uint32_t)cases[i].protocol + (uint32_t)(n - ip - header);
		if (cases[i].protocol != PROTOCOL_ICMP)
			pseudo = fold(frame + ip + (header == 20 ? 12 : 8), header == 20 ? 8 : 32, pseudo);
		assert_int_equal(fold(frame + ip + header, n - ip - header, pseudo), 0xffff);
		/* of another run, or cut: not known */
		assert_false(probe_read_frame(frame, n, s.nonce + 7, &seen) && seen.index == s.index);
		for (size_t cut = 0; cut < ip + header; cut++)
			assert_false(probe_read_frame(frame, cut, s.nonce, &seen));
	}
}

static void answers_are_known(void **state)
{
	static const uint8_t mac[6] = { 2 };
	struct probe_shape s = shape(AF_INET, PROTOCOL_TCP, 17);
	uint8_t frame[512], error[512];
	struct probe_seen seen;

	size_t n = probe_build_frame(&s, mac, mac, frame, sizeof(frame));
	/* an ICMP error that quotes the probe: time exceeded */
	memset(error, 0, sizeof(error));
	memcpy(error, frame, PROBE_FRAME_HEADER + 20);
	error[PROBE_FRAME_HEADER + 9] = 1;
	error[PROBE_FRAME_HEADER + 20] = 11;
	memcpy(error + PROBE_FRAME_HEADER + 28, frame + PROBE_FRAME_HEADER, 28);
	assert_true(probe_read_frame(error, PROBE_FRAME_HEADER + 28 + 28, s.nonce, &seen));
	assert_true(seen.kind == SEEN_ERROR && seen.type == 11 && seen.index == 17 && seen.port == 8501);
	/* the same as SYN-ACK, then as RST */
	uint8_t *tcp = frame + PROBE_FRAME_HEADER + 20;
	uint32_t ack = s.nonce + 17 + 1;
	memcpy(tcp, (uint8_t[]){ 0x21, 0x35, 0x04, 0x57 }, 4);		/* from 8501 to 1111 */
	for (int i = 0; i < 4; i++)
		tcp[8 + i] = (uint8_t)(ack >> (24 - 8 * i));
	tcp[13] = 0x12;
	assert_true(probe_read_frame(frame, n, s.nonce, &seen));
	assert_true(seen.kind == SEEN_ANSWER && seen.index == 17 && seen.port == 8501);
	tcp[13] = 0x14;
	assert_true(probe_read_frame(frame, n, s.nonce, &seen) && seen.kind == SEEN_RESET);
	tcp[13] = 0x10;		/* an acknowledgement alone is somebody's traffic */
	assert_false(probe_read_frame(frame, n, s.nonce, &seen));
	/* an echo reply */
	s = shape(AF_INET, PROTOCOL_ICMP, 5);
	n = probe_build_frame(&s, mac, mac, frame, sizeof(frame));
	frame[PROBE_FRAME_HEADER + 20] = 0;
	assert_true(probe_read_frame(frame, n, s.nonce, &seen) && seen.kind == SEEN_ANSWER && seen.index == 5);
	/* ARP bears the mark in its padding */
	n = probe_build_arp(s.nonce, 99, mac, &s.source, frame, sizeof(frame));
	assert_int_equal(n, 60);
	assert_true(probe_read_frame(frame, n, s.nonce, &seen) && seen.kind == SEEN_PROBE && seen.index == 99);
	assert_false(probe_read_frame(frame, 57, s.nonce, &seen));
}

static void what_does_not_fit_is_not_built(void **state)
{
	static const uint8_t mac[6] = { 2 };
	struct probe_shape s = shape(AF_INET, PROTOCOL_UDP, 1);
	uint8_t frame[64];

	assert_int_equal(probe_build_frame(&s, mac, mac, frame, 14), 0);
	assert_int_equal(probe_build_ip(&s, frame, 43), 0);
	assert_int_equal(probe_build_ip(&s, frame, 44), 44);
	s.size = 70000;
	autofree uint8_t *large = xmalloc(80000);
	assert_int_equal(probe_build_ip(&s, large, 80000), 0);
}

static void any_bytes_are_read_safely(void **state)
{
	struct rng rng;

	rng_seed(&rng, 11);
	for (int i = 0; i < 200000; i++) {
		size_t n = rng_below(&rng, 100);
		autofree uint8_t *frame = xmalloc(n ? n : 1);	/* of exactly this size, so that the sanitizer sees a step too far */
		struct probe_seen seen;

		for (size_t k = 0; k < n; k++)
			frame[k] = (uint8_t)rng_next(&rng);
		if (n > 24) {		/* mostly what looks like a packet */
			frame[12] = rng_below(&rng, 8) ? 0x08 : 0x86;
			frame[13] = frame[12] == 8 ? 0 : 0xdd;
			frame[14] = frame[12] == 8 ? 0x45 : 0x60;
			frame[23] = (uint8_t[]){ 1, 6, 17, 58 }[rng_below(&rng, 4)];
			frame[20] = 0;
		}
		(void)probe_read_frame(frame, n, 1, &seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes_are_known_again), cmocka_unit_test(answers_are_known),
		cmocka_unit_test(what_does_not_fit_is_not_built), cmocka_unit_test(any_bytes_are_read_safely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
