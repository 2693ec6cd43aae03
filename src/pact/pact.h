/*
 * pact/pact.h — what a client of Accord trusts: anchors of proxies, proxies by name or pin, web roots. Answers the two
 * questions that the checks ask (accord/check.h). What is trusted does not change once it is made, and threads may share
 * it. Chains found good are remembered for a while (pact/memo.h).
 */
#ifndef PACT_PACT_H
#define PACT_PACT_H

#include "accord/check.h"
#include "pact/memo.h"

#define PACT_MAX_PROXIES 32

struct pact;

struct pact_terms {
	const char *anchors;      /* file in PEM: the Accord anchors */
	const char *trust;        /* file in PEM: the web roots; NULL: the distribution's (pact/roots.h) */
	const char *const *proxy; /* host names, or pins in 64 hex digits (SHA-256 of the SubjectPublicKeyInfo) */
	size_t proxies;           /* at most PACT_MAX_PROXIES; 0: every proxy that an anchor leads to */
	bool proxies_only;        /* for servers: no web roots are read, and pact_verify_server refuses everybody */
};

/*
 * Reads the files. Refuses an anchor that is a web root too: of those in use here, and where these are the
 * distribution's, of all that this machine trusts. One reference.
 */
must_check bool pact_make(struct pact **out, const struct pact_terms *terms, struct error *err);
/* Whether a text can stand in pact_terms.proxy. */
must_check bool pact_proxy_valid(const char *text, struct error *err);
void pact_keep(struct pact *pact); /* one more reference */
void pact_free(struct pact *pact); /* one less; NULL is allowed */

/*
 * The library context that chains are judged in (pki/slim.h), for `lib` of struct accord_trust and of struct
 * accord_client_config: leaves need not be decoded twice then. Lives as long as the pact. NULL: the default context.
 */
must_check OSSL_LIB_CTX *pact_lib(const struct pact *pact);

/* A leaf decoded in that context, or remembered; for `decode` there, with the pact as ctx. NULL: it cannot be read. */
must_check X509 *pact_decode(void *pact, struct bytes der);

/* As if no chain had been judged yet. */
void pact_forget(struct pact *pact);
must_check struct memo_counts pact_count(const struct pact *pact);

/*
 * From now on certificates are judged as of that time instead of the present; 0: the present again. Not while others
 * use the pact.
 */
void pact_set_time(struct pact *pact, int64_t now_s);
must_check int64_t pact_now(void *pact);

/* For struct accord_trust and struct accord_client_config, with the pact as ctx. */
must_check bool pact_verify_proxy(
	void *pact, const struct accord_chain *chain, struct accord_identity *who, struct error *err);
must_check bool pact_verify_server(
	void *pact, const struct accord_chain *chain, struct bytes host, struct bytes address, struct error *err);

#endif
