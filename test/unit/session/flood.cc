// SPDX-License-Identifier: Apache-2.0
/** Half-open connections when the table or the pool is full. */
#include "fixture.h"

namespace {

constexpr uint32_t SMALL = 64;

struct Small : Fixture {
	Small()
	{
		options.max_sessions = SMALL;
		open();
	}
	xlat_reason connect(uint32_t who, uint16_t port = 1000)
	{
		return out(client(who), port, 80, tcp(TCP_SYN)).reason;
	}
	/** The whole handshake. */
	Verdict establish(uint32_t who, uint16_t port = 1000)
	{
		Verdict v = out(client(who), port, 80, tcp(TCP_SYN));
		in(v.four.pool, v.four.pool_port, remote, 80, tcp(TCP_SYN | TCP_ACK));
		return out(client(who), port, 80, tcp(TCP_ACK));
	}
	/** Of the table, or of none. */
	State state(uint32_t who, uint16_t port = 1000) const
	{
		for (const SessionView &view : list())
			if (view.six.client == client(who) && view.six.client_port == port)
				return view.state;
		return State::CLOSED;
	}
};

} // namespace

CASE("lets every newcomer in while half-open connections fill the table")
{
	Small f;
	f.establish(1);
	for (uint32_t who = 2; who < 1000; who++)
		EQUAL(f.connect(who), XLAT_OK);
	EQUAL(f.sessions(), SMALL);
	EQUAL(f.bindings(), SMALL);
	EQUAL(f.ports_used(), SMALL);
	EQUAL(f.table->stats().half_open, SMALL - 1);
	EQUAL(f.table->stats().evicted, 998 - (SMALL - 1));
	CHECK(f.state(1) == State::ESTABLISHED);
	CHECK(f.state(999) == State::V6_INIT);
	CHECK(f.establish(1000).state == State::ESTABLISHED);
	for (uint32_t who = 2000; who < 3000; who++)
		EQUAL(f.connect(who), XLAT_OK);
	CHECK(f.state(1) == State::ESTABLISHED && f.state(1000) == State::ESTABLISHED);
}

CASE("takes from the client that floods, the oldest connection first")
{
	Small f;
	EQUAL(f.connect(1), XLAT_OK);
	for (uint16_t port = 1; port < SMALL; port++)
		EQUAL(f.connect(2, port), XLAT_OK);
	EQUAL(f.connect(3), XLAT_OK);
	EQUAL(f.connect(2, 500), XLAT_OK);
	CHECK(f.state(1) == State::V6_INIT && f.state(3) == State::V6_INIT);
	CHECK(f.state(2, 1) == State::CLOSED && f.state(2, 2) == State::CLOSED);
	CHECK(f.state(2, 3) == State::V6_INIT && f.state(2, 500) == State::V6_INIT);
}

CASE("ends nothing that was established for a newcomer")
{
	Small f;
	for (uint32_t who = 0; who < SMALL / 2; who++)
		CHECK(f.establish(who).state == State::ESTABLISHED);
	for (uint32_t who = 0; who < SMALL / 2; who++)
		EQUAL(f.out(client(who), 53, 53, udp()).reason, XLAT_OK);
	EQUAL(f.connect(1000), XLAT_TABLE_FULL);
	EQUAL(f.out(client(1000), 9, 53, udp()).reason, XLAT_TABLE_FULL);
	EQUAL(f.sessions(), SMALL);
	EQUAL(f.table->stats().evicted, 0);
}

