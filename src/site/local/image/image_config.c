/* SPDX-License-Identifier: Apache-2.0 */
#include "image_oci.h"

/* The config of an image: what it wants to run. A checked copy of the few settings that are used; the others are dropped. */

#define TEXTS_MAX 4096		/* of one list */
#define TEXT_MAX 131072		/* as the kernel's MAX_ARG_STRLEN */
#define TEXTS_BYTES_MAX ((size_t)1 << 20)

enum setting_shape { SETTING_TEXT, SETTING_LIST };

static const struct setting {
	const char *name;
	enum setting_shape shape;
	size_t text_max;
} settings[] = {
	{ "Cmd", SETTING_LIST, TEXT_MAX },
	{ "Entrypoint", SETTING_LIST, TEXT_MAX },
	{ "Env", SETTING_LIST, TEXT_MAX },
	{ "StopSignal", SETTING_TEXT, 32 },
	{ "User", SETTING_TEXT, 256 },
	{ "WorkingDir", SETTING_TEXT, 4095 },
};

static int text_check(const struct setting *setting, const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) > setting->text_max)
		return error_set(err, ERROR_INPUT, "the image's %s is no text, or one longer than %zu bytes", setting->name, setting->text_max);
	if (streq(setting->name, "WorkingDir") && *text && *text != '/')
		return error_set(err, ERROR_INPUT, "the image's WorkingDir \"%.100s\" is not absolute", text);
	if (streq(setting->name, "Env") && (*text == '=' || !strchr(text, '=')))
		return error_set(err, ERROR_INPUT, "the image's Env holds \"%.100s\", which is no NAME=value", text);
	return 0;
}

static int list_check(const struct setting *setting, const json_t *list, struct error *err)
{
	size_t i, bytes = 0;
	json_t *item;

	if (!json_is_array(list) || json_array_size(list) > TEXTS_MAX)
		return error_set(err, ERROR_INPUT, "the image's %s is no list, or one longer than %d", setting->name, TEXTS_MAX);
	json_array_foreach(list, i, item) {
		if (text_check(setting, item, err) < 0)
			return -1;
		bytes += json_string_length(item);
	}
	if (bytes > TEXTS_BYTES_MAX)
		return error_set(err, ERROR_INPUT, "the image's %s is longer than %zu bytes", setting->name, TEXTS_BYTES_MAX);
	return 0;
}

static int settings_read(const json_t *config, json_t **ret, struct error *err)
{
	autojson json_t *run = json_object();

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *setting = &settings[i];
		json_t *value = json_object_get(config, setting->name);
		autojson json_t *list = NULL;

		if (!value || json_is_null(value))
			continue;
		if (setting->shape == SETTING_LIST && json_is_string(value))
			value = list = json_pack("[O]", value);	/* one word, as early tools wrote it */
		if ((setting->shape == SETTING_LIST ? list_check : text_check)(setting, value, err) < 0)
			return -1;
		if (json_string_length(value) || json_array_size(value))
			json_object_set(run, setting->name, value);
	}
	*ret = steal(&run);
	return 0;
}

static int diff_ids_read(const json_t *rootfs, struct image_documents *documents, struct error *err)
{
	const json_t *ids = json_get_array(rootfs, "diff_ids");
	json_t *item;
	size_t i;

	if (!ids || !streq(json_get_string(rootfs, "type", ""), "layers"))
		return error_set(err, ERROR_INPUT, "the image's config lists no layers");
	if (json_array_size(ids) != documents->layers.n)
		return error_set(err, ERROR_INPUT, "the image's config lists %zu layers and its manifest %zu", json_array_size(ids), documents->layers.n);
	json_array_foreach(ids, i, item) {
		const char *text = json_string_value(item);

		if (!text || !starts_with(text, "sha256:") || !digest_hex_valid(text + strlen("sha256:")))
			return error_set(err, ERROR_INPUT, "diff id %zu in the image's config is no sha256 digest", i + 1);
		memcpy(documents->layers.items[i].diff_id, text + strlen("sha256:"), DIGEST_HEX);
	}
	return 0;
}

int oci_config_read(const char *text, size_t n, const char *architecture, struct image_documents *documents, struct error *err)
{
	autojson json_t *json = NULL, *run = NULL;
	const char *os, *machine;

	if (json_parse("image config", text, n, IMAGE_DOCUMENT_MAX, &json, err) < 0)
		return -1;
	os = json_get_string(json, "os", "linux");
	machine = json_get_string(json, "architecture", architecture);
	if (!streq(os, "linux") || !streq(machine, architecture)) {
		error_set(err, ERROR_UNSUPPORTED, "the image is for %.40s/%.40s, and this machine is linux/%s", os, machine, architecture);
		return error_hint(err, "build or fetch it for linux/%s", architecture);
	}
	if (diff_ids_read(json_get_object(json, "rootfs"), documents, err) < 0)
		return -1;
	if (settings_read(json_get_object(json, "config"), &run, err) < 0)
		return -1;
	json_decref(documents->run);
	documents->run = steal(&run);
	documents->config = xstrndup(text, n);
	return 0;
}
