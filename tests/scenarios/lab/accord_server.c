/*
 * An HTTPS server that knows Accord, for tests, made with libovert as any program would: accord_server CHAIN KEY ANSWER
 * [STATEMENT]. It prints "listening PORT" and, for each connection, what was introduced.
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
};

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
	printf("passed=%d\n", up);
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
	struct rule rule = {answer_of(argv[3]), argc > 4 ? argv[4] : ""};
	struct overt_accord_aware_options options = {.rule = on_rule, .arg = &rule};
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
