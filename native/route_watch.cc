// SPDX-License-Identifier: Apache-2.0
#include "route_watch.h"

#include <algorithm>
#include <ctime>

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <poll.h>

namespace sixgate {
namespace {

/* Changes come in bursts. */
constexpr int64_t SETTLE = 20;
/* Reading a large table again may take no more than this part of the time. */
constexpr int64_t REST = 50;
/* What the kernel does not tell, such as a sysctl, is seen after so long. */
constexpr int REVIEW = 30000;

int64_t monotonic()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

/* An IPv6 link may carry less than its device, as a router advertisement said (RFC 4861 4.6.4). */
uint32_t inet6_mtu(const rtattr &families)
{
	uint32_t mtu = 0;
	each_attribute(RTA_DATA(&families), RTA_PAYLOAD(&families), [&](const rtattr &family) {
		if (family.rta_type != AF_INET6)
			return;
		each_attribute(RTA_DATA(&family), RTA_PAYLOAD(&family), [&](const rtattr &one) {
			const uint32_t *values = static_cast<const uint32_t *>(RTA_DATA(&one));
			if (one.rta_type == IFLA_INET6_CONF &&
			    RTA_PAYLOAD(&one) > DEVCONF_MTU6 * sizeof(uint32_t))
				mtu = values[DEVCONF_MTU6];
		});
	});
	return mtu;
}

Link parse_link(const nlmsghdr &message)
{
	const ifinfomsg &info = *static_cast<const ifinfomsg *>(NLMSG_DATA(&message));
	Link link;
	uint32_t six = 0;
	link.index = info.ifi_index;
	link.loopback = info.ifi_flags & IFF_LOOPBACK;
	each_attribute(IFLA_RTA(&info), IFLA_PAYLOAD(&message), [&](const rtattr &one) {
		switch (one.rta_type & NLA_TYPE_MASK) {
		case IFLA_IFNAME:
			link.name.assign(static_cast<const char *>(RTA_DATA(&one)),
					 strnlen(static_cast<const char *>(RTA_DATA(&one)),
						 RTA_PAYLOAD(&one)));
			break;
		case IFLA_MTU:
			link.mtu4 = value_of<uint32_t>(one);
			break;
		case IFLA_AF_SPEC:
			six = inet6_mtu(one);
			break;
		}
	});
	link.mtu6 = six ? std::min(six, link.mtu4) : link.mtu4;
	return link;
}

uint32_t parse_metrics(const rtattr &metrics)
{
	uint32_t mtu = 0;
	each_attribute(RTA_DATA(&metrics), RTA_PAYLOAD(&metrics), [&](const rtattr &one) {
		if (one.rta_type == RTAX_MTU)
			mtu = value_of<uint32_t>(one);
	});
	return mtu;
}

void parse_nexthops(const rtattr &hops, std::vector<int> &devices)
{
	int left = static_cast<int>(RTA_PAYLOAD(&hops));
	for (const rtnexthop *hop = static_cast<const rtnexthop *>(RTA_DATA(&hops));
	     RTNH_OK(hop, left); hop = RTNH_NEXT(hop)) {
		devices.push_back(hop->rtnh_ifindex);
		left -= RTNH_ALIGN(hop->rtnh_len);
	}
}

/* Between the links of one network only, or for everybody on a link: never a packet of ours. */
bool is_link_scope(const Route &route)
{
	const uint8_t *bytes = route.destination.bytes;
	if (route.family == 6)
		return (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || bytes[0] == 0xff;
	return bytes[0] >= 224 || (bytes[0] == 169 && bytes[1] == 254);
}

std::string text_of(const Route &route)
{
	char text[INET6_ADDRSTRLEN];
	inet_ntop(route.family == 6 ? AF_INET6 : AF_INET, route.destination.bytes, text,
		  sizeof(text));
	return std::string(text) + "/" + std::to_string(route.length);
}

} // namespace

bool parse_route(const nlmsghdr &message, Route &route)
{
	if (message.nlmsg_type != RTM_NEWROUTE && message.nlmsg_type != RTM_DELROUTE)
		return false;
	const rtmsg &info = *static_cast<const rtmsg *>(NLMSG_DATA(&message));
	if (info.rtm_family != AF_INET && info.rtm_family != AF_INET6)
		return false;
	bool expires = false;
	route = Route{};
	route.family = info.rtm_family == AF_INET6 ? 6 : 4;
	route.type = info.rtm_type;
	route.length = info.rtm_dst_len;
	route.source_length = info.rtm_src_len;
	each_attribute(RTM_RTA(&info), RTM_PAYLOAD(&message), [&](const rtattr &one) {
		switch (one.rta_type) {
		case RTA_DST:
			std::memcpy(route.destination.bytes, RTA_DATA(&one),
				    std::min<size_t>(RTA_PAYLOAD(&one), 16));
			break;
		case RTA_OIF:
			route.devices.push_back(value_of<int>(one));
			break;
		case RTA_MULTIPATH:
			parse_nexthops(one, route.devices);
			break;
		case RTA_METRICS:
			route.metric_mtu = parse_metrics(one);
			break;
		case RTA_CACHEINFO:
			expires = value_of<rta_cacheinfo>(one).rta_expires != 0;
			break;
		}
	});
	/*
	 * An answer about an address is marked as cloned in IPv4, an exception in IPv6; what
	 * expires is an exception in IPv4, a route from a router advertisement in IPv6.
	 */
	bool cloned = info.rtm_flags & RTM_F_CLONED;
	route.learnt = route.family == 6 ? cloned : cloned && expires;
	return true;
}

void RouteSpan::widen(uint32_t mtu)
{
	if (!mtu)
		return;
	least = least ? std::min(least, mtu) : mtu;
	most = std::max(most, mtu);
}

/* The least of its next hops, as which one a packet takes is unknown; without one, of any link. */
uint32_t RouteView::mtu_of(const Route &route) const
{
	const std::vector<int> &devices = route.devices;
	uint32_t mtu = 0;
	if (route.type != RTN_UNICAST)
		return 0;
	for (const Link &link : links) {
		bool meant = devices.empty() ||
			     std::find(devices.begin(), devices.end(), link.index) != devices.end();
		if (!meant || link.index == own_device || link.loopback)
			continue;
		uint32_t carries = link.mtu(route.family);
		mtu = mtu ? std::min(mtu, carries) : carries;
	}
	bool own_metric = route.metric_mtu && !route.learnt;
	return mtu && own_metric ? std::min(mtu, route.metric_mtu) : mtu;
}

std::string RouteView::name_of(int device) const
{
	for (const Link &link : links)
		if (link.index == device)
			return link.name;
	return {};
}

RouteWatch::RouteWatch(std::string own_device, int wake, Publish publish)
    : own_device_(std::move(own_device)), wake_(wake), publish_(std::move(publish))
{
	/* Heard before it is read, so that nothing falls in between. */
	events_.open({RTNLGRP_LINK, RTNLGRP_IPV6_IFINFO, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
		      RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP});
	questions_.open();
	read_links();
	this->publish();
}

void RouteWatch::read_links()
{
	ifinfomsg all{};
	NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP, all);
	request.add(IFLA_EXT_MASK, uint32_t{RTEXT_FILTER_SKIP_STATS});
	std::vector<Link> links;
	links_due_ = !questions_.ask(request, [&](const nlmsghdr &message) {
		if (message.nlmsg_type == RTM_NEWLINK)
			links.push_back(parse_link(message));
	});
	if (links_due_ || links == view_.links)
		return;
	view_.links = std::move(links);
	view_.own_device = 0;
	for (const Link &link : view_.links)
		if (link.name == own_device_)
			view_.own_device = link.index;
	/* Until the routes are read again any of them may carry what the narrowest link does. */
	for (const Link &link : view_.links) {
		if (link.loopback || link.index == view_.own_device)
			continue;
		if (view_.four.least)
			view_.four.widen(link.mtu4);
		if (view_.six.least)
			view_.six.widen(link.mtu6);
	}
	view_.age++;
	routes_due_ = true;
}

/* Whether a rule looks at the source. */
bool RouteWatch::read_rules()
{
	bool by_source = false;
	for (uint8_t family : {AF_INET, AF_INET6}) {
		fib_rule_hdr all{};
		all.family = family;
		NetlinkRequest request(RTM_GETRULE, NLM_F_DUMP, all);
		questions_.ask(request, [&](const nlmsghdr &message) {
			const fib_rule_hdr &rule =
				*static_cast<const fib_rule_hdr *>(NLMSG_DATA(&message));
			by_source |= message.nlmsg_type == RTM_NEWRULE && rule.src_len != 0;
		});
	}
	return by_source;
}

void RouteWatch::count(const Route &route, std::vector<RouteGroup> &groups) const
{
	uint32_t mtu = view_.mtu_of(route);
	int device = route.devices.empty() ? 0 : route.devices.front();
	auto same = [&](const RouteGroup &one) {
		return one.family == route.family && one.device == device && one.mtu == mtu;
	};
	auto group = std::find_if(groups.begin(), groups.end(), same);
	auto family = [&](const RouteGroup &one) { return one.family == route.family; };
	if (group != groups.end())
		group->routes++;
	else if (std::count_if(groups.begin(), groups.end(), family) < MAX_GROUPS)
		groups.push_back({route.family, device, mtu, 1, text_of(route)});
}

void RouteWatch::read_routes()
{
	int64_t start = monotonic();
	RouteSpan spans[2];
	std::vector<RouteGroup> groups;
	bool by_source = read_rules(), whole = true;
	for (uint8_t family : {AF_INET, AF_INET6}) {
		rtmsg all{};
		all.rtm_family = family;
		NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP, all);
		Route route;
		whole &= questions_.ask(request, [&](const nlmsghdr &message) {
			if (!parse_route(message, route) || route.learnt || is_link_scope(route))
				return;
			by_source |= route.source_length != 0;
			if (!view_.mtu_of(route))
				return;
			spans[family == AF_INET6].widen(view_.mtu_of(route));
			count(route, groups);
		});
	}
	int64_t now = monotonic();
	due_at_ = now + std::max(SETTLE, (now - start) * REST);
	routes_due_ = !whole;
	if (!whole)
		return;
	view_.four = spans[0];
	view_.six = spans[1];
	view_.age += by_source != view_.by_source;
	view_.by_source = by_source;
	view_.groups = std::move(groups);
}

