/* explain/schedule.c — the story of the key schedule: from messages and one shared secret to every key. */
#include "base/text.h"
#include "explain/schedule_parts.h"
#include "explain/stories.h"

#include <openssl/crypto.h>
#include <stdio.h>

#define MESSAGES_MAX ((size_t)1024 * 1024) /* octets of one connection's handshake messages */

void schedule_source_wipe(struct schedule_source *source)
{
	OPENSSL_cleanse(source, sizeof(*source));
}

void schedule_tree(struct story *story, const char *title)
{
	story_table(story, title, (const char *const[]){"secret", "how it is made", "value", NULL});
}

void schedule_node(struct story *story, unsigned depth, const char *name, const char *made, struct bytes value)
{
	char indented[96], hex[TLS_SECRET_MAX * 2 + 1] = "not known here";
	snprintf(indented, sizeof(indented), "%*s%s", (int)depth * 2, "", name);
	if (value.len > 0)
		text_hex(hex, sizeof(hex), value);
	story_line(story, false, (const char *const[]){indented, made, hex, NULL});
}

void schedule_branch(struct story *story, unsigned depth, const char *name, const char *made)
{
	char indented[96];
	snprintf(indented, sizeof(indented), "%*s%s", (int)depth * 2, "", name);
	story_line(story, false, (const char *const[]){indented, made, "", NULL});
}

void schedule_compare(struct story *story, const struct schedule_source *source, const char *name, const char *title,
	struct bytes computed, struct bytes logged, const char *by, const char *why)
{
	char full[96];
	if (computed.len == 0 || logged.len == 0)
		return;
	bool equal = bytes_equal(computed, logged);
	snprintf(full, sizeof(full), "%s-%s", source->name, name);
	story_row(story, full, title);
	story_hex(story, "computed", "computed here", computed);
	story_hex(story, "logged", by, logged);
	story_flag(story, "equal", "equal", equal);
	story_held(story, equal, "%s", why);
}

static bool tell_source(
	struct crypto *crypto, const struct schedule_source *source, struct story *story, struct error *err)
{
	struct schedule_walk walk;
	if (!schedule_walk(crypto, source, story, &walk, err))
		return false;
	story_say(
		story, "%s with %s: the hash is that of the suite.", tls_version_name(walk.version), walk.suite->name);
	if (walk.retried)
		story_say(story,
			"The server asked for another key share: in the transcript, a message_hash of the first "
			"ClientHello stands in its place.");
	if (walk.psk_chosen)
		story_say(story,
			"The server took up a PSK that both had before%s: the early secret begins with it, and the "
			"binder in the ClientHello proves that the client has it.",
			walk.psk_alone ? ", and no (EC)DHE beside it" : "");
	if (walk.server_first)
		story_say(story,
			"The session of an earlier connection is resumed: the master secret is that one's, and "
			"the server's Finished comes first.");
	bool ok = walk.version == TLS_VERSION_13 ? schedule_tell13(crypto, source, &walk, story)
	                                         : schedule_tell12(crypto, source, &walk, story);
	return ok || error_set(err, "the key schedule of %s cannot be computed", walk.suite->name);
}

static bool tell_given(
	struct crypto *crypto, const struct explain_options *options, struct story *story, struct error *err)
{
	story_chapter(story, "The connection in the capture");
	story_say(story, "%s", options->source_said);
	story_say(story,
		"Secrets are those of the key log, and what follows from them; the stems above them are in no key log. "
		"That they are this connection's is shown by its records: the keys made from them open these, tag by "
		"tag, and make the Finished that stand in them.");
	return tell_source(crypto, options->source, story, err);
}

static bool tell_host(struct crypto *crypto, const struct lab *lab, const struct explain_options *options,
	struct story *story, struct error *err)
{
	struct buffer room = {.cap = MESSAGES_MAX};
	struct schedule_source source;
	story_chapter(story, "The connection you asked for");
	bool ok = schedule_host(lab, options->host, options->timeout_ns, &room, story, &source, err) &&
	          tell_source(crypto, &source, story, err);
	schedule_source_wipe(&source);
	buffer_clear(&room);
	return ok;
}

