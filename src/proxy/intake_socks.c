#include "proxy/intake_socks.h"

#include <openssl/crypto.h>

#define VERSION_5     5
#define VERSION_4     4
#define AUTH_VERSION  1
#define METHOD_NONE   0x00
#define METHOD_LOGIN  0x02
#define METHOD_REFUSE 0xff
#define CONNECT       1
#define ATYP_IPV4     1
#define ATYP_NAME     3
#define ATYP_IPV6     4
#define V4_GRANTED    0x5a
#define V4_REJECTED   0x5b
#define V4_MAX_TEXT   255

const char *socks_code_text(uint8_t code)
{
	static const char *const texts[] = {
		[SOCKS_SUCCEEDED] = "succeeded",
		[SOCKS_FAILURE] = "general failure",
		[SOCKS_NOT_ALLOWED] = "not allowed by its rules",
		[SOCKS_NETWORK_UNREACHABLE] = "network unreachable",
		[SOCKS_HOST_UNREACHABLE] = "host unreachable",
		[SOCKS_REFUSED_BY_HOST] = "connection refused",
		[SOCKS_TTL_EXPIRED] = "TTL expired",
		[SOCKS_BAD_COMMAND] = "command not supported",
		[SOCKS_BAD_ADDRESS_TYPE] = "address type not supported",
	};
	return code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : "unassigned code";
}

static enum intake_socks_result reply_two(
	struct intake_socks *s, enum intake_socks_result result, uint8_t first, uint8_t second)
{
	s->reply[0] = first;
	s->reply[1] = second;
	s->reply_len = 2;
	return result;
}

/* Refuses a request in the client's own version. */
static enum intake_socks_result refuse(struct intake_socks *s, uint8_t code, const char *what)
{
	error_set(&s->why, "SOCKS%u request: %s", s->version, what);
	s->reply_len = intake_socks_answer(s, code, NULL, s->reply);
	return INTAKE_SOCKS_REFUSED;
}

static enum intake_socks_result refuse_target(struct intake_socks *s, enum target_result result)
{
	error_set(&s->why, "SOCKS%u request: the target %s", s->version, target_result_text(result));
	s->reply_len = intake_socks_answer(s, SOCKS_FAILURE, NULL, s->reply);
	return INTAKE_SOCKS_REFUSED;
}

static enum intake_socks_result step_greeting(
	struct intake_socks *s, struct bytes *in, const struct intake_users *users)
{
	uint8_t version;
	struct bytes methods;
	if (!bytes_u8(in, &version) || !bytes_vec8(in, &methods))
		return INTAKE_SOCKS_NEED_MORE;
	bool none = bytes_find(methods, METHOD_NONE, 0) < methods.len;
	bool login = bytes_find(methods, METHOD_LOGIN, 0) < methods.len;
	if (none && users->count == 0) {
		s->stage = SOCKS_AT_REQUEST;
		return reply_two(s, INTAKE_SOCKS_REPLY, VERSION_5, METHOD_NONE);
	}
	/* Where nobody is asked, a client that insists on giving a name may. */
	if (login) {
		s->stage = SOCKS_AT_AUTH;
		return reply_two(s, INTAKE_SOCKS_REPLY, VERSION_5, METHOD_LOGIN);
	}
	error_set(&s->why, "SOCKS5 greeting: the client offers no method that is accepted here (%s)",
		users->count > 0 ? "name and password" : "none, or name and password");
	return reply_two(s, INTAKE_SOCKS_REFUSED, VERSION_5, METHOD_REFUSE);
}

static enum intake_socks_result step_auth(struct intake_socks *s, struct bytes *in, const struct intake_users *users)
{
	uint8_t version;
	struct bytes name, password;
	if (!bytes_u8(in, &version))
		return INTAKE_SOCKS_NEED_MORE;
	if (version != AUTH_VERSION) {
		error_set(&s->why, "SOCKS5 authentication: version %u, not 1 (RFC 1929)", version);
		return reply_two(s, INTAKE_SOCKS_REFUSED, AUTH_VERSION, 1);
	}
	if (!bytes_vec8(in, &name) || !bytes_vec8(in, &password))
		return INTAKE_SOCKS_NEED_MORE;
	s->authenticated = users->count > 0 && intake_auth_password(name, password, users, &s->user);
	if (users->count > 0 && !s->authenticated) {
		error_set(&s->why, "SOCKS5 authentication: name or password is wrong");
		return reply_two(s, INTAKE_SOCKS_REFUSED, AUTH_VERSION, 1);
	}
	s->stage = SOCKS_AT_REQUEST;
	return reply_two(s, INTAKE_SOCKS_REPLY, AUTH_VERSION, 0);
}

