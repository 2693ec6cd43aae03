/*
 * sink/pcapng.h — the plaintext of inspected flows as TCP streams that Wireshark dissects without any setting
 * (draft-ietf-opsawg-pcapng). The file begins anew; every batch is written in one call and holds whole blocks, and
 * nothing is needed at the end: it can be read while it grows and after a SIGKILL.
 *
 * Addresses and ports are the real ones, but for the server's port where a port stands for TLS around a protocol: 443
 * would be taken for TLS, so HTTP stands at 80, IMAP at 143 and so on. The comment of a flow's first packet tells the
 * real one. What was not seen is a jump of sequence numbers.
 */
#ifndef SINK_PCAPNG_H
#define SINK_PCAPNG_H

#include "sink/sink.h"

/* NULL with `err` set. */
must_check struct sink *pcapng_new(const char *path, struct error *err);

#endif
