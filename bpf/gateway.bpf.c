// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data path of established flows. Each entry reads: parse, look up, plan, apply. The
 * translation is native/xlat's; whatever is not plain goes up to the translator, which decides.
 */
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "apply.h"

/*
 * The only way to lose a packet: it is changed already, and could not be finished. The bounds that
 * are checked for the verifier's sake hold by what was checked before, so this stays at zero.
 */
GW_CALL int gw_drop(int verdict, uint32_t why, uint32_t bytes)
{
	gw_count(&drops, why, 1, bytes);
	return verdict;
}

/* The slow path. */
GW_CALL int gw_pass_xdp(struct xdp_md *ctx, uint32_t why)
{
	uint32_t length = (uint32_t)bpf_xdp_get_buff_len(ctx);

	/* What looked too short, or could not be cut, is not all in the first buffer. */
	if (length != ctx->data_end - ctx->data)
		why = GW_PASS_MULTI_BUFFER;
	gw_count(&passes, why, 1, length);
	return XDP_PASS;
}

GW_FN int gw_xdp64(struct xdp_md *ctx, const struct gw_packet *packet, const struct xlat_view *v,
		   uint8_t protocol)
{
	struct gw_plan plan = { .view = *v };
	enum gw_pass why = gw_plan64(ctx, GW_XDP, packet, protocol, &plan);

	if (!why && !plan.hop.port)
		why = GW_PASS_NO_REDIRECT;
	if (!why && !gw_resize_xdp(ctx, packet, &plan, XLAT_IP6_LEN - XLAT_IP4_LEN))
		why = GW_PASS_HEADROOM;
	if (XLAT_UNLIKELY(why))
		return gw_pass_xdp(ctx, why);
	if (!gw_apply_xdp64(ctx, &plan))
		return gw_drop(XDP_DROP, XLAT_TRUNCATED, plan.bytes);
	gw_account(&plan, GW_64);
	return (int)bpf_redirect_map(&devmap, plan.hop.port, 0);
}

GW_FN int gw_xdp46(struct xdp_md *ctx, const struct gw_packet *packet, const struct xlat_view *v,
		   uint8_t protocol)
{
	struct gw_plan plan = { .view = *v };
	enum gw_pass why = gw_plan46(ctx, GW_XDP, packet, protocol, &plan);

	if (!why && !plan.hop.port)
		why = GW_PASS_NO_REDIRECT;
	if (!why && !gw_resize_xdp(ctx, packet, &plan, XLAT_IP4_LEN - XLAT_IP6_LEN))
		why = GW_PASS_HEADROOM;
	if (XLAT_UNLIKELY(why))
		return gw_pass_xdp(ctx, why);
	if (!gw_apply_xdp46(ctx, &plan))
		return gw_drop(XDP_DROP, XLAT_TRUNCATED, plan.bytes);
	gw_account(&plan, GW_46);
	return (int)bpf_redirect_map(&devmap, plan.hop.port, 0);
}

GW_FN int gw_xdp_from6(struct xdp_md *ctx, const struct gw_packet *packet)
{
	struct xlat_view v = { 0 };
	enum gw_pass why = gw_parse6(packet, &v);

	if (XLAT_UNLIKELY(why))
		return gw_pass_xdp(ctx, why);
	switch (v.protocol) {
	case XLAT_PROTO_TCP:
		return gw_xdp64(ctx, packet, &v, XLAT_PROTO_TCP);
	case XLAT_PROTO_UDP:
		return gw_xdp64(ctx, packet, &v, XLAT_PROTO_UDP);
	case XLAT_PROTO_ICMP6:
		return gw_xdp64(ctx, packet, &v, XLAT_PROTO_ICMP6);
	default:
		return gw_pass_xdp(ctx, xlat_is_extension(v.protocol) ? GW_PASS_EXTENSION
								      : GW_PASS_PROTOCOL);
	}
}

