#include "assess/client_cases.h"

#include "tls/alert.h"
#include "tls/hello.h"

#include <stdio.h>
#include <string.h>

/* How a case beyond certificates is played, and what its acceptance is worth. */
struct conduct {
	const char *check, *probed, *why;
	enum grade grade; /* where it is accepted */
	struct play play;
};

static const struct conduct conducts[] = {
	{"no-extended-master-secret", "a server of TLS 1.2 without extended master secret",
		"Most clients have to take it, for old servers. With RSA key exchange or DHE, it lets a proxy drop out "
		"of the "
		"connection.",
		GRADE_NONE, {.max = TLS_VERSION_12, .no_ems = true}},
	{"rsa-key-exchange", "a server of TLS 1.2 with RSA key exchange only",
		"Without forward secrecy, a key that is stolen later opens all that was recorded.", GRADE_B,
		{.max = TLS_VERSION_12, .suites = "kRSA+AES:@SECLEVEL=0"}},
	{"rsa-without-ems", "RSA key exchange without extended master secret",
		"A proxy can give both its connections one master secret, and drop out.", GRADE_B,
		{.max = TLS_VERSION_12, .no_ems = true, .suites = "kRSA+AES:@SECLEVEL=0"}},
	{"dhe-custom-group", "DHE in a group of 2048 bits whose modulus is not prime",
		"Whoever knows its factors reads along; a relay can make one in which both its connections share a "
		"secret.",
		GRADE_C, {.max = TLS_VERSION_12, .custom_group = true, .suites = "DHE+AESGCM:@SECLEVEL=0"}},
	{"dhe-without-ems", "the same without extended master secret",
		"A proxy can give both its connections one master secret, and drop out.", GRADE_C,
		{.max = TLS_VERSION_12, .custom_group = true, .no_ems = true, .suites = "DHE+AESGCM:@SECLEVEL=0"}},
	{"dhe-1024", "DHE of 1024 bits", "Within reach of states (Logjam).", GRADE_C,
		{.max = TLS_VERSION_12, .custom_group = true, .dh_bits = 1024, .suites = "DHE+AES:@SECLEVEL=0"}},
	{"3des", "3DES in TLS 1.2", "Blocks of 64 bits (Sweet32).", GRADE_C,
		{.max = TLS_VERSION_12, .suites = "3DES:@SECLEVEL=0"}},
	{"anonymous", "a server without a certificate", "Nobody is authenticated.", GRADE_F,
		{.max = TLS_VERSION_12, .suites = "aNULL:@SECLEVEL=0"}},
	{"tls10", "TLS 1.0 only", "Deprecated by RFC 8996.", GRADE_B,
		{.min = TLS_VERSION_10, .max = TLS_VERSION_10, .suites = "ALL:@SECLEVEL=0"}},
	{"tls11", "TLS 1.1 only", "Deprecated by RFC 8996.", GRADE_B,
		{.min = TLS_VERSION_11, .max = TLS_VERSION_11, .suites = "ALL:@SECLEVEL=0"}},
	{"damaged-finished", "a server's Finished with one bit changed", "Nothing of the handshake is authenticated.",
		GRADE_F, {.damage = true}},
};

static bool stapling(enum identity_fault fault)
{
	return fault == IDENTITY_MUST_STAPLE || (fault >= IDENTITY_STAPLE_REVOKED && fault <= IDENTITY_STAPLE_SIGNER);
}

/* What current browsers take too is worth a B; what only breaks in time, a C. */
static enum grade worth_of(enum identity_fault fault)
{
	if (stapling(fault) || fault == IDENTITY_NO_SAN || fault == IDENTITY_WILDCARD_PARTIAL ||
		fault == IDENTITY_CURVE_ABOVE)
		return GRADE_B;
	return fault == IDENTITY_SHA1 || fault == IDENTITY_RSA_1024 || fault == IDENTITY_SHA1_ABOVE ||
	                       fault == IDENTITY_MALFORMED
	               ? GRADE_C
	               : GRADE_F;
}

