/* SPDX-License-Identifier: GPL-2.0-only */
/* Applying a plan to a frame: XDP moves its start, TC has the kernel change the packet's family. */
#ifndef GATEWAY_APPLY_H
#define GATEWAY_APPLY_H

#include "plan.h"

#define GW_ETHER 14
#define GW_TYPE_IP4 0x0800
#define GW_TYPE_IP6 0x86dd
#define GW_TYPE_VLAN 0x8100
#define GW_TYPE_QINQ 0x88a8
#define GW_TAG 4

GW_FN void gw_put_ether(uint8_t *frame, const struct gw_hop *hop, uint32_t type)
{
	*(uint64_t *)(void *)frame = hop->macs0;
	*(uint32_t *)(void *)(frame + 8) = hop->macs1;
	xlat_store16(frame + 12, xlat_be16(type));
}

/* With a tag where the next hop's device is a VLAN; the address of what comes behind it. */
GW_FN uint8_t *gw_put_link(uint8_t *frame, const struct gw_hop *hop, uint32_t type)
{
	if (XLAT_LIKELY(!hop->vlan)) {
		gw_put_ether(frame, hop, type);
		return frame + GW_ETHER;
	}
	gw_put_ether(frame, hop, GW_TYPE_VLAN);
	xlat_store16(frame + GW_ETHER, xlat_be16(hop->vlan));
	xlat_store16(frame + GW_ETHER + 2, xlat_be16(type));
	return frame + GW_ETHER + GW_TAG;
}

GW_FN void gw_put_ip4(uint8_t *ip, const struct gw_plan *plan)
{
	const struct xlat_view *v = &plan->view;

	xlat_header64(v, &plan->four.to, &plan->params, v->hop_limit - 1,
		      XLAT_IP4_LEN + xlat_upper_length(v), plan->segment, plan->four.id, ip);
}

GW_FN void gw_put_ip6(uint8_t *ip, const struct gw_plan *plan)
{
	const struct xlat_view *v = &plan->view;

	xlat_header46(v, &plan->six.to, &plan->params, v->hop_limit - 1, xlat_upper_length(v),
		      false, ip);
}

/* A frame of Ethernet's least length is padded; the packet ends where it says. */
GW_FN bool gw_trim_xdp(struct xdp_md *ctx, const struct gw_packet *packet, uint32_t total)
{
	if (XLAT_LIKELY(packet->length == total))
		return true;
	return bpf_xdp_get_buff_len(ctx) == packet->link + packet->length &&
	       !bpf_xdp_adjust_tail(ctx, (int)(total - packet->length));
}

/*
 * Makes room for the new headers, `less` bytes less than the old ones. After this the packet is no
 * longer what it was, so nothing that follows may fail.
 */
GW_FN bool gw_resize_xdp(struct xdp_md *ctx, const struct gw_packet *packet,
			 const struct gw_plan *plan, int less)
{
	uint32_t link = plan->hop.vlan ? GW_ETHER + GW_TAG : GW_ETHER;

	return gw_trim_xdp(ctx, packet, plan->view.total_length) &&
	       !bpf_xdp_adjust_head(ctx, less + (int)(packet->link - link));
}

/* Room behind the IP header that the verifier wants to see. */
GW_FN uint32_t gw_room(const struct gw_plan *plan)
{
	return plan->view.kind == XLAT_KIND_TCP ? XLAT_TCP_LEN : XLAT_UDP_LEN;
}

GW_FN bool gw_apply_xdp64(struct xdp_md *ctx, const struct gw_plan *plan)
{
	uint8_t *frame = (uint8_t *)(long)ctx->data, *ip;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(frame + GW_ETHER + GW_TAG) > end)
		return false;
	ip = gw_put_link(frame, &plan->hop, GW_TYPE_IP4);
	if ((void *)(ip + XLAT_IP4_LEN + gw_room(plan)) > end)
		return false;
	gw_put_ip4(ip, plan);
	xlat_plain_put(ip + XLAT_IP4_LEN, &plan->view, &plan->plain);
	return true;
}

GW_FN bool gw_apply_xdp46(struct xdp_md *ctx, const struct gw_plan *plan)
{
	uint8_t *frame = (uint8_t *)(long)ctx->data, *ip;
	void *end = (void *)(long)ctx->data_end;

	if ((void *)(frame + GW_ETHER + GW_TAG) > end)
		return false;
	ip = gw_put_link(frame, &plan->hop, GW_TYPE_IP6);
	if ((void *)(ip + XLAT_IP6_LEN + gw_room(plan)) > end)
		return false;
	gw_put_ip6(ip, plan);
	xlat_plain_put(ip + XLAT_IP6_LEN, &plan->view, &plan->plain);
	return true;
}

