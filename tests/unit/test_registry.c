/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/clock.h"
#include "base/fs.h"
#include "site/local/image/image_registry.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Registries: the parsing, and everything that a server can do wrong (tests/data/registry_server.py). No internet. */

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void references(void **state)
{
	static const struct { const char *text, *host, *repository, *tag; } good[] = {
		{ "docker://busybox", "registry-1.docker.io", "library/busybox", "latest" },
		{ "docker://docker.io/a/b:v1", "registry-1.docker.io", "a/b", "v1" },
		{ "docker://localhost:5000/x", "localhost:5000", "x", "latest" },
		{ "docker://r.example/a-b/c__d.e:T_1.x", "r.example", "a-b/c__d.e", "T_1.x" },
		{ "docker://r.example/a:tag@sha256:" HEX, "r.example", "a", NULL },
	};
	static const char *const bad[] = { "docker://", "docker://r.example/", "docker://r.example/A", "docker://r.example/a:", "docker://r.example/a@sha256:12",
					   "docker://r.example/a//b", "docker://r.example/../b", "docker://r.example:99999/a", "docker://-x.y/a", "docker://u@r.example/a",
					   "docker://r.example/a:b?c", "docker://r..example/a", "docker://r.example/a b" };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		autoregistryreference struct registry_reference reference = { 0 };

		assert_ok(registry_reference_parse(good[i].text, &reference, &err));
		assert_string_equal(reference.host, good[i].host);
		assert_string_equal(reference.repository, good[i].repository);
		assert_true(str_equal(reference.tag, good[i].tag));
		assert_true(reference.tag || streq(reference.digest, HEX));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct registry_reference reference;

		assert_fails(registry_reference_parse(bad[i], &reference, &err), "image");
		assert_int_equal(err.code, ERROR_INPUT);
		assert_true(*err.hint);
	}
	assert_true(registry_host_is_loopback("127.0.0.1:5000") && registry_host_is_loopback("127.9.9.9") && registry_host_is_loopback("localhost"));
	assert_false(registry_host_is_loopback("127.example") || registry_host_is_loopback("10.0.0.1") || registry_host_is_loopback("localhost.example"));
}

static void challenges(void **state)
{
	static const char *const bad[] = { "Bearer", "Bearer ", "Bearer realm", "Bearer realm=\"https://a", "Bearer realm=\"ftp://a\"", "Bearer service=\"x\"",
					   "Bearer realm=\"https://a\",realm=\"https://b\"", "Bearer realm=\"https://a\" service=\"x\"", "Digest realm=\"x\"",
					   "Bearer realm=\"https://a\001\"", "Bearer realm=\"https://a\\" };
	autochallenge struct registry_challenge challenge = { 0 };
	struct error err;

	assert_ok(registry_challenge_parse("Bearer realm=\"https://a/token\",service=\"s\\\"x\",scope=\"repository:a:pull,push\",error=none", &challenge, &err));
	assert_true(challenge.bearer);
	assert_string_equal(challenge.realm, "https://a/token");
	assert_string_equal(challenge.service, "s\"x");
	assert_string_equal(challenge.scope, "repository:a:pull,push");
	registry_challenge_clear(&challenge);
	assert_ok(registry_challenge_parse("basic realm=\"x\"", &challenge, &err));
	assert_false(challenge.bearer);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct registry_challenge none;

		assert_fails(registry_challenge_parse(bad[i], &none, &err), "registry");
	}
}

static void credentials(void **state)
{
	static const char text[] = "{\"auths\":{\"https://r.example/v1/\":{\"auth\":\"dXNlcjpwYXNz\"},\"https://index.docker.io/v1/\":{\"auth\":\"aHVi\"}},"
				   "\"credHelpers\":{\"h.example\":\"vault\"},\"credsStore\":\"desktop\"}";
	static const struct { const char *host, *basic, *helper; } cases[] = {
		{ "r.example", "dXNlcjpwYXNz", "desktop" }, { "registry-1.docker.io", "aHVi", "desktop" }, { "h.example", "", "vault" }, { "r.example.evil", "", "desktop" },
	};
	static const char bad[] = "{\"auths\":{\"a.b\":{\"auth\":\"x y\"}}}";
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct registry_credentials found;

		assert_ok(registry_credentials_parse(text, strlen(text), cases[i].host, &found, &err));
		assert_string_equal(secret_reveal(&found.basic), cases[i].basic);
		assert_string_equal(found.helper, cases[i].helper);
		registry_credentials_clear(&found);
	}
	assert_fails(registry_credentials_parse(bad, strlen(bad), "a.b", &(struct registry_credentials){ 0 }, &err), "base64");
	assert_null(strstr(err.message, "x y"));
	assert_fails(registry_credentials_parse("hunter2", 7, "a.b", &(struct registry_credentials){ 0 }, &err), "JSON");
	assert_null(strstr(err.message, "hunter2"));
}

