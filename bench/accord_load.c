/*
 * The client of bench/accord: full handshakes, one after the other, with Accord or without; prints what one cost as JSON.
 *
 * accord_load plain PORT NAME COUNT CA.pem
 * accord_load accord PORT NAME COUNT ANCHORS.pem ROOTS.pem
 */
#include "accord/client.h"
#include "base/clock.h"
#include "pact/pact.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 100000

struct load {
	SSL_CTX *ctx;
	struct pact *pact; /* NULL: without Accord */
	const char *name;
	uint16_t port;
	size_t count;
	uint64_t *took_ns;
	uint64_t octets_in, octets_out; /* of the last handshake */
	struct error err;
};

static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool one(struct load *load, size_t number)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(load->port)};
	uint64_t began = clock_monotonic_ns();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(load->ctx);
	bool ok = ssl && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && SSL_set_fd(ssl, fd) == 1 &&
	          SSL_set_tlsext_host_name(ssl, load->name) == 1 && SSL_set1_host(ssl, load->name) == 1 &&
	          SSL_connect(ssl) == 1 && SSL_session_reused(ssl) == 0;
	load->took_ns[number] = clock_monotonic_ns() - began;
	if (ok && load->pact) {
		const struct accord_outcome *outcome = accord_client_outcome(ssl);
		ok = accord_client_passed(ssl) && outcome && outcome->path == ACCORD_PATH_PROVEN;
	}
	if (ok) {
		load->octets_in = BIO_number_read(SSL_get_rbio(ssl));
		load->octets_out = BIO_number_written(SSL_get_wbio(ssl));
		(void)SSL_shutdown(ssl);
	} else {
		(void)error_set_openssl(&load->err, "handshake %zu failed", number + 1);
	}
	SSL_free(ssl);
	close(fd);
	return ok;
}

static int by_value(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
	return (a > b) - (a < b);
}

static bool run(struct load *load)
{
	uint64_t began = cpu_ns();
	for (size_t i = 0; i < load->count; i++) {
		if (!one(load, i))
			return false;
	}
	double cpu_us = (double)(cpu_ns() - began) / 1000 / (double)load->count;
	qsort(load->took_ns, load->count, sizeof(*load->took_ns), by_value);
	size_t middle = load->count / 2;
	uint64_t middle_ns = load->took_ns[middle];
	printf("{\"cpu_us\": %.2f, \"p50_us\": %.1f, \"octets_in\": %llu, \"octets_out\": %llu}\n", cpu_us,
		(double)middle_ns / 1000, (unsigned long long)load->octets_in, (unsigned long long)load->octets_out);
	return true;
}

/* Both verify chain and name; with Accord also the proof. */
static bool make_context(struct load *load, int argc, char **argv)
{
	load->ctx = SSL_CTX_new(TLS_client_method());
	if (!load->ctx || SSL_CTX_set_min_proto_version(load->ctx, TLS1_3_VERSION) != 1)
		return error_set_openssl(&load->err, "no context");
	SSL_CTX_set_verify(load->ctx, SSL_VERIFY_PEER, NULL);
	if (strcmp(argv[1], "plain") == 0)
		return SSL_CTX_load_verify_file(load->ctx, argv[5]) == 1 ||
		       error_set_openssl(&load->err, "%s", argv[5]);
	if (argc < 7)
		return error_set(&load->err, "no web roots");
	const struct pact_terms terms = {.anchors = argv[5], .trust = argv[6]};
	if (!pact_make(&load->pact, &terms, &load->err))
		return false;
	const struct accord_client_config config = {.rule = ACCORD_REQUIRE,
		.accepted_roles = ACCORD_READER,
		.ctx = load->pact,
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server,
		.lib = pact_lib(load->pact),
		.now_s = pact_now};
	return accord_client_attach(load->ctx, &config, &load->err);
}

int main(int argc, char **argv)
{
	struct load load = {.pact = NULL};
	signal(SIGPIPE, SIG_IGN);
	if (argc < 6) {
		fputs("usage: accord_load plain|accord PORT NAME COUNT FILE [ROOTS]\n", stderr);
		return 2;
	}
	load.port = (uint16_t)strtoul(argv[2], NULL, 10);
	load.name = argv[3];
	load.count = strtoul(argv[4], NULL, 10);
	if (load.count > 0 && load.count <= COUNT_MAX)
		load.took_ns = calloc(load.count, sizeof(*load.took_ns));
	bool ok = load.took_ns && make_context(&load, argc, argv) && run(&load);
	if (!ok)
		fprintf(stderr, "accord_load: %s\n", load.err.text);
	SSL_CTX_free(load.ctx);
	pact_free(load.pact);
	free(load.took_ns);
	return !ok;
}
