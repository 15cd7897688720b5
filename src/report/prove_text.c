/* SPDX-License-Identifier: Apache-2.0 */
#include "prove_text.h"

#include <stdio.h>

#define GREEN "\033[32m"
#define RED "\033[31m"
#define PLAIN "\033[0m"
#define LINE_MAX_TEXT 110	/* what is tried is cut behind so many characters */
#define MATRIX_MAX 24		/* tenants; more do not fit a terminal */

/* Rows of one topic between the same two with the same verdict: one line. */
struct group { const struct prove_row *first; struct buf tried; size_t n, cut; };
typedef VEC(struct group) groups;

static const char *word(bool open) { return open ? "open" : "closed"; }

static void tried_text(const struct prove_row *row, struct buf *into)
{
	if (row->family == AF_INET6)
		buf_adds(into, "IPv6 ");
	if (row->port)
		buf_addf(into, "%s/%u", row->protocol, row->port);
	else if (!streq(row->protocol, "device") && !streq(row->protocol, "name"))
		buf_adds(into, row->protocol);
	if (row->what && !starts_with(row->what, "sampled") && row->topic != PROVE_DEVICES)
		buf_addf(into, " (%s)", row->what);
}

static bool one_line(const struct prove_row *a, const struct prove_row *b)
{
	return a->topic == b->topic && a->from == b->from && a->expected == b->expected && a->observed == b->observed && (a->to == b->to || a->topic == PROVE_DEVICES);
}

static void add_to_group(groups *list, const struct prove_row *row)
{
	struct group *group = NULL;
	autobuf struct buf text = { 0 };

	/* rows of a group lie close to each other: looked for from the end, and not far */
	for (size_t i = list->n, steps = 0; i > 0 && steps < 16 && !group; i--, steps++)
		if (one_line(list->items[i - 1].first, row))
			group = &list->items[i - 1];
	if (!group) {
		group = vec_add(list);
		group->first = row;
	}
	group->n++;
	tried_text(row, &text);
	if (text.n == 0)
		return;
	if (group->tried.n + text.n > LINE_MAX_TEXT) {
		group->cut++;
		return;
	}
	buf_addf(&group->tried, "%s%s", group->tried.n ? ", " : "", text.data);
}

static void add_group(struct buf *into, const struct group *group, bool color)
{
	const struct prove_row *row = group->first;
	bool devices = row->topic == PROVE_DEVICES;

	buf_addf(into, "  %s%-4s%s  %s > %s  ", color ? (row->ok ? GREEN : RED) : "", row->ok ? "ok" : "DIFF", color ? PLAIN : "", row->from,
		 devices && group->n > 1 ? "its and the host's devices" : row->to);
	if (devices)
		buf_addf(into, "%zu ", group->n);
	if (group->tried.n)
		buf_addf(into, "%s ", group->tried.data);
	if (group->cut)
		buf_addf(into, "and %zu more ", group->cut);
	buf_addf(into, "%s | the file: %s\n", word(row->observed), row->reason ? row->reason : word(row->expected));
}

static void add_topic(struct buf *into, const struct prove_report *report, enum prove_topic topic, bool color)
{
	groups list = { 0 };

	vec_each(&report->rows, row)
		if (row->topic == topic)
			add_to_group(&list, row);
	if (list.n)
		buf_addf(into, "\n%s\n", prove_topic_title(topic));
	vec_each(&list, group) {
		add_group(into, group, color);
		buf_clear(&group->tried);
	}
	vec_clear(&list);
}

static void add_name(const char *name, const char **names, size_t *n)
{
	for (size_t i = 0; name && i < *n; i++)
		if (streq(names[i], name))
			return;
	if (name && *n <= MATRIX_MAX)
		names[(*n)++] = name;
}

static void matrix_cell(const struct prove_report *report, const char *from, const char *to, struct buf *cell)
{
	bool differs = false, any = false;

	vec_each(&report->rows, row) {
		if ((row->topic != PROVE_BETWEEN && row->topic != PROVE_WITHIN) || !row->from_tenant || !row->to_tenant || !streq(row->from_tenant, from) || !streq(row->to_tenant, to))
			continue;
		any = true;
		differs |= !row->ok;
		if (!row->observed || (row->topic == PROVE_WITHIN && cell->n))
			continue;
		if (row->topic == PROVE_WITHIN)
			buf_adds(cell, "all");
		else if (cell->n < 24)
			buf_addf(cell, "%s%s/%u", cell->n ? "," : "", row->protocol, row->port);
		else if (!ends_with(cell->data, ".."))
			buf_adds(cell, "..");
	}
	if (!any)
		buf_adds(cell, "-");
	else if (!cell->n)
		buf_adds(cell, "closed");
	if (differs)
		buf_addc(cell, '!');
}

