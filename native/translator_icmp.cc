// SPDX-License-Identifier: Apache-2.0
/*
 * Loss and its messages: the one way to lose a packet, the ICMP errors we send about it, and the
 * translation of those that others send.
 */
#include "translator_worker.h"

#include <algorithm>
#include <iterator>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sixgate {
namespace {

/*
 * Packet Too Big and Time Exceeded per second and thread (RFC 4443 2.4 f, RFC 1812 4.3.2.8): path MTU
 * discovery needs them, so that the operator's rate is for the others only.
 */
constexpr uint32_t PATH_RATE = 1000;

/* What the IPv6 sender is told; false for what is lost silently. */
bool error_for6(const Packet &packet, xlat_reason why, xlat_icmp &error)
{
	switch (why) {
	case XLAT_NO_PORT: /* RFC 6146 3.5.1.1 */
	case XLAT_NO_POOL:
	case XLAT_TABLE_FULL:
	case XLAT_CLIENT_LIMIT: /* RFC 6888 3 REQ-11 */
	case XLAT_CLIENT_BLOCKS:
	case XLAT_CLIENT_SESSIONS:
	case XLAT_CLIENT_RATE:
		xlat_icmp_set(&error, XLAT_ICMP6_UNREACHABLE, 3, 0);
		return true;
	case XLAT_POLICY_DENY: /* RFC 4443 3.1 */
	case XLAT_POLICY_QUOTA:
		xlat_icmp_set(&error, XLAT_ICMP6_UNREACHABLE, 1, 0);
		return true;
	case XLAT_UNKNOWN_PROTOCOL: /* RFC 6146 3.4 */
		xlat_icmp_set(&error, XLAT_ICMP6_UNREACHABLE, 4, 0);
		return packet.view.protocol != XLAT_PROTO_IGMP;
	case XLAT_NON_GLOBAL_IPV4: /* RFC 7915 5.4 */
	case XLAT_ILLEGAL_DESTINATION:
		xlat_icmp_set(&error, XLAT_ICMP6_UNREACHABLE, 1, 0);
		return !is_icmp(packet.view);
	case XLAT_HOP_LIMIT:
		xlat_icmp_set(&error, XLAT_ICMP6_TIME_EXCEEDED, 0, 0);
		return true;
	case XLAT_ROUTING_HEADER: /* RFC 7915 5.1 */
		xlat_icmp_set(&error, XLAT_ICMP6_PARAMETER, 0, packet.view.pointer);
		return true;
	case XLAT_TOO_BIG:
		xlat_icmp_set(&error, XLAT_ICMP6_TOO_BIG, 0, packet.told_mtu);
		return true;
	default:
		return false;
	}
}

/* What the IPv4 sender is told. */
bool error_for4(const Packet &packet, xlat_reason why, xlat_icmp &error)
{
	switch (why) {
	case XLAT_NO_BINDING:
		xlat_icmp_set(&error, XLAT_ICMP4_UNREACHABLE, 1, 0);
		return true;
	case XLAT_FILTERED:
	case XLAT_POLICY_DENY: /* RFC 1812 5.2.7.1 */
	case XLAT_POLICY_QUOTA:
	case XLAT_NON_GLOBAL_IPV4: /* RFC 7915 4.4 */
	case XLAT_ILLEGAL_DESTINATION:
	case XLAT_UDP_CHECKSUM_ZERO:
		xlat_icmp_set(&error, XLAT_ICMP4_UNREACHABLE, 13, 0);
		return true;
	case XLAT_UNKNOWN_PROTOCOL: /* RFC 6146 3.4; IGMP is lost silently (RFC 7915 4.2) */
		xlat_icmp_set(&error, XLAT_ICMP4_UNREACHABLE, 2, 0);
		return packet.view.protocol != XLAT_PROTO_IGMP;
	case XLAT_SYN_HELD_EXPIRED:
		xlat_icmp_set(&error, XLAT_ICMP4_UNREACHABLE, 3, 0);
		return true;
	case XLAT_SOURCE_ROUTE: /* RFC 7915 4.1 */
		xlat_icmp_set(&error, XLAT_ICMP4_UNREACHABLE, 5, 0);
		return true;
	case XLAT_HOP_LIMIT:
		xlat_icmp_set(&error, XLAT_ICMP4_TIME_EXCEEDED, 0, 0);
		return true;
	case XLAT_TOO_BIG:
		xlat_icmp_set(&error, XLAT_ICMP4_UNREACHABLE, 4, packet.told_mtu);
		return true;
	default:
		return false;
	}
}

/*
 * RFC 5508 4.1: what is quoted in a damaged error, or has a damaged header itself, names no session
 * for certain.
 */
xlat_reason damage(const Packet &packet, const xlat_view &embedded)
{
	const xlat_view &view = packet.view;
	uint32_t length = view.end - view.l4_offset;
	uint64_t pseudo = 0;
	if (view.family == 6) {
		xlat_ip6 source = xlat_src6(packet.data, &view);
		xlat_ip6 destination = xlat_dst6(packet.data, &view);
		pseudo = xlat_sum_icmp6_pseudo(&source, &destination, length);
	}
	if (!packet.vnet.partial() &&
	    xlat_full_checksum(packet.data + view.l4_offset, length, pseudo).raw)
		return XLAT_ICMP_DAMAGED;
	bool header = embedded.family == 4 &&
		      xlat_full_checksum(packet.data + embedded.offset,
					 embedded.l4_offset - embedded.offset, 0)
			      .raw;
	return header ? XLAT_BAD_IPV4_HEADER : XLAT_OK;
}

/*
 * The address the kernel would send from: connecting a datagram socket asks its routing table and
 * sends nothing.
 */
bool kernel_source(int family, const sockaddr *to, socklen_t length, sockaddr_storage &source)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	socklen_t size = sizeof(source);
	bool known = connect(fd, to, length) == 0 &&
		     getsockname(fd, reinterpret_cast<sockaddr *>(&source), &size) == 0;
	close(fd);
	return known;
}

} // namespace

