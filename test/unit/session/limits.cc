// SPDX-License-Identifier: Apache-2.0
/** Limits per client prefix (RFC 6888 REQ-4 and REQ-5). */
#include <atomic>
#include <thread>

#include "fixture.h"

namespace {

/** 2001:db8:2:NETWORK::HOST */
Ip6 host(uint16_t network, uint16_t number)
{
	Ip6 out = ip6("2001:db8:2::");
	out.bytes[6] = (uint8_t)(network >> 8), out.bytes[7] = (uint8_t)network;
	out.bytes[14] = (uint8_t)(number >> 8), out.bytes[15] = (uint8_t)number;
	return out;
}

/** One host after another opens a flow, until somebody is refused. */
unsigned until_refused(Fixture &f, uint16_t network, enum xlat_reason why, unsigned most = 300)
{
	for (unsigned i = 0; i < most; i++) {
		Verdict v = f.out(host(network, (uint16_t)i), 40000, 53, udp());
		if (v.reason == XLAT_OK)
			continue;
		EQUAL(v.reason, why);
		return i;
	}
	return most;
}

} // namespace

CASE("gives the addresses of one client prefix the bindings of one client, and the next prefix its "
     "own (RFC 6888 REQ-4)")
{
	Fixture f;
	f.options.config.limits.bindings = 100;
	f.open();
	EQUAL(until_refused(f, 1, XLAT_CLIENT_LIMIT), 100);
	EQUAL(until_refused(f, 2, XLAT_CLIENT_LIMIT), 100);
	EQUAL(f.bindings(), 200);
	EQUAL(f.ports_used(), 200);
	/* What stands goes on, further sessions of it too. */
	EQUAL(f.out(host(1, 5), 40000, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(host(1, 5), 40000, 54, udp()).reason, XLAT_OK);
	EQUAL(f.out(host(1, 5), 40001, 53, icmp()).reason, XLAT_CLIENT_LIMIT);
	f.pass(301'000);
	EQUAL(f.bindings(), 0);
	EQUAL(until_refused(f, 1, XLAT_CLIENT_LIMIT), 100);
}

CASE("counts each address for itself with a client prefix length of 128, and a site with 48")
{
	Fixture f;
	f.options.config.limits = { 128, 2, 0, 0 };
	f.open();
	for (uint16_t number = 0; number < 50; number++) {
		EQUAL(f.out(host(1, number), 1, 53, udp()).reason, XLAT_OK);
		EQUAL(f.out(host(1, number), 2, 53, udp()).reason, XLAT_OK);
		EQUAL(f.out(host(1, number), 3, 53, udp()).reason, XLAT_CLIENT_LIMIT);
	}
	f.options.config.limits.prefix_length = 48;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	EQUAL(f.bindings(), 100);
	EQUAL(f.out(host(9, 9), 1, 53, udp()).reason, XLAT_CLIENT_LIMIT);
	EQUAL(f.out(client(1), 1, 53, udp()).reason, XLAT_OK);
}

CASE("bounds the sessions of a client, and leaves the last eighth of them to itself (RFC 6888 "
     "REQ-5)")
{
	Fixture f;
	f.options.config.limits.sessions = 80;
	f.open();
	Verdict first = f.out(host(1, 1), 7, 53, udp());
	unsigned inbound = 0;
	for (unsigned i = 0; i < 200; i++) {
		Verdict v = f.in(f.pool, first.four.pool_port, f.remote + 1 + i, 9, udp());
		inbound += v.reason == XLAT_OK;
		if (v.reason != XLAT_OK)
			EQUAL(v.reason, XLAT_CLIENT_SESSIONS);
	}
	EQUAL(inbound, 69);
	for (unsigned i = 0; i < 10; i++)
		EQUAL(f.out(host(1, 2), 7, (uint16_t)(100 + i), udp()).reason, XLAT_OK);
	EQUAL(f.out(host(1, 2), 7, 99, udp()).reason, XLAT_CLIENT_SESSIONS);
	EQUAL(f.out(host(1, 3), 7, 99, udp()).reason, XLAT_CLIENT_SESSIONS);
	EQUAL(f.out(host(2, 3), 7, 99, udp()).reason, XLAT_OK);
	EQUAL(f.bindings(), 3);
	EQUAL(f.in(f.pool, first.four.pool_port, f.remote, 53, udp()).reason, XLAT_OK);
	f.pass(301'000);
	EQUAL(f.out(host(1, 3), 7, 99, udp()).reason, XLAT_OK);
}

CASE("lets a client open so many sessions at once and a second, and IPv4 hosts as many to it")
{
	Fixture f;
	f.options.config.limits.rate = 10;
	f.open();
	EQUAL(until_refused(f, 1, XLAT_CLIENT_RATE), 10);
	EQUAL(until_refused(f, 2, XLAT_CLIENT_RATE), 10);
	for (unsigned i = 0; i < 5; i++)
		EQUAL(f.out(host(1, (uint16_t)i), 40000, 53, udp()).reason, XLAT_OK);
	f.now += 500;
	unsigned more = 0;
	for (unsigned i = 0; i < 20; i++)
		more += f.out(host(1, 500), (uint16_t)i, 53, udp()).reason == XLAT_OK;
	EQUAL(more, 5);
	uint16_t port = f.list_bindings({ {}, Prefix6{ host(1, 500), 128 }, {} })[0].outside_port;
	unsigned inbound = 0;
	for (unsigned i = 0; i < 20; i++)
		inbound += f.in(f.pool, port, f.remote + 1 + i, 9, udp()).reason == XLAT_OK;
	EQUAL(inbound, 10);
	f.now += 60'000;
	more = 0;
	for (unsigned i = 100; i < 120; i++)
		more += f.out(host(1, 500), (uint16_t)i, 53, udp()).reason == XLAT_OK;
	EQUAL(more, 10);
}

CASE("tells a client beyond its limits once in 50 ms, and each client for itself")
{
	Fixture f;
	f.options.config.limits.bindings = 1;
	f.open();
	for (uint16_t network = 1; network < 3; network++) {
		EQUAL(f.out(host(network, 1), 1, 53, udp()).reason, XLAT_OK);
		CHECK(!f.out(host(network, 2), 1, 53, udp()).told);
		CHECK(f.out(host(network, 3), 1, 53, udp()).told);
	}
	f.now += 50;
	CHECK(!f.out(host(1, 4), 1, 53, udp()).told);
	CHECK(f.out(host(1, 4), 1, 53, udp()).told);
}

CASE("counts no static binding as the client's, also when it becomes one")
{
	Fixture f;
	f.options.config.limits.bindings = 2;
	f.options.config.statics = { { Protocol::UDP, host(1, 1), 9, f.pool, 2000 } };
	f.open();
	EQUAL(f.out(host(1, 1), 9, 53, udp()).reason, XLAT_OK);
	Verdict second = f.out(host(1, 2), 9, 53, udp());
	EQUAL(f.out(host(1, 3), 9, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(host(1, 4), 9, 53, udp()).reason, XLAT_CLIENT_LIMIT);
	f.options.config.statics.push_back(
		{ Protocol::UDP, host(1, 2), 9, f.pool, second.four.pool_port });
	EQUAL(f.table->configure(f.options.config, f.now).error, "");
	EQUAL(f.out(host(1, 4), 9, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(host(1, 5), 9, 53, udp()).reason, XLAT_CLIENT_LIMIT);
	f.options.config.statics.clear();
	f.table->configure(f.options.config, f.now);
	EQUAL(f.bindings(), 2);
	EQUAL(f.out(host(1, 5), 9, 53, udp()).reason, XLAT_CLIENT_LIMIT);
}

CASE("counts what stands when limits come, change and go, and ends nothing for them")
{
	Fixture f;
	f.open();
	EQUAL(until_refused(f, 1, XLAT_OK, 150), 150);
	for (uint32_t most : { 100u, 151u }) {
		f.options.config.limits.bindings = most;
		EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
		EQUAL(f.out(host(1, 1), 40000, 53, udp()).reason, XLAT_OK);
		EQUAL(f.out(host(1, 1000), 1, 53, udp()).reason,
		      most == 100 ? XLAT_CLIENT_LIMIT : XLAT_OK);
	}
	f.options.config.limits.bindings = 0;
	f.table->configure(f.options.config, f.now);
	EQUAL(f.out(host(1, 1001), 1, 53, udp()).reason, XLAT_OK);
	f.pass(301'000);
	EQUAL(f.bindings(), 0);
}

CASE("counts what a predecessor left")
{
	Fixture f;
	f.options.config.limits = { 64, 100, 0, 0 };
	f.open();
	EQUAL(until_refused(f, 1, XLAT_CLIENT_LIMIT), 100);
	f.table.reset();
	f.open();
	EQUAL(f.table->adopted(), 100);
	EQUAL(f.out(host(1, 1000), 1, 53, udp()).reason, XLAT_CLIENT_LIMIT);
	f.pass(301'000);
	EQUAL(until_refused(f, 1, XLAT_CLIENT_LIMIT), 100);
}

CASE("forgets a prefix with its last binding: a million of them cost no more than those that live")
{
	Fixture f;
	f.options.config.limits = { 128, 5, 5, 100 };
	f.open();
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 2000; i++)
			EQUAL(f.out(client(round * 2000 + i), 1, 53, udp()).reason, XLAT_OK);
		f.pass(301'000);
		EQUAL(f.bindings(), 0);
	}
	CHECK(f.table->memory().process < 16u << 20);
}

namespace {

/** Three threads open flows in three networks while `meanwhile` runs; how many were refused. */
template <typename Meanwhile> uint64_t storm(Fixture &f, Meanwhile meanwhile)
{
	std::atomic<uint64_t> refused = 0;
	auto work = [&](unsigned seed) {
		for (unsigned i = 0; i < 20'000; i++) {
			unsigned pick = (i + seed) * 2654435761u >> 8;
			Verdict v = f.out(host((uint16_t)(pick % 3), (uint16_t)(pick / 3 % 400)),
					  40000, (uint16_t)(pick / 1200 % 5), udp());
			refused += v.reason == XLAT_CLIENT_LIMIT ||
				   v.reason == XLAT_CLIENT_SESSIONS;
		}
	};
	std::thread a(work, 1), b(work, 30'000), c(work, 60'000);
	meanwhile();
	a.join(), b.join(), c.join();
	return refused;
}

} // namespace

CASE("holds the limits exactly while several threads open for the same clients")
{
	Fixture f;
	f.options.config.limits = { 64, 200, 600, 0 };
	f.open();
	CHECK(storm(f, [] {}) > 0);
	for (uint16_t network = 0; network < 3; network++) {
		ViewFilter of = { {}, Prefix6{ host(network, 0), 64 }, {} };
		EQUAL(f.list(of).size(), 600);
		EQUAL(f.list_bindings(of).size(), 200);
	}
}

CASE("keeps the numbers of the clients right while threads open and the configuration changes")
{
	Fixture f;
	f.options.config.limits = { 64, 200, 600, 0 };
	f.open();
	SessionConfig other = f.options.config, off = f.options.config;
	other.limits.prefix_length = 60;
	off.limits = {};
	storm(f, [&] {
		for (unsigned i = 0; i < 60; i++)
			f.table->configure(i % 3 == 2 ? f.options.config : i % 3 ? off : other,
					   f.now);
	});
	f.pass(301'000);
	EQUAL(f.sessions(), 0);
	EQUAL(until_refused(f, 1, XLAT_CLIENT_LIMIT), 200);
}