static void add_matrix(struct buf *into, const struct prove_report *report)
{
	const char *names[MATRIX_MAX + 1];
	size_t n = 0, width = 8;

	vec_each(&report->rows, row)
		if (row->topic == PROVE_BETWEEN || row->topic == PROVE_WITHIN) {
			add_name(row->from_tenant, names, &n);
			add_name(row->to_tenant, names, &n);
		}
	if (n < 2 || n > MATRIX_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		width = MAX(width, strlen(names[i]));
	buf_addf(into, "what was seen, row to column\n  %-*s", (int)width, "");
	for (size_t i = 0; i < n; i++)
		buf_addf(into, "  %-*s", (int)MAX(width, 10), names[i]);
	for (size_t i = 0; i < n; i++) {
		buf_addf(into, "\n  %-*s", (int)width, names[i]);
		for (size_t k = 0; k < n; k++) {
			autobuf struct buf cell = { 0 };
			matrix_cell(report, names[i], names[k], &cell);
			buf_addf(into, "  %-*s", (int)MAX(width, 10), cell.data);
		}
	}
	buf_adds(into, "\n");
}

static void add_differences(struct buf *into, const struct prove_report *report, bool color)
{
	if (report->differences)
		buf_addf(into, "\n%sdifferences%s\n", color ? RED : "", color ? PLAIN : "");
	vec_each(&report->rows, row) {
		autobuf struct buf tried = { 0 };

		if (row->ok)
			continue;
		tried_text(row, &tried);
		buf_addf(into, "  %s > %s %s\n    the file: %s\n", row->from, row->to, tried.n ? tried.data : row->what ? row->what : "", row->reason ? row->reason : word(row->expected));
		buf_addf(into, "    seen:     %s: %s\n", word(row->observed), row->detail ? row->detail : "");
	}
}

void prove_text(const struct prove_report *report, bool color, struct buf *into)
{
	size_t open = 0;

	add_matrix(into, report);
	for (int topic = 0; topic < PROVE_TOPICS; topic++)
		add_topic(into, report, (enum prove_topic)topic, color);
	if (report->skipped.n)
		buf_adds(into, "\nnot proven\n");
	vec_each(&report->skipped, skip)
		buf_addf(into, "  %s: %s\n", skip->what, skip->why);
	add_differences(into, report, color);
	vec_each(&report->rows, row)
		open += row->observed;
	buf_addf(into, "\n%s%zu tried%s: %zu open, %zu closed, %zu other than the file says; %zu not proven; %lld.%lld s, seed %llu\n",
		 color ? (report->differences ? RED : GREEN) : "", report->rows.n, color ? PLAIN : "", open, report->rows.n - open, report->differences,
		 report->skipped.n, (long long)(report->ms / 1000), (long long)(report->ms % 1000 / 100), (unsigned long long)report->seed);
}

static void set_text(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_string(value));
}

json_t *prove_row_json(const struct prove_row *row)
{
	json_t *object = json_pack("{s:s, s:s, s:s}", "topic", prove_topic_name(row->topic), "from", row->from, "to", row->to);

	set_text(object, "from_tenant", row->from_tenant);
	set_text(object, "to_tenant", row->to_tenant);
	set_text(object, "protocol", row->protocol);
	if (row->family)
		json_object_set_new(object, "family", json_string(row->family == AF_INET ? "ipv4" : "ipv6"));
	if (row->port)
		json_object_set_new(object, "port", json_integer(row->port));
	set_text(object, "what", row->what);
	json_object_set_new(object, "expected", json_boolean(row->expected));
	json_object_set_new(object, "observed", json_boolean(row->observed));
	json_object_set_new(object, "ok", json_boolean(row->ok));
	set_text(object, "rule", row->rule);
	set_text(object, "reason", row->reason);
	set_text(object, "detail", row->detail);
	return object;
}

json_t *prove_skip_json(const struct prove_skip *skip)
{
	return json_pack("{s:s, s:s}", "what", skip->what, "why", skip->why);
}

json_t *prove_summary_json(const struct prove_report *report)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "tried", (json_int_t)report->rows.n, "differences", (json_int_t)report->differences, "skipped",
			 (json_int_t)report->skipped.n, "ms", (json_int_t)report->ms, "seed", (json_int_t)report->seed);
}
