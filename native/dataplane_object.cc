// SPDX-License-Identifier: Apache-2.0
#include "dataplane_object.h"

#include <algorithm>
#include <tuple>

#include "dataplane_text.h"

namespace sixgate {
namespace {

double seconds(Time milliseconds)
{
	return static_cast<double>(milliseconds) / 1000;
}

/* "address:port", "[address]:port", or the address of what has no port. */
std::string place(const PacketSummary &packet, const uint8_t *address, uint16_t port)
{
	Ip6 six;
	std::memcpy(six.bytes, address, 16);
	uint32_t four = xlat_get32(address);
	if (!packet.has_ports)
		return packet.family == 6 ? text6(six) : packet.family == 4 ? text4(four) : "";
	return packet.family == 6 ? endpoint6(six, port) : endpoint4(four, port);
}

Napi::Object packet_object(Napi::Env env, const PacketSummary &packet)
{
	Napi::Object out = Napi::Object::New(env);
	out.Set("family", packet.family);
	out.Set("source", place(packet, packet.source, packet.source_port));
	out.Set("destination", place(packet, packet.destination, packet.destination_port));
	out.Set("protocol", packet.protocol);
	out.Set("length", packet.length);
	return out;
}

/* The reason, or null. */
Napi::Value reason_value(Napi::Env env, xlat_reason why)
{
	if (!why)
		return env.Null();
	const xlat_reason_row *row = xlat_reason_text(why);
	Napi::Object out = Napi::Object::New(env);
	out.Set("reason", row->name);
	out.Set("sentence", row->sentence);
	out.Set("rfc", row->rfc);
	out.Set("step", step_name(step_of(why)));
	return out;
}

} // namespace

Napi::Object session_object(Napi::Env env, const SessionView &view)
{
	Napi::Object out = Napi::Object::New(env);
	out.Set("protocol", protocol_name(view.protocol));
	out.Set("client6", endpoint6(view.six.client, view.six.client_port));
	out.Set("server6", endpoint6(view.six.server, view.six.server_port));
	out.Set("pool4", endpoint4(view.four.pool, view.four.pool_port));
	out.Set("server4", endpoint4(view.four.remote, view.four.remote_port));
	out.Set("state", state_name(view.state));
	out.Set("expiresIn", seconds(view.expires_in));
	out.Set("age", seconds(view.age));
	out.Set("packetsOut", static_cast<double>(view.packets_out));
	out.Set("bytesOut", static_cast<double>(view.bytes_out));
	out.Set("packetsIn", static_cast<double>(view.packets_in));
	out.Set("bytesIn", static_cast<double>(view.bytes_in));
	return out;
}

Napi::Object binding_object(Napi::Env env, const BindingView &view)
{
	Napi::Object out = Napi::Object::New(env);
	out.Set("protocol", protocol_name(view.protocol));
	out.Set("inside", endpoint6(view.inside, view.inside_port));
	out.Set("outside", endpoint4(view.outside, view.outside_port));
	out.Set("static", view.fixed);
	out.Set("sessions", view.sessions);
	if (view.block_size)
		out.Set("block", std::to_string(view.block_first) + "-" +
					 std::to_string(view.block_first + view.block_size - 1));
	return out;
}

Napi::Object traced_object(Napi::Env env, const TracedPacket &packet)
{
	Napi::Object out = packet_object(env, packet.in);
	out.Set("time", static_cast<double>(packet.time) / 1000);
	if (packet.admitted) {
		Napi::Object session = Napi::Object::New(env);
		session.Set("state", state_name(packet.state));
		session.Set("fresh", packet.fresh);
		out.Set("session", session);
	} else {
		out.Set("session", env.Null());
	}
	out.Set("stateless", packet.stateless);
	out.Set("lost", reason_value(env, packet.why));
	out.Set("binding", packet.binding);
	out.Set("answered", packet.answered);
	out.Set("sent", packet.sent);
	if (packet.sent)
		out.Set("out", packet_object(env, packet.out));
	else
		out.Set("out", env.Null());
	return out;
}

Napi::Array policy_array(Napi::Env env, const std::vector<PolicyTotals> &nodes)
{
	Napi::Array out = Napi::Array::New(env, nodes.size());
	for (uint32_t i = 0; i < nodes.size(); i++) {
		Napi::Object one = Napi::Object::New(env);
		one.Set("packets", static_cast<double>(nodes[i].packets));
		one.Set("bytes", static_cast<double>(nodes[i].bytes));
		one.Set("droppedPackets", static_cast<double>(nodes[i].dropped_packets));
		one.Set("droppedBytes", static_cast<double>(nodes[i].dropped_bytes));
		one.Set("clients", nodes[i].clients);
		out.Set(i, one);
	}
	return out;
}

void set_traffic(Napi::Object out, const Traffic &traffic)
{
	out.Set("packets64", static_cast<double>(traffic.packets64));
	out.Set("bytes64", static_cast<double>(traffic.bytes64));
	out.Set("packets46", static_cast<double>(traffic.packets46));
	out.Set("bytes46", static_cast<double>(traffic.bytes46));
	out.Set("dropped", static_cast<double>(traffic.dropped));
}

Napi::Array lost_array(Napi::Env env, const std::vector<LostPacket> &lost, xlat_reason why)
{
	Napi::Array out = Napi::Array::New(env, lost.size());
	for (uint32_t i = 0; i < lost.size(); i++) {
		Napi::Object one = packet_object(env, lost[i].packet);
		one.Set("time", static_cast<double>(lost[i].time) / 1000);
		one.Set("step", step_name(step_of(why)));
		out.Set(i, one);
	}
	return out;
}

Napi::Array mtu_array(Napi::Env env, const RouteView &view)
{
	std::vector<RouteGroup> groups = view.groups;
	std::stable_sort(groups.begin(), groups.end(), [](const auto &a, const auto &b) {
		return std::tie(a.family, a.mtu) < std::tie(b.family, b.mtu);
	});
	Napi::Array out = Napi::Array::New(env, groups.size());
	for (uint32_t i = 0; i < groups.size(); i++) {
		Napi::Object one = Napi::Object::New(env);
		one.Set("side", groups[i].family == 6 ? "ipv6" : "ipv4");
		one.Set("device", view.name_of(groups[i].device));
		one.Set("mtu", groups[i].mtu);
		one.Set("routes", static_cast<double>(groups[i].routes));
		one.Set("example", groups[i].example);
		out.Set(i, one);
	}
	return out;
}

} // namespace sixgate
