#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# neighbours: what a tenant keeps of its share while another one misbehaves: a fork bomb, a memory hog, a CPU hog, a disk
# filler, a disk-bandwidth hog, a packet flood. The share is its limit, or its solo rate divided by the tenants, whichever
# is less; the neighbour should keep 0.9 of it. Solo and disturbed runs alternate; the figure is the median of the ratios.
# Where this kernel has no control for a resource, that is said beside the figure.
# `connects` (only when named) opens TCP connections without end: what is known to take more than its share, see docs/local.md.
# The neighbour's limits are the whole machine's, so its share is half of its solo rate; one that cannot use half loses nothing.
# usage: neighbours.sh [HOG...]     INSULA: the program; ROUNDS: pairs of runs (3); SECONDS_EACH: length of one run (3)
set -eu
cd "$(dirname "$0")/.."

insula=${INSULA:-$PWD/build/insula}
rounds=${ROUNDS:-3}
length=${SECONDS_EACH:-3}
[ $# -gt 0 ] || set -- forks memory cpu fill disk flood
[ "$(id -u)" = 0 ] || { echo "neighbours: needs root" >&2; exit 5; }
[ -x /usr/bin/python3 ] || { echo "neighbours: needs /usr/bin/python3" >&2; exit 1; }
[ -x /bin/busybox ] || { echo "neighbours: needs /bin/busybox (package busybox-static)" >&2; exit 1; }

work=$(mktemp -d /var/tmp/insula-neighbours.XXXXXX)
places="--state-dir $work/state --run-dir /run/insula-neighbours-$$"
here() { command=$1; shift; "$insula" "$command" $places "$@"; }
inside() { who=$1; shift; here exec --deployment bench-neighbours "$who" -- /bin/sh -c "$*"; }
up=0
clean() {
	[ $up = 0 ] || here destroy --deployment bench-neighbours --all --yes --delete-data --quiet || true
	rm -rf "$work"
	rmdir "/run/insula-neighbours-$$" 2>/dev/null || true
}
trap clean EXIT
trap 'exit 130' INT TERM

mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/proc" "$work/root/dev" "$work/root/sys" "$work/root/tmp"
cp /bin/busybox "$work/root/bin/busybox"
for name in sh sleep dd cat date nc rm head yes timeout; do ln -s busybox "$work/root/bin/$name"; done
cat >"$work/root/bin/count" <<-'END'
	#!/bin/sh
	# how many units of work are done: count SECONDS WORKERS COMMAND; the command is one unit
	seconds=$1 workers=$2 end=$(($(date +%s) + $1))
	work() {
		n=0
		while [ "$(date +%s)" -lt $end ]; do sh -c "$1" >/dev/null 2>&1 && n=$((n + 1)); done
		echo $n
	}
	while [ $workers -gt 0 ]; do
		work "$3" &
		workers=$((workers - 1))
	done
	wait
END
chmod 755 "$work/root/bin/count"

cores=$(nproc)
{
	printf 'apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: bench-neighbours}\nspec: {driver: local}\n'
	for name in good bad; do
		image=bench
		[ $name = good ] || image=host	# python floods faster than a shell
		printf -- '---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: %s}\nspec:\n  quota: {cpu: %sm, memory: 256Mi, storage: 128Mi, instances: 2}\n' $name $((cores * 500))
		printf '  limit: {cpu: %s, memory: 256Mi, storage: 128Mi, pids: 128, networkBandwidth: 50Mi, diskBandwidth: 40Mi}\n' "$cores"
		printf -- '---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: %s}\nspec:\n  image: %s\n  command: [/bin/sleep, "1000000000"]\n  restart: always\n' $name $image
		printf '  volumes: [{name: data, mountPath: /data, keep: false}]\n  resources: {cpu: %s, memory: 256Mi}\n' "$cores"
	done
	printf -- '---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: sink, tenant: good}\nspec:\n  image: bench\n  command: [/bin/sh, -c, "while :; do nc -l -p 7000 >/dev/null; done"]\n'
	printf '  restart: always\n  resources: {cpu: %s, memory: 64Mi}\n' "$cores"
} >"$work/lab.yaml"
here image import "rootfs:$work/root" --name bench --quiet >/dev/null
up=1
here apply "$work/lab.yaml" --quiet --accept >/dev/null 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
address_of() { inside "$1" 'cat /etc/hosts' | awk '$1 !~ /^127\./ && $1 !~ /:/ { print $1; exit }'; }
gateway=$(inside bad/w 'cat /etc/resolv.conf' | awk '$1 == "nameserver" { print $2; exit }')
sink=$(address_of good/sink)
neighbour=$(address_of good/w)

# units of work that the neighbour gets done, of the kind that the hog would take from it
measure() {
	case $1 in
	cpu | forks) inside good/w "count $length $cores 'dd if=/dev/zero of=/dev/null bs=64k count=2000'" ;;
	memory) inside good/w "count $length 1 'dd if=/dev/zero of=/dev/null bs=64M count=1'" ;;
	fill | disk) inside good/w "count $length 1 'dd if=/dev/zero of=/data/file bs=1M count=4 conv=fsync'" ;;
	flood | connects) inside good/w "count $length 1 'head -c 4000000 /dev/zero | nc -w 2 $sink 7000'" ;;
	esac | awk '{ n += $1 } END { print n + 0 }'
}

