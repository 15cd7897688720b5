#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# also in: guest
# audit --prove over four tenants: no wrong verdict. With a rule added and a declared one deleted by hand, exactly those two.
. "$(dirname "$0")/lib.sh"
need_root
need_program nft nsenter
[ -x "$INSULA" ] || skip_all "the program is not built"
[ -x /bin/busybox ] || skip_all "needs /bin/busybox (package busybox-static)"
deployment_start
cd "$TEST_DIR" || exit 1
machine_snapshot >before

mkdir -p root/bin root/etc root/proc root/dev root/sys root/tmp
cp /bin/busybox root/bin/busybox
ln -s busybox root/bin/sleep
ln -s busybox root/bin/cat
succeeds "an image is stored" "$INSULA" image import rootfs:root --name plain

tenant() {
	printf 'apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: %s}\nspec:\n  quota: {cpu: 50m, memory: 16Mi, storage: 16Mi, instances: 2}\n' "$1"
	printf '  limit: {cpu: 500m, memory: 64Mi, storage: 16Mi, pids: 64}\n  network:\n    allow: [%s]\n---\n' "$2"
	printf 'apiVersion: insula.dev/v1\nkind: Workload\nmetadata: {name: w, tenant: %s}\nspec:\n  image: plain\n  command: [/bin/sleep, "1000000000"]\n' "$1"
	printf '  replicas: %s\n  resources: {cpu: 50m, memory: 16Mi}\n  restart: always\n---\n' "$3"
}
{
	site_document
	tenant ann '' 2
	tenant bob '{from: {tenant: ann}, ports: [tcp/8501]}' 1
	tenant cem '{from: {tenant: bob}, ports: [udp/5000-5002]}, {to: {cidr: 198.51.100.0/28}, ports: [tcp/9000]}' 1
	tenant dea '{to: {internet: true}, ports: [tcp/443]}' 1
	printf 'apiVersion: insula.dev/v1\nkind: Service\nmetadata: {name: s, tenant: bob}\nspec:\n  image: plain\n  command: [/bin/sleep, "1000000000"]\n'
	printf '  port: 8600\n  publish: {address: 127.0.0.1, port: %s}\n  resources: {cpu: 50m, memory: 16Mi}\n' $((20000 + $$ % 20000))
} >lab.yaml
succeeds "four tenants are applied" "$INSULA" apply lab.yaml

exits_with 0 "everything is as the file says" "$INSULA" audit --prove lab.yaml --json
is "$(grep -c '"ok":false' stdout)" 0 "no wrong verdict"
grep '"ok":false' stdout | sed 's/^/# /' | head -n 20
check "it was about something" [ "$(grep -c '"event":"verdict"' stdout)" -gt 500 ]
for topic in control between within host metadata internet private cidr published from-host spoofing mtu names devices; do
	check "tried: $topic" grep -q "\"topic\":\"$topic\"" stdout
done
is "$(grep '"topic":"between"' stdout | grep -c '"observed":true')" 4 "between tenants exactly what is declared is open"
is "$(grep '"topic":"internet"' stdout | grep '"observed":true' | grep -c '"port":443')" 1 "one may reach public addresses on one port"

address_of() { "$INSULA" exec --deployment "$DEPLOYMENT" "$1" -- cat /etc/hosts | awk '$1 !~ /^127\./ && $1 !~ /:/ { print $1; exit }'; }
router() { nsenter --net="$INSULA_RUN_DIR/$DEPLOYMENT/router" "$@"; }
table=insula_$(printf %s "$DEPLOYMENT" | tr - _)
element=$(router nft list set inet "$table" flows | grep -o '"[^"]*" \. "[^"]*" \. tcp \. 8501')
check "the declared flow is there" [ -n "$element" ]
check "it is deleted by hand" router nft delete element inet "$table" flows "{ $element }"
check "another one is added by hand" router nft insert rule inet "$table" forward ip saddr "$(address_of dea/w)" ip daddr "$(address_of cem/w)" tcp dport 7777 accept

exits_with 2 "a difference is told by the exit status" "$INSULA" audit --prove lab.yaml --json
is "$(grep '"ok":false' stdout | sed 's/.*"from_tenant":"\([a-z]*\)","to_tenant":"\([a-z]*\)","protocol":"\([a-z]*\)",.*"port":\([0-9]*\),.*"observed":\([a-z]*\),.*/\1 \2 \3 \4 \5/' | sort | tr '\n' ';')" \
	"ann bob tcp 8501 false;dea cem tcp 7777 true;" "exactly the two are reported"
exits_with 2 "people see them too" "$INSULA" audit --prove lab.yaml
contains "$stdout" "differences" "under a heading"

succeeds "apply puts it right" "$INSULA" apply lab.yaml
exits_with 0 "and it is as the file says again" "$INSULA" audit --prove lab.yaml
succeeds "all is destroyed" "$INSULA" destroy --all --yes --delete-data --deployment "$DEPLOYMENT"
machine_snapshot >after
check "and nothing is left" diff before after
exits_with 1 "a proof of nothing is an error" "$INSULA" audit --prove lab.yaml
exits_with 4 "audit must be told what to do" "$INSULA" audit lab.yaml
done_testing
