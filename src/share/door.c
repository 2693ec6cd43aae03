#include "share/door.h"

#include "base/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD     "OVS1"
#define HEAD_LEN 4
#define BACKLOG  1024
#define SEALS    (F_SEAL_SHRINK | F_SEAL_GROW)

/* What a shipper that was killed has left behind. One that lives is left alone. */
static void clear_path(const struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct stat there;
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) != 0 && errno == ECONNREFUSED &&
		lstat(at->sun_path, &there) == 0 && S_ISSOCK(there.st_mode))
		unlink(at->sun_path);
	close(fd);
}

int door_open(const char *address, unsigned mode, struct error *err)
{
	struct sockaddr_un at;
	socklen_t len = local_socket_address(address, &at);
	if (len == 0) {
		error_set(err, "%.100s: not the path of a socket: from 2 to 107 octets", address);
		return -1;
	}
	bool path = at.sun_path[0] != '\0';
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (path)
		clear_path(&at);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, len) == 0 && (!path || chmod(at.sun_path, mode) == 0) &&
		listen(fd, BACKLOG) == 0)
		return fd;
	error_set_errno(err, "%.100s", address);
	if (fd >= 0)
		close(fd);
	return -1;
}

void door_close(int door, const char *address)
{
	if (door < 0)
		return;
	close(door);
	if (address[0] != '@')
		unlink(address);
}

/* Memory that could be made shorter would let its owner end us. */
static struct share_ring *map_ring(int fd)
{
	struct stat about;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &about) != 0 || about.st_size != (off_t)SHARE_RING_SIZE)
		return NULL;
	struct share_ring *ring = share_ring_map(fd, SHARE_RING_SIZE);
	if (ring && share_ring_valid(ring))
		return ring;
	if (ring)
		munmap(ring, SHARE_RING_SIZE);
	return NULL;
}

static struct share_ring *receive_ring(int fd)
{
	char head[HEAD_LEN];
	int memory;
	ssize_t n = local_socket_receive(fd, head, sizeof(head), &memory);
	if (memory < 0)
		return NULL;
	struct share_ring *ring = n == HEAD_LEN && memcmp(head, HEAD, HEAD_LEN) == 0 ? map_ring(memory) : NULL;
	close(memory);
	return ring;
}

bool door_next(int door, struct door_guest *guest)
{
	const struct timeval patience = {.tv_sec = 1};
	struct ucred who;
	socklen_t len = sizeof(who);
	*guest = (struct door_guest){.fd = accept4(door, NULL, NULL, SOCK_CLOEXEC)};
	if (guest->fd < 0)
		return false;
	(void)setsockopt(guest->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (getsockopt(guest->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.pid > 0) {
		guest->pid = who.pid;
		guest->uid = who.uid;
		guest->ring = receive_ring(guest->fd);
	}
	return true;
}

void door_answer(const struct door_guest *guest, uint32_t number, int bell_fd)
{
	uint8_t room[HEAD_LEN + 4];
	struct writer to = writer_over(room, sizeof(room));
	writer_bytes(&to, bytes_str(HEAD));
	writer_u32(&to, number);
	/* Who does not wait for it any more has given up; its ring goes with its process. */
	(void)!local_socket_send(guest->fd, bytes_of(room, to.len), bell_fd, MSG_DONTWAIT);
}

void door_leave(struct door_guest *guest)
{
	close(guest->fd);
	guest->fd = -1;
}

struct share_bell *door_make_bell(int *fd)
{
	*fd = memfd_create("overt-share-bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, (off_t)SHARE_BELL_SIZE) != 0 || fcntl(*fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) != 0)
		return NULL;
	struct share_bell *bell = share_ring_map(*fd, SHARE_BELL_SIZE);
	if (bell)
		share_bell_init(bell);
	return bell;
}
