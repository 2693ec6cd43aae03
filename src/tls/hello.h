/*
 * tls/hello.h — ClientHello and ServerHello, HelloRetryRequest included (RFC 8446, 4.1; RFC 5246, 7.4.1), from the body
 * of a handshake message: what stands after its type and 24-bit length. No I/O, no allocation. Every view points into
 * the caller's bytes and lives as long as they do.
 *
 * Structure and content are judged apart. What breaks the message itself makes the parser fail. An extension that is
 * well framed but whose content is malformed does not: its view stays empty, it is counted in `faults`, and the first
 * one is named by `faulty`, so that a connection which is only relayed need not be refused for it. Whoever answers the
 * hello refuses it when `faults` is not 0.
 */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H

#include "base/bytes.h"

#define TLS_VERSION_SSL30 0x0300
#define TLS_VERSION_10    0x0301
#define TLS_VERSION_11    0x0302
#define TLS_VERSION_12    0x0303
#define TLS_VERSION_13    0x0304

#define HELLO_RANDOM          32
#define HELLO_MAX_SESSION_ID  32
#define HELLO_MAX_SERVER_NAME 253 /* octets of a DNS name in its text form without the final dot */

enum hello_result {
	HELLO_OK,
	HELLO_TRUNCATED,           /* a field or its length reaches past the end */
	HELLO_TRAILING,            /* octets after the last field */
	HELLO_BAD_SESSION_ID,      /* over 32 octets */
	HELLO_BAD_SUITES,          /* none, or an odd number of octets */
	HELLO_BAD_COMPRESSION,     /* an empty list (client) */
	HELLO_BAD_EXTENSIONS,      /* an extension reaches past the block's end */
	HELLO_DUPLICATE_EXTENSION, /* one type twice: `faulty` names it */
	HELLO_PSK_NOT_LAST,        /* pre_shared_key followed by another extension, which RFC 8446 4.2.11 forbids */
};

/* A sentence's worth about the result: "an extension stands twice". Never NULL. */
must_check const char *hello_result_text(enum hello_result result);

/* What the server_name extension says (RFC 6066, 3). */
enum hello_sni {
	SNI_ABSENT,
	SNI_OK,           /* a host name of letters, digits, hyphens and underscores in labels of 1..63 octets */
	SNI_EMPTY,        /* the extension is there without a name (as a ServerHello would send it) */
	SNI_MALFORMED,    /* lengths do not fit, or there is a name type other than host_name, or two names */
	SNI_BAD_OCTET,    /* NUL, blank, wildcard, non-ASCII or another octet no host name has */
	SNI_BAD_LABEL,    /* an empty label, one over 63 octets, or over 253 in all */
	SNI_TRAILING_DOT, /* RFC 6066 forbids the final dot; otherwise a host name */
	SNI_ADDRESS,      /* a literal address, which RFC 6066 forbids as a name */
};

must_check const char *hello_sni_text(enum hello_sni sni);

/* Encrypted Client Hello, type 0xfe0d (RFC 9849). A client's GREASE for it cannot be told from an outer hello. */
enum hello_ech { ECH_ABSENT, ECH_OUTER, ECH_INNER, ECH_MALFORMED };

struct client_hello {
	struct bytes body; /* all of it, as given */
	uint16_t legacy_version;
	struct bytes random;      /* HELLO_RANDOM octets */
	struct bytes session_id;  /* 0..HELLO_MAX_SESSION_ID octets */
	struct bytes suites;      /* list of u16 (tls/list.h), at least one; GREASE and signalling values included */
	struct bytes compression; /* list of u8, at least one */
	bool has_extensions;      /* false: the message ends after compression, as in hellos before TLS 1.2 */
	struct bytes extensions;  /* raw block for extension_next: all of them in order */
	size_t extension_count;

	unsigned faults; /* how many known extensions are malformed */
	uint16_t faulty; /* the first of them; meaningful when faults > 0 or on HELLO_DUPLICATE_EXTENSION */

	enum hello_sni sni;
	/*
	 * The name's octets, set for SNI_OK and, for logs only, for BAD_OCTET, BAD_LABEL, TRAILING_DOT and ADDRESS.
	 * Letters in the client's own case. Only after SNI_OK may it be used as a name.
	 */
	struct bytes server_name;

	/* Lists of u16, empty when absent. */
	struct bytes versions;      /* supported_versions */
	struct bytes groups;        /* supported_groups */
	struct bytes sigalgs;       /* signature_algorithms */
	struct bytes sigalgs_cert;  /* signature_algorithms_cert */
	struct bytes cert_compress; /* compress_certificate: algorithms */

	struct bytes alpn;           /* for alpn_next */
	struct bytes key_shares;     /* for key_share_next */
	struct bytes point_formats;  /* list of u8 */
	struct bytes psk_modes;      /* list of u8: 0 psk_ke, 1 psk_dhe_ke */
	struct bytes psk_identities; /* for psk_identity_next */
	struct bytes psk_binders;    /* list of vec8, as many as identities */
	struct bytes ticket;         /* session_ticket's content; empty: support without a ticket */
	struct bytes renegotiated;   /* renegotiated_connection; empty in a first handshake */
	struct bytes cookie;         /* the HelloRetryRequest's, handed back */
	uint16_t record_size_limit;  /* octets; 0 when absent */
	uint8_t max_fragment;        /* 1..4 for 2^9..2^12 octets; 0 when absent */
	enum hello_ech ech;

