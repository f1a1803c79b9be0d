/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Planning the upper layer: ports, identifier, checksum. A checksum is only ever changed by the
 * difference, so a wrong one stays wrong and the receiver finds out (RFC 7915 4.5, 5.5).
 */
#ifndef XLAT_TRANSPORT_H
#define XLAT_TRANSPORT_H

#include "checksum.h"
#include "edit.h"
#include "reason.h"
#include "view.h"

/* Where the upper layer goes to, and how its checksum changes. */
struct xlat_upper {
	uint32_t at; /* in the finished packet */
	struct be16 src_port, dst_port;
	uint64_t change; /* what pseudo-header and ports add */
	uint16_t mss;	 /* the most a SYN announces, 0 for as it is */
	bool partial;	 /* the checksum field covers the pseudo-header only */
	bool complete;	 /* and is to be completed here */
};

XLAT_FN uint64_t xlat_sum_ports(struct be16 old, struct be16 value)
{
	return xlat_minus16(old) + value.raw;
}

/* Where the Maximum Segment Size option's value is, behind the TCP header's start; 0 without one. */
XLAT_FN uint32_t xlat_find_mss(const uint8_t *l4, uint32_t end)
{
	uint32_t at = XLAT_TCP_LEN, i;

	for (i = 0; i < XLAT_TCP_OPTIONS_MAX && at + XLAT_TCP_MSS_LEN <= end; i++) {
		uint8_t kind = l4[at], length = l4[at + 1];

		if (kind == XLAT_TCP_END)
			return 0;
		if (kind == XLAT_TCP_NOP) {
			at++;
			continue;
		}
		if (kind == XLAT_TCP_MSS)
			return length == XLAT_TCP_MSS_LEN ? at + 2 : 0;
		if (length < 2)
			return 0;
		at += length;
	}
	return 0;
}

/*
 * Lowers what a SYN announces, so that the peer's segments fit where Packet Too Big does not come
 * through; what this adds to the checksum. A value at an odd offset counts with its bytes swapped.
 */
XLAT_FN uint64_t xlat_plan_mss(const uint8_t *packet, const struct xlat_view *v,
			       const struct xlat_upper *upper, struct xlat_edit *edit)
{
	const uint8_t *l4 = packet + v->l4_offset;
	uint32_t have = v->end - v->l4_offset;
	uint32_t at = xlat_find_mss(l4, v->l4_header_length < have ? v->l4_header_length : have);
	struct be16 old, value = xlat_be16(upper->mss);

	if (!at || xlat_get16(l4 + at) <= upper->mss)
		return 0;
	old = xlat_load16(l4 + at);
	xlat_patch_word(edit, upper->at + at, old, value);
	if (at & 1) {
		old.raw = __builtin_bswap16(old.raw);
		value.raw = __builtin_bswap16(value.raw);
	}
	return xlat_sum_ports(old, value);
}

/* TCP and UDP. Inside an ICMP error the checksum may have been cut off. */
XLAT_FN void xlat_plan_ports(const uint8_t *packet, const struct xlat_view *v,
			     const struct xlat_upper *upper, struct xlat_edit *edit)
{
	const uint8_t *l4 = packet + v->l4_offset;
	uint32_t field = v->kind == XLAT_KIND_TCP ? (uint32_t)XLAT_TCP_CHECKSUM
						  : (uint32_t)XLAT_UDP_CHECKSUM;
	struct be16 old, value;
	uint64_t mss = 0;

	xlat_patch_word(edit, upper->at + XLAT_SRC_PORT, v->src_port, upper->src_port);
	xlat_patch_word(edit, upper->at + XLAT_DST_PORT, v->dst_port, upper->dst_port);
	if (XLAT_UNLIKELY(upper->mss && v->kind == XLAT_KIND_TCP && v->tcp_flags & XLAT_TCP_SYN))
		mss = xlat_plan_mss(packet, v, upper, edit);
	if (v->l4_offset + field + 2 > v->end)
		return;
	old = xlat_load16(l4 + field);
	if (XLAT_UNLIKELY(upper->partial)) {
		uint64_t ports = xlat_sum_ports(v->src_port, upper->src_port) +
				 xlat_sum_ports(v->dst_port, upper->dst_port);

		value.raw = xlat_fold(old.raw + upper->change + xlat_minus(ports));
		if (upper->complete) {
			value = xlat_full_checksum(l4, xlat_upper_length(v), upper->change + mss);
			edit->checksum_complete = true;
		}
	} else {
		if (v->kind == XLAT_KIND_UDP && !old.raw)
			return; /* there is none */
		value = xlat_update(old, upper->change + mss);
	}
	if (v->kind == XLAT_KIND_UDP && !value.raw && (!upper->partial || upper->complete))
		value.raw = 0xffff; /* RFC 768: zero would say there is none */
	xlat_patch_word(edit, upper->at + field, old, value);
}

