/*
 * proxy/keeper_wire.h — the messages between a worker and the keeper: bodies of ipc messages, both ways. Sans I/O. The
 * keeper holds workers to be hostile, so everything is checked; nothing read is copied, views point into the body.
 *
 * During an upgrade a keeper serves workers of the program before it: what changes here changes UPGRADE_WIRE (upgrade.h).
 */
#ifndef PROXY_KEEPER_WIRE_H
#define PROXY_KEEPER_WIRE_H

#include "audit/entry.h"
#include "base/bytes.h"
#include "proxy/refusal.h"

#define KEEPER_CHAIN_MAX 6                    /* certificates of an issuer's chain */
#define KEEPER_HOST_MAX  255                  /* octets */
#define KEEPER_CERT_MAX  ((size_t)100 * 1024) /* octets of an upstream leaf */
#define TICKET_KEYS_MAX  3

enum keeper_message {
	/* keeper to worker */
	KEEPER_WELCOME = 1, /* struct keeper_welcome: first message, and again when issuer or leaf keys changed */
	KEEPER_LEAF,        /* id of the request: the leaf, DER */
	KEEPER_REFUSED,     /* id of the request: u8 enum keeper_refusal_cause, vec16 text */
	KEEPER_TICKETS,     /* struct ticket_keys */
	KEEPER_AUDIT_STATE, /* vec16 reason, empty: open */
	KEEPER_AUDITED,     /* id of the request: u8, 1: on the disk */
	KEEPER_REFUSAL,     /* struct refusal: one that is new or changed */
	/* worker to keeper */
	KEEPER_LEAF_GET,    /* struct keeper_leaf_request */
	KEEPER_AUDIT,       /* an audit entry; no answer */
	KEEPER_AUDIT_SYNC,  /* an audit entry; answered by KEEPER_AUDITED */
	KEEPER_REFUSAL_ADD, /* struct refusal; count and times are the keeper's */
	/* supervisor to keeper */
	KEEPER_WORKER, /* vec8 name, with one descriptor: a worker to be served on it */
};

/* Key of the leaf. The order is that of keys in struct keeper_welcome. */
enum keeper_key { KEEPER_KEY_ECDSA, KEEPER_KEY_RSA, KEEPER_KEYS };

struct keeper_leaf_request {
	enum keeper_key key;
	uint64_t faults;       /* of upstream, bits of enum verify_fault, to be shown in the leaf; 0: it is valid */
	struct bytes host;     /* the name the client asked for, as pki/name.h prints it */
	struct bytes upstream; /* DER of the upstream leaf, whose SAN and dates are mirrored */
};

enum keeper_refusal_cause {
	KEEPER_RATE = 1,      /* this worker asks for too many new leaves */
	KEEPER_NOT_PERMITTED, /* the CA's nameConstraints leave the host out */
	KEEPER_FAILED,        /* the upstream certificate cannot be mirrored, or minting failed: the text says why */
};

/* RFC 5077, 4: what a stateless ticket is named, encrypted and authenticated with. */
struct ticket_key {
	uint8_t name[16];
	uint8_t aes[32];
	uint8_t hmac[32];
};

/* key[0] makes new tickets, the others only open old ones. Secret: wipe copies. */
struct ticket_keys {
	size_t count; /* 0..TICKET_KEYS_MAX; 0: none */
	struct ticket_key key[TICKET_KEYS_MAX];
};

struct keeper_welcome {
	struct bytes chain[KEEPER_CHAIN_MAX]; /* DER: what goes out after a leaf, nothing when the issuer is a root */
	size_t chain_count;
	struct bytes issuer; /* SHA-256 of the issuing certificate: leaves of another are of no use any more */
	struct bytes keys[KEEPER_KEYS]; /* private leaf keys, PKCS#8 DER; empty: none of this type (yet) */
	uint64_t refusal_lifetime_s;    /* how long a refusal counts */
	struct ticket_keys tickets;
	struct bytes audit_reason;            /* why the audit log is closed; empty: open */
	struct bytes accord_key, accord_cert; /* PKCS#8 and certificate, DER: what clients of Accord see; empty: none */
};

void keeper_welcome_write(struct writer *w, const struct keeper_welcome *welcome);
must_check bool keeper_welcome_read(struct bytes in, struct keeper_welcome *welcome);
void keeper_tickets_write(struct writer *w, const struct ticket_keys *keys);
must_check bool keeper_tickets_read(struct bytes in, struct ticket_keys *keys);
void keeper_leaf_request_write(struct writer *w, const struct keeper_leaf_request *request);
/* Also false when a length is over its limit, or host or upstream is empty. */
must_check bool keeper_leaf_request_read(struct bytes in, struct keeper_leaf_request *request);
void keeper_refusal_write(struct writer *w, const struct refusal *refusal);
must_check bool keeper_refusal_read(struct bytes in, struct refusal *refusal);

#endif
