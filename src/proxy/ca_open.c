#include "proxy/ca_open.h"

#include "accord/anchor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "pki/accord_ca.h"
#include "pki/authority.h"

#include <unistd.h>

bool ca_open(const struct config *config, struct authority **out, bool *made, struct error *err)
{
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	char host[64] = "";
	bool missing = false;
	*made = false;
	if (config->ca_cert)
		return authority_from_files(out, config->ca_cert, config->ca_key, now_s, err);
	if (authority_load(out, config->state, now_s, &missing, err))
		return true;
	if (!missing)
		return false;
	gethostname(host, sizeof(host) - 1);
	struct authority_make make = {.host = host[0] ? host : NULL};
	*made = authority_open(out, config->state, &make, now_s, err);
	return *made;
}

void ca_lacks_accord(const struct config *config, struct error *err)
{
	error_set(err, "%s/%s: there is no Accord anchor; make one with: overt accord init --state %s", config->state,
		ACCORD_CA_FILE, config->state);
}

bool ca_open_accord(const struct config *config, struct accord_ca **out, struct error *err)
{
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	*out = NULL;
	enum accord_ca_result result = accord_ca_open(out, config->state, ACCORD_KEY_PURPOSE_OID, now_s, err);
	if (result == ACCORD_CA_OK)
		return true;
	*out = NULL;
	if (result == ACCORD_CA_MISSING)
		ca_lacks_accord(config, err);
	/* One that nobody asked for is nobody's trouble. */
	return config->accord == CONFIG_ACCORD_OFF;
}

bool ca_in_token(const struct config *config)
{
	return config->ca_key && bytes_starts(bytes_str(config->ca_key), bytes_str("pkcs11:"));
}
