// SPDX-License-Identifier: Apache-2.0
/*
 * The way of a packet whose addresses both translate statelessly (RFC 7915, RFC 7757). It goes
 * before NAT64; what is not for it is left as it was. Fragments are translated one by one, other
 * protocols as they are.
 *
 *   from6 / from4 → addresses → plan → apply → emit
 */
#include "translator_worker.h"
#include "xlat/icmp_origin.h"

namespace sixgate {
namespace {

template <typename Tuple> void keep_ports(Tuple &tuple, const xlat_view &view)
{
	tuple.src_port = view.src_port;
	tuple.dst_port = view.dst_port;
}

/* The packet inside an error, whose ports stay too. */
template <typename Tuple>
xlat_reason open_inner(const Packet &packet, xlat_view &embedded, Tuple &inner)
{
	xlat_reason why = view_inner(packet, embedded);
	if (!why)
		keep_ports(inner, embedded);
	return why;
}

/* The ends of the packet inside an error, which was parsed before. */
xlat_tuple6 embedded6(const Packet &packet)
{
	xlat_view embedded;
	xlat_parse_inner(packet.data, &packet.view, &embedded);
	return {xlat_src6(packet.data, &embedded), xlat_dst6(packet.data, &embedded), {0}, {0}, 0};
}

xlat_tuple4 embedded4(const Packet &packet)
{
	xlat_view embedded;
	xlat_parse_inner(packet.data, &packet.view, &embedded);
	return {xlat_src4(packet.data, &embedded), xlat_dst4(packet.data, &embedded), {0}, {0}, 0};
}

} // namespace

/* RFC 6791: a sender without an IPv4 address is always seen by the same one of the operator's. */
xlat_ip4 Worker::unmapped4(const xlat_ip6 &sender, xlat_ip4 to, xlat_ip4 otherwise)
{
	const std::vector<uint32_t> &sources = config_->icmp_source4;
	if (sources.empty())
		return source4(to, otherwise);
	uint64_t half[2];
	std::memcpy(half, sender.b, 16);
	/* Routers of one link differ in the last bytes of the address, the first of the product. */
	uint64_t hash = half[0] * 0x9e3779b97f4a7c15 ^ half[1];
	hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93;
	hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93;
	return xlat_ip4_of(sources[(hash >> 32) % sources.size()]);
}

bool Worker::forbidden(const xlat_ip6 &six, xlat_ip4 four) const
{
	return !config_->allow_non_global && xlat_is_well_known(&six) && xlat_is_non_global4(four);
}

/* From here on the packet is ours. */
void Worker::claim()
{
	if (XLAT_UNLIKELY(followed_))
		followed_->stateless = true;
}

void Worker::refuse_stateless(const Packet &packet, xlat_reason why)
{
	counters_.stateless_drops.add(packet.segments());
	refuse(packet, why);
}

xlat_reason Worker::inner64(const Packet &packet, xlat_tuple4 &inner) const
{
	xlat_view embedded;
	xlat_reason why = open_inner(packet, embedded, inner);
	if (why)
		return why;
	const Stateless &stateless = config_->stateless;
	xlat_ip6 server = xlat_src6(packet.data, &embedded);
	xlat_ip6 client = xlat_dst6(packet.data, &embedded);
	if (!stateless.to4(server, inner.src) || !stateless.to4(client, inner.dst))
		return XLAT_ICMP_INNER_ADDRESS;
	return judge_error(embedded, to_ip6(client), to_ip6(server), xlat_ip4_host(inner.src),
			   xlat_host16(embedded.src_port));
}

xlat_reason Worker::inner46(const Packet &packet, xlat_tuple6 &to, xlat_tuple6 &inner) const
{
	xlat_view embedded;
	xlat_reason why = open_inner(packet, embedded, inner);
	if (why)
		return why;
	const Stateless &stateless = config_->stateless;
	xlat_ip4 sender = xlat_src4(packet.data, &packet.view);
	xlat_ip4 far = xlat_dst4(packet.data, &embedded);
	/* RFC 7757 4.2.1: the sender of the packet inside knew the other end by the prefix (rule 2),
	 * which is how it sees that end's own error, too (rule 3). */
	if (packet.turned && xlat_ip4_equal(sender, far))
		stateless.to6(sender, false, to.src);
	if (!stateless.to6(xlat_src4(packet.data, &embedded), true, inner.src) ||
	    !stateless.to6(far, !packet.turned, inner.dst))
		return XLAT_ICMP_INNER_ADDRESS;
	return judge_error(embedded, to_ip6(inner.src), to_ip6(inner.dst), xlat_ip4_host(far),
			   xlat_host16(embedded.dst_port));
}

/* False when the packet is not ours. */
bool Worker::stateless6(Packet &packet)
{
	const xlat_view &view = packet.view;
	const Stateless &stateless = config_->stateless;
	xlat_ip6 source = xlat_src6(packet.data, &view), destination = xlat_dst6(packet.data, &view);
	bool error = view.kind == XLAT_KIND_ICMP_ERROR;
	xlat_tuple4 to{}, inner{};

	if (!stateless.to4(destination, to.dst))
		return false;
	bool mapped = stateless.to4(source, to.src);
	if (!mapped && !error)
		return false;
	claim();
	xlat_reason why = XLAT_OK;
	if (xlat_is_illegal6(&source) || (mapped && xlat_is_illegal4(to.src)))
		why = XLAT_ILLEGAL_SOURCE;
	else if (xlat_is_illegal4(to.dst))
		why = XLAT_ILLEGAL_DESTINATION;
	/* What comes from a pool belongs to a session: nobody else may send in its name. */
	else if (mapped && is_pool_address(config_->session, xlat_ip4_host(to.src)))
		why = XLAT_ILLEGAL_SOURCE;
	else if (forbidden(destination, to.dst) || (mapped && forbidden(source, to.src)))
		why = XLAT_NON_GLOBAL_IPV4;
	else if (error)
		why = inner64(packet, inner);
	else
		why = judge_stateless(packet, source, destination, to.dst, view.dst_port);
	if (XLAT_UNLIKELY(why)) {
		refuse_stateless(packet, why);
		return true;
	}
	if (!mapped)
		to.src = unmapped4(source, to.dst, inner.dst);
	keep_ports(to, view);
	forward4(packet, to, inner, !mapped && config_->icmp_origin ? &source : nullptr);
	return true;
}

/* `origin` is the sender of an error that `to` does not tell, or null. */
void Worker::forward4(Packet &packet, const xlat_tuple4 &to, const xlat_tuple4 &inner,
		      const xlat_ip6 *origin)
{
	/* RFC 7757 4.2.2 A2, B2: not what was sent to a mapped address itself. */
	bool again = is_hairpin(protocol_of(packet.view), xlat_ip4_host(to.dst),
				xlat_host16(to.dst_port)) &&
		     !config_->stateless.map.holds6(to_ip6(xlat_dst6(packet.data, &packet.view)));
	uint32_t segments = packet.segments(), bytes = packet.wire_bytes();
	Ip6 host = to_ip6(xlat_src6(packet.data, &packet.view));
	xlat_params params = params64(packet, to, again);
	xlat_edit edit;

	if (XLAT_UNLIKELY(packet.view.kind == XLAT_KIND_ICMP_ERROR))
		bound_error(packet, to, embedded6(packet), params);
	xlat_reason why = xlat_plan64(packet.data, &packet.view, &to, &inner, &params, &edit);
	if (XLAT_UNLIKELY(why == XLAT_TOO_BIG))
		tell_mtu6(packet, params);
	if (XLAT_UNLIKELY(why))
		return refuse_stateless(packet, why);
	counters_.stateless.add64(segments, bytes);
	clients_->count(host, Direction::OUT, segments, bytes);
	if (XLAT_UNLIKELY(again))
		return hairpin(packet, edit);
	VnetHeader vnet = vnet_after(packet, edit);
	uint8_t *start = xlat_apply(packet.data, &edit);
	emit(start, origin ? xlat_add_origin(start, edit.length, origin) : edit.length, vnet);
}

bool Worker::stateless4(Packet &packet)
{
	const xlat_view &view = packet.view;
	const Stateless &stateless = config_->stateless;
	xlat_ip4 source = xlat_src4(packet.data, &view), destination = xlat_dst4(packet.data, &view);
	bool error = view.kind == XLAT_KIND_ICMP_ERROR;
	xlat_tuple6 to{}, inner{};

	/* A pool's addresses are under the prefix as all IPv4 is, but they are NAT64's. */
	if (is_pool_address(config_->session, xlat_ip4_host(destination)))
		return false;
	if (!stateless.to6(destination, true, to.dst))
		return false;
	bool mapped = stateless.to6(source, error || !packet.turned, to.src);
	if (!mapped && !error)
		return false;
	claim();
	xlat_reason why = XLAT_OK;
	if (!may_send4(view, source))
		why = XLAT_ILLEGAL_SOURCE;
	else if (xlat_is_illegal4(destination))
		why = XLAT_ILLEGAL_DESTINATION;
	else if (forbidden(to.dst, destination) || (mapped && !error && forbidden(to.src, source)))
		why = XLAT_NON_GLOBAL_IPV4;
	else if (error)
		why = inner46(packet, to, inner);
	else
		why = judge_stateless(packet, to.dst, to.src, source, view.src_port);
	/* An error's sender without an IPv6 address that may be shown is seen as the gateway. */
	if (!why && (!mapped || forbidden(to.src, source)) && !source6(to.dst, to.src))
		why = XLAT_ILLEGAL_SOURCE;
	if (XLAT_UNLIKELY(why)) {
		refuse_stateless(packet, why);
		return true;
	}
	keep_ports(to, view);
	forward6(packet, to, inner);
	return true;
}

void Worker::forward6(Packet &packet, const xlat_tuple6 &to, const xlat_tuple6 &inner)
{
	xlat_params params = params46(packet, to);
	xlat_edit edit;

	if (XLAT_UNLIKELY(packet.view.kind == XLAT_KIND_ICMP_ERROR))
		bound_error(packet, embedded4(packet), to, params);
	params.amend_udp_zero = config_->stateless.amend_udp_zero;
	xlat_reason why = xlat_plan46(packet.data, &packet.view, &to, &inner, &params, &edit);
	if (XLAT_UNLIKELY(why == XLAT_SPLIT_FIRST)) {
		split(packet, [&](Packet &segment) { forward6(segment, to, inner); });
		return;
	}
	if (XLAT_UNLIKELY(why == XLAT_TOO_BIG))
		tell_mtu4(packet, params);
	if (XLAT_UNLIKELY(why))
		return refuse_stateless(packet, why);
	uint32_t segments = packet.segments(), bytes = packet.wire_bytes();
	counters_.stateless.add46(segments, bytes);
	clients_->count(to_ip6(to.dst), Direction::IN, segments, bytes);
	VnetHeader vnet = vnet_after(packet, edit);
	uint8_t *start = xlat_apply(packet.data, &edit);
	if (XLAT_UNLIKELY(edit.fragment_mtu))
		emit_fragments(start, edit);
	else
		emit(start, edit.length, vnet);
}

} // namespace sixgate
