/* assess/listen_open.c — the listener's ports, certificates and contexts. */
#include "assess/listen_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128

/* "IP", "IP:PORT", "[IP]:PORT"; port 0 without one. */
static bool read_where(const char *where, struct hostport *out, struct error *err)
{
	char ip[64];
	const char *colon = strrchr(where, ':'), *digits = "0";
	size_t len = strlen(where);
	bool bracket = where[0] == '[', several = colon && strchr(where, ':') != colon;
	if (colon && (!several || (bracket && colon[-1] == ']'))) {
		digits = colon + 1;
		len = (size_t)(colon - where);
	}
	if (bracket && len >= 2 && where[len - 1] == ']')
		snprintf(ip, sizeof(ip), "%.*s", (int)(len - 2), where + 1);
	else
		snprintf(ip, sizeof(ip), "%.*s", (int)len, where);
	char *end = NULL;
	unsigned long port = strtoul(digits, &end, 10);
	if (!hostport_parse_ip(out, ip) || !end || *end || end == digits || port > UINT16_MAX)
		return error_set(err, "%s: an address to listen on is IP:PORT or [IP]:PORT", where);
	out->port = (uint16_t)port;
	return true;
}

static bool open_port(struct stall *stall, const struct hostport *at, struct error *err)
{
	struct sockaddr_storage to;
	struct hostport got;
	char text[HOSTPORT_TEXT];
	int yes = 1;
	socklen_t len = hostport_to_sockaddr(at, &to);
	stall->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (stall->fd < 0)
		return error_set_errno(err, "no socket");
	(void)setsockopt(stall->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(stall->fd, (struct sockaddr *)&to, len) != 0 || listen(stall->fd, BACKLOG) != 0)
		return error_set_errno(err, "%s cannot be listened on", hostport_text(at, text));
	len = sizeof(to);
	if (getsockname(stall->fd, (struct sockaddr *)&to, &len) != 0 ||
		!hostport_from_sockaddr(&got, (struct sockaddr *)&to, len))
		return error_set_errno(err, "no port");
	stall->port = got.port;
	return true;
}

static bool open_ports(struct listener *listener, struct hostport at, struct error *err)
{
	bool fixed = at.port != 0;
	if (fixed && (size_t)at.port + listener->stalls + 1 > UINT16_MAX)
		return error_set(
			err, "%s: %zu ports are needed from there on", listener->options->where, listener->stalls + 2);
	if (!open_port(&listener->front, &at, err))
		return false;
	at.port = (uint16_t)(at.port + fixed);
	bool ok = open_port(&listener->walk, &at, err);
	for (size_t i = 0; ok && i < listener->stalls; i++) {
		at.port = (uint16_t)(at.port + fixed);
		ok = open_port(&listener->stall[i], &at, err);
	}
	return ok;
}

/* A case that cannot be made for this name, or that this OpenSSL cannot play, is left out. */
static void add_stall(struct listener *listener, const struct client_case *one)
{
	struct stall *stall = &listener->stall[listener->stalls];
	*stall = (struct stall){.fd = -1, .one = *one};
	if (!identity_applies(listener->maker, one->fault))
		return;
	bool own = one->fault != IDENTITY_GOOD;
	bool ok = !own || identity_make(listener->maker, one->fault, false, &stall->identity);
	stall->one.play.identity = own ? &stall->identity : one->rsa ? &listener->rsa : &listener->front.identity;
	stall->one.play.staple = bytes_of(stall->identity.status, stall->identity.status_len);
	stall->ctx = ok ? play_context(&stall->one.play) : NULL;
	if (stall->ctx)
		listener->stalls++;
	else
		identity_free(&stall->identity);
}

static bool make_all(struct listener *listener, struct error *err)
{
	struct client_case *cases = calloc(CLIENT_CASES_MAX, sizeof(*cases));
	const struct play good = {.identity = &listener->front.identity};
	size_t count = cases ? client_cases(cases) : 0;
	bool ok = count > 0 && identity_make(listener->maker, IDENTITY_GOOD, true, &listener->rsa);
	listener->front.ctx = ok ? play_context(&good) : NULL;
	for (size_t i = 0; listener->front.ctx && i < count; i++)
		add_stall(listener, &cases[i]);
	free(cases);
	return listener->front.ctx || error_set_openssl(err, "certificates cannot be made");
}

bool listen_open(struct listener *listener, struct error *err)
{
	const struct listen_options *options = listener->options;
	static const uint8_t local4[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
	static const uint8_t local6[16] = {[15] = 1};
	struct hostport at;
	char text[HOSTPORT_TEXT];
	if (!read_where(options->where, &at, err))
		return false;
	bool loopback = memcmp(at.ip, local4, sizeof(local4)) == 0 || memcmp(at.ip, local6, sizeof(local6)) == 0;
	snprintf(listener->name, sizeof(listener->name), "%s",
		options->name ? options->name
		: loopback    ? "localhost"
			      : hostport_ip_text(&at, text));
	listener->maker = identity_maker_new(listener->name, options->origin, err);
	return listener->maker &&
	       identity_make_kept(listener->maker, options->origin, &listener->front.identity, err) &&
	       make_all(listener, err) && open_ports(listener, at, err);
}
