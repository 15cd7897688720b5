/* SPDX-License-Identifier: Apache-2.0 */
#include "image_fixture.h"

#include "base/clock.h"
#include "base/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* The whole store: each form an image comes in, what is damaged, limits, crashes, two at once, prune. */

/* Three layers: a base, one that adds and hides, and the first again under other names. */
static void layers_make(struct packed_layer layers[static 2], size_t size)
{
	autofree char *data = xcalloc(1, size + 1);
	struct archive_entry *e;
	struct tar tar;

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	tar_begin(&tar, TAR_PLAIN);
	tar_folder(&tar, "etc");
	tar_file(&tar, "etc/base", "base");
	tar_file(&tar, "etc/hidden", "base");
	for (int i = 0; i < 20; i++) {
		autofree char *name = xasprintf("data/%d", i);

		e = tar_entry(name, AE_IFREG, 0644);
		archive_entry_set_size(e, (int64_t)size);
		tar_put(&tar, e, data, size);
	}
	layers[0] = layer_pack(tar_end(&tar), true);
	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "etc/.wh.hidden", "");
	tar_file(&tar, "etc/added", "added");
	layers[1] = layer_pack(tar_end(&tar), true);
}

static void layers_clear(struct packed_layer *layers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_clear(&layers[i].bytes);
}

static void assert_layer_has(const struct image *image, size_t i, const char *name, bool there)
{
	autofree char *path = fs_join(image->layers[i], name);

	assert_int_equal(fs_exists(path), there);
}

static void a_layout_is_imported_once(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *reference = xasprintf("oci:%s", layout), *tagged = xasprintf("oci:%s:v1", layout), *digest = NULL;
	autoimage struct image image = { 0 }, again = { 0 }, got = { 0 };
	struct packed_layer layers[2];
	struct error err = { 0 };
	char hex[DIGEST_HEX];
	struct stat st;

	layers_make(layers, 5000);
	layout_write(layout, layers, 2, f->architecture, "v1", hex);
	assert_ok(image_resolve(f->store, reference, &digest, &err));
	assert_int_equal(count(f->store_dir, "layers"), 0);
	assert_ok(image_import(f->store, tagged, "app:v1", NULL, NULL, &image, &err));
	assert_string_equal(image.digest, digest);
	assert_string_equal(image.digest + 7, hex);
	assert_string_equal(image.name, "app:v1");
	assert_int_equal(image.layer_n, 2);
	assert_null(image.layers[2]);
	assert_true(image.size > 20 * 5000 && image.size < 20 * 3 * 5000);
	assert_layer_has(&image, 0, "etc/base", true);
	assert_layer_has(&image, 1, "etc/added", true);
	assert_layer_has(&image, 1, "etc/base", false);
	assert_string_equal(json_get_string(image.config, "WorkingDir", ""), "/srv");
	assert_int_equal(json_array_size(json_get_array(image.config, "Env")), 2);
	assert_int_equal(stat(f->store_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* the source may go: the digest and the name are enough */
	assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &again, &err));
	assert_ok(fs_remove_tree(layout, &err));
	assert_ok(image_get(f->store, digest, &got, &err));
	assert_string_equal(got.name, "app:v1");
	image_clear(&again);
	assert_ok(image_import(f->store, "store:app:v1", NULL, NULL, NULL, &again, &err));
	assert_string_equal(again.digest, digest);
	image_clear(&again);
	assert_ok(image_import(f->store, digest, "other", NULL, NULL, &again, &err));
	free(steal(&digest));
	assert_ok(image_resolve(f->store, "other", &digest, &err));
	assert_string_equal(digest, image.digest);
	assert_fails(image_import(f->store, reference, NULL, NULL, NULL, &again, &err), "cannot open image");
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	layers_clear(layers, 2);
	image_clear(&again);
	prune_all(f);
}

/* A tar of a folder, by names sorted by us. */
static void folder_tar(const char *folder, const char *const *names, const char *path, enum tar_packing packing)
{
	struct error err = { 0 };
	struct tar tar;
	struct buf bytes;

	tar_begin(&tar, packing);
	for (; *names; names++) {
		autofree char *from = fs_join(folder, *names), *data = NULL;
		struct archive_entry *e = tar_entry(*names, AE_IFREG, 0644);
		size_t n;

		assert_ok(fs_read_file(from, 16 << 20, &data, &n, &err));
		archive_entry_set_size(e, (int64_t)n);
		tar_put(&tar, e, data, n);
	}
	bytes = tar_end(&tar);
	assert_ok(fs_replace_file(path, bytes.data, bytes.n, 0644, false, &err));
	buf_clear(&bytes);
}

