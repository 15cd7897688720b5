/* SPDX-License-Identifier: Apache-2.0 */
#include "nft.h"

#include "base/proc.h"

#include <stdlib.h>

#define NFT_TIMEOUT_MS 60000
#define NFT_OUTPUT_MAX ((size_t)64 << 20)

static int nft_run(int netns, const char *const *argv, const char *input, struct proc_result *ret, struct error *err)
{
	struct proc_options options = {
		.argv = argv, .input = input, .input_n = input ? strlen(input) : 0,
		.output_limit = NFT_OUTPUT_MAX, .timeout_ms = NFT_TIMEOUT_MS, .netns = netns > 0 ? netns : 0,
	};

	if (proc_run(&options, ret, err) < 0)
		return error_hint(err, "the package nftables has nft");
	return 0;
}

/* What nft says first is the cause; the rest repeats the input. */
static int nft_failure(const struct proc_result *result, struct error *err)
{
	size_t n = strcspn(result->errors, "\n");

	return error_set(err, ERROR_FAILED, "nft refuses (status %d): %.*s", result->status, (int)MIN(n, 400), result->errors);
}

int nft_apply(int netns, const json_t *commands, struct error *err)
{
	/* not "-": nft opens /dev/stdin for it, which a bare /dev has not */
	static const char *const argv[] = { "nft", "--json", "--file", "/proc/self/fd/0", NULL };
	autojson json_t *whole = json_object();
	autofree char *text = NULL;
	struct proc_result result;
	int done = 0;

	json_object_set(whole, "nftables", (json_t *)commands);
	text = json_dumps(whole, JSON_COMPACT);
	if (!text)
		BUG("a ruleset cannot be written as JSON");
	if (nft_run(netns, argv, text, &result, err) < 0)
		return -1;
	if (result.status != 0)
		done = nft_failure(&result, err);
	proc_result_clear(&result);
	return done;
}

static bool says_absent(const struct proc_result *result)
{
	return strstr(result->errors, "No such file or directory");
}

int nft_list(int netns, const char *family, const char *table, json_t **ret, struct error *err)
{
	const char *const one[] = { "nft", "--json", "list", "table", family, table, NULL };
	static const char *const all[] = { "nft", "--json", "list", "ruleset", NULL };
	struct proc_result result;
	autojson json_t *whole = NULL;
	int done = 0;

	if (nft_run(netns, table ? one : all, NULL, &result, err) < 0)
		return -1;
	if (result.status != 0 && says_absent(&result)) {
		*ret = NULL;
	} else if (result.status != 0) {
		done = nft_failure(&result, err);
	} else if (json_parse("nft", result.output, result.output_n, NFT_OUTPUT_MAX, &whole, err) < 0) {
		done = -1;
	} else if (!json_get_array(whole, "nftables")) {
		done = error_set(err, ERROR_FAILED, "nft lists no ruleset");
	} else {
		*ret = json_incref(json_get_array(whole, "nftables"));
	}
	proc_result_clear(&result);
	return done;
}

int nft_rule_text(int netns, const char *family, const char *table, const char *chain, int64_t handle, char **ret, struct error *err)
{
	const char *const argv[] = { "nft", "--handle", "--numeric", "list", "chain", family, table, chain, NULL };
	autofree char *mark = xasprintf(" # handle %lld\n", (long long)handle);
	struct proc_result result;
	char *end, *start;

	if (nft_run(netns, argv, NULL, &result, err) < 0)
		return -1;
	*ret = NULL;
	end = result.status == 0 ? strstr(result.output, mark) : NULL;
	if (end) {
		for (start = end; start > result.output && start[-1] != '\n';)
			start--;
		start += strspn(start, "\t ");
		*ret = xstrndup(start, (size_t)(end - start));
	}
	proc_result_clear(&result);
	return 0;
}

int nft_remove_table(int netns, const char *family, const char *table, struct error *err)
{
	autojson json_t *commands = json_array();

	/* added first, so that its absence is no failure */
	json_add(commands, nft_command("add", "table", json_pack("{ss,ss}", "family", family, "name", table)));
	json_add(commands, nft_command("delete", "table", json_pack("{ss,ss}", "family", family, "name", table)));
	return nft_apply(netns, commands, err);
}

json_t *nft_command(const char *verb, const char *object, json_t *what)
{
	return json_pack("{s{so}}", verb, object, what);
}

json_t *nft_element(const char *verb, const char *family, const char *table, const char *set, json_t *elements)
{
	return nft_command(verb, "element", json_pack("{ss,ss,ss,so}", "family", family, "table", table, "name", set, "elem", elements));
}

json_t *nft_concat(json_t *parts)
{
	if (json_array_size(parts) == 1) {
		json_t *only = json_incref(json_array_get(parts, 0));

		json_decref(parts);
		return only;
	}
	return json_pack("{so}", "concat", parts);
}

json_t *nft_prefix(const char *prefix)
{
	const char *slash = strchr(prefix, '/');
	int length = slash ? (int)strtol(slash + 1, NULL, 10) : 32;
	size_t n = slash ? (size_t)(slash - prefix) : strlen(prefix);

	if (length == 32)
		return json_stringn(prefix, n);
	return json_pack("{s{ss%,si}}", "prefix", "addr", prefix, n, "len", length);
}

json_t *nft_range(int64_t first, int64_t last)
{
	if (first == last)
		return json_integer(first);
	return json_pack("{s[II]}", "range", (json_int_t)first, (json_int_t)last);
}

json_t *nft_meta(const char *key)
{
	return json_pack("{s{ss}}", "meta", "key", key);
}

json_t *nft_payload(const char *protocol, const char *field)
{
	return json_pack("{s{ss,ss}}", "payload", "protocol", protocol, "field", field);
}

json_t *nft_ct(const char *key)
{
	return json_pack("{s{ss}}", "ct", "key", key);
}

json_t *nft_match(const char *op, json_t *left, json_t *right)
{
	return json_pack("{s{ss,so,so}}", "match", "op", op, "left", left, "right", right);
}

json_t *nft_verdict(const char *verdict)
{
	return json_pack("{sn}", verdict);
}

json_t *nft_counter(void)
{
	return json_pack("{s{si,si}}", "counter", "packets", 0, "bytes", 0);
}
