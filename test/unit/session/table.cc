// SPDX-License-Identifier: Apache-2.0
/** Mapping, filtering, ports and pools: RFC 6146 section 3.5.1, RFC 4787, RFC 6056. */
#include <set>

#include "fixture.h"

CASE("maps every session of a client's port to one pool port, whoever the server (RFC 4787 REQ-1)")
{
	Fixture f;
	f.open();
	Verdict first = f.out(client(1), 5000, 53, udp());
	EQUAL(first.reason, XLAT_OK);
	CHECK(first.fresh);
	for (uint32_t host = 1; host < 20; host++)
		EQUAL(f.out(client(1), 5000, 53, udp(), f.remote + host).four.pool_port,
		      first.four.pool_port);
	EQUAL(f.bindings(), 1);
	EQUAL(f.sessions(), 20);
	CHECK(!f.out(client(1), 5000, 53, udp()).fresh);
	Verdict back = f.in(f.pool, first.four.pool_port, f.remote, 53, udp());
	EQUAL(back.session.index, first.session.index);
	CHECK(back.six.client == client(1));
	EQUAL(back.six.client_port, 5000);
	CHECK(back.six.server == server(f.remote));
	EQUAL(back.delta, first.delta);
}

CASE("keeps the protocols apart and maps ICMP identifiers as ports")
{
	Fixture f;
	f.open();
	Verdict query = f.out(client(1), 5000, 0, icmp());
	EQUAL(query.reason, XLAT_OK);
	EQUAL(query.delta, 0);
	f.out(client(1), 5000, 53, udp());
	f.out(client(1), 5000, 80, tcp(TCP_SYN));
	EQUAL(f.bindings(), 3);
	Verdict reply = f.in(f.pool, query.four.pool_port, f.remote, 0, icmp());
	EQUAL(reply.six.client_port, 5000);
	f.pass(61'000);
	EQUAL(f.bindings(), 2);
	f.pass(240'000);
	EQUAL(f.bindings(), 0);
	EQUAL(f.ports_used(), 0);
}

CASE("refreshes a UDP session from either side")
{
	Fixture f;
	f.open();
	uint16_t port = f.out(client(1), 5000, 53, udp()).four.pool_port;
	f.pass(299'000);
	f.in(f.pool, port, f.remote, 53, udp());
	f.pass(299'000);
	f.out(client(1), 5000, 53, udp());
	f.pass(299'000);
	EQUAL(f.sessions(), 1);
	f.pass(2'000);
	EQUAL(f.sessions(), 0);
}

CASE("lets anybody answer a binding under endpoint-independent filtering")
{
	Fixture f;
	f.open();
	uint16_t port = f.out(client(1), 5000, 53, udp()).four.pool_port;
	Verdict in = f.in(f.pool, port, ip4("203.0.113.5"), 99, udp());
	EQUAL(in.reason, XLAT_OK);
	CHECK(in.fresh);
	CHECK(in.six.server == server(ip4("203.0.113.5")));
	EQUAL(in.six.server_port, 99);
	EQUAL(f.in(f.pool, (uint16_t)(port ^ 2), f.remote, 53, udp()).reason, XLAT_NO_BINDING);
}

CASE("lets only hosts that the client spoke to answer under address-dependent filtering")
{
	Fixture f;
	f.options.config.address_dependent = true;
	f.open();
	uint16_t port = f.out(client(1), 5000, 53, udp()).four.pool_port;
	EQUAL(f.in(f.pool, port, ip4("203.0.113.5"), 53, udp()).reason, XLAT_FILTERED);
	EQUAL(f.in(f.pool, port, f.remote, 54, udp()).reason, XLAT_OK);
	f.out(client(1), 5000, 1, udp(), ip4("203.0.113.5"));
	EQUAL(f.in(f.pool, port, ip4("203.0.113.5"), 53, udp()).reason, XLAT_OK);
	f.pass(299'000);
	f.out(client(1), 5000, 53, udp());
	f.pass(2'000);
	EQUAL(f.in(f.pool, port, ip4("203.0.113.5"), 53, udp()).reason, XLAT_FILTERED);
}

CASE("changes the filtering while sessions live")
{
	Fixture f;
	f.open();
	uint16_t port = f.out(client(1), 5000, 53, udp()).four.pool_port;
	f.out(client(1), 5000, 54, udp());
	f.options.config.address_dependent = true;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	EQUAL(f.in(f.pool, port, f.remote, 99, udp()).reason, XLAT_OK);
	EQUAL(f.in(f.pool, port, f.remote + 1, 99, udp()).reason, XLAT_FILTERED);
	f.options.config.address_dependent = false;
	f.table->configure(f.options.config, f.now);
	EQUAL(f.in(f.pool, port, f.remote + 1, 99, udp()).reason, XLAT_OK);
	f.pass(301'000);
	EQUAL(f.sessions(), 0);
}

CASE("keeps the parity of a port and the range 0-1023 where possible (RFC 4787 REQ-4, RFC 6146 "
     "3.5.1.1)")
{
	Fixture f;
	f.first_pool().first_port = 1;
	f.open();
	for (unsigned i = 0; i < 400; i++) {
		uint16_t port = (uint16_t)(i % 4 < 2 ? 500 + i % 2 : 40000 + i);
		Verdict v = f.out(client(i), port, 53, udp());
		EQUAL(v.four.pool_port & 1, port & 1);
		EQUAL(v.four.pool_port < 1024, port < 1024);
	}
}

CASE("gives up parity and range before it gives up the client")
{
	Fixture f;
	f.first_pool().first_port = 1016;
	f.first_pool().last_port = 1031;
	f.open();
	std::set<unsigned> ports;
	for (unsigned i = 0; i < 16; i++) {
		Verdict v = f.out(client(i), 40000, 53, udp());
		EQUAL(v.reason, XLAT_OK);
		if (i < 4)
			CHECK(v.four.pool_port % 2 == 0 && v.four.pool_port >= 1024);
		CHECK(ports.insert(v.four.pool_port).second);
	}
	EQUAL(*ports.begin(), 1016);
	EQUAL(*ports.rbegin(), 1031);
	EQUAL(f.out(client(16), 40000, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.out(client(16), 40000, 53, tcp(TCP_SYN)).reason, XLAT_OK);
	EQUAL(f.out(client(3), 40000, 54, udp()).reason, XLAT_OK);
}

CASE("answers inbound packets to every port, borrowed ones too, and gives all of them back")
{
	Fixture f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2099;
	f.open();
	for (unsigned i = 0; i < 100; i++) {
		Verdict out = f.out(client(i), 40000, 53, udp());
		EQUAL(out.reason, XLAT_OK);
		Verdict in = f.in(f.pool, out.four.pool_port, f.remote, 53, udp());
		CHECK(in.six.client == client(i));
		Verdict error = f.table->error46(Protocol::UDP, out.four, f.now);
		CHECK(error.reason == XLAT_OK && error.six.client == client(i));
		Verdict stranger = f.in(f.pool, out.four.pool_port, f.remote + 1, 53, udp());
		CHECK(stranger.reason == XLAT_OK && stranger.six.client == client(i));
	}
	EQUAL(f.ports_used(), 100);
	EQUAL(f.out(client(100), 40000, 53, udp()).reason, XLAT_NO_PORT);
	f.pass(301'000);
	EQUAL(f.ports_used(), 0);
	for (unsigned i = 100; i < 200; i++)
		EQUAL(f.out(client(i), 40000, 53, udp()).reason, XLAT_OK);
}

CASE("uses all 64512 ports of an address for one client, then says that none is left")
{
	Fixture f;
	f.options.max_sessions = 1 << 17;
	f.open();
	for (unsigned i = 0; i < 64512; i++)
		if (f.out(client(1), (uint16_t)(1024 + i), 53, udp()).reason != XLAT_OK) {
			failed(__FILE__, __LINE__, "refused at " + text(i));
			break;
		}
	EQUAL(f.out(client(1), 7, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.out(client(2), 7, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.ports_used(), 64512);
}

CASE("chooses ports at random (RFC 6056)")
{
	Fixture f;
	f.open();
	std::set<unsigned> high;
	unsigned next = 0, last = 0;
	for (unsigned i = 0; i < 256; i++) {
		unsigned port =
			f.out(client(1), (uint16_t)(10000 + i * 2), 53, udp()).four.pool_port;
		high.insert(port >> 12);
		next += port - last <= 128;
		last = port;
	}
	CHECK(high.size() >= 12);
	CHECK(next < 64);
}

CASE("gives all bindings of a client the same address, and spreads clients (RFC 4787 REQ-2)")
{
	Fixture f;
	f.first_pool().addresses = { { ip4("192.0.2.16"), 28 } };
	f.open();
	std::set<uint32_t> used;
	for (unsigned i = 0; i < 64; i++) {
		uint32_t first = f.out(client(i), 1, 53, udp()).four.pool;
		used.insert(first);
		EQUAL(f.out(client(i), 2, 53, udp()).four.pool, first);
		EQUAL(f.out(client(i), 3, 53, tcp(TCP_SYN)).four.pool, first);
		EQUAL(f.out(client(i), 4, 0, icmp()).four.pool, first);
	}
	CHECK(used.size() > 8);
}

CASE("does not give a paired client a second address when the first is full")
{
	Fixture f;
	f.first_pool().addresses = { { ip4("192.0.2.16"), 31 } };
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2003;
	f.open();
	for (unsigned i = 0; i < 4; i++)
		EQUAL(f.out(client(1), (uint16_t)i, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(client(1), 9, 53, udp()).reason, XLAT_NO_PORT);
	for (unsigned i = 0; i < 4; i++)
		EQUAL(f.out(client(2 + i), 9, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(client(6), 9, 53, udp()).reason, XLAT_NO_PORT);
}

CASE("chooses the pool by the longest client prefix")
{
	Fixture f;
	PoolConfig narrow = f.first_pool(), other = f.first_pool();
	narrow.addresses = { { ip4("192.0.2.2"), 32 } };
	narrow.clients = { { ip6("2001:db8:1::"), 48 } };
	other.addresses = { { ip4("192.0.2.3"), 32 } };
	other.clients = { { ip6("2001:db8:1::40"), 122 } };
	f.first_pool().clients = { { ip6("2001:db8::"), 32 } };
	f.options.config.pools = { f.first_pool(), narrow, other };
	f.open();
	EQUAL(f.out(ip6("2001:db8:2::1"), 1, 53, udp()).four.pool, ip4("192.0.2.1"));
	EQUAL(f.out(client(1), 1, 53, udp()).four.pool, ip4("192.0.2.2"));
	EQUAL(f.out(client(0x41), 1, 53, udp()).four.pool, ip4("192.0.2.3"));
	EQUAL(f.out(ip6("2001:db9::1"), 1, 53, udp()).reason, XLAT_NO_POOL);
	EQUAL(f.table->stats().pools.size(), 3);
	EQUAL(f.table->stats().pools[1].used, 1);
	EQUAL(f.table->stats().pools[1].total, 3 * 64512);
}

CASE("refuses a server outside of the prefixes, and reads all six lengths of RFC 6052")
{
	Fixture f;
	static const struct {
		const char *prefix, *server;
		uint8_t length;
	} rows[] = {
		{ "2001:db8::", "2001:db8:c000:221::", 32 },
		{ "2001:db8:100::", "2001:db8:1c0:2:21::", 40 },
		{ "2001:db8:122::", "2001:db8:122:c000:2:2100::", 48 },
		{ "2001:db8:122:300::", "2001:db8:122:3c0:0:221::", 56 },
		{ "2001:db8:122:344::", "2001:db8:122:344:c0:2:2100::", 64 },
		{ "2001:db8:122:344::", "2001:db8:122:344::c000:221", 96 },
	};
	for (const auto &row : rows) {
		Fixture each;
		each.options.config.prefixes = { { ip6(row.prefix), row.length } };
		each.open();
		Verdict out = each.table->outbound({ client(1), ip6(row.server), 9, 53 }, udp(),
						   each.now);
		EQUAL(out.four.remote, ip4("192.0.2.33"));
		Verdict in = each.in(each.pool, out.four.pool_port, ip4("192.0.2.33"), 99, udp());
		CHECK(in.six.server == ip6(row.server));
	}
	f.open();
	EQUAL(f.table->outbound({ client(1), ip6("2001:db8:9::1"), 9, 53 }, udp(), f.now).reason,
	      XLAT_NOT_OUR_PREFIX);
	EQUAL(f.bindings(), 0);
}

CASE("lets the newer session win when two prefixes name one IPv4 server")
{
	Fixture f;
	f.options.config.prefixes.push_back({ ip6("2001:db8:64::"), 96 });
	f.open();
	Verdict one = f.out(client(1), 9, 53, udp());
	Tuple6 other = { client(1), ip6("2001:db8:64::c633:6401"), 9, 53 };
	Verdict two = f.table->outbound(other, udp(), f.now);
	EQUAL(two.four.pool_port, one.four.pool_port);
	EQUAL(f.sessions(), 1);
	CHECK(f.in(f.pool, one.four.pool_port, f.remote, 53, udp()).six.server == other.server);
}

CASE("matches ICMP errors through the embedded packet and neither creates nor refreshes")
{
	Fixture f;
	f.open();
	Verdict out = f.out(client(1), 9, 53, udp());
	f.now += 200'000;
	EQUAL(f.table->error64(Protocol::UDP, out.six, f.now).four.pool_port, out.four.pool_port);
	CHECK(f.table->error46(Protocol::UDP, out.four, f.now).six.client == client(1));
	Tuple4 stranger = out.four;
	stranger.remote++;
	EQUAL(f.table->error46(Protocol::UDP, stranger, f.now).reason, XLAT_ICMP_NO_SESSION);
	EQUAL(f.table->error46(Protocol::TCP, out.four, f.now).reason, XLAT_ICMP_NO_SESSION);
	Tuple6 unknown = out.six;
	unknown.client_port++;
	EQUAL(f.table->error64(Protocol::UDP, unknown, f.now).reason, XLAT_ICMP_NO_SESSION);
	EQUAL(f.sessions(), 1);
	f.pass(101'000);
	EQUAL(f.sessions(), 0);
	EQUAL(f.table->error64(Protocol::UDP, out.six, f.now).reason, XLAT_ICMP_NO_SESSION);
}

CASE("counts packets and bytes each way, segments of a super-packet one by one")
{
	Fixture f;
	f.open();
	Facts big = { Protocol::UDP };
	big.packets = 40;
	big.bytes = 60'000;
	uint16_t port = f.out(client(1), 9, 53, big).four.pool_port;
	f.out(client(1), 9, 53, udp());
	f.in(f.pool, port, f.remote, 53, udp());
	SessionView view = f.list().at(0);
	EQUAL(view.packets_out, 41);
	EQUAL(view.bytes_out, 60'100);
	EQUAL(view.packets_in, 1);
	EQUAL(view.bytes_in, 100);
}

CASE("serves a static binding from outside first, and for ever")
{
	for (bool strict : { false, true }) {
		Fixture f;
		f.options.config.address_dependent = strict;
		f.options.config.statics = { { Protocol::TCP, client(5), 80, f.pool, 8080 },
					     { Protocol::UDP, client(6), 53, f.pool, 53 } };
		f.open();
		EQUAL(f.bindings(), 2);
		Verdict in = f.in(f.pool, 8080, f.remote, 999, tcp(TCP_SYN));
		EQUAL(in.reason, XLAT_OK);
		CHECK(!in.held && in.six.client == client(5));
		EQUAL(in.six.client_port, 80);
		Verdict out = f.out(client(6), 53, 53, udp());
		EQUAL(out.four.pool_port, 53);
		EQUAL(f.out(client(6), 54, 53, udp()).four.pool, f.pool);
		f.pass(400'000);
		EQUAL(f.sessions(), 0);
		EQUAL(f.bindings(), 2);
		EQUAL(f.in(f.pool, 8080, f.remote, 999, tcp(TCP_SYN)).reason, XLAT_OK);
		for (const BindingView &view : f.list_bindings())
			CHECK(view.fixed);
	}
}

CASE("never lends a static binding's port to another")
{
	Fixture f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2007;
	f.options.config.statics = { { Protocol::UDP, client(99), 7, f.pool, 2003 } };
	f.open();
	for (unsigned i = 0; i < 7; i++)
		CHECK(f.out(client(i), 9, 53, udp()).four.pool_port != 2003);
	EQUAL(f.out(client(7), 9, 53, udp()).reason, XLAT_NO_PORT);
}

CASE("says that the table is full, and keeps an eighth of it from strangers")
{
	Fixture f;
	f.options.max_sessions = 1024;
	f.open();
	uint16_t port = f.out(client(1), 9, 53, udp()).four.pool_port;
	unsigned strangers = 0;
	while (f.in(f.pool, port, f.remote + 1 + strangers, 53, udp()).reason == XLAT_OK)
		strangers++;
	EQUAL(strangers, 895);
	EQUAL(f.in(f.pool, port, f.remote, 9999, udp()).reason, XLAT_TABLE_FULL);
	unsigned clients = 0;
	while (f.out(client(2 + clients), 9, 53, udp()).reason == XLAT_OK)
		clients++;
	EQUAL(clients, 128);
	EQUAL(f.out(client(5000), 9, 53, udp()).reason, XLAT_TABLE_FULL);
	EQUAL(f.bindings(), 129);
	EQUAL(f.ports_used(), 129);
	EQUAL(f.out(client(1), 9, 53, udp()).reason, XLAT_OK);
	f.pass(301'000);
	EQUAL(f.sessions(), 0);
	EQUAL(f.out(client(5000), 9, 53, udp()).reason, XLAT_OK);
}

CASE("ends with a new configuration what it forbids and nothing else")
{
	Fixture f;
	f.first_pool().addresses = { { ip4("192.0.2.16"), 30 } };
	f.options.config.statics = { { Protocol::UDP, client(200), 53, ip4("192.0.2.16"), 53 } };
	f.open();
	std::vector<Verdict> flows;
	for (unsigned i = 0; i < 64; i++)
		flows.push_back(f.out(client(i), 40000, 53, udp()));
	f.in(ip4("192.0.2.16"), 53, f.remote, 1, udp());
	uint64_t leaving = 0;
	for (const Verdict &flow : flows)
		leaving += flow.four.pool >= ip4("192.0.2.18");
	CHECK(leaving > 4 && leaving < 60);
	f.first_pool().addresses = { { ip4("192.0.2.16"), 31 }, { ip4("192.0.2.32"), 31 } };
	EQUAL(f.table->configure(f.options.config, f.now).ended, leaving);
	EQUAL(f.sessions(), 65 - leaving);
	for (const Verdict &flow : flows) {
		bool stays = flow.four.pool < ip4("192.0.2.18");
		Verdict in = f.table->inbound(flow.four, udp(), f.now);
		EQUAL(in.reason, stays ? XLAT_OK : XLAT_NO_BINDING);
		if (stays)
			EQUAL(in.session.index, flow.session.index);
	}
	f.options.config.statics.clear();
	EQUAL(f.table->configure(f.options.config, f.now).ended, 1);
	EQUAL(f.in(ip4("192.0.2.16"), 53, f.remote, 1, udp()).reason, XLAT_NO_BINDING);
	f.first_pool().last_port = 1024;
	f.first_pool().first_port = 1024;
	f.table->configure(f.options.config, f.now);
	f.options.config.pools.clear();
	f.table->configure(f.options.config, f.now);
	EQUAL(f.sessions(), 0);
	EQUAL(f.bindings(), 0);
	EQUAL(f.out(client(1), 1, 1, udp()).reason, XLAT_NO_POOL);
}

CASE("gives a port to a new static binding although a client has it")
{
	Fixture f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2001;
	f.open();
	uint16_t taken = f.out(client(1), 9, 53, udp()).four.pool_port;
	f.options.config.statics = { { Protocol::UDP, client(2), 7, f.pool, taken } };
	EQUAL(f.table->configure(f.options.config, f.now).ended, 1);
	CHECK(f.in(f.pool, taken, f.remote, 1, udp()).six.client == client(2));
	CHECK(f.out(client(1), 9, 53, udp()).four.pool_port != taken);
	EQUAL(f.out(client(3), 9, 53, udp()).reason, XLAT_NO_PORT);
	f.options.config.statics.clear();
	f.table->configure(f.options.config, f.now);
	EQUAL(f.out(client(3), 9, 53, udp()).four.pool_port, taken);
}

CASE("keeps the sessions of a binding that becomes static as it is")
{
	Fixture f;
	f.open();
	Verdict flow = f.out(client(1), 9, 53, udp());
	f.options.config.statics = { { Protocol::UDP, client(1), 9, f.pool, flow.four.pool_port } };
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	f.pass(301'000);
	EQUAL(f.bindings(), 1);
	CHECK(f.list_bindings()[0].fixed);
}

CASE("refuses an impossible configuration and keeps the old one")
{
	Fixture f;
	f.open();
	f.out(client(1), 9, 53, udp());
	SessionConfig bad = f.options.config;
	bad.statics = { { Protocol::UDP, client(1), 9, ip4("203.0.113.1"), 9 } };
	CHECK(!f.table->configure(bad, f.now).error.empty());
	bad = f.options.config;
	bad.pools[0].addresses = { { 0, 8 } };
	CHECK(!f.table->configure(bad, f.now).error.empty());
	bad = f.options.config;
	bad.prefixes.clear();
	CHECK(!f.table->configure(bad, f.now).error.empty());
	EQUAL(f.sessions(), 1);
	EQUAL(f.out(client(1), 10, 53, udp()).reason, XLAT_OK);
}

CASE("lists sessions and bindings by protocol and address, up to a limit")
{
	Fixture f;
	f.open();
	for (unsigned i = 0; i < 50; i++) {
		f.out(client(i), 9, 53, udp());
		f.out(client(i), 9, 80, tcp(TCP_SYN), f.remote + i);
	}
	EQUAL(f.list().size(), 100);
	ViewFilter filter;
	filter.protocol = Protocol::TCP;
	EQUAL(f.list(filter).size(), 50);
	EQUAL(f.list_bindings(filter).size(), 50);
	filter.limit = 7;
	EQUAL(f.list(filter).size(), 7);
	filter = {};
	filter.six = Prefix6{ client(32), 124 };
	EQUAL(f.list(filter).size(), 32);
	EQUAL(f.list_bindings(filter).size(), 32);
	filter = {};
	filter.four = Prefix4{ f.remote + 3, 32 };
	EQUAL(f.list(filter).size(), 1);
	EQUAL(f.list(filter)[0].state, State::V6_INIT);
}
