/*
 * keys_client — full TLS 1.3 handshakes (RFC 8446), each with one small request, for so little that a server with a core
 * of its own is what limits them: one key pair for all, and neither certificate nor signature nor the server's Finished
 * is looked at. A load for servers, and nothing else. Loopback only.
 *
 *     keys_client PORT COUNT CONCURRENCY [AT-MOST-SECONDS]
 */
#include "base/clock.h"
#include "base/loop.h"
#include "base/text.h"
#include "figures.h"
#include "tls/group.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/protect.h"
#include "tls/schedule13.h"
#include "tls/sigalg.h"
#include "tls/transcript.h"
#include "tlsside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM   ((size_t)32768)
#define SHARE  32 /* octets of an X25519 share */
#define NAME   "www.bench.test"
#define SUITE  0x1301
#define MOST_S 300

enum stage { CLOSED, CONNECTING, HELLO_SENT, REQUEST_SENT };

struct client;

struct conn {
	struct loop_io io;
	struct client *client;
	enum stage stage;
	uint64_t opened_ns;
	struct transcript transcript;
	struct tls_secret handshake, own; /* the handshake secret; this side's handshake traffic secret */
	struct protect *in;
	uint8_t held[ROOM], flight[ROOM]; /* what came; the server's messages, opened */
	size_t held_len, flight_len;
};

struct client {
	struct loop *loop;
	struct crypto *crypto;
	const struct suite *suite;
	EVP_PKEY *key;
	EVP_PKEY_CTX *exchange;
	uint8_t share[SHARE];
	struct sockaddr_in to;
	struct conn *conns;
	size_t conns_len;
	uint64_t started, count, live;
	struct figures figures;
	struct loop_timer deadline;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "keys_client: %s\n", what);
	exit(2);
}

static bool open_one(struct conn *conn);

static void release(struct conn *conn)
{
	loop_forget(conn->client->loop, &conn->io);
	close(conn->io.fd);
	transcript_free(&conn->transcript);
	protect_free(conn->in);
	conn->in = NULL;
	conn->stage = CLOSED;
}

/* What comes next in its place; ends the run when nothing does. */
static void go_on(struct conn *conn)
{
	struct client *client = conn->client;
	if (client->started < client->count && client->figures.errors == 0) {
		client->started++;
		if (open_one(conn))
			return;
		die("no connection can be opened");
	}
	if (--client->live == 0)
		loop_stop(client->loop);
}

static void fail(struct conn *conn, const char *what)
{
	struct error err;
	error_set(&err, "%s", what);
	figures_error(&conn->client->figures, &err);
	release(conn);
	go_on(conn);
}

/* A hello as small as a hello may be. */
static size_t write_hello(const struct client *client, uint8_t *out, size_t cap)
{
	uint8_t random[HELLO_RANDOM];
	struct writer to = writer_over(out, cap);
	if (RAND_bytes(random, sizeof(random)) != 1)
		die("no random octets");
	writer_u8(&to, RECORD_HANDSHAKE);
	writer_u16(&to, 0x0301);
	size_t record = writer_open(&to, 2);
	writer_u8(&to, HANDSHAKE_CLIENT_HELLO);
	size_t message = writer_open(&to, 3);
	writer_u16(&to, TLS_VERSION_12);
	writer_bytes(&to, bytes_of(random, sizeof(random)));
	writer_u8(&to, 0);
	writer_u16(&to, 2);
	writer_u16(&to, SUITE);
	writer_u16(&to, 0x0100); /* no compression */
	size_t block = writer_open(&to, 2);
	writer_u16(&to, 0); /* server_name */
	writer_u16(&to, (uint16_t)(strlen(NAME) + 5));
	writer_u16(&to, (uint16_t)(strlen(NAME) + 3));
	writer_u8(&to, 0);
	writer_u16(&to, (uint16_t)strlen(NAME));
	writer_bytes(&to, bytes_str(NAME));
	writer_u16(&to, 10); /* supported_groups */
	writer_u16(&to, 4);
	writer_u16(&to, 2);
	writer_u16(&to, GROUP_X25519);
	writer_u16(&to, 13); /* signature_algorithms: ecdsa_secp256r1_sha256 */
	writer_u16(&to, 4);
	writer_u16(&to, 2);
	writer_u16(&to, 0x0403);
	writer_u16(&to, 43); /* supported_versions */
	writer_u16(&to, 3);
	writer_u8(&to, 2);
	writer_u16(&to, TLS_VERSION_13);
	writer_u16(
		&to, 45); /* psk_key_exchange_modes: what a server wants to see before it issues tickets, as it does */
	writer_u16(&to, 2);
	writer_u16(&to, 0x0101);
	writer_u16(&to, 51); /* key_share */
	writer_u16(&to, SHARE + 6);
	writer_u16(&to, SHARE + 4);
	writer_u16(&to, GROUP_X25519);
	writer_u16(&to, SHARE);
	writer_bytes(&to, bytes_of(client->share, SHARE));
	writer_close(&to, block, 2);
	writer_close(&to, message, 3);
	writer_close(&to, record, 2);
	return to.full ? 0 : to.len;
}

