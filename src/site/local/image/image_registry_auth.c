/* SPDX-License-Identifier: Apache-2.0 */
#include "image_registry.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* The texts of registries, taken apart: references, challenges, credentials, tokens. Pure; all of it comes from outside. */

#define HOST_MAX 255
#define REPOSITORY_MAX 255
#define TAG_MAX 128
#define HUB_NAME "docker.io"
#define HUB_HOST "registry-1.docker.io"
#define HUB_KEY "https://index.docker.io/v1/"
#define CONFIG_MAX ((size_t)1 << 20)
#define BASIC_MAX 8192
#define CHALLENGE_VALUE_MAX 4096
#define EXPIRES_MAX 86400

/* ---- references ---- */

void registry_reference_clear(struct registry_reference *reference)
{
	free(reference->host);
	free(reference->repository);
	free(reference->tag);
	*reference = (struct registry_reference){ 0 };
}

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/...)* as the distribution specification has it */
static bool repository_valid(const char *name)
{
	const char *p = name;

	if (strlen(name) > REPOSITORY_MAX)
		return false;
	for (;;) {
		if (!is_lower_or_digit(*p))
			return false;
		while (is_lower_or_digit(*p))
			p++;
		if (!*p)
			return true;
		if (*p == '-')
			p += strspn(p, "-");
		else if (*p == '_')
			p += p[1] == '_' ? 2 : 1;
		else if (*p == '.' || *p == '/')
			p++;
		else
			return false;
	}
}

static bool tag_valid(const char *tag)
{
	size_t n = strlen(tag);

	if (!n || n > TAG_MAX || strchr(".-", *tag))
		return false;
	for (const char *p = tag; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return false;
	return true;
}

static bool port_valid(const char *text)
{
	unsigned port = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		port = port * 10 + (unsigned)(*p - '0');
	}
	return port > 0 && port <= 65535;
}

static bool host_valid(const char *host)
{
	const char *colon = strchr(host, ':');
	size_t n = colon ? (size_t)(colon - host) : strlen(host);

	if (!n || n > HOST_MAX || *host == '-' || *host == '.' || host[n - 1] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if ((!isalnum((unsigned char)host[i]) && !strchr(".-", host[i])) || (host[i] == '.' && host[i + 1] == '.'))
			return false;
	return !colon || port_valid(colon + 1);
}

bool registry_host_is_loopback(const char *host)
{
	autofree char *name = xstrndup(host, strcspn(host, ":"));
	struct in_addr address;

	return !strcasecmp(name, "localhost") || (inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* Takes "@sha256:HEX" and ":TAG" off the end of `rest`. */
static int ends_split(char *rest, struct registry_reference *reference, struct error *err)
{
	char *at = strchr(rest, '@'), *colon;

	if (at) {
		if (!starts_with(at + 1, "sha256:") || !digest_hex_valid(at + 1 + strlen("sha256:")))
			return error_set(err, ERROR_INPUT, "\"%.100s\" is no digest", at + 1);
		memcpy(reference->digest, at + 1 + strlen("sha256:"), DIGEST_HEX);
		*at = 0;
	}
	colon = strrchr(rest, ':');
	if (colon && !strchr(colon, '/')) {
		if (!tag_valid(colon + 1))
			return error_set(err, ERROR_INPUT, "\"%.140s\" is no tag", colon + 1);
		if (!at)
			reference->tag = xstrdup(colon + 1);
		*colon = 0;
	} else if (!at) {
		reference->tag = xstrdup("latest");
	}
	return 0;
}

int registry_reference_parse(const char *text, struct registry_reference *ret, struct error *err)
{
	const char *from = starts_with(text, "docker://") ? text + strlen("docker://") : text, *slash = strchr(from, '/');
	autoregistryreference struct registry_reference reference = { 0 };
	autofree char *first = xstrndup(from, slash ? (size_t)(slash - from) : 0);
	bool host = slash && (strpbrk(first, ".:") || streq(first, "localhost"));
	autofree char *rest = xstrdup(host ? slash + 1 : from);

	if (ends_split(rest, &reference, err) < 0) {
		error_wrap(err, "image \"%.200s\"", text);
		return error_hint(err, "write docker://HOST/NAME:TAG or docker://HOST/NAME@sha256:DIGEST");
	}
	if (host && !streq(first, HUB_NAME) && !streq(first, "index.docker.io"))
		reference.host = steal(&first);
	else
		reference.host = xstrdup(HUB_HOST);
	if (streq(reference.host, HUB_HOST) && *rest && !strchr(rest, '/'))
		reference.repository = xasprintf("library/%s", rest);
	else
		reference.repository = steal(&rest);
	if (!host_valid(reference.host) || !repository_valid(reference.repository)) {
		error_set(err, ERROR_INPUT, "image \"%.200s\" is no name in a registry", text);
		return error_hint(err, "write docker://HOST/NAME:TAG or docker://HOST/NAME@sha256:DIGEST, the name in lower case");
	}
	*ret = reference;
	reference = (struct registry_reference){ 0 };
	return 0;
}

/* ---- challenges ---- */

void registry_challenge_clear(struct registry_challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
	*challenge = (struct registry_challenge){ 0 };
}

static int challenge_malformed(struct error *err)
{
	return error_set(err, ERROR_FAILED, "the registry's challenge (WWW-Authenticate) is malformed");
}

/* A token or a quoted string; printable ASCII only. */
static char *parameter_value(const char **p)
{
	autobuf struct buf value = { 0 };

	buf_adds(&value, "");
	if (**p == '"') {
		for ((*p)++; **p != '"'; (*p)++) {
			if (**p == '\\')
				(*p)++;
			if (**p < 0x20 || **p > 0x7e || value.n > CHALLENGE_VALUE_MAX)
				return NULL;
			buf_addc(&value, **p);
		}
		(*p)++;
	} else {
		for (; isalnum((unsigned char)**p) || (**p && strchr("!#$%&'*+-.^_`|~", **p)); (*p)++)
			buf_addc(&value, **p);
		if (!value.n || value.n > CHALLENGE_VALUE_MAX)
			return NULL;
	}
	return buf_steal(&value);
}

static int parameter_keep(struct registry_challenge *challenge, const char *name, size_t n, char *value)
{
	static const char *const names[] = { "realm", "service", "scope" };
	char **places[] = { &challenge->realm, &challenge->service, &challenge->scope };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strlen(names[i]) != n || strncasecmp(names[i], name, n))
			continue;
		if (*places[i])
			return -1;
		*places[i] = value;
		return 0;
	}
	free(value);
	return 0;
}

int registry_challenge_parse(const char *text, struct registry_challenge *ret, struct error *err)
{
	autochallenge struct registry_challenge challenge = { 0 };
	const char *p = text;

	if (!strncasecmp(p, "Bearer ", 7))
		challenge.bearer = true;
	else if (strncasecmp(p, "Basic ", 6) && strcasecmp(p, "Basic"))
		return error_set(err, ERROR_UNSUPPORTED, "the registry wants an authentication that is neither Bearer nor Basic");
	for (p += challenge.bearer ? 7 : 5; *p;) {
		const char *name;
		char *value;
		size_t n;

		p += strspn(p, " \t");
		name = p;
		n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
		p += n;
		if (!n || *p++ != '=')
			return challenge_malformed(err);
		value = parameter_value(&p);
		if (!value)
			return challenge_malformed(err);
		if (parameter_keep(&challenge, name, n, value) < 0) {
			free(value);
			return challenge_malformed(err);
		}
		p += strspn(p, " \t");
		if (*p && *p++ != ',')
			return challenge_malformed(err);
	}
	if (challenge.bearer && !(challenge.realm && (starts_with(challenge.realm, "https://") || starts_with(challenge.realm, "http://"))))
		return challenge_malformed(err);
	*ret = challenge;
	challenge = (struct registry_challenge){ 0 };
	return 0;
}

/* ---- credentials ---- */

void registry_credentials_clear(struct registry_credentials *credentials)
{
	secret_clear(&credentials->basic);
	*credentials = (struct registry_credentials){ 0 };
}

/* The key of an entry of "auths": a host, with or without a scheme and a path. */
static bool key_names(const char *key, const char *host)
{
	if (streq(host, HUB_HOST) && (streq(key, HUB_KEY) || streq(key, HUB_NAME) || streq(key, "index.docker.io")))
		return true;
	if (starts_with(key, "https://"))
		key += strlen("https://");
	else if (starts_with(key, "http://"))
		key += strlen("http://");
	return strcspn(key, "/") == strlen(host) && !strncasecmp(key, host, strlen(host));
}

static bool base64_valid(const char *text)
{
	size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), m = n + strspn(text + n, "=");

	return n && !text[m] && m % 4 == 0 && m - n <= 2 && m <= BASIC_MAX;
}

