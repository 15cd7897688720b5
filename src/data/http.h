/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_DATA_HTTP_H
#define INSULA_DATA_HTTP_H

/*
 * Reading over HTTP and HTTPS, one or several at a time; libcurl is behind it and seen nowhere else.
 *
 * Certificates are verified, always. Redirects: at most HTTP_REDIRECTS_MAX, never from https to http, and Authorization goes to
 * the host and port it was meant for only. No proxy, no cookies, no .netrc, nothing from the environment. An answer's body reaches the
 * caller only when its status is 2xx. What fails because of the network is `retryable`; nobody retries here.
 */

#include "base/base.h"
#include "base/buf.h"

#define HTTP_REDIRECTS_MAX 10
#define HTTP_HEADERS_MAX 65536
#define HTTP_OTHER_BODY_MAX 65536	/* of an answer that is not 2xx, read and dropped */

struct http_options {
	const char *ca_file;		/* trusted beside the system's, or NULL */
	int64_t connect_ms;		/* 0: 15 s */
	int64_t stall_seconds;		/* with less than 100 bytes a second for as long it is given up; 0: 30 */
};

struct http_client;
struct http_client *http_client_new(const struct http_options *options);
void http_client_free(struct http_client *client);

struct http_transfer;
typedef int (*http_body)(struct http_transfer *transfer, const void *data, size_t n, struct error *err);

struct http_state;
struct http_transfer {
	/* the caller's; texts live as long as it runs */
	const char *url;
	const char *accept;		/* or NULL */
	const char *authorization;	/* the header's value, or NULL */
	int64_t offset;			/* asks for the bytes from here on, when > 0 */
	http_body body;
	void *arg;
	int64_t not_before_ms;		/* monotonic: waits until then */

	/* what came, until it is run again or cleared */
	int status;			/* 0: none */
	struct buf challenges;		/* the values of WWW-Authenticate, each with a newline */
	char *content_type;		/* or NULL */
	int64_t range_start;		/* where Content-Range says that it begins; -1 without */
	bool failed;			/* `error` says why; an answer of whatever status is no failure */
	bool not_tls;			/* the other side does not speak TLS */
	struct error error;

	struct http_state *state_;
};
void http_transfer_clear(struct http_transfer *transfer);

/*
 * Runs all, at most `parallel` at once, in one thread. `done` is called at each one's end: 0 it is done, 1 run it again (it may change
 * what is the caller's), -1 stop all with err set. tick (or NULL) is called now and then.
 */
typedef int (*http_done)(void *arg, struct http_transfer *transfer, struct error *err);
int http_run(struct http_client *client, struct http_transfer *transfers, size_t n, size_t parallel, http_done done, void (*tick)(void *arg), void *arg,
	     struct error *err) WARN_UNUSED;
/* One; fails as the transfer did. */
int http_get(struct http_client *client, struct http_transfer *transfer, struct error *err) WARN_UNUSED;

#endif
