// SPDX-License-Identifier: GPL-2.0-only
/*
 * The grammar of /proc/net/static_nat:
 *
 *	line    = ("+" / "-") prefix blank prefix blank ("dst" / "src") LF
 *	prefix  = address ["/" length]		both of one length, no bits beyond it
 *
 * The last LF may be missing: the keyword tells a whole line from one that was cut.
 */
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <net/ip.h>
#include "static_nat.h"

/* "+255.255.255.255/32 255.255.255.255/32 dst" and more blanks than anybody needs */
#define LINE_MAX 80

static bool usable(__be32 address)
{
	return !ipv4_is_zeronet(address) && !ipv4_is_loopback(address) &&
	       !ipv4_is_multicast(address) && !ipv4_is_lbcast(address);
}

static int parse_prefix(char *text, __be32 *prefix, u8 *length)
{
	char *slash = strchr(text, '/');
	const char *end;

	*length = 32;
	if (slash) {
		*slash++ = '\0';
		if (!isdigit(*slash) || kstrtou8(slash, 10, length) || !*length || *length > 32)
			return -EINVAL;
	}
	if (!in4_pton(text, -1, (u8 *)prefix, '\0', &end) || *end)
		return -EINVAL;
	if (*prefix & ~static_nat_mask(*length))
		return -EINVAL;
	if (!usable(*prefix) || !usable(*prefix | ~static_nat_mask(*length)))
		return -EINVAL;
	return 0;
}

static int parse_kind(const char *text, u8 *kind)
{
	if (!strcmp(text, "dst"))
		*kind = STATIC_NAT_DST;
	else if (!strcmp(text, "src"))
		*kind = STATIC_NAT_SRC;
	else
		return -EINVAL;
	return 0;
}

static char *next_word(char **text)
{
	char *word;

	do
		word = strsep(text, " \t");
	while (word && !*word);
	return word;
}

static int parse_line(char *line, struct static_nat_command *command)
{
	char *from, *to, *kind;
	u8 length;
	int err;

	if (*line != '+' && *line != '-')
		return -EINVAL;
	command->add = *line++ == '+';
	if (*line == ' ' || *line == '\t')
		return -EINVAL;
	from = next_word(&line);
	to = next_word(&line);
	kind = next_word(&line);
	if (!kind || next_word(&line))
		return -EINVAL;
	err = parse_prefix(from, &command->from, &command->length);
	if (!err)
		err = parse_prefix(to, &command->to, &length);
	if (!err)
		err = parse_kind(kind, &command->kind);
	if (err)
		return err;
	if (length != command->length || command->from == command->to)
		return -EINVAL;
	return 0;
}

static size_t count_lines(const char *text, size_t length)
{
	size_t lines = length && text[length - 1] != '\n';

	while (length--)
		lines += *text++ == '\n';
	return lines;
}

int static_nat_parse(char *text, size_t length, struct static_nat_command **commands,
		     size_t *count)
{
	size_t lines = count_lines(text, length);
	char *end = text + length;
	size_t i;
	int err;

	if (!lines || memchr(text, '\0', length))
		return -EINVAL;
	*commands = kvmalloc_array(lines, sizeof(**commands), GFP_KERNEL_ACCOUNT);
	if (!*commands)
		return -ENOMEM;
	for (i = 0; i < lines; i++) {
		char *newline = memchr(text, '\n', end - text) ?: end;

		*newline = '\0';
		err = newline - text > LINE_MAX ? -EINVAL : parse_line(text, &(*commands)[i]);
		if (err) {
			kvfree(*commands);
			return err;
		}
		text = newline + 1;
	}
	*count = lines;
	return 0;
}
