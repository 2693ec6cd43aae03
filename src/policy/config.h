/*
 * policy/config.h — the configuration of `overt proxy` and `overt exec`: one table of options, read from a YAML file
 * and from the command line. Later wins: defaults, file, command line. docs/configuration.md describes every option and
 * is checked against the table.
 */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

#include "base/bytes.h"
#include "base/error.h"
#include "policy/address.h"
#include "policy/listen.h"

#include <stdio.h>

enum config_verb { CONFIG_PROXY = 1U << 0, CONFIG_EXEC = 1U << 1 };

enum config_type {
	CONFIG_FLAG,     /* bool */
	CONFIG_NUMBER,   /* uint64_t */
	CONFIG_SIZE,     /* uint64_t, octets */
	CONFIG_DURATION, /* uint64_t, nanoseconds */
	CONFIG_TEXT,     /* char *, NULL: not set */
	CONFIG_PATH,     /* as text; relative ones from a file are resolved against that file's folder */
	CONFIG_PATHS,    /* struct config_texts */
	CONFIG_CHOICE,   /* unsigned: the place of the word among the option's choices */
	CONFIG_LISTEN,   /* struct config_listens */
	CONFIG_BLOCKS,   /* struct config_blocks */
	CONFIG_UPSTREAM, /* struct config_upstream */
	CONFIG_CERTS,    /* struct config_certs; in files only */
};

struct config_texts {
	char **items;
	size_t count;
};

struct config_listens {
	struct listen_at *items;
	size_t count;
};

struct config_blocks {
	struct address_block *items;
	size_t count;
};

enum upstream_kind { UPSTREAM_DIRECT, UPSTREAM_HTTP, UPSTREAM_SOCKS5 };

struct config_upstream {
	enum upstream_kind kind;
	char host[LISTEN_HOST];
	uint16_t port;
	char *user, *password; /* NULL: none. Wiped when freed, never shown. Percent-decoded. */
};

#define CONFIG_MAX_URL 256 /* octets of disclosure-url, which every leaf carries (MINT_URL_MAX) */

/* A certificate to show to servers that ask `name` (a pattern as in rules) for one. */
struct config_cert {
	char *name, *cert, *key;
};

struct config_certs {
	struct config_cert *items;
	size_t count;
};

enum config_audit_failure { CONFIG_AUDIT_BLOCK, CONFIG_AUDIT_BYPASS };
enum config_send_proxy { CONFIG_SEND_PROXY_OFF, CONFIG_SEND_PROXY_V1, CONFIG_SEND_PROXY_V2 };
enum config_tproxy_source { CONFIG_SOURCE_PROXY, CONFIG_SOURCE_CLIENT };
enum config_accord { CONFIG_ACCORD_OFF, CONFIG_ACCORD_PREFER, CONFIG_ACCORD_REQUIRE };
enum config_accord_role { CONFIG_ACCORD_READER, CONFIG_ACCORD_WRITER };
enum config_log { CONFIG_LOG_STDERR, CONFIG_LOG_JOURNAL, CONFIG_LOG_FILE };

#define CONFIG_MAX_OPTIONS 80

/* Where a value came from. */
struct config_origin {
	enum { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ARGS } from;
	unsigned line, column; /* ORIGIN_FILE */
};

struct config {
	/* Places and files. NULL: not set, unless said otherwise. */
	char *file;           /* the configuration file that was read */
	char file_sha256[65]; /* of its text, hex; "": none was read */
	char *state;          /* never NULL after config_load */
	char *trust;          /* NULL: the system's */
	char *rules;
	struct config_texts crl;
	char *ca_cert, *ca_key;
	struct config_certs client_certs;

	/* Listening. */
	struct config_listens listen;
	struct config_blocks accept_proxy_protocol; /* peers whose PROXY header is believed */
	char *proxy_auth;
	unsigned tproxy_source; /* enum config_tproxy_source */
	bool print_nft;

	/* Upstream. */
	struct config_upstream upstream_proxy;
	unsigned send_proxy_protocol; /* enum config_send_proxy */

	/* Who reads, and why. */
	char *operator_name, *contact, *purpose;
	uint64_t retention_ns; /* 0: not said */
	char *disclosure_url;
	unsigned audit_failure; /* enum config_audit_failure */

