/* SPDX-License-Identifier: Apache-2.0 */
#include "image_registry.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "data/http.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How it works: every document and every layer is a call, and call_judge decides at each end of one what comes of it: done, once more
 * (after a pause, with a new token, over plain http on loopback), or an error that says why. Layers run side by side in one
 * thread; a token that one of them fetched serves all. What a layer's partial file holds is judged by its digest when it is whole, so a
 * resume needs to believe nothing; if it fails, the layer is fetched anew, once.
 */

#define MANIFEST_ACCEPT "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
#define AUTHORISE_TRIES 2
#define CONFIG_MAX ((size_t)1 << 20)

struct registry {
	struct registry_reference reference;
	bool plain;			/* speaks http; on loopback only */
	int64_t backoff_ms;
	char *docker_config;		/* NULL: there is none */
	struct http_client *client;
	struct secret authorization;	/* the header's value; empty at first */
	unsigned generation;		/* of the authorization; 0: none yet */
	int64_t expires_ms;		/* monotonic; 0: never */
	char helper[64];		/* that holds credentials and is not asked */
};

struct call {
	struct registry *registry;
	const char *what;		/* "manifest", "layer 2 of 5" */
	char *path, *url;
	struct secret authorization;	/* its own copy: another call may replace the registry's meanwhile */
	int tries, authorised;
	unsigned generation;		/* of the authorization it was sent with */
};

static void call_clear(struct call *call)
{
	free(call->path);
	free(call->url);
	secret_clear(&call->authorization);
}

static int64_t now_ms(void)
{
	return clock_monotonic_ns(&clock_system) / 1000000;
}

/* ---- opening ---- */

static char *docker_config_path(const struct registry_options *options)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (options->docker_config)
		return xstrdup(options->docker_config);
	if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) != 0 || !found)
		return NULL;
	return fs_join(found->pw_dir, ".docker/config.json");
}

int registry_open(const struct registry_reference *reference, const struct registry_options *options, struct registry **ret, struct error *err)
{
	autofree char *ca = xasprintf("%s/%s/ca.crt", options->certs_dir ? options->certs_dir : "/etc/docker/certs.d", reference->host);
	struct http_options http = { fs_exists(ca) ? ca : NULL, options->connect_ms, options->stall_seconds };
	struct registry *registry = xcalloc(1, sizeof(*registry));

	registry->reference = *reference;
	registry->reference.host = xstrdup(reference->host);
	registry->reference.repository = xstrdup(reference->repository);
	registry->reference.tag = reference->tag ? xstrdup(reference->tag) : NULL;
	registry->backoff_ms = options->backoff_ms ? options->backoff_ms : 500;
	registry->docker_config = docker_config_path(options);
	registry->client = http_client_new(&http);
	*ret = registry;
	return 0;
}

void registry_close(struct registry *registry)
{
	if (!registry)
		return;
	registry_reference_clear(&registry->reference);
	secret_clear(&registry->authorization);
	http_client_free(registry->client);
	free(registry->docker_config);
	free(registry);
}

void registry_close_pp(struct registry **registry)
{
	registry_close(*registry);
}

/* ---- authorization ---- */

static int credentials_read(struct registry *registry, struct registry_credentials *ret, struct error *err)
{
	char *text;
	size_t n;
	int r;

	*ret = (struct registry_credentials){ 0 };
	if (!registry->docker_config || !fs_exists(registry->docker_config))
		return 0;
	if (fs_read_file(registry->docker_config, CONFIG_MAX, &text, &n, err) < 0)
		return -1;
	r = registry_credentials_parse(text, n, registry->reference.host, ret, err);
	explicit_bzero(text, n);
	free(text);
	if (r < 0)
		return error_wrap(err, "%s", registry->docker_config);
	memcpy(registry->helper, ret->helper, sizeof(registry->helper));
	return 0;
}

static int denied(struct registry *registry, bool had, struct error *err)
{
	const char *host = registry->reference.host;

	error_set(err, ERROR_PERMISSION, "registry %s does not give %s to %s", host, registry->reference.repository, had ? "these credentials" : "anyone without credentials");
	if (!had && *registry->helper)
		return error_hint(err, "config.json leaves its credentials to the helper docker-credential-%s, which is not run; put them into \"auths\"", registry->helper);
	return error_hint(err, "check the name; 'docker login %s' writes credentials into ~/.docker/config.json, which are read", host);
}