# One after the other until the time is over: what kills its instance is started again.
hog() {
	end=$(($(date +%s) + length + 2))
	while left=$((end - $(date +%s))) && [ $left -gt 0 ]; do
		case $1 in
		forks) inside bad/w "timeout $left sh -c 'f() { f | f & f; }; f'" ;;
		memory) inside bad/w "timeout $left python3 -c 'kept = []
while True: kept.append(bytearray(b\"x\" * (1 << 20)))'" ;;
		cpu) inside bad/w "i=0; while [ \$i -lt $((cores * 4)) ]; do timeout $left sh -c 'while :; do :; done' & i=\$((i + 1)); done; wait" ;;
		fill) inside bad/w "timeout $left sh -c 'while :; do dd if=/dev/zero of=/data/full bs=1M; done'" ;;
		disk) inside bad/w "timeout $left sh -c 'while :; do dd if=/dev/zero of=/data/big bs=1M count=64 conv=fsync; done'" ;;
		connects) inside bad/w "i=0; while [ \$i -lt $cores ]; do timeout $left python3 -c 'import socket
to = [(a, 9) for a in (\"$gateway\", \"$neighbour\", \"$sink\")]
while True:
    for a in to:
        s = socket.socket(); s.setblocking(False)
        try: s.connect(a)
        except OSError: pass
        s.close()' & i=\$((i + 1)); done; wait" ;;
		flood) inside bad/w "i=0; while [ \$i -lt $cores ]; do timeout $left python3 -c 'import socket
s, to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), [(a, 9) for a in (\"$gateway\", \"$neighbour\", \"$sink\")]
while True:
    for a in to:
        try: s.sendto(b\"x\" * 64, a)
        except OSError: pass' & i=\$((i + 1)); done; wait" ;;
		esac >/dev/null 2>&1 || sleep 0.2
	done
}

control() {
	v2=$(awk '$9 == "cgroup2" || $0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	case $1 in
	disk | fill) grep -qw io "$v2/cgroup.controllers" 2>/dev/null && echo 'io.max of the tenant' || echo 'cgroup v1: no total of a tenant in the kernel; a limit an instance' ;;
	memory) grep -qw memory "$v2/cgroup.controllers" 2>/dev/null && echo 'memory.max of the tenant' || echo 'cgroup v1: memory.limit_in_bytes; no guarantee in the kernel' ;;
	cpu | forks) echo 'cpu weight and pids.max of the tenant' ;;
	connects) echo 'none: the kernel frees sockets in interrupts' ;;
	flood) echo "datagrams cost their sender's CPU share; rate of the bridge" ;;
	esac
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

printf '%-8s %10s %10s %10s %10s   %s\n' hog solo beside 'of share' verdict 'control in this kernel'
for what in "$@"; do
	: >"$work/solo"; : >"$work/beside"; : >"$work/ratio"
	for round in $(seq "$rounds"); do
		solo=$(measure "$what")
		hog "$what" &
		hog_pid=$!
		sleep 1
		beside=$(measure "$what")
		wait $hog_pid || true
		inside bad/w 'rm -f /data/full /data/big' >/dev/null 2>&1 || true
		echo "$solo" >>"$work/solo"; echo "$beside" >>"$work/beside"
		awk -v s="$solo" -v b="$beside" -v d=2 'BEGIN { print (s > 0 ? b * d / s : 0) }' >>"$work/ratio"
	done
	ratio=$(median <"$work/ratio")
	printf '%-8s %8s/s %8s/s %10.2f %10s   %s\n' "$what" "$(($(median <"$work/solo" | cut -d. -f1) / length))" "$(($(median <"$work/beside" | cut -d. -f1) / length))" \
		"$ratio" "$(awk -v r="$ratio" 'BEGIN { print (r >= 0.9 ? "kept" : "LESS") }')" "$(control "$what")"
done
grep -i 'not enforced' "$work/said" | sort -u || true
