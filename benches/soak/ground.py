"""What every run stands on: ficus in front of an origin, each on a port of its own, and what can be measured of a process."""

import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
# Below the range from which the kernel takes the ports of clients.
PORTS = iter(range(11000 + os.getpid() % 5000, 32000))


class Missing(Exception):
    """A program that a run needs, and the machine has not."""


class Broken(Exception):
    """A promise that did not hold, in words."""


def expect(holds, words):
    if not holds:
        raise Broken(words)


def need(program, package):
    if shutil.which(program) is None:
        raise Missing(f"{program} is missing: apt-get install {package}")
    return program


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port():
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Broken("no free port")


def wait_for(what, is_there, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_there():
            return
        time.sleep(0.02)
    raise Broken(f"{what}: not there after {seconds} s")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    """Something that was started, and what the kernel says of it."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "wb") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **options)

    def status(self, key):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise Broken(f"no {key} of process {self.child.pid}: did it end? see {self.log}")

    def rss(self):
        """MiB now."""
        return self.status("VmRSS") / 1024

    def peak(self):
        """MiB at most since `forget_peak`."""
        return self.status("VmHWM") / 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def fds(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def log_bytes(self):
        return os.path.getsize(self.log)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Ground:
    """Starts things, and stops all of them."""

    def __init__(self, binary):
        self.binary = binary
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="ficus-soak-"))
        self.started = []

    def start(self, name, command, **options):
        process = Process(command, self.work / f"{name}-{len(self.started)}.log", **options)
        self.started.append(process)
        return process

    def python(self, name, *arguments):
        return self.start(name, [sys.executable, HERE / f"{name}.py", *arguments])

    def nginx(self):
        """An origin that answers at once. Answers its port."""
        need("nginx", "nginx-light")
        port, folder = free_port(), self.work
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err; worker_rlimit_nofile 16384;"
            f"events {{ worker_connections 8192; }} http {{ access_log off; {temporary} keepalive_requests 1000000000;"
            f"keepalive_timeout 300s; client_max_body_size 0; server {{ listen 127.0.0.1:{port} backlog=4096;"
            " location /large { default_type text/plain; alias " + str(self.large()) + "; }"
            " location / { default_type application/json; return 200 '{\"status\":\"ok\"}'; } } }")
        self.start("nginx", ["nginx", "-p", folder, "-c", folder / "nginx.conf"])
        wait_for("nginx", lambda: listens(port))
        return port

    def large(self):
        """A file that a slow reader does not finish: the kernel's buffers must not hold it."""
        path = self.work / "large"
        if not path.exists():
            path.write_bytes(b"0123456789abcdef" * (4 << 16))
            self.work.chmod(0o755)
        return path

    def ficus(self, origin, **environment):
        """ficus in front of `origin`, with an empty route table and no database."""
        process, port = None, free_port()
        config = self.work / f"ficus-{port}.toml"
        config.write_text(f'[flags]\ncold_start = "legacy"\n[upstream.legacy]\nurl = "http://127.0.0.1:{origin}"\n')
        told = {
            "FICUS__DATABASE__URL": "postgres://ficus@127.0.0.1:9/ficus",
            "FICUS__PROXY__LISTEN": f'["127.0.0.1:{port}"]',
            "FICUS__CONTROL__LISTEN": f"127.0.0.1:{free_port()}",
        }
        process = self.start(
            "ficus", [self.binary, "serve", "--roles", "proxy", "--config", config, "--state-dir", self.work / f"state-{port}"],
            env={**os.environ, **told, **environment})
        wait_for("ficus", lambda: listens(port))
        process.port = port
        # The first requests make what stays.
        for _ in range(50):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                answer.read()
        return process

    def stop(self):
        for process in reversed(self.started):
            process.stop()
        self.started.clear()

    def remove(self):
        self.stop()
        shutil.rmtree(self.work, ignore_errors=True)
