// SPDX-License-Identifier: Apache-2.0
/**
 * What outbound() and inbound() would say, without opening, refreshing or counting anything. The
 * port of a binding that would be made is not known before it is taken: it is 0 here. The limits
 * per client are not asked, because to ask them is to spend of them.
 */
#include "session_table.h"

namespace sixgate {
namespace {

Verdict refuse(enum xlat_reason reason)
{
	Verdict out;
	out.reason = reason;
	return out;
}

Verdict pass(const Tuple6 &six, const Tuple4 &four, bool fresh, State state)
{
	Verdict out;
	out.six = six;
	out.four = four;
	out.fresh = fresh;
	out.state = state;
	return out;
}

/** Whether a port of it is left for a client that has none. */
bool has_room(const Pool &pool, const PoolAddress &address, Protocol protocol, ClientUse *use)
{
	return address.count(protocol, pool.range) < pool.width() &&
	       !(pool.lends_blocks() && use->blocks->full(pool, address));
}

/** An address of the client's pools that has a port left, or null. */
const PoolAddress *lender(const PoolChoice &choice, Protocol protocol, const Ip6 &client,
			  ClientUse *use)
{
	for (const Pool *pool : choice.pools) {
		PortRange ports;
		const PoolAddress *own = pool->deterministic ? pool->assigned(client, ports) :
								nullptr;
		if (own && own->count(protocol, ports) < pool->block_size)
			return own;
		for (const PoolAddress *address : pool->addresses)
			if (!pool->deterministic && has_room(*pool, *address, protocol, use))
				return address;
	}
	return nullptr;
}

} // namespace

Verdict SessionTable::foresee64(const Tuple6 &tuple, const Facts &facts, Time now) const
{
	Shard &shard = impl_->shards[shard_of_client(tuple.client)];
	std::lock_guard guard(shard.lock);
	const Policy &policy = *shard.policy;
	uint32_t number = impl_->find64(shard, facts.protocol, tuple);
	if (number && !impl_->dead(shard, impl_->session(number), now))
		return impl_->verdict(number);
	const Prefix6 *prefix = policy.prefix_of(tuple.server);
	if (!prefix)
		return refuse(XLAT_NOT_OUR_PREFIX);
	Tuple4 four = { 0, extract_ipv4(*prefix, tuple.server), 0, tuple.server_port };
	bool tcp = facts.protocol == Protocol::TCP, opens = !tcp || tcp_opens(facts.tcp_flags);
	uint32_t bound =
		impl_->find_inside(shard, facts.protocol, tuple.client, tuple.client_port);
	if (!bound && !opens)
		return refuse(XLAT_TCP_NOT_SYN);
	if (bound) {
		four.pool = impl_->binding(bound).pool;
		four.pool_port = impl_->binding(bound).pool_port;
	} else if (const StaticConfig *fixed = policy.static_inside(
			   facts.protocol, tuple.client, tuple.client_port)) {
		four.pool = fixed->outside;
		four.pool_port = fixed->outside_port;
	} else {
		const PoolChoice *choice = policy.choice_of(tuple.client);
		if (!choice)
			return refuse(XLAT_NO_POOL);
		const PoolAddress *address = impl_->paired(shard, *choice, tuple.client, {});
		if (!address)
			address = lender(*choice, facts.protocol, tuple.client, shard.use);
		if (!address)
			return refuse(XLAT_NO_PORT);
		four.pool = address->address;
	}
	if (opens && impl_->live.load(std::memory_order_relaxed) >= impl_->file.sessions.capacity &&
	    !impl_->half_open())
		return refuse(XLAT_TABLE_FULL);
	return pass(tuple, four, opens, !opens ? State::CLOSED : tcp ? State::V6_INIT :
									State::ESTABLISHED);
}

Verdict SessionTable::foresee46(const Tuple4 &tuple, const Facts &facts, Time now) const
{
	bool tcp = facts.protocol == Protocol::TCP, opens = tcp && tcp_opens(facts.tcp_flags);
	unsigned at = shard_of_port(tuple.pool_port);
	for (bool home = true;; home = false) {
		Shard &shard = impl_->shards[at];
		std::lock_guard guard(shard.lock);
		const Policy &policy = *shard.policy;
		uint32_t number = impl_->find46(shard, facts.protocol, tuple);
		if (number && !impl_->dead(shard, impl_->session(number), now)) {
			if (facts.gate)
				if (enum xlat_reason why = facts.gate->judge(
					    impl_->session(number).six(), tuple))
					return refuse(why);
			return impl_->verdict(number);
		}
		uint32_t bound = impl_->find_outside(shard, facts.protocol, tuple.pool,
						     tuple.pool_port);
		const PoolAddress *address = policy.address_of(tuple.pool);
		Verdict held = pass({}, tuple, false, State::V4_INIT);
		held.held = true;
		if (bound) {
			const BindingRecord &b = impl_->binding(bound);
			Tuple6 six = { b.client,
				       embed_ipv4(policy.config.prefixes[0], tuple.remote),
				       b.client_port, tuple.remote_port };
			if (facts.gate)
				if (enum xlat_reason why = facts.gate->judge(six, tuple))
					return refuse(why);
			if (policy.config.address_dependent && !b.fixed &&
			    !impl_->find_peer(shard, facts.protocol, tuple.pool, tuple.pool_port,
					      tuple.remote))
				return opens ? held : refuse(XLAT_FILTERED);
			if (tcp && !opens)
				return pass(six, tuple, false, State::CLOSED);
			return pass(six, tuple, true, tcp ? State::V4_INIT : State::ESTABLISHED);
		}
		unsigned other = home ? impl_->borrower(shard, facts.protocol, tuple) : SHARDS;
		if (other == SHARDS || other == at) {
			if (tcp && !opens)
				return refuse(XLAT_TCP_NOT_SYN);
			return opens && address && policy.lends(address, tuple.pool_port) ?
				       held :
				       refuse(XLAT_NO_BINDING);
		}
		at = other;
	}
}

} // namespace sixgate
