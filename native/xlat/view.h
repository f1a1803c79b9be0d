/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * What a packet is. The one place where bytes of a stranger are judged: after xlat_parse() returned
 * XLAT_OK every offset in the view lies inside the packet, and nobody checks a length again.
 */
#ifndef XLAT_VIEW_H
#define XLAT_VIEW_H

#include "checksum.h"
#include "reason.h"
#include "types.h"
#include "wire.h"

/*
 * More than the four kinds of RFC 8200 4.1 in their recommended order, with room for a repeated
 * one.
 */
#define XLAT_MAX_EXTENSIONS 8

enum xlat_kind {
	XLAT_KIND_OTHER, /* another upper layer, or an ICMP message that is neither echo nor error */
	XLAT_KIND_TCP,
	XLAT_KIND_UDP,
	XLAT_KIND_ECHO_REQUEST,
	XLAT_KIND_ECHO_REPLY,
	XLAT_KIND_ICMP_ERROR,
	XLAT_KIND_FRAGMENT, /* not the first fragment: no upper-layer header */
};

struct xlat_view {
	/* All offsets count from the first byte of the outer packet. */
	uint32_t offset;    /* of the IP header; not 0 for the packet inside an ICMP error */
	uint32_t l4_offset; /* of the upper-layer header, or of a later fragment's payload */
	uint32_t end;       /* of the bytes that are there; an inner packet is often cut short */
	uint32_t total_length; /* by the IP header, and with it */
	uint32_t fragment_id;
	uint32_t pointer; /* with XLAT_ROUTING_HEADER: the Segments Left byte */
	uint16_t fragment_offset; /* in bytes */
	uint16_t l4_header_length;
	struct be16 src_port, dst_port; /* both the identifier for ICMP echo */
	uint8_t family;			/* 4 or 6 */
	uint8_t kind;			/* enum xlat_kind */
	uint8_t protocol;		/* as on the wire: 58 for ICMPv6 */
	uint8_t hop_limit;
	uint8_t traffic_class;
	uint8_t tcp_flags;
	uint8_t icmp_type, icmp_code;
	bool df;
	bool has_fragment_header; /* IPv6; also of an atomic fragment (RFC 6946) */
	bool is_fragment;	  /* more fragments or an offset */
	bool first, more;	  /* first is also true of a whole packet */
	bool has_ports;
};

XLAT_FN struct xlat_ip4 xlat_src4(const uint8_t *packet, const struct xlat_view *v)
{
	return xlat_load_ip4(packet + v->offset + XLAT_IP4_SRC);
}

XLAT_FN struct xlat_ip4 xlat_dst4(const uint8_t *packet, const struct xlat_view *v)
{
	return xlat_load_ip4(packet + v->offset + XLAT_IP4_DST);
}

XLAT_FN struct xlat_ip6 xlat_src6(const uint8_t *packet, const struct xlat_view *v)
{
	return xlat_load_ip6(packet + v->offset + XLAT_IP6_SRC);
}

XLAT_FN struct xlat_ip6 xlat_dst6(const uint8_t *packet, const struct xlat_view *v)
{
	return xlat_load_ip6(packet + v->offset + XLAT_IP6_DST);
}

/* Bytes after the IP headers, by the IP header. */
XLAT_FN uint32_t xlat_upper_length(const struct xlat_view *v)
{
	return v->total_length - (v->l4_offset - v->offset);
}

XLAT_FN uint8_t xlat_icmp4_kind(uint8_t type)
{
	switch (type) {
	case XLAT_ICMP4_ECHO:
		return XLAT_KIND_ECHO_REQUEST;
	case XLAT_ICMP4_ECHO_REPLY:
		return XLAT_KIND_ECHO_REPLY;
	case XLAT_ICMP4_UNREACHABLE:
	case XLAT_ICMP4_SOURCE_QUENCH:
	case XLAT_ICMP4_REDIRECT:
	case XLAT_ICMP4_TIME_EXCEEDED:
	case XLAT_ICMP4_PARAMETER:
		return XLAT_KIND_ICMP_ERROR;
	default:
		return XLAT_KIND_OTHER;
	}
}

