/*
 * bench/connection.h — one connection of the load client: TCP, HTTP CONNECT where asked for, a TLS 1.3 handshake
 * (RFC 8446), HTTP/1.1 requests one after the other, an orderly end.
 */
#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include "base/loop.h"
#include "tlsside.h"

#include <sys/socket.h>

struct connection;

/* What all connections of a run share. Outlives them. */
struct connection_plan {
	struct loop *loop;
	SSL_CTX *ctx;
	struct tlsside side;
	struct sockaddr_storage to;
	socklen_t to_len;
	const char *connect; /* HOST:PORT for a CONNECT request first; NULL for none */
	const char *port;    /* ":PORT" as the Host field says it */
	bool leaf_p256;      /* the server's key must be on P-256 */
	/* Handshake done. The owner calls connection_request or connection_close, now or later. */
	void (*opened)(struct connection *conn);
	/* A whole response with status 200 is here. The same holds. */
	void (*answered)(struct connection *conn);
	/* The end: `err` is NULL after connection_close. The owner may open it again at once. */
	void (*closed)(struct connection *conn, const struct error *err);
};

enum connection_state {
	CONNECTION_CLOSED,
	CONNECTION_CONNECTING,
	CONNECTION_ASKING, /* CONNECT goes out */
	CONNECTION_ASKED,  /* its answer comes in */
	CONNECTION_HANDSHAKE,
	CONNECTION_IDLE,
	CONNECTION_SENDING,
	CONNECTION_HEAD,
	CONNECTION_BODY,
	CONNECTION_CLOSING,
};

/* Zeroed when new, but for plan and owner. */
struct connection {
	struct loop_io io; /* first: the loop hands this back */
	const struct connection_plan *plan;
	void *owner; /* the owner's own */
	SSL *ssl;
	enum connection_state state;
	bool running;
	uint64_t opened_ns, asked_ns; /* when connection_open and the last connection_request were called */
	char name[256];               /* SNI, checked against the certificate, and the Host field */
	char out[512];
	size_t out_len, out_at;
	uint8_t in[4096];
	size_t in_len;
	uint64_t body_left, received; /* received: octets of bodies since connection_open */
};

/* Starts a connection for `name`, resuming `session` unless that is NULL. A failure comes through `closed`. */
void connection_open(struct connection *conn, const char *name, SSL_SESSION *session);
/* GET `target`. Only when opened or answered. */
void connection_request(struct connection *conn, const char *target);
/* close_notify and FIN, then waits for the other side's end. */
void connection_close(struct connection *conn);

#endif
