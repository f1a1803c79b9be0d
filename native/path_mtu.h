// SPDX-License-Identifier: Apache-2.0
/*
 * What the route of a packet carries, for one packet thread. Nearly every packet is smaller than
 * what the narrowest route does and costs one comparison. For the others the kernel is asked, which
 * knows rules, multipath and VRFs; its answers are kept until a route that may matter changes.
 */
#pragma once

#include <memory>

#include "netlink.h"
#include "route_watch.h"
#include "xlat/types.h"

namespace sixgate {

class PathMtu {
public:
	void refresh(std::shared_ptr<const RouteView> view) { view_ = std::move(view); }

	/* Of the way from the translator; 0 when it does not matter for `size`, or is not known. */
	uint32_t to4(xlat_ip4 source, xlat_ip4 destination, uint32_t size)
	{
		if (XLAT_LIKELY(view_->four.least && size <= view_->four.least))
			return 0;
		return find({4, mapped(source), mapped(destination)});
	}
	uint32_t to6(const xlat_ip6 &source, const xlat_ip6 &destination, uint32_t size)
	{
		if (XLAT_LIKELY(view_->six.least && size <= view_->six.least))
			return 0;
		return find({6, plain(source), plain(destination)});
	}

	/* What packets of any size would fit, without a question where all routes carry alike. */
	uint32_t bound4(xlat_ip4 source, xlat_ip4 destination)
	{
		const RouteSpan &span = view_->four;
		return span.least && span.least == span.most ? span.least
							     : to4(source, destination, UINT32_MAX);
	}
	uint32_t bound6(const xlat_ip6 &source, const xlat_ip6 &destination)
	{
		const RouteSpan &span = view_->six;
		return span.least && span.least == span.most ? span.least
							     : to6(source, destination, UINT32_MAX);
	}

private:
	/* Both ends as rtnetlink has them: IPv4 in the first four bytes. */
	struct Path {
		uint8_t family = 0;
		Ip6 source{}, destination{};
	};
	struct Entry {
		Path path;
		uint32_t mtu = 0;
		uint64_t age = 0, changes = 0;
	};
	/* Of the thread's own; a stranger who fills them only has the kernel asked again. */
	static constexpr size_t WAYS = 4, SETS = 1024;

	static Ip6 mapped(xlat_ip4 address)
	{
		Ip6 out{};
		std::memcpy(out.bytes, &address.addr.raw, 4);
		return out;
	}
	static Ip6 plain(const xlat_ip6 &address)
	{
		Ip6 out;
		std::memcpy(out.bytes, address.b, 16);
		return out;
	}

	uint32_t find(const Path &path);
	Entry *set_of(const Path &path);
	bool holds(Entry &entry, const Path &path) const;
	uint32_t ask(const Path &path);

	std::shared_ptr<const RouteView> view_;
	std::unique_ptr<Entry[]> entries_;
	size_t next_ = 0; /* the way that gives way */
	std::unique_ptr<Netlink> kernel_;
};

} // namespace sixgate
