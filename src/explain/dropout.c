/*
 * explain/dropout.c — why a proxy could leave a TLS 1.2 connection that it had terminated, and never a TLS 1.3 one
 * (Bhargavan et al., Triple Handshakes and Cookie Cutters, V-A and V-B; RFC 7627; RFC 8446, 7.1).
 */
#include "explain/dropout_parts.h"
#include "explain/stories.h"

#include <string.h>

void dropout_secret(struct story *story, const char *name, const char *label, struct bytes secret)
{
	if (secret.len == 0)
		story_words(story, name, label, "none: no handshake");
	else
		story_hex(story, name, label,
			bytes_of(secret.data, secret.len < DROPOUT_OCTETS ? secret.len : DROPOUT_OCTETS));
}

bool dropout_flows(struct lab_end *client, struct lab_end *server)
{
	return lab_says(client, server, DROPOUT_REQUEST, NULL) && lab_says(server, client, DROPOUT_RESPONSE, NULL);
}

static void begin(struct story *story)
{
	static const char *const lanes[] = {"client", "relay", "server", NULL};
	story_say(story, "A proxy that reads a connection terminates it: one handshake with the client, one with the "
			 "server. To leave "
			 "later and let the two talk on, it must have brought both to the same keys. Below, a relay "
			 "tries that in every "
			 "way there is. Client and server are the OpenSSL of this machine, unchanged, with Debian's "
			 "default security "
			 "level 2 set on each; they run inside this program, and no octet leaves it. The client trusts "
			 "the relay's CA, "
			 "as it would trust an inspecting proxy's. Session tickets are off, so that each handshake is "
			 "a full one.");
	story_figure(story, "What the relay does in TLS 1.2", lanes);
	story_arrow(story, 0, 1, "ClientHello", "random A, extended master secret");
	story_arrow(story, 1, 2, "ClientHello", "random A, without it");
	story_arrow(story, 2, 1, "ServerHello, Certificate", "random B, the server's key");
	story_arrow(story, 1, 0, "ServerHello, Certificate", "random B, the relay's key");
	story_arrow(story, 0, 1, "ClientKeyExchange", "premaster P to the relay's key");
	story_arrow(story, 1, 2, "ClientKeyExchange", "premaster P to the server's key");
	story_mark(story, 1, true, "PRF(P, A, B) on both sides: the relay may go");
	story_arrow(story, 0, 2, "application data", "copied, not opened");
}

static void end(struct story *story)
{
	story_chapter(story, "What follows");
	story_say(story, "Insist on extended master secret, or do without RSA and DHE key exchange in TLS 1.2: then no "
			 "relay can leave "
			 "unseen. In TLS 1.3 none can, whatever anybody configures, because every key hangs on all "
			 "that was said. A "
			 "proxy that wants to be out of a connection must decide before it answers the ClientHello, "
			 "and one that wants "
			 "to stop reading later must have been given keys by an endpoint, for a time that ends.");
	story_command(story, "overt explain dropout --html dropout.html");
}

static bool tell(const struct lab *lab, struct story *story, struct error *err)
{
	begin(story);
	story_chapter(story, "TLS 1.2, RSA key exchange");
	if (!dropout_rsa(lab, story, err))
		return false;
	story_chapter(story, "TLS 1.2, DHE");
	if (!dropout_dhe(lab, story, err))
		return false;
	story_chapter(story, "TLS 1.2, ECDHE");
	if (!dropout_ecdhe(lab, story, err))
		return false;
	story_chapter(story, "Is it because TLS 1.3 encrypts the certificate?");
	story_say(story, "That is what is often said. It is true of deciding late: whoever cannot see the certificate "
			 "cannot decide by "
			 "it. It is not true of leaving late, as these rows show.");
	if (!dropout_late_deciding(lab, story, err) || !dropout_certificate12(lab, story, err) ||
		!dropout_tls13(lab, story, err))
		return false;
	story_chapter(story, "Two handshakes of TLS 1.3 side by side");
	if (!dropout_table(lab, story, err))
		return false;
	story_chapter(story, "The ways out that there are");
	if (!dropout_ways(lab, story, err))
		return false;
	end(story);
	return true;
}

bool explain_dropout(const struct explain_options *options, struct story *story, struct error *err)
{
	(void)options;
	struct lab *lab = lab_new(err);
	bool ok = lab && tell(lab, story, err);
	lab_free(lab);
	return ok;
}