XLAT_FN uint8_t xlat_icmp6_kind(uint8_t type)
{
	if (type < XLAT_ICMP6_INFORMATIONAL)
		return XLAT_KIND_ICMP_ERROR;
	if (type == XLAT_ICMP6_ECHO)
		return XLAT_KIND_ECHO_REQUEST;
	return type == XLAT_ICMP6_ECHO_REPLY ? XLAT_KIND_ECHO_REPLY : XLAT_KIND_OTHER;
}

XLAT_FN enum xlat_reason xlat_parse_tcp(const uint8_t *l4, uint32_t have, struct xlat_view *v)
{
	uint32_t header;

	v->kind = XLAT_KIND_TCP;
	if (have >= 4) {
		v->src_port = xlat_load16(l4 + XLAT_SRC_PORT);
		v->dst_port = xlat_load16(l4 + XLAT_DST_PORT);
		v->has_ports = true;
	}
	if (have < XLAT_TCP_LEN)
		return XLAT_TRUNCATED;
	header = (uint32_t)(l4[XLAT_TCP_DATA] >> 4) * 4;
	v->tcp_flags = l4[XLAT_TCP_FLAGS];
	v->l4_header_length = (uint16_t)header;
	return header < XLAT_TCP_LEN || (header > have && !v->more) ? XLAT_BAD_LENGTH : XLAT_OK;
}

XLAT_FN enum xlat_reason xlat_parse_udp(const uint8_t *l4, uint32_t have, struct xlat_view *v)
{
	v->kind = XLAT_KIND_UDP;
	v->l4_header_length = XLAT_UDP_LEN;
	if (have >= 4) {
		v->src_port = xlat_load16(l4 + XLAT_SRC_PORT);
		v->dst_port = xlat_load16(l4 + XLAT_DST_PORT);
		v->has_ports = true;
	}
	return have < XLAT_UDP_LEN ? XLAT_TRUNCATED : XLAT_OK;
}

XLAT_FN enum xlat_reason xlat_parse_icmp(const uint8_t *l4, uint32_t have, struct xlat_view *v)
{
	v->l4_header_length = XLAT_ICMP_LEN;
	if (have < 2)
		return XLAT_TRUNCATED;
	v->icmp_type = l4[XLAT_ICMP_TYPE];
	v->icmp_code = l4[XLAT_ICMP_CODE];
	v->kind = v->family == 4 ? xlat_icmp4_kind(v->icmp_type) : xlat_icmp6_kind(v->icmp_type);
	if (have < XLAT_ICMP_LEN)
		return XLAT_TRUNCATED;
	if (v->kind == XLAT_KIND_ECHO_REQUEST || v->kind == XLAT_KIND_ECHO_REPLY) {
		v->src_port = v->dst_port = xlat_load16(l4 + XLAT_ICMP_ID);
		v->has_ports = true;
	}
	return XLAT_OK;
}

XLAT_FN enum xlat_reason xlat_parse_upper(const uint8_t *packet, struct xlat_view *v)
{
	const uint8_t *l4 = packet + v->l4_offset;
	uint32_t have = v->end - v->l4_offset;

	if (!v->first) {
		v->kind = XLAT_KIND_FRAGMENT;
		/* No datagram is that long (RFC 8200 4.5); cut smaller, its offsets would begin anew. */
		return v->fragment_offset + xlat_upper_length(v) > XLAT_IP4_MAX ? XLAT_BAD_LENGTH
										: XLAT_OK;
	}
	if (v->protocol == XLAT_PROTO_TCP)
		return xlat_parse_tcp(l4, have, v);
	if (v->protocol == XLAT_PROTO_UDP)
		return xlat_parse_udp(l4, have, v);
	if (v->protocol == (v->family == 4 ? XLAT_PROTO_ICMP : XLAT_PROTO_ICMP6))
		return xlat_parse_icmp(l4, have, v);
	return XLAT_OK;
}

