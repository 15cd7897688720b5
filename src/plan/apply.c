/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * The calling thread owns the graph, the journal and the events. Workers know nothing but a task:
 * they take one from the queue, call one verb once, and put the outcome into the inbox.
 *
 *      free tasks --(one commit: intents)--> queue --> workers --> inbox --(one commit: results)--> free tasks
 *                                              ^                     |
 *                                              +---- later (back-off, not ready yet)
 *
 * So neither a retry nor the wait for READY holds a thread, what is done at about the same time
 * shares a commit, and there is one lock, around queue and inbox.
 *
 * An intent stays open when its verb failed or the program died: then only list can say what became
 * of it (deployment.c).
 */
#include "apply.h"

#include "base/rng.h"
#include "order.h"
#include "ref.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 300000
#define RETRIES 5
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define POLL_MIN_MS 5
#define POLL_MAX_MS 1000
#define THREADS_MAX 64
#define WAKE_MS 50		/* how soon a stop is seen */

enum phase { PHASE_VERB, PHASE_READY };

/* One node of the graph. While it is in the queue or with a worker, `work`, `from` and `outcome` belong to that worker. */
struct task {
	struct step *step;
	enum order_type type;
	uint32_t waits;
	bool poisoned;			/* something before it failed */
	bool begun;			/* a worker has had it */
	bool journaled;
	bool remove;			/* its verb takes something away */
	enum phase phase;
	struct resource *work;		/* what the verb gets; later what it answered */
	const struct resource *from;	/* what lives, or NULL */
	struct journal_entry entry;	/* owns its resource */
	int64_t started_ns, due_ns, poll_ms;
	unsigned attempts;		/* that failed */
	struct {
		int result;
		enum readiness readiness;
		struct error error;
	} outcome;
};

typedef VEC(uint32_t) task_list;

/* A step is one task, or two when it is a replace. */
struct progress {
	uint8_t left;			/* tasks that are not done */
	bool announced;			/* its START is out */
	bool over;			/* it failed or was skipped, and that is out */
};

struct message { uint32_t task; bool begun; };	/* a worker has begun, or has an outcome */

struct engine {
	struct plan *plan;
	const struct site_ops *ops;
	struct site *site;
	struct state *state;
	const struct apply_options *options;
	struct apply_report *report;
	const struct clock *clock;
	struct rng rng;
	struct order order;
	struct task *tasks;
	struct progress *progress;	/* of each step */
	struct map known;		/* key to const struct resource *: what lives, as far as it was answered */
	VEC(struct resource *) answers;	/* owned, for `known` */
	task_list free, later;		/* free: nothing to wait for any more */
	size_t outstanding;		/* in the queue or with a worker */
	size_t total, done;
	bool crashed;

	pthread_mutex_t lock;		/* around what follows */
	pthread_cond_t work, news;
	task_list queue;
	size_t queue_head;
	VEC(struct message) inbox;
	bool quit;

	pthread_t threads[THREADS_MAX];
	unsigned thread_n;
};

static bool is_verb(const struct task *task)
{
	return task->type == ORDER_OLD || (task->type == ORDER_STEP && step_acts(task->step->action));
}

static void emit(struct engine *e, enum apply_event_type type, const struct task *task, const struct error *error)
{
	struct apply_event event = {
		.type = type, .step = task->step, .index = (size_t)(task->step - e->plan->steps.items),
		.total = e->total, .done = e->done, .error = error,
	};

	if (task->started_ns)
		event.ms = (clock_monotonic_ns(e->clock) - task->started_ns) / 1000000;
	if (e->options->event)
		e->options->event(e->options->event_arg, &event);
}

static bool crash_here(struct engine *e, const char *point, const struct task *task)
{
	if (!e->crashed && e->options->crash && e->options->crash(e->options->crash_arg, point, task->step))
		e->crashed = true;
	return e->crashed;
}

/* ---- workers ---- */

