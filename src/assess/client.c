#include "assess/client.h"

#include "assess/identity.h"
#include "assess/origin.h"
#include "assess/run.h"
#include "base/clock.h"
#include "tls/alert.h"
#include "tls/hello.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME    "localhost"
#define LOOK_NS (5 * NS_PER_S)

struct client {
	const struct client_options *options;
	struct identity_maker *maker;
	struct origin *origin;
	struct report *report;
	char folder[64], ca_file[96], url[80];
	uint64_t deadline_ns;
	struct identity good;
	struct origin_seen seen; /* large */
};

/* How a case beyond certificates is played, and what its acceptance is worth. */
struct conduct {
	const char *check, *probed, *why;
	enum grade grade; /* where it is accepted */
	struct origin_case play;
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

/* One run of the command. False with err set when it cannot be run. */
static bool visit(
	struct client *client, const struct origin_case *play, enum run_end *end, int *code, struct error *err)
{
	const struct run_wish wish = {.command = client->options->command,
		.url = client->url,
		.ca_file = client->ca_file,
		.patience_ns = client->options->patience_ns};
	if (!origin_play(client->origin, play, err) || !run_once(&wish, end, code, err))
		return false;
	origin_look(client->origin, LOOK_NS, &client->seen);
	client->report->connections += client->seen.connections;
	return true;
}

static void tell_refusal(const struct client *client, enum run_end end, int code, char *out, size_t cap)
{
	const char *alert = client->seen.alert ? alert_name(client->seen.alert) : NULL;
	int n = client->seen.connections == 0 ? snprintf(out, cap, "refused: it made no connection")
	                                      : snprintf(out, cap, "refused: no octet of a request came%s%s",
							alert ? ", alert " : "", alert ? alert : "");
	if (n > 0 && (size_t)n < cap)
		snprintf(out + n, cap - (size_t)n, end == RUN_LATE ? "; ended for taking too long" : "; exit code %d",
			code);
}

/* A case that a client should refuse. */
static void try_case(struct client *client, const char *check, enum grade grade, const char *probed, const char *why,
	const struct origin_case *play)
{
	enum run_end end;
	int code;
	char seen[200];
	struct error err = {""};
	if (clock_monotonic_ns() + client->options->patience_ns > client->deadline_ns) {
		report_add(client->report, check, GRADE_UNKNOWN, probed, NULL,
			"not tried: the time for the whole is spent");
		return;
	}
	if (!visit(client, play, &end, &code, &err)) {
		report_add(client->report, check, GRADE_UNKNOWN, probed, NULL, "not tried: %s", err.text);
		return;
	}
	bool accepted = client->seen.request > 0;
	if (accepted)
		snprintf(seen, sizeof(seen), "ACCEPTED: %zu octets of a request came", client->seen.request);
	else
		tell_refusal(client, end, code, seen, sizeof(seen));
	report_add(client->report, check, accepted ? grade : GRADE_A, probed, accepted ? why : NULL, "%s", seen);
}

/* What current browsers take too is worth a B; what only breaks in time, a C. */
static enum grade worth_of(enum identity_fault fault)
{
	if (fault == IDENTITY_MUST_STAPLE || fault == IDENTITY_NO_SAN || fault == IDENTITY_WILDCARD_PARTIAL)
		return GRADE_B;
	return fault == IDENTITY_SHA1 || fault == IDENTITY_RSA_1024 ? GRADE_C : GRADE_F;
}

static const char *why_of(enum identity_fault fault)
{
	if (fault == IDENTITY_MUST_STAPLE)
		return "A revoked certificate is taken as long as its owner's thief likes.";
	return worth_of(fault) == GRADE_B ? "RFC 9525 has given such names up, since they say more than was checked."
	                                  : "Anybody who is in between can pass for the server.";
}

static void try_certificates(struct client *client)
{
	for (enum identity_fault fault = IDENTITY_SELF_SIGNED; fault < IDENTITY_FAULTS; fault++) {
		struct identity identity;
		char probed[160];
		snprintf(probed, sizeof(probed), "a certificate: %s", identity_fault_text(fault));
		const struct origin_case play = {.identity = &identity};
		if (identity_make(client->maker, fault, false, &identity))
			try_case(client, identity_fault_name(fault), worth_of(fault), probed, why_of(fault), &play);
		else
			report_add(client->report, identity_fault_name(fault), GRADE_UNKNOWN, probed, NULL,
				"could not be made");
		identity_free(&identity);
	}
}

/* The sentinel of RFC 8446 4.1.3 says that somebody in between took TLS 1.3 away. */
static bool try_downgrade(struct client *client, bool speaks_13, struct error *err)
{
	const struct origin_case play = {.identity = &client->good, .downgrade = true};
	static const char probed[] = "an answer of TLS 1.2 with the downgrade sentinel in its random";
	enum run_end end;
	int code;
	if (!speaks_13) {
		report_add(client->report, "downgrade-sentinel", GRADE_NONE, probed, NULL,
			"not tried: it does not offer TLS 1.3");
		return true;
	}
	if (!visit(client, &play, &end, &code, err))
		return false;
	bool ignored = client->seen.key_exchange;
	report_add(client->report, "downgrade-sentinel", ignored ? GRADE_C : GRADE_A, probed,
		ignored ? "An attacker who breaks TLS 1.2's signatures or key exchange could take TLS 1.3 away unseen."
			: NULL,
		ignored ? "ignored: it went on with its key exchange" : "heeded: it ended the handshake%s%s",
		client->seen.alert && alert_name(client->seen.alert) ? " with alert " : "",
		client->seen.alert && alert_name(client->seen.alert) ? alert_name(client->seen.alert) : "");
	return true;
}

static void tell_dropout(struct client *client)
{
	const struct finding *rsa = report_find(client->report, "rsa-without-ems");
	const struct finding *dhe = report_find(client->report, "dhe-without-ems");
	bool by_rsa = rsa && rsa->grade > GRADE_A, by_dhe = dhe && dhe->grade > GRADE_A;
	bool known = rsa && dhe && rsa->grade != GRADE_UNKNOWN && dhe->grade != GRADE_UNKNOWN;
	report_conclude(client->report, "dropout",
		by_rsa || by_dhe ? "exposed"
		: known          ? "not-exposed"
				 : "unknown",
		by_rsa || by_dhe || !known, "%s",
		by_rsa   ? "It takes RSA key exchange without extended master secret: a proxy whose certificate it "
			   "accepts can give "
			   "this and the server's connection one master secret, and leave."
		: by_dhe ? "It takes DHE in an unchecked group without extended master secret: a proxy whose "
			   "certificate it accepts "
			   "can choose the secret, give it to both connections, and leave."
		: known  ? "It takes neither RSA key exchange nor unchecked groups without extended master secret."
			 : "Not all that this rests on could be tried.");
}

static bool assess(struct client *client, struct error *err)
{
	const struct origin_case fine = {.identity = &client->good};
	struct client_hello hello;
	struct identity rsa;
	enum run_end end;
	int code;
	if (!visit(client, &fine, &end, &code, err))
		return false;
	if (client->seen.request == 0)
		return error_set(err,
			"the command does not fetch %s although all is well there (%s, %s %d): does it take the URL "
			"from {} or "
			"OVERT_URL, and the root from SSL_CERT_FILE or OVERT_CA?",
			client->url, client->seen.connections ? "it connected" : "it made no connection",
			end == RUN_LATE ? "ended after" : "exit code",
			end == RUN_LATE ? (int)(client->options->patience_ns / NS_PER_S) : code);
	struct bytes body = bytes_of(client->seen.hello, client->seen.hello_len);
	client_tell_hello(client->report, body);
	bool speaks_13 =
		client_hello_parse(body, &hello) == HELLO_OK && client_hello_offers_version(&hello, TLS_VERSION_13);
	report_add(client->report, "control", GRADE_NONE, "a good certificate", NULL, "accepted, as it should be");
	try_certificates(client);
	if (!try_downgrade(client, speaks_13, err))
		return false;
	bool ok = identity_make(client->maker, IDENTITY_GOOD, true, &rsa);
	for (size_t i = 0; ok && i < sizeof(conducts) / sizeof(conducts[0]); i++) {
		struct origin_case play = conducts[i].play;
		play.identity = &rsa;
		try_case(client, conducts[i].check, conducts[i].grade, conducts[i].probed, conducts[i].why, &play);
	}
	identity_free(&rsa);
	tell_dropout(client);
	return ok;
}

static bool write_root(struct client *client, struct error *err)
{
	snprintf(client->folder, sizeof(client->folder), "/tmp/overt-assess-XXXXXX");
	if (!mkdtemp(client->folder)) {
		client->folder[0] = '\0';
		return error_set_errno(err, "no folder for the root");
	}
	snprintf(client->ca_file, sizeof(client->ca_file), "%s/root.pem", client->folder);
	FILE *file = fopen(client->ca_file, "we");
	bool ok = file && PEM_write_X509(file, identity_root(client->maker)) == 1;
	if (file && fclose(file) != 0)
		ok = false;
	return ok || error_set_errno(err, "%s", client->ca_file);
}

static bool begin(struct client *client, struct error *err)
{
	client->maker = identity_maker_new(NAME, NULL, err);
	if (!client->maker || !write_root(client, err))
		return false;
	client->origin = origin_new("127.0.0.1", 0, err);
	client->report = client->origin ? report_new("client", client->options->command[0]) : NULL;
	if (!client->report)
		return false;
	snprintf(client->url, sizeof(client->url), "https://%s:%u/", NAME, origin_port(client->origin));
	return identity_make(client->maker, IDENTITY_GOOD, false, &client->good) ||
	       error_set_openssl(err, "certificates cannot be made");
}

struct report *client_assess(const struct client_options *options, struct error *err)
{
	struct client *client = calloc(1, sizeof(*client));
	uint64_t began_ns = clock_monotonic_ns();
	if (!client) {
		error_set(err, "no memory");
		return NULL;
	}
	client->options = options;
	client->deadline_ns = began_ns + options->whole_ns;
	bool ok = begin(client, err) && assess(client, err);
	struct report *report = client->report;
	if (report)
		report->took_ns = clock_monotonic_ns() - began_ns;
	if (!ok) {
		report_free(report);
		report = NULL;
	}
	origin_free(client->origin);
	identity_free(&client->good);
	identity_maker_free(client->maker);
	if (client->ca_file[0])
		(void)unlink(client->ca_file);
	if (client->folder[0])
		(void)rmdir(client->folder);
	free(client);
	return report;
}
