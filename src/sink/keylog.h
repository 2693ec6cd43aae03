/*
 * sink/keylog.h — key log lines of both legs (RFC 9850), for tools that read them. Who has this file reads everything
 * the flows carried: mode 0600, even where the file was there before. RFC 9850 asks not to use the format in
 * production.
 */
#ifndef SINK_KEYLOG_H
#define SINK_KEYLOG_H

#include "sink/sink.h"

/* NULL with `err` set. Lines that are none of RFC 9850 are left out and counted as lost. */
must_check struct sink *keylog_new(const char *path, struct error *err);

#endif
