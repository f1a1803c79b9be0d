// SPDX-License-Identifier: Apache-2.0
/*
 * The translator as JavaScript sees it (src/system/addon.ts validates and converts; here nothing is judged again).
 * Addresses come and go as canonical text: inet_ntop() writes RFC 5952 for what is not IPv4 in disguise.
 */
#include <cstdlib>

#include <arpa/inet.h>

#include "addon.h"
#include "translator.h"

namespace {

using namespace sixgate;

Ip6 parse6(const std::string &text)
{
	Ip6 address{};
	inet_pton(AF_INET6, text.c_str(), address.bytes);
	return address;
}

uint32_t parse4(const std::string &text)
{
	in_addr address{};
	inet_pton(AF_INET, text.c_str(), &address);
	return ntohl(address.s_addr);
}

std::string text6(const Ip6 &address)
{
	char text[INET6_ADDRSTRLEN];
	return inet_ntop(AF_INET6, address.bytes, text, sizeof(text));
}

std::string text4(uint32_t host)
{
	char text[INET_ADDRSTRLEN];
	in_addr address{htonl(host)};
	return inet_ntop(AF_INET, &address, text, sizeof(text));
}

std::string endpoint6(const Ip6 &address, uint16_t port)
{
	return "[" + text6(address) + "]:" + std::to_string(port);
}

std::string endpoint4(uint32_t address, uint16_t port)
{
	return text4(address) + ":" + std::to_string(port);
}

/* "ADDRESS/LENGTH", or an address alone. */
uint8_t split_prefix(std::string &text, uint8_t whole)
{
	size_t slash = text.find('/');
	if (slash == std::string::npos)
		return whole;
	uint8_t length = static_cast<uint8_t>(std::atoi(text.c_str() + slash + 1));
	text.resize(slash);
	return length;
}

Prefix6 parse_prefix6(std::string text)
{
	uint8_t length = split_prefix(text, 128);
	return {parse6(text), length};
}

Prefix4 parse_prefix4(std::string text)
{
	uint8_t length = split_prefix(text, 32);
	return {parse4(text), length};
}

/* "[ADDRESS]:PORT" or "ADDRESS:PORT". */
uint16_t split_endpoint(std::string &text)
{
	size_t colon = text.rfind(':');
	uint16_t port = static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1));
	text.resize(colon);
	if (!text.empty() && text.front() == '[')
		text = text.substr(1, text.size() - 2);
	return port;
}

Protocol parse_protocol(const std::string &name)
{
	return name == "tcp" ? Protocol::TCP : name == "udp" ? Protocol::UDP : Protocol::ICMP;
}

const char *protocol_name(Protocol protocol)
{
	return protocol == Protocol::TCP ? "tcp" : protocol == Protocol::UDP ? "udp" : "icmp";
}

std::string string_of(const Napi::Object &object, const char *key)
{
	return object.Get(key).ToString().Utf8Value();
}

double number_of(const Napi::Object &object, const char *key)
{
	return object.Get(key).ToNumber().DoubleValue();
}

Time milliseconds_of(const Napi::Object &object, const char *key)
{
	return static_cast<Time>(number_of(object, key) * 1000);
}

template <typename Visit> void each(const Napi::Object &object, const char *key, Visit visit)
{
	Napi::Array list = object.Get(key).As<Napi::Array>();
	for (uint32_t i = 0; i < list.Length(); i++)
		visit(list.Get(i));
}

std::string text_of(const Napi::Value &value)
{
	return value.ToString().Utf8Value();
}

PoolConfig parse_pool(const Napi::Object &from)
{
	PoolConfig pool;
	each(from, "addresses", [&](Napi::Value one) { pool.addresses.push_back(parse_prefix4(text_of(one))); });
	each(from, "clients", [&](Napi::Value one) { pool.clients.push_back(parse_prefix6(text_of(one))); });
	pool.first_port = static_cast<uint16_t>(number_of(from, "firstPort"));
	pool.last_port = static_cast<uint16_t>(number_of(from, "lastPort"));
	return pool;
}

