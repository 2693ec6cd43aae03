/*
 * tests/unit/accord/vectors.h — the whole handshakes of docs/accord-vectors.md: read from the document, judged, and told
 * in the document's words.
 */
#ifndef TESTS_ACCORD_VECTORS_H
#define TESTS_ACCORD_VECTORS_H

#include "accord/saved.h"

#define VECTOR_CAP       ((size_t)64 * 1024)
#define VECTOR_TOLD      ((size_t)8 * 1024)
#define VECTOR_ANCHOR    "accord_anchor"
#define VECTOR_ROOT      "web_root"
#define VECTOR_BASE64    "base64"
#define VECTOR_LINE      72 /* base64 characters */
#define VECTOR_FIELD_MAX 32

/* One handshake. The octets it points to are its own. */
struct vector {
	struct accord_saved saved;
	struct bytes approval; /* body; empty when the server demanded none */
	X509_STORE *anchors, *web;
	uint8_t offer[128]; /* the offer's body as in the document */
	size_t offer_len;
	uint8_t octets[VECTOR_CAP]; /* what the views point to */
	size_t used;
};

/* Reads the handshake of this name. Fails the test when it is not there, or not as the document says it is written. */
void vector_read(struct vector *vector, const char *document, const char *name);
void vector_free(struct vector *vector);

struct vector_result {
	struct accord_proven proven;
	struct accord_judgement judgement;
};

/* Judges it as a client would have at the time that the document names. */
bool vector_judge(struct vector *vector, struct vector_result *out);
/* The octets of a field by its name in the document, to be changed: NULL when there is no such field. */
uint8_t *vector_field(struct vector *vector, const char *field, size_t *len);
/* Takes a changed `offer` over into what is judged. */
bool vector_reread_offer(struct vector *vector);

/* What came of it, as lines "    name = value". */
void vector_tell(const struct vector *vector, const struct vector_result *result, bool ok, char *out, size_t cap);

#endif
