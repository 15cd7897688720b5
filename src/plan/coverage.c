/* SPDX-License-Identifier: Apache-2.0 */
#include "site.h"

#include <stdlib.h>

void coverage_add(struct coverage *coverage, const char *kind, const char *scope, enum coverage_state state, const char *reason)
{
	struct coverage_entry *entry = vec_add(&coverage->entries);

	entry->kind = kind;
	entry->scope = scope ? xstrdup(scope) : NULL;
	entry->state = state;
	entry->reason = reason ? xstrdup(reason) : NULL;
}

void coverage_clear(struct coverage *coverage)
{
	vec_each(&coverage->entries, entry) {
		free(entry->scope);
		free(entry->reason);
	}
	vec_clear(&coverage->entries);
}

bool coverage_complete(const struct coverage *coverage, const char *kind)
{
	bool found = false;

	vec_each(&coverage->entries, entry) {
		if (!streq(entry->kind, kind))
			continue;
		if (entry->state != COVERAGE_COMPLETE && entry->state != COVERAGE_ABSENT)
			return false;
		found = true;
	}
	return found;
}

const char *coverage_reason(const struct coverage *coverage, const char *kind)
{
	vec_each(&coverage->entries, entry) {
		if (!streq(entry->kind, kind))
			continue;
		if (entry->state == COVERAGE_FORBIDDEN)
			return entry->reason ? entry->reason : "the site forbids to list it";
		if (entry->state == COVERAGE_FAILED)
			return entry->reason ? entry->reason : "the list failed";
	}
	return "the site does not say that its list is complete";
}
