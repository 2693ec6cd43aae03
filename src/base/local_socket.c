#include "base/local_socket.h"

/* Exactly one descriptor: CMSG_SPACE would have room for a second one, which nobody would close. */
#define ONE CMSG_LEN(sizeof(int))

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

socklen_t local_socket_address(const char *text, struct sockaddr_un *out)
{
	size_t len = strlen(text);
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len < 2 || len >= sizeof(out->sun_path))
		return 0;
	memcpy(out->sun_path, text, len);
	if (text[0] != '@')
		return (socklen_t)sizeof(*out);
	out->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

bool local_socket_send(int sock, struct bytes octets, int fd, int flags)
{
	union control control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = ONE}};
	/* sendmsg takes octets that it does not change by a pointer that could. */
	union {
		const void *data;
		void *base;
	} octets_at = {.data = octets.data};
	struct iovec part = {.iov_base = octets_at.base, .iov_len = octets.len};
	const struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(sock, &message, flags | MSG_NOSIGNAL) == (ssize_t)octets.len;
}

ssize_t local_socket_receive(int sock, void *out, size_t cap, int *fd)
{
	union control control = {0};
	struct iovec part = {.iov_base = out, .iov_len = cap};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = ONE};
	ssize_t n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *came = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	*fd = -1;
	if (came && came->cmsg_level == SOL_SOCKET && came->cmsg_type == SCM_RIGHTS && came->cmsg_len == ONE)
		memcpy(fd, CMSG_DATA(came), sizeof(*fd));
	return n;
}
