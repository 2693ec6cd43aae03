/* assess/path_listener.c — what a cooperating server at the other end saw, beside what left here. */
#include "assess/channel.h"
#include "assess/client.h"
#include "assess/path_parts.h"
#include "assess/testimony.h"
#include "base/clock.h"
#include "base/text.h"
#include "tls/fingerprint.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX (TESTIMONY_MAX + 4096)

/* Our own end of the connection. */
struct end {
	uint8_t hello[VISIT_HELLO_MAX]; /* the body of the first ClientHello */
	size_t hello_len;
	bool bound;
	uint8_t binding[TESTIMONY_BINDING], nonce[TESTIMONY_NONCE];
	char source[HOSTPORT_TEXT];
	uint16_t version;
	char fault[256];
	uint8_t answer[ANSWER_MAX];
	size_t answer_len;
};

static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct end *end = arg;
	const uint8_t *octets = data;
	(void)version;
	(void)ssl;
	/* The first: after a HelloRetryRequest there is another. */
	if (write && type == SSL3_RT_HANDSHAKE && end->hello_len == 0 && len > 4 && len - 4 <= sizeof(end->hello) &&
		octets[0] == SSL3_MT_CLIENT_HELLO) {
		memcpy(end->hello, octets + 4, len - 4);
		end->hello_len = len - 4;
	}
}

static bool make_request(const struct path *path, const struct end *end, char *out, size_t cap)
{
	char hex[TESTIMONY_NONCE * 2 + 1];
	text_hex(hex, sizeof(hex), bytes_of(end->nonce, sizeof(end->nonce)));
	int n = snprintf(out, cap, "GET %s%s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n", TESTIMONY_PATH, hex,
		path->server.name.text, path->server.target.port_text);
	return n > 0 && (size_t)n < cap;
}

static void note_source(int fd, struct end *end)
{
	struct sockaddr_storage from;
	struct hostport at;
	socklen_t len = sizeof(from);
	if (getsockname(fd, (struct sockaddr *)&from, &len) == 0 &&
		hostport_from_sockaddr(&at, (struct sockaddr *)&from, len))
		hostport_text(&at, end->source);
}

static void converse(struct channel *channel, const struct path *path, struct end *end)
{
	char request[700];
	SSL *ssl = channel->ssl;
	note_source(channel->fd, end);
	if (!channel_shake(channel)) {
		snprintf(end->fault, sizeof(end->fault), "%s", channel_why(channel));
		return;
	}
	end->version = (uint16_t)SSL_version(ssl);
	end->bound = testimony_binding(ssl, end->binding);
	if (!make_request(path, end, request, sizeof(request)) || !channel_write(channel, bytes_str(request)))
		snprintf(end->fault, sizeof(end->fault), "the request cannot be sent");
	else
		end->answer_len = channel_read(channel, end->answer, sizeof(end->answer));
	(void)SSL_shutdown(ssl);
}

static void ask(struct path *path, struct end *end)
{
	const struct subject_name *name = &path->server.name;
	uint64_t deadline_ns = 0;
	int fd = -1;
	if (RAND_bytes(end->nonce, sizeof(end->nonce)) != 1)
		return;
	enum dial_result dial = target_dial(&path->server.target, &fd, &deadline_ns);
	if (dial != DIAL_OK) {
		snprintf(end->fault, sizeof(end->fault), "%s", dial_text(dial));
		return;
	}
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	/* Nothing is verified: who answers is what is asked here, and the answer is signed. */
	struct channel channel;
	if (ssl && SSL_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
		channel_open(&channel, ssl, fd, deadline_ns) &&
		(name->is_ip || SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name->text) == 1)) {
		SSL_set_msg_callback(ssl, on_message);
		SSL_set_msg_callback_arg(ssl, end);
		SSL_set_connect_state(ssl);
		converse(&channel, path, end);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	close(fd);
}

static void fingerprint(struct bytes hello, char out[JA4_LEN + 1])
{
	struct client_hello parsed;
	out[0] = '\0';
	if (client_hello_parse(hello, &parsed) == HELLO_OK)
		(void)!ja4(&parsed, JA4_TCP, out);
}

static bool is_expected(const struct path *path, const uint8_t key[VANTAGE_DIGEST])
{
	const struct expect *expect = path->options->expect;
	for (size_t i = 0; i < expect->keys; i++) {
		if (memcmp(expect->key[i], key, VANTAGE_DIGEST) == 0)
			return true;
	}
	return false;
}

