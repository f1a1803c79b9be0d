// SPDX-License-Identifier: Apache-2.0
/**
 * The flow tables of the BPF programs from the side that writes them (bpf/tables.h): two mapped
 * arrays, one cache line a direction, filled without system calls.
 */
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../bpf/tables.h"
#include "flow_cache.h"
#include "path_mtu.h"
#include "translator_accounting.h"
#include "session_table.h"

namespace sixgate {

/** A mapped BPF array. */
class MappedArray {
public:
	MappedArray() = default;
	MappedArray(const MappedArray &) = delete;
	MappedArray &operator=(const MappedArray &) = delete;
	~MappedArray();
	bool open(int fd, size_t bytes, std::string &error);
	void *data() const { return data_; }

private:
	void *data_ = nullptr;
	size_t bytes_ = 0;
};

struct FlowUse {
	uint64_t flows, capacity;
	/** Flows that found no slot. */
	uint64_t refused;
};

class FlowTable final : public FlowCache {
public:
	/** `gateway` is the programs' state and outlives this; its masks say how many slots there are. */
	bool open(int fd64, int fd46, struct gateway *gateway, std::string &error);

	bool holds(const Flow &flow) const override;
	bool install(const Flow &flow) override;
	FlowActivity remove(const Flow &flow) override;
	bool read(const Flow &flow, FlowActivity &activity) const override;

	/** Flows that are not to be installed now. To be set before the first one is. */
	void exclude(std::function<bool(const Flow &)> excluded) { excluded_ = std::move(excluded); }

	/** What the routes carry that flows are installed for from now on. */
	void follow(std::shared_ptr<const RouteView> routes);

	/** Removes what this process has not installed: a predecessor's flows that no session has. */
	uint64_t sweep();
	FlowUse use() const;

	/** What passed by client; kept for flows that are gone as far as these allow. */
	void account(uint32_t clients, uint8_t prefix_length, uint64_t seed);
	void clients(const std::function<void(const ClientTotals &)> &visit) const;

private:
	static constexpr uint32_t NONE = UINT32_MAX;

	/** The slots of one direction. */
	struct Half {
		MappedArray map;
		struct flow *slots = nullptr;
		uint32_t mask = 0;
		/** A bit a slot: installed by this process. */
		std::vector<uint64_t> ours;
	};
	uint16_t mtu4_of(const Flow &flow);
	uint16_t mtu6_of(const Flow &flow);
	uint32_t find46(const struct flow &key) const;
	uint32_t find64(const struct flow &key) const;
	uint32_t free_slot(const Half &half, uint32_t home) const;
	void fill(Half &half, uint32_t at, const struct flow &from);
	void clear(Half &half, uint32_t at);
	bool find(const Flow &flow, uint32_t &six, uint32_t &four) const;
	FlowActivity activity(uint32_t six, uint32_t four) const;

	struct gateway *gateway_ = nullptr;
	std::function<bool(const Flow &)> excluded_;
	mutable Lock lock_;
	PathMtu paths_;
	bool routed_ = false;
	Half six_, four_;
	uint32_t next_tag_ = FLOW_FIRST_TAG;
	uint64_t flows_ = 0, refused_ = 0;
	uint32_t clients_ = 0;
	uint8_t prefix_length_ = 0;
	uint64_t seed_ = 0;
	/** Of flows that were removed. */
	std::unique_ptr<ClientTable> gone_;
};

} // namespace sixgate
