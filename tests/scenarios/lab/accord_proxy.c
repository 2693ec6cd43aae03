/*
 * A proxy that speaks Accord, for tests: HTTP CONNECT on 127.0.0.1, one connection after the other. Asked to, it does
 * one thing wrong. It prints "listening PORT" when it does, and a line "what: why" for each connection that fails.
 */
#include "accord/anchor.h"
#include "accord/proxy_leg.h"
#include "accord/seal.h"
#include "base/clock.h"
#include "base/text.h"
#include "pki/accord_ca.h"
#include "tls/handshake.h"
#include "tls/record.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROOF_LONG ((size_t)49 * 1024) /* octets: over what a client looks at */

struct options {
	const char *state;      /* of the Accord anchor; a fresh leaf is made from it */
	const char *cert, *key; /* shown instead of that leaf */
	uint8_t role;
	const char *purpose;
	bool sealed;
	const char *wrong; /* what to do wrong: see the help */
	const char *name;  /* asked for on leg 2 with --wrong host */
	const char *next;  /* port of another Accord proxy to go through */
	/*
	 * A proof of leg 2's messages as changed: "TYPE:NTH:FIND:PUT", of the NTH message of that type, from 0, FIND and
	 * what follows it is overwritten by PUT, both in hex; "TYPE:NTH" leaves the message out.
	 */
	const char *change;
};

struct proxy {
	struct options options;
	X509 *cert;
	EVP_PKEY *key;
	uint8_t leaf_hash[ACCORD_HASH];
	uint8_t *kept; /* the first proof, for --wrong replay */
	size_t kept_len;
	uint8_t approval[ACCORD_MAX_APPROVAL]; /* the first, for --wrong replayed-approval */
	size_t approval_len;
};

struct meeting {
	struct proxy *proxy;
	int client, server;
	uint8_t held[RECORD_MAX_FRAGMENT + RECORD_HEADER]; /* the ClientHello, which the socket still has */
	struct client_hello hello;
	struct accord_hello told;
	SSL_CTX *leg1_ctx, *leg2_ctx;
	SSL *leg1, *leg2;
	const unsigned char *alpn; /* chosen on leg 2 */
	unsigned alpn_len;
	uint8_t seen[ACCORD_MAX_PROOF / 2]; /* leg 2's messages up to CertificateVerify, for --wrong push */
	size_t seen_len;
	bool seen_all;
	bool approved;
	uint8_t pushed[ACCORD_MAX_PROOF];
	struct error error;
};

static bool wrong(const struct proxy *proxy, const char *what)
{
	return proxy->options.wrong && strcmp(proxy->options.wrong, what) == 0;
}

static int dial(const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};
	struct addrinfo *found;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -1;
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static bool read_head(int fd, char head[4096])
{
	memset(head, 0, 4096);
	for (size_t len = 0; !strstr(head, "\r\n\r\n"); len++) {
		if (len == 4095 || recv(fd, head + len, 1, 0) != 1)
			return false;
	}
	return true;
}

