/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works
 *
 * Live, a block of lines stands at the bottom of the terminal: drawing it again means to go up by
 * as many lines as it had and to clear what is below. Lines that stay are printed where the block
 * was, and the block below them. No line may be longer than the terminal is wide, or going up
 * would miss. A thread draws every TICK_MS, so that times run on while nothing happens.
 */
#include "progress.h"

#include "base/vec.h"
#include "plan_text.h"
#include "text.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 250
#define ACTIVE_MAX 8		/* lines of active resources */
#define LONG_MS 1000		/* a step that took as long leaves a line */
#define BAR_WIDTH 24
#define NOTE_MAX 200
#define KIND_WIDTH 14

struct active {
	const struct step *step;	/* lives as long as the plan */
	int64_t started_ns;
	bool again;			/* waits for its next try */
	char *note;
};

struct progress {
	FILE *file;
	bool live, color;
	const struct clock *clock;
	size_t total, done, failed, skipped;
	int64_t started_ns;
	VEC(struct active) active;
	size_t drawn;			/* lines of the block */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t ticker;
	bool ticking, quit;
};

static size_t columns_of(const struct progress *progress)
{
	struct winsize size;
	int fd = fileno(progress->file);

	if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
		return size.ws_col;
	return 80;
}

static void add_bar(const struct progress *progress, struct buf *out)
{
	size_t over = progress->done + progress->failed + progress->skipped;
	size_t filled = progress->total ? BAR_WIDTH * MIN(over, progress->total) / progress->total : BAR_WIDTH;
	int64_t elapsed = (clock_monotonic_ns(progress->clock) - progress->started_ns) / 1000000;

	buf_addf(out, "[%zu/%zu] ", over, progress->total);
	for (size_t i = 0; i < BAR_WIDTH; i++)
		buf_addc(out, i < filled ? '#' : '-');
	buf_adds(out, "  ");
	text_add_duration(out, elapsed);
	/* by the mean of what is over: steps differ, so two of them say nothing yet */
	if (over >= 3 && over < progress->total) {
		buf_adds(out, ", about ");
		text_add_duration(out, elapsed * (int64_t)(progress->total - over) / (int64_t)over);
		buf_adds(out, " left");
	}
}

static void add_line(struct buf *block, struct buf *line, size_t columns)
{
	text_add_cut(block, line->data ? line->data : "", columns - 1);
	buf_adds(block, "\n");
	buf_reset(line);
}

static size_t add_block(const struct progress *progress, struct buf *block)
{
	autobuf struct buf line = { 0 };
	size_t columns = columns_of(progress), lines = 0;
	int64_t now = clock_monotonic_ns(progress->clock);

	for (size_t i = 0; i < progress->active.n && i < ACTIVE_MAX; i++) {
		const struct active *active = &progress->active.items[i];

		buf_addf(&line, "  %s ", step_symbol(active->step->action));
		text_add_padded(&line, active->step->resource->kind, KIND_WIDTH, false);
		buf_addc(&line, ' ');
		text_add_padded(&line, active->step->resource->key, 28, false);
		buf_addc(&line, ' ');
		text_add_duration(&line, (now - active->started_ns) / 1000000);
		if (active->note) {
			buf_adds(&line, "  ");
			text_add_safe(&line, active->note);
		} else if (active->again) {
			buf_adds(&line, "  to be tried again");
		}
		add_line(block, &line, columns);
		lines++;
	}
	if (progress->active.n > ACTIVE_MAX) {
		buf_addf(&line, "  and %zu more", progress->active.n - ACTIVE_MAX);
		add_line(block, &line, columns);
		lines++;
	}
	add_bar(progress, &line);
	add_line(block, &line, columns);
	return lines + 1;
}

/* Draws the block again, below what is to stay. With `end` the block goes. */
static void draw(struct progress *progress, const char *stays, bool end)
{
	autobuf struct buf out = { 0 };

	buf_adds(&out, "");
	if (progress->drawn)
		buf_addf(&out, "\r\033[%zuA\033[J", progress->drawn);
	progress->drawn = 0;
	if (stays)
		buf_adds(&out, stays);
	if (!end)
		progress->drawn = add_block(progress, &out);
	fwrite(out.data, 1, out.n, progress->file);
	fflush(progress->file);
}

static void *tick(void *arg)
{
	struct progress *progress = arg;
	struct timespec until;

	pthread_mutex_lock(&progress->lock);
	while (!progress->quit) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&progress->wake, &progress->lock, &until);
		if (!progress->quit)
			draw(progress, NULL, false);
	}
	pthread_mutex_unlock(&progress->lock);
	return NULL;
}

struct progress *progress_new(FILE *file, bool live, bool color, size_t total)
{
	struct progress *progress = xcalloc(1, sizeof(*progress));
	pthread_condattr_t monotonic;

