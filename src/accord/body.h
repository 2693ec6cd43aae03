/*
 * accord/body.h — the bodies of extension `accord`, type 0xffac (docs/accord.md, 3). A ClientHello carries a list of
 * bodies, at most one of a kind; every other message carries one body, which is the whole extension_data. Reading is
 * strict: what is accepted is written back octet for octet. No I/O, no allocation; views point into the caller's bytes.
 */
#ifndef ACCORD_BODY_H
#define ACCORD_BODY_H

#include "base/bytes.h"

#define ACCORD_EXTENSION 0xffac
#define ACCORD_VERSION   1
#define ACCORD_NONCE     32
#define ACCORD_HASH      32                  /* SHA-256 */
#define ACCORD_MAX_HOPS  4                   /* proxies between client and server */
#define ACCORD_MAX_PROOF ((size_t)48 * 1024) /* octets of a proof body, with the proofs inside it */
#define ACCORD_MAX_TEXT  255                 /* octets of purpose and statement */
#define ACCORD_MAX_INTRODUCTION                                                                                        \
	(2 + ACCORD_NONCE + 2 + ACCORD_MAX_HOPS * (ACCORD_HASH + ACCORD_NONCE + 1) + 1 + ACCORD_HASH + 1)

enum accord_kind {
	ACCORD_OFFER = 1,
	ACCORD_INTRODUCTION = 2,
	ACCORD_VERDICT = 3,
	ACCORD_PROOF = 4,
	ACCORD_DEMAND = 5,
	ACCORD_APPROVAL = 6,
	ACCORD_SEALED = 7,
};

/* A role stands alone in a hop, and several as bits in a set. */
enum accord_role {
	ACCORD_READER = 1,
	ACCORD_WRITER = 2,
};
#define ACCORD_ANY_ROLE (ACCORD_READER | ACCORD_WRITER)

enum accord_body_result {
	ACCORD_BODY_OK,
	ACCORD_BODY_UNKNOWN,     /* a kind or version that is not ours, or another kind than asked for */
	ACCORD_BODY_TRUNCATED,   /* a field or its length reaches past the end */
	ACCORD_BODY_TRAILING,    /* octets after the last field */
	ACCORD_BODY_HASH_LENGTH, /* a hash of neither 0 nor 32 octets, or a blind that does not fit its introduction */
	ACCORD_BODY_ROLE,     /* a role or a set of roles with bits that have no meaning, or not exactly one in a hop */
	ACCORD_BODY_HOPS,     /* no hop, or more than ACCORD_MAX_HOPS */
	ACCORD_BODY_EMPTY,    /* a field, a body or a list that must not be empty */
	ACCORD_BODY_VALUE,    /* a verdict that is neither accept nor refuse */
	ACCORD_BODY_TOO_LONG, /* a proof over ACCORD_MAX_PROOF */
	ACCORD_BODY_DUPLICATE, /* two bodies of one kind in a list */
	ACCORD_BODY_MISPLACED, /* a kind that has no place in a ClientHello, or introduction and sealed together */
};

/* For people: "a field reaches past the end". Static text. */
must_check const char *accord_body_text(enum accord_body_result result);
/* "offer" and so on; NULL when the kind is not known. */
must_check const char *accord_kind_name(uint8_t kind);
/* "reader", "writer"; NULL for anything else, sets included. */
must_check const char *accord_role_name(uint8_t role);

/* Leg 1, ClientHello. */
struct accord_offer {
	uint8_t client_nonce[ACCORD_NONCE];
	uint8_t accepted_roles; /* set; 0: none */
	bool has_approval;      /* the client can approve: approval_hash is there */
	uint8_t approval_hash[ACCORD_HASH];
};

struct accord_hop {
	uint8_t leaf_hash[ACCORD_HASH]; /* SHA-256 of the proxy's end-entity certificate, DER */
	uint8_t proxy_nonce[ACCORD_NONCE];
	uint8_t role; /* enum accord_role */
};

/* Leg 2, ClientHello. */
struct accord_introduction {
	uint8_t client_nonce[ACCORD_NONCE];
	struct accord_hop hop[ACCORD_MAX_HOPS]; /* the sender is the last one */
	size_t hops;                            /* 1..ACCORD_MAX_HOPS */
	bool has_approval;
	uint8_t approval_hash[ACCORD_HASH];
	uint8_t purpose_code; /* docs/accord.md, 3.3 */
};

enum accord_decision { ACCORD_ACCEPT = 0, ACCORD_REFUSE = 1 };

/* Leg 2, EncryptedExtensions. */
struct accord_verdict {
	uint8_t decision; /* enum accord_decision */
	uint8_t server_nonce[ACCORD_NONCE];
	struct bytes statement; /* for people, as sent: clean it (base/text.h) before it is shown */
};

/* Leg 1, in the proxy's end-entity CertificateEntry. `blind` and `introduction` are both empty when leg 2 was open. */
struct accord_proof {
	struct bytes purpose;      /* for people, as sent */
	struct bytes blind;        /* 0 or 32 octets */
	struct bytes introduction; /* a whole body, octet for octet as sealed */
	struct bytes transcript;   /* leg 2's messages with their headers */
};

/* Leg 2, Certificate of the proxy; and leg 1, Certificate of the client. */
struct accord_approval {
	struct bytes key; /* SubjectPublicKeyInfo, DER; 1..255 octets */
	uint16_t scheme;  /* SignatureScheme */
	struct bytes signature;
};

/* Leg 2, ClientHello, in place of an introduction. */
struct accord_sealed {
	uint8_t commitment[ACCORD_HASH];
};

/*
 * Readers take one whole body. On anything but ACCORD_BODY_OK `*out` is not to be used. ACCORD_BODY_UNKNOWN is to be
 * ignored by whoever got the body unasked, and fatal for a proof.
 */
must_check enum accord_body_result accord_offer_read(struct bytes body, struct accord_offer *out);
must_check enum accord_body_result accord_introduction_read(struct bytes body, struct accord_introduction *out);
must_check enum accord_body_result accord_verdict_read(struct bytes body, struct accord_verdict *out);
must_check enum accord_body_result accord_proof_read(struct bytes body, struct accord_proof *out);
must_check enum accord_body_result accord_demand_read(struct bytes body);
must_check enum accord_body_result accord_approval_read(struct bytes body, struct accord_approval *out);
must_check enum accord_body_result accord_sealed_read(struct bytes body, struct accord_sealed *out);

/* Writers add one whole body. A value that no reader would take sets `full` in the writer. */
void accord_offer_write(struct writer *w, const struct accord_offer *offer);
void accord_introduction_write(struct writer *w, const struct accord_introduction *introduction);
void accord_verdict_write(struct writer *w, const struct accord_verdict *verdict);
void accord_proof_write(struct writer *w, const struct accord_proof *proof);
void accord_demand_write(struct writer *w);
void accord_approval_write(struct writer *w, const struct accord_approval *approval);
void accord_sealed_write(struct writer *w, const struct accord_sealed *sealed);

/* What a ClientHello carries: whole bodies, empty where there is none. Unknown kinds and versions are passed over. */
struct accord_list {
	struct bytes offer, introduction, sealed;
};

/* Reads extension_data of a ClientHello. The bodies found have been read once and are well formed. */
must_check enum accord_body_result accord_list_read(struct bytes data, struct accord_list *out);
/* Adds the bodies that are not empty, each behind its length. */
void accord_list_write(struct writer *w, const struct accord_list *list);

#endif
