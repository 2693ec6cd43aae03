/* assess/client_hello.c — what a client offers, from its first ClientHello. */
#include "assess/client.h"
#include "base/text.h"
#include "tls/fingerprint.h"
#include "tls/group.h"
#include "tls/list.h"
#include "tls/suite.h"

static void tell_versions(struct report *report, const struct client_hello *hello)
{
	char text[100] = "";
	size_t len = 0;
	enum grade grade = GRADE_A;
	for (uint16_t version = TLS_VERSION_SSL30; version <= TLS_VERSION_13; version++) {
		if (!client_hello_offers_version(hello, version) || len >= sizeof(text))
			continue;
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "", tls_version_name(version));
		if (version < TLS_VERSION_12 && hello->has_versions)
			grade = GRADE_B;
		if (version == TLS_VERSION_SSL30 && hello->has_versions)
			grade = GRADE_C;
	}
	if (client_hello_max_version(hello) < TLS_VERSION_13)
		grade = GRADE_B;
	if (client_hello_max_version(hello) < TLS_VERSION_12)
		grade = GRADE_C;
	report_add(report, "offers-versions", grade, "its ClientHello: versions",
		hello->has_versions ? NULL : "A hello without supported_versions says the highest version only.", "%s",
		hello->has_versions                       ? text
		: tls_version_name(hello->legacy_version) ? tls_version_name(hello->legacy_version)
							  : "?");
}

static void tell_suites(struct report *report, const struct client_hello *hello)
{
	unsigned count[3] = {0}, rsa = 0, dhe = 0;
	const char *worst = NULL;
	bool hopeless = false;
	struct bytes list = hello->suites;
	for (uint16_t value; list_next(&list, &value);) {
		const struct suite *suite = suite_find(value);
		if (!suite)
			continue;
		count[suite->strength]++;
		rsa += suite->kx == SUITE_KX_RSA;
		dhe += suite->kx == SUITE_KX_DHE;
		if (suite->strength == SUITE_BROKEN && !worst)
			worst = suite->name;
		hopeless |= suite->strength == SUITE_BROKEN && suite->cipher != SUITE_CIPHER_3DES_CBC &&
		            suite->cipher != SUITE_CIPHER_RC4;
	}
	report_add(report, "offers-suites",
		hopeless                  ? GRADE_F
		: count[SUITE_BROKEN] > 0 ? GRADE_C
		: rsa > 0                 ? GRADE_B
					  : GRADE_A,
		"its ClientHello: cipher suites",
		worst ? "An attacker who is in between, or a bad server, may choose the worst of them." : NULL,
		"%u strong, %u legacy (%u with RSA key exchange), %u with DHE, %u broken%s%s", count[SUITE_STRONG],
		count[SUITE_LEGACY], rsa, dhe, count[SUITE_BROKEN], worst ? ": " : "", worst ? worst : "");
}

static void tell_groups(struct report *report, const struct client_hello *hello)
{
	char text[400] = "";
	size_t len = 0;
	bool hybrid = false;
	struct bytes list = hello->groups;
	for (uint16_t value; list_next(&list, &value) && len < sizeof(text);) {
		const struct group *group = group_find(value);
		hybrid |= group && group->kind == GROUP_HYBRID;
		if (group)
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "", group->name);
	}
	report_add(report, "offers-groups", GRADE_NONE, "its ClientHello: groups", NULL, "%s; %s",
		len > 0 ? text : "none", hybrid ? "a post-quantum hybrid is among them" : "no post-quantum hybrid");
}

void client_tell_hello(struct report *report, struct bytes body)
{
	struct client_hello hello;
	char four[JA4_LEN + 1] = "", three[JA3_LEN + 1] = "", name[300];
	enum hello_result result = client_hello_parse(body, &hello);
	if (result != HELLO_OK) {
		report_add(report, "hello", GRADE_UNKNOWN, "its ClientHello", NULL, "cannot be read: %s",
			hello_result_text(result));
		return;
	}
	(void)!ja4(&hello, JA4_TCP, four);
	(void)!ja3(&hello, three);
	text_clean(name, sizeof(name), hello.server_name);
	report_add(report, "fingerprint", GRADE_NONE, "its ClientHello", NULL, "JA4 %s, JA3 %s, server_name %s", four,
		three, name[0] ? name : "none");
	tell_versions(report, &hello);
	tell_suites(report, &hello);
	tell_groups(report, &hello);
	report_add(report, "offers-extended-master-secret",
		hello.has_extended_master_secret || client_hello_max_version(&hello) == TLS_VERSION_13 ? GRADE_A
												       : GRADE_B,
		"its ClientHello: extended_master_secret", NULL, "%s",
		hello.has_extended_master_secret ? "offered" : "not offered");
}