void Worker::drop(const uint8_t *data, uint32_t length, xlat_reason why, uint64_t packets)
{
	counters_.drops[why].add(packets);
	lost_.note(why, now_, data, length);
	if (XLAT_UNLIKELY(followed_) && !followed_->why)
		followed_->why = why;
}

void Worker::drop(const Packet &packet, xlat_reason why, uint64_t packets)
{
	drop(packet.data, packet.length, why, packets);
}

void Worker::refuse(const Packet &packet, xlat_reason why)
{
	xlat_icmp error;
	drop(packet, why, packet.view.family ? packet.segments() : 1);
	bool six = packet.view.family == 6;
	if (six && error_for6(packet, why, error))
		answer6(packet, error, why);
	else if (packet.view.family == 4 && error_for4(packet, why, error))
		answer4(packet, error, why);
}

/* A client beyond its limits is not answered at the cost of the errors that others need. */
void Worker::refuse(const Packet &packet, const Verdict &verdict)
{
	if (!verdict.told)
		return refuse(packet, verdict.reason);
	drop(packet, verdict.reason, packet.segments());
	drop(packet, XLAT_RATE_LIMITED);
}

bool Worker::may_answer(const Packet &packet, xlat_reason why)
{
	bool path = why == XLAT_TOO_BIG || why == XLAT_HOP_LIMIT;
	Allowance &allowance = allowances_[packet.view.family == 6][path];
	uint64_t rate = path ? PATH_RATE : config_->icmp_error_rate;
	uint64_t burst = std::clamp<uint64_t>(rate / 10, 1, 100);
	Time passed = now_ - allowance.refill;
	uint64_t due = (passed > 1000 ? 1000 : passed) * rate / 1000;
	/* Not at each packet, at which parts of a token would be lost. */
	if (due >= std::min<uint64_t>(burst, 10)) {
		allowance.tokens = static_cast<uint32_t>(std::min(allowance.tokens + due, burst));
		allowance.refill = now_;
	}
	if (rate == 0)
		return false;
	if (allowance.tokens == 0) {
		drop(packet, XLAT_RATE_LIMITED);
		return false;
	}
	allowance.tokens--;
	return true;
}

/* Whether the address is one of the host; the kernel is asked once a second. */
bool Worker::is_own_address(xlat_ip4 address)
{
	auto &known = own_addresses_[xlat_ip4_host(address) % std::size(own_addresses_)];
	if (known.address == xlat_ip4_host(address) && now_ < known.until)
		return known.own;
	sockaddr_in peer{};
	peer.sin_family = AF_INET;
	peer.sin_port = htons(9);
	peer.sin_addr.s_addr = address.addr.raw;
	sockaddr_storage from;
	/* Only to itself does a host send from the address it sends to. */
	bool own =
		kernel_source(AF_INET, reinterpret_cast<sockaddr *>(&peer), sizeof(peer), from) &&
		reinterpret_cast<sockaddr_in *>(&from)->sin_addr.s_addr == address.addr.raw;
	known = {xlat_ip4_host(address), own, now_ + 1000};
	return own;
}

/*
 * Whether what goes to this IPv4 address turns inside the translator (RFC 6146 3.8). On an address
 * that is the host's too, the ports that no pool lends and the pings are the host's.
 */
