#include "libovert/hung.h"

#include <openssl/crypto.h>

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int slot[HUNG_KINDS];

static void on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	struct hung *hung = ptr;
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	if (hung)
		hung->drop(hung);
}

static void make_slots(void)
{
	for (int kind = 0; kind < HUNG_KINDS; kind++)
		slot[kind] = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
}

static bool hang(SSL_CTX *ctx, enum hung_kind kind, struct hung *hung, struct error *err)
{
	static const char *const taken[HUNG_KINDS] = {[HUNG_CLIENT] = "this context speaks Accord already",
		[HUNG_SERVER] = "this context is aware of Accord already"};
	if (CRYPTO_THREAD_run_once(&once, make_slots) == 1 && slot[kind] >= 0 && SSL_CTX_get_ex_data(ctx, slot[kind]))
		return error_set(err, "%s", taken[kind]);
	return (slot[kind] >= 0 && SSL_CTX_set_ex_data(ctx, slot[kind], hung) == 1) ||
	       error_set_openssl(err, "no place for Accord's state");
}

bool hung_attach(SSL_CTX *ctx, enum hung_kind kind, struct hung *hung,
	bool (*attach)(struct hung *hung, SSL_CTX *ctx, struct error *err), struct error *err)
{
	if (!hung)
		return error_set(err, "no memory for Accord");
	bool hangs = hang(ctx, kind, hung, err);
	if (hangs && attach(hung, ctx, err))
		return true;
	if (hangs)
		(void)SSL_CTX_set_ex_data(ctx, slot[kind], NULL);
	hung->drop(hung);
	return false;
}