static void authorization_set(struct registry *registry, const char *scheme, const struct secret *value, int64_t seconds)
{
	char *text = xasprintf("%s %s", scheme, secret_reveal(value));

	secret_set(&registry->authorization, text, strlen(text));
	explicit_bzero(text, strlen(text));
	free(text);
	registry->generation++;
	registry->expires_ms = seconds ? now_ms() + seconds * 1000 : 0;
}

static void parameter_add(struct buf *url, const char *name, const char *value)
{
	buf_addf(url, "%c%s=", strchr(url->data, '?') ? '&' : '?', name);
	for (const char *p = value; *p; p++) {
		if (isalnum((unsigned char)*p) || strchr("-._~:/,", *p))
			buf_addc(url, *p);
		else
			buf_addf(url, "%%%02X", (unsigned char)*p);
	}
}

struct document { struct buf text; size_t limit; };

static int document_body(struct http_transfer *transfer, const void *data, size_t n, struct error *err)
{
	struct document *document = transfer->arg;

	if (n > document->limit - document->text.n)
		return error_set(err, ERROR_INPUT, "the answer is larger than %zu bytes", document->limit);
	buf_add(&document->text, data, n);
	return 0;
}

/* Where a token may be asked for: the realm is the registry's word, and credentials go there. */
static bool realm_allowed(const struct registry *registry, const char *realm)
{
	const char *authority = strstr(realm, "://");
	autofree char *host = authority ? xstrndup(authority + 3, strcspn(authority + 3, "/?#")) : NULL;

	if (!host || strchr(realm, '#') || strchr(host, '@') || strpbrk(realm, " \\"))
		return false;
	return starts_with(realm, "https://") || (registry->plain && registry_host_is_loopback(host));
}

static int token_fetch(struct registry *registry, const struct registry_challenge *challenge, const struct secret *basic, struct error *err)
{
	autofree char *scope = xasprintf("repository:%s:pull", registry->reference.repository);
	struct document answer = { .limit = REGISTRY_TOKEN_MAX };
	struct http_transfer transfer = { .body = document_body, .arg = &answer };
	autobuf struct buf url = { 0 };
	autosecret struct secret token = { 0 }, sent = { 0 };
	int64_t seconds;
	int r;

	if (!realm_allowed(registry, challenge->realm))
		return error_set(err, ERROR_FAILED, "registry %s sends to \"%.200s\" for a token, which is not https", registry->reference.host, challenge->realm);
	buf_adds(&url, challenge->realm);
	if (challenge->service)
		parameter_add(&url, "service", challenge->service);
	parameter_add(&url, "scope", challenge->scope ? challenge->scope : scope);
	if (basic->n) {
		char *text = xasprintf("Basic %s", secret_reveal(basic));

		secret_set(&sent, text, strlen(text));
		explicit_bzero(text, strlen(text));
		free(text);
		transfer.authorization = secret_reveal(&sent);
	}
	transfer.url = url.data;
	r = http_get(registry->client, &transfer, err);
	if (r == 0 && (transfer.status == 401 || transfer.status == 403))
		r = denied(registry, basic->n, err);
	else if (r == 0 && transfer.status != 200) {
		r = error_set(err, ERROR_FAILED, "it answers with status %d", transfer.status);
		err->http_status = transfer.status;
		err->retryable = transfer.status >= 500 || transfer.status == 429;
	}
	if (r == 0)
		r = registry_token_parse(answer.text.data ? answer.text.data : "", answer.text.n, &token, &seconds, err);
	if (r == 0)
		authorization_set(registry, "Bearer", &token, seconds);
	else if (err->code != ERROR_PERMISSION)
		error_wrap(err, "token for registry %s", registry->reference.host);
	http_transfer_clear(&transfer);
	if (answer.text.n)
		explicit_bzero(answer.text.data, answer.text.n);
	buf_clear(&answer.text);
	return r;
}