static int call_verb(struct engine *e, struct task *task, struct error *err)
{
	const struct step *step = task->step;

	if (task->remove)
		return e->ops->remove(e->site, task->work, e->options->delete_data, err);
	if (step->action == STEP_UPDATE)
		return e->ops->update(e->site, task->from, task->work, err);
	if (step->action != STEP_ADOPT || !step->changes.n)
		return e->ops->create(e->site, task->work, err);
	/* adoption: complete what may be half there, then bring it to what is desired */
	autoresource struct resource *whole = resource_copy(task->work);
	if (e->ops->create(e->site, whole, err) < 0)
		return -1;
	autoresource struct resource *from = resource_copy(task->from);
	resource_set_revision(from, whole->revision);
	return e->ops->update(e->site, from, task->work, err);
}

static void attempt(struct engine *e, struct task *task)
{
	struct error err = { 0 };

	task->outcome.readiness = READY_YES;
	task->outcome.result = 0;
	if (task->phase == PHASE_VERB) {
		task->outcome.result = call_verb(e, task, &err);
		if (task->outcome.result == 0)
			task->phase = PHASE_READY;
	}
	if (task->phase == PHASE_READY && !task->remove && e->ops->ready && !e->options->no_wait)
		task->outcome.result = e->ops->ready(e->site, task->work, &task->outcome.readiness, &err);
	task->outcome.error = err;
}

static void *worker(void *arg)
{
	struct engine *e = arg;

	pthread_mutex_lock(&e->lock);
	for (;;) {
		while (e->queue_head == e->queue.n && !e->quit)
			pthread_cond_wait(&e->work, &e->lock);
		if (e->quit)
			break;
		uint32_t i = e->queue.items[e->queue_head++];
		struct task *task = &e->tasks[i];

		if (!task->begun) {
			task->begun = true;
			vec_push(&e->inbox, ((struct message){ i, true }));
			pthread_cond_signal(&e->news);
		}
		pthread_mutex_unlock(&e->lock);
		attempt(e, task);
		pthread_mutex_lock(&e->lock);
		vec_push(&e->inbox, ((struct message){ i, false }));
		pthread_cond_signal(&e->news);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

static int start_workers(struct engine *e, struct error *err)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned wanted = e->options->threads ? e->options->threads : (unsigned)MIN(MAX(cores, 1) * 2, 16);
	pthread_condattr_t monotonic;

	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->work, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&e->news, &monotonic);
	pthread_condattr_destroy(&monotonic);
	wanted = (unsigned)MIN(MIN(wanted, THREADS_MAX), e->total);
	while (e->thread_n < wanted) {
		int errnum = pthread_create(&e->threads[e->thread_n], NULL, worker, e);

		if (errnum && e->thread_n == 0)
			return error_set_errno(err, errnum, "cannot start a thread");
		if (errnum)
			break;		/* fewer will do */
		e->thread_n++;
	}
	return 0;
}

static void stop_workers(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->quit = true;
	pthread_cond_broadcast(&e->work);
	pthread_mutex_unlock(&e->lock);
	for (unsigned i = 0; i < e->thread_n; i++)
		pthread_join(e->threads[i], NULL);
	pthread_cond_destroy(&e->news);
	pthread_cond_destroy(&e->work);
	pthread_mutex_destroy(&e->lock);
}

/* ---- the graph ---- */

static void set_known(struct engine *e, struct resource *resource /* stolen */)
{
	vec_push(&e->answers, resource);
	map_set(&e->known, resource->key, resource);
}

static const struct resource *find_known(void *arg, const char *key)
{
	const struct engine *e = arg;

	return map_get(&e->known, key);
}

/* The node is over: whoever waited for it waits for one less, and shares its fate along hard edges. */
static void finish(struct engine *e, uint32_t i, bool failed)
{
	vec_each(&e->order.nodes.items[i].out, edge_index) {
		const struct order_edge *edge = &e->order.edges.items[*edge_index];
		struct task *other = &e->tasks[edge->to];

		other->poisoned |= failed && !edge->soft;
		if (--other->waits == 0)
			vec_push(&e->free, edge->to);
	}
}

