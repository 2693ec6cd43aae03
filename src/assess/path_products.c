/* assess/path_products.c — what the CA certificates of inspecting products are called, as their makers and the studies tell. */
#include "assess/path_parts.h"

#include <strings.h>

static const struct product {
	const char *mark; /* within the issuer's name, letters of either case */
	const char *name;
} products[] = {
	{"O=mitmproxy", "mitmproxy"},
	{"CN=mitmproxy", "mitmproxy"},
	{"CN=Overt CA", "Overt"},
	{"PortSwigger", "Burp Suite"},
	{"OWASP Zed Attack Proxy", "OWASP ZAP"},
	{"Charles Proxy", "Charles"},
	{"DO_NOT_TRUST_FiddlerRoot", "Fiddler"},
	{"Proxyman CA", "Proxyman"},
	{"Fortinet", "Fortinet FortiGate"},
	{"FortiGate", "Fortinet FortiGate"},
	{"Zscaler", "Zscaler"},
	{"goskope", "Netskope"},
	{"Netskope", "Netskope"},
	{"Blue Coat", "Blue Coat"},
	{"Cisco Umbrella", "Cisco Umbrella"},
	{"Cloudflare Managed G", "Cloudflare Gateway"},
	{"Cloudflare for Teams", "Cloudflare Gateway"},
	{"Sophos SSL CA", "Sophos"},
	{"SonicWALL Firewall DPI-SSL", "SonicWall"},
	{"SonicWall Firewall DPI-SSL", "SonicWall"},
	{"Fireware web CA", "WatchGuard"},
	{"untangle.com", "Untangle"},
	{"Kaspersky Anti-Virus Personal Root", "Kaspersky"},
	{"Kaspersky Web Anti-Virus", "Kaspersky"},
	{"Avast Web/Mail Shield", "Avast"},
	{"AVG Web/Mail Shield", "AVG"},
	{"ESET SSL Filter CA", "ESET"},
	{"Bitdefender Personal CA", "Bitdefender"},
	{"Bitdefender CA SSL", "Bitdefender"},
	{"BullGuard SSL Proxy CA", "BullGuard"},
	{"AdGuard Personal CA", "AdGuard"},
	{"Net Nanny", "Net Nanny"},
	{"Qustodio", "Qustodio"},
	{"Superfish", "Superfish"},
	{"Komodia", "Komodia"},
	{"PrivDog", "PrivDog"},
	{"eDellRoot", "eDellRoot"},
};

const char *product_of(const char *issuer)
{
	for (size_t i = 0; i < sizeof(products) / sizeof(products[0]); i++) {
		if (strcasestr(issuer, products[i].mark))
			return products[i].name;
	}
	return NULL;
}

bool name_is_public(const struct subject_name *name)
{
	static const char *const inner[] = {"test", "example", "invalid", "localhost", "local", "internal", "onion",
		"alt", "lan", "home", "corp", "private", "intranet", "localdomain", "home.arpa"};
	size_t len = strlen(name->text);
	if (name->is_ip || !strchr(name->text, '.'))
		return false;
	for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
		size_t tail = strlen(inner[i]);
		if (len > tail && name->text[len - tail - 1] == '.' && strcmp(name->text + len - tail, inner[i]) == 0)
			return false;
	}
	return true;
}