/* The first challenge that is understood, Bearer before Basic. */
static int challenge_choose(const char *challenges, struct registry_challenge *ret, struct error *err)
{
	struct registry_challenge found = { 0 };
	bool any = false;

	error_set(err, ERROR_FAILED, "the registry refuses and does not say what it wants (no WWW-Authenticate)");
	for (const char *line = challenges, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		autofree char *text = xstrndup(line, (size_t)(end - line));
		struct registry_challenge one;

		if (registry_challenge_parse(text, &one, err) < 0)
			continue;
		if (any && (found.bearer || !one.bearer)) {
			registry_challenge_clear(&one);
			continue;
		}
		registry_challenge_clear(&found);
		found = one;
		any = true;
	}
	*ret = found;
	return any ? 0 : -1;
}

static int authorise(struct registry *registry, const char *challenges, struct error *err)
{
	CLEANUP(registry_credentials_clear) struct registry_credentials credentials = { 0 };
	autochallenge struct registry_challenge challenge = { 0 };
	struct error failed;

	if (challenge_choose(challenges, &challenge, &failed) < 0) {
		*err = failed;
		return -1;
	}
	if (credentials_read(registry, &credentials, err) < 0)
		return -1;
	if (challenge.bearer)
		return token_fetch(registry, &challenge, &credentials.basic, err);
	if (!credentials.basic.n)
		return denied(registry, false, err);
	authorization_set(registry, "Basic", &credentials.basic, 0);
	return 0;
}

/* ---- calls ---- */

static void call_prepare(struct call *call, struct http_transfer *transfer)
{
	struct registry *registry = call->registry;

	free(call->url);
	call->url = xasprintf("%s://%s/v2/%s/%s", registry->plain ? "http" : "https", registry->reference.host, registry->reference.repository, call->path);
	transfer->url = call->url;
	/* a token that has ended is left out: the registry asks for a new one, and says for what */
	call->generation = registry->expires_ms && now_ms() > registry->expires_ms ? 0 : registry->generation;
	if (call->generation)
		secret_set(&call->authorization, secret_reveal(&registry->authorization), registry->authorization.n);
	transfer->authorization = call->generation ? secret_reveal(&call->authorization) : NULL;
}

static int call_failed(struct call *call, struct error *err)
{
	return error_wrap(err, "%s of %s", call->what, call->registry->reference.repository);
}

/* 1: once more, after a pause */
static int call_again(struct call *call, struct http_transfer *transfer, struct error *err)
{
	if (++call->tries >= REGISTRY_TRIES) {
		err->retryable = true;
		error_hint(err, "it was tried %d times; what was fetched is kept, so try again later", REGISTRY_TRIES);
		return call_failed(call, err);
	}
	transfer->not_before_ms = now_ms() + (call->registry->backoff_ms << (call->tries - 1));
	call_prepare(call, transfer);
	return 1;
}

static int call_network_failed(struct call *call, struct http_transfer *transfer, struct error *err)
{
	struct registry *registry = call->registry;
	bool loopback = registry_host_is_loopback(registry->reference.host);

	if (transfer->not_tls && loopback && starts_with(call->url, "https:")) {
		registry->plain = true;
		call_prepare(call, transfer);
		return 1;
	}
	*err = transfer->error;
	if (err->retryable)
		return call_again(call, transfer, err);
	if (transfer->not_tls)
		error_hint(err, "registry %s must speak https; plain http is for registries on this machine (127.0.0.0/8, localhost) only", registry->reference.host);
	else if (err->code == ERROR_FAILED && strstr(err->message, "certificate"))
		error_hint(err, "if its certificate is of a CA of your own, put that into /etc/docker/certs.d/%s/ca.crt", registry->reference.host);
	return call_failed(call, err);
}

static int call_refused(struct call *call, struct http_transfer *transfer, struct error *err)
{
	struct registry *registry = call->registry;

	if (call->authorised++ >= AUTHORISE_TRIES) {
		denied(registry, transfer->authorization != NULL, err);
		return call_failed(call, err);
	}
	/* another call may have got a new one meanwhile */
	if ((call->generation == registry->generation || !call->generation) && authorise(registry, transfer->challenges.data, err) < 0)
		return err->retryable ? call_again(call, transfer, err) : call_failed(call, err);
	call_prepare(call, transfer);
	return 1;
}

