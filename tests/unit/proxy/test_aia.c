#include "proxy/aia.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct error err;
static struct resolver_client *resolver;
static struct aia *aia;
static X509 *issuer;

/* A server with one answer to every request; it closes behind it, or with `holds` waits for the client to do so. */
static int listener;
static uint16_t port;
static pthread_t thread;
static uint8_t answer[256 * 1024];
static size_t answer_len;
static bool holds;
static _Atomic unsigned requests;
static char last_request[4096];

static void serve_one(int fd)
{
	size_t len = 0;
	while (len < sizeof(last_request) - 1) {
		ssize_t n = recv(fd, last_request + len, sizeof(last_request) - 1 - len, 0);
		if (n <= 0)
			return;
		len += (size_t)n;
		last_request[len] = '\0';
		if (strstr(last_request, "\r\n\r\n"))
			break;
	}
	atomic_fetch_add(&requests, 1);
	for (size_t sent = 0; sent < answer_len;) {
		ssize_t n = send(fd, answer + sent, answer_len - sent, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		sent += (size_t)n;
	}
	char rest;
	while (holds && recv(fd, &rest, 1, 0) > 0)
		;
}

static void *serve(void *unused)
{
	int fd;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		serve_one(fd);
		close(fd);
	}
	return unused;
}

