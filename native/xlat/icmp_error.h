/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Planning an ICMP error (RFC 7915 4.2, 4.3, 5.2, 5.3): its header, the packet inside translated
 * once, RFC 4884's extensions kept, the size capped at what every link of the other family carries.
 */
#ifndef XLAT_ICMP_ERROR_H
#define XLAT_ICMP_ERROR_H

#include "edit.h"
#include "header.h"
#include "icmp.h"
#include "params.h"
#include "transport.h"
#include "view.h"

/* The new headers' sizes and the rules of the family that the error goes to. */
struct xlat_error_shape {
	uint32_t outer, inner; /* IP headers */
	uint32_t cap;	       /* of the whole packet */
	uint32_t unit;	       /* of RFC 4884's length field */
	bool extensible;       /* the new type has such a field */
};

XLAT_FN void xlat_read_icmp(const uint8_t *packet, const struct xlat_view *v,
			    struct xlat_icmp *icmp)
{
	xlat_icmp_set(icmp, v->icmp_type, v->icmp_code,
		      xlat_get32(packet + v->l4_offset + XLAT_ICMP_DATA));
}

/* Of the packet inside an error only what has a counterpart is worth telling. */
XLAT_FN enum xlat_reason xlat_check_inner(const struct xlat_view *inner)
{
	if (inner->kind == XLAT_KIND_ICMP_ERROR)
		return XLAT_ICMP_ERROR_ABOUT_ERROR;
	if (xlat_is_icmp(inner))
		return inner->kind == XLAT_KIND_OTHER ? XLAT_ICMP_UNTRANSLATABLE : XLAT_OK;
	return xlat_is_alien(inner) ? XLAT_UNKNOWN_PROTOCOL : XLAT_OK;
}

/*
 * How much of the datagram goes along. Returns its length in RFC 4884's units, 0 without extensions:
 * those go when the new type has no place for them, or not both they and 128 bytes of datagram fit.
 */
XLAT_FN uint32_t xlat_plan_tail(uint32_t have, uint32_t extensions,
				const struct xlat_error_shape *shape, struct xlat_edit *edit)
{
	uint32_t outer = shape->outer + XLAT_ICMP_LEN;
	uint32_t room, datagram;

	if (!shape->extensible || outer + XLAT_EXT_DATAGRAM_MIN + extensions > shape->cap)
		extensions = 0;
	if (!extensions) {
		edit->keep = xlat_min(have, shape->cap - outer - shape->inner);
		edit->length = outer + shape->inner + edit->keep;
		return 0;
	}
	room = (shape->cap - outer - extensions) / shape->unit * shape->unit;
	datagram = (shape->inner + have + shape->unit - 1) / shape->unit * shape->unit;
	if (datagram < XLAT_EXT_DATAGRAM_MIN)
		datagram = XLAT_EXT_DATAGRAM_MIN;
	datagram = xlat_min(datagram, room);
	edit->keep = xlat_min(have, datagram - shape->inner);
	edit->cut = have - edit->keep;
	edit->pad = datagram - shape->inner - edit->keep;
	edit->length = outer + datagram + extensions;
	return datagram / shape->unit;
}

/*
 * What the message's checksum gains: new headers and patches come, old headers and what was cut off
 * go.
 */
XLAT_FN uint64_t xlat_error_change(const uint8_t *packet, const struct xlat_view *v,
				   const struct xlat_view *inner, uint32_t datagram_end,
				   bool extensions, const struct xlat_error_shape *shape,
				   const struct xlat_edit *edit)
{
	const uint8_t *icmp = packet + v->l4_offset;
	uint32_t gone = inner->l4_offset + edit->keep;
	uint64_t old =
		(uint64_t)xlat_load16(icmp).raw +
		xlat_sum(icmp + XLAT_ICMP_DATA, inner->l4_offset - v->l4_offset - XLAT_ICMP_DATA);

	old += xlat_sum(packet + gone, (extensions ? datagram_end : v->end) - gone);
	return xlat_sum(edit->front + shape->outer, XLAT_ICMP_LEN + shape->inner) + edit->change +
	       xlat_minus(old);
}

