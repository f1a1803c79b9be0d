// SPDX-License-Identifier: Apache-2.0
/*
 * The compiled policy against a walk over its nodes, and the limiters by arithmetic on a clock of
 * the test's. Prints how many flows met a node.
 */
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "../../../native/policy.h"

using namespace sixgate;

namespace {

constexpr uint64_t SECOND = 1'000'000'000;

std::mt19937_64 random_bits;

uint64_t below(uint64_t limit)
{
	return random_bits() % limit;
}

void require(bool holds, const char *what)
{
	if (holds)
		return;
	std::printf("%s\n", what);
	std::exit(1);
}

/* Few bits differ, so that prefixes hold addresses and one another. */
Ip6 some_address()
{
	Ip6 out{{0x20, 0x01, 0x0d, 0xb8}};
	out.bytes[5] = static_cast<uint8_t>(below(3));
	out.bytes[7] = static_cast<uint8_t>(below(3));
	out.bytes[15] = static_cast<uint8_t>(below(3));
	return out;
}

uint32_t some_remote()
{
	return 0xc0000200 | static_cast<uint32_t>(below(4)) << 8 | static_cast<uint32_t>(below(4));
}

bool same_start(const uint8_t *a, const uint8_t *b, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

bool in(const Prefix6 &prefix, const Ip6 &address)
{
	return same_start(prefix.address.bytes, address.bytes, prefix.length);
}

bool in(const Prefix4 &prefix, uint32_t address)
{
	return prefix.length == 0 || (prefix.address ^ address) >> (32 - prefix.length) == 0;
}

PolicyNode some_node(unsigned number)
{
	PolicyNode node;
	const uint8_t lengths6[] = {0, 32, 48, 64, 127, 128}, lengths4[] = {0, 8, 22, 24, 30, 32};
	const uint8_t protocols[] = {0, 1, 6, 17};
	node.key = std::to_string(number);
	for (uint64_t i = below(4); i > 0; i--)
		node.clients.push_back({some_address(), lengths6[below(6)]});
	for (uint64_t i = below(3); i > 0; i--)
		node.to4.push_back({some_remote(), lengths4[below(6)]});
	if (below(4) == 0)
		node.to6.push_back({some_address(), lengths6[below(6)]});
	node.protocol = protocols[below(4)];
	if (node.protocol > 1 && below(2)) {
		node.first_port = static_cast<uint16_t>(1 + below(20));
		node.last_port = static_cast<uint16_t>(node.first_port + below(20));
		if (below(8) == 0)
			node.last_port = UINT16_MAX;
	}
	node.action = below(6) ? (below(2) ? PolicyAction::MARK : PolicyAction::LIMIT) :
				 (below(2) ? PolicyAction::ALLOW : PolicyAction::DENY);
	node.dscp = static_cast<uint8_t>(below(64));
	node.limit.node = number;
	return node;
}

bool matches(const PolicyNode &node, const PolicyFlow &flow)
{
	auto any = [](const auto &list, const auto &address) {
		return std::any_of(list.begin(), list.end(),
				   [&](const auto &one) { return in(one, address); });
	};
	if (!node.clients.empty() && !any(node.clients, flow.client))
		return false;
	bool anywhere = node.to4.empty() && node.to6.empty();
	if (!anywhere && !any(node.to4, flow.remote) && !any(node.to6, flow.server))
		return false;
	if (node.protocol && node.protocol != flow.protocol)
		return false;
	if (!node.last_port)
		return true;
	if (!flow.has_port)
		return node.action == PolicyAction::ALLOW;
	return node.first_port <= flow.port && flow.port <= node.last_port;
}

PolicyDecision walk(const std::vector<PolicyNode> &nodes, const PolicyFlow &flow)
{
	PolicyDecision out;
	for (size_t i = 0; i < nodes.size(); i++) {
		if (!matches(nodes[i], flow))
			continue;
		out.nodes |= 1ull << i;
		if (nodes[i].action == PolicyAction::DENY)
			return {out.nodes, 0, true, NO_DSCP};
		if (nodes[i].action == PolicyAction::ALLOW)
			return out;
		if (nodes[i].action == PolicyAction::LIMIT)
			out.limiters |= 1ull << i;
		else
			out.dscp = nodes[i].dscp;
	}
	return out;
}

unsigned compare()
{
	const uint8_t protocols[] = {1, 6, 17, 50};
	unsigned met = 0;
	for (int round = 0; round < 200; round++) {
		std::vector<PolicyNode> nodes;
		for (uint64_t i = 0, count = below(POLICY_NODES + 1); i < count; i++)
			nodes.push_back(some_node(static_cast<unsigned>(i)));
		auto chain = PolicyChain::build(nodes, nullptr, 1);
		for (int i = 0; i < 100; i++) {
			PolicyFlow flow{some_address(), some_address(), some_remote(),
					protocols[below(4)], below(4) != 0,
					static_cast<uint16_t>(below(8) ? below(45) : UINT16_MAX)};
			PolicyDecision is = chain->evaluate(flow), should = walk(nodes, flow);
			require(is.nodes == should.nodes && is.limiters == should.limiters &&
					is.denied == should.denied && is.dscp == should.dscp,
				"the chain decides otherwise than its nodes");
			met += should.nodes != 0;
		}
	}
	return met;
}

LimiterRule rate_of(double per_second, uint64_t burst, limiter_kind kind)
{
	LimiterRule rule;
	rule.node = 1;
	rule.kind = kind;
	rule.price = static_cast<uint64_t>(1e9 * (1 << LIMITER_POINT) / per_second);
	rule.depth = burst;
	return rule;
}

/* Over any time no more passes than rate × (time + burst) and one packet; of a flood, all of that. */
void hold_rates()
{
	LimiterTable table(random_bits());
	for (int round = 0; round < 50; round++) {
		double rate = static_cast<double>(1000 + below(1'000'000'000));
		uint64_t burst = (10 + below(1000)) * 1'000'000, now = SECOND + below(SECOND);
		LimiterRule rule = rate_of(rate, burst, LIMITER_BYTES);
		Ip6 client{};
		client.bytes[3] = static_cast<uint8_t>(round);
		struct limiter &one = table.find(rule, client, now);
		uint64_t begin = now, passed = 0, largest = 0, offered = 0;
		for (int i = 0; i < 5000; i++) {
			uint32_t bytes = static_cast<uint32_t>(1 + below(65535));
			offered += bytes;
			if (limiter_take(&one, now, 1, bytes) == XLAT_OK) {
				passed += bytes;
				largest = std::max<uint64_t>(largest, bytes);
			}
			/* Three times as fast as is allowed. */
			now += static_cast<uint64_t>(bytes / rate / 3 * 1e9);
		}
		double most = rate * static_cast<double>(now - begin + burst) / 1e9;
		require(static_cast<double>(passed) <= most * 1.001 + 2 * 65536, "a rate is exceeded");
		require(static_cast<double>(passed) >= most * 0.999 - 2 * 65536 ||
				passed == offered,
			"a rate is not reached");
	}
	/* Who was quiet has the burst, however long it was. */
	LimiterRule rule = rate_of(10, SECOND, LIMITER_PACKETS);
	struct limiter &one = table.find(rule, Ip6{{0xfe}}, 0);
	for (uint64_t now : {SECOND, 1000 * SECOND}) {
		int passed = 0;
		for (int i = 0; i < 100; i++)
			passed += limiter_take(&one, now, 1, 1) == XLAT_OK;
		require(passed == 11, "a burst is another than it was set to");
	}
	/* A super-packet is all of its segments. */
	require(limiter_take(&one, 2000 * SECOND, 45, 65000) == XLAT_OK, "a first one passes");
	require(limiter_take(&one, 2003 * SECOND, 1, 1) == XLAT_POLICY_RATE, "segments are free");
	require(limiter_take(&one, 2004 * SECOND, 1, 1) == XLAT_OK, "segments cost too much");
}

void hold_quotas()
{
	LimiterTable table(random_bits());
	LimiterRule rule;
	rule.node = 2;
	rule.kind = LIMITER_QUOTA;
	rule.price = 60 * SECOND;
	rule.depth = 1000;
	rule.phase = 30 * SECOND;
	struct limiter &one = table.find(rule, Ip6{}, 0);
	for (uint64_t minute = 0; minute < 70'000; minute += 1 + below(40)) {
		uint64_t now = minute * 60 * SECOND + 30 * SECOND + below(60 * SECOND);
		require(limiter_take(&one, now, 1, 600) == XLAT_OK, "a new period is not seen");
		require(limiter_take(&one, now, 1, 401) == XLAT_POLICY_QUOTA, "too much passes");
		require(limiter_take(&one, now, 1, 400) == XLAT_OK, "what is left does not pass");
		require(limiter_take(&one, now, 1, 1) == XLAT_POLICY_QUOTA, "a byte too many");
		limiter_give(&one, 1, 400);
		require(limiter_take(&one, now, 1, 399) == XLAT_OK, "nothing was given back");
	}
}

/* More clients than places: nobody begins anew by being forgotten. */
void hold_memory()
{
	LimiterTable table(random_bits());
	LimiterRule rule;
	rule.node = 3;
	rule.kind = LIMITER_QUOTA;
	rule.price = 1000 * SECOND;
	rule.depth = 1 << 20;
	rule.prefix_length = 128;
	uint64_t passed = 0;
	unsigned clients = LimiterTable::PLACES * 2;
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < clients; i++) {
			Ip6 client{};
			std::memcpy(client.bytes, &i, sizeof(i));
			struct limiter &one = table.find(rule, client, SECOND);
			passed += limiter_take(&one, SECOND, 1, 1 << 20) == XLAT_OK;
		}
	require(passed >= LimiterTable::PLACES / 2 && passed <= LimiterTable::PLACES,
		"as many pass as there are places, and no more");
	require(table.count(3) > LimiterTable::PLACES / 10 * 9, "most places are taken");
	struct limiter &same = table.find(rule, Ip6{}, SECOND);
	rule.depth = 1 << 21;
	struct limiter &changed = table.find(rule, Ip6{}, SECOND);
	require(&same == &changed && changed.depth == 1 << 21, "a rule that changed finds its limiter");
}

/* Two threads together get what one would. */
void share()
{
	LimiterTable table(random_bits());
	LimiterRule rule = rate_of(1000, SECOND, LIMITER_PACKETS);
	std::atomic<int> passed{0};
	auto flood = [&] {
		for (int i = 0; i < 20'000; i++)
			passed += limiter_take(&table.find(rule, Ip6{}, SECOND), SECOND, 1, 1) == XLAT_OK;
	};
	{
		std::jthread one(flood), two(flood);
	}
	require(passed >= 1000 && passed <= 1010, "threads do not share a limiter");
}

} // namespace

int main(int, char **argv)
{
	random_bits.seed(std::strtoull(argv[1], nullptr, 10));
	hold_rates();
	hold_quotas();
	hold_memory();
	share();
	std::printf("%u\n", compare());
}
