/*
 * proxy/intake.h — where a fresh connection is to go: PROXY protocol in front, then CONNECT, absolute-form HTTP or SOCKS
 * on explicit listeners, the kernel's word on transparent ones, the configuration's on reverse ones, SNI on the rest.
 */
#ifndef PROXY_INTAKE_H
#define PROXY_INTAKE_H

#include "base/bytes.h"
#include "flow/event.h"
#include "proxy/dial.h"

struct conn;

/* The connection was just accepted. */
void intake_begin(struct conn *conn);
/*
 * This proxy's name in Via (RFC 9110, 7.6.3): one on its user's machine has a name of its own, since the network's proxy
 * behind it may be one of ours too.
 */
must_check struct bytes intake_via(const struct conn *conn);

/* The client's next request on an explicit listener, after a plain one was answered. */
void intake_next(struct conn *conn);
/* A reply of the proxy's own; the caller ends the connection. */
struct http_reply;
void intake_reply(struct conn *conn, const struct http_reply *reply);
/* The upstream connection stands: tells the client of an explicit listener (200, SOCKS success). False: it is gone. */
must_check bool intake_accept(struct conn *conn);
/* It does not, or policy forbids it: tells the client why in its protocol, then ends the connection. */
void intake_refuse(struct conn *conn, enum flow_ending ending, uint16_t status, const char *name, const char *text);

#endif
