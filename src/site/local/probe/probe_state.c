/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "base/fs.h"
#include "site/local/image/image.h"
#include "site/local/disk/storage.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_LIMIT ((size_t)16 << 20)

static void busy_id_add(json_t *busy, int64_t base, int64_t count, const char *by)
{
	if (count <= 0 || base > LOCAL_IDS_LAST || base + count <= LOCAL_IDS_FIRST)
		return;
	json_add(busy, json_pack("{s:I, s:I, s:s}", "base", (json_int_t)base, "count", (json_int_t)count, "by", by));
}

/* Lines of `path` whose colon-separated fields `base` and (0: it is one id) `count` are numbers; those of `own` are left out. */
static int busy_ids_read(const char *path, unsigned base_field, unsigned count_field, const char *own, json_t *busy, struct error *err)
{
	autofree char *text = NULL;
	char *rest, *line;

	if (fs_read_file(path, FILE_LIMIT, &text, NULL, err) < 0)
		return err->code == ERROR_NOT_FOUND ? 0 : -1;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		int64_t base = -1, count = count_field ? -1 : 1;
		autofree char *by = NULL;
		char *name = line, *field;

		for (unsigned i = 0; (field = strsep(&line, ":")); i++) {
			if (i == base_field && sscanf(field, "%" SCNd64, &base) != 1)
				base = -1;
			if (count_field && i == count_field && sscanf(field, "%" SCNd64, &count) != 1)
				count = -1;
		}
		if (base < 0 || starts_with(name, own))
			continue;
		by = xasprintf("%s in %s", name, path);
		busy_id_add(busy, base, count, by);
	}
	return 0;
}

int probe_ids(const struct site_config *config, json_t *facts, struct error *err)
{
	autofree char *own = xasprintf("insula-%s.", config->deployment);
	json_t *busy = json_array();

	json_set(facts, "busyIds", busy);
	if (busy_ids_read("/etc/subuid", 1, 2, own, busy, err) < 0 || busy_ids_read("/etc/subgid", 1, 2, own, busy, err) < 0)
		return -1;
	return busy_ids_read("/etc/passwd", 2, 0, own, busy, err) < 0 || busy_ids_read("/etc/group", 2, 0, own, busy, err) < 0 ? -1 : 0;
}

static int volume_note(void *arg, struct resource *found)
{
	autoresource struct resource *resource = found;
	json_t *size = json_object_get(resource->body, "size");

	json_object_set_new(arg, resource->key, size ? json_incref(size) : json_null());
	return 0;
}

/* What is on the disk is asked, not the marks alone: a storage that is away keeps its image with the kept volumes. */
void probe_storage(const struct site_config *config, json_t *facts)
{
	struct site site = { .config = config };
	autofree char *dir = fs_join(config->state_dir, config->deployment), *folder = fs_join(dir, "storage");
	json_t *storage = json_object(), *volumes = json_object();
	autodir DIR *images = NULL;
	struct error ignored;
	struct dirent *e;

	json_set(facts, "storage", storage);
	json_set(facts, "volumes", volumes);
	site.deployment_dir = dir;
	if (local_mark_each(&site, MARK_KEPT, "volume", volume_note, volumes, &ignored) < 0)
		json_object_clear(volumes);
	images = opendir(folder);
	while (images && (e = readdir(images))) {
		autofree char *path = fs_join(folder, e->d_name), *tenant = xstrndup(e->d_name, strcspn(e->d_name, "."));

		if (*tenant && ends_with(e->d_name, ".img"))
			json_set_int(storage, tenant, image_file_size(path));
	}
}

/* "trainer" is what the Site says it is. */
static const char *reference_of(const struct site_config *config, const char *written)
{
	const struct labels *aliases = &config->intent->images;

	for (size_t i = 0; i < aliases->n; i++)
		if (streq(aliases->items[i].key, written))
			return aliases->items[i].value;
	return written;
}

void probe_images(const struct site_config *config, json_t *facts)
{
	json_t *images = json_object(), *failures = json_object();
	autofree char *dir = fs_join(config->state_dir, "images");
	struct image_store *store = NULL;
	struct error failed;

	json_set(facts, "images", images);
	json_set(facts, "imageErrors", failures);
	if (!config->whole_intent || !config->whole_intent->workloads.n)
		return;
	if (image_store_open(dir, config->intent->image_store_limit, &store, &failed) < 0) {
		json_set_string(failures, "", failed.message);
		return;
	}
	vec_each(&config->whole_intent->workloads, workload) {
		autofree char *digest = NULL;

		if (!workload->image || json_object_get(images, workload->image) || json_object_get(failures, workload->image))
			continue;
		if (image_resolve(store, reference_of(config, workload->image), &digest, &failed) == 0)
			json_set_string(images, workload->image, digest);
		else
			json_set(failures, workload->image, json_pack("{s:s, s:s}", "message", failed.message, "hint", failed.hint));
	}
	image_store_close(store);
}
