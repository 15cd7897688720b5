/* SPDX-License-Identifier: Apache-2.0 */
#include "image_builder.h"

#include "base/rng.h"
#include "site/local/image/image.h"
#include "site/local/image/image_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Layers on a real disk: what evil members cannot do, and that overlayfs understands our whiteouts. */

static const struct layer_limits roomy = { 100000, 1 << 30 };

struct input { const char *data; size_t n; };

static ssize_t input_read(void *arg, void *buf, size_t n, struct error *err)
{
	struct input *input = arg;
	size_t some = MIN(n, input->n);

	memcpy(buf, input->data, some);
	input->data += some;
	input->n -= some;
	return (ssize_t)some;
}

/* Unpacks into <dir>/<name>, which is made; takes over the bytes. */
static int unpack_shifted(struct buf bytes, const char *dir, const char *name, uint32_t shift, bool *ret_opaque, struct error *err)
{
	autofree char *path = fs_join(dir, name);
	struct input input = { bytes.data, bytes.n };
	struct layer_stream stream = { input_read, &input };
	autolayerdisk struct layer_disk *disk = NULL;
	struct layer_result result;
	struct layer_sink sink;
	autofd int root = -1;
	int r;

	assert_int_equal(mkdir(path, 0700), 0);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(layer_disk_new(root, shift, &disk, err), 0);
	sink = layer_disk_sink(disk);
	r = layer_unpack(&stream, &roomy, &sink, &result, err);
	if (ret_opaque)
		*ret_opaque = layer_disk_opaque_root(disk);
	buf_clear(&bytes);
	return r;
}

static int unpack(struct buf bytes, const char *dir, const char *name, struct error *err)
{
	return unpack_shifted(bytes, dir, name, 0, NULL, err);
}

static struct stat look(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	struct stat st;

	if (lstat(path, &st) < 0)
		fail_msg("%s is not there", path);
	return st;
}

static bool is_there(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);

	return fs_exists(path);
}

static void assert_file_holds(const char *dir, const char *name, const char *text)
{
	autofree char *path = fs_join(dir, name), *got = NULL;
	struct error err = { 0 };

	assert_ok(fs_read_file(path, 65536, &got, NULL, &err));
	assert_string_equal(got, text);
}

