/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Addresses that are never translated, and those that the well-known prefix refuses. */
#ifndef XLAT_ADDR_H
#define XLAT_ADDR_H

#include "rfc6052.h"
#include "types.h"

XLAT_FN bool xlat_under4(uint32_t host, uint32_t address, uint32_t length)
{
	return ((host ^ address) >> (32 - length)) == 0;
}

/*
 * This network (0/8), loopback, link-local, multicast, class E and limited broadcast (RFC
 * 1122 3.2.1.3, RFC 3927, RFC 6890). The broadcast address of a subnet is known to the host only.
 */
XLAT_FN bool xlat_is_illegal4(struct xlat_ip4 ip)
{
	uint32_t a = xlat_ip4_host(ip);

	return a >= 0xe0000000 || (a >> 24) == 0 || (a >> 24) == 127 || (a >> 16) == 0xa9fe;
}

/* The directed broadcast of an interface's own subnet; a /31 or /32 has none (RFC 3021). */
XLAT_FN bool xlat_is_subnet_broadcast4(struct xlat_ip4 ip, struct xlat_ip4 subnet, uint32_t length)
{
	uint32_t host_bits = length < 31 ? 0xffffffff >> length : 0;

	return host_bits && xlat_ip4_host(ip) == (xlat_ip4_host(subnet) | host_bits);
}

/* Unspecified, loopback, IPv4-mapped, link-local and multicast (RFC 4291 2.5, 2.7). */
XLAT_FN bool xlat_is_illegal6(const struct xlat_ip6 *ip)
{
	uint32_t i, low = 0;

	if (ip->b[0] == 0xff || (ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80))
		return true;
	for (i = 0; i < 10; i++)
		if (ip->b[i])
			return false;
	if (ip->b[10] == 0xff && ip->b[11] == 0xff)
		return true;
	for (i = 10; i < 15; i++)
		low |= ip->b[i];
	return !low && ip->b[15] <= 1;
}

/* Not globally reachable: IANA's special-purpose registry (RFC 6890), as RFC 6052 3.1 means it. */
XLAT_FN bool xlat_is_non_global4(struct xlat_ip4 ip)
{
	uint32_t a = xlat_ip4_host(ip);

	if (xlat_is_illegal4(ip))
		return true;
	if ((a >> 8) ==
	    0xc00000) /* 192.0.0.0/24 but for the two anycast addresses of RFC 7723 and RFC 8155 */
		return a != 0xc0000009 && a != 0xc000000a;
	return (a >> 24) == 10 ||		 /* RFC 1918 */
	       xlat_under4(a, 0xac100000, 12) || /* 172.16.0.0/12 */
	       (a >> 16) == 0xc0a8 ||		 /* 192.168.0.0/16 */
	       xlat_under4(a, 0x64400000, 10) || /* 100.64.0.0/10, RFC 6598 */
	       (a >> 8) == 0xc00002 ||		 /* 192.0.2.0/24, RFC 5737 */
	       (a >> 8) == 0xc63364 ||		 /* 198.51.100.0/24 */
	       (a >> 8) == 0xcb0071 ||		 /* 203.0.113.0/24 */
	       xlat_under4(a, 0xc6120000, 15) || /* 198.18.0.0/15, RFC 2544 */
	       (a >> 8) == 0xc05863;		 /* 192.88.99.0/24, RFC 7526 */
}

/* 64:ff9b::/96 (RFC 6052 2.1). */
XLAT_FN bool xlat_is_well_known(const struct xlat_ip6 *ip)
{
	static const struct xlat_ip6 prefix = { { 0, 0x64, 0xff, 0x9b } };

	return xlat_under_prefix(ip, &prefix, 96);
}

#endif
