/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

volatile bool output_stop;

int output_error(const struct cli *cli, const struct error *err)
{
	autofree char *message = output_safe(err->message), *hint = output_safe(err->hint);

	if (cli->json) {
		json_t *object = json_pack("{s:s, s:s, s:i}", "code", error_code_name(err->code), "message", message, "exit", error_exit_status(err->code));

		if (err->hint[0])
			json_object_set_new(object, "fix", json_string(hint));
		if (err->http_status)
			json_object_set_new(object, "http", json_integer(err->http_status));
		if (err->request_id[0])
			json_object_set_new(object, "request_id", json_string(err->request_id));
		output_json("error", object);
	} else {
		fprintf(stderr, "%sinsula: %s%s\n", cli->color ? "\033[31m" : "", message, cli->color ? "\033[0m" : "");
		if (err->request_id[0])
			fprintf(stderr, "  request %s\n", err->request_id);
		if (err->hint[0])
			fprintf(stderr, "  fix: %s\n", hint);
	}
	return error_exit_status(err->code);
}

void output_json(const char *event, json_t *object)
{
	autojson json_t *line = json_pack("{s:i, s:s}", "v", JSON_VERSION, "event", event);

	json_object_update(line, object);
	json_decref(object);
	json_dumpf(line, stdout, JSON_COMPACT);
	fputc('\n', stdout);
	fflush(stdout);
}

void output_warning(const struct cli *cli, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	autofree char *text = xvasprintf(format, ap);
	va_end(ap);
	autofree char *safe = output_safe(text);
	if (cli->json)
		output_json("warning", json_pack("{s:s}", "message", safe));
	else
		fprintf(stderr, "%swarning:%s %s\n", cli->color ? "\033[33m" : "", cli->color ? "\033[0m" : "", safe);
}

void output_summary(const struct cli *cli, const char *format, ...)
{
	va_list ap;

	if (cli->quiet || cli->json)
		return;
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

char *output_safe(const char *text)
{
	size_t n = 0;
	char *safe = xmalloc(strlen(text) * 4 + 1);

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
			n += (size_t)snprintf(safe + n, 5, "\\x%02x", *p);
		else
			safe[n++] = (char)*p;
	}
	safe[n] = '\0';
	return safe;
}

void output_age(int64_t ms, char ret[static 32])
{
	int64_t s = ms / 1000;

	if (ms < 0)
		snprintf(ret, 32, "-");
	else if (s < 120)
		snprintf(ret, 32, "%lld s", (long long)s);
	else if (s < 120 * 60)
		snprintf(ret, 32, "%lld min", (long long)(s / 60));
	else if (s < 48 * 3600)
		snprintf(ret, 32, "%lld h", (long long)(s / 3600));
	else
		snprintf(ret, 32, "%lld d", (long long)(s / 86400));
}

void output_bytes(int64_t bytes, char ret[static 32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 0) {
		snprintf(ret, 32, "-");
		return;
	}
	for (; value >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
		value /= 1024;
	snprintf(ret, 32, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

bool output_confirm(const char *prompt, const char *word)
{
	char line[256];

	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "%s: ", prompt);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return streq(line, word);
}

static void signal_caught(int number)
{
	if (output_stop)
		_exit(130);
	output_stop = true;
}

void output_catch_signals(void)
{
	struct sigaction action = { .sa_handler = signal_caught };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}
