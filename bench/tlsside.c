#include "tlsside.h"

#include "base/clock.h"

#include <openssl/objects.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

SSL_CTX *tlsside_context(const SSL_METHOD *method, const struct tlsside *side, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	/* OpenSSL's macro takes a string that is not const. */
	char group[64];
	snprintf(group, sizeof(group), "%s", side->group);
	if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		SSL_CTX_set1_groups_list(ctx, group) == 1 && SSL_CTX_set_ciphersuites(ctx, side->suite) == 1) {
		SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		return ctx;
	}
	error_set_openssl(err, "group %s, suite %s", side->group, side->suite);
	SSL_CTX_free(ctx);
	return NULL;
}

bool tlsside_agreed(const SSL *ssl, const struct tlsside *side, struct error *err)
{
	if (SSL_version(ssl) != TLS1_3_VERSION)
		return error_set(err, "agreed on %s, not on TLS 1.3", SSL_get_version(ssl));
	const char *suite = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
	if (strcmp(suite, side->suite) != 0)
		return error_set(err, "agreed on %s, not on %s", suite, side->suite);
	/* Only one group was offered, so another one cannot have been agreed on; this guards the offer itself. */
	int group = (int)SSL_get_negotiated_group((SSL *)(uintptr_t)ssl);
	const char *name = OBJ_nid2sn(group);
	if (!SSL_session_reused(ssl) && (!name || strcmp(name, side->group) != 0))
		return error_set(err, "agreed on the group %s, not on %s", name ? name : "(none)", side->group);
	return true;
}

uint64_t cpu_time_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void descriptors_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
