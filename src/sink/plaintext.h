/*
 * sink/plaintext.h — a file per connection and direction that holds its plaintext and nothing else: what a tool that
 * knows no TLS can read. Names are FLOW_CLIENT-PORT_SERVER-PORT.up and .down, as in "0.7_192.0.2.1-50312_203.0.113.5-443.up"
 * (colons of IPv6 become dots); a direction without plaintext has no file. Octets that are missing are left out: other
 * outputs say where.
 */
#ifndef SINK_PLAINTEXT_H
#define SINK_PLAINTEXT_H

#include "sink/sink.h"

#define PLAINTEXT_OPEN_MAX                                                                                             \
	256 /* files open at a time: the one longest unused is closed, and opened again when needed */

/* The directory is made with mode 0700 when it is missing. NULL with `err` set. */
must_check struct sink *plaintext_new(const char *directory, struct error *err);

#endif
