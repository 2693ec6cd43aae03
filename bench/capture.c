/*
 * capture — makes ordered captures of TLS connections with their key log, by two endpoints of libssl in memory. What a
 * network does to packets is left out: figures taken on these files are those of reading and decrypting alone. Memory
 * does not grow with a connection's length, unless it is to be written more than once.
 */
#include "base/bytes.h"
#include "base/text.h"
#include "sink/packet.h"
#include "sink/pcapng_block.h"

#include <getopt.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define LINKTYPE_RAW 101
#define PIECE_MAX    65000 /* TCP payload per packet: a superframe of segmentation offload */
#define START_NS     1795302282000000000ULL
#define BODY         ((size_t)1 << 20) /* octets of an answer; longer ones repeat them */
#define TAPE         ((size_t)4 << 20) /* octets recorded before they are written, where they are written but once */
#define KEYS_BLOCK   ((size_t)64 << 10)

struct options {
	const char *out, *keys, *suite;
	bool tls12, keys_inside;
	uint64_t record, octets, connections, distinct, mss;
};

/* What one side sent at a time. */
struct piece {
	enum flow_direction direction;
	size_t at, len; /* in the recording */
};

/* One connection, or the latest part of it, to be written under as many addresses as wanted. */
struct recording {
	uint8_t *octets;
	size_t len, room;
	struct piece *pieces;
	size_t count, piece_room;
};

struct maker {
	struct options options;
	SSL_CTX *client, *server;
	FILE *out, *keys;
	struct output pcapng; /* in place of `out` */
	struct sink sink;
	uint64_t time_ns, packets, written;
	uint8_t *body;
	struct connection *live; /* what is recorded is written to it at once; NULL: later */
};

