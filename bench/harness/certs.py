"""The certificates of a run, made with the openssl command: none outlives its folder."""

import subprocess

from fault import Fault

AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash"]
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*arguments):
    result = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Fault(f"openssl {arguments[0]} failed", result.stderr)


class Certs:
    """Files in `folder`: the site's root, intermediate and wildcard leaf; the CA that peers mint with."""

    def __init__(self, folder):
        self.folder = folder
        self.root, self.root_key = self._root("root", "Bench Root")
        self.mint_ca, self.mint_key = self._root("mintca", "Bench Interception CA")
        self.intermediate, self.intermediate_key = self._issued(
            "intermediate", "/CN=Bench Intermediate", self.root, self.root_key,
            ["basicConstraints=critical,CA:TRUE,pathlen:0", *AUTHORITY[1:], "authorityKeyIdentifier=keyid"])
        self.leaf, self.leaf_key = self._issued(
            "leaf", "/CN=bench.test", self.intermediate, self.intermediate_key,
            ["subjectAltName=DNS:*.bench.test", "basicConstraints=critical,CA:FALSE",
             "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth", "subjectKeyIdentifier=hash",
             "authorityKeyIdentifier=keyid"])
        self.chain = self._joined("chain.pem", self.leaf, self.intermediate)
        self.chain_and_key = self._joined("chain-and-key.pem", self.leaf, self.intermediate, self.leaf_key)
        self.mint_ca_and_key = self._joined("mint-ca-and-key.pem", self.mint_key, self.mint_ca)

    def _root(self, name, subject):
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        extensions = [word for value in AUTHORITY for word in ("-addext", value)]
        # req adds basicConstraints and subjectKeyIdentifier from its configuration file unless there is none.
        openssl("req", "-x509", *NEW_KEY, "-config", self._empty_config(), "-keyout", key, "-out", cert,
                "-subj", f"/CN={subject}", "-days", "30", *extensions)
        return cert, key

    def _empty_config(self):
        path = self.folder / "openssl.cnf"
        path.write_text("[req]\ndistinguished_name=dn\n[dn]\n")
        return path

    def _issued(self, name, subject, issuer, issuer_key, extensions):
        cert, key, request = (self.folder / f"{name}{suffix}" for suffix in (".pem", ".key", ".csr"))
        wanted = self.folder / f"{name}.ext"
        wanted.write_text("\n".join(extensions) + "\n")
        openssl("req", *NEW_KEY, "-config", self._empty_config(), "-keyout", key, "-out", request, "-subj", subject)
        openssl("x509", "-req", "-in", request, "-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial", "-days", "20",
                "-extfile", wanted, "-out", cert)
        return cert, key

    def _joined(self, name, *parts):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text("".join(part.read_text() for part in parts))
        return path
