/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/buf.h"
#include "site/local/image/image_oci.h"
#include "site/local/image/image_parts.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEX_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"

#define MANIFEST(hex, more) "{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:" hex "\",\"size\":10" more "}"
#define PLATFORM(os, machine) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" machine "\"}"
#define TAG(name) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"
#define FULL_NAME(name) ",\"annotations\":{\"io.containerd.image.name\":\"" name "\"}"
#define INDEX(items) "{\"schemaVersion\":2,\"manifests\":[" items "]}"

static int choose(const char *text, const char *tag, bool nested, struct image_descriptor *ret, struct error *err)
{
	return oci_index_choose(text, strlen(text), tag, nested, "amd64", ret, err);
}

static void the_right_manifest_is_chosen(void **state)
{
	static const struct { const char *text, *tag, *hex; bool nested; } cases[] = {
		{ INDEX(MANIFEST(HEX_A, "")), NULL, HEX_A },
		{ INDEX(MANIFEST(HEX_A, PLATFORM("linux", "arm64")) "," MANIFEST(HEX_B, PLATFORM("linux", "amd64"))), NULL, HEX_B },
		{ INDEX(MANIFEST(HEX_A, PLATFORM("windows", "amd64")) "," MANIFEST(HEX_B, PLATFORM("linux", "amd64"))), NULL, HEX_B },
		{ INDEX(MANIFEST(HEX_A, PLATFORM("unknown", "unknown")) "," MANIFEST(HEX_B, PLATFORM("linux", "amd64"))), NULL, HEX_B },
		{ INDEX(MANIFEST(HEX_A, TAG("one")) "," MANIFEST(HEX_B, TAG("two"))), "two", HEX_B },
		{ INDEX(MANIFEST(HEX_A, TAG("one")) "," MANIFEST(HEX_B, TAG("latest"))), NULL, HEX_B },
		{ INDEX(MANIFEST(HEX_A, TAG("one")) "," MANIFEST(HEX_A, TAG("two"))), NULL, HEX_A },
		{ INDEX(MANIFEST(HEX_A, FULL_NAME("docker.io/library/busybox:latest"))), "busybox", HEX_A },
		{ INDEX(MANIFEST(HEX_A, FULL_NAME("docker.io/library/busybox:1.36"))), "busybox:1.36", HEX_A },
		{ INDEX(MANIFEST(HEX_A, FULL_NAME("docker.io/team/app:latest"))), "team/app", HEX_A },
		{ INDEX(MANIFEST(HEX_A, FULL_NAME("localhost:5000/app:v1"))), "localhost:5000/app:v1", HEX_A },
		{ INDEX(MANIFEST(HEX_A, PLATFORM("linux", "amd64")) "," MANIFEST(HEX_B, PLATFORM("linux", "amd64"))), NULL, HEX_A, true },
		{ INDEX("{\"mediaType\":\"application/x-other\",\"digest\":\"sha256:" HEX_A "\",\"size\":1}," MANIFEST(HEX_B, "")), NULL, HEX_B },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_descriptor found;
		struct error err = { 0 };

		assert_ok(choose(cases[i].text, cases[i].tag, cases[i].nested, &found, &err));
		assert_string_equal(found.digest, cases[i].hex);
		assert_int_equal(found.size, 10);
		assert_false(found.index);
	}
}

