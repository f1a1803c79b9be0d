// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/net/static_nat. A write is a number of whole lines, all of which take effect or none (command.c). A read
 * gives two lines for each mapping, the one that was asked for first:
 *
 *	198.51.100.8 192.168.1.8 dst static packets 12 bytes 1008
 *	192.168.1.8 198.51.100.8 src automatic packets 11 bytes 924
 */
#include <linux/mm.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "static_nat.h"

#define NAME "static_nat"
/* more than 100,000 lines */
#define WRITE_MAX (4UL << 20)

struct reader {
	struct static_nat_table *table;
};

/* A position is an identifier and one of two lines, so that removals move nothing. */
static struct static_nat_mapping *mapping_at(struct static_nat_table *table, loff_t *position)
{
	unsigned long id = *position >> 1;
	unsigned long found = id;
	struct static_nat_mapping *mapping;

	if (*position >> 1 > U32_MAX)
		return NULL;
	mapping = xa_find(&table->mappings, &found, U32_MAX, XA_PRESENT);
	while (mapping && !READ_ONCE(mapping->live))
		mapping = xa_find_after(&table->mappings, &found, U32_MAX, XA_PRESENT);
	if (mapping && found != id)
		*position = (loff_t)found << 1;
	return mapping;
}

static void *start(struct seq_file *seq, loff_t *position) __acquires(RCU)
{
	struct reader *reader = seq->private;

	rcu_read_lock();
	return mapping_at(reader->table, position);
}

static void *next(struct seq_file *seq, void *mapping, loff_t *position)
{
	struct reader *reader = seq->private;

	++*position;
	return mapping_at(reader->table, position);
}

static void stop(struct seq_file *seq, void *mapping) __releases(RCU)
{
	rcu_read_unlock();
}

static void show_prefix(struct seq_file *seq, __be32 prefix, u8 length)
{
	seq_printf(seq, "%pI4", &prefix);
	if (length < 32)
		seq_printf(seq, "/%u", length);
	seq_putc(seq, ' ');
}

static int show(struct seq_file *seq, void *data)
{
	const struct static_nat_mapping *mapping = data;
	bool automatic = seq->index & 1;
	enum static_nat_kind kind = automatic ? !mapping->kind : mapping->kind;
	u64 packets, bytes;

	show_prefix(seq, mapping->rule[kind].from, mapping->length);
	show_prefix(seq, mapping->rule[kind].to, mapping->length);
	static_nat_read_counters(mapping, kind, &packets, &bytes);
	seq_printf(seq, "%s %s packets %llu bytes %llu\n", kind == STATIC_NAT_DST ? "dst" : "src",
		   automatic ? "automatic" : "static", packets, bytes);
	return 0;
}

static const struct seq_operations sequence = {
	.start = start,
	.next = next,
	.stop = stop,
	.show = show,
};

static int open(struct inode *inode, struct file *file)
{
	struct net *net = pde_data(inode);
	struct reader *reader = __seq_open_private(file, &sequence, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->table = static_nat_table_of(net);
	return 0;
}

static ssize_t write(struct file *file, const char __user *from, size_t length, loff_t *position)
{
	struct net *net = pde_data(file_inode(file));
	struct static_nat_command *commands;
	size_t count;
	char *text;
	int err;

	if (!ns_capable(net->user_ns, CAP_NET_ADMIN))
		return -EPERM;
	if (!length || length > WRITE_MAX)
		return -EINVAL;
	/* one byte more ends a last line without LF */
	text = kvmalloc(length + 1, GFP_KERNEL_ACCOUNT);
	if (!text)
		return -ENOMEM;
	err = copy_from_user(text, from, length) ? -EFAULT : 0;
	if (!err)
		err = static_nat_parse(text, length, &commands, &count);
	kvfree(text);
	if (err)
		return err;
	err = static_nat_table_apply(static_nat_table_of(net), commands, count);
	kvfree(commands);
	return err ?: length;
}

static const struct proc_ops operations = {
	.proc_open = open,
	.proc_read = seq_read,
	.proc_read_iter = seq_read_iter,
	.proc_lseek = seq_lseek,
	.proc_write = write,
	.proc_release = seq_release_private,
};

int static_nat_proc_init(struct net *net)
{
	return proc_create_data(NAME, 0644, net->proc_net, &operations, net) ? 0 : -ENOMEM;
}

void static_nat_proc_exit(struct net *net)
{
	remove_proc_entry(NAME, net->proc_net);
}
