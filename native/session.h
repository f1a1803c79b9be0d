// SPDX-License-Identifier: Apache-2.0
/**
 * The stateful machine of NAT64 (RFC 6146): BIB, sessions, ports, timers. No I/O but the mapped
 * file, no clock of its own, no exceptions. Every method may be called from any thread; the two
 * directions of a flow meet under the lock of one of 64 shards, and no call ever holds two of those
 * locks.
 *
 * Byte order: IPv6 addresses are 16 bytes as on the wire; IPv4 addresses, ports and ICMP
 * identifiers are host-order integers. Time is milliseconds of CLOCK_BOOTTIME, which goes on across
 * a restart of the daemon.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "xlat/reason.h"

namespace sixgate {

using Time = uint64_t;

class NatLog;

constexpr unsigned SHARDS = 64;

struct Ip6 {
	uint8_t bytes[16];
	bool operator==(const Ip6 &other) const { return memcmp(bytes, other.bytes, 16) == 0; }
};

struct Prefix6 {
	Ip6 address;
	uint8_t length;
};

struct Prefix4 {
	uint32_t address;
	uint8_t length;
};

/** The values are IP protocol numbers; ICMP stands for both ICMPv4 and ICMPv6 queries. */
enum class Protocol : uint8_t { ICMP = 1, TCP = 6, UDP = 17 };

/**
 * TCP states of RFC 6146 section 3.5.2.2; UDP and ICMP sessions are ESTABLISHED from their first
 * packet.
 */
enum class State : uint8_t {
	CLOSED,
	V4_INIT,
	V6_INIT,
	ESTABLISHED,
	V4_FIN_RCV,
	V6_FIN_RCV,
	V4_FIN_V6_FIN_RCV,
	TRANS,
};
const char *state_name(State state);

/** Flag bits as in byte 13 of the TCP header. */
constexpr uint8_t TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10;

/** The flow as the IPv6 side sees it, always client → server whichever way the packet goes. */
struct Tuple6 {
	Ip6 client, server;
	/** For ICMP client_port is the query identifier and server_port is 0. */
	uint16_t client_port, server_port;
};

/**
 * The flow as the IPv4 side sees it: the transport address lent to the client, and the IPv4 host.
 */
struct Tuple4 {
	uint32_t pool, remote;
	/** For ICMP pool_port is the query identifier and remote_port is 0. */
	uint16_t pool_port, remote_port;
};

/**
 * Asked about a packet to a pool address when its client is known and nothing is changed yet, under
 * the lock of the shard.
 */
class Gate {
public:
	/** XLAT_OK, or why the packet is to be dropped. */
	virtual enum xlat_reason judge(const Tuple6 &six, const Tuple4 &four) = 0;

protected:
	~Gate() = default;
};

/** What a packet is besides its tuple. */
struct Facts {
	Protocol protocol;
	/** TCP only; of a GSO super-packet all segments share them. */
	uint8_t tcp_flags = 0;
	/**
	 * Segments on the wire (GSO), and bytes of all of them from the IP header on, as received.
	 */
	uint32_t packets = 1;
	uint32_t bytes = 0;
	/**
	 * Inbound TCP SYN: the IPv4 packet from its header on, of which a held SYN keeps
	 * HELD_BYTES.
	 */
	const uint8_t *packet = nullptr;
	uint32_t packet_length = 0;
	/** Inbound; null lets every packet through. */
	Gate *gate = nullptr;
};

/**
 * Names a session until it ends; index 0 is "translated without a session" (RFC 6146
 * section 3.5.2.2).
 */
struct SessionHandle {
	uint32_t index = 0;
	/**
	 * Changes when the record is reused, so that a copy of the decision elsewhere can be told
	 * stale.
	 */
	uint32_t generation = 0;
};

struct Verdict {
	/** XLAT_OK, or why the packet is to be dropped; then nothing below is set. */
	enum xlat_reason reason = XLAT_OK;
	/**
	 * The packet is kept by the session table (a held SYN): neither forward nor count it as
	 * dropped.
	 */
	bool held = false;
	/** No session existed before this packet. */
	bool fresh = false;
	/** Dropped, and the client was told so of another packet a moment ago. */
	bool told = false;
	State state = State::CLOSED;
	/**
	 * xlat_delta64() of the flow, kept with it for TCP and UDP; its complement is the one for
	 * IPv4→IPv6. 0 when there is none: for ICMP, and without a session.
	 */
	uint16_t delta = 0;
	SessionHandle session;
	/** Both complete: the packet's new addresses are in the one of the other family. */
	Tuple6 six;
	Tuple4 four;
};