/* To the server, or to the proxy before it. */
static int reach(const struct options *options, const char *host, const char *port)
{
	char head[4096];
	if (!options->next)
		return dial(host, port);
	int fd = dial("127.0.0.1", options->next);
	int n = snprintf(head, sizeof(head), "CONNECT %s:%s HTTP/1.1\r\n\r\n", host, port);
	if (fd >= 0 && (send(fd, head, (size_t)n, MSG_NOSIGNAL) != n || !read_head(fd, head))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Reads the CONNECT, goes there, and says so. */
static bool meet(struct meeting *m, char host[256], char port[8])
{
	static const char ok[] = "HTTP/1.1 200 Connected\r\n\r\n";
	char head[4096];
	if (!read_head(m->client, head) || sscanf(head, "CONNECT %255[^: ]:%7[0-9] HTTP/1.1", host, port) != 2)
		return error_set(&m->error, "no CONNECT");
	m->server = reach(&m->proxy->options, host, port);
	return (m->server >= 0 && send(m->client, ok, sizeof(ok) - 1, MSG_NOSIGNAL) > 0) ||
	       error_set_errno(&m->error, "%s:%s", host, port);
}

/* Looks at the ClientHello and leaves it where it is: leg 1 reads it when leg 2 has answered. */
static bool hold_hello(struct meeting *m)
{
	struct record record;
	struct handshake message;
	ssize_t n = 0;
	enum record_result result = RECORD_NEED_MORE;
	while (result == RECORD_NEED_MORE) {
		int low = (int)n + 1;
		(void)setsockopt(m->client, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
		n = recv(m->client, m->held, sizeof(m->held), MSG_PEEK);
		struct bytes in = bytes_of(m->held, n > 0 ? (size_t)n : 0);
		if (n <= 0)
			return error_set(&m->error, "no ClientHello");
		result = record_read(&in, &record);
	}
	int low = 1;
	(void)setsockopt(m->client, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
	return (result == RECORD_OK &&
		       handshake_read(&record.fragment, RECORD_MAX_FRAGMENT, &message) == HANDSHAKE_OK &&
		       client_hello_parse(message.body, &m->hello) == HELLO_OK) ||
	       error_set(&m->error, "no ClientHello in one record");
}

static int believe(X509_STORE_CTX *store, void *arg)
{
	(void)store, (void)arg;
	return 1; /* the client judges the server itself */
}

/* Keeps leg 2's messages for a proof that libaccord would not make. */
static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct meeting *m = arg;
	const uint8_t *message = data;
	accord_leg2_message(write, version, type, data, len, ssl, NULL);
	if (type != SSL3_RT_HANDSHAKE || m->seen_all || len > sizeof(m->seen) - m->seen_len)
		return;
	memcpy(m->seen + m->seen_len, data, len);
	m->seen_len += len;
	/* In TLS 1.2 ServerHelloDone is the last of a server's first flight. */
	m->seen_all = !write && (message[0] == HANDSHAKE_CERTIFICATE_VERIFY || message[0] == SSL3_MT_SERVER_DONE);
}

/* Whether the proof is to be of what was seen, changed or not, and not of what libaccord would prove. */
static bool pushes(const struct proxy *proxy)
{
	return proxy->options.change || wrong(proxy, "push") || wrong(proxy, "old") || wrong(proxy, "silent") ||
	       wrong(proxy, "psk");
}

static struct bytes unhex(const char *text, uint8_t *room, size_t cap)
{
	size_t len = 0;
	struct bytes in = bytes_of(text, strcspn(text, ":"));
	return text_unhex(room, cap, &len, in) ? bytes_of(room, len) : BYTES_NONE;
}

/* Copies a message as --change has it. */
static void copy_changed(struct writer *w, const char *change, struct bytes message)
{
	uint8_t find_room[64], put_room[64], copy[ACCORD_MAX_PROOF];
	struct bytes find = unhex(change, find_room, sizeof(find_room));
	struct bytes put = unhex(strchr(change, ':') + 1, put_room, sizeof(put_room));
	memcpy(copy, message.data, message.len);
	for (size_t at = 0; at + put.len <= message.len && at + find.len <= message.len; at++) {
		if (memcmp(copy + at, find.data, find.len) == 0) {
			memcpy(copy + at, put.data, put.len);
			break;
		}
	}
	writer_bytes(w, bytes_of(copy, message.len));
}

static struct bytes changed(const struct meeting *m, uint8_t *room, size_t cap)
{
	const char *change = m->proxy->options.change;
	struct writer w = writer_over(room, cap);
	struct bytes rest = bytes_of(m->seen, m->seen_len);
	struct handshake message;
	struct bytes done = rest;
	int type = 0, wanted = 0, used = 0, nth = 0;
	if (!change || sscanf(change, "%d:%d%n", &type, &wanted, &used) != 2)
		return rest;
	while (rest.len > 0 && handshake_read(&rest, ACCORD_MAX_PROOF, &message) == HANDSHAKE_OK) {
		if (message.type != type || nth++ != wanted)
			writer_bytes(&w, message.whole);
		else if (change[used] == ':')
			copy_changed(&w, change + used + 1, message.whole);
	}
	return writer_done(&w, &done) ? done : BYTES_NONE;
}

/* A proof that libaccord would not make: the server refused, or it is of another handshake than there was. */
static struct bytes push(struct meeting *m)
{
	static uint8_t room[ACCORD_MAX_PROOF];
	const struct accord_proof proof = {.transcript = changed(m, room, sizeof(room))};
	struct writer w = writer_over(m->pushed, sizeof(m->pushed));
	accord_proof_write(&w, &proof);
	return bytes_of(m->pushed, w.len);
}

/* A key that the server does not know: it goes on with a full handshake, and the ClientHello has asked for another. */
static int offer_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *len, SSL_SESSION **session)
{
	static const unsigned char secret[32] = {1}, suite[] = {0x13, 0x01};
	(void)md;
	*id = secret;
	*len = sizeof(secret);
	*session = SSL_SESSION_new();
	return SSL_SESSION_set1_master_key(*session, secret, sizeof(secret)) == 1 &&
	       SSL_SESSION_set_cipher(*session, SSL_CIPHER_find(ssl, suite)) == 1 &&
	       SSL_SESSION_set_protocol_version(*session, TLS1_3_VERSION) == 1;
}

/* What the plan is told, which is not always the truth. */
static bool begin_leg2(struct meeting *m)
{
	const struct options *options = &m->proxy->options;
	struct accord_hello told = m->told;
	struct accord_leg2_plan plan = {.client = &told,
		.role = options->role,
		.purpose = options->purpose ? bytes_str(options->purpose) : BYTES_NONE,
		.sealed = options->sealed,
		.towards_proxy = options->next != NULL};
	memcpy(plan.leaf_hash, m->proxy->leaf_hash, ACCORD_HASH);
	if (wrong(m->proxy, "role"))
		told.offer.accepted_roles = ACCORD_ANY_ROLE;
	if (wrong(m->proxy, "lend"))
		plan.leaf_hash[0] ^= 1;
	if (wrong(m->proxy, "hops"))
		told.introduced = false;
	if (wrong(m->proxy, "nonce"))
		told.offer.client_nonce[0] ^= 1;
	if (wrong(m->proxy, "approval-hash"))
		told.offer.has_approval = true;
	if (wrong(m->proxy, "old"))
		(void)SSL_set_max_proto_version(m->leg2, TLS1_2_VERSION);
	if (wrong(m->proxy, "psk"))
		SSL_set_psk_use_session_callback(m->leg2, offer_psk);
	if (!wrong(m->proxy, "silent") && !accord_leg2_begin(m->leg2, &plan, &m->error))
		return false;
	SSL_set_msg_callback(m->leg2, on_message);
	SSL_set_msg_callback_arg(m->leg2, m);
	return true;
}

/* Waits with the certificate that a server demands until the client has approved. */
static int on_certificate(SSL *ssl, void *arg)
{
	const struct meeting *m = arg;
	if (!accord_leg2_demanded(ssl))
		return 1;
	if (!m->approved)
		return -1;
	return SSL_use_certificate(ssl, m->proxy->cert) == 1 && SSL_use_PrivateKey(ssl, m->proxy->key) == 1;
}

/* This connection's approval, the first one, or one that was touched. */
static struct bytes choose_approval(struct meeting *m, uint8_t room[ACCORD_MAX_APPROVAL])
{
	struct proxy *proxy = m->proxy;
	struct bytes approval = accord_leg1_approval(m->leg1);
	memcpy(room, approval.data, approval.len);
	if (wrong(proxy, "forged-approval"))
		room[approval.len - 1] ^= 1;
	if (!wrong(proxy, "replayed-approval"))
		return bytes_of(room, approval.len);
	if (proxy->approval_len == 0) {
		memcpy(proxy->approval, approval.data, approval.len);
		proxy->approval_len = approval.len;
	}
	return bytes_of(proxy->approval, proxy->approval_len);
}

/* Takes the client's approval from leg 1 to leg 2, which has waited for it. */
static bool approve(struct meeting *m)
{
	uint8_t room[ACCORD_MAX_APPROVAL];
	m->approved = true;
	return (accord_leg2_approve(m->leg2, choose_approval(m, room), &m->error) && SSL_connect(m->leg2) == 1) ||
	       error_set_openssl(&m->error, "leg 2 after the approval");
}

static bool play_leg2(struct meeting *m)
{
	char name[HELLO_MAX_SERVER_NAME + 1] = "";
	m->leg2_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(m->leg2_ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(m->leg2_ctx, believe, NULL);
	SSL_CTX_set_cert_cb(m->leg2_ctx, on_certificate, m);
	if (!accord_leg2_register(m->leg2_ctx, &m->error))
		return false;
	m->leg2 = SSL_new(m->leg2_ctx);
	if (m->hello.sni == SNI_OK)
		memcpy(name, m->hello.server_name.data, m->hello.server_name.len);
	if (wrong(m->proxy, "host"))
		snprintf(name, sizeof(name), "%s", m->proxy->options.name);
	if (name[0])
		SSL_set_tlsext_host_name(m->leg2, name);
	if (m->hello.has_alpn)
		SSL_set_alpn_protos(m->leg2, m->hello.alpn.data, (unsigned)m->hello.alpn.len);
	SSL_set_fd(m->leg2, m->server);
	if (!begin_leg2(m))
		return false;
	int n = SSL_connect(m->leg2);
	if (n != 1 && SSL_get_error(m->leg2, n) != SSL_ERROR_WANT_X509_LOOKUP)
		return error_set_openssl(&m->error, "leg 2");
	SSL_get0_alpn_selected(m->leg2, &m->alpn, &m->alpn_len);
	return true;
}

static int choose_alpn(
	SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *arg)
{
	const struct meeting *m = arg;
	(void)ssl, (void)in, (void)in_len;
	if (m->alpn_len == 0 || wrong(m->proxy, "protocol"))
		return SSL_TLSEXT_ERR_NOACK;
	*out = m->alpn;
	*len = (unsigned char)m->alpn_len;
	return SSL_TLSEXT_ERR_OK;
}

/* The proof to show: this connection's, as it is or not. */
static struct bytes choose_proof(struct proxy *proxy, struct bytes proof, uint8_t *room)
{
	if (wrong(proxy, "no-proof") || wrong(proxy, "mint"))
		return BYTES_NONE;
	memcpy(room, proof.data, proof.len);
	if (wrong(proxy, "flip"))
		room[proof.len - 1] ^= 1;
	if (wrong(proxy, "cut"))
		proof.len -= 1;
	if (wrong(proxy, "seal")) /* the blind stands behind kind, version, purpose and its own length */
		room[2 + 1 + room[2] + 1] ^= 1;
	if (wrong(proxy, "long")) {
		memset(room + proof.len, 0, PROOF_LONG - proof.len);
		proof.len = PROOF_LONG;
	}
	if (!wrong(proxy, "replay"))
		return bytes_of(room, proof.len);
	if (proxy->kept_len == 0) {
		proxy->kept = room;
		proxy->kept_len = proof.len;
	}
	return bytes_of(proxy->kept, proxy->kept_len);
}

static bool play_leg1(struct meeting *m, struct bytes proof)
{
	m->leg1_ctx = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate(m->leg1_ctx, m->proxy->cert) != 1 ||
		SSL_CTX_use_PrivateKey(m->leg1_ctx, m->proxy->key) != 1)
		return error_set_openssl(&m->error, "the proxy's certificate");
	for (int i = 0; i < ACCORD_MAX_CERTS && wrong(m->proxy, "many"); i++)
		(void)SSL_CTX_add1_chain_cert(m->leg1_ctx, m->proxy->cert);
	SSL_CTX_set_alpn_select_cb(m->leg1_ctx, choose_alpn, m);
	if (wrong(m->proxy, "tls12"))
		SSL_CTX_set_max_proto_version(m->leg1_ctx, TLS1_2_VERSION);
	else if (!accord_leg1_register(m->leg1_ctx, &m->error))
		return false;
	m->leg1 = SSL_new(m->leg1_ctx);
	SSL_set_fd(m->leg1, m->client);
	bool demand = !SSL_is_init_finished(m->leg2) || wrong(m->proxy, "draw");
	if (!wrong(m->proxy, "tls12") && !accord_leg1_begin(m->leg1, &m->told, proof, demand, &m->error))
		return false;
	return SSL_accept(m->leg1) == 1 || error_set_openssl(&m->error, "leg 1");
}

/* Both ways until either side ends. */
static void carry(SSL *a, SSL *b)
{
	SSL *ends[] = {a, b};
	/* A ticket is no data: SSL_read is not to wait for what may never come. */
	SSL_clear_mode(a, SSL_MODE_AUTO_RETRY);
	SSL_clear_mode(b, SSL_MODE_AUTO_RETRY);
	char data[16384];
	for (;;) {
		struct pollfd fds[] = {
			{.fd = SSL_get_fd(a), .events = POLLIN}, {.fd = SSL_get_fd(b), .events = POLLIN}};
		if (!SSL_pending(a) && !SSL_pending(b) && poll(fds, 2, -1) < 0)
			return;
		for (int i = 0; i < 2; i++) {
			if (!SSL_pending(ends[i]) && !(fds[i].revents & (POLLIN | POLLHUP)))
				continue;
			int n = SSL_read(ends[i], data, sizeof(data));
			if (n <= 0 && SSL_get_error(ends[i], n) == SSL_ERROR_WANT_READ)
				continue;
			if (n <= 0) {
				(void)SSL_shutdown(ends[1 - i]);
				return;
			}
			if (SSL_write(ends[1 - i], data, n) != n)
				return;
		}
	}
}

/* Steps aside: the client speaks to the server itself, over a fresh connection. */
static void splice(struct meeting *m, const char *host, const char *port)
{
	/* Leg 2 is over: there are servers that serve one connection at a time. */
	close(m->server);
	m->server = -1;
	int ends[] = {m->client, reach(&m->proxy->options, host, port)};
	char data[16384];
	for (bool up = ends[1] >= 0; up;) {
		struct pollfd fds[] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
		up = poll(fds, 2, -1) > 0;
		for (int i = 0; up && i < 2; i++) {
			if (!fds[i].revents)
				continue;
			ssize_t n = recv(ends[i], data, sizeof(data), 0);
			up = n > 0 && send(ends[1 - i], data, (size_t)n, MSG_NOSIGNAL) == n;
		}
	}
	if (ends[1] >= 0)
		close(ends[1]);
}

static bool work(struct meeting *m)
{
	char host[256];
	char port[8];
	struct bytes proof = BYTES_NONE;
	enum accord_body_result fault;
	if (!meet(m, host, port) || !hold_hello(m))
		return false;
	enum accord_hello_result offer = accord_hello_read(&m->hello, &m->told, &fault);
	if (offer == ACCORD_HELLO_MALFORMED)
		return error_set(&m->error, "the offer: %s", accord_body_text(fault));
	if (offer == ACCORD_HELLO_NONE) {
		splice(m, host, port);
		return true;
	}
	bool up = play_leg2(m);
	enum accord_leg2_result result = m->leg2 ? accord_leg2_proof(m->leg2, &proof) : ACCORD_LEG2_PENDING;
	if (m->seen_len > 0 && pushes(m->proxy)) {
		proof = push(m);
		result = ACCORD_LEG2_PROOF;
		up = true;
	}
	if (result == ACCORD_LEG2_NOT_TLS13 || result == ACCORD_LEG2_TOO_LONG || wrong(m->proxy, "aside")) {
		splice(m, host, port);
		return true;
	}
	if (!up)
		return false;
	if (result != ACCORD_LEG2_PROOF)
		return error_set(&m->error, "leg 2: %s", accord_leg2_text(result));
	uint8_t *room = malloc(PROOF_LONG);
	proof = choose_proof(m->proxy, proof, room);
	bool ok = play_leg1(m, proof);
	if (room != m->proxy->kept)
		free(room);
	if (ok && !SSL_is_init_finished(m->leg2))
		ok = approve(m);
	if (ok)
		carry(m->leg1, m->leg2);
	return ok;
}

static void part(struct meeting *m)
{
	SSL_free(m->leg1);
	SSL_free(m->leg2);
	SSL_CTX_free(m->leg1_ctx);
	SSL_CTX_free(m->leg2_ctx);
	close(m->client);
	if (m->server >= 0)
		close(m->server);
}

/* The certificate of another, and a key that only says it is that one's. */
static bool pose(struct proxy *proxy, struct error *err)
{
	uint8_t public[256];
	size_t len = 0;
	BIGNUM *private = NULL;
	BIO *cert = BIO_new_file(proxy->options.cert, "r");
	BIO *file = BIO_new_file(proxy->options.key, "r");
	proxy->cert = cert ? PEM_read_bio_X509(cert, NULL, NULL, NULL) : NULL;
	EVP_PKEY *own = file ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	bool ok = proxy->cert && own && EVP_PKEY_get_bn_param(own, OSSL_PKEY_PARAM_PRIV_KEY, &private) == 1 &&
	          EVP_PKEY_get_octet_string_param(
			  X509_get0_pubkey(proxy->cert), OSSL_PKEY_PARAM_PUB_KEY, public, sizeof(public), &len) == 1 &&
	          OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
	          OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, public, len) == 1 &&
	          OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, private) == 1;
	OSSL_PARAM *params = ok ? OSSL_PARAM_BLD_to_param(build) : NULL;
	ok = params && EVP_PKEY_fromdata_init(ctx) == 1 &&
	     EVP_PKEY_fromdata(ctx, &proxy->key, EVP_PKEY_KEYPAIR, params) == 1;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(own);
	BN_clear_free(private);
	BIO_free(cert);
	BIO_free(file);
	return ok || error_set_openssl(err, "a key that fits in appearance");
}

