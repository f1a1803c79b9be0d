/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/* ICMP errors of the translator's own, and the probe of an idle TCP session. */
#ifndef XLAT_ANSWER_H
#define XLAT_ANSWER_H

#include "addr.h"
#include "checksum.h"
#include "header.h"
#include "icmp.h"
#include "reason.h"
#include "view.h"
#include "wire.h"

/* Room that the functions below need at `out`. */
#define XLAT_ANSWER_MAX 1280
#define XLAT_ANSWER_HOP_LIMIT 64

/*
 * RFC 4443 2.4 (e): what no ICMPv6 error may answer. Packet Too Big does answer a multicast, and a
 * Parameter Problem about an unrecognized option.
 */
XLAT_FN enum xlat_reason xlat_may_answer6(const uint8_t *packet, const struct xlat_view *v,
					  const struct xlat_icmp *error)
{
	struct xlat_ip6 src = xlat_src6(packet, v), dst = xlat_dst6(packet, v);

	bool excepted = error->type == XLAT_ICMP6_TOO_BIG ||
			(error->type == XLAT_ICMP6_PARAMETER && error->code == 2);

	if (v->kind == XLAT_KIND_ICMP_ERROR)
		return XLAT_ICMP_ERROR_ABOUT_ERROR;
	if (v->protocol == XLAT_PROTO_ICMP6 &&
	    (v->kind == XLAT_KIND_FRAGMENT || v->icmp_type == XLAT_ICMP6_REDIRECT))
		return XLAT_ICMP_ERROR_ABOUT_ERROR;
	if (xlat_is_illegal6(&src))
		return XLAT_ILLEGAL_SOURCE;
	if (dst.b[0] == 0xff && !excepted)
		return XLAT_ILLEGAL_DESTINATION;
	return XLAT_OK;
}

/*
 * The ICMPv6 error `error` about a packet that xlat_parse() took, or refused with
 * XLAT_ROUTING_HEADER. Not XLAT_OK means that no error may be sent.
 */
XLAT_FN enum xlat_reason xlat_answer6(const uint8_t *packet, const struct xlat_view *v,
				      const struct xlat_icmp *error, const struct xlat_ip6 *source,
				      uint8_t *out, uint32_t *length)
{
	uint32_t copied = xlat_min(v->end, XLAT_IP6_ERROR_MAX - XLAT_IP6_LEN - XLAT_ICMP_LEN);
	uint32_t payload = XLAT_ICMP_LEN + copied, i;
	enum xlat_reason why = xlat_may_answer6(packet, v, error);
	struct xlat_ip6 dst = xlat_src6(packet, v);
	uint8_t *icmp = out + XLAT_IP6_LEN;
	struct xlat_header6 h;

	if (why)
		return why;
	h.src = source;
	h.dst = &dst;
	h.payload_length = payload;
	h.traffic_class = 0;
	h.next = XLAT_PROTO_ICMP6;
	h.hop_limit = XLAT_ANSWER_HOP_LIMIT;
	xlat_put_header6(out, &h);
	xlat_put_icmp(icmp, error);
	for (i = 0; i < XLAT_ANSWER_MAX && i < copied; i++)
		icmp[XLAT_ICMP_LEN + i] = packet[i];
	xlat_store16(
		icmp + XLAT_ICMP_CHECKSUM,
		xlat_full_checksum(icmp, payload, xlat_sum_icmp6_pseudo(source, &dst, payload)));
	*length = XLAT_IP6_LEN + payload;
	return XLAT_OK;
}

/* RFC 1122 3.2.2 and RFC 1812 4.3.2.7: what no ICMPv4 error may answer. */
XLAT_FN enum xlat_reason xlat_may_answer4(const uint8_t *packet, const struct xlat_view *v)
{
	if (v->kind == XLAT_KIND_ICMP_ERROR)
		return XLAT_ICMP_ERROR_ABOUT_ERROR;
	if (!v->first)
		return XLAT_ICMP_FRAGMENT;
	if (xlat_is_illegal4(xlat_src4(packet, v)))
		return XLAT_ILLEGAL_SOURCE;
	return xlat_is_illegal4(xlat_dst4(packet, v)) ? XLAT_ILLEGAL_DESTINATION : XLAT_OK;
}

/*
 * The ICMPv4 error `error` about a packet that xlat_parse() took, or refused with
 * XLAT_SOURCE_ROUTE. `id` is the IPv4 identification. Not XLAT_OK means that no error may be sent.
 */
XLAT_FN enum xlat_reason xlat_answer4(const uint8_t *packet, const struct xlat_view *v,
				      const struct xlat_icmp *error, struct xlat_ip4 source,
				      struct be16 id, uint8_t *out, uint32_t *length)
{
	uint32_t copied = xlat_min(v->end, XLAT_IP4_ERROR_MAX - XLAT_IP4_LEN - XLAT_ICMP_LEN), i;
	enum xlat_reason why = xlat_may_answer4(packet, v);
	uint8_t *icmp = out + XLAT_IP4_LEN;
	struct xlat_header4 h;

	if (why)
		return why;
	h.src = source;
	h.dst = xlat_src4(packet, v);
	h.total_length = XLAT_IP4_LEN + XLAT_ICMP_LEN + copied;
	h.id = id;
	h.fragment = 0;
	h.tos = 0xc0; /* RFC 1812 4.3.2.5: precedence internetwork control */
	h.ttl = XLAT_ANSWER_HOP_LIMIT;
	h.protocol = XLAT_PROTO_ICMP;
	xlat_put_header4(out, &h);
	xlat_put_icmp(icmp, error);
	for (i = 0; i < XLAT_ANSWER_MAX && i < copied; i++)
		icmp[XLAT_ICMP_LEN + i] = packet[i];
	xlat_store16(icmp + XLAT_ICMP_CHECKSUM,
		     xlat_full_checksum(icmp, XLAT_ICMP_LEN + copied, 0));
	*length = h.total_length;
	return XLAT_OK;
}

/*
 * RFC 6146 3.5.2.2: the probe of an idle session, an empty ACK of sequence number 0. Returns its
 * length, 60.
 */
XLAT_FN uint32_t xlat_tcp_probe6(const struct xlat_tuple6 *flow, uint8_t *out)
{
	uint8_t *tcp = out + XLAT_IP6_LEN;
	struct xlat_header6 h;

	h.src = &flow->src;
	h.dst = &flow->dst;
	h.payload_length = XLAT_TCP_LEN;
	h.traffic_class = 0;
	h.next = XLAT_PROTO_TCP;
	h.hop_limit = XLAT_ANSWER_HOP_LIMIT;
	xlat_put_header6(out, &h);
	__builtin_memset(tcp, 0, XLAT_TCP_LEN);
	xlat_store16(tcp + XLAT_SRC_PORT, flow->src_port);
	xlat_store16(tcp + XLAT_DST_PORT, flow->dst_port);
	tcp[XLAT_TCP_DATA] = XLAT_TCP_LEN / 4 << 4;
	tcp[XLAT_TCP_FLAGS] = XLAT_TCP_ACK;
	xlat_store16(tcp + XLAT_TCP_CHECKSUM,
		     xlat_full_checksum(tcp, XLAT_TCP_LEN,
					xlat_sum_ip6(&flow->src) + xlat_sum_ip6(&flow->dst) +
						xlat_sum_pseudo(XLAT_TCP_LEN, XLAT_PROTO_TCP)));
	return XLAT_IP6_LEN + XLAT_TCP_LEN;
}

#endif