static void a_layout_in_a_tar_is_the_same_image(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *path = fs_join(f->dir, "saved.tar.gz"), *digest = NULL;
	autofree char *reference = xasprintf("docker-archive:%s:v1", path);
	autofree char *l0 = NULL, *l1 = NULL, *config = NULL, *manifest = NULL, *text = NULL;
	autoimage struct image image = { 0 };
	struct packed_layer layers[2];
	struct error err = { 0 };
	char hex[DIGEST_HEX], config_hex[DIGEST_HEX];

	layers_make(layers, 500);
	layout_write(layout, layers, 2, f->architecture, "v1", hex);
	text = config_text(layers, 2, f->architecture);
	digest_bytes(text, strlen(text), config_hex);
	l0 = xasprintf("blobs/sha256/%s", layers[0].digest);
	l1 = xasprintf("blobs/sha256/%s", layers[1].digest);
	config = xasprintf("blobs/sha256/%s", config_hex);
	manifest = xasprintf("blobs/sha256/%s", hex);
	for (int packed = 0; packed < 2; packed++) {
		folder_tar(layout, (const char *[]){ l1, config, l0, manifest, "index.json", "oci-layout", NULL }, path, packed ? TAR_GZIP : TAR_PLAIN);
		assert_ok(image_resolve(f->store, reference, &digest, &err));
		assert_string_equal(digest + 7, hex);
		free(steal(&digest));
		assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &image, &err));
		assert_string_equal(image.digest + 7, hex);
		assert_int_equal(image.layer_n, 2);
		image_clear(&image);
		prune_all(f);
	}
	layers_clear(layers, 2);
}

static void a_docker_archive_is_imported(void **state)
{
	struct fixture *f = *state;
	autofree char *path = fs_join(f->dir, "saved.tar"), *reference = xasprintf("docker-archive:%s", path), *named = xasprintf("docker-archive:%s:app:1", path);
	autofree char *config = NULL, *config_name = NULL, *digest = NULL;
	autoimage struct image image = { 0 };
	struct packed_layer layers[3];
	struct error err = { 0 };
	char hex[DIGEST_HEX];
	struct tar tar;
	struct buf bytes;
	autobuf struct buf manifest = { 0 };

	layers_make(layers, 500);
	/* the base once more, on top: as a link in the archive, and as a layer that must be mounted once */
	layers[2] = layers[0];
	config = config_text(layers, 3, f->architecture);
	digest_bytes(config, strlen(config), hex);
	config_name = xasprintf("%s.json", hex);
	buf_addf(&manifest, "[{\"Config\":\"%s\",\"RepoTags\":[\"app:1\"],\"Layers\":[\"aa/layer.tar\",\"bb/layer.tar\",\"cc/layer.tar\"]}]", config_name);
	for (int i = 0; i < 2; i++) {
		struct archive_entry *e;

		tar_begin(&tar, TAR_PLAIN);
		for (int k = 1; k >= 0; k--) {
			e = tar_entry(k ? "./bb/layer.tar" : "aa/layer.tar", AE_IFREG, 0644);
			archive_entry_set_size(e, (int64_t)layers[k].bytes.n);
			tar_put(&tar, e, layers[k].bytes.data, layers[k].bytes.n);
		}
		tar_symlink(&tar, "cc/layer.tar", "../aa/layer.tar");
		tar_file(&tar, config_name, i ? "{\"broken\":1}" : config);
		tar_file(&tar, "manifest.json", manifest.data);
		bytes = tar_end(&tar);
		assert_ok(fs_replace_file(path, bytes.data, bytes.n, 0644, false, &err));
		buf_clear(&bytes);
		if (i == 0) {
			assert_ok(image_resolve(f->store, named, &digest, &err));
			assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &image, &err));
			assert_string_equal(image.digest, digest);
			assert_int_equal(image.layer_n, 2);
			assert_layer_has(&image, 0, "etc/added", true);
			assert_layer_has(&image, 1, "etc/base", true);
		} else {
			assert_fails(image_import(f->store, reference, NULL, NULL, NULL, &image, &err), "damaged");
		}
	}
	layers_clear(layers, 2);
}