	*progress = (struct progress){ .file = file, .live = live, .color = color, .total = total, .clock = &clock_system };
	progress->started_ns = clock_monotonic_ns(progress->clock);
	pthread_mutex_init(&progress->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&progress->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return progress;
}

void progress_set_clock(struct progress *progress, const struct clock *clock)
{
	progress->clock = clock;
	progress->started_ns = clock_monotonic_ns(clock);
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	if (progress->ticking) {
		pthread_mutex_lock(&progress->lock);
		progress->quit = true;
		pthread_cond_signal(&progress->wake);
		pthread_mutex_unlock(&progress->lock);
		pthread_join(progress->ticker, NULL);
	}
	if (progress->drawn)
		draw(progress, NULL, true);
	vec_each(&progress->active, active)
		free(active->note);
	vec_clear(&progress->active);
	pthread_cond_destroy(&progress->wake);
	pthread_mutex_destroy(&progress->lock);
	free(progress);
}

static void add_outcome(const struct progress *progress, struct buf *out, const char *word, enum text_color color, const struct apply_event *event)
{
	text_add_color(out, progress->color, color);
	buf_adds(out, word);
	text_add_color(out, progress->color, TEXT_PLAIN);
	buf_addf(out, " %-2s ", step_symbol(event->step->action));
	text_add_padded(out, event->step->resource->kind, KIND_WIDTH, false);
	buf_addc(out, ' ');
	text_add_safe(out, event->step->resource->key);
	if (event->type != APPLY_SKIPPED) {
		buf_adds(out, "  ");
		text_add_duration(out, event->ms);
	}
	buf_addc(out, '\n');
}

static void add_error(struct buf *out, const struct error *error)
{
	buf_adds(out, "       ");
	text_add_safe(out, error->message);
	buf_addc(out, '\n');
	if (error->hint[0]) {
		buf_adds(out, "       fix: ");
		text_add_safe(out, error->hint);
		buf_addc(out, '\n');
	}
	if (error->request_id[0]) {
		buf_adds(out, "       request ");
		text_add_safe(out, error->request_id);
		buf_addc(out, '\n');
	}
}

/* What of an event stays on the screen or in the file. */
static void add_event(const struct progress *progress, struct buf *out, const struct apply_event *event)
{
	switch (event->type) {
	case APPLY_START:
		break;
	case APPLY_DONE:
		if (!progress->live || event->ms >= LONG_MS)
			add_outcome(progress, out, "done", TEXT_GREEN, event);
		break;
	case APPLY_RETRY:
		add_outcome(progress, out, "wait", TEXT_YELLOW, event);
		add_error(out, event->error);
		break;
	case APPLY_FAILED:
		add_outcome(progress, out, "FAIL", TEXT_RED, event);
		add_error(out, event->error);
		break;
	case APPLY_SKIPPED:
		add_outcome(progress, out, "skip", TEXT_DIM, event);
		break;
	}
}

static struct active *find_active(struct progress *progress, const char *key)
{
	vec_each(&progress->active, active)
		if (streq(active->step->resource->key, key))
			return active;
	return NULL;
}

static void end_active(struct progress *progress, const char *key)
{
	struct active *active = find_active(progress, key);

	if (!active)
		return;
	free(active->note);
	size_t i = (size_t)(active - progress->active.items);
	memmove(active, active + 1, (progress->active.n - i - 1) * sizeof(*active));
	progress->active.n--;
}

static void count_event(struct progress *progress, const struct apply_event *event)
{
	const char *key = event->step->resource->key;
	struct active *active;

	switch (event->type) {
	case APPLY_START:
		vec_push(&progress->active, ((struct active){ .step = event->step, .started_ns = clock_monotonic_ns(progress->clock) }));
		break;
	case APPLY_RETRY:
		active = find_active(progress, key);
		if (active)
			active->again = true;
		break;
	case APPLY_DONE:
		progress->done++;
		end_active(progress, key);
		break;
	case APPLY_FAILED:
		progress->failed++;
		end_active(progress, key);
		break;
	case APPLY_SKIPPED:
		progress->skipped++;
		break;
	}
}

void progress_event(struct progress *progress, const struct apply_event *event)
{
	autobuf struct buf out = { 0 };

	pthread_mutex_lock(&progress->lock);
	count_event(progress, event);
	add_event(progress, &out, event);
	if (progress->live) {
		if (!progress->ticking && progress->clock == &clock_system)
			progress->ticking = pthread_create(&progress->ticker, NULL, tick, progress) == 0;
		/* with a ticker, drawing at each of a thousand events would only cost */
		if (out.n || !progress->ticking || !progress->drawn)
			draw(progress, out.data, false);
	} else if (out.n) {
		fwrite(out.data, 1, out.n, progress->file);
		fflush(progress->file);
	}
	pthread_mutex_unlock(&progress->lock);
}

void progress_note(struct progress *progress, const char *key, const char *text, int64_t done, int64_t total)
{
	pthread_mutex_lock(&progress->lock);
	struct active *active = find_active(progress, key);
	if (active) {
		free(active->note);
		if (total > 0)
			active->note = xasprintf("%.*s %lld %%", NOTE_MAX, text, (long long)(MIN(MAX(done, 0), total) * 100 / total));
		else
			active->note = xasprintf("%.*s", NOTE_MAX, text);
	}
	pthread_mutex_unlock(&progress->lock);
}