static struct progress *progress_of(struct engine *e, const struct task *task)
{
	return &e->progress[task->step - e->plan->steps.items];
}

static void note_failure(struct engine *e, struct task *task, const struct error *error)
{
	progress_of(e, task)->over = true;
	if (e->report->failed++ == 0) {
		e->report->first = *error;
		error_wrap(&e->report->first, "%s", task->step->resource->key);
	}
	emit(e, APPLY_FAILED, task, error);
}

static void skip(struct engine *e, uint32_t i)
{
	struct task *task = &e->tasks[i];

	if (task->step && (is_verb(task) || task->step->action == STEP_BLOCKED) && !progress_of(e, task)->over) {
		progress_of(e, task)->over = true;
		emit(e, APPLY_SKIPPED, task, NULL);
	}
	finish(e, i, true);
}

/* What the verb gets. */
static int prepare_work(struct engine *e, struct task *task, struct error *err)
{
	const struct step *step = task->step;
	struct ref_lookup lookup = { .find = find_known, .arg = e };
	json_t *body;

	if (task->remove) {
		task->work = resource_copy(step->live);
		task->entry = (struct journal_entry){ .verb = JOURNAL_REMOVE, .resource = resource_copy(step->live) };
		return 0;
	}
	if (ref_resolve(step->resource->body, &lookup, &body, err) < 0)
		return -1;
	task->work = resource_copy(step->resource);
	json_decref(task->work->body);
	task->work->body = body;
	if (step->reset)
		json_object_update_missing(body, step->reset);
	task->from = step->live;
	if (step->action == STEP_CREATE || step->action == STEP_REPLACE) {
		resource_set_id(task->work, NULL);
		resource_set_revision(task->work, NULL);
	}
	task->entry = (struct journal_entry){
		.verb = step->action == STEP_UPDATE ? JOURNAL_UPDATE : JOURNAL_CREATE, .resource = resource_copy(step->resource),
	};
	return 0;
}

/* The node of the old half of a replace that comes after its step (create_first), or -1. */
static int64_t old_after(const struct engine *e, uint32_t i)
{
	if (e->tasks[i].type != ORDER_STEP || e->tasks[i].step->action != STEP_REPLACE)
		return -1;
	vec_each(&e->order.nodes.items[i].out, edge_index) {
		uint32_t to = e->order.edges.items[*edge_index].to;

		if (e->order.nodes.items[to].type == ORDER_OLD && e->order.nodes.items[to].step == e->order.nodes.items[i].step)
			return to;
	}
	return -1;
}

static int journal_tasks(struct engine *e, const task_list *batch, struct error *err)
{
	VEC(struct journal_entry) entries = { 0 };
	task_list owners = { 0 };
	int result = 0;

	vec_each(batch, i) {
		struct task *task = &e->tasks[*i];
		int64_t old = old_after(e, *i);

		if (task->journaled)
			continue;
		vec_push(&entries, task->entry);
		vec_push(&owners, *i);
		if (old < 0)
			continue;
		/* two of one key will live for a while: which one was to go must be known by then */
		if (prepare_work(e, &e->tasks[old], err) < 0)
			result = -1;
		vec_push(&entries, e->tasks[old].entry);
		vec_push(&owners, (uint32_t)old);
	}
	if (result == 0 && e->state)
		result = state_journal_begin(e->state, entries.items, entries.n, err);
	for (size_t i = 0; result == 0 && i < entries.n; i++) {
		e->tasks[owners.items[i]].entry.id = entries.items[i].id;
		e->tasks[owners.items[i]].journaled = true;
	}
	vec_clear(&entries);
	vec_clear(&owners);
	return result;
}

static void enqueue(struct engine *e, const task_list *batch)
{
	if (batch->n == 0)
		return;
	e->outstanding += batch->n;
	pthread_mutex_lock(&e->lock);
	if (e->queue_head == e->queue.n)
		e->queue_head = e->queue.n = 0;
	vec_each(batch, i)
		vec_push(&e->queue, *i);
	pthread_cond_broadcast(&e->work);
	pthread_mutex_unlock(&e->lock);
}