/* A connection on the wire. */
struct connection {
	struct flow_address end[2]; /* the client's, the server's */
	uint32_t seq[2];
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "capture: %s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void *grown(void *memory, size_t *room, size_t need, size_t each)
{
	if (need <= *room)
		return memory;
	size_t wider = *room ? *room * 2 : 1024;
	while (wider < need)
		wider *= 2;
	void *more = realloc(memory, wider * each);
	if (!more)
		fail("no memory");
	*room = wider;
	return more;
}

/* Files. */

static void write_or_fail(FILE *file, const void *data, size_t len)
{
	if (fwrite(data, 1, len, file) != len)
		fail("the file cannot be written");
}

static void put_packet(struct maker *m, const struct packet *packet)
{
	uint8_t head[PACKET_HEAD_MAX];
	size_t head_len = packet_head(packet, head);
	uint32_t len = (uint32_t)(head_len + packet->payload.len);
	m->time_ns += 1000;
	m->packets++;
	m->written += len;
	if (m->options.keys_inside) {
		struct pcapng_packet block = {.time_ns = m->time_ns,
			.original = len,
			.head = bytes_of(head, head_len),
			.bytes = packet->payload};
		pcapng_put_packet(&m->pcapng, &block);
		return;
	}
	uint32_t record[4] = {(uint32_t)(m->time_ns / 1000000000ULL), (uint32_t)(m->time_ns % 1000000000ULL), len, len};
	write_or_fail(m->out, record, sizeof(record));
	write_or_fail(m->out, head, head_len);
	if (packet->payload.len > 0)
		write_or_fail(m->out, packet->payload.data, packet->payload.len);
}

static void begin_file(struct maker *m)
{
	uint32_t head[6] = {0xa1b23c4d, 2 | (4U << 16), 0, 0, 262144, LINKTYPE_RAW};
	struct error err;
	m->sink.name = "pcapng";
	if (m->options.keys_inside) {
		if (!output_open(&m->pcapng, &m->sink, m->options.out, OUTPUT_REPLACE, &err))
			fail(err.text);
		pcapng_put_section(&m->pcapng);
		pcapng_put_interface(&m->pcapng, LINKTYPE_RAW, "", "");
		return;
	}
	m->out = fopen(m->options.out, "wb");
	if (!m->out)
		fail("cannot write there");
	write_or_fail(m->out, head, sizeof(head));
}

static void put_secrets(struct maker *m, struct bytes text)
{
	struct writer w = pcapng_open(&m->pcapng, PCAPNG_SECRETS, text.len + 32);
	pcapng_u32(&w, PCAPNG_TLS_KEYS);
	pcapng_u32(&w, (uint32_t)text.len);
	writer_bytes(&w, text);
	pcapng_pad(&w);
	pcapng_close(&m->pcapng, &w);
}

/* The keys come last: behind every packet that they open. */
static void put_keys(struct maker *m)
{
	static char block[KEYS_BLOCK];
	char line[512];
	struct writer w = writer_over(block, sizeof(block));
	FILE *keys = fopen(m->options.keys, "rb");
	if (!keys)
		fail("the key log cannot be read");
	while (fgets(line, sizeof(line), keys)) {
		if (w.cap - w.len < sizeof(line)) {
			put_secrets(m, bytes_of(block, w.len));
			w.len = 0;
		}
		writer_bytes(&w, bytes_str(line));
	}
	put_secrets(m, bytes_of(block, w.len));
	fclose(keys);
}

static void end_file(struct maker *m)
{
	if (fclose(m->keys) != 0 || (m->out && fclose(m->out) != 0))
		fail("the file cannot be written");
	if (!m->options.keys_inside)
		return;
	put_keys(m);
	output_close(&m->pcapng);
	if (m->sink.counts.lost_records > 0)
		fail("the file cannot be written");
}

/* Packets of a recording as connection number n. */

static struct flow_address address_of(uint64_t n, bool server)
{
	struct flow_address a = {.family = 4, .ip = {10, 0, 0, 0}, .port = 443};
	if (server) {
		a.ip[1] = 255;
		a.ip[3] = 1;
		return a;
	}
	uint64_t host = n / 50000;
	a.ip[1] = (uint8_t)(host >> 16);
	a.ip[2] = (uint8_t)(host >> 8);
	a.ip[3] = (uint8_t)host;
	a.port = (uint16_t)(10000 + n % 50000);
	return a;
}

static struct connection connection_begin(struct maker *m, uint64_t n)
{
	struct connection c = {
		{address_of(n, false), address_of(n, true)}, {(uint32_t)(n * 2654435761U), (uint32_t)(n * 40503U + 7)}};
	struct packet p = {.from = c.end[0], .to = c.end[1], .seq = c.seq[0]++, .flags = PACKET_SYN};
	put_packet(m, &p);
	p = (struct packet){
		.from = c.end[1], .to = c.end[0], .seq = c.seq[1]++, .ack = c.seq[0], .flags = PACKET_SYN | PACKET_ACK};
	put_packet(m, &p);
	return c;
}

static void connection_put(struct maker *m, struct connection *c, const struct recording *r)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct piece *piece = &r->pieces[i];
		unsigned from = piece->direction == FLOW_UP ? 0 : 1;
		for (size_t at = 0; at < piece->len; at += m->options.mss) {
			size_t len = piece->len - at < m->options.mss ? piece->len - at : (size_t)m->options.mss;
			struct packet p = {.from = c->end[from],
				.to = c->end[!from],
				.seq = c->seq[from],
				.ack = c->seq[!from],
				.flags = PACKET_ACK | PACKET_PSH,
				.payload = bytes_of(r->octets + piece->at + at, len)};
			put_packet(m, &p);
			c->seq[from] += (uint32_t)len;
		}
	}
}

static void connection_end(struct maker *m, struct connection *c)
{
	for (unsigned from = 0; from < 2; from++) {
		struct packet p = {.from = c->end[from],
			.to = c->end[!from],
			.seq = c->seq[from]++,
			.ack = c->seq[!from],
			.flags = PACKET_FIN | PACKET_ACK};
		put_packet(m, &p);
	}
}

/* Endpoints. */

/* The context's, so that the callback finds its file. */
static void log_key(const SSL *ssl, const char *line)
{
	FILE *keys = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	fprintf(keys, "%s\n", line);
}

static void move(struct recording *r, SSL *from, SSL *to, enum flow_direction direction)
{
	BIO *source = SSL_get_wbio(from);
	BIO *sink = SSL_get_rbio(to);
	char *data;
	long len = BIO_get_mem_data(source, &data);
	if (len <= 0)
		return;
	r->octets = grown(r->octets, &r->room, r->len + (size_t)len, 1);
	memcpy(r->octets + r->len, data, (size_t)len);
	r->pieces = grown(r->pieces, &r->piece_room, r->count + 1, sizeof(struct piece));
	r->pieces[r->count++] = (struct piece){direction, r->len, (size_t)len};
	r->len += (size_t)len;
	if (BIO_write(sink, data, (int)len) != len)
		fail("no memory");
	(void)BIO_reset(source);
}

