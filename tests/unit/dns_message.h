/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_TESTS_DNS_MESSAGE_H
#define INSULA_TESTS_DNS_MESSAGE_H

/* DNS messages made and taken apart by hand, so that the resolver's own code is not its own witness. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline size_t question_make(uint8_t *into, uint16_t id, const char *name, uint16_t type, bool edns)
{
	const uint8_t header[12] = { (uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns };
	static const uint8_t opt[11] = { 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0 };	/* takes 4096 bytes */
	size_t n = sizeof(header);

	memcpy(into, header, sizeof(header));
	while (*name) {
		size_t label = strcspn(name, ".");

		into[n++] = (uint8_t)label;
		memcpy(into + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	into[n++] = 0;
	into[n++] = (uint8_t)(type >> 8);
	into[n++] = (uint8_t)type;
	into[n++] = 0;
	into[n++] = 1;
	if (edns) {
		memcpy(into + n, opt, sizeof(opt));
		n += sizeof(opt);
	}
	return n;
}

static inline int answer_code(const uint8_t *answer) { return answer[3] & 15; }
static inline unsigned answer_count(const uint8_t *answer) { return (unsigned)(answer[6] << 8 | answer[7]); }
static inline bool answer_cut(const uint8_t *answer) { return answer[2] & 2; }

#endif
