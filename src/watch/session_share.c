#include "base/text.h"
#include "keys/share_offer.h"
#include "tls/extension.h"
#include "watch/session_parts.h"

#include <stdio.h>

#define NAMES_ROOM 400

/* Consent to share (keys/share_offer.h): what stands in the hello is for everyone to see. */

static const char *modes_text(uint8_t modes)
{
	return modes == SHARE_LIVE             ? "live"
	       : modes == SHARE_AFTER_ROTATION ? "after-rotation"
	                                       : "live or after-rotation";
}

void session_tell_offer(struct session *s, const struct client_hello *hello)
{
	struct extension ext;
	struct share_offer offer;
	if (!extension_find(hello->extensions, SHARE_EXTENSION, &ext))
		return;
	if (!share_offer_read(ext.data, &offer))
		session_notice(s, SEVERITY_INFO, "share-offer", "The client's offer to share cannot be read.");
	else if (offer.tags.len == 0)
		session_notice(s, SEVERITY_INFO, "share-offer", "The client lets nobody read.");
	else
		session_notice(s, SEVERITY_INFO, "share-offer", "The client offers to share with %zu readers, %s.",
			offer.tags.len / SHARE_TAG, modes_text(offer.modes));
}

/* As many names as there is room for. */
static void list_names(struct share_notice notice, char out[static NAMES_ROOM])
{
	struct share_notice_reader reader;
	char name[64];
	size_t len = 0;
	out[0] = '\0';
	while (share_notice_next(&notice, &reader)) {
		text_clean(name, sizeof(name), reader.name);
		int n = snprintf(out + len, NAMES_ROOM - len, "%s%s", len > 0 ? ", " : "", name);
		if (n < 0 || (size_t)n >= NAMES_ROOM - len)
			return;
		len += (size_t)n;
	}
}

void session_tell_disclosed(struct session *s, const struct handshake *message)
{
	struct bytes body = message->body, block;
	struct extension ext;
	struct share_notice notice;
	char names[NAMES_ROOM];
	if (!bytes_vec16(&body, &block) || !extension_find(block, SHARE_EXTENSION, &ext))
		return;
	if (!share_notice_read(ext.data, &notice)) {
		session_notice(
			s, SEVERITY_INFO, "share-notice", "What the server discloses of sharing cannot be read.");
		return;
	}
	list_names(notice, names);
	session_notice(s, SEVERITY_INFO, "share-notice", "The server shares with these readers, %s: %s",
		modes_text(notice.mode), names);
}
