// SPDX-License-Identifier: Apache-2.0
/** What a daemon finds in the file of a predecessor that was killed. */
#include <fcntl.h>
#include <sched.h>
#include <csignal>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../../native/session_file.h"
#include "fixture.h"

namespace {

/** Ends as a killed process does: nothing is written back, only the lock goes. */
struct Crash : Fixture {
	std::string copy;

	/**
	 * What is in the file at this instant, adopted by a second table while the first one still
	 * runs.
	 */
	void crash()
	{
		copy = std::string(path) + ".crash";
		std::string command = std::string("cp --sparse=always ") + path + " " + copy;
		if (system(command.c_str()))
			abort();
		table.reset();
		rename(copy.c_str(), path);
	}
	void edit(void (*change)(FileHeader &, SessionRecord *))
	{
		int fd = ::open(path, O_RDWR);
		struct stat file;
		fstat(fd, &file);
		void *map = mmap(nullptr, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, 0);
		change(*(FileHeader *)map, (SessionRecord *)((char *)map + 4096));
		munmap(map, (size_t)file.st_size);
		close(fd);
	}
};

} // namespace

CASE("adopts the sessions of a killed predecessor, with counters, ports and time left")
{
	Crash f;
	f.first_pool().addresses = { { ip4("192.0.2.16"), 28 } };
	f.options.config.statics = { { Protocol::UDP, client(900), 9, ip4("192.0.2.17"), 53 } };
	f.open();
	std::vector<Verdict> flows;
	for (unsigned i = 0; i < 500; i++)
		flows.push_back(f.out(client(i % 100), (uint16_t)(40000 + i / 100), 53,
				      i % 2 ? udp() : tcp(TCP_SYN)));
	f.in(ip4("192.0.2.17"), 53, f.remote, 5, udp());
	f.now += 100'000;
	uint64_t bindings = f.bindings(), ports = f.ports_used();
	auto before = f.list();
	f.crash();
	f.open();
	EQUAL(f.table->adopted(), 501);
	EQUAL(f.table->adoption(), "");
	EQUAL(f.sessions(), 501);
	EQUAL(f.bindings(), bindings);
	EQUAL(f.ports_used(), ports);
	uint64_t packets = 0, left = 0;
	for (const SessionView &view : before)
		packets += view.packets_out, left += view.expires_in;
	for (const SessionView &view : f.list())
		packets -= view.packets_out, left -= view.expires_in;
	EQUAL(packets, 0);
	EQUAL(left, 0);
	for (unsigned i = 0; i < flows.size(); i++) {
		Verdict in = f.table->inbound(flows[i].four, i % 2 ? udp() : tcp(TCP_ACK), f.now);
		EQUAL(in.session.index, flows[i].session.index);
		EQUAL(in.session.generation, flows[i].session.generation);
		CHECK(in.six.client == flows[i].six.client);
	}
	EQUAL(f.out(client(900), 9, 7, udp()).four.pool_port, 53);
	f.pass(301'000);
	EQUAL(f.sessions(), 0);
	EQUAL(f.bindings(), 1);
	EQUAL(f.ports_used(), 0);
}

CASE("ignores a record that was being written, and gives its port back")
{
	Crash f;
	f.open();
	for (unsigned i = 0; i < 10; i++)
		f.out(client(i), 9, 53, udp());
	f.crash();
	f.edit([](FileHeader &, SessionRecord *sessions) {
		sessions[3].commit = 0;
		sessions[5].remote_port++;
	});
	f.open();
	EQUAL(f.table->adopted(), 8);
	EQUAL(f.sessions(), 8);
	EQUAL(f.bindings(), 8);
	EQUAL(f.ports_used(), 8);
	for (unsigned i = 0; i < 10; i++)
		EQUAL(f.out(client(i), 9, 53, udp()).reason, XLAT_OK);
}

CASE("adopts nothing wrong from a file with flipped bits")
{
	Crash f;
	f.options.config.statics = { { Protocol::UDP, client(900), 9, ip4("192.0.2.1"), 53 } };
	uint64_t random = 1;
	for (unsigned round = 0; round < 60; round++) {
		f.open();
		for (unsigned i = 0; i < 200; i++)
			f.out(client(i % 50), (uint16_t)(4000 + i), 53, i % 2 ? udp() : tcp(TCP_SYN));
		EQUAL(f.table->stats().sessions, f.sessions());
		for (const SessionView &view : f.list()) {
			Verdict out = f.table->outbound(view.six, { view.protocol, TCP_ACK }, f.now);
			Verdict in = f.table->inbound(view.four, { view.protocol, TCP_ACK }, f.now);
			CHECK(out.four.pool_port == view.four.pool_port);
			CHECK(in.six.client == view.six.client);
		}
		f.table.reset();
		int fd = ::open(f.path, O_RDWR);
		for (unsigned flip = 0; flip < 400; flip++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			off_t at = (off_t)(random >> 33) % (400 * 128);
			/* The records of sessions, or those of bindings, a MiB behind them. */
			at = random >> 63 ? 4096 + 128 + at : 4096 + (1 << 20) + 64 + at / 2;
			uint8_t byte;
			if (pread(fd, &byte, 1, at) == 1) {
				byte ^= (uint8_t)(1u << (random >> 20 & 7));
				if (pwrite(fd, &byte, 1, at) != 1)
					abort();
			}
		}
		close(fd);
	}
}

CASE("adopts no session that is over or that the configuration forbids by now")
{
	Crash f;
	f.first_pool().addresses = { { ip4("192.0.2.16"), 31 } };
	f.open();
	unsigned stays = 0;
	for (unsigned i = 0; i < 40; i++) {
		bool short_lived = i >= 20;
		Verdict v = f.out(client(i), 9, short_lived ? 0 : 53, short_lived ? icmp() : udp());
		stays += !short_lived && v.four.pool == ip4("192.0.2.16");
	}
	f.crash();
	f.now += 100'000;
	f.first_pool().addresses = { { ip4("192.0.2.16"), 32 } };
	f.open();
	EQUAL(f.table->adopted(), stays);
	EQUAL(f.sessions(), stays);
	EQUAL(f.ports_used(), stays);
}

CASE("does not adopt the file of another boot, namespace, layout or capacity, and says why")
{
	struct Row {
		const char *why;
		void (*before)(Crash &);
	};
	static const Row rows[] = {
		{ "the file is from another boot", [](Crash &f) { f.options.boot_id = "later"; } },
		{ "the file is from another network namespace",
		  [](Crash &f) { f.options.netns_inode++; } },
		{ "capacity was 4096, is 8192", [](Crash &f) { f.options.max_sessions = 8192; } },
		{ "layout version 99, this daemon has 1",
		  [](Crash &f) {
			  f.edit([](FileHeader &header, SessionRecord *) { header.version = 99; });
		  } },
		{ "the file is not a session table",
		  [](Crash &f) {
			  f.edit([](FileHeader &header, SessionRecord *) { header.magic = 1; });
		  } },
		{ "the file is damaged",
		  [](Crash &f) {
			  f.edit([](FileHeader &header, SessionRecord *) {
				  header.sessions_backed = 1 << 30;
			  });
		  } },
		{ "the file is not a session table",
		  [](Crash &f) { CHECK(!truncate(f.path, 100)); } },
		{ "the file is damaged", [](Crash &f) { CHECK(!truncate(f.path, 8192)); } },
	};
	for (const Row &row : rows) {
		Crash f;
		f.open();
		f.out(client(1), 9, 53, udp());
		f.crash();
		row.before(f);
		f.open();
		EQUAL(f.table->adoption(), row.why);
		EQUAL(f.table->adopted(), 0);
		EQUAL(f.sessions(), 0);
		EQUAL(f.out(client(1), 9, 53, udp()).reason, XLAT_OK);
	}
}

CASE("refuses to share its file with a second writer")
{
	Fixture f;
	f.open();
	std::string error;
	CHECK(!SessionTable::open(f.options, f.now, error));
	EQUAL(error, "the session table " + f.options.path + " is in use by another process");
	f.out(client(1), 9, 53, udp());
	EQUAL(f.sessions(), 1);
	f.table.reset();
	f.open();
	EQUAL(f.table->adopted(), 1);
}

CASE("names the file that it cannot make")
{
	Fixture f;
	f.options.path = "/nonexistent/sessions";
	std::string error;
	CHECK(!SessionTable::open(f.options, f.now, error));
	EQUAL(error,
	      "cannot open the session table /nonexistent/sessions: No such file or directory");
}

CASE("survives a kill at any instant of a busy minute")
{
	for (unsigned round = 0; round < 5; round++) {
		Crash f;
		f.options.max_sessions = 1024;
		pid_t child = fork();
		if (!child) {
			std::string error;
			auto table = SessionTable::open(f.options, f.now, error);
			Event events[8];
			for (unsigned i = 0;; i++, f.now += 7) {
				table->outbound(
					{ client(i % 700), server(f.remote + i % 3), 9, 53 },
					icmp(), f.now);
				for (unsigned shard = 0; shard < SHARDS; shard++)
					table->tick(shard, f.now, 100, events, 8);
			}
		}
		usleep(20'000 + round * 7'000);
		kill(child, SIGKILL);
		waitpid(child, nullptr, 0);
		f.open();
		CHECK(f.table->adoption().empty());
		uint64_t counted = 0;
		for (const BindingView &view : f.list_bindings())
			counted += view.sessions;
		EQUAL(counted, f.sessions());
		EQUAL(f.ports_used(), f.bindings());
		/* Past the child's clock, which ran ahead. */
		f.now += 30'000'000;
		f.pass(1'000);
		EQUAL(f.sessions(), 0);
		EQUAL(f.ports_used(), 0);
		unsigned room = 0;
		while (f.out(client(room), 9, 53, udp()).reason == XLAT_OK)
			room++;
		EQUAL(room, 1024);
	}
}

CASE("says that the table is full when the disk is, and dies of no signal")
{
	pid_t child = fork();
	if (!child) {
		/* A disk of 4 MiB, which ends with the process. Only root can make it. */
		if (unshare(CLONE_NEWNS) || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) ||
		    mount("small", "/mnt", "tmpfs", 0, "size=4m"))
			_exit(0);
		Fixture f;
		f.options.path = "/mnt/sessions";
		f.options.max_sessions = 1 << 20;
		f.open();
		unsigned made = 0;
		Verdict v;
		for (; made < 100'000; made++) {
			v = f.out(client(made), 9, 53, udp());
			if (v.reason != XLAT_OK)
				break;
		}
		EQUAL(v.reason, XLAT_TABLE_FULL);
		CHECK(made > 8'000 && made < 40'000);
		EQUAL(f.sessions(), made);
		EQUAL(f.ports_used(), made);
		f.pass(301'000);
		EQUAL(f.out(client(1), 9, 53, udp()).reason, XLAT_OK);
		fflush(stdout);
		_exit(failures != 0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	EQUAL(status, 0);
}