/* Everything that is free: what has no verb is over at once and may free more; the rest becomes a batch. */
static void take_free(struct engine *e, task_list *batch)
{
	for (size_t n = 0; n < e->free.n; n++) {
		uint32_t i = e->free.items[n];
		struct task *task = &e->tasks[i];
		struct error err = { 0 };

		if (task->poisoned || (task->type == ORDER_STEP && task->step->action == STEP_BLOCKED)) {
			skip(e, i);
		} else if (!is_verb(task)) {
			finish(e, i, false);
		} else if (!task->work && prepare_work(e, task, &err) < 0) {
			note_failure(e, task, &err);
			finish(e, i, true);
		} else {
			vec_push(batch, i);
		}
	}
	e->free.n = 0;
}

/* Intents are committed, then the workers may begin. */
static int start_free(struct engine *e, struct error *err)
{
	task_list batch = { 0 };
	int result = -1;

	take_free(e, &batch);
	if (journal_tasks(e, &batch, err) < 0)
		goto out;
	vec_each(&batch, i)
		if (crash_here(e, "intent", &e->tasks[*i]))
			goto out;
	enqueue(e, &batch);
	result = 0;
out:
	vec_clear(&batch);
	return result;
}

/* ---- outcomes ---- */

/* What refs will find: what lived, with what the verb answered over it. */
static void remember_answer(struct engine *e, const struct task *task)
{
	const char *key = task->work->key;

	if (task->remove) {
		if (map_get(&e->known, key) == task->step->live)
			map_remove(&e->known, key);
		return;
	}
	struct resource *answer = resource_copy(task->work);
	if (task->from && task->step->action == STEP_UPDATE)
		json_object_update_missing(answer->body, task->from->body);
	set_known(e, answer);
}

static void complete(struct engine *e, uint32_t i)
{
	struct task *task = &e->tasks[i];

	remember_answer(e, task);
	if (!task->remove) {
		resource_set_id(task->entry.resource, task->work->id);
		resource_set_revision(task->entry.resource, task->work->revision);
	}
	if (--progress_of(e, task)->left == 0) {
		e->done++;
		e->report->done++;
		emit(e, APPLY_DONE, task, NULL);
	}
	finish(e, i, false);
}

static void postpone(struct engine *e, uint32_t i, int64_t ms)
{
	e->tasks[i].due_ns = clock_monotonic_ns(e->clock) + ms * 1000000;
	vec_push(&e->later, i);
}

static bool is_late(const struct engine *e, const struct task *task)
{
	int64_t timeout = e->options->step_timeout_ms ? e->options->step_timeout_ms : TIMEOUT_MS;

	return clock_monotonic_ns(e->clock) - task->started_ns >= timeout * 1000000;
}

static void give_up(struct engine *e, uint32_t i, const struct error *error)
{
	note_failure(e, &e->tasks[i], error);
	finish(e, i, true);
}

static void handle_failure(struct engine *e, uint32_t i)
{
	struct task *task = &e->tasks[i];
	struct error *error = &task->outcome.error;
	unsigned retries = e->options->retries ? e->options->retries : RETRIES;

	task->attempts++;
	if (!error->retryable || task->attempts > retries) {
		give_up(e, i, error);
	} else if (is_late(e, task)) {
		error_wrap(error, "given up after %lld s", (long long)((clock_monotonic_ns(e->clock) - task->started_ns) / 1000000000));
		give_up(e, i, error);
	} else {
		int64_t ms = MIN((int64_t)BACKOFF_MIN_MS << MIN(task->attempts - 1, 10u), BACKOFF_MAX_MS);

		emit(e, APPLY_RETRY, task, error);
		postpone(e, i, (int64_t)((double)ms * (0.5 + rng_double(&e->rng))));
	}
}

