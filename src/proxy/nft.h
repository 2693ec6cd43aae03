/* proxy/nft.h — the nftables rules that transparent listeners need, for people to read and load. */
#ifndef PROXY_NFT_H
#define PROXY_NFT_H

#include "policy/config.h"

#include <stdio.h>

/* Returns the exit code: 2 when no listener is transparent, with a line on stderr. */
int nft_print(FILE *out, const struct config *config);

#endif
