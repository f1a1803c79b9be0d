/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * The plain packet: no IPv4 option, no extension header, no fragment, TCP or UDP with a checksum or
 * ICMP echo, in one piece and fitting the next link. Its layout is fixed, so parsing and planning
 * it come down to a few loads at constant offsets; the result is that of xlat_parse(),
 * xlat_plan64() or xlat_plan46(), and xlat_apply(). Whether a packet is plain the caller has to
 * know: nothing is checked here.
 */
#ifndef XLAT_PLAIN_H
#define XLAT_PLAIN_H

#include "checksum.h"
#include "header.h"
#include "params.h"
#include "transport.h"
#include "view.h"

/* The words of the upper layer that change: ports, or type with code and identifier. */
struct xlat_plain {
	struct be16 first, second, checksum;
};

/* The IP header's view as xlat_parse() makes it; xlat_parse_tcp() and its kin add the upper
 * layer's. */
XLAT_FN void xlat_plain_view6(const uint8_t *packet, struct xlat_view *v)
{
	v->family = 6;
	v->offset = 0;
	v->l4_offset = XLAT_IP6_LEN;
	v->total_length = (uint32_t)xlat_get16(packet + XLAT_IP6_PAYLOAD) + XLAT_IP6_LEN;
	v->end = v->total_length;
	v->protocol = packet[XLAT_IP6_NEXT];
	v->hop_limit = packet[XLAT_IP6_HOP];
	v->traffic_class = (uint8_t)(xlat_get16(packet) >> 4);
	v->first = true;
	v->more = v->is_fragment = v->has_fragment_header = false;
}

XLAT_FN void xlat_plain_view4(const uint8_t *packet, struct xlat_view *v)
{
	v->family = 4;
	v->offset = 0;
	v->l4_offset = XLAT_IP4_LEN;
	v->total_length = xlat_get16(packet + XLAT_IP4_TOTAL);
	v->end = v->total_length;
	v->protocol = packet[XLAT_IP4_PROTOCOL];
	v->hop_limit = packet[XLAT_IP4_TTL];
	v->traffic_class = packet[XLAT_IP4_TOS];
	v->df = packet[XLAT_IP4_FRAGMENT] & (XLAT_IP4_DF >> 8);
	v->first = true;
	v->more = v->is_fragment = v->has_fragment_header = false;
}

/* Where the checksum stands in the upper layer. */
XLAT_FN uint32_t xlat_plain_field(const struct xlat_view *v)
{
	if (v->kind == XLAT_KIND_TCP)
		return XLAT_TCP_CHECKSUM;
	return v->kind == XLAT_KIND_UDP ? (uint32_t)XLAT_UDP_CHECKSUM
					: (uint32_t)XLAT_ICMP_CHECKSUM;
}

/* TCP and UDP; `delta` is the flow's, as xlat_delta64() or xlat_delta46() made it. */
XLAT_FN void xlat_plain_ports(const uint8_t *l4, const struct xlat_view *v, struct be16 src_port,
			      struct be16 dst_port, uint16_t delta, struct xlat_plain *plain)
{
	plain->first = src_port;
	plain->second = dst_port;
	plain->checksum = xlat_update(xlat_load16(l4 + xlat_plain_field(v)), delta);
	if (v->kind == XLAT_KIND_UDP && !plain->checksum.raw)
		plain->checksum.raw = 0xffff; /* RFC 768: zero would say there is none */
}

/* ICMP echo; `pseudo` is what the pseudo-header that comes or goes adds. */
XLAT_FN void xlat_plain_echo(const uint8_t *l4, const struct xlat_view *v, struct be16 id,
			     uint64_t pseudo, struct xlat_plain *plain)
{
	struct be16 old;

	plain->first = xlat_echo_type(v, &old);
	plain->second = id;
	plain->checksum = xlat_update(xlat_load16(l4 + XLAT_ICMP_CHECKSUM),
				      pseudo + xlat_sum_ports(old, plain->first) +
					      xlat_sum_ports(v->src_port, id));
}

/* Upper layer of an IPv6 packet that becomes IPv4 (RFC 7915 5.2: ICMPv4 has no pseudo-header). */
XLAT_FN void xlat_plain64(const uint8_t *packet, const struct xlat_view *v,
			  const struct xlat_tuple4 *to, struct xlat_plain *plain)
{
	const uint8_t *l4 = packet + XLAT_IP6_LEN;

	if (XLAT_LIKELY(v->kind == XLAT_KIND_TCP || v->kind == XLAT_KIND_UDP))
		xlat_plain_ports(l4, v, to->src_port, to->dst_port, to->delta, plain);
	else
		xlat_plain_echo(l4, v, to->src_port,
				xlat_minus(xlat_sum(packet + XLAT_IP6_SRC, 32) +
					   xlat_sum_pseudo(xlat_upper_length(v), XLAT_PROTO_ICMP6)),
				plain);
}

/* Upper layer of an IPv4 packet that becomes IPv6. */
XLAT_FN void xlat_plain46(const uint8_t *packet, const struct xlat_view *v,
			  const struct xlat_tuple6 *to, struct xlat_plain *plain)
{
	const uint8_t *l4 = packet + XLAT_IP4_LEN;

	if (XLAT_LIKELY(v->kind == XLAT_KIND_TCP || v->kind == XLAT_KIND_UDP))
		xlat_plain_ports(l4, v, to->src_port, to->dst_port, to->delta, plain);
	else
		xlat_plain_echo(l4, v, to->src_port,
				xlat_sum_icmp6_pseudo(&to->src, &to->dst, xlat_upper_length(v)),
				plain);
}

/* Writes those words; `l4` is the upper layer where it is now. */
XLAT_FN void xlat_plain_put(uint8_t *l4, const struct xlat_view *v, const struct xlat_plain *plain)
{
	xlat_store16(l4, plain->first);
	if (XLAT_LIKELY(v->kind == XLAT_KIND_TCP)) {
		xlat_store16(l4 + XLAT_DST_PORT, plain->second);
		xlat_store16(l4 + XLAT_TCP_CHECKSUM, plain->checksum);
	} else if (v->kind == XLAT_KIND_UDP) {
		xlat_store16(l4 + XLAT_DST_PORT, plain->second);
		xlat_store16(l4 + XLAT_UDP_CHECKSUM, plain->checksum);
	} else {
		xlat_store16(l4 + XLAT_ICMP_CHECKSUM, plain->checksum);
		xlat_store16(l4 + XLAT_ICMP_ID, plain->second);
	}
}

#endif
