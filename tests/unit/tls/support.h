/* What the tests of this room share: hellos built by hand, messages made by OpenSSL, streams out of captures. */
#ifndef TESTS_TLS_SUPPORT_H
#define TESTS_TLS_SUPPORT_H

#include "base/bytes.h"

#include <openssl/ssl.h>

/* Octets written out where they are used: RAW(0x01, 0x02). */
#define RAW(...) bytes_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* The parts of a ClientHello body. What is left empty takes the plain value named. */
struct hello_parts {
	uint16_t version;         /* 0x0303 */
	struct bytes session_id;  /* none */
	struct bytes suites;      /* 0x1301 */
	struct bytes compression; /* null */
	bool bare;                /* no extensions block at all */
	struct bytes extensions;  /* the block's content */
};

/* Writes a ClientHello body with a random of 32 octets 0x33. */
void put_hello(struct writer *w, const struct hello_parts *parts);
/* Writes one extension. */
void put_extension(struct writer *w, uint16_t type, struct bytes data);
/* Writes a handshake message. */
void put_message(struct writer *w, uint8_t type, struct bytes body);
/* Writes `content` as records of the type, each with at most `most` octets. */
void put_records(struct writer *w, uint8_t type, struct bytes content, size_t most);

/* The octets an OpenSSL client sends first. `tune` may be NULL. Returns how many there are. */
size_t openssl_hello(void (*tune)(SSL *client), uint8_t *out, size_t cap);

/* The handshake messages of one handshake in memory, in the clear and in order, each with its header. */
struct message {
	bool from_server;
	size_t len;
	uint8_t data[8192];
};

struct handshake_log {
	struct message messages[32];
	size_t count;
};

/*
 * A whole handshake of an OpenSSL client with an OpenSSL server at this version (0x0303, 0x0304), with a certificate
 * made for it. False when it fails.
 */
bool openssl_handshake(uint16_t version, void (*tune)(SSL *client, SSL *server), struct handshake_log *log);
/* The first message of this type and direction, its header included; nothing when there is none. */
struct bytes log_message(const struct handshake_log *log, bool from_server, uint8_t type);

/* One direction of a TCP connection in a capture. */
struct stream {
	uint16_t from_port, to_port;
	uint32_t from_address, next_sequence;
	size_t len, cap;
	uint8_t *data;
};

struct capture {
	struct stream streams[256];
	size_t count;
};

/* Reads a pcap file (gzip or not; IPv4 on Ethernet or raw). False when the captures are not at hand. */
bool capture_open(struct capture *capture, const char *name);
void capture_free(struct capture *capture);
/* The n-th stream that begins with a ClientHello's record; NULL when there are not so many. */
const struct stream *capture_client(const struct capture *capture, size_t n);
/* The other direction; NULL when it is not there. */
const struct stream *capture_answer(const struct capture *capture, const struct stream *client);
/* The file's path, for other programs. */
void capture_path(const char *name, char *out, size_t cap);

#endif
