// SPDX-License-Identifier: Apache-2.0
/** Opening the table, adopting what a predecessor left, and replacing the configuration. */
#include <sys/random.h>

#include "session_table.h"

namespace sixgate {

namespace {

constexpr size_t SLOTS = 65536;

/** Longest lifetime a record may have left. */
Time longest(const Timeouts &t)
{
	return std::max({ t.tcp_established, t.tcp_transitory, t.udp, t.icmp });
}

} // namespace

bool SessionTable::Impl::open(const SessionOptions &options, Time now, std::string &error)
{
	if (!options.max_sessions || options.max_sessions > 1u << 26) {
		error = "the number of sessions must be between 1 and 67108864";
		return false;
	}
	log = options.log;
	std::unique_ptr<Policy> fresh = Policy::build(options.config, nullptr, error);
	if (!fresh || !file.open(options, error, adoption) || !equip(*fresh, error))
		return false;
	if (!hints.make(file.bindings.capacity)) {
		error = "no memory for the hints of shards";
		return false;
	}
	slots = std::make_unique<std::atomic<PoolAddress *>[]>(SLOTS);
	/* Six indexes at 10 to 12 bytes an entry, and a table is copied while it grows. */
	if (!arena.reserve((size_t)options.max_sessions * 160 + (64 << 20))) {
		error = "no address space for the session indexes";
		return false;
	}
	FlowCache *flows = options.flows ? options.flows() : nullptr;
	for (unsigned i = 0; i < SHARDS; i++) {
		Shard &shard = shards[i];
		shard.flows = flows;
		shard.number = i;
		shard.wheel.start(tick_of(now));
		if (getrandom(&shard.draws, sizeof(shard.draws), 0) != (ssize_t)sizeof(shard.draws))
			shard.draws = now;
		for (Index *index : { &shard.six, &shard.four, &shard.inside, &shard.outside,
				      &shard.clients, &shard.peers })
			index->attach(arena);
		shard.policy = fresh.get();
		shard.use = fresh->use.get();
		shard.peers_kept = fresh->config.address_dependent;
	}
	for (const auto &[number, address] : fresh->addresses)
		slots[address->slot] = address.get();
	noting_lent = fresh->config.logged & LOG_BLOCKS;
	if (file.adoptable)
		policy = std::move(fresh), adopt(now);
	install(policy ? std::move(policy) : std::move(fresh), now);
	attach(flows, now);
	return true;
}

/**
 * Bindings first, since a session without its binding is nothing. What does not fit the
 * configuration goes.
 */
void SessionTable::Impl::adopt(Time now)
{
	uint32_t bindings = *file.bindings.backed, sessions = *file.sessions.backed;
	auto home = [&](const Ip6 &client) -> Shard & {
		return shards[client_shard(secret(), client)];
	};
	for (uint32_t number = 1; number < bindings; number++) {
		BindingRecord &record = binding(number);
		bool valid = file.bindings.valid(record);
		if (valid)
			note_lent(record);
		if (valid && adopt_binding(number))
			continue;
		if (valid)
			log_binding(home(record.client), NatEvent::BINDING_DELETED, record);
		file.bindings.retract(record);
		file.bindings.give(&number, 1);
	}
	for (uint32_t number = 1; number < sessions; number++) {
		SessionRecord &record = session(number);
		bool valid = file.sessions.valid(record);
		if (valid && adopt_session(number, now)) {
			adopted++;
			continue;
		}
		if (valid)
			log_session(home(record.client), NatEvent::SESSION_DELETED, record);
		file.sessions.retract(record);
		file.sessions.give(&number, 1);
	}
	for (uint32_t number = 1; number < bindings; number++) {
		const BindingRecord &record = binding(number);
		if (record.commit && !record.sessions && !record.fixed)
			end_binding(home(record.client), number);
	}
}

bool SessionTable::Impl::adopt_binding(uint32_t number)
{
	BindingRecord &record = binding(number);
	Shard &shard = shards[client_shard(secret(), record.client)];
	const StaticConfig *fixed =
		policy->static_inside(record.protocol, record.client, record.client_port);
	if ((record.fixed && !fixed) ||
	    !policy->allows(record.protocol, record.client, record.client_port, record.pool,
			    record.pool_port) ||
	    find_inside(shard, record.protocol, record.client, record.client_port) ||
	    !shard.inside.room() || !shard.outside.room() || !shard.clients.room())
		return false;
	PoolAddress *address = policy->address_of(record.pool);
	if (!address->own(record.protocol, record.pool_port))
		return false;
	record.slot = address->slot;
	record.sessions = 0;
	record.fixed = fixed != nullptr;
	record.use = shard.use ? shard.use->join(record.client, record.fixed) : 0;
	if (!rejoin_block(shard, record)) {
		shard.use->leave(record.use, record.fixed);
		address->disown(record.protocol, record.pool_port);
		return false;
	}
	file.bindings.commit(record);
	link_binding(shard, number);
	return true;
}

bool SessionTable::Impl::adopt_session(uint32_t number, Time now)
{
	SessionRecord &record = session(number);
	if (!record.binding || record.binding >= *file.bindings.backed ||
	    record.state > State::TRANS)
		return false;
	const BindingRecord &bound = binding(record.binding);
	Shard &shard = shards[client_shard(secret(), record.client)];
	if (!bound.commit || !(bound.client == record.client) ||
	    bound.client_port != record.client_port || bound.protocol != record.protocol ||
	    bound.pool != record.pool || bound.pool_port != record.pool_port)
		return false;
	if (dead(shard, record, now) || !allowed(*policy, record) ||
	    find64(shard, record.protocol, record.six()) ||
	    find46(shard, record.protocol, record.four()))
		return false;
	if (!shard.six.room() || !shard.four.room() || (shard.peers_kept && !shard.peers.room()))
		return false;
	record.expiry = std::min(record.expiry, deadline(now, longest(policy->config.timeouts)));
	record.created = std::min(record.created, tick_of(now));
	link_session(shard, number);
	Opener opener = (Opener)record.half_open;
	record.half_open = 0;
	if (record.protocol == Protocol::TCP &&
	    (opener == Opener::CLIENT || opener == Opener::STRANGER))
		open_half(shard, number, opener);
	return true;
}

bool SessionTable::Impl::allowed(const Policy &policy, const SessionRecord &record) const
{
	const BindingRecord &bound = binding(record.binding);
	const Prefix6 *prefix = policy.prefix_of(record.server);
	if (!prefix || extract_ipv4(*prefix, record.server) != record.remote)
		return false;
	if (bound.fixed && !policy.static_inside(bound.protocol, bound.client, bound.client_port))
		return false;
	if (!policy.allows(bound.protocol, bound.client, bound.client_port, bound.pool,
			   bound.pool_port))
		return false;
	/* One that becomes static needs nobody who lends it. */
	if (bound.fixed || bound.block || !policy.blocks ||
	    policy.static_inside(bound.protocol, bound.client, bound.client_port))
		return true;
	return !policy.choice_of(bound.client)
			->lender(policy.address_of(bound.pool), bound.pool_port, bound.client)
			->lends_blocks();
}

/** Under the shard's lock for as long as it takes: no packet sees a shard half purged. */
uint64_t SessionTable::Impl::purge(Shard &shard)
{
	const Policy &now = *shard.policy;
	std::vector<uint32_t> ends;
	for (uint32_t at = 0; at < shard.six.buckets(); at++)
		for (uint32_t number : shard.six.bucket(at).record)
			if (number && !allowed(now, session(number)))
				ends.push_back(number);
	for (uint32_t number : ends)
		end_session(shard, number);
	std::vector<uint32_t> bindings;
	for (uint32_t at = 0; at < shard.inside.buckets(); at++)
		for (uint32_t number : shard.inside.bucket(at).record) {
			if (!number)
				continue;
			BindingRecord &record = binding(number);
			bool fixed = now.static_inside(record.protocol, record.client,
						       record.client_port);
			if (!record.sessions &&
			    (!fixed ||
			     !now.allows(record.protocol, record.client, record.client_port,
					 record.pool, record.pool_port)))
				bindings.push_back(number);
			else if (fixed && !record.fixed)
				fix_binding(shard, record);
		}
	for (uint32_t number : bindings)
		end_binding(shard, number);
	return ends.size();
}

void SessionTable::Impl::fix_binding(Shard &shard, BindingRecord &record)
{
	record.fixed = true;
	leave_block(shard, record);
	record.block_first = record.block_size = 0;
	file.bindings.commit(record);
	if (shard.use)
		shard.use->fix(record.use);
}

bool SessionTable::Impl::equip(Policy &fresh, std::string &error) const
{
	const Limits &limits = fresh.config.limits;
	if (fresh.config.logged && (!log || !log->reserve())) {
		error = "no memory for the log of bindings";
		return false;
	}
	if (!limits.any() && !fresh.blocks)
		return true;
	if (policy && policy->use && policy->use->prefix_length() == limits.prefix_length &&
	    fresh.same_blocks(*policy)) {
		fresh.use = policy->use;
		return true;
	}
	fresh.use = ClientUse::make(file.bindings.capacity, limits.prefix_length, secret());
	if (fresh.use && fresh.blocks)
		fresh.use->blocks = PortBlocks::make(fresh);
	if (fresh.use && (!fresh.blocks || fresh.use->blocks))
		return true;
	error = "no address space for what clients hold";
	return false;
}

void SessionTable::Impl::open_static(Shard &shard, const StaticConfig &entry, Time now)
{
	std::lock_guard guard(shard.lock);
	if (find_inside(shard, entry.protocol, entry.inside, entry.inside_port))
		return;
	Tuple6 six = { entry.inside, {}, entry.inside_port, 0 };
	uint32_t number;
	bool simultaneous = false;
	open_binding(shard, entry.protocol, six, 0, now, number, simultaneous);
}

uint64_t SessionTable::Impl::install(std::unique_ptr<Policy> fresh, Time now)
{
	uint64_t ended = 0;
	bool first = !policy, same = policy && fresh->same_scope(*policy);
	for (const auto &[number, address] : fresh->addresses)
		slots[address->slot] = address.get();
	noting_lent = fresh->config.logged & LOG_BLOCKS;
	fresh->settle();
	for (Shard &shard : shards) {
		std::lock_guard guard(shard.lock);
		shard.policy = fresh.get();
		keep_peers(shard, fresh->config.address_dependent);
		recount(shard);
	}
	/* Only when no shard follows the old policy: static ports then have one meaning. */
	for (Shard &shard : shards) {
		if (first || same)
			break;
		std::lock_guard guard(shard.lock);
		ended += purge(shard);
	}
	for (const StaticConfig &entry : fresh->config.statics)
		open_static(shards[client_shard(secret(), entry.inside)], entry, now);
	file.header->config_hash = fresh->config.hash;
	/*
	 * No shard refers to the old policy any more, and no binding to an address that only it
	 * had.
	 */
	policy = std::move(fresh);
	log_ended_blocks();
	return ended;
}

ConfigureResult SessionTable::Impl::configure(const SessionConfig &config, Time now)
{
	std::lock_guard guard(control);
	ConfigureResult result;
	std::unique_ptr<Policy> fresh = Policy::build(config, policy.get(), result.error);
	if (fresh && equip(*fresh, result.error))
		result.ended = install(std::move(fresh), now);
	return result;
}

SessionTable::SessionTable(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

SessionTable::~SessionTable() = default;

std::unique_ptr<SessionTable> SessionTable::open(const SessionOptions &options, Time now,
						 std::string &error)
{
	auto impl = std::make_unique<Impl>();
	if (!impl->open(options, now, error))
		return nullptr;
	return std::unique_ptr<SessionTable>(new SessionTable(std::move(impl)));
}

ConfigureResult SessionTable::configure(const SessionConfig &config, Time now)
{
	return impl_->configure(config, now);
}

uint64_t SessionTable::adopted() const
{
	return impl_->adopted;
}

const std::string &SessionTable::adoption() const
{
	return impl_->adoption;
}

} // namespace sixgate