static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

/* Four octets of IPv4 or sixteen of IPv6, in the form of base/hostport.h. */
static void set_ip(struct hostport *out, struct bytes raw)
{
	struct writer w = writer_over(out->ip, sizeof(out->ip));
	if (raw.len == 4)
		writer_bytes(&w, bytes_of(mapped, sizeof(mapped)));
	writer_bytes(&w, raw);
}

/* The address of a request or a reply. False: more octets are needed. *host holds a name, else *address is set. */
static bool take_address(struct bytes *in, uint8_t type, struct bytes *host, struct hostport *address)
{
	struct bytes raw;
	*host = BYTES_NONE;
	*address = (struct hostport){0};
	if (type == ATYP_NAME)
		return bytes_vec8(in, host) && bytes_u16(in, &address->port);
	if (!bytes_take(in, type == ATYP_IPV4 ? 4 : 16, &raw))
		return false;
	set_ip(address, raw);
	return bytes_u16(in, &address->port);
}

static enum intake_socks_result found(
	struct intake_socks *s, bool named, struct bytes host, const struct hostport *address)
{
	enum target_result result = address->port > 0 ? TARGET_OK : TARGET_BAD_PORT;
	if (result == TARGET_OK && named)
		result = target_from_host(host, address->port, &s->target);
	else if (result == TARGET_OK)
		s->target = target_from_address(address);
	if (result != TARGET_OK)
		return refuse_target(s, result);
	s->stage = SOCKS_AT_END;
	return INTAKE_SOCKS_TARGET;
}

static enum intake_socks_result step_request(struct intake_socks *s, struct bytes *in)
{
	uint8_t version, command, reserved, type;
	struct bytes host;
	struct hostport address;
	if (!bytes_u8(in, &version))
		return INTAKE_SOCKS_NEED_MORE;
	if (version != VERSION_5)
		return refuse(s, SOCKS_FAILURE, "its version is not 5");
	if (!bytes_u8(in, &command))
		return INTAKE_SOCKS_NEED_MORE;
	if (command != CONNECT)
		return refuse(s, SOCKS_BAD_COMMAND, "a command other than CONNECT");
	if (!bytes_u8(in, &reserved) || !bytes_u8(in, &type))
		return INTAKE_SOCKS_NEED_MORE;
	if (reserved != 0)
		return refuse(s, SOCKS_FAILURE, "its reserved octet is not 0");
	if (type != ATYP_IPV4 && type != ATYP_IPV6 && type != ATYP_NAME)
		return refuse(s, SOCKS_BAD_ADDRESS_TYPE, "its address is neither IPv4 nor IPv6 nor a name");
	if (!take_address(in, type, &host, &address))
		return INTAKE_SOCKS_NEED_MORE;
	return found(s, type == ATYP_NAME, host, &address);
}

/* Text up to a NUL. False: more octets are needed; *too_long says that they would be too many. */
static bool take_text(struct bytes *in, struct bytes *text, bool *too_long)
{
	size_t end = bytes_find(*in, 0, 0);
	*too_long = end > V4_MAX_TEXT;
	return !*too_long && end < in->len && bytes_take(in, end, text) && bytes_skip(in, 1);
}

static enum intake_socks_result step_v4(struct intake_socks *s, struct bytes *in, const struct intake_users *users)
{
	uint8_t version, command;
	struct bytes raw, user, host = BYTES_NONE;
	struct hostport address = {0};
	bool too_long = false;
	if (!bytes_u8(in, &version) || !bytes_u8(in, &command))
		return INTAKE_SOCKS_NEED_MORE;
	if (command != CONNECT)
		return refuse(s, SOCKS_BAD_COMMAND, "a command other than CONNECT");
	if (users->count > 0)
		return refuse(s, SOCKS_NOT_ALLOWED, "name and password are asked for here, which needs SOCKS5");
	if (!bytes_u16(in, &address.port) || !bytes_take(in, 4, &raw))
		return INTAKE_SOCKS_NEED_MORE;
	if (!take_text(in, &user, &too_long))
		return too_long ? refuse(s, SOCKS_FAILURE, "its user name is too long") : INTAKE_SOCKS_NEED_MORE;
	set_ip(&address, raw);
	/* SOCKS4a: 0.0.0.x with x other than 0 says that a name follows. */
	bool named = raw.data[0] == 0 && raw.data[1] == 0 && raw.data[2] == 0 && raw.data[3] != 0;
	if (named && !take_text(in, &host, &too_long))
		return too_long ? refuse(s, SOCKS_FAILURE, "its host name is too long") : INTAKE_SOCKS_NEED_MORE;
	return found(s, named, host, &address);
}

