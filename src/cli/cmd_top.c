/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "report/table.h"

#include <stdlib.h>
#include <unistd.h>

/* One instance at one moment; the use of cpu is the difference of two. */
struct sample { char *key; int64_t cpu_ns; };
struct samples { VEC(struct sample) items; struct map by_key; int64_t at_ns; };

struct tenant_use { const struct tenant *tenant; size_t running, waiting; int64_t cpu_ns, memory; bool sampled; };

struct top {
	struct cli *cli;
	struct session *session;
	struct samples *before, *now;
	VEC(struct tenant_use) uses;
	struct map by_name;
};

static void samples_clear(struct samples *samples)
{
	vec_each(&samples->items, sample)
		free(sample->key);
	vec_clear(&samples->items);
	map_clear(&samples->by_key);
}

static int top_seen(void *arg, const struct usage_record *record)
{
	struct top *top = arg;
	struct tenant_use *use = map_get(&top->by_name, record->tenant);
	uintptr_t was = (uintptr_t)map_get(&top->before->by_key, record->key);	/* index + 1 */
	struct sample sample = { xstrdup(record->key), record->cpu_ns };

	vec_push(&top->now->items, sample);
	map_set(&top->now->by_key, sample.key, (void *)(uintptr_t)top->now->items.n);
	if (!use)
		return 0;
	if (streq(record->state, "running")) {
		use->running++;
		use->memory += MAX(record->memory_now, 0);
	} else if (streq(record->state, "backoff") || streq(record->state, "created")) {
		use->waiting++;
	}
	if (was && record->cpu_ns >= top->before->items.items[was - 1].cpu_ns) {
		use->cpu_ns += record->cpu_ns - top->before->items.items[was - 1].cpu_ns;
		use->sampled = true;
	}
	return 0;
}

static int top_sample(struct top *top, struct error *err)
{
	struct deployment *deployment = &top->session->deployment;
	struct samples *old = top->before;

	vec_clear(&top->uses);
	map_clear(&top->by_name);
	vec_reserve(&top->uses, top->session->deployment.intent->tenants.n);
	vec_each(&top->session->deployment.intent->tenants, tenant) {
		struct tenant_use *use = vec_add(&top->uses);

		use->tenant = tenant;
		map_set(&top->by_name, tenant->name, use);
	}
	top->before = top->now;
	top->now = old;
	samples_clear(top->now);
	top->now->at_ns = clock_monotonic_ns(&clock_system);
	return deployment->ops->usage(deployment->site, false, top_seen, top, err);
}

static void amount_text(int64_t milli, char text[static 32])
{
	if (milli == AMOUNT_NONE)
		snprintf(text, 32, "-");
	else
		snprintf(text, 32, "%.*f", milli % 1000 ? 1 : 0, (double)milli / 1000);
}

static void top_print(struct top *top)
{
	double seconds = (double)(top->now->at_ns - top->before->at_ns) / 1e9;
	struct table *table = table_new((const char *const[]){ "TENANT", "RUNNING", "WAITING", "CPU use/quota/limit", "MEMORY use/limit", NULL });

	vec_each(&top->uses, use) {
		char running[32], waiting[32], quota[32], limit[32], used[32], most[32];
		double cores = use->sampled && seconds > 0 ? (double)use->cpu_ns / 1e9 / seconds : 0;

		if (top->cli->json) {
			output_json("tenant", json_pack("{s:s, s:I, s:I, s:f, s:I}", "tenant", use->tenant->name, "running", (json_int_t)use->running,
							"waiting", (json_int_t)use->waiting, "cpu_cores", cores, "memory", (json_int_t)use->memory));
			continue;
		}
		snprintf(running, sizeof(running), "%zu", use->running);
		snprintf(waiting, sizeof(waiting), "%zu", use->waiting);
		amount_text(use->tenant->quota.cpu, quota);
		amount_text(use->tenant->limit.cpu, limit);
		output_bytes(use->memory, used);
		output_bytes(use->tenant->limit.memory, most);
		autofree char *cpu = xasprintf("%.2f/%s/%s", cores, quota, limit), *memory = xasprintf("%s/%s", used, most);
		table_row(table, (const char *const[]){ use->tenant->name, running, waiting, cpu, memory, NULL });
	}
	if (!top->cli->json)
		table_print(table, stdout);
	table_free(table);
	fflush(stdout);
}

static int top_run(struct cli *cli)
{
	autosession struct session session = { 0 };
	struct samples first = { 0 }, second = { 0 };
	struct top top = { .cli = cli, .session = &session, .before = &first, .now = &second };
	bool once = cli_flag(cli, "once") || !isatty(STDOUT_FILENO) || cli->json;
	int64_t interval;
	struct error err;
	int r;

	if (cli_int(cli, "interval", 1, 3600, once ? 1 : 2, &interval, &err) < 0 || session_open(&session, cli, false, false, &err) < 0)
		return output_error(cli, &err);
	if (!session.deployment.intent) {
		output_summary(cli, "nothing is applied here");
		return 0;
	}
	r = top_sample(&top, &err);
	while (r == 0 && !output_stop) {
		clock_sleep_ms(&clock_system, interval * 1000);
		r = top_sample(&top, &err);
		if (r < 0)
			break;
		if (!once)
			printf("\033[H\033[2J%s   every %lld s, ^C ends\n\n", session.deployment.config.deployment, (long long)interval);
		top_print(&top);
		if (once)
			break;
	}
	samples_clear(&first);
	samples_clear(&second);
	vec_clear(&top.uses);
	map_clear(&top.by_name);
	return r < 0 ? output_error(cli, &err) : 0;
}

static const struct option options[] = {
	{ "once", '1', NULL, "print once and end (the default when the output is no terminal)" },
	{ "interval", 'n', "SECONDS", "time between looks (default 2; 1 with --once)" },
	{ NULL, 0, NULL, NULL },
};

const struct command command_top = {
	.name = "top",
	.summary = "what each tenant uses right now",
	.description = "Shows for each tenant what runs, its use of cpu in cores against quota and limit, and of memory against its limit.",
	.options = options,
	.examples = "  insula top\n  insula top --once --json\n",
	.exits = "0 done\n1 error\n5 not permitted\n",
	.flags = COMMAND_ROOT,
	.max_operands = 0,
	.run = top_run,
};
