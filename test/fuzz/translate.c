// SPDX-License-Identifier: Apache-2.0
/*
 * One direction of the core, -DWAY=64 or 46: eight bytes of parameters, then a packet whose version
 * and IPv4 header checksum are put right, so that the input is about what lies behind them.
 */
#include "core.h"

enum { PARAMETERS = 8 };

static void repair(uint8_t *p, uint32_t len)
{
	uint32_t header = len ? (p[0] & 15u) * 4 : 0;

	if (!len)
		return;
	p[0] = (uint8_t)((WAY == 64 ? 0x60 : 0x40) | (p[0] & 15));
	if (WAY == 64 || header < 20 || header > len)
		return;
	p[XLAT_IP4_CHECKSUM] = p[XLAT_IP4_CHECKSUM + 1] = 0;
	xlat_store16(p + XLAT_IP4_CHECKSUM, xlat_be16(~slow_sum(p, header, 0) & 0xffff));
}

static struct xlat_params read_params(const uint8_t *data)
{
	static const uint16_t mtus[] = { 0, 68, 576, 1260, 1280, 1400, 1500, 65535 };
	static const uint16_t segments[] = { 0, 0, 0, 0, 1, 536, 1220, 1440 };
	struct xlat_params params;

	xlat_params_init(&params);
	params.hop_adjust = (int8_t)data[0];
	params.copy_traffic_class = data[1] & 1;
	params.tos = data[2];
	params.amend_udp_zero = data[1] & 2;
	params.partial_checksum = data[1] & 4;
	params.gso_size = segments[data[1] >> 3 & 7];
	params.ip4_id = xlat_be16(data[2]);
	params.lowest_ipv6_mtu = data[3] * 8u;
	params.mss = data[2];
	params.mtu6 = mtus[data[4] & 7];
	params.mtu4 = mtus[data[4] >> 3 & 7];
	return params;
}

#if WAY == 64
static enum xlat_reason plan(const uint8_t *p, const struct xlat_view *v, const uint8_t *data,
			     const struct xlat_params *params, struct xlat_edit *edit)
{
	struct xlat_tuple4 to = { { xlat_be32(0xc6336440) }, { xlat_be32(0xc0000221) },
				  xlat_be16(data[5] * 257u), xlat_be16(data[6] * 257u), 0 };

	if (data[7] & 1) {
		struct xlat_tuple6 from = { xlat_src6(p, v), xlat_dst6(p, v), v->src_port,
					    v->dst_port, 0 };

		to.delta = xlat_delta64(&from, &to);
	}
	return xlat_plan64(p, v, &to, &to, params, edit);
}
#else
static enum xlat_reason plan(const uint8_t *p, const struct xlat_view *v, const uint8_t *data,
			     const struct xlat_params *params, struct xlat_edit *edit)
{
	struct xlat_tuple6 to = { { { 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 33 } },
				  { { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 } },
				  xlat_be16(data[5] * 257u), xlat_be16(data[6] * 257u), 0 };

	if (data[7] & 1) {
		struct xlat_tuple4 from = { xlat_src4(p, v), xlat_dst4(p, v), v->src_port,
					    v->dst_port, 0 };

		to.delta = xlat_delta46(&from, &to);
	}
	return xlat_plan46(p, v, &to, &to, params, edit);
}
#endif

/* Applies the edit in place, as the TUN translator does. */
static void apply(uint8_t *block, uint32_t len, const struct xlat_edit *edit,
		  const struct xlat_view *v, bool partial, int was)
{
	uint8_t *p = xlat_apply(block + XLAT_HEADROOM, edit);

	expect(p >= block && p + edit->length <= block + XLAT_HEADROOM + len,
	       "outside of the headroom");
	expect(edit->patches <= XLAT_PATCH_MAX, "more patches than there is room for");
	/* Of a checksum left to a network card there is nothing to say. */
	check_output(p, edit, v, partial ? -1 : was);
	if (edit->fragment_mtu)
		check_fragments(p, edit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xlat_params params;
	struct xlat_view v;
	struct xlat_edit edit;
	enum xlat_reason why;
	uint32_t len;
	uint8_t *block, *before;

	if (size < PARAMETERS)
		return 0;
	len = (uint32_t)size - PARAMETERS;
	block = own_block(data + PARAMETERS, len);
	repair(block + XLAT_HEADROOM, len);
	params = read_params(data);
	why = xlat_parse(block + XLAT_HEADROOM, len, &v);
	if (!why) {
		before = (uint8_t *)malloc(XLAT_HEADROOM + len);
		memcpy(before, block, XLAT_HEADROOM + len);
		why = plan(block + XLAT_HEADROOM, &v, data, &params, &edit);
		expect(!memcmp(before, block, XLAT_HEADROOM + len), "a plan touched the packet");
		free(before);
	}
	if (!why)
		apply(block, len, &edit, &v, params.partial_checksum,
		      verdict(block + XLAT_HEADROOM, &v));
	free(block);
	return 0;
}