static void a_rootfs_has_a_digest_of_its_content(void **state)
{
	struct fixture *f = *state;
	autofree char *one = rootfs_make(f, "one"), *two = rootfs_make(f, "two"), *a = NULL, *b = NULL;
	autofree char *reference_one = xasprintf("rootfs:%s", one), *reference_two = xasprintf("rootfs:%s", two), *file = fs_join(two, "bin/a");
	autoimage struct image image = { 0 };
	struct timespec times[2] = { { 5, 0 }, { 5, 0 } };
	struct error err = { 0 };
	struct stat st;

	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	assert_ok(image_resolve(f->store, reference_one, &a, &err));
	assert_ok(image_resolve(f->store, reference_two, &b, &err));
	assert_string_equal(a, b);
	assert_ok(image_import(f->store, reference_one, "base", NULL, NULL, &image, &err));
	assert_string_equal(image.digest, a);
	assert_int_equal(image.layer_n, 1);
	{
		autofree char *copy = fs_join(image.layers[0], "bin/a");

		assert_int_equal(lstat(copy, &st), 0);
		assert_int_equal(st.st_mode & 07777, 04711);
		assert_int_equal(st.st_uid, 3);
		assert_int_equal(st.st_nlink, 2);
	}
	/* each thing that counts changes it */
	for (int i = 0; i < 5; i++) {
		autofree char *changed = NULL, *extra = fs_join(two, "extra"), *link = fs_join(two, "sh");

		if (i == 0)
			assert_ok(fs_replace_file(extra, "", 0, 0644, false, &err));
		if (i == 1)
			assert_int_equal(chmod(file, 0711), 0);
		if (i == 2)
			assert_int_equal(chown(file, 5, 4), 0);
		if (i == 3)
			file_write(two, "bin/c", "programm", 8);
		if (i == 4) {
			assert_int_equal(unlink(link), 0);
			assert_int_equal(symlink("/bin/b", link), 0);
		}
		assert_ok(image_resolve(f->store, reference_two, &changed, &err));
		assert_string_not_equal(changed, b);
		free(b);
		b = steal(&changed);
	}
}

static void a_digest_is_kept_until_somebody_touches_the_source(void **state)
{
	struct fixture *f = *state;
	autofree char *top = rootfs_make(f, "root"), *reference = xasprintf("rootfs:%s", top), *file = fs_join(top, "bin/a"), *first = NULL, *second = NULL, *cache = NULL;
	struct error err = { 0 };
	struct stat st;

	/* what changed just now is not kept: another change could have the same time */
	assert_ok(image_resolve(f->store, reference, &first, &err));
	assert_int_equal(count(f->store_dir, "cache"), 0);
	clock_sleep_ms(&clock_system, 1100);
	free(steal(&first));
	assert_ok(image_resolve(f->store, reference, &first, &err));
	assert_int_equal(count(f->store_dir, "cache"), 1);
	/* the content changes, and size and time of modification are put back: the change time tells */
	assert_int_equal(stat(file, &st), 0);
	{
		struct timespec times[2] = { st.st_atim, st.st_mtim };
		autofd int fd = open(file, O_WRONLY);

		assert_int_equal(pwrite(fd, "P", 1, 0), 1);
		assert_int_equal(futimens(fd, times), 0);
	}
	assert_ok(image_resolve(f->store, reference, &second, &err));
	assert_string_not_equal(first, second);
}

static void a_rootfs_tar_is_imported(void **state)
{
	struct fixture *f = *state;
	autofree char *path = fs_join(f->dir, "root.tar.gz"), *reference = xasprintf("rootfs:%s", path), *digest = NULL, *packed = NULL;
	struct error err = { 0 };

	for (enum tar_packing packing = TAR_PLAIN; packing <= TAR_XZ; packing++) {
		autoimage struct image image = { 0 };
		struct buf bytes;
		struct tar tar;

		tar_begin(&tar, packing);
		tar_folder(&tar, "./");
		tar_file(&tar, "./bin/a", "program");
		bytes = tar_end(&tar);
		assert_ok(fs_replace_file(path, bytes.data, bytes.n, 0644, false, &err));
		buf_clear(&bytes);
		assert_ok(image_resolve(f->store, reference, &packed, &err));
		if (digest)
			assert_string_equal(packed, digest);	/* however it is packed */
		free(digest);
		digest = steal(&packed);
		assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &image, &err));
		assert_string_equal(image.digest, digest);
		assert_layer_has(&image, 0, "bin/a", true);
	}
}

