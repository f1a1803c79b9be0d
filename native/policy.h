// SPDX-License-Identifier: Apache-2.0
/*
 * The policy: nodes in the order of the configuration, asked before translation. The first node
 * that allows or denies decides; those before it limit or mark. What a node matches is constant for
 * a flow, so the answer is, too; only limiters are asked for each packet.
 *
 * Compiled: each condition of a packet names the nodes that it satisfies, a bit each, by one
 * longest-prefix lookup. A packet meets the nodes that are in all of the answers.
 */
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "policy_limiter.h"
#include "prefix_table.h"
#include "session.h"
#include "translator_counters.h"

namespace sixgate {

enum class PolicyAction : uint8_t { ALLOW, DENY, MARK, LIMIT };

constexpr unsigned POLICY_NODES = 64;
constexpr uint8_t NO_DSCP = 0xff;

struct PolicyNode {
	/* By which a node of the next configuration is known to be this one. */
	std::string key;
	/* Empty: any. */
	std::vector<Prefix6> clients;
	/* The other end, by its IPv4 address or the IPv6 address that it has for the client. */
	std::vector<Prefix4> to4;
	std::vector<Prefix6> to6;
	uint8_t protocol = 0;	  /* of IPv4; 0: any */
	uint16_t first_port = 0, last_port = 0; /* of the other end; 0: any */
	PolicyAction action = PolicyAction::ALLOW;
	uint8_t dscp = 0;
	LimiterRule limit;
};

/* A flow, the same for both directions. */
struct PolicyFlow {
	Ip6 client, server;
	uint32_t remote;
	uint8_t protocol; /* of IPv4 */
	bool has_port;	  /* false for a later fragment, too */
	uint16_t port;	  /* of the other end */
};

struct PolicyDecision {
	uint64_t nodes = 0; /* those that the packet meets */
	uint64_t limiters = 0;
	bool denied = false;
	uint8_t dscp = NO_DSCP;
};

/* Stands for the nodes; 0 for none. */
uint32_t policy_digest(const std::vector<PolicyNode> &nodes);

struct PolicyTotals {
	uint64_t packets = 0, bytes = 0, dropped_packets = 0, dropped_bytes = 0;
	uint32_t clients = 0; /* with a limiter */
};

/* Of one node, as long as it stays; a line for each thread. */
class PolicyCounters {
public:
	explicit PolicyCounters(unsigned threads) : threads_(threads), lines_(new Line[threads]) {}
	void meet(unsigned thread, uint32_t packets, uint32_t bytes);
	void drop(unsigned thread, uint32_t packets, uint32_t bytes);
	PolicyTotals read() const;

private:
	struct alignas(64) Line {
		Counter packets, bytes, dropped_packets, dropped_bytes;
	};
	const unsigned threads_;
	std::unique_ptr<Line[]> lines_;
};

/* Which nodes hold an address: all that name a prefix around it, and those that name none. */
template <typename Key> class PrefixNodes {
public:
	void add(Key address, unsigned length, unsigned node);
	void build(uint64_t unbound);
	uint64_t find(Key address) const;

private:
	struct Row {
		Key first, last;
		unsigned length;
		uint64_t nodes;
	};
	std::vector<Row> rows_;
	std::vector<uint64_t> nodes_;
	PrefixTable<Key> table_;
	uint64_t unbound_ = 0;
};

class PolicyChain {
public:
	/* Of at most POLICY_NODES nodes. What stays of `before` keeps its counters and limiters. */
	static std::shared_ptr<const PolicyChain> build(const std::vector<PolicyNode> &nodes,
							const PolicyChain *before,
							unsigned threads);

	bool empty() const { return nodes_.empty(); }
	PolicyDecision evaluate(const PolicyFlow &flow) const;
	/* Counts a packet with the nodes that it meets, and has it pay; XLAT_OK, or why it is lost. */
	xlat_reason charge(const PolicyDecision &decision, const Ip6 &client, unsigned thread,
			   uint32_t packets, uint32_t bytes, LimiterTable &limiters,
			   uint64_t now) const;
	/* In the order of the nodes. */
	std::vector<PolicyTotals> totals(const LimiterTable &limiters) const;

private:
	struct Node {
		std::string key;
		LimiterRule limit;
		std::shared_ptr<PolicyCounters> counters;
	};
	struct PortNodes {
		uint16_t first;
		uint64_t nodes;
	};
	enum { OTHER, TCP, UDP, ICMP, PROTOCOLS };

	static unsigned class_of(uint8_t protocol);
	void build_ports(const std::vector<PolicyNode> &nodes);
	uint64_t nodes_of_port(const PolicyFlow &flow) const;
	void pay_back(uint64_t paid, const Ip6 &client, uint32_t packets, uint32_t bytes,
		      LimiterTable &limiters, uint64_t now) const;

	std::vector<Node> nodes_;
	PrefixNodes<unsigned __int128> clients_, servers_;
	PrefixNodes<uint32_t> remotes_;
	std::vector<PortNodes> ports_[PROTOCOLS];
	uint64_t portless_[PROTOCOLS] = {}; /* that a packet meets without a port */
	uint64_t verdicts_ = 0, denials_ = 0, limits_ = 0, marks_ = 0;
	std::vector<uint8_t> dscp_;
};

} // namespace sixgate
