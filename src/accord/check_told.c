/* Check 3: what the next party was told (docs/accord.md, 5.3). */
#include "accord/check_parts.h"
#include "accord/seal.h"

/* Finds the introduction of this leg, in the open or behind its seal. */
static bool find_introduction(struct check *check, size_t index, struct accord_list *list)
{
	struct check_leg *leg = &check->leg[index];
	if (leg->told[0].len == 0 || leg->told[1].len == 0)
		return check_fail(check, ACCORD_INTRODUCTION_MISSING, index + 2, "a ClientHello has no introduction");
	/* The whole extension and not the one body: nothing else of ours may change between the two either. */
	if (!bytes_equal(leg->told[0], leg->told[1]))
		return check_fail(check, ACCORD_INTRODUCTION_DIFFERS, index + 2,
			"the ClientHellos introduce the proxy differently");
	enum accord_body_result result = accord_list_read(leg->told[0], list);
	if (result != ACCORD_BODY_OK)
		return check_fail(
			check, ACCORD_INTRODUCTION_FORM, index + 2, "the introduction: %s", accord_body_text(result));
	struct bytes body = list->introduction;
	if (leg->proof.introduction.len > 0) {
		struct accord_sealed sealed;
		uint8_t commitment[ACCORD_HASH];
		body = leg->proof.introduction;
		if (list->sealed.len == 0 || accord_sealed_read(list->sealed, &sealed) != ACCORD_BODY_OK ||
			!accord_seal(leg->proof.blind, body, commitment) ||
			memcmp(commitment, sealed.commitment, ACCORD_HASH) != 0)
			return check_fail(check, ACCORD_SEAL, index + 2,
				"the sealed introduction is not what the server got a commitment to");
		if (leg->nested.len > 0)
			return check_fail(
				check, ACCORD_SEAL, index + 2, "an introduction to a proxy may not be sealed");
	} else if (list->sealed.len > 0) {
		return check_fail(
			check, ACCORD_SEAL, index + 2, "the introduction is sealed, and the proof does not open it");
	}
	if (body.len == 0)
		return check_fail(check, ACCORD_INTRODUCTION_MISSING, index + 2, "a ClientHello has no introduction");
	result = accord_introduction_read(body, &leg->introduction);
	return result == ACCORD_BODY_OK ||
	       check_fail(check, ACCORD_INTRODUCTION_FORM, index + 2, "the introduction: %s", accord_body_text(result));
}

static bool same_hop(const struct accord_hop *a, const struct accord_hop *b)
{
	return memcmp(a->leaf_hash, b->leaf_hash, ACCORD_HASH) == 0 &&
	       memcmp(a->proxy_nonce, b->proxy_nonce, ACCORD_NONCE) == 0 && a->role == b->role;
}

static bool hops_ok(struct check *check, size_t index)
{
	const struct check_leg *leg = &check->leg[index];
	const struct accord_introduction *in = &leg->introduction;
	uint8_t shown[ACCORD_HASH];
	if (in->hops != index + 1)
		return check_fail(check, ACCORD_HOPS, index + 2, "the list has %zu hops, where there must be %zu",
			in->hops, index + 1);
	for (size_t i = 0; i < index; i++) {
		if (!same_hop(&in->hop[i], &check->leg[index - 1].introduction.hop[i]))
			return check_fail(
				check, ACCORD_HOPS, index + 2, "hop %zu is not the one of the leg before", i + 1);
	}
	if (!(in->hop[index].role & check->leg1->offer.accepted_roles))
		return check_fail(check, ACCORD_ROLE, index + 2, "the client does not accept a %s",
			accord_role_name(in->hop[index].role));
	struct bytes leaf = index == 0 ? check->leg1->proxy.cert[0] : check->leg[index - 1].chain.cert[0];
	if (!accord_hash(leaf, shown))
		return check_fail(check, ACCORD_INTERNAL, index + 2, "SHA-256 is not available");
	if (memcmp(shown, in->hop[index].leaf_hash, ACCORD_HASH) != 0)
		return check_fail(check, ACCORD_LAST_HOP, index + 2,
			"the proxy introduced is not the one whose certificate was shown");
	return true;
}

/* An offer that goes along must be the client's own. */
static bool offer_ok(const struct check *check, struct bytes body)
{
	uint8_t own[2 + ACCORD_NONCE + 2 + ACCORD_HASH];
	struct writer w = writer_over(own, sizeof(own));
	struct bytes octets;
	accord_offer_write(&w, &check->leg1->offer);
	return body.len == 0 || (writer_done(&w, &octets) && bytes_equal(body, octets));
}

static bool particulars_ok(struct check *check, size_t index)
{
	const struct check_leg *leg = &check->leg[index];
	const struct accord_leg1 *leg1 = check->leg1;
	if (leg->introduction.has_approval != leg1->offer.has_approval ||
		memcmp(leg->introduction.approval_hash, leg1->offer.approval_hash, ACCORD_HASH) != 0)
		return check_fail(check, ACCORD_APPROVAL_HASH, index + 2,
			"the approval hash is not the one that the client sent");
	if (leg->name_bad || !bytes_equal_nocase(leg->name[0], leg1->host) ||
		!bytes_equal_nocase(leg->name[1], leg1->host))
		return check_fail(check, ACCORD_NAME, index + 2,
			"the proxy asked for \"%.*s\" and the client for \"%.*s\"", (int)leg->name[1].len,
			(const char *)leg->name[1].data, (int)leg1->host.len, (const char *)leg1->host.data);
	if (!bytes_equal(leg->protocol, leg1->alpn))
		return check_fail(check, ACCORD_PROTOCOL, index + 2,
			"the server chose protocol \"%.*s\" and the proxy \"%.*s\"", (int)leg->protocol.len,
			(const char *)leg->protocol.data, (int)leg1->alpn.len, (const char *)leg1->alpn.data);
	return true;
}

bool check_told(struct check *check, size_t index)
{
	const struct check_leg *leg = &check->leg[index];
	struct accord_list list = {0};
	if (!find_introduction(check, index, &list))
		return false;
	if (memcmp(leg->introduction.client_nonce, check->leg1->offer.client_nonce, ACCORD_NONCE) != 0 ||
		!offer_ok(check, list.offer))
		return check_fail(
			check, ACCORD_CLIENT_NONCE, index + 2, "the introduction is not about this client's offer");
	return hops_ok(check, index) && particulars_ok(check, index);
}