static void handle_waiting(struct engine *e, uint32_t i)
{
	struct task *task = &e->tasks[i];
	struct error error;

	if (is_late(e, task)) {
		error_set(&error, ERROR_FAILED, "it was made, but is not ready after %lld s",
			  (long long)((clock_monotonic_ns(e->clock) - task->started_ns) / 1000000000));
		give_up(e, i, &error);
		return;
	}
	task->poll_ms = task->poll_ms ? MIN(task->poll_ms * 3 / 2 + 1, POLL_MAX_MS) : POLL_MIN_MS;
	postpone(e, i, task->poll_ms);
}

/* True when the task is done, and its result is to be written. */
static bool handle_outcome(struct engine *e, uint32_t i)
{
	struct task *task = &e->tasks[i];

	if (task->outcome.result < 0) {
		handle_failure(e, i);
	} else if (task->outcome.readiness == READY_WAITING) {
		handle_waiting(e, i);
	} else if (task->outcome.readiness == READY_FAILED) {
		if (!task->outcome.error.message[0])
			error_set(&task->outcome.error, ERROR_FAILED, "it was made, but does not become ready");
		give_up(e, i, &task->outcome.error);
	} else {
		return !crash_here(e, "action", task);
	}
	return false;
}

static int write_results(struct engine *e, const task_list *ended, struct error *err)
{
	VEC(struct journal_entry) entries = { 0 };
	VEC(bool) done = { 0 };
	int result = 0;

	vec_each(ended, i) {
		vec_push(&entries, e->tasks[*i].entry);
		vec_push(&done, true);
	}
	if (e->state)
		result = state_journal_end(e->state, entries.items, done.items, entries.n, err);
	vec_clear(&entries);
	vec_clear(&done);
	if (result < 0)
		return -1;
	vec_each(ended, i)
		if (crash_here(e, "result", &e->tasks[*i]))
			break;
	return 0;
}

static int handle_news(struct engine *e, const struct message *messages, size_t n, struct error *err)
{
	task_list ended = { 0 };

	for (size_t i = 0; i < n && !e->crashed; i++) {
		struct task *task = &e->tasks[messages[i].task];

		if (messages[i].begun) {
			task->started_ns = clock_monotonic_ns(e->clock);
			if (!progress_of(e, task)->announced)
				emit(e, APPLY_START, task, NULL);
			progress_of(e, task)->announced = true;
			continue;
		}
		e->outstanding--;
		if (!handle_outcome(e, messages[i].task))
			continue;
		complete(e, messages[i].task);
		vec_push(&ended, messages[i].task);
	}
	int result = e->crashed ? 0 : write_results(e, &ended, err);
	vec_clear(&ended);
	return result;
}

/* ---- the loop ---- */

static bool is_stopped(const struct engine *e)
{
	return e->options->stop && *e->options->stop;
}

/* Those whose time has come go into the queue again. Milliseconds until the next one, or -1. */
static int64_t take_due(struct engine *e)
{
	int64_t now = clock_monotonic_ns(e->clock), next = -1;
	task_list batch = { 0 };
	size_t kept = 0;

	for (size_t n = 0; n < e->later.n; n++) {
		uint32_t i = e->later.items[n];
		int64_t wait = (e->tasks[i].due_ns - now + 999999) / 1000000;

		if (wait <= 0) {
			vec_push(&batch, i);
		} else {
			next = next < 0 ? wait : MIN(next, wait);
			e->later.items[kept++] = i;
		}
	}
	e->later.n = kept;
	enqueue(e, &batch);
	vec_clear(&batch);
	return next;
}

static void wait_for_news(struct engine *e, int64_t ms)
{
	struct timespec until;

	if (e->outstanding == 0) {
		clock_sleep_ms(e->clock, MIN(ms, WAKE_MS));
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	ms = ms < 0 ? WAKE_MS : MIN(ms, WAKE_MS);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&e->lock);
	if (e->inbox.n == 0)
		pthread_cond_timedwait(&e->news, &e->lock, &until);
	pthread_mutex_unlock(&e->lock);
}