static bool is_opaque(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	char value;

	return lgetxattr(path, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static bool is_whiteout(const char *dir, const char *name)
{
	struct stat st = look(dir, name);

	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static void members_keep_what_they_are(void **state)
{
	char *dir = *state;
	struct archive_entry *e;
	struct error err = { 0 };
	struct stat st;
	struct tar tar;
	char value[8];
	autofree char *attributed = fs_join(dir, "a/usr/su");

	umask(077);
	tar_begin(&tar, TAR_GZIP);
	e = tar_entry("usr", AE_IFDIR, 01775);
	archive_entry_set_uid(e, 5);
	archive_entry_set_mtime(e, 1600000000, 0);
	tar_put(&tar, e, NULL, 0);
	e = tar_entry("usr/su", AE_IFREG, 04755);
	archive_entry_set_uid(e, 33);
	archive_entry_set_gid(e, 65535);
	archive_entry_set_size(e, 3);
	archive_entry_xattr_add_entry(e, "user.mark", "one", 3);
	archive_entry_xattr_add_entry(e, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	tar_put(&tar, e, "abc", 3);
	tar_hard_link(&tar, "usr/su2", "usr/su");
	tar_symlink(&tar, "bin", "/usr/bin");
	tar_hard_link(&tar, "bin2", "bin");
	tar_file(&tar, "implied/by/file", "x");
	tar_put(&tar, tar_entry("queue", AE_IFIFO, 0622), NULL, 0);
	assert_ok(unpack_shifted(tar_end(&tar), dir, "a", 700000, NULL, &err));
	umask(022);

	st = look(dir, "a");
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, 700000);
	st = look(dir, "a/usr");
	assert_int_equal(st.st_mode, S_IFDIR | 01775);
	assert_int_equal(st.st_uid, 700005);
	assert_int_equal(st.st_mtim.tv_sec, 1600000000);
	st = look(dir, "a/usr/su");
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(st.st_uid, 700033);
	assert_int_equal(st.st_gid, 765535);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(look(dir, "a/usr/su2").st_ino, st.st_ino);
	if (getxattr(attributed, "user.mark", value, sizeof(value)) != 3)
		assert_int_equal(errno, ENOTSUP);
	assert_int_equal(getxattr(attributed, "security.capability", value, sizeof(value)), -1);
	assert_true(S_ISLNK(look(dir, "a/bin").st_mode));
	assert_int_equal(look(dir, "a/bin").st_uid, 700000);
	assert_int_equal(look(dir, "a/bin2").st_ino, look(dir, "a/bin").st_ino);
	st = look(dir, "a/implied/by");
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_uid, 700000);
	assert_int_equal(look(dir, "a/queue").st_mode, S_IFIFO | 0622);
}

/* Each evil archive tries to reach <dir>/outside, which holds "safe"; nothing may come or change there. */
static void links_lead_nobody_out(void **state)
{
	char *dir = *state;
	autofree char *outside = fs_join(dir, "outside"), *target = fs_join(outside, "target");
	struct error err = { 0 };

	assert_ok(fs_make_dirs(outside, 0755, &err));
	assert_ok(fs_replace_file(target, "safe", 4, 0644, false, &err));
	for (int i = 0; i < 10; i++) {
		autofree char *name = xasprintf("evil%d", i);
		struct archive_entry *e;
		struct tar tar;

		tar_begin(&tar, TAR_PLAIN);
		switch (i) {
		case 0:	/* through a link of an earlier member */
			tar_symlink(&tar, "out", outside);
			tar_file(&tar, "out/target", "evil");
			break;
		case 1:	/* link through link */
			tar_folder(&tar, "a");
			tar_symlink(&tar, "a/b", outside);
			tar_symlink(&tar, "c", "a");
			tar_file(&tar, "c/b/new", "evil");
			break;
		case 2:	/* a chain */
			tar_symlink(&tar, "l0", outside);
			for (int k = 1; k < 30; k++) {
				autofree char *link = xasprintf("l%d", k), *to = xasprintf("l%d", k - 1);

				tar_symlink(&tar, link, to);
			}
			tar_file(&tar, "l29/new", "evil");
			break;
		case 3:	/* a folder replaced by a link, then written into */
			tar_folder(&tar, "a");
			tar_file(&tar, "a/x", "x");
			tar_symlink(&tar, "a", outside);
			tar_file(&tar, "a/new", "evil");
			break;
		case 4:	/* a hard link to what a link leads to */
			tar_symlink(&tar, "out", outside);
			tar_hard_link(&tar, "h", "out/target");
			break;
		case 5:	/* a folder member over a link must not follow it */
			tar_symlink(&tar, "out", outside);
			tar_symlink(&tar, "l", "out");
			tar_folder(&tar, "l/deeper");
			break;
		case 6:	/* whiteout and opaque mark through a link */
			tar_symlink(&tar, "out", outside);
			tar_file(&tar, "out/.wh.target", "");
			break;
		case 7:
			tar_symlink(&tar, "out", outside);
			tar_file(&tar, "out/.wh..wh..opq", "");
			break;
		case 8:	/* metadata only */
			tar_symlink(&tar, "out", outside);
			e = tar_entry("out/.", AE_IFDIR, 0777);
			tar_put(&tar, e, NULL, 0);
			tar_file(&tar, "out/../../x", "evil");
			break;
		case 9:	/* below a file */
			tar_file(&tar, "f", "x");
			tar_file(&tar, "f/g", "evil");
			break;
		}
		assert_fails(unpack(tar_end(&tar), dir, name, &err), "refused");
		assert_file_holds(outside, "target", "safe");
		assert_false(is_there(outside, "new"));
		assert_false(is_there(outside, "deeper"));
		assert_false(is_opaque(dir, "outside"));
		assert_int_equal(look(outside, "target").st_nlink, 1);
		assert_int_equal(look(dir, "outside").st_mode & 07777, 0755);
	}
}

static void a_hard_link_to_a_link_links_the_link(void **state)
{
	char *dir = *state;
	struct error err = { 0 };
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_symlink(&tar, "l", "/etc/shadow");
	tar_hard_link(&tar, "h", "l");
	tar_file(&tar, "h2", "mine");
	tar_hard_link(&tar, "h2", "h2");
	assert_ok(unpack(tar_end(&tar), dir, "hl", &err));
	assert_true(S_ISLNK(look(dir, "hl/h").st_mode));
	assert_file_holds(dir, "hl/h2", "mine");
	for (int i = 0; i < 3; i++) {
		autofree char *name = xasprintf("hl-evil%d", i);

		tar_begin(&tar, TAR_PLAIN);
		tar_folder(&tar, "d");
		tar_file(&tar, ".wh.gone", "");
		tar_hard_link(&tar, "h", i == 0 ? "d" : i == 1 ? "nothing" : "gone");
		assert_fails(unpack(tar_end(&tar), dir, name, &err), i == 1 ? "no earlier member" : "no file");
	}
}

static void later_members_replace_earlier_ones(void **state)
{
	char *dir = *state;
	struct error err = { 0 };
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "f", "one");
	tar_file(&tar, "f", "second");
	tar_folder(&tar, "turns");
	tar_file(&tar, "turns/a/b/c", "x");
	tar_symlink(&tar, "turns", "/etc");
	tar_file(&tar, "turns", "file");
	tar_folder(&tar, "turns");
	tar_file(&tar, "turns/new", "new");
	tar_symlink(&tar, "link", "/etc/passwd");
	tar_file(&tar, "link", "mine");
	tar_folder(&tar, "kept");
	tar_file(&tar, "kept/inside", "x");
	tar_put(&tar, tar_entry("kept", AE_IFDIR, 0700), NULL, 0);
	tar_file(&tar, "shared", "both");
	tar_hard_link(&tar, "other", "shared");
	tar_file(&tar, "shared", "own");
	assert_ok(unpack(tar_end(&tar), dir, "r", &err));
	assert_file_holds(dir, "r/f", "second");
	assert_file_holds(dir, "r/turns/new", "new");
	assert_false(is_there(dir, "r/turns/a"));
	assert_file_holds(dir, "r/link", "mine");
	assert_true(S_ISREG(look(dir, "r/link").st_mode));
	assert_file_holds(dir, "r/kept/inside", "x");
	assert_int_equal(look(dir, "r/kept").st_mode & 07777, 0700);
	assert_file_holds(dir, "r/other", "both");
	assert_file_holds(dir, "r/shared", "own");
}

static void whiteouts_hide_lower_layers_only(void **state)
{
	char *dir = *state;
	struct error err = { 0 };
	bool opaque = false;
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "d/.wh.gone", "");
	tar_file(&tar, "file", "stays");
	tar_file(&tar, ".wh.file", "");
	tar_folder(&tar, "folder");
	tar_file(&tar, "folder/mine", "x");
	tar_file(&tar, ".wh.folder", "");
	tar_file(&tar, ".wh.early", "");
	tar_folder(&tar, "early");
	tar_file(&tar, ".wh.deep", "");
	tar_file(&tar, "deep/er/file", "x");
	tar_file(&tar, ".wh.again", "");
	tar_file(&tar, ".wh.again", "");
	tar_file(&tar, ".wh.later", "");
	tar_file(&tar, "later", "here");
	tar_file(&tar, "o/.wh..wh..opq", "");
	assert_ok(unpack_shifted(tar_end(&tar), dir, "w", 0, &opaque, &err));
	assert_false(opaque);
	assert_true(is_whiteout(dir, "w/d/gone"));
	assert_file_holds(dir, "w/file", "stays");
	assert_file_holds(dir, "w/folder/mine", "x");
	assert_true(is_opaque(dir, "w/folder"));
	assert_true(is_opaque(dir, "w/early"));
	assert_true(is_opaque(dir, "w/deep"));
	assert_false(is_opaque(dir, "w/deep/er"));
	assert_true(is_whiteout(dir, "w/again"));
	assert_file_holds(dir, "w/later", "here");
	assert_true(is_opaque(dir, "w/o"));
	assert_false(is_opaque(dir, "w/d"));

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, ".wh..wh..opq", "");
	assert_ok(unpack_shifted(tar_end(&tar), dir, "w-root", 0, &opaque, &err));
	assert_true(opaque);
}

