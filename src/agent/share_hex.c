#include "agent/share_hex.h"

#include "base/attr.h"

#include <stdarg.h>
#include <stdbool.h>

#define OCTET_LEN 3 /* two digits and the NUL */

/* The C library's, by the names that callers who were compiled with _FORTIFY_SOURCE have for them, and the others. */
int share_vsprintf(char *out, const char *format, va_list list) __asm__("vsprintf");
int share_vsprintf_chk(char *out, int flag, size_t cap, const char *format, va_list list) __asm__("__vsprintf_chk");

static bool is_octet(const char *format)
{
	return format[0] == '%' && format[1] == '0' && format[2] == '2' && format[3] == 'x' && format[4] == '\0';
}

static int write_octet(char *out, unsigned value)
{
	static const char digits[] = "0123456789abcdef";
	out[0] = digits[value >> 4];
	out[1] = digits[value & 15];
	out[2] = '\0';
	return OCTET_LEN - 1;
}

int share_sprintf(char *out, const char *format, ...)
{
	va_list list;
	int n = -1;
	va_start(list, format);
	if (is_octet(format)) {
		va_list first;
		va_copy(first, list);
		unsigned value = va_arg(first, unsigned);
		va_end(first);
		if (value <= 0xff)
			n = write_octet(out, value);
	}
	if (n < 0)
		n = share_vsprintf(out, format, list);
	va_end(list);
	return n;
}

int share_sprintf_chk(char *out, int flag, size_t cap, const char *format, ...)
{
	va_list list;
	int n = -1;
	va_start(list, format);
	if (cap >= OCTET_LEN && is_octet(format)) {
		va_list first;
		va_copy(first, list);
		unsigned value = va_arg(first, unsigned);
		va_end(first);
		if (value <= 0xff)
			n = write_octet(out, value);
	}
	if (n < 0)
		n = share_vsprintf_chk(out, flag, cap, format, list);
	va_end(list);
	return n;
}
