/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * IPv4-embedded IPv6 addresses (RFC 6052 2.2). Bits 64 to 71, the u-octet, are zero and split the
 * address.
 */
#ifndef XLAT_RFC6052_H
#define XLAT_RFC6052_H

#include "types.h"

/* The low 56 bits of the second half: what is behind the u-octet. */
#define XLAT_BEHIND_U 0x00ffffffffffffffull

XLAT_FN uint64_t xlat_swap64(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap64(v);
#else
	return v;
#endif
}

/* Half of an address, 0 or 1, in host order. */
XLAT_FN uint64_t xlat_ip6_half(const struct xlat_ip6 *ip6, uint32_t which)
{
	uint64_t v;

	__builtin_memcpy(&v, ip6->b + 8 * which, 8);
	return xlat_swap64(v);
}

XLAT_FN void xlat_ip6_set_half(struct xlat_ip6 *ip6, uint32_t which, uint64_t half)
{
	uint64_t v = xlat_swap64(half);

	__builtin_memcpy(ip6->b + 8 * which, &v, 8);
}

/*
 * The length is one of RFC 6052's; bits of the prefix after it are not looked at, the suffix is
 * zero. Below 96 the IPv4 address is cut in two where the u-octet is: so many bits of it stand in
 * the second half as the prefix is longer than 32.
 */
XLAT_FN struct xlat_ip6 xlat_embed(const struct xlat_ip6 *prefix, uint32_t length,
				   struct xlat_ip4 ip4)
{
	struct xlat_ip6 ip6 = { { 0 } };
	uint64_t host = xlat_ip4_host(ip4);
	uint32_t behind = (length - 32) & 63;

	if (XLAT_LIKELY(length == 96)) {
		__builtin_memcpy(ip6.b, prefix->b, 12);
		ip6.b[8] = 0;
		xlat_store32(ip6.b + 12, ip4.addr);
		return ip6;
	}
	xlat_ip6_set_half(&ip6, 0,
			  (xlat_ip6_half(prefix, 0) & ~(0xffffffffull >> behind)) | host >> behind);
	xlat_ip6_set_half(&ip6, 1, host << ((56 - behind) & 63) & XLAT_BEHIND_U);
	return ip6;
}

/*
 * False when the u-octet is not zero: no address made by xlat_embed() has it. The suffix is ignored
 * (2.3).
 */
XLAT_FN bool xlat_extract(const struct xlat_ip6 *ip6, uint32_t length, struct xlat_ip4 *ip4)
{
	uint32_t behind = (length - 32) & 63;

	if (ip6->b[8])
		return false;
	if (XLAT_LIKELY(length == 96)) {
		ip4->addr = xlat_load32(ip6->b + 12);
		return true;
	}
	*ip4 = xlat_ip4_of((uint32_t)(xlat_ip6_half(ip6, 0) << behind |
				      xlat_ip6_half(ip6, 1) >> ((56 - behind) & 63)));
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
