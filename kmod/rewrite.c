// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets. Each address is replaced in the header, in the transport checksum where it stands in the
 * pseudo-header, and in what an ICMP error quotes: the quoted packet went the other way, so before routing its
 * source is an outside address, and after routing its destination an inside one (RFC 5508 section 4.2).
 */
#include <linux/icmp.h>
#include <linux/ip.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/netfilter/nf_conntrack.h>
#include "static_nat.h"

/* Where the checksum with a pseudo-header stands; 0 if the protocol has none. */
static unsigned int checksum_offset(u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return offsetof(struct udphdr, check);
	case IPPROTO_DCCP:
		return 6;
	default:
		return 0;
	}
}

static bool first_fragment(const struct iphdr *ip)
{
	return !(ip->frag_off & htons(IP_OFFSET));
}

static __be32 *address_of(struct iphdr *ip, enum static_nat_kind kind)
{
	return kind == STATIC_NAT_DST ? &ip->daddr : &ip->saddr;
}

/* ── what an ICMP error quotes ───────────────────────────────────────────── */

struct quote {
	unsigned int icmp;	/* offset of the ICMP header */
	unsigned int inner;	/* offset of the quoted header */
	unsigned int transport;	/* offset of what follows it */
	u8 protocol;
	bool first;
	__be32 saddr;
	__be32 daddr;
};

