/* assess/visit_edit.h — changes to flights on their way, which libssl does not make itself (RFC 8446, 4; RFC 5246, 7). */
#ifndef ASSESS_VISIT_EDIT_H
#define ASSESS_VISIT_EDIT_H

#include "base/bytes.h"
#include "tls/hello.h"

/* Gives supported_versions of the hello, which lies within `octets`, a number that nobody knows. */
void edit_hide_versions(uint8_t *octets, size_t len, const struct client_hello *hello);
/* Takes renegotiation_info out of a ServerHello that begins `octets`. Returns the new length. */
must_check size_t edit_hide_renegotiation(uint8_t *octets, size_t len);

#endif
