/* SPDX-License-Identifier: GPL-2.0-only */
/* parse → look up → plan, the same for XDP and TC. Nothing here touches the packet. */
#ifndef GATEWAY_PLAN_H
#define GATEWAY_PLAN_H

#include "../native/xlat/icmp.h"
#include "flow.h"
#include "nexthop.h"
#include "parse.h"
#include "siit.h"

/* What is to be done with a packet; `to` is what its addresses and ports become. */
struct gw_plan64 {
	struct xlat_tuple4 to;
	struct be16 id;
};

struct gw_plan46 {
	struct xlat_tuple6 to;
};

struct gw_plan {
	struct xlat_view view;
	struct xlat_params params;
	union {
		struct gw_plan64 four;
		struct gw_plan46 six;
	};
	struct xlat_plain plain;
	struct gw_found found;
	struct gw_hop hop;
	uint32_t segment;	  /* the largest packet that leaves */
	uint32_t segments, bytes; /* as the wire has them */
};

/* Packets of a super-packet, and their bytes with a header each; and the size they leave with. */
GW_FN void gw_measure(const struct gw_packet *packet, uint32_t new_header, struct gw_plan *plan)
{
	const struct xlat_view *v = &plan->view;
	uint32_t header = v->l4_offset + v->l4_header_length;

	plan->segments = 1;
	plan->bytes = v->total_length;
	plan->segment = new_header + xlat_upper_length(v);
	if (XLAT_LIKELY(!packet->gso_size) || v->total_length <= header)
		return;
	plan->segments = (v->total_length - header + packet->gso_size - 1) / packet->gso_size;
	plan->bytes += (plan->segments - 1) * header;
	plan->segment =
		xlat_min(plan->segment, new_header + v->l4_header_length + packet->gso_size);
}

GW_FN void gw_params(const struct gateway_config *config, struct gw_plan *plan)
{
	xlat_params_init(&plan->params);
	plan->params.copy_traffic_class = config->flags & GATEWAY_COPY_TRAFFIC_CLASS;
}

/*
 * One after the other in a flow. Where it matters the packet has at most 1260 bytes and may be
 * fragmented behind the translator (RFC 7915 5.1).
 */
GW_FN struct be16 gw_ip4_id(const struct flow *flow)
{
	return xlat_be16(flow->packets + flow->client_port.raw);
}

/*
 * The policy chain comes before translation. Of a flow the translator has judged all packets when it
 * installed it; without state each is to be judged.
 */
GW_FN enum gw_pass gw_policy(const struct gateway_config *config)
{
	return XLAT_LIKELY(!config->policy) ? GW_OK : GW_PASS_POLICY;
}

/*
 * The kernel's answer knows the device's MTU, and a route's own only where that is locked; `mtu` is
 * what the translator knows of it.
 */
GW_FN bool gw_fits(const struct gw_plan *plan, uint32_t mtu)
{
	return plan->segment <= plan->hop.mtu && (!mtu || plan->segment <= mtu);
}

/* RFC 7915 4: with DF clear a packet larger than every IPv6 link must carry leaves as fragments. */
GW_FN bool gw_fits46(const struct gateway_config *config, const struct gw_plan *plan, uint32_t mtu)
{
	uint32_t lowest = config->lowest_ipv6_mtu;

	return gw_fits(plan, mtu) &&
	       (plan->view.df || plan->segment <= XLAT_IP6_MIN_MTU || plan->segment <= lowest);
}

/* Ports stay; of an echo both are the identifier. */
GW_FN void gw_ends_ports(const struct xlat_view *v, struct gw_ends *ends)
{
	ends->six.src_port = ends->four.src_port = v->src_port;
	ends->six.dst_port = ends->four.dst_port = v->dst_port;
}

/* Without a flow, where both addresses translate by themselves. */
GW_FN enum gw_pass gw_plan_siit64(void *ctx, enum gw_hook hook, const struct gw_packet *packet,
				  const struct gateway_config *config, uint8_t protocol,
				  struct gw_plan *plan)
{
	struct gw_rare *rare = gw_rare();
	struct gw_ends *ends;

