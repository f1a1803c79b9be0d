// SPDX-License-Identifier: Apache-2.0
/*
 * The translator as JavaScript sees it (src/system/addon.ts completes it). One owner object each;
 * whatever ends the environment ends its threads.
 */
#include "addon.h"
#include "dataplane_config.h"
#include "dataplane_fastpath.h"
#include "dataplane_object.h"
#include "dataplane_text.h"
#include "session_log.h"
#include "translator.h"

namespace {

using namespace sixgate;

ViewFilter parse_filter(const Napi::CallbackInfo &info)
{
	ViewFilter filter;
	if (!info[0].IsObject())
		return filter;
	Napi::Object from = info[0].As<Napi::Object>();
	if (from.Get("protocol").IsString())
		filter.protocol = parse_protocol(string_of(from, "protocol"));
	if (from.Get("address").IsString()) {
		std::string address = string_of(from, "address");
		if (address.find(':') != std::string::npos)
			filter.six = parse_prefix6(address);
		else
			filter.four = parse_prefix4(address);
	}
	if (from.Get("limit").IsNumber())
		filter.limit = static_cast<size_t>(number_of(from, "limit"));
	return filter;
}

TraceEnd parse_end(const Napi::Object &from, const char *key)
{
	TraceEnd end;
	if (!from.Get(key).IsString())
		return end;
	std::string address = string_of(from, key);
	if (address.find(':') != std::string::npos)
		end.six = parse_prefix6(address);
	else
		end.four = parse_prefix4(address);
	return end;
}

class Dataplane : public Napi::ObjectWrap<Dataplane> {
public:
	static void define(Napi::Env env, Napi::Object exports)
	{
		exports.Set("Dataplane",
			    DefineClass(env, "Dataplane",
					{
						InstanceMethod<&Dataplane::configure>("configure"),
						InstanceMethod<&Dataplane::status>("status"),
						InstanceMethod<&Dataplane::sessions>("sessions"),
						InstanceMethod<&Dataplane::bindings>("bindings"),
						InstanceMethod<&Dataplane::drops>("drops"),
						InstanceMethod<&Dataplane::clients>("clients"),
						InstanceMethod<&Dataplane::policy>("policy"),
						InstanceMethod<&Dataplane::open_trace>("openTrace"),
						InstanceMethod<&Dataplane::read_trace>("readTrace"),
						InstanceMethod<&Dataplane::close_trace>("closeTrace"),
						InstanceMethod<&Dataplane::foresee>("foresee"),
						InstanceMethod<&Dataplane::read_log>("readLog"),
						InstanceMethod<&Dataplane::log_counters>("logCounters"),
						InstanceMethod<&Dataplane::attach>("attach"),
						InstanceMethod<&Dataplane::fastpath>("fastpath"),
						InstanceMethod<&Dataplane::close>("close"),
					}));
	}

	explicit Dataplane(const Napi::CallbackInfo &info);
	~Dataplane() { release(true); }

private:
	/*
	 * A thread must not outlive its environment: on its end the device is kept, as after a
	 * kill.
	 */
	static void at_exit(void *self) { static_cast<Dataplane *>(self)->release(true); }
	void release(bool keep);
	bool closed(Napi::Env env) const;

	Napi::Value configure(const Napi::CallbackInfo &info);
	Napi::Value status(const Napi::CallbackInfo &info);
	Napi::Value sessions(const Napi::CallbackInfo &info);
	Napi::Value bindings(const Napi::CallbackInfo &info);
	Napi::Value drops(const Napi::CallbackInfo &info);
	Napi::Value clients(const Napi::CallbackInfo &info);
	Napi::Value policy(const Napi::CallbackInfo &info);
	Napi::Value open_trace(const Napi::CallbackInfo &info);
	Napi::Value read_trace(const Napi::CallbackInfo &info);
	Napi::Value foresee(const Napi::CallbackInfo &info);
	Napi::Value close_trace(const Napi::CallbackInfo &info);
	Napi::Value read_log(const Napi::CallbackInfo &info);
	Napi::Value log_counters(const Napi::CallbackInfo &info);
	Napi::Value attach(const Napi::CallbackInfo &info);
	Napi::Value fastpath(const Napi::CallbackInfo &info);
	Napi::Value close(const Napi::CallbackInfo &info);

