/* explain/accord.c — the story of Accord: who signed what, and how far that is from three parties that all agree. */
#include "base/text.h"
#include "explain/accord_play.h"
#include "explain/stories.h"

#include <stdio.h>

/* What one play showed, in the terms of docs/accord.md, 1.3. */
struct shown {
	bool client_knows_proxy, client_knows_server, server_knows_proxy, server_knows_client;
	bool told, aware, verdict, client_agrees, approval;
	bool client_nonce, proxy_nonce, server_nonce; /* under the server's signature */
	bool by_proxy, by_client;                     /* client's and proxy's nonces, under theirs */
	bool invented;
};

static struct shown look(const struct play *play)
{
	const struct accord_outcome *outcome = accord_client_outcome(play->client);
	const struct accord_claim *claim = accord_server_claim(play->server);
	const struct accord_introduction *said = accord_leg2_introduction(play->leg2);
	struct bytes covered = play_signed_by_server(play);
	struct shown shown = {.invented = play->invented};
	if (!outcome || !said || outcome->path != ACCORD_PATH_PROVEN || !accord_client_passed(play->client))
		return shown;
	const struct accord_proven *proven = &outcome->proven;
	const struct accord_hop *hop = &said->hop[0];
	struct bytes nonce = bytes_of(outcome->leg1.offer.client_nonce, ACCORD_NONCE);
	shown.client_nonce = play_holds(covered, nonce);
	shown.proxy_nonce = play_holds(covered, bytes_of(hop->proxy_nonce, ACCORD_NONCE));
	shown.told = play_holds(covered, bytes_of(hop->leaf_hash, ACCORD_HASH)) &&
	             proven->proxy[0].hop.role == ACCORD_READER;
	shown.client_knows_proxy = proven->proxies == 1 && strcmp(proven->proxy[0].who.name, PLAY_PROXY) == 0;
	/* All six checks passed, the signature among them, over messages with this connection's own nonce. */
	shown.client_knows_server = outcome->judgement.fault == ACCORD_OK && shown.client_nonce;
	shown.client_agrees = (outcome->leg1.offer.accepted_roles & proven->proxy[0].hop.role) != 0;
	shown.verdict = proven->has_verdict && proven->verdict.decision == ACCORD_ACCEPT;
	shown.server_nonce =
		proven->has_verdict && play_holds(covered, bytes_of(proven->verdict.server_nonce, ACCORD_NONCE));
	/* The proof that came is the one sent, and P's signature covers the Certificate message that it came in. */
	shown.by_proxy = bytes_equal(outcome->proof, play->proof) && play_holds(outcome->proof, nonce) &&
	                 play_holds(outcome->proof, bytes_of(hop->proxy_nonce, ACCORD_NONCE));
	if (claim) {
		shown.aware = claim->introduced && claim->introduction.hop[0].role == ACCORD_READER;
		shown.server_knows_proxy = claim->identified && strcmp(claim->proxy.name, PLAY_PROXY) == 0;
		shown.approval = claim->confirmed && accord_server_passed(play->server);
		shown.by_client = shown.approval && shown.client_nonce && shown.proxy_nonce && shown.server_nonce;
		shown.server_knows_client = shown.approval && claim->approval_key_len > 0;
	}
	return shown;
}

static void figure_head(struct story *story, const struct play *play)
{
	static const char *const titles[PLAY_LEVELS] = {
		"Level 1: a server that knows nothing of Accord",
		"Level 2: a server that knows Accord",
		"Level 2 with approval: a server that wants the client's own word",
	};
	story_figure(story, titles[play->level], (const char *const[]){"client C", "proxy P", "server S", NULL});
	story_arrow(story, 0, 1, "ClientHello: offer",
		play->level == PLAY_APPROVAL ? "C's nonce, the role reader, a hash of C's key"
					     : "C's nonce, the role reader");
	story_mark(story, 1, false, "holds C's hello");
	story_arrow(story, 1, 2, "ClientHello: introduction", "C's nonce, P's nonce, P's certificate hash, reader");
	if (play->level != PLAY_UNAWARE)
		story_arrow(story, 2, 1, "EncryptedExtensions: verdict", "accepts; S's nonce");
	if (play->level == PLAY_APPROVAL)
		story_arrow(story, 2, 1, "CertificateRequest: demand", "P's certificate, C's approval");
	story_arrow(story, 2, 1, "CertificateVerify", "S signs all of leg 2 so far");
	story_arrow(story, 1, 0, "Certificate: proof", "all of leg 2 so far, S's signature at its end");
	story_arrow(story, 1, 0, "CertificateVerify", "P signs all of leg 1 so far, the proof in it");
}