/*
 * RFC 6146 3.4 and RFC 7915 4.5: IPv6 has no UDP without checksum, so one is computed over the
 * whole datagram. upper->change is not looked at: there is nothing to update.
 */
XLAT_FN enum xlat_reason xlat_plan_udp_zero(const uint8_t *packet, const struct xlat_view *v,
					    const struct xlat_tuple6 *to,
					    const struct xlat_upper *upper, struct xlat_edit *edit)
{
	const uint8_t *l4 = packet + v->l4_offset;
	uint32_t len = xlat_get16(l4 + XLAT_UDP_LENGTH);
	struct be16 none = { 0 }, value;
	uint64_t change;

	if (len < XLAT_UDP_LEN || len > xlat_upper_length(v))
		return XLAT_BAD_LENGTH;
	change = xlat_sum_ip6(&to->src) + xlat_sum_ip6(&to->dst) +
		 xlat_sum_pseudo(len, XLAT_PROTO_UDP) +
		 xlat_sum_ports(v->src_port, upper->src_port) +
		 xlat_sum_ports(v->dst_port, upper->dst_port);
	value = xlat_full_checksum(l4, len, change);
	if (!value.raw)
		value.raw = 0xffff;
	xlat_patch_word(edit, upper->at + XLAT_SRC_PORT, v->src_port, upper->src_port);
	xlat_patch_word(edit, upper->at + XLAT_DST_PORT, v->dst_port, upper->dst_port);
	xlat_patch_word(edit, upper->at + XLAT_UDP_CHECKSUM, none, value);
	return XLAT_OK;
}

/* The checksum an ICMP message came with, completed if the sender left that to a network card. */
XLAT_FN struct be16 xlat_icmp_checksum(const uint8_t *packet, const struct xlat_view *v,
				       bool partial, struct xlat_edit *edit)
{
	const uint8_t *l4 = packet + v->l4_offset;

	if (!partial)
		return xlat_load16(l4 + XLAT_ICMP_CHECKSUM);
	edit->checksum_complete = true;
	return xlat_full_checksum(l4, xlat_upper_length(v), 0);
}

/* The type and code of an echo in the other family, and as they stand. */
XLAT_FN struct be16 xlat_echo_type(const struct xlat_view *v, struct be16 *old)
{
	bool request = v->kind == XLAT_KIND_ECHO_REQUEST;
	uint32_t type6 = request ? XLAT_ICMP6_ECHO : XLAT_ICMP6_ECHO_REPLY;
	uint32_t type4 = request ? XLAT_ICMP4_ECHO : XLAT_ICMP4_ECHO_REPLY;

	*old = xlat_be16((uint32_t)v->icmp_type << 8 | v->icmp_code);
	return xlat_be16((v->family == 6 ? type4 : type6) << 8 | v->icmp_code);
}

/* ICMP echo: type, identifier, and the pseudo-header that comes or goes in upper->change. */
XLAT_FN void xlat_plan_echo(const uint8_t *packet, const struct xlat_view *v,
			    const struct xlat_upper *upper, struct xlat_edit *edit)
{
	struct be16 old_type, type = xlat_echo_type(v, &old_type);
	struct be16 checksum = xlat_load16(packet + v->l4_offset + XLAT_ICMP_CHECKSUM);
	struct be16 base = xlat_icmp_checksum(packet, v, upper->partial, edit);
	uint64_t change = upper->change + xlat_sum_ports(old_type, type) +
			  xlat_sum_ports(v->src_port, upper->src_port);

	xlat_patch_word(edit, upper->at + XLAT_ICMP_TYPE, old_type, type);
	xlat_patch_word(edit, upper->at + XLAT_ICMP_ID, v->src_port, upper->src_port);
	xlat_patch_word(edit, upper->at + XLAT_ICMP_CHECKSUM, checksum, xlat_update(base, change));
}

#endif
