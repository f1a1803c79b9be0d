// SPDX-License-Identifier: Apache-2.0
/*
 * The fast path as a test holds it: loads the object, writes its tables as the translator does,
 * runs packets through the programs. No device is involved but for the kernel's answers about
 * routes.
 */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "bpf/tables.h"

using Bytes = std::vector<uint8_t>;

[[noreturn]] inline void die(const std::string &what)
{
	fprintf(stderr, "%s: %s\n", what.c_str(), strerror(errno));
	exit(errno == EPERM || errno == EINVAL || errno == ENOSYS ? 77 : 1);
}

inline uint64_t coarse_ns()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One of the two flow tables, mapped. */
class Flows
{
public:
	void open(int fd, uint32_t slots)
	{
		size_t bytes = (size_t)slots * sizeof(flow);
		void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			die("mmap of flows");
		slots_ = (flow *)at;
		mask_ = slots - 1;
	}

	/* The slot that the flow was put into, or null where all probes are taken. */
	flow *insert(uint32_t home, const flow &what)
	{
		for (uint32_t i = 0; i < FLOW_PROBES; i++) {
			flow &slot = slots_[(home + i) & mask_];
			uint32_t tag = __atomic_load_n(&slot.tag, __ATOMIC_ACQUIRE);
			if (tag > FLOW_DEAD)
				continue;
			if (!__atomic_compare_exchange_n(&slot.tag, &tag, FLOW_BUSY, false,
							 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				continue;
			memcpy((uint8_t *)&slot + 4, (const uint8_t *)&what + 4, sizeof(flow) - 4);
			__atomic_store_n(&slot.tag, next_tag_++, __ATOMIC_RELEASE);
			return &slot;
		}
		return nullptr;
	}

	void clear() { memset(slots_, 0, ((size_t)mask_ + 1) * sizeof(flow)); }
	static void remove(flow *slot)
	{
		__atomic_store_n(&slot->tag, FLOW_DEAD, __ATOMIC_RELEASE);
	}

private:
	flow *slots_ = nullptr;
	uint32_t mask_ = 0;
	uint32_t next_tag_ = FLOW_FIRST_TAG;
};

struct Ran {
	uint32_t verdict = 0;
	Bytes frame;
	bool refused = false; /* by the kernel, which runs no frame as short or as long as this */
};

class Gateway
{
public:
	gateway *state = nullptr;
	Flows flows64, flows46;
	int xdp = -1, tc = -1, devmap = -1;

	void load(const char *path, uint32_t slots)
	{
		libbpf_set_print([](libbpf_print_level level, const char *format, va_list args) {
			return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
		});
		object_ = bpf_object__open_file(path, nullptr);
		if (!object_)
			die(path);
		for (const char *name : {GW_MAP_FLOWS64, GW_MAP_FLOWS46})
			bpf_map__set_max_entries(map(name), slots);
		if (bpf_object__load(object_))
			die("loading the programs");
		xdp = program(GW_PROGRAM_XDP);
		tc = program(GW_PROGRAM_TC);
		devmap = bpf_map__fd(map(GW_MAP_DEVMAP));
		flows64.open(bpf_map__fd(map(GW_MAP_FLOWS64)), slots);
		flows46.open(bpf_map__fd(map(GW_MAP_FLOWS46)), slots);
		int fd = bpf_map__fd(map(GW_MAP_STATE));
		void *at =
			mmap(nullptr, sizeof(gateway), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED)
			die("mmap of the configuration");
		state = (gateway *)at;
		state->layout = GATEWAY_LAYOUT;
		state->mask64 = state->mask46 = slots - 1;
		state->route_generation = ROUTE_GENERATION_FIRST;
		for (uint32_t &key : state->seed.key)
			key = (uint32_t)random() << 16 ^ (uint32_t)random();
	}

	/* Fills the idle copy, then makes it the one that counts. */
	void configure(const gateway_config &config)
	{
		uint32_t idle = 1 - state->active;
		state->config[idle] = config;
		__atomic_store_n(&state->active, idle, __ATOMIC_RELEASE);
	}

	void allow_redirect(uint32_t ifindex)
	{
		bpf_devmap_val value{};
		value.ifindex = ifindex;
		if (bpf_map_update_elem(devmap, &ifindex, &value, BPF_ANY))
			die("devmap");
	}

	/* The packets counted in a per-processor array, summed. */
	uint64_t count(const char *name, uint32_t index)
	{
		std::vector<gw_count> each((size_t)libbpf_num_possible_cpus());
		if (bpf_map_lookup_elem(bpf_map__fd(map(name)), &index, each.data()))
			die(name);
		uint64_t sum = 0;
		for (const gw_count &one : each)
			sum += one.packets;
		return sum;
	}

	Ran run_xdp(const Bytes &frame) { return run(xdp, frame, nullptr, 0); }

	Ran run_tc(const Bytes &frame, uint32_t gso_size = 0)
	{
		__sk_buff context{};
		context.gso_size = gso_size;
		return run(tc, frame, &context, sizeof(context));
	}

	bpf_map *map(const char *name)
	{
		bpf_map *found = bpf_object__find_map_by_name(object_, name);
		if (!found)
			die(std::string("no map ") + name);
		return found;
	}

	~Gateway() { bpf_object__close(object_); }

private:
	bpf_object *object_ = nullptr;

	int program(const char *name)
	{
		bpf_program *found = bpf_object__find_program_by_name(object_, name);
		if (!found)
			die(std::string("no program ") + name);
		return bpf_program__fd(found);
	}

	static Ran run(int fd, const Bytes &frame, void *context, uint32_t context_size)
	{
		Ran ran;
		ran.frame.resize(frame.size() + 512);
		bpf_test_run_opts options{};
		options.sz = sizeof(options);
		options.data_in = frame.data();
		options.data_size_in = (uint32_t)frame.size();
		options.data_out = ran.frame.data();
		options.data_size_out = (uint32_t)ran.frame.size();
		options.ctx_in = context;
		options.ctx_size_in = context_size;
		options.repeat = 1;
		ran.refused = bpf_prog_test_run_opts(fd, &options) && errno == EINVAL;
		if (ran.refused)
			return ran;
		if (options.data_size_out == 0)
			die("test run of " + std::to_string(frame.size()) + " bytes");
		ran.verdict = options.retval;
		ran.frame.resize(options.data_size_out);
		return ran;
	}
};
