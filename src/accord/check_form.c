/* Check 2: what leg 2's messages must look like (docs/accord.md, 5.2). */
#include "accord/check_parts.h"
#include "accord/seal.h"
#include "tls/certificate.h"
#include "tls/certificate_verify.h"
#include "tls/extension.h"
#include "tls/group.h"
#include "tls/list.h"
#include "tls/suite.h"

#define TLS12                       0x0303 /* legacy_version of every hello */
#define EXT_CLIENT_CERTIFICATE_TYPE 19
#define EXT_SERVER_CERTIFICATE_TYPE 20

/* A message that must stand next. */
static bool is_next(const struct check_leg *leg, size_t at, uint8_t type)
{
	return at < leg->messages && leg->message[at].type == type;
}

static bool split(struct check *check, size_t index)
{
	struct check_leg *leg = &check->leg[index];
	struct bytes rest = leg->proof.transcript;
	while (rest.len > 0) {
		if (leg->messages == CHECK_MAX_MESSAGES)
			return check_fail(check, ACCORD_MESSAGES, index + 2, "the transcript has too many messages");
		if (handshake_read(&rest, ACCORD_MAX_PROOF, &leg->message[leg->messages]) != HANDSHAKE_OK)
			return check_fail(check, ACCORD_MESSAGES, index + 2, "the transcript ends inside a message");
		leg->messages++;
	}
	return true;
}

static bool client_hello_ok(struct check *check, size_t index, struct bytes body, size_t which)
{
	struct check_leg *leg = &check->leg[index];
	struct client_hello hello;
	struct extension ext;
	enum hello_result result = client_hello_parse(body, &hello);
	if (result != HELLO_OK)
		return check_fail(check, ACCORD_HELLO, index + 2, "the ClientHello: %s", hello_result_text(result));
	if (hello.faults > 0 || hello.legacy_version != TLS12 || !bytes_equal(hello.compression, bytes_of("", 1)))
		return check_fail(check, ACCORD_HELLO, index + 2, "the ClientHello is malformed (extension %u)",
			(unsigned)hello.faulty);
	if (!hello.has_versions || !list_holds(hello.versions, TLS_VERSION_13))
		return check_fail(check, ACCORD_LEG2_VERSION, index + 2, "the ClientHello does not offer TLS 1.3");
	if (client_hello_has(&hello, EXT_PRE_SHARED_KEY) || client_hello_has(&hello, EXT_EARLY_DATA))
		return check_fail(check, ACCORD_LEG2_PSK, index + 2, "the ClientHello resumes a session");
	leg->told[which] = extension_find(hello.extensions, ACCORD_EXTENSION, &ext) ? ext.data : BYTES_NONE;
	leg->name[which] = hello.server_name;
	leg->name_bad |= hello.sni != SNI_OK && hello.sni != SNI_ABSENT;
	leg->suites = hello.suites;
	leg->groups = hello.groups;
	leg->sigalgs = hello.sigalgs;
	leg->shares = hello.key_shares;
	leg->session_id = hello.session_id;
	return true;
}

/* What ServerHello and HelloRetryRequest have in common. */
static bool server_hello_ok(struct check *check, size_t index, struct bytes body, struct server_hello *hello)
{
	const struct check_leg *leg = &check->leg[index];
	enum hello_result result = server_hello_parse(body, hello);
	if (result != HELLO_OK)
		return check_fail(check, ACCORD_HELLO, index + 2, "the ServerHello: %s", hello_result_text(result));
	/* First: what is well formed in TLS 1.2 is not in 1.3. */
	if (!server_hello_has(hello, EXT_SUPPORTED_VERSIONS) || hello->version != TLS_VERSION_13)
		return check_fail(check, ACCORD_LEG2_VERSION, index + 2, "the ServerHello does not choose TLS 1.3");
	if (hello->faults > 0 || hello->legacy_version != TLS12 || hello->compression != 0 ||
		!bytes_equal(hello->session_id, leg->session_id))
		return check_fail(check, ACCORD_HELLO, index + 2, "the ServerHello is malformed");
	if (server_hello_has(hello, EXT_PRE_SHARED_KEY))
		return check_fail(check, ACCORD_LEG2_PSK, index + 2, "the ServerHello resumes a session");
	return true;
}

static bool suite_ok(struct check *check, size_t index, uint16_t value)
{
	struct check_leg *leg = &check->leg[index];
	const struct suite *suite = suite_find(value);
	leg->suite = value;
	if (!suite || !suite_fits_version(suite, TLS_VERSION_13))
		return check_fail(check, ACCORD_SUITE, index + 2, "cipher suite 0x%04x is not of TLS 1.3", value);
	if (!list_holds(leg->suites, value) || !list_holds(check->leg1->suites, value))
		return check_fail(check, ACCORD_SUITE, index + 2, "cipher suite 0x%04x was not offered", value);
	return true;
}

