/* base/attr.h — attributes that every prototype of the house may carry. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#define must_check           __attribute__((warn_unused_result))
#define printf_like(fmt, at) __attribute__((format(printf, fmt, at)))
#define no_return            __attribute__((noreturn))

#endif
