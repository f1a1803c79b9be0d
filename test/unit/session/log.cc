// SPDX-License-Identifier: Apache-2.0
/** The log of bindings: each event once, in the order of the ports' owners (RFC 8158). */
#include <atomic>
#include <map>
#include <thread>

#include "../../../native/session_log.h"
#include "fixture.h"

namespace {

uint64_t field(const uint8_t *at, size_t size)
{
	uint64_t value = 0;
	while (size--)
		value = value << 8 | *at++;
	return value;
}

/** A record as it is read. */
struct Line {
	uint8_t bytes[NatLog::RECORD_SIZE];
	uint64_t time() const { return field(bytes, 8); }
	NatEvent event() const { return (NatEvent)bytes[8]; }
	unsigned protocol() const { return bytes[9]; }
	Ip6 inside() const
	{
		Ip6 out;
		memcpy(out.bytes, bytes + 10, 16);
		return out;
	}
	uint64_t client_port() const { return field(bytes + 26, 2); }
	uint64_t pool() const { return field(bytes + 28, 4); }
	uint64_t pool_port() const { return field(bytes + 32, 2); }
	uint64_t last_port() const { return field(bytes + 34, 2); }
	uint64_t remote() const { return field(bytes + 36, 4); }
	uint64_t remote_port() const { return field(bytes + 40, 2); }
	uint64_t quota() const { return field(bytes + 42, 4); }
	uint64_t value() const { return field(bytes + 46, 4); }
	uint64_t since() const { return field(bytes + 50, 8); }
	uint64_t outside() const { return pool() << 24 | pool_port() << 8 | protocol(); }
};

std::atomic<Time> boot;

NatLog::Stamp clock_of_test()
{
	Time now = boot;
	return { 1'700'000'000'000 + now, now };
}

struct Logged : Fixture {
	NatLog log{ clock_of_test };

	explicit Logged(uint8_t events)
	{
		options.log = &log;
		options.config.logged = events;
	}
	~Logged() { table.reset(); }
	std::vector<Line> read()
	{
		boot = now;
		std::vector<Line> lines(NatLog::CAPACITY);
		lines.resize(log.read(lines[0].bytes, lines.size()));
		return lines;
	}
	Logged &at_once()
	{
		boot = now;
		open();
		return *this;
	}
};

} // namespace

CASE("logs a binding when it comes and when it goes, and not its further sessions")
{
	Logged f(LOG_BINDINGS);
	f.at_once();
	Verdict v = f.out(client(1), 4000, 53, udp());
	f.out(client(1), 4000, 54, udp());
	auto lines = f.read();
	EQUAL(lines.size(), 1);
	EQUAL(lines[0].event(), NatEvent::BINDING_CREATED);
	EQUAL(lines[0].time(), 1'700'000'000'000 + f.now);
	EQUAL(lines[0].protocol(), 17);
	CHECK(lines[0].inside() == client(1));
	EQUAL(lines[0].client_port(), 4000);
	EQUAL(lines[0].pool(), f.pool);
	EQUAL(lines[0].pool_port(), v.four.pool_port);
	EQUAL(lines[0].since(), 0);
	Time begun = f.now;
	for (unsigned i = 0; i < 310; i++) {
		f.pass(1000);
		boot = f.now;
	}
	lines = f.read();
	EQUAL(lines.size(), 1);
	EQUAL(lines[0].event(), NatEvent::BINDING_DELETED);
	EQUAL(lines[0].pool_port(), v.four.pool_port);
	uint64_t since = lines[0].since() - 1'700'000'000'000;
	CHECK(since <= begun && begun - since < 128);
}

