#include "assess/target.h"

#include "assess/channel.h"
#include "base/clock.h"
#include "base/lookup.h"
#include "base/text.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

bool target_of_word(const char *text, const char *default_port, struct target *out, struct error *err)
{
	uint64_t port = 0;
	size_t len = strlen(text);
	const char *colon = strrchr(text, ':');
	bool bracket = len > 0 && text[0] == '[';
	/* A bare IPv6 address has several colons and no port. */
	bool bare = colon && !bracket && strchr(text, ':') != colon;
	bool has_port = colon && !bare && (!bracket || (colon > text && colon[-1] == ']'));
	struct bytes host = bytes_of(text, has_port ? (size_t)(colon - text) : len);
	const char *digits = has_port ? colon + 1 : default_port;
	if (!text_number(bytes_str(digits), UINT16_MAX, &port) || port == 0)
		return error_set(err, "%s: a port is a number from 1 to 65535", text);
	enum name_result result = subject_name_parse(host, &out->name);
	if (result != NAME_OK)
		return error_set(err, "%s: %s", text, name_result_text(result));
	snprintf(out->port_text, sizeof(out->port_text), "%u", (unsigned)port);
	snprintf(out->text, sizeof(out->text), out->name.ip_len == 16 ? "[%s]:%s" : "%s:%s", out->name.text,
		out->port_text);
	return true;
}

bool target_via(struct target *target, const char *proxy, struct error *err)
{
	struct target via;
	if (!target_of_word(proxy, "8080", &via, err))
		return false;
	target->has_via = true;
	target->via = via.name;
	memcpy(target->via_port, via.port_text, sizeof(via.port_text));
	memcpy(target->via_text, via.text, sizeof(via.text));
	return true;
}

const char *dial_text(enum dial_result result)
{
	static const char *const texts[] = {"connected", "cannot be connected to", "no connection before the deadline",
		"the proxy does not connect to it", "the budget of connections or time is spent"};
	return texts[result];
}

bool wait_until(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		if (now >= deadline_ns)
			return false;
		struct pollfd one = {.fd = fd, .events = events};
		int n = poll(&one, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

bool send_until(int fd, struct bytes octets, uint64_t deadline_ns)
{
	while (octets.len > 0) {
		ssize_t n = send(fd, octets.data, octets.len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n < 0 && !wait_until(fd, POLLOUT, deadline_ns))
			return false;
		if (n > 0 && !bytes_skip(&octets, (size_t)n))
			return false;
	}
	return true;
}

static void rest_for(uint64_t ns)
{
	struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

/* -1 with errno set. */
static int connect_to(const struct sockaddr *to, socklen_t len, uint64_t deadline_ns)
{
	int fault = 0, yes = 1;
	socklen_t size = sizeof(fault);
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (connect(fd, to, len) != 0 && errno != EINPROGRESS)
		fault = errno;
	else if (!wait_until(fd, POLLOUT, deadline_ns))
		fault = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size) != 0)
		fault = errno;
	if (fault == 0)
		return fd;
	close(fd);
	errno = fault;
	return -1;
}

static uint64_t step_deadline(const struct target *target)
{
	uint64_t at = clock_monotonic_ns() + target->step_ns;
	return at < target->deadline_ns ? at : target->deadline_ns;
}

bool target_find(struct target *target, struct error *err)
{
	struct addrinfo *found = NULL;
	const char *host = target->has_via ? target->via.text : target->name.text;
	const char *text = target->has_via ? target->via_text : target->text;
	if (!lookup(host, target->has_via ? target->via_port : target->port_text, AI_ADDRCONFIG, step_deadline(target),
		    &found, err))
		return false;
	bool ok = false;
	error_set(err, "%s: no address", text);
	for (const struct addrinfo *at = found; at && !ok && target->left > 0; at = at->ai_next) {
		target->left--;
		target->made++;
		int fd = connect_to(at->ai_addr, at->ai_addrlen, step_deadline(target));
		if (fd < 0)
			error_set_errno(err, "%s cannot be connected to", text);
		else
			close(fd);
		ok = fd >= 0 && hostport_from_sockaddr(&target->at, at->ai_addr, at->ai_addrlen);
	}
	freeaddrinfo(found);
	return ok;
}

enum dial_result target_dial(struct target *target, int *fd, uint64_t *deadline_ns)
{
	struct sockaddr_storage to;
	socklen_t len = hostport_to_sockaddr(&target->at, &to);
	*fd = -1;
	if (target->left == 0 || clock_monotonic_ns() + target->pause_ns >= target->deadline_ns)
		return DIAL_SPENT;
	rest_for(target->pause_ns);
	target->left--;
	target->made++;
	*deadline_ns = step_deadline(target);
	*fd = connect_to((const struct sockaddr *)&to, len, *deadline_ns);
	if (*fd < 0)
		return errno == ETIMEDOUT ? DIAL_TIMEOUT : DIAL_REFUSED;
	if (!target->has_via || channel_connect(*fd, target->text, *deadline_ns, &target->via_status))
		return DIAL_OK;
	close(*fd);
	*fd = -1;
	return DIAL_TUNNEL;
}
