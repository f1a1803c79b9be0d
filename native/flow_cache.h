// SPDX-License-Identifier: Apache-2.0
/**
 * Where the decisions of the session table are remembered for the packets that follow (bpf/gateway
 * in the kernel). The session table calls it under the lock of the session's shard, so that a flow
 * comes, is asked for and goes in one order. A cache may forget at will: that costs a slow packet,
 * never a connection.
 */
#pragma once

#include <cstdint>

#include "session.h"

namespace sixgate {

/** A decision: both directions of one session. */
struct Flow {
	Protocol protocol;
	Tuple6 six;
	Tuple4 four;
	/** xlat_delta64() of the flow; 0 for ICMP. */
	uint16_t delta;
};

/** What passed above since the flow was installed, and when the last of it did (CLOCK_BOOTTIME). */
struct FlowActivity {
	uint64_t packets_out = 0, bytes_out = 0, packets_in = 0, bytes_in = 0;
	Time last = 0;
};

class FlowCache {
public:
	virtual ~FlowCache() = default;
	/**
	 * Whether packets of the flow are to pass above now. One that was installed under another
	 * configuration does not, until it is removed and installed anew.
	 */
	virtual bool holds(const Flow &flow) const = 0;
	/** Both directions, or neither and false. It is not installed yet. */
	virtual bool install(const Flow &flow) = 0;
	/** Nothing passes above any more when this returns. */
	virtual FlowActivity remove(const Flow &flow) = 0;
	/** False when there is no such flow. */
	virtual bool read(const Flow &flow, FlowActivity &activity) const = 0;
};

} // namespace sixgate
