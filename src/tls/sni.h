/* tls/sni.h — the server_name extension of a ClientHello (RFC 6066, 3). No I/O, no allocation. */
#ifndef TLS_SNI_H
#define TLS_SNI_H

#include "tls/hello.h"

/* Reads the extension's data. Sets *name as client_hello's `server_name` describes; empty for EMPTY and MALFORMED. */
must_check enum hello_sni sni_parse(struct bytes data, struct bytes *name);

/* Judges a name by itself: OK, EMPTY, BAD_OCTET, BAD_LABEL, TRAILING_DOT or ADDRESS. */
must_check enum hello_sni sni_judge(struct bytes name);

#endif
