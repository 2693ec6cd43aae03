/*
 * watch/session_parts.h — what the files of a session share. For session*.c and recover.c only.
 *
 * session.c takes octets in and keeps the two directions in step; session_record.c deals with one record;
 * session_hello.c, session_tls13.c and session_tls12.c with what a handshake says; session_dtls.c with datagrams; session_keys.c gets secrets,
 * session_psk.c makes them of keys that were shared beforehand; session_ech.c opens Encrypted Client Hellos;
 * session_unpack.c unpacks certificates; session_report.c makes events and accounts for losses; recover.c finds the place again.
 */
#ifndef WATCH_SESSION_PARTS_H
#define WATCH_SESSION_PARTS_H

#include "base/buffer.h"
#include "base/cache.h"
#include "tls/handshake.h"
#include "tls/hello.h"
#include "tls/protect.h"
#include "tls/transcript.h"
#include "watch/hello_event.h"
#include "watch/park.h"
#include "watch/session.h"
#include "watch/spare.h"

#define SESSION_MESSAGE_MAX  ((size_t)128 * 1024)       /* octets of a handshake message that spans records */
#define SESSION_HELD_MAX     ((size_t)32 * 1024 * 1024) /* octets of handshake kept, in all sessions of a room */
#define SESSION_OFFERED      64                         /* cipher suites of a ClientHello that are remembered */
#define SESSION_MASTERS      8                          /* master secrets that may be a TLS 1.2 connection's */
#define SESSION_IDENTITY_MAX 1024                       /* octets of a PSK identity of TLS 1.2 that is looked up */
#define SESSION_PSKS         4                          /* keys at hand that one ClientHello of TLS 1.3 offers */
#define SESSION_PSK_TRIES    256                        /* keys tried on one handshake */
#define SESSION_WAITS        3

/* How far a direction has come. */
enum lane_stage {
	LANE_START, /* in the clear; or nothing is known */
	LANE_EARLY, /* TLS 1.3, client: 0-RTT data */
	LANE_HANDSHAKE,
	LANE_DATA, /* application traffic of `epoch`; TLS 1.2: whatever follows ChangeCipherSpec */
};

/* What was lost since the last record that opened. */
struct loss {
	uint64_t octets[SESSION_CAUSES];
	uint64_t from;    /* sequence number of the first record lost */
	uint64_t records; /* whole records seen, with `plain` octets of plaintext */
	uint64_t plain;
	uint64_t loose; /* octets that were not told apart into records */
	bool any;
};

/* One direction. */
struct lane {
	struct framer framer;
	struct park_queue queue;
	struct protect *protect;  /* NULL: the key is not known (yet) */
	struct traffic_keys keys; /* of `protect` */
	struct tls_secret secret; /* TLS 1.3: what they come from; empty: not known */
	struct buffer message;    /* a handshake message in parts */
	struct loss loss;
	uint64_t next;           /* sequence number of the next record, those not opened counted */
	uint64_t plain, missing; /* octets of plaintext given out; in gaps */
	uint64_t first;          /* of `protect`: numbers below it are not for its holder to read */
	uint32_t epoch;          /* in LANE_DATA: KeyUpdates, or handshakes of TLS 1.2 (1 is the first) */
	uint8_t stage;
	bool client;     /* the sender is the client */
	bool unsure;     /* records are lost, and nobody knows how many */
	bool start_lost; /* octets of the beginning are missing */
	bool heard;      /* something came, or is missing */
	bool ended;      /* nothing more comes */
	bool told_half;
	bool finished;     /* TLS 1.2: Finished of `epoch` was opened */
	bool hopeless;     /* enough was tried in vain: no more, until a key comes */
	bool skip_refused; /* TLS 1.3, client: records that do not open are refused 0-RTT data */
	uint64_t nonce;    /* while the start is missing: the first octets of the last record, as a number */
};

enum early_state { EARLY_NONE, EARLY_OFFERED, EARLY_ACCEPTED, EARLY_REFUSED };

/* A certificate as far as an event tells of it. */
struct certificate_note {
	char subject[256], issuer[256];
	uint8_t sha256[EVENT_SHA256_LEN];
	uint64_t not_after_s;
};

/* TLS 1.3: keys shared beforehand that the client offers and the keyring has: their binders say so. */
struct offered_psks {
	struct {
		uint16_t index; /* among the client's identities */
		enum suite_hash hash;
		struct secret key;
	} known[SESSION_PSKS];
	size_t count;
	bool derives;                        /* the handshake's secrets come from one alone: the transcript goes on */
	struct tls_secret master, handshake; /* while it derives; the second is the server's handshake traffic secret */
};

struct opening_ech; /* session_ech.c */

