// SPDX-License-Identifier: Apache-2.0
/**
 * The BPF programs of bpf/gateway.bpf.c from the daemon's side: loaded or taken over from a
 * predecessor, attached to interfaces, told the configuration, read.
 *
 * Maps, programs and links are pinned where there is a BPF file system, so that packets of
 * established flows are translated while no daemon runs. Without one they end with the daemon.
 */
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "flow_table.h"
#include "next_hop_watch.h"

struct bpf_object;

namespace sixgate {

struct TranslatorConfig;

struct FastpathOptions {
	/** The translator's, made after this. */
	std::string device;
	/** The compiled programs. */
	std::string object;
	/** Where to pin: a directory, on which a BPF file system is mounted if need be. */
	std::string pins;
	/** Flows of each direction; rounded up to a power of two. */
	uint32_t flows = 1u << 18;
};

struct FastpathError {
	/** "NO_BPF" when the kernel or a missing capability refuses. */
	const char *code = "";
	std::string detail;
	/** The verifier's last lines; empty when it was not asked or agreed. */
	std::string log;
};

enum class Hook : uint8_t { XDP, TC };

struct FastpathCounts {
	struct gw_count translated[GW_DIRECTIONS] = {};
	std::vector<struct gw_count> passes, drops;
};

class Fastpath {
public:
	/** Null with `why` set; then nothing is left attached or pinned that was not before. */
	static std::unique_ptr<Fastpath> open(const FastpathOptions &options, FastpathError &why);
	/** Nothing of the kernel's is taken away: see close(). */
	~Fastpath();
	Fastpath(const Fastpath &) = delete;
	Fastpath &operator=(const Fastpath &) = delete;

	FlowTable &flows() { return flows_; }

	/**
	 * Whole and at once: a packet sees the old configuration or this one. Every flow is a miss
	 * until it is installed anew, unless the configuration is what it was (a predecessor's).
	 */
	void configure(const TranslatorConfig &config);
	/** Makes every flow a miss until it is installed anew. */
	void relearn();
	/** As long as a trace is open, what has no flow to be left out by comes below as well. */
	void follow_packets(bool on);

	/** Returns "" or why not. Attached already, the program is replaced without a gap. */
	std::string attach(const std::string &interface, Hook hook);
	void detach(const std::string &interface);
	/** What of a predecessor or of ours is attached, by interface. */
	const std::map<std::string, Hook> &attached() const { return attached_; }
	bool pinned() const { return !options_.pins.empty(); }
	/** Why nothing is pinned. */
	const std::string &unpinned() const { return unpinned_; }
	/** What was found pinned and taken over. */
	bool adopted() const { return adopted_; }

	/** What the routes carry; flows that it may matter to are installed anew. */
	void follow(std::shared_ptr<const RouteView> routes);
	/** Routes, links or neighbours moved. */
	void routes_changed();
	void firewall_changed();
	FastpathCounts counts() const;

	/** `keep` leaves the pinned state at work for a successor; else all is taken away. */
	void close(bool keep);

private:
	explicit Fastpath(const FastpathOptions &options) : options_(options) {}
	void mount_pins();
	void publish(struct gateway_config next);
	void fill_siit(const TranslatorConfig &config);
	bool load(FastpathError &why);
	bool adopt_maps();
	bool pin(FastpathError &why);
	bool map_state(FastpathError &why);
	void find_attached();
	int map_fd(const char *name) const;
	std::string pin_path(const std::string &name) const;
	void set_station(const std::string &interface, unsigned index);
	std::string attach_xdp(const std::string &interface, unsigned index);
	std::string attach_tc(const std::string &interface, unsigned index);
	void detach_xdp(const std::string &interface, unsigned index);
	void detach_tc(const std::string &interface, unsigned index);

	FastpathOptions options_;
	std::string unpinned_;
	struct bpf_object *object_ = nullptr;
	bool adopted_ = false, configured_ = false, closed_ = false, followed_ = false;
	/** The configuration as it is without a trace. */
	struct gateway_config wanted_ = {};
	/** The tries of the stateless translation, or -1. */
	int siit6_ = -1, siit4_ = -1;
	MappedArray state_map_;
	struct gateway *state_ = nullptr;
	FlowTable flows_;
	std::map<std::string, Hook> attached_;
	/** Without pins a link lives as long as its descriptor. */
	std::map<std::string, int> links_;
	/** Whose address stands where in the programs' table of stations, by ifindex. */
	std::map<unsigned, unsigned> stations_;
	/** Interfaces whose clsact is ours. */
	std::set<std::string> clsact_;
	std::mutex routes_lock_, config_lock_;
	std::shared_ptr<const RouteView> view_;
	NextHopWatch routes_;
};

} // namespace sixgate
