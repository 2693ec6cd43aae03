#include "share/octets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#define ROOM 4096

struct octets {
	int fd;
	uint32_t number;
};

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 of;
};

struct octets *octets_new(void)
{
	const struct timeval patience = {.tv_usec = 100000};
	struct octets *octets = calloc(1, sizeof(*octets));
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (octets && fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0) {
		octets->fd = fd;
		return octets;
	}
	if (fd >= 0)
		close(fd);
	free(octets);
	return NULL;
}

void octets_free(struct octets *octets)
{
	if (octets)
		close(octets->fd);
	free(octets);
}

static void put_address(const struct hostport *hp, bool v4, __be32 ip[4], __be16 *port)
{
	*port = htons(hp->port);
	memcpy(ip, hp->ip + (v4 ? 12 : 0), v4 ? 4 : 16);
}

static bool ask(struct octets *octets, const struct hostport *local, const struct hostport *peer)
{
	bool v4 = hostport_is_v4(local) && hostport_is_v4(peer);
	struct question question = {.head = {.nlmsg_len = sizeof(question),
					    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
					    .nlmsg_flags = NLM_F_REQUEST,
					    .nlmsg_seq = ++octets->number},
		.of = {.sdiag_family = v4 ? AF_INET : AF_INET6,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = 1 << (INET_DIAG_INFO - 1),
			.idiag_states = UINT32_MAX,
			.id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	put_address(local, v4, question.of.id.idiag_src, &question.of.id.idiag_sport);
	put_address(peer, v4, question.of.id.idiag_dst, &question.of.id.idiag_dport);
	question.of.id.idiag_if = v4 ? 0 : local->scope;
	return sendto(octets->fd, &question, sizeof(question), 0, (const struct sockaddr *)&kernel, sizeof(kernel)) ==
	       (ssize_t)sizeof(question);
}

static bool read_info(struct nlmsghdr *head, uint64_t *count)
{
	struct inet_diag_msg *about = NLMSG_DATA(head);
	size_t len = head->nlmsg_len - NLMSG_LENGTH(sizeof(*about));
	for (struct rtattr *one = (struct rtattr *)(about + 1); RTA_OK(one, len); one = RTA_NEXT(one, len)) {
		struct tcp_info info = {0};
		size_t has = RTA_PAYLOAD(one);
		if (one->rta_type != INET_DIAG_INFO || has < offsetof(struct tcp_info, tcpi_segs_out))
			continue;
		memcpy(&info, RTA_DATA(one), has < sizeof(info) ? has : sizeof(info));
		*count = info.tcpi_bytes_received + info.tcpi_bytes_acked;
		return true;
	}
	return false;
}

/* The answer to the last question; older ones are passed over. */
static bool hear(struct octets *octets, uint64_t *count)
{
	union {
		struct nlmsghdr head;
		uint8_t room[ROOM];
	} answer;
	ssize_t len;
	do {
		len = recv(octets->fd, &answer, sizeof(answer), 0);
		if (len < (ssize_t)sizeof(answer.head) || !NLMSG_OK(&answer.head, (size_t)len))
			return false;
	} while (answer.head.nlmsg_seq != octets->number);
	return answer.head.nlmsg_type == SOCK_DIAG_BY_FAMILY &&
	       answer.head.nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)) && read_info(&answer.head, count);
}

bool octets_of(struct octets *octets, const struct hostport *client, const struct hostport *server, uint64_t *count)
{
	if (hostport_is_none(client) || hostport_is_none(server))
		return false;
	return (ask(octets, client, server) && hear(octets, count)) ||
	       (ask(octets, server, client) && hear(octets, count));
}
