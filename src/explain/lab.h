/*
 * explain/lab.h — what the stories play with: TLS clients and servers of the stock OpenSSL that this program is linked to, in
 * this process and over memory BIOs, so that whoever calls carries every octet between them and may look, copy or change.
 * No sockets. Certificates and keys are made for the occasion and live as long as the lab.
 *
 * Security level 2 is set on each SSL_CTX, which is Debian's own default: nothing is lowered for the stories.
 */
#ifndef EXPLAIN_LAB_H
#define EXPLAIN_LAB_H

#include "base/buffer.h"
#include "base/error.h"
#include "tls/crypto.h"

#include <openssl/ssl.h>

#define LAB_NAME   "server.example"      /* that the server's certificate is for, and the client asks for */
#define LAB_HYBRID "X25519MLKEM768"      /* a group of OpenSSL 3.5 and later (draft-ietf-tls-ecdhe-mlkem) */
#define LAB_STREAM ((size_t)1024 * 1024) /* octets kept of one end's key log, messages, or unsent records */

enum lab_who { LAB_SERVER, LAB_RELAY, LAB_IDENTITIES };

/* The server's certificate is of one CA, the relay's (for the same name) of another; the lab's clients trust both. */
struct lab;

must_check struct lab *lab_new(struct error *err);
/* NULL is allowed. After all its ends. */
void lab_free(struct lab *lab);
/* RSA of 2048 bits. Theirs stays the lab's. */
must_check X509 *lab_cert(const struct lab *lab, enum lab_who who);
must_check EVP_PKEY *lab_key(const struct lab *lab, enum lab_who who);

struct lab_setup {
	uint16_t version;   /* the only one spoken: TLS_VERSION_12 or TLS_VERSION_13 */
	const char *suites; /* OpenSSL's names; NULL: the library's own choice */
	const char *groups; /* as SSL_set1_groups_list has them; NULL: the library's own choice */
	uint64_t options;   /* SSL_OP_… beyond SSL_OP_NO_TICKET */
	bool tickets;       /* NewSessionTicket may be sent: one in TLS 1.2, two in TLS 1.3 */
	enum lab_who who;   /* a server's certificate and key */
};

/* Whether this OpenSSL has the group. */
must_check bool lab_has_group(const char *name);

/* One end of a connection. */
struct lab_end;

/* Settings that are not in the setup may be made on lab_ssl() before the first lab_step. NULL with err set. */
must_check struct lab_end *lab_client(const struct lab *lab, const struct lab_setup *setup, struct error *err);
must_check struct lab_end *lab_server(const struct lab *lab, const struct lab_setup *setup, struct error *err);
/* NULL is allowed. */
void lab_end_free(struct lab_end *end);
must_check SSL *lab_ssl(const struct lab_end *end);

enum lab_state { LAB_WAITS, LAB_READY, LAB_FAILED };

/* Goes on with the handshake as far as what it was given allows; afterwards, takes in what is no application data. */
enum lab_state lab_step(struct lab_end *end);
/* Why it failed, in OpenSSL's words ("decryption failed or bad record mac"); "" as long as it did not. */
must_check const char *lab_fault(const struct lab_end *end);

/* What it wants to send; gone from the end with this, and valid until the next lab_take or lab_pass of it. */
must_check struct bytes lab_take(struct lab_end *end);
must_check bool lab_give(struct lab_end *end, struct bytes octets);
/* Carries what `from` wants to send to `to`, untouched, and adds it to `tap` unless that is NULL. */
must_check bool lab_pass(struct lab_end *from, struct lab_end *to, struct buffer *tap);
/* Carries the handshake to its end. False with err set when one of them failed. Taps as lab_pass. */
must_check bool lab_join(struct lab_end *client, struct lab_end *server, struct buffer *from_client,
	struct buffer *from_server, struct error *err);

/* Writes application data: what comes of it is for lab_take. False when the library refuses. */
must_check bool lab_write(struct lab_end *end, struct bytes text);
/* Whether the application data it can read by now is exactly `text`. What it says itself in doing so is for lab_take. */
must_check bool lab_reads(struct lab_end *end, struct bytes text);
/* Writes, carries and reads a text: whether it arrived whole. */
must_check bool lab_says(struct lab_end *from, struct lab_end *to, const char *text, struct buffer *tap);

/*
 * What its key log says under this label, `nth` (0..) of them in order: a master secret for "CLIENT_RANDOM". False when
 * there is none. The caller wipes it.
 */
must_check bool lab_secret(const struct lab_end *end, const char *label, unsigned nth, struct tls_secret *out);
/* All of its key log, in lines. Valid until the next step; whoever copies it holds the secrets. */
must_check struct bytes lab_keylog(const struct lab_end *end);
/* All handshake messages so far, sent and received, with their headers and in order. Valid until the next step. */
must_check struct bytes lab_messages(const struct lab_end *end);
/*
 * The (EC)DHE or hybrid secret of a TLS 1.3 connection, from the client's own ephemeral key. False when it cannot be had,
 * or is longer than TLS_SECRET_MAX octets, as with finite fields and P-521.
 */
must_check bool lab_shared(const struct lab_end *end, struct tls_secret *out);

#endif
