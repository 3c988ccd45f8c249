// Spends with a key that limen-recover has exported, by software that Limen does not use: Node.js opens the keystore, viem signs, anvil
// judges. Usage: node spend.mjs FOLDER_WITH_VIEM_INSTALLED KEYSTORE PASSWORD PUBLIC_KEY RPC_URL
import { strict as assert } from "node:assert";
import { createDecipheriv, ECDH, scryptSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, keystoreFile, password, publicKey, url] = process.argv.slice(2);
const packages = createRequire(join(folder, "package.json"));
const { createTestClient, createWalletClient, getAddress, http, keccak256, parseEther, publicActions } = packages("viem");
const { privateKeyToAccount, publicKeyToAddress } = packages("viem/accounts");
const { anvil } = packages("viem/chains");

// Web3 Secret Storage Definition, version 3.
const { address, crypto, version } = JSON.parse(readFileSync(keystoreFile, "utf8"));
assert.equal(version, 3);
assert.equal(crypto.kdf, "scrypt");
const { n: N, r, p, dklen, salt } = crypto.kdfparams;
const derived = scryptSync(password, Buffer.from(salt, "hex"), dklen, { N, r, p, maxmem: 256 * N * r });
const ciphertext = Buffer.from(crypto.ciphertext, "hex");
assert.equal(keccak256(Buffer.concat([derived.subarray(16, 32), ciphertext])), `0x${crypto.mac}`);
const decipher = createDecipheriv("aes-128-ctr", derived.subarray(0, 16), Buffer.from(crypto.cipherparams.iv, "hex"));
const secret = Buffer.concat([decipher.update(ciphertext), decipher.final()]);

const account = privateKeyToAccount(`0x${secret.toString("hex")}`);
const point = ECDH.convertKey(publicKey, "secp256k1", "hex", "hex", "uncompressed");
assert.equal(account.address, publicKeyToAddress(`0x${point}`), "the address is that of the key that signers attest");
if (address !== undefined) assert.equal(getAddress(`0x${address.replace(/^0x/, "")}`), account.address);

const chain = createTestClient({ chain: anvil, mode: "anvil", transport: http(url) }).extend(publicActions);
const to = "0x000000000000000000000000000000000000dEaD";
const value = parseEther("1.5");
await chain.setBalance({ address: account.address, value: parseEther("2") });
const wallet = createWalletClient({ account, chain: anvil, transport: http(url) });
const before = await chain.getBalance({ address: to });
const hash = await wallet.sendTransaction({ to, value });
const receipt = await chain.waitForTransactionReceipt({ hash });
assert.equal(receipt.status, "success");
assert.equal(getAddress(receipt.from), account.address);
assert.equal((await chain.getBalance({ address: to })) - before, value);
console.log(account.address);