/* RFC 7915 4.1: options are ignored, except that an unexpired source route is refused. */
XLAT_FN enum xlat_reason xlat_parse_options(const uint8_t *p, uint32_t len)
{
	uint32_t i, at = 0;

	for (i = 0; i < 40 && at < len && p[at] != XLAT_OPTION_END; i++) {
		if (p[at] == XLAT_OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 2 > len || p[at + 1] < 2 || at + p[at + 1] > len)
			return XLAT_BAD_IPV4_HEADER;
		if (p[at] == XLAT_OPTION_LSRR || p[at] == XLAT_OPTION_SSRR)
			if (p[at + 1] >= 3 && p[at + 2] <= p[at + 1])
				return XLAT_SOURCE_ROUTE;
		at += p[at + 1];
	}
	return XLAT_OK;
}

/* `inner` is the packet inside an ICMP error: cut short by right, and no longer anyone's to judge. */
XLAT_FN enum xlat_reason xlat_parse4(const uint8_t *packet, uint32_t offset, uint32_t limit,
				     bool inner, struct xlat_view *v)
{
	const uint8_t *h = packet + offset;
	uint32_t have = limit - offset;
	enum xlat_reason fault = XLAT_OK, why;
	uint32_t header, fragment;

	if (have < XLAT_IP4_LEN)
		return XLAT_TRUNCATED;
	header = (uint32_t)(h[XLAT_IP4_VERSION] & 15) * 4;
	v->family = 4;
	v->total_length = xlat_get16(h + XLAT_IP4_TOTAL);
	if (header < XLAT_IP4_LEN)
		return XLAT_BAD_IPV4_HEADER;
	if (v->total_length < header)
		return XLAT_BAD_LENGTH;
	if (header > have || (v->total_length > have && !inner))
		return XLAT_TRUNCATED;
	if (!inner && xlat_fold(xlat_sum(h, header)) != 0xffff)
		return XLAT_BAD_IPV4_HEADER;
	if (XLAT_UNLIKELY(header > XLAT_IP4_LEN) && !inner)
		fault = xlat_parse_options(h + XLAT_IP4_LEN, header - XLAT_IP4_LEN);
	if (fault == XLAT_BAD_IPV4_HEADER)
		return fault;
	fragment = xlat_get16(h + XLAT_IP4_FRAGMENT);
	v->l4_offset = offset + header;
	v->end = offset + (v->total_length < have ? v->total_length : have);
	v->protocol = h[XLAT_IP4_PROTOCOL];
	v->hop_limit = h[XLAT_IP4_TTL];
	v->traffic_class = h[XLAT_IP4_TOS];
	v->fragment_id = xlat_get16(h + XLAT_IP4_ID);
	v->fragment_offset = (uint16_t)((fragment & XLAT_IP4_OFFSET_MASK) * 8);
	v->df = fragment & XLAT_IP4_DF;
	v->more = fragment & XLAT_IP4_MF;
	v->first = !v->fragment_offset;
	v->is_fragment = v->more || v->fragment_offset;
	why = xlat_parse_upper(packet, v);
	return fault ? fault : why;
}

XLAT_FN bool xlat_is_extension(uint8_t next)
{
	return next == XLAT_PROTO_HOP_BY_HOP || next == XLAT_PROTO_ROUTING ||
	       next == XLAT_PROTO_FRAGMENT || next == XLAT_PROTO_DESTINATION;
}

/*
 * RFC 7915 5.1.1: a packet with an extension header after the Fragment header is dropped, but for
 * ESP. These are extension headers by RFC 7045 4, but nothing to be skipped in a whole packet.
 */
XLAT_FN bool xlat_is_unfragmentable(uint8_t next)
{
	return next == XLAT_PROTO_AUTHENTICATION || next == XLAT_PROTO_MOBILITY ||
	       next == XLAT_PROTO_HIP || next == XLAT_PROTO_SHIM6;
}

