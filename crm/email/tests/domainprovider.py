"""SendGrid's Domain Authentication API as far as these tests need it: real sockets, and faults on command."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = "/v3/whitelabel/domains"


class DomainProvider:
    """Keeps what it was asked for. `fault` may answer instead: it is given method and path."""

    def __init__(self) -> None:
        self.domains: dict[int, dict[str, Any]] = {}
        self.in_dns: set[str] = set()  # records' keys, of every domain
        self.asked: list[tuple[str, str]] = []
        self.keys: set[str] = set()
        self.fault: Callable[[str, str], tuple[int, Any] | None] = lambda method, path: None
        self.loses_answer_to = ""  # a method: what it asks for is done, and nobody hears of it
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, domain: str, subdomain: str = "em1") -> dict[str, Any]:
        number = 1000 + len(self.domains) + len(self.asked)
        names = {"mail_cname": f"{subdomain}.{domain}"} | {f"dkim{n}": f"s{n}._domainkey.{domain}" for n in (1, 2)}
        dns = {key: {"valid": False, "type": "cname", "host": host, "data": "wl.test"} for key, host in names.items()}
        made = {"id": number, "domain": domain, "subdomain": subdomain, "valid": False, "dns": dns}
        self.domains[number] = made
        return made

    def count(self, method: str) -> int:
        return sum(asked == method for asked, _ in self.asked)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(path)
        self.asked.append((method, parts.path))
        if answer := self.fault(method, parts.path):
            return answer
        if parts.path == ROOT and method == "GET":
            wanted = parse_qs(parts.query)["domain"][0]
            return 200, [made for made in self.domains.values() if wanted in made["domain"]]
        if parts.path == ROOT and method == "POST":
            if any(made["domain"] == body["domain"] for made in self.domains.values()):
                return 400, {"errors": [{"message": "An authenticated domain already exists for this URL."}]}
            return 201, self.add(body["domain"], body["subdomain"])
        return self._of_one(method, parts.path)

    def _of_one(self, method: str, path: str) -> tuple[int, Any]:
        match = re.fullmatch(rf"{ROOT}/(\d+)(/validate)?", path)
        number = int(match[1]) if match else 0
        if number not in self.domains:
            return 404, {"errors": [{"message": "resource not found"}]}
        if method == "DELETE":
            del self.domains[number]
            return 204, None
        results = {
            key: {"valid": key in self.in_dns, "reason": None if key in self.in_dns else f"Expected CNAME for {key}"}
            for key in self.domains[number]["dns"]
        }
        is_valid = all(result["valid"] for result in results.values())
        return 200, {"id": number, "valid": is_valid, "validation_results": results}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                provider.keys.add(self.headers["Authorization"])
                status, answer = provider.answer(self.command, self.path, body)
                if provider.loses_answer_to == self.command:
                    self.close_connection = True
                    return
                content = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/")
                self.send_header("Retry-After", "1800")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _do

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


EVERY_RECORD = {"mail_cname", "dkim1", "dkim2"}
