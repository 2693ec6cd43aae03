#include "proxy/keeper_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "pki/authority.h"
#include "pki/summary.h"
#include "policy/config.h"
#include "proxy/ca_open.h"

/* The audit entries about the CA, and opening it again while the keeper runs. */

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ns() / NS_PER_S);
}

/* What it may sign for, as text; cut where it is longer than an entry takes. */
static struct bytes names_of(const struct authority *authority, char *out, size_t cap)
{
	struct name_ranges permitted = {.count = 0};
	struct writer w = writer_over(out, cap);
	if (!authority_permit_list(authority, &permitted))
		return bytes_str("everything");
	for (size_t i = 0; i < permitted.count; i++) {
		char text[SUBJECT_NAME_MAX + 8];
		name_range_print(&permitted.at[i], text, sizeof(text));
		if (i > 0)
			writer_bytes(&w, bytes_str(", "));
		writer_bytes(&w, bytes_str(text));
	}
	return bytes_of(out, w.len);
}

static void audit_cert(struct keeper *keeper, const struct authority *authority, X509 *cert, const char *action)
{
	struct audit_entry entry = {.kind = AUDIT_CA};
	struct cert_summary summary;
	char names[AUDIT_TEXT_MAX];
	char until[16];
	cert_summary_of(cert, &summary);
	cert_date(until, sizeof(until), summary.not_after_s);
	audit_entry_add(&entry, AUDIT_T("action", bytes_str(action)));
	audit_entry_add(&entry, AUDIT_T("subject", bytes_str(summary.subject)));
	audit_entry_add(&entry, AUDIT_T("sha256", bytes_str(summary.sha256)));
	audit_entry_add(&entry, AUDIT_T("not_after", bytes_str(until)));
	audit_entry_add(&entry, AUDIT_T("names", names_of(authority, names, sizeof(names))));
	log_info("ca", LOG_S("is", action), LOG_S("subject", summary.subject), LOG_S("sha256", summary.sha256));
	if (keeper->audit && audit_append(keeper->audit, &entry, clock_wall_ns(), NULL) == AUDIT_INVALID)
		keeper->counts.audit_invalid++;
}

void keeper_ca_opened(struct keeper *keeper)
{
	struct authority_issuer issuer;
	if (authority_issuer(keeper->authority, now_s(), &issuer))
		audit_cert(keeper, keeper->authority, issuer.cert, keeper->options.ca_made ? "made" : "opened");
}

static bool holds(const struct authority *authority, const X509 *cert)
{
	const X509 *own;
	for (size_t i = 0; (own = authority_cert(authority, i)) != NULL; i++) {
		if (X509_cmp(own, cert) == 0)
			return true;
	}
	return false;
}

void keeper_authority_set(struct keeper *keeper, struct authority *authority)
{
	const struct authority *before = keeper->authority;
	X509 *cert;
	for (size_t i = 0; (cert = authority_cert(authority, i)) != NULL; i++) {
		if (!holds(before, cert))
			audit_cert(keeper, authority, cert, "rotated");
	}
	keeper->authority = authority;
	keeper_welcome(keeper, NULL);
}

/* Never makes one: a directory that lost its CA while the keeper runs is a fault, not a first start. */
static bool load(const struct config *config, struct authority **out, struct error *err)
{
	if (config->ca_cert)
		return authority_from_files(out, config->ca_cert, config->ca_key, now_s(), err);
	return authority_load(out, config->state, now_s(), NULL, err);
}

bool keeper_reopen(struct keeper *keeper, const struct config *config, struct authority **authority, bool *changed,
	struct error *err)
{
	struct authority *fresh;
	*changed = false;
	/* A token was opened once, with what the process could do then. */
	if (ca_in_token(config))
		return true;
	if (!load(config, &fresh, err))
		return false;
	if (bytes_equal(authority_pem(fresh), authority_pem(*authority))) {
		authority_free(fresh);
		return true;
	}
	keeper_authority_set(keeper, fresh);
	authority_free(*authority);
	*authority = fresh;
	*changed = true;
	return true;
}
