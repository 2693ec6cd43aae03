#include "base/hostport.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool hostport_is_v4(const struct hostport *address)
{
	return memcmp(address->ip, mapped, sizeof(mapped)) == 0;
}

bool hostport_is_none(const struct hostport *address)
{
	static const struct hostport none;
	return address->port == 0 && memcmp(address->ip, none.ip, sizeof(none.ip)) == 0;
}

bool hostport_same_ip(const struct hostport *a, const struct hostport *b)
{
	return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static void set_v4(struct hostport *out, const struct in_addr *ip)
{
	memcpy(out->ip, mapped, sizeof(mapped));
	memcpy(out->ip + sizeof(mapped), ip, 4);
}

bool hostport_from_sockaddr(struct hostport *out, const struct sockaddr *sa, socklen_t len)
{
	*out = (struct hostport){0};
	if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
		set_v4(out, &in->sin_addr);
		out->port = ntohs(in->sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
		memcpy(out->ip, &in6->sin6_addr, 16);
		out->port = ntohs(in6->sin6_port);
		out->scope = in6->sin6_scope_id;
		return true;
	}
	return false;
}

socklen_t hostport_to_sockaddr(const struct hostport *address, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (hostport_is_v4(address)) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(address->port);
		memcpy(&in->sin_addr, address->ip + sizeof(mapped), 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(address->port);
	in6->sin6_scope_id = address->scope;
	memcpy(&in6->sin6_addr, address->ip, 16);
	return sizeof(*in6);
}

bool hostport_parse_ip(struct hostport *out, const char *text)
{
	struct in_addr v4;
	*out = (struct hostport){0};
	if (inet_pton(AF_INET, text, &v4) == 1) {
		set_v4(out, &v4);
		return true;
	}
	return inet_pton(AF_INET6, text, out->ip) == 1;
}

const char *hostport_ip_text(const struct hostport *address, char out[HOSTPORT_TEXT])
{
	if (hostport_is_v4(address))
		inet_ntop(AF_INET, address->ip + sizeof(mapped), out, HOSTPORT_TEXT);
	else
		inet_ntop(AF_INET6, address->ip, out, HOSTPORT_TEXT);
	return out;
}

const char *hostport_text(const struct hostport *address, char out[HOSTPORT_TEXT])
{
	char ip[HOSTPORT_TEXT];
	hostport_ip_text(address, ip);
	snprintf(out, HOSTPORT_TEXT, hostport_is_v4(address) ? "%.46s:%u" : "[%.46s]:%u", ip, address->port);
	return out;
}
