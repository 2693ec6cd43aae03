/*
 * bus/connect.h — a connection to the fleet's bus: mutual TLS 1.3 with one of several servers, and with another whenever
 * that one is lost. libnats has threads of its own; only what is said here is called from them.
 *
 * One connection per process at a time: bus_forget ends the library, too, so that its threads and memory are gone.
 */
#ifndef BUS_CONNECT_H
#define BUS_CONNECT_H

#include "base/attr.h"
#include "base/error.h"

#include <nats/nats.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BUS_SERVERS_MAX 16

struct bus_options {
	const char *servers;                /* "nats://HOST:PORT", several with commas between */
	const char *certificate, *key, *ca; /* files in PEM; the servers' certificates must name HOST */
};

/* What befalls a connection; zeroed when new. */
struct bus_events {
	atomic_uint_fast64_t lost, again; /* times the server was lost, and one was found again */
	atomic_bool leaving;              /* it is dropped on purpose */
	atomic_bool forbidden;            /* this certificate may not do what was tried, since it last connected */
};

struct bus_connection {
	const char *servers;
	natsOptions *settings;
	natsConnection *conn; /* NULL: not connected */
	jsCtx *js;
	struct bus_events *events;
};

/* Whether the list of servers is one. */
must_check bool bus_servers_check(const char *servers, struct error *err);

/*
 * Reads all files there and then, so that a process may lose the right to read them afterwards. `inbox` is the subject below
 * which answers come (bus/name.h); NULL: the library's own. What befalls the connection is told to `events`, which must
 * outlive it, as the text of the servers must. On false there is nothing to be forgotten.
 */
must_check bool bus_prepare(struct bus_connection *to, const struct bus_options *options, const char *name,
	const char *inbox, struct bus_events *events, struct error *err);
/* Connects; blocks, for a few seconds at most for each server. `js` may be NULL. */
must_check bool bus_connect(struct bus_connection *connection, jsOptions *js, struct error *err);
/* Ends the connection; it may be connected again. Harmless on one that is not. */
void bus_drop(struct bus_connection *connection);
/* What was prepared, and the library with its threads. Harmless on a zeroed one. */
void bus_forget(struct bus_connection *connection);

/* "TEXT (JetStream 10059)", for a sentence. */
#define BUS_WHY 160
const char *bus_why(char out[static BUS_WHY], natsStatus status, jsErrCode code);

#endif
