// SPDX-License-Identifier: Apache-2.0
/* What the data plane tells, as JavaScript objects. */
#pragma once

#include <vector>

#include <napi.h>

#include "translator.h"

namespace sixgate {

Napi::Object session_object(Napi::Env env, const SessionView &view);
Napi::Object binding_object(Napi::Env env, const BindingView &view);
Napi::Object traced_object(Napi::Env env, const TracedPacket &packet);
Napi::Array policy_array(Napi::Env env, const std::vector<PolicyTotals> &nodes);
void set_traffic(Napi::Object out, const Traffic &traffic);
Napi::Array lost_array(Napi::Env env, const std::vector<LostPacket> &lost, xlat_reason why);
/* What the routes of both sides carry, the narrowest of each first. */
Napi::Array mtu_array(Napi::Env env, const RouteView &view);

} // namespace sixgate
