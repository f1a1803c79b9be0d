// SPDX-License-Identifier: Apache-2.0
/*
 * The TUN device: persistent, one queue per packet thread, each packet led by a virtio-net header
 * so that super-packets and unfinished checksums cross as they are.
 */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vnet.h"

namespace sixgate {

/* A failure the operator can act on; `code` is a row of src/errors.ts, or empty. */
struct TunError {
	int error = 0;
	const char *code = "";
	std::string detail;
};

struct TunOptions {
	std::string name;
	unsigned queues = 1;
	/* Without, the kernel divides super-packets and finishes checksums before they come. */
	bool offloads = true;
};

class Tun {
public:
	/* The legacy header without num_buffers: a TUN queue never merges buffers. */
	static constexpr size_t header_size = sizeof(VnetHeader);

	Tun() = default;
	Tun(const Tun &) = delete;
	Tun &operator=(const Tun &) = delete;
	~Tun() { close(true); }

	/*
	 * Creates the device or attaches to the one a predecessor left. Its MTU, queue length and state are the
	 * reconciler's: once it is up the kernel speaks on it, and the rules for that have to be there before.
	 */
	bool open(const TunOptions &options, TunError &why);
	/* Detaches; without `keep` the device goes too. Idempotent. */
	void close(bool keep);

	int queue(unsigned index) const { return queues_[index]; }
	size_t queues() const { return queues_.size(); }
	/* The TUN_F_ flags the kernel accepted. */
	unsigned offloads() const { return offloads_; }

private:
	int attach(const TunOptions &options, TunError &why);

	std::vector<int> queues_;
	unsigned offloads_ = 0;
};

} // namespace sixgate
