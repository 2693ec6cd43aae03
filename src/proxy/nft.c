#include "proxy/nft.h"

static const struct listen_at *find(const struct config *config, enum listen_mode mode)
{
	for (size_t i = 0; i < config->listen.count; i++) {
		if (config->listen.items[i].mode == mode)
			return &config->listen.items[i];
	}
	return NULL;
}

static void print_redirect(FILE *out, unsigned port)
{
	fprintf(out,
		"	# Connections of other machines that are routed through this one.\n"
		"	chain prerouting {\n"
		"		type nat hook prerouting priority dstnat;\n"
		"		fib daddr type local return\n"
		"		tcp dport 443 redirect to :%u\n"
		"	}\n"
		"	# Connections of this machine's own programs, but those of the proxy's user.\n"
		"	chain output {\n"
		"		type nat hook output priority -100;\n"
		"		meta skuid $proxy_user return\n"
		"		oif lo return\n"
		"		tcp dport 443 redirect to :%u\n"
		"	}\n",
		port, port);
}

static void print_tproxy(FILE *out, unsigned port)
{
	fprintf(out,
		"	chain divert {\n"
		"		type filter hook prerouting priority mangle;\n"
		"		meta l4proto tcp socket transparent 1 meta mark set 1 accept\n"
		"		fib daddr type local return\n"
		"		tcp dport 443 tproxy to :%u meta mark set 1 accept\n"
		"	}\n",
		port);
}

int nft_print(FILE *out, const struct config *config)
{
	const struct listen_at *redirect = find(config, LISTEN_TRANSPARENT);
	const struct listen_at *tproxy = find(config, LISTEN_TPROXY);
	if (!redirect && !tproxy) {
		fputs("overt proxy: --print-nft: no listener is transparent or tproxy (--listen "
		      "transparent@0.0.0.0:8443)\n",
			stderr);
		return 2;
	}
	fputs("# Load with: nft -f FILE    Remove with: nft delete table inet overt\n", out);
	if (redirect)
		fprintf(out, "define proxy_user = \"%s\"\n", config->user ? config->user : "nobody");
	if (tproxy)
		fputs("# tproxy also needs:  ip rule add fwmark 1 lookup 100; ip route add local default dev lo table "
		      "100\n"
		      "# and for IPv6:      ip -6 rule add fwmark 1 lookup 100; ip -6 route add local default dev lo "
		      "table 100\n",
			out);
	fputs("table inet overt {\n", out);
	if (redirect)
		print_redirect(out, redirect->at.port);
	if (tproxy)
		print_tproxy(out, tproxy->at.port);
	fputs("	# QUIC cannot be inspected here: refused at once, clients fall back to TCP without waiting.\n"
	      "	chain quic {\n"
	      "		type filter hook forward priority filter;\n"
	      "		udp dport 443 reject\n"
	      "	}\n"
	      "	chain quic_output {\n"
	      "		type filter hook output priority filter;\n"
	      "		oif lo return\n"
	      "		udp dport 443 reject\n"
	      "	}\n"
	      "}\n",
		out);
	return 0;
}
