/*
 * pki/private_key.h — one private key in PEM, without a passphrase: nobody is there to be asked for one. What it is for
 * says the caller; whether it fits a certificate too.
 */
#ifndef PKI_PRIVATE_KEY_H
#define PKI_PRIVATE_KEY_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/evp.h>

/* NULL with `err` set. `name` is that of the file, for the error. Free with EVP_PKEY_free. */
must_check EVP_PKEY *private_key_parse(struct bytes pem, const char *name, struct error *err);
/* The same from a file that only its owner may read. */
must_check EVP_PKEY *private_key_read(const char *path, struct error *err);

#endif
