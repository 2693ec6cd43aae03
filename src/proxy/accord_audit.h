/* proxy/accord_audit.h — what the audit log is told of Accord (audit/entry.h). Both queue one entry. */
#ifndef PROXY_ACCORD_AUDIT_H
#define PROXY_ACCORD_AUDIT_H

#include "base/attr.h"
#include "base/bytes.h"

struct conn;

/* Before the proof is sent. NULL, or why the connection must not be inspected; static text. */
must_check const char *accord_audit_proof(struct conn *conn, struct bytes proof);
/* Before the approval, which leg 1 has taken, is given to the server. Likewise. */
must_check const char *accord_audit_approval(struct conn *conn, struct bytes approval);

#endif