/* One route came, went or changed. */
void RouteWatch::note(const Route &route)
{
	uint32_t mtu = view_.mtu_of(route);
	RouteSpan &span = route.family == 6 ? view_.six : view_.four;
	/* Before the first reading the least is not known at all. */
	if (span.least)
		span.widen(mtu);
	view_.by_source |= route.source_length != 0;
	view_.changes++;
	view_.recent.push_back(route);
	if (view_.recent.size() > MAX_RECENT)
		view_.recent.erase(view_.recent.begin());
	routes_due_ = true;
}

void RouteWatch::hear()
{
	Route route;
	uint64_t before = view_.age;
	bool whole = events_.hear([&](const nlmsghdr &message) {
		if (parse_route(message, route)) {
			if (!route.learnt)
				note(route);
			return;
		}
		/* Links bring a message of their own when they go. */
		bool link = message.nlmsg_type == RTM_NEWLINK || message.nlmsg_type == RTM_DELLINK;
		links_due_ |= link;
		if (!link)
			view_.age++;
	});
	if (!whole) {
		links_due_ = true;
		view_.age++;
	}
	routes_due_ |= view_.age != before;
}

void RouteWatch::run(std::stop_token stop)
{
	int64_t settled = 0;
	while (!stop.stop_requested()) {
		if (links_due_)
			read_links();
		publish();
		int wait = REVIEW;
		if (routes_due_) {
			int64_t at = std::max(settled, due_at_), now = monotonic();
			if (now >= at) {
				read_routes();
				publish();
				continue;
			}
			wait = static_cast<int>(std::min<int64_t>(at - now, REVIEW));
		}
		pollfd watched[2] = {{events_.fd(), POLLIN, 0}, {wake_, POLLIN, 0}};
		int ready = poll(watched, 2, wait);
		if (watched[0].revents) {
			if (!routes_due_)
				settled = monotonic() + SETTLE;
			hear();
		}
		links_due_ |= ready == 0 && wait == REVIEW;
	}
}

} // namespace sixgate