static void nested_indexes_lead_to_this_machine(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *reference = xasprintf("oci:%s", layout), *text = NULL;
	const char *machines[] = { "riscv-none", f->architecture };
	autojson json_t *index = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", TYPE_INDEX, "manifests");
	autoimage struct image image = { 0 };
	struct packed_layer layers[2];
	struct error err = { 0 };
	char hex[DIGEST_HEX], wanted[DIGEST_HEX] = "";

	layers_make(layers, 100);
	for (int i = 0; i < 2; i++) {
		autofree char *manifest_path = NULL;
		struct stat st;
		json_t *item;

		layout_write(layout, layers, 2, machines[i], NULL, hex);
		manifest_path = xasprintf("%s/blobs/sha256/%s", layout, hex);
		assert_int_equal(stat(manifest_path, &st), 0);
		item = descriptor(TYPE_MANIFEST, hex, (size_t)st.st_size);
		json_set(item, "platform", json_pack("{s:s, s:s}", "os", "linux", "architecture", machines[i]));
		json_add(json_object_get(index, "manifests"), item);
		memcpy(wanted, hex, sizeof(wanted));
	}
	text = json_canonical(index);
	for (int depth = 0; depth < 5; depth++) {
		autojson json_t *top = json_pack("{s:i, s:[]}", "schemaVersion", 2, "manifests");

		blob_write(layout, text, strlen(text), hex);
		json_add(json_object_get(top, "manifests"), descriptor(TYPE_INDEX, hex, strlen(text)));
		free(text);
		text = json_canonical(top);
		file_write(layout, "index.json", text, strlen(text));
		if (depth < 3) {
			assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &image, &err));
			assert_string_equal(image.digest + 7, wanted);
			image_clear(&image);
		} else {
			assert_fails(image_import(f->store, reference, NULL, NULL, NULL, &image, &err), "deep");
		}
	}
	layout_write(layout, layers, 2, machines[0], NULL, hex);
	assert_fails(image_import(f->store, reference, NULL, NULL, NULL, &image, &err), "is for linux/riscv-none");
	layers_clear(layers, 2);
}

/* Every byte counts: what is not what its digest says is refused, and nothing of it stays. */
static void what_is_damaged_is_refused(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *reference = xasprintf("oci:%s", layout);
	struct error err = { 0 };
	char hex[DIGEST_HEX];

	for (int i = 0; i < 6; i++) {
		static const char *const whys[] = { "should be sha256", "bytes and should have", "diff id is", "is damaged", "cannot open blobs", "version" };
		autofree char *blob = NULL, *data = NULL;
		autoimage struct image image = { 0 };
		struct packed_layer layers[2];
		size_t n;

		layers_make(layers, 300);
		if (i == 2)
			memset(layers[1].diff_id, 'd', DIGEST_HEX - 1);
		layout_write(layout, layers, 2, f->architecture, NULL, hex);
		blob = xasprintf("%s/blobs/sha256/%s", layout, i == 3 ? hex : layers[1].digest);
		assert_ok(fs_read_file(blob, 1 << 20, &data, &n, &err));
		if (i == 0)
			data[9] ^= 1;	/* of gzip's header: the archive inside stays the same */
		if (i == 1)
			assert_ok(fs_replace_file(blob, data, n - 1, 0644, false, &err));
		if (i == 3)
			data[n - 2] ^= 1;
		if (i == 0 || i == 3)
			assert_ok(fs_replace_file(blob, data, n, 0644, false, &err));
		if (i == 4)
			assert_int_equal(unlink(blob), 0);
		if (i == 5)
			file_write(layout, "oci-layout", "{\"imageLayoutVersion\":\"7\"}", 26);
		assert_fails(image_import(f->store, reference, "x", NULL, NULL, &image, &err), whys[i]);
		assert_int_equal(count(f->store_dir, "images"), 0);
		assert_int_equal(count(f->store_dir, "names"), 0);
		prune_all(f);
		layers_clear(layers, 2);
		assert_ok(fs_remove_tree(layout, &err));
	}
}