static bool group_ok(struct check *check, size_t index, uint16_t value)
{
	struct check_leg *leg = &check->leg[index];
	const struct group *group = group_find(value);
	leg->group = value;
	if (!group || !group->tls13)
		return check_fail(check, ACCORD_GROUP, index + 2, "group 0x%04x is not of TLS 1.3", value);
	struct bytes shares = leg->shares;
	struct bytes key;
	uint16_t shared = 0;
	while (shared != value && key_share_next(&shares, &shared, &key))
		;
	if (shared != value || !list_holds(leg->groups, value) || !list_holds(check->leg1->groups, value))
		return check_fail(check, ACCORD_GROUP, index + 2, "group 0x%04x was not offered", value);
	return true;
}

/* The hellos, up to and including the ServerHello; *at is moved past them. */
static bool hellos_ok(struct check *check, size_t index, size_t *at)
{
	struct check_leg *leg = &check->leg[index];
	struct server_hello retry = {0};
	struct server_hello hello;
	if (!is_next(leg, 0, HANDSHAKE_CLIENT_HELLO) || !is_next(leg, 1, HANDSHAKE_SERVER_HELLO))
		return check_fail(check, ACCORD_MESSAGES, index + 2, "it does not begin with two hellos");
	if (!client_hello_ok(check, index, leg->message[0].body, 0) ||
		!server_hello_ok(check, index, leg->message[1].body, &hello))
		return false;
	*at = 2;
	leg->told[1] = leg->told[0];
	leg->name[1] = leg->name[0];
	if (hello.retry) {
		retry = hello;
		leg->retried = true;
		if (!is_next(leg, 2, HANDSHAKE_CLIENT_HELLO) || !is_next(leg, 3, HANDSHAKE_SERVER_HELLO))
			return check_fail(check, ACCORD_MESSAGES, index + 2, "no hellos follow HelloRetryRequest");
		if (!client_hello_ok(check, index, leg->message[2].body, 1) ||
			!server_hello_ok(check, index, leg->message[3].body, &hello))
			return false;
		*at = 4;
	}
	if (hello.retry)
		return check_fail(check, ACCORD_MESSAGES, index + 2, "a second HelloRetryRequest");
	if (leg->retried && retry.suite != hello.suite)
		return check_fail(check, ACCORD_SUITE, index + 2,
			"HelloRetryRequest names suite 0x%04x and ServerHello 0x%04x", retry.suite, hello.suite);
	if (leg->retried && retry.group != 0 && retry.group != hello.group)
		return check_fail(check, ACCORD_GROUP, index + 2,
			"HelloRetryRequest names group 0x%04x and ServerHello 0x%04x", retry.group, hello.group);
	return suite_ok(check, index, hello.suite) && group_ok(check, index, hello.group);
}

static bool encrypted_ok(struct check *check, size_t index, struct bytes body)
{
	struct check_leg *leg = &check->leg[index];
	struct encrypted_extensions ee;
	struct extension ext;
	if (!encrypted_extensions_parse(body, &ee))
		return check_fail(check, ACCORD_HELLO, index + 2, "EncryptedExtensions is malformed");
	if (ee.early_data)
		return check_fail(check, ACCORD_LEG2_PSK, index + 2, "EncryptedExtensions takes early data");
	if (extension_find(ee.extensions, EXT_SERVER_CERTIFICATE_TYPE, &ext) ||
		extension_find(ee.extensions, EXT_CLIENT_CERTIFICATE_TYPE, &ext))
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "raw public keys were negotiated");
	leg->protocol = ee.alpn;
	if (!extension_find(ee.extensions, ACCORD_EXTENSION, &ext))
		return true;
	struct accord_verdict verdict;
	enum accord_body_result result = accord_verdict_read(ext.data, &verdict);
	if (result == ACCORD_BODY_OK)
		leg->verdict = ext.data;
	else if (result != ACCORD_BODY_UNKNOWN)
		return check_fail(check, ACCORD_VERDICT_FORM, index + 2, "the verdict: %s", accord_body_text(result));
	return true;
}

static bool request_ok(struct check *check, size_t index, struct bytes body)
{
	struct certificate_request request;
	struct extension ext;
	if (!certificate_request_parse(body, TLS_VERSION_13, &request) || request.context.len != 0)
		return check_fail(check, ACCORD_HELLO, index + 2, "CertificateRequest is malformed");
	if (!extension_find(request.extensions, ACCORD_EXTENSION, &ext))
		return true;
	enum accord_body_result result = accord_demand_read(ext.data);
	check->leg[index].demanded = result == ACCORD_BODY_OK;
	if (result != ACCORD_BODY_OK && result != ACCORD_BODY_UNKNOWN)
		return check_fail(check, ACCORD_HELLO, index + 2, "the demand: %s", accord_body_text(result));
	return true;
}

