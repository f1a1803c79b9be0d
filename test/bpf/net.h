// SPDX-License-Identifier: Apache-2.0
/* A network namespace of the process's own, where every address is behind a neighbour that is
 * known. */
#pragma once

#include <net/if.h>
#include <sched.h>

#include <cstdlib>

#include "gateway.h"

/* inner (IPv6) and outer (IPv4) hosts behind one device each; the far ends are nobody. */
struct Network {
	uint32_t inside = 0, outside = 0;
	static constexpr uint8_t INSIDE[6] = {2, 0, 0, 0, 0, 6};
	static constexpr uint8_t OUTSIDE[6] = {2, 0, 0, 0, 0, 4};
};

inline void shell(const char *command)
{
	if (system(command))
		die(command);
}

inline Network make_network()
{
	if (unshare(CLONE_NEWNET))
		die("unshare");
	shell("ip link add inside type veth peer name inside0 && ip link add outside type veth "
	      "peer name outside0");
	shell("ip link set lo up && ip link set inside up && ip link set inside0 up && ip link set "
	      "outside up "
	      "&& ip link set outside0 up");
	shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
	shell("ip addr add 2001:db8:ff::1/64 dev inside nodad && ip addr add 192.0.2.1/30 dev "
	      "outside");
	shell("ip neigh add 2001:db8:ff::2 lladdr 02:00:00:00:00:06 nud permanent dev inside");
	shell("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:04 nud permanent dev outside");
	shell("ip -6 route add default via 2001:db8:ff::2 dev inside && ip route add default via "
	      "192.0.2.2 dev outside");
	return {if_nametoindex("inside"), if_nametoindex("outside")};
}
