/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/*
 * How it works: one curl multi handle runs what is ready. Redirects are followed here and not by curl, so that the rules about
 * schemes and Authorization are in one place and to be read. A transfer is idle, running or finished; one that is run again is idle until its time.
 */

#define POLL_MS 200
#define STALL_BYTES 100L

enum phase { IDLE, RUNNING, FINISHED };

struct http_client {
	struct http_options options;
	char *ca_file;
};

struct http_state {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	char *url;			/* where it is now, behind redirects */
	char *location;
	enum phase phase;
	int redirects;
	bool foreign;			/* it left the host that its Authorization is for */
	bool body_failed;		/* the caller's `body`: transfer->error is set */
	size_t header_bytes;
	int64_t dropped;
};

static void curl_prepare(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		BUG("libcurl cannot be initialised");
}

struct http_client *http_client_new(const struct http_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *client = xcalloc(1, sizeof(*client));

	pthread_once(&once, curl_prepare);
	client->options = *options;
	client->ca_file = options->ca_file ? xstrdup(options->ca_file) : NULL;
	if (!client->options.connect_ms)
		client->options.connect_ms = 15000;
	if (!client->options.stall_seconds)
		client->options.stall_seconds = 30;
	return client;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	free(client->ca_file);
	free(client);
}

/* Authorization may be among them. */
static void headers_free(struct curl_slist *headers)
{
	for (struct curl_slist *h = headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(headers);
}

static void easy_clear(struct http_state *state)
{
	if (state->easy)
		curl_easy_cleanup(state->easy);
	headers_free(state->headers);
	state->easy = NULL;
	state->headers = NULL;
}

static void answer_clear(struct http_transfer *transfer)
{
	transfer->status = 0;
	buf_clear(&transfer->challenges);
	free(transfer->content_type);
	transfer->content_type = NULL;
	transfer->range_start = -1;
	transfer->failed = transfer->not_tls = false;
}

void http_transfer_clear(struct http_transfer *transfer)
{
	struct http_state *state = transfer->state_;

	answer_clear(transfer);
	if (!state)
		return;
	easy_clear(state);
	free(state->url);
	free(state->location);
	free(state);
	transfer->state_ = NULL;
}

/* ---- one answer ---- */

static char *value_of(const char *line, size_t n, const char *name)
{
	size_t m = strlen(name);

	if (n <= m || strncasecmp(line, name, m) || line[m] != ':')
		return NULL;
	for (m++; m < n && strchr(" \t", line[m]);)
		m++;
	while (n > m && strchr(" \t\r\n", line[n - 1]))
		n--;
	return xstrndup(line + m, n - m);
}

static int64_t range_start(const char *text)
{
	char *end;
	long long start;

	if (!starts_with(text, "bytes ") || text[6] < '0' || text[6] > '9')
		return -1;
	start = strtoll(text + 6, &end, 10);
	return *end == '-' && start >= 0 ? start : -1;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;
	struct http_state *state = transfer->state_;
	autofree char *challenge = NULL, *range = NULL;
	char *value;

	n *= size;
	state->header_bytes += n;
	if (state->header_bytes > HTTP_HEADERS_MAX || memchr(line, 0, n))
		return 0;
	if (n > 5 && !strncmp(line, "HTTP/", 5)) {	/* an answer begins; those before were 1xx */
		answer_clear(transfer);
		free(state->location);
		state->location = NULL;
	} else if ((value = value_of(line, n, "location"))) {
		free(state->location);
		state->location = value;
	} else if ((value = value_of(line, n, "content-type"))) {
		free(transfer->content_type);
		transfer->content_type = value;
	} else if ((challenge = value_of(line, n, "www-authenticate"))) {
		buf_addf(&transfer->challenges, "%s\n", challenge);
	} else if ((range = value_of(line, n, "content-range"))) {
		transfer->range_start = range_start(range);
	}
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;
	struct http_state *state = transfer->state_;
	long status = 0;

	n *= size;
	curl_easy_getinfo(state->easy, CURLINFO_RESPONSE_CODE, &status);
	transfer->status = (int)status;
	if (status / 100 != 2) {
		state->dropped += (int64_t)n;
		return state->dropped > HTTP_OTHER_BODY_MAX ? 0 : n;
	}
	if (transfer->body(transfer, data, n, &transfer->error) < 0) {
		state->body_failed = true;
		return 0;
	}
	return n;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? CURL_SOCKOPT_ERROR : CURL_SOCKOPT_OK;
}

static void header_add(struct http_state *state, const char *name, const char *value)
{
	char *line = xasprintf("%s: %s", name, value);

	state->headers = curl_slist_append(state->headers, line);
	explicit_bzero(line, strlen(line));
	free(line);
}

#define SET(easy, option, value) do { if (curl_easy_setopt(easy, option, value) != CURLE_OK) BUG("libcurl knows no " #option); } while (0)

static void transfer_begin(struct http_transfer *transfer, CURLM *multi)
{
	struct http_state *state = transfer->state_;
	const struct http_client *client = state->client;
	CURL *easy = curl_easy_init();
	char range[32];

	if (!easy)
		BUG("libcurl gives no handle");
	answer_clear(transfer);
	state->header_bytes = 0;
	state->dropped = 0;
	state->body_failed = false;
	state->easy = easy;
	if (transfer->accept)
		header_add(state, "Accept", transfer->accept);
	if (transfer->authorization && !state->foreign)
		header_add(state, "Authorization", transfer->authorization);
	SET(easy, CURLOPT_URL, state->url);
	SET(easy, CURLOPT_HTTPHEADER, state->headers);
	SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(easy, CURLOPT_PROXY, "");
	SET(easy, CURLOPT_NOSIGNAL, 1L);
	SET(easy, CURLOPT_USERAGENT, "insula");
	SET(easy, CURLOPT_HEADERFUNCTION, on_header);
	SET(easy, CURLOPT_HEADERDATA, transfer);
	SET(easy, CURLOPT_WRITEFUNCTION, on_body);
	SET(easy, CURLOPT_WRITEDATA, transfer);
	SET(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	SET(easy, CURLOPT_PRIVATE, transfer);
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->options.connect_ms);
	SET(easy, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES);
	SET(easy, CURLOPT_LOW_SPEED_TIME, (long)client->options.stall_seconds);
	if (client->ca_file) {
		SET(easy, CURLOPT_CAINFO, client->ca_file);
		SET(easy, CURLOPT_CAPATH, "/etc/ssl/certs");
	}
	/* not CURLOPT_RESUME_FROM, which drops the body of a server that sends all of it */
	if (transfer->offset > 0) {
		snprintf(range, sizeof(range), "%" PRId64 "-", transfer->offset);
		SET(easy, CURLOPT_RANGE, range);
	}
	if (curl_multi_add_handle(multi, easy) != CURLM_OK)
		BUG("libcurl takes no handle");
	state->phase = RUNNING;
}

/* ---- redirects ---- */

static char *url_part(const char *url, CURLUPart part)
{
	CURLU *handle = curl_url();
	char *text = NULL, *copy = NULL;

	if (handle && curl_url_set(handle, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(handle, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK)
		copy = xstrdup(text);
	curl_free(text);
	curl_url_cleanup(handle);
	return copy;
}

static bool url_same(const char *a, const char *b, CURLUPart part)
{
	autofree char *of_a = url_part(a, part), *of_b = url_part(b, part);

	return of_a && of_b && !strcasecmp(of_a, of_b);
}

/* What a URL may say in a message: without a query, which may hold a signature. */
static char *url_shown(const char *url)
{
	return xstrndup(url, MIN(strcspn(url, "?#"), (size_t)200));
}

static char *url_join(const char *base, const char *location)
{
	CURLU *handle = curl_url();
	char *text = NULL, *copy = NULL, *user = NULL;

	if (handle && curl_url_set(handle, CURLUPART_URL, base, 0) == CURLUE_OK && curl_url_set(handle, CURLUPART_URL, location, 0) == CURLUE_OK &&
	    curl_url_get(handle, CURLUPART_USER, &user, 0) == CURLUE_NO_USER && curl_url_get(handle, CURLUPART_URL, &text, 0) == CURLUE_OK)
		copy = xstrdup(text);
	curl_free(user);
	curl_free(text);
	curl_url_cleanup(handle);
	return copy;
}

static int redirect(struct http_transfer *transfer, struct error *err)
{
	struct http_state *state = transfer->state_;
	autofree char *shown = url_shown(state->url);
	autofree char *to = state->location ? url_join(state->url, state->location) : NULL;
	autofree char *scheme = to ? url_part(to, CURLUPART_SCHEME) : NULL;

	if (!to || !scheme || !(streq(scheme, "https") || streq(scheme, "http")))
		return error_set(err, ERROR_FAILED, "%s redirects to nowhere", shown);
	if (++state->redirects > HTTP_REDIRECTS_MAX) {
		error_set(err, ERROR_FAILED, "%s redirects on and on: more than %d times", transfer->url, HTTP_REDIRECTS_MAX);
		return error_hint(err, "that is a fault of the server, or of a proxy before it");
	}
	if (starts_with(state->url, "https:") && !streq(scheme, "https")) {
		error_set(err, ERROR_FAILED, "%s redirects from https to plain http, which is not followed", shown);
		return error_hint(err, "the server must redirect to https");
	}
	if (!url_same(state->url, to, CURLUPART_HOST) || !url_same(state->url, to, CURLUPART_PORT) || !url_same(state->url, to, CURLUPART_SCHEME))
		state->foreign = true;
	free(state->url);
	state->url = steal(&to);
	return 0;
}

/* ---- ends ---- */

static void failure_explain(struct http_transfer *transfer, CURLcode code)
{
	struct http_state *state = transfer->state_;
	autofree char *shown = url_shown(state->url);
	struct error *err = &transfer->error;

	transfer->failed = true;
	if (state->body_failed)
		return;
	if (state->header_bytes > HTTP_HEADERS_MAX) {
		error_set(err, ERROR_FAILED, "%s answers with more than %d bytes of headers", shown, HTTP_HEADERS_MAX);
		return;
	}
	error_set(err, ERROR_FAILED, "cannot read %s: %s", shown, curl_easy_strerror(code));
	transfer->not_tls = code == CURLE_SSL_CONNECT_ERROR;
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR)
		return;
	err->retryable = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_RECV_ERROR ||
			 code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE || code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2;
}

/* 0 finished, 1 again */
static int transfer_end(struct http_transfer *transfer, CURLM *multi, CURLcode code)
{
	struct http_state *state = transfer->state_;
	long status = 0;

	curl_easy_getinfo(state->easy, CURLINFO_RESPONSE_CODE, &status);
	transfer->status = (int)status;
	/* one that is dropped anyway may be too long: it is an answer */
	if (code == CURLE_WRITE_ERROR && status && status / 100 != 2 && state->header_bytes <= HTTP_HEADERS_MAX)
		code = CURLE_OK;
	curl_multi_remove_handle(multi, state->easy);
	easy_clear(state);
	state->phase = FINISHED;
	if (code != CURLE_OK) {
		failure_explain(transfer, code);
		return 0;
	}
	if (status / 100 != 3 || status == 304)
		return 0;
	if (redirect(transfer, &transfer->error) == 0) {
		state->phase = IDLE;
		return 1;
	}
	transfer->failed = true;
	return 0;
}

static void transfer_ready(struct http_client *client, struct http_transfer *transfer)
{
	struct http_state *state = transfer->state_;

	if (!state)
		transfer->state_ = state = xcalloc(1, sizeof(*state));
	state->client = client;
	free(state->url);
	state->url = xstrdup(transfer->url);
	state->phase = IDLE;
	state->redirects = 0;
	state->foreign = false;
}

struct running { struct http_client *client; CURLM *multi; struct http_transfer *transfers; size_t n, parallel, left; http_done done; void *arg; };

static size_t start_ready(struct running *running)
{
	int64_t now = clock_monotonic_ns(&clock_system) / 1000000;
	size_t active = 0;

	for (size_t i = 0; i < running->n; i++)
		active += running->transfers[i].state_->phase == RUNNING;
	for (size_t i = 0; i < running->n && active < running->parallel; i++) {
		struct http_transfer *transfer = &running->transfers[i];

		if (transfer->state_->phase != IDLE || transfer->not_before_ms > now)
			continue;
		transfer_begin(transfer, running->multi);
		active++;
	}
	return active;
}

static int take_ends(struct running *running, struct error *err)
{
	CURLMsg *message;
	int more;

	while ((message = curl_multi_info_read(running->multi, &more))) {
		struct http_transfer *transfer = NULL;
		char *private = NULL;
		int r;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		transfer = (struct http_transfer *)private;
		if (transfer_end(transfer, running->multi, message->data.result))
			continue;
		r = running->done(running->arg, transfer, err);
		if (r < 0)
			return -1;
		if (r)
			transfer_ready(running->client, transfer);
		else
			running->left--;
	}
	return 0;
}

/* Whoever writes to a connection that is gone gets EPIPE and no signal: it stays blocked in this thread meanwhile. */
struct quiet { sigset_t before; bool pending; };

static void quiet_begin(struct quiet *quiet)
{
	sigset_t pipe_only, pending;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	quiet->pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &quiet->before);
}

static void quiet_end(struct quiet *quiet)
{
	const struct timespec now = { 0 };
	sigset_t pipe_only;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	if (!quiet->pending)
		while (sigtimedwait(&pipe_only, NULL, &now) == SIGPIPE)
			;
	pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
}

static int run_all(struct running *running, void (*tick)(void *arg), struct error *err)
{
	while (running->left) {
		int still;

		start_ready(running);
		if (curl_multi_perform(running->multi, &still) != CURLM_OK || curl_multi_poll(running->multi, NULL, 0, still ? POLL_MS : 10, NULL) != CURLM_OK)
			return error_set(err, ERROR_FAILED, "libcurl cannot go on");
		if (take_ends(running, err) < 0)
			return -1;
		if (tick)
			tick(running->arg);
	}
	return 0;
}

int http_run(struct http_client *client, struct http_transfer *transfers, size_t n, size_t parallel, http_done done, void (*tick)(void *arg), void *arg,
	     struct error *err)
{
	struct running running = { client, curl_multi_init(), transfers, n, parallel, n, done, arg };
	struct quiet quiet;
	int r;

	if (!running.multi)
		BUG("libcurl gives no handle");
	for (size_t i = 0; i < n; i++)
		transfer_ready(client, &transfers[i]);
	quiet_begin(&quiet);
	r = run_all(&running, tick, err);
	for (size_t i = 0; i < n; i++) {
		if (transfers[i].state_->easy)
			curl_multi_remove_handle(running.multi, transfers[i].state_->easy);
		easy_clear(transfers[i].state_);
	}
	curl_multi_cleanup(running.multi);
	quiet_end(&quiet);
	return r;
}

static int one_done(void *arg, struct http_transfer *transfer, struct error *err)
{
	if (!transfer->failed)
		return 0;
	*err = transfer->error;
	return -1;
}

int http_get(struct http_client *client, struct http_transfer *transfer, struct error *err)
{
	return http_run(client, transfer, 1, 1, one_done, NULL, NULL, err);
}
