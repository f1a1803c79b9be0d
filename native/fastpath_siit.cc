// SPDX-License-Identifier: Apache-2.0
/* Translation without state: the mappings as the tries that the programs search (bpf/tables.h). */
#include <cstring>

#include <bpf/bpf.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include "fastpath.h"
#include "translator_config.h"

namespace sixgate {

namespace {

/** What xlat_is_illegal4() and xlat_is_illegal6() name. */
constexpr Prefix4 ILLEGAL4[] = {
	{0x00000000, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 3}};
constexpr Prefix6 ILLEGAL6[] = {
	{{{0}}, 128},
	{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, 128},
	{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 96},
	{{{0xfe, 0x80}}, 10},
	{{{0xff}}, 8},
};

/** The tries while they are filled; what does not fit leaves all to the translator. */
class Tries {
public:
	Tries()
	{
		struct bpf_map_create_opts options = {};
		options.sz = sizeof(options);
		options.map_flags = BPF_F_NO_PREALLOC;
		six = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "siit6_0", sizeof(siit6_key),
				     sizeof(siit6_value), SIIT_ENTRIES, &options);
		four = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "siit4_0", sizeof(siit4_key),
				      sizeof(siit4_value), SIIT_ENTRIES, &options);
		good = six >= 0 && four >= 0;
	}

	void put(const Prefix6 &prefix, const Prefix4 &to, siit_kind kind)
	{
		siit6_key key{prefix.length, {}};
		siit6_value value{xlat_be32(to.address), prefix.length, to.length,
				  static_cast<uint8_t>(kind), 0};
		std::memcpy(key.address, prefix.address.bytes, sizeof(key.address));
		good = good && bpf_map_update_elem(six, &key, &value, BPF_ANY) == 0;
	}

	void put(const Prefix4 &prefix, const Prefix6 &to, siit_kind kind)
	{
		siit4_key key{prefix.length, xlat_be32(prefix.address)};
		siit4_value value{{}, to.length, prefix.length, static_cast<uint8_t>(kind), 0};
		std::memcpy(value.ipv6, to.address.bytes, sizeof(value.ipv6));
		good = good && bpf_map_update_elem(four, &key, &value, BPF_ANY) == 0;
	}

	void bar(const Prefix4 &prefix) { put(prefix, Prefix6{}, SIIT_BARRIER); }
	void bar(const Prefix6 &prefix) { put(prefix, Prefix4{}, SIIT_BARRIER); }

	int six = -1, four = -1;
	bool good = false;
};

/** The host's own IPv4 addresses and their broadcasts, whose packets are judged below. */
void bar_own(Tries &tries)
{
	ifaddrs *all = nullptr;
	tries.good = tries.good && getifaddrs(&all) == 0;
	for (const ifaddrs *one = all; one; one = one->ifa_next) {
		if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET)
			continue;
		auto bar = [&](const sockaddr *address) {
			uint32_t host =
				ntohl(reinterpret_cast<const sockaddr_in *>(address)->sin_addr.s_addr);
			tries.bar(Prefix4{host, 32});
		};
		bar(one->ifa_addr);
		if (one->ifa_flags & IFF_BROADCAST && one->ifa_broadaddr)
			bar(one->ifa_broadaddr);
	}
	if (all)
		freeifaddrs(all);
}

} // namespace

/** Under config_lock_. Without tries the translator does it all. */
void Fastpath::fill_siit(const TranslatorConfig &config)
{
	for (int *fd : {&siit6_, &siit4_}) {
		if (*fd >= 0)
			::close(*fd);
		*fd = -1;
	}
	const Stateless &stateless = config.stateless;
	if (!stateless.enabled())
		return;
	/* Whether an address may stand behind the well-known prefix is asked below. */
	xlat_ip6 base{};
	if (stateless.prefix) {
		std::memcpy(base.b, stateless.prefix->address.bytes, sizeof(base.b));
		if (xlat_is_well_known(&base) && !config.allow_non_global)
			return;
	}
	Tries tries;
	for (const Prefix4 &prefix : ILLEGAL4)
		tries.bar(prefix);
	for (const Prefix6 &prefix : ILLEGAL6)
		tries.bar(prefix);
	for (const PoolConfig &pool : config.session.pools)
		for (const Prefix4 &prefix : pool.addresses)
			tries.bar(prefix);
	bar_own(tries);
	if (stateless.prefix)
		tries.put(*stateless.prefix, Prefix4{}, SIIT_PREFIX);
	for (const EamEntry &entry : stateless.map.entries()) {
		tries.put(entry.six, entry.four, SIIT_MAPPING);
		tries.put(entry.four, entry.six, SIIT_MAPPING);
	}
	siit6_ = tries.six;
	siit4_ = tries.four;
	if (tries.good)
		return;
	for (int *fd : {&siit6_, &siit4_}) {
		if (*fd >= 0)
			::close(*fd);
		*fd = -1;
	}
}

} // namespace sixgate
