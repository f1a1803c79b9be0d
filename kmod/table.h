/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mappings of one network namespace. Packets look them up under RCU and take no lock; one mutex orders
 * those who change them.
 */
#ifndef STATIC_NAT_TABLE_H
#define STATIC_NAT_TABLE_H

#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/skbuff.h>
#include <linux/types.h>
#include <linux/u64_stats_sync.h>
#include <linux/xarray.h>

/* Which address of a packet is looked up and replaced, and where. */
enum static_nat_kind {
	STATIC_NAT_DST,		/* PREROUTING */
	STATIC_NAT_SRC,		/* POSTROUTING */
	STATIC_NAT_KINDS,
};

struct static_nat_counter {
	u64_stats_t packets[STATIC_NAT_KINDS];
	u64_stats_t bytes[STATIC_NAT_KINDS];
	struct u64_stats_sync sync;
};

/* One direction of a mapping: @from becomes @to. */
struct static_nat_rule {
	/* the second is for the buckets that follow, while they are filled */
	struct hlist_node node[2];
	__be32 from;
	__be32 to;
};

/*
 * Both directions: the one that was asked for and its automatic reverse. A mapping stands in the table before
 * it is @live and until after: packets and readers see those that are.
 */
struct static_nat_mapping {
	struct static_nat_rule rule[STATIC_NAT_KINDS];
	struct static_nat_counter __percpu *counters;
	struct list_head pending;
	struct rcu_head rcu;
	u32 id;
	u8 length;
	u8 kind;		/* enum static_nat_kind, of the direction that was asked for */
	bool live;
	bool leaving;		/* the change under way removes it */
};

struct static_nat_buckets;

struct static_nat_table {
	struct static_nat_buckets __rcu *buckets;
	u64 lengths;		/* a bit for each prefix length in use */
	struct xarray mappings;	/* by id, in the order they came */
	struct mutex lock;	/* protects all below, and every change */
	u32 next_id;
	unsigned int size;
	unsigned int uses[33];	/* mappings of each prefix length */
};

/* One line: an addition or a removal. */
struct static_nat_command {
	__be32 from;
	__be32 to;
	u8 length;
	u8 kind;
	bool add;
};

static inline __be32 static_nat_mask(u8 length)
{
	return length ? cpu_to_be32(~0U << (32 - length)) : 0;
}

int static_nat_table_init(struct static_nat_table *table);
void static_nat_table_destroy(struct static_nat_table *table);

/* All of the commands take effect or none does: -EEXIST, -ENOENT or -ENOMEM. */
int static_nat_table_apply(struct static_nat_table *table, const struct static_nat_command *commands,
			   size_t count);

/* The mapping of the longest prefix that has @address. The caller holds the RCU read lock. */
struct static_nat_mapping *static_nat_lookup(const struct static_nat_table *table,
					     enum static_nat_kind kind, __be32 address);

static inline __be32 static_nat_translate(const struct static_nat_mapping *mapping,
					  enum static_nat_kind kind, __be32 address)
{
	return mapping->rule[kind].to | (address & ~static_nat_mask(mapping->length));
}

void static_nat_count(struct static_nat_mapping *mapping, enum static_nat_kind kind,
		      unsigned int bytes);
void static_nat_read_counters(const struct static_nat_mapping *mapping, enum static_nat_kind kind,
			      u64 *packets, u64 *bytes);

#endif
