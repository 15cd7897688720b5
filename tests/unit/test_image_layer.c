/* SPDX-License-Identifier: Apache-2.0 */
#include "image_builder.h"

#include "site/local/image/image_layer.h"

#include <locale.h>

/* What a layer may be, told by a sink that only remembers: one line an entry. */

struct memory { struct buf text; int64_t bytes; };

static int memory_entry(void *arg, const struct layer_entry *entry, struct error *err)
{
	static const char kinds[] = "fdlhpwo";
	struct memory *memory = arg;

	buf_addf(&memory->text, "%c %s", kinds[entry->kind], entry->path);
	if (entry->target)
		buf_addf(&memory->text, " > %s", entry->target);
	if (entry->mode & 07000)
		buf_addf(&memory->text, " %04o", (unsigned)entry->mode);
	if (entry->uid || entry->gid)
		buf_addf(&memory->text, " %u:%u", entry->uid, entry->gid);
	for (size_t i = 0; i < entry->attribute_n; i++)
		buf_addf(&memory->text, " %s=%.*s", entry->attributes[i].name, (int)entry->attributes[i].n, (const char *)entry->attributes[i].value);
	buf_addc(&memory->text, '\n');
	return 0;
}

static int memory_data(void *arg, int64_t offset, const void *data, size_t n, struct error *err)
{
	((struct memory *)arg)->bytes += (int64_t)n;
	return 0;
}

static int memory_end(void *arg, struct error *err)
{
	buf_adds(&((struct memory *)arg)->text, "end\n");
	return 0;
}

struct input { const char *data; size_t n, step; };

static ssize_t input_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct input *input = arg;
	size_t some = MIN(MIN(n, input->n), input->step);

	memcpy(buf, input->data, some);
	input->data += some;
	input->n -= some;
	return (ssize_t)some;
}

static const struct layer_limits roomy = { 1000, 10 << 20 };

/* Takes over the bytes. */
static int unpack(struct buf bytes, const struct layer_limits *limits, struct memory *memory, struct layer_result *ret, struct error *err)
{
	struct input input = { bytes.data, bytes.n, 1000 };
	struct layer_stream stream = { input_read, &input };
	struct layer_sink sink = { memory_entry, memory_data, memory_end, memory };
	int r;

	buf_clear(&memory->text);
	buf_adds(&memory->text, "");
	memory->bytes = 0;
	r = layer_unpack(&stream, limits, &sink, ret, err);
	buf_clear(&bytes);
	return r;
}

static void entries_come_normal_and_whole(void **state)
{
	struct memory memory = { 0 };
	struct layer_result result;
	struct error err = { 0 };
	struct archive_entry *e;
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_folder(&tar, "./");
	tar_folder(&tar, "./usr//bin/");
	tar_file(&tar, "usr/./bin/a", "hello");
	tar_symlink(&tar, "bin", "usr/bin");
	tar_symlink(&tar, "etc/mtab", "../proc/self/mounts");
	tar_symlink(&tar, "sh", "/bin/dash");
	tar_hard_link(&tar, "usr/bin/b", "./usr/bin/a");
	tar_put(&tar, tar_entry("queue", AE_IFIFO, 0600), NULL, 0);
	e = tar_entry("su", AE_IFREG, 04755);
	archive_entry_set_uid(e, 7);
	archive_entry_set_gid(e, 65535);
	archive_entry_xattr_add_entry(e, "user.a", "1", 1);
	archive_entry_xattr_add_entry(e, "security.capability", "2", 1);
	archive_entry_xattr_add_entry(e, "trusted.overlay.opaque", "y", 1);
	archive_entry_xattr_add_entry(e, "user.overlay.opaque", "y", 1);
	tar_put(&tar, e, NULL, 0);
	assert_ok(unpack(tar_end(&tar), &roomy, &memory, &result, &err));
	assert_string_equal(memory.text.data,
			    "d \nd usr/bin\nf usr/bin/a\nl bin > usr/bin\nl etc/mtab > ../proc/self/mounts\nl sh > /bin/dash\n"
			    "h usr/bin/b > usr/bin/a\np queue\nf su 4755 7:65535 user.a=1\nend\n");
	assert_int_equal(memory.bytes, 5);
	assert_int_equal(result.counts.entries, 9);
	buf_clear(&memory.text);
}

