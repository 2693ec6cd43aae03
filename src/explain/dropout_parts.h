/* explain/dropout_parts.h — parts of the story of the relay that leaves. Each adds rows; false when it cannot run. */
#ifndef EXPLAIN_DROPOUT_PARTS_H
#define EXPLAIN_DROPOUT_PARTS_H

#include "explain/lab.h"
#include "explain/story.h"

#define DROPOUT_REQUEST  "GET /account HTTP/1.1\r\nHost: " LAB_NAME "\r\n\r\n"
#define DROPOUT_RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define DROPOUT_OCTETS   16 /* of a secret that are shown: enough to tell two of them apart */

/* dropout12.c: TLS 1.2 terminated on both sides, by key exchange and by what the client insists on. */
must_check bool dropout_rsa(const struct lab *lab, struct story *story, struct error *err);
must_check bool dropout_dhe(const struct lab *lab, struct story *story, struct error *err);
must_check bool dropout_ecdhe(const struct lab *lab, struct story *story, struct error *err);
must_check bool dropout_certificate12(const struct lab *lab, struct story *story, struct error *err);
/* dropout13.c: TLS 1.3 terminated on both sides. */
must_check bool dropout_tls13(const struct lab *lab, struct story *story, struct error *err);
/* Whether somebody who only copies octets sees the certificate in time to decide by it, in both versions. */
must_check bool dropout_late_deciding(const struct lab *lab, struct story *story, struct error *err);
/* dropout_table.c: both key schedules side by side, and what follows from one changed message. */
must_check bool dropout_table(const struct lab *lab, struct story *story, struct error *err);
/* dropout_ways.c: the ways out that there are. */
must_check bool dropout_ways(const struct lab *lab, struct story *story, struct error *err);

/* The first octets of a secret as a fact of the row, or a word for its absence. */
void dropout_secret(struct story *story, const char *name, const char *label, struct bytes secret);
/* A request and its answer between the ends, untouched on the way. */
must_check bool dropout_flows(struct lab_end *client, struct lab_end *server);

#endif
