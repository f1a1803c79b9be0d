// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <memory>
#include <unistd.h>

#include "../../../native/session.h"
#include "check.h"

using namespace sixgate;

inline Ip6 ip6(const char *name)
{
	Ip6 out;
	if (inet_pton(AF_INET6, name, out.bytes) != 1)
		abort();
	return out;
}

inline uint32_t ip4(const char *name)
{
	in_addr out;
	if (inet_pton(AF_INET, name, &out) != 1)
		abort();
	return ntohl(out.s_addr);
}

/** 2001:db8:1::NUMBER */
inline Ip6 client(uint32_t number)
{
	Ip6 out = ip6("2001:db8:1::");
	for (int i = 0; i < 4; i++)
		out.bytes[15 - i] = (uint8_t)(number >> (8 * i));
	return out;
}

/** 64:ff9b::ADDRESS */
inline Ip6 server(uint32_t address)
{
	Ip6 out = ip6("64:ff9b::");
	for (int i = 0; i < 4; i++)
		out.bytes[15 - i] = (uint8_t)(address >> (8 * i));
	return out;
}

inline Facts tcp(uint8_t flags)
{
	Facts facts = { Protocol::TCP };
	facts.tcp_flags = flags;
	facts.bytes = 60;
	return facts;
}

inline Facts udp()
{
	Facts facts = { Protocol::UDP };
	facts.bytes = 100;
	return facts;
}

inline Facts icmp()
{
	return { Protocol::ICMP };
}

/** A table on a file of its own, with one pool of one address unless told otherwise. */
struct Fixture {
	char path[64] = "/tmp/sixgate-session-test-XXXXXX";
	SessionOptions options;
	std::unique_ptr<SessionTable> table;
	std::string error;
	Time now = 1'000'000'000;
	const uint32_t remote = ip4("198.51.100.1"), pool = ip4("192.0.2.1");

	Fixture()
	{
		close(mkstemp(path));
		options.path = path;
		options.max_sessions = 4096;
		options.boot_id = "boot";
		options.netns_inode = 1;
		options.config.prefixes = { { ip6("64:ff9b::"), 96 } };
		PoolConfig one;
		one.addresses = { { ip4("192.0.2.1"), 32 } };
		options.config.pools = { one };
	}
	~Fixture()
	{
		table.reset();
		unlink(path);
	}
	Fixture &open()
	{
		table = SessionTable::open(options, now, error);
		if (!table)
			failed(__FILE__, __LINE__, "open: " + error);
		return *this;
	}
	PoolConfig &first_pool() { return options.config.pools[0]; }
	Verdict out(const Ip6 &from, uint16_t port, uint16_t to, const Facts &facts,
		    uint32_t host = 0)
	{
		return table->outbound({ from, server(host ? host : remote), port, to }, facts,
				       now);
	}
	Verdict in(uint32_t to, uint16_t port, uint32_t host, uint16_t from, const Facts &facts)
	{
		return table->inbound({ to, host, port, from }, facts, now);
	}
	/** Lets the time pass and runs all timers. */
	std::vector<Event> pass(Time time)
	{
		std::vector<Event> all;
		Time until = now + time;
		while (now < until) {
			now = now + 200 < until ? now + 200 : until;
			for (unsigned shard = 0; shard < SHARDS; shard++)
				for (TickResult result = { 0, true }; result.more;) {
					Event events[8];
					result = table->tick(shard, now, 1000, events, 8);
					all.insert(all.end(), events, events + result.events);
				}
		}
		return all;
	}
	uint64_t sessions() const { return table->stats().sessions; }
	uint64_t bindings() const { return table->stats().bindings; }
	uint64_t ports_used() const
	{
		uint64_t sum = 0;
		for (const PoolUse &use : table->stats().pools)
			sum += use.used;
		return sum;
	}
	std::vector<SessionView> list(const ViewFilter &filter = {}) const
	{
		std::vector<SessionView> views;
		table->sessions(filter, now,
				[&](const SessionView &view) { views.push_back(view); });
		return views;
	}
	std::vector<BindingView> list_bindings(const ViewFilter &filter = {}) const
	{
		std::vector<BindingView> views;
		table->bindings(filter, [&](const BindingView &view) { views.push_back(view); });
		return views;
	}
};
