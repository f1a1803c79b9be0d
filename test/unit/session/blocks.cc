// SPDX-License-Identifier: Apache-2.0
/** Blocks of ports (RFC 6888 REQ-14) and deterministic ports (RFC 7422). */
#include <map>
#include <set>
#include <thread>

#include "../../../native/session_log.h"
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

struct Blocks : Fixture {
	explicit Blocks(uint16_t size = 64, unsigned addresses = 1)
	{
		first_pool().addresses = { { pool, (uint8_t)(addresses == 1 ? 32 : 30) } };
		first_pool().block_size = size;
	}
	uint64_t lent() const { return table->stats().pools[0].blocks_used; }
	/** The block of a port of the first pool, by its first port. */
	unsigned block(const Verdict &v) const
	{
		unsigned first = options.config.pools[0].first_port;
		return first + (v.four.pool_port - first) / options.config.pools[0].block_size *
				       options.config.pools[0].block_size;
	}
	/** Opens flows of one host, and says which blocks they are in. */
	std::set<std::pair<uint32_t, unsigned>> fill(const Ip6 &who, unsigned flows,
						     const Facts &facts = udp())
	{
		std::set<std::pair<uint32_t, unsigned>> blocks;
		for (unsigned i = 0; i < flows; i++) {
			Verdict v = out(who, (uint16_t)(10'000 + i), 53, facts);
			EQUAL(v.reason, XLAT_OK);
			blocks.insert({ v.four.pool, block(v) });
		}
		return blocks;
	}
	/** No block has bindings of two client prefixes, and as many are lent as have bindings. */
	void check(unsigned bytes = 8)
	{
		std::map<std::pair<uint32_t, unsigned>, std::string> owners;
		std::set<std::tuple<Protocol, uint32_t, uint16_t>> ports;
		for (const BindingView &b : list_bindings()) {
			if (b.fixed)
				continue;
			CHECK(ports.insert({ b.protocol, b.outside, b.outside_port }).second);
			EQUAL(b.block_size, first_pool().block_size);
			CHECK(b.outside_port >= b.block_first);
			CHECK(b.outside_port < b.block_first + b.block_size);
			std::string prefix((const char *)b.inside.bytes, bytes);
			auto [at, first] =
				owners.try_emplace({ b.outside, b.block_first }, prefix);
			CHECK(at->second == prefix);
		}
		EQUAL(lent(), owners.size());
	}
};

CASE("keeps a session whose binding becomes static beside pools of blocks that are not for its client")
{
	Fixture t;
	t.open();
	uint16_t port = t.out(client(1), 40000, 80, udp()).four.pool_port;
	t.first_pool().clients = { { ip6("2001:db8:2::"), 48 } };
	t.first_pool().block_size = 64;
	t.options.config.statics = { { Protocol::UDP, client(1), 40000, t.pool, port } };
	ConfigureResult result = t.table->configure(t.options.config, t.now);
	EQUAL(result.error, "");
	EQUAL(result.ended, 0u);
	EQUAL(t.sessions(), 1u);
	EQUAL(t.out(client(1), 40000, 80, udp()).four.pool_port, port);
}

} // namespace

CASE("gives a client the ports of one block of adjacent ports, and the next block when that is "
     "full")
{
	Blocks f;
	f.open();
	EQUAL(f.fill(host(1, 1), 64).size(), 1);
	EQUAL(f.lent(), 1);
	EQUAL(f.fill(host(1, 1), 65).size(), 2);
	EQUAL(f.lent(), 2);
	EQUAL(f.fill(host(2, 1), 64).size(), 1);
	f.check();
	EQUAL(f.table->stats().pools[0].blocks_total, 1008);
}

CASE("lends one block to all addresses of a client prefix, and one to each with a length of 128")
{
	Blocks f;
	f.open();
	std::set<unsigned> blocks;
	for (uint16_t number = 0; number < 30; number++)
		blocks.insert(f.block(f.out(host(1, number), 7, 53, udp())));
	EQUAL(blocks.size(), 1);
	f.options.config.limits.prefix_length = 128;
	f.table->configure(f.options.config, f.now);
	blocks.clear();
	for (uint16_t number = 100; number < 130; number++)
		blocks.insert(f.block(f.out(host(1, number), 7, 53, udp())));
	EQUAL(blocks.size(), 30);
}

CASE("uses a block for each protocol")
{
	Blocks f;
	f.open();
	auto blocks = f.fill(host(1, 1), 64);
	CHECK(f.fill(host(1, 1), 64, tcp(TCP_SYN)) == blocks);
	CHECK(f.fill(host(1, 1), 64, icmp()) == blocks);
	EQUAL(f.lent(), 1);
	EQUAL(f.ports_used(), 192);
	f.check();
}

CASE("takes a block back with its last binding")
{
	Blocks f;
	f.open();
	f.fill(host(1, 1), 10, icmp());
	f.fill(host(1, 1), 10);
	f.fill(host(2, 1), 100, icmp());
	EQUAL(f.lent(), 3);
	f.pass(61'000);
	EQUAL(f.lent(), 1);
	f.check();
	f.pass(300'000);
	EQUAL(f.lent(), 0);
	EQUAL(f.ports_used(), 0);
}

CASE("refuses a client that has as many full blocks as it may, and no other one")
{
	Blocks f;
	f.first_pool().blocks_per_client = 2;
	f.open();
	f.fill(host(1, 1), 128);
	EQUAL(f.out(host(1, 1), 1, 53, udp()).reason, XLAT_CLIENT_BLOCKS);
	EQUAL(f.out(host(1, 2), 1, 53, udp()).reason, XLAT_CLIENT_BLOCKS);
	EQUAL(f.out(host(1, 2), 1, 53, icmp()).reason, XLAT_OK);
	EQUAL(f.out(host(2, 1), 1, 53, udp()).reason, XLAT_OK);
	f.check();
	f.pass(301'000);
	f.fill(host(1, 1), 128);
}

CASE("refuses a client without a block when all are lent, however many ports are free")
{
	Blocks f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2000 + 4 * 64 + 50;
	f.open();
	for (uint16_t network = 0; network < 4; network++)
		EQUAL(f.out(host(network, 1), 7, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(host(4, 1), 7, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.table->foresee64({ host(4, 1), server(f.remote), 7, 53 }, udp(), f.now).reason,
	      XLAT_NO_PORT);
	EQUAL(f.table->stats().pools[0].blocks_total, 4);
	EQUAL(f.table->stats().pools[0].total, 4 * 64 * 3);
	f.fill(host(1, 1), 63);
	EQUAL(f.out(host(1, 1), 1, 53, udp()).reason, XLAT_NO_PORT);
	f.check();
	f.pass(301'000);
	EQUAL(f.out(host(4, 1), 7, 53, udp()).reason, XLAT_OK);
}

CASE("takes all blocks of a client prefix from one address, from several hosts at once too")
{
	Blocks f(64, 4);
	f.options.max_sessions = 65536;
	f.open();
	auto work = [&](uint16_t first) {
		for (uint16_t i = 0; i < 3000; i++)
			f.out(host(i % 5, (uint16_t)(first + i / 5 % 7)), (uint16_t)(i / 35), 53,
			      udp());
	};
	std::thread a(work, 0), b(work, 100), c(work, 200);
	a.join(), b.join(), c.join();
	std::map<unsigned, std::set<uint32_t>> addresses;
	for (const BindingView &view : f.list_bindings())
		addresses[view.inside.bytes[7]].insert(view.outside);
	EQUAL(addresses.size(), 5);
	for (const auto &[network, some] : addresses)
		EQUAL(some.size(), 1);
	f.check();
	f.pass(301'000);
	EQUAL(f.lent(), 0);
}

CASE("keeps the parity of the port in a block, and the range below 1024 where there is a block")
{
	Blocks f(256);
	f.first_pool().first_port = 512;
	f.open();
	for (uint16_t port = 10'000; port < 10'100; port++)
		EQUAL(f.out(host(1, 1), port, 53, udp()).four.pool_port % 2, port % 2);
	for (uint16_t port = 600; port < 700; port++) {
		Verdict v = f.out(host(2, 1), port, 53, udp());
		CHECK(v.four.pool_port < 1024);
		EQUAL(v.four.pool_port % 2, port % 2);
		CHECK(f.out(host(3, 1), (uint16_t)(port + 1000), 53, udp()).four.pool_port > 1023);
	}
	f.check();
}

CASE("leaves static bindings in a block to their owners")
{
	Blocks f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2063;
	for (uint16_t i = 0; i < 10; i++)
		f.options.config.statics.push_back(
			{ Protocol::UDP, host(9, i), 80, f.pool, (uint16_t)(2000 + i) });
	f.open();
	f.fill(host(1, 1), 54);
	EQUAL(f.out(host(1, 1), 1, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.out(host(9, 3), 80, 53, udp()).four.pool_port, 2003);
	f.check();
	/* What becomes static leaves the block. */
	uint16_t port = f.list_bindings({ {}, Prefix6{ host(1, 1), 128 }, {} })[0].inside_port;
	Verdict v = f.out(host(1, 1), port, 53, udp());
	f.options.config.statics.push_back(
		{ Protocol::UDP, host(1, 1), port, f.pool, v.four.pool_port });
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	f.pass(301'000);
	EQUAL(f.lent(), 0);
	EQUAL(f.bindings(), 11);
}

CASE("gives a client that opens at the same time as its peer the port that the peer called, out of "
     "its own block or a free one only")
{
	Blocks f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2127;
	f.open();
	Verdict first = f.out(host(1, 1), 7, 80, tcp(TCP_SYN));
	uint16_t same = (uint16_t)(f.block(first) + (first.four.pool_port + 1) % 2);
	uint16_t other = f.block(first) == 2000 ? 2064 : 2000;
	for (uint16_t port : { same, other })
		CHECK(f.in(f.pool, port, f.remote, port, tcp(TCP_SYN)).held);
	EQUAL(f.out(host(1, 2), 8, same, tcp(TCP_SYN)).four.pool_port, same);
	CHECK(f.out(host(1, 2), 9, other, tcp(TCP_SYN)).four.pool_port != other);
	EQUAL(f.out(host(2, 2), 9, other, tcp(TCP_SYN)).four.pool_port, other);
	EQUAL(f.lent(), 2);
	f.check();
}

CASE("lends again after a restart what its predecessor had lent")
{
	Blocks f;
	f.first_pool().blocks_per_client = 2;
	f.open();
	auto before = f.fill(host(1, 1), 100);
	f.fill(host(2, 1), 5);
	f.table.reset();
	f.open();
	EQUAL(f.table->adopted(), 105);
	EQUAL(f.lent(), 3);
	f.check();
	CHECK(f.fill(host(1, 1), 128) == before);
	EQUAL(f.out(host(1, 1), 1, 53, udp()).reason, XLAT_CLIENT_BLOCKS);
	f.pass(301'000);
	EQUAL(f.lent(), 0);
}

CASE("ends what was bound in other blocks or in none when the blocks change, and keeps it when they "
     "go")
{
	Blocks f;
	f.first_pool().block_size = 0;
	f.open();
	for (uint16_t network = 0; network < 20; network++)
		EQUAL(f.out(host(network, 1), 7, 53, udp()).reason, XLAT_OK);
	f.first_pool().block_size = 64;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 20);
	f.fill(host(1, 1), 100);
	/* Another pool moves nothing. */
	PoolConfig more;
	more.addresses = { { ip4("192.0.2.100"), 32 } };
	more.clients = { { host(7, 0), 64 } };
	f.options.config.pools.insert(f.options.config.pools.begin(), more);
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	EQUAL(f.table->stats().pools[1].blocks_used, 2);
	f.options.config.pools.erase(f.options.config.pools.begin());
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	f.check();
	f.table.reset();
	f.first_pool().block_size = 128;
	f.open();
	EQUAL(f.table->adopted(), 0);
	f.fill(host(1, 1), 100);
	f.first_pool().block_size = 0;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	EQUAL(f.bindings(), 100);
	f.pass(301'000);
	EQUAL(f.ports_used(), 0);
}

CASE("keeps the blocks of two clients on two addresses apart when a configuration makes them one")
{
	Blocks f(64, 4);
	f.options.config.limits.prefix_length = 128;
	f.open();
	for (uint16_t number = 0; number < 12; number++)
		f.fill(host(1, number), 20);
	EQUAL(f.lent(), 12);
	f.options.config.limits.prefix_length = 64;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	EQUAL(f.lent(), 12);
	f.check();
	for (uint16_t number = 20; number < 40; number++)
		f.fill(host(1, number), 20);
	f.check();
	f.pass(301'000);
	EQUAL(f.lent(), 0);
}

CASE("keeps the blocks right while threads open and the configuration changes")
{
	Blocks f(64, 4);
	f.options.max_sessions = 65536;
	f.open();
	SessionConfig other = f.options.config, off = f.options.config;
	other.pools[0].block_size = 100;
	off.pools[0].block_size = 0;
	SessionConfig each = f.options.config;
	each.limits.prefix_length = 128;
	auto work = [&](unsigned seed) {
		for (unsigned i = 0; i < 20'000; i++) {
			unsigned pick = (i + seed) * 2654435761u >> 8;
			f.out(host((uint16_t)(pick % 30), (uint16_t)(pick / 30 % 3)),
			      (uint16_t)(pick / 90 % 100), 53, udp());
		}
	};
	std::thread a(work, 1), b(work, 30'000), c(work, 60'000);
	for (unsigned i = 0; i < 40; i++)
		f.table->configure(i % 4 == 0	? f.options.config
				   : i % 4 == 1 ? other
				   : i % 4 == 2 ? off
						: each,
				   f.now);
	f.table->configure(f.options.config, f.now);
	a.join(), b.join(), c.join();
	f.check();
	f.pass(301'000);
	EQUAL(f.sessions(), 0);
	EQUAL(f.lent(), 0);
	EQUAL(f.ports_used(), 0);
}

CASE("tells the log of a block when it is lent and when it is back, and not of its bindings")
{
	NatLog log;
	Blocks f;
	f.options.log = &log;
	f.options.config.logged = LOG_BLOCKS;
	f.open();
	f.fill(host(1, 1), 65);
	EQUAL(log.noted(), 2);
	/* It is the same to a successor and under another configuration. */
	f.table.reset();
	f.open();
	f.options.config.pools.push_back(f.first_pool());
	f.options.config.pools[1].addresses = { { ip4("192.0.2.100"), 32 } };
	f.table->configure(f.options.config, f.now);
	EQUAL(log.noted(), 2);
	f.pass(301'000);
	EQUAL(log.noted(), 4);
	uint8_t records[4 * NatLog::RECORD_SIZE];
	EQUAL(log.read(records, 4), 4);
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *at = records + i * NatLog::RECORD_SIZE;
		EQUAL((int)at[8], i < 2 ? (int)NatEvent::BLOCK_ALLOCATED
					: (int)NatEvent::BLOCK_RELEASED);
		CHECK(!memcmp(at + 10, host(1, 0).bytes, 16));
		unsigned first = at[32] << 8 | at[33], last = at[34] << 8 | at[35];
		EQUAL(last - first, 63);
	}
}

CASE("tells the log that a block is back when a change of the configuration took it")
{
	NatLog log;
	Blocks f;
	f.options.log = &log;
	f.options.config.logged = LOG_BLOCKS;
	f.open();
	f.fill(host(1, 1), 100);
	f.fill(host(2, 1), 1);
	EQUAL(log.noted(), 3);
	f.first_pool().block_size = 128;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 101);
	EQUAL(log.noted(), 6);
	f.fill(host(1, 1), 100);
	f.table.reset();
	f.first_pool().block_size = 0;
	f.open();
	EQUAL(f.table->adopted(), 100);
	EQUAL(log.noted(), 8);
}

CASE("tells the log that a block is another's when the configuration says anew what a client is")
{
	NatLog log;
	Blocks f;
	f.options.log = &log;
	f.options.config.logged = LOG_BLOCKS;
	f.open();
	EQUAL(f.out(host(1, 1), 7, 53, udp()).reason, XLAT_OK);
	for (uint8_t length : { 128, 64 }) {
		f.options.config.limits.prefix_length = length;
		EQUAL(f.table->configure(f.options.config, f.now).ended, 0);
	}
	f.pass(301'000);
	EQUAL(log.noted(), 6);
	uint8_t records[6 * NatLog::RECORD_SIZE];
	EQUAL(log.read(records, 6), 6);
	for (unsigned i = 0; i < 6; i++) {
		const uint8_t *at = records + i * NatLog::RECORD_SIZE;
		EQUAL((int)at[8], i % 2 ? (int)NatEvent::BLOCK_RELEASED
					: (int)NatEvent::BLOCK_ALLOCATED);
		CHECK(!memcmp(at + 10, host(1, i / 2 == 1).bytes, 16));
	}
}

CASE("gives a client prefix the ports that follow from it (RFC 7422), and takes none from others")
{
	Blocks f(1000, 4);
	f.first_pool().deterministic = true;
	f.first_pool().clients = { { host(0, 0), 56 } };
	f.first_pool().first_port = 2000;
	f.open();
	/* 4 addresses of 63 blocks are 252, fewer than the 256 networks. */
	for (uint16_t network : { 0, 1, 5, 251 }) {
		for (uint16_t number = 0; number < 10; number++) {
			Verdict v = f.out(host(network, number), 40'000, 53, udp());
			EQUAL(v.reason, XLAT_OK);
			EQUAL(v.four.pool, f.pool + network % 4);
			EQUAL(f.block(v), 2000 + network / 4 * 1000);
			EQUAL(v.four.pool_port % 2, 0);
		}
	}
	EQUAL(f.out(host(252, 1), 1, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.out(host(256, 1), 1, 53, udp()).reason, XLAT_NO_POOL);
	for (unsigned i = 0; i < 990; i++)
		EQUAL(f.out(host(1, 200), (uint16_t)i, 53, udp()).reason, XLAT_OK);
	EQUAL(f.out(host(1, 201), 1, 53, udp()).reason, XLAT_NO_PORT);
	EQUAL(f.lent(), 0);
	EQUAL(f.table->stats().pools[0].blocks_total, 252);
	/* Another length gives other ports: what does not fit ends. */
	f.table.reset();
	f.open();
	EQUAL(f.table->adopted(), 1030);
	f.first_pool().first_port = 3000;
	EQUAL(f.table->configure(f.options.config, f.now).ended, 1030);
	EQUAL(f.ports_used(), 0);
}

CASE("gives a client whose own ports are all in use others of the same address, from a pool beside")
{
	Blocks f(64);
	f.first_pool().deterministic = true;
	f.first_pool().clients = { { host(0, 0), 60 } };
	f.first_pool().last_port = 1024 + 16 * 64 - 1;
	PoolConfig more = f.first_pool();
	more.first_port = 3000;
	more.last_port = 3127;
	more.deterministic = false;
	f.options.config.pools.push_back(more);
	f.open();
	f.fill(host(3, 1), 64);
	EQUAL(f.table->stats().pools[1].blocks_used, 0);
	f.fill(host(3, 1), 128);
	EQUAL(f.table->stats().pools[1].blocks_used, 1);
	EQUAL(f.out(host(4, 1), 1, 53, udp()).four.pool_port / 64, (1024 + 4 * 64) / 64);
}