static bool send_all(const struct conn *conn, const uint8_t *octets, size_t len)
{
	return len > 0 && send(conn->io.fd, octets, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool send_hello(struct conn *conn)
{
	uint8_t room[512];
	size_t len = write_hello(conn->client, room, sizeof(room));
	transcript_init(&conn->transcript, TRANSCRIPT_CAP);
	conn->stage = HELLO_SENT;
	return len > RECORD_HEADER &&
	       transcript_add(&conn->transcript, bytes_of(room + RECORD_HEADER, len - RECORD_HEADER)) ==
	               TRANSCRIPT_OK &&
	       send_all(conn, room, len);
}

static bool exchange(struct client *client, struct bytes share, uint8_t out[static SHARE])
{
	size_t len = SHARE;
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share.data, share.len);
	bool ok = peer && EVP_PKEY_derive_set_peer_ex(client->exchange, peer, 0) == 1 &&
	          EVP_PKEY_derive(client->exchange, out, &len) == 1 && len == SHARE;
	EVP_PKEY_free(peer);
	return ok;
}

static struct protect *protection(struct client *client, const struct tls_secret *traffic)
{
	struct traffic_keys keys;
	const struct protect_setup setup = {.suite = client->suite, .version = TLS_VERSION_13, .keys = &keys};
	return schedule13_keys(client->crypto, client->suite, traffic, &keys) ? protect_new(client->crypto, &setup)
	                                                                      : NULL;
}

static bool take_server_hello(struct conn *conn, struct bytes fragment)
{
	struct client *client = conn->client;
	struct handshake message;
	struct server_hello hello;
	struct tls_secret early, traffic, hash;
	uint8_t shared[SHARE];
	if (handshake_read(&fragment, ROOM, &message) != HANDSHAKE_OK || message.type != HANDSHAKE_SERVER_HELLO ||
		server_hello_parse(message.body, &hello) != HELLO_OK || hello.suite != SUITE || hello.retry ||
		hello.group != GROUP_X25519 || !exchange(client, hello.key_share, shared))
		return false;
	if (transcript_choose(&conn->transcript, client->suite->prf) != TRANSCRIPT_OK ||
		transcript_add(&conn->transcript, message.whole) != TRANSCRIPT_OK ||
		transcript_value(&conn->transcript, &hash) != TRANSCRIPT_OK)
		return false;
	bool ok = schedule13_early(client->crypto, client->suite->prf, BYTES_NONE, &early) &&
	          schedule13_handshake(
			  client->crypto, client->suite->prf, &early, bytes_of(shared, SHARE), &conn->handshake) &&
	          schedule13_derive(client->crypto, client->suite->prf, &conn->handshake, SCHEDULE13_C_HS_TRAFFIC,
			  tls_secret_bytes(&hash), &conn->own) &&
	          schedule13_derive(client->crypto, client->suite->prf, &conn->handshake, SCHEDULE13_S_HS_TRAFFIC,
			  tls_secret_bytes(&hash), &traffic);
	conn->in = ok ? protection(client, &traffic) : NULL;
	return conn->in != NULL;
}

static bool seal(
	struct client *client, const struct tls_secret *traffic, uint8_t type, struct bytes text, struct writer *to)
{
	struct protect *out = protection(client, traffic);
	bool ok = out && protect_seal(out, type, text, 0, to) == PROTECT_OK;
	protect_free(out);
	return ok;
}

/* Finished and the request in one piece; from here on the server's data are opened. */
static bool answer_finished(struct conn *conn)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: " NAME "\r\n\r\n";
	struct client *client = conn->client;
	enum suite_hash prf = client->suite->prf;
	struct tls_secret hash, master, mine, theirs, verify;
	uint8_t room[512], finished[HANDSHAKE_HEADER + TLS_SECRET_MAX];
	struct writer to = writer_over(room, sizeof(room)), message = writer_over(finished, sizeof(finished));
	bool ok = transcript_value(&conn->transcript, &hash) == TRANSCRIPT_OK &&
	          schedule13_master(client->crypto, prf, &conn->handshake, &master) &&
	          schedule13_derive(
			  client->crypto, prf, &master, SCHEDULE13_C_AP_TRAFFIC, tls_secret_bytes(&hash), &mine) &&
	          schedule13_derive(
			  client->crypto, prf, &master, SCHEDULE13_S_AP_TRAFFIC, tls_secret_bytes(&hash), &theirs) &&
	          schedule13_finished(client->crypto, prf, &conn->own, tls_secret_bytes(&hash), &verify);
	if (!ok)
		return false;
	writer_u8(&message, HANDSHAKE_FINISHED);
	size_t mark = writer_open(&message, 3);
	writer_bytes(&message, tls_secret_bytes(&verify));
	writer_close(&message, mark, 3);
	protect_free(conn->in);
	conn->in = protection(client, &theirs);
	conn->stage = REQUEST_SENT;
	return conn->in && seal(client, &conn->own, RECORD_HANDSHAKE, bytes_of(finished, message.len), &to) &&
	       seal(client, &mine, RECORD_APPLICATION_DATA, bytes_str(request), &to) && send_all(conn, room, to.len);
}

