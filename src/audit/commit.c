#include "audit/commit.h"

#include <openssl/evp.h>

bool audit_commit(const uint8_t salt[AUDIT_SALT], struct bytes value, uint8_t out[AUDIT_COMMIT_LEN])
{
	static const char label[] = "overt audit 1";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	            EVP_DigestUpdate(ctx, label, sizeof(label)) == 1 && /* with its 0x00 */
	            EVP_DigestUpdate(ctx, salt, AUDIT_SALT) == 1 && EVP_DigestUpdate(ctx, value.data, value.len) == 1 &&
	            EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return good;
}
