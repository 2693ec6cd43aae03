"""Runs the models: Overt's protocols as they are break no claim, and each weaker variant breaks one (docs/model.md).

One search of Maude per line below, in parallel; prints what each found, and fails when one is not as expected.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE = 300  # seconds for one search; the longest takes 20 on a machine that does nothing else
CASTS = ["withoutKey", "twoClients", "twoProxies", "twoHandshakes"]
SERVERS = ["unaware", "aware", "demanding"]

# module, initial state as a function of the features, the claim's weaker variants: (feature left out, what happens then)
PAIRS = [
    ("TLS12", "begin(F)", [("extended-master-secret", "TLS 1.2 without EMS: both legs share one master secret")]),
    ("VISIBILITY", "begin(F)", [("record-keys-only", "in-band visibility: the reader resumes as the server")]),
    ("CONSENT", "begin(F, nil)", []),
    ("CONSENT", "begin(F, srv)", []),
    ("CONSENT", "beginEve(F, nil)", [("notice-signed", "a notice outside the signature: another reader than the client saw"),
                                     ("offer-checked", "an offer nobody compares: a reader whom the client did not offer")]),
    ("CONSENT", "beginEve(F, srv)", [("offer-checked", "the same of a server whose key is stolen")]),
    ("EPOCHS", "beginAfter(F)", [("release-by-receiver", "released by the sender: a forged record is accepted"),
                                 ("record-keys-only", "traffic secrets released: later epochs are forged")]),
    ("EPOCHS", "beginLive(F)", [("record-keys-only", "traffic secrets released: revocation stops nothing")]),
]
# feature left out, corrupted key, cast, server, what happens then
ACCORD_ATTACKS = [
    ("client-nonce", "q", "withoutKey", "unaware", "no client nonce: an old proof is accepted again"),
    ("leaf-hash", "q", "twoClients", "unaware", "no hash of the proxy's certificate: another proxy shows a lent proof"),
    ("role-field", "nil", "twoClients", "unaware", "no role: client and proxy disagree about it"),
    ("server-name", "q", "twoClients", "unaware", "no server_name check: another host on the same certificate"),
    ("possession", "q", "twoClients", "unaware", "a forwarded certificate without proof of possession"),
    ("verdict-check", "q", "twoClients", "aware", "no check of the verdict: a refusal is ignored"),
    ("approval-hash", "q", "twoClients", "demanding", "no approval hash: another client's approval takes the place"),
    ("approval-transcript", "q", "twoHandshakes", "demanding", "an approval of the nonce only: used in another handshake"),
    ("proxy-signature", "nil", "twoClients", "unaware", "no CertificateVerify on leg 1: somebody poses as the proxy"),
]


def searches():
    """(what it is, module, initial state, condition, whether a state is to be found)"""
    for cast in CASTS:
        for server in SERVERS:
            if not (cast == "withoutKey" and server == "demanding"):
                yield (f"Accord, {cast}, {server}: a connection succeeds", "ACCORD-CLAIMS", f"{cast}(overt, nil, {server})",
                       f"done({server}, W:World)", True)
            for key in ["nil", "p", "q", "srv", "ck"]:
                yield (f"Accord, {cast}, {server}, {'no key' if key == 'nil' else 'the key of ' + key} corrupted: no claim "
                       "is broken", "ACCORD-CLAIMS", f"{cast}(overt, {key}, {server})", "broken(W:World)", False)
    for feature, key, cast, server, what in ACCORD_ATTACKS:
        yield what, "ACCORD-CLAIMS", f"{cast}(without(overt, {feature}), {key}, {server})", "broken(W:World)", True
    for module, begin, variants in PAIRS:
        if not begin.startswith("beginEve"):
            yield f"{module}, {begin}: a run succeeds", module, begin.replace("F", "overt"), "done(W:World)", True
        yield f"{module}, {begin}: no claim is broken", module, begin.replace("F", "overt"), "broken(W:World)", False
        for feature, what in variants:
            yield what, module, begin.replace("F", f"without(overt, {feature})"), "broken(W:World)", True


def run(search):
    what, module, begin, condition, wanted = search
    with tempfile.NamedTemporaryFile("w", suffix=".maude") as script:
        for part in ("terms", "accord", "legacy", "share"):
            script.write(f"load {HERE / part}.maude\n")
        script.write(f"search [1] in {module} : {begin} =>* W:World such that {condition} .\nquit\n")
        script.flush()
        try:
            done = subprocess.run(["maude", "-no-banner", script.name], capture_output=True, text=True,
                                  timeout=DEADLINE, check=False)
        except subprocess.TimeoutExpired:
            return search, False, f"no answer within {DEADLINE} s", ""
    states = re.search(r"states: (\d+)", done.stdout)
    found, none = "Solution 1" in done.stdout, "No solution." in done.stdout
    events = re.search(r"past\((.*?)\) ?\n? *(?:[a-z]+\w*\(|granted|after|live|$)", done.stdout, re.S)
    story = re.sub(r"\s+", " ", events.group(1)) if found and events else ""
    ok = (found if wanted else none) and not done.stderr
    return search, ok, done.stderr.strip() or f"{states.group(1) if states else '?'} states", story


def main():
    verbose = "-v" in sys.argv[1:]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (what, module, begin, _, wanted), ok, note, story in pool.map(run, searches()):
            failed += not ok
            verdict = "attack found" if wanted and "broken" in _ else "reached" if wanted else "none found"
            print(f"{'ok  ' if ok else 'FAIL'} {what} ({verdict if ok else 'not as expected: ' + begin}; {note})", flush=True)
            if story and (verbose or not ok):
                print("       " + story.replace(" ; ", "\n       "), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
