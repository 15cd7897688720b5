/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include "base/fs.h"
#include "base/proc.h"
#include "cgroup.h"
#include "guest/program.h"

#include <stdlib.h>

#define ASK_TIMEOUT_MS 5000

void runtime_clear(struct runtime *runtime)
{
	free(runtime->name);
	free(runtime->path);
	free(runtime->version);
	free(runtime->reason);
	*runtime = (struct runtime){ 0 };
}

/* "crun version 1.8.1\n..." to "1.8.1"; NULL when it is not of that form. */
static char *version_of(const char *name, const char *text)
{
	autofree char *prefix = xasprintf("%s version ", name);

	return starts_with(text, prefix) ? xstrndup(text + strlen(prefix), strcspn(text + strlen(prefix), " \n")) : NULL;
}

/* Is it there, does it run, has it got seccomp? */
static int runtime_ask(const char *name, struct runtime *ret, struct error *err)
{
	autofree char *path = fs_find_program(PROC_PATH, name), *text = NULL, *version = NULL;
	const char *const argv[] = { path, "--version", NULL };
	struct proc_options options = { .argv = argv, .timeout_ms = ASK_TIMEOUT_MS };
	autofd int program = path ? program_open(path) : -1;

	if (!path)
		return error_set(err, ERROR_NOT_FOUND, "%s is not installed", name);
	options.program = program;
	if (proc_check(&options, &text, err) < 0)
		return -1;
	version = version_of(name, text);
	if (!version)
		return error_set(err, ERROR_UNSUPPORTED, "%s --version says \"%.60s\"", name, text);
	if (streq(name, "crun") && !strstr(text, "+SECCOMP"))
		return error_set(err, ERROR_UNSUPPORTED, "%s %s was built without seccomp", name, version);
	*ret = (struct runtime){ xstrdup(name), steal(&path), steal(&version), NULL };
	return 0;
}

int runtime_probe(struct runtime *ret, struct error *err)
{
	struct error first = { 0 }, second = { 0 };

	if (runtime_ask("crun", ret, &first) == 0)
		return 0;
	if (runtime_ask("runc", ret, &second) == 0) {
		ret->reason = xstrdup(first.message);
		return 0;
	}
	error_set(err, ERROR_UNSUPPORTED, "no OCI runtime can be used: %s; %s", first.message, second.message);
	return error_hint(err, "apt-get install crun");
}

char *runtime_hidden_mount(const struct cgroups *cgroups)
{
	bool hybrid = false;
	const char *unified = cgroups_unified(cgroups, &hybrid);
	autofree char *file = NULL, *controllers = NULL;
	struct error ignored;

	if (!unified || !hybrid)
		return NULL;
	file = fs_join(unified, "cgroup.controllers");
	return fs_read_line(file, &controllers, &ignored) == 0 && *controllers ? xstrdup(unified) : NULL;
}
