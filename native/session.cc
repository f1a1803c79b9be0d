// SPDX-License-Identifier: Apache-2.0
/** The packet's way: look up, step the state machine, or open a session (RFC 6146 section 3.5). */
#include "session.h"

#include "session_table.h"
#include "xlat/checksum.h"

namespace sixgate {

const char *state_name(State state)
{
	static const char *const names[] = {
		"CLOSED",     "V4_INIT",    "V6_INIT",		 "ESTABLISHED",
		"V4_FIN_RCV", "V6_FIN_RCV", "V4_FIN_V6_FIN_RCV", "TRANS"
	};
	return names[static_cast<unsigned>(state) & 7];
}

namespace {

Verdict refuse(enum xlat_reason reason)
{
	Verdict out;
	out.reason = reason;
	return out;
}

constexpr unsigned ROOM_TRIES = 4;

/** Translated, but of no session (RFC 6146 section 3.5.2.2, CLOSED, any other packet). */
Verdict pass(const Tuple6 &six, const Tuple4 &four)
{
	Verdict out;
	out.six = six;
	out.four = four;
	return out;
}

/** A place under the limits of a client, for as long as it takes to open what is asked for. */
class Admission {
public:
	explicit Admission(const Shard &shard) : shard_(shard) {}
	~Admission()
	{
		if (shard_.use)
			shard_.use->settle(request_);
	}
	Admission(const Admission &) = delete;
	enum xlat_reason ask(const Ip6 &client, Time now, bool binding, bool stranger)
	{
		const Limits &limits = shard_.policy->config.limits;
		if (XLAT_LIKELY(!shard_.use || !limits.any()))
			return XLAT_OK;
		request_.binding = binding;
		request_.stranger = stranger;
		return shard_.use->admit(client, limits, now, request_);
	}
	Verdict refusal(enum xlat_reason why) const
	{
		Verdict out = refuse(why);
		out.told = request_.told;
		return out;
	}

private:
	const Shard &shard_;
	ClientUse::Request request_;
};

enum xlat_reason judge(const Facts &facts, const Tuple6 &six, const Tuple4 &four)
{
	return facts.gate ? facts.gate->judge(six, four) : XLAT_OK;
}

void count(SessionRecord &record, bool from_v6, const Facts &facts)
{
	(from_v6 ? record.packets_out : record.packets_in) += facts.packets;
	(from_v6 ? record.bytes_out : record.bytes_in) += facts.bytes;
}

/**
 * Whether the opener acknowledges what the other side said. A SYN-ACK makes a session ESTABLISHED
 * (RFC 6146 section 3.5.2.2), but a server answers forged SYNs too.
 */
bool ends_handshake(const SessionRecord &record, bool from_v6, const Facts &facts)
{
	return from_v6 == (record.half_open == (uint8_t)Opener::CLIENT) &&
	       !(facts.tcp_flags & (TCP_SYN | TCP_RST)) && record.state != State::V4_INIT &&
	       record.state != State::V6_INIT && record.state != State::TRANS;
}

} // namespace

uint32_t SessionTable::Impl::find64(const Shard &shard, Protocol protocol, const Tuple6 &t) const
{
	return shard.six.find(tag6(secret(), protocol, t), [&](uint32_t number) {
		const SessionRecord &r = session(number);
		return r.client_port == t.client_port && r.remote_port == t.server_port &&
		       r.client == t.client && r.server == t.server && r.protocol == protocol;
	});
}

uint32_t SessionTable::Impl::find46(const Shard &shard, Protocol protocol, const Tuple4 &t) const
{
	return shard.four.find(tag4(secret(), protocol, t), [&](uint32_t number) {
		const SessionRecord &r = session(number);
		return r.pool == t.pool && r.remote == t.remote && r.pool_port == t.pool_port &&
		       r.remote_port == t.remote_port && r.protocol == protocol;
	});
}

/**
 * An established TCP session whose time is over lives on for the probe, whether or not the timer
 * came by.
 */
bool SessionTable::Impl::dead(const Shard &shard, SessionRecord &record, Time now) const
{
	uint32_t tick = tick_of(now);
	if (XLAT_LIKELY(tick < record.expiry))
		return false;
	if (record.flow && revive(shard, record, now))
		return false;
	if (record.protocol != Protocol::TCP || record.state != State::ESTABLISHED)
		return true;
	return tick >= record.expiry + deadline(0, shard.policy->config.timeouts.tcp_transitory);
}

Verdict SessionTable::Impl::verdict(uint32_t number) const
{
	const SessionRecord &record = session(number);
	Verdict out;
	out.state = record.state;
	out.delta = record.delta;
	out.session = { number, record.generation };
	out.six = record.six();
	out.four = record.four();
	return out;
}

void SessionTable::Impl::advance(Shard &shard, uint32_t number, bool from_v6, const Facts &facts,
				 Time now)
{
	SessionRecord &record = session(number);
	count(record, from_v6, facts);
	if (XLAT_UNLIKELY(record.half_open) && ends_handshake(record, from_v6, facts))
		open_whole(shard, number);
	const Timeouts &timeouts = shard.policy->config.timeouts;
	Time after = record.protocol == Protocol::UDP ? timeouts.udp : timeouts.icmp;
	if (record.protocol == Protocol::TCP) {
		TcpStep step = tcp_step(record.state, tcp_event(from_v6, facts.tcp_flags));
		if (record.state != step.state)
			record.state = step.state;
		after = step.timer == TcpTimer::KEEP ? Time{0}
			: step.timer == TcpTimer::EST ? timeouts.tcp_established
						      : timeouts.tcp_transitory;
	}
	if (XLAT_UNLIKELY(shard.flows))
		remember(shard, record, from_v6);
	if (!after)
		return;
	uint32_t expiry = deadline(now, after);
	if (expiry == record.expiry)
		return;
	bool sooner = expiry < record.expiry;
	record.expiry = expiry;
	if (sooner) {
		shard.wheel.unlink(file.sessions, number);
		shard.wheel.link(file.sessions, number);
	}
}

Verdict SessionTable::Impl::outbound(const Tuple6 &tuple, const Facts &facts, Time now)
{
	Shard &shard = shards[client_shard(secret(), tuple.client)];
	std::lock_guard guard(shard.lock);
	uint32_t number = find64(shard, facts.protocol, tuple);
	if (number && XLAT_UNLIKELY(dead(shard, session(number), now))) {
		end_session(shard, number);
		number = 0;
	}
	if (!number)
		return open64(shard, tuple, facts, now);
	advance(shard, number, true, facts, now);
	return verdict(number);
}

Verdict SessionTable::Impl::open64(Shard &shard, const Tuple6 &tuple, const Facts &facts, Time now)
{
	const Policy &policy = *shard.policy;
	const Timeouts &timeouts = policy.config.timeouts;
	const Prefix6 *prefix = policy.prefix_of(tuple.server);
	if (!prefix)
		return refuse(XLAT_NOT_OUR_PREFIX);
	uint32_t remote = extract_ipv4(*prefix, tuple.server);
	uint32_t bound = find_inside(shard, facts.protocol, tuple.client, tuple.client_port);
	bool tcp = facts.protocol == Protocol::TCP, simultaneous = false;
	if (tcp && !tcp_opens(facts.tcp_flags)) {
		if (!bound)
			return refuse(XLAT_TCP_NOT_SYN);
		const BindingRecord &b = binding(bound);
		return pass(tuple, { b.pool, remote, b.pool_port, tuple.server_port });
	}
	Admission admission(shard);
	if (enum xlat_reason why = admission.ask(tuple.client, now, !bound, false)) {
		log_quota(shard, why, tuple.client, now);
		return admission.refusal(why);
	}
	if (!bound) {
		enum xlat_reason why = open_binding(shard, facts.protocol, tuple, remote, now,
						    bound, simultaneous);
		if (why != XLAT_OK) {
			log_quota(shard, why, tuple.client, now);
			return refuse(why);
		}
	} else if (tcp) {
		const BindingRecord &b = binding(bound);
		simultaneous =
			held.claim(remote, tuple.server_port, salt(), [&](const Tuple4 &waiting) {
				return waiting.pool == b.pool && waiting.pool_port == b.pool_port;
			});
	}
	const BindingRecord &b = binding(bound);
	Tuple4 four = { b.pool, remote, b.pool_port, tuple.server_port };
	State state = tcp && !simultaneous ? State::V6_INIT : State::ESTABLISHED;
	Time after = !tcp	    ? facts.protocol == Protocol::UDP ? timeouts.udp : timeouts.icmp
		     : simultaneous ? timeouts.tcp_established
				    : timeouts.tcp_transitory;
	uint32_t number;
	enum xlat_reason why =
		open_session(shard, tuple, four, bound, facts.protocol, state, after, now, number);
	if (why != XLAT_OK) {
		log_quota(shard, why, tuple.client, now);
		return refuse(why);
	}
	if (tcp)
		open_half(shard, number, Opener::CLIENT);
	count(session(number), true, facts);
	Verdict out = verdict(number);
	out.fresh = true;
	return out;
}

unsigned SessionTable::Impl::borrower(const Shard &shard, Protocol protocol,
				      const Tuple4 &tuple) const
{
	const PoolAddress *address = shard.policy->address_of(tuple.pool);
	if (!address)
		return SHARDS;
	uint8_t other = address->ports->borrower[protocol_index(protocol)][tuple.pool_port].load(
		std::memory_order_acquire);
	return other ? other - 1u : SHARDS;
}

Verdict SessionTable::Impl::inbound(const Tuple4 &tuple, const Facts &facts, Time now, bool instead)
{
	unsigned home = shard_of_port(tuple.pool_port), at = shard46(facts.protocol, tuple);
	for (bool guessed = at != home, lent = false;;) {
		Shard &shard = shards[at];
		std::lock_guard guard(shard.lock);
		uint32_t number = find46(shard, facts.protocol, tuple);
		if (number && XLAT_UNLIKELY(dead(shard, session(number), now))) {
			end_session(shard, number);
			number = 0;
		}
		if (number) {
			if (enum xlat_reason why = judge(facts, session(number).six(), tuple))
				return refuse(why);
			advance(shard, number, false, facts, now);
			return verdict(number);
		}
		uint32_t bound = find_outside(shard, facts.protocol, tuple.pool, tuple.pool_port);
		if (bound)
			return open46(shard, bound, tuple, facts, now, instead);
		unsigned other = guessed ? home
				 : lent	 ? SHARDS
					 : borrower(shard, facts.protocol, tuple);
		if (other == SHARDS || other == at)
			return hold(*shard.policy, tuple, facts, now);
		lent = !guessed;
		guessed = false;
		at = other;
	}
}

Verdict SessionTable::Impl::open46(Shard &shard, uint32_t bound, const Tuple4 &tuple,
				   const Facts &facts, Time now, bool instead)
{
	const BindingRecord &b = binding(bound);
	const SessionConfig &config = shard.policy->config;
	bool tcp = facts.protocol == Protocol::TCP, opens = tcp && tcp_opens(facts.tcp_flags);
	Tuple6 six = { b.client, embed_ipv4(config.prefixes[0], tuple.remote), b.client_port,
		       tuple.remote_port };
	if (enum xlat_reason why = judge(facts, six, tuple))
		return refuse(why);
	if (config.address_dependent && !b.fixed &&
	    !find_peer(shard, facts.protocol, tuple.pool, tuple.pool_port, tuple.remote))
		return opens ? hold(*shard.policy, tuple, facts, now) : refuse(XLAT_FILTERED);
	if (tcp && !opens)
		return pass(six, tuple);
	/* Strangers may not take the last eighth of the table from the clients. */
	if (!instead && live.load(std::memory_order_relaxed) >=
				file.sessions.capacity - file.sessions.capacity / 8)
		return refuse(XLAT_TABLE_FULL);
	Admission admission(shard);
	if (enum xlat_reason why = admission.ask(b.client, now, false, true)) {
		log_quota(shard, why, b.client, now);
		return admission.refusal(why);
	}
	State state = tcp ? State::V4_INIT : State::ESTABLISHED;
	Time after = tcp			       ? config.timeouts.tcp_transitory
		     : facts.protocol == Protocol::UDP ? config.timeouts.udp
						       : config.timeouts.icmp;
	uint32_t number;
	enum xlat_reason why =
		open_session(shard, six, tuple, bound, facts.protocol, state, after, now, number);
	if (why != XLAT_OK)
		return refuse(why);
	if (tcp)
		open_half(shard, number, Opener::STRANGER);
	count(session(number), false, facts);
	Verdict out = verdict(number);
	out.fresh = true;
	return out;
}

/**
 * A SYN to a port of ours that nobody may use yet (RFC 6146 section 3.5.2.2). Other segments are
 * lost without a word there; anything else has no binding.
 */
Verdict SessionTable::Impl::hold(const Policy &policy, const Tuple4 &tuple, const Facts &facts,
				 Time now)
{
	if (facts.protocol != Protocol::TCP)
		return refuse(XLAT_NO_BINDING);
	if (!tcp_opens(facts.tcp_flags))
		return refuse(XLAT_TCP_NOT_SYN);
	const PoolAddress *address = policy.address_of(tuple.pool);
	if (!address || !policy.lends(address, tuple.pool_port))
		return refuse(XLAT_NO_BINDING);
	if (!held.hold(tuple, facts, deadline(now, policy.config.timeouts.tcp_incoming_syn),
		       salt()))
		return refuse(XLAT_SYN_HELD_FULL);
	Verdict out = pass({}, tuple);
	out.held = true;
	out.state = State::V4_INIT;
	return out;
}

/** Only TCP passes without a session, so only errors about TCP may be about none. */
Verdict SessionTable::Impl::bound64(const Shard &shard, Protocol protocol, const Tuple6 &t) const
{
	uint32_t bound = protocol == Protocol::TCP ?
				 find_inside(shard, protocol, t.client, t.client_port) :
				 0;
	const Prefix6 *prefix = shard.policy->prefix_of(t.server);
	if (!bound || !prefix)
		return refuse(XLAT_ICMP_NO_SESSION);
	const BindingRecord &b = binding(bound);
	return pass(t, { b.pool, extract_ipv4(*prefix, t.server), b.pool_port, t.server_port });
}

Verdict SessionTable::Impl::bound46(const Shard &shard, Protocol protocol, const Tuple4 &t) const
{
	const SessionConfig &config = shard.policy->config;
	uint32_t bound = protocol == Protocol::TCP ?
				 find_outside(shard, protocol, t.pool, t.pool_port) :
				 0;
	if (!bound || (config.address_dependent && !binding(bound).fixed &&
		       !find_peer(shard, protocol, t.pool, t.pool_port, t.remote)))
		return refuse(XLAT_ICMP_NO_SESSION);
	const BindingRecord &b = binding(bound);
	return pass({ b.client, embed_ipv4(config.prefixes[0], t.remote), b.client_port,
		      t.remote_port },
		    t);
}

Verdict SessionTable::outbound(const Tuple6 &tuple, const Facts &facts, Time now)
{
	Verdict out = impl_->outbound(tuple, facts, now);
	/* Another thread may be quicker to take the room that was made. */
	for (unsigned tries = 0; XLAT_UNLIKELY(out.reason) && tries < ROOM_TRIES; tries++) {
		bool room = out.reason == XLAT_TABLE_FULL ? impl_->make_room(false) :
			    out.reason == XLAT_NO_PORT && facts.protocol == Protocol::TCP ?
							    impl_->free_port(tuple.client) :
							    false;
		if (!room)
			break;
		out = impl_->outbound(tuple, facts, now);
	}
	return out;
}

Verdict SessionTable::inbound(const Tuple4 &tuple, const Facts &facts, Time now)
{
	Verdict out = impl_->inbound(tuple, facts, now, false);
	if (XLAT_UNLIKELY(out.reason == XLAT_TABLE_FULL) && impl_->make_room(true))
		out = impl_->inbound(tuple, facts, now, true);
	return out;
}

Verdict SessionTable::error64(Protocol protocol, const Tuple6 &embedded, Time now)
{
	Shard &shard = impl_->shards[shard_of_client(embedded.client)];
	std::lock_guard guard(shard.lock);
	uint32_t number = impl_->find64(shard, protocol, embedded);
	if (!number || impl_->dead(shard, impl_->session(number), now))
		return impl_->bound64(shard, protocol, embedded);
	return impl_->verdict(number);
}

Verdict SessionTable::error46(Protocol protocol, const Tuple4 &embedded, Time now)
{
	unsigned at = shard_of_port(embedded.pool_port);
	for (bool home = true;; home = false) {
		Shard &shard = impl_->shards[at];
		std::lock_guard guard(shard.lock);
		uint32_t number = impl_->find46(shard, protocol, embedded);
		if (number && !impl_->dead(shard, impl_->session(number), now))
			return impl_->verdict(number);
		Verdict bound = impl_->bound46(shard, protocol, embedded);
		unsigned other = home ? impl_->borrower(shard, protocol, embedded) : SHARDS;
		if (!bound.reason || other == SHARDS || other == at)
			return bound;
		at = other;
	}
}

void SessionTable::prefetch64(Protocol protocol, const Tuple6 &tuple) const
{
	impl_->shards[shard_of_client(tuple.client)].six.prefetch(
		tag6(impl_->secret(), protocol, tuple));
}

void SessionTable::prefetch46(Protocol protocol, const Tuple4 &tuple) const
{
	impl_->shards[impl_->shard46(protocol, tuple)].four.prefetch(
		tag4(impl_->secret(), protocol, tuple));
}

void SessionTable::prefetch_record64(Protocol protocol, const Tuple6 &tuple) const
{
	const Shard &shard = impl_->shards[shard_of_client(tuple.client)];
	const SessionRecord *record =
		impl_->file.sessions.base + shard.six.guess(tag6(impl_->secret(), protocol, tuple));
	__builtin_prefetch(record, 1);
	__builtin_prefetch(&record->packets_out, 1);
}

void SessionTable::prefetch_record46(Protocol protocol, const Tuple4 &tuple) const
{
	const Shard &shard = impl_->shards[impl_->shard46(protocol, tuple)];
	const SessionRecord *record = impl_->file.sessions.base +
				      shard.four.guess(tag4(impl_->secret(), protocol, tuple));
	__builtin_prefetch(record, 1);
	__builtin_prefetch(&record->packets_out, 1);
}

bool SessionTable::owns(uint32_t address) const
{
	Shard &shard = impl_->shards[address % SHARDS];
	std::lock_guard guard(shard.lock);
	return shard.policy->address_of(address) != nullptr;
}

unsigned SessionTable::shard_of_client(const Ip6 &client) const
{
	return client_shard(impl_->secret(), client);
}

TickResult SessionTable::tick(unsigned shard, Time now, unsigned budget, Event *events,
			      size_t capacity)
{
	return impl_->tick(shard, now, budget, events, capacity);
}

} // namespace sixgate