XLAT_FN void xlat_parse_fragment6(const uint8_t *h, struct xlat_view *v)
{
	uint32_t field = xlat_get16(h + XLAT_FRAGMENT_OFFSET);

	v->has_fragment_header = true;
	v->fragment_id = xlat_get32(h + XLAT_FRAGMENT_ID);
	v->fragment_offset = (uint16_t)(field & XLAT_FRAGMENT_OFFSET_MASK);
	v->more = field & XLAT_FRAGMENT_MORE;
	v->first = !v->fragment_offset;
	v->is_fragment = v->more || v->fragment_offset;
}

/*
 * RFC 7915 5.1: Hop-by-Hop, Destination and used-up Routing headers are skipped. Moves l4_offset
 * behind them.
 */
XLAT_FN enum xlat_reason xlat_parse_extensions(const uint8_t *packet, bool inner,
					       struct xlat_view *v)
{
	enum xlat_reason fault = XLAT_OK;
	uint32_t i;

	for (i = 0; i <= XLAT_MAX_EXTENSIONS && xlat_is_extension(v->protocol); i++) {
		const uint8_t *h = packet + v->l4_offset;
		uint32_t have = v->end - v->l4_offset;
		uint32_t len = XLAT_FRAGMENT_LEN;

		if (i == XLAT_MAX_EXTENSIONS)
			return XLAT_TOO_MANY_EXTENSIONS;
		if (v->has_fragment_header)
			return XLAT_EXTENSION_AFTER_FRAGMENT;
		if (have < len)
			return XLAT_TRUNCATED;
		if (v->protocol == XLAT_PROTO_FRAGMENT)
			xlat_parse_fragment6(h, v);
		else
			len = ((uint32_t)h[1] + 1) * 8;
		if (have < len)
			return XLAT_TRUNCATED;
		if (v->protocol == XLAT_PROTO_ROUTING && h[XLAT_ROUTING_SEGMENTS_LEFT] && !inner &&
		    !fault) {
			v->pointer = v->l4_offset - v->offset + XLAT_ROUTING_SEGMENTS_LEFT;
			fault = XLAT_ROUTING_HEADER;
		}
		v->protocol = h[0];
		v->l4_offset += len;
	}
	if (v->has_fragment_header && xlat_is_unfragmentable(v->protocol))
		return XLAT_EXTENSION_AFTER_FRAGMENT;
	return fault;
}

XLAT_FN enum xlat_reason xlat_parse6(const uint8_t *packet, uint32_t offset, uint32_t limit,
				     bool inner, struct xlat_view *v)
{
	const uint8_t *h = packet + offset;
	uint32_t have = limit - offset;
	enum xlat_reason fault = XLAT_OK, why;

	if (have < XLAT_IP6_LEN)
		return XLAT_TRUNCATED;
	v->family = 6;
	v->total_length = (uint32_t)xlat_get16(h + XLAT_IP6_PAYLOAD) + XLAT_IP6_LEN;
	if (v->total_length > have && !inner)
		return XLAT_TRUNCATED;
	v->l4_offset = offset + XLAT_IP6_LEN;
	v->end = offset + (v->total_length < have ? v->total_length : have);
	v->protocol = h[XLAT_IP6_NEXT];
	v->hop_limit = h[XLAT_IP6_HOP];
	v->traffic_class = (uint8_t)(xlat_get16(h) >> 4);
	v->first = true;
	if (XLAT_UNLIKELY(xlat_is_extension(v->protocol)))
		fault = xlat_parse_extensions(packet, inner, v);
	if (fault && fault != XLAT_ROUTING_HEADER) {
		v->l4_offset = offset; /* nowhere */
		return fault;
	}
	why = xlat_parse_upper(packet, v);
	return fault ? fault : why;
}