static bool icmp_is_error(u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* Reads without changing the packet: most have nothing quoted and none of it mapped. */
static bool read_quote(const struct sk_buff *skb, struct quote *quote)
{
	const struct iphdr *ip = ip_hdr(skb);
	const struct icmphdr *icmp;
	const struct iphdr *inner;
	struct icmphdr icmp_space;
	struct iphdr inner_space;

	if (ip->protocol != IPPROTO_ICMP || !first_fragment(ip))
		return false;
	quote->icmp = skb_network_offset(skb) + ip->ihl * 4;
	icmp = skb_header_pointer(skb, quote->icmp, sizeof(icmp_space), &icmp_space);
	if (!icmp || !icmp_is_error(icmp->type))
		return false;
	quote->inner = quote->icmp + sizeof(*icmp);
	inner = skb_header_pointer(skb, quote->inner, sizeof(inner_space), &inner_space);
	if (!inner || inner->version != 4 || inner->ihl < 5)
		return false;
	quote->transport = quote->inner + inner->ihl * 4;
	quote->protocol = inner->protocol;
	quote->first = first_fragment(inner);
	quote->saddr = inner->saddr;
	quote->daddr = inner->daddr;
	return true;
}

/* The mapping of the quoted packet, which has been through the other way. */
static struct static_nat_mapping *lookup_quote(const struct static_nat_table *table,
					       enum static_nat_kind kind, const struct quote *quote)
{
	return static_nat_lookup(table, kind,
				 kind == STATIC_NAT_DST ? quote->saddr : quote->daddr);
}

/*
 * The quoted transport checksum changes with its pseudo-header, if as much of it is quoted, and so does that of
 * ICMP; the quoted IP header with its checksum sums up to the same as before.
 */
static void rewrite_quoted_transport(struct sk_buff *skb, const struct quote *quote, __be32 old,
				     __be32 new)
{
	unsigned int offset = checksum_offset(quote->protocol);
	struct icmphdr *icmp;
	__sum16 *check, before;

	if (!offset || !quote->first)
		return;
	offset += quote->transport;
	if (offset + sizeof(*check) > skb->len || skb_ensure_writable(skb, offset + sizeof(*check)))
		return;
	icmp = (struct icmphdr *)(skb->data + quote->icmp);
	check = (__sum16 *)(skb->data + offset);
	if (!*check && quote->protocol == IPPROTO_UDP)
		return;
	before = *check;
	csum_replace4(check, old, new);
	if (!*check && quote->protocol != IPPROTO_TCP)
		*check = CSUM_MANGLED_0;
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		csum_replace2(&icmp->checksum, (__force __be16)before, (__force __be16)*check);
}

static bool rewrite_quote(struct sk_buff *skb, const struct quote *quote,
			  enum static_nat_kind kind, const struct static_nat_mapping *mapping)
{
	struct iphdr *inner;
	__be32 *address;
	__be32 old, new;

	if (skb_ensure_writable(skb, quote->inner + sizeof(*inner)))
		return false;
	inner = (struct iphdr *)(skb->data + quote->inner);
	address = address_of(inner, !kind);
	old = *address;
	new = static_nat_translate(mapping, kind, old);
	csum_replace4(&inner->check, old, new);
	*address = new;
	rewrite_quoted_transport(skb, quote, old, new);
	return true;
}

/* ── the packet itself ───────────────────────────────────────────────────── */

static bool rewrite_transport(struct sk_buff *skb, __be32 old, __be32 new)
{
	const struct iphdr *ip = ip_hdr(skb);
	unsigned int start = skb_network_offset(skb) + ip->ihl * 4;
	unsigned int offset = checksum_offset(ip->protocol);
	u8 protocol = ip->protocol;
	__sum16 *check;

	if (!offset || !first_fragment(ip))
		return true;
	/* without its checksum it cannot be right at the other end (RFC 3128: such fragments are attacks) */
	if (skb_ensure_writable(skb, start + offset + sizeof(*check)))
		return false;
	check = (__sum16 *)(skb->data + start + offset);
	/* a UDP checksum of 0 means that there is none (RFC 768), not in UDP-Lite (RFC 3828) */
	if (!*check && protocol == IPPROTO_UDP && skb->ip_summed != CHECKSUM_PARTIAL)
		return true;
	inet_proto_csum_replace4(check, skb, old, new, true);
	if (!*check && protocol != IPPROTO_TCP)
		*check = CSUM_MANGLED_0;
	return true;
}

static bool rewrite(struct sk_buff *skb, enum static_nat_kind kind,
		    struct static_nat_mapping *mapping)
{
	struct iphdr *ip;
	__be32 *address;
	__be32 old, new;

	if (skb_ensure_writable(skb, skb_network_offset(skb) + sizeof(*ip)))
		return false;
	old = *address_of(ip_hdr(skb), kind);
	new = static_nat_translate(mapping, kind, old);
	if (!rewrite_transport(skb, old, new))
		return false;
	ip = ip_hdr(skb);
	address = address_of(ip, kind);
	csum_replace4(&ip->check, old, new);
	*address = new;
	static_nat_count(mapping, kind, skb->len);
	return true;
}

/* A packet that cannot be rewritten whole is lost here and nowhere else. */
static unsigned int translate(struct sk_buff *skb, const struct static_nat_table *table,
			      enum static_nat_kind kind, struct static_nat_mapping *mapping,
			      const struct quote *quote)
{
	struct static_nat_mapping *quoted = quote ? lookup_quote(table, kind, quote) : NULL;

	if (quoted && !rewrite_quote(skb, quote, kind, quoted))
		return NF_DROP;
	if (mapping && !rewrite(skb, kind, mapping))
		return NF_DROP;
	return NF_ACCEPT;
}

/* ── hooks ───────────────────────────────────────────────────────────────── */

static void untrack(struct sk_buff *skb)
{
	if (!skb_nfct(skb))
		nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
}

static bool quote_is_mapped(const struct static_nat_table *table, const struct quote *quote)
{
	return static_nat_lookup(table, STATIC_NAT_SRC, quote->daddr) ||
	       static_nat_lookup(table, STATIC_NAT_DST, quote->saddr);
}

unsigned int static_nat_prerouting(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	const struct static_nat_table *table = static_nat_table_of(state->net);
	struct static_nat_mapping *mapping;
	struct quote space, *quote;
	unsigned int verdict;

	if (!READ_ONCE(table->lengths))
		return NF_ACCEPT;
	quote = read_quote(skb, &space) ? &space : NULL;
	mapping = static_nat_lookup(table, STATIC_NAT_DST, ip_hdr(skb)->daddr);
	/* mapped in either direction, it or what it quotes: connection tracking would see half of it */
	if (!mapping && !static_nat_lookup(table, STATIC_NAT_SRC, ip_hdr(skb)->saddr) &&
	    !(quote && quote_is_mapped(table, quote)))
		return NF_ACCEPT;
	untrack(skb);
	verdict = translate(skb, table, STATIC_NAT_DST, mapping, quote);
	/* loopback brings the route of the old destination */
	if (verdict == NF_ACCEPT && mapping)
		skb_dst_drop(skb);
	return verdict;
}

/*
 * What this host sends from a mapped address comes back past connection tracking, and what it answers to one came
 * so. Its own ICMP errors quote packets between the two translations.
 */
unsigned int static_nat_output(void *priv, struct sk_buff *skb, const struct nf_hook_state *state)
{
	const struct static_nat_table *table = static_nat_table_of(state->net);
	struct quote quote;

	if (!READ_ONCE(table->lengths))
		return NF_ACCEPT;
	if (static_nat_lookup(table, STATIC_NAT_SRC, ip_hdr(skb)->saddr) ||
	    static_nat_lookup(table, STATIC_NAT_SRC, ip_hdr(skb)->daddr) ||
	    (read_quote(skb, &quote) && quote_is_mapped(table, &quote)))
		untrack(skb);
	return NF_ACCEPT;
}

unsigned int static_nat_postrouting(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	const struct static_nat_table *table = static_nat_table_of(state->net);
	struct static_nat_mapping *mapping;
	struct quote space, *quote;

	if (!READ_ONCE(table->lengths))
		return NF_ACCEPT;
	quote = read_quote(skb, &space) ? &space : NULL;
	mapping = static_nat_lookup(table, STATIC_NAT_SRC, ip_hdr(skb)->saddr);
	return translate(skb, table, STATIC_NAT_SRC, mapping, quote);
}