static void the_limit_holds_and_prune_makes_room(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	int64_t freed;

	store_reopen(f, 300 << 10);
	for (int i = 0; i < 3; i++) {
		autofree char *name = xasprintf("r%d", i), *top = fs_join(f->dir, name), *reference = xasprintf("rootfs:%s", top);
		autofree char *data = xcalloc(1, 120 << 10);
		autoimage struct image image = { 0 };

		memset(data, 'a' + i, 120 << 10);
		file_write(top, "data", data, 120 << 10);
		if (i < 2) {
			assert_ok(image_import(f->store, reference, i ? NULL : "named", NULL, NULL, &image, &err));
			continue;
		}
		assert_fails(image_import(f->store, reference, NULL, NULL, NULL, &image, &err), "room");
		assert_int_equal(err.code, ERROR_CAPACITY);
		assert_non_null(strstr(err.hint, "prune"));
		assert_ok(image_prune(f->store, NULL, false, true, &freed, NULL, NULL, &err));
		assert_true(freed >= 120 << 10 && freed < 140 << 10);
		assert_ok(image_prune(f->store, NULL, false, false, &freed, NULL, NULL, &err));
		assert_true(freed >= 120 << 10 && freed < 140 << 10);
		assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &image, &err));
		assert_int_equal(count(f->store_dir, "images"), 2);
	}
	prune_all(f);
}

static void a_full_disk_leaves_nothing_half_done(void **state)
{
	struct fixture *f = *state;
	autofree char *small = fs_join(f->dir, "small"), *top = fs_join(f->dir, "big"), *reference = xasprintf("rootfs:%s", top);
	autofree char *data = xcalloc(1, 3 << 20);
	autoimage struct image image = { 0 };
	struct image_store *store = NULL;
	struct error err = { 0 }, failed = { 0 };
	int r = 0;

	assert_int_equal(mkdir(small, 0755), 0);
	if (mount("none", small, "tmpfs", 0, "size=2m") < 0)
		test_skip("no tmpfs can be mounted here");
	memset(data, 'x', 3 << 20);
	file_write(top, "a", "first", 5);
	file_write(top, "data", data, 3 << 20);
	if (image_store_open(small, 0, &store, &err) == 0)
		r = image_import(store, reference, NULL, NULL, NULL, &image, &failed);
	if (store && r < 0) {
		assert_int_equal(count(small, "layers"), 0);
		assert_int_equal(count(small, "images"), 0);
	}
	image_store_close(store);
	assert_int_equal(umount2(small, MNT_DETACH), 0);
	assert_int_equal(r, -1);
	assert_int_equal(failed.code, ERROR_CAPACITY);
	assert_non_null(strstr(failed.hint, "disk is full"));
}

struct pruned { struct buf text; };

static int pruned_note(void *arg, const char *what, int64_t size)
{
	struct pruned *pruned = arg;

	buf_addf(&pruned->text, "%.9s\n", what);
	return 0;
}

static void prune_takes_what_nothing_uses(void **state)
{
	struct fixture *f = *state;
	char *digests[3];
	struct error err = { 0 };
	struct pruned pruned = { 0 };
	int64_t freed;

	for (int i = 0; i < 3; i++) {
		autofree char *name = xasprintf("r%d", i), *top = fs_join(f->dir, name), *reference = xasprintf("rootfs:%s", top);
		autoimage struct image image = { 0 };

		file_write(top, "data", name, strlen(name));
		assert_ok(image_import(f->store, reference, i == 0 ? "named" : NULL, NULL, NULL, &image, &err));
		digests[i] = xstrdup(image.digest);
	}
	{
		autofree char *left = fs_join(f->store_dir, "layers/tmp-1-2"), *deep = fs_join(left, "a/b"), *torn = fs_join(f->store_dir, "images/.insula-abc");
		const char *used[] = { digests[1], NULL };
		autoimage struct image image = { 0 };

		assert_ok(fs_make_dirs(deep, 0755, &err));
		assert_ok(fs_replace_file(torn, "x", 1, 0600, false, &err));
		assert_ok(image_prune(f->store, used, false, true, &freed, pruned_note, &pruned, &err));
		assert_int_equal(count(f->store_dir, "images"), 4);
		buf_reset(&pruned.text);
		assert_ok(image_prune(f->store, used, false, false, &freed, pruned_note, &pruned, &err));
		assert_non_null(strstr(pruned.text.data, "image "));
		assert_non_null(strstr(pruned.text.data, "layer "));
		assert_non_null(strstr(pruned.text.data, "leftover "));
		assert_int_equal(count(f->store_dir, "images"), 2);
		assert_ok(image_get(f->store, digests[0], &image, &err));
		image_clear(&image);
		assert_ok(image_get(f->store, digests[1], &image, &err));
		image_clear(&image);
		assert_fails(image_get(f->store, digests[2], &image, &err), "not in the store");
		assert_int_equal(err.code, ERROR_NOT_FOUND);
		/* a name taken away, then the image goes too; with `all` also what has a name */
		assert_ok(image_remove(f->store, "named", &err));
		assert_fails(image_remove(f->store, "named", &err), "no image called");
		assert_ok(image_prune(f->store, used, false, false, &freed, NULL, NULL, &err));
		assert_fails(image_get(f->store, digests[0], &image, &err), "not in the store");
		assert_ok(image_import(f->store, digests[1], "name-of-used", NULL, NULL, &image, &err));
		assert_ok(image_prune(f->store, used, true, false, &freed, NULL, NULL, &err));
		image_clear(&image);
		assert_ok(image_get(f->store, digests[1], &image, &err));
	}
	prune_all(f);
	buf_clear(&pruned.text);
	for (int i = 0; i < 3; i++)
		free(digests[i]);
}

