# SPDX-License-Identifier: Apache-2.0
"""The one call of the Kubernetes API that a store's kubernetes auth makes: TokenReview."""
import base64
import http.server
import json
import subprocess
import threading
import time


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class TokenReview:
    """Serves TokenReview on loopback for tokens that an Issuer signed."""

    def __init__(self, issuer):
        self.public = issuer.key.with_name("public.pem")
        self.public.write_text(issuer.public)
        self.asked = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def status(self, spec):
        """Who a token is of, as an API server would say."""
        signed, _, signature = spec["token"].rpartition(".")
        claims = json.loads(decode(signed.split(".")[1]))
        file = self.public.with_name(f"signature-{threading.get_ident()}")
        file.write_bytes(decode(signature))
        verified = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", self.public, "-signature", file],
            input=signed.encode(), capture_output=True, check=False,
        ).returncode == 0
        audiences = set(spec.get("audiences") or claims["aud"]) & set(claims["aud"])
        if not verified or not audiences or claims["exp"] < time.time():
            return {"authenticated": False, "error": "the token was not issued for this"}
        return {
            "authenticated": True,
            "audiences": sorted(audiences),
            "user": {
                "username": claims["sub"],
                "uid": claims["kubernetes.io"]["serviceaccount"]["uid"],
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
        }

    def handler(self):
        review = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                review.asked += 1
                answer = dict(body, status=review.status(body["spec"]))
                text = json.dumps(answer).encode()
                known = self.path == "/apis/authentication.k8s.io/v1/tokenreviews"
                self.send_response(201 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                """Says nothing: a line per call is no news."""

        return Handler