/* In a child with a mount namespace of its own: overlay over the layers, first is highest; says through its status whether `check` likes it. */
static void in_overlay(const char *dir, const char *lower, bool (*check)(const char *merged))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		autofree char *options = xasprintf("lowerdir=%s", lower), *merged = fs_join(dir, "merged");

		if (mkdir(merged, 0755) < 0 && errno != EEXIST)
			_exit(3);
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir(dir) < 0 ||
		    mount("overlay", merged, "overlay", MS_RDONLY, options) < 0)
			_exit(2);
		_exit(check(merged) ? 0 : 1);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		test_skip("no overlay can be mounted here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool merged_is_right(const char *merged)
{
	static const struct { const char *name; bool there; } expected[] = {
		{ "one", true }, { "two", true }, { "three", true },
		{ "hidden-by-2", false }, { "hidden-by-3", false }, { "back-in-3", true },
		{ "opaque/from-1", false }, { "opaque/from-2", false }, { "opaque/from-3", true },
		{ "merged/from-1", true }, { "merged/from-2", true }, { "merged/gone", false },
		{ "replaced/old", false }, { "replaced/new", true }, { "tree", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		if (is_there(merged, expected[i].name) != expected[i].there) {
			printf("# %s is %sthere\n", expected[i].name, expected[i].there ? "not " : "");
			return false;
		}
	return true;
}

static void overlayfs_understands_three_layers(void **state)
{
	char *dir = *state;
	struct error err = { 0 };
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "one", "1");
	tar_file(&tar, "hidden-by-2", "1");
	tar_file(&tar, "hidden-by-3", "1");
	tar_file(&tar, "back-in-3", "1");
	tar_file(&tar, "opaque/from-1", "1");
	tar_file(&tar, "merged/from-1", "1");
	tar_file(&tar, "merged/gone", "1");
	tar_file(&tar, "replaced/old", "1");
	tar_file(&tar, "tree/with/branches", "1");
	assert_ok(unpack(tar_end(&tar), dir, "l1", &err));
	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "two", "2");
	tar_file(&tar, ".wh.hidden-by-2", "");
	tar_file(&tar, ".wh.back-in-3", "");
	tar_file(&tar, "opaque/from-2", "2");
	tar_file(&tar, "merged/from-2", "2");
	tar_file(&tar, "merged/.wh.gone", "");
	tar_file(&tar, ".wh.replaced", "");
	tar_file(&tar, "replaced/new", "2");
	assert_ok(unpack(tar_end(&tar), dir, "l2", &err));
	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "three", "3");
	tar_file(&tar, ".wh.hidden-by-3", "");
	tar_file(&tar, "back-in-3", "3");
	tar_file(&tar, "opaque/from-3", "3");
	tar_file(&tar, "opaque/.wh..wh..opq", "");
	tar_file(&tar, ".wh.tree", "");
	assert_ok(unpack(tar_end(&tar), dir, "l3", &err));
	in_overlay(dir, "l3:l2:l1", merged_is_right);
}

