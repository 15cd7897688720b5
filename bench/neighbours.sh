#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# neighbours: what a tenant keeps of its share while another one misbehaves: a fork bomb, a memory hog, a CPU hog, a disk
# filler, a disk-bandwidth hog, a packet flood. The share is its limit, or its solo rate divided by the tenants, whichever
# is less; the neighbour should keep 0.9 of it. Solo and disturbed runs alternate; the figure is the median of the ratios.
# Where this kernel has no control for a resource, that is said beside the figure.
# usage: neighbours.sh [HOG...]     INSULA: the program; ROUNDS: pairs of runs (3); SECONDS_EACH: length of one run (3)
set -eu
cd "$(dirname "$0")/.."

insula=${INSULA:-$PWD/build/insula}
rounds=${ROUNDS:-3}
length=${SECONDS_EACH:-3}
[ $# -gt 0 ] || set -- forks memory cpu fill disk flood
[ "$(id -u)" = 0 ] || { echo "neighbours: needs root" >&2; exit 5; }
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
for name in sh sleep dd cat date nc rm sync head yes wc kill true timeout; do ln -s busybox "$work/root/bin/$name"; done
cat >"$work/root/bin/count" <<-'END'
	#!/bin/sh
	# units of work a second: count SECONDS COMMAND...; the command is one unit
	seconds=$1; shift; n=0
	end=$(($(date +%s) + seconds))
	while [ "$(date +%s)" -lt "$end" ]; do "$@" >/dev/null 2>&1 && n=$((n + 1)); done
	echo $n
END
chmod 755 "$work/root/bin/count"

cores=$(nproc)
{
	printf 'apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: bench-neighbours}\nspec: {driver: local}\n'
	for name in good bad; do
		printf -- '---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: %s}\nspec:\n  quota: {cpu: %sm, memory: 256Mi, storage: 128Mi, instances: 2}\n' $name $((cores * 500))
		printf '  limit: {cpu: %s, memory: 256Mi, storage: 128Mi, pids: 128, networkBandwidth: 50Mi, diskBandwidth: 40Mi}\n' "$cores"
		printf -- '---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: %s}\nspec:\n  image: bench\n  command: [/bin/sleep, "1000000000"]\n  restart: always\n' $name
		printf '  volumes: [{name: data, mountPath: /data, keep: false}]\n  resources: {cpu: %s, memory: 256Mi}\n' "$cores"
	done
} >"$work/lab.yaml"
here image import "rootfs:$work/root" --name bench --quiet >/dev/null
up=1
here apply "$work/lab.yaml" --quiet --accept >/dev/null 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
gateway=$(inside bad/w 'cat /etc/resolv.conf' | sed -n 's/^nameserver //p' | head -n 1)

# what the neighbour does while it is measured, by hog: units a second that the hog would take from it
measure() {
	case $1 in
	fill | disk) inside good/w "count $length dd if=/dev/zero of=/data/file bs=1M count=4 conv=fsync; rm -f /data/file" ;;
	memory) inside good/w "count $length dd if=/dev/zero of=/tmp/file bs=1M count=16; rm -f /tmp/file" ;;
	flood) inside good/w "count $length nc -z -w 1 $own 53" ;;
	*) inside good/w "count $length dd if=/dev/zero of=/dev/null bs=64k count=2000" ;;
	esac
}
own=$(inside good/w 'cat /etc/resolv.conf' | sed -n 's/^nameserver //p' | head -n 1)

hog() {
	t=$((length + 2))
	case $1 in
	forks) inside bad/w "timeout $t sh -c 'f() { f | f & f; }; f'" ;;
	memory) inside bad/w "timeout $t sh -c 'while :; do head -c 1000000000 /dev/zero | { x=\$(cat); }; done'" ;;
	cpu) inside bad/w "i=0; while [ \$i -lt $((cores * 4)) ]; do timeout $t sh -c 'while :; do :; done' & i=\$((i + 1)); done; wait" ;;
	fill) inside bad/w "timeout $t sh -c 'while :; do dd if=/dev/zero of=/data/full bs=1M; done'" ;;
	disk) inside bad/w "timeout $t sh -c 'while :; do dd if=/dev/zero of=/data/big bs=1M count=64 conv=fsync; done'" ;;
	flood) inside bad/w "i=0; while [ \$i -lt 4 ]; do timeout $t sh -c 'yes 12345678901234567890 | nc -u -w 1 $gateway 9' & i=\$((i + 1)); done; wait" ;;
	esac >/dev/null 2>&1 || true
}

# divided: where two tenants that both want all get half each; else the neighbour loses nothing
shares() { case $1 in cpu | forks | memory | flood | disk | fill) echo 2 ;; esac; }

control() {
	v2=$(awk '$9 == "cgroup2" || $0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
	case $1 in
	disk | fill) grep -qw io "$v2/cgroup.controllers" 2>/dev/null && echo 'io.max of the tenant' || echo 'cgroup v1: no total of a tenant in the kernel; a limit an instance' ;;
	memory) grep -qw memory "$v2/cgroup.controllers" 2>/dev/null && echo 'memory.max of the tenant' || echo 'cgroup v1: memory.limit_in_bytes; no guarantee in the kernel' ;;
	cpu | forks) echo 'cpu weight and pids.max of the tenant' ;;
	flood) echo 'rate of the bridge (nftables); connections a tenant' ;;
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
		awk -v s="$solo" -v b="$beside" -v d="$(shares "$what")" 'BEGIN { print (s > 0 ? b * d / s : 0) }' >>"$work/ratio"
	done
	ratio=$(median <"$work/ratio")
	printf '%-8s %8s/s %8s/s %10.2f %10s   %s\n' "$what" "$(($(median <"$work/solo" | cut -d. -f1) / length))" "$(($(median <"$work/beside" | cut -d. -f1) / length))" \
		"$ratio" "$(awk -v r="$ratio" 'BEGIN { print (r >= 0.9 ? "kept" : "LESS") }')" "$(control "$what")"
done
grep -i 'not enforced' "$work/said" | sort -u || true
