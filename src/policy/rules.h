/*
 * policy/rules.h — the rules of a proxy as an immutable snapshot, and the verdict on one connection. The language is
 * described in docs/configuration.md. No I/O: the rules and the lists they name come in as bytes.
 *
 * How a verdict is found. Rules are tried from the top; the first that fits decides. After them comes the shipped list
 * `sensitive` (a bypass, unless the file says `sensitive: false`), then `default`. Facts about a connection become
 * known pass by pass, so a condition has three outcomes: it fits, it does not, or its fact is not known yet. A rule
 * with a condition that does not fit is passed over. A rule whose conditions all fit decides. A rule that has neither
 * is in the way: nothing below it may decide, the verdict stays open until its facts are known.
 *
 * Two names. A client behind CONNECT gives two: the CONNECT name and the SNI. `name` and `list` look at the SNI, or at
 * the CONNECT name when there is no SNI. When both are there and differ, a rule that loosens (bypasses, or grants
 * `allow`, `invalid: mirror`, `mask: false`, `refused: bypass` or a client certificate) fits only if both names fit; any other rule fits if
 * one of them does. So fronting one name with another never escapes a block and never earns a bypass.
 *
 * Faults. `verification` lists results; when several faults were found, a rule that loosens fits only if all of them are
 * listed, any other rule if one is.
 *
 * Claims. A name, an issuer, and refusals (which are kept per name) are what a peer says of itself. A bypass on such
 * grounds therefore has one more condition that is not written down: the upstream chain verified for that name. It is
 * lifted by `unverified: true`, or by a `verification` condition of the rule's own.
 */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include "base/bytes.h"
#include "base/error.h"
#include "policy/address.h"

#define POLICY_MAX_RULES 10000U

enum policy_action { POLICY_INSPECT, POLICY_BYPASS, POLICY_BLOCK };
/* "inspect", "bypass", "block". */
must_check const char *policy_action_name(enum policy_action action);

/* What came from the client first, once that is known. */
enum policy_protocol {
	POLICY_PROTOCOL_TLS,
	POLICY_PROTOCOL_HTTP,  /* without TLS: absolute-form requests, and HTTP within CONNECT */
	POLICY_PROTOCOL_PLAIN, /* anything else without TLS */
};

/* Each says that the field or fields below it are known. A known field may be empty: "there is no SNI" is knowledge. */
enum policy_fact {
	POLICY_FACT_CLIENT = 1U << 0,
	POLICY_FACT_SERVER = 1U << 1,
	POLICY_FACT_PORT = 1U << 2,
	POLICY_FACT_CONNECT_NAME = 1U << 3,
	POLICY_FACT_PROTOCOL = 1U << 4,
	POLICY_FACT_SNI = 1U << 5,
	POLICY_FACT_ALPN = 1U << 6,
	POLICY_FACT_JA4 = 1U << 7,
	POLICY_FACT_REFUSALS = 1U << 8,
	POLICY_FACT_VERIFICATION = 1U << 9,
	POLICY_FACT_ISSUER = 1U << 10,
	POLICY_FACT_CLIENT_CERTIFICATE = 1U << 11,
};
/* What each pass is expected to have filled in. SERVER joins once the name is resolved and connected. */
#define POLICY_PASS_ZERO (POLICY_FACT_CLIENT | POLICY_FACT_SERVER | POLICY_FACT_PORT | POLICY_FACT_CONNECT_NAME)
#define POLICY_PASS_FIRST                                                                                              \
	(POLICY_PASS_ZERO | POLICY_FACT_PROTOCOL | POLICY_FACT_SNI | POLICY_FACT_ALPN | POLICY_FACT_JA4 |              \
		POLICY_FACT_REFUSALS)
#define POLICY_PASS_SECOND                                                                                             \
	(POLICY_PASS_FIRST | POLICY_FACT_VERIFICATION | POLICY_FACT_ISSUER | POLICY_FACT_CLIENT_CERTIFICATE)

