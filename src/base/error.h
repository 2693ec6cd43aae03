/* base/error.h — one sentence for people about what failed, where, and what to do. Carried up whole, printed once. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/attr.h"

#include <stdbool.h>

struct error {
	char text[512]; /* NUL-terminated UTF-8, no newline, no control characters; cut when longer */
};

/* Sets the text and returns false, so that `return error_set(err, ...)` reads as a failure. `err` may be NULL. */
bool error_set(struct error *err, const char *format, ...) printf_like(2, 3);
/* As error_set, followed by ": " and the text of errno. */
bool error_set_errno(struct error *err, const char *format, ...) printf_like(2, 3);
/* As error_set, followed by ": " and the newest reason in OpenSSL's error queue, which is emptied. */
bool error_set_openssl(struct error *err, const char *format, ...) printf_like(2, 3);
/* Puts "text: " before what is there. */
bool error_prefix(struct error *err, const char *format, ...) printf_like(2, 3);

#endif