static void draw(struct story *story, const struct play *play)
{
	figure_head(story, play);
	story_mark(story, 0, !accord_client_passed(play->client),
		accord_client_passed(play->client) ? "six checks passed" : "the checks did not pass");
	if (play->level == PLAY_APPROVAL) {
		bool good = accord_server_passed(play->server);
		story_arrow(story, 0, 1, "Certificate: approval", "C signs the hash of leg 2's messages");
		story_arrow(story, 1, 2, "Certificate: approval", "C's signature, passed on");
		story_arrow(story, 1, 2, "CertificateVerify", "P signs all of leg 2, C's approval in it");
		story_mark(story, 2, !good, good ? "proxy and client known" : "the demand was not met");
	}
}

static void tell_run(struct story *story, const struct play *play, const char *name)
{
	const struct accord_outcome *outcome = accord_client_outcome(play->client);
	struct bytes covered = play_signed_by_server(play);
	bool arrived = strcmp(play->server_said, "hello from the server") == 0;
	bool passed = accord_client_passed(play->client);
	draw(story, play);
	story_row(story, name, "The handshake was made, and the client's six checks judged it");
	story_flag(story, "leg1_complete", "leg 1 complete", play->leg1_up);
	story_flag(story, "leg2_complete", "leg 2 complete", play->leg2_up);
	story_words(story, "checks", "the client's checks",
		outcome ? (outcome->path == ACCORD_PATH_PROVEN ? "all passed" : outcome->judgement.error.text)
			: "not made");
	story_number(story, "proof_octets", "octets of the proof", play->proof.len);
	story_number(story, "signed_octets", "octets of messages that S signed", covered.len);
	story_flag(story, "data_flows", "data flows from S through P to C", arrived);
	story_held(story, play->leg1_up && play->leg2_up && passed && arrived,
		"Two ordinary TLS 1.3 connections of stock OpenSSL. The server's signature is the one that TLS makes "
		"anyway.");
}

static const char *word(bool yes)
{
	return yes ? "yes" : "no";
}

struct property {
	const char *name, *title, *why;
	size_t at; /* offset of the flag in struct shown */
	bool wanted[PLAY_LEVELS];
};

#define SHOWN(field) offsetof(struct shown, field)

static const struct property properties[] = {
	{"client-authenticates-proxy", "The client authenticates the proxy",
		"P showed a certificate of an Accord anchor that C names, and signed leg 1 with its key.",
		SHOWN(client_knows_proxy), {true, true, true}},
	{"client-authenticates-server", "The client authenticates the server, live",
		"S's signature, from a key whose chain C verified itself, covers a nonce that C made for this "
		"connection.",
		SHOWN(client_knows_server), {true, true, true}},
	{"server-signed-client-nonce", "The client's nonce is under the server's signature",
		"The 32 octets of C's offer were looked for, and found, in the messages that S's CertificateVerify "
		"covers.",
		SHOWN(client_nonce), {true, true, true}},
	{"server-signed-proxy-nonce", "The proxy's nonce is under the server's signature",
		"Likewise the nonce of P's hop.", SHOWN(proxy_nonce), {true, true, true}},
	{"server-signed-server-nonce", "A nonce of the server's own is under its signature",
		"It comes with the verdict, so an unaware server has none beside TLS's random.", SHOWN(server_nonce),
		{false, true, true}},
	{"proxy-signed-nonces", "Both nonces are under the proxy's signature",
		"They stand in the proof, the proof in leg 1's Certificate message, and P's CertificateVerify covers "
		"that.",
		SHOWN(by_proxy), {true, true, true}},
	{"client-signed-nonces", "All three nonces are under the client's signature",
		"An approval signs the hash of leg 2's messages, in which they stand.", SHOWN(by_client),
		{false, false, true}},
	{"server-was-told", "The server was told which proxy, in which role",
		"The hash of P's certificate and the role reader stand in the ClientHello that S signed. Being told is "
		"not noticing.",
		SHOWN(told), {true, true, true}},
	{"server-knows", "The server knows of proxy and role",
		"S's own code read the introduction; an unaware server passes over an extension that it does not know.",
		SHOWN(aware), {false, true, true}},
	{"server-agrees", "The server agrees, signed",
		"The verdict stands in EncryptedExtensions, under S's signature.", SHOWN(verdict), {false, true, true}},
	{"client-agrees", "The client agrees to the role",
		"P's role is one of those that C offered, and C would have ended the connection otherwise.",
		SHOWN(client_agrees), {true, true, true}},
	{"server-authenticates-proxy", "The server authenticates the proxy",
		"Only where it demands does P show its certificate on leg 2 and sign; before that its hash is a claim.",
		SHOWN(server_knows_proxy), {false, false, true}},
	{"server-authenticates-client", "The server authenticates the client",
		"The approval verified with a key that was enrolled beforehand.", SHOWN(server_knows_client),
		{false, false, true}},
	{"server-learns-checks", "The server learns that the client's checks passed",
		"C signs the approval only after its checks, and what it signs is leg 2's transcript.", SHOWN(approval),
		{false, false, true}},
	{"proxy-can-invent", "The proxy can make content up",
		"It was called a reader, and the client took what it made up: P holds the keys of leg 1. The role is a "
		"signed "
		"promise that keys do not enforce.",
		SHOWN(invented), {true, true, true}},
};

