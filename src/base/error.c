#include "base/error.h"

#include "base/text.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

printf_like(2, 0) static void set_text(struct error *err, const char *format, va_list args, const char *reason)
{
	char raw[sizeof(err->text)];
	int n = vsnprintf(raw, sizeof(raw), format, args);
	size_t used = n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
	raw[used] = '\0';
	if (reason)
		snprintf(raw + used, sizeof(raw) - used, ": %s", reason);
	/* Messages quote what strangers sent: nothing in them may move a terminal's cursor. */
	text_clean(err->text, sizeof(err->text), bytes_str(raw));
}

bool error_set(struct error *err, const char *format, ...)
{
	if (!err)
		return false;
	va_list args;
	va_start(args, format);
	set_text(err, format, args, NULL);
	va_end(args);
	return false;
}

bool error_set_errno(struct error *err, const char *format, ...)
{
	int code = errno;
	if (!err)
		return false;
	char reason[128];
	const char *text = strerror_r(code, reason, sizeof(reason));
	va_list args;
	va_start(args, format);
	set_text(err, format, args, text);
	va_end(args);
	errno = code;
	return false;
}

bool error_set_openssl(struct error *err, const char *format, ...)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	if (!err)
		return false;
	va_list args;
	va_start(args, format);
	set_text(err, format, args, reason ? reason : "no reason given");
	va_end(args);
	return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
	if (!err)
		return false;
	char old[sizeof(err->text)];
	memcpy(old, err->text, sizeof(old));
	va_list args;
	va_start(args, format);
	set_text(err, format, args, old);
	va_end(args);
	return false;
}
