/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later */
/*
 * Byte order lives in the type: a struct be16 or be32 is as it stands on the wire, an integer is in
 * host order, and only the functions here cross from one to the other.
 */
#ifndef XLAT_TYPES_H
#define XLAT_TYPES_H

#ifdef __KERNEL__
#include <linux/stddef.h>
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#ifdef __bpf__
#define XLAT_FN static inline __attribute__((always_inline))
#else
#define XLAT_FN static inline
#endif

#define XLAT_LIKELY(x) __builtin_expect(!!(x), 1)
#define XLAT_UNLIKELY(x) __builtin_expect(!!(x), 0)

struct be16 {
	uint16_t raw;
};

struct be32 {
	uint32_t raw;
};

struct xlat_ip4 {
	struct be32 addr;
};

struct xlat_ip6 {
	uint8_t b[16];
}
#ifdef __bpf__
__attribute__((aligned(8)))
#endif
;

/* One direction of one flow. For ICMP echo both ports are the identifier. */
struct xlat_tuple4 {
	struct xlat_ip4 src, dst;
	struct be16 src_port, dst_port;
	uint16_t delta; /* xlat_delta64() of this flow when kept, 0 to have it computed */
};

struct xlat_tuple6 {
	struct xlat_ip6 src, dst;
	struct be16 src_port, dst_port;
	uint16_t delta; /* xlat_delta46() of this flow when kept, 0 to have it computed */
};

XLAT_FN uint16_t xlat_swap16(uint16_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap16(v);
#else
	return v;
#endif
}

XLAT_FN uint32_t xlat_swap32(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap32(v);
#else
	return v;
#endif
}

XLAT_FN struct be16 xlat_be16(uint32_t host)
{
	struct be16 v = { xlat_swap16((uint16_t)host) };

	return v;
}

XLAT_FN struct be32 xlat_be32(uint32_t host)
{
	struct be32 v = { xlat_swap32(host) };

	return v;
}

XLAT_FN uint16_t xlat_host16(struct be16 v)
{
	return xlat_swap16(v.raw);
}

XLAT_FN uint32_t xlat_host32(struct be32 v)
{
	return xlat_swap32(v.raw);
}

/*
 * Packets start anywhere, so loads are by memcpy; a BPF program sees them 4-byte aligned and loads
 * words.
 */
XLAT_FN struct be16 xlat_load16(const uint8_t *p)
{
	struct be16 v;

#ifdef __bpf__
	v.raw = *(const uint16_t *)(const void *)p;
#else
	__builtin_memcpy(&v.raw, p, 2);
#endif
	return v;
}

XLAT_FN struct be32 xlat_load32(const uint8_t *p)
{
	struct be32 v;

#ifdef __bpf__
	v.raw = *(const uint32_t *)(const void *)p;
#else
	__builtin_memcpy(&v.raw, p, 4);
#endif
	return v;
}

XLAT_FN void xlat_store16(uint8_t *p, struct be16 v)
{
#ifdef __bpf__
	*(uint16_t *)(void *)p = v.raw;
#else
	__builtin_memcpy(p, &v.raw, 2);
#endif
}

XLAT_FN void xlat_store32(uint8_t *p, struct be32 v)
{
#ifdef __bpf__
	*(uint32_t *)(void *)p = v.raw;
#else
	__builtin_memcpy(p, &v.raw, 4);
#endif
}

XLAT_FN uint16_t xlat_get16(const uint8_t *p)
{
	return xlat_host16(xlat_load16(p));
}

XLAT_FN uint32_t xlat_get32(const uint8_t *p)
{
	return xlat_host32(xlat_load32(p));
}

XLAT_FN struct xlat_ip4 xlat_load_ip4(const uint8_t *p)
{
	struct xlat_ip4 ip = { xlat_load32(p) };

	return ip;
}

/* Copies 16 bytes; for BPF, which would do it by single bytes, in words. */
XLAT_FN void xlat_copy_ip6(uint8_t *to, const uint8_t *from)
{
#ifdef __bpf__
	((uint64_t *)(void *)to)[0] = ((const uint64_t *)(const void *)from)[0];
	((uint64_t *)(void *)to)[1] = ((const uint64_t *)(const void *)from)[1];
#else
	__builtin_memcpy(to, from, 16);
#endif
}

XLAT_FN struct xlat_ip6 xlat_load_ip6(const uint8_t *p)
{
	struct xlat_ip6 ip;

	xlat_copy_ip6(ip.b, p);
	return ip;
}

XLAT_FN uint32_t xlat_ip4_host(struct xlat_ip4 ip)
{
	return xlat_host32(ip.addr);
}

XLAT_FN struct xlat_ip4 xlat_ip4_of(uint32_t host)
{
	struct xlat_ip4 ip = { xlat_be32(host) };

	return ip;
}

XLAT_FN bool xlat_ip4_equal(struct xlat_ip4 a, struct xlat_ip4 b)
{
	return a.addr.raw == b.addr.raw;
}

XLAT_FN bool xlat_ip6_equal(const struct xlat_ip6 *a, const struct xlat_ip6 *b)
{
	uint64_t x[2], y[2];

	__builtin_memcpy(x, a->b, 16);
	__builtin_memcpy(y, b->b, 16);
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

#endif