/* A handshake while it lasts. */
struct opening {
	uint32_t number; /* of the connection's handshakes, from 1 */
	uint8_t client_random[HELLO_RANDOM], server_random[HELLO_RANDOM];
	bool has_client, has_server;
	bool retry, again; /* HelloRetryRequest; the second ClientHello */
	bool server_done;  /* TLS 1.2: ServerHelloDone was seen */
	bool etm, ems;
	bool resumed;
	uint16_t offered[SESSION_OFFERED];
	size_t offered_count;
	uint16_t group;
	uint8_t alpn_len;
	uint8_t alpn[255];
	struct keylog_id
		ids[3]; /* TLS 1.2: session id of the server, ticket of the client, encrypted premaster; len 0: none */
	struct keylog_id ticket; /* a new one of the server's */
	uint8_t session_len;     /* of the client's session id */
	uint8_t session_id[HELLO_MAX_SESSION_ID];
	struct transcript transcript; /* TLS 1.2 */
	size_t kept;                  /* octets added to it */
	struct buffer certificate;    /* DER, where the key exchange needs it */
	bool has_note;
	struct certificate_note note;
	struct secret premaster;    /* TLS 1.2: opened with a private key */
	struct offered_psks *psks;  /* TLS 1.3; NULL: none */
	struct opening_ech *ech;    /* NULL: not offered */
	struct buffer psk_identity; /* TLS 1.2, where `has_psk` */
	bool has_psk;               /* TLS 1.2: a key of this identity is (part of) the premaster secret */
	bool psks_tried;            /* all of them, in vain */
	size_t psk_from,
		psk_next; /* keys of the identity: the first that is gathered; where that ended, 0: at the end */
	struct tls_secret masters[SESSION_MASTERS];
	size_t master_count;
	bool gathered, chosen; /* masters were looked for; masters[0] is the one */
	bool exchanged;        /* TLS 1.2: ClientKeyExchange was seen */
	uint64_t
		strangers; /* TLS 1.2, where the ClientHello is lost: 1 + the keyring's generation when all were tried */
};

struct dtls; /* session_dtls.c */

struct session {
	struct session_room *room;
	struct park_place place;
	void *user;
	uint64_t flow;
	uint64_t time_ns;    /* of what is being dealt with */
	struct lane lane[2]; /* by the caller's direction */
	struct opening *opening;
	const struct suite *suite; /* NULL: not known */
	struct dtls *dtls;         /* NULL: TLS over a stream */
	struct keyset keys;
	struct keyring_wait *waits; /* SESSION_WAITS of them, or NULL */
	uint64_t trial_left;
	uint64_t generation;      /* of the keyring, when candidates were last tried */
	uint32_t strange_records; /* that were there to be tried with them */
	struct session_outcome outcome;
	uint16_t version;
	uint8_t early;       /* enum early_state */
	uint8_t force_cause; /* why: SESSION_PARK_FULL, else SESSION_CAUSES */
	bool swapped, settled_roles;
	bool looked;  /* `keys` is what the keyring has */
	bool waiting; /* for keys of `waits` */
	bool waited;
	bool given_up; /* waits no more, until a key comes */
	bool force;    /* nothing waits now */
	bool closed, not_tls;
	bool record_seen; /* in either direction */
	bool dead;        /* version or suite are not done here: `dead_cause` */
	uint8_t dead_cause;
	bool told_hello, told_tls, told_refused;
	bool seems_12; /* the start is missing, and what is there is TLS 1.2 */
	bool moved;    /* something happened that the other direction may wait for */
};

struct session_room {
	struct session_setup setup;
	struct session_counts counts;
	struct framer_pool framers;
	struct park park;
	struct crypto *crypto;
	struct keyring_inbox *inbox; /* NULL once keys are final */
	struct cache *certificates;  /* struct certificate_note by SHA-256 */
	struct hello_prints *prints;
	struct spare sessions, openings;
	uint64_t generation;
	size_t held;        /* octets of handshake in sessions' buffers and transcripts */
	uint64_t strangers; /* sessions whose secrets were tried for Encrypted Client Hellos */
	uint8_t scratch[RECORD_MAX_FRAGMENT];
};

/* What became of a stretch. */
enum step {
	STEP_DONE,
	STEP_WAIT_KEY,
	STEP_WAIT_PEER, /* the other direction must come first */
};

static inline struct lane *session_peer(struct session *s, const struct lane *lane)
{
	return lane == &s->lane[0] ? &s->lane[1] : &s->lane[0];
}

static inline enum flow_direction lane_direction(const struct lane *lane)
{
	return lane->client ? FLOW_UP : FLOW_DOWN;
}

static inline bool session_is_13(const struct session *s)
{
	return s->version == TLS_VERSION_13;
}