/* 0: an answer of 2xx came whole; 1: once more; -1 */
static int call_judge(struct call *call, struct http_transfer *transfer, struct error *err)
{
	const char *host = call->registry->reference.host;
	int status = transfer->status;

	if (transfer->failed)
		return call_network_failed(call, transfer, err);
	if (status / 100 == 2)
		return 0;
	if (status == 401)
		return call_refused(call, transfer, err);
	if (status == 403) {
		denied(call->registry, transfer->authorization != NULL, err);
		return call_failed(call, err);
	}
	if (status == 404) {
		error_set(err, ERROR_NOT_FOUND, "registry %s has none", host);
		error_hint(err, "check the name and the tag");
		return call_failed(call, err);
	}
	error_set(err, ERROR_FAILED, "registry %s answers with status %d", host, status);
	err->http_status = status;
	return status >= 500 || status == 429 ? call_again(call, transfer, err) : call_failed(call, err);
}

static int document_done(void *arg, struct http_transfer *transfer, struct error *err)
{
	struct document *document = transfer->arg;
	int r = call_judge(arg, transfer, err);

	if (r == 1)
		buf_reset(&document->text);
	return r;
}

/* what's text; digest "" or what it must have */
static int document_fetch(struct registry *registry, const char *what, char *path, const char *accept, const char *digest, struct buf *ret, char **ret_type,
			  struct error *err)
{
	CLEANUP(call_clear) struct call call = { .registry = registry, .what = what, .path = path };
	struct document document = { .limit = IMAGE_DOCUMENT_MAX };
	struct http_transfer transfer = { .accept = accept, .body = document_body, .arg = &document };
	char found[DIGEST_HEX];
	int r;

	buf_adds(&document.text, "");
	call_prepare(&call, &transfer);
	r = http_run(registry->client, &transfer, 1, 1, document_done, NULL, &call, err);
	if (r == 0) {
		digest_bytes(document.text.data, document.text.n, found);
		if (*digest && !streq(found, digest)) {
			error_set(err, ERROR_INPUT, "registry %s answers with something else: its digest is sha256:%.12s... and should be sha256:%.12s...",
				  registry->reference.host, found, digest);
			r = call_failed(&call, err);
		}
	}
	if (r == 0 && ret_type)
		*ret_type = transfer.content_type ? xstrdup(transfer.content_type) : xstrdup("");
	http_transfer_clear(&transfer);
	if (r < 0)
		buf_clear(&document.text);
	else
		*ret = document.text;
	return r;
}

/* 1: an index, 0: a manifest, -1: neither */
static int manifest_kind(const char *text, size_t n, const char *type, struct error *err)
{
	autojson json_t *json = NULL;

	if (json_parse("manifest", text, n, IMAGE_DOCUMENT_MAX, &json, err) < 0)
		return -1;
	if (strstr(type, "manifest.v1+") || json_get_int(json, "schemaVersion", 2) == 1) {
		error_set(err, ERROR_UNSUPPORTED, "the manifest is of Docker's schema 1, which is not read: it has no digests that could be verified");
		return error_hint(err, "push the image again with a tool of this decade");
	}
	return json_get_array(json, "manifests") ? 1 : 0;
}

int registry_manifest(struct registry *registry, char **ret_text, size_t *ret_n, char ret_digest[static DIGEST_HEX], struct error *err)
{
	const struct registry_reference *reference = &registry->reference;
	struct image_descriptor chosen = { .size = -1 };
	char architecture[32];

	image_architecture(architecture);
	memcpy(chosen.digest, reference->digest, DIGEST_HEX);
	for (int depth = 0; depth < IMAGE_INDEX_DEPTH; depth++) {
		char *path = *chosen.digest ? xasprintf("manifests/sha256:%s", chosen.digest) : xasprintf("manifests/%s", reference->tag);
		autofree char *type = NULL;
		autobuf struct buf text = { 0 };
		int kind;

		if (document_fetch(registry, "manifest", path, MANIFEST_ACCEPT, chosen.digest, &text, &type, err) < 0)
			return -1;
		kind = manifest_kind(text.data, text.n, type, err);
		if (kind < 0 || (kind == 1 && oci_index_choose(text.data, text.n, NULL, true, architecture, &chosen, err) < 0))
			return error_wrap(err, "manifest of %s", reference->repository);
		if (kind == 1)
			continue;
		digest_bytes(text.data, text.n, ret_digest);
		*ret_n = text.n;
		*ret_text = buf_steal(&text);
		return 0;
	}
	return error_set(err, ERROR_INPUT, "%s: its indexes lie more than %d deep in each other", reference->repository, IMAGE_INDEX_DEPTH);
}

