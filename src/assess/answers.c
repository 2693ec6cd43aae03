#include "assess/answers.h"

#include "tls/group.h"
#include "tls/suite.h"

#include <openssl/rand.h>
#include <stdio.h>

#define SUITES 256

static bool forward(const struct suite *suite)
{
	return suite->strength != SUITE_BROKEN &&
	       (suite->kx == SUITE_KX_ANY || suite->kx == SUITE_KX_ECDHE || suite->kx == SUITE_KX_DHE);
}

static bool rsa(const struct suite *suite)
{
	return suite->kx == SUITE_KX_RSA && suite->strength != SUITE_BROKEN;
}

static const uint16_t usual[] = {0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100};
static const uint16_t rare[] = {0x0019, 0x0018};

static const struct question {
	const char *text;
	uint16_t version;
	bool (*keep)(const struct suite *suite);
	bool backwards, ems;
	const uint16_t *groups;
	size_t count;
} questions[ANSWERS] = {
	{"TLS 1.3, any group", TLS_VERSION_13, forward, false, true, usual, sizeof(usual) / sizeof(usual[0])},
	{"TLS 1.3, suites in reverse, secp521r1 and secp384r1 alone", TLS_VERSION_13, forward, true, true, rare,
		sizeof(rare) / sizeof(rare[0])},
	{"TLS 1.2, forward secrecy", TLS_VERSION_12, forward, false, true, usual + 1, 5},
	{"TLS 1.2, forward secrecy, suites in reverse", TLS_VERSION_12, forward, true, true, usual + 1, 5},
	{"TLS 1.2, forward secrecy, no extended master secret", TLS_VERSION_12, forward, false, false, usual + 1, 5},
	{"TLS 1.2, RSA key exchange alone", TLS_VERSION_12, rsa, false, true, usual + 1, 5},
	{"TLS 1.1", TLS_VERSION_11, forward, false, true, usual + 1, 5},
};

const char *answers_question(size_t i)
{
	return questions[i].text;
}

static size_t list(const struct question *question, uint16_t *out)
{
	const struct suite *suite;
	size_t count = 0;
	for (size_t i = 0; (suite = suite_at(i)) != NULL && count < SUITES; i++) {
		if (suite_fits_version(suite, question->version) && question->keep(suite))
			out[count++] = suite->value;
	}
	for (size_t i = 0; question->backwards && i < count / 2; i++) {
		uint16_t swap = out[i];
		out[i] = out[count - 1 - i];
		out[count - 1 - i] = swap;
	}
	return count;
}

static const char *session_text(const struct flight *flight, const struct offer *offer)
{
	if (flight->session_id_len == 0)
		return "none";
	bool same = flight->session_id_len == sizeof(offer->random) &&
	            memcmp(flight->session_id, offer->random, sizeof(offer->random)) == 0;
	return same ? "echoed" : "of its own";
}

void answer_tell(
	enum probe_result result, const struct flight *flight, const struct offer *offer, char *out, size_t cap)
{
	char order[FLIGHT_EXTENSIONS * 5 + 1] = "";
	*out = '\0';
	if (result != PROBE_ANSWERED && result != PROBE_CLOSED)
		return;
	if (result == PROBE_CLOSED || flight->kind != FLIGHT_HELLO) {
		probe_tell(result, flight, out, cap);
		return;
	}
	for (size_t i = 0; i < flight->extensions; i++)
		snprintf(order + i * 5, 6, "%04x%s", flight->extension[i], i + 1 < flight->extensions ? "-" : "");
	const struct group *group = flight->group ? group_find(flight->group) : NULL;
	snprintf(out, cap, "%s, %s, %s, extensions %s, session id %s",
		tls_version_name(flight->version) ? tls_version_name(flight->version) : "?",
		suite_name(flight->suite) ? suite_name(flight->suite) : "?",
		group           ? group->name
		: flight->group ? "another group"
				: "no group",
		order[0] ? order : "none", session_text(flight, offer));
}

void answers_ask(struct target *target, const char *name, struct answers *out)
{
	uint16_t suites[SUITES];
	for (size_t i = 0; i < ANSWERS; i++) {
		const struct question *question = &questions[i];
		struct flight flight;
		struct offer offer = {.version = question->version,
			.suites = suites,
			.suite_count = list(question, suites),
			.groups = question->groups,
			.group_count = question->count,
			.name = name,
			.extended_master_secret = question->ems};
		(void)!RAND_bytes(offer.random, sizeof(offer.random));
		enum probe_result result = probe(target, &offer, &flight);
		answer_tell(result, &flight, &offer, out->text[i], sizeof(out->text[i]));
		flight_free(&flight);
	}
}
