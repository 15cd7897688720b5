#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# Images and the deployments that use them: what is in use stays, what a plan saw is what runs, layers lie over each other.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/islands.inc"
need_root
need_program busybox
[ -x "$INSULA" ] || skip_all "the program is not built"
deployment_start
cd "$TEST_DIR" || exit 1
machine_snapshot >"$TEST_DIR/before"
image() { "$INSULA" image "$@"; }

tiny_rootfs tiny
file_of() {
	site_document 'addressPool: 10.214.0.0/16'
	tenant_document red
	workload_document red stay '[sleep, infinity]' | sed "s|rootfs:./tiny|$1|"
}
runs() { "$INSULA" status --json 2>/dev/null | grep -q '"state":"running"'; }

file_of rootfs:./tiny >lab.yaml
succeeds "an image under a name" image import rootfs:tiny --name kept
digest=${stdout%% *}
echo "something else" >tiny/etc/more
succeeds "another" image import rootfs:tiny --name unused
file_of kept >named.yaml
succeeds "apply of a file that names it" "$INSULA" apply named.yaml
check "it runs" wait_for 20 runs
run image list
is "$(echo "$stdout" | awk '$1 == "kept" { print $NF }')" "$DEPLOYMENT" "the list says who uses it"
is "$(echo "$stdout" | awk '$1 == "unused" { print $NF }')" "-" "and who does not"
succeeds "prune --all" image prune --all
run image list
is "$(echo "$stdout" | awk 'NR > 1 { print $1 }')" kept "takes only what nobody uses"
succeeds "the name of what is in use is removed" image remove kept
contains "$stderr" "used by $DEPLOYMENT" "and said to stay"
succeeds "prune after that" image prune --all
run image list --json
contains "$stdout" "$digest" "still keeps it"
succeeds "and it still runs" "$INSULA" exec red/stay -- true

# --- a plan pins what it saw
succeeds "a plan" "$INSULA" plan -o planned lab.yaml
echo "changed after the plan" >tiny/etc/more
run "$INSULA" apply planned
is "$([ "$status" -ne 0 ] && echo refused)" refused "is refused when the image changed since"
contains "$stderr" plan "and says to plan again"

# --- layers, seen from inside
case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*) machine=$(uname -m) ;;
esac
mkdir -p over/etc over/bin save
echo upper >over/etc/layer
: >over/etc/.wh.more
tar -C tiny -cf save/lower.tar .
tar -C over -cf save/upper.tar .
printf '{"architecture":"%s","os":"linux","config":{"Env":["FROM=image"],"WorkingDir":"/etc"},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
	"$machine" "$(sha256sum save/lower.tar | cut -d ' ' -f 1)" "$(sha256sum save/upper.tar | cut -d ' ' -f 1)" >save/config.json
echo '[{"Config":"config.json","RepoTags":["two:latest"],"Layers":["lower.tar","upper.tar"]}]' >save/manifest.json
tar -C save -cf saved.tar lower.tar upper.tar config.json manifest.json
file_of docker-archive:./saved.tar >layers.yaml
succeeds "an image of two layers" "$INSULA" apply layers.yaml
check "runs" wait_for 20 runs
run "$INSULA" exec red/stay -- cat /etc/layer
is "$stdout" upper "its upper layer is seen"
run "$INSULA" exec red/stay -- ls /etc
is "$(echo "$stdout" | tr '\n' ' ' | grep -c more)" 0 "and hides what it says"
run "$INSULA" exec red/stay -- sh -c 'echo mine >/etc/layer && cat /etc/layer'
is "$stdout" mine "what is written stays inside"
is "$(cat "$INSULA_STATE_DIR/images/layers/$(sha256sum save/upper.tar | cut -d ' ' -f 1)/etc/layer")" upper "the layer is as it was"
run "$INSULA" exec red/stay -- sh -c 'ls -ln /etc/passwd'
is "$(echo "$stdout" | awk '{ print $3 }')" 0 "its files are root's inside"

succeeds "destroy" "$INSULA" destroy --all --yes --delete-data
succeeds "prune when all is gone" image prune --all
is "$(find "$INSULA_STATE_DIR/images" -mindepth 2)" "" "leaves nothing"
machine_is_as "$TEST_DIR/before" "the machine is as before"
done_testing
