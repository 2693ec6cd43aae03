/*
 * collect/collector.h — `overt collect`: takes keys from those who may send them, holds them sealed for a while, and gives
 * them to those who may read them. One process, one thread, beside the audit log's own.
 *
 * Who connects shows a certificate of the collector's CA over TLS 1.3. By ALPN: "overt-keys/1" sends sealed releases,
 * "overt-read/1" fetches them; no ALPN sends lines of a key log (RFC 9850), which are sealed as they come to the readers of
 * those grants that say `grade: raw` and cover them, and wiped.
 *
 * Nothing is taken or given without a grant, and nothing before its entry is in the audit log: while that cannot be
 * written, senders are answered so and readers get nothing. The name of a reader in any grant cannot be used to send.
 */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include "bus/publish.h"
#include "collect/store.h"
#include "collect/tls.h"
#include "keys/grant.h"

#define COLLECT_LISTEN_MAX  16
#define COLLECT_SIGNERS_MAX 16

struct collect_options {
	struct collect_files files;
	const char *listen[COLLECT_LISTEN_MAX]; /* "HOST:PORT"; port 0: the kernel's choice, which is logged */
	size_t listen_count;
	const char *grants; /* folder of *.grant and *.revoked; watched */
	struct note_key signers[COLLECT_SIGNERS_MAX];
	size_t signer_count;
	const char *user;  /* to become once the ports are open; NULL: the present one */
	const char *audit; /* file of the audit log */
	const char *spool; /* file for sealed keys, so that they survive a restart; NULL: none */
	struct store_limits store;
	struct bus_options bus;      /* `servers` NULL: none */
	const char *site;            /* of this collector, in the bus's subjects */
	uint64_t bus_wait_ns;        /* how long a batch may wait for the bus; 0: BUS_WAIT_NS */
	unsigned clients;            /* connections at once */
	unsigned client_connections; /* of which with one certificate */
	uint64_t patience_ns; /* how long a client may leave a handshake, a frame or what it is sent unfinished */
	const char *metrics;  /* "HOST:PORT" of the loopback, for Prometheus; NULL: none */
	unsigned rate;        /* keys per second of one client; above, it is read more slowly */
};

void collect_options_init(struct collect_options *options);

/* Runs until SIGTERM or SIGINT, which must be blocked by the caller; SIGHUP reads certificates and grants again. */
must_check bool collect_run(const struct collect_options *options, struct error *err);

#endif
