#include "assess/through.h"

#include "assess/channel.h"
#include "base/clock.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

static void set_fault(struct through_seen *out, uint64_t deadline_ns, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	bool late = clock_monotonic_ns() >= deadline_ns;
	snprintf(out->fault, sizeof(out->fault), "%s: %s", what,
		late     ? "nothing before the deadline"
		: reason ? reason
			 : "the connection was closed");
	ERR_clear_error();
}

static bool read_answer(SSL *ssl, int fd, uint64_t deadline_ns, struct through_seen *out)
{
	int result = 1;
	while (out->answer_len < THROUGH_ANSWER) {
		ERR_clear_error();
		result = SSL_read(ssl, out->answer + out->answer_len, (int)(THROUGH_ANSWER - out->answer_len));
		if (result > 0)
			out->answer_len += (size_t)result;
		else if (!channel_again(ssl, fd, result, deadline_ns))
			break;
	}
	out->answer[out->answer_len] = '\0';
	return out->answer_len > 0;
}

static void speak(SSL *ssl, int fd, uint64_t deadline_ns, const struct through_wish *wish, struct through_seen *out)
{
	char request[600];
	int result, n = snprintf(request, sizeof(request),
			    "GET /overt-assess HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n\r\n", wish->name,
			    wish->port);
	do {
		ERR_clear_error();
		result = SSL_connect(ssl);
	} while (result != 1 && channel_again(ssl, fd, result, deadline_ns));
	out->leaf = SSL_get1_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	out->chain = chain ? X509_chain_up_ref(chain) : NULL;
	if (result != 1) {
		set_fault(out, deadline_ns, "TLS with the proxy");
		return;
	}
	out->handshake = true;
	out->version = (uint16_t)SSL_version(ssl);
	if (SSL_write(ssl, request, n) != n || !read_answer(ssl, fd, deadline_ns, out))
		set_fault(out, deadline_ns, "after the handshake");
	(void)SSL_shutdown(ssl);
}

/* An address is verified as one, and is no server_name (RFC 6066, 3). */
static bool expect_name(SSL *ssl, const char *name)
{
	struct hostport at;
	if (hostport_parse_ip(&at, name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	return SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name) == 1 && SSL_set1_host(ssl, name) == 1;
}

static SSL *make_tls(SSL_CTX *ctx, const struct through_wish *wish, int fd)
{
	SSL_CTX_set_verify(ctx, wish->trusting ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (wish->max && wish->max < TLS1_2_VERSION) {
		SSL_CTX_set_security_level(ctx, 0);
		(void)!SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	}
	if (SSL_CTX_load_verify_file(ctx, wish->ca) != 1)
		return NULL;
	SSL *ssl = SSL_new(ctx);
	if (ssl && SSL_set_min_proto_version(ssl, wish->min ? wish->min : TLS1_2_VERSION) == 1 &&
		SSL_set_max_proto_version(ssl, wish->max ? wish->max : TLS1_3_VERSION) == 1 &&
		expect_name(ssl, wish->name) && SSL_set_fd(ssl, fd) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

void through(struct target *proxy, const struct through_wish *wish, struct through_seen *out)
{
	char where[320];
	uint64_t deadline_ns = 0;
	int fd = -1;
	*out = (struct through_seen){0};
	snprintf(where, sizeof(where), "%s:%u", wish->name, wish->port);
	enum dial_result dial = target_dial(proxy, &fd, &deadline_ns);
	out->connected = dial == DIAL_OK;
	if (dial != DIAL_OK) {
		snprintf(out->fault, sizeof(out->fault), "%s",
			dial == DIAL_SPENT ? "not tried: the budget is spent" : "the proxy cannot be connected to");
		return;
	}
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? make_tls(ctx, wish, fd) : NULL;
	if (!ssl)
		set_fault(out, deadline_ns, "TLS");
	else if (!wish->direct && !channel_connect(fd, where, deadline_ns, &out->status))
		snprintf(out->fault, sizeof(out->fault),
			out->status ? "CONNECT was answered with %u" : "CONNECT was not answered in HTTP", out->status);
	else
		speak(ssl, fd, deadline_ns, wish, out);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	close(fd);
}

void through_free(struct through_seen *seen)
{
	X509_free(seen->leaf);
	sk_X509_pop_free(seen->chain, X509_free);
	seen->leaf = NULL;
	seen->chain = NULL;
}
