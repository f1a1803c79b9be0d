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
/* The first turn is nearly always the last: copies of the body would cost more than they gain. */
#define GW_ROLLED _Pragma("clang loop unroll(disable)")

/* What user space or another processor changes at any time. */
#define GW_READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define GW_WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
/* Keeps the compiler's loads on their side; the processor's order is tables.h's concern. */
#define gw_barrier() asm volatile("" ::: "memory")

struct gateway gateway SEC(".data.gateway");

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
