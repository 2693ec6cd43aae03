#include "explain/lab.h"

#include "base/text.h"
#include "explain/lab_parts.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/record.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

struct lab_end {
	SSL_CTX *ctx;
	SSL *ssl; /* holds both BIOs */
	BIO *in, *out;
	struct buffer taken, log, messages;
	char fault[128];
};

bool lab_has_group(const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	char copy[64];
	snprintf(copy, sizeof(copy), "%s", name);
	bool has = ctx && SSL_CTX_set1_groups_list(ctx, copy) == 1;
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return has;
}

static void keep_line(const SSL *ssl, const char *line)
{
	struct lab_end *end = SSL_get_app_data(ssl);
	(void)!(buffer_add(&end->log, bytes_str(line)) && buffer_add(&end->log, bytes_str("\n")));
}

static void keep_message(int sent, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	struct lab_end *end = arg;
	(void)sent;
	(void)version;
	(void)ssl;
	if (type == RECORD_HANDSHAKE)
		(void)!buffer_add(&end->messages, bytes_of(data, len));
}

static bool set_up(SSL_CTX *ctx, const struct lab_setup *setup)
{
	bool tls13 = setup->version == TLS_VERSION_13;
	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_options(ctx, setup->options | (setup->tickets ? 0 : SSL_OP_NO_TICKET));
	SSL_CTX_set_keylog_callback(ctx, keep_line);
	if (!setup->tickets)
		SSL_CTX_set_num_tickets(ctx, 0);
	if (!SSL_CTX_set_min_proto_version(ctx, setup->version) || !SSL_CTX_set_max_proto_version(ctx, setup->version))
		return false;
	if (setup->suites &&
		!(tls13 ? SSL_CTX_set_ciphersuites(ctx, setup->suites) : SSL_CTX_set_cipher_list(ctx, setup->suites)))
		return false;
	char groups[256];
	snprintf(groups, sizeof(groups), "%s", setup->groups ? setup->groups : "");
	return !setup->groups || SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

static bool set_up_client(const struct lab *lab, struct lab_end *end)
{
	X509_STORE *store = SSL_CTX_get_cert_store(end->ctx);
	char name[] = LAB_NAME;
	for (enum lab_who who = LAB_SERVER; who < LAB_IDENTITIES; who++) {
		if (X509_STORE_add_cert(store, lab->identity[who].ca) != 1)
			return false;
	}
	SSL_CTX_set_verify(end->ctx, SSL_VERIFY_PEER, NULL);
	end->ssl = SSL_new(end->ctx);
	if (!end->ssl || SSL_set1_host(end->ssl, LAB_NAME) != 1 || SSL_set_tlsext_host_name(end->ssl, name) != 1)
		return false;
	SSL_set_connect_state(end->ssl);
	return true;
}

static bool set_up_server(const struct lab *lab, struct lab_end *end, enum lab_who who)
{
	const struct lab_identity *identity = &lab->identity[who];
	EVP_PKEY *group = lab_dh_group();
	/* Takes the group over, if it takes it. */
	if (!group || SSL_CTX_set0_tmp_dh_pkey(end->ctx, group) != 1) {
		EVP_PKEY_free(group);
		return false;
	}
	if (SSL_CTX_use_certificate(end->ctx, identity->cert) != 1 ||
		SSL_CTX_use_PrivateKey(end->ctx, identity->key) != 1)
		return false;
	end->ssl = SSL_new(end->ctx);
	if (end->ssl)
		SSL_set_accept_state(end->ssl);
	return end->ssl != NULL;
}

static bool wire_up(struct lab_end *end)
{
	end->in = BIO_new(BIO_s_mem());
	end->out = BIO_new(BIO_s_mem());
	if (!end->in || !end->out) {
		BIO_free(end->in);
		BIO_free(end->out);
		return false;
	}
	BIO_set_mem_eof_return(end->in, -1);
	BIO_set_mem_eof_return(end->out, -1);
	SSL_set_bio(end->ssl, end->in, end->out);
	SSL_set_app_data(end->ssl, end);
	SSL_set_msg_callback(end->ssl, keep_message);
	SSL_set_msg_callback_arg(end->ssl, end);
	return true;
}

static struct lab_end *end_new(const struct lab *lab, const struct lab_setup *setup, bool client, struct error *err)
{
	struct lab_end *end = calloc(1, sizeof(*end));
	if (!end) {
		error_set(err, "no memory");
		return NULL;
	}
	end->taken.cap = end->log.cap = end->messages.cap = LAB_STREAM;
	end->ctx = SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());
	if (end->ctx && set_up(end->ctx, setup) &&
		(client ? set_up_client(lab, end) : set_up_server(lab, end, setup->who)) && wire_up(end))
		return end;
	error_set_openssl(err, "the laboratory's %s cannot be set up", client ? "client" : "server");
	lab_end_free(end);
	return NULL;
}

