/*
 * proxy/log_place.h — where the log goes: standard error, a file, or the journal. Every process of the family logs to
 * its standard error; this is what stands behind it.
 */
#ifndef PROXY_LOG_PLACE_H
#define PROXY_LOG_PLACE_H

#include "base/error.h"
#include "policy/config.h"

/*
 * The configured place as a descriptor of the caller's; -1 with `err` set. Standard error stays what it is: for a
 * program whose standard error is somebody else's too. Not for the place CONFIG_LOG_STDERR.
 */
must_check int log_place_fd(const struct config *config, struct error *err);

/*
 * Puts the configured place behind standard error, appending; with none configured nothing changes. Again after SIGHUP:
 * a file is then opened anew by its name. False with one line in `err`, and standard error stays what it was.
 */
must_check bool log_place_open(const struct config *config, struct error *err);

#endif
