/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps of tables.h, and counting. The loader sets the sizes of the flow tables. */
#ifndef GATEWAY_MAPS_H
#define GATEWAY_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../native/xlat/reason.h"
#include "tables.h"

#define GW_FN static inline __attribute__((always_inline))
#define GW_CALL static __attribute__((noinline))
/*
 * A function that the verifier judges once, not once for every way that leads to it: older kernels
 * would give up. What is rare goes there. It takes numbers, the context and filled structs.
 */
#define GW_GLOBAL __attribute__((noinline))
/* The first turn is nearly always the last: copies of the body would cost more than they gain. */
#define GW_ROLLED _Pragma("clang loop unroll(disable)")

/* What user space or another processor changes at any time. */
#define GW_READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define GW_WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
/* Keeps the compiler's loads on their side; the processor's order is tables.h's concern. */
#define gw_barrier() asm volatile("" ::: "memory")

/* Makes the compiler forget what it knows of a number, where an older verifier has forgotten it
 * too. */
#define gw_forget(x) asm volatile("" : "+r"(x))

struct gateway gateway SEC(".data.gateway");

GW_FN const struct gateway_config *gw_config(void)
{
	return &gateway.config[GW_READ_ONCE(gateway.active) & 1];
}

struct flow_table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1024);
	__type(key, uint32_t);
	__type(value, struct flow);
};

struct flow_table flows64 SEC(".maps");
struct flow_table flows46 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NEXTHOPS);
	__type(key, uint32_t);
	__type(value, struct nexthop);
} nexthops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 256);
	__type(key, uint32_t);
	__type(value, struct bpf_devmap_val);
} devmap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, uint32_t);
	__type(value, struct gateway_vlan);
} vlans SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct gateway_vlan);
	__type(value, uint32_t);
} vlan_ids SEC(".maps");

struct siit6_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SIIT_ENTRIES);
	__type(key, struct siit6_key);
	__type(value, struct siit6_value);
} siit6_0 SEC(".maps"), siit6_1 SEC(".maps");

struct siit4_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SIIT_ENTRIES);
	__type(key, struct siit4_key);
	__type(value, struct siit4_value);
} siit4_0 SEC(".maps"), siit4_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, uint32_t);
	__array(values, struct siit6_trie);
} siit6 SEC(".maps") = { .values = { &siit6_0, &siit6_1 } };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, uint32_t);
	__array(values, struct siit4_trie);
} siit4 SEC(".maps") = { .values = { &siit4_0, &siit4_1 } };

#define GW_COUNTERS(name, count)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                           \
		__uint(max_entries, count);                                                        \
		__type(key, uint32_t);                                                             \
		__type(value, struct gw_count);                                                    \
	} name SEC(".maps")

GW_COUNTERS(translated, GW_DIRECTIONS);
GW_COUNTERS(passes, GW_PASS_COUNT);
GW_COUNTERS(drops, XLAT_REASON_COUNT);

GW_FN void gw_count(void *map, uint32_t index, uint32_t packets, uint32_t bytes)
{
	struct gw_count *count = bpf_map_lookup_elem(map, &index);

	if (count) {
		count->packets += packets;
		count->bytes += bytes;
	}
}

#endif
