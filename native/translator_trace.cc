// SPDX-License-Identifier: Apache-2.0
#include "translator_trace.h"

#include <utility>

#include "pool.h"
#include "xlat/wire.h"

namespace sixgate {
namespace {

xlat_ip6 as_ip6(const uint8_t *bytes)
{
	xlat_ip6 out;
	std::memcpy(out.b, bytes, 16);
	return out;
}

Ip6 as_ip6(const xlat_ip6 &from)
{
	Ip6 out;
	std::memcpy(out.bytes, from.b, 16);
	return out;
}

/* The IPv4 host that an IPv6 address stands for, without state or with it. */
bool stands_for(const TranslatorConfig &config, const uint8_t *six, xlat_ip4 &four)
{
	xlat_ip6 address = as_ip6(six);
	return config.stateless.to4(address, four) || find_prefix(config.session, address, four);
}

/* An IPv4 host is also known by its address under a prefix, and the other way round. */
bool holds(const TraceEnd &end, const TranslatorConfig &config, uint8_t family,
	   const uint8_t *address)
{
	xlat_ip4 inside;
	if (family == 6) {
		Ip6 six;
		std::memcpy(six.bytes, address, 16);
		if (end.six)
			return contains(*end.six, six);
		return stands_for(config, address, inside) &&
		       contains(*end.four, xlat_ip4_host(inside));
	}
	if (family != 4)
		return false;
	uint32_t host = xlat_get32(address);
	if (end.four)
		return contains(*end.four, host);
	xlat_ip6 outside;
	if (config.stateless.to6(xlat_ip4_of(host), true, outside) &&
	    contains(*end.six, as_ip6(outside)))
		return true;
	return end.six->length == 128 && stands_for(config, end.six->address.bytes, inside) &&
	       xlat_ip4_host(inside) == host;
}

bool is_end(const TraceEnd &end, const TranslatorConfig &config, const PacketSummary &in,
	    const uint8_t *in_address, const PacketSummary &out, const uint8_t *out_address)
{
	if (!end.six && !end.four)
		return true;
	return holds(end, config, in.family, in_address) ||
	       holds(end, config, out.family, out_address);
}

bool is_protocol(const TraceFilter &filter, uint8_t protocol)
{
	if (!filter.protocol || protocol == static_cast<uint8_t>(*filter.protocol))
		return true;
	return *filter.protocol == Protocol::ICMP && protocol == XLAT_PROTO_ICMP6;
}

bool wants(const TraceFilter &filter, const TranslatorConfig &config, const TracedPacket &packet)
{
	const PacketSummary &in = packet.in, &out = packet.out;
	return is_protocol(filter, in.protocol) &&
	       is_end(filter.from, config, in, in.source, out, out.source) &&
	       is_end(filter.to, config, in, in.destination, out, out.destination);
}

PacketSummary half(uint8_t family, const Flow &flow, bool outward)
{
	PacketSummary out;
	out.family = family;
	out.protocol = static_cast<uint8_t>(flow.protocol);
	uint8_t *inside = outward ? out.source : out.destination;
	uint8_t *outside = outward ? out.destination : out.source;
	if (family == 6) {
		std::memcpy(inside, flow.six.client.bytes, 16);
		std::memcpy(outside, flow.six.server.bytes, 16);
	} else {
		xlat_store32(inside, xlat_be32(flow.four.pool));
		xlat_store32(outside, xlat_be32(flow.four.remote));
	}
	return out;
}

} // namespace

void TracedPacket::admit(const Verdict &verdict)
{
	admitted = verdict.reason == XLAT_OK;
	fresh = verdict.fresh;
	binding = dry && admitted && verdict.fresh && verdict.four.pool_port == 0;
	state = verdict.state;
}

void TracedPacket::leave(const uint8_t *start, uint32_t length)
{
	if (why)
		answered = true;
	else if (sent++ == 0)
		out = summarize(start, length);
}

Tracer::Trace *Tracer::find(uint32_t number)
{
	for (Trace &trace : traces_)
		if (trace.number == number)
			return &trace;
	return nullptr;
}

uint32_t Tracer::open(const TraceFilter &filter)
{
	std::lock_guard guard(lock_);
	Trace *place = find(0);
	if (!place)
		return 0;
	if (++last_ == 0)
		last_ = 1;
	*place = Trace{last_, filter, {}, 0};
	open_.fetch_add(1, std::memory_order_relaxed);
	return last_;
}

void Tracer::close(uint32_t number)
{
	std::lock_guard guard(lock_);
	Trace *trace = number ? find(number) : nullptr;
	if (!trace)
		return;
	*trace = Trace{};
	open_.fetch_sub(1, std::memory_order_relaxed);
}

bool Tracer::follows(const TranslatorConfig &config, const Flow &flow)
{
	TracedPacket outward, inward;
	outward.in = half(6, flow, true);
	outward.out = half(4, flow, true);
	inward.in = half(4, flow, false);
	inward.out = half(6, flow, false);
	std::lock_guard guard(lock_);
	for (const Trace &trace : traces_)
		if (trace.number && (wants(trace.filter, config, outward) ||
				     wants(trace.filter, config, inward)))
			return true;
	return false;
}

bool Tracer::read(uint32_t number, std::vector<TracedPacket> &packets, uint64_t &missed)
{
	std::lock_guard guard(lock_);
	Trace *trace = number ? find(number) : nullptr;
	if (!trace)
		return false;
	packets = std::exchange(trace->kept, {});
	missed = std::exchange(trace->missed, 0);
	return true;
}

void Tracer::offer(const TranslatorConfig &config, const TracedPacket &packet)
{
	std::lock_guard guard(lock_);
	for (Trace &trace : traces_) {
		if (!trace.number || !wants(trace.filter, config, packet))
			continue;
		if (trace.kept.size() < TRACE_KEPT) {
			trace.kept.push_back(packet);
			trace.kept.back().time = real_time();
		} else {
			trace.missed++;
		}
	}
}

} // namespace sixgate
