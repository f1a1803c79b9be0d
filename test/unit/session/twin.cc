// SPDX-License-Identifier: Apache-2.0
/**
 * The table against a twin that is slow and plain: maps, searched from end to end. Times are
 * multiples of 128 ms, the table's tick, so that both agree to the millisecond. TWIN_SEED repeats a
 * run.
 */
#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "fixture.h"

namespace {

constexpr Time TICK = 128, EST = 7'440'000 / TICK * TICK, TRANSIT = 240'000 / TICK * TICK,
	       HOLD = 47 * TICK;
constexpr Time UDP_TIME = 300'032, ICMP_TIME = 60'032;

struct Entry {
	Protocol protocol;
	unsigned client;
	uint16_t client_port, port;
	uint32_t pool, remote;
	uint16_t remote_port;
	State state;
	Time expiry;
	/** TCP, until who opened it acknowledges what came back. */
	bool half = false, by6 = true;
};

using Transport = std::tuple<Protocol, unsigned, uint16_t>;

struct Twin : Fixture {
	std::mt19937_64 random;
	std::vector<Entry> sessions_;
	std::vector<std::pair<Tuple4, Time>> held;

	explicit Twin(uint64_t seed) : random(seed)
	{
		options.max_sessions = 2048;
		options.config.timeouts = { EST, TRANSIT, HOLD, UDP_TIME, ICMP_TIME };
		now = now / TICK * TICK;
		reshape();
		open();
	}
	uint64_t pick(uint64_t below) { return random() % below; }

	/** A configuration of two addresses at most, some ports, either filtering. */
	void reshape()
	{
		first_pool().addresses = { { ip4("192.0.2.1"), 32 } };
		if (pick(2))
			first_pool().addresses.push_back({ ip4("192.0.2.2"), 32 });
		first_pool().first_port = (uint16_t)(1000 + pick(30));
		first_pool().last_port = (uint16_t)(1040 + pick(40));
		options.config.address_dependent = pick(2);
	}
	bool lends(uint32_t address, uint16_t port)
	{
		for (const Prefix4 &prefix : first_pool().addresses)
			if (prefix.address == address)
				return port >= first_pool().first_port &&
				       port <= first_pool().last_port;
		return false;
	}
	bool taken(Protocol protocol, uint32_t address, uint16_t port)
	{
		return std::any_of(sessions_.begin(), sessions_.end(), [&](const Entry &e) {
			return e.protocol == protocol && e.pool == address && e.port == port;
		});
	}
	bool none_free(Protocol protocol, const Entry *pair)
	{
		for (const Prefix4 &prefix : first_pool().addresses)
			for (unsigned p = first_pool().first_port; p <= first_pool().last_port; p++)
				if ((!pair || pair->pool == prefix.address) &&
				    !taken(protocol, prefix.address, (uint16_t)p))
					return false;
		return true;
	}
	const Entry *bound(Protocol protocol, unsigned who, uint16_t port)
	{
		for (const Entry &e : sessions_)
			if (e.protocol == protocol && e.client == who && e.client_port == port)
				return &e;
		return nullptr;
	}

	/** The connection that lost its port to a new one: the only one there, and half-open. */
	void give_way(uint32_t address, uint16_t port)
	{
		size_t ended = std::erase_if(sessions_, [&](const Entry &e) {
			bool here = e.protocol == Protocol::TCP && e.pool == address &&
				    e.port == port;
			CHECK(!here || (e.half && e.by6));
			return here;
		});
		EQUAL(ended, 1);
	}

