// SPDX-License-Identifier: Apache-2.0
/* The fast path as JavaScript sees it. */
#pragma once

#include <napi.h>

#include "translator.h"

namespace sixgate {

/* None where JavaScript gave none. */
std::optional<FastpathOptions> parse_fastpath(const Napi::Value &from);

/* What is loaded, attached and counted; or why nothing is. */
Napi::Object fastpath_object(Napi::Env env, Translator &translator);

/* An empty string, or why not. */
std::string attach_hook(Translator &translator, const std::string &interface,
			const std::string &hook);

} // namespace sixgate
