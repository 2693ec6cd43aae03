/* cli/get_url.h — https URLs (RFC 3986, RFC 9110, 4.2.2). No I/O, no allocation. */
#ifndef CLI_GET_URL_H
#define CLI_GET_URL_H

#include "base/error.h"
#include "pki/name.h"

#define GET_TARGET_MAX ((size_t)8192)

struct get_url {
	struct subject_name host;
	char port[8];                    /* "443" */
	bool default_port;               /* 443: left out of the Host header */
	char target[GET_TARGET_MAX + 1]; /* path and query, as sent: begins with "/" */
};

/* False on any other scheme, on credentials in it, and on what may not stand in a URL. */
must_check bool get_url_parse(const char *text, struct get_url *out, struct error *err);

/* "example.com:443", "[2001:db8::1]:443": for CONNECT; cut at cap. */
void get_url_authority(const struct get_url *url, char *out, size_t cap);
/* The same without :443 where that is the port: for Host. */
void get_url_host(const struct get_url *url, char *out, size_t cap);

#endif
