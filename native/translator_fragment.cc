// SPDX-License-Identifier: Apache-2.0
/*
 * Fragments. The first one names the ports and is translated as any packet; the others take its
 * addresses, before or after it. What needs the whole datagram (ICMP, a UDP datagram without
 * checksum; RFC 6146 3.4) is put together first. The last part splits what must leave in pieces.
 */
#include "translator_worker.h"

namespace sixgate {
namespace {

Ip6 mapped(xlat_ip4 address)
{
	Ip6 out{};
	out.bytes[10] = out.bytes[11] = 0xff;
	std::memcpy(out.bytes + 12, &address.addr.raw, 4);
	return out;
}

FragmentKey key_of(const Packet &packet)
{
	const xlat_view &view = packet.view;
	if (view.family == 6)
		return {to_ip6(xlat_src6(packet.data, &view)),
			to_ip6(xlat_dst6(packet.data, &view)), view.fragment_id, 0, 6};
	return {mapped(xlat_src4(packet.data, &view)), mapped(xlat_dst4(packet.data, &view)),
		view.fragment_id, view.protocol, 4};
}

bool without_checksum(const Packet &packet)
{
	return packet.view.kind == XLAT_KIND_UDP &&
	       xlat_load16(packet.data + packet.view.l4_offset + XLAT_UDP_CHECKSUM).raw == 0;
}

/* The header of the first fragment becomes that of the whole datagram. */
bool finish_header(std::vector<uint8_t> &datagram, const xlat_view &view)
{
	uint8_t *header = datagram.data();
	if (view.family == 6) {
		size_t payload = datagram.size() - XLAT_IP6_LEN;
		if (payload > 0xffff)
			return false;
		header[XLAT_IP6_NEXT] = view.protocol;
		xlat_store16(header + XLAT_IP6_PAYLOAD, xlat_be16(static_cast<uint32_t>(payload)));
		return true;
	}
	if (datagram.size() > XLAT_IP4_MAX)
		return false;
	header[XLAT_IP4_VERSION] = 0x45;
	xlat_store16(header + XLAT_IP4_TOTAL, xlat_be16(static_cast<uint32_t>(datagram.size())));
	xlat_store16(header + XLAT_IP4_FRAGMENT, be16{0});
	xlat_store16(header + XLAT_IP4_CHECKSUM, be16{0});
	xlat_store16(header + XLAT_IP4_CHECKSUM, xlat_full_checksum(header, XLAT_IP4_LEN, 0));
	return true;
}

} // namespace

/* Takes a copied packet into the buffer, as if it had just been read. */
bool Worker::load(Packet &packet, const std::vector<uint8_t> &bytes)
{
	if (bytes.size() > PACKET_MAX)
		return false;
	std::memcpy(buffer_, bytes.data(), bytes.size());
	packet = Packet{buffer_, static_cast<uint32_t>(bytes.size()), {}, {}};
	return xlat_parse(packet.data, packet.length, &packet.view) == XLAT_OK;
}

void Worker::reassemble(const Packet &packet, const FragmentKey &key)
{
	const xlat_view &view = packet.view;
	uint32_t header = view.family == 6 ? XLAT_IP6_LEN : XLAT_IP4_LEN;
	FragmentPiece piece{view.fragment_offset, view.more, {}, {}};
	piece.header = {packet.data, header};
	piece.payload = {packet.data + view.l4_offset, view.end - view.l4_offset};
	std::vector<uint8_t> datagram = shared_.fragments.reassemble(key, piece, now_);
	if (datagram.empty())
		return;
	Packet whole;
	uint32_t id = view.fragment_id;
	if (!finish_header(datagram, view) || !load(whole, datagram))
		return drop(packet, XLAT_BAD_LENGTH);
	/*
	 * It came in fragments, so it may leave in fragments: an IPv4 header without DF (RFC
	 * 7915 5.1.1).
	 */
	whole.view.has_fragment_header = whole.view.family == 6;
	whole.view.fragment_id = id;
	dispatch(whole);
}

/* Only a first fragment can be foreseen; the others, and those of ICMP, wait for it. */
void Worker::foresee_fragment(Packet &packet)
{
	if (!packet.view.first || is_icmp(packet.view))
		return;
	if (!packet.view.has_ports)
		return drop(packet, XLAT_UNKNOWN_PROTOCOL);
	bool six = packet.view.family == 6;
	Verdict verdict = six ? admit6(packet) : admit4(packet);
	if (verdict.held)
		return;
	if (verdict.reason)
		return refuse(packet, verdict.reason);
	if (six)
		send4(packet, verdict.four, verdict.six, verdict.delta);
	else
		send6(packet, verdict.six, inward_delta(verdict));
}

/* One that is not the first goes the way of the first, or waits for it. */
void Worker::later_fragment(Packet &packet, const FragmentKey &key)
{
	FragmentDecision decision{};
	if (packet.view.protocol != XLAT_PROTO_TCP && packet.view.protocol != XLAT_PROTO_UDP)
		return drop(packet, XLAT_UNKNOWN_PROTOCOL);
	switch (shared_.fragments.other(key, {packet.data, packet.view.end}, now_, decision)) {
	case FragmentFate::TRANSLATE:
		return packet.view.family == 6 ? forward_fragment6(packet, decision)
					       : forward_fragment4(packet, decision);
	case FragmentFate::REASSEMBLE:
		return reassemble(packet, key);
	case FragmentFate::DROPPED:
		if (followed_)
			followed_->why = XLAT_FRAGMENT_MEMORY;
		return;
	case FragmentFate::HELD:
		return;
	}
}

/* With a first fragment are lost those that waited for it. */
void Worker::lose_waiting(const Packet &packet, const FragmentKey &key, xlat_reason why)
{
	if (uint64_t waiting = shared_.fragments.withdraw(key).size())
		drop(packet, why, waiting);
}

void Worker::fragment6(Packet &packet)
{
	if (is_dry())
		return foresee_fragment(packet);
	FragmentKey key = key_of(packet);
	FragmentDecision decision{};
	if (packet.view.protocol == XLAT_PROTO_ICMP6)
		return reassemble(packet, key);
	if (!packet.view.first)
		return later_fragment(packet, key);
	if (!packet.view.has_ports) {
		lose_waiting(packet, key, XLAT_UNKNOWN_PROTOCOL);
		return refuse(packet, XLAT_UNKNOWN_PROTOCOL);
	}
	Verdict verdict = admit6(packet);
	if (verdict.reason) {
		lose_waiting(packet, key, verdict.reason);
		return refuse(packet, verdict);
	}
	decision = {protocol_of(packet.view), verdict.six, verdict.four, verdict.session, 0};
	if (!send4(packet, verdict.four, verdict.six, verdict.delta))
		return;
	for (const std::vector<uint8_t> &waiting : shared_.fragments.first(key, decision, now_))
		if (load(packet, waiting))
			forward_fragment6(packet, decision);
}

void Worker::forward_fragment6(Packet &packet, const FragmentDecision &decision)
{
	if (xlat_reason why = judge_flow(packet, decision.six, decision.four))
		return refuse(packet, why);
	send4(packet, decision.four, decision.six, 0);
}

void Worker::fragment4(Packet &packet)
{
	if (is_dry())
		return foresee_fragment(packet);
	FragmentKey key = key_of(packet);
	FragmentDecision decision{};
	if (packet.view.protocol == XLAT_PROTO_ICMP)
		return reassemble(packet, key);
	if (!packet.view.first)
		return later_fragment(packet, key);
	if (!packet.view.has_ports) {
		lose_waiting(packet, key, XLAT_UNKNOWN_PROTOCOL);
		return refuse(packet, XLAT_UNKNOWN_PROTOCOL);
	}
	if (without_checksum(packet)) {
		std::vector<std::vector<uint8_t>> waiting = shared_.fragments.withdraw(key);
		reassemble(packet, key);
		for (const std::vector<uint8_t> &other : waiting)
			if (load(packet, other))
				reassemble(packet, key);
		return;
	}
	Verdict verdict = admit4(packet);
	if (verdict.held)
		return;
	if (verdict.reason) {
		lose_waiting(packet, key, verdict.reason);
		return refuse(packet, verdict.reason);
	}
	decision = {protocol_of(packet.view), verdict.six, verdict.four, verdict.session, 0};
	if (!send6(packet, verdict.six, inward_delta(verdict)))
		return;
	for (const std::vector<uint8_t> &waiting : shared_.fragments.first(key, decision, now_))
		if (load(packet, waiting))
			forward_fragment4(packet, decision);
}

void Worker::forward_fragment4(Packet &packet, const FragmentDecision &decision)
{
	if (xlat_reason why = judge_flow(packet, decision.six, decision.four))
		return refuse(packet, why);
	send6(packet, decision.six, 0);
}

namespace {

/*
 * One segment of an IPv4 super-packet, as its sender's hardware would have made it; returns its
 * length.
 */
uint32_t build_segment(const Packet &packet, uint32_t index, uint8_t *out)
{
	const xlat_view &view = packet.view;
	uint32_t header = view.l4_offset + view.l4_header_length;
	uint32_t at = index * packet.vnet.gso_size;
	uint32_t left = view.end - header - at;
	bool last = left <= packet.vnet.gso_size;
	uint32_t payload = last ? left : packet.vnet.gso_size;
	uint8_t *l4 = out + view.l4_offset;

	std::memcpy(out, packet.data, header);
	std::memcpy(out + header, packet.data + header + at, payload);
	xlat_store16(out + XLAT_IP4_TOTAL, xlat_be16(header + payload));
	xlat_store16(out + XLAT_IP4_ID, xlat_be16((view.fragment_id + index) & 0xffff));
	xlat_store16(out + XLAT_IP4_CHECKSUM, be16{0});
	xlat_store16(out + XLAT_IP4_CHECKSUM, xlat_full_checksum(out, view.l4_offset, 0));
	uint32_t field = XLAT_TCP_CHECKSUM;
	if (view.kind == XLAT_KIND_UDP) {
		field = XLAT_UDP_CHECKSUM;
		xlat_store16(l4 + XLAT_UDP_LENGTH, xlat_be16(XLAT_UDP_LEN + payload));
	} else {
		uint32_t sequence = xlat_get32(l4 + 4) + at;
		xlat_store32(l4 + 4, xlat_be32(sequence));
		if (!last)
			l4[XLAT_TCP_FLAGS] &= static_cast<uint8_t>(~(XLAT_TCP_FIN | XLAT_TCP_PSH));
		if (index)
			l4[XLAT_TCP_FLAGS] &= 0x7f; /* CWR, RFC 3168 6.1.2: on the first only */
	}
	/* The field covers the pseudo header, of which the length changes. */
	uint32_t before = view.end - view.l4_offset, after = header - view.l4_offset + payload;
	be16 sum = xlat_load16(l4 + field);
	sum.raw = xlat_fold(sum.raw + xlat_minus16(xlat_be16(before)) + xlat_be16(after).raw);
	xlat_store16(l4 + field, sum);
	return header + payload;
}

} // namespace

/*
 * A super-packet with DF clear whose segments must be fragmented: its segments leave one by one
 * (RFC 7915 4).
 */
bool Worker::split(Packet &packet, const std::function<void(Packet &)> &send)
{
	if (!packet.vnet.partial()) {
		refuse(packet, XLAT_SPLIT_FIRST);
		return false;
	}
	if (!segment_memory_)
		segment_memory_.reset(new uint8_t[PACKET_HEADROOM + PACKET_MAX]);
	uint32_t count = packet.segments();
	for (uint32_t i = 0; i < count; i++) {
		Packet segment{segment_memory_.get() + PACKET_HEADROOM, 0, {}, {}, packet.turned};
		segment.length = build_segment(packet, i, segment.data);
		segment.dscp = packet.dscp;
		segment.vnet.flags = VNET_NEEDS_CSUM;
		segment.vnet.csum_start = packet.vnet.csum_start;
		segment.vnet.csum_offset = packet.vnet.csum_offset;
		if (xlat_parse(segment.data, segment.length, &segment.view) == XLAT_OK)
			send(segment);
	}
	return true;
}

} // namespace sixgate