/* The ICMP of the packet's own family. */
XLAT_FN bool xlat_is_icmp(const struct xlat_view *v)
{
	return v->protocol == (v->family == 4 ? XLAT_PROTO_ICMP : XLAT_PROTO_ICMP6);
}

/*
 * Any other upper layer goes unchanged (RFC 7915 4.1, 5.1), but not one that the other family would
 * read as its own ICMP or as an extension header, nor IGMP (4.2).
 */
XLAT_FN bool xlat_is_alien(const struct xlat_view *v)
{
	return (v->protocol == XLAT_PROTO_ICMP || v->protocol == XLAT_PROTO_ICMP6 ||
		v->protocol == XLAT_PROTO_IGMP || xlat_is_extension(v->protocol)) &&
	       !xlat_is_icmp(v);
}

XLAT_FN enum xlat_reason xlat_parse_at(const uint8_t *packet, uint32_t offset, uint32_t limit,
				       bool inner, struct xlat_view *v)
{
	__builtin_memset(v, 0, sizeof(*v));
	v->offset = v->l4_offset = v->end = offset;
	if (limit <= offset)
		return XLAT_TRUNCATED;
	if (packet[offset] >> 4 == 6)
		return xlat_parse6(packet, offset, limit, inner, v);
	if (packet[offset] >> 4 == 4)
		return xlat_parse4(packet, offset, limit, inner, v);
	return XLAT_BAD_VERSION;
}

/*
 * A whole packet of len bytes, which may be more than its header says (padding). With
 * XLAT_SOURCE_ROUTE and XLAT_ROUTING_HEADER the view is complete, so that the packet can be
 * answered.
 */
XLAT_FN enum xlat_reason xlat_parse(const uint8_t *packet, uint32_t len, struct xlat_view *v)
{
	return xlat_parse_at(packet, 0, len, false, v);
}

/*
 * Where the original datagram inside an ICMP error ends and RFC 4884's extensions begin; the packet's
 * end when there are none. A length below 128 bytes is not RFC 4884's (4.6) and says nothing.
 */
XLAT_FN uint32_t xlat_datagram_end(const uint8_t *packet, const struct xlat_view *v)
{
	const uint8_t *icmp = packet + v->l4_offset;
	uint32_t len = 0;

	if (v->family == 4 &&
	    (v->icmp_type == XLAT_ICMP4_UNREACHABLE || v->icmp_type == XLAT_ICMP4_TIME_EXCEEDED ||
	     v->icmp_type == XLAT_ICMP4_PARAMETER))
		len = (uint32_t)icmp[XLAT_ICMP4_EXT_LENGTH] * 4;
	if (v->family == 6 &&
	    (v->icmp_type == XLAT_ICMP6_UNREACHABLE || v->icmp_type == XLAT_ICMP6_TIME_EXCEEDED))
		len = (uint32_t)icmp[XLAT_ICMP6_EXT_LENGTH] * 8;
	if (len < XLAT_EXT_DATAGRAM_MIN || v->l4_offset + XLAT_ICMP_LEN + len > v->end)
		return v->end;
	return v->l4_offset + XLAT_ICMP_LEN + len;
}

/*
 * The packet inside an ICMP error, whose offsets count from the same byte as the error's own. A
 * header that was cut off within the upper layer is XLAT_OK; has_ports says whether the ports were
 * still there.
 */
XLAT_FN enum xlat_reason xlat_parse_inner(const uint8_t *packet, const struct xlat_view *v,
					  struct xlat_view *inner)
{
	uint32_t limit = xlat_datagram_end(packet, v);
	enum xlat_reason why =
		xlat_parse_at(packet, v->l4_offset + XLAT_ICMP_LEN, limit, true, inner);

	if (inner->family && inner->family != v->family)
		return XLAT_BAD_VERSION;
	if ((why == XLAT_TRUNCATED || why == XLAT_BAD_LENGTH) && inner->l4_offset > inner->offset)
		return XLAT_OK;
	return why;
}

#endif
