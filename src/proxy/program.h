/* proxy/program.h — where this program stands, for whoever is to start it again: an upgrade, or a person at a shell. */
#ifndef PROXY_PROGRAM_H
#define PROXY_PROGRAM_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

#define PROGRAM_PATH_MAX 4096

/*
 * The absolute path it was started by, symbolic links kept, so that it names what stands there later; where that is not
 * this program, the file itself. False when neither can be told.
 */
must_check bool program_path(char *out, size_t cap);

/* What a person has to type: its plain name where PATH finds this very program, else program_path. */
must_check const char *program_called(char *out, size_t cap);

#endif