static void whiteouts_are_told_by_their_names(void **state)
{
	struct memory memory = { 0 };
	struct layer_result result;
	struct error err = { 0 };
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "a/.wh.b", "");
	tar_file(&tar, ".wh.c", "");
	tar_file(&tar, "d/.wh..wh..opq", "");
	tar_file(&tar, ".wh..wh..opq", "");
	tar_file(&tar, "e/.wh..wh.plnk", "");
	tar_file(&tar, ".wh..hidden", "");
	assert_ok(unpack(tar_end(&tar), &roomy, &memory, &result, &err));
	assert_string_equal(memory.text.data, "w a/b\nw c\no d\no \nw .hidden\nend\n");
	assert_int_equal(result.counts.skipped, 1);
	buf_clear(&memory.text);
}

enum evil { EVIL_FILE, EVIL_FOLDER, EVIL_SYMLINK, EVIL_HARD_LINK, EVIL_CHAR, EVIL_BLOCK };

static void every_escape_is_refused(void **state)
{
	char *deep = xcalloc(1, 3000), *part = xcalloc(1, 400), *path = xcalloc(1, 6000);
	const struct { enum evil kind; const char *name, *target, *why; } evils[] = {
		{ EVIL_FILE, "/etc/passwd", NULL, "absolute" },
		{ EVIL_FILE, "//etc/passwd", NULL, "absolute" },
		{ EVIL_FILE, "../x", NULL, "\"..\"" },
		{ EVIL_FILE, "a/../../b", NULL, "\"..\"" },
		{ EVIL_FILE, "a/..", NULL, "\"..\"" },
		{ EVIL_FOLDER, "a/../b/", NULL, "\"..\"" },
		{ EVIL_FILE, deep, NULL, "200 folders deep" },
		{ EVIL_FILE, part, NULL, "255 bytes" },
		{ EVIL_FILE, path, NULL, "4095 bytes" },
		{ EVIL_SYMLINK, "l", "../x", "above the root" },
		{ EVIL_SYMLINK, "a/b/l", "../../../x", "above the root" },
		{ EVIL_SYMLINK, "a/l", "b/../../../x", "above the root" },
		{ EVIL_SYMLINK, "l", path, "4095 bytes" },
		{ EVIL_HARD_LINK, "h", "/etc/passwd", "leads out of the root" },
		{ EVIL_HARD_LINK, "h", "../x", "leads out of the root" },
		{ EVIL_HARD_LINK, "h", "a/../../x", "leads out of the root" },
		{ EVIL_HARD_LINK, "h", ".", "leads out of the root" },
		{ EVIL_HARD_LINK, "/h", "a", "absolute" },
		{ EVIL_CHAR, "null", NULL, "device node" },
		{ EVIL_CHAR, "whiteout", NULL, "device node" },
		{ EVIL_BLOCK, "sda", NULL, "device node" },
		{ EVIL_FILE, ".wh.", NULL, "whiteout of nothing" },
		{ EVIL_FILE, ".wh...", NULL, "whiteout of nothing" },
		{ EVIL_FILE, "a/.wh..", NULL, "whiteout of nothing" },
		{ EVIL_FILE, "a/.wh.b/c", NULL, "whiteout is no folder" },
		{ EVIL_FILE, ".", NULL, "root is a folder" },
		{ EVIL_SYMLINK, "./", "x", "root is a folder" },
	};

	for (int i = 0; i < 201; i++)
		strcat(deep, "d/");
	strcat(deep, "f");
	memset(part, 'p', 256);
	for (int i = 0; i < 25; i++) {
		memset(path + strlen(path), 'q', 200);
		strcat(path, "/");
	}
	for (size_t i = 0; i < ARRAY_LEN(evils); i++) {
		struct memory memory = { 0 };
		struct layer_result result;
		struct error err = { 0 };
		struct tar tar;

		tar_begin(&tar, i % 2 ? TAR_PLAIN : TAR_GZIP);
		tar_file(&tar, "good", "x");
		switch (evils[i].kind) {
		case EVIL_FILE: tar_file(&tar, evils[i].name, "x"); break;
		case EVIL_FOLDER: tar_folder(&tar, evils[i].name); break;
		case EVIL_SYMLINK: tar_symlink(&tar, evils[i].name, evils[i].target); break;
		case EVIL_HARD_LINK: tar_hard_link(&tar, evils[i].name, evils[i].target); break;
		case EVIL_CHAR: tar_device(&tar, evils[i].name, AE_IFCHR, 0, streq(evils[i].name, "null") ? 3 : 0); break;
		case EVIL_BLOCK: tar_device(&tar, evils[i].name, AE_IFBLK, 8, 0); break;
		}
		assert_fails(unpack(tar_end(&tar), &roomy, &memory, &result, &err), evils[i].why);
		assert_int_equal(err.code, ERROR_INPUT);
		assert_string_equal(memory.text.data, "f good\n");
		buf_clear(&memory.text);
	}
	free(deep);
	free(part);
	free(path);
}