static void copies_are_what_they_were_made_of(void **state)
{
	char *dir = *state;
	autofree char *from = fs_join(dir, "from"), *to = fs_join(dir, "to");
	CLEANUP(layer_digest_free_pp) struct layer_digest *one = layer_digest_new(NULL), *two = layer_digest_new(NULL);
	struct layer_sink sink = layer_digest_sink(one);
	autolayerdisk struct layer_disk *disk = NULL;
	struct layer_counts counts;
	char a[DIGEST_HEX], b[DIGEST_HEX];
	struct error err = { 0 };
	autofd int root = -1;
	struct tar tar;

	tar_begin(&tar, TAR_PLAIN);
	tar_file(&tar, "a/f", "text");
	tar_hard_link(&tar, "z", "a/f");
	tar_symlink(&tar, "l", "/a");
	tar_file(&tar, "a/.wh.gone", "");
	tar_file(&tar, "o/.wh..wh..opq", "");
	tar_put(&tar, tar_entry("su", AE_IFREG, 06755), NULL, 0);
	assert_ok(unpack(tar_end(&tar), dir, "from", &err));
	{
		autofree char *path = fs_join(from, "sparse");
		autofd int fd = open(path, O_RDWR | O_CREAT, 0644);

		assert_int_equal(ftruncate(fd, 64 << 20), 0);
		assert_int_equal(pwrite(fd, "end", 3, 32 << 20), 3);
	}
	assert_int_equal(mkdir(to, 0700), 0);
	root = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(layer_disk_new(root, 0, &disk, &err));
	{
		struct layer_sink disk_sink = layer_disk_sink(disk);
		CLEANUP(layer_digest_free_pp) struct layer_digest *through = layer_digest_new(&disk_sink);

		sink = layer_digest_sink(through);
		assert_ok(layer_walk(from, LAYER_WALK_OURS, &roomy, &sink, &counts, &err));
		layer_digest_final(through, a);
	}
	assert_true(counts.bytes < 1 << 20);
	sink = layer_digest_sink(two);
	assert_ok(layer_walk(to, LAYER_WALK_OURS, &roomy, &sink, &counts, &err));
	layer_digest_final(two, b);
	assert_string_equal(a, b);
	assert_true(is_whiteout(dir, "to/a/gone"));
	assert_true(is_opaque(dir, "to/o"));
	assert_int_equal(look(dir, "to/su").st_mode & 07777, 06755);
	assert_int_equal(look(dir, "to/z").st_ino, look(dir, "to/a/f").st_ino);
	assert_int_equal(look(dir, "to/sparse").st_size, 64 << 20);
	assert_true(look(dir, "to/sparse").st_blocks < 1000);

	/* what is no layer of ours must not bring whiteouts */
	sink = layer_digest_sink(one);
	assert_fails(layer_walk(from, 0, &roomy, &sink, &counts, &err), "device node");
}