/* Messages of the server's flight as they become whole. */
static bool take_flight(struct conn *conn, struct bytes plaintext)
{
	struct handshake message;
	if (plaintext.len > ROOM - conn->flight_len)
		return false;
	memcpy(conn->flight + conn->flight_len, plaintext.data, plaintext.len);
	conn->flight_len += plaintext.len;
	struct bytes rest = bytes_of(conn->flight, conn->flight_len);
	while (handshake_read(&rest, ROOM, &message) == HANDSHAKE_OK) {
		if (transcript_add(&conn->transcript, message.whole) != TRANSCRIPT_OK)
			return false;
		if (message.type == HANDSHAKE_FINISHED)
			return rest.len == 0 && answer_finished(conn);
	}
	memmove(conn->flight, rest.data, rest.len);
	conn->flight_len = rest.len;
	return true;
}

static void finish(struct conn *conn)
{
	conn->client->figures.handshakes++;
	figures_done(&conn->client->figures, clock_monotonic_ns() - conn->opened_ns);
	release(conn);
	go_on(conn);
}

enum step { STEP_MORE, STEP_DONE, STEP_BAD };

static enum step take_record(struct conn *conn, const struct record *record)
{
	uint8_t room[RECORD_MAX_FRAGMENT];
	struct opened opened;
	if (record->type == RECORD_CHANGE_CIPHER_SPEC)
		return STEP_MORE;
	if (conn->stage == HELLO_SENT && !conn->in)
		return record->type == RECORD_HANDSHAKE && take_server_hello(conn, record->fragment) ? STEP_MORE
		                                                                                     : STEP_BAD;
	if (protect_open(conn->in, record, room, sizeof(room), &opened) != PROTECT_OK)
		return STEP_BAD;
	if (conn->stage == HELLO_SENT)
		return opened.type == RECORD_HANDSHAKE && take_flight(conn, opened.plaintext) ? STEP_MORE : STEP_BAD;
	if (opened.type == RECORD_HANDSHAKE) /* tickets */
		return STEP_MORE;
	return opened.type == RECORD_APPLICATION_DATA && bytes_starts(opened.plaintext, bytes_str("HTTP/1.1 200"))
	               ? STEP_DONE
	               : STEP_BAD;
}

static enum step take_all(struct conn *conn)
{
	struct bytes rest = bytes_of(conn->held, conn->held_len);
	struct record record;
	enum step step = STEP_MORE;
	while (step == STEP_MORE && record_read(&rest, &record) == RECORD_OK)
		step = take_record(conn, &record);
	if (step == STEP_MORE) {
		memmove(conn->held, rest.data, rest.len);
		conn->held_len = rest.len;
	}
	return step;
}

