# SPDX-License-Identifier: Apache-2.0
# lib.sh: what every end-to-end test sources. POSIX sh; TAP on standard output.
#
#     . "$(dirname "$0")/lib.sh"
#     need_root
#     deployment_start
#     machine_snapshot >"$TEST_DIR/before"
#     succeeds "a first apply" "$INSULA" apply "$TEST_DIR/lab.yaml"
#     is "$(grep -c up "$TEST_DIR/stdout")" 3 "three tenants are up"
#     machine_is_as "$TEST_DIR/before" "destroy leaves nothing"
#     done_testing
#
# Given by scripts/run-tests: INSULA (the program), INSULA_TEST_SOURCE, INSULA_TEST_BUILD, INSULA_TEST_FULL=1 for
# the long runs. INSULA_TEST_SHARED=1: others work on this machine, so snapshots hold only what is of this deployment.

set -u
: "${INSULA_TEST_SOURCE:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${INSULA_TEST_BUILD:=$INSULA_TEST_SOURCE/build-check}"
: "${INSULA:=$INSULA_TEST_BUILD/insula}"
export INSULA INSULA_TEST_SOURCE INSULA_TEST_BUILD LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/insula-e2e.XXXXXX")
test_count=0
test_failed=0
DEPLOYMENT=

# --- TAP -------------------------------------------------------------------------------------------------------

say() { printf '# %s\n' "$*"; }

# result STATUS NAME: one case; the others end here.
result() {
	test_count=$((test_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $test_count - $2"
	else
		test_failed=1
		echo "not ok $test_count - $2"
	fi
	return "$1"
}

pass() { result 0 "$1"; }
fail() { result 1 "$1"; }

# skip NAME REASON: one case that cannot run here.
skip() {
	test_count=$((test_count + 1))
	echo "ok $test_count - $1 # SKIP $2"
}

# skip_all REASON: nothing in this file can run here.
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

need_root() { [ "$(id -u)" = 0 ] || skip_all "needs root"; }
need_program() {
	for need_name in "$@"; do
		command -v "$need_name" >/dev/null || skip_all "needs the program $need_name"
	done
}

# check NAME COMMAND...: the command succeeds.
check() {
	check_name=$1
	shift
	if "$@"; then pass "$check_name"; else fail "$check_name"; fi
}

# is GOT EXPECTED NAME
is() {
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		say "got:      $1"
		say "expected: $2"
		fail "$3"
	fi
}

# contains TEXT PART NAME
contains() {
	case $1 in
	*"$2"*) pass "$3" ;;
	*)
		say "got:              $1"
		say "should hold:      $2"
		fail "$3"
		;;
	esac
}

# run COMMAND...: sets $status, $stdout and $stderr; both also stay in $TEST_DIR/stdout and $TEST_DIR/stderr.
run() {
	status=0
	"$@" >"$TEST_DIR/stdout" 2>"$TEST_DIR/stderr" </dev/null || status=$?
	stdout=$(cat "$TEST_DIR/stdout")
	stderr=$(cat "$TEST_DIR/stderr")
}

show_run() {
	sed 's/^/# stdout: /' "$TEST_DIR/stdout" | head -n 60
	sed 's/^/# stderr: /' "$TEST_DIR/stderr" | head -n 60
}

# exits_with STATUS NAME COMMAND...
exits_with() {
	exits_want=$1 exits_name=$2
	shift 2
	run "$@"
	[ "$status" = "$exits_want" ] || { say "exit status $status, not $exits_want: $*"; show_run; }
	result "$([ "$status" = "$exits_want" ]; echo $?)" "$exits_name"
}

# succeeds NAME COMMAND...
succeeds() {
	succeeds_name=$1
	shift
	exits_with 0 "$succeeds_name" "$@"
}

# wait_for SECONDS COMMAND...: until it succeeds; fails after that time.
wait_for() {
	wait_end=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$wait_end" ] || return 1
		sleep 0.1
	done
}

done_testing() {
	echo "1..$test_count"
	exit "$test_failed"
}

# --- a deployment of its own -----------------------------------------------------------------------------------

