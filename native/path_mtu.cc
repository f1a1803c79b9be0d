// SPDX-License-Identifier: Apache-2.0
#include "path_mtu.h"

#include <sys/socket.h>

namespace sixgate {
namespace {

uint64_t half_of(const Ip6 &address, unsigned which)
{
	uint64_t half;
	std::memcpy(&half, address.bytes + which * 8, 8);
	return half;
}

bool covers(const Route &route, uint8_t family, const Ip6 &address)
{
	unsigned whole = route.length / 8u, rest = route.length % 8u;
	if (route.family != family || std::memcmp(route.destination.bytes, address.bytes, whole))
		return false;
	return !rest || (route.destination.bytes[whole] ^ address.bytes[whole]) >> (8 - rest) == 0;
}

} // namespace

/* Whether the entry answers for the path, and nothing that matters to it changed since. */
bool PathMtu::holds(Entry &entry, const Path &path) const
{
	const Path &known = entry.path;
	const RouteView &view = *view_;
	if (known.family != path.family || !(known.destination == path.destination) ||
	    entry.age != view.age || (view.by_source && !(known.source == path.source)))
		return false;
	uint64_t missed = view.changes - entry.changes;
	if (missed > view.recent.size())
		return false;
	for (size_t i = view.recent.size() - missed; i < view.recent.size(); i++)
		if (covers(view.recent[i], path.family, path.destination))
			return false;
	entry.changes = view.changes;
	return true;
}

PathMtu::Entry *PathMtu::set_of(const Path &path)
{
	uint64_t hash = half_of(path.destination, 0) * 0x9e3779b97f4a7c15 ^
			half_of(path.destination, 1) * 0xd6e8feb86659fd93;
	if (view_->by_source)
		hash ^= (half_of(path.source, 0) ^ half_of(path.source, 1)) * 0xff51afd7ed558ccd;
	hash = (hash ^ hash >> 29) * 0x9e3779b97f4a7c15;
	return &entries_[(hash >> 32) % SETS * WAYS];
}

uint32_t PathMtu::find(const Path &path)
{
	if (!entries_)
		entries_.reset(new Entry[SETS * WAYS]);
	Entry *set = set_of(path);
	for (size_t way = 0; way < WAYS; way++)
		if (holds(set[way], path))
			return set[way].mtu;
	Entry &entry = set[next_++ % WAYS];
	entry = {path, ask(path), view_->age, view_->changes};
	return entry.mtu;
}

/* As a packet from the device would be routed; without a route, or to the host itself, 0. */
uint32_t PathMtu::ask(const Path &path)
{
	if (!kernel_) {
		kernel_ = std::make_unique<Netlink>();
		kernel_->open();
	}
	uint32_t mtu = 0;
	size_t bytes = path.family == 6 ? 16 : 4;
	rtmsg body{};
	body.rtm_family = path.family == 6 ? AF_INET6 : AF_INET;
	body.rtm_dst_len = body.rtm_src_len = static_cast<uint8_t>(bytes * 8);
	NetlinkRequest request(RTM_GETROUTE, 0, body);
	request.add(RTA_DST, path.destination.bytes, bytes);
	request.add(RTA_SRC, path.source.bytes, bytes);
	request.add(RTA_IIF, static_cast<uint32_t>(view_->own_device));
	kernel_->ask(request, [&](const nlmsghdr &message) {
		Route route;
		if (parse_route(message, route))
			mtu = view_->mtu_of(route);
	});
	return mtu;
}

} // namespace sixgate