/* Views of the caller's bytes; only fields named in `known` are read. */
struct policy_facts {
	unsigned known;         /* enum policy_fact, or-ed */
	struct hostport client; /* its port is not looked at */
	/* The one connected to, or about to be. hostport_is_none: somebody else connects (another proxy); fits no block. */
	struct hostport server;
	uint16_t port;             /* of the server */
	struct bytes connect_name; /* host of CONNECT, SOCKS5 or absolute form; an IP address counts as no name */
	enum policy_protocol protocol;
	struct bytes sni;  /* of the outer hello; empty: none */
	struct bytes alpn; /* protocols the client offers, as ProtocolNameList without its length (RFC 7301, 3.1) */
	struct bytes ja4;
	uint32_t refusals; /* times this client refused our certificate for this name */
	uint64_t faults;   /* of the upstream chain: VERIFY_FAULT_BITs as in verify_verdict.faults; 0: verified */
	struct bytes issuer_cn, issuer_o; /* commonName and organizationName of the upstream leaf's issuer, UTF-8 */
	bool client_certificate_requested;
};

/* Weaknesses and targets that are refused unless the rule in force grants them. */
enum policy_allow {
	POLICY_ALLOW_TLS12_RSA = 1U << 0,  /* RSA key exchange */
	POLICY_ALLOW_DHE_CUSTOM = 1U << 1, /* DHE groups that RFC 7919 does not name */
	POLICY_ALLOW_NO_EMS = 1U << 2,     /* TLS 1.2 without extended master secret (RFC 7627) */
	POLICY_ALLOW_LOOPBACK = 1U << 3,
	POLICY_ALLOW_LINK_LOCAL = 1U << 4,
	POLICY_ALLOW_METADATA = 1U << 5,
};

/* What must be known of the upstream chain beyond the default (struct verify_policy of pki/verify.h). */
enum policy_require {
	POLICY_REQUIRE_STAPLE = 1U << 0,
	POLICY_REQUIRE_CRL = 1U << 1,
	POLICY_REQUIRE_STATUS = 1U << 2,
};

enum policy_invalid {
	POLICY_INVALID_REFUSE, /* an upstream that does not verify ends the connection */
	POLICY_INVALID_MIRROR, /* the client gets a leaf that is just as visibly invalid */
};

/* What becomes of a client that offers Accord, and of one that does not (docs/configuration.md). */
enum policy_accord {
	POLICY_ACCORD_CONFIGURED = 1U << 0, /* as the configuration says: no rule does */
	POLICY_ACCORD_OFF = 1U << 1,        /* offers are ignored */
	POLICY_ACCORD_PREFER = 1U << 2,     /* who offers is answered by Accord, others by the local CA */
	POLICY_ACCORD_REQUIRE = 1U << 3,    /* no leaf is minted */
};

struct policy_client_cert {
	const char *cert, *key; /* paths, resolved against the folder of the rules file */
};

#define POLICY_UNTIL_END UINT64_MAX

struct policy_options {
	unsigned allow;   /* enum policy_allow, or-ed */
	unsigned require; /* enum policy_require, or-ed */
	uint64_t until; /* plaintext octets of a connection, both directions, that are copied; POLICY_UNTIL_END: all */
	enum policy_invalid invalid;
	bool mask;                                    /* credentials in the terminal and jsonl */
	bool aia;                                     /* a missing intermediate may be fetched */
	const struct policy_client_cert *client_cert; /* to show upstream; NULL: none */
	unsigned accord; /* enum policy_accord: one of them when decided, else all that may still come of it */
	bool has_purpose;
	/* Code told to servers (accord/purpose.h), when has_purpose; else as the configuration says. 0 while rules differ. */
	uint8_t purpose;
	bool sealed;             /* with Accord the server is not told */
	bool aside_when_refused; /* `refused: bypass`: a server's refusal of Accord ends in stepping aside */
};

#define POLICY_RULE_DEFAULT   (-1)
#define POLICY_RULE_SENSITIVE (-2)
#define POLICY_RULE_NONE      (-3)

