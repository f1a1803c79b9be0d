// SPDX-License-Identifier: Apache-2.0
/* verifier OBJECT: whether the verifier of an older kernel would bear the programs; a line for
 * each. */
#include <algorithm>

#include "gateway.h"

namespace
{

std::string failure;

void expect(bool holds, const std::string &what)
{
	if (!holds && failure.empty())
		failure = what;
}

/* What the verifier says of a program: instructions judged, bytes of stack of it and its callees.
 */
std::string judged(const char *path, const char *name)
{
	std::vector<char> log(1 << 20);
	bpf_object *object = bpf_object__open_file(path, nullptr);
	bpf_program *each;

	bpf_object__for_each_program(each, object)
		bpf_program__set_autoload(each, !strcmp(bpf_program__name(each), name));
	each = bpf_object__find_program_by_name(object, name);
	bpf_program__set_log_level(each, 4);
	bpf_program__set_log_buf(each, log.data(), log.size());
	bool loaded = !bpf_object__load(object);
	bpf_object__close(object);
	return loaded ? log.data() : "";
}

/*
 * Linux 6.1 gives up after 1,000,000 instructions, and judges far more of them than later kernels
 * do where ways join: 61,000 for 56,000 of Linux 6.18, but over a million for 98,000. It rounds
 * each function's part of the 512 bytes of stack up to 32.
 */
void fits_old_kernels(const char *path, const char *name)
{
	std::string log = judged(path, name), where = std::string(" in ") + name;
	size_t depth = log.find("stack depth "), processed = log.find("processed ");
	unsigned own = 0, callee = 0;

	expect(depth != std::string::npos && processed != std::string::npos, "no figures" + where);
	if (!failure.empty())
		return;
	const char *at = log.c_str() + depth + strlen("stack depth");
	for (bool first = true; *at == ' ' || *at == '+'; first = false) {
		unsigned bytes = ((unsigned)strtoul(at + 1, (char **)&at, 10) + 31) & ~31u;
		(first ? own : callee) = first ? bytes : std::max(callee, bytes);
	}
	expect(own + callee <= 480, std::to_string(own + callee) + " bytes of stack" + where);
	unsigned count = (unsigned)atoi(log.c_str() + processed + strlen("processed "));
	expect(count < 75000, std::to_string(count) + " instructions" + where);
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	for (const char *name : {GW_PROGRAM_XDP, GW_PROGRAM_TC}) {
		failure.clear();
		fits_old_kernels(argv[1], name);
		printf("%s %s\n", name, failure.empty() ? "fits" : failure.c_str());
	}
}
