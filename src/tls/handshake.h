/*
 * tls/handshake.h — handshake messages in a reassembled stream (RFC 8446, 4; RFC 5246, 7.4) and the EncryptedExtensions
 * message. No I/O, no allocation; views point into the caller's bytes.
 */
#ifndef TLS_HANDSHAKE_H
#define TLS_HANDSHAKE_H

#include "base/bytes.h"

/* IANA "TLS HandshakeType". */
enum handshake_type {
	HANDSHAKE_HELLO_REQUEST = 0,
	HANDSHAKE_CLIENT_HELLO = 1,
	HANDSHAKE_SERVER_HELLO = 2,
	HANDSHAKE_NEW_SESSION_TICKET = 4,
	HANDSHAKE_END_OF_EARLY_DATA = 5,
	HANDSHAKE_ENCRYPTED_EXTENSIONS = 8,
	HANDSHAKE_CERTIFICATE = 11,
	HANDSHAKE_SERVER_KEY_EXCHANGE = 12,
	HANDSHAKE_CERTIFICATE_REQUEST = 13,
	HANDSHAKE_SERVER_HELLO_DONE = 14,
	HANDSHAKE_CERTIFICATE_VERIFY = 15,
	HANDSHAKE_CLIENT_KEY_EXCHANGE = 16,
	HANDSHAKE_FINISHED = 20,
	HANDSHAKE_CERTIFICATE_URL = 21,
	HANDSHAKE_CERTIFICATE_STATUS = 22,
	HANDSHAKE_KEY_UPDATE = 24,
	HANDSHAKE_COMPRESSED_CERTIFICATE = 25,
	HANDSHAKE_MESSAGE_HASH = 254,
};

#define HANDSHAKE_HEADER 4

struct handshake {
	uint8_t type;       /* as seen, registered or not */
	struct bytes body;  /* without the header */
	struct bytes whole; /* with it: what goes into the transcript */
};

enum handshake_result {
	HANDSHAKE_OK,
	HANDSHAKE_NEED_MORE, /* not a fault: call again with more of the stream */
	HANDSHAKE_TOO_LONG,  /* the body would be longer than the caller allows */
};

/*
 * Reads one message from the front of `in`, the concatenated fragments of handshake records, and moves `in` past it. A
 * body over `max` octets is refused as soon as its length is known. On anything but HANDSHAKE_OK nothing changes.
 */
must_check enum handshake_result handshake_read(struct bytes *in, size_t max, struct handshake *out);

/* "client_hello" and so on; NULL when not registered. */
must_check const char *handshake_type_name(uint8_t type);

/* EncryptedExtensions (RFC 8446, 4.3.1). */
struct encrypted_extensions {
	struct bytes extensions; /* raw block for extension_next */
	size_t extension_count;
	bool has_alpn;
	struct bytes alpn;          /* the protocol chosen */
	bool early_data;            /* 0-RTT accepted */
	bool server_name;           /* the server used the name */
	uint16_t record_size_limit; /* 0 when absent */
};

/* False when the message is malformed, an extension stands twice, or one of those above has malformed content. */
must_check bool encrypted_extensions_parse(struct bytes body, struct encrypted_extensions *out);

#endif
