/*
 * proxy/page.h — http://overt.internal/ through the proxy, and http://PROXY/ directly: who inspects here and why, the CA
 * to download, the verdict for any name, and how to object. The proxy is never covert: this page needs no credentials.
 */
#ifndef PROXY_PAGE_H
#define PROXY_PAGE_H

#include "base/attr.h"

#include <stdbool.h>

#define PAGE_HOST "overt.internal"

struct conn;

/* Is the request that opening->http holds for the page? */
must_check bool page_wanted(const struct conn *conn);
/* Answers it and ends the connection. */
void page_serve(struct conn *conn);

#endif