StaticConfig parse_static(const Napi::Object &from)
{
	std::string inside = string_of(from, "inside"), outside = string_of(from, "outside");
	StaticConfig out{};
	out.protocol = parse_protocol(string_of(from, "protocol"));
	out.inside_port = split_endpoint(inside);
	out.inside = parse6(inside);
	out.outside_port = split_endpoint(outside);
	out.outside = parse4(outside);
	return out;
}

Timeouts parse_timeouts(const Napi::Object &from)
{
	Timeouts out;
	out.tcp_established = milliseconds_of(from, "tcpEstablished");
	out.tcp_transitory = milliseconds_of(from, "tcpTransitory");
	out.tcp_incoming_syn = milliseconds_of(from, "tcpIncomingSyn");
	out.udp = milliseconds_of(from, "udp");
	out.icmp = milliseconds_of(from, "icmp");
	return out;
}

TranslatorConfig parse_config(const Napi::Object &from)
{
	TranslatorConfig out;
	SessionConfig &session = out.session;
	Napi::Object timeouts = from.Get("timeouts").As<Napi::Object>();
	Napi::Object accounting = from.Get("accounting").As<Napi::Object>();

	each(from, "prefixes", [&](Napi::Value one) { session.prefixes.push_back(parse_prefix6(text_of(one))); });
	each(from, "pools", [&](Napi::Value one) { session.pools.push_back(parse_pool(one.As<Napi::Object>())); });
	each(from, "static", [&](Napi::Value one) { session.statics.push_back(parse_static(one.As<Napi::Object>())); });
	session.address_dependent = string_of(from, "filtering") == "address-dependent";
	session.timeouts = parse_timeouts(timeouts);
	out.allow_non_global = from.Get("allowNonGlobal").ToBoolean();
	out.copy_traffic_class = from.Get("copyTrafficClass").ToBoolean();
	out.lowest_ipv6_mtu = static_cast<uint32_t>(number_of(from, "lowestIpv6Mtu"));
	each(from, "icmpSourceV4", [&](Napi::Value one) { out.icmp_source4.push_back(parse4(text_of(one))); });
	each(from, "icmpSourceV6", [&](Napi::Value one) { out.icmp_source6.push_back(parse6(text_of(one))); });
	out.fragments.memory = static_cast<size_t>(number_of(from, "fragmentMemory"));
	out.fragments.timeout = milliseconds_of(timeouts, "fragment");
	out.accounting.prefix_length = static_cast<uint8_t>(number_of(accounting, "prefixLength"));
	out.accounting.clients = static_cast<uint32_t>(number_of(accounting, "clients"));
	return out;
}

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

double seconds(Time milliseconds)
{
	return static_cast<double>(milliseconds) / 1000;
}

Napi::Object session_object(Napi::Env env, const SessionView &view)
{
	Napi::Object out = Napi::Object::New(env);
	out.Set("protocol", protocol_name(view.protocol));
	out.Set("client6", endpoint6(view.six.client, view.six.client_port));
	out.Set("server6", endpoint6(view.six.server, view.six.server_port));
	out.Set("pool4", endpoint4(view.four.pool, view.four.pool_port));
	out.Set("server4", endpoint4(view.four.remote, view.four.remote_port));
	out.Set("state", state_name(view.state));
	out.Set("expiresIn", seconds(view.expires_in));
	out.Set("age", seconds(view.age));
	out.Set("packetsOut", static_cast<double>(view.packets_out));
	out.Set("bytesOut", static_cast<double>(view.bytes_out));
	out.Set("packetsIn", static_cast<double>(view.packets_in));
	out.Set("bytesIn", static_cast<double>(view.bytes_in));
	return out;
}

Napi::Object binding_object(Napi::Env env, const BindingView &view)
{
	Napi::Object out = Napi::Object::New(env);
	out.Set("protocol", protocol_name(view.protocol));
	out.Set("inside", endpoint6(view.inside, view.inside_port));
	out.Set("outside", endpoint4(view.outside, view.outside_port));
	out.Set("static", view.fixed);
	out.Set("sessions", view.sessions);
	return out;
}