enum intake_socks_result intake_socks_step(struct intake_socks *s, struct bytes in, const struct intake_users *users)
{
	struct bytes rest = in;
	enum intake_socks_result result = INTAKE_SOCKS_NEED_MORE;
	s->used = s->reply_len = 0;
	if (in.len == 0)
		return result;
	if (s->stage == SOCKS_AT_START && in.data[0] != VERSION_5 && in.data[0] != VERSION_4) {
		error_set(&s->why, "SOCKS: version %u, neither 4 nor 5", in.data[0]);
		s->stage = SOCKS_AT_END;
		return INTAKE_SOCKS_REFUSED;
	}
	switch (s->stage) {
	case SOCKS_AT_START:
		s->version = in.data[0];
		result = s->version == VERSION_5 ? step_greeting(s, &rest, users) : step_v4(s, &rest, users);
		break;
	case SOCKS_AT_AUTH:
		result = step_auth(s, &rest, users);
		break;
	case SOCKS_AT_REQUEST:
		result = step_request(s, &rest);
		break;
	case SOCKS_AT_END:
		error_set(&s->why, "SOCKS: the request has already been read");
		return INTAKE_SOCKS_REFUSED;
	}
	if (result == INTAKE_SOCKS_REPLY || result == INTAKE_SOCKS_TARGET)
		s->used = in.len - rest.len;
	if (result == INTAKE_SOCKS_REFUSED)
		s->stage = SOCKS_AT_END;
	return result;
}

/* The octets of an address as SOCKS says them: four when they are enough. */
static struct bytes ip_octets(const struct hostport *address)
{
	struct bytes ip = bytes_of(address->ip, sizeof(address->ip));
	return hostport_is_v4(address) && !bytes_skip(&ip, sizeof(mapped)) ? BYTES_NONE : ip;
}

size_t intake_socks_answer(
	const struct intake_socks *s, uint8_t code, const struct hostport *bound, uint8_t out[SOCKS_REPLY_MAX])
{
	static const struct hostport nowhere = {.ip = {[10] = 0xff, 0xff}};
	const struct hostport *at = bound && !hostport_is_none(bound) ? bound : &nowhere;
	struct writer w = writer_over(out, SOCKS_REPLY_MAX);
	if (s->version == VERSION_4) {
		writer_u8(&w, 0);
		writer_u8(&w, code == SOCKS_SUCCEEDED ? V4_GRANTED : V4_REJECTED);
		writer_u16(&w, at->port);
		writer_bytes(&w, ip_octets(hostport_is_v4(at) ? at : &nowhere));
		return w.len;
	}
	writer_u8(&w, VERSION_5);
	writer_u8(&w, code);
	writer_u8(&w, 0);
	writer_u8(&w, hostport_is_v4(at) ? ATYP_IPV4 : ATYP_IPV6);
	writer_bytes(&w, ip_octets(at));
	writer_u16(&w, at->port);
	return w.len;
}

static enum socks_client_result client_fail(struct socks_client *c, const char *what)
{
	error_set(&c->why, "upstream SOCKS5 proxy: %s", what);
	return SOCKS_CLIENT_FAILED;
}

static enum socks_client_result client_send(struct socks_client *c, struct writer *w, int next)
{
	struct bytes message;
	if (!writer_done(w, &message))
		return client_fail(c, "name, password or target is longer than SOCKS5 can say");
	c->message_len = message.len;
	c->stage = next;
	return SOCKS_CLIENT_SEND;
}

static enum socks_client_result client_greet(struct socks_client *c, bool login)
{
	struct writer w = writer_over(c->message, sizeof(c->message));
	writer_u8(&w, VERSION_5);
	writer_u8(&w, login ? 2 : 1);
	writer_u8(&w, METHOD_NONE);
	if (login)
		writer_u8(&w, METHOD_LOGIN);
	return client_send(c, &w, SOCKS_CLIENT_METHOD);
}

static enum socks_client_result client_login(struct socks_client *c, struct bytes name, struct bytes password)
{
	struct writer w = writer_over(c->message, sizeof(c->message));
	writer_u8(&w, AUTH_VERSION);
	writer_vec8(&w, name);
	writer_vec8(&w, password);
	return client_send(c, &w, SOCKS_CLIENT_AUTH);
}

