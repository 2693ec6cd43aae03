/* proxy/report.h — what a connection tells the scribe. Everything here is cheap when nobody listens. */
#ifndef PROXY_REPORT_H
#define PROXY_REPORT_H

#include "base/bytes.h"
#include "flow/event.h"

struct conn;
struct client_hello;
struct leg;
struct policy_verdict;
struct verify_verdict;

void report_open(struct conn *conn, enum flow_intake intake, const char *host, uint16_t port);
/* The server's address became known. */
void report_upstream(struct conn *conn);
void report_hello(struct conn *conn, const struct client_hello *hello, const char *ja3, const char *ja4);
/* A leg's handshake is done. `verdict` NULL: nothing was verified on it. */
void report_tls(struct conn *conn, unsigned number, const struct leg *leg, const struct verify_verdict *verdict);
void report_verdict(struct conn *conn, enum flow_action action, unsigned pass, const char *rule, const char *reason);
void report_notice(struct conn *conn, enum flow_severity severity, const char *name, const char *text);
void report_keylog(struct conn *conn, const char *line);
void report_half(struct conn *conn, enum flow_direction direction);
void report_data(struct conn *conn, enum flow_direction direction, struct bytes plain);
/* False, with --lossless, while the scribe has no room for `octets`: the worker will call `ready` when it has. */
must_check bool report_ready(struct conn *conn, size_t octets);
void report_close(struct conn *conn, enum flow_ending ending, const char *name, const char *text);

#endif
