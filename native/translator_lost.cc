// SPDX-License-Identifier: Apache-2.0
#include "translator_lost.h"

#include <ctime>

#include "xlat/view.h"

namespace sixgate {

const char *step_name(Step step)
{
	static const char *const names[] = {"parse", "policy", "session", "translate", "route"};
	return names[static_cast<unsigned>(step)];
}

/* Without a default: a new reason must say where it belongs. */
Step step_of(xlat_reason why)
{
	switch (why) {
	case XLAT_TRUNCATED:
	case XLAT_BAD_VERSION:
	case XLAT_BAD_LENGTH:
	case XLAT_BAD_IPV4_HEADER:
	case XLAT_SOURCE_ROUTE:
	case XLAT_ROUTING_HEADER:
	case XLAT_EXTENSION_AFTER_FRAGMENT:
	case XLAT_TOO_MANY_EXTENSIONS:
	case XLAT_UNKNOWN_PROTOCOL:
	case XLAT_FRAGMENT_TIMEOUT:
	case XLAT_FRAGMENT_MEMORY:
	case XLAT_FRAGMENT_OVERLAP:
		return Step::PARSE;
	case XLAT_ILLEGAL_SOURCE:
	case XLAT_ILLEGAL_DESTINATION:
	case XLAT_NON_GLOBAL_IPV4:
	case XLAT_ICMP_INNER_ADDRESS:
	case XLAT_NOT_OUR_PREFIX:
	case XLAT_HAIRPIN_LOOP:
	case XLAT_TUNNEL_UNKNOWN:
	case XLAT_TUNNEL_OUTER_SOURCE:
	case XLAT_TUNNEL_INNER_SOURCE:
	case XLAT_TUNNEL_SPOOFED:
	case XLAT_TUNNEL_DESTINATION:
	case XLAT_TUNNEL_LOOP:
	case XLAT_TUNNEL_CONGESTED:
	case XLAT_TUNNEL_OUTER_DESTINATION:
	case XLAT_POLICY_DENY:
	case XLAT_POLICY_RATE:
	case XLAT_POLICY_QUOTA:
		return Step::POLICY;
	case XLAT_ICMP_DAMAGED:
	case XLAT_ICMP_NO_SESSION:
	case XLAT_NO_BINDING:
	case XLAT_FILTERED:
	case XLAT_TCP_NOT_SYN:
	case XLAT_SYN_HELD_EXPIRED:
	case XLAT_SYN_HELD_FULL:
	case XLAT_NO_POOL:
	case XLAT_NO_PORT:
	case XLAT_TABLE_FULL:
	case XLAT_CLIENT_LIMIT:
	case XLAT_CLIENT_BLOCKS:
	case XLAT_CLIENT_SESSIONS:
	case XLAT_CLIENT_RATE:
		return Step::SESSION;
	case XLAT_ICMP_UNTRANSLATABLE:
	case XLAT_ICMP_ERROR_ABOUT_ERROR:
	case XLAT_ICMP_FRAGMENT:
	case XLAT_HOP_LIMIT:
	case XLAT_TOO_BIG:
	case XLAT_SPLIT_FIRST:
	case XLAT_UDP_CHECKSUM_ZERO:
		return Step::TRANSLATE;
	case XLAT_RATE_LIMITED:
	case XLAT_TUNNEL_NO_REMOTE:
	case XLAT_TUNNEL_SEND:
	case XLAT_TUNNEL_RECEIVE:
	case XLAT_TUN_WRITE:
	case XLAT_OK:
	case XLAT_REASON_COUNT:
		break;
	}
	return Step::ROUTE;
}

uint64_t real_time()
{
	timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000 +
	       static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

PacketSummary summarize(const uint8_t *data, uint32_t length)
{
	PacketSummary out;
	xlat_view view;

	/* As inside an ICMP error: whatever is there is read, and nothing beyond it. */
	xlat_parse_at(data, 0, length, true, &view);
	out.length = length;
	out.family = view.family;
	out.protocol = view.protocol;
	out.has_ports = view.has_ports;
	out.source_port = xlat_host16(view.src_port);
	out.destination_port = xlat_host16(view.dst_port);
	if (view.family == 6) {
		std::memcpy(out.source, data + XLAT_IP6_SRC, 16);
		std::memcpy(out.destination, data + XLAT_IP6_DST, 16);
	} else if (view.family == 4) {
		out.protocol = data[XLAT_IP4_PROTOCOL];
		std::memcpy(out.source, data + XLAT_IP4_SRC, 4);
		std::memcpy(out.destination, data + XLAT_IP4_DST, 4);
	}
	return out;
}

bool LostLog::due(xlat_reason why, Time now)
{
	Ring &ring = rings_[why];
	if (now - ring.window >= LOST_WINDOW) {
		ring.window = now;
		ring.in_window = 0;
	}
	return ring.in_window < LOST_KEPT && ++ring.in_window;
}

void LostLog::keep(xlat_reason why, const PacketSummary &packet)
{
	uint64_t time = real_time();
	std::lock_guard guard(lock_);
	Ring &ring = rings_[why];
	ring.last[ring.count++ % LOST_KEPT] = {time, packet};
}

void LostLog::note(xlat_reason why, Time now, const FragmentKey &key)
{
	if (!due(why, now))
		return;
	PacketSummary packet;
	packet.family = key.family;
	packet.protocol = key.protocol;
	unsigned from = key.family == 4 ? 12 : 0;
	std::memcpy(packet.source, key.source.bytes + from, 16 - from);
	std::memcpy(packet.destination, key.destination.bytes + from, 16 - from);
	keep(why, packet);
}

void LostLog::read(xlat_reason why, std::vector<LostPacket> &into) const
{
	std::lock_guard guard(lock_);
	const Ring &ring = rings_[why];
	for (uint64_t i = ring.count > LOST_KEPT ? ring.count - LOST_KEPT : 0; i < ring.count; i++)
		into.push_back(ring.last[i % LOST_KEPT]);
}

} // namespace sixgate
