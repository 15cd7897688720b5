/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_REGISTRY_H
#define INSULA_SITE_LOCAL_IMAGE_REGISTRY_H

/*
 * Registries: the pull side of the OCI distribution API 1.1 (https://github.com/opencontainers/distribution-spec), and what the registries of
 * Docker say about tokens. HTTPS; plain http on loopback only, and there only when the other side speaks no TLS. A CA of its own is
 * read from certs_dir/<host>/ca.crt. Credentials are those of `docker login`, as plain text in config.json; no helper is run.
 * They appear in no message.
 */

#include "image.h"
#include "image_oci.h"

#include "base/digest.h"
#include "base/secret.h"

#define REGISTRY_PARALLEL 4
#define REGISTRY_TOKEN_MAX 65536
#define REGISTRY_TRIES 5		/* of one document or layer, back-off between them */

/* "docker://HOST[:PORT]/NAME[:TAG][@sha256:HEX]"; without a host, or with docker.io, Docker Hub is meant. */
struct registry_reference {
	char *host;			/* "registry.example:5000" */
	char *repository;
	char *tag;			/* "latest" when neither is said; NULL with a digest */
	char digest[DIGEST_HEX];	/* or "" */
};
int registry_reference_parse(const char *text, struct registry_reference *ret, struct error *err) WARN_UNUSED;
void registry_reference_clear(struct registry_reference *reference);
#define autoregistryreference CLEANUP(registry_reference_clear)
/* localhost and 127.0.0.0/8 */
bool registry_host_is_loopback(const char *host);

/* One WWW-Authenticate header value (RFC 9110, 11.6.1; the token specification of Docker's registry). */
struct registry_challenge { bool bearer; char *realm, *service, *scope; };	/* the last three or NULL; a bearer's realm is there */
int registry_challenge_parse(const char *text, struct registry_challenge *ret, struct error *err) WARN_UNUSED;
void registry_challenge_clear(struct registry_challenge *challenge);
#define autochallenge CLEANUP(registry_challenge_clear)

/* What config.json says of a host: `basic` holds base64("user:password"), empty without. helper: the name of the program that would be
   asked by others, or "" */
struct registry_credentials { struct secret basic; char helper[64]; };
int registry_credentials_parse(const char *text, size_t n, const char *host, struct registry_credentials *ret, struct error *err) WARN_UNUSED;
void registry_credentials_clear(struct registry_credentials *credentials);

/* {"token"|"access_token", "expires_in"}; ret_seconds: 60 when not said */
int registry_token_parse(const char *text, size_t n, struct secret *ret, int64_t *ret_seconds, struct error *err) WARN_UNUSED;

/* NULL and 0: the usual. */
struct registry_options {
	const char *docker_config;	/* ".../config.json"; NULL: of the home of who runs this */
	const char *certs_dir;		/* NULL: /etc/docker/certs.d */
	int64_t connect_ms, stall_seconds;
	int64_t backoff_ms;		/* before the second try, then doubled; 0: 500 */
};

struct registry;
int registry_open(const struct registry_reference *reference, const struct registry_options *options, struct registry **ret, struct error *err) WARN_UNUSED;
void registry_close(struct registry *registry);
void registry_close_pp(struct registry **registry);
#define autoregistry CLEANUP(registry_close_pp)

/* The manifest for this machine behind the tag or digest, verified; text of it and its digest. */
int registry_manifest(struct registry *registry, char **ret_text, size_t *ret_n, char ret_digest[static DIGEST_HEX], struct error *err) WARN_UNUSED;
/* A small blob, verified. */
int registry_document(struct registry *registry, const struct image_descriptor *blob, char **ret_text, size_t *ret_n, struct error *err) WARN_UNUSED;
/* Each blob into folder/<hex>, which appears when it is whole and verified; until then it is folder/<hex>.partial, resumed next time. */
int registry_blobs(struct registry *registry, const struct image_descriptor *blobs, size_t n, const char *folder, image_progress progress, void *arg,
		   struct error *err) WARN_UNUSED;

#endif
