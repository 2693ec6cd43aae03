#include "tls/certificate_verify.h"

bool certificate_verify_parse(struct bytes body, uint16_t version, struct certificate_verify *out)
{
	*out = (struct certificate_verify){0};
	return (version < 0x0303 || bytes_u16(&body, &out->scheme)) && bytes_vec16(&body, &out->signature) &&
	       out->signature.len > 0 && body.len == 0;
}

void certificate_verify_content(struct writer *w, bool by_server, struct bytes transcript)
{
	for (int i = 0; i < 64; i++)
		writer_u8(w, 0x20);
	writer_bytes(
		w, bytes_str(by_server ? "TLS 1.3, server CertificateVerify" : "TLS 1.3, client CertificateVerify"));
	writer_u8(w, 0);
	writer_bytes(w, transcript);
}
