// SPDX-License-Identifier: Apache-2.0
#include "policy.h"

#include <algorithm>
#include <bit>

#include "xlat/wire.h"

namespace sixgate {
namespace {

using Wide = unsigned __int128;

Wide wide_of(const Ip6 &address)
{
	Wide wide = 0;
	for (uint8_t byte : address.bytes)
		wide = wide << 8 | byte;
	return wide;
}

constexpr uint64_t bit(unsigned node)
{
	return 1ull << node;
}

/* FNV-1a */
class Digest {
public:
	template <typename... Values> void add(const Values &...values) { (one(values), ...); }
	uint32_t value() const { return hash_ ? hash_ : 1; }

private:
	void bytes(const void *data, size_t length)
	{
		for (size_t i = 0; i < length; i++)
			hash_ = (hash_ ^ static_cast<const uint8_t *>(data)[i]) * 16777619;
	}
	template <typename Number> void one(const Number &number) { bytes(&number, sizeof(number)); }
	void one(const std::string &text)
	{
		one(text.size());
		bytes(text.data(), text.size());
	}
	void one(const Prefix4 &prefix) { add(prefix.address, prefix.length); }
	void one(const Prefix6 &prefix)
	{
		bytes(prefix.address.bytes, sizeof(prefix.address.bytes));
		one(prefix.length);
	}
	template <typename Item> void one(const std::vector<Item> &items)
	{
		one(items.size());
		for (const Item &item : items)
			one(item);
	}
	uint32_t hash_ = 2166136261;
};

} // namespace

uint32_t policy_digest(const std::vector<PolicyNode> &nodes)
{
	Digest out;
	if (nodes.empty())
		return 0;
	for (const PolicyNode &node : nodes)
		out.add(node.key, node.clients, node.to4, node.to6, node.protocol, node.first_port,
			node.last_port, node.action, node.dscp);
	return out.value();
}

void PolicyCounters::meet(unsigned thread, uint32_t packets, uint32_t bytes)
{
	lines_[thread].packets.add(packets);
	lines_[thread].bytes.add(bytes);
}

void PolicyCounters::drop(unsigned thread, uint32_t packets, uint32_t bytes)
{
	lines_[thread].dropped_packets.add(packets);
	lines_[thread].dropped_bytes.add(bytes);
}

PolicyTotals PolicyCounters::read() const
{
	PolicyTotals sum;
	for (unsigned i = 0; i < threads_; i++) {
		sum.packets += lines_[i].packets.read();
		sum.bytes += lines_[i].bytes.read();
		sum.dropped_packets += lines_[i].dropped_packets.read();
		sum.dropped_bytes += lines_[i].dropped_bytes.read();
	}
	return sum;
}

template <typename Key> void PrefixNodes<Key>::add(Key address, unsigned length, unsigned node)
{
	constexpr unsigned bits = sizeof(Key) * 8;
	Key mask = length >= bits ? Key{0} : static_cast<Key>(~Key{0}) >> length;
	Key first = address & ~mask;
	rows_.push_back({first, static_cast<Key>(first | mask), length, bit(node)});
}

/* In this order a prefix comes after all that are around it. */
template <typename Key> void PrefixNodes<Key>::build(uint64_t unbound)
{
	unbound_ = unbound;
	std::sort(rows_.begin(), rows_.end(), [](const Row &a, const Row &b) {
		return a.first != b.first ? a.first < b.first : a.length < b.length;
	});
	std::vector<Row> around;
	for (size_t i = 0; i < rows_.size(); i++) {
		Row row = rows_[i];
		for (; i + 1 < rows_.size() && rows_[i + 1].first == row.first &&
		       rows_[i + 1].length == row.length;
		     i++)
			row.nodes |= rows_[i + 1].nodes;
		while (!around.empty() && around.back().last < row.first)
			around.pop_back();
		row.nodes |= around.empty() ? unbound : around.back().nodes;
		around.push_back(row);
		table_.add(row.first, row.length, static_cast<uint32_t>(nodes_.size()));
		nodes_.push_back(row.nodes);
	}
	table_.sort();
	rows_.clear();
}

template <typename Key> uint64_t PrefixNodes<Key>::find(Key address) const
{
	const uint32_t *at = table_.find(address);
	return at ? nodes_[*at] : unbound_;
}

unsigned PolicyChain::class_of(uint8_t protocol)
{
	switch (protocol) {
	case XLAT_PROTO_TCP:
		return TCP;
	case XLAT_PROTO_UDP:
		return UDP;
	case XLAT_PROTO_ICMP:
		return ICMP;
	default:
		return OTHER;
	}
}

/*
 * Without its port a packet is a later fragment. What allows ports allows it, for without its first
 * fragment it is worth nothing; what denies or limits ports leaves it alone.
 */
void PolicyChain::build_ports(const std::vector<PolicyNode> &nodes)
{
	for (unsigned protocol = 0; protocol < PROTOCOLS; protocol++) {
		std::vector<uint16_t> edges{0};
		auto meets = [&](const PolicyNode &node) {
			return !node.protocol || class_of(node.protocol) == protocol;
		};
		for (size_t i = 0; i < nodes.size(); i++) {
			const PolicyNode &node = nodes[i];
			if (!meets(node))
				continue;
			if (!node.last_port || node.action == PolicyAction::ALLOW)
				portless_[protocol] |= bit(static_cast<unsigned>(i));
			if (!node.last_port)
				continue;
			edges.push_back(node.first_port);
			if (node.last_port < UINT16_MAX)
				edges.push_back(static_cast<uint16_t>(node.last_port + 1));
		}
		std::sort(edges.begin(), edges.end());
		edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
		for (uint16_t first : edges) {
			uint64_t here = 0;
			for (size_t i = 0; i < nodes.size(); i++)
				if (meets(nodes[i]) &&
				    (!nodes[i].last_port || (nodes[i].first_port <= first &&
							     first <= nodes[i].last_port)))
					here |= bit(static_cast<unsigned>(i));
			ports_[protocol].push_back({first, here});
		}
	}
}

std::shared_ptr<const PolicyChain> PolicyChain::build(const std::vector<PolicyNode> &nodes,
						      const PolicyChain *before, unsigned threads)
{
	auto chain = std::make_shared<PolicyChain>();
	uint64_t anyone = 0, anywhere = 0;
	for (unsigned i = 0; i < nodes.size() && i < POLICY_NODES; i++) {
		const PolicyNode &node = nodes[i];
		std::shared_ptr<PolicyCounters> counters;
		if (before)
			for (const Node &old : before->nodes_)
				if (old.key == node.key)
					counters = old.counters;
		if (!counters)
			counters = std::make_shared<PolicyCounters>(threads);
		chain->nodes_.push_back({node.key, node.limit, std::move(counters)});
		chain->dscp_.push_back(node.dscp);
		if (node.clients.empty())
			anyone |= bit(i);
		if (node.to4.empty() && node.to6.empty())
			anywhere |= bit(i);
		for (const Prefix6 &prefix : node.clients)
			chain->clients_.add(wide_of(prefix.address), prefix.length, i);
		for (const Prefix6 &prefix : node.to6)
			chain->servers_.add(wide_of(prefix.address), prefix.length, i);
		for (const Prefix4 &prefix : node.to4)
			chain->remotes_.add(prefix.address, prefix.length, i);
		uint64_t PolicyChain::*const kinds[] = {nullptr, &PolicyChain::denials_,
							&PolicyChain::marks_,
							&PolicyChain::limits_};
		if (node.action <= PolicyAction::DENY)
			chain->verdicts_ |= bit(i);
		if (auto kind = kinds[static_cast<unsigned>(node.action)])
			(*chain).*kind |= bit(i);
	}
	chain->clients_.build(anyone);
	chain->servers_.build(anywhere);
	chain->remotes_.build(anywhere);
	chain->build_ports(nodes);
	return chain;
}

uint64_t PolicyChain::nodes_of_port(const PolicyFlow &flow) const
{
	unsigned protocol = class_of(flow.protocol);
	if (XLAT_UNLIKELY(!flow.has_port))
		return portless_[protocol];
	const std::vector<PortNodes> &ports = ports_[protocol];
	auto after = std::upper_bound(
		ports.begin(), ports.end(), flow.port,
		[](uint16_t port, const PortNodes &range) { return port < range.first; });
	return after[-1].nodes;
}

PolicyDecision PolicyChain::evaluate(const PolicyFlow &flow) const
{
	PolicyDecision out;
	uint64_t met = nodes_of_port(flow) & clients_.find(wide_of(flow.client)) &
		       (remotes_.find(flow.remote) | servers_.find(wide_of(flow.server)));
	if (uint64_t verdicts = met & verdicts_) {
		uint64_t first = verdicts & -verdicts;
		met &= first | (first - 1);
		out.denied = first & denials_;
	}
	out.nodes = met;
	if (out.denied)
		return out;
	out.limiters = met & limits_;
	if (uint64_t marks = met & marks_)
		out.dscp = dscp_[std::bit_width(marks) - 1u];
	return out;
}

/* What a packet has paid before another limiter refused it. */
void PolicyChain::pay_back(uint64_t paid, const Ip6 &client, uint32_t packets, uint32_t bytes,
			   LimiterTable &limiters, uint64_t now) const
{
	for (; paid; paid &= paid - 1) {
		const Node &node = nodes_[static_cast<unsigned>(std::countr_zero(paid))];
		limiter_give(&limiters.find(node.limit, client, now), packets, bytes);
	}
}

xlat_reason PolicyChain::charge(const PolicyDecision &decision, const Ip6 &client, unsigned thread,
				uint32_t packets, uint32_t bytes, LimiterTable &limiters,
				uint64_t now) const
{
	uint64_t paid = 0;
	for (uint64_t left = decision.nodes; left; left &= left - 1) {
		unsigned at = static_cast<unsigned>(std::countr_zero(left));
		const Node &node = nodes_[at];
		node.counters->meet(thread, packets, bytes);
		if (!(decision.limiters & bit(at)))
			continue;
		struct limiter &limiter = limiters.find(node.limit, client, now);
		xlat_reason why = limiter_take(&limiter, now, packets, bytes);
		if (XLAT_UNLIKELY(why)) {
			node.counters->drop(thread, packets, bytes);
			pay_back(paid, client, packets, bytes, limiters, now);
			return why;
		}
		paid |= bit(at);
	}
	if (XLAT_LIKELY(!decision.denied))
		return XLAT_OK;
	unsigned last = static_cast<unsigned>(std::bit_width(decision.nodes)) - 1;
	nodes_[last].counters->drop(thread, packets, bytes);
	return XLAT_POLICY_DENY;
}

std::vector<PolicyTotals> PolicyChain::totals(const LimiterTable &limiters) const
{
	std::vector<PolicyTotals> out;
	for (size_t i = 0; i < nodes_.size(); i++) {
		PolicyTotals totals = nodes_[i].counters->read();
		if (limits_ & bit(static_cast<unsigned>(i)))
			totals.clients = limiters.count(nodes_[i].limit.node);
		out.push_back(totals);
	}
	return out;
}

} // namespace sixgate