	/** RFC 6146 section 3.5.2.2 in words of its own. */
	void follow(Entry &e, bool v6, uint8_t flags)
	{
		if (v6 == e.by6 && !(flags & (TCP_SYN | TCP_RST)) && e.state != State::V4_INIT &&
		    e.state != State::V6_INIT && e.state != State::TRANS)
			e.half = false;
		if (e.protocol != Protocol::TCP) {
			e.expiry = now + (e.protocol == Protocol::UDP ? UDP_TIME : ICMP_TIME);
			return;
		}
		bool rst = flags & TCP_RST, syn = !rst && flags & TCP_SYN,
		     fin = !rst && !syn && flags & TCP_FIN;
		auto become = [&](State state, Time time) {
			e.state = state, e.expiry = now + time;
		};
		switch (e.state) {
		case State::V4_INIT:
			if (syn && v6)
				become(State::ESTABLISHED, EST);
			break;
		case State::V6_INIT:
			if (syn)
				v6 ? become(State::V6_INIT, TRANSIT)
				   : become(State::ESTABLISHED, EST);
			break;
		case State::ESTABLISHED:
			rst   ? become(State::TRANS, TRANSIT)
			: fin ? become(v6 ? State::V6_FIN_RCV : State::V4_FIN_RCV, EST)
			      : become(e.state, EST);
			break;
		case State::V4_FIN_RCV:
		case State::V6_FIN_RCV:
			rst ? become(State::TRANS, TRANSIT)
			: fin &&v6 == (e.state == State::V4_FIN_RCV)
				? become(State::V4_FIN_V6_FIN_RCV, TRANSIT)
				: become(e.state, EST);
			break;
		case State::V4_FIN_V6_FIN_RCV:
			if (syn)
				become(v6 ? State::V6_INIT : State::V4_INIT, TRANSIT);
			break;
		case State::TRANS:
			if (!rst)
				become(State::ESTABLISHED, EST);
			break;
		case State::CLOSED:
			CHECK(!"a session is never closed");
		}
	}

	Facts facts(Protocol protocol)
	{
		static const uint8_t flags[] = { TCP_SYN,	    TCP_SYN,	       TCP_ACK,
						 TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST };
		return protocol == Protocol::TCP ? tcp(flags[pick(6)]) : Facts{ protocol };
	}
	Protocol protocol()
	{
		static const Protocol all[] = { Protocol::TCP, Protocol::UDP, Protocol::ICMP };
		return all[pick(3)];
	}

	void send_out()
	{
		Facts f = facts(protocol());
		unsigned who = (unsigned)pick(12);
		uint16_t from = (uint16_t)(1010 + pick(30)),
			 to = f.protocol == Protocol::ICMP ? 0 : (uint16_t)pick(3);
		uint32_t host = remote + (uint32_t)pick(3);
		Verdict v = out(client(who), from, to, f, host);
		bool syn = f.protocol != Protocol::TCP || f.tcp_flags == TCP_SYN;
		for (Entry &e : sessions_)
			if (e.protocol == f.protocol && e.client == who && e.client_port == from &&
			    e.remote == host && e.remote_port == to) {
				follow(e, true, f.tcp_flags);
				EQUAL(v.four.pool_port, e.port);
				EQUAL(v.four.pool, e.pool);
				return;
			}
		const Entry *binding = bound(f.protocol, who, from);
		if (!syn) {
			EQUAL(v.reason, binding ? XLAT_OK : XLAT_TCP_NOT_SYN);
			EQUAL(v.session.index, 0);
			return;
		}
		const Entry *pair = nullptr;
		for (const Entry &e : sessions_)
			pair = e.client == who ? &e : pair;
		std::set<std::pair<uint32_t, uint16_t>> waiting;
		for (auto &[t, when] : held)
			if (f.protocol == Protocol::TCP && t.remote == host &&
			    t.remote_port == to &&
			    (binding ? t.pool == binding->pool && t.pool_port == binding->port
				     : lends(t.pool, t.pool_port) &&
					       (!pair || pair->pool == t.pool) &&
					       !taken(f.protocol, t.pool, t.pool_port)))
				waiting.insert({ t.pool, t.pool_port });
		if (v.reason == XLAT_NO_PORT) {
			CHECK(!binding && waiting.empty());
			CHECK(none_free(f.protocol, pair));
			return;
		}
		EQUAL(v.reason, XLAT_OK);
		if (binding) {
			EQUAL(v.four.pool_port, binding->port);
			EQUAL(v.four.pool, binding->pool);
		} else {
			CHECK(lends(v.four.pool, v.four.pool_port));
			if (f.protocol == Protocol::TCP && none_free(f.protocol, pair))
				give_way(v.four.pool, v.four.pool_port);
			CHECK(!taken(f.protocol, v.four.pool, v.four.pool_port));
			CHECK(!pair || pair->pool == v.four.pool);
		}
		bool joined = waiting.count({ v.four.pool, v.four.pool_port });
		CHECK(waiting.empty() || joined);
		if (joined)
			std::erase_if(held, [&](auto &h) {
				return h.first.remote == host && h.first.remote_port == to &&
				       h.first.pool == v.four.pool &&
				       h.first.pool_port == v.four.pool_port;
			});
		bool plain = f.protocol != Protocol::TCP;
		Time time = f.protocol == Protocol::UDP ? UDP_TIME
			    : plain			? ICMP_TIME
			    : joined			? EST
							: TRANSIT;
		sessions_.push_back({ f.protocol, who, from, v.four.pool_port, v.four.pool, host,
				      to, plain || joined ? State::ESTABLISHED : State::V6_INIT,
				      now + time, !plain, true });
	}