	/* Present and well-formed. */
	bool has_versions, has_groups, has_sigalgs, has_alpn, has_key_share, has_psk, has_psk_modes, has_early_data;
	bool has_ticket, has_renegotiation_info, has_extended_master_secret, has_encrypt_then_mac, has_status_request;
	bool has_sct, has_post_handshake_auth, has_cookie;
};

/* Parses a whole body. On anything but HELLO_OK the fields of `*out` are not to be used, save `faulty` as above. */
must_check enum hello_result client_hello_parse(struct bytes body, struct client_hello *out);

/* True when an extension of this type is there, well-formed or not. */
must_check bool client_hello_has(const struct client_hello *hello, uint16_t type);

/*
 * True when the client would speak this version: listed in supported_versions or, where that is absent (or malformed),
 * from TLS 1.0 (SSL 3.0 when legacy_version says no more) up to legacy_version.
 */
must_check bool client_hello_offers_version(const struct client_hello *hello, uint16_t version);
/* The highest of SSL 3.0 .. TLS 1.3 that it offers, 0 when none of them. GREASE and drafts are passed over. */
must_check uint16_t client_hello_max_version(const struct client_hello *hello);
must_check bool client_hello_offers_suite(const struct client_hello *hello, uint16_t suite);
must_check bool client_hello_offers_group(const struct client_hello *hello, uint16_t group);
must_check bool client_hello_offers_sigalg(const struct client_hello *hello, uint16_t scheme);
must_check bool client_hello_offers_alpn(const struct client_hello *hello, struct bytes name);
/* True when a key share for this group came along. */
must_check bool client_hello_shares_group(const struct client_hello *hello, uint16_t group);
/* TLS_FALLBACK_SCSV (RFC 7507). */
must_check bool client_hello_is_fallback(const struct client_hello *hello);
/* The client understands secure renegotiation: the extension or the SCSV (RFC 5746). */
must_check bool client_hello_secure_renegotiation(const struct client_hello *hello);

/* Whether the client tries to take up an earlier session. */
enum hello_resumption {
	RESUMPTION_NONE,
	RESUMPTION_PSK,        /* TLS 1.3: pre_shared_key (an external PSK looks the same) */
	RESUMPTION_TICKET,     /* TLS 1.2: a ticket in session_ticket */
	RESUMPTION_SESSION_ID, /* TLS 1.2: a session id, and no TLS 1.3 offered */
	RESUMPTION_PERHAPS,    /* a session id in a hello that offers TLS 1.3: nearly always only compatibility mode */
};

must_check enum hello_resumption client_hello_resumption(const struct client_hello *hello);

/* The downgrade sentinel in a ServerHello's random (RFC 8446, 4.1.3). */
enum hello_downgrade {
	DOWNGRADE_NONE,
	DOWNGRADE_TO_12, /* "DOWNGRD" 01: the server speaks TLS 1.3 and chose 1.2 */
	DOWNGRADE_TO_11, /* "DOWNGRD" 00: the server speaks TLS 1.2 or above and chose 1.1 or below */
};

struct server_hello {
	struct bytes body;
	uint16_t legacy_version;
	struct bytes random;     /* HELLO_RANDOM octets */
	struct bytes session_id; /* 0..HELLO_MAX_SESSION_ID octets */
	uint16_t suite;
	uint8_t compression; /* 0 in any decent hello */
	bool has_extensions;
	struct bytes extensions;
	size_t extension_count;

	unsigned faults; /* as in client_hello */
	uint16_t faulty;

	bool retry;       /* HelloRetryRequest: the random is the fixed one of RFC 8446 4.1.3 */
	uint16_t version; /* the version chosen: supported_versions, else legacy_version */
	enum hello_downgrade downgrade;
	uint16_t group;         /* key_share's group, in a retry the one asked for; 0 when absent */
	struct bytes key_share; /* the server's share; empty in a retry */
	bool has_psk;
	uint16_t psk_index;
	struct bytes cookie; /* retry only */
	struct bytes alpn;   /* TLS 1.2: the protocol chosen; empty when none */
	struct bytes renegotiated;
	bool has_renegotiation_info, has_extended_master_secret, has_encrypt_then_mac, has_ticket, has_status_request;
	enum hello_ech ech; /* ECH_OUTER here: the confirmation in a retry, 8 octets */
};

/* As client_hello_parse. */
must_check enum hello_result server_hello_parse(struct bytes body, struct server_hello *out);
must_check bool server_hello_has(const struct server_hello *hello, uint16_t type);

/*
 * Iterators. Each takes one element from the front; false at the end, and on what is malformed (which the parsers above
 * have already ruled out for their own views).
 */
must_check bool alpn_next(struct bytes *list, struct bytes *name);
must_check bool key_share_next(struct bytes *list, uint16_t *group, struct bytes *key);
must_check bool psk_identity_next(struct bytes *list, struct bytes *identity, uint32_t *obfuscated_age);

/* "TLS 1.3" and so on; NULL for what is no version of SSL or TLS. */
must_check const char *tls_version_name(uint16_t version);

#endif
