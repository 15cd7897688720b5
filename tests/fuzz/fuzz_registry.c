/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/image/image_registry.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void try_reference(const char *text)
{
	autoregistryreference struct registry_reference reference = { 0 }, again = { 0 };
	autofree char *written = NULL;
	struct error err;

	if (registry_reference_parse(text, &reference, &err) < 0)
		return;
	require(!strpbrk(reference.host, "/@ ?#%\\") && !strpbrk(reference.repository, ":@ ?#%\\") && !strstr(reference.repository, ".."));
	require(*reference.digest ? digest_hex_valid(reference.digest) : reference.tag && !strpbrk(reference.tag, "/@ ?#%"));
	/* what it says is read again as the same */
	written = xasprintf("docker://%s/%s%s%s", reference.host, reference.repository, *reference.digest ? "@sha256:" : ":", *reference.digest ? reference.digest : reference.tag);
	if (!strpbrk(reference.host, ".:") && !streq(reference.host, "localhost"))
		return;
	require(registry_reference_parse(written, &again, &err) == 0 && streq(again.host, reference.host) && streq(again.repository, reference.repository));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	autofree char *text = xstrndup((const char *)data, n);
	struct registry_credentials credentials = { 0 };
	struct registry_challenge challenge = { 0 };
	struct secret token = { 0 };
	struct error err;
	int64_t seconds;

	try_reference(text);
	if (registry_challenge_parse(text, &challenge, &err) == 0)
		require(!challenge.bearer || starts_with(challenge.realm, "http"));
	registry_challenge_clear(&challenge);
	if (registry_credentials_parse((const char *)data, n, "registry.example", &credentials, &err) == 0)
		require(!strpbrk(secret_reveal(&credentials.basic), " \r\n"));
	registry_credentials_clear(&credentials);
	if (registry_token_parse((const char *)data, n, &token, &seconds, &err) == 0)
		require(token.n && !strpbrk(secret_reveal(&token), " \r\n") && seconds > 0);
	secret_clear(&token);
	return 0;
}