static void tokens(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"token\":1}", "{\"token\":\"a b\"}", "{\"token\":\"a\\nb\"}" };
	autosecret struct secret token = { 0 };
	int64_t seconds = 0;
	struct error err;

	assert_ok(registry_token_parse("{\"access_token\":\"abc\",\"expires_in\":300}", 39, &token, &seconds, &err));
	assert_string_equal(secret_reveal(&token), "abc");
	assert_int_equal(seconds, 300);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(registry_token_parse(bad[i], strlen(bad[i]), &token, &seconds, &err), -1);
}

/* ---- against the server ---- */

static struct { pid_t pid; int input, port; char *dir; } server;

static int server_start(void **state)
{
	autofree char *program = source_path("tests/data/registry_server.py");
	int in[2], out[2];
	char text[32] = "";

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	server.dir = temp_dir_make();
	server.pid = fork();
	if (server.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("python3", "python3", program, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server.input = in[1];
	for (size_t n = 0; n < sizeof(text) - 1 && !strchr(text, '\n'); n++)
		if (read(out[0], text + n, 1) != 1)
			return -1;
	close(out[0]);
	server.port = atoi(text);
	return server.port > 0 ? 0 : -1;
}

static int server_stop(void **state)
{
	close(server.input);
	waitpid(server.pid, NULL, 0);
	temp_dir_remove(server.dir);
	return 0;
}

/* Opens the repository `mode`, reads the manifest, then the layer into the test's folder. */
static int fetch(const char *mode, const char *config, struct error *err)
{
	struct registry_options options = { .docker_config = config ? config : "/nonexistent", .certs_dir = "/nonexistent", .stall_seconds = 2, .backoff_ms = 1 };
	autofree char *text = xasprintf("docker://127.0.0.1:%d/%s", server.port, mode), *manifest = NULL, *folder = xasprintf("%s/%s", server.dir, mode);
	autoregistryreference struct registry_reference reference = { 0 };
	autodocuments struct image_documents documents = { 0 };
	autoregistry struct registry *registry = NULL;
	struct image_descriptor document;
	char hex[DIGEST_HEX];
	size_t n;

	if (fs_make_dirs(folder, 0700, err) < 0 || registry_reference_parse(text, &reference, err) < 0 ||
	    registry_open(&reference, &options, &registry, err) < 0 || registry_manifest(registry, &manifest, &n, hex, err) < 0 || oci_manifest_read(manifest, n, &documents, &document, err) < 0)
		return -1;
	assert_string_equal(documents.digest, hex);
	return registry_blobs(registry, &documents.layers.items[0].packed, 1, folder, NULL, NULL, err);
}

static void count_whole(const char *mode, bool whole, bool partial)
{
	autofree char *command = xasprintf("cd %s/%s && [ $(ls | grep -cv partial) = %d ] && [ $(ls | grep -c partial) = %d ]", server.dir, mode, whole, partial);

	if (system(command) != 0)
		fail_msg("%s: not %d whole and %d partial", mode, whole, partial);
}

static void what_goes_well(void **state)
{
	static const char *const modes[] = { "good", "index", "expired", "foreign", "flaky", "resume", "norange" };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (fetch(modes[i], NULL, &err) < 0)
			fail_msg("%s: %s", modes[i], err.message);
		count_whole(modes[i], true, false);
		/* and what is whole is not asked for again */
		assert_ok(fetch(modes[i], NULL, &err));
	}
}

static void what_is_refused(void **state)
{
	static const struct { const char *mode, *says; enum error_code code; bool partial; } cases[] = {
		{ "corrupt", "damaged: its digest is", ERROR_INPUT, false },
		{ "longer", "longer than the manifest says", ERROR_INPUT, true },
		{ "short", "layer sha256:", ERROR_FAILED, true },
		{ "loop", "redirects on and on", ERROR_FAILED, false },
		{ "many", "10000 layers; at most", ERROR_INPUT, false },
		{ "large", "larger than 4194304 bytes", ERROR_INPUT, false },
		{ "token_large", "larger than 65536 bytes", ERROR_INPUT, false },
		{ "down", "status 500", ERROR_FAILED, false },
		{ "schema1", "schema 1", ERROR_UNSUPPORTED, false },
		{ "absent", "has none", ERROR_NOT_FOUND, false },
		{ "refusing", "does not give refusing", ERROR_PERMISSION, false },
		{ "basic", "does not give basic", ERROR_PERMISSION, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };

		if (fetch(cases[i].mode, NULL, &err) == 0)
			fail_msg("%s is not refused", cases[i].mode);
		if (!strstr(err.message, cases[i].says))
			fail_msg("%s: %s", cases[i].mode, err.message);
		assert_int_equal(err.code, cases[i].code);
		count_whole(cases[i].mode, false, cases[i].partial);
	}
}

static void wrong_digest(void **state)
{
	struct registry_options options = { .docker_config = "/nonexistent", .certs_dir = "/nonexistent", .backoff_ms = 1 };
	autofree char *text = xasprintf("docker://127.0.0.1:%d/good@sha256:" HEX, server.port), *manifest = NULL;
	autoregistryreference struct registry_reference reference = { 0 };
	autoregistry struct registry *registry = NULL;
	char hex[DIGEST_HEX];
	struct error err;
	size_t n;

	assert_ok(registry_reference_parse(text, &reference, &err));
	assert_ok(registry_open(&reference, &options, &registry, &err));
	assert_fails(registry_manifest(registry, &manifest, &n, hex, &err), "should be sha256:0123456789ab");
	assert_int_equal(err.code, ERROR_INPUT);
}

static void credentials_are_used_and_not_shown(void **state)
{
	autofree char *config = xasprintf("%s/config.json", server.dir);
	char text[256];
	struct error err;

	snprintf(text, sizeof(text), "{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dXNlcjpwYXNz\"}}}", server.port);
	assert_ok(fs_replace_file(config, text, strlen(text), 0600, false, &err));
	if (fetch("basic", config, &err) < 0)
		fail_msg("%s", err.message);
	snprintf(text, sizeof(text), "{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dXNlcjp3cm9u\"}}}", server.port);
	assert_ok(fs_replace_file(config, text, strlen(text), 0600, false, &err));
	assert_fails(fetch("basic", config, &err), "these credentials");
	assert_int_equal(err.code, ERROR_PERMISSION);
	assert_null(strstr(err.message, "dXNl"));
	assert_null(strstr(err.hint, "dXNl"));
	snprintf(text, sizeof(text), "{\"credsStore\":\"vault\"}");
	assert_ok(fs_replace_file(config, text, strlen(text), 0600, false, &err));
	assert_fails(fetch("basic", config, &err), "without credentials");
	assert_non_null(strstr(err.hint, "docker-credential-vault"));
}

/* One that takes a connection and says nothing. */
static void silence_ends(void **state)
{
	struct registry_options options = { .docker_config = "/nonexistent", .certs_dir = "/nonexistent", .connect_ms = 200, .stall_seconds = 1, .backoff_ms = 1 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	autofd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autofree char *text = NULL, *manifest = NULL;
	autoregistryreference struct registry_reference reference = { 0 };
	autoregistry struct registry *registry = NULL;
	char hex[DIGEST_HEX];
	struct error err;
	int64_t start;
	size_t n;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	text = xasprintf("docker://127.0.0.1:%d/x", ntohs(address.sin_port));
	assert_ok(registry_reference_parse(text, &reference, &err));
	assert_ok(registry_open(&reference, &options, &registry, &err));
	start = clock_monotonic_ns(&clock_system);
	assert_fails(registry_manifest(registry, &manifest, &n, hex, &err), "cannot read");
	assert_true(err.retryable);
	assert_true(clock_monotonic_ns(&clock_system) - start < 10000000000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(references),
		cmocka_unit_test(challenges),
		cmocka_unit_test(credentials),
		cmocka_unit_test(tokens),
		cmocka_unit_test(what_goes_well),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(wrong_digest),
		cmocka_unit_test(credentials_are_used_and_not_shown),
		cmocka_unit_test(silence_ends),
	};

	return cmocka_run_group_tests(tests, server_start, server_stop);
}