# deployment_start [NAME]: a deployment that no other test has; all commands of this test use its folders.
deployment_start() {
	DEPLOYMENT=${1:-t$$}
	INSULA_STATE_DIR=$TEST_DIR/state
	INSULA_RUN_DIR=$TEST_DIR/run
	chmod 711 "$TEST_DIR"	# what runs in a user namespace of its own must get at its root
	mkdir -p "$INSULA_STATE_DIR" "$INSULA_RUN_DIR"
	export INSULA_STATE_DIR INSULA_RUN_DIR
}

# site_document [LINE...]: the Site of this deployment, with more lines for its spec.
site_document() {
	printf 'apiVersion: insula.dev/v1\nkind: Site\nmetadata: {name: %s}\nspec:\n  driver: local\n' "$DEPLOYMENT"
	for site_line in "$@"; do printf '  %s\n' "$site_line"; done
	echo ---
}

deployment_cgroups() {
	awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5 }' /proc/self/mountinfo | while read -r hierarchy; do
		[ ! -d "$hierarchy/insula/$DEPLOYMENT" ] || find "$hierarchy/insula/$DEPLOYMENT" -depth -type d
	done
}

# What a test that failed in the middle has left, by force.
deployment_sweep() {
	sweep_table=insula_$(printf %s "$DEPLOYMENT" | tr - _)
	for folder in $(deployment_cgroups); do
		for pid in $(cat "$folder/cgroup.procs" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
	done
	for pid in $(processes_of_test); do kill -KILL "$pid" 2>/dev/null; done
	sleep 0.2
	mounts_of_test | sort -r | while read -r point; do umount -l "$point" 2>/dev/null; done
	losetup -n -O NAME,BACK-FILE 2>/dev/null | awk -v dir="$TEST_DIR/" 'index($2, dir) == 1 { print $1 }' | while read -r loop; do
		losetup -d "$loop" 2>/dev/null
	done
	# a port's thread goes with its namespace, which the kernel takes down a moment after its mount
	for sweep_round in 1 2 3 4 5 6 7 8 9 10; do
		for folder in $(deployment_cgroups); do rmdir "$folder" 2>/dev/null; done
		[ -n "$(deployment_cgroups)" ] || break
		sleep 0.2
	done
	awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5 "/insula" }' /proc/self/mountinfo | xargs rmdir 2>/dev/null
	nft list tables 2>/dev/null | awk -v name="$sweep_table" '$3 == name { print $2 }' | while read -r family; do
		nft delete table "$family" "$sweep_table"
	done
	ip link delete "$(uplink_name)" 2>/dev/null
	sed -i "/^insula-$DEPLOYMENT-/d" /etc/subuid /etc/subgid 2>/dev/null
	return 0
}

# links are named by the digest of "deployment/key"
uplink_name() { printf 'insu%s' "$(printf %s "$DEPLOYMENT/host/router" | sha256sum | cut -c 1-8)"; }

