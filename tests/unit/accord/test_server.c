/* An aware server and ClientHellos that do not say the same before and after its HelloRetryRequest. */
#include "accord/server.h"

#include "../pki/forge.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What the client tells in each of its ClientHellos. */
struct told {
	struct bytes hello[2];
	unsigned asked;
};

static struct forged server, proxy;
static uint8_t introduction[512];
static struct bytes told_body;
static enum accord_ruling_kind ruling;
static unsigned told_of[ACCORD_SERVED_LEFT + 1]; /* reports by what they said */
static SSL_SESSION *kept;                        /* of the client, newest */

static int set_up(void **state)
{
	(void)state;
	struct forged root = forge_root("Root");
	server = forge_leaf("www.example.com", &root);
	proxy = forge_leaf("one.proxy.test", &root);
	forged_free(&root);
	struct accord_introduction in = {.hops = 1};
	in.hop[0].role = ACCORD_READER;
	uint8_t body[ACCORD_MAX_INTRODUCTION];
	struct accord_list list = {0};
	struct writer w = writer_over(body, sizeof(body));
	accord_introduction_write(&w, &in);
	assert_true(writer_done(&w, &list.introduction));
	w = writer_over(introduction, sizeof(introduction));
	accord_list_write(&w, &list);
	return writer_done(&w, &told_body) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	forged_free(&server);
	forged_free(&proxy);
	forge_cleanup();
	return 0;
}

static void on_rule(void *ctx, SSL *ssl, const struct accord_claim *claim, struct accord_ruling *out)
{
	(void)ctx, (void)ssl, (void)claim;
	out->kind = ruling;
}

static void on_report(void *ctx, const struct accord_claim *claim, enum accord_served what)
{
	(void)ctx, (void)claim;
	told_of[what]++;
}

static int add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out, size_t *len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	struct told *told = arg;
	(void)ssl, (void)type, (void)cert, (void)index, (void)alert;
	if (context != SSL_EXT_CLIENT_HELLO)
		return 0;
	struct bytes body = told->hello[told->asked++ ? 1 : 0];
	*out = body.data;
	*len = body.len;
	return body.len > 0;
}

static int take(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len, X509 *cert,
	size_t index, int *alert, void *arg)
{
	(void)ssl, (void)type, (void)context, (void)in, (void)len, (void)cert, (void)index, (void)alert, (void)arg;
	return 1;
}

static SSL_CTX *client_context(struct told *told)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	const unsigned where =
		SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS | SSL_EXT_TLS1_3_CERTIFICATE_REQUEST;
	assert_int_equal(SSL_CTX_add_custom_ext(ctx, ACCORD_EXTENSION, where, add, NULL, told, take, NULL), 1);
	/* A proxy that goes on after a refusal, with a certificate. */
	assert_int_equal(SSL_CTX_use_certificate(ctx, proxy.cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, proxy.key), 1);
	return ctx;
}

static SSL_CTX *server_context(bool retry)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const struct accord_server_config config = {.rule = on_rule, .report = on_report};
	char groups[16];
	struct error err = {""};
	assert_int_equal(SSL_CTX_use_certificate(ctx, server.cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, server.key), 1);
	snprintf(groups, sizeof(groups), "%s", retry ? "P-384" : "X25519");
	assert_int_equal(SSL_CTX_set1_groups_list(ctx, groups), 1);
	assert_true(accord_server_attach(ctx, &config, &err));
	SSL_CTX_set_info_callback(ctx, accord_server_info);
	return ctx;
}

static void carry(SSL *from, SSL *to)
{
	char octets[16384];
	int len = BIO_read(SSL_get_wbio(from), octets, sizeof(octets));
	if (len > 0)
		assert_int_equal(BIO_write(SSL_get_rbio(to), octets, len), len);
}

static SSL *joined(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, BIO_new(BIO_s_mem()));
	return ssl;
}

