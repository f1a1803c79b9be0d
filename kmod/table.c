// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jhash.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/slab.h>
#include "table.h"

#define MIN_BITS 4
#define MAX_BITS 24

/*
 * Chains for both kinds. A mapping has a node for these buckets and one for those that replace them, so that
 * the table grows while packets read it and nothing that is in it can fail to be moved.
 */
struct static_nat_buckets {
	unsigned int bits;
	u32 seed;
	u8 node;
	struct hlist_head heads[];
};

static struct hlist_head *chain(struct static_nat_buckets *buckets, enum static_nat_kind kind,
				__be32 from, u8 length)
{
	u32 hash = jhash_2words((__force u32)from, length, buckets->seed);

	return &buckets->heads[(kind << buckets->bits) | (hash >> (32 - buckets->bits))];
}

static struct static_nat_buckets *own_buckets(const struct static_nat_table *table)
{
	return rcu_dereference_protected(table->buckets, lockdep_is_held(&table->lock));
}

static struct static_nat_mapping *mapping_of(const struct static_nat_buckets *buckets,
					     enum static_nat_kind kind, struct hlist_node *node)
{
	struct static_nat_rule *rule =
		container_of(node - buckets->node, struct static_nat_rule, node[0]);

	return container_of(rule - kind, struct static_nat_mapping, rule[0]);
}

static struct static_nat_mapping *find(struct static_nat_buckets *buckets,
				       enum static_nat_kind kind, __be32 from, u8 length)
{
	struct hlist_head *head = chain(buckets, kind, from, length);
	struct hlist_node *node;

	for (node = rcu_dereference(hlist_first_rcu(head)); node;
	     node = rcu_dereference(hlist_next_rcu(node))) {
		struct static_nat_mapping *mapping = mapping_of(buckets, kind, node);

		if (mapping->rule[kind].from == from && mapping->length == length &&
		    READ_ONCE(mapping->live))
			return mapping;
	}
	return NULL;
}

struct static_nat_mapping *static_nat_lookup(const struct static_nat_table *table,
					     enum static_nat_kind kind, __be32 address)
{
	struct static_nat_buckets *buckets;
	u64 lengths = READ_ONCE(table->lengths);

	if (!lengths)
		return NULL;
	buckets = rcu_dereference(table->buckets);
	while (lengths) {
		u8 length = fls64(lengths) - 1;
		struct static_nat_mapping *mapping =
			find(buckets, kind, address & static_nat_mask(length), length);

		if (mapping)
			return mapping;
		lengths &= ~BIT_ULL(length);
	}
	return NULL;
}

/* ── changes, under the mutex ────────────────────────────────────────────── */

static struct static_nat_buckets *make_buckets(unsigned int bits, u8 node)
{
	struct static_nat_buckets *buckets;
	size_t heads = (size_t)STATIC_NAT_KINDS << bits;

	buckets = kvzalloc(struct_size(buckets, heads, heads), GFP_KERNEL_ACCOUNT);
	if (!buckets)
		return NULL;
	buckets->bits = bits;
	buckets->seed = get_random_u32();
	buckets->node = node;
	return buckets;
}

static void link_mapping(struct static_nat_buckets *buckets, struct static_nat_mapping *mapping)
{
	enum static_nat_kind kind;

	for (kind = 0; kind < STATIC_NAT_KINDS; kind++) {
		struct static_nat_rule *rule = &mapping->rule[kind];

		hlist_add_head_rcu(&rule->node[buckets->node],
				   chain(buckets, kind, rule->from, mapping->length));
	}
}

static void unlink_mapping(struct static_nat_buckets *buckets, struct static_nat_mapping *mapping)
{
	enum static_nat_kind kind;

	for (kind = 0; kind < STATIC_NAT_KINDS; kind++)
		hlist_del_rcu(&mapping->rule[kind].node[buckets->node]);
}

