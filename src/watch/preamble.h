/*
 * watch/preamble.h — what two sides say in the clear before they begin TLS: the words by which a protocol asks for it
 * (STARTTLS of RFC 3207, 2595, 4217, 4511, 4642, 6120 and others), or a proxy is asked for a way (RFC 9110, 9.3.6). No
 * I/O, no allocation.
 */
#ifndef WATCH_PREAMBLE_H
#define WATCH_PREAMBLE_H

#include "base/bytes.h"

/* "STARTTLS (SMTP)", "CONNECT (HTTP)", …; "a protocol not known here" else. Never NULL. `text` is all that this side said. */
must_check const char *preamble_name(struct bytes text, bool from_client);
/* The first line without its end, when it has one and is text; else empty. */
must_check struct bytes preamble_line(struct bytes text);

#endif