/* Pointers belong to the snapshot. */
struct policy_verdict {
	bool decided;
	enum policy_action action; /* from here on: only when decided */
	int rule;                  /* from 0, or POLICY_RULE_DEFAULT, POLICY_RULE_SENSITIVE */
	unsigned line;             /* of the rule in its file; 0 for the two above */
	const char *label;         /* "rules.yaml:12 banking", "rules.yaml:12", "sensitive list", "default" */
	bool by_refusal;           /* a bypass because of `refused: bypass` */
	/*
	 * A bypass that rests on a claim. When decided, the claim was checked (faults known and 0).
	 * When not decided, a bypass may come of it: the upstream handshake is worth starting.
	 */
	bool needs_verification;
	/*
	 * Decided: in force. Not decided: for an upstream handshake made meanwhile, the most that a rule which may
	 * still decide grants and the most that one requires. What the handshake then used (weak key exchange, a
	 * fetched intermediate, a client certificate) is held against the decided verdict before any data is sent.
	 */
	struct policy_options options;
	/* When not decided: the facts (enum policy_fact) of which at least one must become known first. */
	unsigned waits_for;
	/* The first rule that would have bypassed had the upstream verified: its label, for the log. NULL: none. */
	const char *distrusted;
};

struct policy;

/* Where the bytes of the files that rules name come from. */
struct policy_source {
	/*
	 * The file at `path` (resolved against the folder of the rules file, so that equal rules ask for equal
	 * paths). The bytes must stay, unchanged, until `release`. False with `err` set. NULL: lists are refused.
	 */
	bool (*load)(void *ctx, const char *path, struct bytes *out, struct error *err);
	/* Called once for each loaded file, when the snapshot goes. May be NULL. */
	void (*release)(void *ctx, struct bytes text);
	void *ctx;
};

/*
 * Parses rules. `name` is the file's name as messages shall show it and the base of relative paths. NULL on any fault,
 * with the first in `err` ("rules.yaml:12:5: ...") and the number of others after it. The result has one owner.
 * Empty `text` is valid: the sensitive list and `default: inspect`.
 */
must_check struct policy *policy_parse(
	struct bytes text, const char *name, const struct policy_source *source, struct error *err);
/* Another owner of the same snapshot. Safe between threads. */
struct policy *policy_keep(struct policy *policy);
/* One owner less; the last one frees it. NULL is allowed. */
void policy_drop(struct policy *policy);

/*
 * The verdict on what is known so far. Returns verdict->decided, which is always true once all facts of
 * POLICY_PASS_SECOND are known. A later call with more facts known never takes a decided verdict back. No allocation.
 */
bool policy_decide(const struct policy *policy, const struct policy_facts *facts, struct policy_verdict *verdict);

/*
 * Whether a connection to facts->server may be opened at all, asked before it is. Public and private addresses: always.
 * Loopback, link-local and metadata addresses: only if the first rule that fits on client, server, port and CONNECT
 * name alone (rules with other conditions are passed over; a `name` is held against the CONNECT name) allows it, or,
 * when there is none, the top of the file does.
 */
must_check bool policy_permits_target(const struct policy *policy, const struct policy_facts *facts);

/* SHA-256 over the rules and every list they name: the same for equal snapshots in any process. 32 octets. */
#define POLICY_DIGEST 32
must_check const uint8_t *policy_digest(const struct policy *policy);

/* Does any rule ask for Accord? */
must_check bool policy_wants_accord(const struct policy *policy);

/* For `overt check` and pages. */
must_check size_t policy_rule_count(const struct policy *policy);
must_check const char *policy_rule_label(const struct policy *policy, int rule);
must_check enum policy_action policy_rule_action(const struct policy *policy, int rule);
/* NULL when there is no such rule. */
must_check const struct policy_options *policy_rule_options(const struct policy *policy, int rule);
must_check size_t policy_name_count(const struct policy *policy); /* names in all lists, without the shipped one */
/* The client certificates that rules name, `index` from 0; NULL past the last. */
must_check const struct policy_client_cert *policy_client_cert_at(const struct policy *policy, size_t index);

enum policy_fit { POLICY_FITS, POLICY_FITS_NOT, POLICY_OPEN };
/* How one rule stands to the facts; *condition is the key that settled it ("port"), static text, NULL when it fits. */
must_check enum policy_fit policy_rule_fit(
	const struct policy *policy, int rule, const struct policy_facts *facts, const char **condition);

#endif
