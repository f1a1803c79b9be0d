/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * IPv4-embedded IPv6 addresses (RFC 6052 2.2). Bits 64 to 71, the u-octet, are zero and split the
 * address.
 */
#ifndef XLAT_RFC6052_H
#define XLAT_RFC6052_H

#include "types.h"

/* Where byte i of the IPv4 address stands: after the prefix, over the u-octet. */
XLAT_FN uint32_t xlat_embedded_byte(uint32_t length, uint32_t i)
{
	uint32_t at = length / 8 + i;

	return length < 96 && at >= 8 ? at + 1 : at;
}

/*
 * The length is one of RFC 6052's; bits of the prefix after it are not looked at, the suffix is
 * zero.
 */
XLAT_FN struct xlat_ip6 xlat_embed(const struct xlat_ip6 *prefix, uint32_t length,
				   struct xlat_ip4 ip4)
{
	struct xlat_ip6 ip6 = { { 0 } };
	uint32_t host = xlat_ip4_host(ip4);
	uint32_t i;

	if (XLAT_LIKELY(length == 96)) {
		__builtin_memcpy(ip6.b, prefix->b, 12);
		ip6.b[8] = 0;
		xlat_store32(ip6.b + 12, ip4.addr);
		return ip6;
	}
	for (i = 0; i < 8; i++)
		if (i < length / 8)
			ip6.b[i] = prefix->b[i];
	for (i = 0; i < 4; i++)
		ip6.b[xlat_embedded_byte(length, i) & 15] = (uint8_t)(host >> (24 - 8 * i));
	return ip6;
}

/*
 * False when the u-octet is not zero: no address made by xlat_embed() has it. The suffix is ignored
 * (2.3).
 */
XLAT_FN bool xlat_extract(const struct xlat_ip6 *ip6, uint32_t length, struct xlat_ip4 *ip4)
{
	uint32_t host = 0;
	uint32_t i;

	if (ip6->b[8])
		return false;
	if (XLAT_LIKELY(length == 96)) {
		ip4->addr = xlat_load32(ip6->b + 12);
		return true;
	}
	for (i = 0; i < 4; i++)
		host = host << 8 | ip6->b[xlat_embedded_byte(length, i) & 15];
	*ip4 = xlat_ip4_of(host);
	return true;
}

/* Whether the address is under the prefix, of any length up to 128. */
XLAT_FN bool xlat_under_prefix(const struct xlat_ip6 *ip6, const struct xlat_ip6 *prefix,
			       uint32_t length)
{
	uint32_t i;

	for (i = 0; i < 16 && length; i++) {
		uint32_t bits = length < 8 ? length : 8;

		if ((ip6->b[i] ^ prefix->b[i]) >> (8 - bits))
			return false;
		length -= bits;
	}
	return true;
}

#endif