static size_t add_certificates(struct client_case *out)
{
	size_t count = 0;
	for (enum identity_fault fault = IDENTITY_SELF_SIGNED; fault < IDENTITY_CLIENT_FAULTS; fault++) {
		struct client_case *one = &out[count++];
		*one = (struct client_case){.check = identity_fault_name(fault),
			.why = identity_fault_why(fault),
			.grade = worth_of(fault),
			.fault = fault};
		snprintf(one->probed, sizeof(one->probed), "a certificate: %s", identity_fault_text(fault));
	}
	return count;
}

size_t client_cases(struct client_case out[CLIENT_CASES_MAX])
{
	size_t count = add_certificates(out);
	struct client_case *sentinel = &out[count++];
	*sentinel = (struct client_case){.check = "downgrade-sentinel",
		.why = "An attacker who breaks TLS 1.2's signatures or key exchange could take TLS 1.3 away unseen.",
		.probed = "an answer of TLS 1.2 with the downgrade sentinel in its random",
		.grade = GRADE_C,
		.sentinel = true,
		.play = {.downgrade = true}};
	for (size_t i = 0; i < sizeof(conducts) / sizeof(conducts[0]); i++) {
		struct client_case *one = &out[count++];
		*one = (struct client_case){.check = conducts[i].check,
			.why = conducts[i].why,
			.grade = conducts[i].grade,
			.rsa = true,
			.play = conducts[i].play};
		snprintf(one->probed, sizeof(one->probed), "%s", conducts[i].probed);
	}
	return count;
}

bool client_accepted(const struct client_case *one, const struct visit_seen *seen)
{
	return one->sentinel ? seen->key_exchange : seen->request > 0;
}

void client_tell_case(
	struct report *report, const struct client_case *one, const struct visit_seen *seen, const char *more)
{
	const char *alert = seen->alert ? alert_name(seen->alert) : NULL;
	bool accepted = client_accepted(one, seen);
	if (accepted && one->sentinel)
		report_add(report, one->check, one->grade, one->probed, one->why,
			"ignored: it went on with its key exchange");
	else if (accepted)
		report_add(report, one->check, one->grade, one->probed, one->why,
			"ACCEPTED: %zu octets of a request came", seen->request);
	else if (seen->connections == 0)
		report_add(report, one->check, GRADE_A, one->probed, NULL, "refused: it made no connection%s", more);
	else
		report_add(report, one->check, GRADE_A, one->probed, NULL, "%s%s%s%s",
			one->sentinel ? "heeded: it ended the handshake" : "refused: no octet of a request came",
			alert ? ", alert " : "", alert ? alert : "", more);
}

void client_tell_dropout(struct report *report)
{
	const struct finding *rsa = report_find(report, "rsa-without-ems");
	const struct finding *dhe = report_find(report, "dhe-without-ems");
	bool by_rsa = rsa && rsa->grade > GRADE_A, by_dhe = dhe && dhe->grade > GRADE_A;
	bool known = rsa && dhe && rsa->grade != GRADE_UNKNOWN && dhe->grade != GRADE_UNKNOWN;
	report_conclude(report, "dropout",
		by_rsa || by_dhe ? "exposed"
		: known          ? "not-exposed"
				 : "unknown",
		by_rsa || by_dhe || !known, "%s",
		by_rsa && by_dhe
			? "It takes RSA key exchange, and DHE in an unchecked group, without extended master secret: "
			  "with either, a proxy whose certificate it accepts can give this and the server's connection "
			  "one master secret, and leave."
		: by_rsa ? "It takes RSA key exchange without extended master secret: a proxy whose certificate it "
			   "accepts can give "
			   "this and the server's connection one master secret, and leave."
		: by_dhe ? "It takes DHE in an unchecked group without extended master secret: a proxy whose "
			   "certificate it accepts "
			   "can choose the secret, give it to both connections, and leave."
		: known  ? "It takes neither RSA key exchange nor unchecked groups without extended master secret."
			 : "Not all that this rests on could be tried.");
}
