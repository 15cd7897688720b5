/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_PLAN_STATE_H
#define INSULA_PLAN_STATE_H

/*
 * The state of a deployment: <state_dir>/<deployment>/state.db (SQLite, WAL).
 * Decisions, what was last applied (for the three-way diff), the journal of intents, the last
 * applied file (for restore), usage records, the key for secret digests. Losing it loses
 * nothing that list cannot rebuild but decisions, which adoption reads back from what lives.
 * One writer a deployment at a time: state_lock.
 */

#include "data/json.h"
#include "resource.h"

struct state;

/* One thread at a time uses a state. Without `create` a state that is not there is ERROR_NOT_FOUND; a damaged one is
   ERROR_INPUT, and the hint says how to go on without it. */
int state_open(const char *state_dir, const char *deployment, bool create, struct state **ret, struct error *err) WARN_UNUSED;
void state_close(struct state *state);
void state_close_pp(struct state **state);
#define autostate CLEANUP(state_close_pp)

/* Becomes the one writer; waits up to wait_ms; ERROR_CONFLICT names the holder. Held until close. */
int state_lock(struct state *state, int64_t wait_ms, struct error *err) WARN_UNUSED;

int state_decisions(struct state *state, json_t **ret, struct error *err) WARN_UNUSED;	/* {} when none */
int state_set_decisions(struct state *state, const json_t *decisions, struct error *err) WARN_UNUSED;

/* Small documents by name: "site" (the last Site), "facts", "files" (the last applied text, for restore), "boot" ... ; NULL when absent */
int state_document(struct state *state, const char *name, json_t **ret, struct error *err) WARN_UNUSED;
int state_set_document(struct state *state, const char *name, const json_t *value, struct error *err) WARN_UNUSED;

/* What we last applied, by key: as desired (refs as they are), with the id and revision that the site answered. */
int state_applied(struct state *state, struct resources *ret, struct error *err) WARN_UNUSED;
int state_set_applied(struct state *state, const struct resource *resource, struct error *err) WARN_UNUSED;
int state_remove_applied(struct state *state, const char *key, struct error *err) WARN_UNUSED;
/* Many of both in one commit. */
int state_renew(struct state *state, const struct resource *const *set, size_t set_n, const char *const *forget, size_t forget_n,
		struct error *err) WARN_UNUSED;

/*
 * The journal: intents of a wave in one commit, before action; each is ended with its result. An
 * intent stays open when its verb was cut short or failed: what became of it is then for list to
 * say (deployment_list). A new intent for the same key closes it.
 */
enum journal_verb { JOURNAL_CREATE, JOURNAL_UPDATE, JOURNAL_REMOVE };
struct journal_entry { int64_t id; enum journal_verb verb; struct resource *resource; };
int state_journal_begin(struct state *state, struct journal_entry *entries /* id is set */, size_t n, struct error *err) WARN_UNUSED;
/* Ends an intent and records (create, update) or forgets (remove; unless what is applied has another id) what is applied, in
   one commit; many at once. Not done: it was never begun, and nothing is recorded. */
int state_journal_end(struct state *state, const struct journal_entry *entries, const bool *done, size_t n, struct error *err) WARN_UNUSED;
/* Intents without an end: what a crash interrupted. Entries own their resources; the caller frees. */
typedef VEC(struct journal_entry) journal_entries;
void journal_entries_clear(journal_entries *entries);
int state_journal_open(struct state *state, journal_entries *ret, struct error *err) WARN_UNUSED;

/* 32 random bytes, made once: keys the digests of secrets. */
int state_secret_key(struct state *state, uint8_t ret[static 32], struct error *err) WARN_UNUSED;

#endif
