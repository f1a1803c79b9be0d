// SPDX-License-Identifier: Apache-2.0
/** RFC 6146 section 3.5.2.2, seen through the table: every state and every event. */
#include "fixture.h"

namespace {

constexpr uint8_t FIN_ACK = TCP_FIN | TCP_ACK, SYN_ACK = TCP_SYN | TCP_ACK;
constexpr Time EST = 7'440'000, TRANSITORY = 240'000;

/** One flow, driven by letters: S F R A from the client, s f r a from the server. */
struct Flow : Fixture {
	uint16_t port = 0;

	Flow() { open(); }

	Verdict step(char event)
	{
		uint8_t flags = event == 'S' || event == 's'   ? TCP_SYN
				: event == 'F' || event == 'f' ? FIN_ACK
				: event == 'R' || event == 'r' ? TCP_RST
							       : TCP_ACK;
		if (event < 'a') {
			Verdict v = out(client(1), 40000, 80, tcp(flags));
			port = v.reason == XLAT_OK ? v.four.pool_port : port;
			return v;
		}
		if (!port) {
			/*
			 * Somebody else's session makes the binding through which the server speaks
			 * first.
			 */
			port = out(client(1), 40000, 81, tcp(TCP_SYN), ip4("198.51.100.9"))
				       .four.pool_port;
		}
		return in(pool, port, remote, 80, tcp(flags));
	}
	void play(const char *events)
	{
		for (; *events; events++)
			step(*events);
	}
	const SessionView *view()
	{
		static std::vector<SessionView> views;
		views = list();
		for (const SessionView &v : views)
			if (v.six.server_port == 80)
				return &v;
		return nullptr;
	}
};

struct Row {
	const char *name, *reach;
	State start;
	const char *event;
	State next;
	/** Lifetime after the event; 0 when the event leaves it alone. */
	Time lifetime;
};

} // namespace

CASE("follows every transition of the TCP state machine, with its lifetime")
{
	using enum State;
	static const Row rows[] = {
		{ "V6 INIT", "S", V6_INIT, "S", V6_INIT, TRANSITORY },
		{ "V6 INIT", "S", V6_INIT, "F", V6_INIT, 0 },
		{ "V6 INIT", "S", V6_INIT, "R", V6_INIT, 0 },
		{ "V6 INIT", "S", V6_INIT, "A", V6_INIT, 0 },
		{ "V6 INIT", "S", V6_INIT, "s", ESTABLISHED, EST },
		{ "V6 INIT", "S", V6_INIT, "f", V6_INIT, 0 },
		{ "V6 INIT", "S", V6_INIT, "r", V6_INIT, 0 },
		{ "V6 INIT", "S", V6_INIT, "a", V6_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "S", ESTABLISHED, EST },
		{ "V4 INIT", "s", V4_INIT, "F", V4_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "R", V4_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "A", V4_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "s", V4_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "f", V4_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "r", V4_INIT, 0 },
		{ "V4 INIT", "s", V4_INIT, "a", V4_INIT, 0 },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "S", ESTABLISHED, EST },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "F", V6_FIN_RCV, EST },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "R", TRANS, TRANSITORY },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "A", ESTABLISHED, EST },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "s", ESTABLISHED, EST },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "f", V4_FIN_RCV, EST },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "r", TRANS, TRANSITORY },
		{ "ESTABLISHED", "Ss", ESTABLISHED, "a", ESTABLISHED, EST },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "S", V4_FIN_RCV, EST },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "F", V4_FIN_V6_FIN_RCV, TRANSITORY },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "R", TRANS, TRANSITORY },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "A", V4_FIN_RCV, EST },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "s", V4_FIN_RCV, EST },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "f", V4_FIN_RCV, EST },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "r", TRANS, TRANSITORY },
		{ "V4 FIN RCV", "Ssf", V4_FIN_RCV, "a", V4_FIN_RCV, EST },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "S", V6_FIN_RCV, EST },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "F", V6_FIN_RCV, EST },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "R", TRANS, TRANSITORY },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "A", V6_FIN_RCV, EST },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "s", V6_FIN_RCV, EST },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "f", V4_FIN_V6_FIN_RCV, TRANSITORY },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "r", TRANS, TRANSITORY },
		{ "V6 FIN RCV", "SsF", V6_FIN_RCV, "a", V6_FIN_RCV, EST },
		{ "both FINs", "SsFf", V4_FIN_V6_FIN_RCV, "S", V6_INIT, TRANSITORY },
		{ "both FINs", "SsFf", V4_FIN_V6_FIN_RCV, "F", V4_FIN_V6_FIN_RCV, 0 },
		{ "both FINs", "SsFf", V4_FIN_V6_FIN_RCV, "R", V4_FIN_V6_FIN_RCV, 0 },
		{ "both FINs", "SsFf", V4_FIN_V6_FIN_RCV, "A", V4_FIN_V6_FIN_RCV, 0 },
		{ "both FINs", "SsfF", V4_FIN_V6_FIN_RCV, "s", V4_INIT, TRANSITORY },
		{ "both FINs", "SsfF", V4_FIN_V6_FIN_RCV, "f", V4_FIN_V6_FIN_RCV, 0 },
		{ "both FINs", "SsfF", V4_FIN_V6_FIN_RCV, "r", V4_FIN_V6_FIN_RCV, 0 },
		{ "both FINs", "SsfF", V4_FIN_V6_FIN_RCV, "a", V4_FIN_V6_FIN_RCV, 0 },
		{ "TRANS", "Ssr", TRANS, "S", ESTABLISHED, EST },
		{ "TRANS", "Ssr", TRANS, "F", ESTABLISHED, EST },
		{ "TRANS", "Ssr", TRANS, "R", TRANS, 0 },
		{ "TRANS", "Ssr", TRANS, "A", ESTABLISHED, EST },
		{ "TRANS", "SsR", TRANS, "s", ESTABLISHED, EST },
		{ "TRANS", "SsR", TRANS, "f", ESTABLISHED, EST },
		{ "TRANS", "SsR", TRANS, "r", TRANS, 0 },
		{ "TRANS", "SsR", TRANS, "a", ESTABLISHED, EST },
	};
	for (const Row &row : rows) {
		Flow flow;
		flow.play(row.reach);
		const SessionView *before = flow.view();
		if (!before || before->state != row.start) {
			failed(__FILE__, __LINE__, std::string("never reached ") + row.name);
			continue;
		}
		Time ends = before->expires_in;
		flow.now += 1024;
		Verdict verdict = flow.step(row.event[0]);
		const SessionView *after = flow.view();
		std::string where = std::string(row.name) + " + " + row.event + ": ";
		if (verdict.reason != XLAT_OK || verdict.held || verdict.state != row.next ||
		    after->state != row.next)
			failed(__FILE__, __LINE__, where + "became " + state_name(after->state));
		Time expected = row.lifetime ? row.lifetime : ends - 1024;
		if (after->expires_in < expected || after->expires_in > expected + 256)
			failed(__FILE__, __LINE__,
			       where + "lives " + text(after->expires_in) + " ms");
	}
}