static bool flag_of(const struct shown *shown, const struct property *property)
{
	bool value = false;
	memcpy(&value, (const uint8_t *)shown + property->at, sizeof(value));
	return value;
}

static void tell_properties(struct story *story, const struct shown shown[PLAY_LEVELS])
{
	static const char *const names[PLAY_LEVELS] = {"level_1", "level_2", "level_2_approval"};
	static const char *const labels[PLAY_LEVELS] = {"level 1", "level 2", "level 2 with approval"};
	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
		const struct property *property = &properties[i];
		bool held = true;
		story_row(story, property->name, property->title);
		story_flag(story, "ideal", "ideal", property->at != SHOWN(invented));
		for (enum play_level level = 0; level < PLAY_LEVELS; level++) {
			bool seen = flag_of(&shown[level], property);
			story_flag(story, names[level], labels[level], seen);
			held &= seen == property->wanted[level];
		}
		story_held(story, held, "%s", property->why);
	}
}

static void tell_ideal(struct story *story, const struct shown shown[PLAY_LEVELS])
{
	static const char *const columns[] = {"property", "ideal", "level 1", "level 2", "with approval", NULL};
	story_chapter(story, "The ideal, and what is reached of it");
	story_say(story,
		"In the ideal protocol of three parties each authenticates to both others, each one's nonce is signed "
		"by every other together with the roles, and keys enforce the roles. Every row below was read off the "
		"three "
		"handshakes above: from the octets that were signed, and from what each party's own code concluded.");
	tell_properties(story, shown);
	story_chapter(story, "What no run can show");
	story_table(story, "By construction, from docs/accord.md, 1.3", columns);
	story_line(story, false,
		(const char *const[]){
			"server can verify the client's leg", "yes", "no", "no", "no: C vouches for it", NULL});
	story_line(story, false, (const char *const[]){"role enforced by keys", "yes", "no", "no", "no", NULL});
	story_line(
		story, false, (const char *const[]){"parties not named cannot read", "yes", "yes", "yes", "yes", NULL});
	story_line(story, false,
		(const char *const[]){"stock TLS libraries suffice", "none known", "yes", "yes", "yes", NULL});
	story_line(story, false,
		(const char *const[]){
			"stock server suffices", "no", word(!shown[PLAY_UNAWARE].aware), "no", "no", NULL});
}

bool explain_accord(const struct explain_options *options, struct story *story, struct error *err)
{
	static const char *const names[PLAY_LEVELS] = {"level-1", "level-2", "level-2-approval"};
	struct lab *lab = lab_new(err);
	struct shown shown[PLAY_LEVELS] = {{0}};
	bool ok = lab != NULL;
	(void)options;
	story_say(story,
		"Client, proxy and server in this process, with stock OpenSSL and certificates made just now. The "
		"client "
		"trusts no local CA: the proxy stands under its own name, and shows that the real server took part.");
	story_chapter(story, "Who signed what");
	for (enum play_level level = 0; ok && level < PLAY_LEVELS; level++) {
		struct play play;
		ok = play_run(&play, lab, level, err);
		if (ok) {
			tell_run(story, &play, names[level]);
			shown[level] = look(&play);
		}
		play_free(&play);
	}
	if (ok)
		tell_ideal(story, shown);
	lab_free(lab);
	return ok;
}
