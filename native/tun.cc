// SPDX-License-Identifier: Apache-2.0
#include "tun.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Linux 6.2; older headers lack them and older kernels refuse them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace sixgate {
namespace {

bool fail(TunError &why, int error, const char *code, std::string detail)
{
	why = TunError{error, code, std::move(detail)};
	return false;
}

/*
 * Everything about a device except reading it needs CAP_NET_ADMIN; what knows no such request is
 * another file in the place of /dev/net/tun.
 */
const char *code_of(int error)
{
	return error == EPERM || error == EACCES ? "NEED_ROOT" : error == ENOTTY ? "NO_TUN" : "";
}

} // namespace

int Tun::attach(const TunOptions &options, TunError &why)
{
	int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		int error = errno;
		bool denied = error == EPERM || error == EACCES;
		fail(why, error, denied ? "NEED_ROOT" : "NO_TUN", std::strerror(error));
		return -1;
	}
	ifreq request{};
	std::strncpy(request.ifr_name, options.name.c_str(), IFNAMSIZ - 1);
	request.ifr_flags =
		static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR);
	int size = header_size;
	if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &size) == 0)
		return fd;
	int error = errno;
	std::string detail = error == ENOTTY ? "it is not a TUN device" :
					       options.name + ": " + std::strerror(error);
	fail(why, error, code_of(error), detail);
	::close(fd);
	return -1;
}

bool Tun::open(const TunOptions &options, TunError &why)
{
	for (unsigned i = 0; i < options.queues; i++) {
		int fd = attach(options, why);
		if (fd < 0) {
			close(true);
			return false;
		}
		queues_.push_back(fd);
	}
	/* Best first; a kernel before 6.2 knows no USO. */
	constexpr unsigned basic = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	constexpr unsigned wanted[] = {basic | TUN_F_USO4 | TUN_F_USO6, basic, TUN_F_CSUM, 0};
	for (unsigned flags : wanted) {
		if (flags && !options.offloads)
			continue;
		offloads_ = flags;
		if (ioctl(queues_[0], TUNSETOFFLOAD, flags) == 0)
			break;
	}
	if (ioctl(queues_[0], TUNSETPERSIST, 1) != 0) {
		fail(why, errno, code_of(errno),
		     options.name + ": persist: " + std::strerror(errno));
		close(false);
		return false;
	}
	return true;
}

void Tun::close(bool keep)
{
	if (!keep && !queues_.empty())
		ioctl(queues_[0], TUNSETPERSIST, 0);
	for (int fd : queues_)
		::close(fd);
	queues_.clear();
}

} // namespace sixgate
