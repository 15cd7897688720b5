#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command line without a deployment: every command answers --help, says what is wrong with its
# words, and exits as documented.
. "$(dirname "$0")/lib.sh"

commands=$("$INSULA" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')

is "$(echo "$commands" | wc -w)" 16 "sixteen commands are listed"
for command in $commands; do
	run "$INSULA" "$command" --help
	is "$status" 0 "$command --help exits 0"
	contains "$stdout" "usage: insula $command" "$command --help says how to use it"
	contains "$stdout" "exit status:" "$command --help says its exit statuses"
	is "$stderr" "" "$command --help prints nothing to standard error"
	run "$INSULA" "$command" --no-such-option
	is "$status" 4 "$command with an unknown option exits 4"
	contains "$stderr" "no-such-option" "$command names the unknown option"
	run "$INSULA" man "$command"
	contains "$stdout" "# EXIT STATUS" "$command has a manual page"
done

exits_with 4 "no command exits 4" "$INSULA"
exits_with 4 "an unknown command exits 4" "$INSULA" aply
contains "$stderr" "did you mean 'apply'?" "the nearest command is named"
exits_with 4 "a misspelt option exits 4" "$INSULA" plan --prun
contains "$stderr" "did you mean --prune?" "the nearest option is named"
exits_with 4 "an option without its value exits 4" "$INSULA" plan -o
exits_with 4 "a value for a flag exits 4" "$INSULA" plan --check=yes
exits_with 0 "--version exits 0" "$INSULA" --version
contains "$stdout" "insula " "--version says the version"

cd "$TEST_DIR" || exit 1
exits_with 4 "plan without a file exits 4" "$INSULA" plan
contains "$stderr" "insula init" "and says how to make one"
exits_with 4 "a missing file exits 4 or 1" "$INSULA" plan --offline nowhere.yaml
contains "$stderr" "nowhere.yaml" "and is named"

exits_with 0 "init writes a first file" "$INSULA" init first.yaml
exits_with 0 "which plans offline" "$INSULA" plan --offline first.yaml
contains "$stdout" "vision" "and the plan names its tenants"
is "$(grep -c 'not enforced' "$TEST_DIR/stdout")" 0 "which claims nothing about a machine that it did not look at"
exits_with 4 "init never overwrites" "$INSULA" init first.yaml
exits_with 2 "plan --check exits 2 when something would change" "$INSULA" plan --offline --check first.yaml
exits_with 0 "plan --json prints objects" "$INSULA" plan --offline --json first.yaml
is "$(grep -vc '^{"v":1,"event":"' "$TEST_DIR/stdout")" 0 "each line of --json has version and event"

printf 'apiVersion: insula.dev/v1\nkind: Tenant\nmetadata: {name: vision}\nspec:\n  quota: {memmory: 1Gi}\n' >typo.yaml
exits_with 4 "an unknown field exits 4" "$INSULA" plan --offline typo.yaml
contains "$stderr" "typo.yaml:5:" "with file and line"
contains "$stderr" "memory" "and the nearest name"

exits_with 4 "a mistake on standard input exits 4" sh -c '"$0" plan --offline - <typo.yaml' "$INSULA"
contains "$stderr" "<stdin>:5:" "and is told as being there"

exits_with 0 "a plan is saved" "$INSULA" plan --offline -o first.plan first.yaml
head -c 2000 first.plan >cut.plan
exits_with 4 "a damaged plan exits 4" "$INSULA" apply cut.plan
contains "$stderr" "insula: cut.plan:" "and is not taken for a file of the user"
sed 's/^  "version": .*/  "version": 99/' first.plan >old.plan
exits_with 4 "a plan of another version exits 4" "$INSULA" apply old.plan
contains "$stderr" "another version" "and says so"
mkfifo pipe && { cat first.yaml >pipe & }
exits_with 0 "a file may be a pipe" "$INSULA" plan --offline pipe

for shell in bash zsh fish; do
	exits_with 0 "completion for $shell" "$INSULA" completion "$shell"
	contains "$stdout" "insula" "which names the program"
done
"$INSULA" completion bash >completion.bash
check "the completion for bash parses" bash -n completion.bash
exits_with 4 "an unknown shell exits 4" "$INSULA" completion tcsh

exits_with 0 "explain lists the kinds" "$INSULA" explain
contains "$stdout" "tenant" "tenants among them"
exits_with 0 "explain a field" "$INSULA" explain tenant.spec.quota.gpu
exits_with 4 "explain of an unknown field exits 4" "$INSULA" explain tenant.spec.qouta
contains "$stderr" "quota" "and names the nearest"
exits_with 0 "the schema" "$INSULA" explain --schema
check "is JSON" python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$TEST_DIR/stdout"
exits_with 0 "the reference" "$INSULA" explain --reference

echo 'docker run --rm -m 1g -v data:/data image:1 sh -c "echo hi"' >run.sh
exits_with 0 "import of a plain line" "$INSULA" import docker-run run.sh
contains "$stdout" "docker://image:1" "names the image"
echo 'docker run --privileged image:1' >run.sh
exits_with 2 "import of what is privileged exits 2" "$INSULA" import docker-run run.sh
contains "$stderr" "run.sh:1: ! refused --privileged" "and says so with its place"
exits_with 4 "import of an unknown format exits 4" "$INSULA" import docker-runs run.sh

exits_with 1 "no space for the output exits 1" sh -c "'$INSULA' explain --reference >/dev/full"

done_testing