int registry_document(struct registry *registry, const struct image_descriptor *blob, char **ret_text, size_t *ret_n, struct error *err)
{
	char *path = xasprintf("blobs/sha256:%s", blob->digest);
	autobuf struct buf text = { 0 };

	if (document_fetch(registry, "config", path, NULL, blob->digest, &text, NULL, err) < 0)
		return -1;
	*ret_n = text.n;
	*ret_text = buf_steal(&text);
	return 0;
}

/* ---- layers ---- */

struct blob {
	struct call call;
	const struct image_descriptor *descriptor;
	char what[64];
	char *partial, *path;
	int fd;
	int64_t have;
	bool resumed;			/* some of it is of another time */
	bool begun;			/* this answer's first byte was taken */
};

struct fetching {
	struct blob *blobs;
	struct http_transfer *transfers;
	size_t n;
	char text[64];
	int64_t total, told;
	image_progress progress;
	void *arg;
};

static int blob_restart(struct blob *blob, struct error *err)
{
	blob->have = 0;
	blob->resumed = false;
	return ftruncate(blob->fd, 0) < 0 ? error_set_errno(err, errno, "cannot empty %s", blob->partial) : 0;
}

/* Where the answer's bytes belong. */
static int blob_begin(struct blob *blob, const struct http_transfer *transfer, struct error *err)
{
	blob->begun = true;
	if (transfer->status == 206 && transfer->range_start == blob->have)
		return 0;
	/* the server ignores ranges, and sends all of it */
	if (transfer->status == 200)
		return blob_restart(blob, err);
	if (blob_restart(blob, err) < 0)
		return -1;
	error_set(err, ERROR_FAILED, "the registry answers with another range than it was asked for");
	err->retryable = true;
	return -1;
}

static int blob_body(struct http_transfer *transfer, const void *data, size_t n, struct error *err)
{
	struct blob *blob = transfer->arg;

	if (!blob->begun && blob_begin(blob, transfer, err) < 0)
		return -1;
	if ((int64_t)n > blob->descriptor->size - blob->have)
		return error_set(err, ERROR_INPUT, "it is longer than the manifest says (%" PRId64 " bytes)", blob->descriptor->size);
	for (size_t done = 0; done < n;) {
		ssize_t r = pwrite(blob->fd, (const char *)data + done, n - done, blob->have);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_set_errno(err, errno, "cannot write %s", blob->partial);
		done += (size_t)r;
		blob->have += r;
	}
	return 0;
}

static void blob_prepare(struct blob *blob, struct http_transfer *transfer)
{
	transfer->offset = blob->have;
	blob->begun = false;
	call_prepare(&blob->call, transfer);
}

/* 0: whole and in its place; 1: it is not, and starts anew */
static int blob_finish(struct blob *blob, struct error *err)
{
	char found[DIGEST_HEX];

	if (digest_file(blob->partial, found, err) < 0)
		return -1;
	if (streq(found, blob->descriptor->digest))
		return rename(blob->partial, blob->path) < 0 ? error_set_errno(err, errno, "cannot complete %s", blob->path) : 0;
	if (blob->resumed)
		return blob_restart(blob, err) < 0 ? -1 : 1;
	unlink(blob->partial);
	error_set(err, ERROR_INPUT, "it is damaged: its digest is sha256:%.12s... and should be sha256:%.12s...", found, blob->descriptor->digest);
	error_hint(err, "the registry, or something on the way, changed it; nothing of it was kept");
	return call_failed(&blob->call, err);
}

