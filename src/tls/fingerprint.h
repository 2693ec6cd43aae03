/*
 * tls/fingerprint.h — fingerprints of a ClientHello: JA3 (the list of numbers and its MD5) and JA4 (FoxIO's public
 * specification of the TLS client fingerprint). Both pass over GREASE. They tell programs apart, not people, and anyone
 * can put on another's: good for statistics and for rules of convenience, not for decisions of security.
 */
#ifndef TLS_FINGERPRINT_H
#define TLS_FINGERPRINT_H

#include "tls/hello.h"

#define JA3_LEN 32 /* MD5 in hex */
#define JA4_LEN 36 /* t13d1516h2_8daaf6152771_e5627efa2ab1 */

/* What carried the hello: the first letter of a JA4. */
enum ja4_transport { JA4_TCP = 't', JA4_QUIC = 'q', JA4_DTLS = 'd' };

/*
 * The JA3 string "version,suites,extensions,groups,point formats" in decimal, to `out` with a closing NUL. False when
 * it does not fit into `cap` octets (`out` is then an empty string when cap > 0).
 */
must_check bool ja3_string(const struct client_hello *hello, char *out, size_t cap);

/* The JA3 itself, 32 lower-case hex digits and NUL. False (and an empty string) when OpenSSL does not offer MD5. */
must_check bool ja3(const struct client_hello *hello, char out[JA3_LEN + 1]);

/*
 * The JA4, 36 characters and NUL. False (and an empty string) only when OpenSSL fails at SHA-256. ALPN octets
 * that are not letters or digits stand as hex digits, so that the result is always printable ASCII.
 */
must_check bool ja4(const struct client_hello *hello, enum ja4_transport transport, char out[JA4_LEN + 1]);

#endif
