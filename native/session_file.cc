// SPDX-License-Identifier: Apache-2.0
#include "session_file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sixgate {

namespace {

constexpr uint64_t PAGE = 4096;
/** Storage is taken in pieces: a full disk is then an error code and never a signal. */
constexpr uint64_t PIECE = 1 << 20;
/** Bindings beyond one a session: static ones. */
constexpr uint32_t EXTRA_BINDINGS = 16384;

uint64_t round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

uint32_t mix(uint64_t hash, uint64_t word)
{
	return (uint32_t)(((hash ^ word) * 0x9e3779b97f4a7c15) >> 29);
}

std::string failure(const char *what, const std::string &path, int code)
{
	return std::string(what) + " " + path + ": " + strerror(code);
}

uint64_t sessions_bytes(uint32_t capacity)
{
	return round_up(((uint64_t)capacity + 1) * sizeof(SessionRecord), PIECE);
}

uint64_t bindings_bytes(uint32_t capacity)
{
	return round_up(((uint64_t)capacity + 1) * sizeof(BindingRecord), PIECE);
}

} // namespace

uint32_t SessionRecord::digest() const
{
	uint32_t hash = mix(load64(client.bytes), load64(client.bytes + 8));
	hash = mix(hash, load64(server.bytes)) ^ mix(load64(server.bytes + 8), generation);
	hash = mix(hash, (uint64_t)pool << 32 | remote);
	hash = mix(hash, (uint64_t)client_port << 48 | (uint64_t)pool_port << 32 |
				 (uint64_t)remote_port << 16 | delta);
	return mix(hash, (uint64_t)binding << 8 | (uint64_t)protocol) | 1;
}

uint32_t BindingRecord::digest() const
{
	uint32_t hash = mix(load64(client.bytes), load64(client.bytes + 8));
	hash = mix(hash, (uint64_t)pool << 32 | (uint64_t)client_port << 16 | pool_port);
	return mix(hash, (uint64_t)protocol << 1 | fixed) | 1;
}

template <typename Record> unsigned Records<Record>::take(uint32_t *numbers, unsigned want)
{
	std::lock_guard guard(lock_);
	unsigned got = 0;
	while (got < want) {
		if (!free_ && !extend())
			break;
		numbers[got++] = free_;
		free_ = base[free_].next;
	}
	return got;
}

template <typename Record> void Records<Record>::give(const uint32_t *numbers, unsigned count)
{
	std::lock_guard guard(lock_);
	for (unsigned i = 0; i < count; i++) {
		base[numbers[i]].next = free_;
		free_ = numbers[i];
	}
}

template <typename Record> bool Records<Record>::extend()
{
	uint64_t first = (uint64_t)*backed * sizeof(Record);
	if (*backed > capacity || posix_fallocate(fd, (off_t)(offset + first), PIECE))
		return false;
	uint64_t until = (first + PIECE) / sizeof(Record);
	uint32_t end = (uint32_t)(until < (uint64_t)capacity + 1 ? until : (uint64_t)capacity + 1);
	uint32_t begin = *backed ? *backed : 1;
	for (uint32_t number = end; number-- > begin;) {
		base[number].commit = 0;
		base[number].next = free_;
		free_ = number;
	}
	*backed = end;
	return free_ != 0;
}

template class Records<SessionRecord>;
template class Records<BindingRecord>;

SessionFile::~SessionFile()
{
	if (map_)
		munmap(map_, size_);
	if (fd_ >= 0)
		::close(fd_);
}

bool SessionFile::lock(const std::string &path, std::string &error)
{
	fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd_ < 0) {
		error = failure("cannot open the session table", path, errno);
		return false;
	}
	if (flock(fd_, LOCK_EX | LOCK_NB)) {
		error = errno == EWOULDBLOCK
				? "the session table " + path + " is in use by another process"
				: failure("cannot lock the session table", path, errno);
		return false;
	}
	return true;
}

