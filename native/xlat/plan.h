/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * bytes → view → plan → edit. A plan says what RFC 7915 makes of a packet whose new addresses are
 * known; it touches no byte. When it fails, the edit is worth nothing and the reason is to be counted.
 *
 *	why = xlat_parse(packet, length, &view);
 *	... the session layer says what addresses and ports become ...
 *	why = xlat_plan64(packet, &view, &to, NULL, &params, &edit);
 *	packet = xlat_apply(packet, &edit);	its length is edit.length
 */
#ifndef XLAT_PLAN_H
#define XLAT_PLAN_H

#include "edit.h"
#include "header.h"
#include "icmp_error.h"
#include "params.h"
#include "reason.h"
#include "transport.h"
#include "view.h"

XLAT_FN enum xlat_reason xlat_plan_hop(const struct xlat_view *v, const struct xlat_params *params,
				       uint8_t *out)
{
	int hop = (int)v->hop_limit + params->hop_adjust;

	if (XLAT_UNLIKELY(hop <= 0))
		return XLAT_HOP_LIMIT;
	*out = (uint8_t)(hop > 255 ? 255 : hop);
	return XLAT_OK;
}

/* Messages and fragments of the packet's own ICMP that have no counterpart. */
XLAT_FN enum xlat_reason xlat_check_icmp(const struct xlat_view *v)
{
	if (v->is_fragment)
		return XLAT_ICMP_FRAGMENT; /* its pseudo-header's length is nowhere in it */
	return v->kind == XLAT_KIND_OTHER ? XLAT_ICMP_UNTRANSLATABLE : XLAT_OK;
}

/* The packet's own upper layer; xlat_check_inner() judges one inside an ICMP error. */
XLAT_FN enum xlat_reason xlat_check_protocol(const struct xlat_view *v)
{
	if (XLAT_LIKELY(v->protocol == XLAT_PROTO_TCP || v->protocol == XLAT_PROTO_UDP))
		return XLAT_OK;
	if (xlat_is_icmp(v))
		return xlat_check_icmp(v);
	return xlat_is_alien(v) ? XLAT_UNKNOWN_PROTOCOL : XLAT_OK;
}

/* The largest packet that leaves: a super-packet's segment, not the super-packet. */
XLAT_FN uint32_t xlat_segment_size(const struct xlat_view *v, const struct xlat_params *params,
				   uint32_t header)
{
	uint32_t whole = header + xlat_upper_length(v);

	if (XLAT_LIKELY(!params->gso_size))
		return whole;
	return xlat_min(whole, header + v->l4_header_length + params->gso_size);
}

/*
 * Only a packet that leaves with DF set has to fit the next hop; the others are fragmented on the
 * way.
 */
XLAT_FN bool xlat_fits4(const struct xlat_view *v, const struct xlat_params *params,
			uint32_t segment)
{
	return !params->mtu4 || segment <= params->mtu4 || segment <= XLAT_DF_ABOVE ||
	       v->has_fragment_header;
}

/*
 * IPv6 to IPv4 (RFC 7915 5). `inner` is the new form of the packet inside, read for an ICMP error
 * only.
 */
XLAT_FN enum xlat_reason xlat_plan64(const uint8_t *packet, const struct xlat_view *v,
				     const struct xlat_tuple4 *to, const struct xlat_tuple4 *inner,
				     const struct xlat_params *params, struct xlat_edit *edit)
{
	uint32_t total = XLAT_IP4_LEN + xlat_upper_length(v);
	uint32_t segment = xlat_segment_size(v, params, XLAT_IP4_LEN);
	enum xlat_reason why = xlat_check_protocol(v);
	struct xlat_upper upper;
	uint8_t ttl = 0;

	if (XLAT_UNLIKELY(v->family != 6))
		return XLAT_BAD_VERSION;
	if (!why)
		why = xlat_plan_hop(v, params, &ttl);
	if (XLAT_UNLIKELY(why))
		return why;
	xlat_edit_init(edit);
	if (XLAT_UNLIKELY(v->kind == XLAT_KIND_ICMP_ERROR))
		return xlat_plan_error64(packet, v, to, inner, params, ttl, edit);
	if (XLAT_UNLIKELY(total > XLAT_IP4_MAX || !xlat_fits4(v, params, segment)))
		return XLAT_TOO_BIG;
	xlat_header64(v, to, params, ttl, total, segment, params->ip4_id, edit->front);
	edit->strip = v->l4_offset;
	edit->front_length = XLAT_IP4_LEN;
	edit->l4_offset = XLAT_IP4_LEN;
	edit->length = total;
	if (!v->has_ports)
		return XLAT_OK;

	upper.at = XLAT_IP4_LEN;
	upper.src_port = to->src_port;
	upper.dst_port = to->dst_port;
	upper.mss = params->mss;
	upper.partial = params->partial_checksum;
	upper.complete = false;
	upper.change = to->delta;
	if (v->kind == XLAT_KIND_TCP || v->kind == XLAT_KIND_UDP) {
		if (!to->delta) {
			uint64_t old = xlat_sum(packet + XLAT_IP6_SRC, 32) + v->src_port.raw +
				       v->dst_port.raw;

			upper.change = xlat_sum_tuple4(to) + xlat_minus(old);
		}
		xlat_plan_ports(packet, v, &upper, edit);
	} else {
		upper.change = xlat_minus(xlat_sum(packet + XLAT_IP6_SRC, 32) +
					  xlat_sum_pseudo(xlat_upper_length(v), XLAT_PROTO_ICMP6));
		xlat_plan_echo(packet, v, &upper, edit);
	}
	return XLAT_OK;
}

