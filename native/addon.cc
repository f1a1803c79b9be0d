// SPDX-License-Identifier: Apache-2.0
/* The addon: each part registers its classes. JavaScript validates, C++ asserts. */
#include "addon.h"

#include "datagram.h"

static Napi::Object initialise(Napi::Env env, Napi::Object exports)
{
	register_datagram(env, exports);
	register_dataplane(env, exports);
	register_tunnels(env, exports);
	return exports;
}

NODE_API_MODULE(sixgate, initialise)
