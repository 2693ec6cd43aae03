/* accord/check_parts.h — shared by the files of the checks; nobody else includes this. */
#ifndef ACCORD_CHECK_PARTS_H
#define ACCORD_CHECK_PARTS_H

#include "accord/check.h"
#include "tls/handshake.h"
#include "tls/hello.h"

/* ClientHello, HelloRetryRequest, ClientHello, ServerHello, EncryptedExtensions, CertificateRequest, Certificate, Verify. */
#define CHECK_MAX_MESSAGES 8

/* One leg beyond the first, as the proof shows it. Views point into the proof. */
struct check_leg {
	struct accord_proof proof;
	struct handshake message[CHECK_MAX_MESSAGES];
	size_t messages;
	bool retried;
	struct bytes told[2]; /* extension_data of `accord` in the first and the last ClientHello; empty when absent */
	struct bytes name[2]; /* server_name of both; empty when absent */
	bool name_bad;        /* one of them is no host name */
	struct accord_introduction introduction;
	struct bytes protocol; /* ALPN selected */
	uint16_t suite, group, scheme;
	struct bytes suites, groups, shares, sigalgs; /* of the last ClientHello */
	struct bytes session_id;
	struct bytes verdict; /* body; empty when there is none */
	bool demanded;
	struct accord_chain chain;
	struct bytes nested; /* proof body in the end-entity entry; empty when there is none */
	struct bytes signature;
	X509 *leaf;    /* owned; decoded in the context of struct accord_trust */
	EVP_PKEY *key; /* the leaf's */
	uint8_t leaf_hash[ACCORD_HASH];
};

struct check {
	const struct accord_leg1 *leg1;
	const struct accord_trust *trust;
	struct accord_judgement *out;
	X509 *neighbour;                       /* the leaf that leg 1 showed, decoded likewise; owned */
	struct check_leg leg[ACCORD_MAX_HOPS]; /* [0] is leg 2 */
	size_t legs;
	struct accord_identity proxy[ACCORD_MAX_HOPS];
	struct accord_proven_leg proven[ACCORD_MAX_HOPS];
};

/* Sets the judgement and returns false. `leg` counts from 1; 0: nowhere. */
bool check_fail(struct check *check, enum accord_fault fault, size_t leg, const char *format, ...) printf_like(4, 5);

/* A leaf, for X509_free(); NULL when it cannot be read. */
must_check X509 *check_decode(const struct check *check, struct bytes der);
/* Check 2, of one leg: check->leg[index].proof has been read. */
must_check bool check_form(struct check *check, size_t index);
/* Check 3, of one leg, those before it being good. */
must_check bool check_told(struct check *check, size_t index);
/* Whether the scheme is one of TLS 1.3 and made with such a key, which is not too large. The text says why not. */
must_check const char *check_scheme_fits(uint16_t scheme, EVP_PKEY *key);
/* True for schemes that TLS 1.3 signs handshakes with and that can be verified here. */
must_check bool check_scheme_known(uint16_t scheme);
/* Check 5, of one leg. Fills check->proven[index]. */
must_check bool check_signature(struct check *check, size_t index);

#endif