	if (gw_clamps(config, &plan->view, protocol))
		return GW_PASS_TCP_FLAGS;
	if (!rare)
		return GW_PASS_NO_FLOW;
	ends = &rare->ends;
	ends->family = 4;
	ends->protocol = protocol;
	ends->six.src = xlat_load_ip6(packet->ip + XLAT_IP6_SRC);
	ends->six.dst = xlat_load_ip6(packet->ip + XLAT_IP6_DST);
	gw_ends_ports(&plan->view, ends);
	if (!gw_siit64(config == &gateway.config[1], ends))
		return GW_PASS_NO_FLOW;
	if (!(hook == GW_XDP ? gw_ask_xdp(ctx, ends, packet->ifindex, &rare->hop)
			     : gw_ask_tc(ctx, ends, packet->ifindex, &rare->hop)))
		return GW_PASS_NO_NEXTHOP;
	plan->hop = rare->hop;
	gw_measure(packet, XLAT_IP4_LEN, plan);
	if (XLAT_UNLIKELY(!gw_fits(plan, config->least4)))
		return GW_PASS_TOO_BIG;
	plan->found.flow = NULL;
	plan->four.to = ends->four;
	plan->four.to.delta = xlat_delta64(&ends->six, &ends->four);
	plan->four.id = xlat_be16(bpf_get_prandom_u32());
	gw_params(config, plan);
	xlat_plain64(packet->ip, &plan->view, &plan->four.to, &plan->plain);
	return GW_OK;
}

GW_FN enum gw_pass gw_plan_siit46(void *ctx, enum gw_hook hook, const struct gw_packet *packet,
				  const struct gateway_config *config, uint8_t protocol,
				  struct gw_plan *plan)
{
	struct gw_rare *rare = gw_rare();
	struct gw_ends *ends;

	if (gw_clamps(config, &plan->view, protocol))
		return GW_PASS_TCP_FLAGS;
	if (!rare)
		return GW_PASS_NO_FLOW;
	ends = &rare->ends;
	ends->family = 6;
	ends->protocol = protocol;
	ends->four.src = xlat_load_ip4(packet->ip + XLAT_IP4_SRC);
	ends->four.dst = xlat_load_ip4(packet->ip + XLAT_IP4_DST);
	gw_ends_ports(&plan->view, ends);
	if (!gw_siit46(config == &gateway.config[1], ends))
		return GW_PASS_NO_FLOW;
	if (!(hook == GW_XDP ? gw_ask_xdp(ctx, ends, packet->ifindex, &rare->hop)
			     : gw_ask_tc(ctx, ends, packet->ifindex, &rare->hop)))
		return GW_PASS_NO_NEXTHOP;
	plan->hop = rare->hop;
	gw_measure(packet, XLAT_IP6_LEN, plan);
	if (XLAT_UNLIKELY(!gw_fits46(config, plan, config->least6)))
		return GW_PASS_TOO_BIG;
	plan->found.flow = NULL;
	plan->six.to = ends->six;
	plan->six.to.delta = xlat_delta46(&ends->four, &ends->six);
	gw_params(config, plan);
	xlat_plain46(packet->ip, &plan->view, &plan->six.to, &plan->plain);
	return GW_OK;
}

