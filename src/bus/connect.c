#include "bus/connect.h"

#include "base/bytes.h"
#include "base/log.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_MAX     300
#define CONNECT_MS     3000 /* for each server */
#define AGAIN_MS       100
#define JITTER_MS      100
#define PING_MS        2000 /* a server that hangs is left after three of these */
#define PINGS_OUT      2
#define WRITE_MS       2000
#define LIBRARY_MS     5000
#define SECURITY_LEVEL 2
#define SUITES         "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
/* libnats cannot be told a least version. Without a pre-shared key this leaves TLS 1.2 no suite, so that 1.3 it is. */
#define NO_OLDER_SUITES "PSK-AES256-GCM-SHA384"

struct servers {
	char room[BUS_SERVERS_MAX][SERVER_MAX];
	const char *at[BUS_SERVERS_MAX];
	int count;
};

static bool one_server(struct servers *servers, struct bytes one, struct error *err)
{
	const struct bytes scheme = bytes_str("nats://");
	bool known = bytes_starts(one, scheme) && one.len > scheme.len && one.len < SERVER_MAX;
	if (!known || bytes_find(one, '@', 0) < one.len)
		return error_set(err, "%.*s: a server of the bus is written nats://HOST:PORT%s", (int)one.len,
			(const char *)one.data,
			known ? ", without a password: who asks is said by the certificate" : "");
	if (servers->count == BUS_SERVERS_MAX)
		return error_set(err, "at most %d servers of the bus", BUS_SERVERS_MAX);
	char *room = servers->room[servers->count];
	snprintf(room, SERVER_MAX, "%.*s", (int)one.len, (const char *)one.data);
	servers->at[servers->count++] = room;
	return true;
}

static bool split(struct servers *servers, const char *text, struct error *err)
{
	struct bytes rest = bytes_str(text), one;
	servers->count = 0;
	do {
		(void)!bytes_take(&rest, bytes_find(rest, ',', 0), &one);
		if (!one_server(servers, one, err))
			return false;
	} while (bytes_skip(&rest, 1));
	return true;
}

bool bus_servers_check(const char *text, struct error *err)
{
	struct servers servers;
	return split(&servers, text, err);
}

static bool files_check(const struct bus_options *options, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return error_set_openssl(err, "no TLS");
	bool ok = (SSL_CTX_use_certificate_chain_file(ctx, options->certificate) == 1 ||
			  error_set_openssl(err, "%s: no certificate to show", options->certificate)) &&
	          ((SSL_CTX_use_PrivateKey_file(ctx, options->key, SSL_FILETYPE_PEM) == 1 &&
			   SSL_CTX_check_private_key(ctx) == 1) ||
			  error_set_openssl(err, "%s: no key that fits %s", options->key, options->certificate)) &&
	          (SSL_CTX_load_verify_locations(ctx, options->ca, NULL) == 1 ||
			  error_set_openssl(err, "%s: no CA to check the bus with", options->ca));
	SSL_CTX_free(ctx);
	return ok;
}

const char *bus_why(char out[static BUS_WHY], natsStatus status, jsErrCode code)
{
	natsStatus last = NATS_OK;
	const char *detail = nats_GetLastError(&last);
	if (code != 0)
		snprintf(out, BUS_WHY, "%s (JetStream %d)",
			last == status && detail ? detail : natsStatus_GetText(status), (int)code);
	else if (status == NATS_ERR && last == status && detail && *detail)
		snprintf(out, BUS_WHY, "%s", detail);
	else
		snprintf(out, BUS_WHY, "%s", natsStatus_GetText(status));
	return out;
}

/*
 * At exit libnats frees OpenSSL's list of compression methods, and OpenSSL frees it again. So the list is taken out before,
 * which leaves both with none: TLS 1.3 has no compression, and nothing here has ever offered any. Contexts made before still
 * point at the list, so that it goes at exit only.
 */
static STACK_OF(SSL_COMP) * compression;

static void free_method(SSL_COMP *method)
{
	OPENSSL_free(method);
}

static void free_compression(void)
{
	sk_SSL_COMP_pop_free(compression, free_method);
	compression = NULL;
}

static void take_out_compression(void)
{
	if (compression || !SSL_COMP_get_compression_methods() || atexit(free_compression) != 0)
		return;
	compression = SSL_COMP_get_compression_methods();
	(void)!SSL_COMP_set0_compression_methods(NULL);
}

/* From threads of libnats. */

static void say(natsConnection *conn, const char *event)
{
	char url[SERVER_MAX] = "";
	(void)natsConnection_GetConnectedUrl(conn, url, sizeof(url));
	log_warn(event, LOG_S("server", url));
}

static void lost(natsConnection *conn, void *closure)
{
	struct bus_events *events = closure;
	(void)conn;
	if (atomic_load(&events->leaving))
		return;
	atomic_fetch_add(&events->lost, 1);
	log_warn("bus lost", LOG_S("in-force", "another of its servers is tried"));
}