static void owners_beyond_a_tenants_ids_are_refused(void **state)
{
	static const int64_t owners[][2] = { { 65536, 0 }, { 0, 65536 }, { 4294967295, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
		struct archive_entry *e = tar_entry("f", AE_IFREG, 0644);
		struct memory memory = { 0 };
		struct layer_result result;
		struct error err = { 0 };
		struct tar tar;

		archive_entry_set_uid(e, owners[i][0]);
		archive_entry_set_gid(e, owners[i][1]);
		tar_begin(&tar, TAR_PLAIN);
		tar_put(&tar, e, NULL, 0);
		assert_fails(unpack(tar_end(&tar), &roomy, &memory, &result, &err), "its owner is");
		buf_clear(&memory.text);
	}
}

static void every_packing_gives_the_same_diff_id(void **state)
{
	char first[DIGEST_HEX] = "", data[20000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * i >> 7);
	for (enum tar_packing packing = TAR_PLAIN; packing <= TAR_XZ; packing++) {
		struct archive_entry *e = tar_entry("data", AE_IFREG, 0644);
		struct memory memory = { 0 };
		struct layer_result result;
		struct error err = { 0 };
		char hex[DIGEST_HEX];
		struct tar tar;
		struct buf bytes;

		tar_begin(&tar, packing);
		archive_entry_set_size(e, sizeof(data));
		tar_put(&tar, e, data, sizeof(data));
		bytes = tar_end(&tar);
		digest_bytes(bytes.data, bytes.n, hex);
		assert_ok(unpack(bytes, &roomy, &memory, &result, &err));
		assert_string_equal(result.digest, hex);
		assert_int_equal(memory.bytes, sizeof(data));
		if (packing == TAR_PLAIN)
			memcpy(first, hex, sizeof(first));
		assert_string_equal(result.diff_id, first);
		buf_clear(&memory.text);
	}
}

static void what_follows_the_archive_counts_for_the_digests(void **state)
{
	struct memory memory = { 0 };
	struct layer_result result;
	struct error err = { 0 };
	char hex[DIGEST_HEX];
	struct tar tar;
	struct buf bytes;

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "a", "x");
	bytes = tar_end(&tar);
	for (int i = 0; i < 300; i++)
		buf_adds(&bytes, "more and more ");
	digest_bytes(bytes.data, bytes.n, hex);
	assert_ok(unpack(bytes, &roomy, &memory, &result, &err));
	assert_string_equal(result.digest, hex);
	assert_string_equal(result.diff_id, hex);
	buf_clear(&memory.text);
}

static void damaged_archives_are_refused(void **state)
{
	for (enum tar_packing packing = TAR_PLAIN; packing <= TAR_XZ; packing++) {
		struct archive_entry *e = tar_entry("data", AE_IFREG, 0644);
		char data[20000];
		struct memory memory = { 0 };
		struct layer_result result;
		struct error err = { 0 };
		struct tar tar;
		struct buf bytes;

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = (char)(i * i >> 7);
		tar_begin(&tar, packing);
		archive_entry_set_size(e, sizeof(data));
		tar_put(&tar, e, data, sizeof(data));
		bytes = tar_end(&tar);
		bytes.n = packing == TAR_PLAIN ? 9000 : bytes.n - 9;
		assert_fails(unpack(bytes, &roomy, &memory, &result, &err), "damaged");
		buf_clear(&memory.text);
	}
}

static void what_is_no_archive_is_refused(void **state)
{
	static const char *const texts[] = { "", "x", "this is text and no tar at all, however long it may become", "PK\003\004" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct memory memory = { 0 };
		struct layer_result result;
		struct error err = { 0 };
		struct buf bytes = { 0 };

		buf_adds(&bytes, texts[i]);
		assert_fails(unpack(bytes, &roomy, &memory, &result, &err), "the layer is");
		buf_clear(&memory.text);
	}
}

static struct buf zeros_packed(size_t n, enum tar_packing packing)
{
	struct archive_entry *e = tar_entry("zeros", AE_IFREG, 0644);
	char *zeros = xcalloc(1, n);
	struct tar tar;

