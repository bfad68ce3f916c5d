# The SHA-256 fingerprint of a public key as ssh-keygen -l prints it.
import base64
import hashlib


def fingerprint(public_key):
    """Of a key in base64, the second word of a .pub file, as the facts have it."""
    digest = hashlib.sha256(base64.b64decode(public_key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class FilterModule:
    def filters(self):
        return {"garner_fingerprint": fingerprint}