mounts_of_test() { awk -v dir="$TEST_DIR/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo; }

# Of processes that name a folder of this test, but not this shell and what called it.
processes_of_test() {
	for entry in /proc/[0-9]*; do
		pid=${entry#/proc/}
		[ "$pid" != $$ ] || continue
		line=$(tr '\0' ' ' 2>/dev/null <"$entry/cmdline") || continue
		case $line in
		*"$TEST_DIR/run"* | *"$TEST_DIR/state"*) echo "$pid" ;;
		esac
	done
}

test_end() {
	end_status=$?
	trap - EXIT TERM INT
	if [ -n "$DEPLOYMENT" ]; then
		if [ -x "$INSULA" ]; then "$INSULA" destroy --all --yes --delete-data --deployment "$DEPLOYMENT" >/dev/null 2>&1 </dev/null; fi
		deployment_sweep
	fi
	rm -rf "$TEST_DIR"
	exit "$end_status"
}
trap test_end EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# --- the machine before and after ------------------------------------------------------------------------------

# machine_snapshot: sorted lines of links, namespaces, rules, mounts, loops, cgroups, forwarding, subordinate ids and
# processes of insula. With INSULA_TEST_SHARED=1 only those that name this deployment or its folders.
machine_snapshot() {
	machine_lines | machine_filter | LC_ALL=C sort
}

machine_filter() {
	if [ "${INSULA_TEST_SHARED:-}" = 1 ]; then
		grep -F -e "$TEST_DIR/" -e "insula_$(printf %s "$DEPLOYMENT" | tr - _)" -e "/insula/$DEPLOYMENT" -e "insula-$DEPLOYMENT-" \
			-e "$(uplink_name)" || true
	else
		cat
	fi
}

machine_lines() {
	own=$(readlink /proc/self/ns/net)
	for entry in /proc/[0-9]*/ns/net; do
		printf '%s %s\n' "$(readlink "$entry" 2>/dev/null)" "$entry"
	done | awk '$1 && !seen[$1]++' | while read -r name entry; do
		[ "$name" != "$own" ] || name=host
		namespace_lines "$name" "$entry"
	done
	awk '$(NF-2) == "nsfs" { print "namespace", $4, $5 }' /proc/self/mountinfo
	awk '$(NF-2) == "nsfs" && $4 ~ /^net:/ { print $4, $5 }' /proc/self/mountinfo | awk '!seen[$1]++' | while read -r name point; do
		namespace_lines "$name" "$point"
	done
	# the kernel's own numbers of mounts change; what is mounted where does not
	awk '{ for (i = 7; $i != "-"; i++); print "mount", $5, $4, $(i + 1), $(i + 2) }' /proc/self/mountinfo
	losetup -n -l -O BACK-FILE,OFFSET 2>/dev/null | sed 's/^/loop /'
	awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5 }' /proc/self/mountinfo | while read -r hierarchy; do
		find "$hierarchy" -type d 2>/dev/null | sed 's/^/cgroup /'
	done
	for setting in net/ipv4/ip_forward net/ipv6/conf/all/forwarding; do
		[ ! -r "/proc/sys/$setting" ] || printf 'sysctl %s %s\n' "$setting" "$(cat "/proc/sys/$setting")"
	done
	sed 's|^|subuid |' /etc/subuid 2>/dev/null
	sed 's|^|subgid |' /etc/subgid 2>/dev/null
	process_lines
}

# namespace_lines NAME FILE: links and rules of one network namespace. Counters and handles are left out.
namespace_lines() {
	nsenter "--net=$2" ip -o link show 2>/dev/null | awk -v ns="$1" '{ sub(/:$/, "", $2); print "link", ns, $2 }'
	nsenter "--net=$2" nft list ruleset 2>/dev/null | sed -e 's/packets [0-9]* bytes [0-9]*//g' -e 's/expires [0-9a-z]*//g' -e 's/^[[:space:]]*//' |
		awk -v ns="$1" '/^table/ { table = $2 " " $3 } NF { print "rule", ns, table ":", $0 }'
}

# A dead one that process 1 has not reaped yet has no command line; it is nobody's but process 1's.
process_lines() {
	for entry in /proc/[0-9]*; do
		name=$(cat "$entry/comm" 2>/dev/null) || continue
		line=$(tr '\0' ' ' 2>/dev/null <"$entry/cmdline") || continue
		[ -n "$line" ] || continue
		case "$name:$line" in
		insula:* | insula-*:* | *:*"$TEST_DIR/run"* | *:*"$TEST_DIR/state"*) echo "process $name $line" ;;
		esac
	done
}

# machine_is_as FILE NAME: the machine is as in that snapshot; what ends a little later is waited for.
machine_is_as() {
	as_end=$(($(date +%s) + 5))
	while :; do
		machine_snapshot >"$TEST_DIR/now"
		if cmp -s "$1" "$TEST_DIR/now"; then
			pass "$2"
			return 0
		fi
		[ "$(date +%s)" -lt "$as_end" ] || break
		sleep 0.3
	done
	diff "$1" "$TEST_DIR/now" | sed -n -e 's/^</# gone: /p' -e 's/^>/# new:  /p' | head -n 60
	fail "$2"
}
