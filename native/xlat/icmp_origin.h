/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Who sent an ICMPv6 error that leaves from an IPv4 address of the operator: RFC 6791 4 tells it by
 * the Interface IP Address Sub-Object of RFC 5837, an extension by RFC 4884.
 */
#ifndef XLAT_ICMP_ORIGIN_H
#define XLAT_ICMP_ORIGIN_H

#include "checksum.h"
#include "types.h"
#include "wire.h"

enum xlat_origin {
	XLAT_ORIGIN_OBJECT = 24, /* object header, sub-object header, address (RFC 5837 4.2, 4.3) */
	XLAT_ORIGIN_STRUCTURE = 28, /* with the extension header (RFC 4884 7) */
	XLAT_ORIGIN_ROOM = XLAT_IP4_ERROR_MAX - XLAT_IP4_LEN - XLAT_ICMP_LEN - XLAT_ORIGIN_STRUCTURE,
};

/* Class 2, interface information; of the interface that the packet in error came by, its address. */
XLAT_FN void xlat_put_origin(uint8_t *to, const struct xlat_ip6 *origin)
{
	xlat_store16(to, xlat_be16(XLAT_ORIGIN_OBJECT));
	xlat_store16(to + 2, xlat_be16(0x0204));
	xlat_store32(to + 4, xlat_be32(0x00020000)); /* address family IPv6 */
	__builtin_memcpy(to + 8, origin->b, 16);
}

/* RFC 4884 7: a checksum of zero would say that there is none. */
XLAT_FN struct be16 xlat_or_ones(struct be16 checksum)
{
	if (!checksum.raw)
		checksum.raw = 0xffff;
	return checksum;
}

/* One more object behind those of the sender; what it is not sure to be one of is left alone. */
XLAT_FN uint32_t xlat_extend_origin(uint8_t *packet, uint32_t length, uint32_t at,
				    const struct xlat_ip6 *origin)
{
	struct be16 checksum;

	if (at + 4 > length || (length - at) & 3 || packet[at] >> 4 != 2 ||
	    length + XLAT_ORIGIN_OBJECT > XLAT_IP4_ERROR_MAX)
		return length;
	xlat_put_origin(packet + length, origin);
	checksum = xlat_load16(packet + at + 2);
	if (checksum.raw)
		checksum = xlat_or_ones(
			xlat_update(checksum, xlat_sum(packet + length, XLAT_ORIGIN_OBJECT)));
	xlat_store16(packet + at + 2, checksum);
	return length + XLAT_ORIGIN_OBJECT;
}

/* The first extension: the datagram gets 128 bytes at least, whole words, and room behind it. */
XLAT_FN uint32_t xlat_begin_origin(uint8_t *packet, uint32_t length, const struct xlat_ip6 *origin)
{
	uint32_t head = XLAT_IP4_LEN + XLAT_ICMP_LEN, datagram = (length - head + 3) / 4 * 4, i;
	uint8_t *icmp = packet + XLAT_IP4_LEN, *structure;

	if (datagram < XLAT_EXT_DATAGRAM_MIN)
		datagram = XLAT_EXT_DATAGRAM_MIN;
	if (datagram > XLAT_ORIGIN_ROOM)
		datagram = XLAT_ORIGIN_ROOM;
	for (i = length; i < XLAT_IP4_ERROR_MAX && i < head + datagram; i++)
		packet[i] = 0;
	icmp[XLAT_ICMP4_EXT_LENGTH] = (uint8_t)(datagram / 4);
	structure = packet + head + datagram;
	xlat_store32(structure, xlat_be32(0x20000000));
	xlat_put_origin(structure + 4, origin);
	xlat_store16(structure + 2,
		     xlat_or_ones(xlat_full_checksum(structure, XLAT_ORIGIN_STRUCTURE, 0)));
	return head + datagram + XLAT_ORIGIN_STRUCTURE;
}

/*
 * Adds the sender to a finished ICMPv4 error, which has no IP options and lies in one piece with
 * room for XLAT_IP4_ERROR_MAX bytes. Returns its length.
 */
XLAT_FN uint32_t xlat_add_origin(uint8_t *packet, uint32_t length, const struct xlat_ip6 *origin)
{
	uint8_t *icmp = packet + XLAT_IP4_LEN;
	uint32_t told = (uint32_t)icmp[XLAT_ICMP4_EXT_LENGTH] * 4, after;
	struct be16 old = xlat_be16(length), total;
	uint64_t before;

	if (length < XLAT_IP4_LEN + XLAT_ICMP_LEN || length > XLAT_IP4_ERROR_MAX)
		return length;
	before = xlat_sum(icmp, length - XLAT_IP4_LEN);
	if (told)
		after = xlat_extend_origin(packet, length, XLAT_IP4_LEN + XLAT_ICMP_LEN + told,
					   origin);
	else
		after = xlat_begin_origin(packet, length, origin);
	xlat_store16(icmp + XLAT_ICMP_CHECKSUM,
		     xlat_update(xlat_load16(icmp + XLAT_ICMP_CHECKSUM),
				 xlat_sum(icmp, after - XLAT_IP4_LEN) + xlat_minus(before)));
	total = xlat_be16(after);
	xlat_store16(packet + XLAT_IP4_TOTAL, total);
	xlat_store16(packet + XLAT_IP4_CHECKSUM,
		     xlat_update(xlat_load16(packet + XLAT_IP4_CHECKSUM),
				 xlat_minus16(old) + total.raw));
	return after;
}

#endif
