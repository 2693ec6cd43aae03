/* assess/identity_why.c — what it is worth to an attacker that a certificate is taken although something is wrong with it. */
#include "assess/identity.h"

const char *identity_fault_why(enum identity_fault fault)
{
	switch (fault) {
	case IDENTITY_MUST_STAPLE:
	case IDENTITY_STAPLE_REVOKED:
	case IDENTITY_STAPLE_EXPIRED:
	case IDENTITY_STAPLE_SIGNER:
	case IDENTITY_REVOKED:
	case IDENTITY_REVOKED_ABOVE:
		return "A revoked certificate stays good for whoever stole its key.";
	case IDENTITY_NO_SAN:
	case IDENTITY_WILDCARD_PARTIAL:
		return "RFC 9525 has given such names up, since they say more than was checked.";
	case IDENTITY_MALFORMED:
		return "What cannot be decoded has not been checked: a limit may have stood there.";
	case IDENTITY_MD5:
		return "Two certificates can be made with one MD5: whoever has one signed can have another that "
		       "nobody checked.";
	case IDENTITY_SHA1:
	case IDENTITY_SHA1_ABOVE:
		return "Two certificates can be made with one SHA-1, though not cheaply: whoever has one signed could "
		       "have another that nobody checked.";
	case IDENTITY_RSA_1024:
		return "A key of 1024 bits can be factored by who spends enough on it, and then passes for the server.";
	case IDENTITY_CURVE_ABOVE:
		return "P-224 is below what public CAs may use, though nobody is known to have broken it.";
	case IDENTITY_ROOT_EXPIRED:
		return "Nobody watches over the key of a root past its time.";
	case IDENTITY_MISSING_INTERMEDIATE:
		return "Only a copy from elsewhere says who signed the leaf: who has none and takes it verifies "
		       "nothing.";
	default:
		return "Anybody who is in between can pass for the server.";
	}
}
