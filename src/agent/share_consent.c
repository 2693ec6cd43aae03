#include "agent/share_consent.h"

#include "agent/share_link.h"
#include "tls/hello.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static struct share_readers readers; /* since the process began, as is the next */
static enum share_mode mode;

/* The mapping stays. */
static bool load(const char *path)
{
	struct stat about;
	void *text = MAP_FAILED;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size_t len = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 &&
	                             (uint64_t)about.st_size <= SHARE_READERS_TEXT
	                     ? (size_t)about.st_size
	                     : 0;
	/* A copy: who cuts the file short must not be able to stop the program. */
	if (len > 0)
		text = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok = text != MAP_FAILED && read(fd, text, len) == (ssize_t)len &&
	          share_readers_read(bytes_of(text, len), &readers);
	if (!ok && text != MAP_FAILED)
		munmap(text, len);
	close(fd);
	return ok;
}

void share_consent_begin(const struct share_settings *settings)
{
	int kept = errno;
	mode = settings->after_rotation ? SHARE_AFTER_ROTATION : SHARE_LIVE;
	if (settings->readers[0] && !load(settings->readers))
		share_link_say(SHARE_SAYS, "cannot read the list of readers: its connections ask nobody for consent");
	errno = kept;
}

bool share_consent_on(void)
{
	return readers.count > 0;
}

static uint64_t own_readers(const char *name)
{
	return share_readers_for(&readers, bytes_str(name));
}

bool share_consent_offer(
	struct share_consent_state *state, const struct share_sha256 *sha256, const char *name, struct writer *to)
{
	if (!state->asked) {
		if (getrandom(state->nonce, sizeof(state->nonce), GRND_NONBLOCK) != sizeof(state->nonce))
			return false;
		state->offered = own_readers(name);
		state->agreement.refusal = state->offered ? SHARE_NO_NOTICE : SHARE_OFFERS_NONE;
	}
	state->asked = share_offer_write(sha256, &readers, state->offered, state->nonce, to);
	return state->asked;
}

/* Whatever the peer sends, the connection lives: it is not shared, and both sides say why. */
void share_consent_disclosed(struct share_consent_state *state, struct bytes notice)
{
	if (state->offered != 0)
		state->agreement = share_notice_check(&readers, state->offered, notice);
}

void share_consent_offered(
	struct share_consent_state *state, const struct share_sha256 *sha256, const char *name, struct bytes offer)
{
	uint64_t own = own_readers(name);
	state->asked = true;
	state->agreement = own != 0 ? share_offer_decide(sha256, &readers, own, offer)
	                            : (struct share_agreement){.refusal = SHARE_OFFERS_NONE};
}

bool share_consent_disclose(const struct share_consent_state *state, struct writer *to)
{
	return state->asked && share_notice_write(&readers, &state->agreement, to);
}

bool share_consent_agreed(const struct share_consent_state *state)
{
	return state && state->asked && state->agreement.refusal == SHARE_AGREED && state->agreement.mode == mode;
}

struct share_terms share_consent_terms(const struct share_consent_state *state, bool resumed)
{
	if (!share_consent_agreed(state))
		return (struct share_terms){.mode = (uint8_t)mode, .consent = SHARE_UNILATERAL};
	return (struct share_terms){.mode = (uint8_t)mode,
		.consent = SHARE_BOTH,
		.resumed = resumed,
		.list = readers.id,
		.readers = state->agreement.readers};
}

static struct share_agreement outcome(const struct share_consent_state *state, const struct share_item *key, bool able)
{
	bool old = key->key.version != TLS_VERSION_13;
	if (state && state->asked && !old)
		return state->agreement;
	if (own_readers(key->name) == 0)
		return (struct share_agreement){.refusal = SHARE_OFFERS_NONE};
	return (struct share_agreement){.refusal = old                   ? SHARE_OLD_TLS
	                                           : able && key->server ? SHARE_NO_OFFER
	                                                                 : SHARE_LIBRARY_WITHOUT};
}

void share_consent_say(struct share_consent_state *state, const struct share_item *key, bool able)
{
	if (!share_consent_on() || (state && state->said))
		return;
	struct share_agreement agreement = outcome(state, key, able);
	if (state)
		state->said = true;
	if (agreement.refusal == SHARE_AGREED)
		return;
	struct share_item item = {.kind = SHARE_REFUSED, .server = key->server, .cause = agreement.refusal};
	memcpy(item.key.client_random, key->key.client_random, KEYLOG_RANDOM);
	memcpy(item.name, key->name, sizeof(item.name));
	memcpy(item.key_id, agreement.key_id, sizeof(item.key_id));
	memcpy(item.reader, agreement.reader, sizeof(item.reader));
	(void)!share_link_give(&item, 1, false);
}
