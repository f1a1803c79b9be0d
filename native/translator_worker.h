// SPDX-License-Identifier: Apache-2.0
/*
 * One packet thread. A packet is read into one buffer, translated where it lies and written from
 * there; the vnet header, the new IP header and the payload are always contiguous.
 *
 *   receive → parse → from6 / from4 → session → plan → apply → emit
 */
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "fragment.h"
#include "path_mtu.h"
#include "session.h"
#include "translator_accounting.h"
#include "translator_config.h"
#include "translator_counters.h"
#include "translator_lost.h"
#include "translator_trace.h"
#include "vnet.h"
#include "xlat/answer.h"
#include "xlat/plan.h"

namespace sixgate {

/* What all packet threads work on. */
struct Shared {
	SessionTable &table;
	FragmentCache &fragments;
	LimiterTable &limiters;
	unsigned workers;
	uint64_t seed;

	/*
	 * The configuration, the routes and their number; the number is read for each batch, the
	 * pointers only when it changed.
	 */
	std::mutex lock;
	std::shared_ptr<const TranslatorConfig> config;
	std::shared_ptr<const RouteView> routes;
	std::atomic<uint64_t> generation{1};
	Tracer tracer;
};

/* CLOCK_BOOTTIME in milliseconds, as SessionTable counts. */
Time boot_time();

struct Packet {
	uint8_t *data;
	uint32_t length;
	VnetHeader vnet;
	xlat_view view;
	bool turned = false; /* it is the second half of a hairpin */
	uint32_t told_mtu = 0; /* what its sender hears when it is too big */
	uint8_t dscp = NO_DSCP; /* what it is marked with */

	/* Datagrams of a super-packet on the wire, and bytes of all of them. */
	uint32_t segments() const;
	uint32_t wire_bytes() const;
};

/*
 * RFC 7915 4.1: an illegal source sends nothing but ICMP errors, which are translated for the
 * purpose of trouble shooting; a group of hosts sends nothing at all.
 */
inline bool may_send4(const xlat_view &view, xlat_ip4 source)
{
	return !xlat_is_illegal4(source) ||
	       (view.kind == XLAT_KIND_ICMP_ERROR && xlat_ip4_host(source) < 0xe0000000);
}

/* What is left of a rate of ICMP errors. */
struct Allowance {
	uint32_t tokens = 0;
	Time refill = 0;
};

class Worker {
public:
	Worker(Shared &shared, unsigned index, int queue, int wake);

	/* Until stop is requested and `wake` is readable. */
	void run(std::stop_token stop);

	/*
	 * Once through what waits in the queue and the timers that are due, without sleeping. In how many
	 * milliseconds they are due again; 0 when there is more to do at once.
	 */
	Time turn();

	/*
	 * What would become of a packet of at most PACKET_MAX bytes; for a worker of its own, with
	 * no queue.
	 */
	TracedPacket foresee(const uint8_t *data, uint32_t length);

	const Counters &counters() const { return counters_; }
	const LostLog &lost() const { return lost_; }
	std::shared_ptr<const ClientTable> clients() const;

private:
	/* translator_worker.cc: the loop */
	unsigned drain();
	bool linger();
	Time tick();
	void refresh();
	void handle(const Event &event);

	/* translator_packet.cc: the way of an ordinary packet */
	void receive(uint8_t *data, uint32_t length, const VnetHeader &vnet);
	void follow(uint8_t *data, uint32_t length, const VnetHeader &vnet);
	void dispatch(Packet &packet);
	void from6(Packet &packet);
	void from4(Packet &packet);
	xlat_reason check6(const Packet &packet, xlat_ip4 &remote) const;
	xlat_reason check4(const Packet &packet) const;
	Verdict admit6(Packet &packet);
	Verdict admit4(Packet &packet);
	bool send4(Packet &packet, const Tuple4 &four, const Tuple6 &six, uint16_t delta);
	bool send6(Packet &packet, const Tuple6 &six, uint16_t delta);
	void hairpin(Packet &packet, const xlat_edit &edit);
	void emit(uint8_t *start, uint32_t length, const VnetHeader &vnet);
	void emit_fragments(const uint8_t *start, const xlat_edit &edit);
	bool split(Packet &packet, const std::function<void(Packet &)> &send);
	xlat_params params_for(const Packet &packet) const;

