// SPDX-License-Identifier: Apache-2.0
/**
 * What the session table costs, apart from packets; one JSON line a size. A session has a binding
 * of its own, and bytes_per_binding is how much less it is when a hundred share one. FILE holds the table,
 * /dev/shm/sixgate-bench by default.
 *
 *   g++ -std=c++20 -O2 -fno-exceptions -pthread -o /tmp/bench \
 *       test/bench/session.cc native/session*.cc native/pool*.cc
 *   /tmp/bench [FILE]
 */
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

#include "../../native/session.h"

using namespace sixgate;

namespace {

constexpr unsigned BATCH = 16, SHARED = 100;
const Time now = 1'000'000'000;

/** Of the processor that this thread had: others on the machine do not count. */
double processor_time()
{
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double seconds(double since)
{
	return processor_time() - since;
}

Tuple6 flow(uint32_t number)
{
	Tuple6 t = {};
	const uint8_t client[4] = { 0x20, 0x01, 0x0d, 0xb8 },
		      server[4] = { 0x00, 0x64, 0xff, 0x9b };
	memcpy(t.client.bytes, client, 4);
	memcpy(t.server.bytes, server, 4);
	uint32_t host = number / 100;
	for (int i = 0; i < 4; i++)
		t.client.bytes[15 - i] = (uint8_t)(host >> (8 * i));
	const uint8_t remote[4] = { 198, 51, 100, (uint8_t)number };
	memcpy(t.server.bytes + 12, remote, 4);
	t.client_port = (uint16_t)(1024 + number % 100);
	t.server_port = 53;
	return t;
}

template <typename Look> double lookup(uint32_t count, Look look)
{
	double best = 1e9;
	for (unsigned round = 0; round < 5; round++) {
		auto start = processor_time();
		look();
		best = std::min(best, seconds(start));
	}
	return best / count * 1e9;
}

SessionOptions options_for(uint32_t sessions, uint16_t block, const std::string &path)
{
	SessionOptions options;
	options.path = path;
	options.max_sessions = std::max(sessions, 1024u);
	Prefix6 prefix = { {}, 96 };
	prefix.address = flow(0).server;
	memset(prefix.address.bytes + 12, 0, 4);
	options.config.prefixes = { prefix };
	PoolConfig pool;
	pool.addresses = { { 0xc0000200, 26 } };
	/* Each client has a hundred bindings. */
	pool.block_size = block;
	options.config.limits.prefix_length = 128;
	options.config.pools = { pool };
	return options;
}

/** Bytes of as many sessions of which a hundred share a binding. */
double shared_bytes(uint32_t sessions, uint16_t block, const std::string &path, Facts facts)
{
	unlink(path.c_str());
	std::string error;
	auto table = SessionTable::open(options_for(sessions, block, path), now, error);
	for (uint32_t i = 0; table && i < sessions; i++) {
		Tuple6 t = flow(i / SHARED);
		t.server_port = (uint16_t)(1 + i % SHARED);
		table->outbound(t, facts, now);
	}
	if (!table || table->stats().bindings != sessions / SHARED)
		return 0;
	MemoryUse memory = table->memory();
	return (double)(memory.file + memory.process);
}

bool measure(uint32_t sessions, uint16_t block, const std::string &path)
{
	Facts facts = { Protocol::UDP };
	facts.bytes = 84;
	double shared = shared_bytes(sessions, block, path, facts);
	unlink(path.c_str());
	SessionOptions options = options_for(sessions, block, path);
	std::string error;
	auto table = SessionTable::open(options, now, error);
	if (!table) {
		fprintf(stderr, "%s\n", error.c_str());
		return false;
	}
	std::vector<Tuple4> fours(sessions);
	auto start = processor_time();
	for (uint32_t i = 0; i < sessions; i++)
		fours[i] = table->outbound(flow(i), facts, now).four;
	double created = sessions / seconds(start);
	MemoryUse memory = table->memory();
	double bytes = (double)(memory.file + memory.process);
	double binding = (bytes - shared) / (sessions - sessions / SHARED);

	std::vector<uint32_t> order(std::min(sessions, 200'000u));
	std::mt19937 random(1);
	for (uint32_t &number : order)
		number = random() % sessions;
	uint32_t count = (uint32_t)order.size(), wrong = 0;
	std::vector<Tuple6> sixes(count);
	std::vector<Tuple4> shuffled(count);
	for (uint32_t i = 0; i < count; i++) {
		sixes[i] = flow(order[i]);
		shuffled[i] = fours[order[i]];
	}
	double out = lookup(count, [&] {
		for (const Tuple6 &t : sixes)
			wrong += table->outbound(t, facts, now).reason != XLAT_OK;
	});
	double in = lookup(count, [&] {
		for (const Tuple4 &t : shuffled)
			wrong += table->inbound(t, facts, now).reason != XLAT_OK;
	});
	double batched = lookup(count, [&] {
		for (uint32_t i = 0; i + BATCH <= count; i += BATCH) {
			for (uint32_t j = i; j < i + BATCH; j++)
				table->prefetch64(Protocol::UDP, sixes[j]);
			for (uint32_t j = i; j < i + BATCH; j++)
				table->prefetch_record64(Protocol::UDP, sixes[j]);
			for (uint32_t j = i; j < i + BATCH; j++)
				wrong += table->outbound(sixes[j], facts, now).reason != XLAT_OK;
		}
	});
	Event events[64];
	start = processor_time();
	for (unsigned shard = 0; shard < SHARDS; shard++)
		table->tick(shard, now + 1000, 1000, events, 64);
	double quiet = seconds(start) * 1e6;
	table.reset();
	start = processor_time();
	table = SessionTable::open(options, now, error);
	double adoption = seconds(start) * 1e3;
	wrong += table->adopted() != sessions;
	start = processor_time();
	table->configure(
		[&] {
			options.config.pools[0].first_port = 1025;
			return options.config;
		}(),
		now);
	double reconfigured = seconds(start) * 1e3;
	printf("{\"sessions\":%u,\"block\":%u,\"outbound_ns\":%.0f,\"inbound_ns\":%.0f,\"outbound_batched_ns\":%"
	       ".0f,"
	       "\"new_bindings_per_s\":%.0f,\"bytes_per_session\":%.1f,"
	       "\"bytes_per_binding\":%.1f,\"file_bytes\":%llu,"
	       "\"process_bytes\":%llu,"
	       "\"idle_tick_us\":%.0f,\"adoption_ms\":%.1f,\"configure_ms\":%.1f}\n",
	       sessions, block, out, in, batched, created,
	       bytes / sessions, binding, (unsigned long long)memory.file,
	       (unsigned long long)memory.process, quiet, adoption, reconfigured);
	table.reset();
	unlink(path.c_str());
	return wrong == 0;
}

} // namespace

int main(int argc, char **argv)
{
	std::string path = argc > 1 ? argv[1] : "/dev/shm/sixgate-bench";
	for (uint16_t block : { 0, 128 })
		for (uint32_t sessions : { 1'000u, 100'000u, 1'000'000u })
			if (!measure(sessions, block, path))
				return 1;
	return 0;
}