struct lab_end *lab_client(const struct lab *lab, const struct lab_setup *setup, struct error *err)
{
	return end_new(lab, setup, true, err);
}

struct lab_end *lab_server(const struct lab *lab, const struct lab_setup *setup, struct error *err)
{
	return end_new(lab, setup, false, err);
}

void lab_end_free(struct lab_end *end)
{
	if (!end)
		return;
	SSL_free(end->ssl);
	SSL_CTX_free(end->ctx);
	if (end->log.data)
		OPENSSL_cleanse(end->log.data, end->log.room);
	buffer_clear(&end->taken);
	buffer_clear(&end->log);
	buffer_clear(&end->messages);
	free(end);
}

SSL *lab_ssl(const struct lab_end *end)
{
	return end->ssl;
}

/* The first that libssl itself has a reason for, else the first: ciphers only say that they failed. */
static unsigned long reason_of(void)
{
	unsigned long first = ERR_get_error(), error = first;
	while (error && (ERR_GET_LIB(error) != ERR_LIB_SSL || ERR_GET_REASON(error) == ERR_R_INTERNAL_ERROR))
		error = ERR_get_error();
	return error ? error : first;
}

/* What a call of the library ended with; its reason is kept when that is a failure. */
static enum lab_state settle(struct lab_end *end, int result)
{
	int error = SSL_get_error(end->ssl, result);
	if (error == SSL_ERROR_NONE)
		return LAB_READY;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_ZERO_RETURN)
		return LAB_WAITS;
	const char *reason = ERR_reason_error_string(reason_of());
	text_clean(end->fault, sizeof(end->fault), bytes_str(reason ? reason : "the connection broke off"));
	ERR_clear_error();
	return LAB_FAILED;
}

enum lab_state lab_step(struct lab_end *end)
{
	if (end->fault[0])
		return LAB_FAILED;
	ERR_clear_error();
	if (!SSL_is_init_finished(end->ssl))
		return settle(end, SSL_do_handshake(end->ssl));
	uint8_t none[1];
	size_t len = 0;
	int result = SSL_peek_ex(end->ssl, none, sizeof(none), &len);
	return settle(end, result) == LAB_FAILED ? LAB_FAILED : LAB_READY;
}

const char *lab_fault(const struct lab_end *end)
{
	return end->fault;
}

struct bytes lab_take(struct lab_end *end)
{
	char *data = NULL;
	long len = BIO_get_mem_data(end->out, &data);
	buffer_clear(&end->taken);
	if (len > 0 && !buffer_add(&end->taken, bytes_of(data, (size_t)len)))
		return BYTES_NONE;
	(void)!BIO_reset(end->out);
	return buffer_bytes(&end->taken);
}

bool lab_give(struct lab_end *end, struct bytes octets)
{
	size_t written = 0;
	return octets.len == 0 ||
	       (BIO_write_ex(end->in, octets.data, octets.len, &written) == 1 && written == octets.len);
}

bool lab_pass(struct lab_end *from, struct lab_end *to, struct buffer *tap)
{
	struct bytes octets = lab_take(from);
	return (!tap || buffer_add(tap, octets)) && lab_give(to, octets);
}

bool lab_join(struct lab_end *client, struct lab_end *server, struct buffer *from_client, struct buffer *from_server,
	struct error *err)
{
	enum lab_state at_client = LAB_WAITS, at_server = LAB_WAITS;
	/* No handshake has as many flights. */
	for (unsigned turn = 0; turn < 8; turn++) {
		at_client = lab_step(client);
		if (!lab_pass(client, server, from_client))
			return error_set(err, "no memory");
		at_server = lab_step(server);
		if (!lab_pass(server, client, from_server))
			return error_set(err, "no memory");
		if (at_client == LAB_FAILED || at_server == LAB_FAILED)
			break;
		if (at_client == LAB_READY && at_server == LAB_READY)
			/* What the server's last flight still holds. */
			return lab_step(client) == LAB_READY || error_set(err, "the client refused: %s", client->fault);
	}
	if (at_client == LAB_FAILED)
		return error_set(err, "the client refused: %s", client->fault);
	return error_set(err, "the server refused: %s", server->fault[0] ? server->fault : "no end of the handshake");
}