static void drain(SSL *ssl)
{
	static uint8_t scratch[16384];
	while (SSL_read(ssl, scratch, sizeof(scratch)) > 0)
		continue;
	ERR_clear_error();
}

static SSL *endpoint(SSL_CTX *ctx, bool server)
{
	SSL *ssl = SSL_new(ctx);
	if (!ssl)
		fail("no endpoint");
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

static void shake_hands(struct recording *r, SSL *client, SSL *server)
{
	for (unsigned turns = 0; turns < 10; turns++) {
		int done = SSL_do_handshake(client);
		move(r, client, server, FLOW_UP);
		done &= SSL_do_handshake(server);
		move(r, server, client, FLOW_DOWN);
		if (done == 1 && SSL_is_init_finished(client) && SSL_is_init_finished(server))
			return;
	}
	fail("the handshake does not end");
}

/* What is on the tape leaves it, if it is not wanted again. */
static void wind_on(struct maker *m, struct recording *r, size_t least)
{
	if (!m->live || r->len < least)
		return;
	connection_put(m, m->live, r);
	r->len = r->count = 0;
}

static void say(
	struct maker *m, struct recording *r, SSL *from, SSL *to, enum flow_direction direction, struct bytes what)
{
	uint64_t record = m->options.record;
	struct bytes part;
	while (what.len > 0 && bytes_take(&what, what.len < record ? what.len : (size_t)record, &part)) {
		if (SSL_write(from, part.data, (int)part.len) != (int)part.len)
			fail("SSL_write");
		/* Long answers leave by the superframe, and nobody reads them: the receiver's memory is emptied. */
		if (BIO_pending(SSL_get_wbio(from)) > PIECE_MAX) {
			move(r, from, to, direction);
			(void)BIO_reset(SSL_get_rbio(to));
			wind_on(m, r, TAPE);
		}
	}
	move(r, from, to, direction);
}

static void say_body(struct maker *m, struct recording *r, SSL *from, SSL *to)
{
	/* Whole records until the last, so that the answer's records are all as long as was asked for. */
	uint64_t room = BODY - BODY % m->options.record;
	for (uint64_t left = m->options.octets; left > 0;) {
		uint64_t n = left < room ? left : room;
		say(m, r, from, to, FLOW_DOWN, bytes_of(m->body, (size_t)n));
		left -= n;
	}
}

static void record(struct maker *m, struct recording *r)
{
	char head[160];
	SSL *client = endpoint(m->client, false);
	SSL *server = endpoint(m->server, true);
	if (SSL_set_tlsext_host_name(client, "www.bench.test") != 1)
		fail("SNI");
	r->len = r->count = 0;
	shake_hands(r, client, server);
	drain(client);
	say(m, r, client, server, FLOW_UP, bytes_str("GET / HTTP/1.1\r\nHost: www.bench.test\r\n\r\n"));
	drain(server);
	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %llu\r\n\r\n",
		(unsigned long long)m->options.octets);
	say(m, r, server, client, FLOW_DOWN, bytes_str(head));
	say_body(m, r, server, client);
	(void)SSL_shutdown(server);
	move(r, server, client, FLOW_DOWN);
	(void)SSL_shutdown(client);
	move(r, client, server, FLOW_UP);
	SSL_free(client);
	SSL_free(server);
	wind_on(m, r, 0);
}

static void make_connections(struct maker *m)
{
	const struct options *o = &m->options;
	struct recording r = {0};
	struct connection c;
	if (o->distinct == o->connections) {
		for (uint64_t n = 0; n < o->connections; n++) {
			c = connection_begin(m, n);
			m->live = &c;
			record(m, &r);
			connection_end(m, &c);
		}
	}
	for (uint64_t n = 0, made = 0; !m->live && made < o->distinct; made++) {
		record(m, &r);
		/* Its share of all connections. */
		for (; n < (made + 1) * o->connections / o->distinct; n++) {
			c = connection_begin(m, n);
			connection_put(m, &c, &r);
			connection_end(m, &c);
		}
	}
	m->live = NULL;
	free(r.octets);
	free(r.pieces);
}

