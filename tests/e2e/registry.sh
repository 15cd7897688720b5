#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# Images from a registry: Debian's docker-registry with TLS of its own on loopback, filled by plain PUTs, and pulls that are killed.
# INSULA_TEST_FULL=1: an image of 300 MB and 20 kills; else 30 MB and 2.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/islands.inc"

need_root
need_program busybox docker-registry openssl curl python3 sha256sum tar
[ -x "$INSULA" ] || skip_all "the program is not built"
deployment_start
cd "$TEST_DIR" || exit 1
image() { "$INSULA" image "$@"; }
seed=${INSULA_TEST_SEED:-1}
if [ "${INSULA_TEST_FULL:-}" = 1 ]; then kills=20 layer_mb=75; else kills=2 layer_mb=8; fi
say "seed $seed, $kills kills, 4 layers of $layer_mb MB"
case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*) machine=$(uname -m) ;;
esac

# --- the registry ----------------------------------------------------------------------------------------------

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
at=127.0.0.1:$port
certs=/etc/docker/certs.d/$at
docker_made=
for folder in /etc/docker /etc/docker/certs.d; do [ -d "$folder" ] || docker_made="$folder $docker_made"; done
registry_end() {
	[ -z "${registry_pid:-}" ] || { kill "$registry_pid" 2>/dev/null; wait "$registry_pid" 2>/dev/null; }
	rm -f "$certs/ca.crt"
	rmdir "$certs" $docker_made 2>/dev/null
}
trap 'registry_end; test_end' EXIT

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=insula-test -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null
cat >registry.yaml <<-END
	version: 0.1
	log: {level: error, accesslog: {disabled: true}}
	storage: {filesystem: {rootdirectory: $TEST_DIR/registry}}
	http: {addr: "$at", tls: {certificate: $TEST_DIR/cert.pem, key: $TEST_DIR/key.pem}}
END
docker-registry serve registry.yaml >registry.log 2>&1 &
registry_pid=$!
http() { curl -sf --cacert cert.pem "$@"; }
wait_for 15 http "https://$at/v2/" || { sed 's/^/# /' registry.log | head; fail "the registry runs"; done_testing; }

# push_blob REPOSITORY FILE
push_blob() {
	blob_hash=$(sha256sum "$2" | cut -d ' ' -f 1)
	place=$(http -X POST -D - -o /dev/null "https://$at/v2/$1/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
	case $place in *\?*) place="$place&" ;; *) place="$place?" ;; esac
	http -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" -o /dev/null "${place}digest=sha256:$blob_hash" || fail "push of $2"
	echo "$blob_hash"
}
size_of() { wc -c <"$1" | tr -d ' '; }
# push_manifest REPOSITORY REFERENCE TYPE FILE
push_manifest() { http -X PUT -H "Content-Type: $3" --data-binary "@$4" -o /dev/null "https://$at/v2/$1/manifests/$2"; }

# push_image REPOSITORY TAG FILE.tar...: Docker's types; the manifest is left in manifest.json
push_image() {
	push_name=$1 push_tag=$2
	shift 2
	ids='' layers=''
	for file in "$@"; do
		case $file in
		*.tgz) id=$(gzip -dc "$file" | sha256sum | cut -d ' ' -f 1) ;;
		*) id=$(sha256sum "$file" | cut -d ' ' -f 1) ;;
		esac
		ids="$ids${ids:+,}\"sha256:$id\""
		layers="$layers${layers:+,}{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"size\":$(size_of "$file"),\"digest\":\"sha256:$(push_blob "$push_name" "$file")\"}"
	done
	printf '{"architecture":"%s","os":"linux","config":{"Cmd":["/bin/true"]},"rootfs":{"type":"layers","diff_ids":[%s]}}' "$machine" "$ids" >config.json
	printf '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":%s,"digest":"sha256:%s"},"layers":[%s]}' \
		"$(size_of config.json)" "$(push_blob "$push_name" config.json)" "$layers" >manifest.json
	push_manifest "$push_name" "$push_tag" application/vnd.docker.distribution.manifest.v2+json manifest.json
}

