#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The image store by its command, with images that other programs made (tar, gzip), good ones and evil ones.
. "$(dirname "$0")/lib.sh"
need_root
need_program tar gzip sha256sum
[ -x "$INSULA" ] || skip_all "the program is not built"
deployment_start
cd "$TEST_DIR" || exit 1
image() { "$INSULA" image "$@"; }

case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*) machine=$(uname -m) ;;
esac
hash_of() { sha256sum "$1" | cut -d ' ' -f 1; }
size_of() { wc -c <"$1" | tr -d ' '; }

# blob FILE: into the layout; prints its digest
blob() {
	blob_hash=$(hash_of "$1")
	mkdir -p layout/blobs/sha256
	cp "$1" "layout/blobs/sha256/$blob_hash"
	echo "$blob_hash"
}

# layout_make: an image of two layers, the second of which hides a file of the first
layout_make() {
	rm -rf layout one two
	mkdir -p one/etc two/etc
	echo base >one/etc/base
	echo hidden >one/etc/hidden
	ln -s /etc/base one/link
	ln one/etc/base one/etc/hard
	echo added >two/etc/added
	: >two/etc/.wh.hidden
	tar -C one -cf one.tar .
	tar -C two -cf two.tar .
	gzip -nc one.tar >one.tgz
	one=$(blob one.tgz)
	two=$(blob two.tar)
	printf '{"architecture":"%s","os":"linux","config":{"Cmd":["/bin/true"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
		"$machine" "$(hash_of one.tar)" "$(hash_of two.tar)" >config
	config=$(blob config)
	printf '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
		"$config" "$(size_of config)" "$one" "$(size_of one.tgz)" "$two" "$(size_of two.tar)" >manifest
	manifest=$(blob manifest)
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' \
		"$manifest" "$(size_of manifest)" >layout/index.json
	printf '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout
}

layout_make
succeeds "an image layout is imported" image import oci:./layout:v1 --name app:v1
contains "$stdout" "sha256:$manifest" "its digest is that of its manifest"
succeeds "again" image import oci:layout
is "$(find "$INSULA_STATE_DIR/images/layers" -mindepth 1 -maxdepth 1 -type d | wc -l)" 2 "it has two layers"
layer=$INSULA_STATE_DIR/images/layers/$(hash_of one.tar)
is "$(cat "$layer/etc/hard")" base "files are there"
is "$(readlink "$layer/link")" /etc/base "links are kept"
is "$(stat -c '%F %t %T' "$INSULA_STATE_DIR/images/layers/$(hash_of two.tar)/etc/hidden")" "character special file 0 0" "a whiteout is one of overlayfs"
is "$(stat -c %a "$INSULA_STATE_DIR/images")" 700 "nobody else reaches the store"
succeeds "the list" image list
contains "$stdout" "app:v1" "names it"
succeeds "the list as JSON" image list --json
contains "$stdout" "\"digest\":\"sha256:$manifest\"" "has its whole digest"

tar -C layout -czf saved.tgz .
succeeds "the layout in a tar" image import docker-archive:saved.tgz:v1
contains "$stdout" "sha256:$manifest" "is the same image"

succeeds "a root filesystem from a folder" image import rootfs:one
folder=$stdout
cp -a one copy
succeeds "its copy" image import rootfs:copy
is "$stdout" "$folder" "is the same image"
succeeds "a root filesystem from a tar" image import rootfs:one.tgz --name base

printf x >>"layout/blobs/sha256/$two"
succeeds "prune takes what has no name" image prune
exits_with 0 "what has one stays" image list
contains "$stdout" app:v1 "under its name"
succeeds "a name is removed" image remove app:v1
exits_with 4 "a damaged layer is refused" image import oci:layout
contains "$stderr" "damaged" "and says so"
exits_with 1 "what is not there" image remove app:v1
exits_with 4 "what is no verb" image frobnicate
exits_with 1 "a registry that is not there" image import docker://127.0.0.1:1/busybox

# evil NAME WHAT TAR-OPTIONS...: an archive that GNU tar made is refused, and nothing comes out of the store
mkdir -p evil/d
echo evil >evil/f
ln -s "$TEST_DIR/outside" evil/out
mkdir outside
evil() {
	evil_name=$1 evil_part=$2
	exits_with 4 "refused: $evil_name" image import rootfs:evil.tar
	contains "$stderr" "$evil_part" "and says why"
	is "$(find outside -mindepth 1)" "" "nothing came out"
}
tar -P -C evil -cf evil.tar --transform 's,^f,/tmp/insula-evil,' f
evil "an absolute name" "absolute"
tar -P -C evil -cf evil.tar --transform 's,^f,../outside/f,' f
evil "a name with .." '".."'
tar -C evil -cf evil.tar out
tar -C evil -rf evil.tar --transform 's,^f,out/f,' f
evil "a member through a link" "a link or a file"
mknod evil/null c 1 3
tar -C evil -cf evil.tar null
evil "a device node" "device node"
exits_with 4 "refused: a device node in a folder" image import rootfs:evil
rm evil/null
tar -C evil -cf evil.tar --owner=100000 --numeric-owner f
evil "an owner that no instance has" "owner"
head -c 100 one.tgz >evil.tar
evil "half an archive" "damaged"

succeeds "all of it goes" image prune --all
is "$(find "$INSULA_STATE_DIR/images" -mindepth 2)" "" "and nothing is left"
done_testing
