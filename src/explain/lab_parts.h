/* explain/lab_parts.h — what the files of the laboratory share. */
#ifndef EXPLAIN_LAB_PARTS_H
#define EXPLAIN_LAB_PARTS_H

#include "explain/lab.h"

struct lab_identity {
	X509 *ca, *cert;
	EVP_PKEY *key;
};

struct lab {
	struct lab_identity identity[LAB_IDENTITIES];
};

/* The group a lab server takes for DHE: ffdhe2048 (RFC 7919, A.1). NULL: libcrypto failed. */
must_check EVP_PKEY *lab_dh_group(void);

#endif
