#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of the guest: finds the disks, lays the root together, runs the test, tells its status, ends the machine.
# Runs twice: from the initramfs, and again (argument "root") in the root.

bb=/bin/busybox

die() {
	echo "guest: $*" >/dev/console
	$bb reboot -f
}

port() {
	for entry in /sys/class/virtio-ports/*; do
		[ "$($bb cat "$entry/name")" != "$1" ] || echo "/dev/${entry##*/}"
	done
}

if [ "${1:-}" != root ]; then
	$bb mount -t proc proc /proc
	$bb mount -t sysfs sys /sys
	$bb mount -t devtmpfs dev /dev
	for module in /m/*.ko; do
		$bb insmod "$module" || echo "guest: cannot load $module"
	done
	$bb mount -t squashfs -o ro /dev/vda /low || die "no root"
	$bb mount -t ext4 /dev/vdb /rw || die "no disk"
	$bb mkdir -p /rw/upper /rw/work /rw/tmp /rw/var/lib /rw/var/tmp /rw/run
	$bb chmod 1777 /rw/tmp /rw/var/tmp
	$bb mount -t overlay -o lowerdir=/low,upperdir=/rw/upper,workdir=/rw/work root /root || die "no overlay"
	for name in tmp var run; do
		$bb mount --bind "/rw/$name" "/root/$name"
	done
	for name in proc sys dev; do
		$bb mount --move "/$name" "/root/$name"
	done
	$bb cp /init /root/opt/insula/init
	exec $bb switch_root /root /opt/insula/init root
fi

bb=/usr/bin/busybox
[ -x $bb ] || bb=/bin/busybox
$bb mkdir -p /dev/pts /dev/shm
$bb mount -t devpts -o gid=0,mode=620,ptmxmode=666 devpts /dev/pts
$bb mount -t tmpfs -o mode=1777 shm /dev/shm
$bb ln -sf /proc/self/fd /dev/fd
# as udev does: opening one of these nodes loads its module
while read -r module name device; do
	case $module in "#"*) continue ;; esac
	numbers=${device#?}
	$bb mkdir -p "/dev/$($bb dirname "$name")"
	[ -e "/dev/$name" ] || $bb mknod "/dev/$name" "${device%%[0-9]*}" "${numbers%:*}" "${numbers#*:}"
done <"/lib/modules/$($bb uname -r)/modules.devname"
$bb mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup || die "no cgroup2"
$bb hostname guest
$bb ip link set lo up
if $bb ip link set eth0 up 2>/dev/null; then
	$bb ip addr add 10.0.2.15/24 dev eth0
	$bb ip route add default via 10.0.2.2
fi

output=$(port insula.output)
[ -n "$output" ] || die "no port for the output"
cd /opt/insula/source || die "no source"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM=dumb
export INSULA=/opt/insula/insula INSULA_TEST_SOURCE=/opt/insula/source INSULA_TEST_BUILD=/opt/insula INSULA_TEST_GUEST=1
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
while IFS= read -r line; do export "${line?}"; done </opt/insula/environment
set --
while IFS= read -r line; do set -- "$@" "$line"; done </opt/insula/arguments
# by their paths: this shell takes its own applets for names
/usr/bin/setsid --wait /usr/bin/sh "$@" >"$output" 2>&1 </dev/null
echo $? >"$(port insula.status)"
$bb sync
$bb reboot -f
