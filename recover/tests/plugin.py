"""A plugin of age (https://github.com/C2SP/C2SP/blob/main/age-plugin.md, identity-v1) that keeps a custodian's X25519 key as a token would."""
import base64
import sys

from recover import ChaCha20Poly1305, Encoding, PublicFormat, X25519PublicKey, hkdf, identities, unpadded


def stanzas():
    while line := sys.stdin.readline():
        body = ""
        while True:
            part = sys.stdin.readline().rstrip("\n")
            body += part
            if len(part) < 64:
                break
        yield line.rstrip("\n").split(" ")[1:], unpadded(body)


def say(command, body=b""):
    encoded = base64.b64encode(body).decode().rstrip("=")
    print(f"-> {command}\n{encoded}", flush=True)


def file_key(key, ephemeral, body):
    own = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = key.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    wrap = hkdf(shared, ephemeral + own, b"age-encryption.org/v1/X25519")
    try:
        return ChaCha20Poly1305(wrap).decrypt(bytes(12), body, None)
    except Exception:
        return None


def main(path):
    key = next(identities([path]))
    incoming = stanzas()
    offered = []
    for words, body in incoming:
        if words[0] == "done":
            break
        if words[0] == "recipient-stanza" and words[2] == "X25519":
            offered.append((words[1], unpadded(words[3]), body))
    for index, ephemeral, body in offered:
        if found := file_key(key, ephemeral, body):
            say("file-key " + index, found)
            next(incoming)
    say("done")


if __name__ == "__main__":
    main(sys.argv[0] + ".key")