CASE("drops a TCP segment without session or binding unless it is a SYN")
{
	Fixture f;
	f.open();
	for (uint8_t flags : { TCP_ACK, TCP_FIN, TCP_RST, SYN_ACK, FIN_ACK })
		EQUAL(f.out(client(1), 40000, 80, tcp(flags)).reason, XLAT_TCP_NOT_SYN);
	EQUAL(f.in(f.pool, 2000, f.remote, 80, tcp(TCP_ACK)).reason, XLAT_TCP_NOT_SYN);
	EQUAL(f.sessions(), 0);
	EQUAL(f.bindings(), 0);
}

CASE("translates a segment of no session, without state, where a binding exists")
{
	Fixture f;
	f.open();
	Verdict first = f.out(client(1), 40000, 80, tcp(TCP_SYN));
	Verdict out = f.out(client(1), 40000, 443, tcp(TCP_ACK));
	EQUAL(out.reason, XLAT_OK);
	EQUAL(out.session.index, 0);
	EQUAL(out.four.pool_port, first.four.pool_port);
	EQUAL(out.four.remote, f.remote);
	Verdict in = f.in(f.pool, first.four.pool_port, ip4("198.51.100.7"), 443, tcp(TCP_ACK));
	EQUAL(in.reason, XLAT_OK);
	CHECK(in.six.client == client(1));
	EQUAL(in.six.client_port, 40000);
	CHECK(in.six.server == server(ip4("198.51.100.7")));
	EQUAL(f.sessions(), 1);
}

CASE("ends an idle session at its time and gives the port back")
{
	for (const char *way : { "S", "SsFf", "Ssr" }) {
		Flow flow;
		flow.play(way);
		flow.pass(TRANSITORY - 1000);
		EQUAL(flow.sessions(), 1);
		flow.pass(1500);
		EQUAL(flow.sessions(), 0);
		EQUAL(flow.bindings(), 0);
		EQUAL(flow.ports_used(), 0);
	}
}