static void ready(struct loop_io *io)
{
	struct conn *conn = (struct conn *)(void *)((char *)io - offsetof(struct conn, io));
	if (conn->stage == CONNECTING && !io->writable)
		return;
	if (conn->stage == CONNECTING && !send_hello(conn)) {
		fail(conn, "the hello cannot be sent");
		return;
	}
	while (io->readable) {
		ssize_t n = recv(io->fd, conn->held + conn->held_len, ROOM - conn->held_len, 0);
		if (n <= 0 && errno == EAGAIN && n < 0) {
			io->readable = false;
			return;
		}
		conn->held_len += n > 0 ? (size_t)n : 0;
		enum step step = n > 0 ? take_all(conn) : STEP_BAD;
		if (step == STEP_DONE) {
			finish(conn);
			return;
		}
		if (step == STEP_BAD) {
			fail(conn, n > 0 ? "the server said something else" : "the server ended the connection");
			return;
		}
	}
}

/* Closed by a reset: thousands of ports in TIME_WAIT would be what ends a run. */
static bool open_one(struct conn *conn)
{
	const struct linger at_once = {.l_onoff = 1};
	const int on = 1;
	const struct client *client = conn->client;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	conn->stage = CONNECTING;
	conn->held_len = conn->flight_len = 0;
	conn->io = (struct loop_io){.fd = fd};
	conn->opened_ns = clock_monotonic_ns();
	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0 &&
	       setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	       (connect(fd, (const struct sockaddr *)&client->to, sizeof(client->to)) == 0 || errno == EINPROGRESS) &&
	       loop_add(client->loop, &conn->io, fd, ready);
}

static void too_long(struct loop_timer *timer)
{
	struct client *client = (struct client *)(void *)((char *)timer - offsetof(struct client, deadline));
	struct error err;
	error_set(&err, "the deadline passed");
	figures_error(&client->figures, &err);
	loop_stop(client->loop);
}

static void setup(struct client *client)
{
	size_t len = SHARE;
	client->loop = loop_new();
	client->crypto = crypto_new();
	client->suite = suite_find(SUITE);
	client->key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	client->exchange = client->key ? EVP_PKEY_CTX_new(client->key, NULL) : NULL;
	client->conns = calloc(client->conns_len, sizeof(*client->conns));
	if (!client->loop || !client->crypto || !client->exchange || !client->conns || !client->suite ||
		EVP_PKEY_derive_init(client->exchange) != 1 ||
		EVP_PKEY_get_raw_public_key(client->key, client->share, &len) != 1 ||
		!figures_init(&client->figures, client->count))
		die("no memory");
	crypto_spoil_errors(client->crypto);
}

static void cleanup(struct client *client)
{
	for (size_t i = 0; i < client->conns_len; i++) {
		if (client->conns[i].stage != CLOSED)
			release(&client->conns[i]);
	}
	free(client->conns);
	figures_free(&client->figures);
	EVP_PKEY_CTX_free(client->exchange);
	EVP_PKEY_free(client->key);
	crypto_free(client->crypto);
	loop_free(client->loop);
}

static uint64_t number(const char *text, uint64_t most)
{
	uint64_t value;
	if (!text_number(bytes_str(text), most, &value) || value == 0)
		die("usage: keys_client PORT COUNT CONCURRENCY [AT-MOST-SECONDS]");
	return value;
}

int main(int argc, char **argv)
{
	static struct client client;
	if (argc < 4 || argc > 5)
		die("usage: keys_client PORT COUNT CONCURRENCY [AT-MOST-SECONDS]");
	client.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	client.to.sin_port = htons((uint16_t)number(argv[1], UINT16_MAX));
	client.count = number(argv[2], 100000000);
	client.conns_len = number(argv[3], client.count < 1000 ? client.count : 1000);
	uint64_t most_s = argc > 4 ? number(argv[4], 100000) : MOST_S;
	setup(&client);
	uint64_t before_ns = clock_monotonic_ns(), cpu_ns = cpu_time_ns();
	client.started = client.live = client.conns_len;
	for (size_t i = 0; i < client.conns_len; i++) {
		client.conns[i].client = &client;
		if (!open_one(&client.conns[i]))
			die("no connection can be opened");
	}
	loop_timer_set(client.loop, &client.deadline, before_ns + most_s * NS_PER_S, too_long);
	if (!loop_run(client.loop))
		die("the loop failed");
	figures_print(&client.figures, "handshakes", clock_monotonic_ns() - before_ns, cpu_time_ns() - cpu_ns, stdout);
	int status = client.figures.errors > 0;
	cleanup(&client);
	return status;
}