static int list_count(void *arg, const struct image *image)
{
	int *counts = arg;

	counts[image->name ? 0 : 1]++;
	return 0;
}

static void the_list_has_each_name(void **state)
{
	struct fixture *f = *state;
	autofree char *top = rootfs_make(f, "one"), *other = rootfs_make(f, "two"), *reference = xasprintf("rootfs:%s", top), *unnamed = xasprintf("rootfs:%s", other);
	autoimage struct image image = { 0 };
	struct error err = { 0 };
	int counts[2] = { 0 };

	file_write(other, "more", "", 0);
	assert_ok(image_import(f->store, reference, "a", NULL, NULL, &image, &err));
	image_clear(&image);
	assert_ok(image_import(f->store, reference, "team/b:2", NULL, NULL, &image, &err));
	image_clear(&image);
	assert_ok(image_import(f->store, unnamed, NULL, NULL, NULL, &image, &err));
	assert_ok(image_list(f->store, list_count, counts, &err));
	assert_int_equal(counts[0], 2);
	assert_int_equal(counts[1], 1);
	assert_fails(image_import(f->store, unnamed, "../up", NULL, NULL, &image, &err), "cannot be the name");
	assert_fails(image_import(f->store, unnamed, "host", NULL, NULL, &image, &err), "host");
	assert_fails(image_import(f->store, unnamed, "oci:x", NULL, NULL, &image, &err), "cannot begin");
}

/* ---- crashes and company ---- */

static pid_t import_in_child(struct fixture *f, const char *reference)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct image_store *store;
		struct image image;
		struct error err = { 0 };

		if (image_store_open(f->store_dir, 0, &store, &err) < 0 || image_import(store, reference, "crashed", NULL, NULL, &image, &err) < 0) {
			printf("# %s\n", err.message);
			fflush(stdout);
			_exit(1);
		}
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void a_killed_import_is_taken_up_by_the_next(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *reference = xasprintf("oci:%s", layout);
	struct packed_layer layers[2];
	struct rng rng;
	char hex[DIGEST_HEX];
	struct error err = { 0 };
	int64_t whole_us, freed;
	int killed = 0, status, rounds = getenv("INSULA_TEST_FULL") ? 200 : 30;

	layers_make(layers, 100000);
	layout_write(layout, layers, 2, f->architecture, NULL, hex);
	{
		int64_t before = clock_monotonic_ns(&clock_system);
		pid_t pid = import_in_child(f, reference);

		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		whole_us = (clock_monotonic_ns(&clock_system) - before) / 1000;
		prune_all(f);
	}
	rng_seed(&rng, 7);
	for (int i = 0; i < rounds; i++) {
		autoimage struct image image = { 0 };
		pid_t pid = import_in_child(f, reference);

		usleep((unsigned)rng_below(&rng, (uint64_t)whole_us + 1));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status);
		if (i % 3 == 0) {	/* prune right after the crash */
			prune_all(f);
			continue;
		}
		assert_ok(image_import(f->store, reference, "crashed", NULL, NULL, &image, &err));
		assert_int_equal(image.layer_n, 2);
		assert_layer_has(&image, 0, "data/19", true);
		assert_layer_has(&image, 1, "etc/added", true);
		assert_int_equal(count(f->store_dir, "layers"), 4);
		assert_int_equal(count(f->store_dir, "images"), 1);
		if (i % 3 == 1)
			assert_ok(image_prune(f->store, NULL, true, false, &freed, NULL, NULL, &err));
	}
	printf("# %d of %d imports were killed on their way\n", killed, rounds);
	assert_true(killed >= 5);
	prune_all(f);
	layers_clear(layers, 2);
}