CASE("ends an old connection four minutes after its RST")
{
	Flow flow;
	flow.play("Ss");
	flow.pass(300'000);
	flow.play("r");
	flow.pass(TRANSITORY - 1000);
	EQUAL(flow.sessions(), 1);
	flow.pass(1500);
	EQUAL(flow.sessions(), 0);
}

CASE("probes an idle established session, which lives on if anybody answers")
{
	Flow flow;
	flow.play("Ss");
	EQUAL(flow.pass(EST - 1000).size(), 0);
	auto events = flow.pass(1500);
	EQUAL(events.size(), 1);
	EQUAL(events[0].kind, Event::PROBE);
	CHECK(events[0].six.client == client(1));
	EQUAL(events[0].six.client_port, 40000);
	CHECK(events[0].six.server == server(flow.remote));
	EQUAL(flow.view()->state, State::TRANS);
	flow.pass(TRANSITORY - 2000);
	flow.step('A');
	EQUAL(flow.view()->state, State::ESTABLISHED);
	flow.pass(TRANSITORY);
	EQUAL(flow.sessions(), 1);
}

CASE("ends a probed session that nobody answers for")
{
	Flow flow;
	flow.play("Ss");
	flow.pass(EST + TRANSITORY + 1000);
	EQUAL(flow.sessions(), 0);
	EQUAL(flow.ports_used(), 0);
}

CASE("keeps an established session that is used when its time is over but the timer has not come "
     "by")
{
	Flow flow;
	flow.play("Ss");
	flow.now += EST + 1000;
	EQUAL(flow.step('a').reason, XLAT_OK);
	EQUAL(flow.view()->state, State::ESTABLISHED);
	flow.now += EST + TRANSITORY + 1000;
	EQUAL(flow.step('A').reason, XLAT_TCP_NOT_SYN);
	EQUAL(flow.sessions(), 0);
}

CASE("holds an unsolicited SYN for six seconds and then has it refused")
{
	Fixture f;
	f.open();
	uint8_t packet[200] = { 0x45, 1, 2, 3 };
	packet[127] = 0x77;
	Facts syn = tcp(TCP_SYN);
	syn.packet = packet;
	syn.packet_length = sizeof(packet);
	Verdict verdict = f.in(f.pool, 2000, f.remote, 80, syn);
	EQUAL(verdict.reason, XLAT_OK);
	CHECK(verdict.held);
	CHECK(f.in(f.pool, 2000, f.remote, 80, syn).held);
	EQUAL(f.table->stats().held_syns, 1);
	EQUAL(f.sessions(), 0);
	EQUAL(f.pass(5900).size(), 0);
	auto events = f.pass(400);
	EQUAL(events.size(), 1);
	EQUAL(events[0].kind, Event::SYN_EXPIRED);
	EQUAL(events[0].packet_length, HELD_BYTES);
	CHECK(!memcmp(events[0].packet, packet, HELD_BYTES));
	EQUAL(events[0].four.remote_port, 80);
	EQUAL(f.table->stats().held_syns, 0);
}

CASE("joins the two SYNs of a simultaneous open, on the port that the outside chose")
{
	Fixture f;
	f.open();
	CHECK(f.in(f.pool, 2001, f.remote, 80, tcp(TCP_SYN)).held);
	Verdict out = f.out(client(1), 40000, 80, tcp(TCP_SYN));
	EQUAL(out.reason, XLAT_OK);
	EQUAL(out.four.pool_port, 2001);
	EQUAL(out.state, State::ESTABLISHED);
	EQUAL(f.table->stats().held_syns, 0);
	EQUAL(f.pass(7000).size(), 0);
	EQUAL(f.in(f.pool, 2001, f.remote, 80, tcp(SYN_ACK)).reason, XLAT_OK);
	EQUAL(f.sessions(), 1);
}

CASE("holds SYNs within a bound, and no SYN to a port that no pool lends")
{
	Fixture f;
	f.open();
	EQUAL(f.in(f.pool, 80, f.remote, 80, tcp(TCP_SYN)).reason, XLAT_NO_BINDING);
	EQUAL(f.in(ip4("192.0.2.9"), 2000, f.remote, 80, tcp(TCP_SYN)).reason, XLAT_NO_BINDING);
	for (unsigned i = 0; i < 1024; i++)
		CHECK(f.in(f.pool, 2000, f.remote, (uint16_t)(1 + i), tcp(TCP_SYN)).held);
	EQUAL(f.in(f.pool, 2000, f.remote, 5000, tcp(TCP_SYN)).reason, XLAT_SYN_HELD_FULL);
	EQUAL(f.pass(7000).size(), 1024);
	CHECK(f.in(f.pool, 2000, f.remote, 5000, tcp(TCP_SYN)).held);
}

CASE("under address-dependent filtering holds the SYN of a stranger and lets in that of a known "
     "host")
{
	Fixture f;
	f.options.config.address_dependent = true;
	f.open();
	Verdict out = f.out(client(1), 40000, 80, tcp(TCP_SYN));
	uint16_t port = out.four.pool_port;
	Verdict known = f.in(f.pool, port, f.remote, 9999, tcp(TCP_SYN));
	CHECK(!known.held);
	EQUAL(known.state, State::V4_INIT);
	uint32_t stranger = ip4("198.51.100.66");
	CHECK(f.in(f.pool, port, stranger, 9999, tcp(TCP_SYN)).held);
	EQUAL(f.in(f.pool, port, stranger, 9999, tcp(TCP_ACK)).reason, XLAT_FILTERED);
	Verdict open = f.out(client(1), 40000, 9999, tcp(TCP_SYN), stranger);
	EQUAL(open.state, State::ESTABLISHED);
	EQUAL(open.four.pool_port, port);
	EQUAL(f.table->stats().held_syns, 0);
}
