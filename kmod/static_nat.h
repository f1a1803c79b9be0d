/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef STATIC_NAT_H
#define STATIC_NAT_H

#include <linux/netfilter.h>
#include <net/net_namespace.h>
#include "table.h"

/* The table of a namespace (main.c). */
struct static_nat_table *static_nat_table_of(const struct net *net);

/* The hooks (rewrite.c). */
unsigned int static_nat_prerouting(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state);
unsigned int static_nat_output(void *priv, struct sk_buff *skb, const struct nf_hook_state *state);
unsigned int static_nat_postrouting(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state);

/* /proc/net/static_nat (proc.c). */
int static_nat_proc_init(struct net *net);
void static_nat_proc_exit(struct net *net);

/* The lines of @text, which is changed, as commands to be freed with kvfree() (command.c). */
int static_nat_parse(char *text, size_t length, struct static_nat_command **commands,
		     size_t *count);

#endif
