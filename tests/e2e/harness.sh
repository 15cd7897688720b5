#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The harness itself: its assertions, and that a snapshot of the machine sees everything that insula could leave.
. "$(dirname "$0")/lib.sh"
need_root
need_program ip nft nsenter losetup
deployment_start

# sees NAME PATTERN: the snapshot differs from before, in a line like this
sees() {
	machine_snapshot >"$TEST_DIR/with"
	diff "$TEST_DIR/before" "$TEST_DIR/with" | grep -q "^> $2"
	result $? "$1"
}

run sh -c 'echo out; echo err >&2; exit 3'
is "$status $stdout $stderr" "3 out err" "run keeps status and both outputs"
check "wait_for sees what comes" wait_for 5 test -d "$TEST_DIR"
if wait_for 1 false; then fail "wait_for gives up"; else pass "wait_for gives up"; fi
is "$( (fail x; true) | tail -n 1 | cut -d ' ' -f 1,2)" "not ok" "a failure is told"

machine_snapshot >"$TEST_DIR/before"
machine_is_as "$TEST_DIR/before" "nothing changed"

link=$(uplink_name)
ip link add "$link" type veth peer name insr0
sees "a link is seen" "link host $link"
ip link delete "$link"

mkdir -p "$INSULA_RUN_DIR/n"
: >"$INSULA_RUN_DIR/n/router"
unshare "--net=$INSULA_RUN_DIR/n/router" true
sees "a namespace without a process is seen" "namespace net:.* $INSULA_RUN_DIR/n/router"
nsenter "--net=$INSULA_RUN_DIR/n/router" ip link add "$link" type veth peer name insr0
sees "a link in it is seen" "link net:.* $link"
umount "$INSULA_RUN_DIR/n/router"

table=insula_$(printf %s "$DEPLOYMENT" | tr - _)
nft add table inet "$table"
sees "a table of rules is seen" "rule host inet $table:"
nft delete table inet "$table"

mkdir "$INSULA_RUN_DIR/m"
mount -t tmpfs -o size=64k none "$INSULA_RUN_DIR/m"
sees "a mount is seen" "mount $INSULA_RUN_DIR/m / tmpfs"
umount "$INSULA_RUN_DIR/m"

truncate -s 1M "$INSULA_STATE_DIR/image"
if loop=$(losetup -f --show "$INSULA_STATE_DIR/image" 2>/dev/null); then
	sees "a loop device is seen" "loop $INSULA_STATE_DIR/image"
	losetup -d "$loop"
else
	skip "a loop device is seen" "this machine has no loop devices"
fi

hierarchy=$(awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5 }' /proc/self/mountinfo | head -n 1)
mkdir -p "$hierarchy/insula/$DEPLOYMENT"
sees "a cgroup is seen" "cgroup $hierarchy/insula/$DEPLOYMENT"
rmdir "$hierarchy/insula/$DEPLOYMENT"
rmdir "$hierarchy/insula" 2>/dev/null

sh -c 'sleep 60; exit' "$INSULA_RUN_DIR/monitor" &
pid=$!
sees "a process is seen" "process sh sh -c sleep 60; exit $INSULA_RUN_DIR/monitor"
for child in $pid $(cat "/proc/$pid/task/$pid/children"); do kill -KILL "$child"; done
wait "$pid" 2>/dev/null

machine_is_as "$TEST_DIR/before" "all of it is gone again"
done_testing
