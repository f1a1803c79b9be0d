// SPDX-License-Identifier: Apache-2.0
/* What the routes of both sides carry: for packets, for errors, and for what a SYN announces. */
#include "translator_worker.h"

#include <algorithm>

namespace sixgate {
namespace {

/* The least a clamp can be set to (src/config/schema.ts), and the most a packet has room for. */
constexpr uint32_t LEAST_MSS = 216;
constexpr uint32_t MOST_MSS = XLAT_IP4_MAX - XLAT_IP6_LEN - XLAT_TCP_LEN;

/* The payload of the largest TCP packet that fits both; 0 where neither is known. */
uint16_t mss_of(uint32_t mtu6, uint32_t mtu4)
{
	uint32_t mss = MOST_MSS + 1;
	if (mtu6)
		mss = std::min<uint32_t>(mss, mtu6 - XLAT_IP6_LEN - XLAT_TCP_LEN);
	if (mtu4)
		mss = std::min<uint32_t>(mss, mtu4 - XLAT_IP4_LEN - XLAT_TCP_LEN);
	return static_cast<uint16_t>(mss > MOST_MSS ? 0 : std::max(mss, LEAST_MSS));
}

bool is_syn(const xlat_view &view)
{
	return view.kind == XLAT_KIND_TCP && view.tcp_flags & XLAT_TCP_SYN;
}

/* Packet Too Big, or Fragmentation Needed. */
bool is_too_big(const xlat_view &view)
{
	if (view.kind != XLAT_KIND_ICMP_ERROR)
		return false;
	return view.family == 6 ? view.icmp_type == XLAT_ICMP6_TOO_BIG
				: view.icmp_type == XLAT_ICMP4_UNREACHABLE && view.icmp_code == 4;
}

} // namespace

/* For a packet to IPv4. With `again` it turns inside: no IPv4 route has to carry it. */
xlat_params Worker::params64(const Packet &packet, const xlat_tuple4 &to, bool again)
{
	const xlat_view &view = packet.view;
	xlat_params params = params_for(packet);
	uint32_t size = xlat_segment_size(&view, &params, XLAT_IP4_LEN);

	params.ip4_id = next_id(packet.segments());
	/* The other half of a hairpin makes up for the kernel's second decrement. */
	if (XLAT_UNLIKELY(again))
		params.hop_adjust = 0;
	/* What leaves with DF clear is fragmented by the kernel where it has to be. */
	else if (size > XLAT_DF_ABOVE && !view.has_fragment_header)
		params.mtu4 = paths_.to4(to.src, to.dst, size);
	if (XLAT_UNLIKELY(config_->mss_auto && is_syn(view))) {
		xlat_ip6 client = xlat_src6(packet.data, &view);
		uint32_t mtu6 = paths_.bound6(xlat_dst6(packet.data, &view), client);
		params.mss = mss_of(mtu6, again ? 0 : paths_.bound4(to.src, to.dst));
	}
	return params;
}

/* For a packet to IPv6. */
xlat_params Worker::params46(const Packet &packet, const xlat_tuple6 &to)
{
	const xlat_view &view = packet.view;
	xlat_params params = params_for(packet);
	uint32_t header = XLAT_IP6_LEN + (view.is_fragment ? uint32_t{XLAT_FRAGMENT_LEN} : 0u);
	uint32_t size = xlat_segment_size(&view, &params, header);

	/* With DF clear it is fragmented to the lowest MTU, which may be more than the route's. */
	if (size > XLAT_IP6_MIN_MTU && (view.df || params.lowest_ipv6_mtu > XLAT_IP6_MIN_MTU))
		params.mtu6 = paths_.to6(to.src, to.dst, size);
	if (XLAT_UNLIKELY(config_->mss_auto && is_syn(view))) {
		xlat_ip4 server = xlat_src4(packet.data, &view);
		uint32_t mtu4 = packet.turned ? 0 :
				paths_.bound4(xlat_dst4(packet.data, &view), server);
		params.mss = mss_of(paths_.bound6(to.src, to.dst), mtu4);
	}
	return params;
}

/*
 * What the host itself sends to an address that it shares with a pool goes, for the host, no
 * further than its loopback device: it has no path MTU to learn, and DF means nothing. False for
 * others.
 */
bool Worker::allow_fragments(Packet &packet)
{
	xlat_view &view = packet.view;
	if (packet.turned || !is_own_address(xlat_dst4(packet.data, &view)) ||
	    !is_own_address(xlat_src4(packet.data, &view)))
		return false;
	view.df = false;
	/* A packet with DF may have no identification of its own (RFC 6864 4.1). */
	if (!view.is_fragment)
		view.fragment_id = xlat_host16(next_id(packet.segments()));
	return true;
}

/* The number for the IPv6 sender of a packet that the IPv4 route does not carry, as in 4.2. */
void Worker::tell_mtu6(Packet &packet, xlat_params params)
{
	xlat_ip6 self = xlat_dst6(packet.data, &packet.view);
	xlat_ip6 sender = xlat_src6(packet.data, &packet.view);
	params.mtu6 = paths_.to6(self, sender, UINT32_MAX);
	uint32_t mtu4 = params.mtu4 ? params.mtu4 : uint32_t{XLAT_IP4_MAX};
	packet.told_mtu = xlat_mtu46(mtu4, 0, &params);
}

/* The number for the IPv4 sender of a packet that the IPv6 route does not carry, as in 5.2. */
void Worker::tell_mtu4(Packet &packet, xlat_params params)
{
	xlat_ip4 self = xlat_dst4(packet.data, &packet.view);
	xlat_ip4 sender = xlat_src4(packet.data, &packet.view);
	params.mtu4 = packet.turned ? 0 : paths_.to4(self, sender, UINT32_MAX);
	packet.told_mtu = xlat_mtu64(params.mtu6, packet.view.is_fragment, &params);
}

/* For an error of others that has an MTU in it: both next hops of its flow (RFC 7915 4.2, 5.2). */
void Worker::bound_error(const Packet &packet, const xlat_tuple4 &four, const xlat_tuple6 &six,
			 xlat_params &params)
{
	if (!is_too_big(packet.view))
		return;
	params.mtu4 = paths_.to4(four.src, four.dst, UINT32_MAX);
	params.mtu6 = paths_.to6(six.src, six.dst, UINT32_MAX);
}

} // namespace sixgate
