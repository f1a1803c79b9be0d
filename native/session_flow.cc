// SPDX-License-Identifier: Apache-2.0
/**
 * Sessions whose packets pass above, in the flow cache: which ones, until when, and what passed.
 * Under the lock of the session's shard.
 */
#include "session_table.h"

namespace sixgate {

namespace {

/** Bits of SessionRecord::flow: it is in the cache; a packet of this direction came here since. */
constexpr uint8_t FLOW_ABOVE = 1, FLOW_SEEN64 = 2, FLOW_SEEN46 = 4;

Flow flow_of(const SessionRecord &record)
{
	return { record.protocol, record.six(), record.four(), record.delta };
}

void add(SessionRecord &record, const FlowActivity &activity)
{
	record.packets_out += activity.packets_out;
	record.bytes_out += activity.bytes_out;
	record.packets_in += activity.packets_in;
	record.bytes_in += activity.bytes_in;
}

} // namespace

/**
 * Only what changes no state may pass above: packets of an established session, once packets of
 * both directions came here, which says that the host's own firewall lets them through. What comes
 * here is asked again after each change, of the configuration or of the firewall; of a flow that it
 * knows, what the firewall says of the translated packets is not asked again. A hairpin has two
 * sessions a packet and turns below.
 */
void SessionTable::Impl::remember(Shard &shard, SessionRecord &record, bool from_v6) const
{
	if (record.state != State::ESTABLISHED) {
		forget(shard, record);
		return;
	}
	if (record.flow & FLOW_ABOVE) {
		if (shard.flows->holds(flow_of(record)))
			return;
		forget(shard, record);
	}
	record.flow |= from_v6 ? FLOW_SEEN64 : FLOW_SEEN46;
	if (record.flow == (FLOW_SEEN64 | FLOW_SEEN46) && !shard.policy->address_of(record.remote))
		install_flow(shard, record);
}

void SessionTable::Impl::install_flow(Shard &shard, SessionRecord &record) const
{
	if (shard.flows->install(flow_of(record)))
		record.flow |= FLOW_ABOVE;
}

void SessionTable::Impl::forget(Shard &shard, SessionRecord &record) const
{
	bool above = record.flow & FLOW_ABOVE;
	record.flow = 0;
	if (above && shard.flows)
		add(record, shard.flows->remove(flow_of(record)));
}

FlowActivity SessionTable::Impl::activity(const Shard &shard, const SessionRecord &record) const
{
	FlowActivity out;
	if (record.flow & FLOW_ABOVE && shard.flows)
		shard.flows->read(flow_of(record), out);
	return out;
}

/** Whether packets above have bought it more time, which it is given; only an established session has such packets. */
bool SessionTable::Impl::revive(const Shard &shard, SessionRecord &record, Time now) const
{
	const Timeouts &timeouts = shard.policy->config.timeouts;
	Time last = activity(shard, record).last;
	if (!last)
		return false;
	Time after = record.protocol == Protocol::TCP	? timeouts.tcp_established
		     : record.protocol == Protocol::UDP ? timeouts.udp
							: timeouts.icmp;
	uint32_t expiry = deadline(last, after);
	record.expiry = std::max(record.expiry, expiry);
	return expiry > tick_of(now);
}

/** Sessions that were installed, by a predecessor or in another cache, are installed anew or no more. */
void SessionTable::Impl::attach(FlowCache *flows, Time now)
{
	for (Shard &shard : shards) {
		std::lock_guard guard(shard.lock);
		if (flows)
			shard.flows = flows;
		for (uint32_t at = 0; at < shard.six.buckets(); at++)
			for (uint32_t number : shard.six.bucket(at).record) {
				if (!number || !(session(number).flow & FLOW_ABOVE))
					continue;
				SessionRecord &record = session(number);
				revive(shard, record, now);
				forget(shard, record);
				if (flows)
					install_flow(shard, record);
			}
		shard.flows = flows;
	}
}

void SessionTable::attach(FlowCache *flows, Time now)
{
	std::lock_guard guard(impl_->control);
	impl_->attach(flows, now);
}

} // namespace sixgate
