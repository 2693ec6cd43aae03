/* agent/share_openssl_hmac.h — HMAC for share_derive, of the program's own OpenSSL. */
#ifndef AGENT_SHARE_OPENSSL_HMAC_H
#define AGENT_SHARE_OPENSSL_HMAC_H

#include "agent/share_derive.h"
#include "agent/share_openssl_library.h"

must_check struct share_hmac openssl_hmac(const struct openssl_library *library);

#endif