/* session.c: the other direction may still say what this one lacks. */
must_check bool session_peer_may_tell(const struct session *s, const struct lane *lane);
void session_set_roles(struct session *s, struct lane *client);

/* Deals with what waits as far as it goes. */
void session_run(struct session *s);
/* One record, or what is missing: dealt with, or it waits. */
void session_take(struct session *s, struct lane *lane, const struct stretch *stretch, uint64_t time_ns);

/* session_dtls.c */
must_check struct dtls *dtls_new(void);
/* NULL is allowed. */
void dtls_free(struct session *s);
must_check enum step lane_record_dtls(struct session *s, struct lane *lane, const struct stretch *stretch);
/* Deals with the handshake messages that are whole and whose turn it is. */
void dtls_pump(struct session *s);
/* The same in a connection that is over: what is missing is given up. */
void dtls_close(struct session *s);
/* Opens a record of DTLS; as protect_open. */
must_check enum protect_result dtls_open(
	struct session *s, struct protect *protect, const struct record *record, struct opened *opened);

/* session_record.c */
must_check enum step lane_stretch(struct session *s, struct lane *lane, const struct stretch *stretch);
/* From now on nothing of this connection is looked at. */
void session_is_no_tls(struct session *s);
/* The record did not open: accounts for it. */
void lane_lose(struct session *s, struct lane *lane, const struct stretch *stretch, enum session_cause cause);
/* The content of a record in the clear or opened. */
must_check enum step lane_content(
	struct session *s, struct lane *lane, uint8_t type, struct bytes content, bool protected);
/* After a record opened: settles what was lost before it. `stage` and `epoch` are those before it. */
void lane_opened(struct session *s, struct lane *lane, const struct stretch *stretch, const struct opened *opened,
	enum lane_stage stage, uint32_t epoch);
/* Lets go of a handshake message in parts. */
void lane_clear_message(struct session *s, struct lane *lane);
/* Sets the keys of an epoch; takes `protect` over. */
void lane_key(struct lane *lane, struct protect *protect, const struct traffic_keys *keys);
void lane_unkey(struct lane *lane);

/* session_hello.c: messages of every version. WAIT_PEER only for the first of a record. */
must_check enum step session_message(
	struct session *s, struct lane *lane, const struct handshake *message, bool protected);
must_check struct opening *session_opening_new(struct session *s);
void session_opening_free(struct session *s);
/* Into the transcript, as far as there is room. */
void session_opening_keep(struct session *s, struct bytes message);
void session_die(struct session *s, enum session_cause cause, const char *name, const char *text);

/* session_tls13.c */
must_check enum step lane_record13(struct session *s, struct lane *lane, const struct stretch *stretch);
void lane_message13(struct session *s, struct lane *lane, const struct handshake *message);
/* Makes keys of a traffic secret and a protect of them. NULL: not of this suite, or no memory. */
must_check struct protect *protect_of_secret(struct session *s, const struct suite *suite, struct bytes secret,
	uint64_t sequence, struct traffic_keys *keys);
must_check enum keylog_label lane_label(const struct lane *lane, enum lane_stage stage);
/* Goes on to this stage and epoch; its key is got when it is needed. */
void lane_enter13(struct session *s, struct lane *lane, enum lane_stage stage, uint32_t epoch);

/* session_tls12.c */
must_check enum step lane_record12(struct session *s, struct lane *lane, const struct stretch *stretch);
must_check enum step lane_message12(struct session *s, struct lane *lane, const struct handshake *message);
/* Both protects of a master secret, for this direction. */
must_check struct protect *protect_of_master(
	struct session *s, const struct lane *lane, const struct tls_secret *master, struct traffic_keys *keys);
void opening_gather(struct session *s);
/* The first record of an epoch: finds the secret, or record key, that opens it, and keys the lane with it. */
must_check bool opening_open(struct session *s, struct lane *lane, const struct record *record, struct opened *opened);
/* As protect_open, of TLS or DTLS, into the room's scratch. */
must_check enum protect_result session_open(
	struct session *s, struct protect *protect, const struct record *record, struct opened *opened);

/* session_keys.c */
/* A key is missing: WAIT_KEY where waiting is of use, else DONE. */
must_check enum step session_wait_key(struct session *s);
/* Secrets under the connection's ids, looked up once and again when new ones came. */
const struct keyset *session_keys(struct session *s);
/*
 * The record key of a place of this direction, where secrets are not shared but keys are. Numbers below `*first` are not
 * for its holder to read. False: there is none.
 */
must_check bool session_record_key(struct session *s, const struct lane *lane, enum lane_stage stage, uint32_t epoch,
	size_t nth, struct traffic_keys *keys, uint64_t *first);