static void folders_are_read_with_care(void **state)
{
	char *dir = *state;
	struct error err = { 0 };

	for (int i = 0; i < 5; i++) {
		autofree char *name = xasprintf("src%d", i), *top = fs_join(dir, name), *evil = fs_join(top, "evil");
		static const char *const whys[] = { "device node", "its owner is", "above the root", "another file system", "200 folders" };
		CLEANUP(layer_digest_free_pp) struct layer_digest *digest = layer_digest_new(NULL);
		struct layer_sink sink = layer_digest_sink(digest);
		struct layer_counts counts;

		assert_ok(fs_make_dirs(top, 0755, &err));
		if (i == 0)
			assert_int_equal(mknod(evil, S_IFCHR | 0600, makedev(1, 3)), 0);
		if (i == 1) {
			assert_int_equal(mkdir(evil, 0755), 0);
			assert_int_equal(chown(evil, 70000, 0), 0);
		}
		if (i == 2)
			assert_int_equal(symlink("../../outside", evil), 0);
		if (i == 3) {
			assert_int_equal(mkdir(evil, 0755), 0);
			if (mount("none", evil, "tmpfs", 0, "size=64k") < 0)
				continue;
		}
		if (i == 4) {
			autobuf struct buf deep = { 0 };

			buf_adds(&deep, top);
			for (int k = 0; k < 202; k++)
				buf_adds(&deep, "/d");
			assert_ok(fs_make_dirs(deep.data, 0755, &err));
		}
		if (layer_walk(top, 0, &roomy, &sink, &counts, &err) == 0 || !strstr(err.message, whys[i])) {
			if (i == 3)
				umount2(evil, MNT_DETACH);
			fail_msg("%s: \"%s\"", whys[i], err.message);
		}
		if (i == 3)
			assert_int_equal(umount2(evil, MNT_DETACH), 0);
	}
}

static int setup(void **state)
{
	*state = temp_dir_make();
	return 0;
}

static int teardown(void **state)
{
	temp_dir_remove(*state);
	return 0;
}

/* A lock goes with its last holder: nobody that the probe started may outlive a killed command, holding what it held. */
static bool lock_is_free(const char *path)
{
	for (int i = 0; i < 200; i++) {
		autofd int fd = open(path, O_RDWR | O_CLOEXEC);

		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		usleep(10000);
	}
	return false;
}

static void a_killed_probe_leaves_nobody_behind(void **state)
{
	const char *dir = *state;
	autofree char *path = fs_join(dir, "lock");
	int rounds = getenv("INSULA_TEST_FULL") ? 400 : 40;
	struct rng rng;

	rng_seed(&rng, 20261125);
	for (int i = 0; i < rounds; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

			if (fd < 0 || flock(fd, LOCK_EX) < 0)
				_exit(1);
			for (;;)
				image_idmap_works(dir, NULL);
		}
		usleep((useconds_t)(500 + rng_below(&rng, 6000)));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(!fs_exists(path) || lock_is_free(path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(members_keep_what_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(links_lead_nobody_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hard_link_to_a_link_links_the_link, setup, teardown),
		cmocka_unit_test_setup_teardown(later_members_replace_earlier_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(whiteouts_hide_lower_layers_only, setup, teardown),
		cmocka_unit_test_setup_teardown(overlayfs_understands_three_layers, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_are_what_they_were_made_of, setup, teardown),
		cmocka_unit_test_setup_teardown(folders_are_read_with_care, setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_probe_leaves_nobody_behind, setup, teardown),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP layers are written by root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
