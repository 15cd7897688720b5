#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tenants: how time and memory grow with the number of tenants. Applies a file of 1, 8, 64 and 256 tenants with one
# container each, in a deployment of its own, and takes it down again. Wanted: t(256)/t(64) at most 5, memory(256)/memory(64)
# at most 4.5 (linear would be 4), 64 up in under 6 s.
# Memory is what the whole machine has in use more than before, kernel included: run it while nothing else does.
# usage: tenants.sh [SIZE...]     INSULA: the program; ROUNDS: how often each (1); the best time counts
set -eu
cd "$(dirname "$0")/.."

insula=${INSULA:-$PWD/build/insula}
rounds=${ROUNDS:-1}
[ $# -gt 0 ] || set -- 1 8 64 256
[ "$(id -u)" = 0 ] || { echo "tenants: needs root" >&2; exit 5; }
[ -x /bin/busybox ] || { echo "tenants: needs /bin/busybox (package busybox-static)" >&2; exit 1; }

work=$(mktemp -d /var/tmp/insula-tenants.XXXXXX)
places="--state-dir $work/state --run-dir /run/insula-tenants-$$"
here() { command=$1; shift; "$insula" "$command" $places "$@"; }
up=0
clean() {
	[ $up = 0 ] || here destroy --deployment bench-tenants --all --yes --delete-data --quiet || true
	rm -rf "$work"
	rmdir "/run/insula-tenants-$$" 2>/dev/null || true
}
trap clean EXIT
trap 'exit 130' INT TERM

mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/proc" "$work/root/dev" "$work/root/sys" "$work/root/tmp"
cp /bin/busybox "$work/root/bin/busybox"
here image import "rootfs:$work/root" --name bench --quiet >/dev/null

file() {
	printf 'apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: bench-tenants}\nspec: {driver: local}\n'
	i=1
	while [ $i -le "$1" ]; do
		printf -- '---\napiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: t%d}\nspec:\n  quota: {cpu: 5m, memory: 4Mi, instances: 1}\n  limit: {cpu: 1, memory: 16Mi, storage: 16Mi, pids: 32}\n' $i
		printf -- '---\napiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: t%d}\nspec:\n  image: bench\n  command: [/bin/busybox, sleep, "1000000000"]\n  resources: {memory: 8Mi}\n' $i
		i=$((i + 1))
	done
}

now() { date +%s%N; }
# What is in use and no cache, the kernel's own included: KiB. Of the kernel's objects those that are in use are counted,
# not the pages that hold them: what an earlier round has freed is used again by a later one and would hide its growth.
used() {
	{
		awk '/^(AnonPages|Shmem|KernelStack|PageTables|VmallocUsed|Percpu):/ { n += $2 } END { print n }' /proc/meminfo
		awk 'NR > 2 && $1 !~ /^(dentry|buffer_head|radix_tree_node|ext4_.*|jbd2_.*|proc_inode_cache|inode_cache|shmem_inode_cache)$/ { n += $2 * $4 / 1024 } END { print int(n) }' /proc/slabinfo
	} | awk '{ n += $1 } END { print n }'
}

# the share of memory of each of our processes (Pss), KiB: monitors, resolver, and what runs in the containers
processes() {
	for folder in $(awk '$(NF-2) ~ /^cgroup2?$/ { print $5 }' /proc/self/mountinfo); do
		[ ! -d "$folder/insula/bench-tenants" ] || find "$folder/insula/bench-tenants" -name cgroup.procs -exec cat {} +
	done | sort -nu | while read -r pid; do cat "/proc/$pid/smaps_rollup" 2>/dev/null || true; done | awk '$1 == "Pss:" { n += $2 } END { print n + 0 }'
}

printf '%8s %10s %12s %12s %14s %12s %14s %10s\n' tenants apply 'per tenant' 'again' 'memory' 'per tenant' 'processes' destroy
for round in $(seq "$rounds"); do
	for n in "$@"; do
		file "$n" >"$work/lab.yaml"
		sync
		before=$(used)
		up=1
		t0=$(now)
		here apply "$work/lab.yaml" --quiet >/dev/null
		t1=$(now)
		sleep 1
		after=$(used)
		ours=$(processes)
		t2=$(now)
		here apply "$work/lab.yaml" --quiet >/dev/null
		t3=$(now)
		here destroy --deployment bench-tenants --all --yes --delete-data --quiet >/dev/null
		t4=$(now)
		up=0
		echo "$n $(((t1 - t0) / 1000000)) $(((t3 - t2) / 1000000)) $((after - before)) $(((t4 - t3) / 1000000)) $ours" | tee -a "$work/results" |
			awk '{ printf "%8d %8.2f s %9.1f ms %9.2f s %10.1f MiB %8.2f MiB %10.1f MiB %8.2f s\n", $1, $2 / 1000, $2 / $1, $3 / 1000, $4 / 1024, $4 / 1024 / $1, $6 / 1024, $5 / 1000 }'
	done
done
awk '{ if (!($1 in t) || $2 < t[$1]) t[$1] = $2; if (!($1 in m) || $4 < m[$1]) m[$1] = $4 }
     END {
	if ((64 in t) && (256 in t))
		print sprintf("t(256)/t(64) = %.2f (wanted: at most 5), memory(256)/memory(64) = %s (wanted: at most 4.5)", t[256] / t[64],
			((m[64] > 0 && m[256] > 0) ? sprintf("%.2f", m[256] / m[64]) : "not known: others used the machine"))
	if (64 in t)
		printf "64 tenants up in %.2f s (wanted: under 6 s)\n", t[64] / 1000
     }' "$work/results"
