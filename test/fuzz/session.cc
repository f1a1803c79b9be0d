// SPDX-License-Identifier: Apache-2.0
/**
 * The session machine with operations as input: packets of both sides, time, reconfiguration,
 * restarts. After them no port has two owners, the BIB and the sessions agree, and when all timers
 * have run out nothing is left.
 */
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <tuple>
#include <unistd.h>

#include "session.h"
#include "session_log.h"

using namespace sixgate;

namespace {

void expect(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

uint64_t chance_state;

/** The input, which is zeros where it ends. */
struct Input {
	const uint8_t *at, *end;
	bool more() const { return at < end; }
	uint8_t byte() { return more() ? *at++ : 0; }
	unsigned below(unsigned limit) { return byte() % limit; }
	uint16_t word()
	{
		unsigned high = byte();
		return (uint16_t)(high << 8 | byte());
	}
};

constexpr uint32_t POOL = 0xc6336440, REMOTE = 0xc0000221;
/** Longer than any timer of configuration(): the wheel turns tick by tick. */
constexpr Time FOREVER = 90'000;

Ip6 address6(uint32_t first, uint32_t last)
{
	Ip6 out = {};
	for (int i = 0; i < 4; i++) {
		out.bytes[i] = (uint8_t)(first >> (24 - 8 * i));
		out.bytes[12 + i] = (uint8_t)(last >> (24 - 8 * i));
	}
	return out;
}

Ip6 client(unsigned number)
{
	return address6(0x20010db8, number);
}

Ip6 server(unsigned number)
{
	return address6(0x0064ff9b, REMOTE + number);
}

/** Half of the pools lend blocks, which is as many ports as two or three blocks have. */
void blocks(Input &in, PoolConfig &pool)
{
	uint8_t shape = in.byte();
	if (shape & 1)
		return;
	pool.block_size = (uint16_t)(MIN_BLOCK + (shape >> 1 & 7));
	pool.blocks_per_client = shape >> 4 & 3;
	pool.deterministic = (shape >> 6) == 3;
	pool.last_port = (uint16_t)(pool.first_port + pool.block_size * 2 + (shape & 127));
	if (pool.deterministic)
		pool.clients = { { client(0), 124 } };
}

/** Few ports, so that they run out; static bindings in and beside the pools. */
SessionConfig configuration(Input &in)
{
	SessionConfig config;
	config.prefixes = { { address6(0x0064ff9b, 0), 96 } };
	if (in.byte() & 1)
		config.prefixes.push_back({ address6(0x20010dba, 0), 96 });
	for (unsigned i = 0, pools = 1 + in.below(2); i < pools; i++) {
		PoolConfig pool;
		pool.addresses = { { POOL + 4 * i, (uint8_t)(30 + in.below(3)) } };
		pool.first_port = (uint16_t)(1000 + in.below(40));
		pool.last_port = (uint16_t)(pool.first_port + in.below(60));
		if (i)
			pool.clients = { { client(0), (uint8_t)(121 + in.below(8)) } };
		blocks(in, pool);
		config.pools.push_back(pool);
	}
	for (unsigned i = 0, statics = in.below(3); i < statics; i++)
		config.statics.push_back({ in.byte() & 1 ? Protocol::TCP : Protocol::UDP,
					   client(in.below(8)), (uint16_t)(1000 + in.below(8)),
					   POOL + in.below(9), (uint16_t)(1000 + in.below(100)) });
	uint8_t flags = in.byte();
	config.address_dependent = flags & 1;
	config.limits.prefix_length = (uint8_t)(125 + (flags >> 2 & 3));
	if (flags & 16)
		config.limits.bindings = 1u + (flags >> 5) * 10;
	if (flags & 32)
		config.limits.sessions = 8u + (flags >> 5) * 10;
	config.logged = LOG_BINDINGS | LOG_BLOCKS | LOG_TROUBLE;
	config.timeouts = { flags & 2 ? 80'000u : 20'000u, 8'000, 6'000, 12'000, 1'000 };
	return config;
}

/** What somebody believes who has nothing but the log of bindings. */
struct Reader {
	using Owner = std::tuple<uint64_t, uint64_t, uint64_t>;
	/** By protocol, pool address and port. */
	std::map<std::tuple<unsigned, uint64_t, uint64_t>, Owner> bindings;
	/** By pool address, first and last port. */
	std::map<std::tuple<uint64_t, uint64_t, uint64_t>, Owner> blocks;

	static uint64_t field(const uint8_t *at, unsigned size)
	{
		uint64_t value = 0;
		while (size--)
			value = value << 8 | *at++;
		return value;
	}
	template <typename Key>
	static void change(std::map<Key, Owner> &owners, bool begins, const Key &key, const Owner &owner)
	{
		if (begins) {
			expect(owners.insert({ key, owner }).second,
			       "the log gives away what it did not take back");
			return;
		}
		auto found = owners.find(key);
		expect(found != owners.end() && found->second == owner,
		       "the log takes back what it did not give");
		owners.erase(found);
	}
	void line(const uint8_t *at)
	{
		auto event = (NatEvent)at[8];
		unsigned protocol = at[9];
		Owner owner = { field(at + 10, 8), field(at + 18, 8), field(at + 26, 2) };
		uint64_t pool = field(at + 28, 4), port = field(at + 32, 2), last = field(at + 34, 2);
		if (event == NatEvent::BINDING_CREATED || event == NatEvent::BINDING_DELETED)
			change(bindings, event == NatEvent::BINDING_CREATED,
			       { protocol, pool, port }, owner);
		if (event == NatEvent::BLOCK_ALLOCATED || event == NatEvent::BLOCK_RELEASED)
			change(blocks, event == NatEvent::BLOCK_ALLOCATED, { pool, port, last }, owner);
	}
	void read(NatLog &log)
	{
		uint8_t lines[64 * NatLog::RECORD_SIZE];
		while (size_t count = log.read(lines, 64))
			for (size_t i = 0; i < count; i++)
				line(lines + i * NatLog::RECORD_SIZE);
		expect(!log.lost(), "the log is full");
	}
};

struct Machine {
	NatLog log;
	Reader reader;
	char path[64] = "/dev/shm/sixgate-fuzz-XXXXXX";
	SessionOptions options;
	std::unique_ptr<SessionTable> table;
	Time now = 1'000'000'000;
	/** Slow ones, of which a few in an input say all. */
	unsigned restarts = 2, changes = 4;
	/** The flow that the next packet is likely to belong to. */
	Protocol protocol = Protocol::UDP;
	Tuple6 last6 = {};
	Tuple4 last4 = {};

	explicit Machine(Input &in)
	{
		close(mkstemp(path));
		options.path = path;
		options.boot_id = "fuzz";
		options.netns_inode = 1;
		options.max_sessions = 16 << in.below(5);
		options.config = configuration(in);
		options.log = &log;
		open();
	}
	~Machine()
	{
		table.reset();
		unlink(path);
	}
	void open()
	{
		std::string error;
		table = SessionTable::open(options, now, error);
	}

	Facts facts(Input &in)
	{
		static const Protocol protocols[] = { Protocol::TCP, Protocol::UDP,
						      Protocol::ICMP };
		static uint8_t packet[200];
		static const uint8_t flags[] = { TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK,
						 TCP_FIN | TCP_ACK, TCP_RST, TCP_RST | TCP_ACK };
		uint8_t shape = in.byte();
		Facts facts = { protocols[shape % 3] };
		if (facts.protocol == Protocol::TCP) {
			uint8_t choice = in.byte();
			facts.tcp_flags = choice < 240 ? flags[choice % 6] : choice;
			facts.packet = packet;
			facts.packet_length = shape;
		}
		facts.packets = 1 + (shape >> 6);
		facts.bytes = 60u * facts.packets;
		return facts;
	}
	/** What RFC 6146 section 3.5 promises of a packet that goes on. */
	void agree(const Verdict &v, Protocol kind)
	{
		if (v.reason != XLAT_OK || v.held)
			return;
		last6 = v.six;
		last4 = v.four;
		protocol = kind;
		expect(table->owns(v.four.pool) || v.session.index,
		       "an address that no pool has was lent without a session");
		if (!v.session.index)
			return;
		Verdict six = table->error64(kind, v.six, now);
		Verdict four = table->error46(kind, v.four, now);
		expect(six.session.index == v.session.index && four.session.index == v.session.index,
		       "the two sides of a session find another one");
		expect(six.state == v.state, "looking at a session changed its state");
	}
	void outbound(Input &in)
	{
		Facts f = facts(in);
		Tuple6 t = { client(in.below(16)), server(in.below(4)),
			     (uint16_t)(1000 + in.below(50)),
			     f.protocol == Protocol::ICMP ? (uint16_t)0 : (uint16_t)in.below(3) };
		if (in.below(16) == 15)
			t.server = address6(0x20010dba, REMOTE);
		send64(t, f);
	}
	void send64(const Tuple6 &t, const Facts &f)
	{
		Verdict v = table->outbound(t, f, now);
		expect(v.reason || (v.six.client == t.client && v.six.server == t.server &&
				    v.six.client_port == t.client_port),
		       "an outbound packet answered for another flow");
		agree(v, f.protocol);
	}
	void inbound(Input &in)
	{
		Facts f = facts(in);
		Tuple4 t = { POOL + in.below(9), REMOTE + in.below(4),
			     (uint16_t)(1000 + in.below(100)), (uint16_t)in.below(3) };
		if (in.below(3))
			t.pool = last4.pool, t.pool_port = last4.pool_port;
		if (f.protocol == Protocol::ICMP)
			t.remote_port = 0;
		send46(t, f);
	}
	void send46(const Tuple4 &t, const Facts &f)
	{
		Verdict v = table->inbound(t, f, now);
		expect(v.reason || v.held || (v.four.pool == t.pool && v.four.remote == t.remote &&
					      v.four.pool_port == t.pool_port),
		       "an inbound packet answered for another flow");
		agree(v, f.protocol);
	}
	/** The same flow goes on. */
	void again(Input &in, bool out)
	{
		Facts f = facts(in);
		f.protocol = protocol;
		if (out)
			send64(last6, f);
		else
			send46(last4, f);
	}
	/** Nothing is created or refreshed. */
	void error(Input &in)
	{
		SessionStats before = table->stats();
		Protocol kind = in.byte() & 1 ? Protocol::TCP : Protocol::UDP;
		table->error46(kind, { POOL + in.below(9), REMOTE, in.word(), 1 }, now);
		table->error64(kind, { client(in.below(16)), server(0), in.word(), 1 }, now);
		SessionStats after = table->stats();
		expect(before.sessions == after.sessions && before.bindings == after.bindings,
		       "an ICMP error made or ended something");
	}
	void pass(Time time, unsigned budget)
	{
		now += time;
		Event events[4];
		for (unsigned shard = 0; shard < SHARDS; shard++)
			for (TickResult result = { 0, true }; result.more;) {
				result = table->tick(shard, now, budget, events, 4);
				for (size_t i = 0; i < result.events; i++)
					expect(events[i].packet_length <= HELD_BYTES,
					       "an event with too long a packet");
			}
	}
	void configure(Input &in)
	{
		if (!changes)
			return;
		changes--;
		SessionConfig config = configuration(in);
		uint64_t before = table->stats().sessions;
		ConfigureResult result = table->configure(config, now);
		if (result.error.empty())
			options.config = config;
		expect(table->stats().sessions + result.ended == before,
		       "a change of configuration lost count of what it ended");
	}
	void restart()
	{
		if (!restarts)
			return;
		restarts--;
		uint64_t before = table->stats().sessions;
		table.reset();
		open();
		expect(table != nullptr, "what was closed does not open");
		expect(table->adopted() <= before, "more was adopted than there was");
		expect(table->adoption().empty(), "what was closed in order is not adopted");
	}
	void step(Input &in)
	{
		static const Time spans[] = { 1, 128, 1'000, 6'100, 13'000, 21'000, 81'000 };
		switch (in.below(16)) {
		default:
			return outbound(in);
		case 4:
		case 5:
		case 6:
			return again(in, true);
		case 7:
		case 8:
		case 9:
			return again(in, false);
		case 10:
		case 11:
			return inbound(in);
		case 12:
			return error(in);
		case 13: {
			Time span = spans[in.below(7)];
			return pass(span, 1 + in.below(200));
		}
		case 14:
			return configure(in);
		case 15:
			return restart();
		}
	}

	using Outside = std::tuple<Protocol, uint32_t, uint16_t>;
	using Inside = std::tuple<Protocol, uint32_t, uint16_t>;

	static uint32_t tail(const Ip6 &ip)
	{
		return (uint32_t)ip.bytes[12] << 24 | (uint32_t)ip.bytes[13] << 16 |
		       (uint32_t)ip.bytes[14] << 8 | ip.bytes[15];
	}
	/** RFC 6146 section 3.1 and 3.2: what the BIB and the session tables have to say of each other. */
	void compare()
	{
		std::map<Outside, BindingView> ports;
		std::set<Inside> insides;
		std::map<Outside, uint32_t> count;
		std::set<std::tuple<Outside, uint32_t, uint16_t>> fours;
		std::set<std::tuple<Inside, uint32_t, uint16_t>> sixes;
		uint64_t sessions = 0;
		table->bindings({}, [&](const BindingView &b) {
			expect(ports.insert({ { b.protocol, b.outside, b.outside_port }, b }).second,
			       "a port has two owners");
			expect(insides.insert({ b.protocol, tail(b.inside), b.inside_port }).second,
			       "a client's port has two bindings");
		});
		table->sessions({}, now, [&](const SessionView &s) {
			Outside outside = { s.protocol, s.four.pool, s.four.pool_port };
			Inside inside = { s.protocol, tail(s.six.client), s.six.client_port };
			auto owner = ports.find(outside);
			sessions++;
			count[outside]++;
			expect(owner != ports.end(), "a session without a binding");
			expect(owner->second.inside == s.six.client &&
				       owner->second.inside_port == s.six.client_port,
			       "a session of another than its port's owner");
			expect(fours.insert({ outside, s.four.remote, s.four.remote_port }).second,
			       "two sessions with one IPv4 side");
			expect(sixes.insert({ inside, tail(s.six.server) ^ s.six.server.bytes[3],
					      s.six.server_port })
				       .second,
			       "two sessions with one IPv6 side");
			expect(s.state != State::CLOSED, "a closed session");
		});
		for (const auto &[outside, b] : ports)
			expect(b.sessions == count[outside], "a binding miscounts its sessions");
		for (const auto &[outside, b] : ports)
			expect(b.fixed || b.sessions, "a binding without a session");
		expect_blocks(ports);
		reader.read(log);
		expect(reader.bindings.size() == ports.size(), "the log tells of other bindings");
		for (const auto &[outside, b] : ports) {
			auto known = reader.bindings.find({ (unsigned)b.protocol, b.outside,
							    b.outside_port });
			expect(known != reader.bindings.end() &&
				       std::get<2>(known->second) == b.inside_port,
			       "a binding that the log does not tell of");
		}
		SessionStats stats = table->stats();
		expect(stats.sessions == sessions, "sessions miscounted");
		expect(stats.bindings == ports.size(), "bindings miscounted");
		for (const PoolUse &use : stats.pools)
			expect(use.used <= use.total, "more ports used than there are");
	}
	/** A block has one owner, is of one pool, and is lent as long as it has a binding. */
	void expect_blocks(const std::map<Outside, BindingView> &ports)
	{
		using Block = std::tuple<uint32_t, uint16_t, uint16_t>;
		const unsigned rest = 128 - options.config.limits.prefix_length;
		std::map<Block, uint32_t> owners;
		uint64_t used = 0, lent = 0;
		for (const auto &[outside, b] : ports) {
			if (!b.block_size)
				continue;
			expect(!b.fixed, "a static binding holds a block");
			expect(b.outside_port >= b.block_first &&
				       b.outside_port < b.block_first + b.block_size,
			       "a port outside of its block");
			uint32_t prefix = tail(b.inside) >> rest;
			auto [at, first] = owners.try_emplace(
				Block{ b.outside, b.block_first, b.block_size }, prefix);
			expect(at->second == prefix, "a block has two owners");
			lent += first;
		}
		for (const PoolUse &use : table->stats().pools) {
			used += use.blocks_used;
			expect(use.blocks_used <= use.blocks_total, "more blocks lent than there are");
		}
		expect(used == lent, "a block without a binding, or one that is not lent");
	}
	/** Nothing outlives its timer: neither session nor binding, port or held SYN. */
	void drain()
	{
		pass(FOREVER, 1000);
		pass(FOREVER, 1000);
		SessionStats stats = table->stats();
		uint64_t dynamic = 0, used = 0, fixed = 0;
		table->bindings({}, [&](const BindingView &b) {
			dynamic += !b.fixed;
			fixed += b.fixed;
		});
		for (const PoolUse &use : stats.pools) {
			used += use.used;
			expect(!use.blocks_used, "a block was never given back");
		}
		expect(!stats.sessions && !stats.held_syns, "a session outlived its timer");
		expect(!dynamic, "a binding outlived its sessions");
		expect(used <= fixed, "a port was never given back");
		reader.read(log);
		expect(reader.bindings.size() == fixed, "the log forgot a release");
		expect(reader.blocks.size() <= fixed, "the log forgot the release of a block");
	}
};

} // namespace

/** Keys and port choices by the input alone, so that a finding can be repeated. */
extern "C" ssize_t getrandom(void *buffer, size_t length, unsigned)
{
	for (size_t i = 0; i < length; i++) {
		chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)buffer)[i] = (uint8_t)(chance_state >> 56);
	}
	return (ssize_t)length;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input in = { data, data + size };
	chance_state = in.byte();
	Machine machine(in);
	if (!machine.table)
		return 0;
	for (unsigned steps = 1; in.more(); steps++) {
		machine.step(in);
		if (steps % 32 == 0)
			machine.compare();
	}
	machine.compare();
	machine.drain();
	return 0;
}
