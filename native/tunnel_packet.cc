// SPDX-License-Identifier: Apache-2.0
/* The way of a packet through a tunnel, in either direction, and of the errors about it. */
#include "tunnel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vnet.h"
#include "xlat/answer.h"
#include "xlat/icmp.h"
#include "xlat/view.h"

namespace sixgate {
namespace {

/* Packets of one source before the next has its turn. */
constexpr int BATCH = 64;
constexpr size_t PACKET_ROOM = 65536;

/* The field of a TCP checksum that is still to be finished holds the sum of the pseudo-header. */
bool unfinished_tcp(const uint8_t *packet, uint32_t length)
{
	const uint8_t *tcp = packet + XLAT_IP6_LEN;
	if (packet[XLAT_IP6_NEXT] != XLAT_PROTO_TCP || length < XLAT_IP6_LEN + XLAT_TCP_LEN)
		return false;
	xlat_ip6 src = xlat_load_ip6(packet + XLAT_IP6_SRC);
	xlat_ip6 dst = xlat_load_ip6(packet + XLAT_IP6_DST);
	uint64_t sum = xlat_sum_ip6(&src) + xlat_sum_ip6(&dst) +
		       xlat_sum_pseudo(length - XLAT_IP6_LEN, XLAT_PROTO_TCP);
	return xlat_load16(tcp + XLAT_TCP_CHECKSUM).raw == xlat_fold(sum);
}

/*
 * The kernel gathers TCP segments (GRO) through the outer header too, and a raw socket is not told:
 * such a packet has an unfinished checksum, and may be larger than the link. It is handed on so
 * that the kernel finishes and divides it. Of a checksum that only looks unfinished the result is
 * the same.
 */
VnetHeader vnet_of(const uint8_t *packet, uint32_t length, uint32_t mtu)
{
	VnetHeader header{};
	if (!unfinished_tcp(packet, length))
		return header;
	uint32_t tcp = static_cast<uint32_t>((packet + XLAT_IP6_LEN)[XLAT_TCP_DATA] >> 4) * 4;
	header.flags = VNET_NEEDS_CSUM;
	header.csum_start = XLAT_IP6_LEN;
	header.csum_offset = XLAT_TCP_CHECKSUM;
	if (length <= mtu || tcp < XLAT_TCP_LEN || XLAT_IP6_LEN + tcp >= length)
		return header;
	header.gso_type = VNET_GSO_TCPV6;
	header.hdr_len = static_cast<uint16_t>(XLAT_IP6_LEN + tcp);
	header.gso_size = static_cast<uint16_t>(mtu - XLAT_IP6_LEN - tcp);
	return header;
}

} // namespace

bool Tunnels::is_local(xlat_ip4 address) const
{
	return underlays_.contains(address.addr.raw);
}

const Tunnels::Tunnel *Tunnels::tunnel_of(const Underlay &underlay, xlat_ip4 outer,
					  const uint8_t *packet) const
{
	const Tunnel *best = nullptr;
	uint32_t most = 0;
	for (const Tunnel &tunnel : tunnels_) {
		if (tunnel.underlay != &underlay)
			continue;
		uint32_t fit = xlat_tunnel_fits(&tunnel.config.core, outer, packet);
		if (fit <= most)
			continue;
		best = &tunnel;
		most = fit;
	}
	return best;
}

void Tunnels::from_device(const Tunnel &tunnel)
{
	for (int i = 0; i < BATCH; i++) {
		ssize_t got = read(tunnel.device->tun.queue(0), buffer_.get(), PACKET_ROOM);
		if (got < 0 && (errno == EBADFD || errno == EIO || errno == ENODEV)) {
			tunnel.device->gone = true;
			generation_++;
		}
		if (got <= static_cast<ssize_t>(Tun::header_size))
			return;
		encapsulate(tunnel, buffer_.get() + Tun::header_size,
			    static_cast<uint32_t>(got) - static_cast<uint32_t>(Tun::header_size));
	}
}

void Tunnels::encapsulate(const Tunnel &tunnel, const uint8_t *packet, uint32_t have)
{
	xlat_tunnel_plan plan;
	uint32_t length = 0;
	xlat_reason why = xlat_tunnel_length(packet, have, &length);
	if (!why)
		why = xlat_tunnel_encapsulate(&tunnel.config.core, packet, &plan);
	/* RFC 6324 3.2.3: it would come back by another tunnel of this host. */
	if (!why && is_local(plan.remote))
		why = XLAT_TUNNEL_LOOP;
	if (why)
		return drop(tunnel.device->counters, why);
	send(tunnel, plan, packet, length);
}

/* RFC 4213 3.2: when to fragment and when to say that it is too big. */
void Tunnels::send(const Tunnel &tunnel, const xlat_tunnel_plan &plan, const uint8_t *packet,
		   uint32_t length)
{
	TunnelCounters &counters = tunnel.device->counters;
	const TunnelConfig &config = tunnel.config;
	auto pass = [&](bool df) {
		return tunnel.underlay->send(df, plan.remote, plan.tos, config.ttl, packet, length);
	};
	int error = pass(config.path_mtu);
	if (error == EMSGSIZE && config.path_mtu) {
		uint32_t way = tunnel.underlay->path_mtu(plan.remote);
		uint32_t mtu = std::max<uint32_t>(way > XLAT_IP4_LEN ? way - XLAT_IP4_LEN : 0,
						  XLAT_IP6_MIN_MTU);
		if (length > mtu) {
			xlat_icmp too_big;
			xlat_icmp_set(&too_big, XLAT_ICMP6_TOO_BIG, 0, mtu);
			answer(tunnel, too_big, packet, length, false);
			return drop(counters, XLAT_TOO_BIG);
		}
		error = pass(false);
	}
	if (error)
		return drop(counters, XLAT_TUNNEL_SEND);
	counters.packets_out.add(1);
	counters.bytes_out.add(length);
}

void Tunnels::from_underlay(Underlay &underlay)
{
	for (int i = 0; i < BATCH; i++) {
		ssize_t got = recv(underlay.receiver(), buffer_.get(), PACKET_ROOM, 0);
		if (got < 0)
			return;
		decapsulate(underlay, buffer_.get(), static_cast<uint32_t>(got));
	}
}

/* The kernel has judged and reassembled the IPv4 packet. */
void Tunnels::decapsulate(const Underlay &underlay, uint8_t *packet, uint32_t have)
{
	uint32_t header = have ? static_cast<uint32_t>(packet[0] & 15) * 4 : 0;
	if (have < XLAT_IP4_LEN || header < XLAT_IP4_LEN || have < header)
		return drop(strays_, XLAT_TRUNCATED);
	xlat_ip4 outer = xlat_load_ip4(packet + XLAT_IP4_SRC);
	uint8_t *inner = packet + header;
	uint32_t length = 0;
	xlat_reason why = xlat_tunnel_length(inner, have - header, &length);
	if (why)
		return drop(strays_, why);
	const Tunnel *tunnel = tunnel_of(underlay, outer, inner);
	if (!tunnel)
		return drop(strays_, XLAT_TUNNEL_UNKNOWN);
	why = xlat_tunnel_accept(&tunnel->config.core, outer, inner);
	if (!why)
		why = xlat_tunnel_ecn(packet[XLAT_IP4_TOS], inner);
	if (why)
		return drop(tunnel->device->counters, why);
	deliver(*tunnel, inner, length);
}

void Tunnels::deliver(const Tunnel &tunnel, const uint8_t *packet, uint32_t length)
{
	TunnelCounters &counters = tunnel.device->counters;
	VnetHeader header = vnet_of(packet, length, tunnel.config.mtu);
	iovec parts[2] = {{&header, sizeof(header)}, {const_cast<uint8_t *>(packet), length}};
	if (tunnel.device->gone || writev(tunnel.device->tun.queue(0), parts, 2) < 0)
		return drop(counters, XLAT_TUN_WRITE);
	counters.packets_in.add(1);
	counters.bytes_in.add(length);
}

/* An ICMPv6 error to the source of a packet, of which `have` bytes are here. */
bool Tunnels::answer(const Tunnel &tunnel, const xlat_icmp &error, const uint8_t *packet,
		     uint32_t have, bool inner)
{
	xlat_view view;
	uint32_t length = 0;
	uint8_t out[XLAT_ANSWER_MAX];
	if (!config_.has_source)
		return false;
	xlat_reason why = xlat_parse_at(packet, 0, have, inner, &view);
	bool cut = inner && (why == XLAT_TRUNCATED || why == XLAT_BAD_LENGTH) && view.l4_offset;
	if ((why && why != XLAT_ROUTING_HEADER && !cut) || view.family != 6 ||
	    xlat_answer6(packet, &view, &error, &config_.icmp_source, out, &length))
		return false;
	VnetHeader header{};
	iovec parts[2] = {{&header, sizeof(header)}, {out, length}};
	return writev(tunnel.device->tun.queue(0), parts, 2) >= 0;
}

bool Tunnels::may_tell()
{
	timespec now{};
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	uint64_t second = static_cast<uint64_t>(now.tv_sec);
	if (second != told_second_) {
		told_second_ = second;
		told_ = 0;
	}
	return told_++ < config_.error_rate;
}

/* ICMPv4 errors about what was sent, with what they quote. */
void Tunnels::from_errors(Underlay &underlay)
{
	for (int i = 0; i < BATCH; i++) {
		sockaddr_in to{};
		iovec data = {buffer_.get(), PACKET_ROOM};
		alignas(cmsghdr) uint8_t control[256];
		msghdr message{};
		message.msg_name = &to;
		message.msg_namelen = sizeof(to);
		message.msg_iov = &data;
		message.msg_iovlen = 1;
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		ssize_t got = recvmsg(underlay.receiver(), &message, MSG_ERRQUEUE);
		if (got < 0)
			return;
		for (cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
			sock_extended_err error;
			if (one->cmsg_level != IPPROTO_IP || one->cmsg_type != IP_RECVERR)
				continue;
			std::memcpy(&error, CMSG_DATA(one), sizeof(error));
			if (error.ee_origin == SO_EE_ORIGIN_ICMP)
				error_about(underlay, error, {{to.sin_addr.s_addr}}, buffer_.get(),
					    static_cast<uint32_t>(got));
		}
	}
}

/* RFC 4213 3.4: the sender inside learns of it when enough of its packet was quoted. */
void Tunnels::error_about(const Underlay &underlay, const sock_extended_err &error,
			  xlat_ip4 remote, const uint8_t *packet, uint32_t have)
{
	if (have < XLAT_IP6_LEN || packet[0] >> 4 != 6)
		return;
	for (const Tunnel &tunnel : tunnels_) {
		xlat_tunnel_plan plan;
		if (tunnel.underlay != &underlay ||
		    xlat_tunnel_encapsulate(&tunnel.config.core, packet, &plan) ||
		    !xlat_ip4_equal(plan.remote, remote))
			continue;
		TunnelCounters &counters = tunnel.device->counters;
		xlat_icmp told;
		counters.errors.add(1);
		/* The address is unreachable as the tunnel is a link. */
		xlat_icmp_set(&told, XLAT_ICMP6_UNREACHABLE, 3, 0);
		if (error.ee_type == XLAT_ICMP4_UNREACHABLE && error.ee_code == 4) {
			uint32_t length = XLAT_IP6_LEN + xlat_get16(packet + XLAT_IP6_PAYLOAD);
			uint32_t mtu = std::max<uint32_t>(
				error.ee_info > XLAT_IP4_LEN ? error.ee_info - XLAT_IP4_LEN : 0,
				XLAT_IP6_MIN_MTU);
			/* What comes next of this size goes without DF. */
			if (length <= mtu)
				return;
			xlat_icmp_set(&told, XLAT_ICMP6_TOO_BIG, 0, mtu);
		} else if (error.ee_type != XLAT_ICMP4_UNREACHABLE &&
			   error.ee_type != XLAT_ICMP4_TIME_EXCEEDED) {
			return;
		}
		if (may_tell())
			answer(tunnel, told, packet, have, true);
		else
			drop(counters, XLAT_RATE_LIMITED);
		return;
	}
}

} // namespace sixgate