struct PoolConfig {
	std::vector<Prefix4> addresses;
	uint16_t first_port = 1024, last_port = 65535;
	/** Empty means every client. The longest prefix that holds the client names its pools. */
	std::vector<Prefix6> clients;
	/** Ports of a block, MIN_BLOCK or more; 0 lends single ports. */
	uint16_t block_size = 0;
	/** Blocks that the clients under one prefix may have together; 0 is no limit. */
	uint16_t blocks_per_client = 0;
	/** The block of a client prefix follows from the prefix (RFC 7422); there is one. */
	bool deterministic = false;
};

constexpr uint16_t MIN_BLOCK = 64;

struct StaticConfig {
	Protocol protocol;
	Ip6 inside;
	uint16_t inside_port;
	uint32_t outside;
	uint16_t outside_port;
};

struct Timeouts {
	Time tcp_established = 7'440'000, tcp_transitory = 240'000, tcp_incoming_syn = 6'000;
	Time udp = 300'000, icmp = 60'000;
};

/** What the clients under one prefix may have together; 0 is no limit. */
struct Limits {
	uint8_t prefix_length = 64;
	uint32_t bindings = 0, sessions = 0;
	/** New sessions a second, at most a million. */
	uint32_t rate = 0;
	bool any() const { return bindings || sessions || rate; }
};

/** What the log of bindings is told of; bits of SessionConfig::logged. */
constexpr uint8_t LOG_BINDINGS = 1, LOG_BLOCKS = 2, LOG_SESSIONS = 4, LOG_TROUBLE = 8;

struct SessionConfig {
	/** RFC 6052 prefixes; the first one names IPv4 hosts that speak first. */
	std::vector<Prefix6> prefixes;
	std::vector<PoolConfig> pools;
	std::vector<StaticConfig> statics;
	/** false: endpoint-independent filtering. */
	bool address_dependent = false;
	Timeouts timeouts;
	Limits limits;
	uint8_t logged = 0;
	/** Kept in the file's header for diagnosis. */
	uint64_t hash = 0;
};

class FlowCache;

struct SessionOptions {
	std::string path;
	/** Capacity in sessions; fixed for the life of the file. */
	uint32_t max_sessions = 1u << 20;
	/**
	 * A file of another boot or network namespace is not adopted. host_identity() reads both.
	 */
	std::string boot_id = "";
	uint64_t netns_inode = 0;
	/** Outlives the table; null to log nothing. */
	NatLog *log = nullptr;
	SessionConfig config;
	/**
	 * Asked for the flow cache once the file is this process's own, before it is adopted; may
	 * answer null. See attach().
	 */
	std::function<FlowCache *()> flows;
};

/** Fills boot_id and netns_inode from /proc. */
void host_identity(SessionOptions &options);

/**
 * Bytes of a held SYN that are kept for the ICMP error (RFC 792: header and 64 bits, with
 * options).
 */
constexpr unsigned HELD_BYTES = 128;

/** What the timers ask the translator to do. */
struct Event {
	enum Kind : uint8_t {
		/** Answer `packet` with ICMPv4 3/3 (RFC 6146 section 3.5.2.2, V4 INIT). */
		SYN_EXPIRED,
		/**
		 * Send an empty TCP ACK with a sequence number of 0 to the IPv6 client (TCP_EST
		 * expired, state TRANS).
		 */
		PROBE,
	} kind;
	uint8_t packet_length;
	SessionHandle session;
	Tuple6 six;
	Tuple4 four;
	uint8_t packet[HELD_BYTES];
};

struct TickResult {
	size_t events;
	/** More is due: call again, at leisure. */
	bool more;
};

struct SessionView {
	Protocol protocol;
	State state;
	Tuple6 six;
	Tuple4 four;
	Time expires_in, age;
	uint64_t packets_out, bytes_out, packets_in, bytes_in;
};

struct BindingView {
	Protocol protocol;
	bool fixed;
	Ip6 inside;
	uint16_t inside_port;
	uint32_t outside;
	uint16_t outside_port;
	uint32_t sessions;
	/** The first port of the block that the port is of, and its size; 0 of none. */
	uint16_t block_first, block_size;
};

struct ViewFilter {
	std::optional<Protocol> protocol;
	/** Holds the client or the server in the family given. */
	std::optional<Prefix6> six;
	std::optional<Prefix4> four;
	size_t limit = SIZE_MAX;
};

struct PoolUse {
	/**
	 * Over TCP, UDP and ICMP together; ports of one pool of the configuration, in its order.
	 */
	uint64_t used, total;
	/** Blocks of ports; none are lent where they follow from the client. */
	uint64_t blocks_used, blocks_total;
};

struct SessionStats {
	uint64_t sessions, bindings, held_syns;
	/** TCP sessions without an end of their handshake, and how many such gave way to others. */
	uint64_t half_open, evicted;
	std::vector<PoolUse> pools;
};

struct MemoryUse {
	/** Bytes of file backed by storage, and of process memory (indexes, bitmaps, wheels). */
	uint64_t file, process;
};

