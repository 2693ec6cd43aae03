/*
 * tls/certificate.h — the Certificate and CertificateRequest messages of TLS 1.3 (RFC 8446, 4.4.2 and 4.3.2) and 1.2
 * (RFC 5246, 7.4.2 and 7.4.4) from a handshake body. Not what is in a certificate. No I/O, no allocation; views point
 * into the caller's bytes.
 */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include "base/bytes.h"

/* A Certificate message. Iterate over `entries` with certificate_next. */
struct certificate_message {
	bool tls13;
	struct bytes context; /* certificate_request_context; empty in TLS 1.2 and for servers */
	struct bytes entries;
	size_t count; /* 0: the sender has no certificate, which only a client may say */
};

struct certificate_entry {
	struct bytes der;        /* one certificate, never empty */
	struct bytes extensions; /* TLS 1.3: raw block for extension_next (status_request, SCTs); empty in TLS 1.2 */
};

/* `version` is the negotiated one: 0x0304 reads TLS 1.3's form, anything below the older one. Every entry is checked.
 * False when malformed; `*out` is then not to be used. */
must_check bool certificate_parse(struct bytes body, uint16_t version, struct certificate_message *out);

/* Takes the next entry from `list`, a copy of the message whose `entries` move on. False at the end. */
must_check bool certificate_next(struct certificate_message *list, struct certificate_entry *out);

/* The OCSP response stapled to an entry in TLS 1.3 (CertificateStatus in status_request). False when there is none. */
must_check bool certificate_staple(const struct certificate_entry *entry, struct bytes *ocsp);

/* A CertificateRequest: what the server asks the client to prove. */
struct certificate_request {
	bool tls13;
	struct bytes context;      /* TLS 1.3 only */
	struct bytes types;        /* TLS 1.2 only: list of ClientCertificateType octets (1 rsa_sign, 64 ecdsa_sign) */
	struct bytes sigalgs;      /* list of u16 (tls/list.h); empty below TLS 1.2 */
	struct bytes sigalgs_cert; /* TLS 1.3: signature_algorithms_cert; empty when absent */
	struct bytes authorities;  /* for authority_next; empty: any */
	struct bytes extensions;   /* TLS 1.3: raw block */
};

/* As certificate_parse. In TLS 1.3 a request without signature_algorithms is malformed. */
must_check bool certificate_request_parse(struct bytes body, uint16_t version, struct certificate_request *out);

/* Takes one DER distinguished name from the front. False at the end. */
must_check bool authority_next(struct bytes *list, struct bytes *name);

#endif
