// SPDX-License-Identifier: Apache-2.0
/** Sessions whose packets pass above: when they are handed to the flow cache, taken back, kept alive and counted. */
#include <map>

#include "../../../native/flow_cache.h"
#include "fixture.h"

namespace {

constexpr Time EST = 7'440'000, UDP = 300'000;

/** A cache that does what it is told and remembers who is in it. */
struct Cache : FlowCache {
	std::map<uint16_t, FlowActivity> held;
	bool stale = false, full = false;

	bool holds(const Flow &flow) const override
	{
		return !stale && held.contains(flow.six.client_port);
	}
	bool install(const Flow &flow) override
	{
		if (full || held.contains(flow.six.client_port))
			return false;
		held[flow.six.client_port] = {};
		return true;
	}
	FlowActivity remove(const Flow &flow) override
	{
		FlowActivity out = held[flow.six.client_port];
		held.erase(flow.six.client_port);
		return out;
	}
	bool read(const Flow &flow, FlowActivity &activity) const override
	{
		auto at = held.find(flow.six.client_port);
		if (at == held.end())
			return false;
		activity = at->second;
		return true;
	}
};

struct Above : Fixture {
	Cache cache;
	uint16_t port = 0;

	Above()
	{
		options.flows = [this] { return &cache; };
		open();
	}
	~Above() { table.reset(); }
	Verdict forth(const Facts &facts)
	{
		Verdict v = out(client(1), 40000, 80, facts);
		port = v.four.pool_port;
		return v;
	}
	Verdict back(const Facts &facts) { return in(pool, port, remote, 80, facts); }
	void establish()
	{
		forth(tcp(TCP_SYN));
		back(tcp(TCP_SYN | TCP_ACK));
		forth(tcp(TCP_ACK));
	}
	bool above() const { return cache.held.contains(40000); }
};

CASE("hands an established session to the flow cache, once packets came from both sides")
{
	Above t;
	t.forth(tcp(TCP_SYN));
	CHECK(!t.above());
	t.back(tcp(TCP_SYN | TCP_ACK));
	t.forth(tcp(TCP_ACK));
	CHECK(t.above());

	Above u;
	u.forth(udp());
	u.forth(udp());
	CHECK(!u.above());
	u.back(udp());
	CHECK(u.above());
}

CASE("takes it back when a FIN or RST changes its state, with what passed above")
{
	for (uint8_t flag : { TCP_FIN, TCP_RST }) {
		Above t;
		t.establish();
		t.cache.held[40000] = { 100, 6000, 200, 300000, t.now };
		t.back(tcp(uint8_t(flag | TCP_ACK)));
		CHECK(!t.above());
		SessionView view = t.list().at(0);
		EQUAL(view.packets_out, 102u);
		EQUAL(view.packets_in, 202u);
		t.forth(tcp(TCP_ACK));
		t.back(tcp(TCP_ACK));
		CHECK(t.above() == (flag == TCP_RST));
	}
}

CASE("shows what passed above with what passed here")
{
	Above t;
	t.establish();
	t.cache.held[40000] = { 10, 1000, 20, 2000, t.now };
	SessionView view = t.list().at(0);
	EQUAL(view.packets_out, 12u);
	EQUAL(view.bytes_out, 1120u);
	EQUAL(view.packets_in, 21u);
	EQUAL(view.bytes_in, 2060u);
}

CASE("keeps a session alive by what passes above, and by nothing else")
{
	Above t;
	t.forth(udp());
	t.back(udp());
	t.forth(udp());
	t.pass(UDP - 10'000);
	t.cache.held[40000].last = t.now;
	t.pass(20'000);
	EQUAL(t.sessions(), 1u);
	CHECK(t.list().at(0).expires_in <= UDP - 20'000 + 1000);
	CHECK(t.above());
	t.pass(UDP);
	EQUAL(t.sessions(), 0u);
	CHECK(!t.above());
}

CASE("takes an established TCP session back before it is probed")
{
	Above t;
	t.establish();
	std::vector<Event> events = t.pass(EST + 1000);
	EQUAL(events.size(), 1u);
	CHECK(!t.above());
	CHECK(t.list().at(0).state == State::TRANS);
	t.forth(tcp(TCP_ACK));
	t.back(tcp(TCP_ACK));
	CHECK(t.above());
}

CASE("installs a session anew, when both sides have spoken again, whose flow is of another configuration")
{
	Above t;
	t.establish();
	t.cache.held[40000].packets_out = 7;
	t.cache.stale = true;
	t.forth(tcp(TCP_ACK));
	CHECK(!t.above());
	t.forth(tcp(TCP_ACK));
	CHECK(!t.above());
	t.back(tcp(TCP_ACK));
	CHECK(t.above());
	EQUAL(t.cache.held[40000].packets_out, 0u);
	t.cache.stale = false;
	EQUAL(t.list().at(0).packets_out, 11u);
}

CASE("goes on without a cache that is full, or that is taken away")
{
	Above t;
	t.cache.full = true;
	t.establish();
	CHECK(!t.above());
	t.cache.full = false;
	t.forth(tcp(TCP_ACK));
	CHECK(t.above());
	t.table->attach(nullptr, t.now);
	CHECK(!t.above());
	CHECK(t.forth(tcp(TCP_ACK)).reason == XLAT_OK);
}

CASE("leaves a hairpin below: its other half has a session of its own")
{
	Above t;
	Verdict v = t.out(client(2), 50000, 80, udp());
	uint16_t other = v.four.pool_port;
	t.table->outbound({ client(1), server(t.pool), 40000, other }, udp(), t.now);
	t.port = t.list().at(0).four.pool_port;
	for (const SessionView &view : t.list())
		if (view.six.client_port == 40000)
			t.in(t.pool, view.four.pool_port, t.pool, other, udp());
	t.table->outbound({ client(1), server(t.pool), 40000, other }, udp(), t.now);
	CHECK(!t.above());
}

CASE("installs the sessions of a predecessor again, and lets those live that were busy above")
{
	Above t;
	t.forth(udp());
	t.back(udp());
	t.forth(udp());
	t.cache.held[40000].last = t.now + UDP;
	t.table.reset();
	t.now += UDP + 10'000;
	t.open();
	EQUAL(t.table->adopted(), 1u);
	CHECK(t.above());
}

} // namespace
