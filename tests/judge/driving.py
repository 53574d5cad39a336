"""What the drivers share: a sandbox of their own, and steps that are counted and go on after a failure."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

import dns.message
import dns.query

ZONE = "example.com"
START_DEADLINE = 30.0


class Cloud:
    """A running sandbox: what its `sandbox.json` says, and where its authority's certificate is."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = str(directory / "ca.pem")
        self.facts = json.loads((directory / "sandbox.json").read_text())

    def __getattr__(self, name):
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(f"sandbox.json has no {name}") from None

    @property
    def cloudflare_api(self):
        base = self.cloudflare.rstrip("/")
        return base if base.endswith("/client/v4") else f"{base}/client/v4"


@contextlib.contextmanager
def sandbox(binary, record):
    """Starts `cnamed sandbox`, which records into `record`, and stops it at the end."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        with open(directory / "log", "w+") as log:
            process = subprocess.Popen(
                [binary, "sandbox", "--directory", str(directory)],
                env={**os.environ, "CNAMED_SANDBOX_RECORD": record},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                cloud = started(process, directory)
                # Both kinds of client: those on requests and those on httpx. Loopback is never behind a proxy.
                os.environ.update(REQUESTS_CA_BUNDLE=cloud.ca, SSL_CERT_FILE=cloud.ca, NO_PROXY="127.0.0.1,localhost")
                yield cloud
            except BaseException:
                log.seek(0)
                sys.stdout.write(log.read())
                raise
            finally:
                process.terminate()
                process.wait(timeout=10)


def started(process, directory):
    """The sandbox once it has written what clients need."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the sandbox ended with {process.returncode}")
        with contextlib.suppress(OSError, ValueError):
            return Cloud(directory)
        time.sleep(0.05)
    raise RuntimeError(f"the sandbox wrote no sandbox.json within {START_DEADLINE:.0f} s")


class Steps:
    """Named steps; one that fails is reported and the next one runs."""

    def __init__(self, title):
        self.title = title
        self.passed = self.failed = 0

    @contextlib.contextmanager
    def __call__(self, name):
        try:
            yield
        except Exception as error:  # noqa: BLE001 - any failure of a client is the finding
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)
            script = pathlib.Path(sys.argv[0]).name
            line = next((frame.lineno for frame in reversed(where) if pathlib.Path(frame.filename).name == script), "?")
            print(f"  FAILED {name} (line {line}): {type(error).__name__}: {str(error)[:600]}")
        else:
            self.passed += 1
            print(f"  {name}")

    def finish(self):
        print(f"{self.title}: {self.passed} passed, {self.failed} failed")
        return 0 if self.passed and not self.failed else 1


def ask(server, name, kind):
    """What the name server at `server` (`address:port`) itself says, as sorted texts of the first answer."""
    address, port = server.rsplit(":", 1)
    answer = dns.query.udp(dns.message.make_query(name, kind, flags=0), address, port=int(port), timeout=5).answer
    return sorted(str(record) for record in answer[0]) if answer else []


def same(seen, wanted):
    """Equality with both sides shown."""
    if seen != wanted:
        raise AssertionError(f"{seen!r} instead of {wanted!r}")