CASE("logs sessions with the IPv4 host instead of bindings when asked to")
{
	Logged f(LOG_SESSIONS);
	f.at_once();
	f.out(client(1), 4000, 53, udp());
	f.out(client(1), 4000, 54, udp());
	auto lines = f.read();
	EQUAL(lines.size(), 2);
	EQUAL(lines[1].event(), NatEvent::SESSION_CREATED);
	EQUAL(lines[1].remote(), f.remote);
	EQUAL(lines[1].remote_port(), 54);
	f.pass(310'000);
	lines = f.read();
	EQUAL(lines.size(), 2);
	EQUAL(lines[0].event(), NatEvent::SESSION_DELETED);
	CHECK(lines[0].since() != 0);
}

CASE("logs nothing when not asked to, and from the next event on when asked")
{
	Logged f(0);
	f.at_once();
	f.out(client(1), 4000, 53, udp());
	f.options.config.logged = LOG_BINDINGS;
	EQUAL(f.table->configure(f.options.config, f.now).error, std::string());
	f.out(client(2), 4000, 53, udp());
	auto lines = f.read();
	EQUAL(lines.size(), 1);
	CHECK(lines[0].inside() == client(2));
	f.options.config.logged = 0;
	f.table->configure(f.options.config, f.now);
	f.pass(310'000);
	EQUAL(f.read().size(), 0);
	EQUAL(f.log.noted(), 1);
}

CASE("refuses a configuration that logs where there is no log")
{
	Logged f(LOG_BINDINGS);
	f.options.log = nullptr;
	CHECK(!SessionTable::open(f.options, f.now, f.error));
	EQUAL(f.error, "no memory for the log of bindings");
}

CASE("logs static bindings when the configuration makes and ends them")
{
	Logged f(LOG_BINDINGS);
	f.options.config.statics = { { Protocol::UDP, client(9), 9, f.pool, 53 } };
	f.at_once();
	auto lines = f.read();
	EQUAL(lines.size(), 1);
	EQUAL(lines[0].pool_port(), 53);
	f.options.config.statics = {};
	f.table->configure(f.options.config, f.now);
	lines = f.read();
	EQUAL(lines.size(), 1);
	EQUAL(lines[0].event(), NatEvent::BINDING_DELETED);
	EQUAL(lines[0].pool_port(), 53);
}

CASE("logs what a successor finds and does not keep, and nothing of what it adopts")
{
	Logged f(LOG_BINDINGS | LOG_SESSIONS);
	f.at_once();
	f.out(client(1), 4000, 53, icmp());
	f.out(client(2), 4000, 53, udp());
	f.out(client(3), 4000, 53, tcp(TCP_SYN));
	EQUAL(f.read().size(), 6);
	f.table.reset();
	f.now += 100'000;
	f.options.config.statics = { { Protocol::TCP, client(3), 4000, f.pool, 80 } };
	f.at_once();
	auto lines = f.read();
	EQUAL(f.table->adopted(), 1);
	std::map<NatEvent, unsigned> count;
	for (const Line &line : lines) {
		count[line.event()]++;
		CHECK(!(line.inside() == client(2)));
	}
	EQUAL(count[NatEvent::BINDING_DELETED], 2);
	EQUAL(count[NatEvent::SESSION_DELETED], 2);
	EQUAL(count[NatEvent::BINDING_CREATED], 1);
}

CASE("tells of an exhausted pool, of an exhausted address and of a client at its limit, seldom")
{
	Logged f(LOG_TROUBLE);
	f.first_pool().first_port = f.first_pool().last_port = 5000;
	f.options.config.limits.prefix_length = 128;
	f.options.config.limits.bindings = 2;
	f.at_once();
	EQUAL(f.out(client(1), 1, 53, udp()).reason, XLAT_OK);
	for (uint16_t port = 2; port < 100; port++) {
		EQUAL(f.out(client(1), port, 53, udp()).reason, XLAT_NO_PORT);
		EQUAL(f.out(client(2), port, 53, udp()).reason, XLAT_NO_PORT);
	}
	EQUAL(f.out(client(1), 2, 53, tcp(TCP_SYN)).reason, XLAT_OK);
	for (uint16_t port = 2; port < 100; port++)
		EQUAL(f.out(client(1), port, 53, udp()).reason, XLAT_CLIENT_LIMIT);
	auto lines = f.read();
	EQUAL(lines.size(), 3);
	EQUAL(lines[0].event(), NatEvent::PORTS_EXHAUSTED);
	EQUAL(lines[0].pool(), f.pool);
	EQUAL(lines[0].protocol(), 17);
	EQUAL(lines[1].event(), NatEvent::ADDRESSES_EXHAUSTED);
	EQUAL(lines[1].value(), 0);
	EQUAL(lines[2].event(), NatEvent::QUOTA_EXCEEDED);
	EQUAL(lines[2].quota(), NatQuota::CLIENT);
	EQUAL(lines[2].value(), 2);
	CHECK(lines[2].inside() == client(1));
	f.now += 1000;
	f.out(client(1), 2, 53, udp());
	EQUAL(f.read().size(), 1);
}

CASE("tells of a full session table")
{
	Logged f(LOG_TROUBLE);
	f.options.max_sessions = 16;
	f.at_once();
	for (uint16_t port = 0; port < 100; port++)
		f.out(client(port), 4000, 53, udp());
	auto lines = f.read();
	EQUAL(lines.size(), 1);
	EQUAL(lines[0].event(), NatEvent::QUOTA_EXCEEDED);
	EQUAL(lines[0].quota(), NatQuota::SESSIONS);
	EQUAL(lines[0].value(), 16);
}

CASE("a full log loses what is new, counts it, and goes on once it was read")
{
	NatLog log(clock_of_test);
	CHECK(log.reserve());
	NatRecord record = { NatEvent::BINDING_CREATED };
	for (uint32_t i = 0; i < NatLog::CAPACITY + 100; i++) {
		record.pool = i;
		log.note(record);
	}
	EQUAL(log.noted(), NatLog::CAPACITY);
	EQUAL(log.lost(), 100);
	std::vector<Line> lines(NatLog::CAPACITY);
	for (uint32_t at = 0; at < 3 * NatLog::CAPACITY; at++) {
		EQUAL(log.read(lines[0].bytes, 1), 1);
		EQUAL(lines[0].pool(), at);
		record.pool = NatLog::CAPACITY + at;
		log.note(record);
	}
	EQUAL(log.lost(), 100);
	EQUAL(log.read(lines[0].bytes, lines.size()), NatLog::CAPACITY);
	EQUAL(log.read(lines[0].bytes, lines.size()), 0);
}

CASE("four threads at few ports: no port is created twice without its deletion in between")
{
	Logged f(LOG_BINDINGS);
	f.first_pool().first_port = 4096;
	f.first_pool().last_port = 4096 + 255;
	f.options.config.timeouts.icmp = 1;
	f.at_once();
	std::atomic<Time> now = f.now;
	std::atomic<unsigned> busy = 4;
	std::vector<std::thread> threads;
	for (unsigned thread = 0; thread < 4; thread++)
		threads.emplace_back([&, thread] {
			for (unsigned i = 0; i < 30'000; i++) {
				Ip6 from = client(thread << 16 | i);
				f.table->outbound({ from, server(f.remote), 1, 0 }, icmp(),
						  now.fetch_add(1));
				if (i % 64)
					continue;
				Event events[4];
				for (unsigned shard = 0; shard < SHARDS; shard++)
					f.table->tick(shard, now, 1000, events, 4);
			}
			busy--;
		});
	std::map<uint64_t, unsigned> live;
	uint64_t created = 0, wrong = 0;
	for (bool last = false; !last;) {
		last = !busy;
		for (auto lines = f.read(); !lines.empty(); lines = f.read())
			for (const Line &line : lines) {
				bool begins = line.event() == NatEvent::BINDING_CREATED;
				unsigned &owners = live[line.outside()];
				wrong += owners != (begins ? 0 : 1);
				owners = begins;
				created += begins;
			}
	}
	for (std::thread &thread : threads)
		thread.join();
	EQUAL(f.log.lost(), 0);
	EQUAL(wrong, 0);
	CHECK(created > 10'000);
}