/* An echo whose identifier was cut off. Its type and checksum are of the new family all the same. */
XLAT_FN void xlat_plan_cut_echo(const uint8_t *packet, const struct xlat_view *inner,
				const struct xlat_upper *upper, struct xlat_edit *edit)
{
	struct be16 old_type, type = xlat_echo_type(inner, &old_type);
	uint64_t change = upper->change + xlat_sum_ports(old_type, type);
	struct be16 old;

	xlat_patch_word(edit, upper->at + XLAT_ICMP_TYPE, old_type, type);
	if (inner->end - inner->l4_offset < XLAT_ICMP_DATA)
		return;
	old = xlat_load16(packet + inner->l4_offset + XLAT_ICMP_CHECKSUM);
	xlat_patch_word(edit, upper->at + XLAT_ICMP_CHECKSUM, old, xlat_update(old, change));
}

XLAT_FN void xlat_plan_inner_upper(const uint8_t *packet, const struct xlat_view *inner,
				   struct xlat_upper *upper, uint64_t addresses,
				   uint64_t icmp_pseudo, struct xlat_edit *edit)
{
	upper->change = icmp_pseudo;
	if (inner->kind == XLAT_KIND_ECHO_REQUEST || inner->kind == XLAT_KIND_ECHO_REPLY) {
		if (inner->has_ports)
			xlat_plan_echo(packet, inner, upper, edit);
		else
			xlat_plan_cut_echo(packet, inner, upper, edit);
	} else if (inner->has_ports) {
		upper->change = addresses + xlat_sum_ports(inner->src_port, upper->src_port) +
				xlat_sum_ports(inner->dst_port, upper->dst_port);
		xlat_plan_ports(packet, inner, upper, edit);
	}
}

/* Writes the ICMP checksum: base is the old one, pseudo what the pseudo-header adds. */
XLAT_FN void xlat_finish_error(const uint8_t *packet, const struct xlat_view *v,
			       const struct xlat_params *params,
			       const struct xlat_error_shape *shape, uint64_t change,
			       struct xlat_edit *edit)
{
	struct be16 base = xlat_icmp_checksum(packet, v, params->partial_checksum, edit);

	xlat_store16(edit->front + shape->outer + XLAT_ICMP_CHECKSUM, xlat_update(base, change));
	edit->front_length = (uint8_t)(shape->outer + XLAT_ICMP_LEN + shape->inner);
	edit->l4_offset = shape->outer;
}

/* An ICMPv6 error as ICMPv4. */
XLAT_FN enum xlat_reason xlat_plan_error64(const uint8_t *packet, const struct xlat_view *v,
					   const struct xlat_tuple4 *to,
					   const struct xlat_tuple4 *inner_to,
					   const struct xlat_params *params, uint8_t ttl,
					   struct xlat_edit *edit)
{
	struct xlat_error_shape shape = { XLAT_IP4_LEN, XLAT_IP4_LEN, XLAT_IP4_ERROR_MAX, 4, true };
	struct be16 no_id = { 0 };
	struct xlat_view inner;
	struct xlat_icmp in, out;
	struct xlat_upper upper;
	struct xlat_ip6 src, dst;
	enum xlat_reason why = xlat_parse_inner(packet, v, &inner);
	uint32_t end = xlat_datagram_end(packet, v), units, total;
	uint64_t change;

	xlat_read_icmp(packet, v, &in);
	if (!why)
		why = xlat_check_inner(&inner);
	if (!why)
		why = xlat_icmp64(&in, inner.has_fragment_header, params, &out);
	if (why)
		return why;
	units = xlat_plan_tail(end - inner.l4_offset, v->end - end, &shape, edit);
	out.data |= units << 16; /* RFC 4884 4.1: the second byte in each of the types */
	total = xlat_min(xlat_upper_length(&inner) + XLAT_IP4_LEN, XLAT_IP4_MAX);
	edit->strip = inner.l4_offset;
	xlat_header64(v, to, params, ttl, edit->length, edit->length, params->ip4_id, edit->front);
	xlat_put_icmp(edit->front + shape.outer, &out);
	xlat_header64(&inner, inner_to, params, inner.hop_limit, total, total, no_id,
		      edit->front + shape.outer + XLAT_ICMP_LEN);