static enum socks_client_result client_ask(struct socks_client *c, const struct target *target)
{
	struct writer w = writer_over(c->message, sizeof(c->message));
	writer_u8(&w, VERSION_5);
	writer_u8(&w, CONNECT);
	writer_u8(&w, 0);
	if (target->is_ip) {
		writer_u8(&w, hostport_is_v4(&target->address) ? ATYP_IPV4 : ATYP_IPV6);
		writer_bytes(&w, ip_octets(&target->address));
	} else {
		writer_u8(&w, ATYP_NAME);
		writer_vec8(&w, bytes_str(target->host));
	}
	writer_u16(&w, target->port);
	return client_send(c, &w, SOCKS_CLIENT_REQUEST);
}

static enum socks_client_result client_method(
	struct socks_client *c, struct bytes *in, const struct target *target, struct bytes name, struct bytes password)
{
	uint8_t version, method;
	if (!bytes_u8(in, &version))
		return SOCKS_CLIENT_NEED_MORE;
	if (version != VERSION_5)
		return client_fail(c, "its first octet is not 5: it does not speak SOCKS5");
	if (!bytes_u8(in, &method))
		return SOCKS_CLIENT_NEED_MORE;
	if (method == METHOD_NONE)
		return client_ask(c, target);
	if (method == METHOD_LOGIN && name.len > 0)
		return client_login(c, name, password);
	return client_fail(c, name.len > 0 ? "it accepts neither no authentication nor name and password"
					   : "it wants authentication, and no name and password are configured for it");
}

static enum socks_client_result client_auth(struct socks_client *c, struct bytes *in, const struct target *target)
{
	uint8_t version, status;
	if (!bytes_u8(in, &version) || !bytes_u8(in, &status))
		return SOCKS_CLIENT_NEED_MORE;
	if (version != AUTH_VERSION || status != 0)
		return client_fail(c, "it refuses the name and password configured for it");
	return client_ask(c, target);
}

static enum socks_client_result client_reply(struct socks_client *c, struct bytes *in)
{
	uint8_t version, reserved, type;
	struct bytes host;
	struct hostport address;
	if (!bytes_u8(in, &version))
		return SOCKS_CLIENT_NEED_MORE;
	if (version != VERSION_5)
		return client_fail(c, "its reply does not begin with 5");
	if (!bytes_u8(in, &c->code))
		return SOCKS_CLIENT_NEED_MORE;
	/* Some proxies cut a refusal off here: its address says nothing anyway. */
	if (c->code != SOCKS_SUCCEEDED) {
		error_set(&c->why, "upstream SOCKS5 proxy: %s (code %u)", socks_code_text(c->code), c->code);
		return SOCKS_CLIENT_FAILED;
	}
	if (!bytes_u8(in, &reserved) || !bytes_u8(in, &type))
		return SOCKS_CLIENT_NEED_MORE;
	if (type != ATYP_IPV4 && type != ATYP_IPV6 && type != ATYP_NAME)
		return client_fail(c, "its reply has an address of no known type");
	if (!take_address(in, type, &host, &address))
		return SOCKS_CLIENT_NEED_MORE;
	c->stage = SOCKS_CLIENT_END;
	return SOCKS_CLIENT_OPEN;
}

enum socks_client_result socks_client_step(
	struct socks_client *c, struct bytes in, const struct target *target, struct bytes name, struct bytes password)
{
	struct bytes rest = in;
	enum socks_client_result result = SOCKS_CLIENT_FAILED;
	socks_client_wipe(c);
	c->used = 0;
	switch (c->stage) {
	case SOCKS_CLIENT_START:
		result = client_greet(c, name.len > 0);
		break;
	case SOCKS_CLIENT_METHOD:
		result = client_method(c, &rest, target, name, password);
		break;
	case SOCKS_CLIENT_AUTH:
		result = client_auth(c, &rest, target);
		break;
	case SOCKS_CLIENT_REQUEST:
		result = client_reply(c, &rest);
		break;
	case SOCKS_CLIENT_END:
		return client_fail(c, "the connection is already open or has failed");
	}
	if (result == SOCKS_CLIENT_SEND || result == SOCKS_CLIENT_OPEN)
		c->used = in.len - rest.len;
	if (result == SOCKS_CLIENT_FAILED)
		c->stage = SOCKS_CLIENT_END;
	return result;
}

void socks_client_wipe(struct socks_client *c)
{
	OPENSSL_cleanse(c->message, sizeof(c->message));
	c->message_len = 0;
}