/*
 * Whether the packet leaves as fragments: DF clear, and larger than every IPv6 link must carry (RFC
 * 7915 4), or than this one does. A super-packet has to be split into its segments before.
 */
XLAT_FN enum xlat_reason xlat_plan_size46(const struct xlat_view *v,
					  const struct xlat_params *params, struct xlat_edit *edit)
{
	uint32_t header = XLAT_IP6_LEN + (v->is_fragment ? (uint32_t)XLAT_FRAGMENT_LEN : 0);
	uint32_t size = xlat_segment_size(v, params, header);
	uint32_t lowest = params->lowest_ipv6_mtu;

	if (params->mtu6)
		lowest = xlat_min(lowest, params->mtu6);
	if (lowest < XLAT_IP6_MIN_MTU)
		lowest = XLAT_IP6_MIN_MTU;
	if (!v->df && size > lowest) {
		if (params->gso_size)
			return XLAT_SPLIT_FIRST;
		edit->fragment_mtu = lowest;
	}
	if (v->df && params->mtu6 && size > params->mtu6)
		return XLAT_TOO_BIG;
	return XLAT_OK;
}

XLAT_FN bool xlat_is_udp_zero(const uint8_t *packet, const struct xlat_view *v,
			      const struct xlat_params *params)
{
	return v->kind == XLAT_KIND_UDP &&
	       !xlat_load16(packet + v->l4_offset + XLAT_UDP_CHECKSUM).raw &&
	       !params->partial_checksum;
}

XLAT_FN enum xlat_reason xlat_plan_upper46(const uint8_t *packet, const struct xlat_view *v,
					   const struct xlat_tuple6 *to,
					   const struct xlat_params *params, struct xlat_edit *edit)
{
	struct xlat_upper upper;

	upper.at = edit->l4_offset;
	upper.src_port = to->src_port;
	upper.dst_port = to->dst_port;
	upper.mss = params->mss;
	upper.partial = params->partial_checksum;
	upper.complete = edit->fragment_mtu != 0;
	upper.change = to->delta;
	if (XLAT_UNLIKELY(xlat_is_udp_zero(packet, v, params))) {
		if (v->is_fragment || !params->amend_udp_zero)
			return XLAT_UDP_CHECKSUM_ZERO;
		return xlat_plan_udp_zero(packet, v, to, &upper, edit);
	}
	if (v->kind == XLAT_KIND_TCP || v->kind == XLAT_KIND_UDP) {
		if (!to->delta) {
			uint64_t old = xlat_sum(packet + XLAT_IP4_SRC, 8) + v->src_port.raw +
				       v->dst_port.raw;

			upper.change = xlat_sum_tuple6(to) + xlat_minus(old);
		}
		xlat_plan_ports(packet, v, &upper, edit);
	} else {
		upper.change = xlat_sum_icmp6_pseudo(&to->src, &to->dst, xlat_upper_length(v));
		xlat_plan_echo(packet, v, &upper, edit);
	}
	return XLAT_OK;
}

/*
 * IPv4 to IPv6 (RFC 7915 4). `inner` is the new form of the packet inside, read for an ICMP error
 * only.
 */
XLAT_FN enum xlat_reason xlat_plan46(const uint8_t *packet, const struct xlat_view *v,
				     const struct xlat_tuple6 *to, const struct xlat_tuple6 *inner,
				     const struct xlat_params *params, struct xlat_edit *edit)
{
	enum xlat_reason why = xlat_check_protocol(v);
	uint8_t hop_limit = 0;
	bool fragment;

	if (XLAT_UNLIKELY(v->family != 4))
		return XLAT_BAD_VERSION;
	if (!why)
		why = xlat_plan_hop(v, params, &hop_limit);
	if (XLAT_UNLIKELY(why))
		return why;
	xlat_edit_init(edit);
	if (XLAT_UNLIKELY(v->kind == XLAT_KIND_ICMP_ERROR))
		return xlat_plan_error46(packet, v, to, inner, params, hop_limit, edit);
	why = xlat_plan_size46(v, params, edit);
	if (XLAT_UNLIKELY(why))
		return why;
	fragment = v->is_fragment || edit->fragment_mtu;
	xlat_header46(v, to, params, hop_limit, xlat_upper_length(v), fragment, edit->front);
	edit->strip = v->l4_offset;
	edit->front_length = fragment ? XLAT_IP6_LEN + XLAT_FRAGMENT_LEN : XLAT_IP6_LEN;
	edit->l4_offset = edit->front_length;
	edit->length = edit->front_length + xlat_upper_length(v);
	return v->has_ports ? xlat_plan_upper46(packet, v, to, params, edit) : XLAT_OK;
}

#endif