/* Room for @more mappings. Without memory for it the chains are longer, and that is all. */
static void grow(struct static_nat_table *table, size_t more)
{
	struct static_nat_buckets *old = own_buckets(table);
	struct static_nat_buckets *new;
	struct static_nat_mapping *mapping;
	unsigned int bits = old->bits;
	unsigned long id;

	while (bits < MAX_BITS && table->size + more > 1UL << bits)
		bits++;
	if (bits == old->bits)
		return;
	new = make_buckets(bits, !old->node);
	if (!new)
		return;
	xa_for_each(&table->mappings, id, mapping)
		link_mapping(new, mapping);
	rcu_assign_pointer(table->buckets, new);
	/* packets may be in the old chains, whose nodes the next growth takes */
	synchronize_rcu();
	kvfree(old);
}

static void free_mapping(struct static_nat_mapping *mapping)
{
	free_percpu(mapping->counters);
	kfree(mapping);
}

static void free_mapping_rcu(struct rcu_head *rcu)
{
	free_mapping(container_of(rcu, struct static_nat_mapping, rcu));
}

static struct static_nat_mapping *make_mapping(const struct static_nat_command *command)
{
	struct static_nat_mapping *mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	u8 kind = command->kind;
	int cpu;

	if (!mapping)
		return NULL;
	mapping->counters = alloc_percpu_gfp(struct static_nat_counter, GFP_KERNEL_ACCOUNT);
	if (!mapping->counters) {
		kfree(mapping);
		return NULL;
	}
	for_each_possible_cpu(cpu)
		u64_stats_init(&per_cpu_ptr(mapping->counters, cpu)->sync);
	mapping->kind = kind;
	mapping->length = command->length;
	mapping->rule[kind].from = command->from;
	mapping->rule[kind].to = command->to;
	mapping->rule[!kind].from = command->to;
	mapping->rule[!kind].to = command->from;
	return mapping;
}

/* As this change sees it: with what it has added so far, without what it removes. */
static struct static_nat_mapping *find_planned(struct static_nat_table *table,
					       enum static_nat_kind kind, __be32 from, u8 length)
{
	struct static_nat_buckets *buckets = own_buckets(table);
	struct hlist_node *node;

	for (node = chain(buckets, kind, from, length)->first; node; node = node->next) {
		struct static_nat_mapping *mapping = mapping_of(buckets, kind, node);

		if (mapping->rule[kind].from == from && mapping->length == length &&
		    !mapping->leaving)
			return mapping;
	}
	return NULL;
}

static int plan_add(struct static_nat_table *table, const struct static_nat_command *command,
		    struct list_head *pending)
{
	struct static_nat_mapping *mapping;
	int err;

	if (find_planned(table, command->kind, command->from, command->length) ||
	    find_planned(table, !command->kind, command->to, command->length))
		return -EEXIST;
	mapping = make_mapping(command);
	if (!mapping)
		return -ENOMEM;
	err = xa_alloc_cyclic(&table->mappings, &mapping->id, mapping, xa_limit_32b,
			      &table->next_id, GFP_KERNEL_ACCOUNT);
	if (err < 0) {
		free_mapping(mapping);
		return err;
	}
	link_mapping(own_buckets(table), mapping);
	table->size++;
	if (!table->uses[mapping->length]++)
		WRITE_ONCE(table->lengths, table->lengths | BIT_ULL(mapping->length));
	list_add_tail(&mapping->pending, pending);
	return 0;
}

static int plan_remove(struct static_nat_table *table, const struct static_nat_command *command,
		       struct list_head *pending)
{
	struct static_nat_mapping *mapping =
		find_planned(table, command->kind, command->from, command->length);

	if (!mapping || mapping->kind != command->kind ||
	    mapping->rule[command->kind].to != command->to)
		return -ENOENT;
	mapping->leaving = true;
	/* one that this change has added stands there already */
	if (mapping->live)
		list_add_tail(&mapping->pending, pending);
	return 0;
}

