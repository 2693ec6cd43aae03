"""A server and a client of Go, compiled once per run: both bring their own TLS and know nothing of OpenSSL."""

import atexit
import functools
import pathlib
import shutil
import tempfile

from . import clients
from .proc import Process
from .servers import needs_program

SOURCE = """
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

/* serve CHAIN KEY at-once|retry: HTTP/2 and HTTP/1.1; "retry" takes a group that no client sends a share of. */
func serve(chain, key, how string) {
	pair, err := tls.LoadX509KeyPair(chain, key)
	check(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	if how == "retry" {
		config.CurvePreferences = []tls.CurveID{tls.CurveP521}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("port %d\\n", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "go over %s\\n", r.Proto)
	})}
	check(server.ServeTLS(listener, "", ""))
}

/* get URL: as the environment says, by Go's own defaults. */
func get(url string) {
	answer, err := http.Get(url)
	check(err)
	body, err := io.ReadAll(answer.Body)
	check(err)
	fmt.Printf("%d %s %s\\n", answer.StatusCode, answer.Proto, body)
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	}
	get(os.Args[2])
}
"""


@functools.cache
def cache():
    folder = tempfile.mkdtemp(prefix="overt-go-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def program(*, stripped=False, cgo=False):
    """The path of the program; skips the test where Go is not installed. With cgo it is linked dynamically."""
    go = needs_program("go")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="overt-go-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "lab.go").write_text(SOURCE)
    flags = ["-ldflags", "-s -w"] if stripped else []
    done = clients.run(go, "build", *flags, "-o", folder / "lab", folder / "lab.go", timeout=240, env={
        "GOCACHE": str(cache()), "GOPATH": str(folder / "path"), "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local", "GO111MODULE": "off", "CGO_ENABLED": "1" if cgo else "0", "GOPROXY": "off"})
    assert done.returncode == 0, done.stderr.decode()
    return folder / "lab"


class Server:
    def __init__(self, chain, key, *, retry=False, stripped=False, under=()):
        self.process = Process(*under, program(stripped=stripped), "serve", chain, key, "retry" if retry else "at-once")
        self.port = int(self.process.out.wait(r"^port (\d+)").group(1))

    def stop(self):
        self.process.stop()