	void send_in()
	{
		Facts f = facts(protocol());
		uint32_t to = ip4("192.0.2.1") + (uint32_t)pick(2),
			 host = remote + (uint32_t)pick(4);
		uint16_t port = (uint16_t)(995 + pick(90)),
			 from = f.protocol == Protocol::ICMP ? 0 : (uint16_t)pick(3);
		if (!sessions_.empty() && pick(4)) {
			const Entry &e = sessions_[pick(sessions_.size())];
			to = e.pool, port = e.port;
			f = facts(e.protocol);
			from = f.protocol == Protocol::ICMP ? 0 : from;
		}
		Verdict v = in(to, port, host, from, f);
		const Entry *binding = nullptr;
		bool known = !options.config.address_dependent;
		for (Entry &e : sessions_) {
			if (e.protocol != f.protocol || e.pool != to || e.port != port)
				continue;
			binding = &e;
			known = known || e.remote == host;
			if (e.remote == host && e.remote_port == from) {
				follow(e, false, f.tcp_flags);
				CHECK(v.six.client == client(e.client));
				EQUAL(v.six.client_port, e.client_port);
				return;
			}
		}
		bool syn = f.protocol == Protocol::TCP && f.tcp_flags == TCP_SYN;
		if (!binding || !known) {
			if (syn && lends(to, port)) {
				CHECK(v.held);
				Tuple4 t = { to, host, port, from };
				bool again = std::any_of(held.begin(), held.end(), [&](auto &h) {
					return !memcmp(&h.first, &t, sizeof(t));
				});
				if (!again)
					held.push_back({ t, now + HOLD });
			} else {
				EQUAL(v.reason, binding && !syn ? XLAT_FILTERED
						: f.protocol == Protocol::TCP && !syn ?
								  XLAT_TCP_NOT_SYN :
								  XLAT_NO_BINDING);
			}
			return;
		}
		EQUAL(v.reason, XLAT_OK);
		CHECK(v.six.client == client(binding->client));
		if (f.protocol == Protocol::TCP && !syn) {
			EQUAL(v.session.index, 0);
			return;
		}
		Time time = f.protocol == Protocol::UDP	   ? UDP_TIME
			    : f.protocol == Protocol::ICMP ? ICMP_TIME
							   : TRANSIT;
		Entry fresh = { f.protocol,
				binding->client,
				binding->client_port,
				port,
				to,
				host,
				from,
				syn ? State::V4_INIT : State::ESTABLISHED,
				now + time,
				syn,
				false };
		sessions_.push_back(fresh);
	}

