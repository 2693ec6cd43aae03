/* explain/schedule_host.c — a handshake with a server that the user named, as a source. No data is sent. */
#include "base/clock.h"
#include "base/hostport.h"
#include "base/text.h"
#include "explain/schedule_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509_vfy.h>

struct visit {
	char host[256], port[8];
	int fd;
	uint64_t deadline_ns;
	struct error *err;
};

static bool late(const struct visit *visit, const char *what)
{
	return error_set(visit->err, "%s: %s within the time given (--timeout)", visit->host, what);
}

/* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. */
static bool split(struct visit *visit, const char *text)
{
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[';
	const char *end = bracket ? strchr(text, ']') : NULL;
	if (bracket && !end)
		return error_set(visit->err, "%s: the bracket is not closed", text);
	const char *port = bracket                               ? (end[1] == ':' ? end + 1 : NULL)
	                   : colon && strchr(text, ':') == colon ? colon
	                                                         : NULL;
	size_t len = bracket ? (size_t)(end - text) - 1 : port ? (size_t)(port - text) : strlen(text);
	uint64_t number = 443;
	if (len == 0 || len >= sizeof(visit->host))
		return error_set(visit->err, "%s: a host is needed, of at most 255 characters", text);
	if (port && (!text_number(bytes_str(port + 1), 65535, &number) || number == 0))
		return error_set(visit->err, "%s: the port is a number from 1 to 65535", text);
	snprintf(visit->host, sizeof(visit->host), "%.*s", (int)len, bracket ? text + 1 : text);
	snprintf(visit->port, sizeof(visit->port), "%u", (unsigned)number);
	return true;
}

static bool wait_for(const struct visit *visit, short events)
{
	uint64_t now = clock_monotonic_ns();
	struct pollfd poller = {.fd = visit->fd, .events = events};
	return now < visit->deadline_ns && poll(&poller, 1, (int)((visit->deadline_ns - now) / 1000000) + 1) == 1;
}

static bool try_address(struct visit *visit, const struct addrinfo *at)
{
	int fault = 0;
	socklen_t len = sizeof(fault);
	visit->fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (visit->fd < 0)
		return false;
	if (connect(visit->fd, at->ai_addr, at->ai_addrlen) == 0)
		return true;
	if (errno == EINPROGRESS) {
		if (!wait_for(visit, POLLOUT))
			fault = ETIMEDOUT;
		else if (getsockopt(visit->fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 && fault == 0)
			return true;
	} else {
		fault = errno;
	}
	close(visit->fd);
	visit->fd = -1;
	errno = fault;
	return false;
}

/*
 * getaddrinfo by itself waits as long as resolv.conf says. What is asked lives as long as the program: a look-up that is
 * given up may go on in the resolver's thread.
 */
static bool look_up(struct visit *visit, struct addrinfo **list)
{
	static char host[sizeof(visit->host)], port[sizeof(visit->port)];
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	static struct gaicb question = {.ar_name = host, .ar_service = port, .ar_request = &hints};
	struct gaicb *all[] = {&question};
	const struct gaicb *waits[] = {&question};
	memcpy(host, visit->host, sizeof(host));
	memcpy(port, visit->port, sizeof(port));
	int code = getaddrinfo_a(GAI_NOWAIT, all, 1, NULL);
	while (code == 0 && (code = gai_error(&question)) == EAI_INPROGRESS) {
		uint64_t now = clock_monotonic_ns(), left = now < visit->deadline_ns ? visit->deadline_ns - now : 0;
		struct timespec span = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
		if (left == 0)
			return late(visit, "its name was not resolved");
		(void)gai_suspend(waits, 1, &span);
		code = 0;
	}
	*list = question.ar_result;
	return code == 0 || error_set(visit->err, "%s: %s", visit->host, gai_strerror(code));
}

static bool reach(struct visit *visit)
{
	struct addrinfo *list = NULL;
	if (!look_up(visit, &list))
		return false;
	bool ok = false;
	for (const struct addrinfo *at = list; at && !ok; at = at->ai_next)
		ok = try_address(visit, at);
	freeaddrinfo(list);
	return ok || error_set_errno(visit->err, "%s port %s", visit->host, visit->port);
}

static bool send_all(const struct visit *visit, struct bytes octets)
{
	while (octets.len > 0) {
		ssize_t n = send(visit->fd, octets.data, octets.len, MSG_NOSIGNAL);
		if (n > 0)
			(void)!bytes_skip(&octets, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(visit, POLLOUT))
			return error_set(visit->err, "%s: it does not take what is sent", visit->host);
	}
	return true;
}

static bool receive(const struct visit *visit, struct lab_end *client)
{
	uint8_t piece[4096];
	if (!wait_for(visit, POLLIN))
		return late(visit, "no whole handshake");
	ssize_t n = recv(visit->fd, piece, sizeof(piece), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return error_set(visit->err, "%s: the connection was closed in the handshake", visit->host);
	return lab_give(client, bytes_of(piece, (size_t)n)) || error_set(visit->err, "no memory");
}

static bool shake_hands(const struct visit *visit, struct lab_end *client)
{
	for (;;) {
		enum lab_state state = lab_step(client);
		if (!send_all(visit, lab_take(client)))
			return false;
		if (state == LAB_FAILED)
			return error_set(visit->err, "%s: %s", visit->host, lab_fault(client));
		if (state == LAB_READY)
			break;
		if (!receive(visit, client))
			return false;
	}
	(void)SSL_shutdown(lab_ssl(client));
	return send_all(visit, lab_take(client));
}

/* A look is no trust: the handshake goes on whatever the verification says, and that is told. */
static struct lab_end *visitor(const struct lab *lab, const struct visit *visit)
{
	struct lab_setup setup = {.version = TLS_VERSION_13,
		.groups = lab_has_group(LAB_HYBRID) ? LAB_HYBRID ":X25519:P-256:P-384" : "X25519:P-256:P-384"};
	struct lab_end *client = lab_client(lab, &setup, visit->err);
	struct hostport address;
	if (!client)
		return NULL;
	SSL *ssl = lab_ssl(client);
	bool is_ip = hostport_parse_ip(&address, visit->host);
	char name[sizeof(visit->host)];
	memcpy(name, visit->host, sizeof(name));
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	(void)SSL_CTX_set_default_verify_paths(SSL_get_SSL_CTX(ssl));
	bool ok = SSL_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 && SSL_set1_host(ssl, NULL) == 1 &&
	          (is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), visit->host)
			 : SSL_set1_host(ssl, visit->host)) == 1 &&
	          SSL_set_tlsext_host_name(ssl, is_ip ? NULL : name) == 1;
	if (ok)
		return client;
	error_set_openssl(visit->err, "%s: no such name can be asked for", visit->host);
	lab_end_free(client);
	return NULL;
}

static void read_log(const struct lab_end *client, struct story *story, struct schedule_source *out)
{
	/* In TLS 1.2 libssl has let go of the key that was used, and keeps the share that it offered for TLS 1.3. */
	bool tls13 = SSL_version(lab_ssl(client)) == TLS1_3_VERSION;
	if (tls13 && !lab_shared(client, &out->shared))
		story_say(story, "This OpenSSL does not give the secret of the key exchange away: what comes of it at "
				 "once is not "
				 "known below, and the secrets are those of its key log.");
	(void)!lab_secret(client, "CLIENT_HANDSHAKE_TRAFFIC_SECRET", 0, &out->known[SCHEDULE_CLIENT_HANDSHAKE]);
	(void)!lab_secret(client, "SERVER_HANDSHAKE_TRAFFIC_SECRET", 0, &out->known[SCHEDULE_SERVER_HANDSHAKE]);
	(void)!lab_secret(client, "CLIENT_TRAFFIC_SECRET_0", 0, &out->known[SCHEDULE_CLIENT_TRAFFIC]);
	(void)!lab_secret(client, "SERVER_TRAFFIC_SECRET_0", 0, &out->known[SCHEDULE_SERVER_TRAFFIC]);
	(void)!lab_secret(client, "EXPORTER_SECRET", 0, &out->known[SCHEDULE_EXPORTER]);
	(void)!lab_secret(client, "CLIENT_RANDOM", 0, &out->known[SCHEDULE_MASTER]);
}

bool schedule_host(const struct lab *lab, const char *host, uint64_t timeout_ns, struct buffer *room,
	struct story *story, struct schedule_source *out, struct error *err)
{
	struct visit visit = {.fd = -1, .deadline_ns = clock_monotonic_ns() + timeout_ns, .err = err};
	struct lab_end *client = NULL;
	*out = (struct schedule_source){.name = "host", .logged_by = "OpenSSL's key log"};
	bool ok = split(&visit, host) && (client = visitor(lab, &visit)) && reach(&visit) &&
	          shake_hands(&visit, client) &&
	          (buffer_add(room, lab_messages(client)) || error_set(err, "no memory"));
	if (ok) {
		const SSL *ssl = lab_ssl(client);
		out->messages = buffer_bytes(room);
		story_say(story, "%s, port %s: %s, %s. The certificate: %s.", visit.host, visit.port,
			SSL_get_version(ssl), SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)),
			X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
		read_log(client, story, out);
	}
	if (visit.fd >= 0)
		close(visit.fd);
	lab_end_free(client);
	return ok;
}
