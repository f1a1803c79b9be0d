// SPDX-License-Identifier: Apache-2.0
#include "dataplane_fastpath.h"

#include "dataplane_config.h"

namespace sixgate {
namespace {

struct PassRow {
	const char *name, *sentence;
};

#define PASS_ROW(name, sentence) {#name, sentence},
constexpr PassRow PASSES[] = {{"", ""}, GW_PASSES(PASS_ROW)};
#undef PASS_ROW
static_assert(std::size(PASSES) == GW_PASS_COUNT);

const char *hook_name(Hook hook)
{
	return hook == Hook::XDP ? "xdp" : "tc";
}

Napi::Object count_object(Napi::Env env, const struct gw_count &count)
{
	Napi::Object out = Napi::Object::New(env);
	out.Set("packets", static_cast<double>(count.packets));
	out.Set("bytes", static_cast<double>(count.bytes));
	return out;
}

} // namespace

std::optional<FastpathOptions> parse_fastpath(const Napi::Value &from)
{
	if (!from.IsObject())
		return std::nullopt;
	Napi::Object object = from.As<Napi::Object>();
	FastpathOptions out;
	out.object = string_of(object, "object");
	out.pins = string_of(object, "pins");
	out.flows = static_cast<uint32_t>(number_of(object, "flows"));
	return out;
}

Napi::Object fastpath_object(Napi::Env env, Translator &translator)
{
	Napi::Object out = Napi::Object::New(env);
	Fastpath *fastpath = translator.fastpath();
	const FastpathError &error = translator.fastpath_error();
	out.Set("loaded", fastpath != nullptr);
	out.Set("why", error.detail);
	out.Set("verifier", error.log);
	if (!fastpath)
		return out;
	out.Set("pinned", fastpath->pinned());
	out.Set("why", fastpath->unpinned());
	out.Set("adopted", fastpath->adopted());
	Napi::Object attached = Napi::Object::New(env);
	for (const auto &[interface, hook] : fastpath->attached())
		attached.Set(interface, hook_name(hook));
	out.Set("attached", attached);
	FlowUse use = fastpath->flows().use();
	out.Set("flows", static_cast<double>(use.flows));
	out.Set("capacity", static_cast<double>(use.capacity));
	out.Set("refused", static_cast<double>(use.refused));
	FastpathCounts counts = fastpath->counts();
	out.Set("translated64", count_object(env, counts.translated[GW_64]));
	out.Set("translated46", count_object(env, counts.translated[GW_46]));
	out.Set("siit64", count_object(env, counts.translated[GW_SIIT_64]));
	out.Set("siit46", count_object(env, counts.translated[GW_SIIT_46]));
	Napi::Array passes = Napi::Array::New(env);
	uint32_t at = 0;
	for (uint32_t i = GW_OK + 1; i < GW_PASS_COUNT; i++) {
		Napi::Object one = Napi::Object::New(env);
		one.Set("reason", PASSES[i].name);
		one.Set("sentence", PASSES[i].sentence);
		one.Set("packets", static_cast<double>(counts.passes[i].packets));
		passes.Set(at++, one);
	}
	out.Set("passes", passes);
	return out;
}

std::string attach_hook(Translator &translator, const std::string &interface,
			const std::string &hook)
{
	Fastpath *fastpath = translator.fastpath();
	if (!fastpath)
		return translator.fastpath_error().detail;
	if (hook == "xdp" || hook == "tc")
		return fastpath->attach(interface, hook == "xdp" ? Hook::XDP : Hook::TC);
	fastpath->detach(interface);
	return "";
}

} // namespace sixgate
