// SPDX-License-Identifier: Apache-2.0
/**
 * Fragments of NAT64 (RFC 6146 sections 2 and 3.4). Only the first fragment names the ports, so its
 * decision is kept for the others; others that come before it wait, within a byte budget. A flood
 * of first-less fragments costs the budget and no more: the oldest datagram gives way. Thread safe,
 * own lock, clock passed in.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "session.h"
#include "xlat/reason.h"

namespace sixgate {

/** One datagram (RFC 791, RFC 8200 section 4.5). IPv4 addresses are given as ::ffff:a.b.c.d. */
struct FragmentKey {
	Ip6 source, destination;
	uint32_t identification;
	/** IPv4 protocol; 0 for IPv6, whose fragments need not agree on it. */
	uint8_t protocol;
	/** 4 or 6. */
	uint8_t family;
};

/** What the first fragment decided: the other fragments take its addresses. */
struct FragmentDecision {
	Protocol protocol;
	Tuple6 six;
	Tuple4 four;
	SessionHandle session;
	/** For the caller: e.g. the outgoing identification, hairpin. Kept, never read. */
	uint64_t cookie;
};

enum class FragmentFate : uint8_t {
	TRANSLATE,
	HELD,
	/** Counted already, by the drop callback. */
	DROPPED,
	/** Its datagram is being put together: hand it to reassemble(). */
	REASSEMBLE,
};

struct FragmentOptions {
	size_t memory = 4 << 20;
	/** FRAGMENT_MIN, at least 2 s (RFC 6146 section 4). */
	Time timeout = 2000;
};

/**
 * Counts the packets that the cache itself gave up: XLAT_FRAGMENT_MEMORY, XLAT_FRAGMENT_TIMEOUT or
 * XLAT_FRAGMENT_OVERLAP. Called under the cache's lock.
 */
using FragmentDrop =
	std::function<void(enum xlat_reason reason, uint32_t packets, const FragmentKey &key)>;

/**
 * A fragment for reassembly. `offset` in bytes; `header` is what goes before the payload when it
 * is the first.
 */
struct FragmentPiece {
	uint32_t offset;
	bool more;
	std::span<const uint8_t> header, payload;
};

class FragmentCache {
public:
	FragmentCache(const FragmentOptions &options, FragmentDrop drop);
	~FragmentCache();
	void configure(const FragmentOptions &options);

	/**
	 * A non-first fragment. TRANSLATE fills `decision`; HELD keeps a copy of the packet.
	 */
	FragmentFate other(const FragmentKey &key, std::span<const uint8_t> packet, Time now,
			   FragmentDecision &decision);

	/**
	 * The first fragment was translated. Returns the waiting fragments in the order they came;
	 * translate and send them after it. What was being put together under that key was of
	 * another datagram, and is counted.
	 */
	std::vector<std::vector<uint8_t>> first(const FragmentKey &key,
						const FragmentDecision &decision, Time now);

	/**
	 * Ends what is known of a datagram and returns the fragments that waited: when the first
	 * one was dropped, for the caller to count; when it showed that the datagram must be
	 * reassembled, to be fed to reassemble(). What is being put together already goes on.
	 */
	std::vector<std::vector<uint8_t>> withdraw(const FragmentKey &key);

	/**
	 * Full reassembly, for a zero UDP checksum and for fragmented ICMP (RFC 6146 section 3.4).
	 * Returns the whole datagram (header of the first fragment, then the payload) when this
	 * piece completes it. A datagram with overlapping pieces is dropped and counted (RFC 5722),
	 * its later pieces too.
	 */
	std::vector<uint8_t> reassemble(const FragmentKey &key, const FragmentPiece &piece,
					Time now);

	/** Ends what is overdue. Call about four times a second. */
	void tick(Time now);

	/** Bytes in use, never above the budget. */
	size_t memory() const;

private:
	struct Impl;
	std::unique_ptr<Impl> impl_;
};

} // namespace sixgate