static bool tell_rfc(struct crypto *crypto, struct story *story, struct error *err)
{
	struct buffer room = {.cap = MESSAGES_MAX};
	struct schedule_source source;
	story_chapter(story, "RFC 8448, section 3");
	story_say(story,
		"The same computation for the handshake that RFC 8448 prints: here the other side of each comparison "
		"was written down by somebody else.");
	bool ok = schedule_rfc8448(crypto, &room, &source, err) && tell_source(crypto, &source, story, err);
	schedule_source_wipe(&source);
	buffer_clear(&room);
	return ok;
}

static bool tell_lab(struct crypto *crypto, const struct lab *lab,
	bool (*make)(const struct lab *lab, struct buffer *room, struct schedule_source *out, struct error *err),
	struct story *story, struct error *err)
{
	struct buffer room = {.cap = MESSAGES_MAX};
	struct schedule_source source;
	bool ok = make(lab, &room, &source, err) && tell_source(crypto, &source, story, err);
	schedule_source_wipe(&source);
	buffer_clear(&room);
	return ok;
}

/* Which messages must have passed before a secret can be made (RFC 8446, 7.1). */
static void draw13(struct story *story)
{
	story_figure(story, "When each secret comes to be", (const char *const[]){"client", "server", NULL});
	story_arrow(story, 0, 1, "ClientHello", "a key share");
	story_arrow(story, 1, 0, "ServerHello", "a key share");
	story_mark(story, 0, false, "handshake traffic secrets: (EC)DHE, hellos");
	story_arrow(story, 1, 0, "EncryptedExtensions to Finished", "under the server's handshake traffic secret");
	story_mark(story, 0, false, "application traffic secrets, exporter: all to the server's Finished");
	story_arrow(story, 0, 1, "Finished", "under the client's handshake traffic secret");
	story_mark(story, 0, false, "resumption secret: all to the client's Finished");
	story_arrow(story, 0, 1, "data", "under the client's application traffic secret 0");
	story_arrow(story, 0, 1, "KeyUpdate", "the next traffic secret is made from the one before");
}

static bool tell_all(struct crypto *crypto, const struct lab *lab, struct story *story, struct error *err)
{
	story_chapter(story, "TLS 1.3, a connection made just now");
	story_say(story,
		"Client and server of this machine's OpenSSL, in memory. The (EC)DHE secret was taken from the "
		"client's own ephemeral key; all else is computed from it and from the messages, and then held against "
		"what OpenSSL wrote into its key log. Each side made one KeyUpdate.");
	draw13(story);
	if (!tell_lab(crypto, lab, schedule_lab13, story, err))
		return false;
	story_chapter(story, "TLS 1.3, resumed");
	story_say(story, "The client comes back with a ticket of an earlier connection. What the ticket stands for is "
			 "the root of "
			 "the tree now, and the (EC)DHE secret is fresh all the same.");
	if (!tell_lab(crypto, lab, schedule_lab_resumed, story, err))
		return false;
	story_chapter(story, "TLS 1.3, with a HelloRetryRequest");
	story_say(story, "The client's key share is of a group that the server does not take.");
	if (!tell_lab(crypto, lab, schedule_lab_retried, story, err))
		return false;
	if (lab_has_group(LAB_HYBRID)) {
		story_chapter(story, "TLS 1.3, with a hybrid group");
		story_say(story, "The secret of the key exchange is two in a row: that of ML-KEM, which the server "
				 "sealed to the "
				 "client's key, and that of X25519. All below it is as ever.");
		if (!tell_lab(crypto, lab, schedule_lab_hybrid, story, err))
			return false;
	}
	story_chapter(story, "TLS 1.2, a connection made just now");
	story_say(story,
		"One pseudorandom function instead of a tree, and until RFC 7627 no transcript in it before the "
		"Finished messages.");
	return tell_lab(crypto, lab, schedule_lab12, story, err) && tell_rfc(crypto, story, err);
}

bool explain_schedule(const struct explain_options *options, struct story *story, struct error *err)
{
	struct crypto *crypto = crypto_new();
	if (!crypto)
		return error_set(err, "no memory");
	if (options->source) {
		bool told = tell_given(crypto, options, story, err);
		crypto_free(crypto);
		return told;
	}
	struct lab *lab = lab_new(err);
	bool ok = lab &&
	          (options->host ? tell_host(crypto, lab, options, story, err) : tell_all(crypto, lab, story, err));
	lab_free(lab);
	crypto_free(crypto);
	return ok;
}