static int read_news(struct engine *e, struct error *err)
{
	VEC(struct message) news = { 0 };

	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->inbox.n; i++)
		vec_push(&news, e->inbox.items[i]);
	e->inbox.n = 0;
	pthread_mutex_unlock(&e->lock);
	int result = handle_news(e, news.items, news.n, err);
	vec_clear(&news);
	return result;
}

/* After a stop: what has not begun never will. Its intents end without a result. */
static int drop_queue(struct engine *e, struct error *err)
{
	VEC(struct journal_entry) entries = { 0 };
	VEC(bool) done = { 0 };
	task_list dropped = { 0 };

	pthread_mutex_lock(&e->lock);
	while (e->queue_head < e->queue.n)
		vec_push(&dropped, e->queue.items[e->queue_head++]);
	pthread_mutex_unlock(&e->lock);
	e->outstanding -= dropped.n;
	vec_each(&dropped, i) {
		struct task *task = &e->tasks[*i];

		if (task->begun)
			continue;	/* only list can tell what became of it */
		vec_push(&entries, task->entry);
		vec_push(&done, false);
	}
	int result = e->state ? state_journal_end(e->state, entries.items, done.items, entries.n, err) : 0;
	vec_clear(&entries);
	vec_clear(&done);
	vec_clear(&dropped);
	e->later.n = e->free.n = 0;
	return result;
}

static int run(struct engine *e, struct error *err)
{
	bool stopped = false;

	for (;;) {
		if (!stopped && is_stopped(e)) {
			stopped = true;
			if (drop_queue(e, err) < 0)
				return -1;
		}
		if (stopped)
			e->free.n = e->later.n = 0;
		else if (start_free(e, err) < 0)
			return -1;
		int64_t next = take_due(e);
		if (e->outstanding == 0 && e->later.n == 0)
			return 0;
		wait_for_news(e, next);
		if (read_news(e, err) < 0 || e->crashed)
			return -1;
	}
}

/* ---- before and after ---- */

static int write_documents(struct engine *e, struct error *err)
{
	const struct plan *plan = e->plan;

	if (!e->state || plan->destroy)
		return 0;
	if (state_set_decisions(e->state, plan->decisions, err) < 0 ||
	    state_set_document(e->state, "site", plan->site, err) < 0 ||
	    state_set_document(e->state, "facts", plan->facts, err) < 0 ||
	    state_set_document(e->state, "files", plan->files, err) < 0 ||
	    state_set_document(e->state, "destroyed", NULL, err) < 0)
		return -1;
	return 0;
}

/* After a destroy: what is still decided, and what restore must not bring back. */
static int write_destroyed(struct engine *e, struct error *err)
{
	const char *tenant = json_get_string(e->plan->site, "tenant", NULL);
	autojson json_t *destroyed = NULL;

	if (!e->state || !e->plan->destroy)
		return 0;
	if (state_set_decisions(e->state, e->plan->decisions, err) < 0)
		return -1;
	if (!tenant)
		return state_set_document(e->state, "files", NULL, err);
	if (state_document(e->state, "destroyed", &destroyed, err) < 0)
		return -1;
	if (!destroyed)
		destroyed = json_array();
	for (size_t i = 0; i < json_array_size(destroyed); i++)
		if (str_equal(json_string_value(json_array_get(destroyed, i)), tenant))
			return 0;
	json_add(destroyed, json_text(tenant));
	return state_set_document(e->state, "destroyed", destroyed, err);
}

/* What needs no verb but is remembered otherwise than it is. */
static int renew_steps(struct engine *e, struct error *err)
{
	VEC(const struct resource *) set = { 0 };
	VEC(const char *) forget = { 0 };

	vec_each(&e->plan->steps, step) {
		if (!step->renew)
			continue;
		if (step->live)
			vec_push(&set, step->resource);
		else
			vec_push(&forget, step->resource->key);
	}
	int result = state_renew(e->state, set.items, set.n, forget.items, forget.n, err);
	vec_clear(&set);
	vec_clear(&forget);
	return result;
}