	/* translator_policy.cc */
	xlat_reason judge(Packet &packet, const PolicyFlow &flow);
	xlat_reason judge6(Packet &packet);
	xlat_reason judge_flow(Packet &packet, const Tuple6 &six, const Tuple4 &four);
	xlat_reason judge_stateless(Packet &packet, const xlat_ip6 &client, const xlat_ip6 &server,
				    xlat_ip4 remote, be16 port);
	xlat_reason judge_error(const xlat_view &embedded, const Ip6 &client, const Ip6 &server,
				uint32_t remote, uint16_t port) const;

	/* translator_mtu.cc: what the routes of both sides carry */
	xlat_params params64(const Packet &packet, const xlat_tuple4 &to, bool again);
	xlat_params params46(const Packet &packet, const xlat_tuple6 &to);
	bool allow_fragments(Packet &packet);
	void tell_mtu6(Packet &packet, xlat_params params);
	void tell_mtu4(Packet &packet, xlat_params params);
	void bound_error(const Packet &packet, const xlat_tuple4 &four, const xlat_tuple6 &six,
			 xlat_params &params);

	VnetHeader vnet_after(const Packet &packet, const xlat_edit &edit) const;
	be16 next_id(uint32_t count);

	/* translator_stateless.cc: false when the packet is not for it */
	bool stateless6(Packet &packet);
	bool stateless4(Packet &packet);
	void claim();
	void refuse_stateless(const Packet &packet, xlat_reason why);
	xlat_reason inner64(const Packet &packet, xlat_tuple4 &inner) const;
	xlat_reason inner46(const Packet &packet, xlat_tuple6 &to, xlat_tuple6 &inner) const;
	void forward4(Packet &packet, const xlat_tuple4 &to, const xlat_tuple4 &inner,
		      const xlat_ip6 *origin);
	void forward6(Packet &packet, const xlat_tuple6 &to, const xlat_tuple6 &inner);
	xlat_ip4 unmapped4(const xlat_ip6 &sender, xlat_ip4 to, xlat_ip4 otherwise);
	bool forbidden(const xlat_ip6 &six, xlat_ip4 four) const;

	/* translator_icmp.cc: errors, ours and others' */
	void error6(Packet &packet);
	void error4(Packet &packet);
	void drop(const Packet &packet, xlat_reason why, uint64_t packets = 1);
	void drop(const uint8_t *data, uint32_t length, xlat_reason why, uint64_t packets = 1);
	void refuse(const Packet &packet, xlat_reason why);
	void refuse(const Packet &packet, const Verdict &verdict);
	void answer6(const Packet &packet, const xlat_icmp &error, xlat_reason why);
	void answer4(const Packet &packet, const xlat_icmp &error, xlat_reason why);
	bool source6(const xlat_ip6 &to, xlat_ip6 &source) const;
	xlat_ip4 source4(xlat_ip4 to, xlat_ip4 otherwise);
	bool may_answer(const Packet &packet, xlat_reason why);
	bool is_hairpin(Protocol protocol, uint32_t address, uint16_t port);
	bool is_own_address(xlat_ip4 address);

	bool is_dry() const { return XLAT_UNLIKELY(followed_) && followed_->dry; }

	/* translator_fragment.cc */
	void foresee_fragment(Packet &packet);
	void fragment6(Packet &packet);
	void fragment4(Packet &packet);
	void later_fragment(Packet &packet, const FragmentKey &key);
	void lose_waiting(const Packet &packet, const FragmentKey &key, xlat_reason why);
	void forward_fragment6(Packet &packet, const FragmentDecision &decision);
	void forward_fragment4(Packet &packet, const FragmentDecision &decision);
	void reassemble(const Packet &packet, const FragmentKey &key);
	bool load(Packet &packet, const std::vector<uint8_t> &bytes);

