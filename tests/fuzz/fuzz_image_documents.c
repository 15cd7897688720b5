/* SPDX-License-Identifier: Apache-2.0 */
#include "site/local/image/image_oci.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void try_index(const char *text, size_t n)
{
	static const char *const tags[] = { NULL, "latest", "busybox" };
	struct image_descriptor found;
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(tags) * 2; i++) {
		if (oci_index_choose(text, n, tags[i / 2], i % 2, "amd64", &found, &err) < 0)
			continue;
		require(digest_hex_valid(found.digest));
		require(found.size >= 0 && found.size <= (int64_t)1 << 40);
	}
	if (oci_layout_check(text, n, &err) < 0)
		require(err.code != ERROR_NONE);
}

/* What a manifest says can be read again from what is made of it. */
static void try_manifest(const char *text, size_t n)
{
	autodocuments struct image_documents documents = { 0 };
	struct image_descriptor config;
	struct error err = { 0 };

	if (oci_manifest_read(text, n, &documents, &config, &err) < 0)
		return;
	require(documents.layers.n <= IMAGE_LAYERS_MAX && digest_hex_valid(config.digest));
	vec_each(&documents.layers, layer)
		require(digest_hex_valid(layer->packed.digest) && layer->packed.size >= 0 && !strstr(layer->blob, ".."));
}

static void try_config(const char *text, size_t n)
{
	for (size_t layers = 0; layers < 3; layers++) {
		autodocuments struct image_documents documents = { 0 };
		struct error err = { 0 };
		char first[DIGEST_HEX];

		for (size_t i = 0; i < layers; i++)
			vec_add(&documents.layers);
		if (oci_config_read(text, n, "amd64", &documents, &err) < 0)
			continue;
		vec_each(&documents.layers, layer)
			require(digest_hex_valid(layer->diff_id));
		require(json_is_object(documents.run));
		image_documents_complete(&documents);
		memcpy(first, documents.digest, sizeof(first));
		image_documents_complete(&documents);
		require(streq(first, documents.digest));
	}
}

static void try_docker(const char *text, size_t n)
{
	for (int named = 0; named < 2; named++) {
		autodocuments struct image_documents documents = { 0 };
		autofree char *config = NULL;
		struct error err = { 0 };

		if (docker_manifest_read(text, n, named ? "busybox" : NULL, &documents, &config, &err) == 0)
			require(config && documents.layers.n <= IMAGE_LAYERS_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;

	try_index(text, n);
	try_manifest(text, n);
	try_config(text, n);
	try_docker(text, n);
	return 0;
}