/* Bytes of the packet that must lie in one piece: the longest headers looked at. */
#define GW_PULL (GW_ETHER + XLAT_IP6_LEN + XLAT_TCP_LEN)

/*
 * Makes room for the new headers, turns TCP of one family into that of the other in the offloads'
 * eyes, and puts the Ethernet header in front. Before the change of family a failure leaves the
 * packet as it was; after it nothing that follows may fail.
 */
GW_FN bool gw_resize_tc(struct __sk_buff *ctx, const struct gw_packet *packet,
			const struct gw_plan *plan, uint32_t type)
{
	uint32_t whole = GW_ETHER + plan->view.total_length;

	if (XLAT_UNLIKELY(packet->length != plan->view.total_length) &&
	    bpf_skb_change_tail(ctx, whole, 0))
		return false;
	return !bpf_skb_change_proto(ctx, xlat_be16(type).raw, 0);
}

GW_FN bool gw_ether_tc(struct __sk_buff *ctx, const struct gw_plan *plan, uint32_t type)
{
	uint8_t *frame = (uint8_t *)(long)ctx->data;

	if ((void *)(frame + GW_ETHER) > (void *)(long)ctx->data_end)
		return false;
	gw_put_ether(frame, &plan->hop, type);
	return true;
}

/*
 * TCP and UDP. What a checksum becomes depends on whether it is finished, which only the kernel
 * knows: an unfinished one covers the pseudo-header, but not the ports. ICMP's is always finished.
 */
GW_FN bool gw_upper_tc(struct __sk_buff *ctx, uint32_t at, const struct xlat_view *v,
		       uint16_t delta, const struct xlat_plain *plain)
{
	uint32_t old = flow_ports(v->src_port, v->dst_port);
	uint32_t new = flow_ports(plain->first, plain->second);
	uint32_t field = at + xlat_plain_field(v);
	uint64_t flags = v->kind == XLAT_KIND_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	uint32_t pseudo = xlat_fold(delta + xlat_minus(plain->first.raw + plain->second.raw) +
				    v->src_port.raw + v->dst_port.raw);

	return !bpf_skb_store_bytes(ctx, at, &new, 4, 0) &&
	       !bpf_l4_csum_replace(ctx, field, 0, pseudo, flags | BPF_F_PSEUDO_HDR) &&
	       !bpf_l4_csum_replace(ctx, field, old, new, flags | 4);
}

/* Type, code, checksum and identifier of an echo. */
GW_FN bool gw_echo_tc(struct __sk_buff *ctx, uint32_t at, const struct xlat_plain *plain)
{
	struct be16 words[3] = { plain->first, plain->checksum, plain->second };

	return !bpf_skb_store_bytes(ctx, at, words, 6, BPF_F_RECOMPUTE_CSUM);
}

GW_FN bool gw_put_upper_tc(struct __sk_buff *ctx, uint32_t at, const struct gw_plan *plan,
			   uint16_t delta)
{
	if (plan->view.kind == XLAT_KIND_TCP || plan->view.kind == XLAT_KIND_UDP)
		return gw_upper_tc(ctx, at, &plan->view, delta, &plan->plain);
	return gw_echo_tc(ctx, at, &plan->plain);
}

GW_FN bool gw_apply_tc64(struct __sk_buff *ctx, const struct gw_plan *plan)
{
	uint32_t header[XLAT_IP4_LEN / 4];

	gw_put_ip4((uint8_t *)header, plan);
	return gw_ether_tc(ctx, plan, GW_TYPE_IP4) &&
	       !bpf_skb_store_bytes(ctx, GW_ETHER, header, sizeof(header), BPF_F_RECOMPUTE_CSUM) &&
	       gw_put_upper_tc(ctx, GW_ETHER + XLAT_IP4_LEN, plan, plan->four.to.delta);
}

GW_FN bool gw_apply_tc46(struct __sk_buff *ctx, const struct gw_plan *plan)
{
	uint64_t header[XLAT_IP6_LEN / 8];

	gw_put_ip6((uint8_t *)header, plan);
	return gw_ether_tc(ctx, plan, GW_TYPE_IP6) &&
	       !bpf_skb_store_bytes(ctx, GW_ETHER, header, sizeof(header), BPF_F_RECOMPUTE_CSUM) &&
	       gw_put_upper_tc(ctx, GW_ETHER + XLAT_IP6_LEN, plan, plan->six.to.delta);
}

#endif
