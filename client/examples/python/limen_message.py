#!/usr/bin/env python3
"""Asks a Limen cluster for a signature on a message, with nothing but the .proto files and public libraries.

Shows what any language must do: connect by mutual TLS, write an intent, sign its exact bytes (DSSE) with the enrolled
key, submit, wait, and verify the signature. See README.md beside this file.
"""

import argparse
import hashlib
import importlib
import secrets
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from grpc_tools import protoc

INTENT_TYPE = "application/vnd.limen.intent.v1+protobuf"
PROTO_FILES = ["types", "charter", "custody"]
ENDS = {"SIGNED", "DENIED", "REJECTED", "EXPIRED", "CANCELLED", "FAILED", "POSSIBLY_SIGNED"}


def generate_stubs(protos: Path, target: str):
    """Compiles the .proto files into `target` and imports what comes out."""
    files = [f"limen/v1/{name}.proto" for name in PROTO_FILES]
    arguments = ["protoc", f"-I{protos}", f"--python_out={target}", f"--grpc_python_out={target}", *files]
    if protoc.main(arguments) != 0:
        raise SystemExit(f"error: the .proto files in {protos} could not be compiled")
    sys.path.insert(0, target)
    names = ["limen.v1.types_pb2", "limen.v1.custody_pb2", "limen.v1.custody_pb2_grpc"]
    return [importlib.import_module(name) for name in names]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE: the bytes that an envelope's signature covers, and whose SHA-256 is the intent id."""
    name = payload_type.encode()
    return b" ".join([b"DSSEv1", str(len(name)).encode(), name, str(len(payload)).encode(), payload])


def connect(config: dict, folder: Path) -> grpc.Channel:
    """Mutual TLS: the coordinator by the authority, ourselves by our certificate."""
    read = lambda name: (folder / config[name]).read_bytes()
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read("ca"), private_key=read("key"), certificate_chain=read("cert")
    )
    options = [("grpc.ssl_target_name_override", config["server_name"])]
    return grpc.secure_channel(config["endpoint"], credentials, options)


def signed_intent(types, config: dict, folder: Path, key_id: str, message: bytes):
    """An intent in an envelope, and its id."""
    intent = types.Intent(
        version=1,
        cluster=config["cluster"],
        requester=config["requester"],
        idempotency_key=secrets.token_hex(16),
        key_id=key_id,
        message=message,
        expires_at_secs=int(time.time()) + 600,
    )
    # Deterministic output writes fields in order, which is the canonical form that the signers ask for.
    payload = intent.SerializeToString(deterministic=True)
    to_sign = pre_authentication_encoding(INTENT_TYPE, payload)
    key = load_pem_private_key((folder / config["envelope_key"]).read_bytes(), password=None)
    signature = types.EnvelopeSignature(signer=config["requester"], signature=key.sign(to_sign))
    envelope = types.Envelope(payload_type=INTENT_TYPE, payload=payload, signatures=[signature])
    return envelope, hashlib.sha256(to_sign).digest()


def wait(custody_pb2, stub, intent_id: bytes, seconds: float):
    """Follows the request to its end; the stream begins with where it stands now."""
    for change in stub.Watch(custody_pb2.WatchRequest(intent_id=intent_id), timeout=seconds):
        state = custody_pb2.RequestState.Name(change.request.state).removeprefix("REQUEST_STATE_")
        print(f"  {state.lower()}", file=sys.stderr)
        if state in ENDS:
            return state, change.request
    raise SystemExit("error: the stream ended before the request did; run again with the same intent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path(".dev/client.toml"))
    parser.add_argument("--protos", type=Path, default=Path(__file__).parents[3] / "wire" / "proto")
    parser.add_argument("--key", default="messages-ed25519")
    parser.add_argument("message")
    arguments = parser.parse_args()

    config = tomllib.loads(arguments.config.read_text())
    folder = arguments.config.parent
    message = arguments.message.encode()
    with tempfile.TemporaryDirectory() as target, connect(config, folder) as channel:
        types, custody_pb2, custody_grpc = generate_stubs(arguments.protos, target)
        stub = custody_grpc.CustodyStub(channel)
        envelope, intent_id = signed_intent(types, config, folder, arguments.key, message)
        stub.Submit(custody_pb2.SubmitRequest(envelope=envelope), timeout=30)
        print(f"submitted {intent_id.hex()}", file=sys.stderr)
        state, request = wait(custody_pb2, stub, intent_id, 120)
        if state != "SIGNED":
            raise SystemExit(f"error: {state.lower()}: {request.error.message} [{request.error.code}]")
        result = request.result
        # For real money compare the public key with the certificate in ListKeys, as the Rust SDK does.
        Ed25519PublicKey.from_public_bytes(result.public_key).verify(result.signature, message)
        print(result.signature.hex())
        print("verified under", result.public_key.hex(), file=sys.stderr)


if __name__ == "__main__":
    main()