static int blob_done(void *arg, struct http_transfer *transfer, struct error *err)
{
	struct blob *blob = transfer->arg;
	int r;

	if (!transfer->failed && transfer->status == 416 && transfer->offset > 0) {
		if (blob_restart(blob, err) < 0)
			return -1;
		error_set(err, ERROR_FAILED, "the registry has no such range");
		r = call_again(&blob->call, transfer, err);
	} else {
		r = call_judge(&blob->call, transfer, err);
	}
	if (r == 0 && blob->have < blob->descriptor->size) {
		error_set(err, ERROR_FAILED, "it ends after %" PRId64 " of %" PRId64 " bytes", blob->have, blob->descriptor->size);
		r = call_again(&blob->call, transfer, err);
	} else if (r == 0) {
		r = blob_finish(blob, err);
	}
	/* what a failed transfer left counts as of another time */
	if (r == 1) {
		blob->resumed = blob->resumed || blob->have > 0;
		blob_prepare(blob, transfer);
	}
	return r;
}

static void fetching_tick(void *arg)
{
	struct fetching *fetching = arg;
	int64_t done = 0;

	if (!fetching->progress)
		return;
	for (size_t i = 0; i < fetching->n; i++)
		done += fetching->blobs[i].have;
	if (done == fetching->told)
		return;
	fetching->told = done;
	fetching->progress(fetching->arg, fetching->text, done, fetching->total);
}

/* ret: whether it must be fetched */
static int blob_open(struct registry *registry, const struct image_descriptor *descriptor, const char *folder, struct blob *blob, bool *ret, struct error *err)
{
	struct stat st;

	blob->descriptor = descriptor;
	blob->path = xasprintf("%s/%s", folder, descriptor->digest);
	blob->partial = xasprintf("%s.partial", blob->path);
	blob->call = (struct call){ .registry = registry, .what = blob->what, .path = xasprintf("blobs/sha256:%s", descriptor->digest) };
	*ret = false;
	if (stat(blob->path, &st) == 0 && st.st_size == descriptor->size) {
		blob->have = descriptor->size;
		return 0;
	}
	blob->fd = open(blob->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (blob->fd < 0 || fstat(blob->fd, &st) < 0)
		return error_set_errno(err, errno, "cannot open %s", blob->partial);
	blob->have = st.st_size;
	blob->resumed = st.st_size > 0;
	if (st.st_size > descriptor->size && blob_restart(blob, err) < 0)
		return -1;
	if (blob->have == descriptor->size) {
		int r = blob_finish(blob, err);

		if (r <= 0)
			return r;
	}
	*ret = true;
	return 0;
}

static void fetching_clear(struct fetching *fetching, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct blob *blob = &fetching->blobs[i];

		cleanup_fd(&blob->fd);
		call_clear(&blob->call);
		free(blob->partial);
		free(blob->path);
		http_transfer_clear(&fetching->transfers[i]);
	}
	free(fetching->blobs);
	free(fetching->transfers);
}

int registry_blobs(struct registry *registry, const struct image_descriptor *blobs, size_t n, const char *folder, image_progress progress, void *arg,
		   struct error *err)
{
	struct fetching fetching = { .n = n, .progress = progress, .arg = arg, .told = -1 };
	size_t wanted = 0;
	int r = 0;

	fetching.blobs = xcalloc(n + 1, sizeof(*fetching.blobs));
	fetching.transfers = xcalloc(n + 1, sizeof(*fetching.transfers));
	for (size_t i = 0; i < n; i++)
		fetching.blobs[i].fd = -1;
	snprintf(fetching.text, sizeof(fetching.text), "fetching %zu layer%s", n, n == 1 ? "" : "s");
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct blob *blob = &fetching.blobs[i];
		bool fetch;

		snprintf(blob->what, sizeof(blob->what), "layer sha256:%.12s...", blobs[i].digest);
		fetching.total += blobs[i].size;
		r = blob_open(registry, &blobs[i], folder, blob, &fetch, err);
		if (r < 0 || !fetch)
			continue;
		fetching.transfers[wanted] = (struct http_transfer){ .body = blob_body, .arg = blob };
		blob_prepare(blob, &fetching.transfers[wanted++]);
	}
	if (r == 0)
		r = http_run(registry->client, fetching.transfers, wanted, REGISTRY_PARALLEL, blob_done, fetching_tick, &fetching, err);
	fetching_clear(&fetching, n);
	return r;
}