static void engine_init(struct engine *e)
{
	order_build(e->plan, e->ops->kinds, &e->order);
	e->tasks = xcalloc(e->order.nodes.n + 1, sizeof(*e->tasks));
	e->progress = xcalloc(e->plan->steps.n + 1, sizeof(*e->progress));
	for (uint32_t i = 0; i < e->order.nodes.n; i++) {
		const struct order_node *node = &e->order.nodes.items[i];
		struct task *task = &e->tasks[i];

		task->type = node->type;
		task->waits = node->waits;
		if (node->type != ORDER_BARRIER)
			task->step = &e->plan->steps.items[node->step];
		task->remove = node->type == ORDER_OLD || (task->step && task->step->action == STEP_DELETE);
		if (task->waits == 0)
			vec_push(&e->free, i);
		if (is_verb(task))
			progress_of(e, task)->left++;
		e->total += node->type == ORDER_STEP && is_verb(task);
	}
	/* an old one that an interrupted replace left has the key of the one that stays */
	for (int deleted = 0; deleted <= 1; deleted++)
		vec_each(&e->plan->steps, step)
			if (step->live && (step->action == STEP_DELETE) == deleted && !map_has(&e->known, step->live->key))
				map_set(&e->known, step->live->key, step->live);
}

static void engine_clear(struct engine *e)
{
	for (size_t i = 0; i < e->order.nodes.n; i++) {
		resource_free(e->tasks[i].work);
		resource_free(e->tasks[i].entry.resource);
	}
	free(e->tasks);
	free(e->progress);
	map_clear(&e->known);
	vec_each(&e->answers, answer)
		resource_free(*answer);
	vec_clear(&e->answers);
	vec_clear(&e->free);
	vec_clear(&e->later);
	vec_clear(&e->queue);
	vec_clear(&e->inbox);
	order_clear(&e->order);
}

static int conclude(struct engine *e, struct error *err)
{
	struct apply_report *report = e->report;
	size_t wanted = e->total + plan_count(e->plan, STEP_BLOCKED);

	report->not_started = wanted - report->done - report->failed;
	if (report->done == wanted)
		return 0;
	if (is_stopped(e)) {
		error_set(err, ERROR_INTERRUPTED, "interrupted: %zu of %zu done", report->done, wanted);
		return error_hint(err, "the journal is safe; run it again to go on");
	}
	if (report->failed == 0) {
		error_set(err, ERROR_PARTIAL, "%zu of %zu done; the rest cannot be planned, because the site does not list all", report->done, wanted);
		return -1;
	}
	if (report->done == 0) {
		*err = report->first;
		return -1;
	}
	error_set(err, ERROR_PARTIAL, "%zu done, %zu failed, %zu not started: %s", report->done, report->failed, report->not_started,
		  report->first.message);
	return error_hint(err, "%s", report->first.hint[0] ? report->first.hint : "nothing was rolled back; run it again to go on");
}

static int apply_steps(struct engine *e, struct error *err)
{
	int result = 0;

	if (write_documents(e, err) < 0)
		return -1;
	if (e->total || plan_count(e->plan, STEP_BLOCKED)) {
		if (start_workers(e, err) == 0)
			result = run(e, err);
		else
			result = -1;
		stop_workers(e);
	}
	if (e->crashed)
		return error_set(err, ERROR_INTERRUPTED, "stopped as by a crash");
	if (result < 0)
		return -1;
	if (e->state && renew_steps(e, err) < 0)
		return -1;
	if (conclude(e, err) < 0)
		return -1;
	return write_destroyed(e, err);
}

int apply_run(struct plan *plan, const struct site_ops *ops, struct site *site, struct state *state,
	      const struct apply_options *options, struct apply_report *report, struct error *err)
{
	struct engine e = {
		.plan = plan, .ops = ops, .site = site, .state = state, .options = options, .report = report,
		.clock = options->clock ? options->clock : &clock_system,
	};

	*report = (struct apply_report){ 0 };
	rng_seed(&e.rng, options->seed ? options->seed : (uint64_t)clock_monotonic_ns(e.clock));
	engine_init(&e);
	int result = apply_steps(&e, err);
	engine_clear(&e);
	return result;
}
