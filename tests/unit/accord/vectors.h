/*
 * tests/unit/accord/vectors.h — the whole handshakes of docs/accord-vectors.md: written, read, judged, and told in the
 * document's words. Whatever is not as it must be fails the test.
 */
#ifndef TESTS_ACCORD_VECTORS_H
#define TESTS_ACCORD_VECTORS_H

#include "accord/check.h"

#include <openssl/x509.h>
#include <stdio.h>

/* What a verifier is given, in the order of the document. */
enum vector_input {
	VECTOR_ACCORD_ANCHOR,
	VECTOR_WEB_ROOT,
	VECTOR_AT, /* eight octets */
	VECTOR_LEG1_VERSION,
	VECTOR_LEG1_RESUMED,
	VECTOR_SNI,
	VECTOR_ALPN,
	VECTOR_SUITES,
	VECTOR_GROUPS,
	VECTOR_SIGALGS,
	VECTOR_OFFER,
	VECTOR_PROXY_CERTIFICATE,
	VECTOR_PROOF,
	VECTOR_APPROVAL,
	VECTOR_INPUTS, /* how many there are */
};

/* Octets of each input; those that a section does not name are empty. */
struct vector {
	struct {
		uint8_t *data;
		size_t len;
	} input[VECTOR_INPUTS];
};

struct vector_result {
	bool passed;
	struct accord_leg1 leg1;
	struct accord_proven proven;
	struct accord_judgement judgement;
};

const char *vector_input_name(enum vector_input input);
void vector_set(struct vector *vector, enum vector_input input, struct bytes octets);
struct bytes vector_get(const struct vector *vector, enum vector_input input);
void vector_free(struct vector *vector);

/* Reads one section of the document. */
void vector_read(struct vector *vector, const char *section);
/* Writes the inputs that are not empty. */
void vector_write(FILE *out, const struct vector *vector);

/* Judges as a client would have at the vector's time; the views of *out are the vector's. */
void vector_judge(const struct vector *vector, const struct vector *anchors, struct vector_result *out);
/* What came of it, as lines of the document. */
void vector_tell(FILE *out, const struct vector_result *result);

#endif
