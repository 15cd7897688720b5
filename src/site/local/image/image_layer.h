/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSULA_SITE_LOCAL_IMAGE_LAYER_H
#define INSULA_SITE_LOCAL_IMAGE_LAYER_H

/*
 * Layers. Whatever brings one (a tar stream, a folder on disk) is turned into entries that are checked once, here,
 * and handed to a sink: the disk, a digest, a counter of a test.
 *
 * What an entry may be
 *   path        relative, below LAYER_PATH_MAX, at most LAYER_DEPTH_MAX parts of up to 255 bytes; absolute ones and ".." are refused
 *   owner       0..65535, kept as numbers: a tenant's range has 65536 ids, so a larger one has no meaning there and is refused
 *   mode        kept, setuid and setgid too: containers run in a user namespace without new privileges, and the store is closed
 *               to everyone but root, so that nobody meets such a program outside
 *   symlink     text, never followed by us. An absolute one is meant from the image's root and kept; one whose ".." lead above the
 *               root is refused
 *   hard link   to a file of the same layer; an absolute target, ".." or one that is not there is refused
 *   device      refused; only whiteouts are made, by us
 *   socket      skipped and counted
 *   attributes  "user." kept where the file system can, all others dropped: security.capability, ACLs, trusted.*, user.overlay.*
 * Folders that no entry names are 0755 of 0:0. A member whose parent is a symbolic link or a file is refused.
 *
 * Whiteouts (OCI image spec, layer.md): ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" all of its folder; other
 * ".wh..wh.*" names (of aufs) are skipped. They hide lower layers only: what the same layer brings stays, in whatever order.
 */

#include "base/base.h"
#include "base/digest.h"

#include <sys/types.h>
#include <time.h>

#define LAYER_PATH_MAX 4096		/* with the 0 byte */
#define LAYER_DEPTH_MAX 200
#define LAYER_OWNER_MAX 65535
#define LAYER_FILE_MAX ((int64_t)1 << 40)
#define LAYER_RATIO_MAX 2000		/* unpacked by packed; gzip reaches 1032 with zeros */
#define LAYER_RATIO_FREE ((int64_t)64 << 20)	/* bytes below which the ratio is not judged */

enum layer_kind { LAYER_FILE, LAYER_FOLDER, LAYER_SYMLINK, LAYER_HARD_LINK, LAYER_FIFO, LAYER_WHITEOUT, LAYER_OPAQUE };

struct layer_attribute { const char *name; const void *value; size_t n; };

struct layer_entry {
	enum layer_kind kind;
	const char *path;		/* normal: "a/b"; "" is the root, a LAYER_FOLDER or LAYER_OPAQUE only */
	const char *target;		/* of a symlink: its text; of a hard link: a normal path; else NULL */
	mode_t mode;			/* permission bits, 07777 */
	uid_t uid;
	gid_t gid;
	int64_t size;			/* of a file, holes included */
	struct timespec time;		/* of modification */
	const struct layer_attribute *attributes;
	size_t attribute_n;
};

struct layer_sink {
	/* Strings and arrays live until it returns. */
	int (*entry)(void *arg, const struct layer_entry *entry, struct error *err);
	/* Bytes of the last entry, a file; offsets only grow; what is left out is a hole. */
	int (*data)(void *arg, int64_t offset, const void *data, size_t n, struct error *err);
	/* All has been given. */
	int (*end)(void *arg, struct error *err);
	void *arg;
};

struct layer_limits {
	int64_t entries;
	int64_t bytes;			/* of disk, the sum of layer_cost; below 0: none */
};

struct layer_counts { int64_t entries, bytes, skipped; };

/* What one entry costs on disk, estimated: blocks of 4 KiB and an inode. */
int64_t layer_cost(enum layer_kind kind, int64_t data);

/* Brings a member's name to its normal form; -1 with the reason (a static text) when it is refused. */
int layer_path_normal(const char *name, char ret[static LAYER_PATH_MAX], const char **ret_why);
/* Do the ".." of a symlink at `path` (normal) lead above the root? */
bool layer_link_escapes(const char *path, const char *target);

/* A packed layer: a tar, or one compressed by gzip, xz, zstd, lz4 or bzip2. */
struct layer_stream {
	/* Up to n bytes; 0 at the end; -1 with err set. */
	ssize_t (*read)(void *arg, void *buf, size_t n, struct error *err);
	void *arg;
};
struct layer_result {
	char digest[DIGEST_HEX];	/* of the bytes as packed */
	char diff_id[DIGEST_HEX];	/* of the tar */
	int64_t packed, unpacked;	/* bytes of both */
	struct layer_counts counts;
};
/* Reads it to its last byte. The caller compares the digests before it believes in what the sink got. sink NULL: digests only. */
int layer_unpack(const struct layer_stream *stream, const struct layer_limits *limits, const struct layer_sink *sink,
		 struct layer_result *ret, struct error *err) WARN_UNUSED;

/* A folder on disk as a layer, in order of names. Crossing into another file system is refused, and so is what an entry may not be. */
enum layer_walk_flags {
	LAYER_WALK_OURS = 1,		/* an unpacked layer: char 0:0 is a whiteout, trusted.overlay.opaque is read */
	LAYER_WALK_NO_DATA = 2,		/* entries only */
};
int layer_walk(const char *path, unsigned flags, const struct layer_limits *limits, const struct layer_sink *sink,
	       struct layer_counts *ret, struct error *err) WARN_UNUSED;
/* A digest over everything stat says of a tree, change times and inodes included: the same as long as nobody touched it.
   ret_newest: the latest change time in it. */
int layer_fingerprint(const char *path, char hex[static DIGEST_HEX], struct timespec *ret_newest, struct error *err) WARN_UNUSED;

/* The sink that writes below an open, empty folder, whose owner is root alone. shift is added to owners. */
struct layer_disk;
int layer_disk_new(int root, uint32_t shift, struct layer_disk **ret, struct error *err) WARN_UNUSED;
void layer_disk_free(struct layer_disk *disk);
void layer_disk_free_pp(struct layer_disk **disk);
#define autolayerdisk CLEANUP(layer_disk_free_pp)
struct layer_sink layer_disk_sink(struct layer_disk *disk);
/* Does the layer hide all layers below it? overlayfs has no such mark for a root, so whoever mounts leaves them out. */
bool layer_disk_opaque_root(const struct layer_disk *disk);

/* The sink that digests names, kinds, modes, owners, sizes, link targets, attributes and content, but no times; `next` may be NULL. */
struct layer_digest;
struct layer_digest *layer_digest_new(const struct layer_sink *next);
void layer_digest_free_pp(struct layer_digest **digest);
struct layer_sink layer_digest_sink(struct layer_digest *digest);
void layer_digest_final(struct layer_digest *digest, char hex[static DIGEST_HEX]);	/* after end() */

#endif
