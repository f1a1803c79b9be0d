/* SPDX-License-Identifier: Apache-2.0 */
/* The packet of a command line: `in=HEX`, or `in=HEX+ZEROS`. */
#ifndef PACKET_H
#define PACKET_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit.h"

static inline uint8_t nibble(char digit)
{
	return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/*
 * A heap block of XLAT_HEADROOM and then the packet; nothing after it, so that a sanitizer sees
 * what reads there.
 */
static inline uint8_t *read_packet(const char *line, uint32_t *len)
{
	const char *hex = strstr(line, " in=");
	const char *end = hex ? hex + 4 + strspn(hex + 4, "0123456789abcdef") : NULL;
	size_t bytes = hex ? (size_t)(end - hex - 4) / 2 : 0, zeros = 0, i;
	uint8_t *block;

	if (hex && *end == '+')
		zeros = strtoul(end + 1, NULL, 10);
	block = (uint8_t *)calloc(1, XLAT_HEADROOM + bytes + zeros);
	for (i = 0; i < bytes; i++)
		block[XLAT_HEADROOM + i] =
			(uint8_t)(nibble(hex[4 + 2 * i]) << 4 | nibble(hex[5 + 2 * i]));
	*len = (uint32_t)(bytes + zeros);
	return block;
}

#endif