int registry_credentials_parse(const char *text, size_t n, const char *host, struct registry_credentials *ret, struct error *err)
{
	struct registry_credentials credentials = { 0 };
	const json_t *helpers, *auths;
	autojson json_t *json = NULL;
	struct error ignored;
	const char *key;
	json_t *value;

	/* its own words could show what is in it */
	if (json_parse("config.json", text, n, CONFIG_MAX, &json, &ignored) < 0 || !json_is_object(json))
		return error_set(err, ERROR_INPUT, "it is no JSON object, or larger than %zu bytes", CONFIG_MAX);
	helpers = json_get_object(json, "credHelpers");
	auths = json_get_object(json, "auths");
	snprintf(credentials.helper, sizeof(credentials.helper), "%.63s", json_get_string(json, "credsStore", ""));
	json_object_foreach((json_t *)helpers, key, value)
		if (key_names(key, host) && json_is_string(value))
			snprintf(credentials.helper, sizeof(credentials.helper), "%.63s", json_string_value(value));
	json_object_foreach((json_t *)auths, key, value) {
		const char *basic = json_get_string(value, "auth", "");

		if (!key_names(key, host) || !*basic || credentials.basic.n)
			continue;
		if (!base64_valid(basic)) {
			secret_clear(&credentials.basic);
			return error_set(err, ERROR_INPUT, "the \"auth\" of %.100s in it is not base64", host);
		}
		secret_set(&credentials.basic, basic, strlen(basic));
	}
	*ret = credentials;
	return 0;
}

/* ---- tokens ---- */

int registry_token_parse(const char *text, size_t n, struct secret *ret, int64_t *ret_seconds, struct error *err)
{
	autojson json_t *json = NULL;
	struct error ignored;
	const char *token;
	int64_t seconds;

	if (json_parse("token", text, n, REGISTRY_TOKEN_MAX, &json, &ignored) < 0 || !json_is_object(json))
		return error_set(err, ERROR_FAILED, "its answer is no JSON object");
	token = json_get_string(json, "token", json_get_string(json, "access_token", ""));
	seconds = json_get_int(json, "expires_in", 60);
	if (!*token)
		return error_set(err, ERROR_FAILED, "its answer holds no token");
	for (const char *p = token; *p; p++)
		if (*p <= 0x20 || *p > 0x7e)
			return error_set(err, ERROR_FAILED, "its token holds bytes that no header may");
	secret_set(ret, token, strlen(token));
	*ret_seconds = MAX(1, MIN(seconds, EXPIRES_MAX));
	return 0;
}
