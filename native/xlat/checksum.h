/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Internet checksums (RFC 1071, RFC 1624). Words are summed as they stand in memory: the sum of the
 * wire's bytes is the same in either byte order, so no word is ever swapped. Every sum starts at an
 * even offset of its message.
 */
#ifndef XLAT_CHECKSUM_H
#define XLAT_CHECKSUM_H

#include "types.h"
#include "wire.h"

XLAT_FN uint16_t xlat_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The term that takes a word out of a sum: one's complement has no subtraction (RFC 1624 3). */
XLAT_FN uint64_t xlat_minus16(struct be16 word)
{
	return (uint16_t)~word.raw;
}

/* The term that takes a whole sum out of another. */
XLAT_FN uint64_t xlat_minus(uint64_t sum)
{
	return (uint16_t)~xlat_fold(sum);
}

/* The sum of len bytes, an odd last byte padded with zero. */
XLAT_FN uint64_t xlat_sum(const uint8_t *p, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i + 4 <= len; i += 4)
		sum += xlat_load32(p + i).raw;
	if (len & 2) {
		sum += xlat_load16(p + i).raw;
		i += 2;
	}
	if (len & 1)
		sum += xlat_be16((uint32_t)p[i] << 8).raw;
	return sum;
}

XLAT_FN uint64_t xlat_sum_ip4(struct xlat_ip4 ip)
{
	return ip.addr.raw;
}

XLAT_FN uint64_t xlat_sum_ip6(const struct xlat_ip6 *ip)
{
	uint32_t w[4];

	__builtin_memcpy(w, ip->b, 16);
	return (uint64_t)w[0] + w[1] + w[2] + w[3];
}

/* The length and protocol words of a pseudo-header (RFC 8200 8.1; the same bytes sum up in IPv4's).
 */
XLAT_FN uint64_t xlat_sum_pseudo(uint32_t upper_length, uint8_t protocol)
{
	return (uint64_t)xlat_be32(upper_length).raw + xlat_be16(protocol).raw;
}

/*
 * The checksum over the whole upper layer, whose field holds the old pseudo-header's sum, or
 * nothing.
 */
XLAT_FN struct be16 xlat_full_checksum(const uint8_t *l4, uint32_t len, uint64_t change)
{
	struct be16 v = { (uint16_t)~xlat_fold((uint64_t)xlat_fold(xlat_sum(l4, len)) + change) };

	return v;
}

/* The pseudo-header that ICMPv6 has and ICMPv4 has not. */
XLAT_FN uint64_t xlat_sum_icmp6_pseudo(const struct xlat_ip6 *src, const struct xlat_ip6 *dst,
				       uint32_t length)
{
	return xlat_sum_ip6(src) + xlat_sum_ip6(dst) + xlat_sum_pseudo(length, XLAT_PROTO_ICMP6);
}

/* A checksum field after `change` was added to what it covers (RFC 1624 eqn. 3). */
XLAT_FN struct be16 xlat_update(struct be16 checksum, uint64_t change)
{
	struct be16 v = { (uint16_t)~xlat_fold((uint16_t)~checksum.raw + change) };

	return v;
}

/*
 * What a TCP or UDP checksum gains when a flow changes family: addresses and ports. Constant for
 * one direction of a flow, so it is worth keeping, and its complement serves the other direction.
 * Never 0, so that 0 can mean "not computed" (0xffff is the other zero of one's complement).
 */
XLAT_FN uint16_t xlat_delta(uint64_t sum_new, uint64_t sum_old)
{
	uint16_t delta = xlat_fold((uint64_t)xlat_fold(sum_new) + xlat_minus(sum_old));

	return delta ? delta : 0xffff;
}

XLAT_FN uint64_t xlat_sum_tuple4(const struct xlat_tuple4 *t)
{
	return (uint64_t)t->src.addr.raw + t->dst.addr.raw + t->src_port.raw + t->dst_port.raw;
}

XLAT_FN uint64_t xlat_sum_tuple6(const struct xlat_tuple6 *t)
{
	return xlat_sum_ip6(&t->src) + xlat_sum_ip6(&t->dst) + t->src_port.raw + t->dst_port.raw;
}

XLAT_FN uint16_t xlat_delta64(const struct xlat_tuple6 *from, const struct xlat_tuple4 *to)
{
	return xlat_delta(xlat_sum_tuple4(to), xlat_sum_tuple6(from));
}

XLAT_FN uint16_t xlat_delta46(const struct xlat_tuple4 *from, const struct xlat_tuple6 *to)
{
	return xlat_delta(xlat_sum_tuple6(to), xlat_sum_tuple4(from));
}

#endif
