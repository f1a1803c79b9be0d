// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

void register_dataplane(Napi::Env env, Napi::Object exports);
void register_tunnels(Napi::Env env, Napi::Object exports);
