// SPDX-License-Identifier: Apache-2.0
/*
 * The policy in the packet's way: before a session is looked for on the way out, and on the way in
 * as soon as the client is known and before anything is changed. An ICMP error is judged as the
 * flow it is about, and pays nothing.
 */
#include "translator_worker.h"

namespace sixgate {
namespace {

PolicyFlow flow_of(const xlat_view &view, const Ip6 &client, const Ip6 &server, uint32_t remote,
		   uint16_t port)
{
	uint8_t protocol = view.protocol == XLAT_PROTO_ICMP6 ? uint8_t{XLAT_PROTO_ICMP} :
							       view.protocol;
	return {client, server, remote, protocol, view.has_ports, port};
}

} // namespace

xlat_reason Worker::judge(Packet &packet, const PolicyFlow &flow)
{
	const PolicyChain &chain = *config_->chain;
	PolicyDecision decision = chain.evaluate(flow);
	packet.dscp = decision.dscp;
	/* To ask a limiter is to spend of it. */
	if (is_dry())
		return decision.denied ? XLAT_POLICY_DENY : XLAT_OK;
	return chain.charge(decision, flow.client, index_, packet.segments(), packet.wire_bytes(),
			    shared_.limiters, decision.limiters ? limiter_clock() : 0);
}

xlat_reason Worker::judge6(Packet &packet)
{
	const xlat_view &view = packet.view;
	xlat_ip6 destination = xlat_dst6(packet.data, &view);
	xlat_ip4 remote;
	if (XLAT_LIKELY(config_->chain->empty()) ||
	    !find_prefix(config_->session, destination, remote))
		return XLAT_OK;
	return judge(packet, flow_of(view, to_ip6(xlat_src6(packet.data, &view)),
				     to_ip6(destination), xlat_ip4_host(remote),
				     xlat_host16(view.dst_port)));
}

/* The flow's own ports, which a later fragment has not. */
xlat_reason Worker::judge_flow(Packet &packet, const Tuple6 &six, const Tuple4 &four)
{
	if (XLAT_LIKELY(config_->chain->empty()))
		return XLAT_OK;
	PolicyFlow flow = flow_of(packet.view, six.client, six.server, four.remote,
				  four.remote_port);
	flow.has_port = true;
	return judge(packet, flow);
}

xlat_reason Worker::judge_stateless(Packet &packet, const xlat_ip6 &client, const xlat_ip6 &server,
				    xlat_ip4 remote, be16 port)
{
	if (XLAT_LIKELY(config_->chain->empty()))
		return XLAT_OK;
	return judge(packet, flow_of(packet.view, to_ip6(client), to_ip6(server),
				     xlat_ip4_host(remote), xlat_host16(port)));
}

xlat_reason Worker::judge_error(const xlat_view &embedded, const Ip6 &client, const Ip6 &server,
				uint32_t remote, uint16_t port) const
{
	if (XLAT_LIKELY(config_->chain->empty()))
		return XLAT_OK;
	PolicyFlow flow = flow_of(embedded, client, server, remote, port);
	return config_->chain->evaluate(flow).denied ? XLAT_POLICY_DENY : XLAT_OK;
}

} // namespace sixgate
