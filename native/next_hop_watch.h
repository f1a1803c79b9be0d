// SPDX-License-Identifier: Apache-2.0
/**
 * Tells when a next hop that the fast path remembers may be wrong: routes, rules and links that
 * changed, and neighbours that moved or went; and when the firewall changed. And keeps the neighbours in use alive, which the
 * kernel does for those it sends to itself.
 */
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace sixgate {

class NextHopWatch {
public:
	~NextHopWatch() { stop(); }
	/** Calls from a thread of its own. False when the kernel does not tell. */
	bool start(std::function<void()> routes, std::function<void()> firewall);
	void stop();

private:
	void run(std::stop_token stop);
	int socket_ = -1, firewall_socket_ = -1, wake_ = -1;
	std::function<void()> changed_, firewall_;
	std::jthread thread_;
};

} // namespace sixgate
