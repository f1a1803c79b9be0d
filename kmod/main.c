// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stateless two-way NAT of IPv4: a destination is replaced before routing, a source after it, by a table of
 * hosts and prefixes and nothing else. Each network namespace has its own, in /proc/net/static_nat.
 */
#include <linux/module.h>
#include <linux/netfilter_ipv4.h>
#include <net/netns/generic.h>
#include "static_nat.h"

static unsigned int static_nat_net_id;

struct static_nat_table *static_nat_table_of(const struct net *net)
{
	return net_generic(net, static_nat_net_id);
}

static const struct nf_hook_ops static_nat_hooks[] = {
	{
		/* before fragments are collected for connection tracking, which these packets have none of */
		.hook = static_nat_prerouting,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK_DEFRAG - 1,
	},
	{
		.hook = static_nat_output,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_CONNTRACK_DEFRAG - 1,
	},
	{
		/* the rules of POSTROUTING see the inside address */
		.hook = static_nat_postrouting,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = NF_IP_PRI_NAT_SRC + 1,
	},
};

static int __net_init static_nat_net_init(struct net *net)
{
	struct static_nat_table *table = static_nat_table_of(net);
	int err;

	err = static_nat_table_init(table);
	if (err)
		return err;
	err = nf_register_net_hooks(net, static_nat_hooks, ARRAY_SIZE(static_nat_hooks));
	if (err)
		goto destroy_table;
	err = static_nat_proc_init(net);
	if (err)
		goto unregister_hooks;
	return 0;

unregister_hooks:
	nf_unregister_net_hooks(net, static_nat_hooks, ARRAY_SIZE(static_nat_hooks));
	synchronize_rcu();
destroy_table:
	static_nat_table_destroy(table);
	return err;
}

static void __net_exit static_nat_net_pre_exit(struct net *net)
{
	static_nat_proc_exit(net);
	nf_unregister_net_hooks(net, static_nat_hooks, ARRAY_SIZE(static_nat_hooks));
}

/* A grace period lies between the two. */
static void __net_exit static_nat_net_exit(struct net *net)
{
	static_nat_table_destroy(static_nat_table_of(net));
}

static struct pernet_operations static_nat_net_ops = {
	.init = static_nat_net_init,
	.pre_exit = static_nat_net_pre_exit,
	.exit = static_nat_net_exit,
	.id = &static_nat_net_id,
	.size = sizeof(struct static_nat_table),
};

static int __init static_nat_init(void)
{
	return register_pernet_subsys(&static_nat_net_ops);
}

static void __exit static_nat_exit(void)
{
	unregister_pernet_subsys(&static_nat_net_ops);
	/* mappings that were removed before */
	rcu_barrier();
}

module_init(static_nat_init);
module_exit(static_nat_exit);

MODULE_DESCRIPTION("Stateless two-way NAT of IPv4");
MODULE_AUTHOR("The sixgate authors");
MODULE_LICENSE("GPL");
