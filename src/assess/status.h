/*
 * assess/status.h — where certificates of ours say that their status is told: a CRL (RFC 5280, 5) and an OCSP response
 * (RFC 6960) over HTTP on 127.0.0.1, and who asked for them.
 */
#ifndef ASSESS_STATUS_H
#define ASSESS_STATUS_H

#include "base/bytes.h"
#include "base/error.h"

struct status;

/* Serves this CRL, copied. NULL with err set. */
must_check struct status *status_new(struct bytes crl, struct error *err);
void status_free(struct status *status); /* NULL is allowed */
must_check uint16_t status_port(const struct status *status);
/* From now on this response, copied, and nothing asked. False when it is too long. */
must_check bool status_answer(struct status *status, struct bytes ocsp);
/* How often each was asked for since. */
void status_asked(struct status *status, unsigned *crl, unsigned *ocsp);

#endif
