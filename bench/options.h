/* bench/options.h — the load client's command line. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "tlsside.h"

#include <sys/socket.h>

enum load_mode { LOAD_HANDSHAKES, LOAD_FIRST, LOAD_BULK, LOAD_REQUESTS, LOAD_IDLE };

struct options {
	enum load_mode mode;
	const char *mode_name;
	struct sockaddr_storage to; /* the proxy, or a server directly */
	socklen_t to_len;
	const char *connect; /* HOST:PORT; NULL: no CONNECT */
	const char *port;    /* ":PORT" of the target, within `connect` or the value of --to */
	const char *ca;      /* trust anchors, PEM */
	bool verify;
	const char *sni;      /* one "%d" in it becomes a number */
	uint64_t sni_from;    /* the first such number */
	uint64_t count;       /* handshakes, requests; for idle: connections */
	uint64_t concurrency; /* connections at a time */
	uint64_t bytes;       /* bulk: octets in all */
	uint64_t deadline_ns; /* the whole run may take no longer */
	bool resume;          /* offer sessions */
	bool gate;            /* wait for a line on stdin where README.md says so */
	bool leaf_p256;       /* the proxy's leaf must be on P-256 */
	struct tlsside side;
};

/* Reads argv; the strings stay argv's. False with `err` naming the option. */
must_check bool options_read(struct options *options, int argc, char **argv, struct error *err);
void options_usage(void);

/* `sni` with "%d" replaced by `number`, into `out` (cap octets with the NUL, cut when longer). */
void options_name(const struct options *options, uint64_t number, char *out, size_t cap);

#endif