mkdir -p one/etc
echo base >one/etc/base
tar -C one -cf one.tar .
gzip -nc one.tar >one.tgz
check "an image is pushed" push_image team/small v1 one.tgz
small=sha256:$(sha256sum manifest.json | cut -d ' ' -f 1)

# --- pulling ---------------------------------------------------------------------------------------------------

exits_with 1 "a certificate that nobody trusts is refused" image import "docker://$at/team/small:v1"
contains "$stderr" "certs.d/$at/ca.crt" "and the hint says where its CA belongs"
mkdir -p "$certs"
cp cert.pem "$certs/ca.crt"
succeeds "pulled by tag" image import "docker://$at/team/small:v1" --name small
contains "$stdout" "$small" "its digest is the manifest's"
is "$(find "$INSULA_STATE_DIR/images/pull" -mindepth 1)" "" "nothing is left of the pull"
is "$(cat "$INSULA_STATE_DIR"/images/layers/*/etc/base)" base "its layer is unpacked"
exits_with 1 "a tag that is not there" image import "docker://$at/team/small:v2"
contains "$stderr" "check the name and the tag" "and a hint"
exits_with 1 "a digest that is not there" image import "docker://$at/team/small@sha256:$(printf x | sha256sum | cut -d ' ' -f 1)"
exits_with 4 "what is no reference" image import "docker://$at/UPPER"

# an index: the variant of this machine is chosen
printf '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":%s,"digest":"%s","platform":{"os":"linux","architecture":"%s"}}]}' \
	"$(size_of manifest.json)" "$small" "$machine" >index.json
check "an index is pushed" push_manifest team/small many application/vnd.docker.distribution.manifest.list.v2+json index.json
succeeds "pulled through an index" image import "docker://$at/team/small:many"
contains "$stdout" "$small" "it is this machine's manifest"

# --- in a file: the plan pins the digest, apply pulls by it -----------------------------------------------------

{
	site_document
	printf 'apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: a}\nspec: {trust: trusted}\n---\n'
	printf 'apiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: a}\nspec:\n  method: container\n  image: "docker://%s/team/small:v1"\n  command: [/bin/true]\n' "$at"
} >lab.yaml
image prune --all >/dev/null 2>&1
run "$INSULA" plan lab.yaml --json
contains "$stdout" "$small" "the plan resolves the tag"
is "$(find "$INSULA_STATE_DIR/images/layers" -mindepth 1)" "" "and fetches nothing"

tiny_rootfs tiny
tar -C tiny -cf tiny.tar .
gzip -nc tiny.tar >tiny.tgz
check "an image with a shell is pushed" push_image team/tiny v1 tiny.tgz
tiny=sha256:$(sha256sum manifest.json | cut -d ' ' -f 1)
{
	site_document 'addressPool: 10.213.0.0/16'
	tenant_document a
	workload_document a w '[sh, -c, "echo from the registry; sleep 1000"]'
} | sed "s#image: .*#image: 'docker://$at/team/tiny:v1'#" >lab.yaml
sed "s#tiny:v1#tiny@$tiny#" lab.yaml >pinned.yaml
said() { "$INSULA" logs a/w 2>/dev/null | grep -q 'from the registry'; }
succeeds "apply pulls and runs" "$INSULA" apply lab.yaml
wait_for 10 said
check "it ran" said
exits_with 0 "a second plan changes nothing" "$INSULA" plan --check lab.yaml
succeeds "the same by its digest" "$INSULA" apply pinned.yaml
kill "$registry_pid"
wait "$registry_pid" 2>/dev/null
registry_pid=
exits_with 0 "which then holds without the registry" "$INSULA" plan --check pinned.yaml
exits_with 4 "by tag the plan says that the registry does not answer" "$INSULA" plan lab.yaml
contains "$stderr" "$at" "by its name"
succeeds "and is taken down without it" "$INSULA" destroy --all --yes --delete-data
docker-registry serve registry.yaml >registry.log 2>&1 &
registry_pid=$!
wait_for 15 http "https://$at/v2/"

