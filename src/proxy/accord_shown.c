#include "proxy/accord_shown.h"

#include "proxy/answer.h"
#include "proxy/keeper_client.h"
#include "proxy/worker.h"

#include <openssl/sha.h>
#include <stdlib.h>

struct accord_shown *accord_shown_new(const struct worker *worker, struct error *err)
{
	struct accord_shown *shown = calloc(1, sizeof(*shown));
	if (!shown) {
		error_set(err, "no memory for the Accord certificate");
		return NULL;
	}
	shown->owners = 1;
	keeper_client_accord(worker->keeper, &shown->cert, &shown->key);
	bool ok = shown->cert || error_set(err, "the keeper has sent no Accord certificate");
	if (ok) {
		X509_up_ref(shown->cert);
		EVP_PKEY_up_ref(shown->key);
		ok = X509_digest(shown->cert, EVP_sha256(), shown->hash, NULL) == 1 ||
		     error_set_openssl(err, "the Accord certificate cannot be hashed");
	}
	if (ok)
		shown->ctx = answer_accord_ctx(worker, shown->cert, shown->key, err);
	if (shown->ctx)
		return shown;
	accord_shown_drop(shown);
	return NULL;
}

struct accord_shown *accord_shown_keep(struct accord_shown *shown)
{
	if (shown)
		shown->owners++;
	return shown;
}

void accord_shown_drop(struct accord_shown *shown)
{
	if (!shown || --shown->owners > 0)
		return;
	SSL_CTX_free(shown->ctx);
	X509_free(shown->cert);
	EVP_PKEY_free(shown->key);
	free(shown);
}
