// SPDX-License-Identifier: Apache-2.0
/** The index by itself, and the table under several threads. */
#include <map>
#include <random>
#include <set>
#include <thread>

#include "../../../native/session_index.h"
#include "fixture.h"

CASE("finds in the index exactly what was inserted and not erased, through growth and overflow")
{
	Arena arena;
	arena.reserve(16 << 20);
	Index index;
	index.attach(arena);
	std::mt19937 random(7);
	std::map<uint32_t, uint32_t> tags;
	uint32_t next = 1;
	auto found = [&](uint32_t tag, uint32_t record) {
		return index.find(tag, [&](uint32_t number) { return number == record; });
	};
	for (unsigned step = 0; step < 60'000; step++) {
		/*
		 * Few distinct tags overflow their buckets by far; the table is filled and emptied
		 * by turns.
		 */
		bool fill = step / 6000 % 2 == 0 ? random() % 4 : random() % 4 == 0;
		if (fill || tags.empty()) {
			uint32_t tag = random() % 3 ? random() : (random() % 40) << 20;
			CHECK(index.room());
			index.insert(tag, next);
			tags[next++] = tag;
		} else {
			auto victim = tags.lower_bound(random() % next);
			if (victim == tags.end())
				victim = tags.begin();
			index.erase(victim->second, victim->first);
			EQUAL(found(victim->second, victim->first), 0);
			tags.erase(victim);
		}
		EQUAL(index.size(), tags.size());
		if (step % 500 == 0)
			for (auto [record, tag] : tags)
				EQUAL(found(tag, record), record);
	}
}

CASE("keeps its books while threads send, timers run and the configuration changes")
{
	Fixture f;
	f.first_pool().first_port = 2000;
	f.first_pool().last_port = 2199;
	f.open();
	std::atomic<bool> stop = false;
	std::atomic<Time> now = f.now;
	std::atomic<uint64_t> wrong = 0;
	auto sender = [&](unsigned seed) {
		std::mt19937 random(seed);
		Event events[8];
		while (!stop) {
			Time at = now += 20;
			Facts facts = random() % 2 ? icmp() : udp();
			Verdict v = f.table->outbound(
				{ client(random() % 300), server(f.remote), 9, 0 }, facts, at);
			if (v.reason == XLAT_OK) {
				Verdict back = f.table->inbound(v.four, facts, at);
				wrong += back.reason == XLAT_OK &&
					 back.six.server_port != v.six.server_port;
			}
			f.table->tick(random() % SHARDS, at, 64, events, 8);
		}
	};
	std::thread one(sender, 1), two(sender, 2);
	std::mt19937 random(3);
	for (unsigned round = 0; round < 150; round++) {
		f.first_pool().last_port = (uint16_t)(2010 + random() % 200);
		f.options.config.address_dependent = random() % 2;
		f.options.config.statics.clear();
		for (uint16_t i = 0; i < 8; i++)
			if (random() % 2)
				f.options.config.statics.push_back(
					{ Protocol::UDP, client(1000u + random() % 3),
					  (uint16_t)(9 + i), f.pool, (uint16_t)(2000 + i) });
		CHECK(f.table->configure(f.options.config, now).error.empty());
		f.list();
	}
	stop = true;
	one.join();
	two.join();
	EQUAL(wrong.load(), 0);
	f.now = now;
	std::set<std::pair<int, unsigned>> ports;
	uint64_t sessions = 0, fixed = 0;
	for (const BindingView &view : f.list_bindings()) {
		CHECK(ports.insert({ (int)view.protocol, view.outside_port }).second);
		sessions += view.sessions;
		fixed += view.fixed;
		CHECK(view.fixed || view.sessions);
	}
	EQUAL(sessions, f.sessions());
	EQUAL(fixed, f.options.config.statics.size());
	EQUAL(ports.size(), f.ports_used());
	f.pass(400'000);
	EQUAL(f.ports_used(), fixed);
}
