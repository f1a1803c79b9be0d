/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which packets the fast path takes: plain ones (native/xlat/plain.h). What it does not take goes
 * to the slow path, which may well translate it.
 */
#ifndef GATEWAY_PARSE_H
#define GATEWAY_PARSE_H

#include "../native/xlat/plain.h"
#include "maps.h"

/* A measure without the translator leaves it at 0, so that connections open and close here too. */
#ifndef GW_TCP_SLOW
#define GW_TCP_SLOW (XLAT_TCP_SYN | XLAT_TCP_FIN | XLAT_TCP_RST)
#endif

/* A packet as it came; what XDP and TC find out each in its own way. */
struct gw_packet {
	const uint8_t *ip; /* behind the link-layer header */
	uint32_t link;	   /* length of that header */
	const void *end;   /* of what may be read */
	uint32_t length;   /* from ip on, of which not all may be readable */
	uint32_t ifindex;
	uint32_t gso_size; /* 0 but for a super-packet */
};

/* The IP header, and that 8 bytes are behind it. */
GW_FN enum gw_pass gw_parse6(const struct gw_packet *packet, struct xlat_view *v)
{
	const uint8_t *ip = packet->ip;

	if ((const void *)(ip + XLAT_IP6_LEN + XLAT_UDP_LEN) > packet->end || ip[0] >> 4 != 6)
		return GW_PASS_MALFORMED;
	xlat_plain_view6(ip, v);
	if (XLAT_UNLIKELY(v->total_length < XLAT_IP6_LEN + XLAT_UDP_LEN ||
			  v->total_length > packet->length))
		return GW_PASS_MALFORMED;
	return v->hop_limit <= 1 ? GW_PASS_HOP_LIMIT : GW_OK;
}

GW_FN enum gw_pass gw_parse4(const struct gw_packet *packet, struct xlat_view *v)
{
	const uint8_t *ip = packet->ip;

	if ((const void *)(ip + XLAT_IP4_LEN + XLAT_UDP_LEN) > packet->end || ip[0] >> 4 != 4)
		return GW_PASS_MALFORMED;
	if (XLAT_UNLIKELY(ip[XLAT_IP4_VERSION] != 0x45))
		return GW_PASS_OPTIONS;
	xlat_plain_view4(ip, v);
	if (XLAT_UNLIKELY(v->total_length < XLAT_IP4_LEN + XLAT_UDP_LEN ||
			  v->total_length > packet->length ||
			  xlat_fold(xlat_sum(ip, XLAT_IP4_LEN)) != 0xffff))
		return GW_PASS_MALFORMED;
	if (XLAT_UNLIKELY(xlat_get16(ip + XLAT_IP4_FRAGMENT) &
			  (XLAT_IP4_MF | XLAT_IP4_OFFSET_MASK)))
		return GW_PASS_FRAGMENT;
	return v->hop_limit <= 1 ? GW_PASS_HOP_LIMIT : GW_OK;
}

/* The upper layer. `protocol` is a constant, so that what follows is compiled for each of them. */
GW_FN enum gw_pass gw_parse_upper(const struct gw_packet *packet, struct xlat_view *v,
				  uint8_t protocol)
{
	const uint8_t *l4 = packet->ip + v->l4_offset;
	uint32_t have = xlat_upper_length(v);

	v->protocol = protocol;
	if (protocol == XLAT_PROTO_TCP) {
		if ((const void *)(l4 + XLAT_TCP_LEN) > packet->end || xlat_parse_tcp(l4, have, v))
			return GW_PASS_MALFORMED;
		return GW_OK;
	}
	if (protocol == XLAT_PROTO_UDP) {
		/* Its inner packet's offloads would be changed instead of its own. */
		if (XLAT_UNLIKELY(packet->gso_size))
			return GW_PASS_UDP_SUPER;
		xlat_parse_udp(l4, have, v);
		return xlat_load16(l4 + XLAT_UDP_CHECKSUM).raw ? GW_OK : GW_PASS_ZERO_CHECKSUM;
	}
	xlat_parse_icmp(l4, have, v);
	if (v->kind != XLAT_KIND_ECHO_REQUEST && v->kind != XLAT_KIND_ECHO_REPLY)
		return GW_PASS_PROTOCOL;
	return GW_OK;
}

/* What opens or closes a connection changes the session's state. */
GW_FN enum gw_pass gw_check_flags(const struct xlat_view *v, uint8_t protocol)
{
	if (protocol != XLAT_PROTO_TCP || XLAT_LIKELY(!(v->tcp_flags & GW_TCP_SLOW)))
		return GW_OK;
	return GW_PASS_TCP_FLAGS;
}

/* Without a session only a SYN matters, where its segment size is to be lowered. */
GW_FN bool gw_clamps(const struct gateway_config *config, const struct xlat_view *v,
		     uint8_t protocol)
{
	return protocol == XLAT_PROTO_TCP && v->tcp_flags & XLAT_TCP_SYN &&
	       config->flags & GATEWAY_CLAMP_MSS;
}

#endif
