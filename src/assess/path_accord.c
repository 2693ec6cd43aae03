/*
 * assess/path_accord.c — a program that is run by `overt exec --accord` is told the server's certificate, out of the proof of
 * a proxy (docs/accord.md), and has shaken hands with that proxy. All that is said of the leaf is then true of the server, and
 * not of who answered.
 */
#include "assess/path_parts.h"
#include "pki/summary.h"

void path_accord(struct path *path)
{
	struct cert_summary summary;
	char line[700];
	if (!path->seen.sent)
		return;
	cert_summary_of(path->seen.sent, &summary);
	cert_summary_line(&summary, line, sizeof(line));
	report_add(path->report, "accord", GRADE_NONE, "the certificate that came, beside the one that OpenSSL tells",
		"This alone decides the verdict. The lines on the leaf and on keys are about the server that signed "
		"the "
		"proof.",
		"another one came, a proxy's: %s", line);
}