static SSL_CTX *context(const struct maker *m, const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	int version = m->options.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
	bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
	          SSL_CTX_set_max_proto_version(ctx, version) == 1;
	if (ok && m->options.suite)
		ok = m->options.tls12 ? SSL_CTX_set_cipher_list(ctx, m->options.suite) == 1
		                      : SSL_CTX_set_ciphersuites(ctx, m->options.suite) == 1;
	if (!ok)
		fail("no such suite of that version");
	SSL_CTX_set_num_tickets(ctx, 1);
	return ctx;
}

static void certify(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	bool ok = key && cert && X509_set_version(cert, X509_VERSION_3) == 1 &&
	          ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
	          X509_gmtime_adj(X509_getm_notBefore(cert), 0) && X509_gmtime_adj(X509_getm_notAfter(cert), 86400) &&
	          X509_set_pubkey(cert, key) == 1 &&
	          X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
			  (const unsigned char *)"www.bench.test", -1, -1, 0) == 1 &&
	          X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
	          X509_sign(cert, key, EVP_sha256()) > 0 && SSL_CTX_use_certificate(ctx, cert) == 1 &&
	          SSL_CTX_use_PrivateKey(ctx, key) == 1;
	if (!ok)
		fail("no certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* Options. */

static uint64_t number(const char *value)
{
	uint64_t n;
	if (!text_number(bytes_str(value), UINT64_MAX / 2, &n) || n == 0)
		fail("expected a number above 0");
	return n;
}

static _Noreturn void usage(void)
{
	fputs("usage: capture --out FILE.pcap --keys FILE [--version 1.2|1.3] [--suite NAME] [--record OCTETS]\n"
	      "               [--octets N] [--connections N] [--distinct N] [--mss OCTETS] [--keys-inside]\n"
	      "Each connection is a request and an answer of --octets. --distinct handshakes are made, and repeated\n"
	      "under other addresses until there are --connections. --keys-inside makes a pcapng file that ends with\n"
	      "the keys.\n",
		stderr);
	exit(2);
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"out", 1, NULL, 'o'}, {"keys", 1, NULL, 'k'}, {"version", 1, NULL, 'v'},
		{"suite", 1, NULL, 's'}, {"record", 1, NULL, 'r'}, {"octets", 1, NULL, 'n'},
		{"connections", 1, NULL, 'c'}, {"distinct", 1, NULL, 'd'}, {"mss", 1, NULL, 'm'},
		{"keys-inside", 0, NULL, 'i'}, {0}};
	*o = (struct options){.record = 16384, .octets = 1000, .connections = 1, .mss = 1448};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) { /* NOLINT(concurrency-mt-unsafe) */
		switch (c) {
		case 'o':
			o->out = optarg;
			break;
		case 'k':
			o->keys = optarg;
			break;
		case 'v':
			o->tls12 = strcmp(optarg, "1.2") == 0;
			break;
		case 's':
			o->suite = optarg;
			break;
		case 'r':
			o->record = number(optarg);
			break;
		case 'n':
			o->octets = number(optarg);
			break;
		case 'c':
			o->connections = number(optarg);
			break;
		case 'd':
			o->distinct = number(optarg);
			break;
		case 'm':
			o->mss = number(optarg);
			break;
		case 'i':
			o->keys_inside = true;
			break;
		default:
			usage();
		}
	}
	if (!o->out || !o->keys || o->record > 16384 || o->mss > PIECE_MAX)
		usage();
	if (o->distinct == 0 || o->distinct > o->connections)
		o->distinct = o->connections;
}

int main(int argc, char **argv)
{
	struct maker m = {.time_ns = START_NS};
	read_options(&m.options, argc, argv);
	m.keys = fopen(m.options.keys, "wb");
	m.body = malloc(BODY);
	if (!m.keys || !m.body)
		fail("cannot write the key log, or no memory");
	for (size_t i = 0; i < BODY; i++)
		m.body[i] = (uint8_t)(i * 31 + (i >> 9));
	m.client = context(&m, TLS_client_method());
	m.server = context(&m, TLS_server_method());
	certify(m.server);
	SSL_CTX_set_app_data(m.client, m.keys);
	SSL_CTX_set_keylog_callback(m.client, log_key);
	begin_file(&m);
	make_connections(&m);
	end_file(&m);
	printf("{\"connections\":%llu,\"packets\":%llu,\"octets\":%llu}\n", (unsigned long long)m.options.connections,
		(unsigned long long)m.packets, (unsigned long long)m.written);
	free(m.body);
	SSL_CTX_free(m.client);
	SSL_CTX_free(m.server);
	return 0;
}