static void take_out(struct static_nat_table *table, struct static_nat_mapping *mapping)
{
	WRITE_ONCE(mapping->live, false);
	unlink_mapping(own_buckets(table), mapping);
	xa_erase(&table->mappings, mapping->id);
	table->size--;
	if (!--table->uses[mapping->length])
		WRITE_ONCE(table->lengths, table->lengths & ~BIT_ULL(mapping->length));
	call_rcu(&mapping->rcu, free_mapping_rcu);
}

static void commit(struct static_nat_table *table, struct list_head *pending)
{
	struct static_nat_mapping *mapping, *next;

	/* what replaces another is there before the other goes */
	list_for_each_entry(mapping, pending, pending)
		if (!mapping->leaving)
			WRITE_ONCE(mapping->live, true);
	list_for_each_entry_safe(mapping, next, pending, pending)
		if (mapping->leaving)
			take_out(table, mapping);
}

static void abandon(struct static_nat_table *table, struct list_head *pending)
{
	struct static_nat_mapping *mapping, *next;

	list_for_each_entry_safe(mapping, next, pending, pending) {
		if (mapping->live)
			mapping->leaving = false;
		else
			take_out(table, mapping);
	}
}

int static_nat_table_apply(struct static_nat_table *table,
			   const struct static_nat_command *commands, size_t count)
{
	LIST_HEAD(pending);
	size_t i;
	int err = 0;

	mutex_lock(&table->lock);
	grow(table, count);
	for (i = 0; i < count && !err; i++) {
		if (commands[i].add)
			err = plan_add(table, &commands[i], &pending);
		else
			err = plan_remove(table, &commands[i], &pending);
		cond_resched();
	}
	if (err)
		abandon(table, &pending);
	else
		commit(table, &pending);
	mutex_unlock(&table->lock);
	return err;
}

int static_nat_table_init(struct static_nat_table *table)
{
	struct static_nat_buckets *buckets = make_buckets(MIN_BITS, 0);

	if (!buckets)
		return -ENOMEM;
	RCU_INIT_POINTER(table->buckets, buckets);
	xa_init_flags(&table->mappings, XA_FLAGS_ALLOC);
	mutex_init(&table->lock);
	return 0;
}

/* Neither packets nor readers nor writers are left. */
void static_nat_table_destroy(struct static_nat_table *table)
{
	struct static_nat_mapping *mapping;
	unsigned long id;

	xa_for_each(&table->mappings, id, mapping) {
		free_mapping(mapping);
		cond_resched();
	}
	xa_destroy(&table->mappings);
	kvfree(rcu_dereference_protected(table->buckets, true));
}

/* ── counters ────────────────────────────────────────────────────────────── */

void static_nat_count(struct static_nat_mapping *mapping, enum static_nat_kind kind,
		      unsigned int bytes)
{
	struct static_nat_counter *counter;

	/* what this host sends comes here with softirqs on */
	local_bh_disable();
	counter = this_cpu_ptr(mapping->counters);
	u64_stats_update_begin(&counter->sync);
	u64_stats_inc(&counter->packets[kind]);
	u64_stats_add(&counter->bytes[kind], bytes);
	u64_stats_update_end(&counter->sync);
	local_bh_enable();
}

void static_nat_read_counters(const struct static_nat_mapping *mapping, enum static_nat_kind kind,
			      u64 *packets, u64 *bytes)
{
	int cpu;

	*packets = 0;
	*bytes = 0;
	for_each_possible_cpu(cpu) {
		const struct static_nat_counter *counter = per_cpu_ptr(mapping->counters, cpu);
		unsigned int start;
		u64 some_packets, some_bytes;

		do {
			start = u64_stats_fetch_begin(&counter->sync);
			some_packets = u64_stats_read(&counter->packets[kind]);
			some_bytes = u64_stats_read(&counter->bytes[kind]);
		} while (u64_stats_fetch_retry(&counter->sync, start));
		*packets += some_packets;
		*bytes += some_bytes;
	}
}