	/* Accord. */
	unsigned accord;                                /* enum config_accord: where no rule says otherwise */
	unsigned accord_role;                           /* enum config_accord_role */
	char *accord_purpose;                           /* a name or number (accord/purpose.h) */
	uint64_t accord_rate, accord_burst;             /* per client; a rate of 0: no limit */
	char *accord_server, *server_cert, *server_key; /* reverse listeners as aware servers; all or none */
	bool accord_upstream;                           /* the upstream proxy speaks Accord too */

	/* Outputs. "-" is standard output. */
	bool quiet, verbose;
	char *jsonl, *pcapng, *keylog;
	bool lossless, show_secrets;
	char *metrics;               /* ADDRESS:PORT on loopback */
	struct listen_at metrics_at; /* valid when `metrics` is set, after config_load */
	char *log;                   /* as written */
	unsigned log_target;         /* enum config_log, after config_load */
	const char *log_path;        /* within `log` when log_target is CONFIG_LOG_FILE */

	/* Processes. */
	uint64_t workers; /* 0: as many as there are cores */
	bool single;
	char *user;

	/* Caps. */
	uint64_t connections, connections_per_client;
	uint64_t hello_octets;                         /* a ClientHello or request head */
	uint64_t ring_octets;                          /* per worker */
	uint64_t leaf_cache, session_cache, dns_cache; /* entries, per worker */
	uint64_t refusal_cache;                        /* entries */

	/* Deadlines, in nanoseconds. */
	uint64_t hello_timeout_ns, dns_timeout_ns, connect_timeout_ns, handshake_timeout_ns, idle_timeout_ns,
		drain_timeout_ns;
	uint64_t refusal_lifetime_ns;

	struct config_origin origins[CONFIG_MAX_OPTIONS]; /* by the option's place in the table */
};

struct config_option {
	const char *key; /* in YAML, and after "--" on the command line */
	char letter;     /* "-q"; 0: none */
	enum config_type type;
	unsigned verbs;             /* enum config_verb: whose command line knows it */
	bool args_only;             /* not in files */
	size_t at;                  /* offset in struct config */
	uint64_t min, max;          /* numbers, sizes, durations */
	const char *initial;        /* default, as it would be written; "" for none */
	const char *const *choices; /* CONFIG_CHOICE, NULL-terminated */
	const char *value;          /* what stands for the value in help: "FILE" */
	const char *doc;            /* one sentence */
	const char *group;          /* heading in help; NULL: as the one before */
};

/* The whole table. */
must_check const struct config_option *config_options(size_t *count);

/*
 * All in one for a verb's main: defaults, then the file named by --config (or none), then the command line, then every
 * check below. `argv[0]` is the verb. Options end at "--" or at the first word that is no option; *rest is its index
 * (argc when there is none). NULL with `err` set: the caller prints it and exits with 2.
 */
must_check struct config *config_load(enum config_verb verb, int argc, char *const *argv, int *rest, struct error *err);

/* The steps of config_load. Each returns false with `err` naming the option and the place. */
must_check struct config *config_new(struct error *err); /* defaults */
must_check bool config_read_file(struct config *config, struct bytes text, const char *name, struct error *err);
must_check bool config_read_args(
	struct config *config, enum config_verb verb, int argc, char *const *argv, int *rest, struct error *err);
/*
 * Options that do not go together, and the disclosure. Fills metrics_at, log_target, log_path and state; for `exec`
 * show_secrets too, which is true there where nothing was said.
 */
must_check bool config_check(struct config *config, enum config_verb verb, struct error *err);
/*
 * A proxy that others can reach says who runs it and why: any listener off loopback, and any tproxy one, since the
 * kernel hands it what others send wherever it listens. `err` names what is missing of operator, contact, purpose and
 * retention. Always true for `exec`, and with `print-nft`, which starts nothing.
 */
must_check bool config_check_disclosure(const struct config *config, enum config_verb verb, struct error *err);
/* Wipes what is secret. NULL is allowed. */
void config_free(struct config *config);

/* The options of a verb, for --help. */
void config_help(FILE *out, enum config_verb verb);
/* The same as a Markdown table, as docs/configuration.md carries it. */
void config_table(FILE *out);

#endif