	tar_begin(&tar, packing);
	archive_entry_set_size(e, (int64_t)n);
	tar_put(&tar, e, zeros, n);
	free(zeros);
	return tar_end(&tar);
}

static void bombs_are_refused(void **state)
{
	const struct layer_limits endless = { 1000, -1 };
	struct memory memory = { 0 };
	struct layer_result result;
	struct error err = { 0 };

	assert_fails(unpack(zeros_packed(100 << 20, TAR_ZSTD), &endless, &memory, &result, &err), "bomb");
	assert_fails(unpack(zeros_packed(11 << 20, TAR_GZIP), &roomy, &memory, &result, &err), "room");
	assert_int_equal(err.code, ERROR_CAPACITY);
	assert_ok(unpack(zeros_packed(9 << 20, TAR_GZIP), &roomy, &memory, &result, &err));
	buf_clear(&memory.text);
}

static void entries_are_counted(void **state)
{
	const struct layer_limits few = { 10, -1 };

	for (int n = 10; n <= 11; n++) {
		struct memory memory = { 0 };
		struct layer_result result;
		struct error err = { 0 };
		struct tar tar;

		tar_begin(&tar, TAR_GZIP);
		for (int i = 0; i < n; i++) {
			autofree char *name = xasprintf("f%d", i);

			tar_file(&tar, name, "");
		}
		if (n == 10)
			assert_ok(unpack(tar_end(&tar), &few, &memory, &result, &err));
		else
			assert_fails(unpack(tar_end(&tar), &few, &memory, &result, &err), "more than 10 members");
		buf_clear(&memory.text);
	}
}

static void names_beyond_ascii_survive(void **state)
{
	struct memory memory = { 0 };
	struct layer_result result;
	struct error err = { 0 };
	struct tar tar;

	setlocale(LC_CTYPE, "C.UTF-8");
	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "caf\xc3\xa9/na\xc3\xafve", "x");
	tar_file(&tar, "latin\xe9", "x");
	tar_symlink(&tar, "link", "caf\xc3\xa9");
	setlocale(LC_CTYPE, "C");
	assert_ok(unpack(tar_end(&tar), &roomy, &memory, &result, &err));
	assert_string_equal(memory.text.data, "f caf\xc3\xa9/na\xc3\xafve\nf latin\xe9\nl link > caf\xc3\xa9\nend\n");
	buf_clear(&memory.text);
}

static void paths_become_normal(void **state)
{
	static const struct { const char *in, *out; } paths[] = {
		{ "a", "a" }, { "a/", "a" }, { "./a//b/.", "a/b" }, { ".", "" }, { "", "" }, { "./", "" }, { "..a/b..", "..a/b.." }, { "...", "..." },
		{ "/a", NULL }, { "..", NULL }, { "a/../b", NULL }, { "a/..", NULL },
	};
	char path[LAYER_PATH_MAX];
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(layer_path_normal(paths[i].in, path, &why), paths[i].out ? 0 : -1);
		if (paths[i].out)
			assert_string_equal(path, paths[i].out);
		else
			assert_non_null(why);
	}
}

static void links_that_lead_above_the_root_are_known(void **state)
{
	assert_false(layer_link_escapes("a", "/etc"));
	assert_false(layer_link_escapes("a", "b/c"));
	assert_false(layer_link_escapes("a/b", "../c"));
	assert_false(layer_link_escapes("a/b/c", "../../d"));
	assert_false(layer_link_escapes("a/b", "./../a/../x"));
	assert_true(layer_link_escapes("a", ".."));
	assert_true(layer_link_escapes("a", "../a"));
	assert_true(layer_link_escapes("a/b", "../../x"));
	assert_true(layer_link_escapes("a/b", "x/../../../y"));
	assert_false(layer_link_escapes("a", "..."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_normal_and_whole),
		cmocka_unit_test(whiteouts_are_told_by_their_names),
		cmocka_unit_test(every_escape_is_refused),
		cmocka_unit_test(owners_beyond_a_tenants_ids_are_refused),
		cmocka_unit_test(every_packing_gives_the_same_diff_id),
		cmocka_unit_test(what_follows_the_archive_counts_for_the_digests),
		cmocka_unit_test(damaged_archives_are_refused),
		cmocka_unit_test(what_is_no_archive_is_refused),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(entries_are_counted),
		cmocka_unit_test(names_beyond_ascii_survive),
		cmocka_unit_test(paths_become_normal),
		cmocka_unit_test(links_that_lead_above_the_root_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