class Dataplane : public Napi::ObjectWrap<Dataplane> {
public:
	static void define(Napi::Env env, Napi::Object exports)
	{
		exports.Set("Dataplane", DefineClass(env, "Dataplane",
						     {
							     InstanceMethod<&Dataplane::configure>("configure"),
							     InstanceMethod<&Dataplane::status>("status"),
							     InstanceMethod<&Dataplane::sessions>("sessions"),
							     InstanceMethod<&Dataplane::bindings>("bindings"),
							     InstanceMethod<&Dataplane::drops>("drops"),
							     InstanceMethod<&Dataplane::clients>("clients"),
							     InstanceMethod<&Dataplane::close>("close"),
						     }));
	}

	explicit Dataplane(const Napi::CallbackInfo &info);
	~Dataplane() { release(true); }

private:
	/* A thread must not outlive its environment: on its end the device is kept, as after a kill. */
	static void at_exit(void *self) { static_cast<Dataplane *>(self)->release(true); }
	void release(bool keep);
	bool closed(Napi::Env env) const;

	Napi::Value configure(const Napi::CallbackInfo &info);
	Napi::Value status(const Napi::CallbackInfo &info);
	Napi::Value sessions(const Napi::CallbackInfo &info);
	Napi::Value bindings(const Napi::CallbackInfo &info);
	Napi::Value drops(const Napi::CallbackInfo &info);
	Napi::Value clients(const Napi::CallbackInfo &info);
	Napi::Value close(const Napi::CallbackInfo &info);

	napi_env env_;
	std::unique_ptr<Translator> translator_;
};

void throw_error(Napi::Env env, const TunError &why)
{
	Napi::Error error = Napi::Error::New(env, why.detail);
	error.Set("code", why.code);
	error.Set("errno", static_cast<double>(why.error));
	error.ThrowAsJavaScriptException();
}

Dataplane::Dataplane(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Dataplane>(info), env_(info.Env())
{
	Napi::Object from = info[0].As<Napi::Object>();
	TranslatorOptions options;
	options.device = string_of(from, "device");
	options.mtu = static_cast<uint32_t>(number_of(from, "mtu"));
	options.threads = static_cast<unsigned>(number_of(from, "threads"));
	options.session_file = string_of(from, "sessionFile");
	options.max_sessions = static_cast<uint32_t>(number_of(from, "maxSessions"));
	TunError why;
	translator_ = Translator::open(options, parse_config(from.Get("config").As<Napi::Object>()), why);
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
	Traffic traffic = translator_->traffic();
	out.Set("threads", translator_->threads());
	out.Set("adopted", static_cast<double>(translator_->table().adopted()));
	out.Set("adoption", translator_->table().adoption());
	out.Set("sessions", static_cast<double>(stats.sessions));
	out.Set("bindings", static_cast<double>(stats.bindings));
	out.Set("packets64", static_cast<double>(traffic.packets64));
	out.Set("bytes64", static_cast<double>(traffic.bytes64));
	out.Set("packets46", static_cast<double>(traffic.packets46));
	out.Set("bytes46", static_cast<double>(traffic.bytes46));
	out.Set("dropped", static_cast<double>(traffic.dropped));
	Napi::Array pools = Napi::Array::New(env, stats.pools.size());
	for (uint32_t i = 0; i < stats.pools.size(); i++) {
		Napi::Object pool = Napi::Object::New(env);
		pool.Set("portsUsed", static_cast<double>(stats.pools[i].used));
		pool.Set("portsTotal", static_cast<double>(stats.pools[i].total));
		pools.Set(i, pool);
	}
	out.Set("pools", pools);
	return out;
}

Napi::Value Dataplane::sessions(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (closed(env))
		return env.Undefined();
	Napi::Array out = Napi::Array::New(env);
	uint32_t count = 0;
	/* Collected first: the visitor runs under a shard's lock, where no JavaScript object is made. */
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
	translator_->table().bindings(parse_filter(info), [&](const BindingView &view) { views.push_back(view); });
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
