/*
 * The client of bench/accord: full handshakes, one after the other, with Accord or without; prints what one cost as JSON.
 *
 * accord_load [-a] plain PORT NAME COUNT CA.pem
 * accord_load [-a] [-k KEY.pem] accord PORT NAME COUNT ANCHORS.pem ROOTS.pem
 * accord_load [-a] [-k KEY.pem] first …
 *
 * "accord" is a process that connects again and again: its pact remembers the chains that it has judged. "first" forgets
 * them before every handshake, which is what the first connection to a host costs. -a: sends an octet and waits for one,
 * so that everything between client and server has happened. -k: approves where a server demands it.
 */
#include "accord/client.h"
#include "base/clock.h"
#include "pact/pact.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
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
	EVP_PKEY *approval;
	bool forget; /* what was judged before */
	bool ask;
	const char *way, *name;
	uint16_t port;
	size_t count;
	uint64_t *took_ns;              /* each handshake */
	uint64_t *answer_ns;            /* each one with its answer */
	uint64_t octets_in, octets_out; /* of the last handshake */
	struct error err;
};

static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool passed(const struct load *load, SSL *ssl)
{
	if (!load->pact)
		return SSL_session_reused(ssl) == 0;
	const struct accord_outcome *outcome = accord_client_outcome(ssl);
	return accord_client_passed(ssl) && outcome && outcome->path == ACCORD_PATH_PROVEN;
}

/* One connected handshake, and the answer where one is waited for. */
static bool shake(struct load *load, SSL *ssl, size_t number, uint64_t began)
{
	char octet = 'x';
	bool ok = SSL_set_tlsext_host_name(ssl, load->name) == 1 && SSL_set1_host(ssl, load->name) == 1 &&
	          SSL_connect(ssl) == 1;
	load->took_ns[number] = clock_monotonic_ns() - began;
	ok = ok && passed(load, ssl);
	load->octets_in = BIO_number_read(SSL_get_rbio(ssl));
	load->octets_out = BIO_number_written(SSL_get_wbio(ssl));
	if (ok && load->ask)
		ok = SSL_write(ssl, &octet, 1) == 1 && SSL_read(ssl, &octet, 1) == 1;
	load->answer_ns[number] = clock_monotonic_ns() - began;
	return ok;
}

static bool one(struct load *load, size_t number)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(load->port)};
	if (load->forget)
		pact_forget(load->pact);
	uint64_t began = clock_monotonic_ns();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int yes = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* as curl and browsers do */
	SSL *ssl = SSL_new(load->ctx);
	bool ok = ssl && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && SSL_set_fd(ssl, fd) == 1 &&
	          shake(load, ssl, number, began);
	if (ok)
		(void)SSL_shutdown(ssl);
	else
		(void)error_set_openssl(&load->err, "handshake %zu failed", number + 1);
	SSL_free(ssl);
	close(fd);
	return ok;
}

static int by_value(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
	return (a > b) - (a < b);
}

static double median_us(uint64_t *ns, size_t count)
{
	qsort(ns, count, sizeof(*ns), by_value);
	uint64_t middle_ns = ns[count / 2];
	return (double)middle_ns / 1000;
}

static bool run(struct load *load)
{
	uint64_t began = cpu_ns();
	for (size_t i = 0; i < load->count; i++) {
		if (!one(load, i))
			return false;
	}
	double cpu_us = (double)(cpu_ns() - began) / 1000 / (double)load->count;
	printf("{\"cpu_us\": %.2f, \"p50_us\": %.1f, \"answer_us\": %.1f, \"octets_in\": %llu, \"octets_out\": %llu}\n",
		cpu_us, median_us(load->took_ns, load->count), median_us(load->answer_ns, load->count),
		(unsigned long long)load->octets_in, (unsigned long long)load->octets_out);
	return true;
}

static bool attach(struct load *load, const char *anchors, const char *roots)
{
	const struct pact_terms terms = {.anchors = anchors, .trust = roots};
	if (!pact_make(&load->pact, &terms, &load->err))
		return false;
	const struct accord_client_config config = {.rule = ACCORD_REQUIRE,
		.accepted_roles = ACCORD_READER,
		.ctx = load->pact,
		.verify_proxy = pact_verify_proxy,
		.verify_server = pact_verify_server,
		.lib = pact_lib(load->pact),
		.decode = pact_decode,
		.now_s = pact_now,
		.approval_key = load->approval};
	return accord_client_attach(load->ctx, &config, &load->err);
}

/* Both verify chain and name; with Accord also the proof. */
static bool make_context(struct load *load, int files, char **file)
{
	load->ctx = SSL_CTX_new(TLS_client_method());
	if (!load->ctx || SSL_CTX_set_min_proto_version(load->ctx, TLS1_3_VERSION) != 1)
		return error_set_openssl(&load->err, "no context");
	SSL_CTX_set_verify(load->ctx, SSL_VERIFY_PEER, NULL);
	if (strcmp(load->way, "plain") == 0)
		return SSL_CTX_load_verify_file(load->ctx, file[0]) == 1 ||
		       error_set_openssl(&load->err, "%s", file[0]);
	load->forget = strcmp(load->way, "first") == 0;
	return files > 1 ? attach(load, file[0], file[1]) : error_set(&load->err, "no web roots");
}

static bool read_key(struct load *load, const char *path)
{
	BIO *bio = BIO_new_file(path, "r");
	load->approval = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	return load->approval || error_set_openssl(&load->err, "%s", path);
}

/* Returns the index of the first word behind the options; 0: a fault. */
static int read_options(struct load *load, int argc, char **argv)
{
	int option;
	while ((option = getopt(argc, argv, "ak:")) != -1) {
		if (option == 'a')
			load->ask = true;
		else if (option != 'k' || !read_key(load, optarg))
			return 0;
	}
	return argc - optind >= 5 ? optind : 0;
}

static bool make_room(struct load *load)
{
	if (load->count == 0 || load->count > COUNT_MAX)
		return error_set(&load->err, "1 to %d handshakes", COUNT_MAX);
	load->took_ns = calloc(load->count, sizeof(*load->took_ns));
	load->answer_ns = calloc(load->count, sizeof(*load->answer_ns));
	return (load->took_ns && load->answer_ns) || error_set(&load->err, "no memory");
}

int main(int argc, char **argv)
{
	struct load load = {.pact = NULL};
	signal(SIGPIPE, SIG_IGN);
	int at = read_options(&load, argc, argv);
	if (at == 0) {
		fprintf(stderr,
			"usage: accord_load [-a] [-k KEY] plain|accord|first PORT NAME COUNT FILE [ROOTS]\n%s\n",
			load.err.text);
		return 2;
	}
	load.way = argv[at];
	load.port = (uint16_t)strtoul(argv[at + 1], NULL, 10);
	load.name = argv[at + 2];
	load.count = strtoul(argv[at + 3], NULL, 10);
	bool ok = make_room(&load) && make_context(&load, argc - at - 4, argv + at + 4) && run(&load);
	if (!ok)
		fprintf(stderr, "accord_load: %s\n", load.err.text);
	SSL_CTX_free(load.ctx);
	pact_free(load.pact);
	EVP_PKEY_free(load.approval);
	free(load.took_ns);
	free(load.answer_ns);
	return !ok;
}
