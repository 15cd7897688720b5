/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

struct range { uint32_t first, last; };

/* Unicode: nonspacing and enclosing marks, and what joins or directs; the blocks that matter. */
static const struct range narrow[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x0610, 0x061a }, { 0x064b, 0x065f }, { 0x06d6, 0x06dc },
	{ 0x0e31, 0x0e31 }, { 0x0e34, 0x0e3a }, { 0x0e47, 0x0e4e }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200b, 0x200f },
	{ 0x202a, 0x202e }, { 0x2060, 0x2064 }, { 0x20d0, 0x20f0 }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
	{ 0xe0100, 0xe01ef },
};
/* East_Asian_Width W and F (UAX 11), as blocks. */
static const struct range wide[] = {
	{ 0x1100, 0x115f }, { 0x2e80, 0x303e }, { 0x3041, 0x33ff }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xa000, 0xa4cf },
	{ 0xa960, 0xa97c }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f }, { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 },
	{ 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
};

static bool in_ranges(const struct range *ranges, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* One character of UTF-8 (RFC 3629: no overlong forms, no surrogates): its length, or 0 when the byte starts none. */
static size_t decode(const char *s, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t c = n == 1 ? p[0] : n ? p[0] & (0xffu >> (n + 1)) : 0;

	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff))
		return 0;
	*ret = c;
	return n;
}

static size_t width_of(uint32_t c)
{
	if (in_ranges(narrow, ARRAY_LEN(narrow), c))
		return 0;
	return in_ranges(wide, ARRAY_LEN(wide), c) ? 2 : 1;
}

size_t text_width(const char *s)
{
	size_t width = 0, n;
	uint32_t c;

	for (; *s; s += n) {
		n = decode(s, &c);
		width += n ? width_of(c) : 1;
		n = n ? n : 1;
	}
	return width;
}

/* Marks that turn the direction of what follows can forge a line as well as an escape can. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void text_add_safe(struct buf *buf, const char *s)
{
	uint32_t c;

	while (*s) {
		size_t n = decode(s, &c), length = n ? n : 1;

		if (n && !is_control(c)) {
			buf_add(buf, s, n);
		} else {
			for (size_t i = 0; i < length; i++)
				buf_addf(buf, "\\x%02x", (unsigned char)s[i]);
		}
		s += length;
	}
}

void text_add_padded(struct buf *buf, const char *s, size_t width, bool right)
{
	autobuf struct buf safe = { 0 };

	buf_adds(&safe, "");
	text_add_safe(&safe, s);
	size_t taken = text_width(safe.data), blanks = taken < width ? width - taken : 0;
	if (right)
		for (size_t i = 0; i < blanks; i++)
			buf_addc(buf, ' ');
	buf_add(buf, safe.data, safe.n);
	if (!right)
		for (size_t i = 0; i < blanks; i++)
			buf_addc(buf, ' ');
}

void text_add_cut(struct buf *buf, const char *s, size_t width)
{
	autobuf struct buf safe = { 0 };
	size_t taken = 0, n, at = 0;
	uint32_t c;

	buf_adds(&safe, "");
	text_add_safe(&safe, s);
	if (text_width(safe.data) <= width) {
		buf_add(buf, safe.data, safe.n);
		return;
	}
	while ((n = decode(safe.data + at, &c)) && c && taken + width_of(c) + 3 <= width) {
		taken += width_of(c);
		at += n;
	}
	buf_add(buf, safe.data, at);
	for (size_t i = 0; i < 3 && taken + i < width; i++)
		buf_addc(buf, '.');
}

void text_add_duration(struct buf *buf, int64_t ms)
{
	int64_t seconds = (ms + 500) / 1000;

	if (ms < 10000)
		buf_addf(buf, "%.1f s", (double)MAX(ms, 0) / 1000);
	else if (seconds < 120)
		buf_addf(buf, "%lld s", (long long)seconds);
	else if (seconds < 7200)
		buf_addf(buf, "%lld min %lld s", (long long)(seconds / 60), (long long)(seconds % 60));
	else
		buf_addf(buf, "%lld h %lld min", (long long)(seconds / 3600), (long long)(seconds / 60 % 60));
}

void text_add_color(struct buf *buf, bool on, enum text_color color)
{
	static const char *const codes[] = {
		[TEXT_PLAIN] = "\033[0m", [TEXT_RED] = "\033[31m", [TEXT_GREEN] = "\033[32m", [TEXT_YELLOW] = "\033[33m",
		[TEXT_BLUE] = "\033[34m", [TEXT_DIM] = "\033[2m", [TEXT_BOLD] = "\033[1m",
	};

	if (on)
		buf_adds(buf, codes[color]);
}
