// SPDX-License-Identifier: Apache-2.0
/* The way of an ordinary packet: parse, check, session, plan, apply, write. */
#include "translator_worker.h"
#include "xlat/fragment.h"

#include <sys/uio.h>
#include <unistd.h>

namespace sixgate {
namespace {

/*
 * A sender that leaves a checksum to the hardware names where it starts. When that is not the upper
 * layer this packet is parsed to (a tunnel inside UDP), it is completed here and what is left is an
 * ordinary packet.
 */
void complete_foreign_checksum(Packet &packet)
{
	VnetHeader &vnet = packet.vnet;
	if (!vnet.partial() || vnet.csum_start == packet.view.l4_offset)
		return;
	vnet.flags &= static_cast<uint8_t>(~VNET_NEEDS_CSUM);
	uint32_t field = static_cast<uint32_t>(vnet.csum_start) + vnet.csum_offset;
	if (field + 2 > packet.view.end)
		return;
	uint8_t *start = packet.data + vnet.csum_start;
	xlat_store16(packet.data + field,
		     xlat_full_checksum(start, packet.view.end - vnet.csum_start, 0));
}

} // namespace

uint32_t Packet::segments() const
{
	uint32_t header = view.l4_offset - view.offset + view.l4_header_length;
	if (!vnet.gso_size || view.total_length <= header)
		return 1;
	return (view.total_length - header + vnet.gso_size - 1) / vnet.gso_size;
}

uint32_t Packet::wire_bytes() const
{
	uint32_t header = view.l4_offset - view.offset + view.l4_header_length;
	return view.total_length + (segments() - 1) * header;
}

void Worker::receive(uint8_t *data, uint32_t length, const VnetHeader &vnet)
{
	if (XLAT_UNLIKELY(shared_.tracer.on()) && !followed_)
		return follow(data, length, vnet);
	Packet packet{data, length, vnet, {}};
	xlat_reason why = xlat_parse(data, length, &packet.view);
	if (XLAT_UNLIKELY(why))
		return refuse(packet, why);
	complete_foreign_checksum(packet);
	dispatch(packet);
}

/* As above, with a record of the packet's way. */
void Worker::follow(uint8_t *data, uint32_t length, const VnetHeader &vnet)
{
	TracedPacket packet;
	packet.in = summarize(data, length);
	followed_ = &packet;
	receive(data, length, vnet);
	followed_ = nullptr;
	shared_.tracer.offer(*config_, packet);
}

TracedPacket Worker::foresee(const uint8_t *data, uint32_t length)
{
	TracedPacket packet;
	packet.time = real_time();
	packet.dry = true;
	packet.in = summarize(data, length);
	now_ = boot_time();
	std::memcpy(buffer_, data, length);
	followed_ = &packet;
	receive(buffer_, length, VnetHeader{});
	followed_ = nullptr;
	return packet;
}

void Worker::dispatch(Packet &packet)
{
	if (packet.view.family == 6)
		from6(packet);
	else
		from4(packet);
}

xlat_reason Worker::check6(const Packet &packet, xlat_ip4 &remote) const
{
	xlat_ip6 source = xlat_src6(packet.data, &packet.view);
	xlat_ip6 destination = xlat_dst6(packet.data, &packet.view);
	xlat_ip4 unused;

	if (!find_prefix(config_->session, destination, remote))
		return XLAT_NOT_OUR_PREFIX;
	if (xlat_is_illegal6(&source))
		return XLAT_ILLEGAL_SOURCE;
	/* RFC 6146 3.5: such a packet was translated before. */
	if (find_prefix(config_->session, source, unused))
		return XLAT_HAIRPIN_LOOP;
	if (xlat_is_illegal4(remote))
		return XLAT_ILLEGAL_DESTINATION;
	if (!config_->allow_non_global && xlat_is_well_known(&destination) &&
	    xlat_is_non_global4(remote))
		return XLAT_NON_GLOBAL_IPV4;
	return XLAT_OK;
}

void Worker::from6(Packet &packet)
{
	const xlat_view &view = packet.view;
	xlat_ip4 remote;
	if (config_->stateless.enabled() && stateless6(packet))
		return;
	xlat_reason why = check6(packet, remote);

	if (XLAT_UNLIKELY(why))
		return refuse(packet, why);
	if (XLAT_UNLIKELY(view.is_fragment))
		return fragment6(packet);
	if (XLAT_UNLIKELY(view.kind == XLAT_KIND_ICMP_ERROR))
		return error6(packet);
	if (XLAT_UNLIKELY(!view.has_ports))
		return refuse(packet,
			      is_icmp(view) ? XLAT_ICMP_UNTRANSLATABLE : XLAT_UNKNOWN_PROTOCOL);
	Verdict verdict = admit6(packet);
	if (XLAT_UNLIKELY(verdict.reason))
		return refuse(packet, verdict);
	send4(packet, verdict.four, verdict.six, verdict.delta);
}

Verdict Worker::admit6(Packet &packet)
{
	const xlat_view &view = packet.view;
	Verdict verdict;
	verdict.reason = judge6(packet);
	if (XLAT_UNLIKELY(verdict.reason))
		return verdict;
	Tuple6 tuple{to_ip6(xlat_src6(packet.data, &view)), to_ip6(xlat_dst6(packet.data, &view)),
		     xlat_host16(view.src_port),
		     is_icmp(view) ? uint16_t{0} : xlat_host16(view.dst_port)};
	Facts facts{protocol_of(view), view.tcp_flags, packet.segments(), packet.wire_bytes()};
	verdict = is_dry() ? shared_.table.foresee64(tuple, facts, now_) :
			     shared_.table.outbound(tuple, facts, now_);
	if (XLAT_UNLIKELY(followed_))
		followed_->admit(verdict);
	return verdict;
}

be16 Worker::next_id(uint32_t count)
{
	be16 id = xlat_be16(ip4_id_);
	ip4_id_ = static_cast<uint16_t>(ip4_id_ + count);
	return id;
}

xlat_params Worker::params_for(const Packet &packet) const
{
	xlat_params params;
	xlat_params_init(&params);
	/* The kernel takes one off before the TUN device and one behind it; the gateway is one hop.
	 */
	params.hop_adjust = 1;
	params.copy_traffic_class = config_->copy_traffic_class;
	params.tos = config_->tos;
	params.mark = packet.dscp != NO_DSCP;
	params.dscp = packet.dscp;
	params.amend_udp_zero = true; /* RFC 6146 3.4 */
	params.partial_checksum = packet.vnet.partial();
	params.gso_size = packet.vnet.gso() == VNET_GSO_NONE ? uint16_t{0} : packet.vnet.gso_size;
	params.lowest_ipv6_mtu = config_->lowest_ipv6_mtu;
	params.mss = config_->mss_clamp;
	return params;
}

/* The offload header of the finished packet: the same work is left to the hardware, elsewhere. */
VnetHeader Worker::vnet_after(const Packet &packet, const xlat_edit &edit) const
{
	VnetHeader vnet = packet.vnet;
	if (edit.checksum_complete)
		vnet.flags &= static_cast<uint8_t>(~VNET_NEEDS_CSUM);
	if (vnet.partial())
		vnet.csum_start = static_cast<uint16_t>(edit.l4_offset);
	uint8_t tcp = packet.view.family == 6 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6;
	uint8_t type = vnet.gso();
	if (type == VNET_GSO_TCPV4 || type == VNET_GSO_TCPV6)
		type = tcp;
	vnet.gso_type = static_cast<uint8_t>(type | (vnet.gso_type & VNET_GSO_ECN));
	if (type != VNET_GSO_NONE)
		vnet.hdr_len = static_cast<uint16_t>(edit.l4_offset + packet.view.l4_header_length);
	return vnet;
}

void Worker::emit(uint8_t *start, uint32_t length, const VnetHeader &vnet)
{
	uint8_t *frame = start - sizeof(vnet);
	std::memcpy(frame, &vnet, sizeof(vnet));
	if (XLAT_UNLIKELY(followed_))
		followed_->leave(start, length);
	if (is_dry())
		return;
	if (XLAT_UNLIKELY(write(queue_, frame, length + sizeof(vnet)) < 0))
		drop(start, length, XLAT_TUN_WRITE);
}

bool Worker::send4(Packet &packet, const Tuple4 &four, const Tuple6 &six, uint16_t delta)
{
	bool again = is_hairpin(protocol_of(packet.view), four.remote, four.remote_port);
	uint32_t segments = packet.segments(), bytes = packet.wire_bytes();
	xlat_tuple4 to = outward4(four, is_icmp(packet.view), delta);
	xlat_params params = params64(packet, to, again);
	xlat_edit edit;

	xlat_reason why = xlat_plan64(packet.data, &packet.view, &to, &to, &params, &edit);
	if (XLAT_UNLIKELY(why)) {
		if (why == XLAT_TOO_BIG)
			tell_mtu6(packet, params);
		refuse(packet, why);
		return false;
	}
	counters_.stateful.add64(segments, bytes);
	clients_->count(six.client, Direction::OUT, segments, bytes);
	if (XLAT_UNLIKELY(again)) {
		hairpin(packet, edit);
		return true;
	}
	VnetHeader vnet = vnet_after(packet, edit);
	emit(xlat_apply(packet.data, &edit), edit.length, vnet);
	return true;
}

/*
 * The finished IPv4 packet is for another client: it enters again as if it had come from outside
 * (RFC 6146 3.8).
 */
void Worker::hairpin(Packet &packet, const xlat_edit &edit)
{
	VnetHeader vnet = vnet_after(packet, edit);
	uint8_t *start = xlat_apply(packet.data, &edit);
	Packet inner{start, edit.length, vnet, {}, true};
	xlat_reason why = xlat_parse(start, edit.length, &inner.view);
	if (why)
		return refuse(inner, why);
	from4(inner);
}

xlat_reason Worker::check4(const Packet &packet) const
{
	xlat_ip4 source = xlat_src4(packet.data, &packet.view);
	xlat_ip4 destination = xlat_dst4(packet.data, &packet.view);

	if (!is_pool_address(config_->session, xlat_ip4_host(destination)))
		return XLAT_NOT_OUR_PREFIX;
	return may_send4(packet.view, source) ? XLAT_OK : XLAT_ILLEGAL_SOURCE;
}

void Worker::from4(Packet &packet)
{
	const xlat_view &view = packet.view;
	if (config_->stateless.enabled() && stateless4(packet))
		return;
	xlat_reason why = check4(packet);

	if (XLAT_UNLIKELY(why))
		return refuse(packet, why);
	if (XLAT_UNLIKELY(view.is_fragment))
		return fragment4(packet);
	if (XLAT_UNLIKELY(view.kind == XLAT_KIND_ICMP_ERROR))
		return error4(packet);
	if (XLAT_UNLIKELY(!view.has_ports))
		return refuse(packet,
			      is_icmp(view) ? XLAT_ICMP_UNTRANSLATABLE : XLAT_UNKNOWN_PROTOCOL);
	Verdict verdict = admit4(packet);
	if (XLAT_UNLIKELY(verdict.held))
		return;
	if (XLAT_UNLIKELY(verdict.reason))
		return refuse(packet, verdict.reason);
	send6(packet, verdict.six, inward_delta(verdict));
}

Verdict Worker::admit4(Packet &packet)
{
	struct : Gate {
		xlat_reason judge(const Tuple6 &six, const Tuple4 &four) override
		{
			return worker->judge_flow(*packet, six, four);
		}
		Worker *worker;
		Packet *packet;
	} gate;
	gate.worker = this;
	gate.packet = &packet;
	const xlat_view &view = packet.view;
	Tuple4 tuple{xlat_ip4_host(xlat_dst4(packet.data, &view)),
		     xlat_ip4_host(xlat_src4(packet.data, &view)), xlat_host16(view.dst_port),
		     is_icmp(view) ? uint16_t{0} : xlat_host16(view.src_port)};
	Facts facts{protocol_of(view),   view.tcp_flags, packet.segments(),
		    packet.wire_bytes(), packet.data,    packet.view.end,
		    config_->chain->empty() ? nullptr : &gate};
	Verdict verdict = is_dry() ? shared_.table.foresee46(tuple, facts, now_) :
				     shared_.table.inbound(tuple, facts, now_);
	if (XLAT_UNLIKELY(followed_))
		followed_->admit(verdict);
	return verdict;
}

bool Worker::send6(Packet &packet, const Tuple6 &six, uint16_t delta)
{
	xlat_tuple6 to = inward6(six, is_icmp(packet.view), delta);
	xlat_params params = params46(packet, to);
	xlat_edit edit;

	xlat_ip4 source = xlat_src4(packet.data, &packet.view);
	if (!config_->allow_non_global && xlat_is_well_known(&to.src) &&
	    xlat_is_non_global4(source)) {
		refuse(packet, XLAT_NON_GLOBAL_IPV4);
		return false;
	}
	xlat_reason why = xlat_plan46(packet.data, &packet.view, &to, &to, &params, &edit);
	if (XLAT_UNLIKELY(why == XLAT_TOO_BIG) && allow_fragments(packet))
		why = xlat_plan46(packet.data, &packet.view, &to, &to, &params, &edit);
	if (XLAT_UNLIKELY(why == XLAT_SPLIT_FIRST))
		return split(packet, [&](Packet &segment) { send6(segment, six, 0); });
	if (XLAT_UNLIKELY(why)) {
		if (why == XLAT_TOO_BIG)
			tell_mtu4(packet, params);
		refuse(packet, why);
		return false;
	}
	uint32_t segments = packet.segments(), bytes = packet.wire_bytes();
	counters_.stateful.add46(segments, bytes);
	clients_->count(six.client, Direction::IN, segments, bytes);
	VnetHeader vnet = vnet_after(packet, edit);
	uint8_t *start = xlat_apply(packet.data, &edit);
	if (XLAT_UNLIKELY(edit.fragment_mtu))
		emit_fragments(start, edit);
	else
		emit(start, edit.length, vnet);
	return true;
}

/* IPv6 fragments of a packet whose DF was clear (RFC 7915 4). */
void Worker::emit_fragments(const uint8_t *start, const xlat_edit &edit)
{
	VnetHeader plain{};
	if (XLAT_UNLIKELY(followed_))
		followed_->leave(start, edit.length);
	if (is_dry())
		return;
	uint32_t count = xlat_fragment_count(edit.length, edit.fragment_mtu);
	for (uint32_t i = 0; i < count; i++) {
		xlat_slice slice;
		xlat_fragment(start, edit.length, edit.fragment_mtu, i, &slice);
		iovec parts[3] = {{&plain, sizeof(plain)},
				  {slice.head, sizeof(slice.head)},
				  {const_cast<uint8_t *>(start) + slice.offset, slice.length}};
		if (writev(queue_, parts, 3) < 0)
			drop(start, edit.length, XLAT_TUN_WRITE);
	}
}

} // namespace sixgate
