/* assess/server_parts.h — between the parts of the assessment of a server. */
#ifndef ASSESS_SERVER_PARTS_H
#define ASSESS_SERVER_PARTS_H

#include "assess/handshake.h"
#include "assess/probe.h"
#include "assess/report.h"
#include "assess/server.h"
#include "tls/suite.h"

#define SERVER_VERSIONS 5  /* SSL 3.0 .. TLS 1.3, by the low octet of their number */
#define SERVER_SUITES   24 /* told one by one per version */

enum known { NOT_KNOWN, NO, YES };

struct server {
	const struct server_options *options;
	struct target target;
	struct subject_name name; /* of the certificate */
	struct report *report;

	enum known version[SERVER_VERSIONS];
	enum known rsa, dhe;           /* key exchange taken in TLS 1.2 */
	enum known rsa_free, dhe_free; /* the same without extended master secret */
	enum known extended_master_secret;
	enum known secure_renegotiation;
};

/* Each asks and adds its findings. */
/* False with err set when there is nothing that could be assessed. */
must_check bool server_versions(struct server *server, struct error *err);
void server_suites(struct server *server);
void server_groups(struct server *server);
void server_key_exchange(struct server *server);
void server_dropout(struct server *server);
void server_session(struct server *server);
void server_certificate(struct server *server, const struct handshake_seen *seen);

/* The server's names for a hello, with what all hellos share. `suites` stay the caller's. */
must_check struct offer server_offer(
	const struct server *server, uint16_t version, const uint16_t *suites, size_t count);
/* Suites of this version that `keep` wants and this program can name, at most `cap`. Returns how many. */
must_check size_t server_list(uint16_t version, bool (*keep)(const struct suite *suite), uint16_t *out, size_t cap);
/* YES or NO for an answer that says so, NOT_KNOWN where nobody could tell. */
must_check enum known server_known(enum probe_result result, const struct flight *flight, uint16_t version);
/* Whether the server speaks TLS 1.2 or, where nothing better, the highest below; 0: nothing below TLS 1.3. */
must_check uint16_t server_classic(const struct server *server);

#endif
