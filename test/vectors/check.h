/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What holds of whatever the core makes of a packet, by sums that are slow and written anew. The
 * includer defines expect(bool, const char *).
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "fragment.h"
#include "icmp_origin.h"
#include "plan.h"

static void expect(bool holds, const char *what);

static inline uint32_t slow_sum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* 1 right, 0 wrong, -1 nothing to say. */
static inline int verdict(const uint8_t *p, const struct xlat_view *v)
{
	uint32_t len = xlat_upper_length(v), sum = 0;

	if (v->is_fragment || v->kind == XLAT_KIND_FRAGMENT || v->kind == XLAT_KIND_OTHER)
		return -1;
	if (v->kind == XLAT_KIND_UDP && !xlat_get16(p + v->l4_offset + XLAT_UDP_CHECKSUM))
		return -1;
	if (v->family == 6)
		sum = slow_sum(p + XLAT_IP6_SRC, 32, len + v->protocol);
	else if (v->protocol != XLAT_PROTO_ICMP)
		sum = slow_sum(p + XLAT_IP4_SRC, 8, len + v->protocol);
	sum = slow_sum(p + v->l4_offset, len, sum);
	return sum == 0xffff || sum == 0; /* one's complement has two zeros; all bytes are zero here */
}

/* AH in IPv4 fragments goes behind a Fragment header, where the way back refuses it. */
static inline bool reads(enum xlat_reason why)
{
	return !why || why == XLAT_EXTENSION_AFTER_FRAGMENT;
}

/* An ICMPv4 error of at most XLAT_IP4_ERROR_MAX bytes, to which its sender is added. */
static inline void check_origin(const uint8_t *p, uint32_t length, int was)
{
	static const struct xlat_ip6 origin = { { 0x20, 1, 0xd, 0xb8, 0, 2 } };
	uint8_t *out = (uint8_t *)malloc(XLAT_IP4_ERROR_MAX);
	struct xlat_view v, inner;

	memcpy(out, p, length);
	length = xlat_add_origin(out, length, &origin);
	expect(length <= (uint32_t)XLAT_IP4_ERROR_MAX, "the sender makes an ICMP error too large");
	expect(!xlat_parse(out, length, &v) && v.total_length == length,
	       "what got its sender does not parse");
	expect(verdict(out, &v) == was, "the sender made a checksum right or wrong");
	expect(reads(xlat_parse_inner(out, &v, &inner)), "the sender spoiled the packet inside");
	free(out);
}

static inline void check_output(const uint8_t *p, const struct xlat_edit *edit,
				const struct xlat_view *before, int was)
{
	enum xlat_reason why;
	struct xlat_view v, inner;
	int is;

	why = xlat_parse(p, edit->length, &v);
	expect(before->family == 4 ? reads(why) : !why, "what came out does not parse");
	if (why)
		return;
	expect(v.family != before->family, "the family did not change");
	expect(v.total_length == edit->length, "the length is not the promised one");
	expect(v.kind == before->kind, "the kind changed");
	expect(edit->fragment_mtu || v.l4_offset == edit->l4_offset,
	       "the upper layer is not where promised");
	is = verdict(p, &v);
	if (was < 0 || is < 0 || edit->fragment_mtu)
		expect(was < 0 || is >= 0 || edit->fragment_mtu, "a checksum got lost");
	else
		expect(was == is, "a checksum became right or wrong");
	if (v.kind != XLAT_KIND_ICMP_ERROR)
		return;
	expect(reads(xlat_parse_inner(p, &v, &inner)), "the packet inside does not parse");
	expect(edit->length <= (uint32_t)(v.family == 4 ? XLAT_IP4_ERROR_MAX : XLAT_IP6_ERROR_MAX),
	       "an ICMP error larger than one may be");
	if (v.family == 4 && edit->length <= (uint32_t)XLAT_IP4_ERROR_MAX)
		check_origin(p, edit->length, is);
}

static inline void check_fragments(const uint8_t *p, const struct xlat_edit *edit)
{
	uint32_t i, count = xlat_fragment_count(edit->length, edit->fragment_mtu),
		    covered = XLAT_FRAGMENT_HEAD;

	for (i = 0; i < count; i++) {
		struct xlat_slice slice;

		xlat_fragment(p, edit->length, edit->fragment_mtu, i, &slice);
		expect(slice.offset == covered, "a hole between fragments");
		expect(slice.length + XLAT_FRAGMENT_HEAD <= edit->fragment_mtu,
		       "a fragment too long");
		covered += slice.length;
	}
	expect(covered == edit->length, "the fragments are not the packet");
}

static inline void check_answer(const uint8_t *p, const struct xlat_view *v)
{
	static const struct xlat_ip6 source = { { 0x20, 1, 0xd, 0xb8 } };
	struct xlat_icmp error = { 3, 0, 0 };
	struct xlat_ip4 source4 = { { 1 } };
	struct be16 id = { 0 };
	uint8_t *out = (uint8_t *)malloc(XLAT_ANSWER_MAX);
	uint32_t len = 0;
	struct xlat_view answered;

	if (v->family == 6 ? !xlat_answer6(p, v, &error, &source, out, &len)
			   : !xlat_answer4(p, v, &error, source4, id, out, &len)) {
		expect(!xlat_parse(out, len, &answered), "the answer does not parse");
		expect(verdict(out, &answered) == 1, "the answer's checksum is wrong");
	}
	free(out);
}

#endif