std::string SessionFile::refusal(const SessionOptions &options, uint32_t bindings,
				 uint64_t found) const
{
	FileHeader old = {};
	if (pread(fd_, &old, sizeof(old), 0) != (ssize_t)sizeof(old) || old.magic != FILE_MAGIC)
		return "the file is not a session table";
	if (old.version != FILE_VERSION)
		return "layout version " + std::to_string(old.version) + ", this daemon has " +
		       std::to_string(FILE_VERSION);
	old.boot_id[sizeof(old.boot_id) - 1] = 0;
	if (options.boot_id.substr(0, sizeof(old.boot_id) - 1) != old.boot_id)
		return "the file is from another boot";
	if (old.netns_inode != options.netns_inode)
		return "the file is from another network namespace";
	if (old.capacity != options.max_sessions || old.bindings_capacity != bindings)
		return "capacity was " + std::to_string(old.capacity) + ", is " +
		       std::to_string(options.max_sessions);
	if (found != size_ || old.sessions_backed > old.capacity + 1 ||
	    old.bindings_backed > bindings + 1)
		return "the file is damaged";
	return "";
}

bool SessionFile::create(const SessionOptions &options, uint32_t bindings, std::string &error)
{
	if (ftruncate(fd_, 0) || ftruncate(fd_, (off_t)size_)) {
		error = failure("cannot size the session table", options.path, errno);
		return false;
	}
	if (int code = posix_fallocate(fd_, 0, PAGE)) {
		error = failure("no space for the session table", options.path, code);
		return false;
	}
	FileHeader fresh = {};
	fresh.version = FILE_VERSION;
	fresh.capacity = options.max_sessions;
	fresh.bindings_capacity = bindings;
	snprintf(fresh.boot_id, sizeof(fresh.boot_id), "%s", options.boot_id.c_str());
	fresh.netns_inode = options.netns_inode;
	fresh.magic = FILE_MAGIC;
	if (getrandom(&fresh.secret, sizeof(fresh.secret), 0) != (ssize_t)sizeof(fresh.secret) ||
	    pwrite(fd_, &fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh)) {
		error = failure("cannot write the session table", options.path, errno);
		return false;
	}
	return true;
}

bool SessionFile::open(const SessionOptions &options, std::string &error, std::string &refused)
{
	if (!lock(options.path, error))
		return false;
	uint32_t bindings_capacity = options.max_sessions + EXTRA_BINDINGS;
	size_ = PAGE + sessions_bytes(options.max_sessions) + bindings_bytes(bindings_capacity);
	struct stat found = {};
	fstat(fd_, &found);
	if (found.st_size)
		refused = refusal(options, bindings_capacity, (uint64_t)found.st_size);
	adoptable = found.st_size && refused.empty();
	if (!adoptable && !create(options, bindings_capacity, error))
		return false;
	map_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
	if (map_ == MAP_FAILED) {
		map_ = nullptr;
		error = failure("cannot map the session table", options.path, errno);
		return false;
	}
	madvise(map_, size_, MADV_HUGEPAGE);
	auto *bytes = static_cast<uint8_t *>(map_);
	header = reinterpret_cast<FileHeader *>(bytes);
	sessions.capacity = options.max_sessions;
	sessions.offset = PAGE;
	sessions.backed = &header->sessions_backed;
	bindings.capacity = bindings_capacity;
	bindings.offset = PAGE + sessions_bytes(options.max_sessions);
	bindings.backed = &header->bindings_backed;
	sessions.base = reinterpret_cast<SessionRecord *>(bytes + sessions.offset);
	bindings.base = reinterpret_cast<BindingRecord *>(bytes + bindings.offset);
	sessions.fd = bindings.fd = fd_;
	header->config_hash = options.config.hash;
	return true;
}

uint64_t SessionFile::backed_bytes() const
{
	return PAGE + round_up((uint64_t)header->sessions_backed * sizeof(SessionRecord), PAGE) +
	       round_up((uint64_t)header->bindings_backed * sizeof(BindingRecord), PAGE);
}

void host_identity(SessionOptions &options)
{
	char line[64] = {};
	int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t got = read(fd, line, sizeof(line) - 1);
		::close(fd);
		while (got > 0 && line[got - 1] == '\n')
			line[--got] = 0;
	}
	options.boot_id = line;
	struct stat netns = {};
	if (!stat("/proc/self/ns/net", &netns))
		options.netns_inode = (uint64_t)netns.st_ino;
}

} // namespace sixgate
