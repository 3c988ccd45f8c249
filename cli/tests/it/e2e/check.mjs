// Checks up.json with libraries that Limen does not use: viem for transactions, Node.js for Ed25519.
// Usage: node check.mjs FOLDER_WITH_VIEM_INSTALLED UP.JSON
import { strict as assert } from "node:assert";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, reportFile] = process.argv.slice(2);
const viem = createRequire(join(folder, "package.json"))("viem");
const report = JSON.parse(readFileSync(reportFile, "utf8"));

const addresses = report.keys.map((key) => key.address);
const acts = report.acts.flatMap((act) => act.withdrawal ?? []);
const transactions = [...report.withdrawals, ...acts];
const nonces = new Set();
for (const withdrawal of transactions) {
  const serializedTransaction = withdrawal.raw_transaction;
  const transaction = viem.parseTransaction(serializedTransaction);
  const signer = await viem.recoverTransactionAddress({ serializedTransaction });
  assert.ok(addresses.includes(signer));
  assert.equal(signer, withdrawal.from);
  assert.equal(viem.keccak256(serializedTransaction), withdrawal.tx_hash);
  assert.equal(`eip155:${transaction.chainId}`, withdrawal.chain);
  if (withdrawal.asset.includes("slip44")) {
    assert.equal(viem.getAddress(transaction.to), withdrawal.to);
    assert.equal(transaction.value, BigInt(withdrawal.amount));
  } else {
    const abi = viem.parseAbi(["function transfer(address to, uint256 amount)"]);
    const call = viem.decodeFunctionData({ abi, data: transaction.data });
    assert.deepEqual(call.args, [withdrawal.to, BigInt(withdrawal.amount)]);
  }
  assert.equal(transaction.nonce ?? 0, withdrawal.nonce);
  nonces.add(`${signer} ${withdrawal.nonce}`);
}
assert.equal(nonces.size, transactions.length);

for (const message of report.messages) {
  const x = Buffer.from(message.public_key, "hex").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  assert.ok(verify(null, Buffer.from(message.text), key, Buffer.from(message.signature, "hex")));
}
console.log(`${transactions.length} transactions and ${report.messages.length} messages check out`);