bool lab_write(struct lab_end *end, struct bytes text)
{
	size_t written = 0;
	ERR_clear_error();
	return settle(end, SSL_write_ex(end->ssl, text.data, text.len, &written)) == LAB_READY && written == text.len;
}

bool lab_reads(struct lab_end *end, struct bytes text)
{
	struct buffer got = {.cap = LAB_STREAM};
	uint8_t piece[2048];
	size_t len = 0;
	bool ok = true;
	ERR_clear_error();
	int result = 0;
	while (ok && (result = SSL_read_ex(end->ssl, piece, sizeof(piece), &len)) == 1)
		ok = buffer_add(&got, bytes_of(piece, len));
	ok = ok && settle(end, result) != LAB_FAILED && bytes_equal(buffer_bytes(&got), text);
	buffer_clear(&got);
	return ok;
}

bool lab_says(struct lab_end *from, struct lab_end *to, const char *text, struct buffer *tap)
{
	return lab_write(from, bytes_str(text)) && lab_pass(from, to, tap) && lab_reads(to, bytes_str(text));
}

bool lab_secret(const struct lab_end *end, const char *label, unsigned nth, struct tls_secret *out)
{
	struct bytes rest = buffer_bytes(&end->log), wanted = bytes_str(label), line, random;
	while (bytes_take(&rest, bytes_find(rest, '\n', 0), &line)) {
		(void)!bytes_skip(&rest, 1);
		if (line.len == 0)
			return false;
		/* LABEL RANDOM SECRET */
		if (!bytes_starts(line, wanted) || !bytes_skip(&line, wanted.len) ||
			!bytes_starts(line, bytes_str(" ")))
			continue;
		if (nth-- > 0)
			continue;
		if (!bytes_skip(&line, 1) || !bytes_take(&line, bytes_find(line, ' ', 0), &random) ||
			!bytes_skip(&line, 1))
			return false;
		return text_unhex(out->octets, sizeof(out->octets), &out->len, line);
	}
	return false;
}

struct bytes lab_keylog(const struct lab_end *end)
{
	return buffer_bytes(&end->log);
}

struct bytes lab_messages(const struct lab_end *end)
{
	return buffer_bytes(&end->messages);
}

static bool derive(EVP_PKEY *own, EVP_PKEY *peer, struct tls_secret *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = sizeof(out->octets);
	bool ok = ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	          EVP_PKEY_derive(ctx, out->octets, &len) == 1;
	EVP_PKEY_CTX_free(ctx);
	out->len = ok ? len : 0;
	return ok;
}

/* Of a hybrid group the server's share is no key, but a ciphertext to the client's (draft-ietf-tls-ecdhe-mlkem, 4). */
static bool decapsulate(EVP_PKEY *own, struct bytes share, struct tls_secret *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = sizeof(out->octets);
	bool ok = ctx && share.len > 0 && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
	          EVP_PKEY_decapsulate(ctx, out->octets, &len, share.data, share.len) == 1;
	EVP_PKEY_CTX_free(ctx);
	out->len = ok ? len : 0;
	return ok;
}

/* The share in the last ServerHello. */
static struct bytes server_share(const struct lab_end *end)
{
	struct bytes rest = lab_messages(end), share = BYTES_NONE;
	struct handshake message;
	struct server_hello hello;
	while (handshake_read(&rest, LAB_STREAM, &message) == HANDSHAKE_OK) {
		if (message.type == HANDSHAKE_SERVER_HELLO && server_hello_parse(message.body, &hello) == HELLO_OK)
			share = hello.key_share;
	}
	return share;
}

bool lab_shared(const struct lab_end *end, struct tls_secret *out)
{
	EVP_PKEY *own = NULL, *peer = NULL;
	out->len = 0;
	bool ok = SSL_get_tmp_key(end->ssl, &own) == 1 &&
	          ((SSL_get_peer_tmp_key(end->ssl, &peer) == 1 && derive(own, peer, out)) ||
			  decapsulate(own, server_share(end), out));
	ERR_clear_error();
	EVP_PKEY_free(own);
	EVP_PKEY_free(peer);
	return ok;
}