struct ConfigureResult {
	/** Why nothing was changed; empty on success. */
	std::string error;
	uint64_t ended = 0;
};

class SessionTable {
public:
	/**
	 * Opens or creates the file and adopts what is in it. Returns null with `error` set when
	 * another process has it, the file cannot be made, or the configuration is impossible.
	 */
	static std::unique_ptr<SessionTable> open(const SessionOptions &options, Time now,
						  std::string &error);

	/** Unmaps; the file stays for a successor. */
	~SessionTable();
	SessionTable(const SessionTable &) = delete;
	SessionTable &operator=(const SessionTable &) = delete;

	uint64_t adopted() const;
	/** Why the file was not adopted; "" when it was, or when there was none. */
	const std::string &adoption() const;

	/**
	 * A packet from the IPv6 side. Reasons: XLAT_NOT_OUR_PREFIX, XLAT_NO_POOL, XLAT_NO_PORT,
	 * XLAT_TABLE_FULL, XLAT_TCP_NOT_SYN, and for the limits of a client XLAT_CLIENT_LIMIT,
	 * XLAT_CLIENT_BLOCKS, XLAT_CLIENT_SESSIONS, XLAT_CLIENT_RATE. Whether the addresses are
	 * legal is the caller's business, for fresh sessions at least.
	 */
	Verdict outbound(const Tuple6 &tuple, const Facts &facts, Time now);

	/**
	 * A packet to a pool address. Reasons: XLAT_NO_BINDING, XLAT_FILTERED, XLAT_TCP_NOT_SYN,
	 * XLAT_SYN_HELD_FULL, XLAT_TABLE_FULL, XLAT_CLIENT_SESSIONS, XLAT_CLIENT_RATE, and those of
	 * the gate. When `held` is
	 * set the packet waits for the client's own SYN: it goes nowhere and is not dropped.
	 */
	Verdict inbound(const Tuple4 &tuple, const Facts &facts, Time now);

	/** The same without opening, refreshing or counting anything (session_foresee.cc). */
	Verdict foresee64(const Tuple6 &tuple, const Facts &facts, Time now) const;
	Verdict foresee46(const Tuple4 &tuple, const Facts &facts, Time now) const;

	/**
	 * ICMP errors: the session that the embedded packet belongs to, for a TCP segment without one
	 * its binding (RFC 6146 section 3.6.1), or XLAT_ICMP_NO_SESSION.
	 * Nothing is created or refreshed (RFC 6146 section 3.5). error64: an ICMPv6 error,
	 * embedded server → client. error46: an ICMPv4 error, embedded pool → remote.
	 */
	Verdict error64(Protocol protocol, const Tuple6 &embedded, Time now);
	Verdict error46(Protocol protocol, const Tuple4 &embedded, Time now);

	/**
	 * Ahead of a batch, without locks: the first call pulls the index line that outbound() or
	 * inbound() will read into the cache, the second, some packets later, the record.
	 */
	void prefetch64(Protocol protocol, const Tuple6 &tuple) const;
	void prefetch46(Protocol protocol, const Tuple4 &tuple) const;
	void prefetch_record64(Protocol protocol, const Tuple6 &tuple) const;
	void prefetch_record46(Protocol protocol, const Tuple4 &tuple) const;

	/**
	 * From now on established sessions are handed to this cache, and its packets keep them
	 * alive; null ends that. Sessions that a predecessor had handed to it are installed again.
	 */
	void attach(FlowCache *flows, Time now);

	/** Whether the address belongs to a pool. */
	bool owns(uint32_t address) const;

	/**
	 * Runs the timers of one shard for at most `budget` records, giving at most `capacity`
	 * events (at least 1). Call for each shard about four times a second, from any thread.
	 */
	TickResult tick(unsigned shard, Time now, unsigned budget, Event *events, size_t capacity);

	/**
	 * Replaces the configuration: shard by shard under the shard's lock, so that a packet sees
	 * the old or the new one whole. What the new one no longer allows has ended when this
	 * returns.
	 */
	ConfigureResult configure(const SessionConfig &config, Time now);

	void sessions(const ViewFilter &filter, Time now,
		      const std::function<void(const SessionView &)> &visit) const;
	void bindings(const ViewFilter &filter,
		      const std::function<void(const BindingView &)> &visit) const;
	SessionStats stats() const;
	MemoryUse memory() const;

	/**
	 * The shard of an inbound port and of a client: threads may use it to keep a flow on one
	 * queue.
	 */
	static unsigned shard_of_port(uint16_t port) { return (port >> 1) & (SHARDS - 1); }
	unsigned shard_of_client(const Ip6 &client) const;

	struct Impl;

private:
	explicit SessionTable(std::unique_ptr<Impl> impl);
	std::unique_ptr<Impl> impl_;
};

} // namespace sixgate