static bool load_leaf(struct proxy *proxy, struct error *err)
{
	const struct options *options = &proxy->options;
	struct accord_ca *ca = NULL;
	struct accord_ca_leaf leaf;
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	unsigned char *der = NULL;
	if (wrong(proxy, "pose")) {
		if (!pose(proxy, err))
			return false;
	} else if (options->cert) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
		if (SSL_CTX_use_certificate_file(ctx, options->cert, SSL_FILETYPE_PEM) != 1 ||
			SSL_CTX_use_PrivateKey_file(ctx, options->key, SSL_FILETYPE_PEM) != 1)
			return error_set_openssl(err, "%s", options->cert);
		proxy->cert = X509_dup(SSL_CTX_get0_certificate(ctx));
		proxy->key = SSL_CTX_get0_privatekey(ctx);
		EVP_PKEY_up_ref(proxy->key);
		SSL_CTX_free(ctx);
	} else {
		if (accord_ca_open(&ca, options->state, ACCORD_KEY_PURPOSE_OID, now_s, err) != ACCORD_CA_OK ||
			!accord_ca_issue(ca, now_s, &leaf, err))
			return false;
		proxy->cert = leaf.cert;
		proxy->key = leaf.key;
		accord_ca_free(ca);
	}
	int len = i2d_X509(proxy->cert, &der);
	bool ok = len > 0 && accord_hash(bytes_of(der, (size_t)len), proxy->leaf_hash);
	OPENSSL_free(der);
	return ok;
}