static void wrong_indexes_are_refused(void **state)
{
	static const struct { const char *text, *tag, *why; } cases[] = {
		{ "", NULL, "index" },
		{ "[]", NULL, "no JSON object" },
		{ "{\"schemaVersion\":1,\"manifests\":[]}", NULL, "schema version" },
		{ "{\"schemaVersion\":2}", NULL, "lists no manifests" },
		{ INDEX(""), NULL, "no image for linux/amd64" },
		{ INDEX("1, null, \"x\", []"), NULL, "no image for linux/amd64" },
		{ INDEX(MANIFEST(HEX_A, PLATFORM("linux", "arm64"))), NULL, "no image for linux/amd64" },
		{ INDEX(MANIFEST(HEX_A, TAG("one"))), "two", "called \"two\"" },
		{ INDEX(MANIFEST(HEX_A, TAG("one")) "," MANIFEST(HEX_B, TAG("two"))), NULL, "2 images" },
		{ INDEX(MANIFEST(HEX_A, TAG("one")) "," MANIFEST(HEX_B, TAG("one"))), "one", "2 images called" },
		{ INDEX("{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX_A "\"}"), NULL, "no size" },
		{ INDEX("{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX_A "\",\"size\":-1}"), NULL, "no size" },
		{ INDEX("{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:" HEX_A "\",\"size\":9223372036854775807}"), NULL, "beyond all bounds" },
		{ INDEX("{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha512:" HEX_A "\",\"size\":1}"), NULL, "no sha256" },
		{ INDEX("{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:../../x\",\"size\":1}"), NULL, "malformed" },
		{ INDEX("{\"mediaType\":\"" TYPE_MANIFEST "\",\"size\":1}"), NULL, "no digest" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image_descriptor found;
		struct error err = { 0 };

		assert_fails(choose(cases[i].text, cases[i].tag, false, &found, &err), cases[i].why);
	}
}

static void an_ambiguous_index_names_what_there_is(void **state)
{
	struct image_descriptor found;
	struct error err = { 0 };

	assert_fails(choose(INDEX(MANIFEST(HEX_A, TAG("one")) "," MANIFEST(HEX_B, TAG("two"))), NULL, false, &found, &err), "2 images");
	assert_non_null(strstr(err.hint, "\"one\", \"two\""));
	assert_fails(choose(INDEX(MANIFEST(HEX_A, PLATFORM("linux", "s390x"))), NULL, false, &found, &err), "linux/amd64");
	assert_non_null(strstr(err.hint, "linux/s390x"));
}

static void only_layouts_of_version_1_are_read(void **state)
{
	struct error err = { 0 };

	assert_ok(oci_layout_check("{\"imageLayoutVersion\":\"1.0.0\"}", 30, &err));
	assert_fails(oci_layout_check("{\"imageLayoutVersion\":\"2.0.0\"}", 30, &err), "version \"2.0.0\"");
	assert_fails(oci_layout_check("{}", 2, &err), "version");
}

#define LAYER(hex, type) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" hex "\",\"size\":7}"
#define TAR_LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define IMAGE(config_type, layers) "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" config_type "\",\"digest\":\"sha256:" HEX_C "\",\"size\":9},\"layers\":[" layers "]}"

static int manifest(const char *text, struct image_documents *documents, struct error *err)
{
	struct image_descriptor config;

	image_documents_clear(documents);
	if (oci_manifest_read(text, strlen(text), documents, &config, err) < 0)
		return -1;
	assert_string_equal(config.digest, HEX_C);
	assert_int_equal(config.size, 9);
	return 0;
}

static void manifests_give_their_layers_in_order(void **state)
{
	autodocuments struct image_documents documents = { 0 };
	const char *text = IMAGE(CONFIG_TYPE, LAYER(HEX_A, TAR_LAYER) "," LAYER(HEX_B, "application/vnd.docker.image.rootfs.diff.tar.gzip"));
	struct error err = { 0 };
	char hex[DIGEST_HEX];

	assert_ok(manifest(text, &documents, &err));
	digest_bytes(text, strlen(text), hex);
	assert_string_equal(documents.digest, hex);
	assert_string_equal(documents.manifest, text);
	assert_int_equal(documents.layers.n, 2);
	assert_string_equal(documents.layers.items[0].blob, "blobs/sha256/" HEX_A);
	assert_string_equal(documents.layers.items[1].packed.digest, HEX_B);
	assert_int_equal(documents.layers.items[1].packed.size, 7);
}

static void wrong_manifests_are_refused(void **state)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "{}", "schema version" },
		{ "{\"schemaVersion\":1,\"name\":\"x\",\"fsLayers\":[]}", "schema version" },
		{ "{\"schemaVersion\":2,\"config\":{},\"layers\":{}}", "no config or layers" },
		{ IMAGE("application/vnd.cncf.helm.config.v1+json", ""), "no container image" },
		{ IMAGE(CONFIG_TYPE, LAYER(HEX_A, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")), "no layer of a file system" },
		{ IMAGE(CONFIG_TYPE, LAYER(HEX_A, TAR_LAYER "+encrypted")), "no layer of a file system" },
		{ IMAGE(CONFIG_TYPE, "17"), "no descriptor" },
		{ IMAGE(CONFIG_TYPE, "{\"mediaType\":\"" TAR_LAYER "\",\"digest\":\"sha256:" HEX_A "\",\"size\":1e3}"), "no size" },
		{ IMAGE(CONFIG_TYPE, LAYER("../../../../../../etc/passwd", TAR_LAYER)), "malformed" },
	};
	autodocuments struct image_documents documents = { 0 };
	autobuf struct buf many = { 0 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_fails(manifest(cases[i].text, &documents, &err), cases[i].why);
	for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
		buf_addf(&many, "%s%s", i ? "," : "", LAYER(HEX_A, TAR_LAYER));
	{
		autofree char *text = xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CONFIG_TYPE "\",\"digest\":\"sha256:" HEX_C "\",\"size\":9},\"layers\":[%s]}", many.data);

		assert_fails(manifest(text, &documents, &err), "501 layers");
	}
	{
		autofree char *text = xcalloc(1, IMAGE_DOCUMENT_MAX + 100);

		memset(text, ' ', IMAGE_DOCUMENT_MAX + 50);
		memcpy(text, "{}", 2);
		assert_fails(manifest(text, &documents, &err), "manifest");
	}
}

#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"
#define ID(hex) "\"sha256:" hex "\""

static int config(const char *text, size_t layers, struct image_documents *documents, struct error *err)
{
	image_documents_clear(documents);
	for (size_t i = 0; i < layers; i++)
		vec_add(&documents->layers);
	return oci_config_read(text, strlen(text), "amd64", documents, err);
}

static void configs_give_what_is_run(void **state)
{
	autodocuments struct image_documents documents = { 0 };
	autofree char *run = NULL;
	struct error err = { 0 };

	assert_ok(config("{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=b\",\"EMPTY=\"],\"Cmd\":null,\"Entrypoint\":\"/bin/x\",\"User\":\"1:2\",\"WorkingDir\":\"\","
			 "\"Volumes\":{\"/x\":{}},\"Labels\":{\"a\":\"b\"},\"Hostname\":\"h\"}," ROOTFS(ID(HEX_A) "," ID(HEX_B)) "}", 2, &documents, &err));
	assert_string_equal(documents.layers.items[1].diff_id, HEX_B);
	run = json_canonical(documents.run);
	assert_string_equal(run, "{\"Entrypoint\":[\"/bin/x\"],\"Env\":[\"A=b\",\"EMPTY=\"],\"User\":\"1:2\"}");
	assert_ok(config("{" ROOTFS("") "}", 0, &documents, &err));
	assert_int_equal(json_object_size(documents.run), 0);
}

static void wrong_configs_are_refused(void **state)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "[]", "lists no layers" },
		{ "{}", "lists no layers" },
		{ "{\"rootfs\":{\"type\":\"files\",\"diff_ids\":[]}}", "lists no layers" },
		{ "{" ROOTFS("") "}", "lists 0 layers and its manifest 1" },
		{ "{" ROOTFS(ID(HEX_A) "," ID(HEX_B)) "}", "lists 2 layers and its manifest 1" },
		{ "{" ROOTFS("\"sha256:..\"") "}", "no sha256 digest" },
		{ "{" ROOTFS("1") "}", "no sha256 digest" },
		{ "{\"architecture\":\"arm64\"," ROOTFS(ID(HEX_A)) "}", "is for linux/arm64" },
		{ "{\"os\":\"windows\"," ROOTFS(ID(HEX_A)) "}", "is for windows/amd64" },
		{ "{\"config\":{\"Env\":[\"x\"]}," ROOTFS(ID(HEX_A)) "}", "no NAME=value" },
		{ "{\"config\":{\"Env\":[\"=x\"]}," ROOTFS(ID(HEX_A)) "}", "no NAME=value" },
		{ "{\"config\":{\"Env\":{\"a\":1}}," ROOTFS(ID(HEX_A)) "}", "no list" },
		{ "{\"config\":{\"Cmd\":[1]}," ROOTFS(ID(HEX_A)) "}", "no text" },
		{ "{\"config\":{\"User\":1}," ROOTFS(ID(HEX_A)) "}", "no text" },
		{ "{\"config\":{\"WorkingDir\":\"srv\"}," ROOTFS(ID(HEX_A)) "}", "not absolute" },
		{ "{\"config\":{\"Cmd\":[\"a\\u0000b\"]}," ROOTFS(ID(HEX_A)) "}", "image config" },
	};
	autodocuments struct image_documents documents = { 0 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_fails(config(cases[i].text, 1, &documents, &err), cases[i].why);
}