	napi_env env_;
	/* What the translator noted last is read after it has ended. */
	NatLog log_;
	std::unique_ptr<Translator> translator_;
};

void throw_error(Napi::Env env, const TunError &why)
{
	Napi::Error error = Napi::Error::New(env, why.detail);
	error.Set("code", why.code);
	error.Set("errno", static_cast<double>(why.error));
	error.ThrowAsJavaScriptException();
}

Dataplane::Dataplane(const Napi::CallbackInfo &info)
    : Napi::ObjectWrap<Dataplane>(info), env_(info.Env())
{
	Napi::Object from = info[0].As<Napi::Object>();
	TranslatorOptions options;
	options.device = string_of(from, "device");
	options.threads = static_cast<unsigned>(number_of(from, "threads"));
	options.session_file = string_of(from, "sessionFile");
	options.max_sessions = static_cast<uint32_t>(number_of(from, "maxSessions"));
	options.fastpath = parse_fastpath(from.Get("fastpath"));
	if (options.fastpath)
		options.fastpath->device = options.device;
	options.log = &log_;
	TunError why;
	translator_ =
		Translator::open(options, parse_config(from.Get("config").As<Napi::Object>()), why);
	if (translator_)
		napi_add_env_cleanup_hook(env_, at_exit, this);
	else
		throw_error(info.Env(), why);
}

void Dataplane::release(bool keep)
{
	if (!translator_)
		return;
	napi_remove_env_cleanup_hook(env_, at_exit, this);
	translator_->close(keep);
	translator_.reset();
}

bool Dataplane::closed(Napi::Env env) const
{
	if (translator_)
		return false;
	throw_error(env, {0, "INTERNAL", "the data plane is closed"});
	return true;
}

Napi::Value Dataplane::configure(const Napi::CallbackInfo &info)
{
	if (closed(info.Env()))
		return info.Env().Undefined();
	ConfigureResult result = translator_->configure(parse_config(info[0].As<Napi::Object>()));
	if (!result.error.empty())
		throw_error(info.Env(), {0, "SESSION_CONFIG", result.error});
	return Napi::Number::New(info.Env(), static_cast<double>(result.ended));
}

Napi::Value Dataplane::status(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	Napi::Object out = Napi::Object::New(env);
	SessionStats stats = translator_->table().stats();
	Traffics traffic = translator_->traffic();
	out.Set("threads", translator_->threads());
	out.Set("adopted", static_cast<double>(translator_->table().adopted()));
	out.Set("adoption", translator_->table().adoption());
	out.Set("sessions", static_cast<double>(stats.sessions));
	out.Set("bindings", static_cast<double>(stats.bindings));
	out.Set("halfOpen", static_cast<double>(stats.half_open));
	out.Set("evicted", static_cast<double>(stats.evicted));
	set_traffic(out, traffic.stateful);
	Napi::Object siit = Napi::Object::New(env);
	set_traffic(siit, traffic.stateless);
	out.Set("siit", siit);
	Napi::Array pools = Napi::Array::New(env, stats.pools.size());
	for (uint32_t i = 0; i < stats.pools.size(); i++) {
		Napi::Object pool = Napi::Object::New(env);
		pool.Set("portsUsed", static_cast<double>(stats.pools[i].used));
		pool.Set("portsTotal", static_cast<double>(stats.pools[i].total));
		pool.Set("blocksUsed", static_cast<double>(stats.pools[i].blocks_used));
		pool.Set("blocksTotal", static_cast<double>(stats.pools[i].blocks_total));
		pools.Set(i, pool);
	}
	out.Set("pools", pools);
	out.Set("mtus", mtu_array(env, *translator_->routes()));
	return out;
}

Napi::Value Dataplane::sessions(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	Napi::Array out = Napi::Array::New(env);
	uint32_t count = 0;
	/*
	 * Collected first: the visitor runs under a shard's lock, where no JavaScript object is
	 * made.
	 */
	std::vector<SessionView> views;
	translator_->table().sessions(parse_filter(info), boot_time(),
				      [&](const SessionView &view) { views.push_back(view); });
	for (const SessionView &view : views)
		out.Set(count++, session_object(env, view));
	return out;
}

Napi::Value Dataplane::bindings(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	Napi::Array out = Napi::Array::New(env);
	uint32_t count = 0;
	std::vector<BindingView> views;
	translator_->table().bindings(parse_filter(info),
				      [&](const BindingView &view) { views.push_back(view); });
	for (const BindingView &view : views)
		out.Set(count++, binding_object(env, view));
	return out;
}

Napi::Value Dataplane::drops(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	std::vector<uint64_t> drops = translator_->drops();
	Napi::Array out = Napi::Array::New(env);
	for (uint32_t reason = XLAT_OK + 1; reason < XLAT_REASON_COUNT; reason++) {
		const xlat_reason_row *row = xlat_reason_text(reason);
		Napi::Object one = Napi::Object::New(env);
		one.Set("reason", row->name);
		one.Set("sentence", row->sentence);
		one.Set("rfc", row->rfc);
		one.Set("packets", static_cast<double>(drops[reason]));
		xlat_reason why = static_cast<xlat_reason>(reason);
		one.Set("last", lost_array(env, translator_->lost(why), why));
		out.Set(reason - 1, one);
	}
	return out;
}

Napi::Value Dataplane::clients(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	std::vector<ClientTotals> top = translator_->clients(info[0].ToNumber().Uint32Value());
	Napi::Array out = Napi::Array::New(env, top.size());
	for (uint32_t i = 0; i < top.size(); i++) {
		Napi::Object one = Napi::Object::New(env);
		one.Set("client", text6(top[i].client));
		one.Set("packetsOut", static_cast<double>(top[i].packets_out));
		one.Set("bytesOut", static_cast<double>(top[i].bytes_out));
		one.Set("packetsIn", static_cast<double>(top[i].packets_in));
		one.Set("bytesIn", static_cast<double>(top[i].bytes_in));
		out.Set(i, one);
	}
	return out;
}

Napi::Value Dataplane::policy(const Napi::CallbackInfo &info)
{
	if (closed(info.Env()))
		return info.Env().Undefined();
	return policy_array(info.Env(), translator_->policy());
}

Napi::Value Dataplane::open_trace(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	Napi::Object from = info[0].As<Napi::Object>();
	TraceFilter filter;
	filter.from = parse_end(from, "from");
	filter.to = parse_end(from, "to");
	if (from.Get("protocol").IsString())
		filter.protocol = parse_protocol(string_of(from, "protocol"));
	return Napi::Number::New(env, translator_->open_trace(filter));
}

Napi::Value Dataplane::read_trace(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::vector<TracedPacket> packets;
	uint64_t missed = 0;
	uint32_t number = info[0].ToNumber().Uint32Value();
	if (!translator_ || !translator_->tracer().read(number, packets, missed))
		return env.Undefined();
	Napi::Array list = Napi::Array::New(env, packets.size());
	for (uint32_t i = 0; i < packets.size(); i++)
		list.Set(i, traced_object(env, packets[i]));
	Napi::Object out = Napi::Object::New(env);
	out.Set("packets", list);
	out.Set("missed", static_cast<double>(missed));
	return out;
}

Napi::Value Dataplane::foresee(const Napi::CallbackInfo &info)
{
	if (closed(info.Env()))
		return info.Env().Undefined();
	Napi::Buffer<uint8_t> bytes = info[0].As<Napi::Buffer<uint8_t>>();
	uint32_t length = static_cast<uint32_t>(bytes.Length());
	return traced_object(info.Env(), translator_->foresee(bytes.Data(), length));
}

Napi::Value Dataplane::close_trace(const Napi::CallbackInfo &info)
{
	if (translator_)
		translator_->close_trace(info[0].ToNumber().Uint32Value());
	return info.Env().Undefined();
}

/* Fills the buffer with whole records; how many. */
Napi::Value Dataplane::read_log(const Napi::CallbackInfo &info)
{
	Napi::Buffer<uint8_t> out = info[0].As<Napi::Buffer<uint8_t>>();
	size_t count = log_.read(out.Data(), out.Length() / NatLog::RECORD_SIZE);
	return Napi::Number::New(info.Env(), static_cast<double>(count));
}

Napi::Value Dataplane::log_counters(const Napi::CallbackInfo &info)
{
	Napi::Object out = Napi::Object::New(info.Env());
	out.Set("events", static_cast<double>(log_.noted()));
	out.Set("lost", static_cast<double>(log_.lost()));
	return out;
}

Napi::Value Dataplane::attach(const Napi::CallbackInfo &info)
{
	if (closed(info.Env()))
		return info.Env().Undefined();
	return Napi::String::New(info.Env(),
				 attach_hook(*translator_, info[0].ToString().Utf8Value(),
					     info[1].ToString().Utf8Value()));
}

Napi::Value Dataplane::fastpath(const Napi::CallbackInfo &info)
{
	if (closed(info.Env()))
		return info.Env().Undefined();
	return fastpath_object(info.Env(), *translator_);
}

Napi::Value Dataplane::close(const Napi::CallbackInfo &info)
{
	release(info[0].ToBoolean());
	return info.Env().Undefined();
}

} // namespace

void register_dataplane(Napi::Env env, Napi::Object exports)
{
	Dataplane::define(env, exports);
}
