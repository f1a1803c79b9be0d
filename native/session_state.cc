// SPDX-License-Identifier: Apache-2.0
/** Records, indexes and timers of one shard, all under its lock. */
#include "session_table.h"
#include "xlat/checksum.h"

namespace sixgate {

void Wheel::push(const Records<SessionRecord> &records, uint32_t number, uint32_t slot)
{
	SessionRecord &record = records[number];
	record.prev = HEAD | slot;
	record.next = heads_[slot];
	if (record.next)
		records[record.next].prev = number;
	heads_[slot] = number;
}

void Wheel::link(const Records<SessionRecord> &records, uint32_t number)
{
	SessionRecord &record = records[number];
	uint32_t at = std::max(record.expiry, cursor_);
	if (at - cursor_ < FINE)
		return push(records, number, at % FINE);
	uint32_t turn = std::min(at / FINE, cursor_ / FINE + COARSE - 1);
	push(records, number, FINE + turn % COARSE);
}

void Wheel::unlink(const Records<SessionRecord> &records, uint32_t number)
{
	SessionRecord &record = records[number];
	if (record.prev & HEAD)
		heads_[record.prev & ~HEAD] = record.next;
	else
		records[record.prev].next = record.next;
	if (record.next)
		records[record.next].prev = record.prev;
}

uint32_t Wheel::pop(const Records<SessionRecord> &records, uint32_t tick, unsigned &budget)
{
	for (; cursor_ <= tick && budget; budget--) {
		uint32_t *coarse =
			cursor_ % FINE ? nullptr : &heads_[FINE + cursor_ / FINE % COARSE];
		if (coarse && *coarse) {
			uint32_t number = *coarse;
			unlink(records, number);
			link(records, number);
			continue;
		}
		uint32_t number = heads_[cursor_ % FINE];
		if (!number) {
			cursor_++;
			continue;
		}
		unlink(records, number);
		if (records[number].expiry <= tick)
			return number;
		link(records, number);
	}
	return 0;
}

uint32_t SessionTable::Impl::find_inside(const Shard &shard, Protocol protocol, const Ip6 &client,
					 uint16_t port) const
{
	return shard.inside.find(tag_inside(secret(), (uint8_t)protocol, client, port),
				 [&](uint32_t number) {
					 const BindingRecord &b = binding(number);
					 return b.client_port == port && b.protocol == protocol &&
						b.client == client;
				 });
}

uint32_t SessionTable::Impl::find_outside(const Shard &shard, Protocol protocol, uint32_t pool,
					  uint16_t port) const
{
	return shard.outside.find(
		tag_outside(secret(), protocol, pool, port), [&](uint32_t number) {
			const BindingRecord &b = binding(number);
			return b.pool == pool && b.pool_port == port && b.protocol == protocol;
		});
}

uint32_t SessionTable::Impl::client_head(const Shard &shard, const Ip6 &client) const
{
	return shard.clients.find(tag_inside(secret(), 0, client, 0), [&](uint32_t number) {
		return binding(number).client == client;
	});
}

uint32_t SessionTable::Impl::find_peer(const Shard &shard, Protocol protocol, uint32_t pool,
				       uint16_t port, uint32_t remote) const
{
	return shard.peers.find(tag_outside(secret(), protocol, pool, port, remote),
				[&](uint32_t number) {
					const SessionRecord &r = session(number);
					return r.pool == pool && r.pool_port == port &&
					       r.remote == remote && r.protocol == protocol;
				});
}

void SessionTable::Impl::peer_link(Shard &shard, uint32_t number)
{
	SessionRecord &record = session(number);
	uint32_t other =
		find_peer(shard, record.protocol, record.pool, record.pool_port, record.remote);
	if (!other) {
		record.peer_next = record.peer_prev = number;
		shard.peers.insert(tag_outside(secret(), record.protocol, record.pool,
					       record.pool_port, record.remote),
				   number);
		return;
	}
	record.peer_prev = other;
	record.peer_next = session(other).peer_next;
	session(record.peer_next).peer_prev = number;
	session(other).peer_next = number;
}

void SessionTable::Impl::peer_unlink(Shard &shard, uint32_t number)
{
	SessionRecord &record = session(number);
	uint32_t tag = tag_outside(secret(), record.protocol, record.pool, record.pool_port,
				   record.remote);
	if (record.peer_next == number) {
		shard.peers.erase(tag, number);
		return;
	}
	session(record.peer_prev).peer_next = record.peer_next;
	session(record.peer_next).peer_prev = record.peer_prev;
	if (find_peer(shard, record.protocol, record.pool, record.pool_port, record.remote) ==
	    number)
		shard.peers.replace(tag, number, record.peer_next);
}

void SessionTable::Impl::recount(Shard &shard)
{
	ClientUse *use = shard.policy->use.get();
	if (use == shard.use)
		return;
	shard.use = use;
	for (uint32_t at = 0; at < shard.inside.buckets(); at++)
		for (uint32_t number : shard.inside.bucket(at).record) {
			if (!number)
				continue;
			BindingRecord &b = binding(number);
			note_lent(b);
			b.use = use ? use->join(b.client, b.fixed, b.sessions) : 0;
			rejoin_block(shard, b);
		}
}

void SessionTable::Impl::keep_peers(Shard &shard, bool keep)
{
	if (keep == shard.peers_kept)
		return;
	shard.peers_kept = keep;
	if (!keep) {
		shard.peers.clear();
		return;
	}
	for (uint32_t at = 0; at < shard.six.buckets(); at++)
		for (uint32_t number : shard.six.bucket(at).record)
			if (number && shard.peers.room())
				peer_link(shard, number);
}

void SessionTable::Impl::link_session(Shard &shard, uint32_t number)
{
	SessionRecord &record = session(number);
	shard.six.insert(tag6(secret(), record.protocol, record.six()), number);
	shard.four.insert(tag4(secret(), record.protocol, record.four()), number);
	if (shard.peers_kept)
		peer_link(shard, number);
	shard.wheel.link(file.sessions, number);
	binding(record.binding).sessions++;
	if (shard.use)
		shard.use->session_begins(binding(record.binding).use);
	live.fetch_add(1, std::memory_order_relaxed);
}

enum xlat_reason SessionTable::Impl::open_session(Shard &shard, const Tuple6 &six,
						  const Tuple4 &four, uint32_t bound,
						  Protocol protocol, State state, Time after,
						  Time now, uint32_t &number)
{
	bool room =
		shard.six.room() && shard.four.room() && (!shard.peers_kept || shard.peers.room());
	if (!room || !file.sessions.take(&number, 1)) {
		if (!binding(bound).sessions && !binding(bound).fixed)
			end_binding(shard, bound);
		return XLAT_TABLE_FULL;
	}
	SessionRecord &record = session(number);
	uint32_t generation = record.generation + 1;
	memset(static_cast<void *>(&record), 0, sizeof(record));
	record.client = six.client;
	record.server = six.server;
	record.client_port = six.client_port;
	record.remote_port = six.server_port;
	record.pool = four.pool;
	record.pool_port = four.pool_port;
	record.remote = four.remote;
	record.protocol = protocol;
	record.state = state;
	record.binding = bound;
	record.generation = generation;
	record.created = tick_of(now);
	record.expiry = deadline(now, after);
	if (protocol != Protocol::ICMP) {
		struct xlat_tuple6 from = {
			{}, {}, xlat_be16(six.client_port), xlat_be16(six.server_port), 0
		};
		memcpy(from.src.b, six.client.bytes, 16);
		memcpy(from.dst.b, six.server.bytes, 16);
		struct xlat_tuple4 to = { xlat_ip4_of(four.pool), xlat_ip4_of(four.remote),
					  xlat_be16(four.pool_port), xlat_be16(four.remote_port),
					  0 };
		record.delta = xlat_delta64(&from, &to);
	}
	/* The same IPv4 host through another prefix: the client's newer word counts. */
	uint32_t rival = find46(shard, protocol, four);
	if (rival) {
		binding(bound).sessions++;
		end_session(shard, rival);
		binding(bound).sessions--;
	}
	file.sessions.commit(record);
	link_session(shard, number);
	log_session(shard, NatEvent::SESSION_CREATED, record);
	return XLAT_OK;
}

void SessionTable::Impl::end_session(Shard &shard, uint32_t number)
{
	SessionRecord &record = session(number);
	forget(shard, record);
	log_session(shard, NatEvent::SESSION_DELETED, record);
	file.sessions.retract(record);
	shard.six.erase(tag6(secret(), record.protocol, record.six()), number);
	shard.four.erase(tag4(secret(), record.protocol, record.four()), number);
	if (shard.peers_kept)
		peer_unlink(shard, number);
	shard.wheel.unlink(file.sessions, number);
	if (record.half_open)
		open_whole(shard, number);
	BindingRecord &bound = binding(record.binding);
	if (shard.use)
		shard.use->session_ends(bound.use);
	if (!--bound.sessions && !bound.fixed)
		end_binding(shard, record.binding);
	live.fetch_sub(1, std::memory_order_relaxed);
	file.sessions.give(&number, 1);
}

void SessionTable::Impl::link_binding(Shard &shard, uint32_t number)
{
	BindingRecord &record = binding(number);
	shard.inside.insert(
		tag_inside(secret(), (uint8_t)record.protocol, record.client, record.client_port),
		number);
	shard.outside.insert(tag_outside(secret(), record.protocol, record.pool, record.pool_port),
			     number);
	uint32_t head = client_head(shard, record.client);
	record.prev = 0;
	record.next = head;
	if (head) {
		binding(head).prev = number;
		shard.clients.replace(tag_inside(secret(), 0, record.client, 0), head, number);
	} else {
		shard.clients.insert(tag_inside(secret(), 0, record.client, 0), number);
	}
	if (shard_of_port(record.pool_port) == shard.number)
		return;
	hints.set(record.protocol, record.pool, record.pool_port, shard.number);
	slots[record.slot]
		.load()
		->ports->borrower[protocol_index(record.protocol)][record.pool_port]
		.store((uint8_t)(shard.number + 1), std::memory_order_release);
}

/**
 * A port that the configuration gives to a static binding stays owned when another binding leaves
 * it.
 */
void SessionTable::Impl::end_binding(Shard &shard, uint32_t number)
{
	BindingRecord &record = binding(number);
	log_binding(shard, NatEvent::BINDING_DELETED, record);
	file.bindings.retract(record);
	shard.inside.erase(
		tag_inside(secret(), (uint8_t)record.protocol, record.client, record.client_port),
		number);
	shard.outside.erase(tag_outside(secret(), record.protocol, record.pool, record.pool_port),
			    number);
	if (record.next)
		binding(record.next).prev = record.prev;
	uint32_t tag = tag_inside(secret(), 0, record.client, 0);
	if (record.prev)
		binding(record.prev).next = record.next;
	else if (record.next)
		shard.clients.replace(tag, number, record.next);
	else
		shard.clients.erase(tag, number);
	leave_block(shard, record);
	if (shard.use)
		shard.use->leave(record.use, record.fixed);
	if (shard_of_port(record.pool_port) != shard.number)
		hints.clear(record.protocol, record.pool, record.pool_port);
	if (!shard.policy->static_outside(record.protocol, record.pool, record.pool_port))
		slots[record.slot].load()->disown(record.protocol, record.pool_port);
	file.bindings.give(&number, 1);
}

void SessionTable::Impl::place_binding(Shard &shard, uint32_t number, const BindingRecord &fields)
{
	BindingRecord &record = binding(number);
	record = fields;
	file.bindings.commit(record);
	link_binding(shard, number);
}

/** True when the timers have something to say about the session. */
bool SessionTable::Impl::expire(Shard &shard, uint32_t number, Time now, Event &event)
{
	SessionRecord &record = session(number);
	if (record.flow && revive(shard, record, now)) {
		shard.wheel.link(file.sessions, number);
		return false;
	}
	bool probe = record.protocol == Protocol::TCP && record.state == State::ESTABLISHED;
	/* Whatever comes next is to bring it back to ESTABLISHED. */
	if (probe)
		forget(shard, record);
	record.state = probe ? State::TRANS : record.state;
	if (probe)
		record.expiry = deadline(now, shard.policy->config.timeouts.tcp_transitory);
	/* end_session() expects it linked. */
	shard.wheel.link(file.sessions, number);
	if (!probe) {
		end_session(shard, number);
		return false;
	}
	event.kind = Event::PROBE;
	event.packet_length = 0;
	event.session = { number, record.generation };
	event.six = record.six();
	event.four = record.four();
	return true;
}

TickResult SessionTable::Impl::tick(unsigned number, Time now, unsigned budget, Event *events,
				    size_t capacity)
{
	TickResult result = { 0, false };
	while (number == 0 && result.events < capacity &&
	       held.expire(tick_of(now), salt(), events[result.events]))
		result.events++;
	Shard &shard = shards[number];
	std::lock_guard guard(shard.lock);
	while (budget && result.events < capacity) {
		uint32_t due = shard.wheel.pop(file.sessions, tick_of(now), budget);
		if (!due)
			break;
		result.events += expire(shard, due, now, events[result.events]);
		budget -= budget > 0;
	}
	result.more = !budget || result.events == capacity;
	return result;
}

} // namespace sixgate