bool Worker::is_hairpin(Protocol protocol, uint32_t address, uint16_t port)
{
	if (XLAT_UNLIKELY(config_->stateless.map.holds4(address)))
		return true;
	if (XLAT_LIKELY(!is_pool_address(config_->session, address)))
		return false;
	if (protocol != Protocol::ICMP &&
	    is_pool_port(config_->session, protocol, address, port))
		return true;
	return !is_own_address(xlat_ip4_of(address));
}

bool Worker::source6(const xlat_ip6 &to, xlat_ip6 &source) const
{
	if (!config_->icmp_source6.empty()) {
		source = from_ip6(config_->icmp_source6[0]);
		return true;
	}
	sockaddr_in6 peer{};
	peer.sin6_family = AF_INET6;
	peer.sin6_port = htons(9);
	std::memcpy(&peer.sin6_addr, to.b, 16);
	sockaddr_storage own;
	if (!kernel_source(AF_INET6, reinterpret_cast<sockaddr *>(&peer), sizeof(peer), own))
		return false;
	std::memcpy(source.b, &reinterpret_cast<sockaddr_in6 *>(&own)->sin6_addr, 16);
	return true;
}

/* RFC 6791: any of the operator's addresses; without one, what the caller has. */
xlat_ip4 Worker::source4(xlat_ip4 to, xlat_ip4 otherwise)
{
	const std::vector<uint32_t> &sources = config_->icmp_source4;
	if (!sources.empty())
		return xlat_ip4_of(sources[xlat_host16(next_id(1)) % sources.size()]);
	sockaddr_in peer{};
	peer.sin_family = AF_INET;
	peer.sin_port = htons(9);
	peer.sin_addr.s_addr = to.addr.raw;
	sockaddr_storage own;
	if (!kernel_source(AF_INET, reinterpret_cast<sockaddr *>(&peer), sizeof(peer), own))
		return otherwise;
	return {{reinterpret_cast<sockaddr_in *>(&own)->sin_addr.s_addr}};
}

void Worker::answer6(const Packet &packet, const xlat_icmp &error, xlat_reason why)
{
	uint8_t *out = answer_memory_.get() + PACKET_HEADROOM;
	xlat_ip6 source;
	uint32_t length;
	if (xlat_may_answer6(packet.data, &packet.view, &error) ||
	    !may_answer(packet, why) ||
	    !source6(xlat_src6(packet.data, &packet.view), source))
		return;
	if (xlat_answer6(packet.data, &packet.view, &error, &source, out, &length) == XLAT_OK)
		emit(out, length, VnetHeader{});
}

void Worker::answer4(const Packet &packet, const xlat_icmp &error, xlat_reason why)
{
	uint8_t *out = answer_memory_.get() + PACKET_HEADROOM;
	xlat_ip4 sender = xlat_src4(packet.data, &packet.view);
	uint32_t length;
	if (xlat_may_answer4(packet.data, &packet.view) || !may_answer(packet, why))
		return;
	/* A mapped address may be that of an IPv4 host; it is inside when the packet has turned. */
	bool inside = packet.turned ||
		      (!config_->stateless.map.holds4(xlat_ip4_host(sender)) &&
		       is_hairpin(protocol_of(packet.view), xlat_ip4_host(sender),
				  xlat_host16(packet.view.src_port)));
	xlat_ip4 addressed = xlat_dst4(packet.data, &packet.view);
	xlat_ip4 source = inside ? addressed : source4(sender, addressed);
	if (xlat_answer4(packet.data, &packet.view, &error, source, next_id(1), out, &length) !=
	    XLAT_OK)
		return;
	if (!inside)
		return emit(out, length, VnetHeader{});
	/* About the second half of a hairpin: the error goes back through the first. */
	Packet back{out, length, VnetHeader{}, {}, packet.turned};
	if (xlat_parse(out, length, &back.view) == XLAT_OK)
		from4(back);
}

/* An ICMPv6 error about a packet from the IPv4 side to a client (RFC 6146 3.5.3 end, RFC 5508 4).
 */
