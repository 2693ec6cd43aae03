/* cli/ca_places.h — where a machine keeps the CAs it trusts: Debian's system store, and NSS databases (Chromium). */
#ifndef CLI_CA_PLACES_H
#define CLI_CA_PLACES_H

#include "base/attr.h"
#include "base/error.h"

#include <openssl/x509.h>
#include <stdbool.h>

#define CA_SYSTEM_DIR "/usr/local/share/ca-certificates"

struct ca_places {
	const char *system_dir; /* one file per CA; NULL: not this place */
	bool system_update;     /* run update-ca-certificates after a change */
	const char *nss_dir;    /* NSS database; NULL: not this place */
};

enum ca_place_result {
	CA_PLACE_DONE,
	CA_PLACE_ABSENT, /* this machine has no such place, or no tool for it */
	CA_PLACE_DENIED, /* only root may: `err` says so */
	CA_PLACE_FAILED, /* `err` says why */
};

/* Putting what is there already, and removing what is not, are DONE. */
must_check enum ca_place_result ca_system_put(const struct ca_places *places, X509 *cert, struct error *err);
must_check enum ca_place_result ca_system_remove(const struct ca_places *places, X509 *cert, struct error *err);
must_check bool ca_system_has(const struct ca_places *places, X509 *cert);
/* After puts and removes: has the system make its bundles anew. */
must_check enum ca_place_result ca_system_update(const struct ca_places *places, struct error *err);

/* Debian's Java store follows the system's when a CA comes, but not when it goes. After ca_system_update; takes root. */
must_check enum ca_place_result ca_java_remove(const struct ca_places *places, X509 *cert, struct error *err);

must_check enum ca_place_result ca_nss_put(const struct ca_places *places, X509 *cert, struct error *err);
must_check enum ca_place_result ca_nss_remove(const struct ca_places *places, X509 *cert, struct error *err);
must_check bool ca_nss_has(const struct ca_places *places, X509 *cert);

#endif