CASE("takes a SYN-ACK for no proof that the client is there, and its ACK for one")
{
	Small f;
	for (uint32_t who = 0; who < SMALL; who++) {
		Verdict v = f.out(client(who), 1000, 80, tcp(TCP_SYN));
		f.in(v.four.pool, v.four.pool_port, f.remote, 80, tcp(TCP_SYN | TCP_ACK));
		CHECK(f.state(who) == State::ESTABLISHED);
		if (who % 2)
			f.out(client(who), 1000, 80, tcp(TCP_ACK));
	}
	EQUAL(f.table->stats().half_open, SMALL / 2);
	for (uint32_t who = 1000; who < 1000 + SMALL; who++)
		EQUAL(f.connect(who), XLAT_OK);
	unsigned ended = 0;
	for (uint32_t who = 0; who < SMALL; who++)
		if (who % 2)
			CHECK(f.state(who) == State::ESTABLISHED);
		else
			ended += f.state(who) == State::CLOSED;
	CHECK(ended > 0);
	EQUAL(f.table->stats().evicted, SMALL);
}

CASE("keeps a connection that was reset before its handshake ended among the half-open ones")
{
	Small f;
	Verdict v = f.out(client(1), 1000, 80, tcp(TCP_SYN));
	f.in(v.four.pool, v.four.pool_port, f.remote, 80, tcp(TCP_SYN | TCP_ACK));
	f.in(v.four.pool, v.four.pool_port, f.remote, 80, tcp(TCP_RST));
	f.out(client(1), 1000, 80, tcp(TCP_RST));
	EQUAL(f.table->stats().half_open, 1);
	f.pass(300'000);
	EQUAL(f.table->stats().half_open, 0);
	EQUAL(f.sessions(), 0);
}

CASE("gives the port of a half-open connection to a newcomer when the pool has none left")
{
	Fixture f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2003;
	f.open();
	Verdict up = f.out(client(1), 1000, 80, tcp(TCP_SYN));
	f.in(up.four.pool, up.four.pool_port, f.remote, 80, tcp(TCP_SYN | TCP_ACK));
	f.out(client(1), 1000, 80, tcp(TCP_ACK));
	for (uint32_t who = 2; who < 100; who++)
		EQUAL(f.out(client(who), 1000, 80, tcp(TCP_SYN)).reason, XLAT_OK);
	EQUAL(f.sessions(), 4);
	EQUAL(f.ports_used(), 4);
	EQUAL(f.table->stats().evicted, 95);
	EQUAL(f.out(client(1), 1000, 80, tcp(TCP_ACK)).four.pool_port, up.four.pool_port);
	/* The ports of UDP are others. */
	for (uint16_t port = 0; port < 4; port++)
		EQUAL(f.out(client(7), port, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(client(8), 9, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.table->stats().evicted, 95);
}

CASE("lets strangers displace strangers, and none of the clients")
{
	Small f;
	uint16_t port = f.establish(1).four.pool_port;
	EQUAL(f.connect(2), XLAT_OK);
	for (uint32_t host = 1; host < 1000; host++)
		EQUAL(f.in(f.pool, port, f.remote + host, 9, tcp(TCP_SYN)).reason, XLAT_OK);
	EQUAL(f.sessions(), SMALL - SMALL / 8);
	CHECK(f.state(2) == State::V6_INIT);
	for (uint32_t who = 10; who < 10 + SMALL; who++)
		EQUAL(f.connect(who), XLAT_OK);
	/* They had to make room for the clients, who then make room for one another. */
	EQUAL(f.in(f.pool, port, f.remote, 10, tcp(TCP_SYN)).reason, XLAT_TABLE_FULL);
	EQUAL(f.sessions(), SMALL);
	CHECK(f.state(1) == State::ESTABLISHED);
}

CASE("knows after a restart which connections were half-open")
{
	Small f;
	f.establish(1);
	for (uint32_t who = 2; who < 2 + SMALL; who++)
		f.connect(who);
	f.table.reset();
	f.open();
	EQUAL(f.table->adopted(), SMALL);
	EQUAL(f.table->stats().half_open, SMALL - 1);
	for (uint32_t who = 1000; who < 2000; who++)
		EQUAL(f.connect(who), XLAT_OK);
	CHECK(f.state(1) == State::ESTABLISHED);
}