GW_FN int gw_xdp_from4(struct xdp_md *ctx, const struct gw_packet *packet)
{
	struct xlat_view v = { 0 };
	enum gw_pass why = gw_parse4(packet, &v);

	if (XLAT_UNLIKELY(why))
		return gw_pass_xdp(ctx, why);
	switch (v.protocol) {
	case XLAT_PROTO_TCP:
		return gw_xdp46(ctx, packet, &v, XLAT_PROTO_TCP);
	case XLAT_PROTO_UDP:
		return gw_xdp46(ctx, packet, &v, XLAT_PROTO_UDP);
	case XLAT_PROTO_ICMP:
		return gw_xdp46(ctx, packet, &v, XLAT_PROTO_ICMP);
	default:
		return gw_pass_xdp(ctx, GW_PASS_PROTOCOL);
	}
}

/* Whether the frame is for this host; a card may have taken up others'. */
GW_FN bool gw_is_ours(const uint8_t *frame, uint32_t ifindex)
{
	uint64_t station = gateway.station[ifindex % GATEWAY_STATIONS];

	return !station || (gw_word(frame, 0) << 16) == station << 16;
}

/* A frame with a tag counts as received by the VLAN's device, if there is one. */
GW_CALL uint32_t gw_vlan_device(uint32_t parent, uint32_t id)
{
	struct gateway_vlan vlan = { parent, id };
	uint32_t *ifindex = bpf_map_lookup_elem(&vlan_ids, &vlan);

	return ifindex ? *ifindex : 0;
}

GW_FN int gw_xdp_dispatch(struct xdp_md *ctx, const struct gw_packet *packet, uint32_t type)
{
	if (type == GW_TYPE_IP6)
		return gw_xdp_from6(ctx, packet);
	if (type == GW_TYPE_IP4)
		return gw_xdp_from4(ctx, packet);
	return gw_pass_xdp(ctx, type == GW_TYPE_VLAN || type == GW_TYPE_QINQ ? GW_PASS_VLAN
									     : GW_PASS_NOT_IP);
}

SEC("xdp.frags")
int gateway_xdp(struct xdp_md *ctx)
{
	const uint8_t *frame = (const uint8_t *)(long)ctx->data;
	struct gw_packet packet = { .link = GW_ETHER, .ifindex = ctx->ingress_ifindex };
	uint32_t type;

	packet.end = (const void *)(long)ctx->data_end;
	if (XLAT_UNLIKELY(!(gw_config()->flags & GATEWAY_ON)))
		return XDP_PASS;
	/* Any packet that is translated has more. */
	if ((const void *)(frame + GW_ETHER + GW_TAG) > packet.end)
		return gw_pass_xdp(ctx, GW_PASS_NOT_IP);
	if (XLAT_UNLIKELY(!gw_is_ours(frame, packet.ifindex)))
		return gw_pass_xdp(ctx, GW_PASS_NOT_TO_US);
	type = xlat_get16(frame + 12);
	if (XLAT_UNLIKELY(type == GW_TYPE_VLAN)) {
		packet.ifindex =
			gw_vlan_device(packet.ifindex, xlat_get16(frame + GW_ETHER) & 0xfff);
		if (!packet.ifindex)
			return gw_pass_xdp(ctx, GW_PASS_VLAN);
		packet.link += GW_TAG;
		type = xlat_get16(frame + GW_ETHER + 2);
	}
	packet.ip = frame + packet.link;
	packet.length = (uint32_t)((long)packet.end - (long)packet.ip);
	return gw_xdp_dispatch(ctx, &packet, type);
}

/* TC */

GW_CALL int gw_pass_tc(struct __sk_buff *ctx, uint32_t why)
{
	gw_count(&passes, why, 1, ctx->len);
	return TC_ACT_UNSPEC;
}

GW_FN int gw_tc64(struct __sk_buff *ctx, const struct gw_packet *packet, const struct xlat_view *v,
		  uint8_t protocol)
{
	struct gw_plan plan = { .view = *v };
	enum gw_pass why = gw_plan64(ctx, GW_TC, packet, protocol, &plan);

	if (!why && !gw_resize_tc(ctx, packet, &plan, GW_TYPE_IP4))
		why = GW_PASS_HEADROOM;
	if (XLAT_UNLIKELY(why))
		return gw_pass_tc(ctx, why);
	if (!gw_apply_tc64(ctx, &plan))
		return gw_drop(TC_ACT_SHOT, XLAT_TRUNCATED, plan.bytes);
	gw_account(&plan, GW_64);
	return (int)bpf_redirect(plan.hop.ifindex, 0);
}