	src = xlat_src6(packet, &inner);
	dst = xlat_dst6(packet, &inner);
	upper.at = shape.outer + XLAT_ICMP_LEN + shape.inner;
	upper.src_port = inner_to->src_port;
	upper.dst_port = inner_to->dst_port;
	upper.partial = upper.complete = false;
	upper.mss = 0;
	xlat_plan_inner_upper(
		packet, &inner, &upper,
		xlat_sum_ip4(inner_to->src) + xlat_sum_ip4(inner_to->dst) +
			xlat_minus(xlat_sum_ip6(&src) + xlat_sum_ip6(&dst)),
		xlat_minus(xlat_sum_icmp6_pseudo(&src, &dst, xlat_upper_length(&inner))), edit);
	change = xlat_error_change(packet, v, &inner, end, units, &shape, edit);
	src = xlat_src6(packet, v);
	dst = xlat_dst6(packet, v);
	xlat_finish_error(
		packet, v, params, &shape,
		change + xlat_minus(xlat_sum_icmp6_pseudo(&src, &dst, xlat_upper_length(v))), edit);
	return XLAT_OK;
}

/* An ICMPv4 error as ICMPv6. */
XLAT_FN enum xlat_reason xlat_plan_error46(const uint8_t *packet, const struct xlat_view *v,
					   const struct xlat_tuple6 *to,
					   const struct xlat_tuple6 *inner_to,
					   const struct xlat_params *params, uint8_t hop_limit,
					   struct xlat_edit *edit)
{
	struct xlat_error_shape shape = { XLAT_IP6_LEN, XLAT_IP6_LEN, XLAT_IP6_ERROR_MAX, 8, true };
	struct xlat_view inner;
	struct xlat_icmp in, out;
	struct xlat_upper upper;
	enum xlat_reason why = xlat_parse_inner(packet, v, &inner);
	uint32_t end = xlat_datagram_end(packet, v), units, payload;
	uint64_t change;

	xlat_read_icmp(packet, v, &in);
	if (!why)
		why = xlat_check_inner(&inner);
	if (!why)
		why = xlat_icmp46(&in, inner.total_length, params, &out);
	if (why)
		return why;
	shape.extensible = out.type == XLAT_ICMP6_UNREACHABLE ||
			   out.type == XLAT_ICMP6_TIME_EXCEEDED;
	shape.inner += inner.is_fragment ? (uint32_t)XLAT_FRAGMENT_LEN : 0;
	units = xlat_plan_tail(end - inner.l4_offset, v->end - end, &shape, edit);
	out.data |= units << 24; /* RFC 4884 4.4 */
	payload = xlat_upper_length(&inner);
	edit->strip = inner.l4_offset;
	xlat_header46(v, to, params, hop_limit, edit->length - XLAT_IP6_LEN, false, edit->front);
	xlat_put_icmp(edit->front + shape.outer, &out);
	xlat_header46(&inner, inner_to, params, inner.hop_limit, payload, inner.is_fragment,
		      edit->front + shape.outer + XLAT_ICMP_LEN);

	upper.at = shape.outer + XLAT_ICMP_LEN + shape.inner;
	upper.src_port = inner_to->src_port;
	upper.dst_port = inner_to->dst_port;
	upper.partial = upper.complete = false;
	upper.mss = 0;
	xlat_plan_inner_upper(packet, &inner, &upper,
			      xlat_sum_ip6(&inner_to->src) + xlat_sum_ip6(&inner_to->dst) +
				      xlat_minus(xlat_sum_ip4(xlat_src4(packet, &inner)) +
						 xlat_sum_ip4(xlat_dst4(packet, &inner))),
			      xlat_sum_icmp6_pseudo(&inner_to->src, &inner_to->dst, payload), edit);
	change = xlat_error_change(packet, v, &inner, end, units, &shape, edit);
	xlat_finish_error(
		packet, v, params, &shape,
		change + xlat_sum_icmp6_pseudo(&to->src, &to->dst, edit->length - XLAT_IP6_LEN),
		edit);
	return XLAT_OK;
}

#endif
