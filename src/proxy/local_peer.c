#include "proxy/local_peer.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NO_COOKIE 0xffffffffU /* INET_DIAG_NOCOOKIE: any socket of these addresses */

bool local_peer_open(struct local_peer_asker *asker, struct error *err)
{
	struct timeval patience = {.tv_sec = 1};
	asker->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (asker->fd < 0)
		return error_set_errno(err, "the kernel cannot be asked whose a connection is");
	return setsockopt(asker->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 ||
	       error_set_errno(err, "the kernel cannot be asked whose a connection is");
}

void local_peer_close(struct local_peer_asker *asker)
{
	if (asker->fd >= 0)
		close(asker->fd);
	asker->fd = -1;
}

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

/* The other end's socket: what is remote for us is its own. */
static bool fill(struct question *question, const struct sockaddr_storage *ours, const struct sockaddr_storage *theirs)
{
	struct inet_diag_sockid *id = &question->body.id;
	if (ours->ss_family != theirs->ss_family)
		return false;
	if (ours->ss_family == AF_INET) {
		const struct sockaddr_in *own = (const struct sockaddr_in *)(const void *)ours;
		const struct sockaddr_in *peer = (const struct sockaddr_in *)(const void *)theirs;
		id->idiag_sport = peer->sin_port;
		id->idiag_dport = own->sin_port;
		memcpy(id->idiag_src, &peer->sin_addr, sizeof(peer->sin_addr));
		memcpy(id->idiag_dst, &own->sin_addr, sizeof(own->sin_addr));
	} else if (ours->ss_family == AF_INET6) {
		const struct sockaddr_in6 *own = (const struct sockaddr_in6 *)(const void *)ours;
		const struct sockaddr_in6 *peer = (const struct sockaddr_in6 *)(const void *)theirs;
		id->idiag_sport = peer->sin6_port;
		id->idiag_dport = own->sin6_port;
		memcpy(id->idiag_src, &peer->sin6_addr, sizeof(peer->sin6_addr));
		memcpy(id->idiag_dst, &own->sin6_addr, sizeof(own->sin6_addr));
	} else {
		return false;
	}
	question->body.sdiag_family = (uint8_t)ours->ss_family;
	return true;
}

static enum local_peer read_answer(const struct nlmsghdr *head, size_t len, uint32_t sequence, uid_t *uid)
{
	const struct inet_diag_msg *found = NLMSG_DATA(head);
	/* Lengths are the kernel's own; they are looked at all the same. */
	if (len < sizeof(*head) || head->nlmsg_len > len || head->nlmsg_seq != sequence ||
		head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_LENGTH(sizeof(*found)))
		return LOCAL_PEER_UNKNOWN;
	/* Of a socket that its process has closed nothing is left but the connection: no inode, and owner 0. */
	if (found->idiag_inode == 0)
		return LOCAL_PEER_GONE;
	*uid = found->idiag_uid;
	return LOCAL_PEER_OWNER;
}

enum local_peer local_peer_ask(struct local_peer_asker *asker, int fd, uid_t *uid)
{
	struct sockaddr_storage ours = {0}, theirs = {0};
	socklen_t our_len = sizeof(ours), their_len = sizeof(theirs);
	struct question question = {
		.head = {.nlmsg_len = sizeof(question),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = ++asker->sequence},
		.body = {.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = UINT32_MAX,
			.id.idiag_cookie = {NO_COOKIE, NO_COOKIE}},
	};
	_Alignas(struct nlmsghdr) uint8_t answer[2048];
	if (getsockname(fd, (struct sockaddr *)&ours, &our_len) != 0 ||
		getpeername(fd, (struct sockaddr *)&theirs, &their_len) != 0 || !fill(&question, &ours, &theirs) ||
		send(asker->fd, &question, sizeof(question), 0) != (ssize_t)sizeof(question))
		return LOCAL_PEER_UNKNOWN;
	ssize_t n;
	const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)answer;
	/* Answers that came too late to an earlier question are passed over. */
	do
		n = recv(asker->fd, answer, sizeof(answer), 0);
	while (n >= (ssize_t)sizeof(*head) && head->nlmsg_seq != asker->sequence);
	return n < 0 ? LOCAL_PEER_UNKNOWN : read_answer(head, (size_t)n, asker->sequence, uid);
}