static int docker(const char *text, const char *name, struct image_documents *documents, char **ret, struct error *err)
{
	image_documents_clear(documents);
	return docker_manifest_read(text, strlen(text), name, documents, ret, err);
}

static void docker_archives_are_read_by_name(void **state)
{
	const char *two = "[{\"Config\":\"a.json\",\"RepoTags\":[\"x:1\",\"y:latest\"],\"Layers\":[\"1/layer.tar\",\"2/layer.tar\"]},"
			  "{\"Config\":\"b.json\",\"RepoTags\":null,\"Layers\":[]},{\"Config\":\"c.json\",\"RepoTags\":[\"z:3\"],\"Layers\":[\"l\"]}]";
	autodocuments struct image_documents documents = { 0 };
	autofree char *name = NULL;
	struct error err = { 0 };

	assert_ok(docker(two, "x:1", &documents, &name, &err));
	assert_string_equal(name, "a.json");
	assert_int_equal(documents.layers.n, 2);
	assert_string_equal(documents.layers.items[1].blob, "2/layer.tar");
	free(steal(&name));
	assert_ok(docker(two, "y", &documents, &name, &err));
	assert_string_equal(name, "a.json");
	free(steal(&name));
	assert_ok(docker(two, "z:3", &documents, &name, &err));
	assert_string_equal(name, "c.json");
	assert_fails(docker(two, NULL, &documents, &name, &err), "3 images");
	assert_fails(docker(two, "z", &documents, &name, &err), "no image called z");
	assert_fails(docker("{}", NULL, &documents, &name, &err), "no list of images");
	assert_fails(docker("[]", NULL, &documents, &name, &err), "no image");
	assert_fails(docker("[1]", NULL, &documents, &name, &err), "no config");
	assert_fails(docker("[{\"Config\":\"a\",\"Layers\":[1]}]", NULL, &documents, &name, &err), "no name");
}