	Shared &shared_;
	const unsigned index_;
	const int queue_, wake_;

	std::shared_ptr<const TranslatorConfig> config_;
	PathMtu paths_;
	uint64_t generation_ = 0;
	Time now_ = 0, next_tick_ = 0;
	unsigned bulk_ = 0;
	uint16_t ip4_id_;
	/* By family, and whether the packet was of a session: who is refused cannot use up theirs. */
	Allowance allowances_[2][2];
	/* What the kernel said lately of pool addresses, by their last bits. */
	struct {
		uint32_t address;
		bool own;
		Time until;
	} own_addresses_[16] = {};

	std::unique_ptr<uint8_t[]> memory_, answer_memory_, segment_memory_;
	uint8_t *buffer_; /* where a packet's first byte is read to */
	TracedPacket *followed_ = nullptr; /* the packet at work, while somebody traces */

	mutable std::mutex clients_lock_;
	std::shared_ptr<ClientTable> clients_;
	AccountingConfig accounting_;

	Counters counters_;
	LostLog lost_;
};

/* Room in front of a packet: what the plan may put there and the vnet header. */
constexpr size_t PACKET_HEADROOM = 128;
constexpr size_t PACKET_MAX = 65535 + 40;
static_assert(PACKET_HEADROOM >= XLAT_HEADROOM + sizeof(VnetHeader));

inline Ip6 to_ip6(const xlat_ip6 &from)
{
	Ip6 to;
	std::memcpy(to.bytes, from.b, 16);
	return to;
}

inline xlat_ip6 from_ip6(const Ip6 &from)
{
	xlat_ip6 to;
	std::memcpy(to.b, from.bytes, 16);
	return to;
}

/*
 * The flow as the packets of one direction show it. An ICMP query's identifier stands in both port
 * fields.
 */
inline xlat_tuple4 outward4(const Tuple4 &four, bool icmp, uint16_t delta)
{
	uint16_t remote_port = icmp ? four.pool_port : four.remote_port;
	return {xlat_ip4_of(four.pool), xlat_ip4_of(four.remote), xlat_be16(four.pool_port),
		xlat_be16(remote_port), delta};
}

inline xlat_tuple4 inward4(const Tuple4 &four, bool icmp)
{
	xlat_tuple4 out = outward4(four, icmp, 0);
	return {out.dst, out.src, out.dst_port, out.src_port, 0};
}

inline xlat_tuple6 inward6(const Tuple6 &six, bool icmp, uint16_t delta)
{
	uint16_t server_port = icmp ? six.client_port : six.server_port;
	return {from_ip6(six.server), from_ip6(six.client), xlat_be16(server_port),
		xlat_be16(six.client_port), delta};
}

inline xlat_tuple6 outward6(const Tuple6 &six, bool icmp)
{
	xlat_tuple6 in = inward6(six, icmp, 0);
	return {in.dst, in.src, in.dst_port, in.src_port, 0};
}

/* The complement serves the other direction, but for 0: that one is to be computed. */
inline uint16_t inward_delta(const Verdict &verdict)
{
	return verdict.delta ? static_cast<uint16_t>(~verdict.delta) : uint16_t{0};
}

/* The packet inside an ICMP error. */
inline xlat_reason view_inner(const Packet &packet, xlat_view &embedded)
{
	xlat_reason why = xlat_parse_inner(packet.data, &packet.view, &embedded);
	return why ? why : xlat_check_inner(&embedded);
}

inline bool is_icmp(const xlat_view &view)
{
	return view.protocol == XLAT_PROTO_ICMP || view.protocol == XLAT_PROTO_ICMP6;
}

inline Protocol protocol_of(const xlat_view &view)
{
	return view.protocol == XLAT_PROTO_TCP   ? Protocol::TCP
	       : view.protocol == XLAT_PROTO_UDP ? Protocol::UDP
						 : Protocol::ICMP;
}

} // namespace sixgate
