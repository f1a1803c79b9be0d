// SPDX-License-Identifier: Apache-2.0
/* From a JavaScript object to the configuration of the packet threads. */
#include "dataplane_config.h"

#include "dataplane_text.h"
#include "translator_lost.h"

namespace sixgate {

std::string string_of(const Napi::Object &object, const char *key)
{
	return object.Get(key).ToString().Utf8Value();
}

double number_of(const Napi::Object &object, const char *key)
{
	return object.Get(key).ToNumber().DoubleValue();
}

namespace {

Time milliseconds_of(const Napi::Object &object, const char *key)
{
	return static_cast<Time>(number_of(object, key) * 1000);
}

template <typename Visit> void each(const Napi::Object &object, const char *key, Visit visit)
{
	Napi::Array list = object.Get(key).As<Napi::Array>();
	for (uint32_t i = 0; i < list.Length(); i++)
		visit(list.Get(i));
}

std::string text_of(const Napi::Value &value)
{
	return value.ToString().Utf8Value();
}

PoolConfig parse_pool(const Napi::Object &from)
{
	PoolConfig pool;
	each(from, "addresses",
	     [&](Napi::Value one) { pool.addresses.push_back(parse_prefix4(text_of(one))); });
	each(from, "clients",
	     [&](Napi::Value one) { pool.clients.push_back(parse_prefix6(text_of(one))); });
	pool.first_port = static_cast<uint16_t>(number_of(from, "firstPort"));
	pool.last_port = static_cast<uint16_t>(number_of(from, "lastPort"));
	if (from.Get("blockSize").IsNumber())
		pool.block_size = static_cast<uint16_t>(number_of(from, "blockSize"));
	if (from.Get("blocksPerClient").IsNumber())
		pool.blocks_per_client = static_cast<uint16_t>(number_of(from, "blocksPerClient"));
	pool.deterministic = from.Get("deterministic").ToBoolean();
	return pool;
}

StaticConfig parse_static(const Napi::Object &from)
{
	std::string inside = string_of(from, "inside"), outside = string_of(from, "outside");
	StaticConfig out{};
	out.protocol = parse_protocol(string_of(from, "protocol"));
	out.inside_port = split_endpoint(inside);
	out.inside = parse6(inside);
	out.outside_port = split_endpoint(outside);
	out.outside = parse4(outside);
	return out;
}

Timeouts parse_timeouts(const Napi::Object &from)
{
	Timeouts out;
	out.tcp_established = milliseconds_of(from, "tcpEstablished");
	out.tcp_transitory = milliseconds_of(from, "tcpTransitory");
	out.tcp_incoming_syn = milliseconds_of(from, "tcpIncomingSyn");
	out.udp = milliseconds_of(from, "udp");
	out.icmp = milliseconds_of(from, "icmp");
	return out;
}

Limits parse_limits(const Napi::Object &from)
{
	Limits out;
	out.prefix_length = static_cast<uint8_t>(number_of(from, "clientPrefixLength"));
	out.bindings = static_cast<uint32_t>(number_of(from, "bindings"));
	out.sessions = static_cast<uint32_t>(number_of(from, "sessions"));
	out.rate = static_cast<uint32_t>(number_of(from, "newSessionsPerSecond"));
	return out;
}

/* A block or a session tells all that its bindings would. */
uint8_t parse_logged(const std::string &events)
{
	constexpr uint8_t always = LOG_BLOCKS | LOG_TROUBLE;
	return events == "bindings"   ? always | LOG_BINDINGS
	       : events == "sessions" ? always | LOG_SESSIONS
	       : events == "blocks"   ? always
				      : uint8_t{0};
}

Stateless parse_stateless(const Napi::Object &from)
{
	Stateless out;
	std::vector<EamEntry> entries;
	each(from, "map", [&](Napi::Value one) {
		Napi::Object entry = one.As<Napi::Object>();
		entries.push_back({parse_prefix6(string_of(entry, "ipv6")),
				   parse_prefix4(string_of(entry, "ipv4"))});
	});
	out.map = Eam(std::move(entries));
	if (from.Get("prefix").IsString())
		out.prefix = parse_prefix6(string_of(from, "prefix"));
	out.amend_udp_zero = from.Get("amendUdpChecksumZero").ToBoolean();
	return out;
}

/* FNV-1a: the number of a limiting node, the same in every process. */
uint32_t hash_of(const std::string &key)
{
	uint32_t hash = 2166136261;
	for (char byte : key)
		hash = (hash ^ static_cast<uint8_t>(byte)) * 16777619;
	return hash;
}

/* Periods begin with those of the epoch, so that a day begins at midnight (UTC). */
uint64_t limiter_phase()
{
	return real_time() * 1'000'000 - limiter_clock();
}

LimiterRule parse_limit(const Napi::Object &from)
{
	LimiterRule out;
	auto rate = [&](limiter_kind kind, double per_second) {
		out.kind = kind;
		out.price = static_cast<uint64_t>(1e9 * (1 << LIMITER_POINT) / per_second);
		out.depth = static_cast<uint64_t>(number_of(from, "burst") * 1e9);
	};
	if (from.Get("bitsPerSecond").IsNumber()) {
		rate(LIMITER_BYTES, number_of(from, "bitsPerSecond") / 8);
	} else if (from.Get("packetsPerSecond").IsNumber()) {
		rate(LIMITER_PACKETS, number_of(from, "packetsPerSecond"));
	} else {
		out.kind = LIMITER_QUOTA;
		out.price = static_cast<uint64_t>(number_of(from, "period") * 1e9);
		out.depth = static_cast<uint64_t>(number_of(from, "bytes"));
		out.phase = limiter_phase();
	}
	out.prefix_length = static_cast<uint8_t>(number_of(from, "clientPrefixLength"));
	return out;
}

PolicyNode parse_node(const Napi::Object &from)
{
	PolicyNode out;
	std::string action = string_of(from, "action");
	out.key = string_of(from, "key");
	each(from, "clients",
	     [&](Napi::Value one) { out.clients.push_back(parse_prefix6(text_of(one))); });
	each(from, "to", [&](Napi::Value one) {
		std::string text = text_of(one);
		if (text.find(':') != std::string::npos)
			out.to6.push_back(parse_prefix6(text));
		else
			out.to4.push_back(parse_prefix4(text));
	});
	if (from.Get("protocol").IsString())
		out.protocol = static_cast<uint8_t>(parse_protocol(string_of(from, "protocol")));
	if (from.Get("firstPort").IsNumber()) {
		out.first_port = static_cast<uint16_t>(number_of(from, "firstPort"));
		out.last_port = static_cast<uint16_t>(number_of(from, "lastPort"));
	}
	out.action = action == "allow"	? PolicyAction::ALLOW
		     : action == "deny" ? PolicyAction::DENY
		     : action == "mark" ? PolicyAction::MARK
					: PolicyAction::LIMIT;
	if (out.action == PolicyAction::MARK)
		out.dscp = static_cast<uint8_t>(number_of(from, "dscp"));
	if (out.action == PolicyAction::LIMIT) {
		out.limit = parse_limit(from.Get("limit").As<Napi::Object>());
		/* What it has counted means nothing to a limiter of another kind. */
		out.limit.node = hash_of(out.key + '#' + std::to_string(out.limit.kind));
	}
	return out;
}

} // namespace

TranslatorConfig parse_config(const Napi::Object &from)
{
	TranslatorConfig out;
	SessionConfig &session = out.session;
	Napi::Object timeouts = from.Get("timeouts").As<Napi::Object>();
	Napi::Object accounting = from.Get("accounting").As<Napi::Object>();

	each(from, "prefixes",
	     [&](Napi::Value one) { session.prefixes.push_back(parse_prefix6(text_of(one))); });
	each(from, "pools",
	     [&](Napi::Value one) { session.pools.push_back(parse_pool(one.As<Napi::Object>())); });
	each(from, "static", [&](Napi::Value one) {
		session.statics.push_back(parse_static(one.As<Napi::Object>()));
	});
	session.address_dependent = string_of(from, "filtering") == "address-dependent";
	session.timeouts = parse_timeouts(timeouts);
	session.limits = parse_limits(from.Get("limits").As<Napi::Object>());
	session.logged = parse_logged(string_of(from, "logged"));
	if (from.Get("policy").IsArray())
		each(from, "policy", [&](Napi::Value one) {
			out.policy.push_back(parse_node(one.As<Napi::Object>()));
		});
	if (from.Get("siit").IsObject())
		out.stateless = parse_stateless(from.Get("siit").As<Napi::Object>());
	out.allow_non_global = from.Get("allowNonGlobal").ToBoolean();
	out.copy_traffic_class = from.Get("copyTrafficClass").ToBoolean();
	out.tos = static_cast<uint8_t>(from.Get("tos").ToNumber().Uint32Value());
	out.lowest_ipv6_mtu = static_cast<uint32_t>(number_of(from, "lowestIpv6Mtu"));
	out.mss_auto = from.Get("mssClamp").IsString();
	if (!out.mss_auto)
		out.mss_clamp = static_cast<uint16_t>(number_of(from, "mssClamp"));
	out.icmp_origin = from.Get("icmpOrigin").ToBoolean();
	out.icmp_error_rate = static_cast<uint32_t>(number_of(from, "icmpErrorRate"));
	each(from, "icmpSourceV4",
	     [&](Napi::Value one) { out.icmp_source4.push_back(parse4(text_of(one))); });
	each(from, "icmpSourceV6",
	     [&](Napi::Value one) { out.icmp_source6.push_back(parse6(text_of(one))); });
	out.fragments.memory = static_cast<size_t>(number_of(from, "fragmentMemory"));
	out.fragments.timeout = milliseconds_of(timeouts, "fragment");
	out.accounting.prefix_length = static_cast<uint8_t>(number_of(accounting, "prefixLength"));
	out.accounting.clients = static_cast<uint32_t>(number_of(accounting, "clients"));
	return out;
}

} // namespace sixgate