	void wait()
	{
		static const Time spans[] = { 1, 10, 40, 400, 1800, 2400, 60'000 };
		now += TICK * (1 + pick(spans[pick(7)]));
		size_t refused = 0, probes = 0;
		for (unsigned shard = 0; shard < SHARDS; shard++)
			for (TickResult result = { 0, true }; result.more;) {
				Event events[3];
				result = table->tick(shard, now, 50, events, 3);
				for (size_t i = 0; i < result.events; i++)
					(events[i].kind == Event::PROBE ? probes : refused)++;
			}
		refused -= std::erase_if(held, [&](auto &h) { return h.second <= now; });
		EQUAL(refused, 0);
		for (Entry &e : sessions_)
			if (e.expiry <= now && e.protocol == Protocol::TCP &&
			    e.state == State::ESTABLISHED) {
				e.state = State::TRANS;
				e.expiry = now + TRANSIT;
				probes--;
			}
		EQUAL(probes, 0);
		std::erase_if(sessions_, [&](const Entry &e) { return e.expiry <= now; });
	}

	void change()
	{
		reshape();
		uint64_t gone = std::erase_if(
			sessions_, [&](const Entry &e) { return !lends(e.pool, e.port); });
		EQUAL(table->configure(options.config, now).ended, gone);
	}

	void restart()
	{
		table.reset();
		open();
		EQUAL(table->adopted(), sessions_.size());
		held.clear();
	}

	/** Both list the same, no port has two owners, none is lost. */
	void compare()
	{
		auto order = [](auto a, auto b) { return a < b; };
		std::vector<std::tuple<int, uint32_t, uint16_t, uint32_t, uint16_t, int, Time>>
			ours, theirs;
		for (const Entry &e : sessions_)
			ours.push_back({ (int)e.protocol, e.pool, e.port, e.remote, e.remote_port,
					 (int)e.state, e.expiry - now });
		for (const SessionView &v : list())
			theirs.push_back({ (int)v.protocol, v.four.pool, v.four.pool_port,
					   v.four.remote, v.four.remote_port, (int)v.state,
					   v.expires_in });
		std::sort(ours.begin(), ours.end(), order);
		std::sort(theirs.begin(), theirs.end(), order);
		CHECK(ours == theirs);
		std::map<Transport, uint32_t> count;
		for (const Entry &e : sessions_)
			count[{ e.protocol, e.client, e.client_port }]++;
		std::set<std::tuple<int, uint32_t, uint16_t>> ports;
		auto views = list_bindings();
		for (const BindingView &view : views) {
			unsigned who = (unsigned)view.inside.bytes[15];
			EQUAL(view.sessions, (count[{ view.protocol, who, view.inside_port }]));
			CHECK(ports.insert({ (int)view.protocol, view.outside, view.outside_port })
				      .second);
		}
		EQUAL(views.size(), count.size());
		EQUAL(ports_used(), count.size());
		EQUAL(table->stats().held_syns, held.size());
	}
};

} // namespace

CASE("agrees with a slow twin over random traffic, waits, reconfigurations and restarts")
{
	const char *fixed = getenv("TWIN_SEED");
	uint64_t seed = fixed ? strtoull(fixed, nullptr, 0) : std::random_device()();
	for (unsigned round = 0; round < 6 && !failures; round++, seed++) {
		Twin twin(seed);
		for (unsigned step = 0; step < 2500 && !failures; step++) {
			uint64_t what = twin.pick(1000);
			if (what < 550)
				twin.send_out();
			else if (what < 900)
				twin.send_in();
			else if (what < 985)
				twin.wait();
			else if (what < 995)
				twin.change();
			else
				twin.restart();
			if (step % 10 == 0)
				twin.compare();
		}
		if (failures)
			printf("TWIN_SEED=%llu repeats this run\n", (unsigned long long)seed);
	}
}
