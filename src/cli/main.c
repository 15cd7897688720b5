/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include "base/fs.h"
#include "base/log.h"
#include "output.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

const struct command *const commands[] = {
	&command_init, &command_doctor, &command_plan, &command_apply, &command_status, &command_top, &command_logs, &command_exec,
	&command_shell, &command_audit, &command_image, &command_import, &command_restore, &command_destroy, &command_explain, &command_completion_, &command_man_, NULL,
};

static void log_print(void *arg, enum log_level level, const char *text)
{
	fprintf(stderr, "debug: %s\n", text);
}

/* The static helpers lie beside the program in a build (guest/) and in ../libexec/insula when installed. */
static char *programs_find(void)
{
	static const char *const places[] = { "guest", "../libexec/insula", "../lib/insula" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *wanted = getenv("INSULA_PROGRAM_DIR");

	if (wanted && *wanted)
		return xstrdup(wanted);
	if (n > 0) {
		self[n] = '\0';
		autofree char *dir = fs_dirname(self);

		for (size_t i = 0; i < ARRAY_LEN(places); i++) {
			autofree char *place = fs_absolute(dir, places[i]);
			autofree char *init = fs_join(place, "insula-init");

			if (fs_exists(init))
				return steal(&place);
		}
	}
	return xstrdup("/usr/libexec/insula");
}

static const char *setting(const struct cli *cli, const char *option, const char *variable, const char *standard)
{
	const char *value = cli_value(cli, option);

	if (!value)
		value = getenv(variable);
	return value && *value ? value : standard;
}

static int cli_settle(struct cli *cli)
{
	const char *no_color = getenv("NO_COLOR");
	bool plain = cli_flag(cli, "no-color") || (no_color && *no_color);

	cli->json = cli_flag(cli, "json");
	cli->quiet = cli_flag(cli, "quiet");
	cli->debug = cli_flag(cli, "debug");
	cli->live = isatty(STDERR_FILENO) && !cli->json && !cli->quiet;
	cli->color = isatty(STDERR_FILENO) && !plain;
	cli->stdout_color = isatty(STDOUT_FILENO) && !plain;
	cli->state_dir = setting(cli, "state-dir", "INSULA_STATE_DIR", "/var/lib/insula");
	cli->run_dir = setting(cli, "run-dir", "INSULA_RUN_DIR", "/run/insula");
	cli->deployment = cli_value(cli, "deployment");
	cli->program_dir = programs_find();
	cli->nvml = getenv("INSULA_NVML");
	if (cli->state_dir[0] != '/' || cli->run_dir[0] != '/') {
		fprintf(stderr, "insula: --state-dir and --run-dir take absolute paths\n");
		return error_exit_status(ERROR_INPUT);
	}
	if (cli->command->flags & COMMAND_ROOT && geteuid() != 0) {
		struct error err;

		error_set(&err, ERROR_PERMISSION, "insula %s makes namespaces, cgroups and mounts, which only root may do here", cli->command->name);
		error_hint(&err, "run it as root or with sudo; rootless operation is not supported yet");
		return output_error(cli, &err);
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct cli cli = { 0 };
	int status;

	setlocale(LC_CTYPE, "C.UTF-8");
	status = cli_parse(&cli, commands, argc, argv);
	if (status < 0)
		status = cli_settle(&cli);
	if (status < 0) {
		if (cli.debug)
			log_set_sink(log_print, NULL, LOG_LEVEL_DEBUG);
		output_catch_signals();
		status = cli.command->run(&cli);
	}
	cli_clear(&cli);
	errno = 0;
	if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
		fprintf(stderr, "insula: cannot write the output%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
		status = status ? status : 1;
	}
	return status;
}