static bool entry_ok(struct check *check, size_t index, const struct certificate_entry *entry)
{
	struct check_leg *leg = &check->leg[index];
	struct extension ext;
	if (extension_find(entry->extensions, EXT_DELEGATED_CREDENTIAL, &ext))
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "a delegated credential");
	bool proof = extension_find(entry->extensions, ACCORD_EXTENSION, &ext);
	if (proof && leg->chain.count > 0)
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "a proof beside an issuer's certificate");
	if (proof && ext.data.len == 0)
		return check_fail(check, ACCORD_PROOF_FORM, index + 2, "an empty proof");
	if (proof)
		leg->nested = ext.data;
	if (leg->chain.count == 0 && !certificate_staple(entry, &leg->chain.staple))
		leg->chain.staple = BYTES_NONE;
	leg->chain.cert[leg->chain.count++] = entry->der;
	return true;
}

/* Whether there are too many entries. Asked first: judging thousands of empty ones would cost more than all the rest. */
static bool too_many(struct bytes body)
{
	struct bytes context;
	struct certificate_message list = {.tls13 = true};
	struct certificate_entry entry;
	size_t count = 0;
	if (!bytes_vec8(&body, &context) || !bytes_vec24(&body, &list.entries))
		return false;
	while (count <= ACCORD_MAX_CERTS && certificate_next(&list, &entry))
		count++;
	return count > ACCORD_MAX_CERTS;
}

static bool certificate_ok(struct check *check, size_t index, struct bytes body)
{
	struct check_leg *leg = &check->leg[index];
	struct certificate_message list;
	struct certificate_entry entry;
	if (too_many(body))
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "over %d certificates", ACCORD_MAX_CERTS);
	if (!certificate_parse(body, TLS_VERSION_13, &list) || list.context.len != 0 || list.count == 0)
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "the Certificate message is malformed");
	while (certificate_next(&list, &entry)) {
		if (!entry_ok(check, index, &entry))
			return false;
	}
	leg->leaf = check_decode(check, leg->chain.cert[0]);
	leg->key = leg->leaf ? X509_get0_pubkey(leg->leaf) : NULL;
	if (!leg->key)
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "the certificate cannot be read");
	return accord_hash(leg->chain.cert[0], leg->leaf_hash) ||
	       check_fail(check, ACCORD_INTERNAL, index + 2, "SHA-256 is not available");
}

static bool verify_ok(struct check *check, size_t index, struct bytes body)
{
	struct check_leg *leg = &check->leg[index];
	struct certificate_verify message;
	if (!certificate_verify_parse(body, TLS_VERSION_13, &message))
		return check_fail(check, ACCORD_MESSAGES, index + 2, "CertificateVerify is malformed");
	leg->scheme = message.scheme;
	leg->signature = message.signature;
	if (!check_scheme_known(leg->scheme))
		return check_fail(
			check, ACCORD_SCHEME, index + 2, "signature scheme 0x%04x is not of TLS 1.3", leg->scheme);
	if (!list_holds(leg->sigalgs, leg->scheme) || !list_holds(check->leg1->sigalgs, leg->scheme))
		return check_fail(
			check, ACCORD_SCHEME, index + 2, "signature scheme 0x%04x was not offered", leg->scheme);
	const char *misfit = check_scheme_fits(leg->scheme, leg->key);
	return !misfit || check_fail(check, ACCORD_SCHEME_KEY, index + 2, "%s", misfit);
}

bool check_form(struct check *check, size_t index)
{
	struct check_leg *leg = &check->leg[index];
	size_t at = 0;
	if (!split(check, index) || !hellos_ok(check, index, &at))
		return false;
	if (!is_next(leg, at, HANDSHAKE_ENCRYPTED_EXTENSIONS))
		return check_fail(check, ACCORD_MESSAGES, index + 2, "no EncryptedExtensions after ServerHello");
	if (!encrypted_ok(check, index, leg->message[at++].body))
		return false;
	if (is_next(leg, at, HANDSHAKE_CERTIFICATE_REQUEST) && !request_ok(check, index, leg->message[at++].body))
		return false;
	if (is_next(leg, at, HANDSHAKE_COMPRESSED_CERTIFICATE))
		return check_fail(check, ACCORD_CERTIFICATE_FORM, index + 2, "CompressedCertificate");
	if (!is_next(leg, at, HANDSHAKE_CERTIFICATE))
		return check_fail(check, ACCORD_MESSAGES, index + 2, "no Certificate where it must stand");
	if (!certificate_ok(check, index, leg->message[at++].body))
		return false;
	if (!is_next(leg, at, HANDSHAKE_CERTIFICATE_VERIFY))
		return check_fail(check, ACCORD_MESSAGES, index + 2, "no CertificateVerify after Certificate");
	if (at + 1 != leg->messages)
		return check_fail(check, ACCORD_MESSAGES, index + 2, "messages after CertificateVerify");
	return verify_ok(check, index, leg->message[at].body);
}
