# The SHA-256 fingerprint of a public key as ssh-keygen -l prints it.
import base64
import hashlib


def fingerprint(public_key):
    """Of a key in base64, the second word of a .pub file, as the facts have it; empty where a host sends something else."""
    try:
        digest = hashlib.sha256(base64.b64decode(public_key, validate=True)).digest()
    except (TypeError, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class FilterModule:
    def filters(self):
        return {"garner_fingerprint": fingerprint}
