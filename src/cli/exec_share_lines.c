#include "cli/exec_share_lines.h"

#include "base/clock.h"

/*
 * Nobody asked the other side, and the line names no server: only a grant with consent unilateral, both directions and all
 * names covers it (keys/grant.h).
 */
static bool send_raw(struct exec_send *send, struct bytes text, const struct keylog_line *line)
{
	struct release release = {.grade = RELEASE_GRADE_RAW,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_UNILATERAL,
		.made_ns = clock_wall_ns()};
	if (!sender_wants_lines(send->sender) || text.len > RELEASE_LINE_MAX)
		return false;
	memcpy(release.line, text.data, text.len);
	release.line_len = text.len;
	memcpy(release.key.client_random, line->id.octets, KEYLOG_RANDOM);
	release_text(release.host, sizeof(release.host), bytes_str(send->host));
	bool good = release_check(&release) == RELEASE_OK;
	if (good)
		sender_put(send->sender, &release, NULL);
	release_wipe(&release);
	return good;
}

/* Of the suites of TLS 1.3 one alone has SHA-384; what has SHA-256 may be any of four. */
static bool send_record(
	struct exec_send *send, struct crypto *crypto, const struct keylog_line *line, struct bytes secret)
{
	struct release release = {.mode = RELEASE_LIVE, .consent = RELEASE_UNILATERAL, .made_ns = clock_wall_ns()};
	bool client = line->label == KEYLOG_CLIENT_TRAFFIC;
	if (secret.len != 48 || (!client && line->label != KEYLOG_SERVER_TRAFFIC) ||
		line->epoch == KEYLOG_EPOCH_UNNAMED ||
		!release_from_secret13(&release, crypto, 0x1302, client, line->epoch, secret))
		return false;
	memcpy(release.key.client_random, line->id.octets, KEYLOG_RANDOM);
	release_text(release.host, sizeof(release.host), bytes_str(send->host));
	bool good = release_check(&release) == RELEASE_OK;
	if (good)
		sender_put(send->sender, &release, NULL);
	release_wipe(&release);
	return good;
}

enum exec_line exec_line_send(struct exec_send *send, struct crypto *crypto, struct bytes text,
	const struct keylog_line *line, struct bytes secret)
{
	bool traffic = line->label == KEYLOG_CLIENT_TRAFFIC || line->label == KEYLOG_SERVER_TRAFFIC;
	bool wanted = traffic || line->label == KEYLOG_MASTER || line->label == KEYLOG_CLIENT_HANDSHAKE ||
	              line->label == KEYLOG_SERVER_HANDSHAKE;
	if (!wanted || line->id.kind != KEYLOG_ID_RANDOM)
		return EXEC_LINE_NONE;
	bool raw = send_raw(send, text, line);
	bool record = send_record(send, crypto, line, secret);
	if (raw || record)
		return EXEC_LINE_SENT;
	return traffic || line->label == KEYLOG_MASTER ? EXEC_LINE_UNSURE : EXEC_LINE_NONE;
}
