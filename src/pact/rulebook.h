/*
 * pact/rulebook.h — what an aware server says of proxies that introduce themselves: a file of rules, of which the first
 * that fits decides (docs/accord-server.md). Unchanging once made, so threads may share it.
 */
#ifndef PACT_RULEBOOK_H
#define PACT_RULEBOOK_H

#include "accord/server.h"
#include "pki/file.h"

#define RULEBOOK_MAX_OCTETS  ((size_t)1 << 20) /* of the file */
#define RULEBOOK_MAX_RULES   256
#define RULEBOOK_MAX_CLIENTS 10000
#define RULEBOOK_MAX_KEY     ((size_t)16 * 1024) /* octets of a client's key file */
#define RULEBOOK_LABEL       ACCORD_LABEL

struct rulebook;

enum rulebook_action { RULEBOOK_ACCEPT, RULEBOOK_REFUSE, RULEBOOK_APPROVE, RULEBOOK_IGNORE };

/* "accept" and so on: the words of the file. */
must_check const char *rulebook_action_name(enum rulebook_action action);

/* Where the files come from that the rules name. */
struct rulebook_source {
	void *ctx;
	/* Like file_read. */
	bool (*read)(void *ctx, const char *path, size_t max, struct file_bytes *out, struct error *err);
};

/*
 * Reads rules from text; `name` is the file's path, against whose folder the paths inside count. `source` NULL: files are
 * read from disk. One reference. Errors say "NAME:LINE:COLUMN: what is wrong"; unknown keys are errors.
 */
must_check bool rulebook_read(struct rulebook **out, struct bytes text, const char *name,
	const struct rulebook_source *source, struct error *err);
/* From a file. */
must_check bool rulebook_open(struct rulebook **out, const char *path, struct error *err);
void rulebook_keep(struct rulebook *book); /* one more reference */
void rulebook_free(struct rulebook *book); /* one less; NULL is allowed */

/* The file of Accord anchors that the rules name; NULL: none, and no demand can be met. */
must_check const char *rulebook_anchors(const struct rulebook *book);
must_check size_t rulebook_rules(const struct rulebook *book);
must_check size_t rulebook_clients(const struct rulebook *book);
must_check enum rulebook_action rulebook_default(const struct rulebook *book);

struct rulebook_verdict {
	enum rulebook_action action;
	bool unknown;          /* a rule asks who the proxy is: it has to show its certificate first */
	const char *label;     /* "rules.yaml:12 scanners", or "default"; lives as long as the book */
	const char *statement; /* for people; "" when the rule has none */
	const void *rule;      /* for rulebook_client */
};

/*
 * What the rules say of this claim. Unless it is identified, a rule that names proxies and would fit but for that makes
 * `unknown`; the other fields are then of that rule.
 */
void rulebook_decide(const struct rulebook *book, const struct accord_claim *claim, struct rulebook_verdict *out);
/* For config.rule of struct accord_server_config: a verdict as a ruling. */
void rulebook_ruling(const struct rulebook_verdict *verdict, struct accord_ruling *out);
/* The name of the client whose key this is, if it may approve under that rule; else NULL. */
must_check const char *rulebook_client(
	const struct rulebook *book, const struct rulebook_verdict *verdict, struct bytes key);

/* Both at once: what the rules say of a claim, and who of the clients this key makes, where the claim's rule lets him approve. */
void rulebook_rule(const struct rulebook *book, const struct accord_claim *claim, struct accord_ruling *out);
must_check const char *rulebook_approver(
	const struct rulebook *book, const struct accord_claim *claim, struct bytes key);

#endif
