// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a packet: what the parser says of them holds; whatever it took can be answered. */
#include "core.h"

static void check_view(const uint8_t *p, uint32_t len, uint32_t offset, const struct xlat_view *v)
{
	uint32_t have = v->end - v->l4_offset;

	expect(v->offset == offset, "the header begins elsewhere");
	expect(v->offset < v->l4_offset && v->l4_offset <= v->end && v->end <= len,
	       "offsets not in order");
	expect(v->family == p[offset] >> 4, "another family than the packet's");
	expect(v->total_length >= v->l4_offset - v->offset, "a total length below the headers'");
	expect(!v->has_ports || have >= 4, "ports beyond the end");
	expect(v->first == !v->fragment_offset, "first, but not at offset 0");
	expect(v->is_fragment == (v->more || v->fragment_offset), "a fragment or not?");
	expect(v->first == (v->kind != XLAT_KIND_FRAGMENT), "a later fragment with an upper layer");
	expect(v->fragment_offset % 8 == 0, "an offset that is no multiple of 8");
}

static void check_whole(const uint8_t *p, uint32_t len, const struct xlat_view *v)
{
	static const uint32_t least[] = {
		[XLAT_KIND_TCP] = XLAT_TCP_LEN,	 [XLAT_KIND_UDP] = XLAT_UDP_LEN,
		[XLAT_KIND_ECHO_REQUEST] = 8,	 [XLAT_KIND_ECHO_REPLY] = 8,
		[XLAT_KIND_ICMP_ERROR] = 8,	 [XLAT_KIND_FRAGMENT] = 0,
	};

	check_view(p, len, 0, v);
	expect(v->total_length == v->end, "a packet that is not all there");
	expect(v->end - v->l4_offset >= least[v->kind], "an upper-layer header cut short");
	expect(v->kind != XLAT_KIND_TCP || v->l4_header_length >= XLAT_TCP_LEN,
	       "a TCP header below 20 bytes");
}

static void check_error(const uint8_t *p, uint32_t len, const struct xlat_view *v)
{
	uint32_t end = xlat_datagram_end(p, v);
	struct xlat_view inner;

	expect(end >= v->l4_offset + XLAT_ICMP_LEN && end <= v->end, "a datagram beyond its error");
	if (xlat_parse_inner(p, v, &inner))
		return;
	expect(inner.family == v->family, "a packet inside of another family");
	check_view(p, len, v->l4_offset + XLAT_ICMP_LEN, &inner);
	expect(inner.end <= end, "a packet inside that goes on behind its error");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *block = own_block(data, size), *p = block + XLAT_HEADROOM;
	uint32_t len = (uint32_t)size;
	struct xlat_view v;
	enum xlat_reason why = xlat_parse(p, len, &v);

	if (why == XLAT_ROUTING_HEADER)
		expect(v.pointer >= 43 && p[v.pointer], "a pointer to no segments left");
	if (why == XLAT_ROUTING_HEADER || why == XLAT_SOURCE_ROUTE)
		check_view(p, len, 0, &v);
	if (!why)
		check_whole(p, len, &v);
	if (!why && v.kind == XLAT_KIND_ICMP_ERROR)
		check_error(p, len, &v);
	if (!why || why == XLAT_ROUTING_HEADER || why == XLAT_SOURCE_ROUTE)
		check_answer(p, &v);
	free(block);
	return 0;
}
