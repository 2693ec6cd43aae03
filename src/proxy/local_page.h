/*
 * proxy/local_page.h — the page of `overt local`: who reads what, now and before, and what is refused. Plain HTML with
 * forms; what changes anything is a POST with the token of this run, from our own page.
 */
#ifndef PROXY_LOCAL_PAGE_H
#define PROXY_LOCAL_PAGE_H

#include "base/bytes.h"
#include "base/html.h"

struct conn;
struct local;

/* A request to the proxy itself was read. False: it was for a file that every proxy of ours has (proxy/page.h). */
must_check bool local_page_serve(struct conn *conn);

/* The page as it is now. `said`: what came of the last wish; "": nothing. `failed`: it is an error. `ca_pem`: the CA. */
void local_page_write(struct html *page, const struct local *local, const char *said, bool failed, struct bytes ca_pem);

#endif