GW_FN int gw_tc46(struct __sk_buff *ctx, const struct gw_packet *packet, const struct xlat_view *v,
		  uint8_t protocol)
{
	struct gw_plan plan = { .view = *v };
	enum gw_pass why = gw_plan46(ctx, GW_TC, packet, protocol, &plan);

	if (!why && !gw_resize_tc(ctx, packet, &plan, GW_TYPE_IP6))
		why = GW_PASS_HEADROOM;
	if (XLAT_UNLIKELY(why))
		return gw_pass_tc(ctx, why);
	if (!gw_apply_tc46(ctx, &plan))
		return gw_drop(TC_ACT_SHOT, XLAT_TRUNCATED, plan.bytes);
	gw_account(&plan, GW_46);
	return (int)bpf_redirect(plan.hop.ifindex, 0);
}

GW_FN int gw_tc_from6(struct __sk_buff *ctx, const struct gw_packet *packet)
{
	struct xlat_view v = { 0 };
	enum gw_pass why = gw_parse6(packet, &v);

	if (XLAT_UNLIKELY(why))
		return gw_pass_tc(ctx, why);
	switch (v.protocol) {
	case XLAT_PROTO_TCP:
		return gw_tc64(ctx, packet, &v, XLAT_PROTO_TCP);
	case XLAT_PROTO_UDP:
		return gw_tc64(ctx, packet, &v, XLAT_PROTO_UDP);
	case XLAT_PROTO_ICMP6:
		return gw_tc64(ctx, packet, &v, XLAT_PROTO_ICMP6);
	default:
		return gw_pass_tc(ctx, xlat_is_extension(v.protocol) ? GW_PASS_EXTENSION
								     : GW_PASS_PROTOCOL);
	}
}

GW_FN int gw_tc_from4(struct __sk_buff *ctx, const struct gw_packet *packet)
{
	struct xlat_view v = { 0 };
	enum gw_pass why = gw_parse4(packet, &v);

	if (XLAT_UNLIKELY(why))
		return gw_pass_tc(ctx, why);
	switch (v.protocol) {
	case XLAT_PROTO_TCP:
		return gw_tc46(ctx, packet, &v, XLAT_PROTO_TCP);
	case XLAT_PROTO_UDP:
		return gw_tc46(ctx, packet, &v, XLAT_PROTO_UDP);
	case XLAT_PROTO_ICMP:
		return gw_tc46(ctx, packet, &v, XLAT_PROTO_ICMP);
	default:
		return gw_pass_tc(ctx, GW_PASS_PROTOCOL);
	}
}

/* A tag that the card took off is not in the frame: the VLAN's own device has a program. */
SEC("tc")
int gateway_tc(struct __sk_buff *ctx)
{
	uint32_t type = xlat_swap16((uint16_t)ctx->protocol);
	struct gw_packet packet;

	if (XLAT_UNLIKELY(!(gw_config()->flags & GATEWAY_ON)))
		return TC_ACT_UNSPEC;
	if (type != GW_TYPE_IP6 && type != GW_TYPE_IP4)
		return gw_pass_tc(ctx, GW_PASS_NOT_IP);
	if (ctx->vlan_present)
		return gw_pass_tc(ctx, GW_PASS_VLAN);
	if (XLAT_UNLIKELY(ctx->pkt_type != PACKET_HOST))
		return gw_pass_tc(ctx, GW_PASS_NOT_TO_US);
	if (ctx->data + GW_PULL > ctx->data_end && ctx->len > ctx->data_end - ctx->data)
		bpf_skb_pull_data(ctx, xlat_min(ctx->len, GW_PULL));
	packet.link = GW_ETHER;
	packet.ip = (const uint8_t *)(long)ctx->data + GW_ETHER;
	packet.end = (const void *)(long)ctx->data_end;
	packet.length = ctx->len - GW_ETHER;
	packet.ifindex = ctx->ifindex;
	packet.gso_size = ctx->gso_size;
	return type == GW_TYPE_IP6 ? gw_tc_from6(ctx, &packet) : gw_tc_from4(ctx, &packet);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
