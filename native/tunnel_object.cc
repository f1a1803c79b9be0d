// SPDX-License-Identifier: Apache-2.0
/* The tunnels as JavaScript sees them (src/system/tunnels.ts). */
#include "addon.h"
#include "dataplane_config.h"
#include "dataplane_text.h"
#include "tunnel.h"

namespace {

using namespace sixgate;

xlat_ip4 ip4_of(const Napi::Object &from, const char *key)
{
	return xlat_ip4_of(parse4(string_of(from, key)));
}

xlat_ip6 ip6_of(const Ip6 &from)
{
	return xlat_load_ip6(from.bytes);
}

uint8_t parse_mode(const std::string &name)
{
	return name == "6in4"	? XLAT_TUNNEL_6IN4 :
	       name == "6to4"	? XLAT_TUNNEL_6TO4 :
	       name == "6rd"	? XLAT_TUNNEL_6RD :
				  XLAT_TUNNEL_ISATAP;
}

TunnelConfig parse_tunnel(const Napi::Object &from)
{
	TunnelConfig to;
	to.name = string_of(from, "name");
	to.ttl = static_cast<uint8_t>(number_of(from, "ttl"));
	to.path_mtu = from.Get("pathMtu").ToBoolean();
	to.mtu = static_cast<uint32_t>(number_of(from, "mtu"));
	xlat_tunnel &core = to.core;
	core.mode = parse_mode(string_of(from, "mode"));
	core.tos = static_cast<uint8_t>(number_of(from, "tos"));
	core.relayed = from.Get("relayed").ToBoolean();
	core.local = ip4_of(from, "local");
	if (from.Get("remote").IsString())
		core.remote = ip4_of(from, "remote");
	if (from.Get("prefix").IsString()) {
		Prefix6 prefix = parse_prefix6(string_of(from, "prefix"));
		core.prefix = ip6_of(prefix.address);
		core.prefix_length = prefix.length;
	}
	if (from.Get("ipv4Prefix").IsString()) {
		Prefix4 common = parse_prefix4(string_of(from, "ipv4Prefix"));
		core.common = xlat_ip4_of(common.address);
		core.common_length = common.length;
	}
	Napi::Array routes = from.Get("routes").As<Napi::Array>();
	for (uint32_t i = 0; i < routes.Length() && i < XLAT_TUNNEL_ROUTES; i++) {
		Napi::Object one = routes.Get(i).As<Napi::Object>();
		Prefix6 prefix = parse_prefix6(string_of(one, "prefix"));
		core.routes[core.route_count++] = {ip6_of(prefix.address), ip4_of(one, "via"),
						   prefix.length};
	}
	return to;
}

/* Reasons without a packet are left out. */
Napi::Array drops_array(Napi::Env env, const std::vector<uint64_t> &drops)
{
	Napi::Array out = Napi::Array::New(env);
	uint32_t count = 0;
	for (uint32_t reason = XLAT_OK + 1; reason < drops.size(); reason++) {
		if (!drops[reason])
			continue;
		const xlat_reason_row *row = xlat_reason_text(reason);
		Napi::Object one = Napi::Object::New(env);
		one.Set("reason", row->name);
		one.Set("sentence", row->sentence);
		one.Set("rfc", row->rfc);
		one.Set("packets", static_cast<double>(drops[reason]));
		out.Set(count++, one);
	}
	return out;
}

class TunnelsObject : public Napi::ObjectWrap<TunnelsObject> {
public:
	static void define(Napi::Env env, Napi::Object exports)
	{
		exports.Set("Tunnels",
			    DefineClass(env, "Tunnels",
					{
						InstanceMethod<&TunnelsObject::open>("open"),
						InstanceMethod<&TunnelsObject::configure>("configure"),
						InstanceMethod<&TunnelsObject::status>("status"),
						InstanceMethod<&TunnelsObject::close>("close"),
					}));
	}

	explicit TunnelsObject(const Napi::CallbackInfo &info)
	    : Napi::ObjectWrap<TunnelsObject>(info), env_(info.Env())
	{
		TunError why;
		tunnels_ = Tunnels::open(why);
		if (tunnels_)
			napi_add_env_cleanup_hook(env_, at_exit, this);
		else
			fail(info.Env(), why);
	}
	~TunnelsObject() { release(true); }

private:
	/* A thread must not outlive its environment; the devices are kept, as after a kill. */
	static void at_exit(void *self) { static_cast<TunnelsObject *>(self)->release(true); }

	static void fail(Napi::Env env, const TunError &why)
	{
		Napi::Error error = Napi::Error::New(env, why.detail);
		error.Set("code", why.code);
		error.ThrowAsJavaScriptException();
	}

	void release(bool keep)
	{
		if (!tunnels_)
			return;
		napi_remove_env_cleanup_hook(env_, at_exit, this);
		tunnels_->close(keep);
		tunnels_.reset();
	}

	bool closed(Napi::Env env) const
	{
		if (!tunnels_)
			fail(env, {0, "INTERNAL", "the tunnels are closed"});
		return !tunnels_;
	}

	Napi::Value open(const Napi::CallbackInfo &info)
	{
		TunError why;
		if (!closed(info.Env()) &&
		    !tunnels_->open_device(info[0].ToString().Utf8Value(), why))
			fail(info.Env(), why);
		return info.Env().Undefined();
	}

	Napi::Value configure(const Napi::CallbackInfo &info)
	{
		if (closed(info.Env()))
			return info.Env().Undefined();
		Napi::Object from = info[0].As<Napi::Object>();
		TunnelsConfig config;
		Napi::Array tunnels = from.Get("tunnels").As<Napi::Array>();
		for (uint32_t i = 0; i < tunnels.Length(); i++)
			config.tunnels.push_back(parse_tunnel(tunnels.Get(i).As<Napi::Object>()));
		config.has_source = from.Get("icmpSource").IsString();
		if (config.has_source)
			config.icmp_source = ip6_of(parse6(string_of(from, "icmpSource")));
		config.error_rate = static_cast<uint32_t>(number_of(from, "icmpErrorRate"));
		TunError why;
		if (!tunnels_->configure(config, why))
			fail(info.Env(), why);
		return info.Env().Undefined();
	}

	Napi::Value status(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		if (closed(env))
			return env.Undefined();
		Napi::Array list = Napi::Array::New(env);
		uint32_t count = 0;
		for (const TunnelStatus &from : tunnels_->status()) {
			Napi::Object one = Napi::Object::New(env);
			one.Set("name", from.name);
			one.Set("packetsOut", static_cast<double>(from.packets_out));
			one.Set("bytesOut", static_cast<double>(from.bytes_out));
			one.Set("packetsIn", static_cast<double>(from.packets_in));
			one.Set("bytesIn", static_cast<double>(from.bytes_in));
			one.Set("errors", static_cast<double>(from.errors));
			one.Set("drops", drops_array(env, from.drops));
			list.Set(count++, one);
		}
		Napi::Object out = Napi::Object::New(env);
		out.Set("tunnels", list);
		out.Set("strays", drops_array(env, tunnels_->strays()));
		return out;
	}

	Napi::Value close(const Napi::CallbackInfo &info)
	{
		release(info[0].ToBoolean());
		return info.Env().Undefined();
	}

	napi_env env_;
	std::unique_ptr<Tunnels> tunnels_;
};

} // namespace

void register_tunnels(Napi::Env env, Napi::Object exports)
{
	TunnelsObject::define(env, exports);
}
