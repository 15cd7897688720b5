#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the guest: is it what the tests in it take for granted?
. "$(dirname "$0")/../e2e/lib.sh"

[ "${INSULA_TEST_GUEST:-}" = 1 ] || skip_all "this is not the guest"
is "$(stat -fc %T /sys/fs/cgroup)" cgroup2fs "control groups are version 2"
is "$(awk '$(NF-2) == "cgroup"' /proc/self/mountinfo)" "" "no hierarchy of version 1 is mounted"
for controller in cpu memory pids io cpuset; do
	check "the $controller controller is there" grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers
done
mkdir "$TEST_DIR/l" "$TEST_DIR/u" "$TEST_DIR/w" "$TEST_DIR/m"
check "an overlay can be mounted on the disk" mount -t overlay -o "lowerdir=$TEST_DIR/l,upperdir=$TEST_DIR/u,workdir=$TEST_DIR/w" o "$TEST_DIR/m"
umount "$TEST_DIR/m"
truncate -s 8M "$TEST_DIR/image"
check "a file system can be made" mke2fs -F -q -t ext4 "$TEST_DIR/image"
check "a loop device works" mount -o loop "$TEST_DIR/image" "$TEST_DIR/m"
umount "$TEST_DIR/m"
check "links can be made" ip link add insa0 type veth peer name insa1
check "bridges can be made" ip link add insb0 type bridge
check "rules can be made" nft 'add table inet t; add chain inet t c { type nat hook postrouting priority 100; }; add rule inet t c masquerade'
check "rules of bridges can be made" nft 'add table bridge t; add chain bridge t c { type filter hook forward priority 0; }; add rule bridge t c ether type ip drop'
check "user namespaces work" unshare --user --map-root-user true
succeeds "the container runtime runs" crun --version
if [ -x "$INSULA" ]; then
	succeeds "the program of the build runs" "$INSULA" --version
fi
is "$(ip -o route show default | awk '{ print $5 }')" eth0 "there is an uplink"
done_testing
