/* SPDX-License-Identifier: Apache-2.0 */
#include "model/cidr.h"
#include "model/ports.h"
#include "model/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* What is formatted parses to the same value again. */
static void try_quantities(const char *text)
{
	char formatted[QUANTITY_TEXT];
	struct error err = { 0 };
	int64_t value, again;

	if (quantity_parse(text, 1000, &value, &err) == 0) {
		quantity_format_milli(value, formatted);
		require(quantity_parse(formatted, 1000, &again, &err) == 0 && again == value);
	}
	if (quantity_parse(text, 1, &value, &err) == 0) {
		quantity_format_bytes(value, formatted);
		require(quantity_parse(formatted, 1, &again, &err) == 0 && again == value);
	}
	if (duration_parse(text, &value, &err) == 0) {
		duration_format(value, formatted);
		require(duration_parse(formatted, &again, &err) == 0 && again == value);
	}
	if (micros_parse(text, &value, &err) == 0)
		require(value >= 0);
}

static void try_network(const char *text)
{
	char port[PORT_TEXT], address_text[ADDRESS_TEXT], prefix_text[PREFIX_TEXT];
	struct port_range range = { 0 }, range_again = { 0 };
	struct prefix prefix, prefix_again;
	struct address address, address_again;
	struct error err = { 0 };

	if (port_range_parse(text, &range, &err) == 0) {
		port_range_format(&range, port);
		require(port_range_parse(port, &range_again, &err) == 0);
		require(range_again.protocol == range.protocol && range_again.first == range.first && range_again.last == range.last);
	}
	if (prefix_parse(text, &prefix, &err) == 0) {
		prefix_format(&prefix, prefix_text);
		require(prefix_parse(prefix_text, &prefix_again, &err) == 0 && prefix_equal(&prefix, &prefix_again));
	}
	if (address_parse(text, &address, &err) == 0) {
		address_format(&address, address_text);
		require(address_parse(address_text, &address_again, &err) == 0 && address_equal(&address, &address_again));
		address_class(&address);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	autofree char *text = xstrndup((const char *)data, n);

	try_quantities(text);
	try_network(text);
	return 0;
}