GW_FN enum gw_pass gw_plan64(void *ctx, enum gw_hook hook, const struct gw_packet *packet,
			     uint8_t protocol, struct gw_plan *plan)
{
	const struct gateway_config *config = gw_config();
	struct xlat_tuple4 *to = &plan->four.to;
	const struct flow *flow;
	enum gw_pass why;

	why = gw_parse_upper(packet, &plan->view, protocol);
	if (XLAT_UNLIKELY(why))
		return why;
	why = gw_find64(config, packet->ip, &plan->view, &plan->found);
	if (XLAT_UNLIKELY(why) && config->flags & GATEWAY_SIIT)
		return gw_policy(config) ?:
			       gw_plan_siit64(ctx, hook, packet, config, protocol, plan);
	if (!why)
		why = gw_check_flags(&plan->view, protocol);
	if (!why)
		why = gw_route(ctx, hook, &plan->found, packet->ifindex, 4, &plan->hop);
	if (XLAT_UNLIKELY(why))
		return why;
	gw_measure(packet, XLAT_IP4_LEN, plan);
	/* Whatever its DF bit: the slow path answers, or fragments. */
	if (XLAT_UNLIKELY(!gw_fits(plan, plan->found.flow->mtu)))
		return GW_PASS_TOO_BIG;
	flow = plan->found.flow;
	to->src.addr = flow->pool;
	to->dst.addr = flow->remote;
	to->src_port = flow->pool_port;
	to->dst_port = flow->remote_port;
	to->delta = flow->delta;
	plan->four.id = gw_ip4_id(flow);
	if (XLAT_UNLIKELY(!gw_unchanged(&plan->found)))
		return GW_PASS_STALE;
	gw_params(config, plan);
	xlat_plain64(packet->ip, &plan->view, to, &plan->plain);
	return GW_OK;
}

GW_FN enum gw_pass gw_plan46(void *ctx, enum gw_hook hook, const struct gw_packet *packet,
			     uint8_t protocol, struct gw_plan *plan)
{
	const struct gateway_config *config = gw_config();
	struct xlat_tuple6 *to = &plan->six.to;
	const struct gateway_prefix *prefix;
	const struct flow *flow;
	struct xlat_ip4 remote;
	struct xlat_ip6 base;
	enum gw_pass why;

	why = gw_parse_upper(packet, &plan->view, protocol);
	if (XLAT_UNLIKELY(why))
		return why;
	why = gw_find46(config, packet->ip, &plan->view, &plan->found);
	if (XLAT_UNLIKELY(why) && config->flags & GATEWAY_SIIT)
		return gw_policy(config) ?:
			       gw_plan_siit46(ctx, hook, packet, config, protocol, plan);
	if (!why)
		why = gw_check_flags(&plan->view, protocol);
	if (!why)
		why = gw_route(ctx, hook, &plan->found, packet->ifindex, 6, &plan->hop);
	if (XLAT_UNLIKELY(why))
		return why;
	gw_measure(packet, XLAT_IP6_LEN, plan);
	if (XLAT_UNLIKELY(!gw_fits46(config, plan, plan->found.flow->mtu)))
		return GW_PASS_TOO_BIG;
	flow = plan->found.flow;
	prefix = &config->prefix[flow->prefix & (GATEWAY_PREFIXES - 1)];
	remote.addr = flow->remote;
	base = xlat_load_ip6(prefix->base);
	to->src = xlat_embed(&base, prefix->length, remote);
	to->dst = xlat_load_ip6(flow->client);
	/* Both are the identifier of an echo. */
	to->src_port = protocol == XLAT_PROTO_ICMP ? flow->client_port : flow->remote_port;
	to->dst_port = flow->client_port;
	to->delta = flow->delta;
	if (XLAT_UNLIKELY(!gw_unchanged(&plan->found)))
		return GW_PASS_STALE;
	gw_params(config, plan);
	xlat_plain46(packet->ip, &plan->view, to, &plan->plain);
	return GW_OK;
}

/* What it did is written down. One processor has a flow's packets, so nothing is locked. */
GW_FN void gw_account(const struct gw_plan *plan, enum gw_direction direction)
{
	struct flow *flow = plan->found.flow;

	if (XLAT_UNLIKELY(!flow)) {
		gw_count(&translated, direction + GW_SIIT_64, plan->segments, plan->bytes);
		return;
	}
	flow->last_seen = flow_clock(bpf_ktime_get_coarse_ns());
	flow->packets += plan->segments;
	flow->bytes += plan->bytes;
	gw_count(&translated, direction, plan->segments, plan->bytes);
}

#endif
