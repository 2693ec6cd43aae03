/* assess/client_cases.h — how a server misbehaves towards a client on purpose, case by case, and what taking it is worth. */
#ifndef ASSESS_CLIENT_CASES_H
#define ASSESS_CLIENT_CASES_H

#include "assess/report.h"
#include "assess/visit.h"

#define CLIENT_CASES_MAX 64

struct client_case {
	const char *check, *why;
	char probed[160];
	enum grade grade; /* where it is accepted */
	enum identity_fault fault;
	bool rsa;      /* the certificate has an RSA key */
	bool sentinel; /* accepted is already a ClientKeyExchange */
	struct play play;
};

/* All but the good one that stands before them. Returns how many. */
must_check size_t client_cases(struct client_case out[CLIENT_CASES_MAX]);
must_check bool client_accepted(const struct client_case *one, const struct visit_seen *seen);
/* The finding of one case. `more` is added to a refusal: "; exit code 1", or "". */
void client_tell_case(
	struct report *report, const struct client_case *one, const struct visit_seen *seen, const char *more);
/* The verdict, of what the findings say. */
void client_tell_dropout(struct report *report);

#endif