# --- killed ----------------------------------------------------------------------------------------------------

files=''
for i in 1 2 3 4; do
	mkdir -p "big$i/data"
	python3 -c 'import random, sys; r = random.Random(int(sys.argv[2])); [sys.stdout.buffer.write(r.randbytes(1 << 20)) for _ in range(int(sys.argv[1]))]' \
		"$layer_mb" "$i" >"big$i/data/part$i"
	tar -C "big$i" -cf "big$i.tar" .
	files="$files big$i.tar"
done
# shellcheck disable=SC2086
check "a large image is pushed" push_image team/big v1 $files
big=sha256:$(sha256sum manifest.json | cut -d ' ' -f 1)
start=$(date +%s%N)
succeeds "a whole pull, for its time" image import "docker://$at/team/big:v1"
whole_ms=$((($(date +%s%N) - start) / 1000000))
image prune --all >/dev/null 2>&1

# Each pull goes on where the last was killed, so that some are done before their moment: those do not count, and the next begins anew.
hit=0 half=0 wrong=0 ended=0
for delay in $(python3 -c 'import random, sys; r = random.Random(int(sys.argv[1])); print(*("%.3f" % (r.uniform(0.02, 0.95) * int(sys.argv[3]) / 1000) for _ in range(int(sys.argv[2]) * 5)))' "$seed" "$kills" "$whole_ms"); do
	[ "$hit" -lt "$kills" ] || break
	"$INSULA" image import "docker://$at/team/big:v1" >/dev/null 2>&1 </dev/null &
	pull_pid=$!
	sleep "$delay"
	kill -KILL "$pull_pid" 2>/dev/null
	pull_status=0
	wait "$pull_pid" 2>/dev/null || pull_status=$?
	if [ "$pull_status" = 137 ]; then hit=$((hit + 1)); else ended=$((ended + 1)); fi
	[ -z "$(find "$INSULA_STATE_DIR/images/pull" -type f)" ] || half=$((half + 1))
	# what is called complete is complete
	for layer in "$INSULA_STATE_DIR"/images/layers/*.json; do
		[ -d "${layer%.json}" ] || continue
		[ "$(find "${layer%.json}/data" -type f -size "$((layer_mb * 1024))k" | wc -l)" = 1 ] || wrong=$((wrong + 1))
	done
	if [ -e "$INSULA_STATE_DIR/images/images/${big#sha256:}.json" ]; then image prune --all >/dev/null 2>&1; fi
done
say "a whole pull took $whole_ms ms; $hit pulls killed, $half of them with files under way; $ended done before their moment"
is "$hit" "$kills" "pulls were killed"
is "$wrong" 0 "no half layer is ever called complete"
succeeds "after all of them a pull converges" image import "docker://$at/team/big:v1"
contains "$stdout" "$big" "to the same image"
same=0
for i in 1 2 3 4; do cmp -s "$(find "$INSULA_STATE_DIR/images/layers" -name "part$i")" "big$i/data/part$i" && same=$((same + 1)); done
is "$same" 4 "with every byte of it"
is "$(find "$INSULA_STATE_DIR/images/pull" -mindepth 1)" "" "and nothing is left of the pulls"

# what an interrupted pull leaves is pruned
image prune --all >/dev/null 2>&1
mkdir -p "$INSULA_STATE_DIR/images/pull/${big#sha256:}/blobs/sha256"
head -c 100000 big1.tar >"$INSULA_STATE_DIR/images/pull/${big#sha256:}/blobs/sha256/x.partial"
succeeds "prune takes partial files" image prune
contains "$stdout" "leftover ${big#sha256:}" "and says so"
is "$(find "$INSULA_STATE_DIR/images/pull" -mindepth 1)" "" "they are gone"
done_testing
