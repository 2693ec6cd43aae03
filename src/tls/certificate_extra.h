/*
 * tls/certificate_extra.h — what travels beside or in the place of a Certificate: CertificateStatus (RFC 6066, 8; RFC
 * 6961, 2.2) and CompressedCertificate, its header only (RFC 8879, 4). No I/O, no allocation.
 */
#ifndef TLS_CERTIFICATE_EXTRA_H
#define TLS_CERTIFICATE_EXTRA_H

#include "base/bytes.h"

struct certificate_status {
	uint8_t type;          /* 1 ocsp, 2 ocsp_multi */
	struct bytes response; /* ocsp: one DER response, never empty */
	struct bytes list;     /* ocsp_multi: for certificate_status_next */
};

/* False when malformed or of another type. */
must_check bool certificate_status_parse(struct bytes body, struct certificate_status *out);
/* Takes the next response, which is empty where the server has none for that certificate. False at the end. */
must_check bool certificate_status_next(struct bytes *list, struct bytes *response);

struct compressed_certificate {
	uint16_t algorithm;  /* 1 zlib, 2 brotli, 3 zstd */
	uint32_t length;     /* octets of the Certificate body when unpacked, 24 bits */
	struct bytes packed; /* never empty */
};

must_check bool compressed_certificate_parse(struct bytes body, struct compressed_certificate *out);

#endif
