/*
 * overt/decrypt.h — reads TLS 1.2 and TLS 1.3 connections of others (RFC 5246, RFC 8446) with the secrets of one of their
 * endpoints (RFC 9850). For programs that see packets and put TCP in order themselves.
 *
 * Nothing here does input or output, reads a clock or starts a thread: octets and key log text go in, plaintext comes
 * out by callback. Everything given out as plaintext has passed its authentication tag or MAC; what cannot be read is
 * told as a gap with its size. Keys may come before, within or, within limits, after the octets they are for.
 *
 *	struct overt_decryptor *d = overt_decryptor_new(&options);
 *	overt_decryptor_keys(d, log, log_len);
 *	struct overt_connection *c = overt_connection_new(d, my_flow, true);
 *	overt_connection_data(c, OVERT_CLIENT, octets, len, now);      as often as something comes
 *	overt_connection_close(c, now);
 *	overt_connection_free(c);
 *	overt_decryptor_free(d);
 *
 * A decryptor and its connections belong to one thread at a time; make one per thread. Nothing but what the comments
 * below say may be called from within a callback.
 */
#ifndef OVERT_DECRYPT_H
#define OVERT_DECRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who sent it. */
enum overt_sender { OVERT_CLIENT = 0, OVERT_SERVER = 1 };

/* What a handshake agreed on. Texts live during the callback; none is NULL. */
struct overt_tls {
	uint16_t version;       /* 0x0303, 0x0304; below: named only, not read */
	uint16_t suite;         /* of the registry */
	const char *suite_name; /* "TLS_AES_128_GCM_SHA256"; "" when not known */
	const char *group;      /* "x25519"; "" when there is none, or it was not seen */
	const char *alpn;       /* the protocol chosen; "" for none */
	const char *subject;    /* of the server's certificate, RFC 4514; "" when it was not seen */
	const char *issuer;
	bool resumed;
};

/*
 * Called from overt_connection_* and, for connections that waited, from overt_decryptor_*. Each may be NULL. `arg` is
 * that of the options, `user` the connection's. Octets and texts live during the call. `offset` counts the sender's
 * plaintext from 0, gaps included: data and gaps of one sender follow on each other without a break.
 */
struct overt_decrypt_events {
	void (*data)(void *arg, void *user, enum overt_sender sender, uint64_t offset, const uint8_t *octets,
		size_t len, uint64_t time_ns);
	/* So many octets of plaintext cannot be given out; an upper bound where it cannot be known. */
	void (*gap)(
		void *arg, void *user, enum overt_sender sender, uint64_t offset, uint64_t octets, uint64_t time_ns);
	/* The client's hello; `server_name` is "" when it names none, and has the octets that it sent else. */
	void (*hello)(void *arg, void *user, const char *server_name, size_t server_name_len);
	void (*tls)(void *arg, void *user, const struct overt_tls *tls);
	/* close_notify or the end of the stream: nothing follows from this sender. */
	void (*end)(void *arg, void *user, enum overt_sender sender);
	/* Alerts, key updates and whatever else is worth a line: a stable name and a sentence. */
	void (*notice)(void *arg, void *user, const char *name, const char *text);
};

/* Zero means the default in parentheses. */
struct overt_decryptor_options {
	struct overt_decrypt_events events;
	void *arg;
	bool keys_final;        /* all keys are given before the first octet: nothing waits for any */
	size_t key_memory;      /* octets for secrets (64 MiB); the oldest leave for newer ones */
	size_t wait_connection; /* octets of records that may wait for a key, per connection (4 MiB) */
	size_t wait_total;      /* in all connections (64 MiB) */
	uint64_t wait_ns;       /* and for how long (60 s), by the times given with the octets */
};

struct overt_decryptor;
struct overt_connection;

/* NULL without memory. `options` is copied. */
struct overt_decryptor *overt_decryptor_new(const struct overt_decryptor_options *options);
/* Its connections must have been freed. Wipes all secrets. NULL is allowed. */
void overt_decryptor_free(struct overt_decryptor *decryptor);

/*
 * Whole lines of a key log; copied. Returns how many secrets were new. Connections that waited for them go on at once,
 * and their callbacks are called.
 */
size_t overt_decryptor_keys(struct overt_decryptor *decryptor, const char *text, size_t len);
/* No more keys will come: what waits for one becomes a gap. */
void overt_decryptor_keys_final(struct overt_decryptor *decryptor);
/* Time goes on where no octets come: what has waited too long becomes a gap. */
void overt_decryptor_tick(struct overt_decryptor *decryptor, uint64_t now_ns);

/*
 * One TCP connection. `from_start`: the first octets given are its first; else records are looked for. NULL without
 * memory.
 */
struct overt_connection *overt_connection_new(struct overt_decryptor *decryptor, void *user, bool from_start);
/* NULL is allowed. Calls nothing back: close it before. */
void overt_connection_free(struct overt_connection *connection);

/*
 * TCP payload in order, and octets of it that are missing. `sender` always means the same side of a connection; who is
 * client is found out from the hellos, and callbacks have it right. `time_ns` is handed on and never compared with a clock.
 */
void overt_connection_data(struct overt_connection *connection, enum overt_sender sender, const void *octets,
	size_t len, uint64_t time_ns);
void overt_connection_gap(
	struct overt_connection *connection, enum overt_sender sender, uint64_t octets, uint64_t time_ns);
/* A FIN. */
void overt_connection_end(struct overt_connection *connection, enum overt_sender sender, uint64_t time_ns);
/* Nothing more comes: what waits is opened or told as a gap. */
void overt_connection_close(struct overt_connection *connection, uint64_t time_ns);
/* It is no TLS, and nothing that comes will change that. */
bool overt_connection_is_other(const struct overt_connection *connection);

enum overt_verdict {
	OVERT_NOTHING,   /* no protected record was seen */
	OVERT_DECRYPTED, /* all of it */
	OVERT_PARTLY,
	OVERT_NOT,
};

struct overt_outcome {
	enum overt_verdict verdict;
	const char *cause;   /* of PARTLY and NOT: "no-key", "gap", "wrong-key" …; else "". Lives for ever */
	uint64_t plain[2];   /* octets given out, by sender */
	uint64_t missing[2]; /* octets in gaps */
	bool has_random;
	uint8_t client_random[32];
};

/* As far as it has come; complete after overt_connection_close. */
struct overt_outcome overt_connection_outcome(const struct overt_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