/* Whatever moment a prune dies at, a layer is whole or not there at all. */
static void a_killed_prune_leaves_no_half_layer(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *reference = xasprintf("oci:%s", layout);
	struct packed_layer layers[2];
	struct rng rng;
	char hex[DIGEST_HEX];
	struct error err = { 0 };
	int status, killed = 0;

	layers_make(layers, 50000);
	layout_write(layout, layers, 2, f->architecture, NULL, hex);
	rng_seed(&rng, 11);
	for (int i = 0; i < 20; i++) {
		autoimage struct image image = { 0 };
		pid_t pid;

		assert_ok(image_import(f->store, reference, NULL, NULL, NULL, &image, &err));
		assert_int_equal(image.layer_n, 2);
		for (int k = 0; k < 20; k++) {
			autofree char *name = xasprintf("data/%d", k);

			assert_layer_has(&image, 0, name, true);
		}
		pid = fork();
		if (pid == 0) {
			int64_t freed;

			_exit(image_prune(f->store, NULL, true, false, &freed, NULL, NULL, &err) == 0 ? 0 : 1);
		}
		usleep((unsigned)rng_below(&rng, 6000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status);
	}
	printf("# %d of 20 prunes were killed on their way\n", killed);
	prune_all(f);
	layers_clear(layers, 2);
}

static void several_imports_at_once_do_it_once(void **state)
{
	struct fixture *f = *state;
	autofree char *layout = fs_join(f->dir, "layout"), *reference = xasprintf("oci:%s", layout);
	struct packed_layer layers[2];
	char hex[DIGEST_HEX];
	pid_t pids[4];
	int status;

	layers_make(layers, 50000);
	layout_write(layout, layers, 2, f->architecture, NULL, hex);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		pids[i] = import_in_child(f, reference);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count(f->store_dir, "layers"), 4);
	assert_int_equal(count(f->store_dir, "images"), 1);
	prune_all(f);
	layers_clear(layers, 2);
}

static void nobody_prunes_under_an_import(void **state)
{
	struct fixture *f = *state;
	autofree char *lock = fs_join(f->store_dir, "lock");
	struct error err = { 0 };
	int64_t freed;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0 || flock(fd, LOCK_SH) < 0)
			_exit(1);
		usleep(500000);
		_exit(0);
	}
	usleep(100000);
	{
		int64_t before = clock_monotonic_ns(&clock_system);

		assert_ok(image_prune(f->store, NULL, true, false, &freed, NULL, NULL, &err));
		assert_true(clock_monotonic_ns(&clock_system) - before > 200000000);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_layout_is_imported_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_layout_in_a_tar_is_the_same_image, setup, teardown),
		cmocka_unit_test_setup_teardown(a_docker_archive_is_imported, setup, teardown),
		cmocka_unit_test_setup_teardown(a_rootfs_has_a_digest_of_its_content, setup, teardown),
		cmocka_unit_test_setup_teardown(a_digest_is_kept_until_somebody_touches_the_source, setup, teardown),
		cmocka_unit_test_setup_teardown(a_rootfs_tar_is_imported, setup, teardown),
		cmocka_unit_test_setup_teardown(nested_indexes_lead_to_this_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_damaged_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_limit_holds_and_prune_makes_room, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_leaves_nothing_half_done, setup, teardown),
		cmocka_unit_test_setup_teardown(prune_takes_what_nothing_uses, setup, teardown),
		cmocka_unit_test_setup_teardown(the_list_has_each_name, setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_import_is_taken_up_by_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_prune_leaves_no_half_layer, setup, teardown),
		cmocka_unit_test_setup_teardown(several_imports_at_once_do_it_once, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_prunes_under_an_import, setup, teardown),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP the image store is root's\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
