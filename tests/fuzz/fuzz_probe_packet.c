/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as a proof reads them from the wire: any bytes; what is built is known again. */
#include "audit/probe_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum protocol protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP };
	struct probe_seen seen = { 0 };
	struct probe_shape shape = { .family = AF_INET };
	uint8_t frame[2048];
	uint32_t index;

	(void)probe_read_frame(data, size, 1, &seen);
	(void)probe_read_payload(data, size, 1, &index);
	if (size < 12)
		return 0;
	memcpy(&shape.nonce, data, 4);
	memcpy(&shape.index, data + 4, 4);
	shape.protocol = protocols[data[8] % 3];
	shape.port = (uint16_t)(data[9] + 1);
	shape.size = (size_t)data[10] * 8;
	shape.source = shape.destination = (struct address){ AF_INET, { 10, 0, 0, data[11] } };
	size_t n = probe_build_frame(&shape, data, data + 6, frame, sizeof(frame));
	if (n == 0)
		return 0;
	if (!probe_read_frame(frame, n, shape.nonce, &seen) || seen.index != shape.index || seen.kind != SEEN_PROBE)
		__builtin_trap();
	return 0;
}
