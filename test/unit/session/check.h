// SPDX-License-Identifier: Apache-2.0
/**
 * A test program is CASEs; `PROGRAM --list` names them, `PROGRAM NUMBER` runs one and exits 1 when
 * a check failed.
 */
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

struct Case {
	const char *sentence;
	void (*run)();
	static std::vector<Case> &all()
	{
		static std::vector<Case> cases;
		return cases;
	}
	static bool add(const char *sentence, void (*run)())
	{
		all().push_back({ sentence, run });
		return true;
	}
};

inline int failures = 0;

template <typename T> std::string text(const T &value)
{
	std::ostringstream out;
	if constexpr (std::is_enum_v<T>)
		out << static_cast<long>(value);
	else
		out << value;
	return out.str();
}

inline void failed(const char *file, int line, const std::string &what)
{
	if (failures++ < 20)
		printf("%s:%d: %s\n", file, line, what.c_str());
}

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define CASE(sentence)                                                                             \
	static void JOIN(case_, __LINE__)();                                                       \
	static const bool JOIN(known_, __LINE__) = Case::add(sentence, JOIN(case_, __LINE__));     \
	static void JOIN(case_, __LINE__)()
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			failed(__FILE__, __LINE__, "not so: " #condition);                         \
	} while (0)
#define EQUAL(actual, expected)                                                                    \
	do {                                                                                       \
		auto actual_ = (actual);                                                           \
		auto expected_ = (expected);                                                       \
		if (!(actual_ == static_cast<decltype(actual_)>(expected_)))                       \
			failed(__FILE__, __LINE__,                                                 \
			       #actual " is " + text(actual_) + ", not " + text(expected_));       \
	} while (0)
