// Verifies a BIP-340 signature with noble-curves, which viem brings along; Limen does not use it.
// Usage: node schnorr.mjs FOLDER_WITH_VIEM_INSTALLED PUBLIC_KEY MESSAGE SIGNATURE (hexadecimal)
import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, publicKey, message, signature] = process.argv.slice(2);
const viem = createRequire(join(folder, "package.json")).resolve("viem");
const { schnorr } = createRequire(viem)("@noble/curves/secp256k1");
assert.ok(schnorr.verify(signature, message, publicKey));
const other = message.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
assert.ok(!schnorr.verify(signature, other, publicKey));