void Worker::error6(Packet &packet)
{
	xlat_view embedded;
	xlat_reason why = view_inner(packet, embedded);
	if (!why)
		why = damage(packet, embedded);
	if (!why && !embedded.has_ports)
		why = XLAT_ICMP_NO_SESSION;
	if (why)
		return drop(packet, why);
	bool icmp = is_icmp(embedded);
	xlat_ip6 inner_source = xlat_src6(packet.data, &embedded);
	xlat_ip6 destination = xlat_dst6(packet.data, &packet.view);
	Tuple6 tuple{to_ip6(xlat_dst6(packet.data, &embedded)), to_ip6(inner_source),
		     xlat_host16(embedded.dst_port),
		     icmp ? uint16_t{0} : xlat_host16(embedded.src_port)};
	if (!xlat_ip6_equal(&inner_source, &destination))
		return drop(packet, XLAT_ICMP_NO_SESSION);
	Verdict verdict = shared_.table.error64(protocol_of(embedded), tuple, now_);
	if (followed_)
		followed_->admit(verdict);
	if (!verdict.reason)
		verdict.reason = judge_error(embedded, verdict.six.client, verdict.six.server,
					     verdict.four.remote, verdict.four.remote_port);
	if (verdict.reason)
		return drop(packet, verdict.reason);

	xlat_ip6 sender = xlat_src6(packet.data, &packet.view);
	xlat_ip4 pool = xlat_ip4_of(verdict.four.pool), remote = xlat_ip4_of(verdict.four.remote);
	bool from_client = to_ip6(sender) == verdict.six.client;
	bool again = is_hairpin(protocol_of(embedded), verdict.four.remote,
				verdict.four.remote_port);
	bool mapped = from_client || config_->icmp_source4.empty();
	xlat_tuple4 to{mapped ? pool : source4(remote, pool), remote, {0}, {0}, 0};
	xlat_tuple4 inner = inward4(verdict.four, icmp);
	xlat_params params = params_for(packet);
	params.ip4_id = next_id(1);
	params.hop_adjust = again ? 0 : 1;
	bound_error(packet, outward4(verdict.four, icmp, 0), inward6(verdict.six, icmp, 0), params);
	xlat_edit edit;
	why = xlat_plan64(packet.data, &packet.view, &to, &inner, &params, &edit);
	if (why)
		return drop(packet, why);
	counters_.stateful.add64(1, packet.view.total_length);
	if (again)
		return hairpin(packet, edit);
	VnetHeader vnet = vnet_after(packet, edit);
	emit(xlat_apply(packet.data, &edit), edit.length, vnet);
}

/* An ICMPv4 error about a packet from a client. */
void Worker::error4(Packet &packet)
{
	xlat_view embedded;
	xlat_reason why = view_inner(packet, embedded);
	if (!why)
		why = damage(packet, embedded);
	xlat_ip4 destination = xlat_dst4(packet.data, &packet.view);
	if (!why && (!embedded.has_ports ||
		     !xlat_ip4_equal(xlat_src4(packet.data, &embedded), destination)))
		why = XLAT_ICMP_NO_SESSION;
	if (why)
		return drop(packet, why);
	bool icmp = is_icmp(embedded);
	Tuple4 tuple{xlat_ip4_host(destination), xlat_ip4_host(xlat_dst4(packet.data, &embedded)),
		     xlat_host16(embedded.src_port),
		     icmp ? uint16_t{0} : xlat_host16(embedded.dst_port)};
	Verdict verdict = shared_.table.error46(protocol_of(embedded), tuple, now_);
	if (followed_)
		followed_->admit(verdict);
	if (!verdict.reason)
		verdict.reason = judge_error(embedded, verdict.six.client, verdict.six.server,
					     verdict.four.remote, verdict.four.remote_port);
	if (verdict.reason)
		return drop(packet, verdict.reason);

	/* The router's address goes under the prefix that the session's server is under. */
	xlat_ip6 server = from_ip6(verdict.six.server), client = from_ip6(verdict.six.client);
	xlat_ip4 router = xlat_src4(packet.data, &packet.view), unused;
	const Prefix6 *prefix = find_prefix(config_->session, server, unused);
	if (!prefix)
		return drop(packet, XLAT_NOT_OUR_PREFIX);
	xlat_ip6 base = from_ip6(prefix->address);
	xlat_tuple6 to{xlat_embed(&base, prefix->length, router), client, {0}, {0}, 0};
	if (!config_->allow_non_global && xlat_is_well_known(&to.src) &&
	    xlat_is_non_global4(router) && !source6(client, to.src))
		return drop(packet, XLAT_NON_GLOBAL_IPV4);
	xlat_tuple6 inner = outward6(verdict.six, icmp);
	xlat_params params = params_for(packet);
	bound_error(packet, outward4(verdict.four, icmp, 0), inward6(verdict.six, icmp, 0), params);
	xlat_edit edit;
	why = xlat_plan46(packet.data, &packet.view, &to, &inner, &params, &edit);
	if (why)
		return drop(packet, why);
	counters_.stateful.add46(1, packet.view.total_length);
	VnetHeader vnet = vnet_after(packet, edit);
	emit(xlat_apply(packet.data, &edit), edit.length, vnet);
}

} // namespace sixgate
