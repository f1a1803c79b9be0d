// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <napi.h>

#include "translator_config.h"

namespace sixgate {

std::string string_of(const Napi::Object &object, const char *key);
double number_of(const Napi::Object &object, const char *key);

/* The DataplaneConfig of src/system/dataplane.ts. */
TranslatorConfig parse_config(const Napi::Object &from);

} // namespace sixgate
