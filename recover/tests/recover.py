"""Recovers a key from backups by docs/recovery.md alone. Independent of the Rust code: only `cryptography`'s primitives.

Usage: recover.py BACKUP... -- IDENTITY... ; prints the scalar in hexadecimal, or a reason on standard error.
An identity `a.slip+c.slip` is on paper. With `--path 0/5` before all it prints the child's, and with `--sign FILE` after that the child's signature of the file.
With `--proof HOLDER NONCE PROOF` instead of identities, verifies one custodian's proof for the one backup.
"""
import base64
import hashlib
import hmac
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def must(condition, words):
    if not condition:
        raise SystemExit("refused: " + words)


def tagged(domain, *parts):
    hashed = hashlib.sha256()
    for part in (domain.encode(), *parts):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()


class Secp256k1:
    p = 2**256 - 2**32 - 977
    q = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    endian = "big"
    zero = None

    def __init__(self):
        self.g = (
            0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
            0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
        )

    def add(self, a, b):
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % self.p == 0:
            return None
        if a == b:
            slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, self.p)
        else:
            slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, self.p)
        x = (slope * slope - a[0] - b[0]) % self.p
        return x, (slope * (a[0] - x) - a[1]) % self.p

    def read(self, data):
        must(len(data) == 33 and data[0] in (2, 3), "not a compressed point")
        return self.lift(int.from_bytes(data[1:], "big"), data[0] & 1)

    def lift(self, x, odd):
        must(x < self.p, "coordinate beyond the field")
        y = pow(x**3 + 7, (self.p + 1) // 4, self.p)
        must((y * y - x**3 - 7) % self.p == 0, "not on the curve")
        return x, y if y & 1 == odd else self.p - y

    def write(self, point):
        return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")


class Ed25519:
    p = 2**255 - 19
    q = 2**252 + 27742317777372353535851937790883648493
    endian = "little"
    zero = (0, 1)

    def __init__(self):
        self.d = -121665 * pow(121666, -1, self.p) % self.p
        self.g = self.read((4 * pow(5, -1, self.p) % self.p).to_bytes(32, "little"), base=True)

    def add(self, a, b):
        product = self.d * a[0] * b[0] * a[1] * b[1]
        x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, self.p)
        y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, self.p)
        return x % self.p, y % self.p

    def read(self, data, base=False):
        must(len(data) == 32, "not a compressed point")
        number = int.from_bytes(data, "little")
        y, odd = number & (2**255 - 1), number >> 255
        must(y < self.p, "coordinate beyond the field")
        square = (y * y - 1) * pow(self.d * y * y + 1, -1, self.p) % self.p
        x = pow(square, (self.p + 3) // 8, self.p)
        if (x * x - square) % self.p:
            x = x * pow(2, (self.p - 1) // 4, self.p) % self.p
        must((x * x - square) % self.p == 0, "not on the curve")
        point = (x if x & 1 == odd else (self.p - x) % self.p, y)
        if not base:
            must(point != self.zero and times(self, self.q, point) == self.zero, "not of prime order")
        return point

    def write(self, point):
        return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def times(curve, scalar, point):
    total = curve.zero
    while scalar:
        if scalar & 1:
            total = curve.add(total, point)
        point, scalar = curve.add(point, point), scalar >> 1
    return total


def coefficient(places, place, at, q):
    value = 1
    for other in places:
        if other != place:
            value = value * (at - other) * pow(place - other, -1, q) % q
    return value


def on_polynomial(curve, points, degree):
    """Whether points, by place, lie on one polynomial of at most this degree."""
    basis = sorted(place for place in points if place)[: degree + 1]
    for at, expected in points.items():
        total = curve.zero
        for place in basis:
            total = curve.add(total, times(curve, coefficient(basis, place, at, curve.q), points[place]))
        if total != expected:
            return False
    return True


class Backup:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.path = path
        must(self.bytes.startswith(b"limen-backup: 1\n"), "not a backup of version 1")
        body = self.bytes[: self.bytes.rindex(b"sha256: ")]
        self.hash = hashlib.sha256(body).digest()
        must(self.bytes == body + b"sha256: " + self.hash.hex().encode() + b"\n", path + " is damaged")
        self.lines = [line.split(": ", 1) for line in self.bytes.decode().split("\n")[:-1]]
        self.read()
        self.check()

    def take(self, name):
        must(self.lines and self.lines[0][0] == name, f"{self.path}: {name} is missing")
        return self.lines.pop(0)[1]

    def read(self):
        self.take("limen-backup")
        self.facts = {name: self.take(name) for name in ("cluster", "key", "epoch", "scheme", "protocol")}
        self.curve = Ed25519() if self.facts["scheme"] == "eddsa-ed25519" else Secp256k1()
        point = lambda name: self.curve.read(bytes.fromhex(self.take(name)))
        self.required, self.total = int(self.take("signers_required")), int(self.take("signers_total"))
        self.member = int(self.take("member"))
        self.take("node"), self.take("charter")
        self.public_key = point("public_key")
        self.chain_code = self.take("chain_code")
        self.shares = {place: point("verifying_share") for place in range(1, self.total + 1)}
        self.pieces_required, self.pieces_total = int(self.take("pieces_required")), int(self.take("pieces_total"))
        self.commitments = [point("commitment") for _ in range(self.pieces_required)]
        self.custodians = [self.take("custodian").split(" ") for _ in range(self.pieces_total)]
        self.pieces = [base64.b64decode(self.take("piece"), validate=True) for _ in range(self.pieces_total)]
        self.take("sha256")
        must(not self.lines, "more lines than there are")
        self.head_hash = tagged("limen/backup-head/v1", self.bytes[: self.bytes.index(b"piece: ")])

    def check(self):
        must(2 <= self.required <= self.total <= 32 and 1 <= self.member <= self.total, "numbers of signers")
        must(1 <= self.pieces_required <= self.pieces_total <= 16, "numbers of pieces")
        points = {0: self.public_key, **self.shares}
        must(on_polynomial(self.curve, points, self.required - 1), "verifying shares")
        must(not on_polynomial(self.curve, points, self.required - 2), "signers_required was raised")
        must(self.facts["scheme"] != "schnorr-bip340" or self.public_key[1] % 2 == 0, "a key of BIP-340 with odd y")
        for _, recipient in self.custodians:
            check_recipient(recipient)
        must(self.commitments[0] == self.shares[self.member], "the commitment is to another share")
        for column in zip(*self.custodians, strict=True):
            must(len(set(column)) == self.pieces_total, "a custodian comes twice")

    def same_key(self):
        return self.facts, self.required, self.total, self.public_key, self.chain_code, self.shares

    def piece_point(self, place):
        total = self.curve.zero
        for power, commitment in enumerate(self.commitments):
            total = self.curve.add(total, times(self.curve, place**power, commitment))
        return total

    def share(self, identities):
        values = {}
        for place, sealed in enumerate(self.pieces, 1):
            for identity in identities:
                plain = age_decrypt(identity, sealed)
                if plain is not None:
                    values[place] = self.open(place, plain)
        must(len(values) >= self.pieces_required, self.path + ": too few pieces")
        share = join(values, self.curve.q)
        must(times(self.curve, share, self.curve.g) == self.shares[self.member], "another share")
        return share

    def open(self, place, plain):
        who = self.path + ": piece of " + self.custodians[place - 1][0]
        must(len(plain) == 69 and plain[:4] == b"LMP1", who + " is no piece")
        must(plain[4:36] == self.head_hash, who + " is of another backup")
        must(plain[36] == place, who + " stands in another's place")
        value = int.from_bytes(plain[37:], self.curve.endian)
        must(value < self.curve.q, who + " is beyond the order")
        must(times(self.curve, value, self.curve.g) == self.piece_point(place), who + " is wrong")
        return value

    def verify_proof(self, holder, nonce, proof):
        place = [name for name, _ in self.custodians].index(holder) + 1
        message = tagged("limen/backup-proof/v1", self.hash, bytes([place]), nonce)
        public = self.curve.write(self.piece_point(place))
        if isinstance(self.curve, Ed25519):
            return Ed25519PublicKey.from_public_bytes(public).verify(proof, message)
        return must(bip340_verify(self.curve, public[1:], message, proof), "the proof does not hold")


def bip340_verify(curve, x, message, signature):
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    e = int.from_bytes(hashlib.sha256(tag + tag + r + x + message).digest(), "big") % curve.q
    key = curve.lift(int.from_bytes(x, "big"), 0)
    point = curve.add(times(curve, s, curve.g), times(curve, curve.q - e, key))
    return s < curve.q and point is not None and point[1] % 2 == 0 and point[0] == int.from_bytes(r, "big")


def join(values, q):
    return sum(value * coefficient(values, place, 0, q) for place, value in values.items()) % q


def bech32_data(text):
    """The data of a bech32 string (BIP-173)."""
    text = text.lower()
    prefix, word = text[: text.rindex("1")], text[text.rindex("1") + 1 :]
    digits = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".find(letter) for letter in word]
    must(min(digits, default=-1) >= 0, "no letter of bech32")
    total = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + digits:
        top, total = total >> 25, (total & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            total ^= term if top >> bit & 1 else 0
    must(total == 1, "mistyped: " + text[:4])
    bits = "".join(f"{digit:05b}" for digit in digits[:-6])
    must("1" not in bits[len(bits) // 8 * 8 :], "bits left over")
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8))


def codex32_times(a, b):
    """Product in GF(32) of BIP-93: polynomials modulo x^5 + x^3 + 1."""
    product = 0
    for bit in range(5):
        product ^= a << bit if b >> bit & 1 else 0
    for bit in range(8, 4, -1):
        product ^= 0b101001 << bit - 5 if product >> bit & 1 else 0
    return product


def codex32_residue(prefix, digits):
    """Remainder modulo the generator of BIP-93's short checksum, over 13 digits."""
    terms = (0x19DC500CE73FDE210, 0x1BFAE00DEF77FE529, 0x1FBD920FFFE7BEE52, 0x1739640BDEEE3FDAD, 0x07729A039CFC75F5A)
    total = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + digits:
        top, total = total >> 60, (total & 0x0FFFFFFFFFFFFFFF) << 5 ^ value
        for bit, term in enumerate(terms):
            total ^= term if top >> bit & 1 else 0
    return total


def read_slip(path):
    with open(path, encoding="utf-8") as file:
        text = "".join("".join(line.split()) for line in file if not line.startswith("#")).lower()
    must(text.startswith("limen1") and len(text) == 77, path + ": no slip")
    digits = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".find(letter) for letter in text[6:]]
    must(min(digits) >= 0, path + ": no letter of a slip")
    must(codex32_residue("limen", digits) == 0x10CE0795C2FD1E62A, path + ": mistyped")
    return text[6:11], digits[5], digits


def join_slips(paths):
    """The digits of the secret at place `s`, which is 16, by Lagrange in GF(32)."""
    slips = [read_slip(path) for path in paths]
    (head, *_), places = slips[0], [place for _, place, _ in slips]
    must(all(other == head for other, _, _ in slips), "slips of two splits")
    must(len(set(places)) == len(slips) >= max(int(head[0]), 1), "too few slips")
    secret = [0] * 71
    for place, digits in [(place, digits) for _, place, digits in slips]:
        factor = 1
        for other in places:
            if other != place:
                inverse = next(x for x in range(1, 32) if codex32_times(x, place ^ other) == 1)
                factor = codex32_times(factor, codex32_times(16 ^ other, inverse))
        secret = [so_far ^ codex32_times(factor, digit) for so_far, digit in zip(secret, digits, strict=True)]
    must(secret[5] == 16 and codex32_residue("limen", secret) == 0x10CE0795C2FD1E62A, "slips of two splits")
    bits = "".join(f"{digit:05b}" for digit in secret[6:58])
    must(bits[256:] == "0000", "bits left over")
    return int(bits[:256], 2).to_bytes(32, "big")


def check_recipient(text):
    must(text.startswith("age1"), "no recipient of age")
    data = bech32_data(text)
    if text.rindex("1") > 3:
        return  # a plugin's
    must(len(data) == 32 and int.from_bytes(data, "little") < 2**255 - 19, "no X25519 key")
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(data))
    except ValueError:
        must(False, "a recipient of low order")


def child(curve, secret, chain_code, steps):
    """The child's scalar: BIP-32 without hardening, and `bip32-ed25519-additive-v1`."""
    for step in steps:
        public = curve.write(times(curve, secret, curve.g))
        filler = b"\0" if isinstance(curve, Ed25519) else b""
        both = hmac.digest(chain_code, public + filler + step.to_bytes(4, "big"), "sha512")
        left, chain_code = int.from_bytes(both[:32], "big"), both[32:]
        must(isinstance(curve, Ed25519) or left < curve.q, "no such child")
        secret = (secret + left) % curve.q
        must(secret, "no such child")
    return secret


def sign(curve, secret, message):
    """RFC 8032 by a scalar; the prefix as the document has it."""
    number = lambda *parts: int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % curve.q
    nonce = number(tagged("limen/ed25519-scalar-prefix/v1", secret.to_bytes(32, "little")), message)
    commitment, public = (curve.write(times(curve, scalar, curve.g)) for scalar in (nonce, secret))
    response = (nonce + number(commitment, public, message) * secret) % curve.q
    signature = commitment + response.to_bytes(32, "little")
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    return signature


def hkdf(key, salt, info):
    return HKDF(SHA256(), 32, salt, info).derive(key)


def unpadded(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))


def age_decrypt(identity, sealed):
    """age-encryption.org/v1 for X25519 and one chunk, or nothing if no stanza is for the identity."""
    own = identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    end = sealed.index(b"\n---") + 4
    mac_end = sealed.index(b"\n", end)
    lines = sealed[:end].decode().split("\n")
    for number, line in enumerate(lines):
        if not line.startswith("-> X25519 "):
            continue
        ephemeral = unpadded(line.split(" ")[2])
        shared = identity.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        wrap = hkdf(shared, ephemeral + own, b"age-encryption.org/v1/X25519")
        try:
            file_key = ChaCha20Poly1305(wrap).decrypt(bytes(12), unpadded(lines[number + 1]), None)
        except Exception:
            continue
        mac = hmac.digest(hkdf(file_key, None, b"header"), sealed[:end], "sha256")
        must(hmac.compare_digest(mac, unpadded(sealed[end + 1 : mac_end].decode())), "header of age")
        nonce, payload = sealed[mac_end + 1 : mac_end + 17], sealed[mac_end + 17 :]
        return ChaCha20Poly1305(hkdf(file_key, nonce, b"payload")).decrypt(bytes(11) + b"\1", payload, None)
    return None


def identities(paths):
    for path in paths:
        if path.endswith(".slip"):
            yield X25519PrivateKey.from_private_bytes(join_slips(path.split("+")))
            continue
        with open(path) as file:
            for line in file:
                if line.startswith("AGE-SECRET-KEY-1"):
                    yield X25519PrivateKey.from_private_bytes(bech32_data(line.strip()))


def main(arguments):
    if "--proof" in arguments:
        path, _, holder, nonce, proof = arguments
        Backup(path).verify_proof(holder, bytes.fromhex(nonce), bytes.fromhex(proof))
        return print("proved")
    options = {}
    while arguments[0] in ("--path", "--sign"):
        options[arguments[0]], arguments = arguments[1], arguments[2:]
    at = arguments.index("--")
    backups = [Backup(path) for path in arguments[:at]]
    keys = list(identities(arguments[at + 1 :]))
    first = backups[0]
    must(all(backup.same_key() == first.same_key() for backup in backups), "different keys or epochs")
    shares = {backup.member: backup.share(keys) for backup in backups}
    must(len(shares) == len(backups) >= first.required, "too few shares, or one twice")
    secret = join(shares, first.curve.q)
    must(times(first.curve, secret, first.curve.g) == first.public_key, "another key")
    steps = [int(step) for step in options.get("--path", "").split("/") if step]
    secret = child(first.curve, secret, bytes.fromhex(first.chain_code), steps)
    if "--sign" in options:
        with open(options["--sign"], "rb") as file:
            return print(sign(first.curve, secret, file.read()).hex())
    print(secret.to_bytes(32, first.curve.endian).hex())


if __name__ == "__main__":
    main(sys.argv[1:])
