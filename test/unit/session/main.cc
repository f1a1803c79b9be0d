// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "check.h"

int main(int argc, char **argv)
{
	auto &cases = Case::all();
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (const Case &one : cases)
			puts(one.sentence);
		return 0;
	}
	for (size_t i = 0; i < cases.size(); i++) {
		if (argc == 2 && cases[i].sentence != std::string(argv[1]))
			continue;
		int before = failures;
		cases[i].run();
		if (failures != before)
			printf("FAILED: %s\n", cases[i].sentence);
	}
	return failures ? 1 : 0;
}