static void again(natsConnection *conn, void *closure)
{
	struct bus_events *events = closure;
	atomic_fetch_add(&events->again, 1);
	atomic_store(&events->forbidden, false); /* what is allowed may have changed */
	say(conn, "bus found again");
}

static void failed(natsConnection *conn, natsSubscription *sub, natsStatus status, void *closure)
{
	const char *text = NULL;
	(void)sub;
	if (status == NATS_NOT_PERMITTED)
		atomic_store(&((struct bus_events *)closure)->forbidden, true);
	(void)natsConnection_GetLastError(conn, &text);
	log_warn("bus complains", LOG_S("why", text && *text ? text : natsStatus_GetText(status)));
}

/* Making. */

static natsStatus set_tls(natsOptions *to, const struct bus_options *options)
{
	natsStatus s = natsOptions_SetSecure(to, true);
	if (s == NATS_OK)
		s = natsOptions_LoadCATrustedCertificates(to, options->ca);
	if (s == NATS_OK)
		s = natsOptions_LoadCertificatesChain(to, options->certificate, options->key);
	if (s == NATS_OK)
		s = natsOptions_SetCipherSuites(to, SUITES);
	return s == NATS_OK ? natsOptions_SetCiphers(to, NO_OLDER_SUITES) : s;
}

static natsStatus set_life(natsOptions *to, struct bus_events *events)
{
	natsStatus s = natsOptions_SetTimeout(to, CONNECT_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxReconnect(to, -1);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectWait(to, AGAIN_MS);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectJitter(to, JITTER_MS, JITTER_MS);
	if (s == NATS_OK)
		s = natsOptions_SetPingInterval(to, PING_MS);
	if (s == NATS_OK)
		s = natsOptions_SetMaxPingsOut(to, PINGS_OUT);
	if (s == NATS_OK)
		s = natsOptions_SetWriteDeadline(to, WRITE_MS);
	/* Which servers there are is said by who runs this, not by whoever answers. */
	if (s == NATS_OK)
		s = natsOptions_SetIgnoreDiscoveredServers(to, true);
	if (s == NATS_OK)
		s = natsOptions_SetDisconnectedCB(to, lost, events);
	if (s == NATS_OK)
		s = natsOptions_SetReconnectedCB(to, again, events);
	return s == NATS_OK ? natsOptions_SetErrorHandler(to, failed, events) : s;
}

static natsStatus set_all(natsOptions *to, const struct bus_options *options, const char *name, const char *inbox,
	struct servers *servers, struct bus_events *events)
{
	natsStatus s = natsOptions_SetServers(to, servers->at, servers->count);
	if (s == NATS_OK)
		s = natsOptions_SetName(to, name);
	if (s == NATS_OK && inbox)
		s = natsOptions_SetCustomInboxPrefix(to, inbox);
	if (s == NATS_OK)
		s = set_tls(to, options);
	return s == NATS_OK ? set_life(to, events) : s;
}

/* What libnats heard is said more exactly than what it makes of it. */
static bool fault(struct error *err, const char *servers, natsStatus s)
{
	const char *detail = nats_GetLastError(NULL);
	return error_set(
		err, "%s: %s%s%s", servers, natsStatus_GetText(s), detail && *detail ? ": " : "", detail ? detail : "");
}

bool bus_prepare(struct bus_connection *to, const struct bus_options *options, const char *name, const char *inbox,
	struct bus_events *events, struct error *err)
{
	struct servers servers;
	*to = (struct bus_connection){.servers = options->servers, .events = events};
	if (!split(&servers, options->servers, err) || !files_check(options, err))
		return false;
	take_out_compression();
	natsStatus s = natsOptions_Create(&to->settings);
	if (s == NATS_OK)
		s = set_all(to->settings, options, name, inbox, &servers, events);
	if (s == NATS_OK)
		return true;
	(void)fault(err, options->servers, s);
	bus_forget(to);
	return false;
}

bool bus_connect(struct bus_connection *connection, jsOptions *js, struct error *err)
{
	atomic_store(&connection->events->leaving, false);
	atomic_store(&connection->events->forbidden, false);
	natsStatus s = natsConnection_Connect(&connection->conn, connection->settings);
	if (s == NATS_OK)
		s = natsConnection_JetStream(&connection->js, connection->conn, js);
	if (s == NATS_OK)
		return true;
	(void)fault(err, connection->servers, s);
	bus_drop(connection);
	return false;
}

void bus_drop(struct bus_connection *connection)
{
	if (connection->conn)
		atomic_store(&connection->events->leaving, true);
	jsCtx_Destroy(connection->js);
	natsConnection_Destroy(connection->conn);
	connection->js = NULL;
	connection->conn = NULL;
}

void bus_forget(struct bus_connection *connection)
{
	if (!connection->settings)
		return;
	bus_drop(connection);
	natsOptions_Destroy(connection->settings);
	connection->settings = NULL;
	if (nats_CloseAndWait(LIBRARY_MS) == NATS_TIMEOUT)
		log_warn("bus library still busy");
}
