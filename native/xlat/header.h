/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* Writing IP headers. */
#ifndef XLAT_HEADER_H
#define XLAT_HEADER_H

#include "checksum.h"
#include "params.h"
#include "types.h"
#include "view.h"
#include "wire.h"

/* RFC 7915 5.1: a packet that fits any IPv4 path behind the translator may be fragmented there. */
#define XLAT_DF_ABOVE 1260

struct xlat_header4 {
	struct xlat_ip4 src, dst;
	uint32_t total_length;
	struct be16 id;
	uint16_t fragment; /* flags and offset, host order */
	uint8_t tos, ttl, protocol;
};

struct xlat_header6 {
	const struct xlat_ip6 *src, *dst;
	uint32_t payload_length;
	uint8_t traffic_class, next, hop_limit;
};

/* The checksum is summed from the values, not read back from what was just stored. */
XLAT_FN void xlat_put_header4(uint8_t *to, const struct xlat_header4 *h)
{
	struct be16 version = xlat_be16(0x4500u | h->tos);
	struct be16 total = xlat_be16(h->total_length);
	struct be16 fragment = xlat_be16(h->fragment);
	struct be16 ttl = xlat_be16((uint32_t)h->ttl << 8 | h->protocol);
	struct be16 checksum;
	uint64_t sum = (uint64_t)version.raw + total.raw + h->id.raw + fragment.raw + ttl.raw +
		       h->src.addr.raw + h->dst.addr.raw;

	xlat_store16(to, version);
	xlat_store16(to + XLAT_IP4_TOTAL, total);
	xlat_store16(to + XLAT_IP4_ID, h->id);
	xlat_store16(to + XLAT_IP4_FRAGMENT, fragment);
	xlat_store16(to + XLAT_IP4_TTL, ttl);
	checksum.raw = (uint16_t)~xlat_fold(sum);
	xlat_store16(to + XLAT_IP4_CHECKSUM, checksum);
	xlat_store32(to + XLAT_IP4_SRC, h->src.addr);
	xlat_store32(to + XLAT_IP4_DST, h->dst.addr);
}

/* The flow label is zero (RFC 7915 4.1). */
XLAT_FN void xlat_put_header6(uint8_t *to, const struct xlat_header6 *h)
{
	xlat_store32(to, xlat_be32(0x60000000u | (uint32_t)h->traffic_class << 20));
	xlat_store32(to + XLAT_IP6_PAYLOAD,
		     xlat_be32(h->payload_length << 16 | (uint32_t)h->next << 8 | h->hop_limit));
	xlat_copy_ip6(to + XLAT_IP6_SRC, h->src->b);
	xlat_copy_ip6(to + XLAT_IP6_DST, h->dst->b);
}

/* Offset in bytes. */
XLAT_FN void xlat_put_fragment(uint8_t *to, uint8_t next, uint32_t offset, bool more, uint32_t id)
{
	to[0] = next;
	to[1] = 0;
	xlat_store16(to + XLAT_FRAGMENT_OFFSET,
		     xlat_be16(offset | (more ? XLAT_FRAGMENT_MORE : 0)));
	xlat_store32(to + XLAT_FRAGMENT_ID, xlat_be32(id));
}

/* What is marked keeps its ECN field (RFC 3168 5). */
XLAT_FN uint8_t xlat_traffic_class(const struct xlat_view *v, const struct xlat_params *params,
				   uint8_t otherwise)
{
	uint8_t octet = params->copy_traffic_class ? v->traffic_class : otherwise;

	if (XLAT_UNLIKELY(params->mark))
		return (uint8_t)(params->dscp << 2 | (octet & 3));
	return octet;
}

/* The header of an IPv6 packet as IPv4; for the outer one ttl is the new one. */
XLAT_FN void xlat_header64(const struct xlat_view *v, const struct xlat_tuple4 *to,
			   const struct xlat_params *params, uint8_t ttl, uint32_t total,
			   uint32_t segment, struct be16 id, uint8_t *out)
{
	struct xlat_header4 h;

	h.src = to->src;
	h.dst = to->dst;
	h.total_length = total;
	h.tos = xlat_traffic_class(v, params, params->tos);
	h.ttl = ttl;
	h.protocol = v->protocol == XLAT_PROTO_ICMP6 ? (uint8_t)XLAT_PROTO_ICMP : v->protocol;
	if (v->has_fragment_header) { /* RFC 7915 5.1.1 */
		h.id = xlat_be16(v->fragment_id & 0xffff);
		h.fragment = (uint16_t)(v->fragment_offset / 8 | (v->more ? XLAT_IP4_MF : 0));
	} else {
		h.id = id;
		h.fragment = segment > XLAT_DF_ABOVE ? XLAT_IP4_DF : 0;
	}
	xlat_put_header4(out, &h);
}

/* The header of an IPv4 packet as IPv6, with a Fragment header when asked for. */
XLAT_FN void xlat_header46(const struct xlat_view *v, const struct xlat_tuple6 *to,
			   const struct xlat_params *params, uint8_t hop_limit, uint32_t payload,
			   bool fragment, uint8_t *out)
{
	uint8_t next = v->protocol == XLAT_PROTO_ICMP ? (uint8_t)XLAT_PROTO_ICMP6 : v->protocol;
	struct xlat_header6 h;

	h.src = &to->src;
	h.dst = &to->dst;
	h.payload_length = payload + (fragment ? (uint32_t)XLAT_FRAGMENT_LEN : 0);
	h.traffic_class = xlat_traffic_class(v, params, 0);
	h.next = fragment ? (uint8_t)XLAT_PROTO_FRAGMENT : next;
	h.hop_limit = hop_limit;
	xlat_put_header6(out, &h);
	if (fragment)
		xlat_put_fragment(out + XLAT_IP6_LEN, next, v->fragment_offset, v->more,
				  v->fragment_id);
}

#endif
