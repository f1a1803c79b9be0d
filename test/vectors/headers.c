// SPDX-License-Identifier: Apache-2.0
/*
 * Every entry point of the core, out of line: what a compiler must be able to make code of, BPF's
 * above all.
 */
#include "answer.h"
#include "fragment.h"
#include "icmp_origin.h"
#include "limiter.h"
#include "plan.h"
#include "tunnel.h"

enum xlat_reason parse(const uint8_t *packet, uint32_t len, struct xlat_view *v);
enum xlat_reason parse_inner(const uint8_t *packet, const struct xlat_view *v,
			     struct xlat_view *inner);
enum xlat_reason plan64(const uint8_t *packet, const struct xlat_view *v,
			const struct xlat_tuple4 *to, const struct xlat_params *params,
			struct xlat_edit *edit);
enum xlat_reason plan46(const uint8_t *packet, const struct xlat_view *v,
			const struct xlat_tuple6 *to, const struct xlat_params *params,
			struct xlat_edit *edit);
uint8_t *apply(uint8_t *packet, const struct xlat_edit *edit);
void embed(struct xlat_ip6 *out, const struct xlat_ip6 *prefix, uint32_t length,
	   const struct xlat_ip4 *ip4);
bool extract(const struct xlat_ip6 *ip6, uint32_t length, struct xlat_ip4 *out);
void fragment(const uint8_t *packet, uint32_t length, uint32_t mtu, uint32_t index,
	      struct xlat_slice *slice);
uint32_t add_origin(uint8_t *packet, uint32_t length, const struct xlat_ip6 *origin);
enum xlat_reason encapsulate(const struct xlat_tunnel *t, const uint8_t *packet, uint32_t have,
			     struct xlat_tunnel_plan *plan);
enum xlat_reason decapsulate(const struct xlat_tunnel *t, const uint8_t *outer, uint8_t *packet,
			     uint32_t have, uint32_t *length);
enum xlat_reason take(struct limiter *limiter, uint64_t now, uint32_t packets, uint32_t bytes);
void give(struct limiter *limiter, uint32_t packets, uint32_t bytes);

enum xlat_reason take(struct limiter *limiter, uint64_t now, uint32_t packets, uint32_t bytes)
{
	return limiter_take(limiter, now, packets, bytes);
}

void give(struct limiter *limiter, uint32_t packets, uint32_t bytes)
{
	limiter_give(limiter, packets, bytes);
}

uint32_t add_origin(uint8_t *packet, uint32_t length, const struct xlat_ip6 *origin)
{
	return xlat_add_origin(packet, length, origin);
}

enum xlat_reason parse(const uint8_t *packet, uint32_t len, struct xlat_view *v)
{
	return xlat_parse(packet, len, v);
}

enum xlat_reason parse_inner(const uint8_t *packet, const struct xlat_view *v,
			     struct xlat_view *inner)
{
	return xlat_parse_inner(packet, v, inner);
}

enum xlat_reason plan64(const uint8_t *packet, const struct xlat_view *v,
			const struct xlat_tuple4 *to, const struct xlat_params *params,
			struct xlat_edit *edit)
{
	return xlat_plan64(packet, v, to, to, params, edit);
}

enum xlat_reason plan46(const uint8_t *packet, const struct xlat_view *v,
			const struct xlat_tuple6 *to, const struct xlat_params *params,
			struct xlat_edit *edit)
{
	return xlat_plan46(packet, v, to, to, params, edit);
}

uint8_t *apply(uint8_t *packet, const struct xlat_edit *edit)
{
	return xlat_apply(packet, edit);
}

void embed(struct xlat_ip6 *out, const struct xlat_ip6 *prefix, uint32_t length,
	   const struct xlat_ip4 *ip4)
{
	*out = xlat_embed(prefix, length, *ip4);
}

bool extract(const struct xlat_ip6 *ip6, uint32_t length, struct xlat_ip4 *out)
{
	return xlat_extract(ip6, length, out);
}

void fragment(const uint8_t *packet, uint32_t length, uint32_t mtu, uint32_t index,
	      struct xlat_slice *slice)
{
	xlat_fragment(packet, length, mtu, index, slice);
}

enum xlat_reason encapsulate(const struct xlat_tunnel *t, const uint8_t *packet, uint32_t have,
			     struct xlat_tunnel_plan *plan)
{
	uint32_t length;
	enum xlat_reason why = xlat_tunnel_length(packet, have, &length);

	return why ? why : xlat_tunnel_encapsulate(t, packet, plan);
}

enum xlat_reason decapsulate(const struct xlat_tunnel *t, const uint8_t *outer, uint8_t *packet,
			     uint32_t have, uint32_t *length)
{
	struct xlat_ip4 src = xlat_load_ip4(outer + XLAT_IP4_SRC);
	enum xlat_reason why = xlat_tunnel_length(packet, have, length);

	if (!why && !xlat_tunnel_fits(t, src, packet))
		why = XLAT_TUNNEL_UNKNOWN;
	if (!why)
		why = xlat_tunnel_accept(t, src, packet);
	return why ? why : xlat_tunnel_ecn(outer[XLAT_IP4_TOS], packet);
}
