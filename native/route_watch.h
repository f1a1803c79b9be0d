// SPDX-License-Identifier: Apache-2.0
/*
 * What the links and routes of the network namespace carry, followed by rtnetlink. Routes are not
 * kept, for an operator's table may hold a million of them: the watch keeps the least and the most
 * that any of them carries, and names the ones that changed. What a single route carries is asked
 * of the kernel itself (path_mtu.h), for the few packets that the least would not hold.
 */
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "netlink.h"
#include "session.h"

namespace sixgate {

struct Link {
	int index = 0;
	std::string name;
	bool loopback = false;
	uint32_t mtu4 = 0, mtu6 = 0;

	uint32_t mtu(uint8_t family) const { return family == 6 ? mtu6 : mtu4; }
	bool operator==(const Link &) const = default;
};

/* Routes of a family that leave by one device and carry as much. */
struct RouteGroup {
	uint8_t family = 0;
	int device = 0;
	uint32_t mtu = 0;
	uint64_t routes = 0;
	std::string example;
};

/* A route as rtnetlink tells it; the address of IPv4 is in the first four bytes. */
struct Route {
	uint8_t family = 0, type = 0;
	uint8_t length = 0, source_length = 0;
	Ip6 destination{};
	uint32_t metric_mtu = 0; /* its own `mtu`, 0 for that of its link */
	bool learnt = false;	 /* a path MTU exception, no route */
	std::vector<int> devices;
};

/* False when the message is about no route of ours to judge. */
bool parse_route(const nlmsghdr &message, Route &route);

struct RouteSpan {
	uint32_t least = 0, most = 0; /* 0: not known yet */
	void widen(uint32_t mtu);
};

/* One state of the namespace, replaced whole. */
struct RouteView {
	int own_device = 0; /* the translator's: what goes there turns inside */
	std::vector<Link> links;
	RouteSpan four, six;
	/* Whether a rule or a route looks at the source too. */
	bool by_source = false;
	/* Changes so far, and of what the last ones are. Another `age` leaves nothing valid. */
	uint64_t age = 0, changes = 0;
	std::vector<Route> recent;
	std::vector<RouteGroup> groups;

	const RouteSpan &span(uint8_t family) const { return family == 6 ? six : four; }
	/* Of a device; empty when it is not known. */
	std::string name_of(int device) const;
	/* What a route carries; 0 when it is not the translator's business. */
	uint32_t mtu_of(const Route &route) const;
};

/* More distinct groups of a family are not shown, and more changes not told apart. */
constexpr ptrdiff_t MAX_GROUPS = 32;
constexpr size_t MAX_RECENT = 64;

class RouteWatch {
public:
	using Publish = std::function<void(std::shared_ptr<const RouteView>)>;

	/* `publish` is called from here, then from the thread. `wake` ends the thread's sleep. */
	RouteWatch(std::string own_device, int wake, Publish publish);

	/* Until stop is requested and `wake` is readable. */
	void run(std::stop_token stop);

private:
	void read_links();
	void read_routes();
	bool read_rules();
	void hear();
	void note(const Route &route);
	void count(const Route &route, std::vector<RouteGroup> &groups) const;
	void publish() { publish_(std::make_shared<const RouteView>(view_)); }

	const std::string own_device_;
	const int wake_;
	const Publish publish_;
	Netlink events_, questions_;
	RouteView view_;
	bool links_due_ = true, routes_due_ = true;
	int64_t due_at_ = 0; /* of the routes, CLOCK_MONOTONIC in milliseconds */
};

} // namespace sixgate
