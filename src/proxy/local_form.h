/*
 * proxy/local_form.h — requests to the page of `overt local`: what a form sends, and whether it was our own page that sent
 * it. No I/O.
 */
#ifndef PROXY_LOCAL_FORM_H
#define PROXY_LOCAL_FORM_H

#include "proxy/intake_http.h"

#define FORM_MAX 2048 /* octets of a body */

/*
 * The value of `key` in application/x-www-form-urlencoded text (WHATWG URL, 5.1), blanks around it left out. False when
 * the key is not there or stands twice, an escape is broken, or it does not fit into `cap` octets with a NUL.
 */
must_check bool form_value(struct bytes body, const char *key, char *out, size_t cap);

/*
 * Was this request meant for us? A name that somebody else lets point to this machine is none of ours (DNS rebinding):
 * through the proxy it is `page_host` in absolute form, directly the loopback address or localhost with our port.
 */
must_check bool form_meant_for_us(const struct intake_http *http, const char *page_host, uint16_t port);
/*
 * Was it sent by a page of the very address that it is for? Browsers say so in Origin and Sec-Fetch-Site; who says nothing
 * is no browser, and lacks the token anyway.
 */
must_check bool form_same_origin(const struct intake_http *http, const char *page_host);

#endif
