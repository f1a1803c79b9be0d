/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Splitting a finished IPv6 packet that begins with an IPv6 and a Fragment header
 * (edit->fragment_mtu) into fragments. Arithmetic only: each fragment is 48 bytes of header, then a
 * slice of the packet, for a host that gathers.
 */
#ifndef XLAT_FRAGMENT_H
#define XLAT_FRAGMENT_H

#include "header.h"
#include "types.h"
#include "wire.h"

#define XLAT_FRAGMENT_HEAD (XLAT_IP6_LEN + XLAT_FRAGMENT_LEN)

struct xlat_slice {
	uint8_t head[XLAT_FRAGMENT_HEAD];
	uint32_t offset, length; /* of the payload in the packet */
};

/* Payload of every fragment but the last (RFC 8200 4.5: a multiple of 8). */
XLAT_FN uint32_t xlat_fragment_step(uint32_t mtu)
{
	return (mtu - XLAT_FRAGMENT_HEAD) / 8 * 8;
}

XLAT_FN uint32_t xlat_fragment_count(uint32_t length, uint32_t mtu)
{
	uint32_t payload = length - XLAT_FRAGMENT_HEAD;

	return payload + XLAT_FRAGMENT_HEAD <= mtu
		       ? 1
		       : (payload + xlat_fragment_step(mtu) - 1) / xlat_fragment_step(mtu);
}

/* The index-th fragment. A packet that is a fragment itself keeps its place in the datagram. */
XLAT_FN void xlat_fragment(const uint8_t *packet, uint32_t length, uint32_t mtu, uint32_t index,
			   struct xlat_slice *slice)
{
	const uint8_t *h = packet + XLAT_IP6_LEN;
	uint32_t field = xlat_get16(h + XLAT_FRAGMENT_OFFSET);
	uint32_t count = xlat_fragment_count(length, mtu);
	uint32_t at = index * xlat_fragment_step(mtu);
	bool last = index + 1 >= count;

	slice->offset = XLAT_FRAGMENT_HEAD + at;
	slice->length = last ? length - slice->offset : xlat_fragment_step(mtu);
	__builtin_memcpy(slice->head, packet, XLAT_IP6_LEN);
	xlat_store16(slice->head + XLAT_IP6_PAYLOAD, xlat_be16(slice->length + XLAT_FRAGMENT_LEN));
	xlat_put_fragment(slice->head + XLAT_IP6_LEN, h[0],
			  (field & XLAT_FRAGMENT_OFFSET_MASK) + at,
			  !last || (field & XLAT_FRAGMENT_MORE), xlat_get32(h + XLAT_FRAGMENT_ID));
}

#endif