static void start_server(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void make_issuer(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	issuer = X509_new();
	X509_set_version(issuer, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(issuer), 7);
	X509_gmtime_adj(X509_getm_notBefore(issuer), -3600);
	X509_gmtime_adj(X509_getm_notAfter(issuer), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(issuer), "CN", MBSTRING_ASC,
		(const unsigned char *)"Missing Intermediate", -1, -1, 0);
	X509_set_issuer_name(issuer, X509_get_subject_name(issuer));
	X509_set_pubkey(issuer, key);
	assert_true(X509_sign(issuer, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
}

static void start_aia(struct aia_options options)
{
	options.loop = loop;
	options.resolver = resolver;
	aia = aia_new(&options, &err);
	assert_non_null(aia);
}

static int resolver_end;

static int set_up(void **state)
{
	(void)state;
	int fds[2];
	answer_len = 0;
	holds = false;
	requests = 0;
	last_request[0] = '\0';
	loop = loop_new();
	/* Addresses are literal here: nobody is asked. */
	assert_true(ipc_pair(fds, &err));
	resolver_end = fds[1];
	resolver = resolver_client_new(loop, fds[0], NULL, NULL, NULL, &err);
	assert_non_null(resolver);
	make_issuer();
	start_server();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	aia_free(aia);
	aia = NULL;
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	X509_free(issuer);
	resolver_client_free(resolver);
	close(resolver_end);
	loop_free(loop);
	return 0;
}

/* What is said of one fetch. */
struct heard {
	unsigned calls;
	bool found;
	char why[256];
};

static unsigned awaited;

static void done(bool found, const char *why, void *ctx)
{
	struct heard *heard = ctx;
	heard->calls++;
	heard->found = found;
	snprintf(heard->why, sizeof(heard->why), "%s", why);
	if (--awaited == 0)
		loop_stop(loop);
}

static bool anywhere(const struct hostport *to, void *ctx)
{
	(void)to;
	(void)ctx;
	return true;
}

static const char *url(const char *path)
{
	static char text[AIA_URL_MAX];
	snprintf(text, sizeof(text), "http://127.0.0.1:%u%s", port, path);
	return text;
}

static struct heard fetch(const char *from)
{
	struct heard heard = {0};
	awaited = 1;
	assert_non_null(aia_fetch(aia, from, anywhere, done, &heard));
	assert_int_equal(heard.calls, 0); /* never inside the call */
	assert_true(loop_run(loop));
	assert_int_equal(heard.calls, 1);
	return heard;
}

/* The answer: a head and a body; with `length` the head says how long. */
static void answers(const char *head, const uint8_t *body, size_t len, bool length)
{
	int n = snprintf((char *)answer, sizeof(answer), "%s\r\n", head);
	if (length)
		n += snprintf((char *)answer + n, sizeof(answer) - (size_t)n, "Content-Length: %zu\r\n", len);
	n += snprintf((char *)answer + n, sizeof(answer) - (size_t)n, "\r\n");
	assert_true((size_t)n + len <= sizeof(answer));
	memcpy(answer + n, body, len);
	answer_len = (size_t)n + len;
}

static void answers_der(bool length)
{
	uint8_t der[4096];
	uint8_t *at = der;
	int len = i2d_X509(issuer, &at);
	answers("HTTP/1.1 200 OK\r\nContent-Type: application/pkix-cert", der, (size_t)len, length);
}

static void is_the_issuer(const char *from)
{
	STACK_OF(X509) *certs = aia_find(aia, from);
	assert_non_null(certs);
	assert_int_equal(sk_X509_num(certs), 1);
	assert_int_equal(X509_cmp(sk_X509_value(certs, 0), issuer), 0);
}

static void a_certificate_in_der_is_fetched_once_and_kept(void **state)
{
	(void)state;
	start_aia((struct aia_options){0});
	answers_der(true);
	holds = true; /* the length says where it ends */
	assert_null(aia_find(aia, url("/ca.crt")));
	assert_true(fetch(url("/ca.crt")).found);
	is_the_issuer(url("/ca.crt"));
	assert_non_null(strstr(last_request, "GET /ca.crt HTTP/1.0\r\n"));
	assert_non_null(strstr(last_request, "Connection: close\r\n"));
	assert_true(fetch(url("/ca.crt")).found);
	assert_int_equal(requests, 1);
	assert_null(aia_find(aia, url("/other.crt")));
	assert_int_equal(aia_count(aia).pending, 0);
}

static void one_that_ends_with_the_connection_is_as_good(void **state)
{
	(void)state;
	start_aia((struct aia_options){0});
	answers_der(false);
	assert_true(fetch(url("/ca.crt")).found);
	is_the_issuer(url("/ca.crt"));
}

static void certs_only_messages_and_pem_are_understood(void **state)
{
	(void)state;
	start_aia((struct aia_options){0});
	PKCS7 *message = PKCS7_new();
	assert_int_equal(PKCS7_set_type(message, NID_pkcs7_signed), 1);
	assert_int_equal(PKCS7_content_new(message, NID_pkcs7_data), 1);
	assert_int_equal(PKCS7_add_certificate(message, issuer), 1);
	uint8_t der[8192];
	uint8_t *at = der;
	int len = i2d_PKCS7(message, &at);
	PKCS7_free(message);
	assert_true(len > 0);
	answers("HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime", der, (size_t)len, true);
	assert_true(fetch(url("/ca.p7c")).found);
	is_the_issuer(url("/ca.p7c"));
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	assert_int_equal(PEM_write_bio_X509(bio, issuer), 1);
	long pem_len = BIO_get_mem_data(bio, &pem);
	answers("HTTP/1.0 200 OK", (const uint8_t *)pem, (size_t)pem_len, true);
	BIO_free(bio);
	assert_true(fetch(url("/ca.pem")).found);
	is_the_issuer(url("/ca.pem"));
}

static void what_gives_no_certificate_fails_with_a_reason_and_is_not_asked_again_at_once(void **state)
{
	(void)state;
	static const struct {
		const char *answer, *why;
	} bad[] = {
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "302"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "no certificate"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x30\x03\x02", "no certificate"},
		{"HTTP/1.1 200 OK\r\n\r\n", "no certificate"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "no"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "cut short"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", "too long"},
		{"SSH-2.0-server\r\n", "no HTTP"},
		{"", "no HTTP"},
	};
	start_aia((struct aia_options){0});
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char path[16];
		answer_len = strlen(bad[i].answer);
		memcpy(answer, bad[i].answer, answer_len);
		snprintf(path, sizeof(path), "/%zu", i);
		struct heard heard = fetch(url(path));
		assert_false(heard.found);
		if (!strstr(heard.why, bad[i].why))
			fail_msg("%s: %s", bad[i].answer, heard.why);
		assert_null(aia_find(aia, url(path)));
		assert_false(fetch(url(path)).found);
		assert_int_equal(requests, i + 1);
	}
	assert_int_equal(aia_count(aia).failed, 2 * sizeof(bad) / sizeof(bad[0]));
}

static void after_a_while_it_is_asked_again(void **state)
{
	(void)state;
	start_aia((struct aia_options){.keep_bad_ns = 1});
	assert_false(fetch(url("/ca.crt")).found);
	answers_der(true);
	assert_true(fetch(url("/ca.crt")).found);
	assert_int_equal(requests, 2);
}

static void an_answer_without_end_is_cut_off_at_the_cap(void **state)
{
	(void)state;
	start_aia((struct aia_options){0});
	static uint8_t body[200 * 1024];
	body[0] = 0x30;
	answers("HTTP/1.1 200 OK", body, sizeof(body), false);
	struct heard heard = fetch(url("/ca.crt"));
	assert_false(heard.found);
	assert_non_null(strstr(heard.why, "too long"));
}

static void a_server_that_says_nothing_is_left(void **state)
{
	(void)state;
	start_aia((struct aia_options){.timeout_ns = 100 * NS_PER_MS});
	holds = true;
	struct heard heard = fetch(url("/ca.crt"));
	assert_false(heard.found);
	assert_non_null(strstr(heard.why, "too long to answer"));
}

static bool nowhere(const struct hostport *to, void *ctx)
{
	assert_int_equal(to->port, port);
	((struct heard *)ctx)->why[0] = '!';
	return false;
}

static void an_address_that_rules_do_not_permit_is_not_connected_to(void **state)
{
	(void)state;
	struct heard heard = {0};
	start_aia((struct aia_options){0});
	answers_der(true);
	awaited = 1;
	assert_non_null(aia_fetch(aia, url("/ca.crt"), nowhere, done, &heard));
	assert_true(loop_run(loop));
	assert_false(heard.found);
	assert_int_equal(requests, 0);
}

static void what_is_no_plain_http_address_is_not_fetched(void **state)
{
	(void)state;
	static const char *const bad[] = {"https://127.0.0.1/ca.crt", "ftp://127.0.0.1/ca.crt", "ldap:///CN=x",
		"http://user:password@127.0.0.1/ca.crt", "http:///ca.crt", "http://127.0.0.1:0/", "/ca.crt", "",
		"http://127.0.0.1/a HTTP/1.0\r\nX: y", "http://127.0.0.1/a b"};
	start_aia((struct aia_options){0});
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct heard heard = fetch(bad[i]);
		assert_false(heard.found);
		assert_non_null(strstr(heard.why, "no address"));
	}
	char long_one[2 * AIA_URL_MAX];
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	memcpy(long_one, "http://", 7);
	struct heard heard = {0};
	assert_null(aia_fetch(aia, long_one, anywhere, done, &heard));
	assert_int_equal(heard.calls, 0);
}

static void fetches_are_bounded_counted_and_can_be_cancelled(void **state)
{
	(void)state;
	struct heard first = {0};
	struct heard second = {0};
	start_aia((struct aia_options){.fetches = 2});
	answers_der(true);
	struct aia_fetch *cancelled = aia_fetch(aia, url("/1"), anywhere, done, &first);
	assert_non_null(cancelled);
	assert_non_null(aia_fetch(aia, url("/2"), anywhere, done, &second));
	assert_null(aia_fetch(aia, url("/3"), anywhere, done, &first));
	assert_int_equal(aia_count(aia).refused, 1);
	assert_int_equal(aia_count(aia).pending, 2);
	aia_cancel(cancelled);
	awaited = 1;
	assert_true(loop_run(loop));
	assert_true(second.found);
	assert_int_equal(first.calls, 0);
	/* Also one whose end is on its way already. */
	cancelled = aia_fetch(aia, url("/2"), anywhere, done, &first);
	aia_cancel(cancelled);
	assert_int_equal(first.calls, 0);
	assert_int_equal(aia_count(aia).pending, 0);
}

static void addresses_longest_unused_leave(void **state)
{
	(void)state;
	start_aia((struct aia_options){.cache = 2});
	answers_der(true);
	assert_true(fetch(url("/1")).found);
	assert_true(fetch(url("/2")).found);
	assert_non_null(aia_find(aia, url("/1")));
	assert_true(fetch(url("/3")).found);
	assert_null(aia_find(aia, url("/2")));
	assert_non_null(aia_find(aia, url("/1")));
	assert_int_equal(aia_count(aia).evicted, 1);
}

static void a_proxy_in_between_is_asked_for_the_whole_address(void **state)
{
	(void)state;
	char user[] = "me";
	char password[] = "secret";
	struct config_upstream through = {
		.kind = UPSTREAM_HTTP, .host = "127.0.0.1", .port = port, .user = user, .password = password};
	start_aia((struct aia_options){.through = &through});
	answers_der(true);
	assert_true(fetch("http://pki.example/ca.crt").found);
	is_the_issuer("http://pki.example/ca.crt");
	assert_non_null(strstr(last_request, "GET http://pki.example/ca.crt HTTP/1.0\r\n"));
	assert_non_null(strstr(last_request, "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_certificate_in_der_is_fetched_once_and_kept),
		CASE(one_that_ends_with_the_connection_is_as_good),
		CASE(certs_only_messages_and_pem_are_understood),
		CASE(what_gives_no_certificate_fails_with_a_reason_and_is_not_asked_again_at_once),
		CASE(after_a_while_it_is_asked_again),
		CASE(an_answer_without_end_is_cut_off_at_the_cap),
		CASE(a_server_that_says_nothing_is_left),
		CASE(an_address_that_rules_do_not_permit_is_not_connected_to),
		CASE(what_is_no_plain_http_address_is_not_fetched),
		CASE(fetches_are_bounded_counted_and_can_be_cancelled),
		CASE(addresses_longest_unused_leave),
		CASE(a_proxy_in_between_is_asked_for_the_whole_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