static void read_options(struct options *options, int argc, char **argv)
{
	*options = (struct options){.role = ACCORD_READER};
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *name = argv[i];
		const char *value = argv[i + 1];
		const struct {
			const char *name, **to;
		} texts[] = {{"--state", &options->state}, {"--cert", &options->cert}, {"--key", &options->key},
			{"--purpose", &options->purpose}, {"--wrong", &options->wrong}, {"--name", &options->name},
			{"--next", &options->next}, {"--change", &options->change}};
		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
			if (strcmp(name, texts[k].name) == 0)
				*texts[k].to = value;
		}
		if (strcmp(name, "--role") == 0)
			options->role = strcmp(value, "writer") == 0 ? ACCORD_WRITER : ACCORD_READER;
		if (strcmp(name, "--introduce") == 0)
			options->sealed = strcmp(value, "sealed") == 0;
	}
}

int main(int argc, char **argv)
{
	struct proxy proxy = {0};
	struct error err = {""};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	signal(SIGPIPE, SIG_IGN);
	read_options(&proxy.options, argc, argv);
	if (!load_leaf(&proxy, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 16) != 0 ||
		getsockname(listener, (struct sockaddr *)&at, &len) != 0)
		return 1;
	printf("listening %u\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		static struct meeting m; /* large */
		m = (struct meeting){.proxy = &proxy, .client = accept(listener, NULL, NULL), .server = -1};
		if (m.client < 0)
			return 1;
		if (!work(&m)) {
			printf("failed: %s\n", m.error.text);
			fflush(stdout);
		}
		part(&m);
	}
}