/* True when the server may read; *claim says whether it believes in a proxy. */
static bool play(struct bytes first, struct bytes second, bool retry, bool *claim)
{
	struct told told = {.hello = {first, second}};
	SSL_CTX *client_ctx = client_context(&told);
	SSL_CTX *server_ctx = server_context(retry);
	SSL *one = joined(client_ctx);
	SSL *two = joined(server_ctx);
	SSL_set_connect_state(one);
	SSL_set_accept_state(two);
	for (int i = 0; i < 8; i++) {
		(void)SSL_do_handshake(one);
		carry(one, two);
		(void)SSL_do_handshake(two);
		carry(two, one);
	}
	bool passed = accord_server_passed(two);
	*claim = accord_server_claim(two) != NULL;
	SSL_free(one);
	SSL_free(two);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	return passed;
}

static void an_introduction_that_stays_is_ruled_on(void **state)
{
	(void)state;
	bool claim;
	ruling = ACCORD_RULING_ACCEPT;
	assert_true(play(told_body, told_body, false, &claim));
	assert_true(claim);
	assert_true(play(told_body, told_body, true, &claim));
	assert_true(claim);
	ruling = ACCORD_RULING_REFUSE;
	assert_false(play(told_body, told_body, true, &claim));
	assert_true(claim);
}

static void without_an_introduction_a_retry_is_nothing_special(void **state)
{
	(void)state;
	bool claim;
	ruling = ACCORD_RULING_REFUSE;
	assert_true(play(BYTES_NONE, BYTES_NONE, true, &claim));
	assert_false(claim);
	assert_true(play(BYTES_NONE, BYTES_NONE, false, &claim));
}

static void an_introduction_dropped_after_a_retry_is_refused(void **state)
{
	(void)state;
	bool claim;
	ruling = ACCORD_RULING_ACCEPT;
	assert_false(play(told_body, BYTES_NONE, true, &claim));
	ruling = ACCORD_RULING_REFUSE;
	assert_false(play(told_body, BYTES_NONE, true, &claim));
}

