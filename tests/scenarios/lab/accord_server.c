/*
 * An HTTPS server that knows Accord, for tests, made with libovert as any program would: accord_server CHAIN KEY ANSWER
 * [STATEMENT [ANCHORS KEY]]. With the last two, demands can be met: by proxies below the anchors and with approvals by
 * that key, a file with its SubjectPublicKeyInfo. It prints "listening PORT" and, for each connection, what was introduced.
 */
#include <overt/accord.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rule {
	enum overt_accord_answer answer;
	const char *statement;
	unsigned char enrolled[256];
	size_t enrolled_len;
};

static bool on_enrolled(void *arg, SSL *ssl, const uint8_t *key, size_t len)
{
	const struct rule *rule = arg;
	(void)ssl;
	return rule->enrolled_len > 0 && len == rule->enrolled_len && memcmp(key, rule->enrolled, len) == 0;
}

static void on_rule(void *arg, SSL *ssl, const struct overt_accord_claim *claim, struct overt_accord_ruling *out)
{
	const struct rule *rule = arg;
	(void)ssl;
	printf("introduced hops=%zu sealed=%d role=%u\n", claim->hops, claim->sealed, claim->hop[0].role);
	out->answer = rule->answer;
	snprintf(out->statement, sizeof(out->statement), "%s", rule->statement);
}

static void serve(SSL *ssl)
{
	static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nan aware server\n";
	char request[4096];
	bool up = SSL_accept(ssl) == 1 && overt_accord_aware_passed(ssl);
	struct overt_accord_claim claim;
	printf("passed=%d\n", up);
	if (overt_accord_aware_claim(ssl, &claim))
		printf("confirmed=%d by=%s fault=%s\n", claim.confirmed, claim.proxy, claim.fault);
	fflush(stdout);
	if (up && SSL_read(ssl, request, sizeof(request)) > 0) {
		SSL_write(ssl, answer, sizeof(answer) - 1);
		SSL_shutdown(ssl);
	}
}

static enum overt_accord_answer answer_of(const char *word)
{
	static const char *const words[] = {"accept", "refuse", "demand", "silent"};
	int i = 0;
	while (i < 3 && strcmp(word, words[i]) != 0)
		i++;
	return (enum overt_accord_answer)i;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	struct overt_error error = {""};
	if (argc < 4)
		return 2;
	struct rule rule = {.answer = answer_of(argv[3]), .statement = argc > 4 ? argv[4] : ""};
	struct overt_accord_aware_options options = {
		.anchors = argc > 6 ? argv[5] : NULL, .rule = on_rule, .enrolled = on_enrolled, .arg = &rule};
	FILE *file = argc > 6 ? fopen(argv[6], "rb") : NULL;
	if (file) {
		rule.enrolled_len = fread(rule.enrolled, 1, sizeof(rule.enrolled), file);
		fclose(file);
	}
	struct overt_accord_aware *aware = overt_accord_aware_new(&options, &error);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	signal(SIGPIPE, SIG_IGN);
	if (!aware || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1 ||
		!overt_accord_aware_attach(aware, ctx, &error))
		return fprintf(stderr, "%s\n", error.text), 1;
	overt_accord_aware_free(aware); /* the context has what it needs */
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 16) != 0 ||
		getsockname(listener, (struct sockaddr *)&at, &len) != 0)
		return 1;
	printf("listening %u\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		SSL *ssl = SSL_new(ctx);
		if (fd < 0 || !ssl)
			return 1;
		SSL_set_fd(ssl, fd);
		serve(ssl);
		SSL_free(ssl);
		close(fd);
	}
}
