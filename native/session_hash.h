// SPDX-License-Identifier: Apache-2.0
/**
 * Keyed hashes. Index hashes are NH (RFC 4418 section 5.2, here with 64-bit words): almost
 * universal for who does not know the key, at a third of SipHash's price; they never leave the
 * process. Ports are chosen with SipHash-1-3, because they do.
 */
#pragma once

#include "session.h"

namespace sixgate {

struct Secret {
	uint64_t index[8];
	uint64_t shard[4];
	uint64_t random[2];
};

inline uint64_t load64(const uint8_t *bytes)
{
	uint64_t word;
	memcpy(&word, bytes, sizeof(word));
	return word;
}

inline uint64_t fold(unsigned __int128 sum, uint64_t a, uint64_t b)
{
	unsigned __int128 mixed =
		(unsigned __int128)((uint64_t)sum ^ a) * ((uint64_t)(sum >> 64) ^ b);
	return (uint64_t)mixed ^ (uint64_t)(mixed >> 64);
}

inline unsigned __int128 nh(uint64_t a, uint64_t ka, uint64_t b, uint64_t kb)
{
	return (unsigned __int128)(a + ka) * (b + kb);
}

/** The high half of the fold is the index tag. */
inline uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

inline uint32_t tag6(const Secret &s, Protocol protocol, const Tuple6 &t)
{
	uint64_t ports =
		(uint64_t)t.client_port << 32 | (uint64_t)t.server_port << 16 | (uint64_t)protocol;
	unsigned __int128 sum =
		nh(load64(t.client.bytes), s.index[0], load64(t.client.bytes + 8), s.index[1]);
	sum += nh(load64(t.server.bytes), s.index[2], load64(t.server.bytes + 8), s.index[3]);
	sum += nh(ports, s.index[4], 0, s.index[5]);
	return tag_of(fold(sum, s.index[6], s.index[7]));
}

inline uint32_t tag4(const Secret &s, Protocol protocol, const Tuple4 &t)
{
	uint64_t ports =
		(uint64_t)t.pool_port << 32 | (uint64_t)t.remote_port << 16 | (uint64_t)protocol;
	unsigned __int128 sum =
		nh((uint64_t)t.pool << 32 | t.remote, s.index[0], ports, s.index[1]);
	return tag_of(fold(sum, s.index[6], s.index[7]));
}

/** A binding by its IPv6 transport address; with protocol and port 0, a client. */
inline uint32_t tag_inside(const Secret &s, uint8_t protocol, const Ip6 &client, uint16_t port)
{
	unsigned __int128 sum =
		nh(load64(client.bytes), s.index[2], load64(client.bytes + 8), s.index[3]);
	sum += nh((uint64_t)port << 16 | protocol, s.index[4], 0, s.index[5]);
	return tag_of(fold(sum, s.index[6], s.index[7]));
}

/**
 * A binding by its IPv4 transport address; with a remote, the permission of address-dependent
 * filtering.
 */
inline uint32_t tag_outside(const Secret &s, Protocol protocol, uint32_t pool, uint16_t port,
			    uint32_t remote = 0)
{
	uint64_t rest = (uint64_t)port << 16 | (uint64_t)protocol;
	unsigned __int128 sum = nh((uint64_t)pool << 32 | remote, s.index[2], rest, s.index[3]);
	return tag_of(fold(sum, s.index[6], s.index[7]));
}

/** These bits pick ports and must not change while sessions live: the secret is in the file. */
inline unsigned client_shard(const Secret &s, const Ip6 &client)
{
	unsigned __int128 sum =
		nh(load64(client.bytes), s.shard[0], load64(client.bytes + 8), s.shard[1]);
	return (unsigned)(fold(sum, s.shard[2], s.shard[3]) >> 58);
}

/**
 * SipHash-1-3 of one word: the port sequence of a shard cannot be foretold from its past (RFC
 * 6056).
 */
inline uint64_t siphash13(const uint64_t key[2], uint64_t word)
{
	uint64_t v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
	uint64_t v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;
	auto rotate = [](uint64_t x, int n) { return x << n | x >> (64 - n); };
	auto round = [&] {
		v0 += v1, v1 = rotate(v1, 13) ^ v0, v0 = rotate(v0, 32);
		v2 += v3, v3 = rotate(v3, 16) ^ v2;
		v0 += v3, v3 = rotate(v3, 21) ^ v0;
		v2 += v1, v1 = rotate(v1, 17) ^ v2, v2 = rotate(v2, 32);
	};
	v3 ^= word, round(), v0 ^= word;
	v3 ^= (uint64_t)8 << 56, round(), v0 ^= (uint64_t)8 << 56;
	v2 ^= 0xff;
	round(), round(), round();
	return v0 ^ v1 ^ v2 ^ v3;
}

} // namespace sixgate