static void an_introduction_that_comes_after_a_retry_is_refused(void **state)
{
	(void)state;
	bool claim;
	ruling = ACCORD_RULING_ACCEPT;
	assert_false(play(BYTES_NONE, told_body, true, &claim));
	assert_false(claim);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

/* One connection of these contexts, with 0-RTT data where there is a session. True when the server may read. */
static bool meet(SSL_CTX *client_ctx, SSL_CTX *server_ctx, SSL_SESSION *session, bool *resumed, size_t *early)
{
	SSL *one = joined(client_ctx);
	SSL *two = joined(server_ctx);
	char octets[64];
	size_t len = 0;
	SSL_set_connect_state(one);
	SSL_set_accept_state(two);
	*early = 0;
	if (session) {
		assert_int_equal(SSL_set_session(one, session), 1);
		(void)SSL_write_early_data(one, "GET", 3, &len);
	}
	int state = SSL_READ_EARLY_DATA_ERROR; /* more of it may come */
	for (int i = 0; i < 8; i++) {
		carry(one, two);
		do {
			state = state == SSL_READ_EARLY_DATA_FINISH
			                ? state
			                : SSL_read_early_data(two, octets, sizeof(octets), &len);
			*early += state == SSL_READ_EARLY_DATA_SUCCESS ? len : 0;
		} while (state == SSL_READ_EARLY_DATA_SUCCESS);
		if (state == SSL_READ_EARLY_DATA_FINISH)
			(void)SSL_do_handshake(two);
		carry(two, one);
		(void)SSL_do_handshake(one);
	}
	carry(two, one);
	(void)SSL_read(one, octets, sizeof(octets)); /* tickets */
	*resumed = SSL_session_reused(two);
	bool passed = accord_server_passed(two);
	SSL_set_shutdown(one, SSL_SENT_SHUTDOWN); /* else its sessions are given up */
	SSL_free(one);
	SSL_free(two);
	return passed;
}

static void no_session_is_resumed_and_no_early_data_read_beside_an_introduction(void **state)
{
	(void)state;
	struct told told = {{BYTES_NONE, BYTES_NONE}, 0};
	bool resumed;
	size_t early;
	SSL_CTX *client_ctx = client_context(&told), *server_ctx = server_context(false);
	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client_ctx, on_session);
	assert_int_equal(SSL_CTX_set_max_early_data(server_ctx, 1024), 1);
	SSL_CTX_set_options(server_ctx, SSL_OP_NO_ANTI_REPLAY);
	assert_int_equal(SSL_CTX_set_session_id_context(server_ctx, (const unsigned char *)"x", 1), 1);
	ruling = ACCORD_RULING_ACCEPT;
	assert_true(meet(client_ctx, server_ctx, NULL, &resumed, &early));
	assert_non_null(kept);
	SSL_SESSION *session = kept;
	kept = NULL;
	/* An ordinary client does both. */
	assert_true(meet(client_ctx, server_ctx, session, &resumed, &early));
	assert_true(resumed && early == 3);
	SSL_SESSION_free(session);
	session = kept;
	kept = NULL;
	assert_non_null(session);
	told.hello[0] = told.hello[1] = told_body;
	memset(told_of, 0, sizeof(told_of));
	assert_false(meet(client_ctx, server_ctx, session, &resumed, &early));
	assert_int_equal(early, 0);
	assert_int_equal(told_of[ACCORD_SERVED_REFUSED], 1);
	/* Nor does one get a ticket that came with an introduction. */
	assert_true(meet(client_ctx, server_ctx, NULL, &resumed, &early));
	assert_null(kept);
	assert_int_equal(told_of[ACCORD_SERVED_ACCEPTED], 1);
	SSL_SESSION_free(session);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
}

static void what_becomes_of_an_introduction_is_told(void **state)
{
	(void)state;
	bool claim;
	memset(told_of, 0, sizeof(told_of));
	ruling = ACCORD_RULING_ACCEPT;
	assert_true(play(told_body, told_body, false, &claim));
	assert_int_equal(told_of[ACCORD_SERVED_ACCEPTED], 1);
	ruling = ACCORD_RULING_REFUSE;
	assert_false(play(told_body, told_body, false, &claim));
	assert_int_equal(told_of[ACCORD_SERVED_REFUSED], 2); /* and once more since it went on */
	ruling = ACCORD_RULING_IDENTIFY;
	assert_false(play(told_body, told_body, false, &claim));
	assert_int_equal(told_of[ACCORD_SERVED_UNMET], 1); /* another certificate than the one introduced */
	assert_int_equal(told_of[ACCORD_SERVED_LEFT], 0);
	assert_true(play(BYTES_NONE, BYTES_NONE, false, &claim));
	assert_int_equal(told_of[ACCORD_SERVED_ACCEPTED], 1);
}

static void an_introduction_that_changes_is_refused(void **state)
{
	(void)state;
	uint8_t other[sizeof(introduction)];
	bool claim;
	memcpy(other, introduction, told_body.len);
	other[10] ^= 1;
	ruling = ACCORD_RULING_ACCEPT;
	assert_false(play(told_body, bytes_of(other, told_body.len), true, &claim));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_introduction_that_stays_is_ruled_on),
		cmocka_unit_test(without_an_introduction_a_retry_is_nothing_special),
		cmocka_unit_test(an_introduction_dropped_after_a_retry_is_refused),
		cmocka_unit_test(an_introduction_that_comes_after_a_retry_is_refused),
		cmocka_unit_test(an_introduction_that_changes_is_refused),
		cmocka_unit_test(no_session_is_resumed_and_no_early_data_read_beside_an_introduction),
		cmocka_unit_test(what_becomes_of_an_introduction_is_told),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
