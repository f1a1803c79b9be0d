// SPDX-License-Identifier: Apache-2.0
/*
 * Tunnels of IPv6 over IPv4 where the kernel has none: a TUN device for each, raw sockets of
 * protocol 41 for each local address, and one thread between them. native/xlat/tunnel.h decides.
 */
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include "translator_counters.h"
#include "tun.h"
#include "xlat/reason.h"
#include "xlat/tunnel.h"

struct sock_extended_err;
struct xlat_icmp;

namespace sixgate {

struct TunnelConfig {
	std::string name;
	xlat_tunnel core = {};
	uint8_t ttl = 64;
	/* RFC 4213 3.2.2; else 3.2.1. */
	bool path_mtu = true;
	uint32_t mtu = XLAT_IP6_MIN_MTU;
};

struct TunnelsConfig {
	std::vector<TunnelConfig> tunnels;
	/* Of ICMPv6 errors. */
	xlat_ip6 icmp_source = {};
	bool has_source = false;
	/* ICMPv6 errors made of ICMPv4 errors, which anybody can send, a second. */
	uint32_t error_rate = 1000;
};

/* Written by the packet thread alone. */
struct TunnelCounters {
	/* Out is into the tunnel; bytes are those of IPv6 packets. */
	Counter packets_out, bytes_out, packets_in, bytes_in;
	/* ICMPv4 errors about packets of the tunnel. */
	Counter errors;
	Counter drops[XLAT_REASON_COUNT];
};

/* The sockets of one local address. */
class Underlay {
public:
	Underlay() = default;
	Underlay(const Underlay &) = delete;
	Underlay &operator=(const Underlay &) = delete;
	~Underlay();
	bool open(xlat_ip4 local, TunError &why);

	/* Receives all of protocol 41 and the ICMP errors about it; never sends. */
	int receiver() const { return receiver_; }
	/* 0, or the errno. With `df` what the way does not carry is refused with EMSGSIZE. */
	int send(bool df, xlat_ip4 remote, uint8_t tos, uint8_t ttl, const uint8_t *packet,
		 uint32_t length) const;
	/* What the host knows of the way to there, an IPv4 MTU; 0 when it does not. */
	uint32_t path_mtu(xlat_ip4 remote) const;
	/* Packets that found the receiver's queue full. */
	uint64_t overflowed() const;

private:
	int receiver_ = -1, df_ = -1, fragments_ = -1, probe_ = -1;
};

struct TunnelDevice {
	Tun tun;
	/* The link is gone; it is made anew on demand. */
	bool gone = false;
	TunnelCounters counters;
};

struct TunnelStatus {
	std::string name;
	uint64_t packets_out, bytes_out, packets_in, bytes_in, errors;
	std::vector<uint64_t> drops;
};

class Tunnels {
public:
	static std::unique_ptr<Tunnels> open(TunError &why);
	~Tunnels() { close(true); }

	/* Makes the device, or makes it anew when its link is gone. Idempotent. */
	bool open_device(const std::string &name, TunError &why);
	/* Of devices that are open. Packets see the old tunnels or the new; other devices go. */
	bool configure(const TunnelsConfig &config, TunError &why);
	std::vector<TunnelStatus> status();
	/* Packets of no tunnel, by enum xlat_reason. */
	std::vector<uint64_t> strays();
	/* Idempotent. */
	void close(bool keep);

private:
	struct Tunnel {
		TunnelConfig config;
		TunnelDevice *device;
		Underlay *underlay;
	};
	/* Holds the packet thread still. */
	class Pause;

	Tunnels() = default;
	bool start(TunError &why);
	void run(std::stop_token stop);
	void serve(const std::vector<pollfd> &ready);
	void wake();

	void from_device(const Tunnel &tunnel);
	void encapsulate(const Tunnel &tunnel, const uint8_t *packet, uint32_t have);
	void from_underlay(Underlay &underlay);
	void decapsulate(const Underlay &underlay, uint8_t *packet, uint32_t have);
	void from_errors(Underlay &underlay);
	void error_about(const Underlay &underlay, const sock_extended_err &error,
			 xlat_ip4 remote, const uint8_t *packet, uint32_t have);
	void send(const Tunnel &tunnel, const xlat_tunnel_plan &plan, const uint8_t *packet,
		  uint32_t length);
	void deliver(const Tunnel &tunnel, const uint8_t *packet, uint32_t length);
	bool answer(const Tunnel &tunnel, const xlat_icmp &error, const uint8_t *packet,
		    uint32_t have, bool inner);
	bool is_local(xlat_ip4 address) const;
	const Tunnel *tunnel_of(const Underlay &underlay, xlat_ip4 outer,
				const uint8_t *packet) const;
	bool may_tell();
	/* The only way to lose a packet. */
	void drop(TunnelCounters &counters, xlat_reason why) { counters.drops[why].add(1); }

	std::map<std::string, std::unique_ptr<TunnelDevice>> devices_;
	std::map<uint32_t, std::unique_ptr<Underlay>> underlays_;
	std::vector<Tunnel> tunnels_;
	TunnelsConfig config_;
	TunnelCounters strays_;
	std::unique_ptr<uint8_t[]> buffer_;
	uint64_t told_second_ = 0;
	uint32_t told_ = 0;

	std::mutex lock_;
	std::atomic<unsigned> waiting_ = 0;
	/* Counts changes of what is polled. */
	uint64_t generation_ = 1;
	std::jthread thread_;
	int wake_ = -1;
};

} // namespace sixgate
