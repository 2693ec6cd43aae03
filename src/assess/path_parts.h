/* assess/path_parts.h — between the parts of the assessment of a path. */
#ifndef ASSESS_PATH_PARTS_H
#define ASSESS_PATH_PARTS_H

#include "assess/path.h"
#include "assess/server_parts.h"

#define PATH_SENTENCE 400

struct path {
	const struct path_options *options;
	struct server server; /* target, name and report are shared with it */
	struct report *report;
	struct handshake_seen seen;
	struct vantage vantage;
	X509 *anchor; /* what the chain ends at among what is trusted here; NULL: nothing, or it could not be found */
	enum expect_match match;
	bool verified;       /* by what is trusted here, for the name */
	enum known web_root; /* the chain's root is one of those that browsers trust */
	bool public_name;
	enum known same_end; /* by a cooperating server: what left here is what arrived there */
	bool authentic;      /* what the cooperating server said is signed with an expected key */
	unsigned hints;
	/* The first sign that leaves no doubt, as a sentence; "" while there is none. */
	char proof[PATH_SENTENCE + 1];
	char who[PATH_SENTENCE]; /* who it says it is */
};

/* How much a sign says. */
enum weight { TOLD, HINT, PROOF };

/* Adds a finding that is no matter of grade; for PROOF, `seen` is also what the verdict rests on. */
void path_sign(struct path *path, const char *check, enum weight weight, const char *probed, const char *seen, ...)
	printf_like(5, 6);

/* The parts. */
void path_leaf(struct path *path);
/* Where a proxy that this program speaks Accord with answered: says so. */
void path_accord(struct path *path);
void path_root(struct path *path);
/* After path_root: an expected root need not have been sent. */
void path_expected(struct path *path);
void path_made_up_name(struct path *path);
void path_answers(struct path *path);
void path_listener(struct path *path);

/* The product that issues under this name, "Issuer" as pki/summary.h writes it; NULL: none that we know. */
must_check const char *product_of(const char *issuer);
/* A name that a public CA may certify (RFC 6761, RFC 6762, RFC 8375, RFC 9476 and what else is private by custom). */
must_check bool name_is_public(const struct subject_name *name);
/* YES or NO when the roots of browsers could be read. `where` NULL: Debian's place. */
must_check enum known root_of_web(const char *where, const uint8_t anchor[VANTAGE_DIGEST], struct error *err);

#endif