static void the_same_content_is_the_same_image_without_a_manifest(void **state)
{
	autofree char *text = image_config_make("amd64", HEX_A);
	char first[DIGEST_HEX] = "";

	for (int i = 0; i < 2; i++) {
		autodocuments struct image_documents documents = { 0 };
		struct error err = { 0 };

		assert_ok(config(text, 1, &documents, &err));
		documents.layers.items[0].packed.size = i;
		image_documents_complete(&documents);
		if (i)
			assert_string_equal(documents.digest, first);
		memcpy(first, documents.digest, sizeof(first));
	}
}

static void references_are_taken_apart(void **state)
{
	char *dir = temp_dir_make();
	autofree char *colon = xasprintf("%s/a:b", dir), *tagged = xasprintf("oci:%s:v1", colon), *named = xasprintf("docker-archive:%s:repo:tag", dir);
	autofree char *plain = xasprintf("oci:%s", colon), *rootfs = xasprintf("rootfs:%s", colon);
	autoreference struct image_reference reference = { 0 };
	struct error err = { 0 };

	assert_ok(fs_make_dirs(colon, 0755, &err));
	assert_ok(image_reference_parse(tagged, &reference, &err));
	assert_int_equal(reference.scheme, IMAGE_OCI);
	assert_string_equal(reference.path, colon);
	assert_string_equal(reference.name, "v1");
	image_reference_clear(&reference);
	assert_ok(image_reference_parse(plain, &reference, &err));
	assert_string_equal(reference.path, colon);
	assert_null(reference.name);
	image_reference_clear(&reference);
	assert_ok(image_reference_parse(named, &reference, &err));
	assert_int_equal(reference.scheme, IMAGE_DOCKER_ARCHIVE);
	assert_string_equal(reference.path, dir);
	assert_string_equal(reference.name, "repo:tag");
	image_reference_clear(&reference);
	assert_ok(image_reference_parse(rootfs, &reference, &err));
	assert_string_equal(reference.path, colon);
	image_reference_clear(&reference);
	assert_ok(image_reference_parse("digits:v1", &reference, &err));
	assert_int_equal(reference.scheme, IMAGE_STORE);
	image_reference_clear(&reference);
	assert_ok(image_reference_parse("sha256:" HEX_A, &reference, &err));
	assert_int_equal(reference.scheme, IMAGE_DIGEST);
	image_reference_clear(&reference);
	assert_ok(image_reference_parse("host", &reference, &err));
	assert_int_equal(reference.scheme, IMAGE_HOST);
	image_reference_clear(&reference);
	assert_fails(image_reference_parse("oci:", &reference, &err), "names nothing");
	assert_fails(image_reference_parse("./x", &reference, &err), "does not say what it is");
	assert_fails(image_reference_parse("/x", &reference, &err), "does not say what it is");
	assert_ok(image_reference_parse("docker://busybox", &reference, &err));
	assert_int_equal(reference.scheme, IMAGE_REGISTRY);
	image_reference_clear(&reference);
	assert_fails(image_reference_parse("docker://r.example/UPPER", &reference, &err), "registry");
	assert_fails(image_reference_parse("", &reference, &err), "cannot be the name");
	assert_fails(image_reference_parse("a b", &reference, &err), "cannot be the name");
	assert_fails(image_reference_parse("a/../b", &reference, &err), "cannot be the name");
	temp_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_manifest_is_chosen),
		cmocka_unit_test(wrong_indexes_are_refused),
		cmocka_unit_test(an_ambiguous_index_names_what_there_is),
		cmocka_unit_test(only_layouts_of_version_1_are_read),
		cmocka_unit_test(manifests_give_their_layers_in_order),
		cmocka_unit_test(wrong_manifests_are_refused),
		cmocka_unit_test(configs_give_what_is_run),
		cmocka_unit_test(wrong_configs_are_refused),
		cmocka_unit_test(docker_archives_are_read_by_name),
		cmocka_unit_test(the_same_content_is_the_same_image_without_a_manifest),
		cmocka_unit_test(references_are_taken_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