static void compare(struct path *path, const struct end *end, const struct testimony *there)
{
	char here_ja4[JA4_LEN + 1], there_ja4[JA4_LEN + 1];
	struct bytes here = bytes_of(end->hello, end->hello_len), got = bytes_of(there->hello, there->hello_len);
	bool same = bytes_equal(here, got);
	fingerprint(here, here_ja4);
	fingerprint(got, there_ja4);
	path_sign(path, "listener-hello", same ? TOLD : PROOF,
		"the ClientHello that left here, beside what arrived there",
		same ? "the same, octet by octet (JA4 %s)"
		     : "another ClientHello arrived than left here: JA4 %s left, %s arrived",
		here_ja4, there_ja4);
	bool bound = end->bound && (there->version == TLS_VERSION_13 || there->extended_master_secret);
	bool one = bound && memcmp(end->binding, there->binding, sizeof(end->binding)) == 0;
	static const char probed[] = "the channel binding (tls-exporter), here and there";
	if (!bound)
		path_sign(path, "listener-binding", TOLD, probed,
			"none: in TLS 1.2 without extended master secret two connections can have the same keys");
	else if (one)
		path_sign(path, "listener-binding", TOLD, probed, "the same: one connection from end to end");
	else
		path_sign(path, "listener-binding", PROOF, probed,
			"here and there the connection has different keys: there are two connections");
	path->same_end = !same || (bound && !one) ? NO : bound ? YES : NOT_KNOWN;
	bool relayed = strcmp(end->source, there->source) != 0;
	path_sign(path, "listener-source", TOLD, "where the connection came from, here and there",
		relayed ? "from %s here, from %s there: relayed, or an address was translated" : "the same: %s",
		end->source, there->source);
	if (path->same_end == NO) {
		path_sign(path, "leg-2", TOLD, "what the one in between speaks towards the server",
			"%s; the lines on a ClientHello are on its own",
			tls_version_name(there->version) ? tls_version_name(there->version) : "?");
		client_tell_hello(path->report, got);
		if (end->version > there->version)
			report_add(path->report, "leg-2-version", GRADE_B, "the versions on both legs",
				"The client sees better than there is.", "%s here, %s there",
				tls_version_name(end->version), tls_version_name(there->version));
	}
}

static struct bytes body_of(const struct end *end)
{
	const uint8_t *head = memmem(end->answer, end->answer_len, "\r\n\r\n", 4);
	size_t at = head ? (size_t)(head - end->answer) + 4 : end->answer_len;
	return bytes_of(end->answer + at, end->answer_len - at);
}

static void judge(struct path *path, const struct end *end)
{
	static const char probed[] = "what the server at the other end saw";
	uint8_t key[VANTAGE_DIGEST];
	struct testimony *there = malloc(sizeof(*there));
	if (!there || end->answer_len == 0) {
		path_sign(path, "listener", TOLD, probed, "no answer%s%s", end->fault[0] ? ": " : "", end->fault);
	} else if (!testimony_read(body_of(end), there, key)) {
		path_sign(path, "listener", TOLD, probed,
			"what answers is no overt assess --listen, or its answer was changed");
	} else if (memcmp(there->nonce, end->nonce, sizeof(end->nonce)) != 0) {
		path_sign(path, "listener", PROOF, probed, "it answers another question than was asked: an old answer");
	} else {
		bool own = memcmp(key, path->vantage.key, sizeof(key)) == 0;
		path->authentic = is_expected(path, key);
		path_sign(path, "listener", TOLD, probed, "%s",
			path->authentic                   ? "answered, and signed with an expected key"
			: path->options->expect->keys > 0 ? "answered, and signed with a key that is not expected"
			: own                             ? "answered, and signed with the leaf's key; none is expected"
			      : "answered, and signed with another key than the leaf's; none is expected");
		/* Of whoever is no expected one, nothing is believed. */
		if (path->authentic || path->options->expect->keys == 0)
			compare(path, end, there);
	}
	free(there);
}

void path_listener(struct path *path)
{
	struct end *end = calloc(1, sizeof(*end));
	if (!end)
		return;
	ask(path, end);
	judge(path, end);
	free(end);
}
