/* tls/extension.h — a block of extensions as it stands in a message (RFC 8446, 4.2). No I/O, no allocation. */
#ifndef TLS_EXTENSION_H
#define TLS_EXTENSION_H

#include "base/bytes.h"

/* The extensions this program looks into (IANA "TLS ExtensionType Values"). extension_name knows more. */
enum extension_type {
	EXT_SERVER_NAME = 0,
	EXT_MAX_FRAGMENT_LENGTH = 1,
	EXT_STATUS_REQUEST = 5,
	EXT_SUPPORTED_GROUPS = 10,
	EXT_EC_POINT_FORMATS = 11,
	EXT_SIGNATURE_ALGORITHMS = 13,
	EXT_ALPN = 16,
	EXT_STATUS_REQUEST_V2 = 17,
	EXT_SIGNED_CERTIFICATE_TIMESTAMP = 18,
	EXT_PADDING = 21,
	EXT_ENCRYPT_THEN_MAC = 22,
	EXT_EXTENDED_MASTER_SECRET = 23,
	EXT_COMPRESS_CERTIFICATE = 27,
	EXT_RECORD_SIZE_LIMIT = 28,
	EXT_DELEGATED_CREDENTIAL = 34,
	EXT_SESSION_TICKET = 35,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_COOKIE = 44,
	EXT_PSK_KEY_EXCHANGE_MODES = 45,
	EXT_CERTIFICATE_AUTHORITIES = 47,
	EXT_OID_FILTERS = 48,
	EXT_POST_HANDSHAKE_AUTH = 49,
	EXT_SIGNATURE_ALGORITHMS_CERT = 50,
	EXT_KEY_SHARE = 51,
	EXT_NEXT_PROTOCOL_NEGOTIATION = 13172,
	EXT_APPLICATION_SETTINGS = 17513,
	EXT_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
	EXT_RENEGOTIATION_INFO = 0xff01,
};

/* One extension. `data` is extension_data without its length, in the caller's bytes. */
struct extension {
	uint16_t type;
	struct bytes data;
};

/* What a block may be faulted for. */
enum extension_result {
	EXTENSION_OK,
	EXTENSION_TRUNCATED, /* a length reaches past the end of the block */
	EXTENSION_DUPLICATE, /* a type stands twice, which RFC 8446 4.2 forbids: readers could take different ones */
};

/*
 * Takes the next extension from the front of `block`, which is the vector's content without its length. False at the
 * end and where the next one is cut short; `block` is empty only in the first case.
 */
must_check bool extension_next(struct bytes *block, struct extension *out);

/* The first extension of this type. False when there is none; `*out` stays as it was. */
must_check bool extension_find(struct bytes block, uint16_t type, struct extension *out);

/* Reads the whole block. `*count` is the number of extensions; `*type`, on a fault, the type where it was seen. */
must_check enum extension_result extension_check(struct bytes block, size_t *count, uint16_t *type);

/* The registered name ("server_name"), "GREASE", or NULL when the type is not known. */
must_check const char *extension_name(uint16_t type);

#endif