void session_forget_keys(struct session *s);
void session_wait_end(struct session *s);
void session_learn(struct session *s);
void session_note_random(struct session *s, const uint8_t random[HELLO_RANDOM]);

/* session_psk.c */
/* TLS 1.3: which keys at hand the hello offers. To be called before the hello is kept. */
void opening_offer_psks(struct session *s, struct bytes whole, const struct client_hello *hello);
/* The secret of 0-RTT data, when the hello's first identity is known. `whole` is the only hello so far. */
void opening_early_psk(struct session *s, struct bytes whole);
/* A ServerHello of TLS 1.3: makes the handshake's secrets where a PSK is all they need; else lets go of the PSKs. */
void opening_select_psk(struct session *s, struct bytes whole, const struct server_hello *hello);
/* The server's messages after its hello; the last one makes the secrets of application data. */
void opening_follow_psk(struct session *s, const struct handshake *message);
void opening_free_psks(struct opening *opening);
/* The other direction is about to give the secrets that this one lacks. */
must_check bool session_psk_pends(const struct session *s, const struct lane *lane);
/* TLS 1.2: the premaster secret with the `nth` key of the identity; false: there is none. */
must_check bool opening_psk_premaster(struct session *s, size_t nth, struct writer *out);

/* session_ech.c */
/*
 * An outer hello, the first or the one `again` after a HelloRetryRequest: is kept, and opened if its secret is known. True:
 * `*message` and `*inner` are the inner hello, and live as long as the opening.
 */
must_check bool opening_ech_hello(struct session *s, const struct client_hello *outer, bool again,
	struct handshake *message, struct client_hello *inner);
/* A ServerHello or HelloRetryRequest of TLS 1.3. */
void opening_ech_server(struct session *s, struct bytes whole, bool retry);
/* session.keys was looked up anew: opens the inner hello, if it can be, and adds what stands under its random. */
void opening_ech_look(struct session *s);
/* Tells whether the server took the inner hello, once all is there. */
void opening_ech_judge(struct session *s);
/* False: the inner random is not known. */
must_check bool opening_ech_id(const struct session *s, struct keylog_id *id);
/* Tries secrets of unknown sessions on the first protected record. True: the inner random is known now. */
must_check bool opening_ech_strangers(struct session *s, struct lane *lane, const struct record *record);
void opening_free_ech(struct session *s);

/* session_share.c */
void session_tell_offer(struct session *s, const struct client_hello *hello);
/* EncryptedExtensions. */
void session_tell_disclosed(struct session *s, const struct handshake *message);

/* session_report.c */
void session_emit(struct session *s, struct event *event);
void session_notice(struct session *s, enum flow_severity severity, const char *name, const char *format, ...)
	printf_like(4, 5);
void session_tell_hello(struct session *s, const struct client_hello *hello);
/* The hello that was meant, behind the outer one. */
void session_tell_inner(struct session *s, const struct client_hello *hello);
/* What went in the clear before the hello: neither TLS nor protected, hence no data of the connection. */
void session_tell_preamble(struct session *s, const struct lane *lane, const struct stretch *stretch);
void session_tell_tls(struct session *s);
void session_tell_half(struct session *s, struct lane *lane);
void session_tell_data(struct session *s, struct lane *lane, struct bytes plain);
void session_tell_alert(struct session *s, struct lane *lane, struct bytes content);
void session_note_certificate(struct session *s, struct bytes der);
/* session_unpack.c: the same of a CompressedCertificate message's body. */
void session_note_packed(struct session *s, struct bytes body);
/* Octets that a fragment of this length, or one lost on the wire, has more than its plaintext. */
must_check size_t session_overhead(const struct session *s);
/* Ends a loss: `lost` records of application data in all, of which loss.records were seen; tells the gap. */
void loss_settle(struct session *s, struct lane *lane, uint64_t lost);
/* Ends a loss that held nothing but handshake. */
void loss_forget(struct lane *lane);
/* Ends a loss behind which nothing opened. */
void loss_close(struct session *s, struct lane *lane);

/* recover.c */
/*
 * Tries what may be: other numbers, epochs, stages, secrets. True: the record is open, `lane` stands behind it, and
 * stage, epoch and version are set.
 */
must_check bool recover_13(struct session *s, struct lane *lane, const struct record *record, struct opened *opened);
must_check bool recover_12(struct session *s, struct lane *lane, const struct record *record, struct opened *opened);
/* recover_start.c */
/* Version, suite or secret are not known. */
must_check bool recover_start(struct session *s, struct lane *lane, const struct record *record, struct opened *opened);
/* TLS 1.2, whose ServerHello is known and whose ClientHello is not: tries the first record with secrets of all logs. */
must_check bool recover_hello12(
	struct session *s, struct lane *lane, const struct record *record, struct opened *opened);

#endif
